/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The depot after a crash: entries of the recovery journal are made again where
 * slab journals lack them, and every count comes out right.
 *
 * Each change is noted as the entry of the recovery journal that it would have,
 * all of which survive. So after replay each count is what it was in memory,
 * whatever the disk had of slab journals, summary and counts.
 */
#include "tests/unit/depot_fixture.h"

#include "base/alloc.h"
#include "tests/lib/unit.h"

#define SLABS	    4u
#define ENTRIES_MAX 65536u

static struct fx *f;
static struct fx_adjust *ops[ENTRIES_MAX];
static struct replay_entry entries[ENTRIES_MAX];
static size_t entry_count;
static uint8_t live[SLABS << 11];

static void open_fx(struct fx_config c)
{
	f = fx_create(c);
	ck_assert_int_eq(fx_load(f, true), 0);
	entry_count = 0;
	memset(live, 0, sizeof(live));
}

static void teardown(void)
{
	for (size_t i = 0; i < entry_count; i++)
		free(ops[i]);
	fx_destroy(f);
}

/* Make an entry, and note it as it is in the recovery journal. */
static struct fx_adjust *change(pbn_t pbn, enum refs_kind kind)
{
	struct replay_entry *e = &entries[entry_count];

	ck_assert_uint_lt(entry_count, ENTRIES_MAX);
	*e = (struct replay_entry){
		.entry.operation = kind == REFS_MAP_INCREMENT
					   ? JOURNAL_BLOCK_MAP
					   : JOURNAL_DATA,
		.at = {f->seq, f->entry},
	};
	if (kind == REFS_DECREMENT)
		e->entry.old_mapping = (struct mapping){pbn, 1};
	else
		e->entry.new_mapping = (struct mapping){pbn, 1};
	if (kind == REFS_MAP_INCREMENT)
		live[pbn - FX_FIRST] = REFS_MAX;
	else
		live[pbn - FX_FIRST] +=
			(uint8_t)(kind == REFS_DECREMENT ? -1 : 1);
	return ops[entry_count++] = fx_adjust_start(f, pbn, kind);
}

static uint8_t count_of(pbn_t pbn)
{
	const struct slab *s = slab_at(f->d, pbn);

	return s->counts == NULL ? 0 : s->counts[pbn - s->start];
}

static void compare(void)
{
	pbn_t end = FX_FIRST + f->d->geo.slab_count * (1u << f->d->geo.slab_shift);

	for (pbn_t pbn = FX_FIRST; pbn < end; pbn++)
		if (is_data_block(&f->d->geo, pbn))
			ck_assert_msg(count_of(pbn) == live[pbn - FX_FIRST],
				      "pbn=%u count=%u want=%u",
				      (unsigned)(pbn - FX_FIRST), count_of(pbn),
				      live[pbn - FX_FIRST]);
}

/* To others a slab without flag at offset 0 was never used (V 7.5). */
static void check_summary(void)
{
	for (unsigned n = 0; n < f->d->geo.slab_count; n++) {
		struct summary_entry e = summary_get(&f->d->slabs[n]);

		ck_assert(!e.dirty || e.load || e.tail_offset != 0);
	}
}

/* All of it, and each count is right. */
static void recover(void)
{
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replay(f, entries, entry_count), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	check_summary();
	ck_assert_int_eq(fx_start(f), 0);
	compare();
}

/* An entry of the slab waits: so would the rest. */
static bool is_busy(pbn_t pbn)
{
	return !waitq_empty(&slab_at(f->d, pbn)->journal->waiting);
}

/* A block that has references, from a random one on; 0: none. */
static pbn_t find_live(unsigned *seed)
{
	size_t n = f->d->geo.slab_count << f->d->geo.slab_shift;
	size_t at = (unsigned)rand_r(seed) % n;

	for (size_t i = 0; i < n; i++, at = (at + 1) % n)
		if (live[at] > 0 && live[at] < 200)
			return FX_FIRST + at;
	return 0;
}

static void allocate_one(unsigned *seed)
{
	unsigned zone = (unsigned)rand_r(seed) % f->zones;
	struct pbn_lock *lock = fx_allocate(f, zone, NULL);
	enum refs_kind kind = rand_r(seed) % 8 == 0 ? REFS_MAP_INCREMENT
						    : REFS_INCREMENT;

	if (!is_busy(pbnlock_pbn(lock)) &&
	    !change(pbnlock_pbn(lock), kind)->over)
		return; /* whose lock it is until then */
	fx_unlock(f, lock);
}

