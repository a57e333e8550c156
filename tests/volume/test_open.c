/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and formatting: each thing that is refused, with its error, and with
 * nothing written; combinations of options; one user at a time.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* ----------------------------------------------------------- damaged volumes */

static void with_super(struct fixture *f, void (*change)(struct superblock *))
{
	struct geometry g;
	struct superblock sb;
	uint8_t block[B];

	sim_device_peek(f->sd, 0, block);
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	sim_device_peek(f->sd, g.data_start, block);
	ck_assert_int_eq(superblock_decode(block, g.data_start, &sb), 0);
	change(&sb);
	superblock_encode(&sb, block);
	sim_device_poke(f->sd, g.data_start, block);
}

static void with_geometry(struct fixture *f, void (*change)(struct geometry *))
{
	struct geometry g;
	uint8_t block[B];

	sim_device_peek(f->sd, 0, block);
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	change(&g);
	geometry_encode(&g, block);
	sim_device_poke(f->sd, 0, block);
}

static pbn_t super_at(struct fixture *f)
{
	struct geometry g;
	uint8_t block[B];

	sim_device_peek(f->sd, 0, block);
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	return g.data_start;
}

static void all_zero(struct fixture *f)
{
	uint8_t block[B] = {0};

	sim_device_poke(f->sd, 0, block);
}

static void foreign(struct fixture *f)
{
	uint8_t block[B];

	pattern_fill(V_UNIQUE(1), block);
	sim_device_poke(f->sd, 0, block);
}

static void geometry_crc(struct fixture *f)
{
	sim_device_rot(f->sd, 40, 1, 1);
}

static void geometry_version(struct fixture *f)
{
	uint8_t block[B];
	uint32_t crc;

	sim_device_peek(f->sd, 0, block);
	block[12] = 77; /* major version */
	crc = format_crc(block, 97);
	memcpy(block + 97, &crc, sizeof(crc));
	sim_device_poke(f->sd, 0, block);
}

static void super_crc(struct fixture *f)
{
	sim_device_rot(f->sd, super_at(f) * B + 100, 1, 1);
}

static void super_gone(struct fixture *f)
{
	uint8_t block[B] = {0};

	sim_device_poke(f->sd, super_at(f), block);
}

static void change_nonce(struct superblock *sb)
{
	sb->nonce++;
}

static void nonce(struct fixture *f)
{
	with_super(f, change_nonce);
}

static void change_size(struct superblock *sb)
{
	sb->logical_blocks = UINT64_C(1) << 50;
}

static void sizes(struct fixture *f)
{
	with_super(f, change_size);
}

