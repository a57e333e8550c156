/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks that are likely to be read again: those that duplicates were compared
 * with, and compressed blocks, which hold the data of several.
 *
 *	nothing --[blockcache_put]--> there --[blockcache_drop]--> nothing
 *	                                |     --[another is put]-->
 *	                       [blockcache_get]: a copy, or a look
 *
 * It is never a second truth. What is put was read from the storage by somebody who
 * keeps the block as it is, by a lock on it or on a logical block that is mapped to
 * it (E 3.6); and whoever allocates a block drops it, before anything can be
 * written there. Since the block is free by then, nobody who puts it or looks at it
 * is left: his lock went back, and the message that took the last reference away
 * came after that.
 *
 * Invariants
 *  (1) What is in it is what the storage has, as long as the block is not free.
 *  (2) A block that is allocated is not in it until it was read anew.
 *  (3) Nobody waits: whoever meets somebody else at the same place goes on
 *      without the cache.
 *
 * Runs on: any thread. Lifetime: part of a storage, NULL where there is none; its
 * memory is what option block-cache says, of which blocks take up what is used.
 */
#ifndef IO_BLOCKCACHE_H
#define IO_BLOCKCACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "format/types.h"

#define BLOCKCACHE_WAYS 8u

/* Blocks that have the same place, any of @pbn. */
struct blockcache_set {
	_Atomic(uint64_t) pbn[BLOCKCACHE_WAYS]; /* 0: nothing */
	atomic_uint users[BLOCKCACHE_WAYS];	/* who looks, or who puts */
	atomic_uint next;			/* to be put over, about */
} __attribute__((aligned(CACHE_LINE)));

struct blockcache {
	uint64_t set_count;
	struct blockcache_set *sets;
	uint8_t *blocks;
};

/* For @bytes of blocks; *c is NULL if that is less than a set. -ENOMEM */
int blockcache_create(uint64_t bytes, struct blockcache **c) MUST_CHECK;
void blockcache_destroy(struct blockcache *c);

static inline struct blockcache_set *blockcache_set_of(struct blockcache *c,
						       pbn_t pbn)
{
	return &c->sets[pbn % c->set_count];
}

/* A block that is looked at. */
struct blockcache_look {
	const uint8_t *block;
	atomic_uint *users;
};

/* Look at block @pbn, which the caller keeps as it is, until blockcache_end(); or
 * false. */
bool blockcache_begin(struct blockcache *c, pbn_t pbn,
		      struct blockcache_look *look) MUST_CHECK;
void blockcache_end(struct blockcache_look *look);

/* Copy block @pbn, which the caller keeps as it is; or false. */
bool blockcache_get(struct blockcache *c, pbn_t pbn, uint8_t *to) MUST_CHECK;

/* @block is what the storage has as @pbn, which the caller keeps as it is. */
void blockcache_put(struct blockcache *c, pbn_t pbn, const uint8_t *block);

/* Free block @pbn has got an owner. */
static inline void blockcache_drop(struct blockcache *c, pbn_t pbn)
{
	struct blockcache_set *s = blockcache_set_of(c, pbn);

	for (unsigned i = 0; i < BLOCKCACHE_WAYS; i++) {
		uint64_t there = pbn;

		if (unlikely(atomic_load_explicit(&s->pbn[i],
						  memory_order_relaxed) ==
			     pbn))
			atomic_compare_exchange_strong(&s->pbn[i], &there, 0);
	}
}

#endif
