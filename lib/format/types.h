/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers and small values that every component speaks of.
 */
#ifndef FORMAT_TYPES_H
#define FORMAT_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

typedef uint64_t lbn_t; /* logical block number */
typedef uint64_t pbn_t; /* physical block number; 0 stands for all zeroes */
typedef uint64_t seq_t; /* sequence number in a journal, from 1 */

#define BLOCK_SIZE  4096u
#define SECTOR_SIZE 512u
#define BLOCK_SHIFT 12

#define PHYSICAL_BLOCKS_MAX (UINT64_C(1) << 36)
#define LOGICAL_BLOCKS_MAX  (UINT64_C(1) << 40)
#define SEQ_MAX             (UINT64_C(1) << 48)
#define SLABS_MAX           8192u
#define SLAB_BITS_MAX       23u
#define PHYSICAL_ZONES_MAX  16u
#define LOGICAL_ZONES_MAX   60u
#define HASH_ZONES_MAX      100u
#define ROOT_COUNT          60u

/* A ring of 2 blocks would have no room to move (V 13). */
#define RECOVERY_JOURNAL_BLOCKS_MIN 4u

/* The place of a block in its slab's journal is kept in one byte. */
#define SLAB_JOURNAL_BLOCKS_MIN 2u
#define SLAB_JOURNAL_BLOCKS_MAX 256u

/*
 * Of new volumes. With 2 blocks the summary names a journal of one block, with
 * counts that were never written, by offset 0 without the load flag: as if there
 * was none (V 7.5), and a crash would lose its entries. The depot has a way
 * around that, for volumes that are so; new ones need not be.
 */
#define SLAB_JOURNAL_BLOCKS_NEW_MIN 3u

/* Requests that may hold or await entries in the recovery journal (I40). */
#define REQUESTS_MAX 2048u

/* References one block can have; also the count of a block map page. */
#define REFS_MAX 254u

#define ZERO_BLOCK ((pbn_t)0)

/* How the data of a logical block is stored at its PBN. */
enum {
	STATE_UNMAPPED = 0,
	STATE_UNCOMPRESSED = 1,
	STATE_FRAGMENT_0 = 2, /* fragment i has state 2 + i */
	STATE_FRAGMENT_LAST = 15,
};

/*
 * Where a logical block is. Valid: (0, 0) unmapped, (0, 1) zeroes, (pbn, 1),
 * (pbn, 2..15) a fragment of a compressed block.
 */
struct mapping {
	pbn_t pbn;
	uint8_t state;
};

static inline bool mapping_valid(struct mapping m)
{
	return m.pbn == ZERO_BLOCK ? m.state <= STATE_UNCOMPRESSED
				   : m.state != STATE_UNMAPPED &&
					     m.state <= STATE_FRAGMENT_LAST;
}

static inline bool mapping_is_compressed(struct mapping m)
{
	return m.state >= STATE_FRAGMENT_0;
}

static inline bool mapping_equal(struct mapping a, struct mapping b)
{
	return a.pbn == b.pbn && a.state == b.state;
}

/* A place in a journal: block and entry, ordered. */
struct journal_point {
	seq_t seq;
	uint16_t entry;
};

static inline bool point_before(struct journal_point a, struct journal_point b)
{
	return a.seq < b.seq || (a.seq == b.seq && a.entry < b.entry);
}

/* As stored: sequence << 16 | entry; the order of numbers is that of points. */
static inline uint64_t point_pack(struct journal_point p)
{
	return p.seq << 16 | p.entry;
}

/* Where the points of block @seq begin, as stored. No number of a block is so
 * large that it does not fit, but that of the one after the last may be. */
static inline uint64_t points_of_block(seq_t seq)
{
	return seq >> 48 != 0 ? UINT64_MAX : seq << 16;
}

static inline struct journal_point point_unpack(uint64_t v)
{
	return (struct journal_point){v >> 16, (uint16_t)v};
}

#endif
