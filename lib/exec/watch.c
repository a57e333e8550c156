/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The epoll descriptor is never waited for here, and a descriptor of a poller
 * leaves it by being closed.
 */
#include "build.h"

#include "exec/watch.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "exec/clock.h"
#include "exec/executor.h"
#include "exec/system.h"

static int add(struct watch *w, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (fd < 0)
		return -errno;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 ? -errno
								      : 0;
}

static int open_all(struct watch *w, struct poller *p)
{
	int r;

	w->epoll_fd = system_epoll();
	if (w->epoll_fd < 0)
		return -errno;
	w->bell_fd = system_eventfd(EFD_NONBLOCK);
	r = add(w, w->bell_fd);
	if (r != 0)
		return r;
	w->timer_fd = system_timerfd();
	r = add(w, w->timer_fd);
	for (; r == 0 && p != NULL; p = p->next)
		r = p->fd < SYSTEM_FD_FIRST ? -ENOTSUP : add(w, p->fd);
	return r;
}

int watch_create(struct poller *p, struct watch **watch)
{
	struct watch *w = alloc_zeroed(1, sizeof(*w));
	int r;

	*watch = NULL;
	if (w == NULL)
		return -ENOMEM;
	w->epoll_fd = -1;
	w->bell_fd = -1;
	w->timer_fd = -1;
	w->deadline_ns = NO_TIMEOUT;
	r = open_all(w, p);
	if (r != 0) {
		watch_destroy(w);
		return r;
	}
	watch_ring(w);
	*watch = w;
	return 0;
}

static void close_one(int fd)
{
	if (fd >= 0)
		close(fd);
}

void watch_destroy(struct watch *w)
{
	if (w == NULL)
		return;
	close_one(w->epoll_fd);
	close_one(w->bell_fd);
	close_one(w->timer_fd);
	alloc_free(w);
}

void watch_ring(struct watch *w)
{
	uint64_t one = 1;

	if (w->rung)
		return;
	w->rung = true;
	/* It can only fail when the counter is full, and so not zero. */
	(void)!write(w->bell_fd, &one, sizeof(one));
}

void watch_quiet(struct watch *w)
{
	uint64_t count;

	if (!w->rung)
		return;
	w->rung = false;
	(void)!read(w->bell_fd, &count, sizeof(count));
}

/* Setting it forgets that it went off. All zeroes would mean never. */
void watch_until(struct watch *w, uint64_t deadline_ns)
{
	struct itimerspec when = {0};
	int r;

	if (deadline_ns == w->deadline_ns)
		return;
	if (deadline_ns != NO_TIMEOUT) {
		uint64_t ns = MAX(deadline_ns, 1);

		when.it_value.tv_sec = (time_t)(ns / NS_PER_SEC);
		when.it_value.tv_nsec = (long)(ns % NS_PER_SEC);
	}
	r = timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	VDO_ASSERT(r == 0);
	w->deadline_ns = deadline_ns;
}
