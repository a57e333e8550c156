/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device in memory that goes back to what it was: an image is made once, and
 * each input damages it and has it used by the library.
 *
 *	blocks 0 .. limit-1	the image
 *	limit .. count-1	there, but nobody's: neither read nor written
 *
 * Invariants
 *  (1) After overlay_reset() the blocks are those of the last overlay_keep().
 *  (2) What is written while read_only is set, or at or behind limit, ends the
 *      program; and so do more I/Os than OVERLAY_IOS_MAX.
 *
 * Runs on: one thread; operations complete inside of submit.
 */
#ifndef TESTS_FUZZ_OVERLAY_H
#define TESTS_FUZZ_OVERLAY_H

#include <vdo/device.h>

#include "tests/fuzz/fuzz.h"

struct overlay {
	struct vdo_device *device;
	uint64_t count, limit;
	uint8_t *image, *kept;
	uint8_t *dirty; /* by block: not as kept */
	uint64_t *dirty_blocks;
	uint64_t dirty_count;
	bool read_only;
	uint64_t ios; /* since the last reset */
};

/* More than any use of a small volume needs: who asks for more never ends. */
#define OVERLAY_IOS_MAX 1000000u

/* All zeroes. Ends the program without memory; never freed. */
void overlay_init(struct overlay *o, uint64_t count);
void overlay_keep(struct overlay *o);
void overlay_reset(struct overlay *o);

/* The block, to be changed. */
uint8_t *overlay_block(struct overlay *o, uint64_t block);

/* A number in a block, or @repeat of them, each @stride bytes after the one
 * before. Of a width of 5 it is a mapping (V 5.3). */
struct overlay_field {
	uint16_t offset;
	uint8_t width; /* 1..8 bytes */
	uint16_t stride, repeat;
};

/* Some blocks that have something in common; fields are there or not. */
struct overlay_part {
	const uint64_t *blocks;
	uint64_t count;
	const struct overlay_field *fields;
	unsigned field_count;
};

/*
 * Damage: the rest of the input is a list of operations
 *
 *	1	kind << 5 | part, modulo their number
 *	2	block in the part, modulo its size
 *	  kind 0: zero the block
 *	  kind 1: copy block (2 bytes) of the part to it
 *	  kind 2: a lie in a field, if the part has some: 1 byte for which one,
 *		  2 for which of those that repeat, 1 for what becomes of it
 *		  (modulo 6), and
 *		  0	a number of note: 1 byte
 *		  1	more or less: 1 byte, signed
 *		  2	anything: as many bytes as it has
 *		  3	as in another block of the part: 2 bytes
 *		  4	the number of a block of a part: 1 and 2 bytes
 *		  5	as another of those that repeat: 2 bytes
 *	  others: 2 bytes of offset, 1 of length (1..32), and bytes
 *
 * Returns a bit for each part that was damaged.
 */
unsigned overlay_damage(struct overlay *o, struct fuzz *f,
			const struct overlay_part *parts, unsigned part_count);

/* One of the last kind, for seeds; and a lie, @n bytes of which are @bytes. */
size_t overlay_put_damage(uint8_t *to, unsigned part, unsigned block,
			  unsigned offset, const void *bytes, uint8_t n);
size_t overlay_put_lie(uint8_t *to, unsigned part, unsigned block,
		       unsigned field, unsigned repeat, unsigned how,
		       const void *bytes, uint8_t n);

/* The blocks as they are now, to be compared with later. */
struct overlay_mark;
struct overlay_mark *overlay_mark(const struct overlay *o);
/* Are all blocks as they were, but for @skip from @first on? Frees it. */
bool overlay_is_as_marked(const struct overlay *o, struct overlay_mark *mark,
			  uint64_t first, uint64_t skip);

#endif
