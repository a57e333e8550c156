/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocation through libc and mmap, with a counter that lets tests fail the Nth
 * call.
 */
#include "build.h"

#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/bytes.h"

#define ALIGN_MAX ((size_t)4096)

static atomic_ulong fail_at;
static atomic_bool fail_on; /* the last failure is to last */

void alloc_fail_at(unsigned long n)
{
	atomic_store(&fail_on, false);
	atomic_store(&fail_at, n);
}

void alloc_fail_from(unsigned long n)
{
	atomic_store(&fail_on, true);
	atomic_store(&fail_at, n);
}

/* What is allocated now: by the process, and by this thread less what it freed. */
static atomic_size_t held;
static _Thread_local size_t own
	__attribute__((tls_model("initial-exec")));
static _Thread_local size_t own_spare
	__attribute__((tls_model("initial-exec")));

static void account(size_t bytes)
{
	atomic_fetch_add_explicit(&held, bytes, memory_order_relaxed);
	own += bytes;
}

size_t alloc_held(void)
{
	return atomic_load_explicit(&held, memory_order_relaxed);
}

size_t alloc_own(void)
{
	return own;
}

size_t alloc_own_spare(void)
{
	return own_spare;
}

/* True if this very call is the one that a test wants to fail. */
static bool must_fail(void)
{
	unsigned long n = atomic_load_explicit(&fail_at, memory_order_relaxed);

	/* With a plain subtraction two threads could pass 0 together. */
	while (unlikely(n != 0))
		if (n == 1 && atomic_load(&fail_on))
			return true;
		else if (atomic_compare_exchange_weak(&fail_at, &n, n - 1))
			return n == 1;
	return false;
}

/*
 * What stands before each area. malloc cannot give back what was freed as long
 * as something after it is in use, and its limit for mappings of their own grows
 * to 32 MiB: of 200 open volumes a fifth stayed in the process after the last
 * was closed, now a hundredth. Lower limits gain little.
 */
struct header {
	void *base;   /* what malloc or mmap returned */
	size_t bytes; /* from there on; LARGE_BYTES or more: it is a mapping */
};

/* The address sanitizer knows the ends only of what malloc returns. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(IS_SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define LARGE_BYTES SIZE_MAX
#else
#define LARGE_BYTES ((size_t)16 << 10)
#endif

static void *map_bytes(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	VDO_CHECK(p == MAP_FAILED || (uintptr_t)p % ALIGN_MAX == 0);
	return p == MAP_FAILED ? NULL : p;
}

/* Memory that is zeroed, and touched only if it is small. */
static void *get_bytes(size_t align, size_t bytes)
{
	void *p;

	VDO_CHECK(is_power_of_two(align) && bytes >= align);
	if (bytes >= LARGE_BYTES)
		return map_bytes(bytes, 0);
	if (align <= _Alignof(max_align_t))
		return calloc(1, bytes);
	if (posix_memalign(&p, align, bytes) != 0)
		return NULL;
	return memset(p, 0, bytes);
}

/* The area begins at the first multiple of @align after the header. */
static void *allocate(size_t align, size_t count, size_t size)
{
	size_t before = MAX(align, sizeof(struct header));
	size_t bytes;
	struct header *h;
	char *base;

	VDO_ASSERT(size > 0);
	if (__builtin_mul_overflow(count, size, &bytes) ||
	    __builtin_add_overflow(bytes, before, &bytes) || must_fail())
		return NULL;
	base = get_bytes(align, bytes);
	if (base == NULL)
		return NULL;
	h = (struct header *)(base + before) - 1;
	h->base = base;
	h->bytes = bytes;
	account(bytes);
	VDO_ASSERT((uintptr_t)(h + 1) % align == 0);
	return h + 1;
}

void *alloc_zeroed(size_t count, size_t size)
{
	return allocate(_Alignof(max_align_t), count, size);
}

void *alloc_aligned(size_t align, size_t count, size_t size)
{
	VDO_ASSERT(align >= 8 && align <= ALIGN_MAX && is_power_of_two(align));
	return allocate(align, count, size);
}

void *alloc_spare(size_t align, size_t count, size_t size)
{
	void *p = alloc_aligned(align, count, size);

	if (p != NULL && ((struct header *)p - 1)->bytes >= LARGE_BYTES)
		own_spare += count * size;
	return p;
}

void alloc_free(void *p)
{
	struct header *h = p;

	if (p == NULL)
		return;
	h--;
	/* Somebody wrote before the area, or it is not ours. */
	VDO_ASSERT((size_t)((char *)h - (char *)h->base) < ALIGN_MAX);
	account(0 - h->bytes);
	if (h->bytes >= LARGE_BYTES)
		munmap(h->base, h->bytes);
	else
		free(h->base);
}

void *alloc_more(void *array, size_t *room, size_t size)
{
	size_t count = *room > 0 ? 2 * *room : 64;
	void *more = alloc_zeroed(count, size);

	VDO_ASSERT((array == NULL) == (*room == 0));
	if (more == NULL)
		return NULL;
	if (array != NULL)
		memcpy(more, array, *room * size);
	alloc_free(array);
	*room = count;
	return more;
}

void *alloc_table(size_t bytes)
{
	void *p = NULL;

	VDO_ASSERT(bytes > 0);
	if (!must_fail())
		p = map_bytes(bytes, MAP_NORESERVE);

	if (p != NULL) {
		madvise(p, bytes, MADV_HUGEPAGE);
		account(bytes);
		own_spare += bytes;
	}
	return p;
}

void alloc_table_free(void *p, size_t bytes)
{
	VDO_ASSERT(p == NULL || bytes > 0);
	VDO_ASSERT((uintptr_t)p % ALIGN_MAX == 0); /* else it is no table */
	if (p != NULL) {
		account(0 - bytes);
		munmap(p, bytes);
	}
}

size_t alloc_bytes(size_t align, size_t count, size_t size)
{
	VDO_ASSERT(size > 0 && count <= SIZE_MAX / 2 / size);
	return MAX(align, sizeof(struct header)) + count * size;
}

char *alloc_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = alloc_zeroed(n, 1);

	if (p != NULL)
		memcpy(p, s, n);
	return p;
}
