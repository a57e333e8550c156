/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of an index: all numbers that follow from its memory code, from
 * whether it is sparse and, for small ones, from the room it has (X 2).
 *
 *	code			base chapters	record pages a chapter
 *	-256 -512 -768		1024		64 128 192
 *	1..1024			1024 n		256
 *	-1280 -1536 -1792, 4097..5120: the same, less one chapter
 *	-1			4		32 (tiny, for tests)
 *	-2..-255		what fits: small, see vdo-format(5)
 *
 * A small geometry has record pages P in 1, 2, 4 .. 64 and an even number of
 * chapters C in 4..1024; of all (P, C) that take at most the blocks there are
 * and at most three quarters of the code's MiB of memory [small_memory], it is
 * the one with the most records, and of those the one with the smallest P. The
 * last quarter of the memory is the page cache's.
 *
 * Runs on: anything; constant once made.
 */
#ifndef INDEX_FORMAT_GEOMETRY_H
#define INDEX_FORMAT_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "index_format/delta_code.h"

#define PAGE_BYTES		 32768u
#define PAGE_BLOCKS		 8u
#define RECORD_BYTES		 32u
#define RECORDS_PER_PAGE	 1024u
#define INDEX_ZONES_MAX		 16u
#define CACHE_CHAPTERS		 7u
#define VOLUME_INDEX_MEAN_DELTA	 4096u
#define CHAPTER_INDEX_MEAN_DELTA 65536u
#define SPARSE_SAMPLE_RATE	 32u
#define ADDRESS_BITS		 20u /* of keys in the volume index */
#define INDEX_HEADER_BLOCKS	 2u  /* super block and config */

/* No chapter has this number: an index would need millions of years. */
#define CHAPTERS_END (UINT64_C(1) << 62)

/* One part of the volume index: all names, or only some (X 2.4). */
struct sub_geometry {
	uint64_t chapter_count;
	uint32_t list_count;
	unsigned chapter_bits;
	struct delta_coding coding;
	uint64_t chapter_size_bits;
	uint64_t memory_size;
	uint64_t target_free_bytes;
};

enum {
	SUB_NAMES,   /* those of a sparse index that are no samples; all
		      * names of a dense one */
	SUB_SAMPLES, /* sparse only */
	SUBS_MAX,
};

struct index_geometry {
	bool sparse;
	uint32_t record_pages;
	uint32_t chapters;
	uint32_t sparse_chapters;
	uint32_t dense_chapters;
	uint32_t records; /* of a chapter */
	uint32_t cache_pages;

	/* A chapter's index. */
	struct delta_coding chapter_coding;
	unsigned list_bits;
	unsigned address_bits;
	uint32_t lists;
	uint32_t index_pages;
	uint32_t chapter_pages;

	struct sub_geometry subs[SUBS_MAX];
	unsigned sub_count;

	/* Sizes in blocks. */
	uint64_t volume_blocks;
	uint64_t volume_index_blocks;
	uint64_t page_map_blocks;
	uint64_t open_chapter_blocks;
	uint64_t save_blocks;
	uint64_t total_blocks;

	/* Where the chapters of an index that was moved go (X 3.9), else 0. */
	uint64_t remapped_virtual;
	uint64_t remapped_physical;
};

/*
 * The shape for a memory code. @region_blocks matters for small codes alone.
 * -EINVAL: there is no such code. -ENOSPC: no small geometry fits.
 */
int index_geometry_init(struct index_geometry *g, int32_t memory, bool sparse,
			uint64_t region_blocks) MUST_CHECK;

/*
 * Blocks of the index of a memory code that Linux knows, or 0 for any other
 * code: Linux leaves the index of such a volume alone.
 */
uint64_t index_geometry_kernel_blocks(int32_t memory, bool sparse);

/* The physical chapter of a virtual one (X 6.1). */
uint64_t geometry_physical(const struct index_geometry *g, uint64_t vcn);

/* How many chapters end when @vcn becomes the open one. */
unsigned geometry_expires(const struct index_geometry *g, uint64_t vcn);

/* The block of a chapter's page, relative to the volume region. */
static inline uint64_t geometry_page_block(const struct index_geometry *g,
					   uint64_t physical, uint32_t page)
{
	VDO_CHECK(physical < g->chapters && page < g->chapter_pages);
	return PAGE_BLOCKS * (1 + physical * g->chapter_pages + page);
}

/* Are only the samples of chapter @vcn known while @newest is open? */
static inline bool geometry_is_sparse(const struct index_geometry *g,
				      uint64_t oldest, uint64_t newest,
				      uint64_t vcn)
{
	VDO_CHECK(oldest <= newest);
	return g->sparse && newest - oldest + 1 > g->dense_chapters &&
	       vcn + g->dense_chapters <= newest;
}

/* The share of one of @zones zones (X 2.4). */
uint64_t geometry_zone_memory(const struct sub_geometry *s, unsigned zones);
uint64_t geometry_zone_bits_max(const struct sub_geometry *s, unsigned zones);

static inline uint32_t geometry_zone_lists(const struct sub_geometry *s,
				      unsigned zones)
{
	VDO_CHECK(zones >= 1);
	return (s->list_count + zones - 1) / zones;
}

#endif
