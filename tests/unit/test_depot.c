/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The depot as a whole: space, save and load, errors, drains, crashes.
 */
#include "tests/unit/depot_fixture.h"

#include "base/alloc.h"
#include "tests/lib/unit.h"

static struct fx *f;

static void open_fx(struct fx_config c)
{
	f = fx_create(c);
	ck_assert_int_eq(fx_load(f, true), 0);
}

static void teardown(void)
{
	fx_destroy(f);
}

static uint64_t allocated(void)
{
	struct depot_stats s;

	depot_get_stats(f->d, &s);
	return s.allocated;
}

static uint8_t count_of(pbn_t pbn)
{
	struct slab *s = slab_at(f->d, pbn);

	return s->counts == NULL ? 0 : s->counts[pbn - s->start];
}

/* I27 */
static void check_sums(void)
{
	uint64_t sum = 0;

	for (uint64_t n = 0; n < f->d->geo.slab_count; n++) {
		struct slab *s = &f->d->slabs[n];
		uint32_t used = 0, by_block = 0;

		for (uint32_t i = 0; s->counts && i < f->d->geo.data_blocks;
		     i++)
			used += s->counts[i] != 0;
		for (uint32_t i = 0; s->blocks && i < f->d->ref_blocks; i++)
			by_block += s->blocks[i].allocated;
		ck_assert_uint_eq(s->free_count, f->d->geo.data_blocks - used);
		ck_assert_uint_eq(by_block, used);
		sum += used;
	}
	ck_assert_uint_eq(allocated(), sum);
}

static void hold_writes(pbn_t from, uint64_t n)
{
	f->dev.hold_from = from;
	f->dev.hold_to = from + n;
}

/* ------------------------------------------------------------------- space */

START_TEST(placement)
{
	const struct slab_geometry *g;

	open_fx((struct fx_config){10, 7, 8, 3, 0});
	g = depot_geometry(f->d);
	ck_assert_uint_eq(depot_zone_count(f->d), 3);
	for (unsigned n = 0; n < 7; n++) {
		pbn_t first = slab_start(g, n);

		ck_assert_uint_eq(depot_zone_of(f->d, first), n % 3);
		ck_assert_uint_eq(
			depot_zone_of(f->d, first + g->data_blocks - 1), n % 3);
	}
	for (unsigned z = 0; z < 3; z++)
		ck_assert_ptr_eq(depot_queue(f->d, z), f->queues[z]);
}
END_TEST

/* Every block once, from whatever zone it is asked for; then no more. */
START_TEST(until_full)
{
	static const unsigned zones[] = {1, 2, 3, 16};
	uint64_t n;
	uint8_t *seen;
	int r;

	open_fx((struct fx_config){10, 5, 8, zones[_i], 0});
	n = 5 * f->d->geo.data_blocks;
	seen = calloc(5 << 10, 1);
	for (uint64_t i = 0; i < n; i++) {
		pbn_t pbn = fx_write(f, (unsigned)i % zones[_i]);

		ck_assert(is_data_block(&f->d->geo, pbn));
		ck_assert_uint_eq(seen[pbn - FX_FIRST]++, 0);
	}
	for (unsigned z = 0; z < zones[_i]; z++) {
		ck_assert_ptr_null(fx_allocate(f, z, &r));
		ck_assert_int_eq(r, -ENOSPC);
	}
	check_sums();
	/* What is freed is found again, and nothing else. */
	for (uint64_t i = 0; i < n; i += 97) {
		pbn_t pbn = slab_start(&f->d->geo, i % 5) + i / 5;

		ck_assert_int_eq(fx_adjust(f, pbn, REFS_DECREMENT), 0);
		ck_assert_uint_eq(seen[pbn - FX_FIRST]--, 1);
	}
	for (uint64_t i = 0; i < n; i += 97)
		ck_assert_uint_eq(seen[fx_write(f, 0) - FX_FIRST]++, 0);
	ck_assert_ptr_null(fx_allocate(f, 0, &r));
	ck_assert_int_eq(r, -ENOSPC);
	check_sums();
	free(seen);
}
END_TEST

/* Streams get ascending addresses within a slab. */
START_TEST(sequential)
{
	open_fx((struct fx_config){10, 3, 8, 1, 0});
	for (unsigned i = 0; i < 100; i++)
		ck_assert_uint_eq(fx_write(f, 0), FX_FIRST + i);
}
END_TEST

static void use(struct fx *fx, void *arg)
{
	struct slab *s = arg;

	fx->by_hand = true;
	ck_assert_int_eq(depot_activate_slab(s, true), 0);
	slabjournal_set(s->journal, 2, 2, 0, true); /* it was used */
	prioq_remove(&s->zone->slabs, &s->node);
	alloc_enlist(s);
}

/* Drop the lock, and keep its block. */
static void forget(struct fx *fx, void *arg)
{
	struct pbn_lock *lock = arg;

	fx->by_hand = true;
	lock->provisional = false;
	depot_unlock(fx->d, depot_zone_of(fx->d, lock->pbn), lock);
}

