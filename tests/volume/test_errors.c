/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failing storage: who is told, what goes read-only, what is recorded. On all
 * executors.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* What the storage answers; 0: -EIO. */
static int fault_result;

static void fault(struct fixture *f, enum vdo_device_op op, uint64_t first,
		  uint64_t count, uint64_t times)
{
	struct sim_fault sf = {
		.ops = SIM_OP(op),
		.first_block = first,
		.block_count = count,
		.times = times,
		.result = fault_result,
	};

	sim_device_fault(f->sd, &sf);
}

/* The place of something, found in the image. */
struct places {
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	struct mapping lbn0;
	pbn_t leaf0;
};

static void find_places(struct fixture *f, struct places *p)
{
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	p->geometry = im.geometry;
	p->sb = im.sb;
	p->slabs = im.slabs;
	p->lbn0 = image_lookup(&im, 0);
	p->leaf0 = image_page_of(&im, 0, 0);
	image_close(&im);
}

/* The volume is read-only: writes and flushes say so, reads go on, closing
 * reports it, the state is on the storage, and nothing else gets there. */
static void expect_read_only(struct fixture *f)
{
	uint64_t writes;
	uint8_t buf[B];

	fixture_until(f, vdo_volume_is_read_only(f->volume));
	pattern_fill(V_UNIQUE(99999), buf);
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_discard(f->volume, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_write_zeroes(f->volume, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, B, 0, VDO_IO_FUA),
			 -VDO_EREADONLY);
	ck_assert_int_eq(vdo_flush(f->volume, 0), -VDO_EREADONLY);
	fixture_until(f, fixture_state(f) == VOLUME_READ_ONLY);
	fixture_until(f, fixture_stat(f, "currentVIOsInProgress") == 0);
	writes = sim_device_count(f->sd, VDO_DEVICE_WRITE);
	fixture_verify(f, 1000, 100);
	ck_assert_uint_eq(fixture_stat(f, "path.superWrite"), 2);
	ck_assert_int_eq(fixture_try_close(f), -VDO_EREADONLY);
	ck_assert_uint_eq(sim_device_count(f->sd, VDO_DEVICE_WRITE), writes);
	ck_assert_int_eq(fixture_state(f), VOLUME_READ_ONLY);
	sim_device_clear_faults(f->sd);
}

/* Opened again it is read-only from the start, and stays as it is. */
static void expect_still_read_only(struct fixture *f)
{
	uint64_t writes = sim_device_count(f->sd, VDO_DEVICE_WRITE);
	uint8_t buf[B] = {1};

	fixture_open(f, "");
	ck_assert(vdo_volume_is_read_only(f->volume));
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, B, 0, 0), -VDO_EREADONLY);
	fixture_verify(f, 1000, 100);
	/* Nothing was written since, so nothing is lost. */
	ck_assert_int_eq(vdo_flush(f->volume, 0), 0);
	ck_assert_int_eq(fixture_try_close(f), 0);
	ck_assert_uint_eq(sim_device_count(f->sd, VDO_DEVICE_WRITE), writes);
	f->no_check = true;
}

/* Each kind of metadata that cannot be written, and data after its
 * acknowledgement. */
enum target {
	JOURNAL,
	MAP_PAGE,
	SLAB_JOURNALS,
	SUMMARY,
	DATA,
	FLUSH,
	TARGETS,
};

