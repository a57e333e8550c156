/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slab journals: images, boundaries, stops, thresholds, reaping.
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;

static void open_fx(struct fx_config c)
{
	f = fx_create(c);
	ck_assert_int_eq(fx_load(f, true), 0);
}

static void setup(void)
{
	open_fx((struct fx_config){13, 4, 224, 1, 0});
}

static void teardown(void)
{
	fx_destroy(f);
}

static struct slab_journal *journal(unsigned slab)
{
	return f->d->slabs[slab].journal;
}

static pbn_t journal_block(unsigned slab, seq_t seq)
{
	return slabjournal_start(&f->d->slabs[slab]) +
	       seq % f->d->slab.slab_journal_blocks;
}

static struct slab_journal_header header_at(unsigned slab, seq_t seq)
{
	struct slab_journal_header h;

	slab_journal_header_decode(fx_block(f, journal_block(slab, seq)), &h);
	return h;
}

static void commit_all(void)
{
	depot_commit_tails(f->d, UINT64_MAX);
	fx_run(f);
}

static void hold_writes(pbn_t from, uint64_t n)
{
	f->dev.hold_from = from;
	f->dev.hold_to = from + n;
}

static void at(seq_t seq, uint16_t entry)
{
	f->seq = seq;
	f->entry = entry;
}

/* A block, locked; the next in its slab. */
static pbn_t take(void)
{
	return fx_allocate(f, 0, NULL)->pbn;
}

/* One reference up and down again, @n entries in all. */
static void toggle(pbn_t pbn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(
			fx_adjust(f, pbn,
				  i % 2 ? REFS_DECREMENT : REFS_INCREMENT),
			0);
}

/* ------------------------------------------------------------------ images */

/* The example of the format's description, section 12.2. */
START_TEST(image)
{
	static const uint8_t head[] = {
		1,    0,    0,	  0,	0,    0,    0, 0, 1,	0, 0, 0,
		0,    0,    0,	  0,			  /* head, seq */
		0x11, 0,    1,	  0,	0,    0,    0, 0, /* recovery point (1,
							     17) */
		0x72, 0x48, 0xc9, 0xe4, 0xd7, 0x60, 6, 0, /* nonce */
		2,    1,    8,	  0, /* type, flag, entries */
		0,    0,    0x80, 1,	0,    0x80, 2, 0, 0x80, 3, 0, 0x80,
		4,    0,    0x80, 4,	0,    0x80, 6, 0, 0x80, 6, 0, 0,
	};
	static const uint8_t counts[] = {7,    0,    1,	   0,	 0, 0, 0, 0,
					 0xfe, 0xfe, 0xfe, 0xfe, 2, 0, 0, 0};
	pbn_t pbn[7];
	uint8_t *block;

	for (int i = 0; i < 7; i++)
		ck_assert_uint_eq(pbn[i] = take(), FX_FIRST + i);
	for (uint16_t i = 0; i < 4; i++) {
		at(1, i);
		fx_adjust(f, pbn[i], REFS_MAP_INCREMENT);
	}
	at(1, 4);
	fx_adjust(f, pbn[4], REFS_INCREMENT);
	at(1, 6);
	fx_adjust(f, pbn[4], REFS_INCREMENT);
	fx_adjust(f, pbn[6], REFS_INCREMENT);
	fx_adjust(f, pbn[6], REFS_DECREMENT);
	ck_assert_int_eq(fx_drain(f, true), 0);

	ck_assert_uint_eq(journal_block(0, 1), 687158);
	block = fx_block(f, 687158);
	ck_assert_mem_eq(block, head, sizeof(head));
	ck_assert_uint_eq(block[0xf5d], 0x0f);
	ck_assert_uint_eq(block[0xf5e], 0);
	ck_assert_mem_eq(fx_block(f, 687155), counts, sizeof(counts));
	ck_assert_mem_eq(fx_block(f, 687155) + 512, counts, 8);
	ck_assert_mem_eq(fx_block(f, 687156), counts, 8);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[0], 2);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1], 0x7e);
}
END_TEST

