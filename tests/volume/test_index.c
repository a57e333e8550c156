/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a volume that is not open, through the public calls: what state
 * it is in after which life of the volume, what a verification and a rebuild
 * make of it, who is refused, and how jobs begin and end.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "format/geometry.h"
#include "index_format/chapter_index.h"
#include "index_format/layout.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B	BLOCK_SIZE
#define SIZE	(UINT64_C(64) << 20)
#define BLOCKS	7000u /* different ones that are written */
#define MAKE	"size=64M profile=small"
#define WITHOUT "size=64M profile=small index-memory=none"

static struct vdo_device *device;
static struct sim_device *sim; /* NULL: device is plain memory */
static struct vdo_error error;

static void make(const char *options)
{
	struct vdo_config *c = fixture_config(options);

	if (sim != NULL)
		device = sim_device_open(sim, NULL);
	else
		ck_assert_int_eq(vdo_device_open_memory(SIZE, &device), 0);
	ck_assert_msg(vdo_format_device(device, c, &error) == 0, "%s",
		      error.message);
	vdo_config_free(c);
}

static struct vdo_volume *open_volume(const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_volume *v;

	ck_assert_msg(vdo_open_device(device, c, &v, &error) == 0, "%s",
		      error.message);
	vdo_config_free(c);
	return v;
}

/* Blocks @first and on; each is different. */
static void write_blocks(struct vdo_volume *v, unsigned first, unsigned count)
{
	static uint8_t block[B];

	for (unsigned i = first; i < first + count; i++) {
		pattern_fill(V_UNIQUE(i), block);
		ck_assert_int_eq(vdo_pwrite(v, block, B, (uint64_t)i * B, 0),
				 0);
	}
}

static void check_blocks(void)
{
	static uint8_t block[B], want[B];
	struct vdo_volume *v = open_volume("read-only=on");

	for (unsigned i = 0; i < BLOCKS; i += 13) {
		pattern_fill(V_UNIQUE(i), want);
		ck_assert_int_eq(vdo_pread(v, block, B, (uint64_t)i * B, 0),
				 0);
		ck_assert_mem_eq(block, want, B);
	}
	ck_assert_int_eq(vdo_close(v), 0);
}

/* A volume with data, closed. */
static void make_used(void)
{
	struct vdo_volume *v;

	make(MAKE);
	v = open_volume("executor=inline");
	write_blocks(v, 0, BLOCKS);
	ck_assert_int_eq(vdo_close(v), 0);
}

static struct vdo_index_info inspect(void)
{
	struct vdo_index_info i;

	memset(&i, 0xff, sizeof(i));
	ck_assert_msg(vdo_index_inspect_device(device, &i, sizeof(i),
					       &error) == 0,
		      "%s", error.message);
	ck_assert_int_eq(error.code, 0);
	ck_assert_str_eq(i.state_name, vdo_index_state_name(i.state));
	return i;
}

static struct vdo_job *start_verify(const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_job *job;

	ck_assert_msg(vdo_index_verify_device(device, c, &job, &error) == 0,
		      "%s", error.message);
	vdo_config_free(c);
	return job;
}

static struct vdo_job *start_rebuild(const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_job *job;

	ck_assert_msg(vdo_index_rebuild_device(device, c, &job, &error) == 0,
		      "%s", error.message);
	vdo_config_free(c);
	return job;
}

/* Without what it points to. */
static struct vdo_index_report verify(void)
{
	struct vdo_job *job = start_verify("executor=inline");
	struct vdo_index_report r;

	ck_assert_msg(vdo_job_wait(job, -1, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vdo_index_report_get(job, &r, sizeof(r)), 0);
	for (size_t i = 0; i < r.first_count; i++)
		ck_assert_ptr_nonnull(vdo_index_fault_name(r.first[i].kind));
	vdo_job_free(job);
	return r;
}

static struct vdo_index_rebuilt rebuild(void)
{
	struct vdo_job *job = start_rebuild("");
	struct vdo_index_rebuilt r;

