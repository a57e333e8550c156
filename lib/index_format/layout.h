/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an index lies on its device, and which save is the newest (X 3).
 *
 *	S	super block
 *	S+1	config
 *	S+2	volume: one page, then the chapters
 *		save 0
 *		save 1
 *		seal (never used)
 *
 *	save	header
 *		page map
 *		volume index, one region for each zone that saved
 *		open chapter
 *		free
 *
 * Tables on disk hold absolute block numbers, and nonces are made from them.
 * In an index that was moved (version 7) they are what they were before the
 * move. The functions at the end of this file translate them, also to numbers
 * of a storage that counts from elsewhere (its bio_offset).
 *
 * Decoders: @block is one block from disk, whatever it may hold.
 *
 * Runs on: anything; pure functions.
 */
#ifndef INDEX_FORMAT_LAYOUT_H
#define INDEX_FORMAT_LAYOUT_H

#include "index_format/geometry.h"

#define SAVES	       2u
#define NO_LAST_SAVE   UINT64_MAX
#define NONCE_INFO_MAX 32u

struct index_layout {
	uint64_t first; /* S, as in the tables */
	uint64_t volume_blocks;
	uint64_t save_blocks;
	uint64_t page_map_blocks;
	uint64_t open_chapter_blocks;
	uint64_t volume_offset, start_offset; /* of one that was moved */
	uint64_t io_offset; /* the storage's number of the device's block 0 */
	uint8_t nonce_info[NONCE_INFO_MAX];
	uint64_t primary_nonce;
	uint64_t volume_nonce;
};

/* What the header of a save says. It is all zero if there is no valid save. */
struct index_save {
	uint64_t timestamp; /* 0: no save here */
	uint64_t newest, oldest, last_save;
	unsigned zone_count;
};

/* The layout of a new index, whose nonces are made from @unique. */
void layout_init(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t unique[NONCE_INFO_MAX]);

void index_super_encode(const struct index_layout *l, uint8_t *block);

/*
 * Read the layout from a super block, which is at @first_block of the device.
 * -VDO_ENOINDEX: it is something else. -VDO_EVERSION, -VDO_ECORRUPT
 */
int index_super_decode(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t *block) MUST_CHECK;

void index_config_encode(const struct index_geometry *g, uint64_t nonce,
			 uint8_t *block);

/*
 * Compare a config with the geometry, and read the remapped chapter into @g.
 * -VDO_ENOINDEX: it is of another geometry or volume. -VDO_ECORRUPT
 */
int index_config_decode(struct index_geometry *g, uint64_t nonce,
			const uint8_t *block) MUST_CHECK;

/* Make the header of a save or, if the timestamp is 0, of none. */
void index_save_encode(const struct index_layout *l, unsigned slot,
		 const struct index_save *save, uint8_t *block);

/* Read the header of a save. *save is all zero if that cannot be used. */
void index_save_decode(const struct index_layout *l, unsigned slot,
		 const uint8_t *block, struct index_save *save);

/* Some consecutive blocks of the device. */
struct extent {
	uint64_t start;
	uint64_t blocks;
};

enum save_part { SAVE_HEADER, SAVE_PAGE_MAP, SAVE_ZONE, SAVE_OPEN_CHAPTER };

/* Where a part of a save is that @zone_count zones wrote. @zone matters for
 * SAVE_ZONE only. */
struct extent layout_save_part(const struct index_layout *l, unsigned slot,
			       enum save_part part, unsigned zone,
			       unsigned zone_count);
uint64_t layout_super_block(const struct index_layout *l);
/* How many blocks there are from the super block to the end of the saves. */
uint64_t layout_blocks(const struct index_layout *l);
uint64_t layout_config_block(const struct index_layout *l);
uint64_t layout_volume_block(const struct index_layout *l);

#endif
