/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Index page map. A damaged one leads to a wrong page at worst, which its
 * header then contradicts.
 */
#include "build.h"

#include "index_format/page_map.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

int page_map_init(struct page_map *m, const struct index_geometry *g)
{
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
	memset(m->last_lists, 0, page_map_entries(m->geometry) * sizeof(uint16_t));
	m->last_update = 0;
}

void page_map_set(struct page_map *m, uint64_t vcn, uint32_t page,
		  uint32_t last_list)
{
	uint32_t pages = m->geometry->index_pages - 1;

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

	while (page < pages && list > last[page])
		page++;
	return page;
}

struct list_range page_map_lists(const struct page_map *m, uint64_t physical,
				 uint32_t page)
{
	uint32_t pages = m->geometry->index_pages - 1;
	const uint16_t *last = m->last_lists + physical * pages;

	return (struct list_range){
		.first = page == 0 ? 0 : last[page - 1] + 1u,
		.last = page == pages ? m->geometry->lists - 1 : last[page],
	};
}