/* Slabs by preference: used and mostly free, never used, used and fuller. */
START_TEST(preference)
{
	struct slab *slabs;
	uint32_t n, want[3];

	open_fx((struct fx_config){13, 3, 8, 1, 0});
	slabs = f->d->slabs;
	n = (uint32_t)f->d->geo.data_blocks;
	fx_on(f, 0, use, &slabs[0]); /* fuller: 1/4 free */
	for (uint32_t i = 0; i < n - n / 4; i++)
		refs_claim(&slabs[0], i);
	fx_on(f, 0, use, &slabs[2]);
	for (uint32_t i = 0; i < n / 8; i++)
		refs_claim(&slabs[2], i); /* 7/8 free */
	want[0] = 2;
	want[1] = 1;
	want[2] = 0;
	for (unsigned k = 0; k < 3; k++) {
		uint32_t left = slabs[want[k]].free_count;

		for (uint32_t i = 0; i < left; i++) {
			struct pbn_lock *lock = fx_allocate(f, 0, NULL);

			ck_assert_uint_eq(slab_of(&f->d->geo, lock->pbn),
					  want[k]);
			fx_on(f, 0, forget, lock);
		}
	}
}
END_TEST

/* ------------------------------------------------------------------ memory */

static bool has_memory(unsigned slab)
{
	return f->d->slabs[slab].journal != NULL;
}

/* Take blocks until the zone is about to open another slab. */
static void fill_open_slab(unsigned zone)
{
	const struct slab *s = f->d->zones[zone].open;

	while (s->free_count > 0)
		fx_write(f, zone);
}

/* A request finds the memory that it needs: the next slab has it in time. */
START_TEST(prepared)
{
	open_fx((struct fx_config){10, 6, 8, 1, 0});
	ck_assert(has_memory(0) && !has_memory(1));
	for (unsigned n = 0; n < 6; n++) {
		fx_write(f, 0);
		ck_assert_ptr_eq(f->d->zones[0].open, &f->d->slabs[n]);
		fx_run(f);
		ck_assert(n == 5 || has_memory(n + 1));
		ck_assert(n >= 4 || !has_memory(n + 2));
		fill_open_slab(0);
	}
}
END_TEST

static void free_one(unsigned slab)
{
	pbn_t pbn = slab_start(&f->d->geo, slab) + 5;

	ck_assert_int_eq(fx_adjust(f, pbn, REFS_DECREMENT), 0);
}

/* All requests for memory fail from now on: what has memory is used to the last
 * block, and then the reason is told. */
START_TEST(memory_runs_out)
{
	unsigned zones = 1 + (unsigned)_i;
	int r;

	open_fx((struct fx_config){10, 6, 8, zones, 0});
	fx_write(f, 0);
	fill_open_slab(0);
	fx_write(f, 0); /* opens another, and has a third prepared */
	fx_run(f);
	free_one(0);
	alloc_fail_from(1);
	for (uint64_t left = 2 * f->d->geo.data_blocks - 1 + 1 +
			     (zones - 1) * f->d->geo.data_blocks;
	     left > 0; left--)
		ck_assert_uint_ne(fx_write(f, 0), 0);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_ptr_null(fx_allocate(f, i % zones, &r));
		ck_assert_int_eq(r, -ENOMEM);
	}
	ck_assert(!readonly_entered(&f->ro));
	/* A slab that is fuller than any that was never used. */
	free_one(0);
	ck_assert_uint_eq(slab_of(&f->d->geo, fx_write(f, 0)), 0);
	ck_assert_ptr_null(fx_allocate(f, 0, &r));
	ck_assert_int_eq(r, -ENOMEM);
	/* There is memory again. */
	alloc_fail_from(0);
	ck_assert_uint_ge(slab_of(&f->d->geo, fx_write(f, 0)), 3);
	check_sums();
	for (;;) {
		struct pbn_lock *lock = fx_allocate(f, 0, &r);

		if (lock == NULL)
			break;
		fx_on(f, depot_zone_of(f->d, lock->pbn), forget, lock);
	}
	ck_assert_int_eq(r, -ENOSPC);
}
END_TEST

#define BURST 2500u

struct burst {
	struct alloc_op ops[BURST];
	unsigned at_once, over;
};

static void burst_over(struct completion *c)
{
	struct burst *b = c->owner;

	ck_assert_int_eq(c->result, 0);
	b->over++;
}

static void burst_allocate(struct fx *fx, void *arg)
{
	struct burst *b = arg;

	alloc_fail_from(1);
	for (unsigned i = 0; i < BURST; i++) {
		struct alloc_op *op = &b->ops[i];

		op->type = PBN_LOCK_WRITE;
		op->zone = 0;
		completion_init(&op->done, fx->queues[0], burst_over);
		op->done.owner = b;
		if (!depot_allocate(fx->d, op))
			continue;
		ck_assert_int_eq(op->done.result, 0);
		b->at_once++;
	}
	alloc_fail_from(0);
}

/* More in one turn than is ready: no request asks for memory, the rest waits
 * for a message that does. */
START_TEST(more_than_is_ready)
{
	struct burst *b = calloc(1, sizeof(*b));

	open_fx((struct fx_config){10, 5, 8, 1, 0});
	fx_on(f, 0, burst_allocate, b);
	fx_run(f);
	ck_assert_uint_eq(b->at_once, f->d->geo.data_blocks);
	ck_assert_uint_eq(b->at_once + b->over, BURST);
	for (unsigned i = 0; i < BURST; i++)
		fx_unlock(f, b->ops[i].lock);
	check_sums();
	free(b);
}
END_TEST

