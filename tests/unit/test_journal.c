/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal, on the watchful device of journal_rig.h.
 */
#include "build.h"

#include "journal/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "tests/lib/unit.h"
#include "tests/unit/journal_rig.h"

#define PER_BLOCK 217u
#define CACHE	  VDO_DEVICE_VOLATILE_CACHE

static const uint64_t sizes[] = {4, 8, 16, 32, 64, 512};

static struct rig rig;
static struct rig *const r = &rig;

static uint64_t reserved_of(uint64_t size)
{
	return size / 4 < 11 ? size / 4 : 11;
}

static struct journal_state state(void)
{
	struct journal_state s;

	journal_get_state(r->journal, &s);
	return s;
}

static struct journal_stats stats(void)
{
	struct journal_stats s;

	journal_get_stats(r->journal, &s);
	return s;
}

/* Complete what is held, until nothing more comes of it. */
static void release_block(seq_t seq)
{
	rig_release_entries(r, seq, PER_BLOCK);
	rig_complete_all(r);
}

/* ----------------------------------------------------------------- format */

/* Every byte of each block, two laps around a small ring: single entries, and runs
 * up to the last entry of a block. */
START_TEST(bytes_on_disk)
{
	const unsigned blocks = 9;
	unsigned used = RIG_USED, pages = RIG_PAGES;
	seq_t start = 127 * 4 + 2; /* the check byte goes to 0xff and 0x80 */

	rig_runs = (enum rig_runs)_i;
	rig_open(r, 4, start, CACHE);
	for (unsigned i = 0; i < blocks; i++) {
		seq_t seq = start + i;
		const uint8_t *p = rig_place(r, r->disk, seq);
		struct rig_block b;

		rig_append(r, PER_BLOCK);
		RIG_CHECK(r->finished == (i + 1) * PER_BLOCK);
		rig_decode(p, &b);
		RIG_CHECK(b.seq == seq);
		RIG_CHECK(b.nonce == RIG_NONCE);
		RIG_CHECK(b.entries == PER_BLOCK);
		RIG_CHECK(b.recovery_count == RIG_COUNT);
		RIG_CHECK(b.check == (i < 2 ? 0xff : i < 6 ? 0x80 : 0x81));
		RIG_CHECK(b.used == used);
		RIG_CHECK(b.pages == pages);
		for (unsigned k = 53; k < 512; k++)
			RIG_CHECK(p[k] == 0);
		for (unsigned s = 1; s < 8; s++) {
			RIG_CHECK(p[512 * s] == b.check);
			RIG_CHECK(p[512 * s + 1] == RIG_COUNT);
			RIG_CHECK(p[512 * s + 2] == 31);
			for (unsigned k = 499; k < 512; k++)
				RIG_CHECK(p[512 * s + k] == 0);
		}
		for (unsigned n = i * PER_BLOCK; n < (i + 1) * PER_BLOCK; n++) {
			struct journal_entry e = rig_entry(n);

			rig_check_entry(p, n % PER_BLOCK, n);
			if (e.operation == JOURNAL_BLOCK_MAP)
				pages++;
			else
				used += (e.new_mapping.state != 0) -
					(e.old_mapping.state != 0);
		}
		release_block(seq);
	}
	RIG_CHECK(state().logical_blocks_used == used);
	RIG_CHECK(state().block_map_data_blocks == pages);
	rig_drain(r, true);
	rig_close(r);
	rig_runs = RIG_NO_RUNS;
}
END_TEST

/* Counts of a short block, and sectors that were not begun. */
START_TEST(short_block)
{
	static const unsigned counts[] = {1, 30, 31, 32, 62, 63, 186, 187, 216};
	unsigned n = counts[_i];
	const uint8_t *p;
	struct rig_block b;

	rig_open(r, 8, 1, CACHE);
	rig_append(r, n);
	p = rig_place(r, r->disk, 1);
	rig_decode(p, &b);
	RIG_CHECK(b.entries == n);
	for (unsigned s = 1; s < 8; s++) {
		unsigned before = 31 * (s - 1);
		unsigned in = n <= before ? 0 : MIN(n - before, 31);

		RIG_CHECK(p[512 * s] == (in == 0 ? 0 : 0x80));
		RIG_CHECK(p[512 * s + 1] == (in == 0 ? 0 : RIG_COUNT));
		RIG_CHECK(p[512 * s + 2] == in);
		for (unsigned k = 3 + 16 * in; k < 512; k++)
			RIG_CHECK(p[512 * s + k] == 0);
	}
	RIG_CHECK(rig_usable(p) == n);
	rig_close(r);
}
END_TEST

