/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The super block, read and written through a cursor in the order of V 3:
 *
 *	header | version, state, configuration | layout: 4 partitions |
 *	recovery journal | slab depot | block map | CRC
 *
 * Each of the five components has a header of 20 bytes; decode_x() below
 * checks the header of x and reads x. The CRC is checked before all but the
 * first header, so what follows it is the work of somebody who meant it.
 *
 * Beyond what Linux checks, superblock_validate() refuses numbers that would
 * lead us outside the areas they describe. No tool writes such a volume.
 */
#include "build.h"

#include "format/superblock.h"

#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/bytes.h"

#define CRC_OFFSET  434
#define FLAT_ORIGIN 1

struct component {
	uint32_t id;
	uint32_t major;
	uint32_t minor;
	uint64_t size;
};

static const struct component SUPER_BLOCK = {0, 12, 0, 418};
static const struct component LAYOUT = {1, 3, 0, 117};
static const struct component JOURNAL = {2, 7, 0, 24};
static const struct component DEPOT = {3, 2, 0, 73};
static const struct component BLOCK_MAP = {4, 2, 0, 32};

struct version {
	uint32_t major;
	uint32_t minor;
};

static const struct version VOLUME_VERSION = {67, 0};
static const struct version COMPONENT_VERSION = {41, 0};

static void write_component(struct writer *w, const struct component *c)
{
	write_u32(w, c->id);
	write_u32(w, c->major);
	write_u32(w, c->minor);
	write_u64(w, c->size);
}

static void write_version(struct writer *w, struct version v)
{
	write_u32(w, v.major);
	write_u32(w, v.minor);
}

static void write_layout(struct writer *w, const struct superblock *sb)
{
	/* Free space begins and ends where the journal does: there is none. */
	pbn_t free_start = sb->partitions[PARTITION_JOURNAL].start;

	write_component(w, &LAYOUT);
	write_u64(w, free_start);
	write_u64(w, free_start);
	write_u8(w, PARTITION_COUNT);
	for (unsigned i = 0; i < PARTITION_COUNT; i++) {
		uint8_t id = sb->partition_order[i];

		VDO_ASSERT(id < PARTITION_COUNT);
		write_u8(w, id);
		write_u64(w, sb->partitions[id].start);
		write_u64(w, 0);
		write_u64(w, sb->partitions[id].count);
	}
}

static void write_depot(struct writer *w, const struct superblock *sb)
{
	const struct slab_config *c = &sb->slab;

	write_component(w, &DEPOT);
	write_u64(w, c->slab_blocks);
	write_u64(w, c->data_blocks);
	write_u64(w, c->reference_count_blocks);
	write_u64(w, c->slab_journal_blocks);
	write_u64(w, c->flushing_threshold);
	write_u64(w, c->blocking_threshold);
	write_u64(w, c->scrubbing_threshold);
	write_u64(w, sb->depot_first_block);
	write_u64(w, sb->depot_last_block);
	write_u8(w, sb->zone_count);
}

void superblock_encode(const struct superblock *sb, uint8_t *block)
{
	struct writer w = {block};

	memset(block, 0, BLOCK_SIZE);
	write_component(&w, &SUPER_BLOCK);
	write_u32(&w, sb->unused);
	write_version(&w, VOLUME_VERSION);
	write_version(&w, COMPONENT_VERSION);
	write_u32(&w, sb->state);
	write_u64(&w, sb->complete_recoveries);
	write_u64(&w, sb->read_only_recoveries);
	write_u64(&w, sb->logical_blocks);
	write_u64(&w, sb->physical_blocks);
	write_u64(&w, sb->slab_size);
	write_u64(&w, sb->recovery_journal_size);
	write_u64(&w, sb->slab_journal_blocks);
	write_u64(&w, sb->nonce);
	write_layout(&w, sb);

	write_component(&w, &JOURNAL);
	write_u64(&w, sb->journal_start);
	write_u64(&w, sb->logical_blocks_used);
	write_u64(&w, sb->block_map_data_blocks);
	write_depot(&w, sb);
	write_component(&w, &BLOCK_MAP);
	write_u64(&w, FLAT_ORIGIN);
	write_u64(&w, 0);
	write_u64(&w, sb->root_origin);
	write_u64(&w, sb->root_count);

	VDO_ASSERT(w.p == block + CRC_OFFSET);
	write_u32(&w, format_crc(block, CRC_OFFSET));
}

