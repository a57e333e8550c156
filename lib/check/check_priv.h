/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of a check.
 *
 *	check.c		the order of things
 *	check_first.c	first blocks, recovery journal, totals
 *	strays.c	entries of the journal for what is no page
 *	check_map.c	the walk over the block map: pages, mappings
 *	check_slabs.c	counts and journals of slabs, held against that
 *	check_summary.c	the slab summary
 *	check_data.c	blocks that hold data
 *	check_index.c	the index
 *	findings.c	what was found: told, counted, and whom it touches
 *	mend.c		what is written; undo.c what was there before
 *
 * What mappings lead to is kept for some slabs at a time, a part: so memory is
 * bounded, and the block map is walked over once for each part, as a rule once
 * in all.
 */
#ifndef CHECK_CHECK_PRIV_H
#define CHECK_CHECK_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
#include "check/check.h"
#include "check/journal.h"
#include "check/walk.h"
#include "format/geometry.h"
#include "format/layout.h"
#include "format/superblock.h"
#include "index/reindex.h"

#define CHECK_PART_BLOCKS (UINT64_C(1) << 26) /* 256 GiB: 192 MiB of memory */
#define UNDO_GROUP_MAX	  240u /* blocks of a group of the undo file */
#define CHECK_TOLD_MAX	  100u /* findings of a code that are told */

/* What leads to a block: how often, and what it is then. */
#define REFS_COUNT    0x03ffu /* stays at its end */
#define REFS_PAGE     0x0400u
#define REFS_WHOLE    0x0800u
#define REFS_FRAGMENT 0x1000u

/* What is known of a slab. */
enum {
	SLAB_USED = 1,	  /* the summary says so */
	SLAB_TOUCHED = 2, /* a mapping or an entry leads there */
	SLAB_DONE = 4,
	SLAB_BAD = 8,	   /* its counts and journal are to be made anew */
	SLAB_UNKNOWN = 16, /* its counts cannot be told */
	SLAB_NO_ENTRY = 32 /* its entry of the summary could not be read */
};

#define NOT_HERE UINT32_MAX

/* A slab of the part, and where its journal will be when it is recovered. */
struct check_slab {
	uint32_t number;
	seq_t head, tail;	   /* of what is on the storage */
	uint64_t newest;	   /* recovery point of its last entry */
	seq_t reached; /* by a recovery that was interrupted; 0: by none */
	struct journal_point next; /* the place of the next entry */
	bool has_map;	      /* the block that it goes to has map increments */
	uint64_t free_blocks; /* by what mappings say */
};

struct deferred {
	struct vdo_check_finding f;
	uint8_t state; /* only mappings with it; STATE_UNMAPPED: all */
};

struct findings {
	uint64_t told[VDO_CHECK_CODES];
	struct deferred *deferred; /* until it is known whom they touch */
	size_t deferred_count, deferred_max;
};

struct mend {
	struct vdo_device *undo;
	bool begun, ended; /* the volume is marked; no longer */
	uint8_t *blocks;   /* of the group: its header, then old contents */
	uint8_t *fresh;	   /* what is to be written */
	uint64_t places[UNDO_GROUP_MAX]; /* blocks of the storage */
	bool unreadable[UNDO_GROUP_MAX];
	unsigned count;
	uint64_t groups;    /* that are in the file */
	uint64_t end_block; /* of the file */
};

struct check {
	struct vdo_device *device;
	struct executor *executor; /* what has claimed it */
	bool claimed;
	struct settings settings;
	unsigned flags;
	vdo_check_fn fn;
	void *arg;
	uint64_t part_blocks;
	atomic_bool stop;
	_Atomic(const char *) phase;
	counter_t done, total;		   /* bytes */
	struct reindex *verify, *rebuild;  /* of the index */
	_Atomic(struct reindex *) reindex; /* the last one of them */
	bool has_first_wrong;
	struct vdo_check_finding first_wrong; /* with the first blocks */

	struct vdo_check_report report;
	struct findings findings;
	struct mend mend;