/* ----------------------------------------------------------- group commit */

/* What arrives during a round is the next one's, also during its flush. */
START_TEST(group_commit)
{
	rig_open(r, 8, 1, CACHE);
	r->hold = true;
	rig_append(r, 1);
	ck_assert_uint_eq(r->flushes, 1);
	rig_append(r, 60);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->writes, 1);
	ck_assert_uint_eq(rig_usable(r->held[0].copy), 1);
	rig_append(r, 40);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, 0);
	ck_assert_uint_eq(r->flushes, 2);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, 1);
	ck_assert_uint_eq(r->writes, 2);
	ck_assert_uint_eq(rig_usable(r->held[0].copy), 101);
	ck_assert_uint_eq(stats().entries_started, 101);
	ck_assert_uint_eq(stats().entries_written, 101);
	ck_assert_uint_eq(stats().entries_committed, 1);
	ck_assert_uint_eq(stats().blocks_started, 2);
	ck_assert_uint_eq(stats().blocks_written, 2);
	ck_assert_uint_eq(stats().blocks_committed, 1);
	rig_complete_all(r);
	ck_assert_uint_eq(r->finished, 101);
	ck_assert_uint_eq(r->ios, 4);
	rig_close(r);
}
END_TEST

/* Complete the oldest operation that is held. */
static void step(void)
{
	rig_complete(r, 0, 0);
	rig_run(r);
}

/* Rounds that follow each other cost one flush each, which makes durable what the
 * one before wrote (D2); the last has FUA. */
START_TEST(one_flush_a_round)
{
	const unsigned rounds = 5, n = 100;

	rig_open(r, 16, 13, CACHE);
	r->hold = true;
	rig_append(r, n);
	for (unsigned i = 1; i < rounds; i++) {
		ck_assert_uint_eq(r->flushes, i);
		rig_append(r, n);
		step(); /* the flush */
		ck_assert_uint_eq(r->finished, (i - 1) * n);
		ck_assert_uint_eq(r->writes, i);
		rig_check_crash(r);
		step(); /* the write */
		ck_assert_uint_eq(r->finished, (i - 1) * n);
		rig_check_crash(r);
	}
	ck_assert_uint_eq(r->fua, 0);
	step();
	ck_assert_uint_eq(r->finished, (rounds - 1) * n);
	ck_assert_uint_eq(r->fua, 1);
	step();
	ck_assert_uint_eq(r->finished, rounds * n);
	ck_assert_uint_eq(r->held_count, 0);
	ck_assert_uint_eq(r->flushes, rounds);
	rig_close(r);
}
END_TEST

/* Many posted one by one while the journal is idle are one round. */
START_TEST(one_round_for_a_crowd)
{
	rig_open(r, 8, 1, CACHE);
	rig_append(r, 100);
	ck_assert_uint_eq(r->finished, 100);
	ck_assert_uint_eq(r->flushes, 1);
	ck_assert_uint_eq(r->writes, 1);
	rig_close(r);
}
END_TEST

/* Nothing is durable yet: the second block waits for the first. */
START_TEST(first_block_alone)
{
	rig_open(r, 64, 5, CACHE);
	r->hold = true;
	rig_append(r, 3 * PER_BLOCK);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->held_count, 1);
	ck_assert_uint_eq(r->held[0].io->length, BLOCK_SIZE);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, PER_BLOCK);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->held_count, 1);
	ck_assert_uint_eq(r->held[0].io->length, 2 * BLOCK_SIZE);
	rig_complete_all(r);
	ck_assert_uint_eq(r->finished, 3 * PER_BLOCK);
	rig_close(r);
}
END_TEST

