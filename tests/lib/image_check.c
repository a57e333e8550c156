/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding an image's parts against each other. The trees say how often each
 * block is referenced; everything else must agree.
 */
#include "build.h"

#include "tests/lib/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/fragment.h"

struct check {
	struct image *im;
	uint16_t *refs;	    /* by slab and offset */
	uint8_t *forms;	    /* of the same: 1 whole, 2 fragments, 4 map page */
	uint64_t used;	    /* logical blocks */
	uint64_t tree_pages;
	uint8_t buf[BLOCK_SIZE];
};

#define complain(c, ...)                                                       \
	do {                                                                   \
		if ((c)->im->problems++ < 20) {                                \
			fprintf(stderr, "image: " __VA_ARGS__);                \
			fprintf(stderr, "\n");                                 \
		}                                                              \
	} while (0)
#define U(x) ((unsigned long long)(x))

static uint64_t place(struct check *c, pbn_t pbn)
{
	const struct slab_geometry *g = &c->im->slabs;

	return slab_of(g, pbn) * g->data_blocks + slab_offset_of(g, pbn);
}

/* A fragment that was found once is there as long as its block is the same. */
static void check_fragment(struct check *c, lbn_t lbn, struct mapping m)
{
	struct image_seen *seen =
		c->im->seen == NULL ? NULL : image_seen_of(c->im, m);

	if (seen != NULL && seen->readable >> m.state & 1)
		return;
	if (image_read(c->im, lbn, c->buf) && seen != NULL)
		seen->readable |= (uint16_t)(1u << m.state);
}

static void check_leaf_entry(struct check *c, lbn_t lbn, struct mapping m)
{
	uint64_t at;

	if (!mapping_plausible(&c->im->slabs, m)) {
		complain(c, "lbn %llu: mapping to %llu, state %u", U(lbn),
			 U(m.pbn), m.state);
		return;
	}
	c->used += m.state != STATE_UNMAPPED;
	if (m.pbn == ZERO_BLOCK)
		return;
	at = place(c, m.pbn);
	c->refs[at]++;
	c->forms[at] |= mapping_is_compressed(m) ? 2 : 1;
	if (mapping_is_compressed(m))
		check_fragment(c, lbn, m);
}

static const struct mapping unmapped = {ZERO_BLOCK, STATE_UNMAPPED};

static void check_leaf(struct check *c, pbn_t pbn, lbn_t first)
{
	const uint8_t *page = image_page(c->im, pbn);
	unsigned end = (unsigned)MIN(MAP_PAGE_ENTRIES,
				     c->im->sb.logical_blocks - first);

	for (unsigned i = 0;
	     (i = mapping_page_skip(page, i, end, unmapped)) < end; i++)
		check_leaf_entry(c, first + i, mapping_page_get(page, i));
}

/* Children are data blocks, each named once. */
static bool check_child(struct check *c, pbn_t parent, struct mapping m)
{
	if (m.state != STATE_UNCOMPRESSED ||
	    !is_data_block(&c->im->slabs, m.pbn)) {
		complain(c, "map page %llu: child %llu", U(parent), U(m.pbn));
		return false;
	}
	if (c->forms[place(c, m.pbn)] & 4)
		complain(c, "map page %llu has two parents", U(m.pbn));
	c->forms[place(c, m.pbn)] |= 4;
	c->tree_pages++;
	return true;
}

/* The pages of a level, and all below them, as far as the volume has LBNs:
 * @number is that of the page in its level of the tree. */
static void check_interior(struct check *c, pbn_t pbn, unsigned level,
			   unsigned root, uint64_t number)
{
	const uint8_t *page = image_page(c->im, pbn);
	uint64_t below = 1;

	for (unsigned l = 1; l < level; l++)
		below *= MAP_PAGE_ENTRIES;
	for (unsigned i = 0; (i = mapping_page_skip(page, i, MAP_PAGE_ENTRIES,
						    unmapped)) <
			     MAP_PAGE_ENTRIES;
	     i++) {
		struct mapping m = mapping_page_get(page, i);
		uint64_t child = number * MAP_PAGE_ENTRIES + i;
		lbn_t first = (child * below * c->im->sb.root_count + root) *
			      MAP_PAGE_ENTRIES;

		if (m.pbn == ZERO_BLOCK || !check_child(c, pbn, m) ||
		    first >= c->im->sb.logical_blocks)
			continue;
		if (level > 1)
			check_interior(c, m.pbn, level - 1, root, child);
		else
			check_leaf(c, m.pbn, first);
	}
}