	ck_assert_msg(vdo_job_wait(job, -1, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vdo_index_rebuilt_get(job, &r, sizeof(r)), 0);
	vdo_job_free(job);
	return r;
}

/* A new index is there after a rebuild; the volume goes on with it. */
START_TEST(nothing_there)
{
	struct vdo_index_info i;
	struct vdo_index_rebuilt r;

	make(MAKE);
	i = inspect();
	ck_assert(i.region);
	ck_assert_int_eq(i.state, VDO_INDEX_NONE);
	ck_assert_str_eq(i.state_name, "none");
	ck_assert_str_eq(vdo_index_state_name(VDO_INDEX_DIRTY),
			 "needs rebuild");
	ck_assert_ptr_null(vdo_index_state_name(VDO_INDEX_DIRTY + 1));
	ck_assert(!i.saves[0].valid && !i.saves[1].valid);
	ck_assert_uint_gt(i.chapters, 0);
	ck_assert_uint_eq(i.names_max, i.chapters * i.records_per_chapter);
	ck_assert_uint_le(i.total_blocks, i.region_blocks);
	ck_assert_uint_eq(verify().faults, 0);

	r = rebuild();
	ck_assert(r.formatted);
	ck_assert_int_eq(r.found, VDO_INDEX_NONE);
	i = inspect();
	ck_assert_int_eq(i.state, VDO_INDEX_SAVED);
	ck_assert(i.saves[0].valid && i.saves[0].newest_save);
	ck_assert_uint_eq(i.saves[0].newest, 0);
	ck_assert_uint_gt(i.saves[0].time_ms, 0);
	ck_assert_uint_eq(verify().faults, 0);
	ck_assert_int_eq(vdo_close(open_volume("")), 0);
	vdo_device_close(device);
}
END_TEST

START_TEST(no_place)
{
	struct vdo_index_info i;
	struct vdo_job *job = (void *)&i;

	make(WITHOUT);
	i = inspect();
	ck_assert(!i.region);
	ck_assert_int_eq(i.memory, 0);
	ck_assert_int_eq(i.state, VDO_INDEX_NONE);
	ck_assert_int_eq(vdo_index_verify_device(device, NULL, &job, &error),
			 -VDO_ENOINDEX);
	ck_assert_ptr_null(job);
	ck_assert_uint_ne(error.message[0], '\0');
	ck_assert_int_eq(vdo_index_rebuild_device(device, NULL, &job, NULL),
			 -VDO_ENOINDEX);
	vdo_device_close(device);
}
END_TEST

START_TEST(closed)
{
	uint64_t open_records;
	struct vdo_index_info i;
	struct vdo_index_report r;
	struct vdo_index_rebuilt b;

	make_used();
	i = inspect();
	ck_assert_int_eq(i.state, VDO_INDEX_SAVED);
	r = verify();
	ck_assert_int_eq(r.state, VDO_INDEX_SAVED);
	ck_assert_uint_eq(r.faults, 0);
	ck_assert_uint_gt(r.chapters, 1);
	ck_assert_uint_eq(r.chapters, r.newest - r.oldest);
	ck_assert_uint_eq(r.records, r.chapters * i.records_per_chapter);
	/* All names are different. */
	ck_assert_uint_eq(r.entries, r.records_known + r.open_records);

	b = rebuild();
	ck_assert(!b.formatted);
	ck_assert_int_eq(b.found, VDO_INDEX_SAVED);
	ck_assert_uint_eq(b.newest, r.newest);
	/* Also what is in no chapter yet. */
	ck_assert_uint_gt(r.open_records, 0);
	ck_assert_uint_eq(b.entries, r.entries);
	open_records = r.open_records;
	i = inspect();
	ck_assert_int_eq(i.state, VDO_INDEX_SAVED);
	ck_assert(i.saves[0].valid && i.saves[1].valid);
	ck_assert_int_ne(i.saves[0].newest_save, i.saves[1].newest_save);
	r = verify();
	ck_assert_uint_eq(r.faults, 0);
	ck_assert_uint_eq(r.open_records, open_records);
	ck_assert_uint_eq(r.entries, b.entries);
	check_blocks();
	vdo_device_close(device);
}
END_TEST

/* The state of the volume does not matter, and stays. */
START_TEST(after_a_crash)
{
	struct vdo_index_report r;
	struct vdo_index_rebuilt b;
	struct vdo_info info;
	struct vdo_volume *v;

	make(MAKE);
	v = open_volume("executor=inline");
	write_blocks(v, 0, BLOCKS);
	vdo_abandon(v);
	ck_assert_int_eq(inspect().state, VDO_INDEX_DIRTY);
	r = verify();
	ck_assert_int_eq(r.state, VDO_INDEX_DIRTY);
	ck_assert_uint_eq(r.faults, 0);
	ck_assert_uint_gt(r.chapters, 1);
	ck_assert_uint_eq(r.entries, 0);
	b = rebuild();
	ck_assert(!b.formatted);
	ck_assert_int_eq(b.found, VDO_INDEX_DIRTY);
	ck_assert_uint_eq(b.newest, r.newest);
	ck_assert_uint_eq(b.entries, r.records);
	r = verify();
	ck_assert_int_eq(r.state, VDO_INDEX_SAVED);
	ck_assert_uint_eq(r.faults, 0);
	ck_assert_uint_eq(r.records_known, b.entries);
	ck_assert_int_eq(vdo_inspect_device(device, &info, sizeof(info), NULL),
			 0);
	ck_assert_str_eq(info.state_name, "dirty");
	vdo_device_close(device);
}
END_TEST

/* What is rebuilt is used: the same data again are found. */
START_TEST(rebuilt_is_used)
{
	struct vdo_index_rebuilt b;
	struct vdo_stats *s;
	struct vdo_volume *v;

	make_used();
	b = rebuild();
	v = open_volume("executor=inline");
	for (unsigned i = 0; i < 200; i++) {
		uint8_t block[B];

		pattern_fill(V_UNIQUE(i), block);
		ck_assert_int_eq(vdo_pwrite(v, block, B,
					    (uint64_t)(BLOCKS + i) * B, 0),
				 0);
	}
	ck_assert_int_eq(vdo_flush(v, 0), 0);
	ck_assert_int_eq(vdo_stats_get(v, &s), 0);
	ck_assert_uint_gt(b.entries, 1000);
	ck_assert_uint_gt(vdo_stats_value(s, "hashLock.dedupeAdviceValid"), 0);
	vdo_stats_free(s);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_uint_eq(verify().faults, 0);
	vdo_device_close(device);
}
END_TEST

/* --------------------------------------------------------------- damage */

static struct index_geometry shape;
static struct index_layout layout;

static void learn_layout(void)
{
	struct vdo_index_info i = inspect();
	uint8_t block[B];

	ck_assert_int_eq(index_geometry_init(&shape, i.memory, i.sparse,
					     i.region_blocks), 0);
	ck_assert_int_eq(device_read(device, i.first_block * B, block, B), 0);
	ck_assert_int_eq(index_super_decode(&layout, &shape, i.first_block, block),
			 0);
}

static void ruin(uint64_t block)
{
	uint8_t bytes[B];

	memset(bytes, 0xa5, sizeof(bytes));
	ck_assert_int_eq(device_write(device, block * B, bytes, B), 0);
}

static unsigned newest_save(void)
{
	return inspect().saves[1].newest_save;
}

static uint64_t super_at(void)
{
	return layout_super_block(&layout);
}

static uint64_t config_at(void)
{
	return layout_config_block(&layout);
}

static uint64_t index_page_at(void)
{
	return layout_volume_block(&layout) + geometry_page_block(&shape, 0, 0);
}

static uint64_t record_page_at(void)
{
	return layout_volume_block(&layout) +
	       geometry_page_block(&shape, 0, shape.index_pages) + 3;
}

static uint64_t open_chapter_at(void)
{
	unsigned slot = newest_save();

	return layout_save_part(&layout, slot, SAVE_OPEN_CHAPTER, 0,
				inspect().saves[slot].zones).start;
}

static uint64_t volume_index_at(void)
{
	unsigned slot = newest_save();

	return layout_save_part(&layout, slot, SAVE_ZONE, 0,
				inspect().saves[slot].zones).start;
}

static const struct {
	const char *name;
	uint64_t (*block)(void);
	enum vdo_index_state state;
	enum vdo_index_fault_kind kind;
	bool lost; /* nothing can be rebuilt */
	unsigned left_out;
} damages[] = {
	{"super block", super_at, VDO_INDEX_DAMAGED, VDO_INDEX_FAULT_SUPER,
	 true, 0},
	{"config", config_at, VDO_INDEX_DAMAGED, VDO_INDEX_FAULT_SUPER, true,
	 0},
	{"index page", index_page_at, VDO_INDEX_SAVED, VDO_INDEX_FAULT_CHAPTER,
	 false, 0},
	{"record page", record_page_at, VDO_INDEX_SAVED,
	 VDO_INDEX_FAULT_RECORD_PAGE, false, 1},
	{"open chapter", open_chapter_at, VDO_INDEX_SAVED, VDO_INDEX_FAULT_SAVE,
	 false, 0},
	{"volume index", volume_index_at, VDO_INDEX_SAVED, VDO_INDEX_FAULT_SAVE,
	 false, 0},
};

/* Found, named, and gone after a rebuild; the data were never in danger. */
START_TEST(damage)
{
	struct vdo_index_report r;
	struct vdo_index_rebuilt b;

	make_used();
	learn_layout();
	ruin(damages[_i].block());
	ck_assert_int_eq(inspect().state, damages[_i].state);
	r = verify();
	ck_assert_uint_gt(r.faults, 0);
	ck_assert_msg(r.faults_by_kind[damages[_i].kind] != 0, "%s",
		      damages[_i].name);
	b = rebuild();
	ck_assert_int_eq(b.formatted, damages[_i].lost);
	ck_assert_int_eq(b.found, damages[_i].state);
	ck_assert_uint_eq(b.left_out, damages[_i].left_out);
	r = verify();
	ck_assert_msg(r.faults == 0, "%s", damages[_i].name);
	ck_assert_int_eq(r.state, VDO_INDEX_SAVED);
	check_blocks();
	vdo_device_close(device);
}
END_TEST

/* A check of the whole volume; a repair if @flags say so. */
static struct vdo_check_report check_volume(unsigned flags)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *undo;
	struct vdo_check_report r;
	struct vdo_job *job;

