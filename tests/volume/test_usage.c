/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is told of a closed volume, against what was written and against the
 * statistics that it had while it was open.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "format/mapping.h"
#include "io/device.h"
#include "tests/lib/fixture.h"
#include "check/usage_priv.h"

#define B BLOCK_SIZE

static struct vdo_error error;

static void count(struct fixture *f, unsigned flags, struct vdo_usage *usage)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device;
	struct vdo_job_progress p;
	struct vdo_job *job;

	device = sim_device_open(f->sd, NULL);
	ck_assert_int_eq(vdo_usage_count_device(device, c, flags, &job, &error),
			 0);
	ck_assert_int_eq(vdo_usage_get(job, usage, sizeof(*usage)), -EAGAIN);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_usage_get(job, usage, sizeof(*usage)), 0);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over && p.done == p.total);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
}

static void expect_sums(const struct vdo_usage *u)
{
	ck_assert_uint_eq(u->overhead_blocks + u->block_map_blocks +
				  u->data_blocks + u->free_blocks,
			  u->physical_blocks);
	if (u->level < VDO_USAGE_MAPPED)
		return;
	ck_assert_uint_eq(u->unmapped + u->zero + u->uncompressed +
				  u->compressed,
			  u->logical_blocks);
	ck_assert_uint_eq(u->zero + u->uncompressed + u->compressed,
			  u->logical_blocks_used);
	ck_assert_uint_eq(u->data_blocks,
			  u->distinct_uncompressed + u->compressed_blocks +
				  u->unreferenced_blocks);
	ck_assert_uint_eq(u->saved_by_deduplication + u->saved_by_compression +
				  u->data_blocks - u->unreferenced_blocks,
			  u->uncompressed + u->compressed);
}

/* What is mapped, how often, and what differs. */
#define UNIQUE	   100u
#define DUPLICATES 30u
#define SQUEEZED   84u
#define ZEROES	   20u

/* 10 of the unique blocks are discarded again. */
static void fill(struct fixture *f)
{
	fixture_write(f, 0, UNIQUE, V_UNIQUE(1), 0);
	fixture_flush(f);
	fixture_write(f, 300, DUPLICATES, V_UNIQUE(1), 0);
	fixture_write(f, 400, SQUEEZED, V_SQUEEZE(1, 200), 0);
	fixture_write(f, 900, ZEROES, V_ZERO, 0);
	ck_assert_int_eq(vdo_write_zeroes(f->volume, ZEROES * B, 900 * B, 0),
			 0);
	fixture_discard(f, 90, 10);
	fixture_flush(f);
}

/* With threads a fragment may find nobody to share a block with. */
static void expect_content(const struct vdo_usage *u, bool packs)
{
	uint64_t mapped = UNIQUE - 10 + DUPLICATES + SQUEEZED;
	uint64_t distinct = UNIQUE - 10 + SQUEEZED;

	ck_assert_uint_eq(u->level, VDO_USAGE_MAPPED);
	ck_assert_ptr_null(u->why);
	ck_assert_uint_eq(u->zero, ZEROES);
	ck_assert_uint_eq(u->uncompressed + u->compressed, mapped);
	ck_assert_uint_eq(u->distinct_uncompressed + u->distinct_compressed,
			  distinct);
	ck_assert_uint_eq(u->saved_by_deduplication, DUPLICATES);
	if (packs)
		ck_assert_uint_gt(u->saved_by_compression, SQUEEZED / 2);
	ck_assert_uint_eq(u->compressed, u->distinct_compressed);
	ck_assert_uint_eq(u->shared_blocks, DUPLICATES);
	ck_assert_uint_eq(u->unreferenced_blocks, 0);
	ck_assert_uint_eq(u->damaged_pages + u->damaged_mappings, 0);
}