/* Many entries at once, so that blocks get full. */
static void burst(pbn_t pbn, unsigned n)
{
	f->by_hand = true;
	for (unsigned i = 0; i < n && !is_busy(pbn); i++) {
		change(pbn, REFS_INCREMENT);
		if (is_busy(pbn))
			break;
		if (i % 64 != 0 || live[pbn - FX_FIRST] > 200)
			change(pbn, REFS_DECREMENT);
	}
	f->by_hand = false;
}

static void hold(pbn_t from, uint64_t n)
{
	f->dev.hold_from = from;
	f->dev.hold_to = from + n;
}

static void hold_something(unsigned *seed)
{
	const struct depot *d = f->d;
	const struct slab *s =
		&d->slabs[(unsigned)rand_r(seed) % d->geo.slab_count];

	switch (rand_r(seed) % 4) {
	case 0:
		hold(FX_SUMMARY(f), SUMMARY_BLOCKS);
		break;
	case 1:
		hold(slabjournal_start(s), d->slab.slab_journal_blocks);
		break;
	case 2:
		hold(s->start + d->slab.data_blocks, d->ref_blocks);
		break;
	case 3:
		fx_release(f);
		break;
	}
}

static void work(unsigned *seed, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		pbn_t pbn = find_live(seed);

		if (pbn == 0 || rand_r(seed) % 3 == 0)
			allocate_one(seed);
		else if (!is_busy(pbn) && rand_r(seed) % 16 == 0)
			burst(pbn, (unsigned)rand_r(seed) % 900);
		else if (!is_busy(pbn))
			change(pbn, rand_r(seed) % 2 ? REFS_INCREMENT
						     : REFS_DECREMENT);
		if (rand_r(seed) % 8 == 0) {
			depot_commit_tails(f->d, f->seq);
			fx_run(f);
		}
		if (rand_r(seed) % 16 == 0)
			hold_something(seed);
	}
}

/* Recover as far as some entry, perhaps while writes are held back; crash. */
static void crash_in_replay(unsigned *seed)
{
	static const unsigned zones[] = {1, 2, 3, 16};
	bool whole = rand_r(seed) % 4 == 0;
	size_t n = (unsigned)rand_r(seed) % (entry_count + 1);

	ck_assert_int_eq(fx_load_journals(f), 0);
	if (whole) {
		ck_assert_int_eq(fx_replay(f, entries, entry_count), 0);
		ck_assert_int_eq(fx_replayed(f), 0);
		check_summary();
	} else {
		hold_something(seed);
		(void)fx_replay(f, entries, n);
	}
	fx_crash(f, zones[(unsigned)rand_r(seed) % 4], seed);
}

/* I10, I43: other numbers of zones, crashes of crashes. */
START_TEST(replays)
{
	static const unsigned sizes[] = {2, 3, 4, 5, 8, 16, 224};
	unsigned size = sizes[(unsigned)_i % ARRAY_SIZE(sizes)];
	unsigned seed = 77 * (unsigned)_i;

	open_fx((struct fx_config){11, SLABS, size, 1 + (unsigned)_i % 3, 0});
	for (unsigned round = 0; round < 3; round++) {
		work(&seed, 120);
		fx_crash(f, 1 + (unsigned)rand_r(&seed) % 4, &seed);
		for (unsigned k = (unsigned)rand_r(&seed) % 4; k > 0; k--)
			crash_in_replay(&seed);
		recover();
	}
	ck_assert_int_eq(fx_drain(f, true), 0);
	f->sb.state = VOLUME_CLEAN;
	f->sb.journal_start = f->seq + 1;
	fx_reopen(f, 2);
	ck_assert_int_eq(fx_load(f, false), 0);
	compare();
}
END_TEST

/* Entries that are made while the summary, journal blocks or both are held back
 * and then lost, two trips around the ring and more: the block that the summary
 * names stays in its place. */
START_TEST(named_block_stays)
{
	static const unsigned sizes[] = {2, 3, 4, 5};
	pbn_t pbn;

	open_fx((struct fx_config){11, 1, sizes[_i % 4], 1, 0});
	allocate_one(&(unsigned){1});
	pbn = FX_FIRST;
	for (unsigned i = 0; i < (unsigned)_i / 4; i++)
		change(pbn, REFS_INCREMENT);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 1);
	recover();
	hold(FX_SUMMARY(f), SUMMARY_BLOCKS);
	burst(pbn, 4000);
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	/* All but the summary reaches the disk. */
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	fx_crash(f, 1, &(unsigned){1});
	recover();
}
END_TEST