/* ----------------------------------------------------------- save and load */

static void random_work(unsigned *seed, unsigned n, uint8_t *want)
{
	pbn_t live[4096];
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++) {
		pbn_t pbn;

		if (count < 64 || (count < 4096 && rand_r(seed) % 3 == 0)) {
			pbn = fx_write(f, (unsigned)rand_r(seed) % f->zones);
			live[count++] = pbn;
			want[pbn - FX_FIRST] = 1;
		} else {
			unsigned k = (unsigned)rand_r(seed) % count;
			bool up;

			pbn = live[k];
			up = want[pbn - FX_FIRST] < 254 && rand_r(seed) % 2;
			ck_assert_int_eq(
				fx_adjust(f, pbn,
					  up ? REFS_INCREMENT : REFS_DECREMENT),
				0);
			want[pbn - FX_FIRST] += (uint8_t)(up ? 1 : -1);
			if (want[pbn - FX_FIRST] == 0)
				live[k] = live[--count];
		}
		if (rand_r(seed) % 64 == 0) {
			depot_commit_tails(f->d, f->seq);
			fx_run(f);
		}
	}
}

static void compare(const uint8_t *want)
{
	for (unsigned i = 0; i < 20 << 10; i++)
		if (is_data_block(&f->d->geo, FX_FIRST + i))
			ck_assert_uint_eq(count_of(FX_FIRST + i), want[i]);
	check_sums();
}

START_TEST(save_and_load)
{
	static const unsigned zones[] = {1, 2, 3, 16, 7, 1, 4};
	uint8_t *want = calloc(20 << 10, 1);
	unsigned seed = 1;

	open_fx((struct fx_config){10, 20, 16, 1, 0});
	for (size_t k = 0; k < ARRAY_SIZE(zones); k++) {
		if (k == 0)
			random_work(&seed, 5000, want);
		ck_assert_int_eq(fx_drain(f, true), 0);
		compare(want);
		for (unsigned n = 0; n < 20; n++)
			ck_assert(!summary_get(&f->d->slabs[n]).dirty);
		for (unsigned i = 0; i < 4096; i++)
			ck_assert_int_eq(f->holds[i], 0);
		/* Saved is saved: a crash afterwards takes nothing away, but
		 * for the flush that the super block's write brings. */
		ck_assert_int_eq(fx_drain(f, true), 0);
		fx_reopen(f, zones[k]);
		ck_assert_int_eq(fx_load(f, false), 0);
		compare(want);
	}
	/* Nothing provisional is left behind (I26). */
	fx_allocate(f, 0, NULL);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 2);
	ck_assert_int_eq(fx_load(f, false), 0);
	compare(want);
	free(want);
}
END_TEST

/* Blocks with a provisional reference when the entry was written are free
 * without another entry of the journal. */
START_TEST(provisional_is_free_in_hints)
{
	struct pbn_lock *locks[400];
	uint64_t blocks;

	open_fx((struct fx_config){10, 1, 16, 1, 0});
	blocks = f->d->geo.data_blocks;
	for (unsigned i = 0; i < ARRAY_SIZE(locks); i++)
		locks[i] = fx_allocate(f, 0, NULL);
	ck_assert_int_eq(fx_adjust(f, slab_start(&f->d->geo, 0),
				   REFS_INCREMENT),
			 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		ck_assert_uint_eq(slab_summary_decode(fx_entry(f, 0, 0)).hint,
				  slab_summary_hint(10, blocks - 1));
		for (unsigned i = 0; pass == 0 && i < ARRAY_SIZE(locks); i++)
			fx_unlock(f, locks[i]);
		ck_assert_int_eq(fx_drain(f, true), 0);
	}
	ck_assert_uint_eq(slab_summary_decode(fx_entry(f, 0, 0)).hint,
			  slab_summary_hint(10, blocks - 1));
}
END_TEST

/* What nobody used is neither read nor given memory. */
START_TEST(pristine_is_free)
{
	unsigned reads = 0;

	open_fx((struct fx_config){13, 50, 224, 2, 0});
	fx_write(f, 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 2);
	f->dev.log_count = 0;
	ck_assert_int_eq(fx_load(f, false), 0);
	for (unsigned i = 0; i < f->dev.log_count; i++)
		reads += f->dev.log[i].op == VDO_DEVICE_READ;
	ck_assert_uint_eq(reads, 3); /* summary, tail, counts */
	/* But for the next one of each zone. */
	for (unsigned n = 1; n < 50; n++)
		ck_assert_int_eq(f->d->slabs[n].journal != NULL,
				 n == 1 || n == 2);
}
END_TEST

/* --------------------------------------------------------------- scrubbing */

