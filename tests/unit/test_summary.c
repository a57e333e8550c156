/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slab summary: entries, copies, writes that meet.
 */
#include "tests/unit/depot_fixture.h"

#include "tests/lib/unit.h"

static struct fx *f;

static void teardown(void)
{
	fx_destroy(f);
}

static void setup(void)
{
	f = fx_create((struct fx_config){10, 20, 8, 1, 0});
}

START_TEST(initial)
{
	ck_assert_int_eq(fx_load(f, true), 0);
	/* 1015 data blocks of 1024, in units of 16. */
	for (unsigned copy = 0; copy < 16; copy++)
		for (unsigned n = 0; n < SLABS_MAX; n++) {
			ck_assert_uint_eq(fx_entry(f, copy, n)[0], 0);
			ck_assert_uint_eq(fx_entry(f, copy, n)[1], 1015 >> 4);
		}
	ck_assert_uint_eq(f->dev.held_count, 0);
}
END_TEST

struct update {
	struct summary_op op;
	int result;
	unsigned order; /* 0: not done */
};

static unsigned order;

static void updated(struct summary_op *op, int result)
{
	struct update *u = container_of(op, struct update, op);

	u->result = result;
	u->order = ++order;
}

struct to_update {
	struct slab *slab;
	struct summary_entry e;
	struct update *u;
};

static void update(struct fx *fx, void *arg)
{
	struct to_update *t = arg;

	t->u->op.fn = updated;
	summary_update(t->slab, t->e, &t->u->op);
}

static void start_update(struct update *u, unsigned slab, uint8_t tail)
{
	struct to_update t = {&f->d->slabs[slab], {tail, 0, true, false}, u};

	fx_on(f, slab % f->zones, update, &t);
}

/* While a write is under way all that changes goes with the next one. */
START_TEST(updates_meet)
{
	struct update u[4] = {
		{.result = 1}, {.result = 1}, {.result = 1}, {.result = 1}};
	struct depot_stats s;

	ck_assert_int_eq(fx_load(f, true), 0);
	f->dev.hold_from = FX_SUMMARY(f);
	f->dev.hold_to = FX_SUMMARY(f) + 1;
	start_update(&u[0], 0, 5);
	start_update(&u[1], 1, 6);
	start_update(&u[2], 0, 7);
	start_update(&u[3], 19, 1);
	ck_assert_uint_eq(f->dev.held_count, 1);
	ck_assert_uint_eq(u[0].order, 0);
	fx_release(f);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(u[i].result, 0);
		ck_assert_uint_eq(u[i].order, i + 1);
	}
	depot_get_stats(f->d, &s);
	ck_assert_uint_eq(s.summary_blocks_written, 2);
	ck_assert_uint_eq(fx_entry(f, 0, 0)[0], 7);
	ck_assert_uint_eq(fx_entry(f, 0, 1)[0], 6);
	ck_assert_uint_eq(fx_entry(f, 0, 19)[0], 1);
	ck_assert_uint_eq(fx_entry(f, 0, 2)[0], 0);
}
END_TEST

/* The image is taken before the sync (D5). */
START_TEST(image_before_sync)
{
	ck_assert_int_eq(fx_load(f, true), 0);
	f->dev.hold_from = FX_SUMMARY(f);
	f->dev.hold_to = FX_SUMMARY(f) + 1;
	struct update u[2] = {{.result = 1}, {.result = 1}};

	start_update(&u[0], 0, 5);
	start_update(&u[1], 1, 6);
	ck_assert_uint_eq(f->d->zones[0].summary.blocks[0].out[0], 5);
	ck_assert_uint_eq(f->d->zones[0].summary.blocks[0].out[2], 0);
	fx_release(f);
}
END_TEST

/* An error reaches those in the write and those behind it. */
START_TEST(error)
{
	struct update u[3] = {{.result = 1}, {.result = 1}, {.result = 1}};

	ck_assert_int_eq(fx_load(f, true), 0);
	f->dev.hold_from = FX_SUMMARY(f);
	f->dev.hold_to = FX_SUMMARY(f) + 1;
	start_update(&u[0], 0, 1);
	start_update(&u[1], 0, 2);
	start_update(&u[2], 1, 1);
	if (_i == 0) {
		f->dev.fail_in = 1; /* the flush of the second write */
		fx_release(f);
		ck_assert_int_eq(u[0].result, 0);
		ck_assert_int_eq(u[1].result, -EIO);
	} else {
		readonly_enter(&f->ro, -EIO, "test");
		fx_release(f);
		ck_assert_int_lt(u[1].result, 0);
	}
	ck_assert(readonly_entered(&f->ro));
	ck_assert_int_eq(u[1].result, u[2].result);
	ck_assert_uint_eq(order, 3);
	ck_assert_int_eq(fx_drain(f, false), 0);
}
END_TEST

/* A journal block at each place, so that any tail offset makes sense. */
static void fill_journal(const struct slab *s)
{
	for (unsigned i = 0; i < 8; i++) {
		struct slab_journal_header h = {
			.head = 8 + i,
			.seq = 8 + i,
			.nonce = FX_NONCE,
			.type = SLAB_JOURNAL_TYPE,
		};

		slab_journal_header_encode(
			&h, fx_block(f, slabjournal_start(s) + i));
	}
}

/* Each zone keeps its own copy; loading takes each slab from its zone's. */
START_TEST(copies)
{
	static const unsigned counts[] = {1, 2, 3, 16, 5, 1};

	for (unsigned n = 0; n < 20; n++)
		fill_journal(&f->d->slabs[n]);
	for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
		struct update u[20] = {0};

		fx_reopen(f, counts[k]);
		ck_assert_int_eq(fx_load(f, k == 0), 0);
		for (unsigned copy = 0; k > 0 && copy < 16; copy++)
			for (unsigned n = 0; n < 20; n++)
				ck_assert_uint_eq(fx_entry(f, copy, n)[0],
						  (n + k) % 8);
		for (unsigned n = 0; n < 20; n++) {
			struct to_update t = {
				&f->d->slabs[n],
				{(uint8_t)((n + k + 1) % 8), 0, true, false},
				&u[n]};

			fx_on(f, n % f->zones, update, &t);
			ck_assert_int_eq(u[n].result, 0);
		}
		/* Nobody else's copy was touched. */
		for (unsigned n = 0; k > 0 && n < 20; n++)
			for (unsigned copy = 0; copy < 16; copy++)
				ck_assert_uint_eq(
					fx_entry(f, copy, n)[0],
					(n + k + (copy == n % counts[k])) % 8);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("summary");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, initial);
	tcase_add_test(tc, updates_meet);
	tcase_add_test(tc, image_before_sync);
	tcase_add_loop_test(tc, error, 0, 2);
	tcase_add_test(tc, copies);
	return unit_run();
}
