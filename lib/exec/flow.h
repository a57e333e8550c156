/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flows: work that goes from queue to queue, as a table of rows.
 *
 * A row says where it runs and what runs there. The runner takes a flow to the
 * queue of its row, runs it, and goes on at the row that it returned; as long as
 * that is on the same queue, without a message. A row that has to wait returns
 * FLOW_WAIT, and says before that where the flow goes on:
 *
 *	flow_await(f, &op->done, ROW);
 *	something_start(x, op);
 *	return FLOW_WAIT;
 *
 * for an op whose completion is then armed to go on at ROW, on the queue of
 * ROW; or, where the call returns true if the op is over already,
 *
 *	flow_await(f, &op->done, ROW);
 *	return flow_over(f, &op->done, something(x, op));
 *
 * An op that fails leads to the one row that the table names for errors, and
 * the flow keeps the first error. flow_await_any() instead of flow_await() lets
 * ROW see to the result of the op itself. flow_park() is for what is waited for
 * without an op: whoever ends that calls flow_go().
 *
 * The rows of a table are written once, as a macro:
 *
 *	#define READ_ROWS(X)                                          \
 *		X(R_LOCK, read_lock, ON_LOGICAL)  (what it does)      \
 *		X(R_FIND, read_find, ON_LOGICAL)  (what it does)
 *
 *	enum { READ_ROWS(FLOW_ROW) };
 *	READ_ROWS(FLOW_FUNCTION)
 *	FLOW_TABLE(read_table, R_WAKE, READ_ROWS);
 *
 * The table can so stand before the functions, and a file be read from top to
 * bottom. tests/sh/flows.sh compares these macros with ARCHITECTURE.md.
 *
 * Invariants
 *  (1) A row runs on the queue of its place; ANYWHERE is where the row before
 *      it ended or, after an op, where that was handed out.
 *  (2) The row to go on at is set before an op is handed out: another thread
 *      may run the flow before the row returns. A row that returned FLOW_WAIT
 *      or FLOW_END does not touch the flow any more.
 *  (3) A flow is waited for in one place at a time: a row that returns
 *      FLOW_WAIT has armed exactly one op, or parked. (Checked with
 *      --enable-debug.)
 *
 * Runs on: the queues of the rows. Lifetime: embedded in its owner's memory,
 * which may be gone once a row returned FLOW_END.
 */
#ifndef EXEC_FLOW_H
#define EXEC_FLOW_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "exec/completion.h"
#include "exec/executor.h"

struct flow;

/* What a row returns instead of the next one: FLOW_WAIT, an op or somebody else
 * goes on with the flow; FLOW_END, the flow is over. */
#define FLOW_WAIT (-1)
#define FLOW_END  (-2)

/* The place of rows that run where the flow is; its queue is NULL. */
#define ANYWHERE 0

/* Places of one flow, ANYWHERE among them. */
#define FLOW_PLACES 8

struct step {
	int (*run)(struct flow *f); /* returns the next row */
	const char *name;	    /* the function's */
	uint8_t place;
} __attribute__((aligned(32)));

static_assert(sizeof(struct step) == 1 << 5, "see FLOW_AT()");

struct flow_table {
	const char *name;
	int failed; /* the row that errors lead to */
	int count;
#ifdef VDO_DEBUG
	void (*entered)(struct flow *f, int row); /* before a row runs, or NULL */
#endif
	struct step rows[];
};

/*
 * What a row returns, and what an op is armed with, is a number of a table and
 * the place where that runs, so that neither needs a look at the table.
 */
#define FLOW_AT(number, where) ((number) << 5 | (where) << 16)

static inline unsigned flow_number(int at)
{
	return (uint16_t)at >> 5;
}

static inline unsigned flow_place(int at)
{
	return (unsigned)at >> 16;
}

/* Applied to the rows of a table: their names, for an enumeration. */
#define FLOW_ROW(row, function, where)                                         \
	row##_NUMBER, row = FLOW_AT(row##_NUMBER, where),                      \
	row##_AGAIN = row##_NUMBER, /* the next one counts from here */
/* Applied to the rows of a table: declarations of their functions, which are
 * extern where they are in several files. */
