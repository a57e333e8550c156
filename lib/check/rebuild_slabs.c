/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slabs of a rebuild. First all of them are as in a new volume: no journal
 * entries, and a summary without any slab in use. Then the references are
 * counted, as many slabs at once as fit into memory, and what is in use is
 * written: counts without a commit point, and an entry of the summary that says
 * that they are complete (V 7.5).
 */
#include "build.h"

#include "check/rebuild_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "format/slab.h"

static pbn_t counts_start(const struct rebuild *r, uint64_t slab)
{
	return slab_start(&r->slabs, slab) + r->slabs.data_blocks;
}

static void set_summary(struct rebuild *r, uint64_t slab, uint64_t free_blocks,
			bool counted)
{
	struct summary_entry e = {
		.hint = slab_summary_hint(r->slabs.slab_shift, free_blocks),
		.load = counted,
	};

	VDO_ASSERT(slab < SLABS_MAX && free_blocks <= r->slabs.data_blocks);
	slab_summary_encode(r->summary + slab * SUMMARY_ENTRY_SIZE, e);
}

/* -------------------------------------------------------------------- empty */

/* What reads as zeroes already stays a hole. */
static int empty_journal(struct rebuild *r, uint64_t slab)
{
	uint64_t left = r->sb.slab.slab_journal_blocks;
	pbn_t at = counts_start(r, slab) + r->sb.slab.reference_count_blocks;
	int result = 0;

	while (result == 0 && left > 0) {
		uint64_t n = MIN(left, REBUILD_BUF_BLOCKS);

		result = rebuild_read(r, at, n, r->buf);
		if (result != -ECANCELED &&
		    (result != 0 || !is_zero(r->buf, n * BLOCK_SIZE))) {
			memset(r->buf, 0, n * BLOCK_SIZE);
			result = rebuild_write(r, at, n, r->buf);
		}
		at += n;
		left -= n;
	}
	return result;
}

int rebuild_empty_slabs(struct rebuild *r)
{
	int result = 0;

	rebuild_phase(r, "emptying slab journals",
		      r->slabs.slab_count * r->sb.slab.slab_journal_blocks *
			      BLOCK_SIZE);
	for (uint64_t i = 0; i < SLABS_MAX; i++)
		set_summary(r, i, r->slabs.data_blocks, false);
	result = rebuild_write_summary(r);
	for (uint64_t i = 0; result == 0 && i < r->slabs.slab_count; i++)
		result = empty_journal(r, i);
	return result;
}

int rebuild_write_summary(struct rebuild *r)
{
	pbn_t at = r->sb.partitions[PARTITION_SUMMARY].start;
	int result = 0;

	static_assert(SUMMARY_ZONE_BLOCKS * PHYSICAL_ZONES_MAX ==
			      SUMMARY_BLOCKS,
		      "a copy for each zone");
	for (unsigned i = 0; result == 0 && i < PHYSICAL_ZONES_MAX; i++)
		result = rebuild_write(r, at + (uint64_t)i * SUMMARY_ZONE_BLOCKS,
				       SUMMARY_ZONE_BLOCKS, r->summary);
	return result;
}

/* ------------------------------------------------------------------- counts */

/* Reference block @b of a slab with @counts. */
static void encode_block(const struct rebuild *r, const uint8_t *counts,
			 uint64_t b, uint8_t *block)
{
	uint64_t at = b * COUNTS_PER_BLOCK;

	memset(block, 0, BLOCK_SIZE);
	for (; at < r->slabs.data_blocks && at < (b + 1) * COUNTS_PER_BLOCK;
	     at += COUNTS_PER_SECTOR) {
		memcpy(block + SECTOR_SIZE - COUNTS_PER_SECTOR, counts + at,
		       MIN(COUNTS_PER_SECTOR, r->slabs.data_blocks - at));
		block += SECTOR_SIZE;
	}
}

static int write_counts(struct rebuild *r, uint64_t slab, const uint8_t *counts)
{
	uint64_t blocks = r->sb.slab.reference_count_blocks;
	int result = 0;

	for (uint64_t b = 0; result == 0 && b < blocks;) {
		uint64_t n = MIN(blocks - b, REBUILD_BUF_BLOCKS);

		for (uint64_t i = 0; i < n; i++)
			encode_block(r, counts, b + i, r->buf + i * BLOCK_SIZE);
		result = rebuild_write(r, counts_start(r, slab) + b, n, r->buf);
		b += n;
	}
	return result;
}

static int store_slab(struct rebuild *r, uint64_t slab, const uint8_t *counts)
{
	uint64_t used = 0;

	for (uint64_t i = 0; i < r->slabs.data_blocks; i++)
		used += counts[i] != 0;
	if (used == 0)
		return 0;
	r->result.data_blocks += used;
	set_summary(r, slab, r->slabs.data_blocks - used, true);
	return write_counts(r, slab, counts);
}

/* Pages of the map have their count before anything is counted. */
static void count_pages(struct rebuild *r, uint64_t slab, uint8_t *counts)
{
	const uint8_t *bits = r->pages[slab];

	for (uint64_t i = 0; bits != NULL && i < r->slabs.data_blocks; i++)
		if ((bits[i / 8] >> i % 8 & 1) != 0)
			counts[i] = REFS_MAX;
}

static int rebuild_part(struct rebuild *r)
{
	size_t bytes = r->part_slabs * r->slabs.data_blocks;
	int result;

	r->counts = alloc_table(bytes);
	if (r->counts == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < r->part_slabs; i++)
		count_pages(r, r->part_slab + i,
			    r->counts + i * r->slabs.data_blocks);
	result = rebuild_count_part(r);
	for (uint64_t i = 0; result == 0 && i < r->part_slabs; i++)
		result = store_slab(r, r->part_slab + i,
				    r->counts + i * r->slabs.data_blocks);
	alloc_table_free(r->counts, bytes);
	r->counts = NULL;
	return result;
}

/* The next part that has something in use; false: there is none. */
static bool next_part(const struct rebuild *r, uint64_t *first, uint64_t *count)
{
	uint64_t slabs = MAX(r->part_blocks >> r->slabs.slab_shift, 1);

	for (*first += *count; *first < r->slabs.slab_count; ++*first) {
		if (!r->used[*first])
			continue;
		*count = MIN(slabs, r->slabs.slab_count - *first);
		return true;
	}
	return false;
}

static uint64_t count_parts(const struct rebuild *r)
{
	uint64_t n = 0;

	for (uint64_t first = 0, count = 0; next_part(r, &first, &count);)
		n++;
	return n;
}

int rebuild_counts(struct rebuild *r)
{
	int result = 0;

	rebuild_phase(r, "counting references",
		      count_parts(r) * r->pages_met * BLOCK_SIZE);
	r->part_slab = r->part_slabs = 0;
	while (result == 0 && next_part(r, &r->part_slab, &r->part_slabs))
		result = rebuild_part(r);
	r->result.data_blocks -= MIN(r->result.block_map_blocks,
				     r->result.data_blocks);
	return result;
}
