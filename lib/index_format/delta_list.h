/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutable delta lists: an array of lists in one arena of fixed size.
 *
 *	| list 0 | gap | list 1 | gap | ... | list n-1 | gap | guard |
 *
 * Lists begin on bytes and keep their order. A list that has used up its gap
 * takes room from its neighbours: the smallest window of lists around it that
 * has some room for each is spread anew. Searches need no more than the list's
 * header (one cache line) and its bits.
 *
 * Invariants
 *  (1) start(i) + size(i) <= start(i + 1), in bytes; start(n) is the end of
 *      what lists may use.
 *  (2) bits_used, record_count and collision_count are the sums over all lists
 *      (after loading a save, the latter two are what the save said).
 *
 * Runs on: whoever owns it; no locks. Prefetching: anything.
 * Lifetime: init allocates, nothing else does.
 */
#ifndef INDEX_FORMAT_DELTA_LIST_H
#define INDEX_FORMAT_DELTA_LIST_H

#include "base/assert.h"
#include "base/counter.h"
#include "index_format/delta_code.h"

struct delta_head {
	counter_t place; /* first byte << 16 | size in bits */
	uint64_t tag;	 /* the owner's */
};

struct delta_lists {
	struct delta_coding coding;
	uint32_t list_count;
	struct delta_head *heads; /* list_count + 1 */
	uint8_t *arena;
	uint64_t arena_bytes; /* that lists may use */
	uint64_t bits_used;
	counter_t record_count;
	counter_t collision_count;
};

/* @memory_bytes: the arena with its guard. */
int delta_lists_init(struct delta_lists *d, const struct delta_coding *coding,
		     uint32_t list_count, uint64_t memory_bytes) MUST_CHECK;
void delta_lists_fini(struct delta_lists *d);

/* Empty all lists and share out the arena evenly. Tags become 0. */
void delta_lists_clear(struct delta_lists *d);

static inline uint32_t delta_list_bits(const struct delta_lists *d,
				       uint32_t list)
{
	VDO_CHECK(list <= d->list_count);
	return (uint32_t)(counter_get(&d->heads[list].place) & 0xffff);
}

static inline uint8_t *delta_list_data(const struct delta_lists *d,
				       uint32_t list)
{
	VDO_CHECK(list <= d->list_count);
	return d->arena + (counter_get(&d->heads[list].place) >> 16);
}

/* Any thread: bring into the cache what a search will touch, if the list stays
 * where it is. */
static inline void delta_list_prefetch(const struct delta_lists *d,
				       uint32_t list)
{
	uint64_t place = counter_get(&d->heads[list].place);
	const uint8_t *p = d->arena + (place >> 16);
	uint32_t bytes = (uint32_t)(place & 0xffff) / 8;

	VDO_CHECK(list < d->list_count);
	for (uint32_t i = 0; i <= bytes; i += CACHE_LINE)
		__builtin_prefetch(p + i, 1, 2);
}

/* Decode the entry at e->at, which follows one with @key. */
int delta_list_at(const struct delta_lists *d, uint32_t list, uint32_t key,
		  struct delta_entry *e) MUST_CHECK;

/* Search from e->at on, after an entry with e->key: see delta_search_on(). */
int delta_list_search_on(const struct delta_lists *d, uint32_t list,
			 uint32_t key, const struct hash128 *name,
			 struct delta_entry *e) MUST_CHECK;

static inline MUST_CHECK int
delta_list_search(const struct delta_lists *d, uint32_t list, uint32_t key,
		  const struct hash128 *name, struct delta_entry *e)
{
	e->at = 0;
	e->key = 0;
	return delta_list_search_on(d, list, key, name, e);
}

/*
 * Put (key, value) where the search for (key, name) ended with @e. If there is
 * such a key, the new entry is a collision, and only then is @name needed.
 * -ENOSPC: no room. -EEXIST: that very name is there. -VDO_ECORRUPT
 */
int delta_list_insert(struct delta_lists *d, uint32_t list,
		      const struct delta_entry *e, uint32_t key, uint32_t value,
		      const struct hash128 *name) MUST_CHECK;

/*
 * Fill an empty list with @count entries, key << 32 | value, whose keys differ
 * and ascend. Returns false if it may have no room for them where it is.
 */
bool delta_list_fill(struct delta_lists *d, uint32_t list,
		     const uint64_t *entries, unsigned count);

/* Empty the list. The counts of entries stay, as nobody counts which it had. */
void delta_list_clear(struct delta_lists *d, uint32_t list);

/* Remove the entry @e. What followed it is then at e->at. */
int delta_list_remove(struct delta_lists *d, uint32_t list,
		      const struct delta_entry *e) MUST_CHECK;

static inline void delta_list_set(struct delta_lists *d, uint32_t list,
				  const struct delta_entry *e, uint32_t value)
{
	VDO_CHECK(!e->at_end && value <= bits_mask(d->coding.value_bits));
	bits_put(delta_list_data(d, list), e->at, d->coding.value_bits, value);
}

/*
 * Loading: lay out lists of the sizes that delta_list_expect() gave, with
 * undefined content. -VDO_ECORRUPT if they do not fit.
 */
void delta_list_expect(struct delta_lists *d, uint32_t list, uint32_t bits);
int delta_lists_arrange(struct delta_lists *d) MUST_CHECK;

/* Do the invariants hold, but for what entries say? Takes its time. */
bool delta_lists_sane(const struct delta_lists *d);

#endif