#define STATE(name, number)                                                    \
	static void change_##name(struct superblock *sb)                       \
	{                                                                      \
		sb->state = number;                                            \
	}                                                                      \
	static void name(struct fixture *f)                                    \
	{                                                                      \
		with_super(f, change_##name);                                  \
	}

STATE(dirty, VOLUME_DIRTY)
STATE(replaying, VOLUME_REPLAYING)
STATE(rebuild, VOLUME_FORCE_REBUILD)
STATE(upgrade, VOLUME_REBUILD_FOR_UPGRADE)
STATE(recovering, VOLUME_RECOVERING)
STATE(unknown, 99)

static void change_start(struct geometry *g)
{
	g->data_start = 1 << 30;
}

static void super_behind_end(struct fixture *f)
{
	with_geometry(f, change_start);
}

static const struct {
	const char *name;
	void (*damage)(struct fixture *f);
	int want;
} damages[] = {
	{"nothing there", all_zero, -VDO_ENOTVDO},
	{"something else there", foreign, -VDO_ENOTVDO},
	{"geometry checksum", geometry_crc, -VDO_ECHECKSUM},
	{"geometry version", geometry_version, -VDO_EVERSION},
	{"super block checksum", super_crc, -VDO_ECHECKSUM},
	{"super block gone", super_gone, -VDO_EVERSION},
	{"super block of another volume", nonce, -VDO_ENONCE},
	{"impossible size", sizes, -VDO_ECORRUPT},
	{"super block behind the end", super_behind_end, -VDO_ESIZE},
	{"forced rebuild", rebuild, -VDO_EREBUILD},
	{"rebuild for upgrade", upgrade, -VDO_EREBUILD},
	{"recovering", recovering, 0},
	{"unknown state", unknown, -VDO_ECORRUPT},
};

/* What was not closed, though its journal says nothing of that: recovery finds
 * nothing to replay. */
static const struct {
	const char *name;
	void (*damage)(struct fixture *f);
} crashes[] = {{"dirty", dirty}, {"replaying", replaying}};

/* A volume that was used, closed and damaged; returns its checksum. */
static uint64_t init_damaged(struct fixture *f, int kind,
			     void (*damage)(struct fixture *f))
{
	fixture_init(f, kind, "");
	fixture_open(f, "");
	fixture_write(f, 0, 10, V_UNIQUE(1), 0);
	fixture_close(f);
	damage(f);
	return fixture_checksum(f);
}

START_TEST(test_damaged)
{
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct fixture f;
		struct vdo_device *d;
		struct vdo_info info;
		uint64_t before;
		int result;

		before = init_damaged(&f, _i, damages[i].damage);
		result = fixture_try_open(&f, "");
		ck_assert_msg(result == damages[i].want, "%s: %s: %s",
			      damages[i].name, vdo_error_name(result),
			      f.error.message);
		if (result == 0) {
			fixture_verify_all(&f);
			fixture_close(&f);
			fixture_fini(&f);
			continue;
		}
		ck_assert_int_eq(f.error.code, result);
		ck_assert_str_ne(f.error.message, "");
		ck_assert_uint_eq(fixture_checksum(&f), before);
		/* Reading only makes it no better, nor any worse. */
		result = fixture_try_open(&f, "read-only=on");
		if (result == 0)
			ck_assert_int_eq(fixture_try_close(&f), 0);
		d = sim_device_open(f.sd, NULL);
		result = vdo_inspect_device(d, &info, sizeof(info), NULL);
		if (damages[i].want != -VDO_EREBUILD)
			ck_assert_int_eq(result, damages[i].want);
		vdo_device_close(d);
		ck_assert_uint_eq(fixture_checksum(&f), before);
		fixture_fini(&f);
	}
}
END_TEST

