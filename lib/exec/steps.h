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
#ifndef EXEC_STEPS_H
#define EXEC_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "exec/completion.h"
#include "exec/executor.h"

struct flow;

/* Instead of the next row: an op or somebody else goes on; it is over. */
#define FLOW_WAIT (-1)
#define FLOW_END  (-2)

/* The place of rows that run where the flow is; its queue is NULL. */
#define ANYWHERE 0

struct step {
	int (*run)(struct flow *f); /* returns the next row */
	const char *name;	    /* the function's */
	uint8_t place;
} __attribute__((aligned(32))); /* a shift finds a row */

struct flow_table {
	const char *name;
	int failed; /* the row that errors lead to */
	int count;
#ifdef VDO_DEBUG
	void (*entered)(struct flow *f, int row); /* before a row runs, or NULL */
#endif
	struct step rows[];
};

/* For the macro that lists the rows: their numbers, ... */
#define FLOW_ROW(row, function, where) row,
/* ... their functions (drop "static" where these are in several files), ... */
#define FLOW_FUNCTION(row, function, where) static int function(struct flow *f);
#define FLOW_FUNCTION_EXTERN(row, function, where) int function(struct flow *f);
/* ... and the table. */
#define FLOW_STEP(row, function, where)                                        \
	[row] = {.run = (function), .name = #function, .place = (where)},
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
	const struct flow_table *table;
	/* The queue of each place, as far as it is known by now. */
	struct queue *const *queues;
	int at;	    /* the row to go on at, while it waits or travels */
	int result; /* 0 or the first error */
};

/* The callback of go. */
void flow_arrived(struct completion *c);

static inline void flow_init(struct flow *f, const struct flow_table *table,
			     struct queue *const *queues)
{
	completion_init(&f->go, NULL, flow_arrived);
	f->table = table;
	f->queues = queues;
	f->at = 0;
	f->result = 0;
}

/* Run @f from its row on, as far as it goes. On any queue. */
void flow_run(struct flow *f);

/* Go on at f->at, on the queue of that row, later. Any thread. */
static inline void flow_go(struct flow *f)
{
	struct queue *q = f->queues[f->table->rows[f->at].place];

	VDO_ASSERT(q != NULL);
	queue_post(q, &f->go);
}

/* Begin with the first row. Any thread. */
static inline void flow_start(struct flow *f)
{
	f->at = 0;
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
	VDO_ASSERT(next >= 0 && next < f->table->count);
	VDO_ASSERT(queue_running != NULL && queue_running->armed != f);
	queue_running->armed = f;
#endif
}

/* Callbacks of ops that are over: on, errors first; or on in any case. */
void flow_resume(struct completion *c);
void flow_resume_any(struct completion *c);

static inline void flow_arm(struct flow *f, struct completion *c, int next,
			    completion_fn resume)
{
	struct queue *q = f->queues[f->table->rows[next].place];

	completion_init(c, q != NULL ? q : queue_running, resume);
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

/* On to @next or, with an error, to the row for these. */
static inline int flow_next(struct flow *f, int result, int next)
{
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

/* What a row returns after flow_await_any() or flow_park(), likewise. */
static inline int flow_over_any(struct flow *f, bool over)
{
	if (!over)
		return FLOW_WAIT;
	flow_unpark(f);
	return f->at;
}

#endif