/* A slab of four entries on disk, its counts never written. */
static void unscrubbed(pbn_t *pbn)
{
	open_fx((struct fx_config){10, 1, 8, 1, 0});
	*pbn = fx_write(f, 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(fx_adjust(f, *pbn, REFS_INCREMENT), 0);
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	fx_reopen(f, 1);
}

static const struct {
	const char *name;
	unsigned offset;
	uint8_t value;
	int want;
} journal_cases[] = {
	{"as it is", 34, 4, 0},
	{"entries less", 34, 3, 0},
	{"entries for no flag", 35, 6, -VDO_ECORRUPT},
	{"decrement from nothing", 38, 0, -VDO_ECORRUPT},
	{"offset behind the data", 37, 0x7f, -VDO_ECORRUPT},
	{"head in the future", 0, 9, -VDO_ECORRUPT},
	{"head zero", 0, 0, -VDO_ECORRUPT},
	{"foreign nonce", 24, 0, -VDO_ECORRUPT},
	{"another type", 32, 7, -VDO_ECORRUPT},
	{"sequence", 8, 9, -VDO_ECORRUPT},
	{"sequence of another place", 8, 2, -VDO_ECORRUPT},
	{"sequence zero", 8, 0, -VDO_ECORRUPT},
	{"sequence, impossible", 15, 0x80, -VDO_ECORRUPT},
	{"recovery point, impossible", 17, 7, -VDO_ECORRUPT},
	{"recovery point, later than all entries", 18, 200, -VDO_ECORRUPT},
	{"map increment of a used block", 33, 1, 0},
};

START_TEST(damaged_journal)
{
	pbn_t pbn;
	int r;

	unscrubbed(&pbn);
	fx_block(f, FX_FIRST + f->sb.slab.data_blocks + 1 +
			    1)[journal_cases[_i].offset] =
		journal_cases[_i].value;
	r = fx_load(f, false);
	ck_assert_int_eq(r, journal_cases[_i].want);
	ck_assert_int_eq(readonly_entered(&f->ro), r != 0);
	if (_i == 0) {
		ck_assert_uint_eq(count_of(pbn), 4);
		ck_assert(!summary_get(&f->d->slabs[0]).dirty);
		ck_assert(summary_get(&f->d->slabs[0]).load);
		check_sums();
	}
}
END_TEST

/* A slab that was saved, in a volume that was closed in good order: its newest
 * journal block is read for where to go on. */
enum { SUMMARY, TAIL, COUNTS };

static const struct {
	const char *name;
	unsigned where, offset;
	uint64_t value;
	unsigned size;
	int want;
} clean_cases[] = {
	{"as it is", TAIL, 8, 1, 8, 0},
	{"tail offset outside", SUMMARY, 0, 8, 1, -VDO_ECORRUPT},
	{"tail offset, largest", SUMMARY, 0, 255, 1, -VDO_ECORRUPT},
	{"tail moved, no flag", SUMMARY, 1, 0x3f, 1, -VDO_ECORRUPT},
	{"tail offset of no block", SUMMARY, 0, 5, 1, -VDO_ECORRUPT},
	{"tail back at the beginning", SUMMARY, 0, 0, 1, -VDO_ECORRUPT},
	{"foreign nonce", TAIL, 24, 5, 8, -VDO_ECORRUPT},
	{"another type", TAIL, 32, 3, 1, -VDO_ECORRUPT},
	{"sequence of another place", TAIL, 8, 2, 8, -VDO_ECORRUPT},
	{"sequence zero", TAIL, 8, 0, 8, -VDO_ECORRUPT},
	{"sequence at its end", TAIL, 8, SEQ_MAX + 1, 8, -VDO_ECORRUPT},
	{"sequence near 2^64", TAIL, 8, UINT64_MAX - 6, 8, -VDO_ECORRUPT},
	{"head zero", TAIL, 0, 0, 8, -VDO_ECORRUPT},
	{"head in the future", TAIL, 0, 2, 8, -VDO_ECORRUPT},
	{"recovery point at the tail", TAIL, 16, UINT64_C(1000) << 16, 8,
	 -VDO_ECORRUPT},
	{"recovery point below", TAIL, 16, UINT64_C(999) << 16, 8, 0},
	{"recovery point, impossible", TAIL, 16, 434, 8, -VDO_ECORRUPT},
	{"entries", TAIL, 34, 1354, 2, -VDO_ECORRUPT},
	{"counts of the next block", COUNTS, 0, 2u << 16, 8, -VDO_ECORRUPT},
	{"counts of the last sector", COUNTS, 7 * 512, 9u << 16, 8,
	 -VDO_ECORRUPT},
	{"counts of no entry", COUNTS, 0, 1u << 16 | 1353, 8, -VDO_ECORRUPT},
	{"counts, impossible", COUNTS, 0, UINT64_MAX, 8, -VDO_ECORRUPT},
	{"counts of block 0", COUNTS, 0, 1, 8, -VDO_ECORRUPT},
	{"counts of nothing yet", COUNTS, 0, 0, 8, 0},
};

START_TEST(damaged_clean_slab)
{
	uint8_t bytes[8], *at;
	pbn_t pbn, counts;
	int r;

	open_fx((struct fx_config){10, 1, 8, 1, 0});
	pbn = fx_write(f, 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	f->sb.state = VOLUME_CLEAN;
	f->sb.journal_start = 1000;
	fx_reopen(f, 1);
	counts = FX_FIRST + f->sb.slab.data_blocks;
	at = clean_cases[_i].where == SUMMARY ? fx_entry(f, 0, 0)
	     : clean_cases[_i].where == TAIL  ? fx_block(f, counts + 2)
					      : fx_block(f, counts);
	put_u64(bytes, clean_cases[_i].value);
	memcpy(at + clean_cases[_i].offset, bytes, clean_cases[_i].size);
	r = fx_load(f, false);
	ck_assert_int_eq(r, clean_cases[_i].want);
	ck_assert_int_eq(readonly_entered(&f->ro), r != 0);
	if (r == 0)
		ck_assert_uint_eq(count_of(pbn), 1);
}
END_TEST

/* What a rebuild leaves: counts of no entry, and a journal of zeroes. */
START_TEST(rebuilt_slab)
{
	pbn_t pbn, counts;

	open_fx((struct fx_config){10, 1, 8, 1, 0});
	pbn = fx_write(f, 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	counts = FX_FIRST + f->sb.slab.data_blocks;
	f->sb.state = _i & 1 ? VOLUME_CLEAN : VOLUME_DIRTY;
	f->sb.journal_start = 1000;
	fx_reopen(f, 1);
	fx_entry(f, 0, 0)[0] = 0;
	memset(fx_block(f, counts + 1), 0, 8 * BLOCK_SIZE);
	for (unsigned i = 0; i < 8; i++)
		put_u64(fx_block(f, counts) + i * SECTOR_SIZE,
			_i & 2 && i == 3 ? 1u << 16 : 0);
	/* Counts of an entry without a journal: it is damaged. */
	ck_assert_int_eq(fx_load(f, false), _i & 2 ? -VDO_ECORRUPT : 0);
	if (_i & 2)
		return;
	ck_assert_uint_eq(count_of(pbn), 1);
	ck_assert_uint_ne(fx_write(f, 0), pbn);
	ck_assert_int_eq(fx_drain(f, true), 0);
	check_sums();
}
END_TEST

/* The last sequence number is used; then the volume is read-only, and nobody
 * waits for ever. */
START_TEST(sequence_numbers_end)
{
	struct slab *s;
	struct pbn_lock *lock;
	int r;

	open_fx((struct fx_config){10, 1, 8, 1, 0});
	fx_write(f, 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 1);
	f->sb.journal_start = 1000;
	s = &f->d->slabs[0];
	/* Block 1 becomes one whose place in the ring is the same. */
	put_u64(fx_block(f, slabjournal_start(s) + 1), SEQ_MAX - 7);
	put_u64(fx_block(f, slabjournal_start(s) + 1) + 8, SEQ_MAX - 7);
	ck_assert_int_eq(fx_load(f, false), 0);
	for (unsigned i = 0; i < 6; i++) {
		fx_write(f, 0);
		ck_assert_int_eq(fx_drain(f, true), 0);
		ck_assert_uint_eq(s->journal->tail, SEQ_MAX - 5 + i);
	}
	lock = fx_allocate(f, 0, NULL);
	r = fx_adjust(f, lock->pbn, REFS_INCREMENT);
	ck_assert_int_eq(r, -VDO_EREADONLY);
	ck_assert_int_eq(atomic_load(&f->ro.reason), -EOVERFLOW);
	fx_unlock(f, lock);
	ck_assert_int_eq(fx_drain(f, true), -VDO_EREADONLY);
}
END_TEST

/* Only entries newer than the commit point of their sector are applied. */
START_TEST(torn_counts)
{
	uint8_t *block;
	pbn_t pbns[2];
	pbn_t counts;

	open_fx((struct fx_config){12, 1, 8, 1, 0});
	counts = FX_FIRST + f->d->slab.data_blocks;
	for (unsigned i = 0; i < 600; i++) {
		pbn_t pbn = fx_write(f, 0);

		if (i == 0)
			pbns[0] = pbn;
		if (i == 599)
			pbns[1] = pbn; /* in the second sector */
	}
	ck_assert_int_eq(fx_drain(f, true), 0);
	/* Two more entries in journal block 2, the counts not written. */
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(fx_adjust(f, pbns[i], REFS_INCREMENT), 0);
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	fx_reopen(f, 1);
	block = fx_block(f, counts);
	ck_assert_uint_eq(get_u64(block), 1u << 16 | 599);
	ck_assert_uint_eq(block[8], 1);
	if (_i & 1) { /* the first sector came through */
		put_u64(block, 2u << 16 | 1);
		block[8] = 2;
	}
	if (_i & 2) { /* the second sector */
		put_u64(block + 512, 2u << 16 | 1);
		block[512 + 8 + 599 - 504] = 2;
	}
	ck_assert_int_eq(fx_load(f, false), 0);
	ck_assert_uint_eq(count_of(pbns[0]), 2);
	ck_assert_uint_eq(count_of(pbns[1]), 2);
	ck_assert_uint_eq(count_of(pbns[0] + 1), 1);
	/* And the disk has it whole. */
	ck_assert_uint_eq(fx_block(f, counts)[8], 2);
	ck_assert_uint_eq(fx_block(f, counts)[512 + 8 + 599 - 504], 2);
}
END_TEST

/* ------------------------------------------------------------------ errors */

/* The Nth I/O fails: read-only or a good end, and never a hang. */
START_TEST(nth_io_fails)
{
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct fx_adjust *ops[80] = {0};
		unsigned count = 0;

		ck_assert_int_lt(n, 2000);
		f = fx_create((struct fx_config){10, 3, 3, 2, 0});
		ck_assert_int_eq(fx_load(f, true), 0);
		f->dev.fail_in = n;
		for (unsigned i = 0; i < 40; i++) {
			int r;
			struct pbn_lock *lock = fx_allocate(f, i % 2, &r);
			pbn_t pbn;

			if (lock == NULL) {
				ck_assert_int_eq(r, -VDO_EREADONLY);
				break;
			}
			pbn = lock->pbn;
			ops[count++] = fx_adjust_start(f, pbn, REFS_INCREMENT);
			fx_unlock(f, lock);
			depot_commit_tails(f->d, f->seq);
		}
		fx_run(f);
		for (unsigned i = 0; i < count; i++) {
			ck_assert(ops[i]->over);
			ck_assert(ops[i]->op.done.result == 0 ||
				  ops[i]->op.done.result == -VDO_EREADONLY);
			free(ops[i]);
		}
		ck_assert_int_eq(fx_drain(f, true),
				 readonly_entered(&f->ro) ? -VDO_EREADONLY : 0);
		failed = f->dev.fail_in == 0;
		ck_assert_int_eq(failed, readonly_entered(&f->ro));
		fx_destroy(f);
	}
	f = NULL;
}
END_TEST

/* An error is one of the volume, or was a read that went well when it was tried
 * again: then all counts are right. */
START_TEST(nth_io_of_load_fails)
{
	bool failed = true;
	unsigned read_only = 0;
	unsigned seed = 3;
	uint8_t *want = calloc(20 << 10, 1);

	open_fx((struct fx_config){10, 20, 16, 2, 0});
	random_work(&seed, 1000, want);
	depot_commit_tails(f->d, f->seq); /* dirty: there is much to scrub */
	for (long n = 1; failed; n++) {
		int result;

		fx_reopen(f, 2);
		f->dev.fail_in = n;
		result = fx_load(f, false);
		ck_assert_int_eq(result, atomic_load(&f->ro.reason));
		failed = f->dev.fail_in == 0;
		ck_assert(failed || !readonly_entered(&f->ro));
		if (readonly_entered(&f->ro))
			read_only++;
		else
			compare(want);
	}
	ck_assert_uint_gt(read_only, 0);
	free(want);
	fx_destroy(f);
	f = NULL;
}
END_TEST

START_TEST(no_memory)
{
	struct depot_config c = {0};
	struct depot *d = NULL;
	int r = -ENOMEM;

	open_fx((struct fx_config){10, 20, 16, 2, 0});
	fx_write(f, 0);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 2);
	for (unsigned long n = 1; r != 0; n++) {
		c = (struct depot_config){
			.zone_count = 2,
			.queues = f->queues,
			.storage = &f->storage,
			.sync = &f->sync,
			.readonly = &f->ro,
			.log = &f->logger,
			.sb = &f->sb,
			.locks_max = 16,
		};
		alloc_fail_at(n);
		r = depot_create(&c, &d);
		alloc_fail_at(0);
		ck_assert(r == 0 || (r == -ENOMEM && d == NULL));
	}
	depot_destroy(d);
	r = -ENOMEM;
	for (unsigned long n = 1; r != 0; n++) {
		fx_reopen(f, 2);
		alloc_fail_at(n);
		r = fx_load(f, false);
		alloc_fail_at(0);
		ck_assert(r == 0 || r == -ENOMEM);
	}
}
END_TEST

/* ------------------------------------------------------------------ drains */

/* A journal write and a count write are out; the drain is over after both. */
START_TEST(drain_either_order)
{
	bool save = _i & 1, journal_first = _i & 2;
	struct vdo_device_io *first, *second;
	pbn_t pbn;

	open_fx((struct fx_config){10, 1, 8, 1, 0});
	pbn = fx_write(f, 0);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
	hold_writes(FX_FIRST, 1024);
	depot_commit_tails(f->d, f->seq);
	fx_run(f);
	refs_write_all(&f->d->slabs[0]);
	fx_run(f);
	ck_assert_uint_eq(f->dev.held_count, 2);
	ck_assert_int_eq(fx_drain(f, save), -EINPROGRESS);
	first = f->dev.held[!journal_first];
	second = f->dev.held[journal_first];
	f->dev.held_count = 1;
	f->dev.held[0] = first;
	fx_release(f);
	ck_assert_int_eq(fx_result(f), -EINPROGRESS);
	f->dev.held_count = 1;
	f->dev.held[0] = second;
	fx_release(f);
	ck_assert_int_eq(fx_result(f), 0);
	if (save)
		ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0xc0, 0x40);
}
END_TEST

