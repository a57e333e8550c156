/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories of interior pages.
 *
 * Pages come one by one when they are needed: a volume of 4 PiB has 1.7
 * million interior pages, 6.9 GB, and a directory of 13 MB, of which untouched
 * parts are no memory either. The directories are shared by all zones, which
 * is safe because each element belongs to one tree and so to one zone.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

int forest_init(struct forest *f, uint64_t logical_blocks, unsigned root_count)
{
	uint64_t leaves = div_up(logical_blocks, MAP_PAGE_ENTRIES);
	uint64_t count = div_up(leaves, root_count);

	VDO_ASSERT(root_count > 0);
	f->root_count = root_count;
	f->logical_blocks = logical_blocks;
	for (unsigned level = 1; level < MAP_LEVELS; level++) {
		count = MAX(div_up(count, MAP_PAGE_ENTRIES), 1);
		f->page_count[level] = count;
		f->pages[level] =
			alloc_spare(CACHE_LINE, count * root_count,
				    sizeof(struct page *));
		if (f->pages[level] == NULL)
			goto fail;
	}
	return 0;
fail:
	forest_fini(f);
	return -ENOMEM;
}

/* Pages lie at few places of a large directory: find them from above. */
static void free_children(struct forest *f, unsigned root, unsigned level,
			  uint64_t page)
{
	uint64_t first = page * MAP_PAGE_ENTRIES;
	uint64_t last = MIN(first + MAP_PAGE_ENTRIES, f->page_count[level]);

	VDO_ASSERT(level > 0 && level < MAP_LEVELS);
	for (uint64_t i = first; i < last; i++) {
		struct page **slot = &f->pages[level][i * f->root_count + root];

		if (*slot != NULL)
			alloc_free(container_of(*slot, struct tree_page, page));
		*slot = NULL;
	}
}

/* A page exists only if its parent does. */
static void free_tree(struct forest *f, unsigned root)
{
	for (unsigned level = 1; level < MAP_LEVELS - 1; level++) {
		for (uint64_t i = 0; i < f->page_count[level + 1]; i++) {
			if (forest_get(f, root, level + 1, i) != NULL)
				free_children(f, root, level, i);
		}
	}
	free_children(f, root, MAP_LEVELS - 1, 0);
}

void forest_fini(struct forest *f)
{
	/* All directories were made, or nothing is in any of them. */
	if (f->pages[MAP_LEVELS - 1] != NULL) {
		for (unsigned root = 0; root < f->root_count; root++)
			free_tree(f, root);
	}
	for (unsigned level = 1; level < MAP_LEVELS; level++) {
		alloc_free(f->pages[level]);
		f->pages[level] = NULL;
	}
}

/* Of each level the pages that were there come first. */
void forest_grow(struct forest *f, struct forest *larger)
{
	VDO_ASSERT(larger->root_count == f->root_count);
	VDO_ASSERT(larger->logical_blocks > f->logical_blocks);
	for (unsigned level = 1; level < MAP_LEVELS; level++) {
		uint64_t n = f->page_count[level] * f->root_count;

		memcpy(larger->pages[level], f->pages[level],
		       n * sizeof(*f->pages[level]));
		alloc_free(f->pages[level]);
	}
	*f = *larger;
	memset(larger, 0, sizeof(*larger));
}

struct tree_page *forest_page(void)
{
	struct tree_page *t = alloc_zeroed(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->page.bytes = t->bytes;
	t->page.state = PAGE_FREE;
	list_init(&t->page.link);
	list_init(&t->page.lru);
	waitq_init(&t->page.waiters);
	return t;
}

void forest_put(struct forest *f, unsigned root, unsigned level, uint64_t page,
		struct page *p)
{
	struct page **slot = &f->pages[level][page * f->root_count + root];

	VDO_ASSERT(level > 0 && page < f->page_count[level]);
	VDO_ASSERT(*slot == NULL && list_empty(&p->link));
	p->level = (uint8_t)level;
	*slot = p;
}