/* A batch across the wrap is two writes; nothing is released between them. */
START_TEST(batch_out_of_order)
{
	unsigned before;

	rig_open(r, 16, 14, CACHE);
	rig_append(r, PER_BLOCK);
	r->hold = true;
	rig_append(r, 3 * PER_BLOCK);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->held_count, 2);
	before = r->finished;
	rig_complete(r, (unsigned)_i, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, before);
	rig_check_crash(r);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, before + 3 * PER_BLOCK);
	rig_complete_all(r);
	rig_close(r);
}
END_TEST

/* Each mixture of old and new sectors keeps what was committed (I15). */
START_TEST(torn_rewrite)
{
	static const unsigned counts[][2] = {
		{1, 1}, {1, 40}, {30, 1}, {31, 1}, {31, 62}, {100, 117},
	};
	unsigned old_count = counts[_i][0];
	uint8_t old[BLOCK_SIZE], new[BLOCK_SIZE], mix[BLOCK_SIZE];

	rig_open(r, 8, 1, CACHE);
	rig_append(r, old_count);
	memcpy(old, rig_place(r, r->disk, 1), BLOCK_SIZE);
	rig_append(r, counts[_i][1]);
	memcpy(new, rig_place(r, r->disk, 1), BLOCK_SIZE);
	RIG_CHECK(rig_usable(old) == old_count);
	RIG_CHECK(rig_usable(new) == old_count + counts[_i][1]);
	for (unsigned m = 0; m < 256; m++) {
		unsigned usable;

		for (unsigned s = 0; s < 8; s++)
			memcpy(mix + 512 * s,
			       (m >> s & 1 ? new : old) + 512 * s, 512);
		usable = rig_usable(mix);
		RIG_CHECK(usable >= old_count);
		for (unsigned i = 0; i < usable; i++)
			rig_check_entry(mix, i, i);
	}
	rig_close(r);
}
END_TEST

/* Without a volatile cache nothing is flushed. */
START_TEST(no_cache)
{
	rig_open(r, 8, 1, 0);
	rig_append(r, 3 * PER_BLOCK);
	for (seq_t q = 1; q <= 3; q++)
		release_block(q);
	ck_assert_uint_eq(r->finished, 3 * PER_BLOCK);
	ck_assert_uint_eq(r->flushes, 0);
	/* A head stays at the newest durable block. */
	ck_assert_uint_eq(state().map_head, 3);
	rig_close(r);
}
END_TEST

/* ------------------------------------------------------- space and holds */

/* The usable part fills up, waits, and goes on as holders let go. */
START_TEST(full_ring)
{
	uint64_t size = sizes[_i];
	unsigned usable = (unsigned)(size - reserved_of(size));

	rig_open(r, size, 1, CACHE);
	rig_append(r, (usable + 3) * PER_BLOCK);
	ck_assert_uint_eq(r->finished, usable * PER_BLOCK);
	ck_assert_uint_eq(state().tail, 1 + usable);
	ck_assert_uint_eq(stats().disk_full, 1);
	for (seq_t q = 1; q <= 3; q++) {
		/* All but one: nothing moves. */
		rig_release_entries(r, q, PER_BLOCK - 1);
		ck_assert_uint_eq(state().map_head, q);
		rig_release_entries(r, q, 1);
		ck_assert_uint_eq(state().map_head, q + 1);
		ck_assert_uint_eq(r->finished,
				  (usable + (unsigned)q) * PER_BLOCK);
	}
	ck_assert_uint_eq(r->moved_to, usable + 3);
	ck_assert_uint_eq(stats().disk_full, 3);
	rig_close(r);
}
END_TEST

/* 217 * 512 is more than the ops at hand; size 512 goes half way around. */
START_TEST(laps)
{
	uint64_t size = sizes[_i];
	unsigned blocks = (unsigned)MIN(3 * size + 1, 180);

	rig_open(r, size, size - 1, CACHE);
	for (unsigned i = 0; i < blocks; i++) {
		rig_append(r, PER_BLOCK);
		release_block(r->start + i);
	}
	ck_assert_uint_eq(r->finished, blocks * PER_BLOCK);
	ck_assert_uint_eq(r->tail_moved, blocks);
	ck_assert_uint_eq(stats().disk_full, 0);
	rig_close(r);
}
END_TEST

