/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing.
 *
 * Each operation exists twice: vdo_X() waits, vdo_aio_X() calls back. The first
 * is the second plus a wait, in which the thread does work of the volume while
 * the volume's own threads sleep. Offsets and lengths are bytes and multiples
 * of vdo_volume_alignment(); any length that lies inside of the volume is fine,
 * in any number of vectors.
 *
 * The contract of the asynchronous calls:
 *  - 0 returned: the callback runs exactly once. Negative: it never runs.
 *  - Submission never blocks on I/O. Beyond the depth limit (option depth)
 *    operations queue; with VDO_IO_NOWAIT they return -EAGAIN, unless all of
 *    their blocks can begin at once. More blocks than the depth never can.
 *  - The callback runs on a thread of the volume (or, with executor=inline,
 *    inside of vdo_poll() or a synchronous call), with no lock held. It may
 *    submit asynchronous operations on any volume. A synchronous call or a
 *    close in it returns -EDEADLK.
 *  - Operations on the same blocks that are under way at the same time take
 *    effect in any order. Who wants one waits for the callback of the first.
 *  - Buffers belong to the library from submission to completion. The iovec
 *    array itself is copied where it is needed longer than the call.
 *  - A flush covers every write that was acknowledged before the flush was
 *    submitted. With VDO_IO_FUA a write is durable when it is acknowledged.
 *  - A volume that was opened read-only has nothing to flush: 0. One that went
 *    read-only later may have lost what it acknowledged: -VDO_EREADONLY.
 *  - A sparse file on a full file system: data that finds no space there after
 *    its acknowledgement is lost. From then on writes, discards, flushes and
 *    vdo_close() return the error that the storage gave, reads go on. Free
 *    space there, then close the volume and open it again.
 *
 * Errors: -EINVAL not aligned, or no volume or callback; -EFAULT no memory for
 * the data; -ERANGE beyond the end; -ENOSPC no space left for new data, in the
 * volume or below it (space.h: what to do about it); -EDQUOT, -EFBIG a quota or a limit of file sizes below it;
 * -EIO the storage failed;
 * -VDO_EREADONLY the volume is read-only; -VDO_EMAPPING, -VDO_EFRAGMENT a block
 * is damaged; -ENOMEM; -EAGAIN; -EDEADLK; -VDO_EFORKED.
 */
#ifndef VDO_IO_H
#define VDO_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VDO_IO_FUA         1u /* write, discard, zero, copy: durable when done */
#define VDO_IO_NO_DEDUPE   2u /* write: store even if the data is there */
#define VDO_IO_NO_COMPRESS 4u /* write: store as it is */
#define VDO_IO_NOWAIT      8u /* asynchronous only: -EAGAIN beyond the depth */

int vdo_pread(struct vdo_volume *volume, void *buf, size_t count,
	      uint64_t offset, unsigned flags);
int vdo_pwrite(struct vdo_volume *volume, const void *buf, size_t count,
	       uint64_t offset, unsigned flags);
int vdo_preadv(struct vdo_volume *volume, const struct iovec *iov, int iovcnt,
	       uint64_t offset, unsigned flags);
int vdo_pwritev(struct vdo_volume *volume, const struct iovec *iov,
		int iovcnt, uint64_t offset, unsigned flags);
int vdo_flush(struct vdo_volume *volume, unsigned flags);

/* Forget a range; it reads as zeroes afterwards and occupies no space. */
int vdo_discard(struct vdo_volume *volume, uint64_t count, uint64_t offset,
		unsigned flags);
/* Make a range read as zeroes, with blocks that count as used in the
 * statistics; they take no space either. */
int vdo_write_zeroes(struct vdo_volume *volume, uint64_t count,
		     uint64_t offset, unsigned flags);

/*
 * Copy a range within the volume, from @src to @dst: both show the same data
 * afterwards, which is stored once. Only mappings and references change, no data is
 * read or written, but for blocks that cannot have one reference more (254 is the
 * limit), and parts of blocks at both ends: these are read and written.
 * @dst and @src lie at the same place within blocks of 4096 bytes, else -EINVAL. The
 * ranges may overlap: the result is that of memmove(3). Each block is copied as a
 * whole or not at all. An error ends the copy; some of it may be done then, in any
 * part of the range. -ENOSPC: no space for a page of the block map, or for a block that
 * is written.
 */
