/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory device: an anonymous mapping.
 *
 * Pages are committed by the first write to them, and given back by large
 * discards. An operation is over when submit() returns. There is no volatile
 * cache: what is lost with the process is lost as a whole.
 */
#include "build.h"

#include "io/device.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/alloc.h"

/* Smaller discards are cheaper as a memset than as a system call. */
#define GIVE_BACK_MIN (64u << 10)

struct mem {
	char *base;
	uint64_t size_bytes;
	size_t page_bytes;
};

/*
 * Copy what will not be read soon: past the caches, so that it neither fetches
 * what it overwrites nor drives out what is in use.
 */
static void copy_out(void *to, const void *from, size_t n)
{
#ifdef __SSE2__
	if ((uintptr_t)to % 64 == 0 && n % 64 == 0) {
		const __m128i *src = from;
		__m128i *dst = to;
		__m128i *end = dst + n / sizeof(*dst);

		for (; dst < end; dst += 4, src += 4) {
			__m128i a = _mm_loadu_si128(src);
			__m128i b = _mm_loadu_si128(src + 1);
			__m128i c = _mm_loadu_si128(src + 2);
			__m128i d = _mm_loadu_si128(src + 3);

			_mm_stream_si128(dst, a);
			_mm_stream_si128(dst + 1, b);
			_mm_stream_si128(dst + 2, c);
			_mm_stream_si128(dst + 3, d);
		}
		_mm_sfence();
		return;
	}
#endif
	memcpy(to, from, n);
}

static void zero_range(struct mem *m, uint64_t offset, uint64_t n)
{
	uint64_t page = m->page_bytes;
	uint64_t start = (offset + page - 1) / page * page;
	uint64_t end = (offset + n) / page * page;

	if (n < GIVE_BACK_MIN || start >= end ||
	    madvise(m->base + start, end - start, MADV_DONTNEED) != 0) {
		memset(m->base + offset, 0, n);
		return;
	}
	memset(m->base + offset, 0, start - offset);
	memset(m->base + end, 0, offset + n - end);
}

static int transfer(struct mem *m, struct vdo_device_io *io)
{
	char *at = m->base + io->offset;

	if (io->op == VDO_DEVICE_FLUSH)
		return 0;
	if (io->offset > m->size_bytes ||
	    io->length > m->size_bytes - io->offset)
		return -ERANGE;
	if (io->op == VDO_DEVICE_DISCARD) {
		zero_range(m, io->offset, io->length);
		return 0;
	}
	for (unsigned i = 0; i < io->iov_count; i++) {
		const struct iovec *v = &io->iov[i];

		if (io->op == VDO_DEVICE_READ)
			memcpy(v->iov_base, at, v->iov_len);
		else
			copy_out(at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
	return 0;
}

static void mem_submit(void *ctx, struct vdo_device_io *io)
{
	io->complete(io, transfer(ctx, io));
}

static int mem_blocking(void *ctx, struct vdo_device_io *io)
{
	return transfer(ctx, io);
}

static void mem_close(void *ctx)
{
	struct mem *m = ctx;

	munmap(m->base, m->size_bytes);
	alloc_free(m);
}

int vdo_device_open_memory(uint64_t size_bytes, struct vdo_device **device)
{
	struct vdo_device *d;
	struct mem *m;

	*device = NULL;
	if (size_bytes == 0 || size_bytes > PTRDIFF_MAX)
		return -EINVAL;
	d = alloc_zeroed(1, sizeof(*d));
	m = alloc_zeroed(1, sizeof(*m));
	if (d == NULL || m == NULL)
		goto fail;
	m->size_bytes = size_bytes;
	m->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	m->base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED)
		goto fail;
	/* Data is spread all over: spare the processor's address caches. */
	madvise(m->base, size_bytes, MADV_HUGEPAGE);
	d->submit = mem_submit;
	d->blocking = mem_blocking;
	d->close = mem_close;
	d->ctx = m;
	d->size_bytes = size_bytes;
	d->flags = VDO_DEVICE_CAN_DISCARD;
	*device = d;
	return 0;
fail:
	alloc_free(m);
	alloc_free(d);
	return -ENOMEM;
}
