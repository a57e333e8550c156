/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on their way out of the ring, and how their reaper sleeps.
 */
#include "build.h"

#include "io/uring_priv.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

/* Completions that are taken out of the ring at a time. */
#define REAP_BATCH 32u

/* A completed operation, copied out of the ring. */
struct reaped {
	struct vdo_device_io *io;
	int res;
};

/*
 * Answers that say nothing about the storage, but that the ring could not do it
 * this way. A sync is tried again for few of them: what it says of data that was
 * lost, it says once.
 */
static bool is_undone(enum vdo_device_op op, int res)
{
	VDO_CHECK(op <= VDO_DEVICE_DISCARD);
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
	uring_pump(u);
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
		VDO_CHECK(batch[n].io != NULL);
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
		io = u->given_up ? uring_take_pending(u) : NULL;
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
		VDO_ASSERT(u->in_flight >= n);
		u->in_flight -= n;
		if (u->pending > 0)
			uring_pump(u);
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

void *uring_reaper(void *arg)
{
	struct uring *u = arg;

	VDO_ASSERT(u->polled_by == NULL);
	while (!atomic_load(&u->stopping)) {
		if (reap(u) == 0)
			sleep_on_ring(u, NULL);
	}
	return NULL;
}

/* Say that a poll enters the kernel now; false if it was woken meanwhile. */
static bool fall_asleep(struct uring *u)
{
	bool asleep;

	pthread_mutex_lock(&u->lock);
	VDO_ASSERT(!u->sleeping);
	u->sleeping = !u->woken;
	asleep = u->sleeping;
	uring_pump(u);
	pthread_mutex_unlock(&u->lock);
	return asleep;
}

static void wake_up(struct uring *u)
{
	pthread_mutex_lock(&u->lock);
	u->sleeping = false;
	pthread_mutex_unlock(&u->lock);
}

int uring_poll(struct poller *p, uint64_t timeout_ns)
{
	struct uring *u = container_of(p, struct uring, poller);
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};
	unsigned n;

	VDO_CHECK(queue_running == NULL && u->polled_by != NULL);
	pthread_mutex_lock(&u->lock);
	uring_pump(u);
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

void uring_wake(struct poller *p)
{
	struct uring *u = container_of(p, struct uring, poller);

	pthread_mutex_lock(&u->lock);
	u->woken = true;
	if (u->sleeping)
		uring_ring_bell(u);
	pthread_mutex_unlock(&u->lock);
}