START_TEST(out_of_order)
{
	pbn_t pbn = take();

	at(5, 7);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
	at(5, 7); /* the other half comes behind it */
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_DECREMENT), 0);
	at(5, 7);
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), -VDO_ECORRUPT);
	ck_assert(readonly_entered(&f->ro));
	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), -VDO_EREADONLY);
}
END_TEST

/* -------------------------------------------------------------- boundaries */

START_TEST(boundaries)
{
	static const struct {
		const char *name;
		unsigned before; /* data entries before the map increment */
		unsigned after;
		unsigned first; /* entries in block 1; 0: not written yet */
		bool flag;
		bool partial;
	} cases[] = {
		{"one less than full", 1352, 0, 0, false, false},
		{"full of data", 1353, 0, 1353, false, false},
		{"map increment first", 0, 1, 0, true, false},
		{"full with map, one less", 0, 1298, 0, true, false},
		{"full with map", 0, 1299, 1299, true, false},
		{"map increment last", 1298, 1, 1299, true, false},
		{"no room for a bitmap", 1299, 1, 1299, false, true},
		{"far behind it", 1352, 1, 1352, false, true},
	};
	pbn_t page = take();
	pbn_t data = take();
	bool busy;

	toggle(data, cases[_i].before);
	hold_writes(f->sb.partitions[PARTITION_SUMMARY].start, 1);
	if (cases[_i].after > 0) {
		struct fx_adjust *a =
			fx_adjust_start(f, page, REFS_MAP_INCREMENT);

		busy = !a->over;
		ck_assert_int_eq(busy, cases[_i].partial);
		if (!busy)
			toggle(data, cases[_i].after - 1);
		fx_release(f);
		ck_assert(a->over);
		ck_assert_int_eq(a->op.done.result, 0);
		free(a);
	} else {
		fx_release(f);
	}
	if (cases[_i].first == 0) {
		ck_assert_uint_eq(journal(0)->tail, 1);
		ck_assert_int_eq(journal(0)->has_map, cases[_i].flag);
		return;
	}
	ck_assert_uint_eq(journal(0)->tail, 2);
	ck_assert_uint_eq(header_at(0, 1).entries, cases[_i].first);
	ck_assert_int_eq(header_at(0, 1).has_map_increments, cases[_i].flag);
	ck_assert_uint_eq(journal(0)->entries, cases[_i].partial);
}
END_TEST

/* I10: nothing follows a partial block until the summary tells of it. */
START_TEST(partial_stops)
{
	struct fx_adjust *a, *b;
	pbn_t pbn = take();

	toggle(pbn, 3);
	hold_writes(FX_SUMMARY(f), 1);
	commit_all();
	ck_assert_uint_eq(f->dev.held_count, 1);
	ck_assert_uint_eq(header_at(0, 1).entries, 3);
	a = fx_adjust_start(f, pbn, REFS_INCREMENT);
	b = fx_adjust_start(f, pbn, REFS_DECREMENT);
	ck_assert(!a->over && !b->over);
	ck_assert_uint_eq(journal(0)->entries, 0);
	ck_assert_int_eq(f->holds[1], 1);
	fx_release(f);
	ck_assert(a->over && b->over);
	ck_assert_uint_eq(journal(0)->entries, 2);
	ck_assert_uint_eq(journal(0)->tail, 2);
	free(a);
	free(b);
}
END_TEST

/* A full block stops nobody. */
START_TEST(full_does_not_stop)
{
	pbn_t pbn = take();

	hold_writes(f->d->slabs[0].start + f->d->slab.data_blocks, 226);
	toggle(pbn, 3 * 1353 + 1);
	ck_assert_uint_eq(journal(0)->tail, 4);
	ck_assert_uint_eq(f->dev.held_count, 3);
	fx_release(f);
	ck_assert_uint_eq(journal(0)->summarized, 4);
}
END_TEST

