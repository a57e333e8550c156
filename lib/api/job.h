/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs: struct vdo_job, and how one is started.
 *
 * Who has long work embeds a struct vdo_job in what the work needs and starts it
 * with job_start(). The calls run:
 *
 *	run	 once, on the job's thread or in vdo_job_wait(); never if an
 *		 inline job is freed before somebody waited
 *	stop	 on any thread, before run or while it runs, never when the job
 *		 is over; run then ends soon with -ECANCELED. Does not wait
 *	progress on any thread, at any time before destroy; p->over says whether
 *		 the job is over, and stays true meanwhile. Does not wait
 *	destroy	 last, once; frees the job
 *
 * Lifetime: from job_start() to vdo_job_free(). If job_start() fails, the job is
 * still its maker's.
 */
#ifndef API_JOB_H
#define API_JOB_H

#include <pthread.h>
#include <sys/types.h>

#include <vdo/job.h>

#include "volume/settings.h"

struct job_ops {
	int (*run)(struct vdo_job *job, struct vdo_error *error);
	void (*stop)(struct vdo_job *job);
	void (*progress)(struct vdo_job *job, struct vdo_job_progress *p);
	void (*destroy)(struct vdo_job *job);
};

enum job_state {
	JOB_WAITS, /* inline: nobody has waited for it */
	JOB_RUNS,
	JOB_IS_OVER,
};

struct vdo_job {
	const struct job_ops *ops;
	pid_t pid;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	enum job_state state;
	bool has_thread;
	pthread_t thread;
	int result;
	struct vdo_error error;
};

/* @s says where it runs. -ENOMEM, -EAGAIN. */
int job_start(struct vdo_job *job, const struct job_ops *ops,
	      const struct settings *s) MUST_CHECK;

/* Are we in the process that started it? False for NULL. */
bool job_is_here(const struct vdo_job *job);

/* Is it over, and did it succeed? */
bool job_succeeded(struct vdo_job *job);

#endif