/* ----------------------------------------------------------------- crashes */

struct change {
	pbn_t pbn;
	enum refs_kind kind;
	uint64_t at; /* position in the slab's journal, packed */
	struct fx_adjust *op;
};

struct world {
	struct change changes[8192];
	unsigned count;
	struct fx_adjust *pending[16]; /* by slab */
	uint8_t live[16 << 10];
};

static bool is_idle(struct world *w, pbn_t pbn)
{
	struct fx_adjust *a = w->pending[slab_of(&f->d->geo, pbn)];

	return a == NULL || a->over;
}

static void make_change(struct world *w, pbn_t pbn, enum refs_kind kind)
{
	struct slab_journal *sj = slab_at(f->d, pbn)->journal;
	struct change *e = &w->changes[w->count++];

	e->pbn = pbn;
	e->kind = kind;
	e->at = point_pack((struct journal_point){sj->tail, sj->entries});
	e->op = fx_adjust_start(f, pbn, kind);
	w->pending[slab_of(&f->d->geo, pbn)] = e->op;
	w->live[pbn - FX_FIRST] += (uint8_t)(kind == REFS_DECREMENT ? -1 : 1);
}

static void hold_something(unsigned *seed)
{
	struct slab *s =
		&f->d->slabs[(unsigned)rand_r(seed) % f->d->geo.slab_count];

	switch (rand_r(seed) % 4) {
	case 0:
		hold_writes(FX_SUMMARY(f), 1);
		break;
	case 1:
		hold_writes(slabjournal_start(s),
			    f->d->slab.slab_journal_blocks);
		break;
	case 2:
		hold_writes(s->start + f->d->slab.data_blocks,
			    f->d->ref_blocks);
		break;
	case 3:
		fx_release(f);
		break;
	}
}

