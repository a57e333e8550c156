/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on io_uring: one ring a device.
 *
 *	        [uring_submit]        [pump]             [reap]
 *	caller -------------> pending ------> the kernel ------> complete()
 *
 * Submission. Operations are linked into pending under a short mutex. Whoever
 * finds nobody submitting becomes the one who moves pending into the ring and
 * enters the kernel, without the mutex; who comes meanwhile only links and
 * leaves, and the first goes on until pending is empty. So calls from many
 * threads batch by themselves, and the submission side has one user at a time.
 * What is beyond IN_FLIGHT_MAX stays pending until completions make room.
 *
 * Reaping. An executor without threads of its own polls us (struct poller).
 * Then operations submitted from inside of a queue are not sent at once, but by
 * the next poll, all in one system call. With any other executor a thread
 * blocks in the kernel until there is something; idle means asleep.
 *
 * Waking. A no-op operation, with the address of the ring as its user data,
 * gets the reaper out of the kernel.
 *
 * What does not end well (short transfers, calls cancelled because the thread
 * that submitted them has exited, operations that the kernel or the file system
 * cannot do this way) is carried on by file_run() in the reaper. That is rare.
 *
 * Invariants
 *  (1) The submission side of the ring belongs to who has set submitting, the
 *      completion side to the one reaper.
 *  (2) in_flight is at most IN_FLIGHT_MAX; with the no-op the completion queue,
 *      twice as large, cannot overflow.
 *  (3) An operation is touched under the mutex last before it goes to the
 *      kernel, and the reaper takes the mutex before it touches it again.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>

#ifdef HAVE_URING

#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "exec/system.h"

#define IN_FLIGHT_MAX 256u
#define RING_ENTRIES  (IN_FLIGHT_MAX * 2)
#define REAP_BATCH    32u

/* With a poller: so much pending is sent without waiting for a poll. */
#define DEFER_MAX 32u

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
	bool nop_wanted; /* to be sent */
	bool nop_sent;   /* or wanted, and not reaped yet */
	bool woken;      /* since the last poll ended */
	bool sleeping;   /* the reaper may be in the kernel */

	struct executor *polled_by; /* NULL: there is a thread */
	struct poller poller;
	pthread_t thread;
	atomic_bool stopping;
};

/* A completed operation, copied out of the ring. */
struct reaped {
	struct vdo_device_io *io;
	int res;
};

/* Submission. */

static void fill_sqe(struct uring *u, struct io_uring_sqe *sqe,
		     struct vdo_device_io *io)
{
	struct file *f = u->file;
	unsigned n = MIN(io->iov_count, IOV_MAX);
	int fd = file_fd(f, io);

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
		VDO_ASSERT(false); /* uring_submit() has refused it */
	}
	if (u->fixed_files)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, io);
}

/* Move what fits into the ring. Holds the lock. */
static unsigned fill_ring(struct uring *u)
{
	unsigned n = 0;

	if (u->nop_wanted) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

		VDO_ASSERT(sqe != NULL);
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, u);
		u->nop_wanted = false;
		n++;
	}
	while (u->first != NULL && u->in_flight < IN_FLIGHT_MAX) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
		struct vdo_device_io *io = u->first;

		VDO_ASSERT(sqe != NULL);
		u->first = io->host_data[0];
		u->pending--;
		u->in_flight++;
		fill_sqe(u, sqe, io);
		n++;
	}
	return n;
}

/* The kernel may be short of memory for a moment; all else is our bug. */
static void enter(struct uring *u)
{
	while (io_uring_sq_ready(&u->ring) > 0) {
		int r = io_uring_submit(&u->ring);

		VDO_ASSERT(r >= 0 || r == -EINTR || r == -EAGAIN ||
			   r == -EBUSY || r == -ENOMEM);
		if (r <= 0)
			sched_yield();
	}
}

/* Send what is pending, unless somebody is at it. Holds the lock. */
static void pump(struct uring *u)
{
	if (u->submitting)
		return;
	u->submitting = true;
	while (fill_ring(u) > 0) {
		pthread_mutex_unlock(&u->lock);
		enter(u);
		pthread_mutex_lock(&u->lock);
	}
	u->submitting = false;
}