/* Read a header that must be @want; @size_min is what its size must reach. */
static int read_component(struct reader *r, const struct component *want,
			  uint64_t size_min, uint64_t size_max)
{
	uint32_t id = read_u32(r);
	uint32_t major = read_u32(r);
	uint32_t minor = read_u32(r);
	uint64_t size = read_u64(r);

	if (id != want->id)
		return -VDO_ECORRUPT;
	if (major != want->major || minor != want->minor)
		return -VDO_EVERSION;
	return size < size_min || size > size_max ? -VDO_ECORRUPT : 0;
}

static int read_exact(struct reader *r, const struct component *want)
{
	return read_component(r, want, want->size, want->size);
}

static bool read_version(struct reader *r, struct version want)
{
	uint32_t major = read_u32(r);

	return read_u32(r) == want.minor && major == want.major;
}

static int decode_config(struct reader *r, struct superblock *sb)
{
	sb->unused = read_u32(r);
	if (!read_version(r, VOLUME_VERSION) ||
	    !read_version(r, COMPONENT_VERSION))
		return -VDO_EVERSION;
	sb->state = read_u32(r);
	sb->complete_recoveries = read_u64(r);
	sb->read_only_recoveries = read_u64(r);
	sb->logical_blocks = read_u64(r);
	sb->physical_blocks = read_u64(r);
	sb->slab_size = read_u64(r);
	sb->recovery_journal_size = read_u64(r);
	sb->slab_journal_blocks = read_u64(r);
	sb->nonce = read_u64(r);
	return 0;
}

/* All four partitions, once each; they and what is before fill the volume. */
static int decode_layout(struct reader *r, pbn_t data_start,
			 struct superblock *sb)
{
	uint64_t total = data_start + 1;
	unsigned seen = 0;
	int result = read_component(r, &LAYOUT, LAYOUT.size, UINT64_MAX);

	if (result != 0)
		return result;
	read_u64(r); /* the bounds of free space: there is none */
	read_u64(r);
	if (read_u8(r) != PARTITION_COUNT)
		return -VDO_ECORRUPT;
	for (unsigned i = 0; i < PARTITION_COUNT; i++) {
		uint8_t id = read_u8(r);
		struct partition p;

		p.start = read_u64(r);
		read_u64(r);
		p.count = read_u64(r);
		if (id >= PARTITION_COUNT || (seen >> id & 1) != 0)
			return -VDO_ECORRUPT;
		if (__builtin_add_overflow(total, p.count, &total))
			return -VDO_ESIZE;
		seen |= 1u << id;
		sb->partitions[id] = p;
		sb->partition_order[PARTITION_COUNT - 1 - i] = id;
	}
	return total == sb->physical_blocks ? 0 : -VDO_ESIZE;
}

static int decode_journal(struct reader *r, struct superblock *sb)
{
	int result = read_exact(r, &JOURNAL);

	if (result != 0)
		return result;
	sb->journal_start = read_u64(r);
	sb->logical_blocks_used = read_u64(r);
	sb->block_map_data_blocks = read_u64(r);
	return 0;
}

static int decode_depot(struct reader *r, struct superblock *sb)
{
	struct slab_config *c = &sb->slab;
	int result = read_exact(r, &DEPOT);

	if (result != 0)
		return result;
	c->slab_blocks = read_u64(r);
	c->data_blocks = read_u64(r);
	c->reference_count_blocks = read_u64(r);
	c->slab_journal_blocks = read_u64(r);
	c->flushing_threshold = read_u64(r);
	c->blocking_threshold = read_u64(r);
	c->scrubbing_threshold = read_u64(r);
	sb->depot_first_block = read_u64(r);
	sb->depot_last_block = read_u64(r);
	sb->zone_count = read_u8(r);
	return 0;
}

