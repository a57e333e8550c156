/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Look over all metadata of a volume that is not open, and mend what is wrong.
 *
 * A volume that was not closed is looked at as it would be after its recovery,
 * of which nothing is written. What is read: geometry and super block, recovery
 * journal, block map, summary, reference counts and journals of all slabs in
 * use, the index; and with VDO_CHECK_DATA all blocks that hold data.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_CHECK_H
#define VDO_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdo/blocks.h>
#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/job.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum vdo_check_severity {
	VDO_CHECK_COSMETIC, /* nothing comes of it */
	VDO_CHECK_WASTES,   /* space, or deduplication */
	VDO_CHECK_LOSES,    /* data are lost, or will be */
	VDO_CHECK_FATAL     /* the volume cannot be used, or not written */
};

enum vdo_check_mend {
	VDO_CHECK_CANNOT, /* not by a repair */
	VDO_CHECK_MENDS,  /* without guessing, and nothing is lost by it */
	VDO_CHECK_CLEARS  /* by giving up what it leads to: VDO_CHECK_LOSE */
};

/*
 * All that can be found: X(NAME, "name", "structure", SEVERITY, MEND, "text").
 * Names and numbers stay what they are; new ones come last.
 */
#define VDO_CHECK_FINDINGS(X)                                                  \
	X(GEOMETRY, "geometry", "geometry", FATAL, CANNOT,                     \
	  "the geometry block is damaged")                                     \
	X(TRUNCATED, "truncated", "geometry", FATAL, CANNOT,                   \
	  "the storage is shorter than the volume")                            \
	X(SUPER_UNREADABLE, "super-unreadable", "super block", FATAL, CANNOT,  \
	  "the super block cannot be read")                                    \
	X(SUPER_CHECKSUM, "super-checksum", "super block", FATAL, CANNOT,      \
	  "the checksum of the super block is wrong")                          \
	X(SUPER_DAMAGED, "super-damaged", "super block", FATAL, CANNOT,        \
	  "the super block cannot be taken apart")                             \
	X(SUPER_NONCE, "super-nonce", "super block", FATAL, CANNOT,            \
	  "geometry and super block are of different volumes")                 \
	X(SUPER_INVALID, "super-invalid", "super block", FATAL, CANNOT,        \
	  "the super block has a number that cannot be")                       \
	X(NEEDS_REBUILD, "needs-rebuild", "super block", FATAL, CANNOT,        \
	  "the volume is read-only, or marked for a rebuild")                  \
	X(ROOT_COUNT, "root-count", "super block", FATAL, CANNOT,              \
	  "the block map does not have 60 trees")                              \
	X(SLAB_CONFIG, "slab-config", "super block", COSMETIC, CANNOT,         \
	  "slabs are not divided as their size says")                          \
	X(ZONE_COUNT, "zone-count", "super block", COSMETIC, MENDS,            \
	  "no zone has written the slab summary")                              \
	X(LOGICAL_USED, "logical-used", "super block", COSMETIC, MENDS,        \
	  "the number of logical blocks in use is wrong")                      \
	X(MAP_PAGES, "map-pages", "super block", COSMETIC, MENDS,              \
	  "the number of pages of the block map is wrong")                     \
	X(JOURNAL_UNREADABLE, "journal-unreadable", "journal", LOSES, CANNOT,  \
	  "blocks of the recovery journal cannot be read")                     \
	X(JOURNAL_DAMAGED, "journal-damaged", "journal", FATAL, CANNOT,        \
	  "the recovery journal cannot be replayed")                           \
	X(JOURNAL_OLD, "journal-old", "journal", FATAL, CANNOT,                \
	  "the recovery journal is of an old format")                          \
	X(JOURNAL_ENTRY, "journal-entry", "journal", FATAL, CANNOT,            \
	  "an entry of the recovery journal cannot be")                        \
	X(JOURNAL_AHEAD, "journal-ahead", "journal", LOSES, MENDS,             \
	  "an old block of the journal would count as new after a crash")        \
	X(JOURNAL_HEADS, "journal-heads", "journal", LOSES, MENDS,             \
	  "an old block of the journal would spoil a recovery")                \
	X(JOURNAL_BEHIND, "journal-behind", "journal", FATAL, MENDS,           \
	  "a slab knows later entries than the journal can have had")          \
	X(ROOT_DAMAGED, "root-damaged", "block map", LOSES, CLEARS,            \
	  "the root of a tree is damaged")                                     \
	X(PAGE_DAMAGED, "page-damaged", "block map", LOSES, CLEARS,            \
	  "a page is damaged, or of another place")                            \
	X(PAGE_UNREADABLE, "page-unreadable", "block map", LOSES, CLEARS,      \
	  "a page cannot be read")                                             \
	X(PAGE_TWICE, "page-twice", "block map", LOSES, CLEARS,                \
	  "two entries lead to the same page")                                 \
	X(PAGE_LOST, "page-lost", "block map", LOSES, CLEARS,                  \
	  "a page seems to be lost: blocks count as in use that nothing "      \
	  "leads to")                                                          \
	X(CHILD_INVALID, "child-invalid", "block map", LOSES, CLEARS,          \
	  "an entry leads to no page")                                         \
	X(CHILD_BEYOND, "child-beyond", "block map", WASTES, CLEARS,           \
	  "there is a page beyond the end of the logical blocks")              \
	X(MAPPING_INVALID, "mapping-invalid", "block map", LOSES, CLEARS,      \
	  "a mapping has a state that cannot be")                              \
	X(MAPPING_OUTSIDE, "mapping-outside", "block map", LOSES, CLEARS,      \
	  "a mapping leads to a block that holds no data")                     \
	X(MAPPING_BEYOND, "mapping-beyond", "block map", WASTES, CLEARS,       \
	  "there is a mapping beyond the end of the logical blocks")           \
	X(PAGE_AND_DATA, "page-and-data", "block map", LOSES, CANNOT,          \
	  "a block is a page of the block map and data")                       \
	X(TWO_FORMS, "two-forms", "block map", LOSES, CANNOT,                  \
	  "a block is mapped as it is, and as fragments")                      \
	X(TOO_MANY, "too-many", "block map", LOSES, CANNOT,                    \
	  "more than 254 mappings lead to a block")                            \
	X(COUNT_MISSING, "count-missing", "counts", LOSES, MENDS,              \
	  "a block that is in use counts as free")                             \
	X(COUNT_LOW, "count-low", "counts", LOSES, MENDS,                      \
	  "a count is too low")                                                \
	X(COUNT_HIGH, "count-high", "counts", WASTES, MENDS,                   \
	  "a count is too high")                                               \
	X(UNREFERENCED, "unreferenced", "counts", WASTES, MENDS,               \
	  "nothing leads to a block that counts as in use")                    \
	X(PAGE_COUNT, "page-count", "counts", LOSES, MENDS,                    \
	  "the count of a page of the block map is not 254")                   \
	X(COUNTS_BEYOND, "counts-beyond", "counts", WASTES, MENDS,             \
	  "there are counts of blocks that do not exist")                      \
	X(COUNTS_UNREADABLE, "counts-unreadable", "counts", LOSES, MENDS,      \
	  "counts cannot be read")                                             \
	X(COMMIT_POINT, "commit-point", "counts", FATAL, MENDS,                \
	  "counts are newer than the journal of their slab")                   \
	X(SLAB_UNREADABLE, "slab-unreadable", "slab journal", FATAL, MENDS,    \
	  "the journal of a slab cannot be read")                              \
	X(SLAB_TAIL, "slab-tail", "slab journal", FATAL, MENDS,                \
	  "the newest block of the journal of a slab is damaged")              \
	X(SLAB_BLOCK, "slab-block", "slab journal", FATAL, MENDS,              \
	  "a block of the journal of a slab is damaged")                       \
	X(SLAB_ENTRY, "slab-entry", "slab journal", FATAL, MENDS,              \
	  "an entry of the journal of a slab cannot be")                       \
	X(SLAB_DISAGREES, "slab-disagrees", "slab journal", FATAL, MENDS,      \
	  "an entry of the journal of a slab does not fit its count")          \
	X(SLAB_POINTS, "slab-points", "slab journal", FATAL, MENDS,            \
	  "the blocks of the journal of a slab are not in order")              \
	X(SUMMARY_UNREADABLE, "summary-unreadable", "summary", FATAL, MENDS,   \
	  "the slab summary cannot be read")                                   \
	X(SUMMARY_TAIL, "summary-tail", "summary", FATAL, MENDS,               \
	  "the entry of a slab leads beyond its journal")                      \
	X(SUMMARY_FLAGS, "summary-flags", "summary", FATAL, MENDS,             \
	  "the entry of a slab has a journal, and no counts")                  \
	X(SUMMARY_HINT, "summary-hint", "summary", COSMETIC, MENDS,            \
	  "the entry of a slab says it is fuller, or less full")               \
	X(SUMMARY_SPARE, "summary-spare", "summary", COSMETIC, MENDS,          \
	  "the entry of a slab that does not exist is not empty")              \
	X(DATA_UNREADABLE, "data-unreadable", "data", LOSES, CANNOT,           \
	  "a block of data cannot be read")                                    \
	X(FRAGMENT_HEADER, "fragment-header", "data", LOSES, CANNOT,           \
	  "a block that is mapped as fragments has none")                      \
	X(FRAGMENT_MISSING, "fragment-missing", "data", LOSES, CANNOT,         \
	  "a compressed block lacks a fragment that is mapped")                \
	X(FRAGMENT_DAMAGED, "fragment-damaged", "data", LOSES, CANNOT,         \
	  "a fragment cannot be decompressed")                                 \
	X(INDEX_SUPER, "index-super", "index", WASTES, MENDS,                  \
	  "the first blocks of the index are damaged")                         \
	X(INDEX_SAVE, "index-save", "index", WASTES, MENDS,                    \
	  "the newest save of the index cannot be loaded")                     \
	X(INDEX_UNREADABLE, "index-unreadable", "index", WASTES, MENDS,        \
	  "the index cannot be read")                                          \
	X(INDEX_CHAPTER, "index-chapter", "index", WASTES, MENDS,              \
	  "a chapter of the index is not where it should be")                  \
	X(INDEX_PAGE, "index-page", "index", WASTES, MENDS,                    \
	  "an index page of a chapter is malformed")                           \
	X(INDEX_PAGE_MAP, "index-page-map", "index", WASTES, MENDS,            \
	  "the page map disagrees with an index page")                         \
	X(INDEX_RECORD_PAGE, "index-record-page", "index", WASTES, MENDS,      \
	  "the records of a page are not in order")                            \
	X(INDEX_RECORD, "index-record", "index", WASTES, MENDS,                \
	  "a chapter of the index does not lead to a record")                  \
	X(INDEX_ENTRY, "index-entry", "index", WASTES, MENDS,                  \
	  "a list of the index is malformed, or leads nowhere")

