/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Index page map: which lists are on which index page of each chapter (X 6.4).
 *
 * Runs on: zones read it. The chapter writer writes the entries of the chapter
 * at hand, which nobody looks up before all zones were told that it is written.
 * While the index is opened it belongs to the main queue alone.
 */
#ifndef INDEX_FORMAT_PAGE_MAP_H
#define INDEX_FORMAT_PAGE_MAP_H

#include "base/assert.h"
#include "index_format/geometry.h"

struct page_map {
	const struct index_geometry *geometry;
	uint16_t *last_lists; /* chapters * (index pages - 1) */
	uint64_t last_update; /* the chapter recorded last */
};

/* The lists on a page. */
struct list_range {
	uint32_t first, last;
};

/* How many entries there are, as in a save. */
static inline size_t page_map_entries(const struct index_geometry *g)
{
	VDO_CHECK(g->index_pages >= 1);
	return (size_t)g->chapters * (g->index_pages - 1);
}

int page_map_init(struct page_map *m, const struct index_geometry *g)
	MUST_CHECK;
void page_map_fini(struct page_map *m);
void page_map_clear(struct page_map *m);

/* Note that @page of chapter @vcn ends with @last_list. Where the last page
 * ends is known. */
void page_map_set(struct page_map *m, uint64_t vcn, uint32_t page,
		  uint32_t last_list);

uint32_t page_map_find(const struct page_map *m, uint64_t physical,
		       uint32_t list);
struct list_range page_map_lists(const struct page_map *m, uint64_t physical,
				 uint32_t page);

#endif