	bool usable; /* geometry and super block are; what follows is set */
	struct geometry geometry;
	struct superblock sb;	  /* as it is on the storage */
	struct superblock wanted; /* what a repair makes of it */
	struct slab_geometry slabs;
	struct check_journal journal;
	uint8_t *summary;	       /* all copies, as they are */
	struct summary_entry *entries; /* by slab, as they are to be */
	uint64_t summary_unreadable;   /* a bit for each block */
	bool summary_changed;
	uint8_t *slab_flags; /* by slab: SLAB_ */
	uint32_t *places;    /* by slab: where it is in the part */

	bool first;	    /* walk: what does not depend on the part */
	bool map_damaged;   /* something of the map is left out */
	bool map_doubtful;  /* pages of it may be lost */
	uint64_t slabs_left; /* nobody knows what a lost part of it led to in them */
	uint64_t unwritten; /* pages that are led to, and are none */
	struct vdo_check_finding lost; /* the first of them */
	uint64_t used, pages;
	struct check_slab *part;
	uint32_t part_count;
	uint16_t *refs;	  /* by place and offset */
	uint16_t *forms;  /* the same; fragments: VDO_CHECK_DATA */
	uint8_t *counts;  /* the same: as recovered */
	uint64_t *points; /* by place and sector: commit points */
	size_t refs_bytes, forms_bytes, counts_bytes, points_bytes;
};

/* Where the arrays of the part have block @offset of the slab at @place. */
static inline uint64_t check_at(const struct check *c, uint32_t place,
				uint64_t offset)
{
	VDO_CHECK(place < c->part_count && offset < c->slabs.data_blocks);
	return place * c->slabs.data_blocks + offset;
}

/* The count that a block must have. */
static inline unsigned check_wanted(uint16_t refs)
{
	if (refs & REFS_PAGE)
		return REFS_MAX;
	return MIN(refs & REFS_COUNT, REFS_MAX);
}

static inline bool check_repairs(const struct check *c)
{
	return (c->flags & VDO_CHECK_REPAIR) != 0;
}

static inline bool check_clears(const struct check *c)
{
	return check_repairs(c) && (c->flags & VDO_CHECK_LOSE) != 0;
}

/* May blocks be freed? What seems to be led to by nothing may be what a part of
 * the map led to that is left out or lost. */
static inline bool check_frees(const struct check *c)
{
	return !c->map_damaged && (!c->map_doubtful || check_clears(c));
}

/* Was it closed, so that the journal has nothing to add? */
static inline bool check_saved(const struct check *c)
{
	return c->sb.state == VOLUME_NEW || c->sb.state == VOLUME_CLEAN ||
	       c->sb.state == VOLUME_RECOVERING;
}

/* Will everything be counted anew before it is used? So it is with a journal
 * that cannot be replayed. */
static inline bool check_counts_are_void(const struct check *c)
{
	return c->sb.state == VOLUME_FORCE_REBUILD ||
	       c->sb.state == VOLUME_REBUILD_FOR_UPGRADE || c->journal.why != 0;
}

/* Do the totals say how many pages and blocks are in use? Those of a read-only
 * volume are what they were in memory. */
static inline bool check_has_totals(const struct check *c)
{
	return !check_counts_are_void(c) && c->sb.state != VOLUME_READ_ONLY;
}

/* Pages of the block map, as the totals say. */
static inline uint64_t check_pages_told(const struct check *c)
{
	return check_saved(c) ? c->sb.block_map_data_blocks
			      : c->journal.bounds.block_map_data_blocks;
}

/* ----------------------------------------------------------------- check.c */

/* Read blocks of the volume, which are counted as done. -ECANCELED, -errno. */
int check_read(void *check, pbn_t pbn, uint64_t count, void *to) MUST_CHECK;
bool check_is_stopped(const struct check *c);
void check_phase(struct check *c, const char *phase, uint64_t total_blocks);

/* ----------------------------------------------------------- check_first.c */

/* Read geometry and super block; usable says what became of it. */
int check_first(struct check *c, struct vdo_error *error) MUST_CHECK;
void check_super(struct check *c);
/* Bounds, and the overlay of the block map. */
int check_journal(struct check *c) MUST_CHECK;
/* Of the super block, when all else was counted. */
void check_totals(struct check *c);