static void check_trees(struct check *c)
{
	struct superblock *sb = &c->im->sb;

	for (unsigned root = 0; root < sb->root_count; root++)
		if (root * (lbn_t)MAP_PAGE_ENTRIES < sb->logical_blocks)
			check_interior(c, sb->root_origin + root,
				       MAP_LEVELS - 1, root, 0);
}

static pbn_t block_at(struct image *im, uint64_t i)
{
	return slab_start(&im->slabs, i / im->slabs.data_blocks) +
	       i % im->slabs.data_blocks;
}

static void check_counts(struct check *c)
{
	struct image *im = c->im;
	uint64_t n = im->slabs.slab_count * im->slabs.data_blocks;

	for (uint64_t i = 0; i < n; i++) {
		unsigned want = c->forms[i] & 4 ? REFS_MAX : c->refs[i];

		if (im->counts[i] != want)
			complain(c, "block %llu has count %u, should be %u",
				 U(block_at(im, i)), im->counts[i], want);
		if ((c->forms[i] & (c->forms[i] - 1)) != 0)
			complain(c, "block %llu is used in two ways",
				 U(block_at(im, i)));
	}
}

static void check_summary(struct check *c, uint64_t slab)
{
	struct image *im = c->im;
	struct summary_entry *s = &im->slab[slab].summary;
	uint64_t free_blocks = 0;
	unsigned hint;

	for (uint64_t i = 0; i < im->slabs.data_blocks; i++)
		free_blocks +=
			im->counts[slab * im->slabs.data_blocks + i] == 0;
	hint = slab_summary_hint(im->slabs.slab_shift, free_blocks);
	if (im->slab[slab].reaches >
	    im->slab[slab].at - (im->slab[slab].entries == 0))
		complain(c, "slab %llu: journal block %llu took the place of one "
			    "that is needed",
			 U(slab), U(im->slab[slab].reaches));
	if (im->sb.state != VOLUME_CLEAN)
		return;
	if (hint > s->hint + 1u || s->hint > hint + 1u)
		complain(c, "slab %llu: hint %u, should be %u", U(slab),
			 s->hint, hint);
	if (s->tail_offset != im->slab[slab].tail %
				      im->sb.slab.slab_journal_blocks &&
	    s->tail_offset != 0)
		complain(c, "slab %llu: tail offset %u, tail %llu", U(slab),
			 s->tail_offset, U(im->slab[slab].tail));
	if (s->dirty && !s->load)
		complain(c, "slab %llu: counts never written", U(slab));
}

/* No block of the ring is newer than what the super block says. */
static void check_journal(struct check *c)
{
	struct image *im = c->im;
	uint64_t size = im->sb.recovery_journal_size;

	for (uint64_t i = 0; i < size && im->sb.state == VOLUME_CLEAN; i++) {
		struct journal_header h;

		journal_header_decode(
			image_block(im,
				    im->sb.partitions[PARTITION_JOURNAL].start +
					    i,
				    c->buf),
			&h);
		if (h.nonce != im->sb.nonce || h.type != JOURNAL_TYPE ||
		    h.seq % size != i ||
		    h.recovery_count != (uint8_t)im->sb.complete_recoveries)
			continue;
		if (h.seq >= im->sb.journal_start)
			complain(c, "journal: block %llu, but the start is "
				    "%llu",
				 U(h.seq), U(im->sb.journal_start));
		if (h.map_head > h.seq || h.slab_head > h.seq ||
		    h.seq - MIN(h.map_head, h.slab_head) >= size)
			complain(c, "journal: block %llu with heads %llu, "
				    "%llu",
				 U(h.seq), U(h.map_head), U(h.slab_head));
	}
}

void image_check(struct image *im)
{
	struct check c = {.im = im};
	uint64_t n = im->slabs.slab_count * im->slabs.data_blocks;

	if (im->problems != 0)
		return;
	c.refs = calloc(n, sizeof(*c.refs));
	c.forms = calloc(n, 1);
	if (c.refs == NULL || c.forms == NULL)
		abort();
	check_trees(&c);
	check_journal(&c);
	if (im->sb.state != VOLUME_NEW) {
		check_counts(&c);
		for (uint64_t i = 0; i < im->slabs.slab_count; i++)
			check_summary(&c, i);
	}
	/* Those of a read-only volume are what they were in memory. */
	if (im->sb.state != VOLUME_READ_ONLY) {
		if (c.used != im->logical_blocks_used)
			complain(&c, "%llu logical blocks used, recorded %llu",
				 U(c.used), U(im->logical_blocks_used));
		if (c.tree_pages != im->block_map_data_blocks)
			complain(&c, "%llu map pages, recorded %llu",
				 U(c.tree_pages),
				 U(im->block_map_data_blocks));
	}
	free(c.refs);
	free(c.forms);
}
