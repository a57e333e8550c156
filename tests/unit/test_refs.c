/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference counters of one slab.
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;
static struct slab *slab;

static void setup(void)
{
	f = fx_create((struct fx_config){13, 1, 224, 1, 0});
	ck_assert_int_eq(fx_load(f, true), 0);
	slab = &f->d->slabs[0];
	f->by_hand = true;
	ck_assert_int_eq(depot_activate_slab(slab, true), 0);
}

static void teardown(void)
{
	fx_destroy(f);
}

/* ------------------------------------------------------------------ search */

static void fill(uint8_t value)
{
	memset(slab->counts, value, f->d->geo.data_blocks);
	for (uint32_t i = 0; i < f->d->ref_blocks; i++)
		slab->blocks[i].allocated = (uint16_t)refs_block_size(slab, i);
}

static void set_free(uint32_t at, bool is_free)
{
	slab->counts[at] = is_free ? 0 : 1;
	slab->blocks[at / COUNTS_PER_BLOCK].allocated +=
		(uint16_t)(is_free ? -1 : 1);
}

static void check_every_position(uint32_t length)
{
	uint32_t found;

	f->d->geo.data_blocks = length;
	f->d->ref_blocks = (uint32_t)div_up(length, COUNTS_PER_BLOCK);
	fill(1);
	slab->cursor = 0;
	ck_assert(!refs_find(slab, &found));
	for (uint32_t at = 0; at < length; at++) {
		set_free(at, true);
		slab->cursor = 0;
		ck_assert(refs_find(slab, &found));
		ck_assert_uint_eq(found, at);
		/* It does not look behind the cursor, nor at one twice. */
		ck_assert(!refs_find(slab, &found));
		slab->cursor = at;
		ck_assert(refs_find(slab, &found));
		ck_assert_uint_eq(found, at);
		set_free(at, false);
	}
}

START_TEST(every_single_free_position)
{
	static const uint32_t lengths[] = {4031, 4032, 4033, 7966};

	for (uint32_t length = 32; length <= 96; length++)
		check_every_position(length);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		check_every_position(lengths[i]);
}
END_TEST

START_TEST(all_in_order)
{
	uint32_t found;

	for (uint32_t at = 0; at < f->d->geo.data_blocks; at++) {
		ck_assert(refs_find(slab, &found));
		ck_assert_uint_eq(found, at);
		refs_claim(slab, found);
	}
	ck_assert(!refs_find(slab, &found));
	ck_assert_uint_eq(slab->free_count, 0);
	ck_assert_uint_eq(slab->blocks[0].allocated, 4032);
	ck_assert_uint_eq(slab->blocks[1].allocated, 7966 - 4032);
}
END_TEST

/* ----------------------------------------------------------- counter table */

enum { BAD = -1 };

/* E 7.3, written down once more. */
static int want(enum refs_kind kind, int count, bool locked)
{
	switch (kind) {
	case REFS_INCREMENT:
		return count == 255 ? 1 : count == 254 ? BAD : count + 1;
	case REFS_MAP_INCREMENT:
		return count == 255 ? 254 : BAD;
	case REFS_DECREMENT:
		if (count == 0)
			return BAD;
		if (count == 1 || count == 255)
			return locked ? 255 : 0;
		return count - 1;
	}
	return BAD;
}

struct table_case {
	enum refs_kind kind;
	int count;
	bool locked;
};

static void set_count(uint32_t at, int count)
{
	fill(0);
	for (uint32_t i = 0; i < f->d->ref_blocks; i++) {
		slab->blocks[i].allocated = 0;
		slab->blocks[i].dirty = false;
		slab->blocks[i].lock = 0;
	}
	waitq_init(&slab->dirty);
	slab->counts[at] = (uint8_t)count;
	slab->blocks[0].allocated = count != 0;
	slab->free_count = 7966 - (count != 0);
	slab->provisional = count == COUNT_PROVISIONAL;
}

static void try_case(struct fx *fx, void *arg)
{
	const struct table_case *c = arg;
	struct journal_point at = {7, 5};
	struct pbn_lock *lock = NULL;
	int after = want(c->kind, c->count, c->locked);
	int r;

	set_count(5, c->count);
	slab->applied = 0;
	slab->journal->tail = 7;
	slab->journal->tail_lock = &slab->journal->locks[7];
	slab->journal->locks[7].count = 1;
	if (c->locked) {
		lock = pbnlock_get(slab, slab->start + 5, PBN_LOCK_READ);
		lock->provisional = c->count == 255;
	}
	r = refs_adjust(slab, 5, c->kind, at);
	ck_assert_int_eq(r, after == BAD ? -VDO_ECORRUPT : 0);
	ck_assert_int_eq(readonly_entered(&fx->ro), after == BAD);
	if (after != BAD) {
		bool dirty = c->kind != REFS_DECREMENT || c->count != 255;

		ck_assert_int_eq(slab->counts[5], after);
		ck_assert_uint_eq(slab->free_count, 7966 - (after != 0));
		ck_assert_uint_eq(slab->provisional,
				  after == COUNT_PROVISIONAL);
		ck_assert_uint_eq(slab->blocks[0].allocated, after != 0);
		ck_assert_int_eq(slab->blocks[0].dirty, dirty);
		ck_assert_uint_eq(slab->journal->locks[7].count, 1 + dirty);
		ck_assert_uint_eq(slab->applied, dirty ? point_pack(at) : 0);
		if (lock != NULL)
			ck_assert_int_eq(lock->provisional, after == 255);
	} else {
		ck_assert_int_eq(slab->counts[5], c->count);
	}
	atomic_store(&fx->ro.reason, 0);
	atomic_store(&fx->ro.told, false);
	atomic_store(&fx->storage.read_only, false);
	if (lock != NULL) {
		lock->provisional = false;
		depot_unlock(fx->d, 0, lock);
	}
	set_count(5, 0);
}

