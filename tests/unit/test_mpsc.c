/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of many producers: order, reuse of nodes, and what "empty" says.
 */
#include "build.h"

#include <pthread.h>
#include <sched.h>

#include "base/assert.h"
#include "exec/mpsc.h"
#include "tests/lib/unit.h"

#define PRODUCERS 4
#define PUTS	  20000

struct item {
	struct mpsc_node node;
	unsigned producer;
	unsigned number;
};

static struct mpsc queue;
static struct item items[PRODUCERS][PUTS];

static struct item *poll_item(void)
{
	struct mpsc_node *n = mpsc_poll(&queue);

	return n == NULL ? NULL : container_of(n, struct item, node);
}

START_TEST(fifo)
{
	/* All ways to put and poll 1 to 4 items in turn: bit set is a put. */
	for (unsigned ways = 0; ways < 256; ways++) {
		unsigned put = 0, polled = 0;

		mpsc_init(&queue);
		for (unsigned bit = 0; bit < 8; bit++) {
			struct item *it;

			if (ways & 1u << bit) {
				items[0][put].number = put;
				mpsc_put(&queue, &items[0][put++].node);
				ck_assert(mpsc_ready(&queue));
				ck_assert(!mpsc_empty(&queue));
				continue;
			}
			it = poll_item();
			ck_assert((it != NULL) == (polled < put));
			if (it != NULL)
				ck_assert_uint_eq(it->number, polled++);
			ck_assert_int_eq(mpsc_empty(&queue), polled == put);
			ck_assert_int_eq(mpsc_ready(&queue), polled != put);
		}
	}
}
END_TEST

START_TEST(node_is_free_after_poll)
{
	struct item one;

	mpsc_init(&queue);
	for (unsigned i = 0; i < 100; i++) {
		one.number = i;
		mpsc_put(&queue, &one.node);
		ck_assert_ptr_eq(poll_item(), &one);
		ck_assert_ptr_null(poll_item());
	}
}
END_TEST

/* A producer that stands between exchange and store hides what follows. */
START_TEST(half_a_put_is_not_empty)
{
	struct mpsc_node *prev;
	struct item *late = &items[0][0];
	struct item *next = &items[0][1];

	mpsc_init(&queue);
	atomic_init(&late->node.next, NULL);
	prev = atomic_exchange(&queue.newest, &late->node);
	mpsc_put(&queue, &next->node);
	ck_assert_ptr_null(poll_item());
	ck_assert(!mpsc_empty(&queue));
	atomic_store(&prev->next, &late->node);
	ck_assert_ptr_eq(poll_item(), late);
	ck_assert_ptr_eq(poll_item(), next);
	ck_assert(mpsc_empty(&queue));
}
END_TEST

/*
 * What comes before it cannot be had either: somebody who waits for that must
 * not be told to come and get it.
 */
START_TEST(half_a_put_is_not_ready)
{
	struct mpsc_node *prev;
	struct item *first = &items[0][0];
	struct item *late = &items[0][1];

	mpsc_init(&queue);
	ck_assert(!mpsc_ready(&queue));
	for (unsigned round = 0; round < 3; round++) {
		mpsc_put(&queue, &first->node);
		ck_assert(mpsc_ready(&queue));
		atomic_init(&late->node.next, NULL);
		prev = atomic_exchange(&queue.newest, &late->node);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert(!mpsc_ready(&queue));
			ck_assert_ptr_null(poll_item());
			ck_assert(!mpsc_empty(&queue));
		}
		atomic_store(&prev->next, &late->node);
		ck_assert(mpsc_ready(&queue));
		ck_assert_ptr_eq(poll_item(), first);
		ck_assert(mpsc_ready(&queue));
		ck_assert_ptr_eq(poll_item(), late);
		ck_assert(!mpsc_ready(&queue));
		ck_assert(mpsc_empty(&queue));
	}
}
END_TEST

static void *produce(void *arg)
{
	unsigned self = *(unsigned *)arg;

	for (unsigned i = 0; i < PUTS; i++) {
		items[self][i].producer = self;
		items[self][i].number = i;
		mpsc_put(&queue, &items[self][i].node);
	}
	return NULL;
}

START_TEST(order_of_each_producer)
{
	unsigned numbers[PRODUCERS], expected[PRODUCERS] = {0};
	pthread_t threads[PRODUCERS];
	unsigned polled = 0;

	mpsc_init(&queue);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		numbers[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce,
						&numbers[i]), 0);
	}
	while (polled < PRODUCERS * PUTS) {
		struct item *it = poll_item();

		if (it == NULL) {
			sched_yield();
			continue;
		}
		VDO_ASSERT(it->number == expected[it->producer]);
		expected[it->producer]++;
		polled++;
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_ptr_null(poll_item());
	ck_assert(mpsc_empty(&queue));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("mpsc");

	tcase_add_test(tc, fifo);
	tcase_add_test(tc, node_is_free_after_poll);
	tcase_add_test(tc, half_a_put_is_not_empty);
	tcase_add_test(tc, half_a_put_is_not_ready);
	tcase_add_test(tc, order_of_each_producer);
	return unit_run();
}
