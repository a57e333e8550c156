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
 * In an index that was moved (version 7) they still are what they were before;
 * the functions at the end translate. They also do so where the storage has
 * numbers of its own (its bio_offset).
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

/* What a save header says; all zero: empty or not valid. */
struct index_save {
	uint64_t timestamp; /* 0: no save here */
	uint64_t newest, oldest, last_save;
	unsigned zone_count;
};

/* A new index. @unique makes its nonces. */
void layout_init(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t unique[NONCE_INFO_MAX]);

void index_super_encode(const struct index_layout *l, uint8_t *block);

/*
 * @first_block: where on the device the block is.
 * -VDO_ENOINDEX: something else. -VDO_EVERSION. -VDO_ECORRUPT
 */
int index_super_decode(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t *block) MUST_CHECK;

void index_config_encode(const struct index_geometry *g, uint64_t nonce,
			 uint8_t *block);

/* Takes the remapped chapter into @g. -VDO_ENOINDEX: of another geometry or
 * volume. -VDO_ECORRUPT */
int index_config_decode(struct index_geometry *g, uint64_t nonce,
			const uint8_t *block) MUST_CHECK;

/* A header with timestamp 0 is an unsaved one. */
void index_save_encode(const struct index_layout *l, unsigned slot,
		 const struct index_save *save, uint8_t *block);

/* *save is all zero if there is nothing that can be used. */
void index_save_decode(const struct index_layout *l, unsigned slot,
		 const uint8_t *block, struct index_save *save);

/* Some consecutive blocks of the device. */
struct extent {
	uint64_t start;
	uint64_t blocks;
};

enum save_part { SAVE_HEADER, SAVE_PAGE_MAP, SAVE_ZONE, SAVE_OPEN_CHAPTER };

/* @zone: SAVE_ZONE only, of @zone_count. */
struct extent layout_save_part(const struct index_layout *l, unsigned slot,
			       enum save_part part, unsigned zone,
			       unsigned zone_count);
uint64_t layout_super_block(const struct index_layout *l);
/* Blocks from there to the end of the last save. */
uint64_t layout_blocks(const struct index_layout *l);
uint64_t layout_config_block(const struct index_layout *l);
uint64_t layout_volume_block(const struct index_layout *l);

#endif
