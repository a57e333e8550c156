/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of blocks: what is allocated together lies together, and no block is lost
 * to a run, at the end of a slab, of the volume, or of the depot.
 */
#include "tests/unit/depot_fixture.h"

#include "io/device.h"
#include "tests/lib/unit.h"

#define RUN   64u /* as in depot/alloc.c */
#define SLABS 3u

/* Those that a block can be asked for in. */
#define STREAMS (DATA_STREAMS + 1)

static struct fx *f;

static void open_zones(unsigned zones)
{
	f = fx_create((struct fx_config){10, SLABS, 8, zones, 0});
	ck_assert_int_eq(fx_load(f, true), 0);
}

static void setup(void)
{
	open_zones(1);
}

static void teardown(void)
{
	fx_destroy(f);
}

struct taken {
	struct alloc_op op;
	bool over;
};

static void done(struct completion *c)
{
	container_of(c, struct taken, op.done)->over = true;
}

static void take(struct fx *fx, void *arg)
{
	struct taken *t = arg;

	if (depot_allocate(fx->d, &t->op))
		t->over = true;
}

/* A page if @stream is PAGE_STREAM. The result, and the block. */
static int ask(unsigned zone, unsigned stream, pbn_t *pbn)
{
	struct taken t = {
		.op.type = stream == PAGE_STREAM ? PBN_LOCK_MAP_WRITE
						 : PBN_LOCK_WRITE,
		.op.zone = zone,
		.op.stream = stream,
	};

	completion_init(&t.op.done, f->queues[zone], done);
	fx_on(f, zone, take, &t);
	ck_assert(t.over);
	*pbn = t.op.lock != NULL ? pbnlock_pbn(t.op.lock) : 0;
	if (t.op.lock != NULL && stream != PAGE_STREAM)
		ck_assert_int_eq(fx_adjust(f, *pbn, REFS_INCREMENT), 0);
	else if (t.op.lock != NULL)
		ck_assert_int_eq(fx_adjust(f, *pbn, REFS_MAP_INCREMENT), 0);
	if (t.op.lock != NULL)
		fx_unlock(f, t.op.lock);
	return t.op.done.result;
}

/* Allocate, and make the first reference. */
static pbn_t get(unsigned zone, unsigned stream)
{
	pbn_t pbn;

	ck_assert_int_eq(ask(zone, stream, &pbn), 0);
	return pbn;
}

static uint64_t allocated(void)
{
	struct depot_stats s;

	depot_get_stats(f->d, &s);
	return s.allocated;
}

/* Requests of several streams come by turns: each stream's blocks are
 * neighbours, run by run, and those of pages are too. */
START_TEST(streams_lie_apart)
{
	pbn_t last[STREAMS];

	for (unsigned i = 0; i < 2 * RUN; i++)
		for (unsigned k = 0; k < STREAMS; k++) {
			pbn_t pbn = get(0, k);

			if (i % RUN != 0)
				ck_assert_uint_eq(pbn, last[k] + 1);
			else
				ck_assert_uint_eq((pbn - FX_FIRST) % RUN, 0);
			last[k] = pbn;
		}
}
END_TEST

/* One stream that is alone gets neighbours beyond the end of a run; numbers of
 * streams that are equal modulo their count are one. */
START_TEST(one_stream)
{
	for (unsigned i = 0; i < 3 * RUN; i++)
		ck_assert_uint_eq(get(0, i * DATA_STREAMS + 1), FX_FIRST + i);
}
END_TEST

struct moved {
	struct pbn_lock *lock;
	unsigned zone;
};

static void move(struct fx *fx, void *arg)
{
	struct moved *m = arg;

	m->lock = depot_move(fx->d, m->zone, m->lock);
}

/* A block of @stream that is exchanged; its lock, and what it was before. */
static struct pbn_lock *get_moved(unsigned stream, pbn_t *before)
{
	struct taken t = {
		.op.type = PBN_LOCK_WRITE,
		.op.stream = stream,
	};
	struct moved m;

	completion_init(&t.op.done, f->queues[0], done);
	fx_on(f, 0, take, &t);
	ck_assert(t.over);
	ck_assert_ptr_nonnull(t.op.lock);
	*before = pbnlock_pbn(t.op.lock);
	m.lock = t.op.lock;
	m.zone = t.op.zone;
	fx_on(f, 0, move, &m);
	return m.lock;
}

