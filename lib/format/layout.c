/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From sizes to a layout:
 *
 *	0 | index | super block | 60 roots | slabs ... | journal | summary
 *	          D             D+1        D+61        P-64-J    P-64      P
 *
 * The depot takes what is left; blocks after its last whole slab are unused.
 */
#include "build.h"

#include "format/layout.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "format/mapping.h"
#include "format/slab.h"

/* Below this many data blocks the block map would leave none for data. */
#define DATA_BLOCKS_MIN 182

uint64_t layout_default_logical_blocks(uint64_t slab_count,
				       uint64_t data_blocks)
{
	uint64_t n = slab_count * data_blocks;
	uint64_t pages = div_up(MAX(div_up(n, MAP_PAGE_ENTRIES), 1), ROOT_COUNT);
	uint64_t interior = 0;
	uint64_t forest;

	/* Three levels lie between leaves and roots. */
	for (unsigned level = 1; level < MAP_LEVELS - 1; level++) {
		pages = div_up(pages, MAP_PAGE_ENTRIES);
		interior += ROOT_COUNT * pages;
	}
	if (n <= interior)
		return 0;
	forest = interior + div_up(n - interior, MAP_PAGE_ENTRIES);
	VDO_ASSERT(forest <= n);
	return n - forest;
}

void layout_slab_geometry_init(struct slab_geometry *g,
			       const struct superblock *sb)
{
	VDO_ASSERT(is_power_of_two(sb->slab.slab_blocks));
	VDO_ASSERT(sb->depot_last_block > sb->depot_first_block);
	g->first_block = sb->depot_first_block;
	g->slab_shift = log2_floor(sb->slab.slab_blocks);
	g->slab_count = (sb->depot_last_block - sb->depot_first_block) >>
			g->slab_shift;
	g->data_blocks = sb->slab.data_blocks;
}

static int refuse(const char **why, const char *text, int result)
{
	VDO_ASSERT(result < 0);
	*why = text;
	return result;
}

/* Numbers that are wrong whatever the others are. */
static int check_request(const struct layout_request *r, const char **why)
{
	if (r->physical_blocks > PHYSICAL_BLOCKS_MAX)
		return refuse(why, "physical size is more than 256 TiB",
			      -ERANGE);
	if (r->logical_blocks > LOGICAL_BLOCKS_MAX)
		return refuse(why, "logical size is more than 4 PiB", -ERANGE);
	if (r->slab_bits > SLAB_BITS_MAX)
		return refuse(why, "slabs are larger than 2^23 blocks",
			      -ERANGE);
	if (r->slab_journal_blocks < SLAB_JOURNAL_BLOCKS_NEW_MIN ||
	    r->slab_journal_blocks > SLAB_JOURNAL_BLOCKS_MAX)
		return refuse(why, "slab journal size is not in 3..256 blocks",
			      -ERANGE);
	if (!is_power_of_two(r->recovery_journal_blocks) ||
	    r->recovery_journal_blocks < RECOVERY_JOURNAL_BLOCKS_MIN ||
	    r->recovery_journal_blocks > PHYSICAL_BLOCKS_MAX)
		return refuse(why,
			      "recovery journal size is not a power of two "
			      "of at least 4 blocks",
			      -ERANGE);
	if (r->index_blocks > PHYSICAL_BLOCKS_MAX)
		return refuse(why, "index is more than 256 TiB", -ERANGE);
	/* Linux would write the index over what lies in its place. */
	if (r->index_blocks == 0 && r->index_memory != 0)
		return refuse(why, "an index size, but no space for an index",
			      -VDO_ECONFLICT);
	return 0;
}