/* D5: each summary write comes behind a flush that followed the block. */
START_TEST(order_of_writes)
{
	pbn_t pbn = take();
	unsigned block = 0, flush = 0, summary = 0;

	toggle(pbn, 1);
	f->dev.log_count = 0;
	commit_all();
	for (unsigned i = 0; i < f->dev.log_count; i++) {
		if (f->dev.log[i].op == VDO_DEVICE_FLUSH)
			flush = i;
		else if (f->dev.log[i].pbn == journal_block(0, 1))
			block = i + 1;
		else if (f->dev.log[i].pbn == FX_SUMMARY(f))
			summary = i;
	}
	ck_assert_uint_eq(block, 1);
	ck_assert_uint_gt(flush, 0);
	ck_assert_uint_gt(summary, flush);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[0], 2);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0xc0, 0x80);
}
END_TEST

/* -------------------------------------------------- recovery journal holds */

START_TEST(holds)
{
	pbn_t pbn = take();

	at(10, 0);
	toggle(pbn, 2);
	at(11, 0);
	toggle(pbn, 2);
	ck_assert_int_eq(f->holds[10], 1);
	ck_assert_int_eq(f->holds[11], 0);
	depot_commit_tails(f->d, 9);
	fx_run(f);
	ck_assert_uint_eq(journal(0)->tail, 1);
	hold_writes(FX_SUMMARY(f), 1);
	depot_commit_tails(f->d, 10);
	fx_run(f);
	ck_assert_uint_eq(journal(0)->tail, 2);
	ck_assert_int_eq(f->holds[10], 1); /* I6 */
	fx_release(f);
	ck_assert_int_eq(f->holds[10], 0);
}
END_TEST

static void write_in(struct fx *fx, void *arg)
{
	struct slab *s = arg;

	fx->by_hand = true; /* nobody has a lock on it */
	ck_assert_int_eq(depot_activate_slab(s, true), 0);
	refs_claim(s, 0);
}

/* Journals are committed by the age of what they hold, not by that of their
 * first use. */
START_TEST(by_age)
{
	static const seq_t seqs[] = {12, 10, 13, 11};

	for (unsigned i = 0; i < 4; i++) {
		fx_on(f, 0, write_in, &f->d->slabs[i]);
		at(seqs[i], 0);
		ck_assert_int_eq(
			fx_adjust(f, f->d->slabs[i].start, REFS_INCREMENT), 0);
	}
	for (seq_t head = 9; head <= 13; head++) {
		depot_commit_tails(f->d, head);
		fx_run(f);
		for (unsigned i = 0; i < 4; i++)
			ck_assert_uint_eq(journal(i)->tail,
					  seqs[i] <= head ? 2 : 1);
	}
	ck_assert(list_empty(&f->d->zones[0].open_tails));
}
END_TEST

/* -------------------------------------------------------------- thresholds */

static void partial_block(pbn_t pbn)
{
	toggle(pbn, 2);
	commit_all();
}

START_TEST(thresholds)
{
	const struct slab_config *c = &f->d->slab;
	pbn_t pbn = take();
	pbn_t counts = f->d->slabs[0].start + c->data_blocks;
	struct fx_adjust *a;
	struct depot_stats s;

	ck_assert_uint_eq(f->d->deadline, 203);
	for (unsigned i = 0; i < c->flushing_threshold; i++)
		partial_block(pbn);
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.reference_blocks_written, 0);
	ck_assert_uint_eq(s.journal_flush, 0);
	/* Two blocks are dirty, with time until the deadline: one is written;
	 * it is held back. */
	hold_writes(counts, 1);
	partial_block(pbn);
	ck_assert_uint_eq(f->dev.held_count, 1);
	while (journal(0)->tail - journal(0)->head < c->blocking_threshold)
		partial_block(pbn);
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.journal_blocked, 0);
	a = fx_adjust_start(f, pbn, REFS_INCREMENT);
	ck_assert(!a->over);
	commit_all(); /* asking for more does no harm */
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.journal_blocked, 1);
	ck_assert_uint_eq(journal(0)->head, 1); /* I8 */
	fx_release(f);
	ck_assert(a->over);
	ck_assert_uint_gt(journal(0)->head, 1);
	commit_all();
	/* The head has moved, so the counts count. */
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0x40, 0x40);
	ck_assert_uint_gt(header_at(0, journal(0)->tail - 1).head, 1);
	free(a);
}
END_TEST