static void one_change(struct world *w, unsigned *seed)
{
	pbn_t pbn = FX_FIRST + (unsigned)rand_r(seed) % (16 << 10);

	if (is_data_block(&f->d->geo, pbn) && w->live[pbn - FX_FIRST] > 0) {
		if (is_idle(w, pbn))
			make_change(w, pbn,
				    rand_r(seed) % 3 ? REFS_INCREMENT
						     : REFS_DECREMENT);
	} else if (rand_r(seed) % 4 == 0) {
		struct fx_allocation *a = fx_allocate_start(f, 0);

		if (!a->over) /* the slab is loaded after something held */
			fx_release(f);
		ck_assert(a->over);
		if (is_idle(w, a->op.lock->pbn))
			make_change(w, a->op.lock->pbn, REFS_INCREMENT);
		fx_unlock(f, a->op.lock);
		free(a);
	}
	if (rand_r(seed) % 8 == 0) {
		depot_commit_tails(f->d, f->seq);
		fx_run(f);
	}
	if (rand_r(seed) % 32 == 0)
		hold_something(seed);
}

static uint64_t commit_point(pbn_t pbn)
{
	struct slab *s = slab_at(f->d, pbn);
	uint32_t i = (uint32_t)(pbn - s->start);
	uint8_t *block = fx_block(f, s->start + f->d->slab.data_blocks +
					     i / COUNTS_PER_BLOCK);

	return get_u64(block +
		       i % COUNTS_PER_BLOCK / COUNTS_PER_SECTOR * SECTOR_SIZE);
}