	ck_assert_int_eq(vdo_device_open_memory(1 << 20, &undo), 0);
	ck_assert_msg(vdo_check_device(device, c, flags, undo, NULL, NULL, &job,
				       &error) == 0,
		      "%s", error.message);
	ck_assert_msg(vdo_job_wait(job, -1, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vdo_check_report_get(job, &r, sizeof(r)), 0);
	vdo_job_free(job);
	vdo_device_close(undo);
	vdo_config_free(c);
	return r;
}

/* A check finds the same, and its repair is the rebuild. */
START_TEST(a_check_finds_and_mends_it)
{
	struct vdo_check_report r;

	make_used();
	r = check_volume(VDO_CHECK_DATA);
	ck_assert_uint_eq(r.findings, 0);
	ck_assert_uint_gt(r.records_good, 1000);
	ck_assert_uint_le(r.records_good + r.records_stale, r.index_records);
	learn_layout();
	ruin(damages[_i].block());
	r = check_volume(0);
	ck_assert_msg(r.by_code[VDO_CHECK_INDEX_SUPER + damages[_i].kind] > 0,
		      "%s", damages[_i].name);
	ck_assert_uint_eq(r.mendable, r.findings);
	ck_assert_uint_eq(check_volume(VDO_CHECK_NO_INDEX).findings, 0);
	r = check_volume(VDO_CHECK_REPAIR);
	ck_assert_uint_gt(r.mended, 0);
	ck_assert_uint_eq(r.mended, r.findings);
	ck_assert_uint_eq(r.blocks_changed, 0);
	ck_assert_uint_eq(check_volume(0).findings, 0);
	ck_assert_int_eq(inspect().state, VDO_INDEX_SAVED);
	check_blocks();
	vdo_device_close(device);
}
END_TEST

static void with_geometry(void (*change)(struct geometry *g))
{
	struct geometry g;
	uint8_t block[B];

	ck_assert_int_eq(device_read(device, 0, block, B), 0);
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	change(&g);
	geometry_encode(&g, block);
	ck_assert_int_eq(device_write(device, 0, block, B), 0);
}

static void other_nonce(struct geometry *g)
{
	g->nonce++;
}

START_TEST(of_another_volume)
{
	make_used();
	with_geometry(other_nonce);
	ck_assert_int_eq(inspect().state, VDO_INDEX_FOREIGN);
	ck_assert_uint_eq(verify().faults_by_kind[VDO_INDEX_FAULT_SUPER], 1);
	vdo_device_close(device);
}
END_TEST

static void moved(struct geometry *g)
{
	g->bio_offset += 512;
	g->index_start += 512;
	g->data_start += 512;
}

/* Blocks of the volume have other numbers than those of the device. */
START_TEST(with_an_offset)
{
	struct vdo_index_report before, r;

	make_used();
	before = verify();
	with_geometry(moved);
	ck_assert_int_eq(inspect().state, VDO_INDEX_SAVED);
	r = verify();
	ck_assert_uint_eq(r.faults, 0);
	ck_assert_uint_eq(r.records_known, before.records_known);
	learn_layout();
	ruin(record_page_at());
	ck_assert_uint_gt(verify().faults, 0);
	vdo_device_close(device);
}
END_TEST

static void too_long(struct geometry *g)
{
	g->data_start += SIZE / B;
}

START_TEST(truncated)
{
	struct vdo_index_info i;
	struct vdo_job *job;

	make(MAKE);
	with_geometry(too_long);
	ck_assert_int_eq(vdo_index_inspect_device(device, &i, sizeof(i),
						  &error), -VDO_ESIZE);
	ck_assert_int_eq(vdo_index_verify_device(device, NULL, &job, &error),
			 -VDO_ESIZE);
	vdo_device_close(device);
	ck_assert_int_eq(vdo_device_open_memory(SIZE, &device), 0);
	ck_assert_int_eq(vdo_index_inspect_device(device, &i, sizeof(i),
						  &error), -VDO_ENOTVDO);
	vdo_device_close(device);
}
END_TEST

/* A host that knows only the first fields gets these. */
START_TEST(older_hosts)
{
	struct vdo_index_info i;
	size_t size = offsetof(struct vdo_index_info, chapters);

	make(MAKE);
	memset(&i, 0x77, sizeof(i));
	ck_assert_int_eq(vdo_index_inspect_device(device, &i, size, NULL), 0);
	ck_assert_uint_gt(i.region_blocks, 0);
	ck_assert_uint_eq(i.chapters, UINT64_C(0x7777777777777777));
	vdo_device_close(device);
}
END_TEST

/* --------------------------------------------------------------------- jobs */

START_TEST(in_use)
{
	struct vdo_volume *v, *other;
	struct vdo_job *job, *more;

	make(MAKE);
	v = open_volume("");
	ck_assert_int_eq(vdo_index_verify_device(device, NULL, &job, &error),
			 -VDO_EINUSE);
	ck_assert_ptr_nonnull(strstr(error.message, "in use"));
	ck_assert_int_eq(vdo_index_rebuild_device(device, NULL, &job, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_close(v), 0);
	job = start_rebuild("executor=inline");
	ck_assert_int_eq(vdo_open_device(device, NULL, &other, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_index_verify_device(device, NULL, &more, &error),
			 -VDO_EINUSE);
	vdo_job_free(job);
	ck_assert_int_eq(vdo_close(open_volume("")), 0);
	vdo_device_close(device);
}
END_TEST

START_TEST(files)
{
	char path[] = "test_index.XXXXXX";
	struct vdo_config *c = fixture_config(MAKE " force=on");
	struct vdo_index_report r;
	struct vdo_index_info i;
	struct vdo_volume *v;
	struct vdo_job *job, *other;
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	vdo_config_free(c);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), 0);
	ck_assert_int_eq(vdo_index_rebuild(path, NULL, &job, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_index_verify(path, NULL, &job, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(vdo_index_inspect(path, &i, sizeof(i), &error), 0);
	ck_assert(i.region);
	ck_assert_int_eq(vdo_index_verify(path, NULL, &job, &error), 0);
	/* Who only reads does not mind others that do. */
	ck_assert_int_eq(vdo_index_verify(path, NULL, &other, &error), 0);
	vdo_job_free(other);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), -VDO_EINUSE);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_index_report_get(job, &r, sizeof(r)), 0);
	ck_assert_uint_eq(r.faults, 0);
	vdo_job_free(job);
	ck_assert_int_eq(vdo_device_open(path, VDO_OPEN_READ_ONLY, &device,
					 &error), 0);
	ck_assert_int_eq(vdo_index_rebuild_device(device, NULL, &job, &error),
			 -EROFS);
	vdo_device_close(device);
	unlink(path);
	ck_assert_int_eq(vdo_index_rebuild(path, NULL, &job, &error), -ENOENT);
	ck_assert_int_eq(vdo_index_inspect(path, &i, sizeof(i), &error),
			 -ENOENT);
}
END_TEST

static const char *const executors[] = {"", "executor=inline"};

/* The bytes of a device that nobody else changes. */
static uint8_t *snapshot(void)
{
	uint8_t *copy = malloc(SIZE);

	ck_assert_ptr_nonnull(copy);
	ck_assert_int_eq(device_read(device, 0, copy, SIZE), 0);
	return copy;
}

START_TEST(job_states)
{
	struct vdo_job *job;
	struct vdo_job_progress p;
	struct vdo_index_report r;
	struct vdo_index_rebuilt b;
	bool is_inline = _i == 1;

	make_used();
	job = start_verify(executors[_i]);
	if (is_inline) {
		ck_assert_int_eq(vdo_job_wait(job, 0, &error), -ETIMEDOUT);
		ck_assert_int_eq(error.code, -ETIMEDOUT);
		ck_assert_int_eq(vdo_index_report_get(job, &r, sizeof(r)),
				 -EAGAIN);
		vdo_job_progress(job, &p, sizeof(p));
		ck_assert(!p.over);
		ck_assert_ptr_nonnull(p.phase);
	}
	ck_assert_int_eq(vdo_index_rebuilt_get(job, &b, sizeof(b)), -EINVAL);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_job_wait(job, 0, NULL), 0);
	ck_assert_int_eq(vdo_job_wait(job, 1000, &error), 0);
	ck_assert_int_eq(error.code, 0);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over);
	ck_assert_uint_gt(p.total, 0);
	ck_assert_uint_eq(p.done, p.total);
	/* Too late. */
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, NULL), 0);
	ck_assert_int_eq(vdo_index_report_get(job, &r, sizeof(r)), 0);
	vdo_job_free(job);
	vdo_job_free(NULL);
	vdo_job_cancel(NULL);
	ck_assert_int_eq(vdo_job_wait(NULL, -1, NULL), -EINVAL);
	ck_assert_int_eq(vdo_index_report_get(NULL, &r, sizeof(r)), -EINVAL);
	vdo_device_close(device);
}
END_TEST

