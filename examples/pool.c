/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume that runs on the host's own thread pool.
 *
 * The pool is the usual one: a list of tasks, a mutex, some threads. The link
 * of the list lives in the task (host_data), so submitting allocates nothing
 * and cannot fail, as the library demands.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <vdo/vdo.h>

#define THREADS 3

struct pool {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct vdo_task *first, *last;
	bool stop;
	unsigned long tasks_run;
	pthread_t threads[THREADS];
};

static void pool_submit(void *arg, struct vdo_task *task)
{
	struct pool *pool = arg;

	task->host_data[0] = NULL; /* the next task */
	pthread_mutex_lock(&pool->mutex);
	if (pool->first == NULL)
		pool->first = task;
	else
		pool->last->host_data[0] = task;
	pool->last = task;
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->mutex);
}

static unsigned pool_concurrency(void *arg)
{
	return THREADS;
}

static const struct vdo_pool_ops pool_ops = {
	.size = sizeof(pool_ops),
	.submit = pool_submit,
	.concurrency = pool_concurrency,
};

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&pool->mutex);
	for (;;) {
		struct vdo_task *task = pool->first;

		if (task == NULL) {
			if (pool->stop)
				break;
			pthread_cond_wait(&pool->changed, &pool->mutex);
			continue;
		}
		pool->first = task->host_data[0];
		pool->tasks_run++;
		pthread_mutex_unlock(&pool->mutex);
		task->run(task); /* the task is the library's again */
		pthread_mutex_lock(&pool->mutex);
	}
	pthread_mutex_unlock(&pool->mutex);
	return NULL;
}

static bool pool_start(struct pool *pool)
{
	memset(pool, 0, sizeof(*pool));
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->changed, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&pool->threads[i], NULL, pool_thread,
				   pool) != 0)
			return false;
	return true;
}

static void pool_stop(struct pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->stop = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(pool->threads[i], NULL);
}

static int use_volume(struct vdo_volume *volume)
{
	static char text[256 << 10], back[256 << 10];
	int r;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i / 4096 % 26);
	r = vdo_pwrite(volume, text, sizeof(text), 0, 0);
	if (r == 0)
		r = vdo_pread(volume, back, sizeof(back), 0, 0);
	if (r == 0 && memcmp(text, back, sizeof(text)) != 0)
		r = -VDO_ECORRUPT;
	return r;
}

static int run(struct pool *pool)
{
	struct vdo_config *config = NULL;
	struct vdo_device *device = NULL;
	struct vdo_volume *volume;
	struct vdo_error error = {0};
	int r;

	r = vdo_config_new(&config);
	if (r == 0)
		r = vdo_config_set_pool(config, &pool_ops, pool);
	if (r == 0)
		r = vdo_device_open_memory(UINT64_C(64) << 20, &device);
	if (r == 0)
		r = vdo_format_device(device, config, &error);
	if (r == 0)
		r = vdo_open_device(device, config, &volume, &error);
	if (r == 0) {
		int closed;

		r = use_volume(volume);
		closed = vdo_close(volume);
		if (r == 0)
			r = closed;
	}
	if (r != 0)
		fprintf(stderr, "pool: %s\n",
			error.code != 0 ? error.message : vdo_strerror(r));
	vdo_device_close(device);
	vdo_config_free(config);
	return r;
}

int main(void)
{
	struct pool pool;
	int r;

	if (!pool_start(&pool)) {
		fprintf(stderr, "pool: cannot start threads\n");
		return 1;
	}
	r = run(&pool);
	pool_stop(&pool);
	printf("the pool ran %lu tasks\n", pool.tasks_run);
	return r != 0;
}
