/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory device: an anonymous mapping.
 *
 * Memory is taken by the first write to a page of it. Data is spread all over,
 * and huge pages spare the processor's address caches (without them a write
 * costs a quarter more), but the first write to one takes 2 MiB. So a mapping
 * begins with small pages. A part of it may get huge ones, from then on, once
 * one in DENSE of its blocks is in use [densify]: what was not written costs
 * nothing, and what was at most DENSE times its size. Collapsing the small pages
 * there are was tried: the kernel stops all processors for it.
 *
 * An operation is over when submit() returns. There is no volatile cache: what
 * is lost with the process is lost as a whole.
 */
#include "build.h"

#include "io/device.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/types.h"

#define HUGE_BYTES ((size_t)2 << 20)

/* A part has 64 MiB, or what makes this many: each can be a mapping of its own
 * to the kernel, which allows a process 65,530. */
#define PART_SHIFT_MIN 26
#define PARTS_MAX      8192u

/* A part is dense when one in so many of its blocks is in use. */
#define DENSE 32u

struct mem {
	void *mapping;
	char *base; /* in it, where a huge page can begin */
	uint64_t size_bytes;
	size_t page_bytes;
	unsigned part_shift;
	unsigned part_enough; /* blocks of a part that make a look worth while */
	/* By part: blocks written since it was looked at, or PART_IS_DENSE. */
	atomic_uint *written;
};

#define PART_IS_DENSE (UINT_MAX / 2)

/*
 * Copy what will not be read soon: past the caches, so that it neither fetches
 * what it overwrites nor drives out what is in use. Through the caches it took
 * a tenth of the time of a write.
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

/* How many pages are in use, those included that were only read? */
static uint64_t pages_in_use(const struct mem *m, char *start, uint64_t bytes)
{
	uint64_t in_use = 0;
	unsigned char seen[512];

	VDO_CHECK((uintptr_t)start % m->page_bytes == 0);
	for (uint64_t at = 0; at < bytes; at += sizeof(seen) * m->page_bytes) {
		uint64_t n = MIN(sizeof(seen) * m->page_bytes, bytes - at);

		if (mincore(start + at, n, seen) != 0)
			return 0;
		for (uint64_t i = 0; i < div_up(n, m->page_bytes); i++)
			in_use += seen[i] & 1;
	}
	return in_use;
}

/* Enough was written to @part to look how much of it is in use. */
static void densify(struct mem *m, uint64_t part)
{
	uint64_t size = UINT64_C(1) << m->part_shift;
	uint64_t at = part << m->part_shift;
	uint64_t bytes = MIN(size, m->size_bytes - at);
	bool dense = pages_in_use(m, m->base + at, bytes) * m->page_bytes >=
		     size / DENSE;

	VDO_CHECK(at < m->size_bytes);
	if (dense)
		(void)madvise(m->base + at, bytes, MADV_HUGEPAGE);
	atomic_store_explicit(&m->written[part], dense ? PART_IS_DENSE : 0,
			      memory_order_relaxed);
}

/* Was enough written to @part to have looked at it already? */
static inline bool is_noted(const struct mem *m, uint64_t part)
{
	return atomic_load_explicit(&m->written[part], memory_order_relaxed) >=
	       m->part_enough;
}

static void note_written(struct mem *m, uint64_t part, unsigned blocks)
{
	unsigned enough = m->part_enough;
	unsigned before;

	VDO_CHECK(blocks > 0 && part <= m->size_bytes >> m->part_shift);
	if (is_noted(m, part))
		return;
	before = atomic_fetch_add_explicit(&m->written[part], blocks,
					   memory_order_relaxed);
	/* Of all threads that add, one crosses the line. */
	if (before < enough && enough - before <= blocks)
		densify(m, part);
}

static void note_all_written(struct mem *m, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;

	VDO_CHECK(end >= offset && end <= m->size_bytes);
	/* Nearly always it is a few blocks where many were written before. */
	if (likely((end - 1) >> m->part_shift == offset >> m->part_shift &&
		   is_noted(m, offset >> m->part_shift)))
		return;
	while (offset < end) {
		uint64_t part = offset >> m->part_shift;
		uint64_t n = MIN((part + 1) << m->part_shift, end) - offset;

		note_written(m, part, (unsigned)div_up(n, BLOCK_SIZE));
		offset += n;
	}
}

static int transfer(struct mem *m, struct vdo_device_io *io)
{
	char *at = m->base + io->offset;

	if (io->op == VDO_DEVICE_FLUSH)
		return 0;
	if (io->offset > m->size_bytes ||
	    io->length > m->size_bytes - io->offset)
		return -ERANGE;
	if (io->op == VDO_DEVICE_DISCARD)
		return madvise(at, io->length, MADV_DONTNEED) ? -errno : 0;
	for (unsigned i = 0; i < io->iov_count; i++) {
		const struct iovec *v = &io->iov[i];

		if (io->op == VDO_DEVICE_READ)
			memcpy(v->iov_base, at, v->iov_len);
		else
			copy_out(at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
	VDO_CHECK(at == m->base + io->offset + io->length);
	if (io->op == VDO_DEVICE_WRITE)
		note_all_written(m, io->offset, io->length);
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

	if (m->mapping != NULL)
		munmap(m->mapping, m->size_bytes + HUGE_BYTES);
	alloc_free(m->written);
	alloc_free(m);
}

/* Fill in @m for its size. What lies before the boundary is never touched. */
static int map(struct mem *m)
{
	uintptr_t at;
	void *p;

	m->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	m->part_shift = PART_SHIFT_MIN;
	while (m->size_bytes >> m->part_shift >= PARTS_MAX)
		m->part_shift++;
	m->part_enough = (unsigned)MIN(
		(UINT64_C(1) << (m->part_shift - BLOCK_SHIFT)) / DENSE,
		PART_IS_DENSE);
	m->written = alloc_zeroed((m->size_bytes >> m->part_shift) + 1,
				  sizeof(*m->written));
	if (m->written == NULL)
		return -ENOMEM;
	p = mmap(NULL, m->size_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	m->mapping = p;
	at = ((uintptr_t)p + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	m->base = (char *)p + (at - (uintptr_t)p);
	VDO_ASSERT((uintptr_t)m->base % HUGE_BYTES == 0);
	VDO_ASSERT((uintptr_t)m->base - (uintptr_t)p < HUGE_BYTES);
	(void)madvise(m->base, m->size_bytes, MADV_NOHUGEPAGE);
	return 0;
}

int vdo_device_open_memory(uint64_t size_bytes, struct vdo_device **device)
{
	struct vdo_device *d;
	struct mem *m;

	if (device == NULL)
		return -EINVAL;
	*device = NULL;
	if (size_bytes == 0 || size_bytes > PTRDIFF_MAX - HUGE_BYTES)
		return -EINVAL;
	d = alloc_zeroed(1, sizeof(*d));
	m = alloc_zeroed(1, sizeof(*m));
	if (d == NULL || m == NULL)
		goto fail;
	m->size_bytes = size_bytes;
	if (map(m) != 0)
		goto fail;
	d->submit = mem_submit;
	d->immediate = true;
	d->discard_zeroes = true;
	d->flags = VDO_DEVICE_CAN_DISCARD;
	d->blocking = mem_blocking;
	d->close = mem_close;
	d->ctx = m;
	d->size_bytes = size_bytes;
	*device = d;
	return 0;
fail:
	if (m != NULL)
		mem_close(m);
	alloc_free(d);
	return -ENOMEM;
}
