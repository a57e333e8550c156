/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue-bench: what does an item cost in the queue between threads (mpsc.h),
 * beside the queue of the same kind in liburcu (wfcqueue)?
 *
 * Both in one process, in turns: a round is one queue and all items of all
 * producers, from the first put to the last item that the consumer has looked
 * into. Each item is a cache line. Of the rounds of each queue the fastest
 * quarter is averaged: others met something else that ran on the machine.
 *
 * The consumer is bound to the first core that we may use, producers to the same
 * one (--same) or to those after it in turn. Who finds nothing yields, so that
 * threads on one core take turns.
 *
 * Without liburcu it says so in one line, and its exit code is 1.
 */
#include "build.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_URCU
#define _LGPL_SOURCE /* its calls inline, as ours are */
#include <urcu/wfcqueue.h>
#endif

#include "exec/mpsc.h"
#include "tests/bench/bench.h"

#define PRODUCERS_MAX 64u

static struct options {
	unsigned producers, items, rounds;
	bool same, json;
} o = {
	.producers = 1,
	.items = 1 << 16,
	.rounds = 40,
};

#ifdef HAVE_URCU

struct item {
	_Alignas(CACHE_LINE) union {
		struct mpsc_node own;
		struct cds_wfcq_node urcu;
	} node;
	uint64_t number;
};

enum kind {
	OWN,
	URCU,
	KINDS,
};

struct producer {
	_Alignas(CACHE_LINE) pthread_t thread;
	unsigned core;
	struct item *items;
};

static struct bench {
	struct mpsc own;
	_Alignas(CACHE_LINE) struct cds_wfcq_head head;
	_Alignas(CACHE_LINE) struct cds_wfcq_tail tail;
	_Alignas(CACHE_LINE) atomic_uint round; /* begun so far */
	struct producer producers[PRODUCERS_MAX];
} b;

static _Noreturn void die(const char *what)
{
	printf("%s\n", what);
	exit(1);
}

/* Bind the calling thread to the @n-th core that we may use, counted round. */
static void bind_to(unsigned n)
{
	cpu_set_t all, one;
	int count;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		die("the cores that may be used are not known");
	count = CPU_COUNT(&all);
	n %= (unsigned)count;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || n-- != 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
			die("threads cannot be bound to cores");
		return;
	}
}

static unsigned cores(void)
{
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&all);
}

static enum kind kind_of(unsigned round)
{
	return round % 2 == 0 ? OWN : URCU;
}

/* Rounds are numbered from 1 on here. */
static void wait_for_round(unsigned round)
{
	while (atomic_load_explicit(&b.round, memory_order_acquire) < round)
		sched_yield();
}

static void *produce(void *arg)
{
	struct producer *p = arg;

	bind_to(p->core);
	for (unsigned round = 1; round <= 2 * o.rounds; round++) {
		enum kind kind = kind_of(round);

		wait_for_round(round);
		for (unsigned i = 0; i < o.items; i++) {
			struct item *it = &p->items[i];

			it->number = i;
			if (kind == OWN) {
				mpsc_put(&b.own, &it->node.own);
				continue;
			}
			cds_wfcq_node_init(&it->node.urcu);
			cds_wfcq_enqueue(&b.head, &b.tail, &it->node.urcu);
		}
	}
	return NULL;
}

static struct item *take(enum kind kind)
{
	struct cds_wfcq_node *n;

	if (kind == OWN) {
		struct mpsc_node *own = mpsc_poll(&b.own);

		return own == NULL ? NULL
				   : container_of(own, struct item, node.own);
	}
	n = __cds_wfcq_dequeue_nonblocking(&b.head, &b.tail);
	if (n == NULL || n == CDS_WFCQ_WOULDBLOCK)
		return NULL;
	return container_of(n, struct item, node.urcu);
}