START_TEST(heads_move_apart)
{
	rig_open(r, 16, 1, CACHE);
	rig_append(r, 4 * PER_BLOCK);
	rig_hold(r, 1, true, false);
	rig_hold(r, 2, false, true);
	for (seq_t q = 1; q <= 4; q++)
		release_block(q);
	ck_assert_uint_eq(state().map_head, 1);
	ck_assert_uint_eq(state().slab_head, 2);
	/* A hold under one of the same kind is enough. */
	rig_hold(r, 1, true, false);
	rig_release_map(r, 1);
	ck_assert_uint_eq(state().map_head, 1);
	rig_release_map(r, 1);
	ck_assert_uint_eq(state().map_head, 4);
	rig_release_slab(r, 2);
	ck_assert_uint_eq(state().slab_head, 4);
	rig_close(r);
}
END_TEST

/* Heads are published by the flush, and then appear in the next header. */
START_TEST(heads_after_flush)
{
	struct rig_block b;

	rig_open(r, 16, 1, CACHE);
	rig_append(r, 2 * PER_BLOCK);
	r->hold = true;
	rig_release_entries(r, 1, PER_BLOCK);
	ck_assert_uint_eq(r->held_count, 1);
	ck_assert_uint_eq(state().map_head, 1);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(state().map_head, 2);
	rig_append(r, 1);
	rig_complete_all(r);
	rig_decode(rig_place(r, r->disk, 3), &b);
	ck_assert_uint_eq(b.map_head, 2);
	ck_assert_uint_eq(b.slab_head, 2);
	rig_close(r);
}
END_TEST

/* Releases during a round need no flush of their own. */
START_TEST(reaping_shares_the_flush)
{
	unsigned flushes;

	rig_open(r, 16, 1, CACHE);
	rig_append(r, 3 * PER_BLOCK);
	r->hold = true;
	rig_append(r, 1);
	rig_release_entries(r, 1, PER_BLOCK);
	rig_append(r, 1);
	rig_release_entries(r, 2, PER_BLOCK);
	flushes = r->flushes;
	rig_complete_all(r);
	ck_assert_uint_eq(state().map_head, 3);
	ck_assert_uint_eq(r->flushes, flushes + 1);
	rig_close(r);
}
END_TEST

/* The depot is asked from two thirds on, and again when a head is freed of its
 * entries but not of its slab journal, which may have come late (I38). */
START_TEST(two_thirds)
{
	uint64_t size = sizes[_i];
	unsigned third = (unsigned)(2 * size / 3);
	unsigned commits;

	rig_open(r, size, 1, CACHE);
	rig_append(r, third * PER_BLOCK);
	ck_assert_uint_eq(r->commits, 0);
	rig_append(r, 1);
	ck_assert_uint_ge(r->commits, 1);
	ck_assert_uint_eq(r->commit_head, 1);
	commits = r->commits;
	rig_hold(r, 1, true, true);
	release_block(1);
	ck_assert_uint_eq(state().slab_head, 1);
	ck_assert_uint_gt(r->commits, commits);
	commits = r->commits;
	rig_release_slab(r, 1);
	ck_assert_uint_eq(state().slab_head, 2);
	ck_assert_uint_eq(state().map_head, 1);
	ck_assert_uint_eq(r->commits, commits);
	ck_assert_uint_eq(stats().slab_journal_commits_requested, commits);
	rig_close(r);
}
END_TEST

/* -------------------------------------------------- drain, save, resume */

START_TEST(drain_waits)
{
	rig_open(r, 8, 1, CACHE);
	r->hold = true;
	rig_append(r, 10);
	rig_drain(r, false);
	while (r->held_count > 0) {
		ck_assert(!r->drained);
		rig_complete(r, 0, 0);
		rig_run(r);
	}
	ck_assert(r->drained);
	ck_assert_int_eq(r->drain_result, 0);
	ck_assert_uint_eq(r->finished, 10);
	rig_close(r);
}
END_TEST

static void resume(struct rig *rg)
{
	journal_resume(rg->journal);
}

