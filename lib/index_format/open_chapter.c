/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The open chapter as a hash table.
 *
 * Probes step by 1, 2, 3, ..., which visits each slot of a table whose size is
 * a power of two. Half of the slots are free, so a probe ends.
 */
#include "build.h"

#include "index_format/open_chapter.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

int open_chapter_init(struct open_chapter *o, uint32_t capacity)
{
	uint32_t slots = 2u << log2_floor(2 * (uint64_t)capacity - 1);

	VDO_ASSERT(capacity > 0);
	*o = (struct open_chapter){
		.capacity = capacity,
		.slot_mask = slots - 1,
		.slots = alloc_spare(CACHE_LINE, slots, sizeof(*o->slots)),
		.records = alloc_spare(CACHE_LINE, capacity,
				       sizeof(*o->records)),
		.deleted = alloc_zeroed(capacity / 64 + 1, sizeof(uint64_t)),
	};
	if (o->slots == NULL || o->records == NULL || o->deleted == NULL) {
		open_chapter_fini(o);
		return -ENOMEM;
	}
	return 0;
}

void open_chapter_fini(struct open_chapter *o)
{
	alloc_free(o->slots);
	alloc_free(o->records);
	alloc_free(o->deleted);
	*o = (struct open_chapter){0};
}

uint64_t open_chapter_bytes(const struct open_chapter *o)
{
	VDO_CHECK(o->capacity > 0);
	return ((uint64_t)o->slot_mask + 1) * sizeof(*o->slots) +
	       (uint64_t)o->capacity * sizeof(*o->records) +
	       (o->capacity / 64 + 1) * sizeof(uint64_t);
}

static void set_used(struct open_chapter *o, uint32_t used)
{
	VDO_CHECK(used <= o->capacity);
	counter_set(&o->used, used);
}

void open_chapter_clear(struct open_chapter *o)
{
	if (open_chapter_used(o) == 0)
		return;
	memset(o->slots, 0, ((size_t)o->slot_mask + 1) * sizeof(*o->slots));
	memset(o->deleted, 0, (o->capacity / 64 + 1) * sizeof(uint64_t));
	set_used(o, 0);
	o->deleted_count = 0;
	VDO_CHECK(open_chapter_sane(o));
}

static bool is_deleted(const struct open_chapter *o, uint32_t number)
{
	VDO_CHECK(number >= 1 && number <= o->capacity);
	return o->deleted[(number - 1) / 64] >> ((number - 1) % 64) & 1;
}

/* The slot of @name, or the free one where it would go. */
static uint32_t *slot_of(const struct open_chapter *o,
			 const struct index_name *name)
{
	uint64_t slot = name->slot;

	for (uint64_t step = 1;; slot += step++) {
		uint32_t *s = &o->slots[slot & o->slot_mask];
		const struct hash128 *there;

		if (*s == 0)
			return s;
		there = &o->records[*s - 1].name;
		if (memcmp(there, &name->hash, sizeof(*there)) == 0 &&
		    !is_deleted(o, *s))
			return s;
	}
}

struct index_record *open_chapter_find(const struct open_chapter *o,
				       const struct index_name *name)
{
	uint32_t number = *slot_of(o, name);

	VDO_CHECK(open_chapter_used(o) <= o->capacity);
	return number == 0 ? NULL : &o->records[number - 1];
}

void open_chapter_put(struct open_chapter *o, const struct index_name *name,
		      const uint8_t *data)
{
	uint32_t *slot = slot_of(o, name);
	struct index_record *record;

	if (*slot == 0) {
		VDO_ASSERT(!open_chapter_full(o));
		*slot = open_chapter_used(o) + 1;
		set_used(o, *slot);
	}
	record = &o->records[*slot - 1];
	record->name = name->hash;
	memcpy(record->data, data, sizeof(record->data));
}

void open_chapter_remove(struct open_chapter *o, const struct index_name *name)
{
	uint32_t number = *slot_of(o, name);

	if (number == 0)
		return;
	o->deleted[(number - 1) / 64] |= UINT64_C(1) << ((number - 1) % 64);
	o->deleted_count++;
	VDO_ASSERT(o->deleted_count <= open_chapter_used(o));
}

const struct index_record *open_chapter_record(const struct open_chapter *o,
					       uint32_t number)
{
	VDO_CHECK(number >= 1);
	if (number > open_chapter_used(o) || is_deleted(o, number))
		return NULL;
	return &o->records[number - 1];
}
