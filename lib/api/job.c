/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs.
 *
 *	      job_start()
 *	WAITS ------------> RUNS ----> IS_OVER
 *	  inline: [vdo_job_wait]   [work]
 *
 * Work is done without the lock; the states, the result and its text are under
 * it, and so are the calls that stop work and ask for its progress, so that they
 * know whether it is over.
 */
#include "build.h"

#include "api/job.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "exec/system.h"

static void work(struct vdo_job *job)
{
	struct vdo_error error;
	int r;

	VDO_ASSERT(queue_running == NULL);
	error_clear(&error);
	r = error_finish(&error, job->ops->run(job, &error));
	VDO_ASSERT(r <= 0);
	pthread_mutex_lock(&job->lock);
	VDO_ASSERT(job->state == JOB_RUNS);
	job->result = r;
	job->error = error;
	job->state = JOB_IS_OVER;
	pthread_cond_broadcast(&job->changed);
	pthread_mutex_unlock(&job->lock);
}

static void *job_thread(void *arg)
{
	work(arg);
	return NULL;
}

static int locks_init(struct vdo_job *job)
{
	pthread_condattr_t attr;
	int r = pthread_mutex_init(&job->lock, NULL);

	if (r != 0)
		return -r;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&job->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (r != 0)
		pthread_mutex_destroy(&job->lock);
	return -r;
}

static void locks_fini(struct vdo_job *job)
{
	pthread_cond_destroy(&job->changed);
	pthread_mutex_destroy(&job->lock);
}

int job_start(struct vdo_job *job, const struct job_ops *ops,
	      const struct settings *s)
{
	int r = locks_init(job);

	VDO_ASSERT(ops->run != NULL && ops->stop != NULL);
	VDO_ASSERT(ops->progress != NULL && ops->destroy != NULL);
	if (r != 0)
		return r;
	job->ops = ops;
	job->pid = getpid();
	job->has_thread = s->open.executor == EXECUTOR_NATIVE;
	job->state = job->has_thread ? JOB_RUNS : JOB_WAITS;
	if (job->has_thread)
		r = system_thread_start(&job->thread, "vdo-job", job_thread,
					job);
	if (r != 0)
		locks_fini(job);
	return r;
}

bool job_is_here(const struct vdo_job *job)
{
	return job != NULL && job->pid == getpid();
}

static bool is_over(struct vdo_job *job)
{
	bool over;

	pthread_mutex_lock(&job->lock);
	over = job->state == JOB_IS_OVER;
	pthread_mutex_unlock(&job->lock);
	return over;
}

bool job_succeeded(struct vdo_job *job)
{
	return is_over(job) && job->result == 0;
}

void vdo_job_progress(struct vdo_job *job, struct vdo_job_progress *progress,
		      size_t size)
{
	struct vdo_job_progress p = {.phase = ""};

	if (progress == NULL)
		return;
	if (job_is_here(job)) {
		pthread_mutex_lock(&job->lock);
		p.over = job->state == JOB_IS_OVER;
		job->ops->progress(job, &p);
		VDO_ASSERT(p.phase != NULL);
		pthread_mutex_unlock(&job->lock);
	}
	memcpy(progress, &p, MIN(size, sizeof(p)));
}

static struct timespec deadline_in(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	VDO_ASSERT(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
	return t;
}

/* Wait until the job or the time is over. Holds the lock. */
static void wait_locked(struct vdo_job *job, int timeout_ms)
{
	struct timespec until = deadline_in(MAX(timeout_ms, 0));
	int r = 0;

	VDO_ASSERT(job->state != JOB_WAITS); /* or nobody would end it */
	while (job->state != JOB_IS_OVER && r == 0) {
		if (timeout_ms < 0)
			r = pthread_cond_wait(&job->changed, &job->lock);
		else
			r = pthread_cond_timedwait(&job->changed, &job->lock,
						   &until);
	}
}

int vdo_job_wait(struct vdo_job *job, int timeout_ms, struct vdo_error *error)
{
	int r = -ETIMEDOUT;

	error_clear(error);
	if (job == NULL)
		return error_missing(error, "job");
	if (!job_is_here(job))
		return error_finish(error, -VDO_EFORKED);
	if (queue_running != NULL)
		return error_finish(error, -EDEADLK);
	pthread_mutex_lock(&job->lock);
	if (job->state == JOB_WAITS && timeout_ms != 0) {
		job->state = JOB_RUNS;
		pthread_mutex_unlock(&job->lock);
		work(job);
		pthread_mutex_lock(&job->lock);
	}
	if (timeout_ms != 0)
		wait_locked(job, timeout_ms);
	if (job->state == JOB_IS_OVER) {
		r = job->result;
		if (error != NULL)
			*error = job->error;
	}
	pthread_mutex_unlock(&job->lock);
	return r == -ETIMEDOUT ? error_finish(error, r) : r;
}

/* What is over may be somebody else's by now, and is left alone. */
static void stop(struct vdo_job *job)
{
	pthread_mutex_lock(&job->lock);
	if (job->state != JOB_IS_OVER)
		job->ops->stop(job);
	pthread_mutex_unlock(&job->lock);
}

void vdo_job_cancel(struct vdo_job *job)
{
	if (job_is_here(job))
		stop(job);
}

void vdo_job_free(struct vdo_job *job)
{
	if (!job_is_here(job) || queue_running != NULL)
		return;
	stop(job);
	if (job->has_thread)
		pthread_join(job->thread, NULL);
	VDO_ASSERT(job->state != JOB_RUNS);
	locks_fini(job);
	job->ops->destroy(job);
}