/* The open block goes on; a release in between is not lost. */
START_TEST(suspend_and_resume)
{
	rig_open(r, 8, 1, CACHE);
	rig_append(r, PER_BLOCK + 5);
	rig_drain(r, false);
	ck_assert(r->drained);
	rig_release_entries(r, 1, PER_BLOCK);
	ck_assert_uint_eq(state().map_head, 1);
	rig_call(r, resume);
	ck_assert_uint_eq(state().map_head, 2);
	rig_append(r, 7);
	ck_assert_uint_eq(r->finished, PER_BLOCK + 12);
	ck_assert_uint_eq(state().tail, 3);
	rig_close(r);
}
END_TEST

START_TEST(save_empties)
{
	static const unsigned counts[] = {0, 1, 216, 217, 218, 500};
	unsigned n = counts[_i];
	seq_t tail = 9 + (n + PER_BLOCK - 1) / PER_BLOCK;

	rig_open(r, 16, 9, CACHE);
	rig_append(r, n);
	for (seq_t q = 9; q < tail; q++)
		rig_release_entries(r, q, PER_BLOCK);
	rig_drain(r, true);
	ck_assert(r->drained);
	ck_assert_uint_eq(state().tail, tail);
	ck_assert_uint_eq(state().map_head, tail);
	ck_assert_uint_eq(state().slab_head, tail);
	rig_close(r);
}
END_TEST

/* Slab journals are saved after the journal: their holds go later, quietly. */
START_TEST(save_then_resume)
{
	unsigned ios;
	seq_t start;

	rig_open(r, 8, 1, CACHE);
	rig_append(r, 10);
	rig_hold(r, 1, false, true);
	rig_release_entries(r, 1, 10);
	rig_drain(r, true);
	ck_assert(r->drained);
	ck_assert_uint_eq(state().map_head, 2);
	ck_assert_uint_eq(state().slab_head, 1);
	ios = r->ios;
	rig_release_slab(r, 1);
	ck_assert_uint_eq(r->ios, ios);
	rig_call(r, resume);
	start = state().tail;
	ck_assert_uint_eq(start, 2);
	ck_assert_uint_eq(state().slab_head, start);
	rig_close(r);
}
END_TEST

/* A full ring drains when its holders let go, with all that waits. */
START_TEST(drain_of_a_full_ring)
{
	rig_open(r, 4, 1, CACHE);
	rig_append(r, 5 * PER_BLOCK);
	rig_drain(r, true);
	ck_assert(!r->drained);
	release_block(1);
	ck_assert(!r->drained);
	release_block(2);
	ck_assert(r->drained);
	ck_assert_int_eq(r->drain_result, 0);
	ck_assert_uint_eq(r->finished, 5 * PER_BLOCK);
	rig_close(r);
}
END_TEST

/* -------------------------------------------------------------- failures */

/* The Nth flush or write fails: each op ends, in order, and the drain too. */
START_TEST(failing_io)
{
	unsigned n;

	for (n = 1;; n++) {
		bool failed;

		rig_open(r, 8, 6, CACHE);
		r->fail_at = n;
		for (unsigned i = 0; i < 10; i++) {
			rig_append(r, 150);
			release_block(r->start + i * 150 / PER_BLOCK);
		}
		failed = r->ios >= n;
		ck_assert(readonly_entered(&r->readonly) == failed);
		rig_drain(r, false);
		ck_assert(r->drained);
		ck_assert_int_eq(r->drain_result, failed ? -VDO_EREADONLY : 0);
		ck_assert_uint_eq(r->finished + r->failed, r->appended);
		ck_assert_uint_eq(r->failed > 0, failed);
		rig_close(r);
		if (!failed)
			break;
	}
	ck_assert_uint_gt(n, 20);
}
END_TEST

static void read_only(struct rig *rg)
{
	journal_read_only(rg->journal);
}

/* What waits ends at once; what is under way, when it is over. */
START_TEST(read_only_with_waiters)
{
	rig_open(r, 4, 1, CACHE);
	r->hold = true;
	rig_append(r, 10);
	rig_complete(r, 0, 0);
	rig_run(r);
	rig_append(r, 2 * PER_BLOCK);
	ck_assert_uint_eq(r->failed, 0);
	readonly_enter(&r->readonly, -EIO, "test: enough");
	rig_call(r, read_only);
	ck_assert_uint_eq(r->failed, 2 * PER_BLOCK);
	ck_assert_uint_eq(r->finished, 0);
	rig_append(r, 1);
	ck_assert_uint_eq(r->failed, 2 * PER_BLOCK + 1);
	rig_drain(r, true);
	ck_assert(!r->drained);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->finished, 10);
	ck_assert(r->drained);
	ck_assert_int_eq(r->drain_result, -VDO_EREADONLY);
	rig_close(r);
}
END_TEST

