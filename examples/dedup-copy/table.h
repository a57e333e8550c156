/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table from 128-bit keys to numbers. Keys are expected to be well mixed
 * or few; open addressing, at most two thirds full.
 *
 * Lifetime: zeroed memory is an empty table; table_fini() frees.
 */
#ifndef DEDUP_COPY_TABLE_H
#define DEDUP_COPY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key {
	uint64_t low, high; /* not both 0 */
};

struct table_slot {
	struct key key; /* 0, 0: free */
	uint64_t value;
};

struct table {
	struct table_slot *slots;
	size_t size, used; /* size is a power of two or 0 */
};

/*
 * The value of @key; put there as @value if it was missing (*added). NULL: out
 * of memory. Valid until the next call.
 */
uint64_t *table_get(struct table *t, struct key key, uint64_t value,
		    bool *added);
/* The value of @key, or NULL: it is not there. */
uint64_t *table_find(const struct table *t, struct key key);
void table_fini(struct table *t);

#endif