static void uring_submit(void *ctx, struct vdo_device_io *io)
{
	struct file *f = ctx;
	struct uring *u = f->state;
	bool defer;

	if (io->op == VDO_DEVICE_DISCARD) {
		io->complete(io, -EOPNOTSUPP);
		return;
	}
	if (io->op == VDO_DEVICE_WRITE &&
	    (f->device->flags & VDO_DEVICE_READ_ONLY)) {
		io->complete(io, -EROFS);
		return;
	}
	io->host_data[0] = NULL;
	pthread_mutex_lock(&u->lock);
	if (u->first == NULL)
		u->first = io;
	else
		u->last->host_data[0] = io;
	u->last = io;
	u->pending++;
	defer = u->polled_by != NULL && queue_running != NULL &&
		!u->sleeping && u->pending < DEFER_MAX;
	if (!defer)
		pump(u);
	pthread_mutex_unlock(&u->lock);
}

static void wake(struct uring *u)
{
	pthread_mutex_lock(&u->lock);
	u->woken = true;
	if (u->sleeping && !u->nop_sent) {
		u->nop_sent = true;
		u->nop_wanted = true;
		pump(u);
	}
	pthread_mutex_unlock(&u->lock);
}

/* Reaping. */

static void finish(struct uring *u, struct vdo_device_io *io, int res)
{
	bool transfer = io->op == VDO_DEVICE_READ || io->op == VDO_DEVICE_WRITE;
	int r = res;

	if (transfer && res >= 0)
		r = (uint64_t)res == io->length
			    ? 0
			    : file_run(u->file, io, (uint64_t)res);
	else if (res == -EINTR || res == -EAGAIN || res == -ECANCELED ||
		 res == -EOPNOTSUPP || res == -EINVAL)
		r = file_run(u->file, io, 0);
	io->complete(io, r);
}

/* Take completions out of the ring; the no-op does not count. */
static unsigned take_batch(struct uring *u, struct reaped *batch, bool *woken)
{
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (n < REAP_BATCH && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		void *data = io_uring_cqe_get_data(cqe);

		if (data == u) {
			*woken = true;
		} else {
			batch[n].io = data;
			batch[n].res = cqe->res;
			n++;
		}
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return n;
}

/* Complete all that is ready; returns how many. */
static unsigned reap(struct uring *u)
{
	struct reaped batch[REAP_BATCH];
	unsigned total = 0;
	unsigned n;

	do {
		bool nop = false;

		n = take_batch(u, batch, &nop);
		if (n == 0 && !nop)
			break;
		pthread_mutex_lock(&u->lock);
		if (nop)
			u->nop_sent = false;
		u->in_flight -= n;
		if (u->pending > 0)
			pump(u);
		pthread_mutex_unlock(&u->lock);
		for (unsigned i = 0; i < n; i++)
			finish(u, batch[i].io, batch[i].res);
		total += n;
	} while (n == REAP_BATCH);
	return total;
}

static void *reaper(void *arg)
{
	struct uring *u = arg;

	while (!atomic_load(&u->stopping)) {
		struct io_uring_cqe *cqe;
		int r = io_uring_wait_cqe(&u->ring, &cqe);

		VDO_ASSERT(r == 0 || r == -EINTR || r == -EAGAIN);
		reap(u);
	}
	return NULL;
}

/* Before a poll enters the kernel; false if it was woken meanwhile. */
static bool fall_asleep(struct uring *u)
{
	bool asleep;

	pthread_mutex_lock(&u->lock);
	u->sleeping = !u->woken;
	asleep = u->sleeping;
	pump(u);
	pthread_mutex_unlock(&u->lock);
	return asleep;
}

static void wake_up(struct uring *u)
{
	pthread_mutex_lock(&u->lock);
	u->sleeping = false;
	pthread_mutex_unlock(&u->lock);
}

static int uring_poll(struct poller *p, uint64_t timeout_ns)
{
	struct uring *u = container_of(p, struct uring, poller);
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(timeout_ns / 1000000000u),
		.tv_nsec = (int64_t)(timeout_ns % 1000000000u),
	};
	struct io_uring_cqe *cqe;
	unsigned n;

	pthread_mutex_lock(&u->lock);
	pump(u);
	pthread_mutex_unlock(&u->lock);
	n = reap(u);
	if (n == 0 && timeout_ns != 0 && fall_asleep(u)) {
		io_uring_wait_cqe_timeout(&u->ring, &cqe,
					  timeout_ns == UINT64_MAX ? NULL
								   : &ts);
		wake_up(u);
		n = reap(u);
	}
	/* Whoever polls looks around afterwards: no wake so far is lost. */
	pthread_mutex_lock(&u->lock);
	u->woken = false;
	pthread_mutex_unlock(&u->lock);
	return (int)n;
}