/* Read-only during the flush: the write is refused, its ops fail. */
START_TEST(read_only_during_flush)
{
	rig_open(r, 4, 1, CACHE);
	r->hold = true;
	rig_append(r, 10);
	readonly_enter(&r->readonly, -EIO, "test: enough");
	rig_call(r, read_only);
	ck_assert_uint_eq(r->failed, 0);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->failed, 10);
	ck_assert_uint_eq(r->writes, 0);
	rig_close(r);
}
END_TEST

/* What a failed flush should have made durable ends like what waited for it
 * to be written; so does all after a failed write. */
START_TEST(failure_after_a_write)
{
	bool flush_fails = _i == 0;

	rig_open(r, 16, 1, CACHE);
	r->hold = true;
	rig_append(r, 10);
	rig_append(r, 20);
	step();
	rig_append(r, 30);
	if (flush_fails) {
		step();
		ck_assert_uint_eq(r->flushes, 2);
	}
	rig_complete(r, 0, -EIO);
	rig_run(r);
	ck_assert(readonly_entered(&r->readonly));
	ck_assert_uint_eq(r->finished, 0);
	ck_assert_uint_eq(r->failed, 60);
	rig_drain(r, false);
	ck_assert(r->drained);
	ck_assert_uint_eq(r->held_count, 0);
	rig_close(r);
}
END_TEST

/* Read-only mode comes before the flush that would make a block durable. */
START_TEST(read_only_after_a_write)
{
	rig_open(r, 16, 1, CACHE);
	r->hold = true;
	rig_append(r, 10);
	rig_append(r, 20);
	step();
	rig_append(r, 30);
	readonly_enter(&r->readonly, -EIO, "test: enough");
	rig_call(r, read_only);
	ck_assert_uint_eq(r->writes, 1);
	ck_assert_uint_eq(r->failed, 50);
	step();
	ck_assert_uint_eq(r->finished, 0);
	ck_assert_uint_eq(r->failed, 60);
	ck_assert_uint_eq(r->held_count, 0);
	rig_close(r);
}
END_TEST

static unsigned others;

static void other_synced(struct completion *c)
{
	ck_assert_int_eq(c->result, readonly_entered(&r->readonly)
					    ? -VDO_EREADONLY
					    : 0);
	others++;
}

/* Who needs a flush while the journal writes shares that of the next round; if
 * there will be none he has his own. */
START_TEST(others_share_the_flush)
{
	bool entries = _i > 0, read_only_comes = _i == 2;
	struct sync_op op;

	rig_open(r, 8, 1, CACHE);
	others = 0;
	r->hold = true;
	rig_append(r, 1);
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->writes, 1);
	if (entries)
		rig_append(r, 40);
	memset(&op, 0, sizeof(op));
	completion_init(&op.done, r->queue, other_synced);
	sync_request(&r->sync, &op);
	rig_run(r);
	ck_assert_uint_eq(r->flushes, 1);
	if (read_only_comes) {
		readonly_enter(&r->readonly, -EIO, "test: enough");
		rig_call(r, read_only);
	}
	rig_complete(r, 0, 0);
	rig_run(r);
	ck_assert_uint_eq(r->flushes, read_only_comes ? 1 : 2);
	ck_assert_uint_eq(r->writes, 1);
	ck_assert_uint_eq(others, read_only_comes);
	rig_complete_all(r);
	ck_assert_uint_eq(others, 1);
	ck_assert_uint_eq(r->finished, entries && !read_only_comes ? 41 : 1);
	ck_assert_uint_eq(r->flushes, read_only_comes ? 1 : 2);
	rig_close(r);
}
END_TEST

/* Somebody needs a flush when the journal is about to write: what it writes is
 * made durable by that flush, without FUA and without entries that follow. */
