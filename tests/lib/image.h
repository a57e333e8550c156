/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume on disk, read independently of the engine: trees, journal, slabs.
 *
 * An image looks at blocks through a callback and never writes. image_recover()
 * does in memory what recovery must do (V 10.3 A to D); afterwards mappings and
 * counts are those that a recovered volume would have. image_check() then holds
 * everything against everything else (I16, I17, I26 to I29).
 *
 * Only the decoders of format/ are shared with the engine; they have tests of
 * their own with golden bytes.
 *
 * Runs on: one thread. Lifetime: image_open() to image_close().
 */
#ifndef TESTS_IMAGE_H
#define TESTS_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/geometry.h"
#include "format/journal.h"
#include "format/layout.h"
#include "format/slab.h"
#include "format/superblock.h"

struct sim_device;

typedef void (*image_peek_fn)(void *arg, uint64_t block, void *buf);

struct image_slab {
	seq_t head, tail;
	uint64_t newest; /* packed recovery point of the last entry */
	/* Commit points by sector, and where the next entry of replay goes. */
	uint64_t *points;
	seq_t at;
	/* A recovery that was interrupted had gone so far, and replay must come
	 * there again: it used blocks of the ring whose entries counts have. */
	seq_t reaches;
	unsigned entries;
	bool has_map;
	struct summary_entry summary;
};

/* What was learnt of the data in a block of a simulated device, for as long as the
 * block has the stamp. */
struct image_seen {
	uint64_t stamp;	    /* plus 1 */
	uint16_t readable;  /* a bit for each state of a mapping */
	uint64_t number[STATE_FRAGMENT_LAST + 1]; /* whoever looks; 0: none */
};

struct image {
	image_peek_fn peek;
	void *arg;
	struct sim_device *sd;	 /* NULL: blocks are copied */
	struct image_seen *seen; /* by block of the device */
	uint64_t block_count;
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	/* Block map pages by PBN, as read and replayed; and which of them are the
	 * image's own. */
	const uint8_t **pages;
	uint8_t **own;
	const uint8_t *leaf; /* the leaf page that was looked at last; NULL: none */
	uint64_t leaf_end;   /* its number, plus 1; 0: no page was looked at */
	uint8_t *counts; /* by slab and offset */
	struct image_slab *slab;
	seq_t first, last; /* journal blocks that were replayed; 0: none */
	uint64_t entries;  /* replayed */
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;
	bool made_pages;   /* nothing is read of pages that the journal makes */
	bool lost_data;	   /* blocks may hold anything: no problem */
	unsigned problems; /* each was printed */
};

/* Aborts without memory; problems are counted. */
void image_open(struct image *im, image_peek_fn peek, void *arg,
		uint64_t block_count);
void image_open_sim(struct image *im, struct sim_device *sd,
		    uint64_t block_count);
void image_close(struct image *im);

/* Blocks are looked at where they are, so the image is good only for as long as
 * nothing happens to the device, or pages alone after image_keep(). @seen, for
 * @block_count blocks, zeroed at first, outlives images: data that was decoded
 * once is not decoded again. */
void image_open_seen(struct image *im, struct sim_device *sd,
		     uint64_t block_count, struct image_seen *seen);
void image_keep(struct image *im);

/* Of the block of the device that a mapping names. */
struct image_seen *image_seen_of(struct image *im, struct mapping m);

/* Replay the journal, if the state is DIRTY or READ_ONLY. */
void image_recover(struct image *im);

/* Compare all. */
void image_check(struct image *im);

/* A block: where it is, or in @buf. */
const uint8_t *image_block(struct image *im, pbn_t pbn, void *buf);

/* The leaf page of @lbn, or NULL. */
const uint8_t *image_leaf(struct image *im, lbn_t lbn);

/* The page of @level on the way to @lbn; 0: there is none. */
pbn_t image_page_of(struct image *im, lbn_t lbn, unsigned level);

/* By PBN: is it a block for data that is not free? The caller's to be freed. */
uint8_t *image_used(const struct image *im);

/* The page of the map that is block @pbn. */
const uint8_t *image_page(struct image *im, pbn_t pbn);

/* The mapping of @lbn. */
struct mapping image_lookup(struct image *im, lbn_t lbn);

/* What @lbn reads as. False: it cannot be read (a problem). */
bool image_read(struct image *im, lbn_t lbn, void *buf);

/* Blocks that are neither free nor provisional. */
uint64_t image_blocks_used(const struct image *im);

#endif