/*
 * After a crash each counter is the sum of exactly those entries that are in
 * the journal that the summary names, or are covered by its sector (I9, I10).
 */
static void crash_once(unsigned seed, unsigned journal_blocks, bool counts)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t *want = calloc(16 << 10, 1);
	seq_t flushed[16] = {0};
	bool load[16];
	uint64_t *points;

	open_fx((struct fx_config){11, 4, journal_blocks, 1, 0});
	if (!counts) { /* as few in memory as can be */
		f->counts_memory = 1;
		fx_reopen(f, 1);
		ck_assert_int_eq(fx_load(f, true), 0);
	}
	for (unsigned i = 0; i < 600; i++)
		one_change(w, &seed);
	for (unsigned n = 0; n < 4; n++)
		if (f->d->slabs[n].journal != NULL)
			flushed[n] = f->d->slabs[n].journal->flushed.tail;
	f->counts_memory = 0;
	fx_crash(f, 1, &seed);
	points = calloc(w->count, sizeof(*points));
	for (unsigned i = 0; i < w->count; i++)
		points[i] = commit_point(w->changes[i].pbn);
	for (unsigned n = 0; n < 4; n++)
		load[n] = slab_summary_decode(fx_entry(f, 0, n)).load;
	ck_assert_msg(fx_load(f, false) == 0, "seed=%u size=%u", seed,
		      journal_blocks);
	for (unsigned i = 0; i < w->count; i++) {
		struct change *e = &w->changes[i];
		uint64_t n = slab_of(&f->d->geo, e->pbn);
		struct slab *s = &f->d->slabs[n];
		seq_t tail = s->journal == NULL ? 1 : s->journal->tail;

		ck_assert_uint_ge(tail, flushed[n]);
		if (e->op->over && e->op->op.done.result == 0 &&
		    (point_unpack(e->at).seq < tail ||
		     (load[n] && e->at <= points[i])))
			want[e->pbn - FX_FIRST] +=
				(uint8_t)(e->kind == REFS_DECREMENT ? -1 : 1);
		free(e->op);
	}
	for (unsigned i = 0; i < 4 << 11; i++)
		if (is_data_block(&f->d->geo, FX_FIRST + i))
			ck_assert_uint_eq(count_of(FX_FIRST + i), want[i]);
	check_sums();
	fx_destroy(f);
	free(points);
	free(want);
	free(w);
}

