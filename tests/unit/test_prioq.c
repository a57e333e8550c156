/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The priority table against a sorted reading of all its nodes.
 */
#include "build.h"

#include "base/prioq.h"

#include "tests/lib/unit.h"

#define NODES 200

static struct prioq_node *pop(struct prioq *q)
{
	struct prioq_node *n = prioq_best(q, PRIOQ_LEVELS);

	if (n != NULL)
		prioq_remove(q, n);
	return n;
}

START_TEST(empty)
{
	struct prioq q;

	prioq_init(&q);
	ck_assert_ptr_null(pop(&q));
}
END_TEST

/* Each single priority can be put, found and removed. */
START_TEST(each_level)
{
	struct prioq q;
	struct prioq_node low, a, b;
	unsigned p = (unsigned)_i;

	prioq_init(&q);
	prioq_node_init(&low);
	prioq_node_init(&a);
	prioq_node_init(&b);
	prioq_put(&q, &low, 0);
	prioq_put(&q, &a, p);
	prioq_put(&q, &b, p);
	prioq_remove(&q, &b);
	prioq_remove(&q, &b); /* not in the table: nothing happens */
	if (p == 0)
		ck_assert_ptr_eq(pop(&q), &low);
	ck_assert_ptr_eq(pop(&q), &a);
	if (p != 0)
		ck_assert_ptr_eq(pop(&q), &low);
	ck_assert_ptr_null(pop(&q));
	ck_assert_uint_eq(q.used, 0);
}
END_TEST

/* Who is put first comes before those of the same level, and no others. */
START_TEST(put_first)
{
	struct prioq q;
	struct prioq_node nodes[4];

	prioq_init(&q);
	for (unsigned i = 0; i < 4; i++)
		prioq_node_init(&nodes[i]);
	prioq_put(&q, &nodes[0], 5);
	prioq_put(&q, &nodes[1], 7);
	prioq_put_first(&q, &nodes[2], 5);
	prioq_put_first(&q, &nodes[3], 6);
	ck_assert_ptr_eq(pop(&q), &nodes[1]);
	ck_assert_ptr_eq(pop(&q), &nodes[3]);
	ck_assert_ptr_eq(pop(&q), &nodes[2]);
	ck_assert_ptr_eq(pop(&q), &nodes[0]);
	ck_assert_ptr_null(pop(&q));
}
END_TEST

START_TEST(order)
{
	struct prioq q;
	struct prioq_node nodes[NODES];
	unsigned last = PRIOQ_LEVELS, popped = 0, removed = 0;
	struct prioq_node *n, *before = NULL;

	prioq_init(&q);
	for (unsigned i = 0; i < NODES; i++) {
		prioq_node_init(&nodes[i]);
		prioq_put(&q, &nodes[i], i * 29 % PRIOQ_LEVELS);
	}
	for (unsigned i = 0; i < NODES; i += 3, removed++)
		prioq_remove(&q, &nodes[i]);
	while ((n = pop(&q)) != NULL) {
		ck_assert_uint_ne((unsigned)(n - nodes) % 3, 0);
		ck_assert_uint_le(n->priority, last);
		if (n->priority == last)
			ck_assert(n > before); /* oldest first */
		last = n->priority;
		before = n;
		popped++;
	}
	ck_assert_uint_eq(popped + removed, NODES);
}
END_TEST

/* The best below each limit; nothing is removed by asking. */
START_TEST(limits)
{
	static const unsigned levels[] = {0, 7, 8, 63};
	struct prioq_node nodes[ARRAY_SIZE(levels)];
	struct prioq q;

	prioq_init(&q);
	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
		prioq_node_init(&nodes[i]);
		prioq_put(&q, &nodes[i], levels[i]);
	}
	for (unsigned limit = 0; limit <= PRIOQ_LEVELS; limit++) {
		struct prioq_node *want = NULL;

		for (unsigned i = 0; i < ARRAY_SIZE(levels); i++)
			if (levels[i] < limit)
				want = &nodes[i];
		ck_assert_ptr_eq(prioq_best(&q, limit), want);
	}
}
END_TEST

/* A node can go back with another priority. */
START_TEST(put_again)
{
	struct prioq q;
	struct prioq_node a, b;

	prioq_init(&q);
	prioq_node_init(&a);
	prioq_node_init(&b);
	prioq_put(&q, &a, 5);
	prioq_put(&q, &b, 6);
	ck_assert_ptr_eq(pop(&q), &b);
	prioq_put(&q, &b, 4);
	ck_assert_ptr_eq(pop(&q), &a);
	ck_assert_ptr_eq(pop(&q), &b);
	ck_assert_ptr_null(pop(&q));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("prioq");

	tcase_add_test(tc, empty);
	tcase_add_loop_test(tc, each_level, 0, PRIOQ_LEVELS);
	tcase_add_test(tc, put_first);
	tcase_add_test(tc, order);
	tcase_add_test(tc, limits);
	tcase_add_test(tc, put_again);
	return unit_run();
}
