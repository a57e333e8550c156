/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing: checks, then the front (front/front.h).
 *
 * Each synchronous call is the asynchronous one plus a wait.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>
#include <limits.h>

#include <vdo/sub.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "exec/await.h"
#include "exec/help.h"
#include "format/types.h"
#include "front/front.h"

#define KNOWN_FLAGS                                                            \
	(VDO_IO_FUA | VDO_IO_NO_DEDUPE | VDO_IO_NO_COMPRESS | VDO_IO_NOWAIT)

static int sum_vectors(const struct iovec *iov, int count, uint64_t *length)
{
	uint64_t sum = 0;
	int i;

	if (count < 0 || (count > 0 && iov == NULL))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		if (iov[i].iov_base == NULL && iov[i].iov_len > 0)
			return -EFAULT;
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return -EINVAL;
	}
	*length = sum;
	return 0;
}

/* A copy from @from, which may be @v. */
static int check_copy(const struct vdo_volume *v, const struct vdo_volume *from,
		      struct io_request *q)
{
	int result = handle_check_range(from, q->source, q->length);

	if (result == 0 && (q->offset - q->source) % BLOCK_SIZE != 0)
		result = -EINVAL;
	if (from->sub == v->sub && q->offset == q->source)
		q->length = 0; /* nothing is to be done */
	return result;
}

/* @from: of copies. */
static int check(const struct vdo_volume *v, const struct vdo_volume *from,
		 struct io_request *q)
{
	int result;

	if ((q->flags & ~KNOWN_FLAGS) != 0 || q->callback == NULL)
		return -EINVAL;
	result = q->kind == IO_FLUSH ? 0
				     : handle_check_range(v, q->offset,
							  q->length);
	if (result == 0 && q->kind == IO_COPY)
		result = check_copy(v, from, q);
	VDO_CHECK(result != 0 || q->kind == IO_FLUSH ||
		  q->offset + q->length <= handle_size(v));
	return result;
}

static inline int pass_on(struct vdo_volume *v, const struct vdo_volume *from,
			  struct io_request *q)
{
	return unlikely(v->sub != NULL)
		       ? sub_submit(v, from->sub, q)
		       : front_submit(v->front, q);
}

static int submit(struct vdo_volume *v, struct io_request *q)
{
	int result = handle_check(v, false);

	if (result == 0)
		result = check(v, v, q);
	return result != 0 ? result : pass_on(v, v, q);
}

/* ------------------------------------------------------------- asynchronous */

static int vectored(struct vdo_volume *v, enum io_kind kind,
		    const struct iovec *iov, int count, uint64_t offset,
		    vdo_callback callback, void *arg, unsigned flags)
{
	struct io_request q = {
		.kind = kind,
		.flags = flags,
		.offset = offset,
		.iov = iov,
		.iov_count = (unsigned)count,
		.callback = callback,
		.arg = arg,
	};
	int result = sum_vectors(iov, count, &q.length);

	VDO_CHECK(kind == IO_READ || kind == IO_WRITE);
	return result != 0 ? result : submit(v, &q);
}

static int one_buffer(struct vdo_volume *v, enum io_kind kind, const void *buf,
		      size_t count, uint64_t offset, vdo_callback callback,
		      void *arg, unsigned flags)
{
	/* struct iovec knows no const; what is written is only read. */
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = count};
	struct io_request q = {
		.kind = kind,
		.flags = flags,
		.offset = offset,
		.length = count,
		.iov = &iov,
		.iov_count = 1,
		.callback = callback,
		.arg = arg,
	};

	VDO_CHECK(kind == IO_READ || kind == IO_WRITE);
	if (buf == NULL && count > 0)
		return -EFAULT;
	return submit(v, &q);
}