static void uring_wake(struct poller *p)
{
	wake(container_of(p, struct uring, poller));
}

/* Start and stop. */

static int setup_ring(struct uring *u)
{
	struct file *f = u->file;
	int fds[2] = {f->fd, f->direct_fd};
	unsigned taken = system_fds_take();
	int r = io_uring_queue_init(RING_ENTRIES, &u->ring, 0);

	system_fds_release(taken);
	if (r != 0)
		return r;
	/* Without it waits with a timeout would use the submission side. */
	if (!(u->ring.features & IORING_FEAT_EXT_ARG) ||
	    u->ring.ring_fd < SYSTEM_FD_FIRST) {
		io_uring_queue_exit(&u->ring);
		return -ENOTSUP;
	}
	u->fixed_files = io_uring_register_files(&u->ring, fds, 2) == 0;
	return 0;
}

static int start_reaping(struct uring *u, struct executor *x)
{
	if (x != NULL && x->ops->poller_add != NULL) {
		u->polled_by = x;
		u->poller.poll = uring_poll;
		u->poller.wake = uring_wake;
		x->ops->poller_add(x, &u->poller);
		return 0;
	}
	u->sleeping = true; /* wherever it is, it will see the no-op */
	return system_thread_start(&u->thread, "vdo-reaper", reaper, u);
}

static int uring_start(struct file *f, struct executor *x)
{
	struct uring *u = alloc_zeroed(1, sizeof(*u));
	int r;

	if (u == NULL)
		return -ENOMEM;
	u->file = f;
	r = setup_ring(u);
	if (r != 0) {
		alloc_free(u);
		return r;
	}
	pthread_mutex_init(&u->lock, NULL);
	f->state = u;
	r = start_reaping(u, x);
	if (r == 0)
		return 0;
	pthread_mutex_destroy(&u->lock);
	io_uring_queue_exit(&u->ring);
	alloc_free(u);
	f->state = NULL;
	return r;
}

/* Who sent the last operation may still be on the way out of pump(). */
static void await_submitter(struct uring *u)
{
	pthread_mutex_lock(&u->lock);
	while (u->submitting) {
		pthread_mutex_unlock(&u->lock);
		sched_yield();
		pthread_mutex_lock(&u->lock);
	}
	pthread_mutex_unlock(&u->lock);
}

static void uring_stop(struct file *f)
{
	struct uring *u = f->state;

	if (u->polled_by != NULL) {
		u->polled_by->ops->poller_remove(u->polled_by, &u->poller);
	} else {
		atomic_store(&u->stopping, true);
		wake(u);
		pthread_join(u->thread, NULL);
	}
	await_submitter(u);
	VDO_ASSERT(u->pending == 0 && u->in_flight == 0 && !u->submitting);
	/* The kernel takes a ring apart later; let go of the files now. */
	if (u->fixed_files)
		io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	pthread_mutex_destroy(&u->lock);
	alloc_free(u);
	f->state = NULL;
}

#else

static int uring_start(struct file *f, struct executor *x)
{
	return -ENOTSUP;
}

static void uring_submit(void *ctx, struct vdo_device_io *io)
{
	io->complete(io, -ENOTSUP);
}

static void uring_stop(struct file *f)
{
}

#endif

const struct file_engine file_engine_uring = {
	.start = uring_start,
	.submit = uring_submit,
	.stop = uring_stop,
};