/* Cancelled before it began: nothing was changed. */
START_TEST(cancelled)
{
	struct vdo_index_rebuilt b;
	struct vdo_job *job;
	uint8_t *before, *after;

	make_used();
	before = snapshot();
	job = start_rebuild("executor=inline");
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	ck_assert_int_eq(error.code, -ECANCELED);
	ck_assert_uint_ne(error.message[0], '\0');
	ck_assert_int_eq(vdo_index_rebuilt_get(job, &b, sizeof(b)), -EAGAIN);
	vdo_job_free(job);
	job = start_verify("executor=inline");
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	vdo_job_free(job);
	/* Started, and never waited for. */
	vdo_job_free(start_rebuild("executor=inline"));
	after = snapshot();
	ck_assert_mem_eq(before, after, SIZE);
	free(before);
	free(after);
	vdo_device_close(device);
}
END_TEST

/* Whenever it comes: cancelled with nothing changed, or done. */
START_TEST(cancelled_under_way)
{
	struct vdo_job_progress p;
	struct vdo_job *job;
	uint8_t *before, *after;
	int r;

	make_used();
	before = snapshot();
	job = start_rebuild("");
	do
		vdo_job_progress(job, &p, sizeof(p));
	while (!p.over && p.done == 0);
	vdo_job_cancel(job);
	r = vdo_job_wait(job, -1, &error);
	ck_assert(r == 0 || r == -ECANCELED);
	vdo_job_free(job);
	after = snapshot();
	if (r != 0)
		ck_assert_mem_eq(before, after, SIZE);
	free(before);
	free(after);
	ck_assert_uint_eq(verify().faults, 0);
	vdo_device_close(device);
}
END_TEST