START_TEST(test_not_closed)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		struct fixture f;
		uint64_t before;

		before = init_damaged(&f, _i, crashes[i].damage);
		ck_assert_int_eq(fixture_try_open(&f, "recover=off"),
				 -VDO_EDIRTY);
		ck_assert_uint_eq(fixture_checksum(&f), before);
		fixture_open(&f, "");
		ck_assert_uint_eq(fixture_stat(&f, "path.recoveredEntries"), 0);
		ck_assert_uint_eq(fixture_stat(&f, "completeRecoveries"), 1);
		fixture_verify_all(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* The storage is shorter than the volume; then longer. */
START_TEST(test_truncated)
{
	static const uint64_t lengths[] = {0, 1, 2, 100, 8191};
	struct fixture f;

	fixture_init(&f, _i, "");
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct sim_device_config config = {.block_count = 8192};
		struct fixture g;
		uint8_t block[B];
		int result;

		config.block_count = MAX(lengths[i], 1);
		fixture_init_raw(&g, _i, &config);
		for (uint64_t k = 0; k < lengths[i]; k++) {
			sim_device_peek(f.sd, k, block);
			sim_device_poke(g.sd, k, block);
		}
		result = fixture_try_open(&g, "");
		ck_assert_int_eq(result,
				 lengths[i] == 0 ? -VDO_ENOTVDO : -VDO_ESIZE);
		fixture_fini(&g);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(test_read_only_storage)
{
	struct fixture f, g;
	struct sim_device_config config = {.block_count = 8192,
					   .read_only = true};
	uint8_t block[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	fixture_close(&f);
	fixture_init_raw(&g, _i, &config);
	ck_assert_int_eq(fixture_format(&g, ""), -EROFS);
	for (uint64_t k = 0; k < 8192; k++) {
		sim_device_peek(f.sd, k, block);
		sim_device_poke(g.sd, k, block);
	}
	ck_assert_int_eq(fixture_try_open(&g, ""), -EROFS);
	ck_assert_ptr_nonnull(strstr(g.error.message, "read-only"));
	g.expect = f.expect;
	g.unknown = f.unknown;
	g.logical_blocks = f.logical_blocks;
	fixture_open(&g, "read-only=on");
	fixture_verify_all(&g);
	fixture_close(&g);
	g.expect = NULL;
	g.unknown = NULL;
	fixture_fini(&g);
	fixture_fini(&f);
}
END_TEST

/* One device, one volume, one user. */
START_TEST(test_in_use)
{
	struct fixture f;
	struct vdo_volume *other = (void *)1;
	struct vdo_error error;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_open_device(f.device, NULL, &other, &error),
			 -VDO_EINUSE);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(error.code, -VDO_EINUSE);
	ck_assert_int_eq(vdo_format_device(f.device, NULL, &error),
			 -VDO_EINUSE);
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_fini(&f);
}
END_TEST

/* Memory of the host that counts how often it was closed. */
struct host_memory {
	uint8_t blocks[8192][B];
	unsigned closed;
};

static uint64_t host_size(void *ctx)
{
	return sizeof(((struct host_memory *)ctx)->blocks);
}

static unsigned host_flags(void *ctx)
{
	return 0;
}

static void host_submit(void *ctx, struct vdo_device_io *io)
{
	fixture_transfer(io, ((struct host_memory *)ctx)->blocks[0]);
	io->complete(io, 0);
}

static void host_close(void *ctx)
{
	((struct host_memory *)ctx)->closed++;
}

/* Closed too early by its owner: the volume goes on, and closes it at its end. */
START_TEST(test_device_closed_early)
{
	static const struct vdo_device_ops ops = {
		.size = sizeof(ops),
		.get_size = host_size,
		.get_flags = host_flags,
		.submit = host_submit,
		.close = host_close,
	};
	struct host_memory *m = calloc(1, sizeof(*m));
	struct vdo_config *c = fixture_config("profile=small");
	struct vdo_device *d;
	struct vdo_volume *v;
	uint8_t in[B], out[B];

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(vdo_device_open_custom(&ops, m, &d), 0);
	ck_assert_int_eq(vdo_format_device(d, c, NULL), 0);
	ck_assert_int_eq(vdo_open_device(d, NULL, &v, NULL), 0);
	vdo_device_close(d);
	ck_assert_uint_eq(m->closed, 0);
	pattern_fill(V_UNIQUE(1), in);
	ck_assert_int_eq(vdo_pwrite(v, in, B, 5 * B, 0), 0);
	ck_assert_int_eq(vdo_pread(v, out, B, 5 * B, 0), 0);
	ck_assert_int_eq(memcmp(in, out, B), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_uint_eq(m->closed, 1);
	vdo_config_free(c);
	free(m);
}
END_TEST

/* ------------------------------------------------------------------- format */

static const struct {
	const char *options;
	uint64_t blocks;
	int want;
} formats[] = {
	{"profile=small", 16384, 0},
	{"profile=small index-memory=none", 8192, 0},
	{"profile=small index-memory=2M slab-bits=9", 4096, 0},
	{"profile=small logical-size=4K", 8192, 0},
	{"profile=small logical-size=1T index-memory=none", 8192, 0},
	{"profile=small size=16M index-memory=none slab-bits=9", 8192, 0},
	{"profile=small journal-blocks=4 index-memory=none", 8192, 0},
	{"profile=small slab-journal-blocks=3 slab-bits=9 index-memory=none",
	 8192, 0},
	{"profile=small sparse=on", 8192, 0},
	{"profile=small", 256, -ENOSPC},
	{"profile=small index-memory=none", 1, -ENOSPC},
	{"profile=kernel", 8192, -ENOSPC},
	{"profile=small size=1G", 8192, -VDO_ESIZE},
	{"profile=small slab-bits=23", 8192, -ENOSPC},
	{"profile=small slab-bits=9 slab-journal-blocks=256 "
	 "index-memory=none",
	 8192, 0},
	{"profile=small journal-blocks=1048576", 8192, -ENOSPC},
	{"sparse=on index-memory=none", 8192, -VDO_ECONFLICT},
	{"profile=kernel index-memory=2M", 8192, -VDO_ECONFLICT},
};

START_TEST(test_format)
{
	struct sim_device_config config = {.block_count = formats[_i].blocks};
	struct fixture f;
	int result;

	fixture_init_raw(&f, KIND_SIM, &config);
	result = fixture_format(&f, formats[_i].options);
	ck_assert_msg(result == formats[_i].want, "%s: %s: %s",
		      formats[_i].options, vdo_error_name(result),
		      f.error.message);
	if (result != 0) {
		ck_assert_str_ne(f.error.message, "");
		ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), 0);
	} else {
		fixture_open(&f, "");
		fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
		fixture_write(&f, f.logical_blocks - 1, 1, V_UNIQUE(2), 0);
		fixture_verify(&f, 0, 1);
		fixture_verify(&f, f.logical_blocks - 1, 1);
		f.no_check = f.logical_blocks > 1000000;
	}
	fixture_fini(&f);
}
END_TEST

/* Known content is not overwritten, unless forced. */
static const struct {
	const char *name, *magic;
	unsigned offset;
} signatures[] = {
	{"ext4", "\x53\xef", 1080},	{"XFS", "XFSB", 0},
	{"btrfs", "_BHRfS_M", 65600},	{"LVM", "LABELONE", 512},
	{"swap", "SWAPSPACE2", 4086},	{"NTFS", "NTFS    ", 3},
	{"boot sector", "\x55\xaa", 510}, {"something", "hello", 5000},
};

START_TEST(test_signatures)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		struct sim_device_config config = {.block_count = 8192};
		struct fixture f;
		uint8_t block[B] = {0};
		unsigned at = signatures[i].offset;

		fixture_init_raw(&f, KIND_SIM, &config);
		memcpy(block + at % B, signatures[i].magic,
		       strlen(signatures[i].magic));
		sim_device_poke(f.sd, at / B, block);
		ck_assert_int_eq(fixture_format(&f, "profile=small"),
				 -VDO_ESIGNATURE);
		ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), 0);
		ck_assert_int_eq(fixture_format(&f, "profile=small force=on"),
				 0);
		/* A volume is content too. */
		ck_assert_int_eq(fixture_format(&f, "profile=small"),
				 -VDO_ESIGNATURE);
		ck_assert_ptr_nonnull(strstr(f.error.message, "VDO"));
		ck_assert_int_eq(fixture_format(&f, "profile=small force=on"),
				 0);
		fixture_open(&f, "");
		fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
		fixture_fini(&f);
	}
}
END_TEST

