/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small volumes that are good, on overlay devices, which inputs damage: with
 * and without an index, closed and not. Data lie at the LBNs 0 to STORED - 1,
 * but for the ones that were discarded, and at some that are far from each
 * other, so that there are several trees. An input that asks for one begins
 * with a byte of these bits:
 *
 *	1	the volume that has an index
 *	2	three zones of each kind
 *	4	leave checksums as the damage left them; else they are right,
 *		and pages of the block map are of where they are
 *	8	compression and deduplication are off
 *	16	the volume was not closed: its journal is to be replayed
 *
 * Then the damage (overlay.h); parts are those of enum part.
 *
 * Runs on: one thread. Lifetime: each is made once, and never freed.
 */
#ifndef TESTS_FUZZ_VOLUME_HOST_H
#define TESTS_FUZZ_VOLUME_HOST_H

#include <vdo/vdo.h>

#include "format/layout.h"
#include "tests/fuzz/overlay.h"

#define BLOCKS	 6800u /* of a device that has room for an index */
#define STORED	 240u  /* blocks of data, from LBN 0 */
#define LBNS	 266u  /* that are looked at: host_lbn() */
#define NO_INDEX 1900u /* blocks of a device that has none */

enum part {
	GEOMETRY,
	SUPER,
	INDEX,
	ROOTS,
	PAGES, /* of the block map */
	JOURNAL,
	SUMMARY,
	COUNTS,
	SLAB_JOURNALS,
	DATA,
	PARTS,
};

struct golden {
	struct overlay overlay;
	struct overlay_part parts[PARTS];
	uint64_t blocks[PARTS][BLOCKS];
	struct geometry geometry;
	struct superblock sb;
};

/* What an input of these bits is about, as it was. */
struct golden *host_golden(unsigned flags);

/* Damage it; returns a bit for each part that was. */
unsigned host_damage(struct golden *g, struct fuzz *f, unsigned flags);

/* Logical blocks: those that hold data, and some that do not. */
uint64_t host_lbn(unsigned i);
/* What is stored at @lbn, in a block of data. */
void host_fill(uint64_t lbn, uint8_t *block);
/* What the undamaged volume reads there. */
void host_stored(uint64_t lbn, uint8_t *block);

struct vdo_config *host_config(unsigned flags, bool read_only);

/* NULL: it is refused, with *@result and an error that says something. */
struct vdo_volume *host_open(struct golden *g, unsigned flags, bool read_only,
			     int *result);

/* Write some blocks and read them back, where @sound says that this works;
 * zero some, and flush. No other LBN changes. */
#define WRITTEN 9u
void host_write_some(struct vdo_volume *v, bool sound);
bool host_is_written(uint64_t lbn);

#endif
