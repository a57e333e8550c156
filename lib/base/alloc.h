/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zeroed memory that a caller can fail on purpose.
 *
 * Large areas are mappings of their own: what is never touched costs nothing,
 * and what is freed goes back to the system at once, whatever else the process
 * still holds. On the path of a request only the front allocates, for a call
 * beyond the depth or one of many vectors (front/io.c); what the depot and the
 * map need more of is had in a message of its own.
 *
 * alloc_fail_at() makes the Nth allocation from now fail (0: never),
 * alloc_fail_from() that one and all that follow; for the failure loops of the
 * tests. Their count is the process's; with what is allocated and the witness of
 * base/assert.h it is the only global state of the library.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

#include "base/compiler.h"

/* @count objects of @size bytes, zeroed; NULL on overflow or shortage. */
void *alloc_zeroed(size_t count, size_t size) MUST_CHECK;

/* @count objects of @size bytes, zeroed, at a multiple of @align (a power of
 * two, 8 to 4096). */
void *alloc_aligned(size_t align, size_t count, size_t size) MUST_CHECK;

/*
 * Twice as many objects of @size bytes as the *@room that @array has, or 64
 * where it is NULL; what it had comes first, and the rest is zeroed. @array is
 * freed, and
 * *@room set. NULL: all is as it was.
 */
void *alloc_more(void *array, size_t *room, size_t size) MUST_CHECK;

/*
 * Zeroed bytes for a large table that is used all over: from fresh pages, huge
 * ones where the kernel has them, so what is never touched costs little.
 * Aligned to pages. Freed with alloc_table_free().
 */
void *alloc_table(size_t bytes) MUST_CHECK;
void alloc_table_free(void *p, size_t bytes);

/* As alloc_aligned(), for an area whose objects are touched by use alone: if it
 * is large it costs nothing before. */
void *alloc_spare(size_t align, size_t count, size_t size) MUST_CHECK;

char *alloc_strdup(const char *s) MUST_CHECK;

/* Free what the others returned, tables excepted; NULL is fine. */
void alloc_free(void *p);

/*
 * Bytes that the process has allocated here; and what the calling thread has, less
 * what it freed. The difference of two calls says what something needs that was
 * made between them. Of these, what is touched by use alone, tables and spare
 * areas: what was freed of that meanwhile is not taken off.
 */
size_t alloc_held(void);
size_t alloc_own(void);
size_t alloc_own_spare(void);

/* What these count for @count objects of @size bytes; @align as for
 * alloc_aligned(), or 16. */
size_t alloc_bytes(size_t align, size_t count, size_t size);

void alloc_fail_at(unsigned long n);
void alloc_fail_from(unsigned long n);

#endif
