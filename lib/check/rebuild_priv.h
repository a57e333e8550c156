/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of rebuild: rebuild.c has the steps and the super block, rebuild_map.c
 * the block map, rebuild_slabs.c reference counts, slab journals and summary.
 */
#ifndef CHECK_REBUILD_PRIV_H
#define CHECK_REBUILD_PRIV_H

#include <stdatomic.h>

#include "base/counter.h"
#include "check/journal.h"
#include "check/rebuild.h"
#include "check/walk.h"
#include "format/geometry.h"
#include "format/layout.h"
#include "format/superblock.h"
#include "io/device.h"

#define REBUILD_PART_BLOCKS (UINT64_C(1) << 26) /* 256 GiB: 64 MiB of memory */
#define REBUILD_BUF_BLOCKS  256u
#define REBUILD_LOST_MAX    1000u
#define REBUILD_LOST_LINES  20u /* of the log */

struct rebuild {
	struct vdo_device *device;
	struct executor *executor; /* what has claimed it */
	bool claimed;
	struct log log;
	struct geometry geometry;
	struct superblock sb; /* as on the storage */
	struct slab_geometry slabs;
	struct check_journal journal;

	atomic_bool stop;
	_Atomic(const char *) phase;
	counter_t done, total; /* bytes */

	uint8_t *buf;	  /* REBUILD_BUF_BLOCKS */
	uint8_t **pages;  /* by slab: a bit for each block that is a page of the
			   * block map; NULL: none is */
	bool *used;	  /* by slab: something leads to a block of it */
	uint8_t *summary; /* one copy */

	uint64_t part_blocks; /* counted at once, at most, but for one slab */
	uint64_t part_slab, part_slabs; /* the part: first one, and how many */
	uint8_t *counts;      /* of all blocks of the part's slabs */

	uint64_t pages_met;   /* in the first walk: what later ones take */
	struct vdo_lost lost[REBUILD_LOST_MAX];
	uint64_t lost_total;  /* ranges, also those beyond the array */
	struct vdo_rebuilt result;
};

/* rebuild.c */
/* For walks, too. They count as done. -ECANCELED, -errno. */
int rebuild_read(void *arg, pbn_t pbn, uint64_t count, void *to) MUST_CHECK;
int rebuild_write(struct rebuild *r, pbn_t pbn, uint64_t count,
		  const void *from) MUST_CHECK;
void rebuild_phase(struct rebuild *r, const char *name, uint64_t bytes);
/* Logical blocks lose what they had. */
void rebuild_lose(struct rebuild *r, struct vdo_blocks l, const char *why);

/* rebuild_map.c */
/* What the journal makes a page, and has data, is none. */
int rebuild_refute(struct rebuild *r) MUST_CHECK;
/* Where the journal makes a page, or one is damaged, an empty page is. */
int rebuild_make_pages(struct rebuild *r) MUST_CHECK;
/* The journal's mappings are in the map; of what is there all leads somewhere. */
int rebuild_fix_pages(struct rebuild *r) MUST_CHECK;
/* Count the references to blocks of the part. */
int rebuild_count_part(struct rebuild *r) MUST_CHECK;

/* rebuild_slabs.c */
/* Slab journals without entries; a summary without slabs in use. */
int rebuild_empty_slabs(struct rebuild *r) MUST_CHECK;
/* Part after part: count, and write the counts. */
int rebuild_counts(struct rebuild *r) MUST_CHECK;
int rebuild_write_summary(struct rebuild *r) MUST_CHECK;

static inline bool rebuild_is_page(const struct rebuild *r, pbn_t pbn)
{
	const uint8_t *bits = r->pages[slab_of(&r->slabs, pbn)];
	uint64_t offset = slab_offset_of(&r->slabs, pbn);

	return bits != NULL && (bits[offset / 8] >> offset % 8 & 1) != 0;
}

#endif
