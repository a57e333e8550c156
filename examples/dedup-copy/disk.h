/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume takes of the file system it is in, as du(1) says it, and what it
 * will take: of a volume that exists by looking for holes in its file, of one
 * that is to be made by making an empty one in memory.
 *
 * All numbers are blocks of 4096 bytes. The parts of the metadata grow as the
 * engine writes them; what is said of them is within a few percent.
 */
#ifndef DEDUP_COPY_DISK_H
#define DEDUP_COPY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/vdo.h>

/* Mappings in a leaf page of the block map. */
#define LEAF_MAPPINGS 812u

/* Parts of a volume, and how much of each takes no space yet. */
struct disk {
	bool known; /* else nothing can be said */
	uint64_t taken;
	uint64_t fixed_holes; /* of what opening and closing fill */
	uint64_t root_holes, index_holes;
	uint64_t slabs, slab_data_blocks, slab_metadata_blocks; /* of each */
	uint64_t used_slabs, used_blocks; /* used blocks: in those slabs */
	unsigned zones; /* slabs that are filled at a time */
	/* the index */
	uint64_t chapter_blocks, records_per_chapter, chapters;
	uint64_t saves; /* that are there, up to 2 */
};

/* What a run adds. */
struct disk_load {
	uint64_t data;		   /* blocks with data */
	uint64_t leaves;	   /* of the block map, new ones */
	uint64_t interior;	   /* pages above them, new ones */
	uint64_t chapters;	   /* of the index, written */
	uint64_t records, recent;  /* in the index afterwards, and new ones */
};

/* Bytes that the file at @path takes; 0: it is none. */
uint64_t disk_used(const char *path);

/* Look at the volume at @path, a file, which will be opened with @config. */
void disk_look(struct disk *d, const struct vdo_config *config,
	       const char *path);

/* A new volume with the options of @config and @size bytes, in memory; @info
 * says what it is like. It may be too large for that: then it is not known. 0 or
 * the error of vdo_format(). */
int disk_plan(struct disk *d, const struct vdo_config *config, uint64_t size,
	      struct vdo_info *info, struct vdo_error *error);

/* How much metadata grows by. */
uint64_t disk_metadata(const struct disk *d, const struct disk_load *load);

/* All pages of a block map above @leaves leaf pages that follow each other. */
uint64_t disk_interior(uint64_t leaves);

#endif