START_TEST(after_fork)
{
	struct vdo_index_report report;
	struct vdo_job *job;
	pid_t child;
	int status;

	make(MAKE);
	job = start_verify("executor=inline");
	child = fork();
	if (child == 0) {
		int r = vdo_job_wait(job, -1, NULL);
		int got = vdo_index_report_get(job, &report, sizeof(report));

		vdo_job_cancel(job);
		vdo_job_free(job);
		_exit(r == -VDO_EFORKED && got == -VDO_EFORKED ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, NULL), 0);
	vdo_job_free(job);
	vdo_device_close(device);
}
END_TEST

/* ------------------------------------------------- everything fails once */

static int run(bool rebuilds, const struct vdo_config *c)
{
	struct vdo_job *job;
	int r;

	r = rebuilds ? vdo_index_rebuild_device(device, c, &job, &error)
		     : vdo_index_verify_device(device, c, &job, &error);
	if (r != 0) {
		ck_assert_ptr_null(job);
		return r;
	}
	r = vdo_job_wait(job, -1, &error);
	vdo_job_free(job);
	return r;
}

START_TEST(short_of_memory)
{
	struct vdo_config *c = fixture_config("executor=inline");
	unsigned long n = 0;
	int r;

	make_used();
	do {
		alloc_fail_at(++n);
		r = run(_i == 1, c);
		alloc_fail_at(0);
		ck_assert(r == 0 || r == -ENOMEM);
	} while (r != 0);
	ck_assert_uint_gt(n, 5);
	ck_assert_uint_eq(verify().faults, 0);
	vdo_config_free(c);
	vdo_device_close(device);
}
END_TEST