START_TEST(counter_table)
{
	static const enum refs_kind kinds[] = {REFS_INCREMENT, REFS_DECREMENT,
					       REFS_MAP_INCREMENT};

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int count = 0; count <= 255; count++)
			for (int locked = 0; locked < 2; locked++) {
				struct table_case c = {kinds[k], count, locked};

				fx_on(f, 0, try_case, &c);
			}
}
END_TEST

/* ----------------------------------------------------------------- on disk */

START_TEST(decoded)
{
	static const struct {
		const char *name;
		uint8_t value, want;
		bool allocated;
	} cases[] = {
		{"empty", 0, 0, false},		{"one", 1, 1, true},
		{"shared", 253, 253, true},	{"full", 254, 254, true},
		{"provisional", 255, 0, false},
	};
	uint8_t block[BLOCK_SIZE];
	uint64_t points[SECTORS_PER_BLOCK];
	uint32_t size = refs_block_size(slab, (uint32_t)_i & 1);
	uint32_t index = (uint32_t)_i & 1;

	_i /= 2; /* cases for both blocks */
	memset(block, cases[_i].value, sizeof(block));
	for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++)
		put_u64(block + i * SECTOR_SIZE, 1000 + i);
	refs_decode(slab, index, block, points);
	for (uint32_t i = 0; i < size; i++)
		ck_assert_uint_eq(slab->counts[index * COUNTS_PER_BLOCK + i],
				  cases[_i].want);
	ck_assert_uint_eq(slab->blocks[index].allocated,
			  cases[_i].allocated ? size : 0);
	for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++)
		ck_assert_uint_eq(points[i], 1000 + i);
}
END_TEST

START_TEST(encoded)
{
	uint8_t block[BLOCK_SIZE];
	uint64_t points[SECTORS_PER_BLOCK];
	uint32_t n = (uint32_t)f->d->geo.data_blocks;

	for (uint32_t i = 0; i < n; i++)
		slab->counts[i] = (uint8_t)(i % 251 + i / 4032);
	slab->counts[4] = COUNT_PROVISIONAL;
	slab->applied = UINT64_C(0x123450006);
	for (uint32_t b = 0; b < 2; b++) {
		memset(block, 0xaa, sizeof(block));
		refs_encode(slab, b, block);
		for (uint32_t k = 0; k < COUNTS_PER_BLOCK; k++) {
			uint32_t at = b * COUNTS_PER_BLOCK + k;
			uint8_t c = block[k / 504 * 512 + 8 + k % 504];

			ck_assert_uint_eq(
				c, at >= n || at == 4 ? 0 : slab->counts[at]);
		}
		refs_decode(slab, b, block, points);
		for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++)
			ck_assert_uint_eq(points[i], slab->applied);
	}
}
END_TEST

/* A block that changes while it is written is written again. */
START_TEST(changed_under_write)
{
	pbn_t counts = slab->start + f->d->slab.data_blocks;
	pbn_t a = fx_write(f, 0);
	pbn_t b;

	ck_assert_int_eq(fx_drain(f, true), 0);
	ck_assert_uint_eq(fx_block(f, counts)[8], 1);
	ck_assert_int_eq(fx_adjust(f, a, REFS_INCREMENT), 0);
	f->dev.hold_from = counts;
	f->dev.hold_to = counts + 1;
	ck_assert_int_eq(fx_drain(f, true), -EINPROGRESS);
	ck_assert_uint_eq(f->dev.held_count, 1);
	b = fx_write(f, 0);
	ck_assert(slab->blocks[0].dirty && slab->blocks[0].writing);
	fx_release(f); /* the drain goes on and writes it again */
	ck_assert_int_eq(fx_result(f), 0);
	ck_assert(!slab->blocks[0].dirty && !slab->blocks[0].writing);
	ck_assert_uint_eq(fx_block(f, counts)[8 + a - slab->start], 2);
	ck_assert_uint_eq(fx_block(f, counts)[8 + b - slab->start], 1);
}
END_TEST

static void write_all(struct fx *fx, void *arg)
{
	refs_write_all(arg);
}

/* D4: a flush comes before the block, and after what the block shows: later
 * changes are not in it. */
START_TEST(written_after_flush)
{
	pbn_t counts = slab->start + f->d->slab.data_blocks;
	pbn_t a = fx_write(f, 0);

	f->dev.hold_flushes = true;
	f->dev.log_count = 0;
	fx_on(f, 0, write_all, slab);
	ck_assert_uint_eq(slab->writing, f->d->ref_blocks);
	ck_assert_uint_eq(f->dev.held_count, 1);
	for (unsigned i = 0; i < f->dev.log_count; i++)
		ck_assert_int_ne(f->dev.log[i].op, VDO_DEVICE_WRITE);
	ck_assert_int_eq(fx_adjust(f, a, REFS_INCREMENT), 0);
	fx_release(f);
	ck_assert_uint_eq(slab->writing, 0);
	ck_assert_uint_eq(fx_block(f, counts)[8 + a - slab->start], 1);
	ck_assert(slab->blocks[0].dirty);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("refs");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_single_free_position);
	tcase_add_test(tc, all_in_order);
	tcase_add_test(tc, counter_table);
	tcase_add_loop_test(tc, decoded, 0, 10);
	tcase_add_test(tc, encoded);
	tcase_add_test(tc, changed_under_write);
	tcase_add_test(tc, written_after_flush);
	return unit_run();
}