static int decode_block_map(struct reader *r, struct superblock *sb)
{
	uint64_t flat_origin, flat_count;
	int result = read_exact(r, &BLOCK_MAP);

	if (result != 0)
		return result;
	flat_origin = read_u64(r);
	flat_count = read_u64(r);
	if (flat_origin != FLAT_ORIGIN || flat_count != 0)
		return -VDO_ECORRUPT;
	sb->root_origin = read_u64(r);
	sb->root_count = read_u64(r);
	return 0;
}

int superblock_decode(const uint8_t *block, pbn_t data_start,
		      struct superblock *sb)
{
	struct reader r = {block};
	int result;

	memset(sb, 0, sizeof(*sb));
	/* Linux asks for no more than the size of a CRC. */
	result = read_component(&r, &SUPER_BLOCK, 4, SUPER_BLOCK.size);
	if (result != 0)
		return result;
	if (get_u32(block + CRC_OFFSET) != format_crc(block, CRC_OFFSET))
		return -VDO_ECHECKSUM;
	if ((result = decode_config(&r, sb)) != 0 ||
	    (result = decode_layout(&r, data_start, sb)) != 0 ||
	    (result = decode_journal(&r, sb)) != 0 ||
	    (result = decode_depot(&r, sb)) != 0 ||
	    (result = decode_block_map(&r, sb)) != 0)
		return result;
	VDO_ASSERT(r.p == block + CRC_OFFSET);
	return 0;
}

/* Each check returns NULL, or what is wrong. */
static const char *check_config(const struct superblock *sb)
{
	struct slab_config c;

	if (sb->state > VOLUME_REBUILD_FOR_UPGRADE)
		return "unknown state";
	if (!is_power_of_two(sb->slab_size) ||
	    sb->slab_size > UINT64_C(1) << SLAB_BITS_MAX)
		return "slab size is not a power of two up to 2^23";
	if (sb->slab_journal_blocks < SLAB_JOURNAL_BLOCKS_MIN ||
	    sb->slab_journal_blocks > SLAB_JOURNAL_BLOCKS_MAX)
		return "slab journal size is not in 2..256";
	if (slab_config_compute(sb->slab_size, sb->slab_journal_blocks, &c))
		return "slabs are too small for their own metadata";
	if (sb->physical_blocks == 0 ||
	    sb->physical_blocks > PHYSICAL_BLOCKS_MAX)
		return "physical size is not in 1..2^36 blocks";
	if (sb->logical_blocks > LOGICAL_BLOCKS_MAX)
		return "logical size is more than 2^40 blocks";
	if (!is_power_of_two(sb->recovery_journal_size) ||
	    sb->recovery_journal_size < RECOVERY_JOURNAL_BLOCKS_MIN)
		return "recovery journal size is not a power of two of at "
		       "least 4 blocks";
	/* At the end no block can be opened, but all that is there be read. */
	if (sb->journal_start == 0 || sb->journal_start > SEQ_MAX)
		return "recovery journal: sequence number is not in 1..2^48";
	return NULL;
}

static const char *check_slab_config(const struct slab_config *c)
{
	uint64_t j = c->slab_journal_blocks;

	if (!is_power_of_two(c->slab_blocks) ||
	    c->slab_blocks > UINT64_C(1) << SLAB_BITS_MAX)
		return "depot: slab size is not a power of two up to 2^23";
	if (j < SLAB_JOURNAL_BLOCKS_MIN || j > SLAB_JOURNAL_BLOCKS_MAX)
		return "depot: slab journal size is not in 2..256";
	if (c->data_blocks == 0 || c->data_blocks > c->slab_blocks ||
	    c->reference_count_blocks > c->slab_blocks ||
	    c->data_blocks + c->reference_count_blocks + j > c->slab_blocks)
		return "depot: parts of a slab do not fit in it";
	if (c->reference_count_blocks <
	    div_up(c->data_blocks, COUNTS_PER_BLOCK))
		return "depot: too few blocks for reference counts";
	if (c->flushing_threshold > j || c->scrubbing_threshold > j ||
	    c->blocking_threshold < 1 || c->blocking_threshold > j)
		return "depot: slab journal thresholds are not in its range";
	return NULL;
}