static void make_sim(bool used)
{
	struct sim_device_config c = {.block_count = SIZE / B, .seed = 1,
				      .volatile_cache = true};

	sim = sim_device_create(&c);
	if (used)
		make_used();
	else
		make(MAKE);
}

static void end_sim(void)
{
	vdo_device_close(device);
	sim_device_destroy(sim);
	sim = NULL;
}

static uint64_t io_count(void)
{
	return sim_device_count(sim, VDO_DEVICE_READ) +
	       sim_device_count(sim, VDO_DEVICE_WRITE) +
	       sim_device_count(sim, VDO_DEVICE_FLUSH);
}

/* Verify and rebuild, a used index and none. */
START_TEST(io_fails)
{
	struct vdo_config *c = fixture_config("executor=inline");
	uint64_t n, before;

	make_sim(_i < 2);
	for (n = 0;; n++) {
		struct sim_fault f = {.ops = SIM_OPS_ALL, .skip = n,
				      .times = 1};
		int r;

		before = io_count();
		sim_device_fault(sim, &f);
		r = run(_i % 2 == 1, c);
		sim_device_clear_faults(sim);
		if (io_count() - before <= n) {
			ck_assert_int_eq(r, 0);
			break;
		}
		ck_assert(r == 0 || r == -EIO);
		ck_assert_uint_eq(verify().faults, 0);
	}
	ck_assert_uint_gt(n, 2);
	vdo_config_free(c);
	end_sim();
}
END_TEST