/* ----------------------------------------------------------- check_index.c */

/* Verify the index, and rebuild it if that is asked for and needed. */
int check_index(struct check *c, struct vdo_error *error) MUST_CHECK;

/* -------------------------------------------------------------- findings.c */

/* A finding of @code with nothing known of it, and its two texts. */
struct vdo_check_finding finding_make(const struct check *c,
				      enum vdo_check_code code);
struct vdo_check_finding finding_of_slab(const struct check *c,
					 enum vdo_check_code code,
					 uint64_t slab, pbn_t pbn);
void finding_found(struct vdo_check_finding *f, const char *fmt, ...)
	PRINTF(2, 3);
void finding_expected(struct vdo_check_finding *f, const char *fmt, ...)
	PRINTF(2, 3);
void finding_touches(struct vdo_check_finding *f, struct vdo_blocks l);

/* Count and tell it; returns whether it is to be mended. */
bool finding_tell(struct check *c, struct vdo_check_finding *f);

/* Count @n more, which are not told. */
void finding_count(struct check *c, enum vdo_check_code code, uint64_t n);

/* As finding_tell(), and look later for the logical blocks that lead to
 * @f->about, with
 * @state unless that is STATE_UNMAPPED. */
bool finding_tell_later(struct check *c, struct vdo_check_finding *f,
			uint8_t state);

/* Look for them, and tell. */
int findings_end(struct check *c) MUST_CHECK;
void findings_free(struct check *c);

/* The block of the storage in which @pbn is. */
static inline uint64_t check_block(const struct check *c, pbn_t pbn)
{
	return pbn - c->geometry.bio_offset;
}

/* ------------------------------------------------------------------- parts */

/* Tell of entries that a recovery would make pages of other blocks by. */
int check_strays(struct check *c) MUST_CHECK;

/* Walk over the map for the part: refs and forms (check_map.c). */
int check_map(struct check *c) MUST_CHECK;

/* Tell of pages that are lost, if there are blocks that they may have led to.
 */
void check_lost(struct check *c);

/* The counts of the part, held against what leads to the blocks. */
int check_slabs(struct check *c) MUST_CHECK;
/* The slab is to be made anew; with @unknown its counts cannot be told. */
void check_spoil(struct check *c, uint64_t slab, bool unknown);
/* The same, and why. */
void check_tell_slab(struct check *c, enum vdo_check_code code, uint64_t slab,
		     pbn_t pbn, const char *found, bool unknown);

/* ---------------------------------------------------------- check_summary.c */

/* Read the summary; who is used. */
int check_summary(struct check *c) MUST_CHECK;
/* Can the entry of a slab be? If not, nothing else is known of that. */
void check_entry(struct check *c, uint64_t slab);
void check_hint(struct check *c, uint64_t slab, uint64_t free_blocks);
/* The spare entries; and write the summary, if it changed. */
int check_summary_end(struct check *c) MUST_CHECK;

static inline bool check_is_pristine(struct summary_entry e)
{
	return e.tail_offset == 0 && !e.load && !e.dirty;
}

/* ------------------------------------------------------------ check_data.c */

/* The data of the part (check_data.c). */
int check_data(struct check *c) MUST_CHECK;

/* ------------------------------------------------------------ mend.c, undo.c
 */

/* Have block @pbn hold @bytes, after what is there is safe. */
int mend_write(struct check *c, pbn_t pbn, const void *bytes) MUST_CHECK;
/* Have all of that on the storage. */
int mend_flush(struct check *c) MUST_CHECK;
/* The last of it: the super block. */
int mend_end(struct check *c) MUST_CHECK;
void mend_free(struct check *c);

/* Counts, journal and summary entry of the slab at @place anew. */
int mend_slab(struct check *c, uint32_t place) MUST_CHECK;

int undo_begin(struct check *c) MUST_CHECK;
/* Store the group of @c->mend, durably. */
int undo_store(struct check *c) MUST_CHECK;
int undo_end(struct check *c) MUST_CHECK;

#endif