static int ranged(struct vdo_volume *v, enum io_kind kind, uint64_t count,
		  uint64_t offset, vdo_callback callback, void *arg,
		  unsigned flags)
{
	struct io_request q = {
		.kind = kind,
		.flags = flags,
		.offset = offset,
		.length = count,
		.callback = callback,
		.arg = arg,
	};

	VDO_CHECK(kind == IO_FLUSH || kind == IO_DISCARD || kind == IO_ZERO);
	return submit(v, &q);
}

int vdo_aio_preadv(struct vdo_volume *v, const struct iovec *iov, int iovcnt,
		   uint64_t offset, vdo_callback callback, void *arg,
		   unsigned flags)
{
	return vectored(v, IO_READ, iov, iovcnt, offset, callback, arg, flags);
}

int vdo_aio_pwritev(struct vdo_volume *v, const struct iovec *iov, int iovcnt,
		    uint64_t offset, vdo_callback callback, void *arg,
		    unsigned flags)
{
	return vectored(v, IO_WRITE, iov, iovcnt, offset, callback, arg,
			flags);
}

int vdo_aio_pread(struct vdo_volume *v, void *buf, size_t count,
		  uint64_t offset, vdo_callback callback, void *arg,
		  unsigned flags)
{
	return one_buffer(v, IO_READ, buf, count, offset, callback, arg,
			  flags);
}

int vdo_aio_pwrite(struct vdo_volume *v, const void *buf, size_t count,
		   uint64_t offset, vdo_callback callback, void *arg,
		   unsigned flags)
{
	return one_buffer(v, IO_WRITE, buf, count, offset, callback, arg,
			  flags);
}

int vdo_aio_flush(struct vdo_volume *v, vdo_callback callback, void *arg,
		  unsigned flags)
{
	return ranged(v, IO_FLUSH, 0, 0, callback, arg, flags);
}

int vdo_aio_discard(struct vdo_volume *v, uint64_t count, uint64_t offset,
		    vdo_callback callback, void *arg, unsigned flags)
{
	return ranged(v, IO_DISCARD, count, offset, callback, arg, flags);
}

int vdo_aio_write_zeroes(struct vdo_volume *v, uint64_t count, uint64_t offset,
			 vdo_callback callback, void *arg, unsigned flags)
{
	return ranged(v, IO_ZERO, count, offset, callback, arg, flags);
}

int vdo_aio_copy_range(struct vdo_volume *v, uint64_t dst, uint64_t src,
		       uint64_t count, vdo_callback callback, void *arg,
		       unsigned flags)
{
	struct io_request q = {
		.kind = IO_COPY,
		.flags = flags,
		.offset = dst,
		.source = src,
		.length = count,
		.callback = callback,
		.arg = arg,
	};

	return submit(v, &q);
}

/* ------------------------------------------------------------------- many */

static const enum io_kind kinds[] = {
	[VDO_OP_READ] = IO_READ,
	[VDO_OP_WRITE] = IO_WRITE,
	[VDO_OP_FLUSH] = IO_FLUSH,
	[VDO_OP_DISCARD] = IO_DISCARD,
	[VDO_OP_WRITE_ZEROES] = IO_ZERO,
	[VDO_OP_COPY] = IO_COPY,
};

/* Where the data of @op are: in its vectors, or in its buffer, which *@own
 * describes then. */
static int op_vectors(const struct vdo_op *op, struct iovec *own,
		      struct io_request *q)
{
	if (op->iov != NULL) {
		if (op->buf != NULL || op->count != 0)
			return -EINVAL;
		q->iov = op->iov;
		q->iov_count = (unsigned)op->iovcnt;
		return sum_vectors(op->iov, op->iovcnt, &q->length);
	}
	if (op->iovcnt != 0)
		return -EINVAL;
	if (op->buf == NULL && op->count > 0)
		return -EFAULT;
	own->iov_base = op->buf;
	own->iov_len = op->count;
	q->iov = own;
	q->iov_count = 1;
	return 0;
}