/* What two streams take by turns and exchange lies side by side; the blocks that
 * they had are free again. */
START_TEST(compressed_lie_together)
{
	uint64_t free_blocks = SLABS * f->d->geo.data_blocks;
	pbn_t last = 0;

	for (unsigned i = 0; i < 2 * RUN; i++) {
		pbn_t unused, pbn;
		struct pbn_lock *lock = get_moved(i % 2, &unused);

		pbn = pbnlock_pbn(lock);
		ck_assert_uint_ne(pbn, unused);
		if (i % RUN != 0)
			ck_assert_uint_eq(pbn, last + 1);
		ck_assert_uint_eq(allocated(), i + 1);
		ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
		fx_unlock(f, lock);
		last = pbn;
	}
	/* The rest of the volume, down to the last block. */
	for (uint64_t n = 2 * RUN; n < free_blocks; n++)
		(void)get(0, 0);
	ck_assert_uint_eq(allocated(), free_blocks);
}
END_TEST

/* Where there is no other block, the one that there is does as well. */
START_TEST(last_block_is_not_moved)
{
	uint64_t free_blocks = SLABS * f->d->geo.data_blocks;
	struct pbn_lock *lock;
	pbn_t before;

	for (uint64_t n = 1; n < free_blocks; n++)
		(void)get(0, 0);
	lock = get_moved(0, &before);
	ck_assert_uint_eq(pbnlock_pbn(lock), before);
	fx_unlock(f, lock);
	ck_assert_uint_eq(allocated(), free_blocks - 1);
}
END_TEST

/* Runs that others began and left serve who comes, to the very last block: from
 * any zone, for any stream and for pages. */
START_TEST(to_the_last_block)
{
	static const unsigned zones[] = {1, 2, 3};
	unsigned count = zones[(unsigned)_i / STREAMS];
	unsigned last = (unsigned)_i % STREAMS;
	uint8_t seen[SLABS << 10] = {0};
	uint64_t n;
	pbn_t pbn;

	open_zones(count);
	n = SLABS * f->d->geo.data_blocks;
	for (uint64_t i = 0; i < n; i++) {
		/* Each stream begins a run, then only @last goes on. */
		pbn = get((unsigned)i % count,
			  i < n / 2 ? (unsigned)(i / count) % STREAMS
				    : last);
		ck_assert(is_data_block(&f->d->geo, pbn));
		ck_assert_uint_eq(seen[pbn - FX_FIRST]++, 0);
	}
	for (unsigned z = 0; z < count; z++)
		for (unsigned k = 0; k < STREAMS; k++)
			ck_assert_int_eq(ask(z, k, &pbn), -ENOSPC);
	ck_assert_uint_eq(allocated(), n);
}
END_TEST

/* Blocks that were freed in the part of a run that is to come are handed out,
 * and those in use there are not. */
START_TEST(used_blocks_within)
{
	struct slab *s;

	get(0, 0);
	s = &f->d->slabs[0];
	for (unsigned i = 1; i < RUN; i++)
		ck_assert_uint_eq(get(0, 0), FX_FIRST + i);
	/* The slab is closed and opened again: odd blocks are in use. */
	for (uint64_t i = RUN; i < SLABS * f->d->geo.data_blocks; i++)
		get(0, 0);
	for (unsigned i = 0; i < 4 * RUN; i += 2)
		ck_assert_int_eq(fx_adjust(f, s->start + i, REFS_DECREMENT),
				 0);
	for (unsigned i = 0; i < RUN; i += 2) {
		ck_assert_uint_eq(get(0, 0), s->start + i);
		ck_assert_uint_eq(get(0, 1), s->start + RUN + i);
	}
}
END_TEST

/* A run ends with its slab: the next one begins without what was left. */
START_TEST(slab_is_switched)
{
	uint32_t left;

	for (unsigned k = 0; k < STREAMS; k++)
		get(0, k);
	for (left = f->d->slabs[0].free_count; left > 0; left--)
		ck_assert_uint_eq(slab_of(&f->d->geo, get(0, 2)), 0);
	/* What is freed in runs of the old slab is not given out of them. */
	for (unsigned i = 0; i < RUN; i++)
		ck_assert_int_eq(fx_adjust(f, FX_FIRST + i, REFS_DECREMENT),
				 0);
	for (unsigned k = 0; k < DATA_STREAMS; k++)
		ck_assert_uint_eq(get(0, k),
				  slab_start(&f->d->geo, 1) + k * RUN);
}
END_TEST