/*
 * As many blocks as the threshold lets be, none of them in the counts, and one
 * more in replay: the summary then names offset 0, which without the load flag
 * and the dirty flag means that there is no journal (V 7.5). The recovery journal
 * has only the last entry still. Replay that is done again, as nothing was
 * scrubbed yet, must find the slab's journal.
 */
START_TEST(names_offset_0)
{
	static const unsigned sizes[] = {3, 4, 5, 8, 16};
	const struct slab *s;

	open_fx((struct fx_config){11, 1, sizes[_i], 1, 0});
	s = &f->d->slabs[0];
	hold(s->start + f->d->slab.data_blocks, f->d->ref_blocks);
	allocate_one(&(unsigned){1});
	while (!is_busy(FX_FIRST)) {
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
		change(FX_FIRST, REFS_INCREMENT);
	}
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		fx_crash(f, 1, &(unsigned){1});
		ck_assert_int_eq(fx_load_journals(f), 0);
		ck_assert_int_eq(fx_replay(f, &entries[entry_count - 1], 1), 0);
		ck_assert_int_eq(fx_replayed(f), 0);
		check_summary();
		ck_assert_uint_eq(f->d->slabs[0].journal->tail, sizes[_i]);
	}
	ck_assert_int_eq(fx_start(f), 0);
	compare();
}
END_TEST

/* The same, but service begins: another crash could find more that waits than has
 * room, so the depot asks to be written first, and then has room. */
START_TEST(room_for_the_next_crash)
{
	static const unsigned sizes[] = {3, 4, 5, 8, 16};
	const struct slab *s;
	uint64_t most;

	open_fx((struct fx_config){11, 1, sizes[_i], 1, 0});
	s = &f->d->slabs[0];
	most = f->d->slab.blocking_threshold;
	hold(s->start + f->d->slab.data_blocks, f->d->ref_blocks);
	allocate_one(&(unsigned){1});
	while (!is_busy(FX_FIRST)) {
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
		change(FX_FIRST, REFS_INCREMENT);
	}
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	fx_crash(f, 1, &(unsigned){1});
	s = &f->d->slabs[0];
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replay(f, &entries[entry_count - 1], 1), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	ck_assert_uint_eq(s->journal->tail - s->journal->head, most + 1);
	ck_assert_int_eq(fx_start(f), 0);
	ck_assert(depot_is_tight(f->d));
	ck_assert(!depot_unscrubbed(f->d));
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_int_eq(fx_resume(f), 0);
	ck_assert_uint_eq(s->journal->tail, s->journal->head);
	compare();
	/* A journal that is not as long is scrubbed in the background. */
	fx_crash(f, 1, &(unsigned){1});
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	ck_assert_int_eq(fx_start(f), 0);
	ck_assert(!depot_is_tight(f->d));
}
END_TEST

/* A rebuild leaves counts, and a summary that names offset 0 and no journal. In a
 * ring of 2 the first block would be taken for the newest one of such a slab. */
START_TEST(replays_after_rebuild)
{
	static const unsigned sizes[] = {2, 3, 4};
	struct replay_entry e;
	uint8_t *summary;

	open_fx((struct fx_config){11, 1, sizes[_i], 1, 0});
	allocate_one(&(unsigned){1});
	e = entries[entry_count - 1];
	e.at.seq++;
	ck_assert_int_eq(fx_drain(f, true), 0);
	summary = fx_entry(f, 0, 0);
	summary[0] = 0;
	ck_assert_uint_eq(summary[1] & 0xc0, 0x40);
	for (unsigned i = 0; i < sizes[_i]; i++)
		memset(fx_block(f, slabjournal_start(&f->d->slabs[0]) + i), 0,
		       BLOCK_SIZE);
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	fx_crash(f, 1, &(unsigned){1});
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replay(f, &e, 1), 0);
	ck_assert_uint_eq(f->d->slabs[0].journal->entries, 1);
	ck_assert_int_eq(fx_replayed(f), 0);
	ck_assert_int_eq(fx_start(f), 0);
}
END_TEST

