/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks over whole structures: do their invariants hold? For VDO_CHECK and for
 * tests, between operations.
 *
 * What was loaded may be damaged, which is found when it is searched: entries
 * of delta lists are not decoded here, nor compared with the counts of a save.
 */
#include "build.h"

#include "index_format/open_chapter.h"
#include "index_format/volume_index.h"

static uint64_t start_of(const struct delta_lists *d, uint32_t list)
{
	return counter_get(&d->heads[list].place) >> 16;
}

/* Lists are in order and apart, and their sizes are what was counted. */
bool delta_lists_sane(const struct delta_lists *d)
{
	uint64_t bits = 0, end = 0;

	for (uint32_t i = 0; i < d->list_count; i++) {
		uint64_t start = start_of(d, i);

		if (start < end)
			return false;
		end = start + (delta_list_bits(d, i) + 7) / 8;
		bits += delta_list_bits(d, i);
	}
	return end <= start_of(d, d->list_count) &&
	       start_of(d, d->list_count) == d->arena_bytes &&
	       bits == d->bits_used;
}

static bool sub_sane(const struct sub_zone *s)
{
	if (s->low > s->high || !delta_lists_sane(&s->lists) ||
	    s->first_list + s->lists.list_count > s->geometry->list_count)
		return false;
	for (uint32_t i = 0; i < s->lists.list_count; i++)
		if (s->lists.heads[i].tag > s->high)
			return false;
	return true;
}

bool volume_index_sane(const struct volume_index *v)
{
	for (unsigned i = 0; i < v->geometry->sub_count; i++)
		if (!sub_sane(&v->subs[i]))
			return false;
	return v->zone < v->zone_count;
}

static uint32_t deleted_in(const struct open_chapter *o)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < o->capacity; i++)
		count += o->deleted[i / 64] >> (i % 64) & 1;
	return count;
}

/* Each number that was given is in one slot. */
bool open_chapter_sane(const struct open_chapter *o)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i <= o->slot_mask; i++) {
		if (o->slots[i] > open_chapter_used(o))
			return false;
		taken += o->slots[i] != 0;
	}
	return taken == open_chapter_used(o) && taken <= o->capacity &&
	       deleted_in(o) == o->deleted_count && o->deleted_count <= taken;
}
