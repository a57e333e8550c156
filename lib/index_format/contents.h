/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an index knows, in memory: the part of each zone and what all share.
 *
 * A save writes it to the disk, and a load or a rebuild fills it. It belongs to
 * the zones while these serve requests, so nobody else looks at it then.
 *
 * Runs on: whoever has stopped the zones.
 * Lifetime: it points to what its owner keeps.
 */
#ifndef INDEX_FORMAT_CONTENTS_H
#define INDEX_FORMAT_CONTENTS_H

#include "index_format/open_chapter.h"
#include "index_format/page_map.h"
#include "index_format/volume_index.h"

struct index_contents {
	const struct index_geometry *geometry;
	struct page_map *page_map;
	unsigned zone_count;
	struct volume_index *volumes[INDEX_ZONES_MAX];
	struct open_chapter *open[INDEX_ZONES_MAX];
};

/* Forget everything. */
void contents_clear(const struct index_contents *c);

/* Chapter @vcn is now open in all zones. */
void contents_open_chapter(const struct index_contents *c, uint64_t vcn);

/* How many records the open chapter has. */
uint32_t contents_open_records(const struct index_contents *c);

#endif