/* Formatted anew, nothing of the old volume shows. */
START_TEST(test_format_again)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_close(&f);
	ck_assert_int_eq(fixture_format(&f, "profile=small index-memory=none "
					    "slab-bits=9 slab-journal-blocks=8 "
					    "journal-blocks=32 force=on "
					    "logical-size=8M"),
			 0);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 0);
	fixture_write(&f, 500, 1000, V_UNIQUE(5000), 0);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------- options of opening */

static const char *const openings[] = {
	"depth=16",
	"depth=2048",
	"cache=1M era=1",
	"era=1048576",
	"advice-entries=1024",
	"alignment=512 compression=off deduplication=off",
	("topology=classic threads=1 logical-zones=60 physical-zones=16 "
	 "hash-zones=100"),
	"topology=shard threads=1 logical-zones=7 physical-zones=1",
};

START_TEST(test_openings)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	for (size_t i = 0; i < ARRAY_SIZE(openings); i++) {
		fixture_open(&f, openings[i]);
		fixture_verify_all(&f);
		fixture_write(&f, 200 * i, 300, V_UNIQUE(250 * i), 0);
		fixture_repeat(&f, 1900, 20, V_SQUEEZE(i, 100), 0);
		fixture_close(&f);
	}
	fixture_fini(&f);
}
END_TEST

static const struct {
	const char *options;
	int want;
} conflicts[] = {
	{"executor=inline threads=2", -VDO_ECONFLICT},
	{"executor=inline pin=on", -VDO_ECONFLICT},
	{"executor=pool", -VDO_ECONFLICT},
	{"io-engine=uring io-threads=2", -VDO_ECONFLICT},
};

