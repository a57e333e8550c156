/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index page map as an array, searched from the first page on: chapters
 * have few index pages. A damaged map leads to a wrong page at worst, whose
 * header then contradicts it.
 */
#include "build.h"

#include "index_format/page_map.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

int page_map_init(struct page_map *m, const struct index_geometry *g)
{
	VDO_ASSERT(g->index_pages >= 1 && g->chapters > 0);
	m->geometry = g;
	m->last_update = 0;
	m->last_lists = alloc_zeroed(page_map_entries(g) + 1, sizeof(uint16_t));
	return m->last_lists == NULL ? -ENOMEM : 0;
}

void page_map_fini(struct page_map *m)
{
	alloc_free(m->last_lists);
	m->last_lists = NULL;
}

void page_map_clear(struct page_map *m)
{
	VDO_ASSERT(m->last_lists != NULL);
	memset(m->last_lists, 0,
	       page_map_entries(m->geometry) * sizeof(*m->last_lists));
	m->last_update = 0;
}

void page_map_set(struct page_map *m, uint64_t vcn, uint32_t page,
		  uint32_t last_list)
{
	uint32_t pages = m->geometry->index_pages - 1;

	VDO_ASSERT(page <= pages);
	m->last_update = vcn;
	if (page < pages)
		m->last_lists[geometry_physical(m->geometry, vcn) * pages +
			      page] = (uint16_t)last_list;
}

uint32_t page_map_find(const struct page_map *m, uint64_t physical,
		       uint32_t list)
{
	uint32_t pages = m->geometry->index_pages - 1, page = 0;
	const uint16_t *last = m->last_lists + physical * pages;

	VDO_CHECK(physical < m->geometry->chapters);
	while (page < pages && list > last[page])
		page++;
	return page;
}

struct list_range page_map_lists(const struct page_map *m, uint64_t physical,
				 uint32_t page)
{
	uint32_t pages = m->geometry->index_pages - 1;
	const uint16_t *last = m->last_lists + physical * pages;

	VDO_ASSERT(physical < m->geometry->chapters && page <= pages);
	return (struct list_range){
		.first = page == 0 ? 0 : last[page - 1] + 1u,
		.last = page == pages ? m->geometry->lists - 1 : last[page],
	};
}