static int op_request(const struct vdo_volume *v, const struct vdo_op *op,
		      struct iovec *own, struct io_request *q)
{
	int result = 0;

	if (op->kind < VDO_OP_READ || op->kind > VDO_OP_COPY)
		return -EINVAL;
	*q = (struct io_request){
		.kind = kinds[op->kind],
		.flags = op->flags,
		.offset = op->offset,
		.source = op->source,
		.length = op->count,
		.callback = op->callback,
		.arg = op->arg,
	};
	if (q->kind == IO_READ || q->kind == IO_WRITE)
		result = op_vectors(op, own, q);
	else if (op->buf != NULL || op->iov != NULL || op->iovcnt != 0)
		result = -EINVAL;
	return result != 0 ? result : check(v, v, q);
}

/* Submit up to FRONT_SUBMIT_MAX; *@taken as front_submit_many() has it. */
static int submit_some(struct vdo_volume *v, const struct vdo_op *ops,
		       unsigned n, unsigned *taken)
{
	struct io_request q[FRONT_SUBMIT_MAX];
	struct iovec own[FRONT_SUBMIT_MAX];
	unsigned good = 0;
	int refused = 0, result = 0;

	VDO_CHECK(n > 0 && n <= FRONT_SUBMIT_MAX);
	while (good < n && refused == 0) {
		refused = op_request(v, &ops[good], &own[good], &q[good]);
		good += refused == 0;
	}
	*taken = 0;
	if (unlikely(v->sub != NULL)) {
		while (*taken < good && (result = pass_on(v, v, &q[*taken])) == 0)
			++*taken;
	} else if (good > 0) {
		result = front_submit_many(v->front, q, good, taken);
	}
	return result != 0 ? result : refused;
}

int vdo_aio_submit(struct vdo_volume *v, const struct vdo_op *ops, unsigned n)
{
	unsigned done = 0;
	int result = handle_check(v, false);

	if (result == 0 && (n > INT_MAX || (ops == NULL && n > 0)))
		result = -EINVAL;
	while (result == 0 && done < n) {
		unsigned taken;

		result = submit_some(v, ops + done,
				     MIN(n - done, FRONT_SUBMIT_MAX), &taken);
		done += taken;
	}
	return done > 0 ? (int)done : result;
}

/* -------------------------------------------------------------- synchronous */

/* Waiting is what these calls are for. */
#define SYNC_FLAGS(flags) ((flags) & ~VDO_IO_NOWAIT)

/* A larger call is more than one thread should do. */
#define HELP_BYTES UINT64_C(16384)

/* It will be over once somebody else resumes the volume. Without threads there
 * may be nobody. */
static void __attribute__((noinline)) say_waits(struct vdo_volume *v)
{
	if (v->executor->ops->fd == NULL ||
	    atomic_exchange(&v->said_waits, true))
		return;
	volume_say_waits(handle_look(v));
	handle_look_away(v);
}

/* Carry @q out, of @count vectors. The thread helps (exec/help.h): on an idle
 * volume no other one is needed. */
static int carry_out(struct vdo_volume *v, const struct vdo_volume *from,
		     struct io_request q, int count)
{
	int result = handle_check(v, true);
	struct await w;
	struct help h;

	VDO_CHECK(result != 0 || queue_running == NULL);
	if (result == 0 && (q.kind == IO_READ || q.kind == IO_WRITE))
		result = sum_vectors(q.iov, count, &q.length);
	if (result != 0)
		return result;
	await_init(&w, v->executor);
	q.iov_count = (unsigned)count;
	q.callback = front_call_over;
	q.arg = &w;
	result = check(v, from, &q);
	if (result != 0)
		return result;
	if (unlikely(atomic_load_explicit(&whole_of(v)->suspended,
					  memory_order_relaxed)))
		say_waits(whole_of(v));
	if (q.length <= HELP_BYTES)
		help_begin(&h, v->executor);
	result = pass_on(v, from, &q);
	help_end(&h);
	return result != 0 ? result : await_end(&w);
}

