/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over an index, for the files that look it over.
 *
 *	verify.c	  the volume index, the range of chapters
 *	verify_chapter.c  the pages of a chapter
 *
 * Runs on: whoever called index_verify().
 */
#ifndef INDEX_VERIFY_PRIV_H
#define INDEX_VERIFY_PRIV_H

#include "base/assert.h"
#include "index/index_priv.h"
#include "index/verify.h"
#include "index_format/chapter_index.h"

/* An index page of the chapter at hand. */
struct verify_head {
	struct index_page page;
	bool good;
};

struct verify_walk {
	struct index_verify *v;
	const struct index_media *media;
	const struct index_contents *contents;
	const struct index_geometry *g;
	uint8_t *pages; /* of a chapter */
	struct verify_head *heads;
	uint64_t *vcns;	 /* by slot; only without a save */
	uint64_t *names; /* entries that name the slot's chapter; with one */
	uint64_t oldest, newest;
	uint64_t vcn, slot; /* at hand */
};

/* The block on the device of a page of the slot at hand. */
static inline uint64_t verify_block_of(const struct verify_walk *w,
				       uint32_t page)
{
	VDO_ASSERT(w->slot < w->g->chapters && page < w->g->chapter_pages);
	return w->media->volume_block - w->media->storage->bio_offset +
	       geometry_page_block(w->g, w->slot, page);
}

#define page_fault(w, kind, page, ...)                                         \
	index_verify_fault((w)->v, VDO_INDEX_FAULT_##kind, (w)->vcn,	       \
			   verify_block_of(w, page), __VA_ARGS__)

/* Read the first @count pages of the slot at hand; 0 or an error. */
int verify_read_pages(const struct verify_walk *w, uint32_t count) MUST_CHECK;

/* Open index page @i, which was read. The chapter that it is of, or CHAPTER_NONE. */
uint64_t verify_open_page(const struct verify_walk *w, uint32_t i,
			  struct index_page *p);

/* Open all index pages; returns how many are good. */
uint32_t verify_open_heads(struct verify_walk *w);

/* Look over chapter @w->vcn. */
void verify_chapter(struct verify_walk *w);

#endif