/* Returns nanoseconds an item. */
static double consume_round(unsigned round)
{
	uint64_t total = (uint64_t)o.items * o.producers, sum = 0;
	uint64_t want = o.producers * ((uint64_t)o.items * (o.items - 1) / 2);
	enum kind kind = kind_of(round);
	uint64_t begun = bench_now();

	atomic_store_explicit(&b.round, round, memory_order_release);
	for (uint64_t n = 0; n < total;) {
		struct item *it = take(kind);

		if (it == NULL) {
			sched_yield();
			continue;
		}
		sum += it->number;
		n++;
	}
	if (sum != want)
		die("items were lost");
	return (double)(bench_now() - begun) / (double)total;
}

static void start(void)
{
	mpsc_init(&b.own);
	cds_wfcq_init(&b.head, &b.tail);
	for (unsigned i = 0; i < o.producers; i++) {
		struct producer *p = &b.producers[i];
		size_t bytes = o.items * sizeof(*p->items);

		p->core = o.same ? 0 : 1 + i % (cores() - 1);
		p->items = aligned_alloc(CACHE_LINE, bytes);
		if (p->items == NULL)
			die("there is not enough memory");
		memset(p->items, 0, bytes);
		if (pthread_create(&p->thread, NULL, produce, p) != 0)
			die("there can be no more threads");
	}
	bind_to(0);
}

static int bench(void)
{
	double *times[KINDS], own, urcu;

	if (!o.same && cores() < 2)
		die("there is one core only");
	for (unsigned k = 0; k < KINDS; k++)
		times[k] = calloc(o.rounds, sizeof(**times));
	if (times[OWN] == NULL || times[URCU] == NULL)
		die("there is not enough memory");
	start();
	for (unsigned round = 1; round <= 2 * o.rounds; round++)
		times[kind_of(round)][(round - 1) / 2] = consume_round(round);
	for (unsigned i = 0; i < o.producers; i++) {
		pthread_join(b.producers[i].thread, NULL);
		free(b.producers[i].items);
	}
	own = bench_typical(times[OWN], o.rounds);
	urcu = bench_typical(times[URCU], o.rounds);
	free(times[OWN]);
	free(times[URCU]);
	printf(o.json ? "{\"producers\":%u,\"same\":%d,\"own_ns\":%.2f,"
			"\"urcu_ns\":%.2f,\"ratio\":%.3f}\n"
		      : "%u producers, same core %d: own queue %.2f ns an item, "
			"liburcu's wfcqueue %.2f ns, ratio %.3f\n",
	       o.producers, o.same, own, urcu, own / urcu);
	return 0;
}

#else

static int bench(void)
{
	puts("this was configured without liburcu");
	return 1;
}

#endif

/* ------------------------------------------------------------------ options */

static void usage(FILE *to)
{
	fputs("usage: queue-bench [OPTION]...\n"
	      "  --producers=N  threads that put (1)\n"
	      "  --same         on the core of the consumer, not on others\n"
	      "  --items=N      of each producer, a round (65536)\n"
	      "  --rounds=N     of each queue (40)\n"
	      "  --json         one line of JSON\n",
	      to);
}

static const struct option longs[] = {
	{"producers", 1, NULL, 'p'}, {"items", 1, NULL, 'i'},
	{"rounds", 1, NULL, 'r'},    {"same", 0, NULL, 's'},
	{"json", 0, NULL, 'j'},	     {"help", 0, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'p': o.producers = (unsigned)atoi(optarg); break;
		case 'i': o.items = (unsigned)atoi(optarg); break;
		case 'r': o.rounds = (unsigned)atoi(optarg); break;
		case 's': o.same = true; break;
		case 'j': o.json = true; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind != argc || o.producers == 0 ||
	    o.producers > PRODUCERS_MAX || o.items == 0 ||
	    o.items > 1u << 24 || o.rounds == 0 || o.rounds > 100000) {
		usage(stderr);
		return 2;
	}
	return bench();
}
