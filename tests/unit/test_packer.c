/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packer: which bin, when it is given out, who is what; cancelling at every
 * point, by hand and from another thread.
 *
 * Outcomes are written as strings, one letter an op in the order of submitting:
 * P parked, A alone, L lead, M member.
 */
#include "build.h"

#include "pack/pack.h"

#include <string.h>

#include "pack/pack_priv.h"
#include "tests/lib/unit.h"
#include "tests/unit/hand_queue.h"

#define OPS 64

struct item {
	struct pack_op op;
	struct pack_fetch fetch;
	unsigned done; /* how often */
	struct item *lead;
};

static struct hand_queue hand;
static struct packer *packer;
static struct item items[OPS];
static unsigned drained;

/* As the path does it: the lead ends its members. */
static void item_done(struct completion *c)
{
	struct item *it = container_of(c, struct item, op.done);
	unsigned bytes = it->op.size, n = 1;
	struct pack_op *m;

	it->done++;
	ck_assert_uint_eq(atomic_load(&it->op.status) & STAGE_MASK,
			  STAGE_AFTER);
	if (it->op.verdict != PACK_LEAD)
		return;
	ck_assert_uint_eq(it->op.slot, 0);
	while ((m = pack_next_member(&it->op)) != NULL) {
		ck_assert_int_eq(m->verdict, PACK_MEMBER);
		ck_assert_uint_eq(m->slot, n);
		container_of(m, struct item, op)->lead = it;
		bytes += m->size;
		n++;
		completion_post(&m->done);
	}
	ck_assert_uint_ge(n, 2);
	ck_assert_uint_le(n, FRAGMENTS_MAX);
	ck_assert_uint_le(bytes, FRAGMENT_PAYLOAD);
}

static void drain_done(struct completion *c)
{
	drained++;
}

static void set_up(unsigned bins)
{
	struct packer_config c = {
		.queue = &hand.queue, .bin_count = bins, .enabled = true};

	hand_init(&hand);
	memset(items, 0, sizeof(items));
	drained = 0;
	ck_assert_int_eq(packer_create(&c, &packer), 0);
}

static void tear_down(void)
{
	struct completion done;

	completion_init(&done, &hand.queue, drain_done);
	drained = 0;
	packer_drain(packer, &done);
	hand_run(&hand);
	ck_assert_uint_eq(drained, 1);
	packer_destroy(packer);
}

static void prepare(struct item *it, unsigned size)
{
	pack_op_reset(&it->op);
	it->op.size = (uint16_t)size;
	atomic_store(&it->op.status, STAGE_COMPRESSING);
	completion_init(&it->op.done, &hand.queue, item_done);
	it->done = 0;
	it->lead = NULL;
}

static void submit(unsigned i, unsigned size)
{
	prepare(&items[i], size);
	pack_submit(packer, &items[i].op);
}

/* False if somebody else did it, or there was no need. */
static bool cancel(unsigned i)
{
	if (!pack_cancel(&items[i].op))
		return false;
	pack_send_fetch(packer, &items[i].fetch, &items[i].op);
	return true;
}

static void expect(const char *name, const char *want)
{
	ck_assert(packer_sane(packer));
	for (unsigned i = 0; want[i] != '\0'; i++) {
		char got = 'P';

		ck_assert_uint_le(items[i].done, 1);
		if (items[i].done)
			got = "ALM"[items[i].op.verdict];
		ck_assert_msg(got == want[i], "%s: op %u is %c, not %c", name,
			      i, got, want[i]);
	}
}

static uint64_t parked(void)
{
	struct pack_stats s;

	pack_get_stats(packer, &s);
	return s.fragments_pending;
}

/* ------------------------------------------------------------ choosing bins */

