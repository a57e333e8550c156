/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gates, wait queues and fan-outs.
 */
#include "build.h"

#include "exec/executor.h"
#include "exec/fanout.h"
#include "exec/gate.h"
#include "exec/waitq.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"

static struct executor *x;
static struct queue *queues[4];
static unsigned told;

static void setup(void)
{
	x = sim_executor_create(1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(executor_queue(x, "q", i, &queues[i]), 0);
	told = 0;
}

static void teardown(void)
{
	executor_destroy(x);
}

static void tell(struct completion *c)
{
	told++;
}

/* How many enter before and after the close; told when the last one left. */
static const struct {
	const char *name;
	unsigned before, after;
} gate_cases[] = {
	{"nobody inside", 0, 0},
	{"one inside", 1, 0},
	{"many inside", 5, 0},
	{"what is inside starts more", 1, 3},
};

START_TEST(gate_tells_when_empty)
{
	unsigned inside = gate_cases[_i].before + gate_cases[_i].after;
	struct completion drained;
	struct gate g;

	completion_init(&drained, queues[0], tell);
	gate_init(&g);
	for (unsigned i = 0; i < gate_cases[_i].before; i++)
		gate_enter(&g);
	ck_assert(!gate_closed(&g));
	gate_close(&g, &drained);
	ck_assert(gate_closed(&g));
	for (unsigned i = 0; i < gate_cases[_i].after; i++)
		gate_enter(&g);
	while (inside-- != 0) {
		sim_executor_run(x, 10);
		ck_assert_uint_eq(told, 0);
		gate_leave(&g);
	}
	sim_executor_run(x, 10);
	ck_assert_uint_eq(told, 1);
	/* Once only, until it was opened and closed again. */
	gate_enter(&g);
	gate_leave(&g);
	sim_executor_run(x, 10);
	ck_assert_uint_eq(told, 1);
	gate_open(&g);
	ck_assert(!gate_closed(&g));
	gate_close(&g, &drained);
	sim_executor_run(x, 10);
	ck_assert_uint_eq(told, 2);
}
END_TEST

static void fill(struct waitq *q, struct waiter *w, unsigned count)
{
	waitq_init(q);
	for (unsigned i = 0; i < count; i++)
		waitq_push(q, &w[i]);
}

static void expect(struct waitq *q, const struct waiter *w, unsigned count)
{
	ck_assert_uint_eq(q->count, count);
	for (unsigned i = 0; i < count; i++) {
		ck_assert(!waitq_empty(q));
		ck_assert_ptr_eq(waitq_pop(q), &w[i]);
	}
	ck_assert(waitq_empty(q));
	ck_assert_ptr_null(waitq_pop(q));
	ck_assert_uint_eq(q->count, 0);
}

START_TEST(waitq_splices_in_order)
{
	struct waiter w[8];
	struct waitq a, b;

	for (unsigned n = 0; n <= 4; n++) {
		for (unsigned m = 0; m <= 4; m++) {
			fill(&a, w, n);
			fill(&b, w + n, m);
			waitq_splice(&a, &b);
			ck_assert(waitq_empty(&b));
			expect(&a, w, n + m);
			/* Both still work. */
			waitq_push(&a, &w[0]);
			waitq_push(&b, &w[1]);
			expect(&a, w, 1);
			expect(&b, w + 1, 1);
		}
	}
}
END_TEST

START_TEST(waitq_wake_all_ends)
{
	struct waiter w[3];
	struct waitq q, taken;
	struct waiter *one;
	unsigned woken = 0;

	fill(&q, w, 3);
	waitq_take_all(&q, &taken);
	ck_assert(waitq_empty(&q));
	while ((one = waitq_pop(&taken)) != NULL) {
		waitq_push(&q, one);
		woken++;
	}
	ck_assert_uint_eq(woken, 3);
	expect(&q, w, 3);
}
END_TEST

/* Parts that end with these results, in any order. */
static const struct {
	const char *name;
	unsigned count;
	int results[4];
	int want[2]; /* either */
} fanout_cases[] = {
	{"no parts", 0, {0}, {0, 0}},
	{"one part", 1, {0}, {0, 0}},
	{"all well", 4, {0, 0, 0, 0}, {0, 0}},
	{"one fails", 4, {0, 0, -5, 0}, {-5, -5}},
	{"two fail, the first stays", 4, {-5, 0, 0, -6}, {-5, -6}},
};

static int fanout_case;

static void part_run(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	ck_assert(queue_is_current(queues[part->number]));
	ck_assert_uint_eq(told, 0);
	fanout_part_done(part, fanout_cases[fanout_case].results[part->number]);
}

START_TEST(fanout_waits_for_all)
{
	unsigned count = fanout_cases[_i].count;
	struct fanout_part parts[4];
	struct fanout f = {.then = NULL};

	fanout_case = _i;
	completion_init(&f.done, queues[0], tell);
	fanout_start(&f, parts, queues, sizeof(*queues), count, part_run,
		     &f.done);
	ck_assert_uint_eq(told, 0);
	ck_assert_uint_eq(sim_executor_run(x, 100), count + 1);
	ck_assert_uint_eq(told, 1);
	ck_assert(f.done.result == fanout_cases[_i].want[0] ||
		  f.done.result == fanout_cases[_i].want[1]);
}
END_TEST

START_TEST(completion_keeps_first_error)
{
	struct completion c;

	completion_init(&c, queues[0], tell);
	completion_fail(&c, 0);
	ck_assert_int_eq(c.result, 0);
	completion_fail(&c, -1);
	completion_fail(&c, -2);
	completion_finish(&c, -3);
	ck_assert_int_eq(c.result, -1);
	ck_assert_uint_eq(told, 0);
	sim_executor_run(x, 1);
	ck_assert_uint_eq(told, 1);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("gate, waitq, fanout");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, gate_tells_when_empty, 0,
			    ARRAY_SIZE(gate_cases));
	tcase_add_test(tc, waitq_splices_in_order);
	tcase_add_test(tc, waitq_wake_all_ends);
	tcase_add_loop_test(tc, fanout_waits_for_all, 0,
			    ARRAY_SIZE(fanout_cases));
	tcase_add_test(tc, completion_keeps_first_error);
	return unit_run();
}
