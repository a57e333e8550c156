/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on io_uring: one ring a device.
 *
 *	        [uring_submit]      [uring_pump]         [reap]
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
 * file system cannot do this way) is rare, and is carried on by file_run() in
 * the reaper.
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

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "exec/system.h"
#include "io/uring_priv.h"

#define RING_ENTRIES (IN_FLIGHT_MAX * 2)

static void free_ring(struct uring *u)
{
	close(u->wake_fd);
	pthread_mutex_destroy(&u->lock);
	alloc_free(u);
}

static int setup_ring(struct uring *u)
{
	struct file *f = u->file;
	int fds[2] = {f->fd, f->cached_fd};
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
	VDO_ASSERT(u->ring.ring_fd >= SYSTEM_FD_FIRST);
	if (x != NULL && x->ops->poller_add != NULL) {
		u->polled_by = x;
		u->poller.poll = uring_poll;
		u->poller.wake = uring_wake;
		u->poller.fd = u->ring.ring_fd;
		x->ops->poller_add(x, &u->poller);
		return 0;
	}
	return system_thread_start(&u->thread, "vdo-reaper", uring_reaper, u);
}

static int uring_start(struct file *f, struct executor *x)
{
	struct uring *u = alloc_zeroed(1, sizeof(*u));
	int r;

	VDO_ASSERT(f->state == NULL);
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

/* Who sent the last operation may still be on the way out of uring_pump(). */
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

	VDO_ASSERT(u != NULL && u->file == f);
	if (u->polled_by != NULL) {
		u->polled_by->ops->poller_remove(u->polled_by, &u->poller);
	} else {
		atomic_store(&u->stopping, true);
		uring_ring_bell(u);
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

static void uring_submit_all(void *ctx, struct vdo_device_io *first,
			     struct vdo_device_io *last)
{
}

static void uring_stop(struct file *f)
{
}

#endif

const struct file_engine uring_engine = {
	.start = uring_start,
	.submit = uring_submit,
	.submit_all = uring_submit_all,
	.stop = uring_stop,
};
