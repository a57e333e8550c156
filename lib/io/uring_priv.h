/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring: what starting (uring.c), submission (uring_submit.c) and reaping
 * (uring_reap.c) share. uring.c explains it as a whole.
 */
#ifndef IO_URING_PRIV_H
#define IO_URING_PRIV_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "exec/executor.h"
#include "io/file_priv.h"

#define IN_FLIGHT_MAX 256u

struct uring {
	struct file *file;
	struct io_uring ring;
	bool fixed_files;

	pthread_mutex_t lock;
	struct vdo_device_io *first; /* pending */
	struct vdo_device_io *last;
	unsigned pending;
	unsigned in_flight;
	bool submitting;
	bool given_up;
	bool woken;    /* since the last poll ended */
	bool sleeping; /* the reaper may be in the kernel */
	struct threads *threads; /* after it was given up, or NULL */

	/* What the submitter put into the ring, and was not sent yet. */
	struct vdo_device_io *batch[IN_FLIGHT_MAX];
	unsigned batched;

	int wake_fd;
	struct executor *polled_by; /* NULL: there is a thread */
	struct poller poller;
	pthread_t thread;
	atomic_bool stopping;
};

/* Submission. */

/* The device's calls. */
void uring_submit(void *ctx, struct vdo_device_io *io);
void uring_submit_all(void *ctx, struct vdo_device_io *first,
		      struct vdo_device_io *last);

/* Send what is pending, unless somebody is at it. Holds the lock. */
void uring_pump(struct uring *u);

/* The oldest of what is pending, or NULL. Holds the lock. */
struct vdo_device_io *uring_take_pending(struct uring *u);

/* End the sleep of the reaper. */
void uring_ring_bell(struct uring *u);

/* Reaping: a thread, whose argument is the ring; or a poller. */
void *uring_reaper(void *arg);
int uring_poll(struct poller *p, uint64_t timeout_ns);
void uring_wake(struct poller *p);

#endif
