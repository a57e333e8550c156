/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing with linear probing.
 *
 * An entry stands in its home slot or in the run of used slots that follows
 * it. There are no tombstones: removal closes the gap by moving back each
 * later entry of the run that may stand in the gap, so a run never grows
 * longer than its entries and the table needs no rebuild.
 */
#include "build.h"

#include "base/intmap.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

/* Fibonacci hashing; the fold lets high bits of the key count as well. */
static inline uint64_t home(const struct intmap *m, uint64_t key)
{
	VDO_CHECK(is_power_of_two(m->mask + 1));
	key ^= key >> 32;
	return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & m->mask;
}

/* The slot that holds @key, or the free one where it would be put. */
static inline uint64_t find(const struct intmap *m, uint64_t key)
{
	uint64_t i = home(m, key);

	/* In a full map a search for what is not there would not end. */
	VDO_CHECK(m->slots != NULL && m->count <= m->mask / 2 + 1);
	while (m->slots[i].value != NULL && m->slots[i].key != key)
		i = (i + 1) & m->mask;
	return i;
}

static void fill(struct intmap *m, uint64_t i, uint64_t key, void *value)
{
	VDO_CHECK(m->count < m->entries_max && value != NULL);
	VDO_CHECK(m->slots[i].value == NULL);
	m->slots[i] = (struct intmap_slot){key, value};
	m->count++;
}

int intmap_init(struct intmap *m, size_t entries_max)
{
	uint64_t capacity = 8;

	VDO_ASSERT(entries_max <= UINT32_MAX / 4);
	while (capacity < 2 * (uint64_t)entries_max)
		capacity *= 2;
	*m = (struct intmap){
		.slots = alloc_spare(CACHE_LINE, capacity,
				     sizeof(struct intmap_slot)),
		.mask = capacity - 1,
		.entries_max = entries_max,
	};
	return m->slots != NULL ? 0 : -ENOMEM;
}

int intmap_grow(struct intmap *m)
{
	struct intmap old = *m;
	int result = intmap_init(m, MAX(2 * old.entries_max, (size_t)64));

	if (result != 0) {
		*m = old;
		return result;
	}
	for (uint64_t i = 0; old.slots != NULL && i <= old.mask; i++)
		if (old.slots[i].value != NULL)
			fill(m, find(m, old.slots[i].key), old.slots[i].key,
			     old.slots[i].value);
	VDO_ASSERT(m->count == old.count);
	intmap_fini(&old);
	return 0;
}

void intmap_fini(struct intmap *m)
{
	VDO_CHECK(m->slots == NULL || intmap_sane(m));
	alloc_free(m->slots);
	*m = (struct intmap){0};
}

void *intmap_get(const struct intmap *m, uint64_t key)
{
	return m->slots[find(m, key)].value;
}

void *intmap_put_new(struct intmap *m, uint64_t key, void *value)
{
	uint64_t i = find(m, key);

	VDO_CHECK(value != NULL);
	if (m->slots[i].value != NULL)
		return m->slots[i].value;
	fill(m, i, key, value);
	return NULL;
}

void *intmap_put(struct intmap *m, uint64_t key, void *value)
{
	uint64_t i = find(m, key);
	void *old = m->slots[i].value;

	VDO_ASSERT(value != NULL);
	if (old == NULL)
		fill(m, i, key, value);
	else
		m->slots[i].value = value;
	return old;
}

void *intmap_remove(struct intmap *m, uint64_t key)
{
	uint64_t gap = find(m, key);
	void *old = m->slots[gap].value;

	if (old == NULL)
		return NULL;
	VDO_CHECK(m->count > 0);
	for (uint64_t i = (gap + 1) & m->mask; m->slots[i].value != NULL;
	     i = (i + 1) & m->mask) {
		uint64_t from_home = i - home(m, m->slots[i].key);

		/* An entry stays that would come to stand before its home. */
		if ((from_home & m->mask) < ((i - gap) & m->mask))
			continue;
		m->slots[gap] = m->slots[i];
		gap = i;
	}
	m->slots[gap].value = NULL;
	m->count--;
	return old;
}

bool intmap_sane(const struct intmap *m)
{
	size_t count = 0;

	for (uint64_t i = 0; i <= m->mask; i++) {
		if (m->slots[i].value == NULL)
			continue;
		if (find(m, m->slots[i].key) != i)
			return false;
		count++;
	}
	return count == m->count && count <= m->entries_max;
}
