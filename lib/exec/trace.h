/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a queue did last: the newest rows that flows ran on it (flow.h).
 *
 * Each queue keeps a ring. Its runner is the only writer; anybody may read at
 * any time and then sees each word as it is or was, so a line that is being
 * written may name the row of one flow with the address of another.
 *
 * An assertion that fails prints the ring of the queue on which it failed, then
 * those of the other queues of the same executor. A test of a volume that hangs
 * prints all of them before it is killed (tests/lib/fixture.c). In a debugger,
 * trace_print() prints one.
 *
 * Runs on: trace_row() on the queue, the rest anywhere. Lifetime: the queue's.
 */
#ifndef EXEC_TRACE_H
#define EXEC_TRACE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

struct executor;
struct queue;
struct step;

#define TRACE_ROWS  128u
#define TRACE_WORDS (2 * TRACE_ROWS)

/*
 * A flow and its row are two words. Words are numbered in a byte, which wraps
 * by itself: noting a row takes seven instructions (x86-64,
 * gcc 12 -O2, in flow_run()).
 */
struct trace {
	_Atomic(uint8_t) next; /* where the next row goes; it is the oldest */
	_Atomic(const void *) words[TRACE_WORDS];
};

static_assert(TRACE_WORDS == UINT8_MAX + 1, "words are numbered in a byte");

static inline void trace_row(struct trace *t, const void *flow,
			     const struct step *step)
{
	uint8_t n = atomic_load_explicit(&t->next, memory_order_relaxed);
	_Atomic(const void *) *words = &t->words[n];

	atomic_store_explicit(&words[0], flow, memory_order_relaxed);
	atomic_store_explicit(&words[1], step, memory_order_relaxed);
	atomic_store_explicit(&t->next, (uint8_t)(n + 2),
			      memory_order_relaxed);
}

/* Take one line of text, without its end. */
typedef void (*trace_line)(void *arg, const char *text);

/* The rows of @q, oldest first; a line for as long as a flow stayed on it. */
void trace_print(const struct queue *q, trace_line line, void *arg);

/* The rows of each queue of @x; while it lives. */
void trace_print_all(struct executor *x, trace_line line, void *arg);

/* Have failed assertions print what the queues did. */
void trace_at_assertions(void);

#endif
