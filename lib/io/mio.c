/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block I/O: checks, counts, and hands the operation to the device.
 *
 *	  [start_io]           [io_done]
 *	idle ----> at the device ----> done posted to its home
 *	  |                                ^
 *	  +--------------------------------+
 *	   refused: out of range, read-only; or nothing to do
 *
 * On a storage that merges neighbours start_io puts it into the plug (plug.c),
 * whence it comes to the device a moment later, alone or together with others.
 *
 * Two counters go up by one: when an operation starts, and when it ends, on
 * whatever thread that is.
 */
#include "build.h"

#include "io/mio.h"

#include <errno.h>

#include "io/device.h"
#include "io/plug.h"

static void bump(atomic_ullong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/*
 * From the device, on any thread. The mio may be gone after the post, and the
 * storage with it.
 */
static inline void finish(struct mio *m, int result)
{
	struct vdo_device *d = m->storage->device;

	device_enter(d);
	if (unlikely(result != 0) && (m->io.op == VDO_DEVICE_WRITE ||
				      m->io.op == VDO_DEVICE_FLUSH))
		device_note_unsure(d);
	completion_finish(&m->done, likely(result <= 0) ? result : -EIO);
	device_leave(d);
}

static void io_done(struct vdo_device_io *io, int result)
{
	struct mio *m = container_of(io, struct mio, io);

	VDO_CHECK(m->kind < MIO_KINDS);
	bump(&storage_own_lane(m->storage)->completed[m->kind]);
	finish(m, result);
}

/* Of a flush or a discard, which are not counted here. */
static void uncounted_done(struct vdo_device_io *io, int result)
{
	VDO_CHECK(io->op == VDO_DEVICE_FLUSH || io->op == VDO_DEVICE_DISCARD);
	finish(container_of(io, struct mio, io), result);
}

static void prepare(struct mio *m, struct storage *s, enum mio_kind kind,
		    enum vdo_device_op op)
{
	VDO_CHECK(m->done.home != NULL && m->done.result == 0);
	VDO_CHECK(kind < MIO_KINDS && m->done.fn != NULL);
	m->storage = s;
	m->kind = kind;
	m->io.op = op;
	m->io.flags = 0;
	m->io.complete = io_done;
}

/* Fill in where it goes; -ERANGE if that is not on the device. */
static int place(struct mio *m, pbn_t pbn, uint64_t block_count)
{
	const struct storage *s = m->storage;
	uint64_t block = pbn - s->bio_offset;

	VDO_CHECK(block_count > 0);
	if (unlikely(pbn < s->bio_offset || block >= s->block_count ||
		     block_count > s->block_count - block))
		return -ERANGE;
	m->io.offset = block << BLOCK_SHIFT;
	m->io.length = block_count << BLOCK_SHIFT;
	VDO_CHECK(m->io.offset + m->io.length <= s->device->size_bytes);
	return 0;
}

/* Count the blocks of @m beyond its first. */
static void count_further(const struct mio *m)
{
	struct mio_lane *l = storage_own_lane(m->storage);

	VDO_CHECK(m->io.length > BLOCK_SIZE);
	atomic_fetch_add_explicit(&l->further[m->io.op == VDO_DEVICE_WRITE],
				  (m->io.length >> BLOCK_SHIFT) - 1,
				  memory_order_relaxed);
}

/* Invariant 1. */
static int may_write(const struct mio *m)
{
	if (unlikely(storage_is_read_only(m->storage)) && m->kind != MIO_SUPER)
		return -VDO_EREADONLY;
	return 0;
}

static void start_io(struct mio *m)
{
	struct vdo_device *d = m->storage->device;

	VDO_CHECK(m->io.op != VDO_DEVICE_FLUSH && m->io.length > 0);
	if (storage_merges(m->storage))
		plug_start(m);
	else
		d->submit(d->ctx, &m->io);
}

static uint64_t iov_blocks(const struct iovec *iov, unsigned iov_count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	VDO_CHECK(bytes % BLOCK_SIZE == 0);
	return bytes >> BLOCK_SHIFT;
}

static inline void write_blocks(struct mio *m, struct storage *s,
				enum mio_kind kind, pbn_t pbn, uint64_t count,
				const struct iovec *iov, unsigned iov_count,
				bool fua)
{
	int r;

	VDO_CHECK(iov_count > 0);
	prepare(m, s, kind, VDO_DEVICE_WRITE);
	r = place(m, pbn, count);
	if (r == 0)
		r = may_write(m);
	if (unlikely(r != 0)) {
		completion_finish(&m->done, r);
		return;
	}
	m->io.iov = iov;
	m->io.iov_count = iov_count;
	if (fua && s->volatile_cache) {
		m->io.flags = VDO_DEVICE_FUA;
		bump(&storage_own_lane(s)->fua[kind]);
	}
	bump(&storage_own_lane(s)->write[kind]);
	if (unlikely(count > 1))
		count_further(m);
	start_io(m);
}

void mio_writev(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
		const struct iovec *iov, unsigned iov_count, bool fua)
{
	write_blocks(m, s, kind, pbn, iov_blocks(iov, iov_count), iov,
		     iov_count, fua);
}

void mio_read(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	      uint64_t count, void *buf)
{
	int r;

	VDO_CHECK(buf != NULL);
	prepare(m, s, kind, VDO_DEVICE_READ);
	r = place(m, pbn, count);
	if (unlikely(r != 0)) {
		completion_finish(&m->done, r);
		return;
	}
	m->vec.iov_base = buf;
	m->vec.iov_len = count << BLOCK_SHIFT;
	m->io.iov = &m->vec;
	m->io.iov_count = 1;
	bump(&storage_own_lane(s)->read[kind]);
	if (unlikely(count > 1))
		count_further(m);
	start_io(m);
}

void mio_write(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	       uint64_t count, const void *buf, bool fua)
{
	VDO_CHECK(buf != NULL);
	/* struct iovec knows no const; nobody writes through it. */
	m->vec.iov_base = (void *)buf;
	m->vec.iov_len = count << BLOCK_SHIFT;
	write_blocks(m, s, kind, pbn, count, &m->vec, 1, fua);
}

/* It goes around the plug: nothing under way is about these blocks. */
void mio_discard(struct mio *m, struct storage *s, pbn_t pbn, uint64_t count)
{
	int r;

	VDO_CHECK(s->device->flags & VDO_DEVICE_CAN_DISCARD);
	prepare(m, s, MIO_DATA, VDO_DEVICE_DISCARD);
	m->io.complete = uncounted_done;
	m->io.iov = NULL;
	m->io.iov_count = 0;
	r = place(m, pbn, count);
	if (r == 0)
		r = may_write(m);
	if (r != 0) {
		completion_finish(&m->done, r);
		return;
	}
	s->device->submit(s->device->ctx, &m->io);
}

void mio_flush(struct mio *m, struct storage *s)
{
	int r;

	prepare(m, s, MIO_DATA, VDO_DEVICE_FLUSH);
	m->io.complete = uncounted_done;
	m->io.offset = 0;
	m->io.length = 0;
	m->io.iov = NULL;
	m->io.iov_count = 0;
	r = may_write(m);
	if (r != 0 || !s->volatile_cache) {
		completion_finish(&m->done, r);
		return;
	}
	bump(&s->flushes);
	if (storage_merges(s))
		plug_flush();
	s->device->submit(s->device->ctx, &m->io);
}
