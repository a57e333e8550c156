/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opened read-only, a volume that was not closed shows what recovery would make
 * of it, and nothing is written. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "format/journal.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* It shows everything, refuses to write, and touches nothing. */
static void expect_shown(struct fixture *f)
{
	uint32_t state = fixture_state(f);
	uint64_t before = fixture_checksum(f);
	uint64_t writes = sim_device_count(f->sd, VDO_DEVICE_WRITE);
	uint64_t flushes = sim_device_count(f->sd, VDO_DEVICE_FLUSH);
	uint8_t buf[B] = {1};

	fixture_open(f, "read-only=on");
	ck_assert(vdo_volume_is_read_only(f->volume));
	ck_assert_int_eq(vdo_volume_read_only_reason(f->volume, &f->error),
			 -VDO_EREADONLY);
	ck_assert_ptr_nonnull(strstr(f->error.message,
				     state == VOLUME_READ_ONLY
					     ? "earlier session"
					     : "opened read-only"));
	fixture_verify_all(f);
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_discard(f->volume, B, 0, 0), -VDO_EREADONLY);
	fixture_verify_all(f);
	ck_assert_int_eq(fixture_try_close(f), 0);
	ck_assert_uint_eq(sim_device_count(f->sd, VDO_DEVICE_WRITE), writes);
	ck_assert_uint_eq(sim_device_count(f->sd, VDO_DEVICE_FLUSH), flushes);
	ck_assert_uint_eq(fixture_checksum(f), before);
	ck_assert_uint_eq(fixture_state(f), state);
}

START_TEST(dirty_is_shown_with_its_journal)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "era=1");
	fixture_write(&f, 0, 300, V_UNIQUE(20000), 0);
	fixture_reopen(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	ck_assert_uint_eq(fixture_state(&f), VOLUME_DIRTY);
	expect_shown(&f);
	expect_shown(&f);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* The mappings of the journal, 16 bytes each, are told as memory of the map. */
START_TEST(journal_is_counted)
{
	struct fixture f;
	uint64_t closed, dirty;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 300, V_UNIQUE(20000), 0);
	fixture_reopen(&f, "read-only=on");
	closed = fixture_stat(&f, "path.memoryMap");
	fixture_reopen(&f, "");
	fixture_write(&f, 300, 500, V_UNIQUE(30000), 0);
	fixture_flush(&f);
	fixture_lose_power(&f);
	fixture_open(&f, "read-only=on");
	dirty = fixture_stat(&f, "path.memoryMap");
	ck_assert_uint_ge(dirty, closed + 500 * 16);
	ck_assert_uint_lt(dirty, closed + 500 * 16 * 8);
	ck_assert_uint_ge(fixture_stat(&f, "path.memory"), dirty);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* Nothing of the map was ever written: not even pages for roots to lead to. */
START_TEST(first_session)
{
	struct fixture f;

	fixture_init(&f, _i, "journal-blocks=512 size=40M");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	expect_shown(&f);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(each_state_is_shown)
{
	static const enum volume_state states[] = {
		VOLUME_DIRTY,	      VOLUME_REPLAYING,
		VOLUME_READ_ONLY,     VOLUME_FORCE_REBUILD,
		VOLUME_REBUILD_FOR_UPGRADE,
	};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		fixture_set_state(&f, states[i]);
		expect_shown(&f);
	}
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* The first cause is logged once, and can be asked for. */
static void expect_reason(struct fixture *f)
{
	static const char words[] = "entering read-only mode";
	struct vdo_stats *stats;
	const char *line, *told = NULL;

	ck_assert_int_eq(vdo_volume_read_only_reason(f->volume, &f->error),
			 -EIO);
	ck_assert_int_eq(f->error.code, -EIO);
	line = strstr(fixture_log, words);
	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_nonnull(strstr(line, f->error.message));
	ck_assert_ptr_null(strstr(line + 1, words));
	ck_assert_int_eq(vdo_stats_get(f->volume, &stats), 0);
	for (size_t i = 0; i < vdo_stats_count(stats); i++)
		if (strcmp(vdo_stats_at(stats, i)->name,
			   "path.readOnlyReason") == 0)
			told = vdo_stats_at(stats, i)->text;
	ck_assert_str_eq(told, f->error.message);
	vdo_stats_free(stats);
}

/* An error while it was in service: its map was never written. */
START_TEST(read_only_is_shown_with_its_journal)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_FLUSH)};
	struct fixture f;
	uint8_t buf[B];

	fixture_init(&f, _i, "journal-blocks=512 size=40M");
	fixture_log[0] = '\0';
	f.log = fixture_keep_line;
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_volume_read_only_reason(f.volume, &f.error), 0);
	fixture_write_much(&f);
	sim_device_fault(f.sd, &fault);
	pattern_fill(V_UNIQUE(99999), buf);
	(void)vdo_pwrite(f.volume, buf, B, 0, VDO_IO_FUA);
	fixture_until(&f, vdo_volume_is_read_only(f.volume));
	fixture_verify(&f, 1, 700);
	fixture_until(&f, fixture_state(&f) == VOLUME_READ_ONLY);
	expect_reason(&f);
	f.log = NULL;
	sim_device_clear_faults(f.sd);
	ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	f.unknown[0] = true;
	expect_shown(&f);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- damage */