START_TEST(test_conflicts)
{
	struct fixture f;
	struct vdo_config *c = fixture_config(conflicts[_i].options);
	struct vdo_device *d;
	struct vdo_volume *v;
	struct vdo_error error;

	fixture_init(&f, KIND_NATIVE, "");
	d = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_open_device(d, c, &v, &error),
			 conflicts[_i].want);
	ck_assert_str_ne(error.message, "");
	ck_assert_ptr_null(v);
	vdo_device_close(d);
	vdo_config_free(c);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_switches)
{
	struct fixture f;
	struct vdo_error error;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_volume_set(f.volume, "alignment", "512", &error),
			 -VDO_EOPTION);
	ck_assert_int_eq(vdo_volume_set(f.volume, "nonsense", "20", NULL),
			 -VDO_EOPTION);
	ck_assert_int_eq(vdo_volume_set(f.volume, "compression", "maybe",
					&error),
			 -VDO_EVALUE);
	ck_assert_str_ne(error.message, "");
	ck_assert_int_eq(vdo_volume_set(f.volume, "compression", "no", &error),
			 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.compression"), 0);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------------- files */

/* By path: locked against a second opening; gone after a failed format. */
START_TEST(test_files)
{
	char path[] = "/tmp/libvdo-test-XXXXXX";
	struct vdo_config *c = fixture_config("size=32M profile=small");
	struct vdo_config *tiny = fixture_config("size=1M profile=small");
	struct vdo_volume *v, *other;
	struct vdo_error error;
	struct vdo_info info;
	uint8_t in[B], out[B];
	struct stat st;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	unlink(path);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), -ENOENT);
	ck_assert_int_eq(vdo_format(path, NULL, &error), -ENOENT);
	ck_assert_int_eq(vdo_format(path, tiny, &error), -ENOSPC);
	ck_assert_int_ne(stat(path, &st), 0);
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), 0);
	ck_assert_int_eq(vdo_open(path, NULL, &other, &error), -VDO_EINUSE);
	ck_assert_int_eq(vdo_format(path, c, &error), -VDO_EINUSE);
	pattern_fill(V_UNIQUE(1), in);
	ck_assert_int_eq(vdo_pwrite(v, in, B, 5 * B, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(vdo_inspect(path, &info, sizeof(info), &error), 0);
	ck_assert_str_eq(info.state_name, "clean");
	/* A random UUID. */
	ck_assert_uint_eq(info.uuid[6] >> 4, 4);
	ck_assert_uint_eq(info.uuid[8] >> 6, 2);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), 0);
	ck_assert_int_eq(vdo_pread(v, out, B, 5 * B, 0), 0);
	ck_assert_int_eq(memcmp(in, out, B), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	/* Sparse: an empty volume occupies next to nothing. */
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 32 << 20);
	ck_assert_int_lt(st.st_blocks * 512, 4 << 20);
	ck_assert_int_eq(truncate(path, 20 << 20), 0);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), -VDO_ESIZE);
	unlink(path);
	vdo_config_free(c);
	vdo_config_free(tiny);
}
END_TEST

static const struct {
	const char *format, *open;
	uint64_t depth, spares;
} depths[] = {
	{"slab-bits=9 slab-journal-blocks=4", "depth=2048", 1299, 0},
	{"slab-bits=9 slab-journal-blocks=4", "depth=1299", 1299, 0},
	{"slab-bits=9 slab-journal-blocks=4", "", 512, 787},
	{"slab-bits=10 slab-journal-blocks=32", "depth=2048", 1948, 0},
	{"slab-bits=10 slab-journal-blocks=32", "depth=16", 16, 48},
	{"slab-bits=10 slab-journal-blocks=128", "depth=2048", 2048, 0},
	{"slab-bits=10 slab-journal-blocks=128", "depth=1500", 1500, 548},
};

/* What requests may leave to a recovery has room in each slab journal (I40). */
START_TEST(test_depth_is_limited)
{
	struct fixture f;

	fixture_init(&f, KIND_INLINE, depths[_i].format);
	fixture_open(&f, depths[_i].open);
	ck_assert_uint_eq(fixture_stat(&f, "path.depth"), depths[_i].depth);
	ck_assert_uint_eq(fixture_stat(&f, "path.spares"), depths[_i].spares);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("open");

	tcase_add_loop_test(tc, test_damaged, KIND_INLINE - 1, KIND_SIM + 1);
	tcase_add_loop_test(tc, test_not_closed, KIND_INLINE, KIND_SIM + 1);
	tcase_add_loop_test(tc, test_truncated, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_read_only_storage, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_in_use, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_device_closed_early);
	tcase_add_loop_test(tc, test_format, 0, ARRAY_SIZE(formats));
	tcase_add_test(tc, test_signatures);
	tcase_add_loop_test(tc, test_format_again, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_openings, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_conflicts, 0, ARRAY_SIZE(conflicts));
	tcase_add_loop_test(tc, test_switches, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_depth_is_limited, 0, ARRAY_SIZE(depths));
	tcase_add_test(tc, test_files);
	return unit_run();
}