/* There always is an index that can be used, or one can be made. */
START_TEST(power_fails)
{
	struct vdo_config *c = fixture_config("executor=inline");
	uint64_t n;

	make_sim(_i == 0);
	for (n = 1;; n++) {
		struct vdo_index_info i;

		sim_device_crash_at(sim, n);
		(void)run(true, c);
		if (!sim_device_crashed(sim))
			break;
		vdo_device_close(device);
		device = sim_device_reopen(sim, NULL);
		ck_assert_uint_eq(verify().faults, 0);
		i = inspect();
		if (_i == 0)
			ck_assert_int_eq(i.state, VDO_INDEX_SAVED);
	}
	sim_device_crash_at(sim, 0);
	ck_assert_uint_gt(n, 10);
	ck_assert_int_eq(inspect().state, VDO_INDEX_SAVED);
	vdo_config_free(c);
	end_sim();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("index");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, nothing_there);
	tcase_add_test(tc, no_place);
	tcase_add_test(tc, closed);
	tcase_add_test(tc, after_a_crash);
	tcase_add_test(tc, rebuilt_is_used);
	tcase_add_loop_test(tc, damage, 0, (int)ARRAY_SIZE(damages));
	tcase_add_loop_test(tc, a_check_finds_and_mends_it, 0,
			    (int)ARRAY_SIZE(damages));
	tcase_add_test(tc, of_another_volume);
	tcase_add_test(tc, with_an_offset);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, older_hosts);
	tc = unit_case("jobs");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, in_use);
	tcase_add_test(tc, files);
	tcase_add_loop_test(tc, job_states, 0, 2);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, cancelled_under_way);
	tcase_add_test(tc, after_fork);
	tcase_add_loop_test(tc, short_of_memory, 0, 2);
	tcase_add_loop_test(tc, io_fails, 0, 4);
	tcase_add_loop_test(tc, power_fails, 0, 2);
	return unit_run();
}
