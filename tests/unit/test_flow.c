/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flows: rows run in order and on their queues, ops go on where they were armed
 * to, errors lead to one row, and the rings say what happened.
 */
#include "build.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/executor.h"
#include "exec/flow.h"
#include "tests/lib/sim_exec.h"
#include "tests/lib/unit.h"

enum {
	ON_A = ANYWHERE + 1,
	ON_B,
};

/* What a row is to do, set by each test. */
enum act {
	GO_ON,
	AWAIT,      /* an op that is over later, with @result */
	AWAIT_OVER, /* an op that is over at once, with @result */
	AWAIT_ANY,  /* later; the next row looks at the result */
	ANY_OVER,   /* at once, the same */
	PARK,
	FAIL,
};

struct walk {
	struct flow flow;
	struct completion op;
	enum act act;
	int result;
	int seen_result; /* of the op, as the row after it found it */
	char rows[64];
};

#define WALK_ROWS(X)                                                           \
	X(T_FIRST, walk_first, ON_A)                                           \
	X(T_STAY, walk_stay, ANYWHERE)                                         \
	X(T_OTHER, walk_other, ON_B)                                           \
	X(T_NEXT, walk_next, ANYWHERE)                                         \
	X(T_LAST, walk_last, ON_A)

enum { WALK_ROWS(FLOW_ROW) };
WALK_ROWS(FLOW_FUNCTION)
FLOW_TABLE(walk_table, T_LAST, WALK_ROWS);

static struct executor *x;
static struct queue *a, *b;

static struct walk *walk_of(struct flow *f)
{
	return container_of(f, struct walk, flow);
}

static void note(struct walk *w, char row)
{
	size_t n = strlen(w->rows);

	w->rows[n] = row;
	w->rows[n + 1] = queue_is_current(a) ? 'a' : 'b';
}

static int walk_first(struct flow *f)
{
	note(walk_of(f), '1');
	return T_STAY;
}

static int walk_stay(struct flow *f)
{
	note(walk_of(f), '2');
	return T_OTHER;
}

static int walk_other(struct flow *f)
{
	struct walk *w = walk_of(f);

	note(w, '3');
	switch (w->act) {
	case GO_ON:
		return T_NEXT;
	case AWAIT:
		flow_await(f, &w->op, T_NEXT);
		completion_finish(&w->op, w->result);
		return FLOW_WAIT;
	case AWAIT_OVER:
		flow_await(f, &w->op, T_NEXT);
		completion_fail(&w->op, w->result);
		return flow_over(f, &w->op, true);
	case AWAIT_ANY:
		flow_await_any(f, &w->op, T_NEXT);
		completion_finish(&w->op, w->result);
		return flow_over_any(f, false);
	case ANY_OVER:
		flow_await_any(f, &w->op, T_NEXT);
		completion_fail(&w->op, w->result);
		return flow_over_any(f, true);
	case PARK:
		flow_park(f, T_LAST);
		return FLOW_WAIT;
	case FAIL:
		return flow_fail(f, w->result);
	}
	return FLOW_END;
}

static int walk_next(struct flow *f)
{
	struct walk *w = walk_of(f);

	note(w, '4');
	w->seen_result = w->op.result;
	return T_LAST;
}

static int walk_last(struct flow *f)
{
	note(walk_of(f), '5');
	return FLOW_END;
}

static void setup(void)
{
	x = sim_executor_create(1);
	ck_assert_int_eq(executor_queue(x, "a", 0, &a), 0);
	ck_assert_int_eq(executor_queue(x, "b", 1, &b), 0);
}

static void teardown(void)
{
	executor_destroy(x);
}

static void walk_init(struct walk *w, enum act act, int result)
{
	memset(w, 0, sizeof(*w));
	w->act = act;
	w->result = result;
	flow_init(&w->flow, &walk_table);
	w->flow.queues[ON_A] = a;
	w->flow.queues[ON_B] = b;
}