START_TEST(tells_what_was_written)
{
	uint64_t used, overhead, logical;
	struct vdo_usage about, counted, mapped;
	struct vdo_device *device;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fill(&f);
	used = fixture_stat(&f, "dataBlocksUsed");
	overhead = fixture_stat(&f, "overheadBlocksUsed");
	logical = fixture_stat(&f, "logicalBlocksUsed");
	fixture_close(&f);

	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_usage_inspect_device(device, &about, sizeof(about),
						  &error),
			 0);
	vdo_device_close(device);
	ck_assert_uint_eq(about.level, VDO_USAGE_ESTIMATED);
	expect_sums(&about);
	ck_assert_uint_eq(about.logical_blocks_used, logical);
	ck_assert_uint_le(about.data_blocks, used + about.unsure_blocks);
	ck_assert_uint_ge(about.data_blocks + about.unsure_blocks, used);

	count(&f, 0, &counted);
	ck_assert_uint_eq(counted.level, VDO_USAGE_COUNTED);
	expect_sums(&counted);
	ck_assert_uint_eq(counted.unsure_blocks, 0);
	ck_assert_uint_eq(counted.data_blocks, used);
	ck_assert_uint_eq(counted.overhead_blocks + counted.block_map_blocks,
			  overhead);

	count(&f, VDO_USAGE_MAP, &mapped);
	expect_sums(&mapped);
	expect_content(&mapped, _i == KIND_INLINE);
	ck_assert_uint_eq(mapped.data_blocks, used);
	ck_assert_uint_eq(mapped.logical_blocks_used, logical);
	ck_assert_uint_eq(mapped.block_map_blocks, counted.block_map_blocks);
	fixture_fini(&f);
}
END_TEST

/* The map is walked over once for each part of the slabs. */
START_TEST(parts_make_no_difference)
{
	static const uint64_t parts[] = {1, 7, 256, 512, 1000, 4096};
	struct vdo_device *device;
	struct vdo_usage whole;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_write(&f, 1000, 600, V_UNIQUE(5000), 0);
	fixture_close(&f);
	count(&f, VDO_USAGE_MAP, &whole);
	device = sim_device_open(f.sd, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct usage *u;

		ck_assert_int_eq(usage_create(device, true, &u, &error), 0);
		u->part_blocks = parts[i];
		ck_assert_int_eq(usage_run(u, &error), 0);
		ck_assert_mem_eq(usage_result(u), &whole, sizeof(whole));
		usage_destroy(u);
	}
	vdo_device_close(device);
	fixture_fini(&f);
}
END_TEST

START_TEST(new_is_empty)
{
	struct vdo_usage u;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	count(&f, VDO_USAGE_MAP, &u);
	ck_assert_uint_eq(u.level, VDO_USAGE_MAPPED);
	expect_sums(&u);
	ck_assert_uint_eq(u.unmapped, u.logical_blocks);
	ck_assert_uint_eq(u.data_blocks + u.block_map_blocks, 0);
	fixture_fini(&f);
}
END_TEST

/* Then only what was saved before is known, and it says why. */
START_TEST(not_closed_is_as_of_the_last_save)
{
	struct vdo_usage u;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	fixture_reopen(&f, "");
	fixture_write(&f, 50, 50, V_UNIQUE(51), 0);
	fixture_flush(&f);
	fixture_abandon(&f);
	count(&f, VDO_USAGE_MAP, &u);
	ck_assert_uint_eq(u.level, VDO_USAGE_SAVED);
	ck_assert_uint_eq(u.logical_blocks_used, 50);
	ck_assert_uint_eq(u.data_blocks + u.free_blocks, 0);
	ck_assert_ptr_nonnull(strstr(u.why, "not closed"));
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(open_is_refused)
{
	struct vdo_device *device;
	struct vdo_volume *v;
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_usage_count_device(f.device, NULL, 0, &job,
						&error),
			 -VDO_EINUSE);
	fixture_close(&f);
	/* And the other way round. */
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_usage_count_device(device, NULL, 0, &job, &error),
			 0);
	ck_assert_int_eq(vdo_open_device(device, NULL, &v, &error),
			 -VDO_EINUSE);
	vdo_job_free(job);
	vdo_device_close(device);
	fixture_fini(&f);
}
END_TEST

START_TEST(cancelled)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device;
	struct vdo_usage u;
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fill(&f);
	fixture_close(&f);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_usage_count_device(device, c, VDO_USAGE_MAP, &job,
						&error),
			 0);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	ck_assert_int_eq(vdo_usage_get(job, &u, sizeof(u)), -EAGAIN);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	fixture_fini(&f);
}
END_TEST

/* A page that is damaged is left out, and said to be. */
START_TEST(damaged_page)
{
	struct vdo_usage whole, u;
	struct vdo_device *device;
	struct vdo_info info;
	uint8_t root[B];
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	fixture_close(&f);
	count(&f, VDO_USAGE_MAP, &whole);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_inspect_device(device, &info, sizeof(info),
					    &error),
			 0);
	vdo_device_close(device);
	sim_device_peek(f.sd, info.root_origin, root);
	root[16] ^= 1; /* the place that it says it has */
	sim_device_poke(f.sd, info.root_origin, root);
	count(&f, VDO_USAGE_MAP, &u);
	ck_assert_uint_eq(u.damaged_pages, 1);
	ck_assert_uint_eq(u.uncompressed, 0);
	ck_assert_uint_eq(u.unmapped, u.logical_blocks);
	expect_sums(&u);
	ck_assert_uint_gt(u.unreferenced_blocks, 0);
	ck_assert_uint_gt(whole.uncompressed, 0);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* The child of the first slot of a page, of which all slots lead there then. */