static void set_target(struct fixture *f, enum target target,
		       uint64_t times)
{
	struct places p;
	pbn_t first;

	find_places(f, &p);
	switch (target) {
	case JOURNAL:
		first = p.sb.partitions[PARTITION_JOURNAL].start;
		fault(f, VDO_DEVICE_WRITE, first, p.sb.recovery_journal_size,
		      times);
		break;
	case MAP_PAGE:
		fault(f, VDO_DEVICE_WRITE, p.leaf0, 1, times);
		break;
	case SLAB_JOURNALS:
		for (uint64_t i = 0; i < 8; i++)
			fault(f, VDO_DEVICE_WRITE,
			      slab_start(&p.slabs, i) + p.slabs.data_blocks,
			      p.sb.slab.slab_blocks - p.slabs.data_blocks, times);
		break;
	case SUMMARY:
		fault(f, VDO_DEVICE_WRITE,
		      p.sb.partitions[PARTITION_SUMMARY].start, 64, times);
		break;
	case DATA:
		for (uint64_t i = 0; i < 8; i++)
			fault(f, VDO_DEVICE_WRITE, slab_start(&p.slabs, i),
			      p.slabs.data_blocks, times);
		break;
	case FLUSH:
	case TARGETS:
		fault(f, VDO_DEVICE_FLUSH, 0, 0, times);
		break;
	}
}

/* What storage says that has no room; each is the caller's, too. */
static const int no_space[] = {-ENOSPC, -EDQUOT, -EFBIG};

static void set_full(struct fixture *f, enum target target, int result)
{
	fault_result = result;
	set_target(f, target, 0);
	fault_result = 0;
}

START_TEST(test_write_errors)
{
	for (int target = 0; target < TARGETS; target++) {
		struct fixture f;
		uint8_t buf[B];

		fixture_init(&f, _i, "size=17M logical-size=8M");
		fixture_open(&f, "era=1 compression=off");
		fixture_write(&f, 1000, 100, V_UNIQUE(1), 0);
		fixture_write(&f, 0, 10, V_UNIQUE(500), 0);
		fixture_reopen(&f, "era=1 compression=off");
		set_target(&f, (enum target)target, 0);
		/* Go on until it hits. */
		for (unsigned i = 0; i < 5000; i++) {
			int result;

			pattern_fill(V_UNIQUE(10000 + i), buf);
			result = vdo_pwrite(f.volume, buf, B, i % 500 * B,
					    VDO_IO_NO_DEDUPE);
			f.unknown[i % 500] = true;
			if (result == -VDO_EREADONLY)
				break;
			ck_assert_int_eq(result, 0);
			if (i % 100 == 0 && vdo_flush(f.volume, 0) != 0)
				break;
		}
		ck_assert_msg(vdo_volume_is_read_only(f.volume),
			      "target %d does no harm", target);
		expect_read_only(&f);
		expect_still_read_only(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* Data that cannot be written under FUA: the error goes to the caller, and the
 * volume stays as it is (nothing was acknowledged). */
START_TEST(test_fua_write_error)
{
	struct fixture f;
	uint8_t buf[B];

	fixture_init(&f, _i, "size=17M logical-size=8M");
	fixture_open(&f, "");
	fixture_write(&f, 1000, 100, V_UNIQUE(1), 0);
	fixture_write(&f, 0, 1, V_UNIQUE(300), 0);
	fixture_flush(&f);
	set_target(&f, DATA, 0);
	pattern_fill(V_UNIQUE(9999), buf);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 0, VDO_IO_FUA), -EIO);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	sim_device_clear_faults(f.sd);
	fixture_verify_all(&f);
	fixture_write(&f, 0, 1, V_UNIQUE(9998), VDO_IO_FUA);
	fixture_fini(&f);
}
END_TEST

/* The storage has no space for data whose writer still waits: that one fails,
 * and all is as before. */
START_TEST(test_fua_write_without_space)
{
	struct fixture f;

	fixture_init(&f, _i, "size=17M logical-size=8M");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(300), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(no_space); i++) {
		set_full(&f, DATA, no_space[i]);
		ck_assert_int_eq(fixture_try_write(&f, 0, V_UNIQUE(9999),
						   VDO_IO_FUA),
				 no_space[i]);
		sim_device_clear_faults(f.sd);
		ck_assert(!vdo_volume_is_read_only(f.volume));
		fixture_verify_all(&f);
		fixture_write(&f, i, 5, V_UNIQUE(7000 + 10 * i), 0);
		fixture_flush(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* The storage has no space for data that was acknowledged: no more is written,
 * everybody is told, and what was there before is served, saved and good. */
START_TEST(test_full_storage)
{
	int error = no_space[_i % ARRAY_SIZE(no_space)];
	struct fixture f;
	uint8_t buf[B];

	fixture_init(&f, _i / (int)ARRAY_SIZE(no_space), "size=17M logical-size=8M");
	fixture_open(&f, "");
	fixture_write(&f, 0, 300, V_UNIQUE(1), 0);
	fixture_write(&f, 1000, 100, V_SQUEEZE(1, 100), 0);
	fixture_flush(&f);
	set_full(&f, DATA, error);
	pattern_fill(V_UNIQUE(9999), buf);
	/* Its acknowledgement may come first, or its turn when it is too late. */
	while (vdo_pwrite(f.volume, buf, B, 5 * B, 0) == 0)
		;
	ck_assert_int_eq(vdo_flush(f.volume, 0), error);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	/* There is space again, but nobody was told that all is well. */
	sim_device_clear_faults(f.sd);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 0, 0), error);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 0, VDO_IO_FUA), error);
	ck_assert_int_eq(vdo_discard(f.volume, B, 0, 0), error);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, B, 0, 0), error);
	ck_assert_int_eq(vdo_flush(f.volume, 0), error);
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), error);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_write(&f, 0, 10, V_UNIQUE(5000), 0);
	fixture_flush(&f);
	fixture_fini(&f);
}
END_TEST