static const struct {
	const char *name;
	enum act act;
	int result;
	const char *rows;
	int want, seen;
} cases[] = {
	{"straight on", GO_ON, 0, "1a2a3b4b5a", 0, 0},
	{"an op", AWAIT, 0, "1a2a3b4b5a", 0, 0},
	{"an op that fails", AWAIT, -5, "1a2a3b5a", -5, 0},
	{"an op over at once", AWAIT_OVER, 0, "1a2a3b4b5a", 0, 0},
	{"an op that fails at once", AWAIT_OVER, -6, "1a2a3b5a", -6, 0},
	{"an op, any result", AWAIT_ANY, -7, "1a2a3b4b5a", 0, -7},
	{"an op over at once, any result", ANY_OVER, -8, "1a2a3b4b5a", 0, -8},
	{"a failing row", FAIL, -9, "1a2a3b5a", -9, 0},
};

START_TEST(rows_run_in_order_and_on_their_queues)
{
	struct walk w;

	walk_init(&w, cases[_i].act, cases[_i].result);
	/* Twice: nothing of the first time is left. */
	for (unsigned round = 0; round < 2; round++) {
		memset(w.rows, 0, sizeof(w.rows));
		w.seen_result = 0;
		flow_start(&w.flow);
		sim_executor_run(x, 100);
		ck_assert_str_eq(w.rows, cases[_i].rows);
		ck_assert_int_eq(w.flow.result, cases[_i].want);
		ck_assert_int_eq(w.seen_result, cases[_i].seen);
	}
}
END_TEST

START_TEST(parked_goes_on_when_told)
{
	struct walk w;

	walk_init(&w, PARK, 0);
	flow_start(&w.flow);
	sim_executor_run(x, 100);
	ck_assert_str_eq(w.rows, "1a2a3b");
	flow_go(&w.flow);
	sim_executor_run(x, 100);
	ck_assert_str_eq(w.rows, "1a2a3b5a");
}
END_TEST

START_TEST(first_error_stays)
{
	struct walk w;

	walk_init(&w, GO_ON, 0);
	ck_assert_int_eq(flow_fail(&w.flow, -1), T_LAST);
	ck_assert_int_eq(flow_next(&w.flow, -2, T_NEXT), T_LAST);
	ck_assert_int_eq(w.flow.result, -1);
	ck_assert_int_eq(flow_next(&w.flow, 0, T_NEXT), T_NEXT);
}
END_TEST

START_TEST(table_is_made_from_its_rows)
{
	ck_assert_str_eq(walk_table.name, "walk_table");
	ck_assert_int_eq(walk_table.count, 5);
	ck_assert_int_eq(walk_table.failed, T_LAST);
	ck_assert_str_eq(walk_table.rows[flow_number(T_OTHER)].name, "walk_other");
	ck_assert_uint_eq(walk_table.rows[flow_number(T_OTHER)].place, ON_B);
}
END_TEST

static char printed[8192];

static void collect(void *arg, const char *text)
{
	strcat(printed, text);
	strcat(printed, "\n");
}

START_TEST(rings_keep_the_last_rows)
{
	char want[256];
	struct walk w;

	walk_init(&w, GO_ON, 0);
	flow_start(&w.flow);
	sim_executor_run(x, 100);
	printed[0] = '\0';
	trace_print(a, collect, NULL);
	snprintf(want, sizeof(want),
		 "  a %p: walk_first walk_stay walk_last\n", (void *)&w.flow);
	ck_assert_str_eq(printed, want);
	printed[0] = '\0';
	trace_print_all(x, collect, NULL);
	ck_assert_ptr_nonnull(strstr(printed, "walk_other walk_next\n"));
	ck_assert_ptr_nonnull(strstr(printed, want));
}
END_TEST

