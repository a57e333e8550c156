/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a volume's work runs.
 *
 * By default a volume has threads of its own. A host may instead lend it a
 * thread pool (vdo_config_set_pool()) or run everything on the threads that
 * call the library (option executor=inline, vdo_poll() and vdo_volume_fd()).
 */
#ifndef VDO_EXECUTOR_H
#define VDO_EXECUTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A piece of work for the pool. The memory is the library's; the host may use
 * the two words of host_data from submit until it calls run, for a link or a
 * time stamp. run(task) must be called exactly once for each submit; the task
 * may be submitted again from inside of it.
 */
struct vdo_task {
	void (*run)(struct vdo_task *task);
	void *host_data[2];
};

/*
 * The host's thread pool. Any number of threads, also one; tasks may be run
 * at once inside of submit, be delayed, or change places. The library keeps
 * the order that it needs. Must outlive the volume.
 */
struct vdo_pool_ops {
	size_t size; /* sizeof(struct vdo_pool_ops) */

	/* Have task->run(task) called. Any thread. Cannot fail. */
	void (*submit)(void *pool, struct vdo_task *task);

	/* Optional: how many tasks can run at the same time; 0 if unknown. */
	unsigned (*concurrency)(void *pool);

	/*
	 * Optional: as submit, but not before @delay_ns from now. Without it
	 * the library has one thread for timers while it needs one.
	 */
	void (*submit_later)(void *pool, struct vdo_task *task,
			     uint64_t delay_ns);
};

#ifdef __cplusplus
}
#endif

#endif