/* A run is nothing on disk, nor in a count: what is left of it is free after
 * closing, crashing, and all along. */
static void check_free(unsigned used)
{
	uint64_t n = SLABS * f->d->geo.data_blocks;
	uint64_t left = 0;
	pbn_t pbn;

	ck_assert_uint_eq(allocated(), used);
	for (unsigned i = 0; i < SLABS; i++)
		left += f->d->slabs[i].free_count;
	ck_assert_uint_eq(left, n - used);
	for (uint64_t i = used; i < n; i++)
		get(0, 3);
	ck_assert_int_eq(ask(0, 3, &pbn), -ENOSPC);
}

START_TEST(given_back_at_close)
{
	for (unsigned k = 0; k < STREAMS; k++)
		get(0, k);
	ck_assert_int_eq(fx_drain(f, true), 0);
	fx_reopen(f, 1);
	ck_assert_int_eq(fx_load(f, false), 0);
	check_free(STREAMS);
}
END_TEST

START_TEST(given_back_by_a_crash)
{
	unsigned seed = (unsigned)_i;

	for (unsigned k = 0; k < STREAMS; k++)
		get(0, k);
	ck_assert_int_eq(fx_drain(f, true), 0); /* references are on disk */
	ck_assert_int_eq(fx_resume(f), 0);
	for (unsigned k = 0; k < DATA_STREAMS; k++) {
		int r;

		/* Provisional when it crashes; a run is less than that. */
		ck_assert_ptr_nonnull(fx_allocate(f, 0, &r));
	}
	fx_crash(f, 1, &seed);
	ck_assert_int_eq(fx_load_journals(f), 0);
	ck_assert_int_eq(fx_replayed(f), 0);
	ck_assert_int_eq(fx_start(f), 0);
	check_free(STREAMS);
}
END_TEST

/* Suspended and resumed, streams go on where they were. */
START_TEST(kept_while_suspended)
{
	pbn_t at[STREAMS];

	for (unsigned k = 0; k < STREAMS; k++)
		at[k] = get(0, k);
	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_int_eq(fx_resume(f), 0);
	for (unsigned k = 0; k < STREAMS; k++)
		ck_assert_uint_eq(get(0, k), at[k] + 1);
	check_free(2 * STREAMS);
}
END_TEST

/* Read-only, nothing is taken, from no run. */
START_TEST(read_only)
{
	pbn_t pbn;

	for (unsigned k = 0; k < STREAMS; k++)
		get(0, k);
	readonly_enter(&f->ro, -EIO, "test");
	fx_run(f);
	for (unsigned k = 0; k < STREAMS; k++)
		ck_assert_int_eq(ask(0, k, &pbn), -VDO_EREADONLY);
	ck_assert_uint_eq(allocated(), STREAMS);
}
END_TEST

static int no_room(void *ctx, uint64_t offset, uint64_t length)
{
	(void)ctx;
	(void)offset;
	(void)length;
	return -ENOSPC;
}

/* A page that gets no storage takes no block: the next op has it. */
START_TEST(page_without_storage)
{
	static const struct device_file_ops full = {.reserve = no_room};
	pbn_t pbn, first = get(0, PAGE_STREAM);

	f->d->slabs[0].reserved_end = 0;
	f->device->file = &full;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(ask(0, PAGE_STREAM, &pbn), -ENOSPC);
	f->device->file = NULL;
	for (unsigned i = 1; i < RUN; i++)
		ck_assert_uint_eq(get(0, PAGE_STREAM), first + i);
	check_free(RUN);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("runs");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, streams_lie_apart);
	tcase_add_test(tc, one_stream);
	tcase_add_test(tc, compressed_lie_together);
	tcase_add_test(tc, last_block_is_not_moved);
	tcase_add_test(tc, used_blocks_within);
	tcase_add_test(tc, slab_is_switched);
	tcase_add_test(tc, given_back_at_close);
	tcase_add_loop_test(tc, given_back_by_a_crash, 0, 8);
	tcase_add_test(tc, kept_while_suspended);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, page_without_storage);
	tc = unit_case("full");
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, to_the_last_block, 0, 3 * STREAMS);
	return unit_run();
}
