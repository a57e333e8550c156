/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Printing the rings.
 *
 * Nothing is allocated and no lock is taken, since this runs when memory can no
 * longer be trusted.
 */
#include "build.h"

#include "exec/trace.h"

#include <stdio.h>

#include "exec/executor.h"
#include "exec/flow.h"

/* A line that is being put together. */
struct line {
	char text[240];
	size_t length;
	const void *flow;
	trace_line print;
	void *arg;
};

static void add(struct line *l, const char *fmt, const char *text,
		const void *flow)
{
	size_t room = sizeof(l->text) - l->length;
	int n = snprintf(l->text + l->length, room, fmt, text, flow);

	if (n > 0)
		l->length += MIN((size_t)n, room - 1);
}

static void end(struct line *l)
{
	if (l->length > 0)
		l->print(l->arg, l->text);
	l->length = 0;
}

static void add_row(struct line *l, const char *queue, const void *flow,
		    const struct step *step)
{
	/* The longest name and what goes around it is to fit. */
	if (flow != l->flow || l->length > sizeof(l->text) - 48)
		end(l);
	if (l->length == 0)
		add(l, "  %s %p:", queue, flow);
	l->flow = flow;
	add(l, " %s", step->name, NULL);
}

static const void *word(const struct trace *t, unsigned n)
{
	return atomic_load_explicit(&t->words[n % TRACE_WORDS],
				    memory_order_relaxed);
}

void trace_print(const struct queue *q, trace_line print, void *arg)
{
	const struct trace *t = &q->trace;
	struct line l = {.print = print, .arg = arg};
	unsigned n = atomic_load_explicit(&t->next, memory_order_relaxed);

	for (unsigned i = 0; i < TRACE_ROWS; i++, n += 2) {
		const struct step *step = word(t, n + 1);

		if (step != NULL)
			add_row(&l, q->name, word(t, n), step);
	}
	end(&l);
}

static void print_all_but(struct executor *x, const struct queue *but,
			  trace_line line, void *arg)
{
	const struct queue *q;

	for (q = atomic_load(&x->queues); q != NULL; q = q->next)
		if (q != but)
			trace_print(q, line, arg);
}

void trace_print_all(struct executor *x, trace_line line, void *arg)
{
	print_all_but(x, NULL, line, arg);
}

static void to_stderr(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

static void witness(void)
{
	struct queue *q = queue_running;

	if (q == NULL)
		return;
	fprintf(stderr, "libvdo: the last rows on each queue, this one "
			"(%s) first:\n",
		q->name);
	trace_print(q, to_stderr, NULL);
	print_all_but(q->executor, q, to_stderr, NULL);
}

void trace_at_assertions(void)
{
	assert_set_witness(witness);
}