/* D6: the head moves after a flush that follows the counts' last write. */
START_TEST(reaped_after_flush)
{
	pbn_t pbn = take();
	struct vdo_device_io *write;

	partial_block(pbn);
	refs_write_all(&f->d->slabs[0]);
	hold_writes(f->d->slabs[0].start + f->d->slab.data_blocks, 2);
	fx_run(f);
	ck_assert_uint_eq(f->dev.held_count, 2);
	/* Both come back, but no flush from now on. */
	f->dev.hold_flushes = true;
	for (unsigned i = 0; i < 2; i++) {
		write = f->dev.held[0];
		f->dev.held[0] = f->dev.held[--f->dev.held_count];
		write->complete(write, 0);
		fx_run(f);
	}
	ck_assert_uint_eq(f->d->slabs[0].writing, 0);
	ck_assert_uint_eq(journal(0)->locks[1].count, 0);
	ck_assert_uint_eq(journal(0)->head, 1);
	fx_release(f);
	ck_assert_uint_eq(journal(0)->head, 2);
}
END_TEST

/*
 * The counts have let go of the first block and changed again, so no summary
 * entry has the load flag yet. It comes with the next one, as the head is beyond
 * the first block, and so the ring of 4 may go on to offset 0.
 */
START_TEST(head_moves_before_flag)
{
	struct slab_journal *sj;
	const struct slab *s;
	pbn_t pbn;

	fx_destroy(f);
	open_fx((struct fx_config){10, 1, 4, 1, 0});
	s = &f->d->slabs[0];
	pbn = take();
	sj = journal(0);
	partial_block(pbn);
	refs_write_all(&f->d->slabs[0]);
	hold_writes(s->start + f->d->slab.data_blocks, 1);
	fx_run(f);
	ck_assert_uint_eq(f->dev.held_count, 1);
	toggle(pbn, 2);
	fx_release(f);
	ck_assert_uint_eq(sj->head, 2);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0xc0, 0x80);
	hold_writes(journal_block(0, 2), 1);
	while (sj->tail == 2)
		toggle(pbn, 2);
	toggle(pbn, 2);
	ck_assert_uint_eq(sj->tail, 3);
	ck_assert_uint_gt(sj->entries, 1);
	fx_release(f);
	commit_all();
	ck_assert_uint_eq(fx_entry(f, 0, 0)[0], 0);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0x40, 0x40);
}
END_TEST

/*
 * The counts are durable, and the head is beyond the first blocks, but the
 * summary does not say so yet: after a crash replay begins at the first one. The
 * ring of 5 must have room for what waits now then, too.
 */
START_TEST(what_waits_has_room_in_replay)
{
	const struct slab_config *c;
	struct slab_journal *sj;
	struct fx_adjust *a;
	pbn_t pbn;

	fx_destroy(f);
	open_fx((struct fx_config){10, 1, 5, 1, 0});
	c = &f->d->slab;
	ck_assert_uint_eq(c->blocking_threshold, 3);
	pbn = take();
	sj = journal(0);
	for (unsigned i = 0; i < 2; i++)
		partial_block(pbn);
	hold_writes(FX_SUMMARY(f), 1);
	refs_write_all(&f->d->slabs[0]);
	fx_run(f);
	ck_assert_uint_eq(sj->head, 3);
	toggle(pbn, SLAB_ENTRIES_MAX);
	ck_assert_uint_eq(sj->tail, 4);
	a = fx_adjust_start(f, pbn, REFS_DECREMENT);
	ck_assert(!a->over);
	ck_assert_uint_eq(sj->tail, 4);
	fx_release(f);
	ck_assert(a->over);
	free(a);
}
END_TEST

