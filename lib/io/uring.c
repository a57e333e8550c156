/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on io_uring: one ring a device.
 *
 *	        [uring_submit]        [pump]             [reap]
 *	caller -------------> pending ------> the kernel ------> complete()
 *	                         |
 *	                         +-- ring given up [divert] --> threads.c, or
 *	                             [serve] by whoever reaps --> complete()
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
 * the next poll, all in one system call. With any other executor a thread does
 * it; idle means asleep.
 *
 * Sleeping. The reaper sleeps in ppoll(2) on the descriptor of the ring, and on
 * an eventfd by which it is woken. Neither needs anything of io_uring, so it
 * can be woken, and the rest reaped, also when the ring is of no use any more.
 *
 * What does not end well (short transfers, operations that the kernel or the
 * file system cannot do this way) is carried on by file_run() in the reaper.
 * That is rare.
 *
 * Giving the ring up. There are two reasons, and no way back. The kernel may
 * refuse system calls about the ring: a filter was installed after opening, or
 * some limit was reached for ENTER_TRIES tries. And it ends operations of a
 * thread that exits before they do, with -EFAULT or -ECANCELED: a host whose
 * threads live as short as that would get all of its operations done by the
 * reaper, one by one. What was not sent, and all that comes, then goes to
 * threads that are started now, or, where none can be had or none may be, is
 * done by the reaper.
 *
 * Invariants
 *  (1) The submission side of the ring belongs to who has set submitting, the
 *      completion side to the one reaper.
 *  (2) in_flight is at most IN_FLIGHT_MAX; the completion queue is larger, and
 *      cannot overflow.
 *  (3) An operation is touched under the mutex last before it goes to the
 *      kernel, and the reaper takes the mutex before it touches it again.
 *  (4) When the ring was given up, the kernel is never asked to look at the
 *      submission side again: what was taken back is still in there.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>

#ifdef HAVE_URING

#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "exec/system.h"

#define IN_FLIGHT_MAX 256u
#define RING_ENTRIES  (IN_FLIGHT_MAX * 2)
#define REAP_BATCH    32u

/* With a poller: so much pending is sent without waiting for a poll. */
#define DEFER_MAX 32u

/* So often the kernel may be short of something in a row. */
#define ENTER_TRIES 1000u

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
	return u->batched;
}

