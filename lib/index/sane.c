/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over a whole zone, for VDO_CHECK and for tests: do its parts agree
 * with each other, and with the invariants in zone.h?
 */
#include "build.h"

#include "index/zone.h"

static bool chapters_sane(const struct index_zone *z)
{
	if (z->open == z->writing || !open_chapter_sane(z->open) ||
	    !open_chapter_sane(z->writing))
		return false;
	if (z->writing_busy && (!z->writing_valid || z->newest == 0 ||
				z->source.full != z->writing))
		return false;
	if (z->close_pending &&
	    !(z->writing_busy && open_chapter_full(z->open)))
		return false;
	return waitq_empty(&z->full) || z->close_pending;
}

static bool volume_sane(const struct index_zone *z)
{
	for (unsigned i = 0; i < z->geometry->sub_count; i++)
		if (z->volume.subs[i].high != z->newest)
			return false;
	return volume_index_sane(&z->volume);
}

/* The view's order of use has each slot once, and no chapter is there twice. */
static bool sparse_sane(const struct sparse_view *v)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < SPARSE_SLOTS; i++) {
		uint64_t vcn = v->slots[i].vcn;

		seen |= 1u << v->order[i];
		if (vcn != CHAPTER_NONE && sparse_view_find(v, vcn) != (int)i)
			return false;
	}
	return seen == (1u << SPARSE_SLOTS) - 1 &&
	       (waitq_empty(&v->waiting) || v->wanting || v->loading != 0);
}

bool index_zone_sane(const struct index_zone *z)
{
	return z->oldest <= z->newest && chapters_sane(z) && volume_sane(z) &&
	       sparse_sane(&z->sparse) &&
	       z->full.count + z->sparse.waiting.count <= z->gate.inside;
}