static int wait_vectored(struct vdo_volume *v, enum io_kind kind,
			 const struct iovec *iov, int count, uint64_t offset,
			 unsigned flags)
{
	struct io_request q = {
		.kind = kind,
		.flags = SYNC_FLAGS(flags),
		.offset = offset,
		.iov = iov,
	};

	VDO_CHECK(kind == IO_READ || kind == IO_WRITE);
	return carry_out(v, v, q, count);
}

int vdo_preadv(struct vdo_volume *v, const struct iovec *iov, int iovcnt,
	       uint64_t offset, unsigned flags)
{
	return wait_vectored(v, IO_READ, iov, iovcnt, offset, flags);
}

int vdo_pwritev(struct vdo_volume *v, const struct iovec *iov, int iovcnt,
		uint64_t offset, unsigned flags)
{
	return wait_vectored(v, IO_WRITE, iov, iovcnt, offset, flags);
}

int vdo_pread(struct vdo_volume *v, void *buf, size_t count, uint64_t offset,
	      unsigned flags)
{
	struct iovec iov = {.iov_base = buf, .iov_len = count};

	return vdo_preadv(v, &iov, 1, offset, flags);
}

int vdo_pwrite(struct vdo_volume *v, const void *buf, size_t count,
	       uint64_t offset, unsigned flags)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = count};

	return vdo_pwritev(v, &iov, 1, offset, flags);
}

int handle_write(struct vdo_volume *v, const void *buf, size_t count,
		 uint64_t offset, unsigned flags)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = count};
	struct io_request q = {
		.kind = IO_WRITE,
		.flags = flags,
		.no_park = true,
		.offset = offset,
		.iov = &iov,
	};

	VDO_ASSERT((flags & VDO_IO_NOWAIT) == 0);
	return carry_out(v, v, q, 1);
}

static int wait_ranged(struct vdo_volume *v, enum io_kind kind, uint64_t count,
		       uint64_t offset, unsigned flags)
{
	struct io_request q = {
		.kind = kind,
		.flags = SYNC_FLAGS(flags),
		.offset = offset,
		.length = count,
	};

	return carry_out(v, v, q, 0);
}

int vdo_flush(struct vdo_volume *v, unsigned flags)
{
	return wait_ranged(v, IO_FLUSH, 0, 0, flags);
}

int vdo_discard(struct vdo_volume *v, uint64_t count, uint64_t offset,
		unsigned flags)
{
	return wait_ranged(v, IO_DISCARD, count, offset, flags);
}

int vdo_write_zeroes(struct vdo_volume *v, uint64_t count, uint64_t offset,
		     unsigned flags)
{
	return wait_ranged(v, IO_ZERO, count, offset, flags);
}

static int wait_copied(struct vdo_volume *to, uint64_t dst,
		       const struct vdo_volume *from, uint64_t src,
		       uint64_t count, unsigned flags)
{
	struct io_request q = {
		.kind = IO_COPY,
		.flags = SYNC_FLAGS(flags),
		.offset = dst,
		.source = src,
		.length = count,
	};

	return carry_out(to, from, q, 0);
}

int vdo_copy_range(struct vdo_volume *v, uint64_t dst, uint64_t src,
		   uint64_t count, unsigned flags)
{
	return wait_copied(v, dst, v, src, count, flags);
}

int vdo_sub_copy(struct vdo_volume *to, uint64_t dst, struct vdo_volume *from,
		 uint64_t src, uint64_t count, unsigned flags)
{
	int result = handle_check(to, true);

	if (result == 0)
		result = handle_check(from, true);
	if (result == 0 && (to->sub == NULL || from->sub == NULL ||
			    to->whole != from->whole))
		result = -EINVAL;
	if (result != 0)
		return result;
	return wait_copied(to, dst, from, src, count, flags);
}