START_TEST(others_make_durable)
{
	struct sync_op op;

	rig_open(r, 8, 1, CACHE);
	others = 0;
	r->hold = true;
	rig_append(r, 10);
	memset(&op, 0, sizeof(op));
	completion_init(&op.done, r->queue, other_synced);
	sync_request(&r->sync, &op);
	step();
	ck_assert_uint_eq(r->writes, 1);
	ck_assert_uint_eq(r->held_count, 1);
	step();
	ck_assert_uint_eq(r->finished, 0);
	ck_assert_uint_eq(r->flushes, 2);
	step();
	ck_assert_uint_eq(r->finished, 10);
	ck_assert_uint_eq(others, 1);
	ck_assert_uint_eq(r->fua, 0);
	ck_assert_uint_eq(r->held_count, 0);
	rig_close(r);
}
END_TEST

/* A drain that waits for space ends when the volume goes read-only. */
START_TEST(read_only_ends_drain)
{
	rig_open(r, 4, 1, CACHE);
	rig_append(r, 4 * PER_BLOCK);
	rig_drain(r, false);
	ck_assert(!r->drained);
	readonly_enter(&r->readonly, -EIO, "test: enough");
	rig_call(r, read_only);
	ck_assert(r->drained);
	ck_assert_int_eq(r->drain_result, -VDO_EREADONLY);
	ck_assert_uint_eq(r->failed, PER_BLOCK);
	rig_close(r);
}
END_TEST

START_TEST(last_sequence_number)
{
	rig_open(r, 4, SEQ_MAX - 2, CACHE);
	rig_append(r, 2 * PER_BLOCK);
	ck_assert_uint_eq(r->finished, 2 * PER_BLOCK);
	ck_assert(!readonly_entered(&r->readonly));
	rig_append(r, 1);
	ck_assert_uint_eq(r->failed, 1);
	ck_assert(readonly_entered(&r->readonly));
	rig_close(r);
}
END_TEST

START_TEST(bad_sizes)
{
	static const uint64_t bad[] = {0, 1, 2, 3, 5, 6, 12, 32767};
	struct journal_config c = {
		.partition = {1, bad[_i]},
		.start = 1,
	};
	struct journal *j = NULL;

	ck_assert_int_eq(journal_create(&c, &j), -EINVAL);
	ck_assert_ptr_null(j);
}
END_TEST

START_TEST(no_memory)
{
	struct journal_config c = {.partition = {1, 8}, .start = 1};
	struct journal *j = NULL;
	unsigned long n = 0;
	int result;

	do {
		alloc_fail_at(++n);
		result = journal_create(&c, &j);
		alloc_fail_at(0);
		ck_assert(result == 0 || result == -ENOMEM);
	} while (result != 0);
	ck_assert_uint_eq(n, 4);
	journal_destroy(j);
	journal_destroy(NULL);
}
END_TEST

/* --------------------------------------------------------------- at random */

static void let_go_at_random(unsigned blocks)
{
	seq_t seq = r->start + (unsigned)rand() % (blocks + 1);
	struct rig_seq *s = &r->seqs[seq - r->start];

	if (s->released < s->finished) {
		if (rand() % 4 == 0)
			rig_hold(r, seq, rand() % 2, rand() % 2);
		rig_release_entries(r, seq, PER_BLOCK);
	} else if (s->map > 0) {
		rig_release_map(r, seq);
	} else if (s->slab > 0) {
		rig_release_slab(r, seq);
	}
}

/* Let go of everything, finish everything, save. */
static void wind_down(void)
{
	for (unsigned tries = 0; r->finished < r->appended; tries++) {
		ck_assert_uint_lt(tries, 100000);
		rig_complete_all(r);
		let_go_at_random(r->finished / PER_BLOCK);
	}
	for (seq_t q = r->start; q <= r->start + r->finished / PER_BLOCK; q++) {
		struct rig_seq *s = &r->seqs[q - r->start];

		rig_release_entries(r, q, PER_BLOCK);
		while (s->map > 0)
			rig_release_map(r, q);
		while (s->slab > 0)
			rig_release_slab(r, q);
	}
	rig_drain(r, true);
	rig_complete_all(r);
	ck_assert(r->drained);
	ck_assert_uint_eq(state().map_head, state().tail);
	ck_assert_uint_eq(state().slab_head, state().tail);
}