#define FLOW_FUNCTION(row, function, where) static int function(struct flow *f);
#define FLOW_FUNCTION_EXTERN(row, function, where) int function(struct flow *f);
/* FLOW_TABLE() makes a table of rows. */
#define FLOW_STEP(row, function, where)                                        \
	[row##_NUMBER] = {.run = (function), .name = #function, .place = (where)},
#define FLOW_COUNT(row, function, where) +1
#define FLOW_TABLE(table, failed_row, ROWS)                                    \
	static const struct flow_table table = {                               \
		.name = #table,                                                \
		.failed = (failed_row),                                        \
		.count = 0 ROWS(FLOW_COUNT),                                   \
		.rows = {ROWS(FLOW_STEP)},                                     \
	}

/* A table whose rows are watched by a function with --enable-debug. */
#ifdef VDO_DEBUG
#define FLOW_TABLE_WATCHED(table, failed_row, ROWS, watch)                     \
	static const struct flow_table table = {                               \
		.name = #table,                                                \
		.failed = (failed_row),                                        \
		.count = 0 ROWS(FLOW_COUNT),                                   \
		.entered = (watch),                                            \
		.rows = {ROWS(FLOW_STEP)},                                     \
	}
#else
#define FLOW_TABLE_WATCHED(table, failed_row, ROWS, watch)                     \
	FLOW_TABLE(table, failed_row, ROWS)
#endif

struct flow {
	struct completion go; /* takes it to the queue of a row */
	const struct step *rows; /* of its table */
	int at;	    /* where it goes on, while it waits or travels */
	int result; /* 0 or the first error */
	/* The queue of each place, as far as it is known by now. */
	struct queue *queues[FLOW_PLACES];
};

/* The callback of flow.go. */
void flow_arrived(struct completion *c);

static inline const struct step *flow_row(const struct flow *f, int at)
{
	VDO_CHECK(at >= 0 && flow_place(at) < FLOW_PLACES);
	return (const struct step *)((const char *)f->rows + (uint16_t)at);
}

/* Have @f begin @table, when it is run. */
static inline void flow_set_table(struct flow *f,
				  const struct flow_table *table)
{
	VDO_CHECK(table->count > 0);
	f->rows = table->rows;
	f->at = FLOW_AT(0, table->rows[0].place);
	f->result = 0;
}

static inline const struct flow_table *flow_table_of(const struct flow *f)
{
	return container_of(f->rows, const struct flow_table, rows);
}

/*
 * @table may be NULL: flow_set_table() follows before it starts. The queues of
 * places are set by the owner, before a row needs them.
 */
static inline void flow_init(struct flow *f, const struct flow_table *table)
{
	completion_init(&f->go, NULL, flow_arrived);
	for (unsigned i = 0; i < FLOW_PLACES; i++)
		f->queues[i] = NULL;
	if (table != NULL)
		flow_set_table(f, table);
}

/* Run @f from its row on, as far as it goes. On any queue. */
void flow_run(struct flow *f);

/* Go on at f->at, on the queue of that row, later. Any thread. */
static inline void flow_go(struct flow *f)
{
	struct queue *q = f->queues[flow_place(f->at)];

	VDO_CHECK(q != NULL);
	queue_post(q, &f->go);
}

/* Begin with the first row. Any thread. */
static inline void flow_start(struct flow *f)
{
	VDO_CHECK(f->rows != NULL);
	f->at = FLOW_AT(0, f->rows[0].place);
	f->result = 0;
	flow_go(f);
}

/* The row does not wait after all: what it armed or parked for is over. */
static inline void flow_unpark(struct flow *f)
{
#ifdef VDO_DEBUG
	VDO_ASSERT(queue_running->armed == f);
	queue_running->armed = NULL;
#endif
}

/* Where the flow is to go on when whoever it waits for calls flow_go(). */
static inline void flow_park(struct flow *f, int next)
{
	f->at = next;
#ifdef VDO_DEBUG
	VDO_ASSERT(next >= 0);
	VDO_ASSERT((int)flow_number(next) < flow_table_of(f)->count);
	VDO_ASSERT(queue_running != NULL && queue_running->armed != f);
	queue_running->armed = f;
#endif
}

/*
 * What a row returns that goes on at @next in a turn of its own, after all that
 * is waiting for the queue already.
 */
static inline int flow_turn(struct flow *f, int next)
{
	flow_park(f, next);
	flow_go(f);
	return FLOW_WAIT;
}

/* Callbacks of ops that are over. With flow_resume() an error leads to the row
 * for errors; with flow_resume_any() each result leads to the next row. */
void flow_resume(struct completion *c);
void flow_resume_any(struct completion *c);

static inline void flow_arm(struct flow *f, struct completion *c, int next,
			    completion_fn resume)
{
	struct queue *q = flow_place(next) == ANYWHERE
				  ? queue_running
				  : f->queues[flow_place(next)];

	VDO_CHECK(q != NULL);
	completion_init(c, q, resume);
	c->owner = f;
	flow_park(f, next);
}

/* Have the op of @c go on at row @next, or at that for errors. */
static inline void flow_await(struct flow *f, struct completion *c, int next)
{
	flow_arm(f, c, next, flow_resume);
}

/* Have the op of @c go on at row @next, whatever becomes of it. */
static inline void flow_await_any(struct flow *f, struct completion *c,
				  int next)
{
	flow_arm(f, c, next, flow_resume_any);
}

/* Remember an error; returns the row to go to. */
int flow_fail(struct flow *f, int error);

/* The row to go on at: @next or, with an error, the row for errors. */
static inline int flow_next(struct flow *f, int result, int next)
{
	VDO_CHECK(next >= 0 && result <= 0);
	return likely(result == 0) ? next : flow_fail(f, result);
}

/*
 * What a row returns for an op that may be over already (@over). If it is not,
 * another thread may have the flow by now.
 */
static inline int flow_over(struct flow *f, struct completion *c, bool over)
{
	if (!over)
		return FLOW_WAIT;
	flow_unpark(f);
	return flow_next(f, c->result, f->at);
}

/* What a row returns after flow_await_any() or flow_park(), if what it waits
 * for may be over already (@over). */
static inline int flow_over_any(struct flow *f, bool over)
{
	if (!over)
		return FLOW_WAIT;
	flow_unpark(f);
	VDO_CHECK(f->at >= 0);
	return f->at;
}

#endif
