/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a block of the storage is for. Most orders that a volume must keep are
 * between blocks of two kinds; so in some cycles writes of some kinds are slow,
 * at some crashes all of a kind is lost, and traps wait for a kind.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include "base/bytes.h"

static bool is_in(const struct partition *p, pbn_t pbn)
{
	return pbn >= p->start && pbn - p->start < p->count;
}

static enum kind kind_in_slab(const struct run *r, uint64_t at)
{
	const struct slab_config *c = &r->layout.slab;

	if (at < c->data_blocks)
		return KIND_DATA;
	if (at < c->data_blocks + c->reference_count_blocks)
		return KIND_COUNTS;
	return at < c->data_blocks + c->reference_count_blocks +
				c->slab_journal_blocks
		       ? KIND_SLAB_JOURNAL
		       : KIND_OTHER;
}

/* Its first image, which has no flag yet, too. */
static bool is_page(const struct run *r, const uint8_t *bytes, pbn_t pbn)
{
	return get_u64(bytes + 8) == r->layout.nonce &&
	       get_u64(bytes + 16) == pbn;
}

enum kind kinds_of(const struct run *r, uint64_t block, const void *data)
{
	pbn_t pbn = block + r->bio_offset;

	if (block == r->super_block)
		return KIND_SUPER;
	if (is_in(&r->layout.partitions[PARTITION_JOURNAL], pbn))
		return KIND_JOURNAL;
	if (is_in(&r->layout.partitions[PARTITION_SUMMARY], pbn))
		return KIND_SUMMARY;
	if (is_in(&r->layout.partitions[PARTITION_BLOCK_MAP], pbn) ||
	    is_page(r, data, pbn))
		return KIND_PAGE;
	if (is_in(&r->layout.partitions[PARTITION_DEPOT], pbn))
		return kind_in_slab(
			r, (pbn - r->slabs.first_block) % r->layout.slab.slab_blocks);
	return KIND_OTHER;
}

uint64_t kinds_slab_of(const struct run *r, uint64_t block)
{
	pbn_t pbn = block + r->bio_offset;

	return pbn < r->slabs.first_block ? UINT64_MAX
				    : (pbn - r->slabs.first_block) /
					      r->layout.slab.slab_blocks;
}

static unsigned kind_of(void *arg, uint64_t block, const void *data)
{
	return kinds_of(arg, block, data);
}

void kinds_begin(struct run *r)
{
	struct image im;

	image_open_sim(&im, r->sd, r->block_count);
	r->layout = im.sb;
	r->grown_physical = r->grown_logical = 0;
	r->slabs = im.slabs;
	r->bio_offset = im.geometry.bio_offset;
	r->super_block = im.geometry.data_start - r->bio_offset;
	image_close(&im);
	sim_device_kinds(r->sd, kind_of, r);
}

void kinds_look(struct run *r)
{
	uint8_t block[BLOCK_SIZE];
	struct superblock sb;

	sim_device_peek(r->sd, r->super_block, block);
	if (superblock_decode(block, r->super_block + r->bio_offset, &sb) != 0)
		return;
	if (sb.physical_blocks < r->grown_physical ||
	    sb.logical_blocks < r->grown_logical)
		die(r, "it is smaller again");
	r->layout = sb;
	layout_slab_geometry_init(&r->slabs, &sb);
}

void kinds_choose_delays(struct run *r)
{
	static const uint64_t delays[] = {1, 1000000, 10000000, 100000000};
	uint64_t max_ns[SIM_KINDS] = {0};
	bool even = percent(r, r->late ? 80 : 40);

	for (unsigned i = 0; !even && i < KINDS; i++)
		if (percent(r, 30))
			max_ns[i] = CHOOSE(r, delays);
	/* More is filled before the summary names what is full. */
	if (r->late)
		max_ns[KIND_SUMMARY] = 1000000000;
	else if (percent(r, r->deep ? 80 : r->tight ? 40 : 0))
		max_ns[percent(r, 50) ? KIND_SLAB_JOURNAL : KIND_SUMMARY] =
			100000000;
	sim_device_delays(r->sd, max_ns);
}