/* Does @inner lie in @outer? No sum can overflow. */
static bool within(struct partition inner, struct partition outer)
{
	return inner.start >= outer.start && inner.count <= outer.count &&
	       inner.start - outer.start <= outer.count - inner.count;
}

static const char *check_depot(const struct superblock *sb)
{
	struct partition slabs = {sb->depot_first_block, 0};
	const char *why = check_slab_config(&sb->slab);

	if (why != NULL)
		return why;
	if (sb->zone_count > PHYSICAL_ZONES_MAX)
		return "depot: more than 16 zones";
	if (sb->depot_last_block <= sb->depot_first_block)
		return "depot: no slab";
	slabs.count = sb->depot_last_block - sb->depot_first_block;
	if (slabs.count % sb->slab.slab_blocks != 0 ||
	    slabs.count / sb->slab.slab_blocks > SLABS_MAX)
		return "depot: number of slabs is not in 1..8192";
	if (!within(slabs, sb->partitions[PARTITION_DEPOT]))
		return "depot: slabs leave their partition";
	return NULL;
}

static const char *check_partitions(const struct superblock *sb,
				    pbn_t data_start)
{
	const struct partition *p = sb->partitions;
	struct partition roots = {sb->root_origin, sb->root_count};
	struct partition space;

	if (data_start >= sb->physical_blocks)
		return "layout: super block lies beyond the volume's end";
	space.start = data_start + 1;
	space.count = sb->physical_blocks - space.start;
	for (unsigned i = 0; i < PARTITION_COUNT; i++)
		if (!within(p[i], space))
			return "layout: a partition leaves the volume";
	for (unsigned i = 0; i < PARTITION_COUNT; i++)
		for (unsigned k = i + 1; k < PARTITION_COUNT; k++)
			if (p[i].start < p[k].start + p[k].count &&
			    p[k].start < p[i].start + p[i].count)
				return "layout: partitions overlap";
	if (sb->recovery_journal_size > p[PARTITION_JOURNAL].count)
		return "recovery journal is larger than its partition";
	if (p[PARTITION_SUMMARY].count < SUMMARY_BLOCKS)
		return "slab summary is larger than its partition";
	if (sb->root_count == 0 || sb->root_count > ROOT_COUNT)
		return "block map: number of roots is not in 1..60";
	if (!within(roots, p[PARTITION_BLOCK_MAP]))
		return "block map: roots leave their partition";
	return NULL;
}

int superblock_validate(const struct superblock *sb, const struct geometry *g,
			const char **why)
{
	const char *unused;
	const char **text = why != NULL ? why : &unused;

	*text = NULL;
	if (sb->nonce != g->nonce) {
		*text = "nonces of geometry and super block differ";
		return -VDO_ENONCE;
	}
	if ((*text = check_config(sb)) != NULL ||
	    (*text = check_partitions(sb, g->data_start)) != NULL ||
	    (*text = check_depot(sb)) != NULL)
		return -VDO_ECORRUPT;
	return 0;
}

const char *superblock_state_name(uint32_t state)
{
	static const char *const names[] = {
		[VOLUME_DIRTY] = "dirty",
		[VOLUME_NEW] = "new",
		[VOLUME_CLEAN] = "clean",
		[VOLUME_READ_ONLY] = "read-only",
		[VOLUME_FORCE_REBUILD] = "force-rebuild",
		[VOLUME_RECOVERING] = "recovering",
		[VOLUME_REPLAYING] = "replaying",
		[VOLUME_REBUILD_FOR_UPGRADE] = "rebuild-for-upgrade",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}