static const struct {
	const char *name;
	unsigned bins;
	const char *want;
	unsigned sizes[16];
} fits[] = {
	{"one waits", 1, "P", {100}},
	{"exactly full", 1, "ML", {2030, 2030}},
	{"one byte too many, bigger", 1, "PA", {2030, 2031}},
	{"one byte too many, smaller", 1, "AP", {2031, 2030}},
	{"no room, same size", 1, "PA", {2031, 2031}},
	{"largest and smallest", 1, "ML", {4059, 1}},
	{"smallest and largest", 1, "ML", {1, 4059}},
	{"largest and 2", 1, "AP", {4059, 2}},
	{"largest twice", 1, "PA", {4059, 4059}},
	{"one byte left", 1, "PP", {2030, 2029}},
	{"last byte", 1, "MML", {2030, 2029, 1}},
	{"13 wait",
	 1,
	 "PPPPPPPPPPPPP",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	{"14 go",
	 1,
	 "MMMMMMMMMMMMML",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	{"the 15th waits",
	 1,
	 "MMMMMMMMMMMMMLP",
	 {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	{"a pair makes room", 1, "MLP", {2000, 1000, 1500}},
	{"fullest that fits", 2, "MPML", {3000, 2000, 1000, 60}},
	{"not the fullest", 2, "PMML", {3000, 2000, 1100, 960}},
	{"fullest is last", 3, "PPMML", {1000, 3100, 3200, 500, 360}},
	{"second fullest", 3, "PMPL", {1000, 3100, 3200, 960}},
	{"none fits, fullest goes", 2, "APP", {3000, 2500, 2000}},
	{"none fits, as big as the fullest", 2, "PPA", {3000, 2500, 3000}},
	{"none fits, bigger", 2, "PPA", {3000, 2500, 3001}},
	{"none fits, between both", 2, "APP", {3000, 2500, 2999}},
};

START_TEST(bins)
{
	set_up(fits[_i].bins);
	for (unsigned i = 0; fits[_i].sizes[i] != 0; i++)
		submit(i, fits[_i].sizes[i]);
	hand_run(&hand);
	expect(fits[_i].name, fits[_i].want);
	tear_down();
}
END_TEST

/* The last to come is the lead, then the others, latest first. */
START_TEST(slots)
{
	struct pack_stats s;

	set_up(1);
	submit(0, 1000);
	submit(1, 2000);
	submit(2, 1060);
	hand_run(&hand);
	expect("slots", "MML");
	ck_assert_uint_eq(items[2].op.slot, 0);
	ck_assert_uint_eq(items[1].op.slot, 1);
	ck_assert_uint_eq(items[0].op.slot, 2);
	ck_assert_ptr_eq(items[0].lead, &items[2]);
	ck_assert_ptr_eq(items[1].lead, &items[2]);
	pack_get_stats(packer, &s);
	ck_assert_uint_eq(s.blocks_written, 1);
	ck_assert_uint_eq(s.fragments_written, 3);
	ck_assert_uint_eq(s.fragments_pending, 0);
	tear_down();
}
END_TEST

/* ----------------------------------------------- taking out, giving all out */

/* Whichever of three leaves, its bytes and its place are free again. */
START_TEST(removal)
{
	static const unsigned sizes[] = {1000, 1010, 1020};
	unsigned victim = (unsigned)_i;

	set_up(2);
	for (unsigned i = 0; i < 3; i++)
		submit(i, sizes[i]);
	ck_assert(cancel(victim));
	ck_assert(!cancel(victim));
	hand_run(&hand);
	ck_assert_uint_eq(items[victim].done, 1);
	ck_assert_int_eq(items[victim].op.verdict, PACK_ALONE);
	ck_assert_uint_eq(parked(), 2);
	/* Fills the bin to the last byte. */
	submit(3, 1030 + sizes[victim]);
	hand_run(&hand);
	ck_assert_int_eq(items[3].op.verdict, PACK_LEAD);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(items[i].done, 1);
		if (i != victim)
			ck_assert_ptr_eq(items[i].lead, &items[3]);
	}
	tear_down();
}
END_TEST

/* After a removal the order of the bins is right again. */
START_TEST(removal_sorts)
{
	set_up(2);
	submit(0, 2000);
	submit(1, 1900); /* with 0 */
	submit(2, 3000); /* alone: 1060 free */
	ck_assert(cancel(1));
	hand_run(&hand);
	/* 0's bin has 2060 free: the other one is the best for 1000. */
	submit(3, 1000);
	submit(4, 2060);
	hand_run(&hand);
	expect("sorted", "MAPPL");
	tear_down();
}
END_TEST

START_TEST(flush)
{
	set_up(4);
	items[0].op.generation = items[1].op.generation = 5;
	submit(0, 3000);
	submit(1, 2000);
	submit(2, 1000);
	pack_flush(packer, 6);
	hand_run(&hand);
	expect("given out", "MAL");
	items[3].op.generation = 5;
	submit(3, 100);
	items[4].op.generation = 6;
	submit(4, 100);
	items[5].op.generation = 7;
	submit(5, 100);
	hand_run(&hand);
	expect("too old", "MALAPP");
	pack_flush(packer, 7);
	hand_run(&hand);
	expect("again", "MALAML");
	tear_down();
}
END_TEST

/* Generations are compared as numbers that wrap around. */
START_TEST(flush_wraps)
{
	set_up(4);
	pack_flush(packer, UINT32_MAX);
	items[0].op.generation = UINT32_MAX;
	submit(0, 100);
	items[1].op.generation = 0;
	submit(1, 100);
	items[2].op.generation = UINT32_MAX - 1;
	submit(2, 100);
	hand_run(&hand);
	expect("wrap", "PPA");
	pack_flush(packer, 0);
	items[3].op.generation = UINT32_MAX;
	submit(3, 100);
	hand_run(&hand);
	expect("wrapped", "MLAA");
	tear_down();
}
END_TEST

START_TEST(switched_off)
{
	set_up(2);
	submit(0, 3000);
	submit(1, 500);
	submit(2, 2000);
	ck_assert(pack_enabled(packer));
	pack_enable(packer, false);
	ck_assert(!pack_enabled(packer));
	hand_run(&hand);
	expect("off", "MLA");
	submit(3, 100);
	hand_run(&hand);
	expect("still off", "MLAA");
	pack_enable(packer, true);
	submit(4, 100);
	hand_run(&hand);
	expect("on", "MLAAP");
	tear_down();
}
END_TEST

/* Nothing, something, and something that was cancelled before. */
START_TEST(drain)
{
	struct completion done;
	unsigned n = (unsigned)_i;

	set_up(2);
	for (unsigned i = 0; i < n; i++)
		submit(i, 100);
	if (n == 3)
		ck_assert(pack_cancel(&items[1].op));
	completion_init(&done, &hand.queue, drain_done);
	packer_drain(packer, &done);
	hand_run(&hand);
	ck_assert_uint_eq(parked(), 0);
	ck_assert_uint_eq(drained, n != 3);
	submit(10, 100);
	hand_run(&hand);
	ck_assert_int_eq(items[10].op.verdict, PACK_ALONE);
	ck_assert_uint_eq(items[10].done, 1);
	if (n == 3) {
		ck_assert_uint_eq(items[1].done, 0);
		pack_send_fetch(packer, &items[1].fetch, &items[1].op);
		hand_run(&hand);
	}
	ck_assert_uint_eq(drained, 1);
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(items[i].done, 1);
	packer_resume(packer);
	submit(11, 100);
	hand_run(&hand);
	ck_assert_uint_eq(items[11].done, 0);
	tear_down();
	ck_assert_uint_eq(items[11].done, 1);
}
END_TEST

/* --------------------------------------------------------------- cancelling */

START_TEST(cancel_before)
{
	set_up(1);
	prepare(&items[0], 100);
	ck_assert(!pack_cancel(&items[0].op));
	pack_submit(packer, &items[0].op);
	hand_run(&hand);
	expect("cancelled before", "A");
	ck_assert(!pack_cancel(&items[0].op));
	ck_assert_uint_eq(parked(), 0);
	tear_down();
}
END_TEST

/*
 * Four in a bin; those in the mask are cancelled; the bin is given out before
 * (odd) or after the messages arrive. Who is left goes together, once.
 */
START_TEST(cancel_some)
{
	unsigned mask = (unsigned)_i >> 1, left = 0, leads = 0;

	set_up(1);
	for (unsigned i = 0; i < 4; i++)
		submit(i, 100);
	for (unsigned i = 0; i < 4; i++)
		if (mask >> i & 1)
			ck_assert(cancel(i));
	if ((_i & 1) == 0)
		hand_run(&hand);
	pack_flush(packer, 0);
	/* Verdicts are made: too late to cancel, in vain to try twice. */
	for (unsigned i = 0; i < 4; i++)
		ck_assert(!pack_cancel(&items[i].op));
	hand_run(&hand);
	for (unsigned i = 0; i < 4; i++)
		left += !(mask >> i & 1);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(items[i].done, 1);
		if ((mask >> i & 1) || left == 1)
			ck_assert_int_eq(items[i].op.verdict, PACK_ALONE);
		else
			ck_assert_int_ne(items[i].op.verdict, PACK_ALONE);
		leads += items[i].op.verdict == PACK_LEAD;
	}
	ck_assert_uint_eq(leads, left >= 2);
	ck_assert_uint_eq(parked(), 0);
	tear_down();
}
END_TEST

/* ---------------------------------------------------------------- at random */

START_TEST(random_work)
{
	uint64_t rng = 0x9e3779b97f4a7c15u + (unsigned)_i;
	uint32_t generation = 0;

	set_up(1 + (unsigned)_i * 5);
	for (unsigned i = 0; i < OPS; i++)
		items[i].done = 1;
	for (unsigned step = 0; step < 50000; step++) {
		unsigned i, what;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		i = (unsigned)(rng >> 8) % OPS;
		what = (unsigned)(rng >> 24) % 100;
		if (items[i].done == 1) {
			items[i].op.generation = generation;
			submit(i, 1 + (unsigned)(rng >> 32) %
						  (what < 50 ? 300 : 4059));
		} else if (what < 20) {
			cancel(i);
		} else if (what < 22) {
			pack_flush(packer, ++generation);
		}
		for (unsigned n = what % 4; n > 0; n--)
			hand_run_one(&hand);
	}
	tear_down();
	for (unsigned i = 0; i < OPS; i++)
		ck_assert_uint_eq(items[i].done, 1);
	hand_init(&hand);
}
END_TEST

/* ------------------------------------------------ cancelling from elsewhere */

#define ROUNDS 300

/* Two threads: the packer's, and one that cancels every op once. */
struct duel {
	struct queue *packing, *cancelling;
	struct executor *executor;
	struct completion feed, attack, drain;
	atomic_uint left; /* the attack and the drain */
	struct event over;
	unsigned fetched;
};

static void duel_end(struct duel *d)
{
	if (atomic_fetch_sub(&d->left, 1) == 1)
		executor_signal(d->executor, &d->over);
}

static void duel_drained(struct completion *c)
{
	duel_end(container_of(c, struct duel, drain));
}

static void duel_feed(struct completion *c)
{
	struct duel *d = container_of(c, struct duel, feed);

	for (unsigned i = 0; i < OPS; i++) {
		pack_submit(packer, &items[i].op);
		if (i % 16 == 15)
			pack_flush(packer, 0);
	}
	packer_drain(packer, &d->drain);
}

static void duel_attack(struct completion *c)
{
	struct duel *d = container_of(c, struct duel, attack);

	for (unsigned i = 0; i < OPS; i++)
		d->fetched += cancel(i);
	duel_end(d);
}

START_TEST(duel)
{
	struct native_config nc = {.threads = 2, .name_prefix = "t"};
	struct packer_config pc = {.bin_count = 3, .enabled = true};
	static struct duel d;

	queue_running = NULL;
	memset(items, 0, sizeof(items));
	ck_assert_int_eq(executor_native_create(&nc, &d.executor), 0);
	ck_assert_int_eq(executor_queue(d.executor, "p", 0, &d.packing), 0);
	ck_assert_int_eq(executor_queue(d.executor, "c", 1, &d.cancelling), 0);
	pc.queue = d.packing;
	for (unsigned r = 0; r < ROUNDS; r++) {
		ck_assert_int_eq(packer_create(&pc, &packer), 0);
		for (unsigned i = 0; i < OPS; i++) {
			prepare(&items[i], 100 + (i * 37 + r) % 600);
			completion_init(&items[i].op.done, d.packing,
					item_done);
		}
		atomic_store(&d.left, 2);
		event_init(&d.over);
		completion_init(&d.drain, d.packing, duel_drained);
		completion_init(&d.feed, d.packing, duel_feed);
		completion_init(&d.attack, d.cancelling, duel_attack);
		completion_post(&d.feed);
		completion_post(&d.attack);
		executor_wait(d.executor, &d.over);
		/* One more trip, for what the drain had posted before. */
		atomic_store(&d.left, 1);
		event_init(&d.over);
		completion_post(&d.drain);
		executor_wait(d.executor, &d.over);
		for (unsigned i = 0; i < OPS; i++)
			ck_assert_uint_eq(items[i].done, 1);
		packer_destroy(packer);
	}
	executor_destroy(d.executor);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("packer");

	tcase_add_loop_test(tc, bins, 0, ARRAY_SIZE(fits));
	tcase_add_test(tc, slots);
	tcase_add_loop_test(tc, removal, 0, 3);
	tcase_add_test(tc, removal_sorts);
	tcase_add_test(tc, flush);
	tcase_add_test(tc, flush_wraps);
	tcase_add_test(tc, switched_off);
	tcase_add_loop_test(tc, drain, 0, 4);
	tcase_add_test(tc, cancel_before);
	tcase_add_loop_test(tc, cancel_some, 0, 32);
	tcase_add_loop_test(tc, random_work, 0, 4);
	tcase_add_test(tc, duel);
	return unit_run();
}
