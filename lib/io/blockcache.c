/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A place has one word that says which block is there, and one that counts who
 * looks at it, or has the bit of the one who puts something else there.
 *
 *	look: is it @pbn? -> one user more -> nobody puts, and is it still @pbn?
 *	put:  no user -> the bit -> nothing is there -> copy -> @pbn -> no bit
 *
 * Whoever looks counts himself before he asks again, so either he sees the bit, or
 * the one who puts sees him, and takes no place at all. A place whose block is
 * dropped while somebody looks would be one whose block is free: there is none
 * (invariant 2), so that is not looked at.
 *
 * What is put over was put the longest time ago of its set.
 */
#include "build.h"

#include "io/blockcache.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define PUTS 0x80000000u

int blockcache_create(uint64_t bytes, struct blockcache **cache)
{
	uint64_t sets = bytes / BLOCK_SIZE / BLOCKCACHE_WAYS;
	struct blockcache *c;

	*cache = NULL;
	if (sets == 0)
		return 0;
	c = alloc_zeroed(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->set_count = sets;
	c->sets = alloc_aligned(CACHE_LINE, sets, sizeof(*c->sets));
	c->blocks = alloc_spare(CACHE_LINE, sets * BLOCKCACHE_WAYS,
				BLOCK_SIZE);
	if (c->sets == NULL || c->blocks == NULL) {
		blockcache_destroy(c);
		return -ENOMEM;
	}
	*cache = c;
	return 0;
}

void blockcache_destroy(struct blockcache *c)
{
	if (c == NULL)
		return;
	for (uint64_t i = 0; c->sets != NULL && i < c->set_count; i++)
		for (unsigned k = 0; k < BLOCKCACHE_WAYS; k++)
			VDO_ASSERT(atomic_load(&c->sets[i].users[k]) == 0);
	alloc_free(c->sets);
	alloc_free(c->blocks);
	alloc_free(c);
}

static uint8_t *block_at(const struct blockcache *c,
			 const struct blockcache_set *s, unsigned way)
{
	uint64_t set = (uint64_t)(s - c->sets);

	VDO_CHECK(set < c->set_count && way < BLOCKCACHE_WAYS);
	return c->blocks + (set * BLOCKCACHE_WAYS + way) * BLOCK_SIZE;
}

bool blockcache_begin(struct blockcache *c, pbn_t pbn,
		      struct blockcache_look *look)
{
	struct blockcache_set *s = blockcache_set_of(c, pbn);

	VDO_CHECK(pbn != ZERO_BLOCK);
	for (unsigned i = 0; i < BLOCKCACHE_WAYS; i++) {
		if (atomic_load_explicit(&s->pbn[i], memory_order_relaxed) !=
		    pbn)
			continue;
		look->users = &s->users[i];
		look->block = block_at(c, s, i);
		if ((atomic_fetch_add(look->users, 1) & PUTS) == 0 &&
		    atomic_load(&s->pbn[i]) == pbn)
			return true;
		blockcache_end(look);
	}
	return false;
}

void blockcache_end(struct blockcache_look *look)
{
	unsigned before = atomic_fetch_sub(look->users, 1);

	VDO_CHECK((before & ~PUTS) > 0);
}

bool blockcache_get(struct blockcache *c, pbn_t pbn, uint8_t *to)
{
	struct blockcache_look look;

	if (!blockcache_begin(c, pbn, &look))
		return false;
	memcpy(to, look.block, BLOCK_SIZE);
	blockcache_end(&look);
	return true;
}

static bool is_there(const struct blockcache_set *s, pbn_t pbn)
{
	for (unsigned i = 0; i < BLOCKCACHE_WAYS; i++)
		if (atomic_load_explicit(&s->pbn[i], memory_order_relaxed) ==
		    pbn)
			return true;
	return false;
}

void blockcache_put(struct blockcache *c, pbn_t pbn, const uint8_t *block)
{
	struct blockcache_set *s = blockcache_set_of(c, pbn);
	unsigned nobody = 0, way;

	VDO_CHECK(pbn != ZERO_BLOCK);
	if (is_there(s, pbn))
		return;
	way = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed) %
	      BLOCKCACHE_WAYS;
	if (!atomic_compare_exchange_strong(&s->users[way], &nobody, PUTS))
		return;
	atomic_store(&s->pbn[way], 0);
	memcpy(block_at(c, s, way), block, BLOCK_SIZE);
	atomic_store(&s->pbn[way], pbn);
	atomic_fetch_sub(&s->users[way], PUTS);
}
