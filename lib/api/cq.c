/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completion queues.
 *
 * A singly linked list under a mutex, and an eventfd that is written when the
 * list becomes non-empty and read when it becomes empty, both inside of the
 * mutex. So the descriptor is readable exactly while entries are there: it
 * works level-triggered, never wakes anybody for nothing, and costs two system
 * calls per batch, not per entry.
 *
 * Why no lock-free push: whoever reaped the last entry may free the queue at
 * once. A producer that publishes its entry first and writes the eventfd after
 * it would then touch freed memory and, worse, a descriptor that belongs to
 * somebody else by now. With the mutex the producer's last access is its
 * unlock, and the reaper cannot have the entry before that.
 *
 * Invariants
 *  (1) The eventfd's counter is 1 if first is not NULL, else 0.
 *  (2) *last is NULL, and last is &first if the list is empty.
 *
 * Runs on: any thread.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vdo/io.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "exec/system.h"

struct vdo_cq {
	pthread_mutex_t mutex;
	struct vdo_cq_entry *first; /* oldest */
	struct vdo_cq_entry **last;
	int fd;
};

int vdo_cq_new(struct vdo_cq **cq)
{
	struct vdo_cq *q;
	int r;

	if (cq == NULL)
		return -EINVAL;
	*cq = NULL;
	q = alloc_zeroed(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	q->fd = system_eventfd(EFD_NONBLOCK);
	if (q->fd < 0) {
		r = -errno;
		alloc_free(q);
		return r;
	}
	r = pthread_mutex_init(&q->mutex, NULL);
	if (r != 0) {
		close(q->fd);
		alloc_free(q);
		return -r;
	}
	q->last = &q->first;
	*cq = q;
	return 0;
}

void vdo_cq_free(struct vdo_cq *cq)
{
	if (cq == NULL)
		return;
	pthread_mutex_destroy(&cq->mutex);
	close(cq->fd);
	alloc_free(cq);
}

int vdo_cq_fd(const struct vdo_cq *cq)
{
	return cq == NULL ? -EINVAL : cq->fd;
}

/*
 * Writing and reading cannot fail while (1) holds. A host that reads the
 * descriptor by itself breaks (1), and only for itself: hence no assertion.
 */
static void set_readable(struct vdo_cq *q)
{
	uint64_t one = 1;
	ssize_t n = write(q->fd, &one, sizeof(one));

	VDO_ASSERT(q->fd >= SYSTEM_FD_FIRST);
	(void)n;
}

static void set_unreadable(struct vdo_cq *q)
{
	uint64_t count;
	ssize_t n = read(q->fd, &count, sizeof(count));

	VDO_ASSERT(q->fd >= SYSTEM_FD_FIRST && q->first == NULL);
	(void)n;
}

void vdo_cq_complete(void *arg, int result)
{
	struct vdo_cq_entry *e = arg;
	struct vdo_cq *q = e == NULL ? NULL : e->cq;

	if (q == NULL)
		return;
	e->result = result;
	e->next = NULL;
	pthread_mutex_lock(&q->mutex);
	VDO_CHECK(*q->last == NULL); /* (2) */
	if (q->first == NULL)
		set_readable(q);
	*q->last = e;
	q->last = &e->next;
	pthread_mutex_unlock(&q->mutex);
}

size_t vdo_cq_reap(struct vdo_cq *cq, struct vdo_cq_entry **entries, size_t max)
{
	size_t n = 0;

	if (cq == NULL || entries == NULL)
		return 0;
	pthread_mutex_lock(&cq->mutex);
	while (n < max && cq->first != NULL) {
		entries[n++] = cq->first;
		cq->first = cq->first->next;
	}
	if (n != 0 && cq->first == NULL) {
		cq->last = &cq->first;
		set_unreadable(cq);
	}
	VDO_CHECK((cq->first == NULL) == (cq->last == &cq->first)); /* (2) */
	pthread_mutex_unlock(&cq->mutex);
	return n;
}