/* What was committed is there after a crash, also in the first block of the
 * smallest ring, whose summary entry looks like that of an unused slab. */
START_TEST(first_block_survives)
{
	static const unsigned sizes[] = {2, 3, 224};
	struct summary_entry entry;
	pbn_t counts, pbn;

	open_fx((struct fx_config){10, 1, sizes[_i], 1, 0});
	/* Nobody has cleared the counts of a new volume. */
	counts = f->d->slabs[0].start + f->d->slab.data_blocks;
	memset(fx_block(f, counts), 0xff, f->d->ref_blocks * BLOCK_SIZE);
	pbn = fx_write(f, 0);
	ck_assert_uint_eq(count_of(pbn), 1);
	depot_commit_tails(f->d, UINT64_MAX);
	fx_run(f);
	ck_assert_uint_eq(f->d->slabs[0].journal->summarized, 2);
	/* We read the tail block of any dirty slab, others go by V 7.5. */
	entry = slab_summary_decode(fx_entry(f, 0, 0));
	ck_assert(entry.dirty && (entry.load || entry.tail_offset != 0));
	memcpy(f->dev.durable, f->dev.data, f->dev.blocks * BLOCK_SIZE);
	fx_crash(f, 1, &(unsigned){1});
	ck_assert_int_eq(fx_load(f, false), 0);
	ck_assert_uint_eq(count_of(pbn), 1);
	ck_assert_uint_eq(count_of(pbn + 1), 0);
	check_sums();
}
END_TEST

/* Who waits for space is told of each block that becomes free; @next is a block that
 * does so while the first message is on its way back. */
static struct {
	unsigned told;
	struct completion go;
	struct refs_op next;
} watch;

static void free_next(struct completion *c)
{
	ck_assert(c == &watch.go);
	ck_assert(depot_adjust(f->d, &watch.next));
}

static bool note_freed(void *arg, bool freed)
{
	ck_assert(arg == &watch && freed);
	if (++watch.told > 1)
		return true;
	completion_init(&watch.go, f->queues[0], free_next);
	completion_post(&watch.go);
	return true;
}

START_TEST(freed_is_told)
{
	pbn_t first, next;

	open_fx((struct fx_config){9, 2, 8, 1, 0});
	first = fx_write(f, 0);
	next = fx_write(f, 0);
	memset(&watch, 0, sizeof(watch));
	watch.next.kind = REFS_DECREMENT;
	watch.next.pbn = next;
	watch.next.point = (struct journal_point){f->seq, (uint16_t)(f->entry + 1)};
	completion_init(&watch.next.done, f->sync_queue, NULL);
	f->d->fill = (struct depot_fill){f->sync_queue, note_freed, &watch};
	ck_assert_int_eq(fx_adjust(f, first, REFS_DECREMENT), 0);
	ck_assert_uint_eq(watch.told, 0); /* nobody waits */
	first = fx_write(f, 0);
	watch.next.point.entry = (uint16_t)(f->entry + 1);
	depot_want_free(f->d, true);
	ck_assert_int_eq(fx_adjust(f, first, REFS_DECREMENT), 0);
	fx_run(f);
	ck_assert_uint_eq(count_of(next), 0);
	ck_assert_uint_eq(watch.told, 2);
	f->entry++;
}
END_TEST

START_TEST(crashes)
{
	static const unsigned sizes[] = {2, 3, 4, 5, 8, 16, 224};

	for (unsigned seed = 0; seed < 30; seed++)
		crash_once(seed * 1000 + (unsigned)_i, sizes[_i / 2], _i % 2);
	f = NULL;
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("depot");
	TCase *own = unit_case("failures");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, placement);
	tcase_add_loop_test(tc, until_full, 0, 4);
	tcase_add_test(tc, sequential);
	tcase_add_test(tc, preference);
	tcase_add_test(tc, prepared);
	tcase_add_loop_test(tc, memory_runs_out, 0, 2);
	tcase_add_test(tc, more_than_is_ready);
	tcase_add_test(tc, save_and_load);
	tcase_add_test(tc, provisional_is_free_in_hints);
	tcase_add_test(tc, pristine_is_free);
	tcase_add_loop_test(tc, damaged_journal, 0, ARRAY_SIZE(journal_cases));
	tcase_add_loop_test(tc, damaged_clean_slab, 0,
			    ARRAY_SIZE(clean_cases));
	tcase_add_loop_test(tc, rebuilt_slab, 0, 4);
	tcase_add_test(tc, sequence_numbers_end);
	tcase_add_loop_test(tc, torn_counts, 0, 4);
	tcase_add_test(tc, no_memory);
	tcase_add_loop_test(tc, drain_either_order, 0, 4);
	tcase_add_loop_test(tc, first_block_survives, 0, 3);
	tcase_add_test(tc, freed_is_told);
	tcase_add_test(own, nth_io_fails);
	tcase_add_test(own, nth_io_of_load_fails);
	tcase_add_loop_test(own, crashes, 0, 14);
	return unit_run();
}
