/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices in general, the host's own devices, and blocking I/O.
 *
 * Blocking I/O is for the time before a volume runs: open, format, inspect. A
 * device that can carry out an operation in the calling thread offers that as
 * blocking(), so that no executor is needed to reap completions; all others
 * get a submit() and the caller sleeps until complete() was called.
 */
#include "build.h"

#include "io/device.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "format/types.h"

/* How much device_read() and device_write() copy at a time if they must. */
#define BOUNCE_BYTES (1u << 20)

/* The host's table has member @m. */
#define OPS_HAVE(ops, m)                                                       \
	((ops)->size >= offsetof(struct vdo_device_ops, m) + sizeof((ops)->m))

int vdo_device_open_custom(const struct vdo_device_ops *ops, void *ctx,
			   struct vdo_device **device)
{
	struct vdo_device *d;

	if (device == NULL)
		return -EINVAL;
	*device = NULL;
	if (ops == NULL || !OPS_HAVE(ops, submit) || ops->get_size == NULL ||
	    ops->get_flags == NULL || ops->submit == NULL)
		return -EINVAL;
	d = alloc_zeroed(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->submit = ops->submit;
	d->ctx = ctx;
	d->get_size = ops->get_size;
	d->size_bytes = ops->get_size(ctx);
	d->flags = ops->get_flags(ctx);
	d->foreign = true;
	inside_init(&d->completing);
	d->close = OPS_HAVE(ops, close) ? ops->close : NULL;
	*device = d;
	return 0;
}

uint64_t vdo_device_size(const struct vdo_device *device)
{
	return device == NULL ? 0 : device->size_bytes;
}

int device_forget(struct vdo_device *d)
{
	atomic_store(&d->unsure, false);
	return d->forget != NULL ? d->forget(d->ctx) : 0;
}

static void forget_if_unsure(struct vdo_device *d)
{
	if (atomic_exchange(&d->unsure, false) && d->forget != NULL)
		(void)d->forget(d->ctx); /* was told when it failed */
}

static void destroy(struct vdo_device *d)
{
	VDO_ASSERT(atomic_load(&d->use) != DEVICE_IS_CLAIMED);
	forget_if_unsure(d);
	if (d->close != NULL)
		d->close(d->ctx);
	alloc_free(d);
}

/* Whoever closes a device too early cannot be told so, and must not crash. */
void vdo_device_close(struct vdo_device *device)
{
	int use = DEVICE_IS_CLAIMED;

	if (device == NULL ||
	    atomic_compare_exchange_strong(&device->use, &use,
					   DEVICE_IS_LEAVING) ||
	    use == DEVICE_IS_LEAVING)
		return;
	destroy(device);
}

static void let_go(struct vdo_device *d)
{
	int use = DEVICE_IS_CLAIMED;

	if (atomic_compare_exchange_strong(&d->use, &use, DEVICE_IS_FREE))
		return;
	VDO_ASSERT(use == DEVICE_IS_LEAVING);
	destroy(d);
}

int device_claim(struct vdo_device *d, struct executor *x)
{
	int use = DEVICE_IS_FREE;
	int r;

	if (!atomic_compare_exchange_strong(&d->use, &use, DEVICE_IS_CLAIMED))
		return -VDO_EINUSE;
	d->needed_bytes = 0;
	atomic_store(&d->cut, false);
	r = d->attach != NULL ? d->attach(d->ctx, x) : 0;
	if (r != 0)
		let_go(d);
	return r;
}

void device_release(struct vdo_device *d)
{
	VDO_ASSERT(device_is_claimed(d));
	if (d->detach != NULL)
		d->detach(d->ctx);
	if (d->foreign)
		inside_wait(&d->completing);
	forget_if_unsure(d);
	let_go(d);
}

bool device_look_cut(struct vdo_device *d)
{
	uint64_t now;

	if (d->file != NULL && d->file->measure(d->ctx, &now) == 0 &&
	    now < d->needed_bytes)
		device_note_cut(d);
	return device_is_cut(d);
}

int device_measure(struct vdo_device *d, uint64_t *size_bytes)
{
	*size_bytes = d->size_bytes;
	if (d->file != NULL)
		return d->file->measure(d->ctx, size_bytes);
	if (d->get_size != NULL)
		*size_bytes = d->get_size(d->ctx);
	return 0;
}

bool device_lost_name(struct vdo_device *d)
{
	return d->file != NULL && d->file->lost_name(d->ctx);
}

bool device_space(struct vdo_device *d, uint64_t *free_bytes,
		  uint64_t *taken_bytes)
{
	return d->file != NULL &&
	       d->file->space(d->ctx, free_bytes, taken_bytes);
}

int device_grow(struct vdo_device *d, uint64_t size_bytes)
{
	uint64_t now;
	int r;

	if (size_bytes < d->size_bytes || size_bytes % BLOCK_SIZE != 0)
		return -EINVAL;
	r = device_measure(d, &now);
	if (r == 0 && now < size_bytes)
		r = d->file == NULL ? -ENOTSUP
				    : d->file->resize(d->ctx, size_bytes);
	if (r == 0)
		d->size_bytes = size_bytes;
	return r;
}

void device_ungrow(struct vdo_device *d, uint64_t size_bytes)
{
	VDO_ASSERT(size_bytes <= d->size_bytes);
	if (size_bytes < d->size_bytes && d->file != NULL &&
	    d->file->resize(d->ctx, size_bytes) == 0)
		d->size_bytes = size_bytes;
}

void device_remove_created(struct vdo_device *d)
{
	if (d->file != NULL)
		d->file->remove_created(d->ctx);
}

int device_find_data(struct vdo_device *d, uint64_t *offset)
{
	VDO_ASSERT(*offset <= d->size_bytes);
	return d->file != NULL ? d->file->find_data(d->ctx, offset) : -ENOTSUP;
}

int device_reserve(struct vdo_device *d, uint64_t offset, uint64_t length)
{
	VDO_ASSERT(offset <= d->size_bytes && length <= d->size_bytes - offset);
	if (d->file == NULL || length == 0)
		return 0;
	return d->file->reserve(d->ctx, offset, length);
}

/* An operation that a thread sleeps for. */
struct blocking_io {
	struct vdo_device_io io;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool finished;
	int result;
};

static void blocking_done(struct vdo_device_io *io, int result)
{
	struct blocking_io *b = container_of(io, struct blocking_io, io);

	pthread_mutex_lock(&b->lock);
	VDO_ASSERT(!b->finished); /* once */
	b->finished = true;
	b->result = result > 0 ? -EIO : result;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

static int submit_and_wait(struct vdo_device *d, struct blocking_io *b)
{
	VDO_ASSERT(b->io.length % BLOCK_SIZE == 0); /* all that a host knows */
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->cond, NULL);
	b->io.complete = blocking_done;
	d->submit(d->ctx, &b->io);
	pthread_mutex_lock(&b->lock);
	while (!b->finished)
		pthread_cond_wait(&b->cond, &b->lock);
	pthread_mutex_unlock(&b->lock);
	pthread_cond_destroy(&b->cond);
	pthread_mutex_destroy(&b->lock);
	return b->result;
}

static int run_blocking(struct vdo_device *d, enum vdo_device_op op,
			uint64_t offset, void *buf, uint64_t n)
{
	struct iovec vec = {.iov_base = buf, .iov_len = n};
	struct blocking_io b = {
		.io = {
			.op = op,
			.offset = offset,
			.length = n,
			.iov = &vec,
			.iov_count = buf == NULL ? 0 : 1,
		},
	};

	int r;

	VDO_ASSERT(queue_running == NULL); /* it sleeps */
	if (d->blocking != NULL)
		r = d->blocking(d->ctx, &b.io);
	else
		r = submit_and_wait(d, &b);
	if (r != 0 && op != VDO_DEVICE_READ)
		device_note_unsure(d);
	return r;
}

/* Memory that starts anywhere goes through an aligned copy. */
static int run_bounced(struct vdo_device *d, enum vdo_device_op op,
		       uint64_t offset, char *buf, size_t n)
{
	char *copy = alloc_aligned(BLOCK_SIZE, 1, MIN(n, BOUNCE_BYTES));
	int r = 0;

	VDO_ASSERT(op != VDO_DEVICE_FLUSH && n > 0);
	if (copy == NULL)
		return -ENOMEM;
	for (size_t at = 0; at < n && r == 0; at += BOUNCE_BYTES) {
		size_t part = MIN(n - at, BOUNCE_BYTES);

		if (op == VDO_DEVICE_WRITE)
			memcpy(copy, buf + at, part);
		r = run_blocking(d, op, offset + at, copy, part);
		if (op == VDO_DEVICE_READ && r == 0)
			memcpy(buf + at, copy, part);
	}
	alloc_free(copy);
	VDO_ASSERT(r <= 0);
	return r;
}

static int run_range(struct vdo_device *d, enum vdo_device_op op,
		     uint64_t offset, char *buf, size_t n)
{
	VDO_ASSERT(offset % BLOCK_SIZE == 0 && n % BLOCK_SIZE == 0);
	if (offset > d->size_bytes || n > d->size_bytes - offset)
		return -ERANGE;
	if (n == 0)
		return 0;
	if ((uintptr_t)buf % BLOCK_SIZE != 0)
		return run_bounced(d, op, offset, buf, n);
	return run_blocking(d, op, offset, buf, n);
}

int device_read(struct vdo_device *d, uint64_t offset, void *buf, size_t n)
{
	return run_range(d, VDO_DEVICE_READ, offset, buf, n);
}

int device_read_bytes(struct vdo_device *d, uint64_t offset, void *buf,
		      size_t n)
{
	if (offset > d->size_bytes || n > d->size_bytes - offset)
		return -ERANGE;
	if (n == 0)
		return 0;
	VDO_ASSERT(d->blocking != NULL ||
		   (offset | n | (uintptr_t)buf) % BLOCK_SIZE == 0);
	return run_blocking(d, VDO_DEVICE_READ, offset, buf, n);
}

int device_write(struct vdo_device *d, uint64_t offset, const void *buf,
		 size_t n)
{
	if (d->flags & VDO_DEVICE_READ_ONLY)
		return -EROFS;
	/* struct iovec knows no const; nobody writes through it. */
	return run_range(d, VDO_DEVICE_WRITE, offset, (char *)buf, n);
}

int device_flush(struct vdo_device *d)
{
	if (!(d->flags & VDO_DEVICE_VOLATILE_CACHE))
		return 0;
	return run_blocking(d, VDO_DEVICE_FLUSH, 0, NULL, 0);
}

int device_discard(struct vdo_device *d, uint64_t offset, uint64_t length)
{
	VDO_ASSERT(offset % BLOCK_SIZE == 0 && length % BLOCK_SIZE == 0);
	if (d->flags & VDO_DEVICE_READ_ONLY)
		return -EROFS;
	if (!(d->flags & VDO_DEVICE_CAN_DISCARD))
		return -EOPNOTSUPP;
	if (offset > d->size_bytes || length > d->size_bytes - offset)
		return -ERANGE;
	return length == 0 ? 0
			   : run_blocking(d, VDO_DEVICE_DISCARD, offset, NULL,
					  length);
}