static void set_partitions(const struct layout_request *r, pbn_t data_start,
			   uint64_t depot_blocks, struct superblock *sb)
{
	/* The order in which vdoformat writes them. */
	static const uint8_t order[PARTITION_COUNT] = {
		PARTITION_DEPOT,
		PARTITION_JOURNAL,
		PARTITION_SUMMARY,
		PARTITION_BLOCK_MAP,
	};
	struct partition *p = sb->partitions;
	pbn_t map = data_start + 1;
	pbn_t depot = map + ROOT_COUNT;
	pbn_t journal = depot + depot_blocks;

	VDO_ASSERT(journal + r->recovery_journal_blocks + SUMMARY_BLOCKS ==
		   r->physical_blocks);
	p[PARTITION_BLOCK_MAP] = (struct partition){map, ROOT_COUNT};
	p[PARTITION_DEPOT] = (struct partition){depot, depot_blocks};
	p[PARTITION_JOURNAL] =
		(struct partition){journal, r->recovery_journal_blocks};
	p[PARTITION_SUMMARY] = (struct partition){
		journal + r->recovery_journal_blocks, SUMMARY_BLOCKS};
	memcpy(sb->partition_order, order, sizeof(order));
}

static void set_geometry(const struct layout_request *r, struct geometry *g)
{
	VDO_ASSERT(r->index_blocks < r->physical_blocks);
	*g = (struct geometry){
		.version_major = 5,
		.nonce = r->nonce,
		.index_start = 1,
		.data_start = 1 + r->index_blocks,
		.index_memory = r->index_memory,
		.index_sparse = r->index_sparse,
	};
	memcpy(g->uuid, r->uuid, sizeof(g->uuid));
}

static void set_superblock(const struct layout_request *r,
			   const struct slab_config *c, uint64_t slab_count,
			   struct superblock *sb)
{
	const struct partition *p = sb->partitions;

	VDO_ASSERT(slab_count >= 1 && slab_count <= SLABS_MAX);
	sb->state = VOLUME_NEW;
	sb->logical_blocks = r->logical_blocks != 0
				     ? r->logical_blocks
				     : layout_default_logical_blocks(
					       slab_count, c->data_blocks);
	sb->physical_blocks = r->physical_blocks;
	sb->slab_size = c->slab_blocks;
	sb->recovery_journal_size = r->recovery_journal_blocks;
	sb->slab_journal_blocks = r->slab_journal_blocks;
	sb->nonce = r->nonce;
	sb->journal_start = 1;
	sb->slab = *c;
	sb->depot_first_block = p[PARTITION_DEPOT].start;
	sb->depot_last_block =
		sb->depot_first_block + slab_count * c->slab_blocks;
	sb->root_origin = p[PARTITION_BLOCK_MAP].start;
	sb->root_count = ROOT_COUNT;
}

/* Geometry, index, super block, roots, journal, summary. */
uint64_t layout_around(const struct layout_request *r)
{
	return 1 + r->index_blocks + 1 + ROOT_COUNT +
	       r->recovery_journal_blocks + r->spare_blocks + SUMMARY_BLOCKS;
}

int layout_compute(const struct layout_request *r, struct geometry *g,
		   struct superblock *sb, uint64_t *minimum_blocks,
		   const char **why)
{
	const char *text;
	uint64_t slabs_min = 1;
	uint64_t around, minimum, slab_count;
	struct slab_config c;
	int result;

	if (why == NULL)
		why = &text;
	*why = NULL;
	result = check_request(r, why);
	if (result != 0)
		return result;
	if (slab_config_compute(UINT64_C(1) << r->slab_bits,
				r->slab_journal_blocks, &c) != 0)
		return refuse(why, "slabs are too small for their journal",
			      -VDO_ECONFLICT);

	around = layout_around(r);
	if (r->logical_blocks == 0)
		slabs_min = div_up(DATA_BLOCKS_MIN, c.data_blocks);
	minimum = around + slabs_min * c.slab_blocks;
	if (minimum_blocks != NULL)
		*minimum_blocks = minimum;
	if (r->physical_blocks < minimum)
		return refuse(why, "storage is too small", -ENOSPC);
	slab_count = (r->physical_blocks - around) >> r->slab_bits;
	if (slab_count > SLABS_MAX)
		return refuse(why, "more than 8192 slabs: choose larger ones",
			      -VDO_ECONFLICT);

	memset(sb, 0, sizeof(*sb));
	set_geometry(r, g);
	set_partitions(r, g->data_start,
		       r->physical_blocks - around + r->spare_blocks, sb);
	set_superblock(r, &c, slab_count, sb);
	VDO_ASSERT(superblock_validate(sb, g, why) == 0);
	return 0;
}