/* No size of the ring gets stuck, nor is a block overwritten that is needed. */
START_TEST(every_size)
{
	unsigned size = (unsigned)_i;
	struct depot_stats s;
	pbn_t pbn;

	fx_destroy(f);
	open_fx((struct fx_config){10, 1, size, 1, 0});
	pbn = take();
	for (unsigned i = 0; i < 3 * size + 5; i++) {
		partial_block(pbn);
		ck_assert_uint_le(journal(0)->tail - journal(0)->head, size);
	}
	ck_assert_uint_eq(journal(0)->tail, 3 * size + 6);
	depot_get_stats(f->d, &s);
	if (size >= 16)
		ck_assert_uint_eq(s.journal_disk_full, 0);
	/* The summary names each block when it is in the journal. */
	ck_assert_uint_eq(fx_entry(f, 0, 0)[0], journal(0)->tail % size);
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[1] & 0xc0, 0x40);
	fx_reopen(f, 1);
	ck_assert_int_eq(fx_load(f, false), 0);
	ck_assert_uint_eq(journal(0)->tail, 3 * size + 6);
}
END_TEST

/* -------------------------------------------------------------------- runs */

#define PAIRS_MAX 217u /* in a block of the recovery journal */

/* A run of entries, with a new and an old block each. */
struct pairs {
	struct refs_op op;
	bool over;
	struct mapping news[PAIRS_MAX];
	struct journal_change olds[PAIRS_MAX];
};

static void pairs_done(struct completion *c)
{
	container_of(c, struct pairs, op.done)->over = true;
}

static void adjust_pairs(struct fx *fx, void *arg)
{
	struct pairs *p = arg;

	if (depot_adjust(fx->d, &p->op))
		p->over = true;
}

static struct mapping leads_to(pbn_t pbn)
{
	return (struct mapping){pbn, pbn != ZERO_BLOCK};
}

/* Entry @i: 0 is for no block. */
static void set_pair(struct pairs *p, unsigned i, pbn_t new, pbn_t old)
{
	ck_assert_uint_lt(i, PAIRS_MAX);
	p->news[i] = leads_to(new);
	p->olds[i] = (struct journal_change){.old = leads_to(old)};
}

/* Count @n blocks, of which the first is a new or an old one, in entry @first of
 * those that begin with entry @entry of block @seq. */
static void start_pairs(struct pairs *p, seq_t seq, unsigned entry,
			unsigned first, unsigned n)
{
	bool is_new = p->op.kind == REFS_INCREMENT;

	p->over = false;
	p->op.pbn = is_new ? p->news[first].pbn : p->olds[first].old.pbn;
	p->op.point = (struct journal_point){seq, (uint16_t)(entry + first)};
	p->op.more = &p->olds[first];
	p->op.news = &p->news[first];
	p->op.more_count = n - 1;
	completion_init(&p->op.done, f->sync_queue, pairs_done);
	fx_on(f, depot_zone_of(f->d, p->op.pbn), adjust_pairs, p);
}

static struct pairs *make_pairs(enum refs_kind first)
{
	struct pairs *p = calloc(1, sizeof(*p));

	p->op.kind = first;
	return p;
}

/* What block @seq of the journal of slab 0 holds. */
static struct slab_journal_entry entry_at(seq_t seq, unsigned i)
{
	struct slab_journal_entry e;

	slab_journal_get(fx_block(f, journal_block(0, seq)), false, i, &e);
	return e;
}

static void check_entry(seq_t seq, unsigned i, pbn_t pbn, bool increment)
{
	struct slab_journal_entry e = entry_at(seq, i);

	ck_assert_uint_eq(e.offset, pbn - f->d->slabs[0].start);
	ck_assert_int_eq(e.increment, increment);
	ck_assert(!e.map);
}

/*
 * New and old blocks of one slab are counted in the order of the entries, the new
 * one of an entry before its old one (I11); those of other slabs, and entries for
 * none, are passed over. A recovery point has twice the number of the entry, and
 * one more for its old block.
 */
