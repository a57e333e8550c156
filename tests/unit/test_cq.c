/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completion queues: order, the descriptor, many producers and reapers.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <vdo/io.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "tests/lib/unit.h"

static bool readable(const struct vdo_cq *cq)
{
	struct pollfd p = {.fd = vdo_cq_fd(cq), .events = POLLIN};

	ck_assert_int_ge(poll(&p, 1, 0), 0);
	return p.revents & POLLIN;
}

START_TEST(order_and_descriptor)
{
	struct vdo_cq_entry e[5], *got[5];
	struct vdo_cq *cq;

	ck_assert_int_eq(vdo_cq_new(&cq), 0);
	ck_assert_int_ne(fcntl(vdo_cq_fd(cq), F_GETFD) & FD_CLOEXEC, 0);
	ck_assert(!readable(cq));
	ck_assert_uint_eq(vdo_cq_reap(cq, got, 5), 0);
	for (int i = 0; i < 5; i++) {
		e[i] = (struct vdo_cq_entry){.cq = cq, .user = &e[4 - i]};
		vdo_cq_complete(&e[i], -i);
		ck_assert(readable(cq));
	}
	ck_assert_uint_eq(vdo_cq_reap(cq, got, 0), 0);
	ck_assert(readable(cq));
	ck_assert_uint_eq(vdo_cq_reap(cq, got, 3), 3);
	ck_assert(readable(cq));
	ck_assert_uint_eq(vdo_cq_reap(cq, got + 3, 5), 2);
	ck_assert(!readable(cq));
	for (int i = 0; i < 5; i++) {
		ck_assert_ptr_eq(got[i], &e[i]);
		ck_assert_int_eq(got[i]->result, -i);
		ck_assert_ptr_eq(got[i]->user, &e[4 - i]);
	}
	vdo_cq_complete(&e[0], 7);
	ck_assert(readable(cq));
	ck_assert_uint_eq(vdo_cq_reap(cq, got, 5), 1);
	ck_assert_int_eq(got[0]->result, 7);
	vdo_cq_free(cq);
	vdo_cq_free(NULL);
}
END_TEST

START_TEST(shortage)
{
	struct rlimit limit, none;
	struct vdo_cq *cq;

	alloc_fail_at(1);
	ck_assert_int_eq(vdo_cq_new(&cq), -ENOMEM);
	alloc_fail_at(0);
	ck_assert_ptr_null(cq);

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_eq(vdo_cq_new(&cq), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_ptr_null(cq);
}
END_TEST

#define PRODUCERS 3
#define REAPERS   2
#define EACH      2000

struct crowd {
	struct vdo_cq *cq;
	struct vdo_cq_entry entries[PRODUCERS][EACH];
	atomic_uint seen[PRODUCERS][EACH];
	atomic_uint reaped, next_producer;
};

static void *produce(void *arg)
{
	struct crowd *c = arg;
	unsigned me = atomic_fetch_add(&c->next_producer, 1);

	for (int i = 0; i < EACH; i++) {
		struct vdo_cq_entry *e = &c->entries[me][i];

		e->cq = c->cq;
		e->user = &c->seen[me][i];
		vdo_cq_complete(e, i);
	}
	return NULL;
}

static void *reap(void *arg)
{
	struct crowd *c = arg;
	struct vdo_cq_entry *got[64];

	while (atomic_load(&c->reaped) < PRODUCERS * EACH) {
		size_t n = vdo_cq_reap(c->cq, got, ARRAY_SIZE(got));

		for (size_t i = 0; i < n; i++)
			atomic_fetch_add((atomic_uint *)got[i]->user, 1);
		atomic_fetch_add(&c->reaped, (unsigned)n);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

START_TEST(crowd)
{
	struct crowd *c = calloc(1, sizeof(*c));
	pthread_t threads[PRODUCERS + REAPERS];

	ck_assert_int_eq(vdo_cq_new(&c->cq), 0);
	for (int i = 0; i < PRODUCERS + REAPERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						i < PRODUCERS ? produce : reap,
						c),
				 0);
	for (int i = 0; i < PRODUCERS + REAPERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!readable(c->cq));
	for (int p = 0; p < PRODUCERS; p++) {
		for (int i = 0; i < EACH; i++) {
			ck_assert_uint_eq(atomic_load(&c->seen[p][i]), 1);
			ck_assert_int_eq(c->entries[p][i].result, i);
		}
	}
	vdo_cq_free(c->cq);
	free(c);
}
END_TEST

/* One thread that only sleeps in poll(2) gets everything, in order. */
START_TEST(poll_never_misses)
{
	struct crowd *c = calloc(1, sizeof(*c));
	struct vdo_cq_entry *got[3];
	pthread_t thread;
	int next = 0;

	ck_assert_int_eq(vdo_cq_new(&c->cq), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, produce, c), 0);
	while (next < EACH) {
		struct pollfd p = {.fd = vdo_cq_fd(c->cq), .events = POLLIN};
		size_t n;

		ck_assert_int_eq(poll(&p, 1, -1), 1);
		n = vdo_cq_reap(c->cq, got, ARRAY_SIZE(got));
		ck_assert_uint_gt(n, 0);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_eq(got[i]->result, next++);
	}
	/* The last entry is here, so the queue may go before the thread. */
	vdo_cq_free(c->cq);
	pthread_join(thread, NULL);
	free(c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("cq");

	tcase_add_test(tc, order_and_descriptor);
	tcase_add_test(tc, shortage);
	tcase_add_test(tc, crowd);
	tcase_add_test(tc, poll_never_misses);
	return unit_run();
}
