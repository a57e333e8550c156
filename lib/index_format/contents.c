/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops over the zones, for those who see the index as a whole.
 */
#include "build.h"

#include "index_format/contents.h"

#include "base/assert.h"

void contents_clear(const struct index_contents *c)
{
	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= INDEX_ZONES_MAX);
	page_map_clear(c->page_map);
	for (unsigned i = 0; i < c->zone_count; i++) {
		volume_index_clear(c->volumes[i]);
		open_chapter_clear(c->open[i]);
	}
}

void contents_open_chapter(const struct index_contents *c, uint64_t vcn)
{
	VDO_ASSERT(c->zone_count >= 1);
	for (unsigned i = 0; i < c->zone_count; i++)
		volume_index_open(c->volumes[i], vcn);
}

uint32_t contents_open_records(const struct index_contents *c)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < c->zone_count; i++)
		count += open_chapter_used(c->open[i]) -
			 c->open[i]->deleted_count;
	VDO_ASSERT(count <= c->geometry->records);
	return count;
}