enum vdo_check_code {
#define X(code, name, structure, severity, mend, text) VDO_CHECK_##code,
	VDO_CHECK_FINDINGS(X)
#undef X
	VDO_CHECK_CODES
};

/* The words of the table; NULL: no such code. Static text. */
const char *vdo_check_name(enum vdo_check_code code);
const char *vdo_check_structure(enum vdo_check_code code);
const char *vdo_check_text(enum vdo_check_code code);
enum vdo_check_severity vdo_check_severity(enum vdo_check_code code);
enum vdo_check_mend vdo_check_mend(enum vdo_check_code code);
/* "cosmetic", "wastes space", "loses data", "fatal"; NULL: no such one. */
const char *vdo_check_severity_name(enum vdo_check_severity severity);

#define VDO_CHECK_BLOCKS_MAX 8
#define VDO_CHECK_NO_NUMBER  UINT64_MAX

/* A finding. What is not known of it is VDO_CHECK_NO_NUMBER. */
struct vdo_check_finding {
	enum vdo_check_code code;
	enum vdo_check_severity severity;
	bool mendable;	     /* VDO_CHECK_REPAIR mends it here, if need be with
			      * VDO_CHECK_LOSE */
	bool mended;	     /* it has, or will at its end */
	uint64_t block;	     /* of the storage, where it was found */
	uint64_t slot;	     /* entry, offset or fragment in it */
	uint64_t slab;
	uint64_t about;	     /* block of the storage that it is about */
	char found[64], expected[64];
	/* Logical blocks that are touched: the first ones, and how many there
	 * are. */
	struct vdo_blocks blocks[VDO_CHECK_BLOCKS_MAX];
	size_t block_count;	 /* of these */
	uint64_t logical_blocks; /* all of them */
};

