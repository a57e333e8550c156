/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The formulas of X 2, in its order. They are exact: indexes on disk were made
 * with them, and a different rounding is a different index.
 */
#include "build.h"

#include "index_format/geometry.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

#define SMALL_PAGES_MAX	   64u
#define SMALL_CHAPTERS_MIN 4u
#define SMALL_CHAPTERS_MAX 1024u

static unsigned digits(uint64_t n)
{
	return n == 0 ? 1 : log2_floor(n) + 1;
}

static void set_chapter(struct index_geometry *g)
{
	uint64_t bits;

	VDO_ASSERT(g->record_pages >= 1 && g->record_pages <= 256);
	g->records = RECORDS_PER_PAGE * g->record_pages;
	delta_coding_init(&g->chapter_coding, CHAPTER_INDEX_MEAN_DELTA,
			  digits(g->record_pages - 1));
	g->list_bits = digits((g->records - 1) | 63) - 6;
	g->lists = 1u << g->list_bits;
	g->address_bits = 16 - g->list_bits + digits(g->records - 1);
	bits = (uint64_t)g->records * (g->chapter_coding.value_bits +
				       g->chapter_coding.min_bits + 1) +
	       g->records / 2;
	g->index_pages = (uint32_t)div_up(bits + 19 * (uint64_t)g->lists,
					  (PAGE_BYTES - 20) * 8 - 19 -
						  bits / g->lists);
	g->chapter_pages = g->index_pages + g->record_pages;
	VDO_ASSERT(g->lists <= UINT16_MAX && g->address_bits < 32);
}

static void set_sub(struct sub_geometry *s, uint64_t records, uint64_t chapters,
		    bool reduced)
{
	uint64_t rounded = chapters + (reduced ? 1 : 0);
	uint64_t in_index = rounded + MAX(rounded / 256, UINT64_C(2));
	uint64_t lists = MAX(records * rounded / 256, UINT64_C(256));
	uint64_t expected;

	VDO_ASSERT(records > 0 && chapters > 0);
	s->chapter_count = chapters;
	s->list_count = (uint32_t)lists;
	s->chapter_bits = digits(rounded - 1);
	delta_coding_init(&s->coding,
			  (uint32_t)((lists << ADDRESS_BITS) /
				     (records * in_index)),
			  s->chapter_bits);
	s->chapter_size_bits =
		records * (s->chapter_bits + s->coding.min_bits + 1) +
		records / 2;
	expected = s->chapter_size_bits * in_index / 8;
	s->memory_size = expected * 106 / 100;
	s->target_free_bytes = expected / 20;
}

uint64_t geometry_zone_memory(const struct sub_geometry *s, unsigned zones)
{
	VDO_ASSERT(zones >= 1 && zones <= INDEX_ZONES_MAX);
	return div_up(s->memory_size / zones, 65536) * 65536;
}

uint64_t geometry_zone_bits_max(const struct sub_geometry *s, unsigned zones)
{
	uint64_t memory = zones * geometry_zone_memory(s, zones);

	VDO_ASSERT(memory > s->target_free_bytes);
	return (memory - s->target_free_bytes) * 8 / zones;
}

static void set_subs(struct index_geometry *g)
{
	bool reduced = g->chapters % 2 != 0;
	uint32_t samples = g->records / SPARSE_SAMPLE_RATE;

	if (!g->sparse) {
		g->sub_count = 1;
		set_sub(&g->subs[SUB_NAMES], g->records, g->chapters, reduced);
		return;
	}
	g->sub_count = 2;
	set_sub(&g->subs[SUB_SAMPLES], samples, g->chapters, reduced);
	set_sub(&g->subs[SUB_NAMES], g->records - samples, g->dense_chapters,
		reduced);
}

static void set_sizes(struct index_geometry *g)
{
	uint64_t vi = g->sparse ? 12 : 0;
	uint64_t pages = (uint64_t)g->chapter_pages * g->chapters;

	VDO_ASSERT(g->index_pages > 0 && g->sub_count > 0);
	for (unsigned i = 0; i < g->sub_count; i++)
		vi += 40 + 40 + 17 * (uint64_t)g->subs[i].list_count +
		      geometry_zone_memory(&g->subs[i], 1);
	g->volume_blocks = PAGE_BLOCKS * (pages + 1);
	g->volume_index_blocks = div_up(vi + 8, 4096) + 16;
	g->page_map_blocks = div_up(
		16 + 2 * (uint64_t)g->chapters * (g->index_pages - 1), 4096);
	g->open_chapter_blocks =
		div_up(14 + RECORD_BYTES * (uint64_t)g->records, 4096);
	g->save_blocks = 1 + g->volume_index_blocks + g->page_map_blocks +
			 g->open_chapter_blocks;
	g->total_blocks =
		INDEX_HEADER_BLOCKS + 1 + g->volume_blocks + 2 * g->save_blocks;
}

