/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Volume index: name -> the chapter that may have it (X 5).
 *
 * One per zone: the lists of the zone's share of each sub-index. Entries keep
 * only part of a name, so an answer is a hint unless it is a collision entry,
 * which keeps all of it. Entries of chapters that have expired go away when
 * their list is next looked at.
 *
 * Invariants
 *  (1) Live chapters are low..high; low may be above the zone's oldest chapter
 *      where memory was short (X 5.5).
 *  (2) flush(list) <= the chapter of each entry that is alive, and each entry's
 *      chapter is in flush .. flush + 2^chapter_bits - 1. flush <= high. Hence
 *      the lists can be saved as they are (X 5.6).
 *
 * Runs on: the zone's queue; while zones stand still, whoever stopped them.
 */
#ifndef INDEX_FORMAT_VOLUME_INDEX_H
#define INDEX_FORMAT_VOLUME_INDEX_H

#include "base/counter.h"
#include "index_format/delta_list.h"
#include "index_format/names.h"

struct sub_zone {
	struct delta_lists lists; /* tag: the list's flush chapter */
	const struct sub_geometry *geometry;
	uint32_t first_list;
	uint64_t low, high;
	uint64_t max_bits;
	uint64_t chapter_bits_each; /* expected bits of a chapter here */
	counter_t discarded;
	counter_t early_flushes;
};

struct volume_index {
	const struct index_geometry *geometry;
	unsigned zone, zone_count;
	struct sub_zone subs[SUBS_MAX];
};

/* What is known of a name. It is valid until the zone's index changes. */
struct volume_hint {
	bool found;
	bool collision; /* found, and certainly this name */
	uint64_t chapter;
	/* private */
	struct sub_zone *sub;
	uint32_t list, key;
	struct delta_entry entry;
};

int volume_index_init(struct volume_index *v, const struct index_geometry *g,
		      unsigned zone, unsigned zone_count) MUST_CHECK;
void volume_index_fini(struct volume_index *v);
void volume_index_clear(struct volume_index *v);

/* Chapter @vcn is open from now on. */
void volume_index_open(struct volume_index *v, uint64_t vcn);

/* Look @name up, which must be one of the zone's. -VDO_ECORRUPT */
int volume_index_get(struct volume_index *v, const struct index_name *name,
		     struct volume_hint *h) MUST_CHECK;

/* Any thread: bring into the cache what a get and a put will touch. */
void volume_index_prefetch(const struct volume_index *v,
			   const struct index_name *name);

/*
 * After a get: add an entry for the name; have the entry name another chapter;
 * remove it. -ENOSPC: there is no room. -EEXIST: the very name is there.
 */
int volume_index_put(struct volume_hint *h, const struct index_name *name,
		     uint64_t vcn) MUST_CHECK;
void volume_index_set(struct volume_hint *h, uint64_t vcn);
int volume_index_remove(struct volume_hint *h) MUST_CHECK;

/* Statistics; a reader on another thread sees some recent values. */
struct volume_index_counts {
	uint64_t entries, collisions, discarded, early_flushes, memory_bytes;
};

void volume_index_count(const struct volume_index *v,
			struct volume_index_counts *add_to);

/* Do the invariants hold, but for what entries say? Takes its time. */
bool volume_index_sane(const struct volume_index *v);

#endif
