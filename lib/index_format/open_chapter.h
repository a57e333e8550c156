/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open chapter of one zone: its newest records, found by name (X 7).
 *
 * Records are numbered from 1 as they come; one that is deleted keeps its
 * number. The slots are a hash table with a load of at most one half.
 *
 * Invariants
 *  (1) used is the highest number given, deleted ones included.
 *  (2) No two records that are not deleted have one name.
 *
 * Runs on: the zone's queue; once handed over, the chapter writer may read it
 * until it says that the chapter is written.
 */
#ifndef INDEX_FORMAT_OPEN_CHAPTER_H
#define INDEX_FORMAT_OPEN_CHAPTER_H

#include "base/assert.h"
#include "base/counter.h"
#include "index_format/names.h"

struct open_chapter {
	uint32_t capacity;
	counter_t used;
	uint32_t deleted_count;
	uint32_t slot_mask;
	uint32_t *slots;	      /* number, 0: free */
	struct index_record *records; /* by number - 1 */
	uint64_t *deleted;	      /* a bit for each number */
};

int open_chapter_init(struct open_chapter *o, uint32_t capacity) MUST_CHECK;
void open_chapter_fini(struct open_chapter *o);
/* The memory that it has. */
uint64_t open_chapter_bytes(const struct open_chapter *o);

void open_chapter_clear(struct open_chapter *o);

/* Any thread: how many numbers had been given a moment ago. */
static inline uint32_t open_chapter_used(const struct open_chapter *o)
{
	return (uint32_t)counter_get(&o->used);
}

static inline bool open_chapter_full(const struct open_chapter *o)
{
	VDO_CHECK(open_chapter_used(o) <= o->capacity);
	return open_chapter_used(o) == o->capacity;
}

/* The record of @name that is not deleted, or NULL. */
struct index_record *open_chapter_find(const struct open_chapter *o,
				       const struct index_name *name);

/* Any thread: bring into the cache what a find will touch. */
static inline void open_chapter_prefetch(const struct open_chapter *o,
					 const struct index_name *name)
{
	__builtin_prefetch(&o->slots[name->slot & o->slot_mask], 1);
}

/* Replace the data of @name, or give it a number. A new name needs a chapter
 * that is not full. */
void open_chapter_put(struct open_chapter *o, const struct index_name *name,
		      const uint8_t *data);

void open_chapter_remove(struct open_chapter *o, const struct index_name *name);

/* The record with a number, or NULL if it was not given or is deleted. */
const struct index_record *open_chapter_record(const struct open_chapter *o,
					       uint32_t number);

/* Do slots, numbers and counts agree? Takes its time. */
bool open_chapter_sane(const struct open_chapter *o);

#endif