static pbn_t fan_out(struct vdo_device *d, pbn_t pbn, bool all)
{
	uint8_t page[B];
	struct mapping m;

	ck_assert_int_eq(device_read(d, pbn * B, page, B), 0);
	m = mapping_page_get(page, 0);
	for (unsigned i = 1; all && i < MAP_PAGE_ENTRIES; i++)
		mapping_page_put(page, i, m);
	ck_assert_int_eq(device_write(d, pbn * B, page, B), 0);
	return m.pbn;
}

/* 34 * 812 * 812 leaf pages, each in the same block. */
START_TEST(pages_that_come_again_end_it)
{
	struct vdo_config *c =
		fixture_config("executor=inline logical-size=4P");
	uint8_t block[B] = {1};
	struct vdo_device *d;
	struct vdo_volume *v;
	struct vdo_info info;
	struct vdo_job *job;
	pbn_t pbn;

	ck_assert_int_eq(vdo_device_open_memory(32 << 20, &d), 0);
	ck_assert_int_eq(vdo_format_device(d, c, &error), 0);
	ck_assert_int_eq(vdo_open_device(d, c, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, block, B, 0, 0), 0);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_int_eq(vdo_inspect_device(d, &info, sizeof(info), &error), 0);
	pbn = fan_out(d, info.root_origin, false);
	for (unsigned level = 3; level > 0; level--)
		pbn = fan_out(d, pbn, true);
	ck_assert_int_eq(vdo_usage_count_device(d, c, VDO_USAGE_MAP, &job,
						&error),
			 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -VDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, "damaged"));
	vdo_job_free(job);
	vdo_device_close(d);
	vdo_config_free(c);
}
END_TEST

/* What makes no sense is said before anything is opened. */
START_TEST(flags_are_looked_at_first)
{
	struct vdo_job *job;

	ck_assert_int_eq(vdo_usage_count("/nowhere/at/all", NULL, 2, &job,
					 &error),
			 -EINVAL);
	ck_assert_ptr_null(job);
	ck_assert_int_eq(vdo_usage_count("/nowhere/at/all", NULL, 0, &job,
					 &error),
			 -ENOENT);
}
END_TEST

/* Storage that is open can be looked at, and is not written. */
START_TEST(open_can_be_looked_at)
{
	char path[] = "/tmp/libvdo-usage-XXXXXX";
	struct vdo_config *c = fixture_config("size=16M force=on");
	struct vdo_usage u = {0};
	struct vdo_device *d;
	struct vdo_volume *v;
	char block[B] = {0};

	close(mkstemp(path));
	ck_assert_int_eq(vdo_format(path, c, &error), 0);
	ck_assert_int_eq(vdo_open(path, NULL, &v, &error), 0);
	ck_assert_int_eq(vdo_pwrite(v, block, B, 0, 0), 0);
	ck_assert_int_eq(vdo_device_open(path, VDO_OPEN_READ_ONLY, &d, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_device_open(path, VDO_OPEN_UNLOCKED, &d, &error),
			 -EINVAL);
	ck_assert_int_eq(vdo_device_open(path,
					 VDO_OPEN_READ_ONLY | VDO_OPEN_UNLOCKED,
					 &d, &error),
			 0);
	ck_assert_int_eq(vdo_usage_inspect_device(d, &u, sizeof(u), &error),
			 0);
	ck_assert_int_eq(u.level, VDO_USAGE_SAVED);
	ck_assert_int_eq(device_write(d, 0, block, B), -EROFS);
	vdo_device_close(d);
	ck_assert_int_eq(vdo_close(v), 0);
	unlink(path);
	vdo_config_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("usage");

	tcase_add_loop_test(tc, tells_what_was_written, 0, FIXTURE_KINDS);
	tcase_add_test(tc, parts_make_no_difference);
	tcase_add_test(tc, new_is_empty);
	tcase_add_test(tc, not_closed_is_as_of_the_last_save);
	tcase_add_test(tc, open_is_refused);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, flags_are_looked_at_first);
	tcase_add_test(tc, open_can_be_looked_at);
	tcase_add_test(tc, pages_that_come_again_end_it);
	tcase_add_test(tc, damaged_page);
	return unit_run();
}
