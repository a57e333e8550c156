/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulating executor: seeds, virtual time, and what it refuses.
 */
#include "build.h"

#include <signal.h>
#include <string.h>

#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"

#define QUEUES 4
#define STEPS  400

struct hopper {
	struct completion c;
	unsigned hops;
};

static struct executor *x;
static struct queue *queues[QUEUES];
static char trace[STEPS + 1];
static unsigned length;

static void setup(void)
{
	x = sim_executor_create(7);
	for (unsigned i = 0; i < QUEUES; i++)
		ck_assert_int_eq(executor_queue(x, "q", i, &queues[i]), 0);
}

static void teardown(void)
{
	executor_destroy(x);
}

static unsigned index_of(const struct queue *q)
{
	unsigned i = 0;

	while (queues[i] != q)
		i++;
	return i;
}

static void hop(struct completion *c)
{
	struct hopper *h = container_of(c, struct hopper, c);
	unsigned i = index_of(queue_running);

	trace[length++] = (char)('a' + i);
	if (h->hops-- == 0)
		return;
	c->home = queues[(i + 1) % QUEUES];
	completion_post(c);
}

/* Run some hoppers under @seed; what ran where is left in trace. */
static void record(uint64_t seed, char *to)
{
	struct hopper h[5];

	x = sim_executor_create(seed);
	length = 0;
	for (unsigned i = 0; i < QUEUES; i++)
		ck_assert_int_eq(executor_queue(x, "q", i, &queues[i]), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(h); i++) {
		h[i].hops = 60;
		completion_init(&h[i].c, queues[i % QUEUES], hop);
		completion_post(&h[i].c);
	}
	executor_destroy(x);
	ck_assert_uint_eq(length, 5 * 61);
	trace[length] = '\0';
	strcpy(to, trace);
}

START_TEST(seed_decides)
{
	char first[STEPS + 1], again[STEPS + 1];
	unsigned same = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		record(seed, first);
		record(seed, again);
		ck_assert_str_eq(first, again);
		record(seed + 1000, again);
		same += strcmp(first, again) == 0;
	}
	ck_assert_uint_eq(same, 0);
}
END_TEST

struct note {
	struct sim_event ev;
	uint64_t due;
	unsigned *order;
	unsigned place;
};

static void take_note(struct sim_event *ev)
{
	struct note *n = container_of(ev, struct note, ev);

	ck_assert_ptr_null(queue_running);
	ck_assert_uint_ge(executor_now(x), n->due);
	n->place = ++*n->order;
}

START_TEST(events_come_in_virtual_time)
{
	static const uint64_t delays[] = {3600000000000, 5, 0, 1000000, 5};
	struct note notes[5] = {0};
	unsigned order = 0;

	for (unsigned i = 0; i < 5; i++) {
		notes[i].order = &order;
		notes[i].due = executor_now(x) + delays[i];
		notes[i].ev.fn = take_note;
		sim_executor_schedule(x, &notes[i].ev, delays[i]);
	}
	ck_assert(sim_executor_cancel(x, &notes[3].ev));
	ck_assert(!sim_executor_cancel(x, &notes[3].ev));
	ck_assert_uint_eq(sim_executor_run(x, 100), 4);
	ck_assert_uint_eq(notes[2].place, 1);
	ck_assert_uint_eq(notes[1].place, 2);
	ck_assert_uint_eq(notes[4].place, 3);
	ck_assert_uint_eq(notes[0].place, 4);
	ck_assert_uint_eq(notes[3].place, 0);
	ck_assert(!sim_executor_cancel(x, &notes[0].ev));
}
END_TEST

START_TEST(event_within)
{
	struct note n = {.ev = {.fn = take_note}};
	uint64_t start = executor_now(x);
	unsigned order = 0;

	n.order = &order;
	for (unsigned i = 0; i < 100; i++) {
		sim_executor_schedule_within(x, &n.ev, 10);
		ck_assert_uint_le(n.ev.due_ns, start + 10);
		ck_assert(sim_executor_cancel(x, &n.ev));
	}
}
END_TEST

START_TEST(drop_forgets_everything)
{
	struct note n = {.ev = {.fn = take_note}};
	struct hopper h = {.hops = 10};
	unsigned order = 0;

	n.order = &order;
	sim_executor_schedule(x, &n.ev, 10);
	completion_init(&h.c, queues[0], hop);
	completion_post(&h.c);
	sim_executor_drop(x);
	ck_assert_uint_eq(sim_executor_run(x, 100), 0);
	ck_assert_uint_eq(length, 0);
	/* And goes on. */
	completion_post(&h.c);
	sim_executor_schedule(x, &n.ev, 10);
	ck_assert_uint_eq(sim_executor_run(x, 5), 5);
	sim_executor_drop(x);
}
END_TEST

START_TEST(deadlock_aborts)
{
	struct event e;

	event_init(&e);
	executor_wait(x, &e);
}
END_TEST

START_TEST(double_post_aborts)
{
	struct hopper h = {.hops = 0};

	completion_init(&h.c, queues[0], hop);
	completion_post(&h.c);
	completion_post(&h.c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("sim executor");

	tcase_add_test(tc, seed_decides);
	tc = unit_case("sim executor, events");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, events_come_in_virtual_time);
	tcase_add_test(tc, event_within);
	tcase_add_test(tc, drop_forgets_everything);
	tcase_add_test_raise_signal(tc, deadlock_aborts, SIGABRT);
	tcase_add_test_raise_signal(tc, double_post_aborts, SIGABRT);
	return unit_run();
}
