/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads that the page cache answers.
 *
 *	          [cached_submit]      has all of it
 *	caller --------> ask the page cache ----------> complete()
 *	                        |
 *	                        +-- anything else ----> the engine of the file
 *
 * What is in the page cache is copied in a microsecond or two, in the thread that
 * asks. An engine makes at least as much of it, and then another thread has to wake
 * and tell: for a caller who waits, and who runs the queues meanwhile (exec/help.h),
 * that is ten times the read itself. So reads are asked for with RWF_NOWAIT first,
 * which never waits for the storage; whatever comes of it but all of the data is
 * none of our business, and the engine does the operation from its beginning.
 *
 * Where the kernel or the file system knows no such reads, the first one says so,
 * and no other is tried; that there is no memory for one says nothing about the
 * next. Reads with O_DIRECT are not either: that they do not ask the page cache
 * is what it is for.
 */
#include "build.h"

#include "io/file_priv.h"

#include <errno.h>
#include <limits.h>
#include <sys/uio.h>

/* True: @io, a read, is over and went well, but for the complete(). */
static bool is_cached(struct file *f, const struct vdo_device_io *io)
{
	ssize_t r;

	VDO_CHECK(io->op != VDO_DEVICE_READ || io->length > 0);
	if (io->op != VDO_DEVICE_READ || io->iov_count > IOV_MAX ||
	    atomic_load_explicit(&f->must_wait, memory_order_relaxed) ||
	    file_fd(f, io) != file_cached_fd(f))
		return false;
	r = preadv2(file_cached_fd(f), io->iov, (int)io->iov_count,
		    (off_t)io->offset, RWF_NOWAIT);
	if (r < 0 && errno != EAGAIN && errno != EINTR && errno != EIO &&
	    errno != ENOMEM)
		atomic_store_explicit(&f->must_wait, true,
				      memory_order_relaxed);
	return r >= 0 && (uint64_t)r == io->length;
}

void cached_submit(void *ctx, struct vdo_device_io *io)
{
	struct file *f = ctx;

	if (is_cached(f, io))
		io->complete(io, 0);
	else
		f->engine->submit(f, io);
}

void cached_submit_all(void *ctx, struct vdo_device_io *first,
		       struct vdo_device_io *last)
{
	struct file *f = ctx;
	struct device_chain over = {NULL, NULL}, left = {NULL, NULL};
	struct vdo_device_io *next = first;

	VDO_CHECK(last->complete != NULL);
	last->host_data[0] = NULL;
	while (next != NULL) {
		struct vdo_device_io *io = next;

		next = io->host_data[0];
		device_chain_add(is_cached(f, io) ? &over : &left, io);
	}
	/* After the last complete() the volume may be done with us. */
	if (left.first != NULL)
		f->engine->submit_all(f, left.first, left.last);
	for (next = over.first; next != NULL;) {
		struct vdo_device_io *io = next;

		next = io->host_data[0];
		io->complete(io, 0);
	}
}
