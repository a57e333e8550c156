/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/lib/test_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX 8

struct test_pool {
	struct vdo_pool_ops ops;
	struct test_pool_config config;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct vdo_task *tasks; /* oldest first */
	uint64_t random;
	bool stop;
	pthread_t threads[THREADS_MAX];
};

/* host_data: the next task, and when it may run (0: now). */
static struct vdo_task *next_of(const struct vdo_task *task)
{
	return task->host_data[0];
}

static uintptr_t due_of(const struct vdo_task *task)
{
	return (uintptr_t)task->host_data[1];
}

static uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Locked. */
static unsigned dice(struct test_pool *p, unsigned limit)
{
	p->random = p->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(p->random >> 33) % limit;
}

/* Locked. Unlink a task that may run at @now; NULL if there is none. */
static struct vdo_task *take(struct test_pool *p, uint64_t now)
{
	struct vdo_task *picked = NULL, *picked_after = NULL, *prev = NULL;
	unsigned seen = 0;

	for (struct vdo_task *t = p->tasks; t != NULL; t = next_of(t)) {
		if (due_of(t) <= now &&
		    (picked == NULL ||
		     (p->config.reorder && dice(p, ++seen + 1) == 0))) {
			picked = t;
			picked_after = prev;
		}
		prev = t;
	}
	if (picked == NULL)
		return NULL;
	if (picked_after == NULL)
		p->tasks = next_of(picked);
	else
		picked_after->host_data[0] = next_of(picked);
	return picked;
}

/* Locked. Sleep until a task is added, or the first delayed one is due. */
static void sleep_locked(struct test_pool *p)
{
	struct timespec ts;
	uintptr_t due = 0;

	for (struct vdo_task *t = p->tasks; t != NULL; t = next_of(t)) {
		if (due == 0 || due_of(t) < due)
			due = due_of(t);
	}
	if (due == 0) {
		pthread_cond_wait(&p->changed, &p->lock);
		return;
	}
	ts.tv_sec = (time_t)(due / 1000000000u);
	ts.tv_nsec = (long)(due % 1000000000u);
	pthread_cond_timedwait(&p->changed, &p->lock, &ts);
}

static void *worker(void *arg)
{
	struct test_pool *p = arg;
	struct vdo_task *task;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		task = take(p, clock_now());
		if (task != NULL) {
			pthread_mutex_unlock(&p->lock);
			task->run(task);
			pthread_mutex_lock(&p->lock);
		} else if (p->stop) {
			break;
		} else {
			sleep_locked(p);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void add(struct test_pool *p, struct vdo_task *task, uint64_t due)
{
	struct vdo_task *now = NULL;
	struct vdo_task *last;

	pthread_mutex_lock(&p->lock);
	task->host_data[0] = NULL;
	task->host_data[1] = (void *)(uintptr_t)due;
	for (last = p->tasks; last != NULL && next_of(last) != NULL;)
		last = next_of(last);
	if (last == NULL)
		p->tasks = task;
	else
		last->host_data[0] = task;
	if (dice(p, 100) < p->config.inline_percent)
		now = take(p, clock_now());
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (now != NULL)
		now->run(now);
}

static void submit(void *pool, struct vdo_task *task)
{
	struct test_pool *p = pool;

	if (p->config.threads == 0)
		task->run(task);
	else
		add(p, task, 0);
}

static void submit_later(void *pool, struct vdo_task *task, uint64_t delay_ns)
{
	add(pool, task, clock_now() + delay_ns);
}

static unsigned concurrency(void *pool)
{
	const struct test_pool *p = pool;

	return p->config.threads;
}

struct test_pool *test_pool_create(const struct test_pool_config *config)
{
	struct test_pool *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (p == NULL || config->threads > THREADS_MAX)
		abort();
	p->config = *config;
	p->random = 1;
	p->ops.size = sizeof(p->ops);
	p->ops.submit = submit;
	p->ops.submit_later = config->later ? submit_later : NULL;
	p->ops.concurrency = config->hint ? concurrency : NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < config->threads; i++) {
		if (pthread_create(&p->threads[i], NULL, worker, p) != 0)
			abort();
	}
	return p;
}

void test_pool_destroy(struct test_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->config.threads; i++)
		pthread_join(p->threads[i], NULL);
	if (p->tasks != NULL)
		abort();
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

const struct vdo_pool_ops *test_pool_ops(const struct test_pool *p)
{
	return &p->ops;
}