/* Entries that the journal has are not made again, and damage is told. */
START_TEST(applied_once)
{
	struct replay_entry wrong = {.at = {99999, 0}};
	seq_t tail;

	open_fx((struct fx_config){11, 2, 16, 1, 0});
	allocate_one(&(unsigned){1});
	allocate_one(&(unsigned){1});
	change(FX_FIRST, REFS_DECREMENT);
	ck_assert_int_eq(fx_drain(f, true), 0);
	/* Counts, journal and recovery journal have it; yet the slab is dirty. */
	fx_entry(f, 0, 0)[1] |= 0x80;
	fx_reopen(f, 1);
	ck_assert_int_eq(fx_load_journals(f), 0);
	tail = f->d->slabs[0].journal->tail;
	ck_assert_int_eq(fx_replay(f, entries, entry_count), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	check_summary();
	ck_assert_uint_eq(f->d->slabs[0].journal->tail, tail);
	ck_assert_int_eq(fx_start(f), 0);
	compare();

	fx_reopen(f, 1);
	ck_assert_int_eq(fx_load_journals(f), 0);
	wrong.entry.new_mapping = (struct mapping){FX_FIRST - 1, 1};
	ck_assert_int_eq(fx_replay(f, &wrong, 1), -VDO_ECORRUPT);
	ck_assert_int_eq(fx_replayed(f), -VDO_EREADONLY);
}
END_TEST

/* A slab that nobody used gets its first entry in replay; a ring gets full, and
 * waits for its blocks to be named durably. */
START_TEST(fills_a_journal)
{
	static const unsigned sizes[] = {2, 3, 8};
	unsigned flushes = 0;
	seq_t tail;

	open_fx((struct fx_config){11, 2, sizes[_i], 2, 0});
	fx_reopen(f, 1);
	for (unsigned i = 0; i < 20000; i++) {
		struct replay_entry *e = &entries[entry_count];

		ops[entry_count++] = NULL;
		*e = (struct replay_entry){.at = {i / 200 + 1,
						  (uint16_t)(i % 200)}};
		if (i % 2 == 0 || i > 19000)
			e->entry.new_mapping = (struct mapping){FX_FIRST, 1};
		if (i % 2 == 1)
			e->entry.old_mapping = (struct mapping){FX_FIRST, 1};
	}
	f->seq = entry_count / 200 + 1;
	f->dev.log_count = 0;
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replay(f, entries, entry_count), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	check_summary();
	tail = f->d->slabs[0].journal->tail;
	ck_assert_uint_eq(tail, 1 + (20499 + SLAB_ENTRIES_MAX) / SLAB_ENTRIES_MAX);
	for (unsigned i = 0; i < f->dev.log_count; i++)
		flushes += f->dev.log[i].op == VDO_DEVICE_FLUSH;
	ck_assert_uint_gt(flushes, 2);
	for (unsigned i = 0; i < 4096; i++)
		ck_assert_int_eq(f->holds[i], 0);
	/* Once more: nothing is left to do. */
	fx_reopen(f, 2);
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replay(f, entries, entry_count), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	check_summary();
	ck_assert_uint_eq(f->d->slabs[0].journal->tail, tail);
	entry_count = 0;
}
END_TEST

/* No memory and no I/O at any moment: a clean error, and it can be repeated. */
START_TEST(nth_of_replay_fails)
{
	unsigned seed = 5;
	int r = -ENOMEM;

	open_fx((struct fx_config){11, SLABS, 8, 2, 0});
	work(&seed, 200);
	fx_crash(f, 2, &seed);
	for (unsigned long n = 1; r != 0; n++) {
		if (_i == 0)
			alloc_fail_at(n);
		else
			f->dev.fail_in = (long)n;
		r = fx_load_journals(f);
		if (r == 0)
			r = fx_replay(f, entries, entry_count);
		if (r == 0)
			r = fx_replayed(f);
		alloc_fail_at(0);
		f->dev.fail_in = 0;
		ck_assert_int_eq(r != 0 && r != -ENOMEM,
				 readonly_entered(&f->ro));
		if (r != 0) {
			ck_assert_int_le(fx_drain(f, false), 0);
			fx_crash(f, 1 + n % 3, &seed);
		}
	}
	ck_assert_int_eq(fx_start(f), 0);
	compare();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("depot_replay");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, replays, 0, 28);
	tcase_add_loop_test(tc, named_block_stays, 0, 16);
	tcase_add_loop_test(tc, names_offset_0, 0, 5);
	tcase_add_loop_test(tc, room_for_the_next_crash, 0, 5);
	tcase_add_loop_test(tc, replays_after_rebuild, 0, 3);
	tcase_add_test(tc, applied_once);
	tcase_add_loop_test(tc, fills_a_journal, 0, 3);
	tcase_add_loop_test(tc, nth_of_replay_fails, 0, 2);
	return unit_run();
}