/* Called on the job's thread, for each finding; not later than its end. */
typedef void (*vdo_check_fn)(void *arg,
			     const struct vdo_check_finding *finding);

struct vdo_check_report {
	const char *state_name; /* of the volume, as in vdo_info; NULL if its
				 * first blocks are damaged */
	bool replayed;		/* looked at as after recovery */
	uint64_t findings;
	uint64_t mended;
	uint64_t mendable;	/* that are not, and would be without a loss */
	uint64_t losing;	/* the same, with VDO_CHECK_LOSE */
	uint64_t by_severity[8]; /* by enum vdo_check_severity */
	uint64_t by_code[128];	 /* by enum vdo_check_code */
	/* what was looked at */
	uint64_t journal_entries; /* that recovery would replay */
	uint64_t pages, mappings; /* of the block map */
	uint64_t slabs;		  /* that are in use */
	uint64_t blocks_used;	  /* data blocks that something leads to */
	uint64_t data_blocks;	  /* that were read: VDO_CHECK_DATA */
	uint64_t fragments;	  /* that were decompressed */
	uint64_t index_records;	  /* that were read */
	/* With VDO_CHECK_DATA, of these: where they lead there are data with
	 * their name; or others, that came there later */
	uint64_t records_good, records_stale;
	uint64_t blocks_changed;  /* by the repair, the index excepted */
};

