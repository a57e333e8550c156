/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume on GLib's thread pool: it has no threads of its own. A task is what
 * is pushed; the pool runs tasks in any order, as many at a time as it has threads.
 */
#include <glib.h>

#include "chain.h"

#define THREADS 3

static void run_task(gpointer data, gpointer unused)
{
	struct vdo_task *task = data;

	(void)unused;
	task->run(task);
}

static void submit(void *pool, struct vdo_task *task)
{
	g_thread_pool_push(pool, task, NULL);
}

static unsigned concurrency(void *pool)
{
	return (unsigned)g_thread_pool_get_max_threads(pool);
}

int main(void)
{
	static const struct vdo_pool_ops ops = {
		.size = sizeof(ops),
		.submit = submit,
		.concurrency = concurrency,
	};
	static const char *const options[] = {NULL};
	GThreadPool *pool =
		g_thread_pool_new(run_task, NULL, THREADS, TRUE, NULL);
	struct vdo_volume *volume;
	struct vdo_config *config;
	struct vdo_cq *cq;
	int result;

	if (pool == NULL || vdo_config_new(&config) != 0 ||
	    vdo_cq_new(&cq) != 0 || vdo_config_set_pool(config, &ops, pool) != 0)
		return 1;
	volume = volume_make(config, options);
	vdo_config_free(config);
	/* Reaped here, so that chains need no lock. */
	chains_start(volume, cq);
	while (chains_left > 0) {
		GPollFD fd = {vdo_cq_fd(cq), G_IO_IN, 0};

		g_poll(&fd, 1, -1);
		chains_reap(cq);
	}
	vdo_cq_free(cq);
	result = volume_end(volume, "GThreadPool");
	g_thread_pool_free(pool, FALSE, TRUE);
	return result;
}