/* Send what is in the ring. False: the kernel does not take all of it. */
static bool enter(struct uring *u)
{
	unsigned tries = 0;

	while (io_uring_sq_ready(&u->ring) > 0) {
		int r = io_uring_submit(&u->ring);

		if (r > 0) {
			tries = 0;
			continue;
		}
		/* It may be short of memory for a moment. */
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

/* End the sleep of the reaper. */
static void ring_bell(struct uring *u)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and so not zero. */
	(void)!write(u->wake_fd, &one, sizeof(one));
}

/* The oldest of what is pending, or NULL. Holds the lock. */
static struct vdo_device_io *take_pending(struct uring *u)
{
	struct vdo_device_io *io = u->first;

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

	/* A host that runs us inline wants no threads. */
	if (u->threads == NULL && u->polled_by == NULL && u->pending > 0 &&
	    threads_create(u->file, &u->threads) != 0)
		u->threads = NULL;
	if (u->threads != NULL)
		while ((io = take_pending(u)) != NULL)
			threads_submit(u->threads, io);
	if (u->pending > 0)
		ring_bell(u); /* for serve() */
}

/* Send what is pending, unless somebody is at it. Holds the lock. */
static void pump(struct uring *u)
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

/* Reaping. */

/*
 * Answers that say nothing about the storage, but that the ring could not do it
 * this way. A sync is tried again for few of them: what it says of data that was
 * lost, it says once.
 */
static bool is_undone(enum vdo_device_op op, int res)
{
	switch (res) {
	case -EBADF:
	case -ECANCELED:
	case -EFAULT:
	case -EINTR:
		return true;
	case -EACCES:
	case -EAGAIN:
	case -EBUSY:
	case -EINVAL:
	case -ENOMEM:
	case -ENOSYS:
	case -EOPNOTSUPP:
	case -EPERM:
		return op != VDO_DEVICE_FLUSH;
	default:
		return false;
	}
}

/* The thread that submitted an operation was too short-lived for it. */
static void give_up(struct uring *u)
{
	pthread_mutex_lock(&u->lock);
	u->given_up = true;
	pump(u);
	pthread_mutex_unlock(&u->lock);
}

static void finish(struct uring *u, struct vdo_device_io *io, int res)
{
	bool transfer = io->op == VDO_DEVICE_READ || io->op == VDO_DEVICE_WRITE;
	int r = res;

	if (transfer && res >= 0) {
		uint64_t done = MIN((uint64_t)res, io->length);

		r = done == io->length ? 0 : file_run(u->file, io, done);
	} else if (io->op == VDO_DEVICE_FLUSH && res == 0) {
		r = file_flushed(u->file);
	} else if (is_undone(io->op, res)) {
		r = file_run(u->file, io, 0);
		if ((res == -EFAULT || res == -ECANCELED) && r != res)
			give_up(u);
	}
	io->complete(io, r);
}

/* Take completions out of the ring. */
static unsigned take_batch(struct uring *u, struct reaped *batch)
{
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (n < REAP_BATCH && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		batch[n].io = io_uring_cqe_get_data(cqe);
		batch[n].res = cqe->res;
		n++;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return n;
}

/* Do here and now what neither the ring nor threads can do. */
static unsigned serve(struct uring *u)
{
	struct vdo_device_io *io;
	unsigned n = 0;

	do {
		pthread_mutex_lock(&u->lock);
		io = u->given_up ? take_pending(u) : NULL;
		pthread_mutex_unlock(&u->lock);
		if (io != NULL) {
			io->complete(io, file_run(u->file, io, 0));
			n++;
		}
	} while (io != NULL && n < REAP_BATCH);
	return n;
}

/* Complete all that is ready; returns how many. */
static unsigned reap(struct uring *u)
{
	struct reaped batch[REAP_BATCH];
	unsigned total = 0;
	unsigned n;

	do {
		n = take_batch(u, batch);
		if (n == 0)
			break;
		pthread_mutex_lock(&u->lock);
		u->in_flight -= n;
		if (u->pending > 0)
			pump(u);
		pthread_mutex_unlock(&u->lock);
		for (unsigned i = 0; i < n; i++)
			finish(u, batch[i].io, batch[i].res);
		total += n;
	} while (n == REAP_BATCH);
	return total + serve(u);
}

/* Sleep until there may be something to reap; NULL: for as long as it takes. */
static void sleep_on_ring(struct uring *u, const struct timespec *timeout)
{
	struct pollfd p[2] = {
		{.fd = u->ring.ring_fd, .events = POLLIN},
		{.fd = u->wake_fd, .events = POLLIN},
	};
	uint64_t count;

	/* Whatever it says, who calls looks around. */
	if (ppoll(p, 2, timeout, NULL) < 0)
		sched_yield();
	else if (p[1].revents != 0)
		(void)!read(u->wake_fd, &count, sizeof(count));
}

static void *reaper(void *arg)
{
	struct uring *u = arg;

	while (!atomic_load(&u->stopping)) {
		if (reap(u) == 0)
			sleep_on_ring(u, NULL);
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
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};
	unsigned n;

	pthread_mutex_lock(&u->lock);
	pump(u);
	pthread_mutex_unlock(&u->lock);
	n = reap(u);
	if (n == 0 && timeout_ns != 0 && fall_asleep(u)) {
		sleep_on_ring(u, timeout_ns == UINT64_MAX ? NULL : &ts);
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
	struct uring *u = container_of(p, struct uring, poller);

	pthread_mutex_lock(&u->lock);
	u->woken = true;
	if (u->sleeping)
		ring_bell(u);
	pthread_mutex_unlock(&u->lock);
}

/* Start and stop. */

static void free_ring(struct uring *u)
{
	close(u->wake_fd);
	pthread_mutex_destroy(&u->lock);
	alloc_free(u);
}

static int setup_ring(struct uring *u)
{
	struct file *f = u->file;
	int fds[2] = {f->fd, f->direct_fd};
	unsigned taken = system_fds_take();
	int r = io_uring_queue_init(RING_ENTRIES, &u->ring, 0);

	system_fds_release(taken);
	if (r != 0)
		return r;
	if (u->ring.ring_fd < SYSTEM_FD_FIRST) {
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
	return system_thread_start(&u->thread, "vdo-reaper", reaper, u);
}

static int uring_start(struct file *f, struct executor *x)
{
	struct uring *u = alloc_zeroed(1, sizeof(*u));
	int r;

	if (u == NULL)
		return -ENOMEM;
	u->file = f;
	u->wake_fd = system_eventfd(EFD_NONBLOCK);
	if (u->wake_fd < 0) {
		r = -errno;
		alloc_free(u);
		return r;
	}
	pthread_mutex_init(&u->lock, NULL);
	r = setup_ring(u);
	if (r != 0) {
		free_ring(u);
		return r;
	}
	f->state = u;
	r = start_reaping(u, x);
	if (r == 0)
		return 0;
	io_uring_queue_exit(&u->ring);
	free_ring(u);
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
		ring_bell(u);
		pthread_join(u->thread, NULL);
	}
	await_submitter(u);
	threads_destroy(u->threads);
	VDO_ASSERT(u->pending == 0 && u->in_flight == 0 && !u->submitting);
	/* The kernel takes a ring apart later; let go of the files now. */
	if (u->fixed_files)
		io_uring_unregister_files(&u->ring);
	io_uring_queue_exit(&u->ring);
	free_ring(u);
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
