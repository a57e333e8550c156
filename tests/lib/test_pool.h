/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread pools for the tests of whatever runs over a pool of the host, with
 * the habits that the contract allows: few threads, tasks run inside of
 * submit, out of order, late.
 *
 * Runs on: any thread. Lifetime: created before and destroyed after its users.
 */
#ifndef TESTS_TEST_POOL_H
#define TESTS_TEST_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/executor.h>

struct test_pool_config {
	unsigned threads;	 /* 0: all tasks run inside of submit */
	unsigned inline_percent; /* so many submits run some task at once */
	bool reorder;		 /* pick any task, not the oldest */
	bool later;		 /* has submit_later(); needs threads */
	bool hint;		 /* has concurrency() */
};

struct test_pool;

/* Aborts without memory or threads. */
struct test_pool *test_pool_create(const struct test_pool_config *config);

/* All tasks must have run. */
void test_pool_destroy(struct test_pool *p);

const struct vdo_pool_ops *test_pool_ops(const struct test_pool *p);

#endif