/* The same with many under way: shared, compressed, waiting for each other. */
START_TEST(test_full_storage_under_load)
{
	struct fixture f;
	struct pending *p = calloc(1000, sizeof(*p));
	unsigned refused = 0;

	fixture_init(&f, _i, "size=17M logical-size=8M");
	fixture_open(&f, "depth=100");
	fixture_write(&f, 1000, 200, V_UNIQUE(1), 0);
	fixture_flush(&f);
	set_full(&f, DATA, -ENOSPC);
	memset(f.unknown, 1, 300);
	for (unsigned i = 0; i < 1000; i++)
		pending_write(&p[i], &f, i % 300,
			      i % 3 == 0   ? V_SQUEEZE(i, 100)
			      : i % 3 == 1 ? V_UNIQUE(5000)
					   : V_UNIQUE(6000 + i),
			      i % 17 == 0 ? VDO_IO_FUA : 0);
	for (unsigned i = 0; i < 1000; i++) {
		int result = pending_wait(&p[i]);

		ck_assert(result == 0 || result == -ENOSPC);
		refused += result != 0;
	}
	ck_assert_uint_gt(refused, 0);
	ck_assert_int_eq(vdo_flush(f.volume, 0), -ENOSPC);
	sim_device_clear_faults(f.sd);
	ck_assert_int_eq(fixture_try_close(&f), -ENOSPC);
	ck_assert_int_eq(fixture_state(&f), VOLUME_CLEAN);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	fixture_open(&f, "");
	fixture_verify(&f, 1000, 200);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* Data that cannot be read: the reader's trouble alone. */
START_TEST(test_data_read_error)
{
	struct fixture f;
	struct places p;
	uint8_t buf[5 * B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off alignment=512");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_flush(&f);
	find_places(&f, &p);
	fault(&f, VDO_DEVICE_READ, p.lbn0.pbn, 1, 0);
	ck_assert_int_eq(vdo_pread(f.volume, buf, B, 0, 0), -EIO);
	ck_assert_int_eq(vdo_pread(f.volume, buf, 5 * B, 0, 0), -EIO);
	ck_assert_int_eq(vdo_pread(f.volume, buf, 512, 512, 0), -EIO);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, 512, 512, 0), -EIO);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_verify(&f, 1, 9);
	/* Writing all of the block needs no reading. */
	fixture_write(&f, 0, 1, V_UNIQUE(50), 0);
	fixture_flush(&f);
	sim_device_clear_faults(f.sd);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A candidate that cannot be read is merely different. */
START_TEST(test_verify_read_error)
{
	struct fixture f;
	struct places p;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	find_places(&f, &p);
	fault(&f, VDO_DEVICE_READ, p.lbn0.pbn, 1, 0);
	fixture_write(&f, 1, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_verify(&f, 1, 1);
	ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 2);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	sim_device_clear_faults(f.sd);
	fixture_fini(&f);
}
END_TEST

/* A compressed block that cannot be written: each goes alone, and works. */
START_TEST(test_compressed_write_error)
{
	struct fixture f;

	fixture_init(&f, _i, "size=17M logical-size=8M");
	/* One zone: then one slab is filled after the other. */
	fixture_open(&f, "physical-zones=1");
	fixture_write(&f, 500, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	/* The first data block that is written is a compressed one. */
	set_target(&f, DATA, 1);
	fixture_write(&f, 0, 14, V_SQUEEZE(1, 100), 0);
	/* They fill a block. A flush could meet the first one on its own. */
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	fixture_flush(&f);
	fixture_verify(&f, 0, 14);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	ck_assert_uint_eq(fixture_stat(&f, "path.failed"), 0);
	ck_assert_uint_ge(fixture_stat(&f, "path.unique"), 3);
	fixture_fini(&f);
}
END_TEST

/* The first leaf page cannot be read. */
static void lose_leaf(struct fixture *f, const struct places *p)
{
	uint8_t buf[B];

	fault(f, VDO_DEVICE_READ, p->leaf0, 1, 0);
	ck_assert_int_lt(vdo_pread(f->volume, buf, B, 0, 0), 0);
}

/* A map page that cannot be read: the volume goes read-only (E 5.2). */
START_TEST(test_map_read_error)
{
	struct fixture f;
	struct places p;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_write(&f, 1000, 100, V_UNIQUE(100), 0);
	fixture_reopen(&f, "");
	find_places(&f, &p);
	lose_leaf(&f, &p);
	expect_read_only(&f);
	expect_still_read_only(&f);
	fixture_fini(&f);
}
END_TEST

static bool is_journal_write(void *arg, const struct vdo_device_io *io)
{
	const struct places *p = arg;
	pbn_t start = p->sb.partitions[PARTITION_JOURNAL].start;
	uint64_t block = io->offset / B + p->geometry.bio_offset;

	return io->op == VDO_DEVICE_WRITE && block >= start &&
	       block < start + p->sb.recovery_journal_size;
}

/* The volume becomes read-only while entries of a write, or of a discard, are on
 * their way to the storage, where they become durable: the mappings follow, as
 * they do after a restart, since the old blocks are counted down. */
static void follow_entries(int kind, bool discard)
{
	struct pending pending;
	struct fixture f;
	struct places p;

	fixture_init(&f, kind, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_write(&f, 1000, 10, V_UNIQUE(100), 0);
	fixture_reopen(&f, "compression=off");
	find_places(&f, &p);
	sim_device_hold(f.sd, is_journal_write, &p);
	if (discard) {
		pending_init(&pending, &f);
		ck_assert_int_eq(vdo_aio_discard(f.volume, 10 * B, 1000 * B,
						 pending_done, &pending, 0),
				 0);
		memset(&f.expect[1000], 0, 10 * sizeof(*f.expect));
	} else {
		pending_write(&pending, &f, 1000, V_UNIQUE(200), 0);
	}
	fixture_until(&f, sim_device_held(f.sd) > 0);
	lose_leaf(&f, &p);
	fixture_until(&f, vdo_volume_is_read_only(f.volume));
	sim_device_clear_faults(f.sd);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	(void)pending_wait(&pending);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	fixture_verify(&f, 1000, 10);
	ck_assert_int_ne(fixture_try_close(&f), 0);
	fixture_open(&f, "read-only=on");
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	fixture_fini(&f);
}

START_TEST(test_entries_are_followed)
{
	follow_entries(_i, false);
	follow_entries(_i, true);
}
END_TEST

/* A leaf page of another place (V 5.4), and a mapping that makes no sense. */
START_TEST(test_damaged_map)
{
	struct fixture f;
	struct places p;
	uint8_t page[B], buf[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	fixture_write(&f, 1000, 100, V_UNIQUE(100), 0);
	fixture_close(&f);
	find_places(&f, &p);
	sim_device_peek(f.sd, p.leaf0, page);
	mapping_page_put(page, 3, (struct mapping){1, STATE_UNCOMPRESSED});
	mapping_page_put(page, 4, (struct mapping){p.lbn0.pbn, STATE_UNMAPPED});
	mapping_page_put(page, 5, (struct mapping){1, STATE_UNCOMPRESSED});
	mapping_page_put(page, 6, (struct mapping){2, STATE_UNCOMPRESSED});
	sim_device_poke(f.sd, p.leaf0, page);
	f.no_check = true;
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_pread(f.volume, buf, B, 3 * B, 0), -VDO_EMAPPING);
	ck_assert_int_eq(vdo_pread(f.volume, buf, B, 4 * B, 0), -VDO_EMAPPING);
	fixture_verify(&f, 0, 3);
	ck_assert(!vdo_volume_is_read_only(f.volume));
	/* Overwriting repairs. */
	fixture_write(&f, 3, 2, V_UNIQUE(70), 0);
	fixture_discard(&f, 5, 1);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, B, 6 * B, 0), 0);
	f.expect[6] = V_ZERO;
	fixture_verify(&f, 0, 10);
	fixture_close(&f);
	sim_device_peek(f.sd, p.leaf0, page);
	put_u64(page + 16, p.leaf0 + 1);
	sim_device_poke(f.sd, p.leaf0, page);
	fixture_open(&f, "");
	ck_assert_int_lt(vdo_pread(f.volume, buf, B, 0, 0), 0);
	expect_read_only(&f);
	fixture_fini(&f);
}
END_TEST

/* Read-only mode begins with many under way: parked, waiting for locks, for
 * the journal, for requests. All end, none hangs. */
START_TEST(test_read_only_under_load)
{
	for (int target = 0; target < TARGETS; target++) {
		struct fixture f;
		struct pending *p = calloc(1000, sizeof(*p));
		struct pending flush[10];

		fixture_init(&f, _i, "size=17M logical-size=8M "
				     "journal-blocks=8 slab-journal-blocks=4");
		fixture_open(&f, "depth=100 era=1");
		fixture_write(&f, 0, 200, V_UNIQUE(1), 0);
		fixture_flush(&f);
		set_target(&f, (enum target)target, 0);
		memset(f.unknown, 1, 2048);
		for (unsigned i = 0; i < 1000; i++) {
			pending_write(&p[i], &f, i % 300,
				      i % 3 == 0   ? V_SQUEEZE(i, 100)
				      : i % 3 == 1 ? V_UNIQUE(5)
						   : V_UNIQUE(1000 + i),
				      i % 17 == 0 ? VDO_IO_FUA : 0);
			if (i % 100 == 0)
				pending_flush(&flush[i / 100], &f);
		}
		for (unsigned i = 0; i < 1000; i++)
			(void)pending_wait(&p[i]);
		for (unsigned i = 0; i < 10; i++)
			(void)pending_wait(&flush[i]);
		/* Some writes can only fail when they are saved. */
		(void)fixture_try_close(&f);
		ck_assert_int_eq(fixture_state(&f), VOLUME_READ_ONLY);
		fixture_fini(&f);
		free(p);
	}
}
END_TEST

/* A volume with a little of each kind of data, flushed. */
static void open_with_data(struct fixture *f, int kind, const char *options)
{
	fixture_init(f, kind, "");
	fixture_open(f, options);
	fixture_write(f, 0, 30, V_UNIQUE(1), 0);
	fixture_write(f, 900, 30, V_SQUEEZE(1, 200), 0);
	fixture_flush(f);
}

/* Storage that fails while closing: an error, and the handle is gone. */
START_TEST(test_close_errors)
{
	unsigned n;

	for (n = 0; n < 200; n++) {
		struct fixture f;
		struct sim_fault sf = {
			.ops = SIM_OP(VDO_DEVICE_WRITE) |
			       SIM_OP(VDO_DEVICE_FLUSH),
			.skip = n,
			.times = 1,
		};
		struct image im;
		uint8_t buf[B];
		int result;

		/* Of merged writes one that fails is done again. */
		open_with_data(&f, _i, "io-merge=0");
		sim_device_fault(f.sd, &sf);
		result = fixture_try_close(&f);
		/* Whatever happened, nothing that was flushed is lost. */
		image_open_sim(&im, f.sd, f.block_count);
		image_recover(&im);
		image_check(&im);
		ck_assert_uint_eq(im.problems, 0);
		ck_assert((im.sb.state == VOLUME_CLEAN) == (result == 0));
		for (uint64_t i = 0; i < 1000; i++) {
			ck_assert(image_read(&im, i, buf));
			ck_assert(pattern_is(f.expect[i], buf));
		}
		image_close(&im);
		fixture_fini(&f);
		if (result == 0)
			break;
	}
	ck_assert_uint_gt(n, 5);
	ck_assert_uint_lt(n, 200);
}
END_TEST

/* Closing finds no space for some of the metadata (the super block has its
 * place): the volume stays DIRTY, and recovery loses nothing. */
START_TEST(test_close_without_space)
{
	int result = -ENOSPC;
	uint64_t n;

	for (n = 0; result != 0; n++) {
		int error = no_space[n % ARRAY_SIZE(no_space)];
		struct sim_fault sf = {
			.ops = SIM_OP(VDO_DEVICE_WRITE) |
			       (n % 2 == 0 ? SIM_OP(VDO_DEVICE_FLUSH) : 0),
			.skip = n,
			.result = error,
		};
		struct fixture f;
		struct places p;
		struct image im;
		uint8_t buf[B];

		open_with_data(&f, _i, "index=memory");
		find_places(&f, &p);
		sf.first_block = p.geometry.data_start + 1;
		sf.block_count = f.block_count - sf.first_block;
		sim_device_fault(f.sd, &sf);
		result = fixture_try_close(&f);
		sim_device_clear_faults(f.sd);
		image_open_sim(&im, f.sd, f.block_count);
		ck_assert_int_eq(im.sb.state,
				 result == 0 ? VOLUME_CLEAN : VOLUME_DIRTY);
		image_recover(&im);
		image_check(&im);
		ck_assert_uint_eq(im.problems, 0);
		for (uint64_t i = 0; i < 1000; i++) {
			ck_assert(image_read(&im, i, buf));
			ck_assert(pattern_is(f.expect[i], buf));
		}
		image_close(&im);
		if (result != 0) {
			ck_assert_int_eq(result, error);
			fixture_open(&f, "index=memory");
			fixture_verify_all(&f);
		}
		fixture_fini(&f);
	}
	ck_assert_uint_gt(n, 5);
}
END_TEST

/* Watches the storage: is flush @wanted for what was written to the index? */
struct watch {
	uint64_t index_start, index_end;
	uint64_t wanted, flushes;
	bool index_written; /* since the flush before */
	bool for_index;
};

static bool watch(void *arg, const struct vdo_device_io *io)
{
	struct watch *w = arg;

	if (io->op == VDO_DEVICE_FLUSH) {
		if (w->flushes++ == w->wanted)
			w->for_index = w->index_written;
		w->index_written = false;
	} else if (io->op == VDO_DEVICE_WRITE) {
		w->index_written = io->offset >= w->index_start * B &&
				   io->offset < w->index_end * B;
	}
	return false;
}

static void lose_power(struct fixture *f)
{
	sim_device_crash(f->sd);
	sim_device_clear_faults(f->sd);
	vdo_device_close(sim_device_reopen(f->sd, NULL));
}

/* A flush that closing makes for the index does not succeed, and closing was
 * past all else: the volume is not clean, neither before nor after a power
 * failure (I13), and nothing is lost. Returns whether flush @n was such a one;
 * *over: there are fewer. */
static bool flush_of_index_fails(int kind, uint64_t n, bool *over)
{
	struct sim_fault sf = {
		.ops = SIM_OP(VDO_DEVICE_FLUSH), .skip = n, .times = 1};
	struct watch w = {.wanted = n};
	struct fixture f;
	struct places p;
	int result;

	open_with_data(&f, kind, "");
	find_places(&f, &p);
	w.index_start = p.geometry.index_start;
	w.index_end = p.geometry.data_start;
	sim_device_hold(f.sd, watch, &w);
	sim_device_fault(f.sd, &sf);
	result = fixture_try_close(&f);
	sim_device_hold(f.sd, NULL, NULL);
	*over = w.flushes <= n;
	ck_assert_int_eq(result == 0, *over);
	if (w.for_index) {
		ck_assert_int_eq(result, -VDO_EREADONLY);
		ck_assert_int_eq(fixture_state(&f), VOLUME_READ_ONLY);
		lose_power(&f);
		ck_assert_int_eq(fixture_state(&f), VOLUME_READ_ONLY);
		ck_assert_uint_eq(fixture_check_image(&f), 0);
		fixture_open(&f, "");
		ck_assert(vdo_volume_is_read_only(f.volume));
		fixture_verify_all(&f);
		ck_assert_int_eq(fixture_try_close(&f), 0);
	}
	fixture_fini(&f);
	return w.for_index;
}

START_TEST(test_index_flush_errors)
{
	unsigned found = 0;
	bool over = false;

	for (uint64_t n = 0; !over; n++)
		found += flush_of_index_fails(_i, n, &over);
	/* Five in a row, but with threads not always of the same numbers. */
	ck_assert_uint_gt(found, 0);
}
END_TEST

/* A volume opened read-only: reads, refuses, leaves no trace. */
START_TEST(test_opened_read_only)
{
	struct fixture f;
	uint64_t writes;
	uint8_t buf[B] = {1};

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_write(&f, 100, 100, V_SQUEEZE(1, 100), 0);
	fixture_close(&f);
	writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
	fixture_open(&f, "read-only=on alignment=512");
	ck_assert(vdo_volume_is_read_only(f.volume));
	fixture_verify_all(&f);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_pwrite(f.volume, buf, 512, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_discard(f.volume, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_flush(f.volume, 0), 0);
	fixture_verify_all(&f);
	fixture_close(&f);
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), writes);
	fixture_open(&f, "");
	fixture_write(&f, 0, 1, V_UNIQUE(5), 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("errors");

	tcase_add_loop_test(tc, test_write_errors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_fua_write_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_fua_write_without_space, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full_storage, 0,
			    FIXTURE_KINDS * (int)ARRAY_SIZE(no_space));
	tcase_add_loop_test(tc, test_full_storage_under_load, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_data_read_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_verify_read_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_compressed_write_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_map_read_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_entries_are_followed, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_damaged_map, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_read_only_under_load, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_close_errors, KIND_INLINE, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_close_without_space, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_index_flush_errors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_opened_read_only, 0, FIXTURE_KINDS);
	return unit_run();
}