START_TEST(pairs_in_order)
{
	pbn_t other = slab_start(&f->d->geo, 1);
	struct pairs *p;
	pbn_t b[4];

	for (unsigned i = 0; i < 4; i++) {
		b[i] = take();
		ck_assert_int_eq(fx_adjust(f, b[i], REFS_INCREMENT), 0);
	}
	commit_all();
	p = make_pairs(REFS_DECREMENT);
	set_pair(p, 0, b[0], other);	     /* before it */
	set_pair(p, 1, other, b[0]);	     /* -0 */
	set_pair(p, 2, ZERO_BLOCK, other);
	set_pair(p, 3, b[1], b[2]);	     /* +1 -2 */
	set_pair(p, 4, ZERO_BLOCK, ZERO_BLOCK);
	set_pair(p, 5, b[3], ZERO_BLOCK);    /* +3 */
	set_pair(p, 6, b[3], b[3]);	     /* +3 -3 */
	set_pair(p, 7, other, other + 1);
	set_pair(p, 8, ZERO_BLOCK, b[1]);    /* -1 */
	set_pair(p, 9, b[2], b[2]);	     /* behind it */
	start_pairs(p, 2, 7, 1, 7);
	ck_assert(p->over);
	ck_assert_int_eq(p->op.done.result, 0);
	commit_all();
	ck_assert_uint_eq(header_at(0, 2).entries, 7);
	ck_assert_uint_eq(header_at(0, 2).recovery_point.seq, 2);
	ck_assert_uint_eq(header_at(0, 2).recovery_point.entry,
			  2 * (7 + 8) + 1);
	check_entry(2, 0, b[0], false);
	check_entry(2, 1, b[1], true);
	check_entry(2, 2, b[2], false);
	check_entry(2, 3, b[3], true);
	check_entry(2, 4, b[3], true);
	check_entry(2, 5, b[3], false);
	check_entry(2, 6, b[1], false);
	free(p);
}
END_TEST

static void release_buffers(struct fx *fx, void *arg);

/* A run goes on in the next block of the slab journal, also between the new and the
 * old block of an entry; if it must wait for that block, it goes on where it was. */
START_TEST(pairs_over_blocks)
{
	static const unsigned left[] = {1, 2, 3, 100, 2 * PAIRS_MAX - 1};
	unsigned room = left[_i / 2], n = 2 * PAIRS_MAX;
	bool waits = _i % 2 != 0;
	struct pairs *p = make_pairs(REFS_INCREMENT);
	struct meta_io *ios[DEPOT_BUFFERS];
	pbn_t pbn[2] = {take(), take()};

	ck_assert_int_eq(fx_adjust(f, pbn[1], REFS_INCREMENT), 0);
	toggle(pbn[0], SLAB_ENTRIES_MAX - room - 1);
	for (unsigned i = 0; waits && i < DEPOT_BUFFERS; i++)
		ios[i] = metaio_take(&f->d->zones[0], NULL);
	for (unsigned i = 0; i < PAIRS_MAX; i++)
		set_pair(p, i, pbn[i % 2], pbn[1 - i % 2]);
	start_pairs(p, 100, 0, 0, n);
	ck_assert_int_eq(p->over, !waits);
	if (waits)
		fx_on(f, 0, release_buffers, ios);
	ck_assert(p->over);
	ck_assert_int_eq(p->op.done.result, 0);
	commit_all();
	ck_assert_uint_eq(header_at(0, 1).entries, SLAB_ENTRIES_MAX);
	ck_assert_uint_eq(header_at(0, 1).recovery_point.entry,
			  room - 1);
	ck_assert_uint_eq(header_at(0, 2).entries, n - room);
	ck_assert_uint_eq(header_at(0, 2).recovery_point.entry,
			  2 * PAIRS_MAX - 1);
	for (unsigned i = 0; i < n; i++) {
		unsigned which = i / 2 % 2 == i % 2 ? 0 : 1;

		if (i < room)
			check_entry(1, SLAB_ENTRIES_MAX - room + i, pbn[which],
				    i % 2 == 0);
		else
			check_entry(2, i - room, pbn[which], i % 2 == 0);
	}
	free(p);
}
END_TEST