/*
 * Appends, completions in any order, and releases mixed; now and then a crash
 * is examined, with all writes under way torn.
 */
static void at_random_with(int seed)
{
	uint64_t size = sizes[(unsigned)seed % ARRAY_SIZE(sizes)];

	srand((unsigned)seed + 1);
	rig_open(r, size, 1 + (unsigned)rand() % 2000, CACHE);
	r->hold = true;
	for (unsigned i = 0; i < 2000 && r->appended < 15000; i++) {
		unsigned what = (unsigned)rand() % 16;

		if (what == 0)
			rig_append(r, (unsigned)rand() % 900);
		else if (what < 3)
			rig_append(r, 1 + (unsigned)rand() % 20);
		else if (what < 8)
			let_go_at_random(r->finished / PER_BLOCK);
		else if (what == 8)
			rig_check_crash(r);
		else if (r->held_count > 0)
			rig_complete(r, (unsigned)rand() % r->held_count, 0);
		rig_run(r);
	}
	ck_assert_uint_gt(r->finished, PER_BLOCK);
	wind_down();
	rig_check_crash(r);
	rig_close(r);
}

START_TEST(at_random)
{
	at_random_with(_i);
}
END_TEST

/* The same with runs, each of which lies in one block. */
START_TEST(runs_at_random)
{
	rig_runs = RIG_RUNS_OF_ONE;
	at_random_with(_i);
	rig_runs = RIG_NO_RUNS;
}
END_TEST

START_TEST(runs_of_news_at_random)
{
	rig_runs = RIG_RUNS_OF_NEWS;
	at_random_with(_i);
	rig_runs = RIG_NO_RUNS;
}
END_TEST

int main(void)
{
	const int n_sizes = (int)ARRAY_SIZE(sizes);
	TCase *tc;

	tc = unit_case("format");
	tcase_add_loop_test(tc, bytes_on_disk, 0, 3);
	tcase_add_loop_test(tc, short_block, 0, 9);
	tc = unit_case("commit");
	tcase_add_test(tc, group_commit);
	tcase_add_test(tc, one_flush_a_round);
	tcase_add_test(tc, one_round_for_a_crowd);
	tcase_add_loop_test(tc, others_share_the_flush, 0, 3);
	tcase_add_test(tc, others_make_durable);
	tcase_add_test(tc, first_block_alone);
	tcase_add_loop_test(tc, batch_out_of_order, 0, 2);
	tcase_add_loop_test(tc, torn_rewrite, 0, 6);
	tcase_add_test(tc, no_cache);
	tc = unit_case("space");
	tcase_add_loop_test(tc, full_ring, 0, 5);
	tcase_add_loop_test(tc, laps, 0, n_sizes);
	tcase_add_test(tc, heads_move_apart);
	tcase_add_test(tc, heads_after_flush);
	tcase_add_test(tc, reaping_shares_the_flush);
	tcase_add_loop_test(tc, two_thirds, 0, 5);
	tc = unit_case("drain");
	tcase_add_test(tc, drain_waits);
	tcase_add_test(tc, suspend_and_resume);
	tcase_add_loop_test(tc, save_empties, 0, 6);
	tcase_add_test(tc, save_then_resume);
	tcase_add_test(tc, drain_of_a_full_ring);
	tc = unit_case("failure");
	tcase_add_test(tc, failing_io);
	tcase_add_test(tc, read_only_with_waiters);
	tcase_add_test(tc, read_only_during_flush);
	tcase_add_loop_test(tc, failure_after_a_write, 0, 2);
	tcase_add_test(tc, read_only_after_a_write);
	tcase_add_test(tc, read_only_ends_drain);
	tcase_add_test(tc, last_sequence_number);
	tcase_add_loop_test(tc, bad_sizes, 0, 8);
	tcase_add_test(tc, no_memory);
	tc = unit_case("random");
	tcase_add_loop_test(tc, at_random, 0, 120);
	tcase_add_loop_test(tc, runs_at_random, 0, 120);
	tcase_add_loop_test(tc, runs_of_news_at_random, 0, 120);
	return unit_run();
}