static void journal_place(struct fixture *f, pbn_t *start, uint64_t *count)
{
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	*start = im.sb.partitions[PARTITION_JOURNAL].start;
	*count = im.sb.recovery_journal_size;
	image_close(&im);
}

static void open_and_look(struct fixture *f, const char *words)
{
	fixture_log[0] = '\0';
	f->log = fixture_keep_line;
	fixture_open(f, "read-only=on");
	ck_assert_msg(strstr(fixture_log, words) != NULL, "%s: %s", words,
		      fixture_log);
	for (uint64_t i = 0; i < f->logical_blocks; i++) {
		uint8_t buf[B];

		ck_assert_int_eq(vdo_pread(f->volume, buf, B, i * B, 0), 0);
	}
	ck_assert_int_eq(fixture_try_close(f), 0);
	f->log = NULL;
}

/* The block that the heads lead to is not there: what remains is shown. */
START_TEST(damaged_journal_is_no_reason_to_show_nothing)
{
	uint8_t block[B], none[B] = {0};
	struct journal_header h;
	seq_t oldest = SEQ_MAX;
	struct fixture f;
	uint64_t count;
	pbn_t start;

	fixture_init(&f, KIND_INLINE, "journal-blocks=512 size=40M");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	journal_place(&f, &start, &count);
	for (uint64_t i = 0; i < count; i++) {
		sim_device_peek(f.sd, start + i, block);
		journal_header_decode(block, &h);
		if (h.seq != 0)
			oldest = MIN(oldest, h.seq);
	}
	sim_device_poke(f.sd, start + oldest % count, none);
	open_and_look(&f, "journal is damaged (the oldest block");
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(entries_without_sense_are_left_out)
{
	struct journal_header h;
	struct journal_entry e;
	uint8_t block[B], *last;
	struct fixture f;
	uint64_t count;
	seq_t newest = 0;
	pbn_t start;

	fixture_init(&f, KIND_INLINE, "journal-blocks=512 size=40M");
	fixture_open(&f, "");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_write(&f, 1, 1, V_UNIQUE(2), 0);
	fixture_flush(&f);
	fixture_lose_power(&f);
	journal_place(&f, &start, &count);
	/* The newest block has the entry of the second write. */
	for (uint64_t i = 0; i < count; i++) {
		sim_device_peek(f.sd, start + i, block);
		journal_header_decode(block, &h);
		newest = MAX(newest, h.seq);
	}
	sim_device_peek(f.sd, start + newest % count, block);
	journal_header_decode(block, &h);
	ck_assert_uint_gt(h.entries, 0);
	last = block + SECTOR_SIZE + 3 + (h.entries - 1) * JOURNAL_ENTRY_SIZE;
	journal_entry_decode(last, &e);
	e.page = 1; /* no page of the map */
	journal_entry_encode(&e, last);
	sim_device_poke(f.sd, start + newest % count, block);
	open_and_look(&f, "1 entries of the recovery journal make no sense");
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------- what can go wrong */

START_TEST(each_allocation_can_fail)
{
	struct vdo_config *c =
		fixture_config("executor=inline read-only=on");
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;
	struct fixture f;
	int result = -ENOMEM;
	unsigned long n;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	device = sim_device_open(f.sd, NULL);
	for (n = 1; result != 0; n++) {
		ck_assert_uint_lt(n, 1000);
		alloc_fail_at(n);
		result = vdo_open_device(device, c, &volume, &error);
		alloc_fail_at(0);
		ck_assert(result == 0 || result == -ENOMEM);
	}
	ck_assert_uint_gt(n, 20);
	ck_assert_int_eq(vdo_close(volume), 0);
	vdo_device_close(device);
	vdo_config_free(c);
	expect_shown(&f);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(each_read_can_fail)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ), .times = 1};
	struct fixture f;
	int result = -EIO;

	fixture_init(&f, _i, "journal-blocks=2048 size=64M");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	for (fault.skip = 0; result != 0; fault.skip++) {
		ck_assert_uint_lt(fault.skip, 1000);
		sim_device_fault(f.sd, &fault);
		result = fixture_try_open(&f, "read-only=on");
		sim_device_clear_faults(f.sd);
		if (result != 0)
			ck_assert_int_eq(result, -EIO);
	}
	/* Geometry, super block, and the ring in parts. */
	ck_assert_uint_gt(fault.skip, 10);
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(can_be_cancelled)
{
	struct vdo_config *c =
		fixture_config("executor=inline read-only=on");
	struct vdo_job_progress p;
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_open_device_start(device, c, &job, &error), 0);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over);
	ck_assert_int_eq(vdo_opened_get(job, &volume), -EAGAIN);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	expect_shown(&f);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("shown");

	tcase_add_loop_test(tc, dirty_is_shown_with_its_journal, 0,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, journal_is_counted, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, first_session, 0, FIXTURE_KINDS);
	tc = unit_case("states");
	tcase_add_loop_test(tc, each_state_is_shown, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, read_only_is_shown_with_its_journal, 0,
			    FIXTURE_KINDS);
	tc = unit_case("damage");
	tcase_add_test(tc, damaged_journal_is_no_reason_to_show_nothing);
	tcase_add_test(tc, entries_without_sense_are_left_out);
	tc = unit_case("failures");
	tcase_add_test(tc, each_allocation_can_fail);
	tcase_add_loop_test(tc, each_read_can_fail, 0, FIXTURE_KINDS);
	tcase_add_test(tc, can_be_cancelled);
	return unit_run();
}
