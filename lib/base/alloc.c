/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocation through libc, with a counter that lets tests fail the Nth call.
 */
#include "build.h"

#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

static atomic_ulong fail_at;

void alloc_fail_at(unsigned long n)
{
	atomic_store(&fail_at, n);
}

/* True if this very call is the one that a test wants to fail. */
static bool must_fail(void)
{
	unsigned long n = atomic_load_explicit(&fail_at, memory_order_relaxed);

	/* Not a plain subtraction: two threads must not pass 0 together. */
	while (unlikely(n != 0))
		if (atomic_compare_exchange_weak(&fail_at, &n, n - 1))
			return n == 1;
	return false;
}

void *alloc_zeroed(size_t count, size_t size)
{
	if (must_fail())
		return NULL;
	return calloc(count ? count : 1, size ? size : 1);
}

void *alloc_aligned(size_t align, size_t count, size_t size)
{
	size_t bytes;
	void *p;

	VDO_ASSERT(align >= 8 && (align & (align - 1)) == 0);
	if (__builtin_mul_overflow(count, size, &bytes) || must_fail())
		return NULL;
	if (posix_memalign(&p, align, bytes ? bytes : 1) != 0)
		return NULL;
	memset(p, 0, bytes);
	return p;
}

void *alloc_table(size_t bytes)
{
	void *p;

	if (must_fail())
		return NULL;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

void alloc_table_free(void *p, size_t bytes)
{
	if (p != NULL)
		munmap(p, bytes);
}

void alloc_free(void *p)
{
	free(p);
}

char *alloc_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = alloc_zeroed(n, 1);

	if (p != NULL)
		memcpy(p, s, n);
	return p;
}
