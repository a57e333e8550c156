/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The super block: state and configuration of a volume, in one sector.
 *
 * Offsets are those of V 3; the encoder writes them in order through a cursor.
 * Linux reverses the order of partitions whenever it loads a super block; so
 * does superblock_decode(), and each block written after it has that order.
 */
#ifndef FORMAT_SUPERBLOCK_H
#define FORMAT_SUPERBLOCK_H

#include "format/geometry.h"
#include "format/slab.h"
#include "format/types.h"

enum volume_state {
	VOLUME_DIRTY = 0,
	VOLUME_NEW = 1,
	VOLUME_CLEAN = 2,
	VOLUME_READ_ONLY = 3,
	VOLUME_FORCE_REBUILD = 4,
	VOLUME_RECOVERING = 5,
	VOLUME_REPLAYING = 6,
	VOLUME_REBUILD_FOR_UPGRADE = 7,
};

enum partition_id {
	PARTITION_BLOCK_MAP = 0,
	PARTITION_DEPOT = 1,
	PARTITION_JOURNAL = 2,
	PARTITION_SUMMARY = 3,
	PARTITION_COUNT = 4,
};

struct partition {
	pbn_t start;
	uint64_t count;
};

struct superblock {
	uint32_t unused; /* the geometry's */
	uint32_t state; /* enum volume_state */
	uint64_t complete_recoveries;
	uint64_t read_only_recoveries;
	uint64_t logical_blocks;
	uint64_t physical_blocks;
	uint64_t slab_size;
	uint64_t recovery_journal_size;
	uint64_t slab_journal_blocks;
	uint64_t nonce;
	struct partition partitions[PARTITION_COUNT]; /* by id */
	uint8_t partition_order[PARTITION_COUNT];     /* ids, as to write */
	/* recovery journal */
	seq_t journal_start;
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;
	/* slab depot */
	struct slab_config slab;
	pbn_t depot_first_block;
	pbn_t depot_last_block; /* the first after the last slab */
	uint8_t zone_count;
	/* block map */
	pbn_t root_origin;
	uint64_t root_count;
};

/* @block is 4096 bytes, all of them written. */
void superblock_encode(const struct superblock *sb, uint8_t *block);

/*
 * Decode and check the block itself: headers, versions, CRC, layout sums (V 3.1
 * items 1 to 4). @data_start is the block it was read from.
 * 0, -VDO_EVERSION, -VDO_ECHECKSUM, -VDO_ECORRUPT, -VDO_ESIZE
 */
int superblock_decode(const uint8_t *block, pbn_t data_start,
		      struct superblock *sb) MUST_CHECK;

/*
 * Check it against the geometry and the limits (V 3.1 items 5 to 8), and that
 * what it describes lies inside the volume. @why, if not NULL, is set to static
 * text that says what is wrong, or to NULL.
 * 0, -VDO_ENONCE, -VDO_ECORRUPT
 */
int superblock_validate(const struct superblock *sb, const struct geometry *g,
			const char **why) MUST_CHECK;

const char *superblock_state_name(uint32_t state);

#endif