#define VDO_CHECK_DATA	   1u /* read all data; decompress fragments */
#define VDO_CHECK_NO_INDEX 2u /* leave out the index */
#define VDO_CHECK_REPAIR   4u /* mend what loses nothing */
#define VDO_CHECK_LOSE	   8u /* and what does; with VDO_CHECK_REPAIR */

/*
 * Start a job that looks over a volume, and mends it with VDO_CHECK_REPAIR.
 *
 * @config (NULL: defaults) is read for executor, options of the storage, and
 * the log. @undo is for a repair: a file to be made (it must not be there), or a
 * device, which gets what was in each block before it is changed; see
 * vdo_check_undo(). Of the index, which is made anew, nothing is kept. @fn may
 * be NULL; it must not call the library with the job or the storage.
 *
 * The job succeeds if it could look at everything, whatever it found: ask
 * vdo_check_report_get(). A repair marks the volume for a rebuild before it
 * changes anything else, and CLEAN at its end: until then, also after a crash,
 * nobody uses it. It needs up to 300 MB for volumes of 1 TB.
 *
 * Errors of the call: -VDO_ENOTVDO, -VDO_EVERSION, -VDO_EINUSE, -EINVAL (flags,
 * or no @undo for a repair), -EEXIST, -EROFS, -ENOMEM, -errno; -EDEADLK from a
 * callback. Of a repair: -VDO_EDIRTY: recover it first, by opening it once;
 * -VDO_EREBUILD, -VDO_EREADONLY: it needs a rebuild. Of the job: -ENOMEM,
 * -ENOSPC (undo), -errno. A check can be cancelled at any time, a repair until
 * it begins to write.
 */
int vdo_check(const char *path, const struct vdo_config *config,
	      unsigned flags, const char *undo, vdo_check_fn fn, void *arg,
	      struct vdo_job **job, struct vdo_error *error);
int vdo_check_device(struct vdo_device *device,
		     const struct vdo_config *config, unsigned flags,
		     struct vdo_device *undo, vdo_check_fn fn, void *arg,
		     struct vdo_job **job, struct vdo_error *error);

/*
 * What the job found, once it has succeeded. @size is sizeof(struct
 * vdo_check_report). -EINVAL: not such a job. -EAGAIN: not over, or it failed.
 * -VDO_EFORKED: it is another process's.
 */
int vdo_check_report_get(struct vdo_job *job, struct vdo_check_report *report,
			 size_t size);

/*
 * Put back what a repair has changed, from the file that it wrote. Can be done
 * again if it was interrupted. The volume must not have been opened since.
 * *@blocks (may be NULL): how many were put back.
 *
 * Errors: -VDO_ENOTVDO: @undo is no such file; -VDO_ENONCE: of another volume;
 * -VDO_ECHECKSUM: it is damaged; -VDO_EINUSE, -EROFS, -ENOMEM, -errno.
 */
int vdo_check_undo(const char *path, const struct vdo_config *config,
		   const char *undo, uint64_t *blocks,
		   struct vdo_error *error);
int vdo_check_undo_device(struct vdo_device *device, struct vdo_device *undo,
			  uint64_t *blocks, struct vdo_error *error);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