/* Three rows a round on this queue, in a ring of 128. */
START_TEST(rings_forget_the_oldest)
{
	unsigned rows = 0;
	struct walk w;

	walk_init(&w, GO_ON, 0);
	for (unsigned i = 0; i < 100; i++) {
		memset(w.rows, 0, sizeof(w.rows));
		flow_start(&w.flow);
		sim_executor_run(x, 100);
	}
	printed[0] = '\0';
	trace_print(a, collect, NULL);
	for (const char *p = printed; (p = strstr(p, "walk_")) != NULL; p++)
		rows++;
	ck_assert_uint_eq(rows, TRACE_ROWS);
}
END_TEST

/* ------------------------------------------------------------ assertions */

static void fail_on_queue(struct completion *c)
{
	VDO_ASSERT(!"what is tested");
}

/* What a child that runs @fn on queue a says before it aborts. */
static void dying_words(struct walk *w, completion_fn fn, char *said,
			size_t size)
{
	int pipes[2];
	size_t n = 0;
	ssize_t part;
	pid_t pid;
	int status;

	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct completion c;

		signal(SIGABRT, SIG_DFL);
		dup2(pipes[1], STDERR_FILENO);
		flow_start(&w->flow);
		sim_executor_run(x, 100);
		if (fn != NULL) {
			completion_init(&c, a, fn);
			completion_post(&c);
			sim_executor_run(x, 100);
		}
		_exit(0);
	}
	close(pipes[1]);
	while ((part = read(pipes[0], said + n, size - 1 - n)) > 0)
		n += (size_t)part;
	said[n] = '\0';
	close(pipes[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

START_TEST(assertion_prints_the_rows)
{
	char said[8192];
	struct walk w;

	walk_init(&w, GO_ON, 0);
	dying_words(&w, fail_on_queue, said, sizeof(said));
	ck_assert_ptr_nonnull(strstr(said, "what is tested"));
	ck_assert_ptr_nonnull(strstr(said, "walk_first walk_stay walk_last"));
	ck_assert_ptr_nonnull(strstr(said, "walk_other walk_next"));
}
END_TEST

#ifdef VDO_DEBUG
/* A row that waits for nothing would never go on. */
static int wait_for_nothing(struct flow *f)
{
	return FLOW_WAIT;
}

/* A row that goes on and is waited for would go on twice. */
static int go_on_twice(struct flow *f)
{
	flow_park(f, FLOW_AT(0, ON_A));
	return FLOW_END;
}

#define NOTHING_ROWS(X) X(T_NOTHING, wait_for_nothing, ON_A)
enum { NOTHING_ROWS(FLOW_ROW) };
FLOW_TABLE(nothing_table, T_NOTHING, NOTHING_ROWS);
#define TWICE_ROWS(X) X(T_TWICE, go_on_twice, ON_A)
enum { TWICE_ROWS(FLOW_ROW) };
FLOW_TABLE(twice_table, T_TWICE, TWICE_ROWS);

START_TEST(waiting_without_an_op_is_a_bug)
{
	char said[8192];
	struct walk w;

	walk_init(&w, GO_ON, 0);
	flow_set_table(&w.flow, _i == 0 ? &nothing_table : &twice_table);
	dying_words(&w, NULL, said, sizeof(said));
	ck_assert_ptr_nonnull(strstr(said, "armed"));
}
END_TEST
#endif

int main(void)
{
	TCase *tc = unit_case("flows");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, rows_run_in_order_and_on_their_queues, 0,
			    ARRAY_SIZE(cases));
	tcase_add_test(tc, parked_goes_on_when_told);
	tcase_add_test(tc, first_error_stays);
	tcase_add_test(tc, table_is_made_from_its_rows);
	tcase_add_test(tc, rings_keep_the_last_rows);
	tcase_add_test(tc, rings_forget_the_oldest);
	tcase_add_test(tc, assertion_prints_the_rows);
#ifdef VDO_DEBUG
	tcase_add_loop_test(tc, waiting_without_an_op_is_a_bug, 0, 2);
#endif
	return unit_run();
}