static void set_all(struct index_geometry *g, uint32_t pages, uint64_t base,
		    bool reduced, bool sparse)
{
	VDO_ASSERT(base > 0 && base <= UINT32_MAX / 10);
	memset(g, 0, sizeof(*g));
	g->sparse = sparse;
	g->record_pages = pages;
	g->sparse_chapters = sparse ? (uint32_t)(19 * base / 2) : 0;
	g->chapters = (uint32_t)(sparse ? base * 10 : base) - reduced;
	g->dense_chapters = g->chapters - g->sparse_chapters;
	g->cache_pages = CACHE_CHAPTERS * pages;
	set_chapter(g);
	set_subs(g);
	set_sizes(g);
}

/*
 * A bound of the bytes that an index needs besides its page cache: the volume
 * index with its list headers, two open chapters, and what the chapter writer
 * needs. It decides the shape of indexes that are on disks, so it stays as it is
 * whatever these structures become; index_get_stats() tells what they have.
 */
static uint64_t small_memory(const struct index_geometry *g)
{
	uint64_t bytes = 192 * (uint64_t)g->records;

	for (unsigned i = 0; i < g->sub_count; i++)
		bytes += geometry_zone_memory(&g->subs[i], 1) +
			 24 * (uint64_t)g->subs[i].list_count;
	return bytes;
}

static int set_small(struct index_geometry *g, uint32_t mib, bool sparse,
		     uint64_t region_blocks)
{
	uint64_t memory = (uint64_t)mib << 20;
	struct index_geometry best = {0};

	for (uint32_t pages = 1; pages <= SMALL_PAGES_MAX; pages *= 2) {
		uint32_t low = SMALL_CHAPTERS_MIN, high = SMALL_CHAPTERS_MAX;

		/* Find the largest even number that fits. All smaller ones fit,
		 * too. */
		while (low <= high) {
			uint32_t middle = (low + high) / 4 * 2;

			set_all(g, pages, middle, false, sparse);
			if (g->total_blocks > region_blocks ||
			    small_memory(g) > memory / 4 * 3) {
				high = middle - 2;
				continue;
			}
			if ((uint64_t)g->records * g->chapters >
			    (uint64_t)best.records * best.chapters)
				best = *g;
			low = middle + 2;
		}
	}
	*g = best;
	if (g->chapters == 0)
		return -ENOSPC;
	g->cache_pages = (uint32_t)(memory / 4 / PAGE_BYTES);
	return 0;
}

int index_geometry_init(struct index_geometry *g, int32_t memory, bool sparse,
			uint64_t region_blocks)
{
	switch (memory) {
	case -256:
	case -512:
	case -768:
		set_all(g, (uint32_t)-memory / 4, 1024, false, sparse);
		return 0;
	case -1280:
	case -1536:
	case -1792:
		set_all(g, ((uint32_t)-memory - 1024) / 4, 1024, true, sparse);
		return 0;
	case -1:
		set_all(g, 32, 4, false, sparse);
		return 0;
	default:
		break;
	}
	if (memory >= 1 && memory <= 1024)
		set_all(g, 256, 1024 * (uint64_t)memory, false, sparse);
	else if (memory >= 4097 && memory <= 5120)
		set_all(g, 256, 1024 * (uint64_t)(memory - 4096), true, sparse);
	else if (memory >= -255 && memory <= -2)
		return set_small(g, (uint32_t)-memory, sparse, region_blocks);
	else
		return -EINVAL;
	return 0;
}

uint64_t index_geometry_kernel_blocks(int32_t memory, bool sparse)
{
	struct index_geometry g;

	/* A small or tiny index is not one that Linux makes. */
	if (memory >= -255 && memory < 0)
		return 0;
	return index_geometry_init(&g, memory, sparse, 0) == 0 ? g.total_blocks
								: 0;
}

uint64_t geometry_physical(const struct index_geometry *g, uint64_t vcn)
{
	uint64_t d;

	if (g->chapters % 2 == 0)
		return vcn % g->chapters;
	if (vcn == g->remapped_virtual)
		return g->remapped_physical;
	if (vcn > g->remapped_virtual) {
		d = vcn - g->remapped_virtual;
		return d > g->remapped_physical ? d % g->chapters : d - 1;
	}
	d = g->remapped_virtual - vcn;
	return d < g->chapters ? g->chapters - d : 0;
}

unsigned geometry_expires(const struct index_geometry *g, uint64_t vcn)
{
	uint64_t oldest;

	if (vcn < g->chapters)
		return 0;
	if (g->remapped_physical == 0)
		return 1;
	oldest = vcn - g->chapters;
	if (oldest == g->remapped_virtual)
		return 2;
	return oldest == g->remapped_virtual + g->remapped_physical ? 0 : 1;
}
