/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jobs: work that takes its time, with progress, and a way to end it.
 *
 * A call that starts a job, such as vdo_index_verify(), checks what it is given
 * and takes hold of the storage; what it returns errors for has then been found
 * out, and nothing was changed. The job begins at once, on a thread of its own,
 * which blocks all signals. With option executor=inline or pool there is no
 * such thread: the job is done inside of the first vdo_job_wait() with a
 * timeout other than 0, which then takes as long as the job.
 *
 * A device that was lent to a job is in use until vdo_job_free(); so is a file.
 * (What the job hands out, such as an open volume, takes that over.)
 *
 * Threads: any call on a job from any thread, except vdo_job_free(), which is
 * the last one. A job must not be used after fork(): calls in the child do
 * nothing or return -VDO_EFORKED.
 */
#ifndef VDO_JOB_H
#define VDO_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdo/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_job;

struct vdo_job_progress {
	const char *phase; /* what is being done, static text */
	uint64_t done;     /* bytes; never goes back within a phase */
	uint64_t total;    /* bytes of this phase; 0: not known (yet) */
	bool over;
};

/* How far it is. @size is sizeof(struct vdo_job_progress). */
void vdo_job_progress(struct vdo_job *job, struct vdo_job_progress *progress,
		      size_t size);

/*
 * Wait up to @timeout_ms (-1: for ever, 0: not at all) for the end of the job
 * and return its result, with @error (may be NULL); once it is over, always the
 * same. Besides: -ETIMEDOUT: not over yet. -ECANCELED: ended by
 * vdo_job_cancel(). -EDEADLK from a callback. -VDO_EFORKED.
 */
int vdo_job_wait(struct vdo_job *job, int timeout_ms, struct vdo_error *error);

/*
 * Let the job end soon; vdo_job_wait() then returns -ECANCELED, or the result
 * if it was quicker. Does not wait. What the job would have changed is as it
 * was before unless its own page says otherwise.
 */
void vdo_job_cancel(struct vdo_job *job);

/*
 * Cancel, wait for the end, and free the job and all that it has returned
 * pointers to. NULL is fine. Not from a callback.
 */
void vdo_job_free(struct vdo_job *job);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