int vdo_copy_range(struct vdo_volume *volume, uint64_t dst, uint64_t src,
		   uint64_t count, unsigned flags);

/* @result: 0 or negative. */
typedef void (*vdo_callback)(void *arg, int result);

int vdo_aio_pread(struct vdo_volume *volume, void *buf, size_t count,
		  uint64_t offset, vdo_callback callback, void *arg,
		  unsigned flags);
int vdo_aio_pwrite(struct vdo_volume *volume, const void *buf, size_t count,
		   uint64_t offset, vdo_callback callback, void *arg,
		   unsigned flags);
int vdo_aio_preadv(struct vdo_volume *volume, const struct iovec *iov,
		   int iovcnt, uint64_t offset, vdo_callback callback,
		   void *arg, unsigned flags);
int vdo_aio_pwritev(struct vdo_volume *volume, const struct iovec *iov,
		    int iovcnt, uint64_t offset, vdo_callback callback,
		    void *arg, unsigned flags);
int vdo_aio_flush(struct vdo_volume *volume, vdo_callback callback, void *arg,
		  unsigned flags);
int vdo_aio_discard(struct vdo_volume *volume, uint64_t count,
		    uint64_t offset, vdo_callback callback, void *arg,
		    unsigned flags);
int vdo_aio_write_zeroes(struct vdo_volume *volume, uint64_t count,
			 uint64_t offset, vdo_callback callback, void *arg,
			 unsigned flags);

int vdo_aio_copy_range(struct vdo_volume *volume, uint64_t dst, uint64_t src,
		       uint64_t count, vdo_callback callback, void *arg,
		       unsigned flags);

/*
 * Many operations in one call. The data of a read or write are the @count bytes
 * at @buf, or the vectors @iov, @iovcnt; then @buf is NULL and @count 0. (A write
 * only reads them.) A flush has no range. The array, and those of the vectors,
 * are the caller's again when the call returns. A copy goes to @offset, from @source.
 */
enum vdo_op_kind {
	VDO_OP_READ = 1,
	VDO_OP_WRITE,
	VDO_OP_FLUSH,
	VDO_OP_DISCARD,
	VDO_OP_WRITE_ZEROES,
	VDO_OP_COPY
};

struct vdo_op {
	enum vdo_op_kind kind;
	unsigned flags;            /* VDO_IO_* */
	uint64_t offset;           /* bytes */
	uint64_t count;            /* bytes */
	void *buf;
	const struct iovec *iov;
	int iovcnt;
	vdo_callback callback;     /* each operation has its own */
	void *arg;
	uint64_t source;           /* bytes; copies only, else ignored */
};

/*
 * Submit @n operations, in order. Each is one of its own: they may end in any
 * order, and a flush covers none of the writes beside it in the array. Returns
 * how many of the first ones were submitted. It is fewer than @n if the next one
 * was refused; to learn why, submit it again as the first. Negative: nothing was
 * submitted, and this is what the first one's own call would have returned.
 */
int vdo_aio_submit(struct vdo_volume *volume, const struct vdo_op *ops,
		   unsigned n);

/*
 * A completion queue, for hosts that reap instead of being called back: pass
 * vdo_cq_complete as callback and a struct vdo_cq_entry as its argument.
 *
 *	struct vdo_cq_entry e = { .cq = cq, .user = request };
 *	vdo_aio_pread(volume, buf, n, offset, vdo_cq_complete, &e, 0);
 *
 * The entry is the caller's memory, in use until it was reaped. Nothing is
 * allocated for it, so the queue never overflows. Any thread may complete and
 * reap; one queue serves any number of volumes.
 */
struct vdo_cq;

struct vdo_cq_entry {
	struct vdo_cq *cq;  /* set by the caller */
	void *user;         /* the caller's */
	int result;         /* set when done */
	struct vdo_cq_entry *next; /* private */
};

int vdo_cq_new(struct vdo_cq **cq);   /* -ENOMEM, -EMFILE */
void vdo_cq_free(struct vdo_cq *cq);  /* empty, or its entries are dropped */

/* A descriptor that polls readable (POLLIN) while entries are there. */
int vdo_cq_fd(const struct vdo_cq *cq);

/* Up to @max entries in the order of their completion; their number. */
size_t vdo_cq_reap(struct vdo_cq *cq, struct vdo_cq_entry **entries,
		   size_t max);

/* The callback: puts the entry @arg into its queue. */
void vdo_cq_complete(void *arg, int result);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
