/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on their way into the ring and, once that was given up, elsewhere.
 *
 *	[uring_submit]   [fill_ring]     [enter]
 *	     ----> pending ----> batch ----> kernel
 *	              ^  \         |
 *	              |   \        | the kernel refuses [take_back]
 *	              +----\-------+
 *	                    +-- given up [divert] --> threads, or the reaper
 */
#include "build.h"

#include "io/uring_priv.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include "exec/system.h"

/* With a poller, as many pending operations do not wait for a poll. */
#define DEFER_MAX 32u

/* As many times in a row the kernel may be short of something. */
#define ENTER_TRIES 1000u

static void fill_sqe(struct uring *u, struct io_uring_sqe *sqe,
		     struct vdo_device_io *io)
{
	struct file *f = u->file;
	unsigned n = MIN(io->iov_count, IOV_MAX);
	int fd = file_fd(f, io);

	VDO_CHECK(io->op == VDO_DEVICE_FLUSH || io->op == VDO_DEVICE_DISCARD ||
		  n > 0);
	if (u->fixed_files)
		fd = fd == f->fd ? 0 : 1;
	switch (io->op) {
	case VDO_DEVICE_READ:
		if (n == 1)
			io_uring_prep_read(sqe, fd, io->iov[0].iov_base,
					   (unsigned)MIN(io->length, INT_MAX),
					   io->offset);
		else
			io_uring_prep_readv(sqe, fd, io->iov, n, io->offset);
		break;
	case VDO_DEVICE_WRITE:
		if (n == 1)
			io_uring_prep_write(sqe, fd, io->iov[0].iov_base,
					    (unsigned)MIN(io->length, INT_MAX),
					    io->offset);
		else
			io_uring_prep_writev(sqe, fd, io->iov, n, io->offset);
		if (io->flags & VDO_DEVICE_FUA)
			sqe->rw_flags = RWF_DSYNC;
		break;
	case VDO_DEVICE_FLUSH:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		break;
	case VDO_DEVICE_DISCARD:
		io_uring_prep_fallocate(sqe, fd, FILE_HOLE, io->offset,
					io->length);
		break;
	}
	if (u->fixed_files)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, io);
}

/* Move what fits into the ring. Holds the lock. */
static unsigned fill_ring(struct uring *u)
{
	u->batched = 0;
	while (u->first != NULL && u->in_flight < IN_FLIGHT_MAX) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
		struct vdo_device_io *io = u->first;

		VDO_ASSERT(sqe != NULL);
		u->first = io->host_data[0];
		u->pending--;
		u->in_flight++;
		u->batch[u->batched++] = io;
		fill_sqe(u, sqe, io);
	}
	VDO_CHECK(u->in_flight <= IN_FLIGHT_MAX && u->batched <= u->in_flight);
	return u->batched;
}

/* Send what is in the ring. False: the kernel does not take all of it. */
static bool enter(struct uring *u)
{
	unsigned tries = 0;

	VDO_CHECK(u->submitting);
	while (io_uring_sq_ready(&u->ring) > 0) {
		int r = io_uring_submit(&u->ring);

		if (r > 0) {
			tries = 0;
			continue;
		}
		/* The kernel may be short of memory for a moment. */
		if ((r != 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY &&
		     r != -ENOMEM) ||
		    ++tries == ENTER_TRIES)
			return false;
		sched_yield();
	}
	return true;
}

/* The end of the batch was not sent: it is pending again, first of all. Holds
 * the lock. */
static void take_back(struct uring *u)
{
	unsigned left = MIN(io_uring_sq_ready(&u->ring), u->batched);

	VDO_ASSERT(u->given_up && u->in_flight >= left);
	while (left-- > 0) {
		struct vdo_device_io *io = u->batch[--u->batched];

		io->host_data[0] = u->first;
		if (u->first == NULL)
			u->last = io;
		u->first = io;
		u->pending++;
		u->in_flight--;
	}
}

void uring_ring_bell(struct uring *u)
{
	uint64_t one = 1;

	VDO_CHECK(u->wake_fd >= SYSTEM_FD_FIRST);
	/* A write only fails when the counter is full, so not zero. */
	(void)!write(u->wake_fd, &one, sizeof(one));
}

struct vdo_device_io *uring_take_pending(struct uring *u)
{
	struct vdo_device_io *io = u->first;

	VDO_CHECK((io == NULL) == (u->pending == 0));
	if (io != NULL) {
		u->first = io->host_data[0];
		u->pending--;
	}
	return io;
}

/* The ring was given up: what is pending goes elsewhere. Holds the lock. */
static void divert(struct uring *u)
{
	struct vdo_device_io *io;

	VDO_ASSERT(u->given_up && !u->submitting);
	/* A host that runs us inline wants no threads. */
	if (u->threads == NULL && u->polled_by == NULL && u->pending > 0 &&
	    threads_create(u->file, &u->threads) != 0)
		u->threads = NULL;
	if (u->threads != NULL)
		while ((io = uring_take_pending(u)) != NULL)
			threads_submit(u->threads, io, io);
	if (u->pending > 0)
		uring_ring_bell(u); /* for serve() */
}

void uring_pump(struct uring *u)
{
	if (u->submitting)
		return;
	u->submitting = true;
	while (!u->given_up && fill_ring(u) > 0) {
		bool sent;

		pthread_mutex_unlock(&u->lock);
		sent = enter(u);
		pthread_mutex_lock(&u->lock);
		if (!sent) {
			u->given_up = true;
			take_back(u);
		}
	}
	u->submitting = false;
	if (u->given_up)
		divert(u);
}

/* @n operations, from @first to @last. */
static void put(struct uring *u, struct vdo_device_io *first,
		struct vdo_device_io *last, unsigned n)
{
	bool defer;

	VDO_CHECK(n > 0 && last->complete != NULL);
	last->host_data[0] = NULL;
	pthread_mutex_lock(&u->lock);
	if (u->first == NULL)
		u->first = first;
	else
		u->last->host_data[0] = first;
	u->last = last;
	u->pending += n;
	defer = u->polled_by != NULL && queue_running != NULL &&
		!u->sleeping && u->pending < DEFER_MAX;
	if (!defer)
		uring_pump(u);
	pthread_mutex_unlock(&u->lock);
}

/* They are reads and writes, and no writes to what is read-only. */
void uring_submit_all(void *ctx, struct vdo_device_io *first,
		      struct vdo_device_io *last)
{
	struct file *f = ctx;
	unsigned n = 1;

	for (const struct vdo_device_io *io = first; io != last;
	     io = io->host_data[0])
		n++;
	VDO_CHECK(first->op != VDO_DEVICE_WRITE ||
		  (f->device->flags & VDO_DEVICE_READ_ONLY) == 0);
	put(f->state, first, last, n);
}

void uring_submit(void *ctx, struct vdo_device_io *io)
{
	struct file *f = ctx;

	VDO_CHECK(io->complete != NULL);
	if ((io->op == VDO_DEVICE_WRITE || io->op == VDO_DEVICE_DISCARD) &&
	    (f->device->flags & VDO_DEVICE_READ_ONLY)) {
		io->complete(io, -EROFS);
		return;
	}
	put(f->state, io, io, 1);
}