/* Read-only mode ends a run that waits. */
START_TEST(read_only_in_pairs)
{
	struct pairs *p = make_pairs(REFS_INCREMENT);
	pbn_t pbn = take();

	toggle(pbn, 2);
	hold_writes(FX_SUMMARY(f), 1);
	commit_all();
	set_pair(p, 0, pbn, ZERO_BLOCK);
	set_pair(p, 1, pbn, ZERO_BLOCK);
	start_pairs(p, 100, 0, 0, 2);
	ck_assert(!p->over);
	readonly_enter(&f->ro, -EIO, "test");
	fx_run(f);
	ck_assert(p->over);
	ck_assert_int_eq(p->op.done.result, -VDO_EREADONLY);
	fx_release(f);
	free(p);
}
END_TEST

/* --------------------------------------------------------------- read-only */

/* Whatever an entry waits for, read-only mode ends the wait. */
START_TEST(read_only_releases)
{
	struct meta_io *ios[DEPOT_BUFFERS];
	struct fx_adjust *a;
	pbn_t pbn = take();
	unsigned n = 0;

	toggle(pbn, 2);
	switch (_i) {
	case 0: /* a buffer */
		for (; n < DEPOT_BUFFERS; n++)
			ios[n] = metaio_take(&f->d->zones[0], NULL);
		break;
	case 1: /* the journal's write */
		hold_writes(journal_block(0, 1), 1);
		break;
	case 2: /* the summary's */
		hold_writes(FX_SUMMARY(f), 1);
		break;
	}
	commit_all();
	a = fx_adjust_start(f, pbn, REFS_INCREMENT);
	ck_assert(!a->over);
	readonly_enter(&f->ro, -EIO, "test");
	fx_run(f);
	ck_assert(a->over);
	ck_assert_int_eq(a->op.done.result, -VDO_EREADONLY);
	free(a);
	ck_assert_int_eq(fx_drain(f, true), -EINPROGRESS);
	while (n > 0)
		metaio_release(ios[--n]);
	fx_release(f);
	ck_assert_int_eq(fx_result(f), -VDO_EREADONLY);
}
END_TEST

static void release_buffers(struct fx *fx, void *arg)
{
	struct meta_io **ios = arg;

	for (unsigned i = 0; i < DEPOT_BUFFERS; i++)
		metaio_release(ios[i]);
}

/* With all buffers taken the tail waits, and is written when one is back. */
START_TEST(tail_busy)
{
	struct meta_io *ios[DEPOT_BUFFERS];
	struct fx_adjust *a;
	struct depot_stats s;
	pbn_t pbn = take();

	for (unsigned i = 0; i < DEPOT_BUFFERS; i++)
		ios[i] = metaio_take(&f->d->zones[0], NULL);
	toggle(pbn, 1353);
	a = fx_adjust_start(f, pbn, REFS_DECREMENT);
	ck_assert(!a->over);
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.journal_tail_busy, 1);
	fx_on(f, 0, release_buffers, ios);
	ck_assert(a->over);
	ck_assert_int_eq(a->op.done.result, 0);
	ck_assert_uint_eq(header_at(0, 1).entries, 1353);
	free(a);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("slabjournal");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, image);
	tcase_add_test(tc, out_of_order);
	tcase_add_loop_test(tc, boundaries, 0, 8);
	tcase_add_test(tc, partial_stops);
	tcase_add_test(tc, full_does_not_stop);
	tcase_add_test(tc, order_of_writes);
	tcase_add_test(tc, holds);
	tcase_add_test(tc, by_age);
	tcase_add_test(tc, thresholds);
	tcase_add_test(tc, reaped_after_flush);
	tcase_add_test(tc, head_moves_before_flag);
	tcase_add_test(tc, what_waits_has_room_in_replay);
	tcase_add_loop_test(tc, every_size, 2, 257);
	tcase_add_test(tc, pairs_in_order);
	tcase_add_loop_test(tc, pairs_over_blocks, 0, 10);
	tcase_add_test(tc, read_only_in_pairs);
	tcase_add_loop_test(tc, read_only_releases, 0, 3);
	tcase_add_test(tc, tail_busy);
	return unit_run();
}
