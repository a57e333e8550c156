/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Map from 64-bit numbers to pointers: open addressing, linear probing.
 *
 * Invariants
 *  (1) At most half of the slots are in use, so probes are short.
 *  (2) Put never allocates: the owner puts no more than @entries_max entries,
 *      or has the map grow before.
 *  (3) A value is never NULL.
 *
 * Runs on: whoever owns the map; no locks.
 */
#ifndef BASE_INTMAP_H
#define BASE_INTMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct intmap_slot {
	uint64_t key;
	void *value; /* NULL: free */
};

struct intmap {
	struct intmap_slot *slots;
	uint64_t mask;
	size_t count;
	size_t entries_max;
};

int intmap_init(struct intmap *m, size_t entries_max) MUST_CHECK;
void intmap_fini(struct intmap *m);

/* Room for twice as many entries, and some for a map that is zeroed. -ENOMEM:
 * it is as it was. */
int intmap_grow(struct intmap *m) MUST_CHECK;

void *intmap_get(const struct intmap *m, uint64_t key);

/* Put @value unless @key is present; returns the present value or NULL. */
void *intmap_put_new(struct intmap *m, uint64_t key, void *value);

/* Put or replace; returns the replaced value or NULL. */
void *intmap_put(struct intmap *m, uint64_t key, void *value);

/* Remove; returns the removed value or NULL. */
void *intmap_remove(struct intmap *m, uint64_t key);

/* Is each entry found from its home, and their number right? Walks all. */
bool intmap_sane(const struct intmap *m);

#endif
