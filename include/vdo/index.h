/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The deduplication index of a volume that is not open: look, verify, rebuild.
 *
 * The index remembers which data were stored where. It is a memory of hints:
 * each is verified before it is used. Nothing that is wrong with an index can
 * harm data, and nothing that is done to one changes what a volume holds; so
 * the state of the volume does not matter here, also that of one that was not
 * closed. All that can be lost is knowledge of duplicates.
 *
 * Threads: as with the functions of volume.h that take a path or a device.
 */
#ifndef VDO_INDEX_H
#define VDO_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/job.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum vdo_index_state {
	VDO_INDEX_NONE,	       /* nothing there (yet) */
	VDO_INDEX_FOREIGN,     /* of another volume, or of another shape */
	VDO_INDEX_DAMAGED,     /* super block or config are */
	VDO_INDEX_UNSUPPORTED, /* of an unknown version */
	VDO_INDEX_FORMATTED,   /* new, nothing in it */
	VDO_INDEX_SAVED,       /* can be loaded */
	VDO_INDEX_DIRTY        /* was not closed: needs a rebuild */
};

/* "none", "needs rebuild" and so on; NULL: no such state. Static text. */
const char *vdo_index_state_name(enum vdo_index_state state);

#define VDO_INDEX_SAVES 2

struct vdo_index_save {
	bool valid;         /* the rest is zero if not */
	bool newest_save;   /* of all that are valid */
	uint32_t zones;     /* that saved it */
	uint64_t oldest, newest; /* chapters; newest: the open one */
	uint64_t time_ms;   /* since 1970 */
};

/* What the first blocks of an index say; for vdo_index_inspect(). */
struct vdo_index_info {
	bool region;          /* the volume has a place for an index; if not,
			       * only memory is set below */
	int32_t memory;       /* code: N GiB; -N: N MiB; 0: no index */
	bool sparse;
	uint64_t first_block; /* of the place, on the device */
	uint64_t region_blocks;
	/* shape */
	uint64_t chapters;    /* the open one included */
	uint64_t sparse_chapters;
	uint64_t record_pages, index_pages; /* of a chapter, 32 KiB each */
	uint64_t records_per_chapter;
	uint64_t names_max;
	/* blocks */
	uint64_t total_blocks;  /* what it takes of the place */
	uint64_t volume_blocks; /* all chapters */
	uint64_t save_blocks;   /* each of two saves, in which: */
	uint64_t volume_index_blocks, page_map_blocks, open_chapter_blocks;
	/* state */
	enum vdo_index_state state;
	const char *state_name; /* vdo_index_state_name() */
	struct vdo_index_save saves[VDO_INDEX_SAVES];
};

/*
 * Read the first blocks of the index without opening the volume. @size is
 * sizeof(struct vdo_index_info). Nothing is changed. An index that is damaged
 * or not there is no error: see state.
 *
 * Errors: -VDO_ENOTVDO, -VDO_ECHECKSUM, -VDO_EVERSION (of the volume),
 * -VDO_ESIZE, -VDO_EINUSE, -ENOMEM, -errno.
 */
int vdo_index_inspect(const char *path, struct vdo_index_info *info,
		      size_t size, struct vdo_error *error);
int vdo_index_inspect_device(struct vdo_device *device,
			     struct vdo_index_info *info, size_t size,
			     struct vdo_error *error);

enum vdo_index_fault_kind {
	VDO_INDEX_FAULT_SUPER,	      /* super block or config */
	VDO_INDEX_FAULT_SAVE,	      /* the newest save cannot be loaded */
	VDO_INDEX_FAULT_READ,	      /* the storage does not read */
	VDO_INDEX_FAULT_CHAPTER,      /* is not where it should be */
	VDO_INDEX_FAULT_INDEX_PAGE,   /* malformed */
	VDO_INDEX_FAULT_PAGE_MAP,     /* disagrees with an index page */
	VDO_INDEX_FAULT_RECORD_PAGE,  /* records are not in order */
	VDO_INDEX_FAULT_RECORD,	      /* the chapter does not lead to it */
	VDO_INDEX_FAULT_VOLUME_INDEX, /* a list is malformed, or an entry names
				       * a chapter that is not there */
	VDO_INDEX_FAULT_KINDS
};

/* "record page" and so on; NULL: no such kind. Static text. */
const char *vdo_index_fault_name(enum vdo_index_fault_kind kind);

struct vdo_index_fault {
	enum vdo_index_fault_kind kind;
	uint64_t chapter; /* UINT64_MAX: of none */
	uint64_t block;   /* on the device where it was met; 0: no one place */
	char text[104];   /* what is wrong */
};

/* What a verification found. */
struct vdo_index_report {
	enum vdo_index_state state;
	uint64_t oldest, newest;    /* chapters; newest: the open one */
	uint64_t chapters;          /* that were read */
	uint64_t chapters_unused;   /* that were not: nothing leads to them */
	uint64_t records;           /* in them */
	uint64_t open_records;      /* in the open chapter of the save */
	uint64_t entries;           /* of the volume index in the save */
	uint64_t records_known;     /* records that the volume index leads to;
				     * names that came again later are not */
	uint64_t faults;            /* all of them */
	uint64_t faults_by_kind[16]; /* by enum vdo_index_fault_kind */
	const struct vdo_index_fault *first; /* the first ones, described */
	size_t first_count;         /* of these */
};

/*
 * Start a job that reads all of the index and holds its parts against each
 * other. Nothing is changed. @config (NULL: defaults) is read for executor,
 * options of the storage, and the log. The device is borrowed until the job is
 * freed.
 *
 * The job succeeds if it could look at everything, whatever it saw: ask
 * vdo_index_report_get(). An index that waits for its rebuild is no fault; then
 * there is no save to be verified, only chapters.
 *
 * Errors of the call: as vdo_index_inspect(); -VDO_ENOINDEX if the volume has
 * no place for one; -VDO_EINUSE if the volume is open; -EDEADLK from a
 * callback. Of the job: -VDO_EVERSION (of the index), -ENOMEM.
 */
int vdo_index_verify(const char *path, const struct vdo_config *config,
		     struct vdo_job **job, struct vdo_error *error);
int vdo_index_verify_device(struct vdo_device *device,
			    const struct vdo_config *config,
			    struct vdo_job **job, struct vdo_error *error);

/*
 * What the job found, once it has succeeded. @size is sizeof(struct
 * vdo_index_report). -EINVAL: not such a job. -EAGAIN: not over, or it failed.
 * -VDO_EFORKED: it is another process's.
 */
int vdo_index_report_get(struct vdo_job *job, struct vdo_index_report *report,
			 size_t size);

/* What a rebuild made. */
struct vdo_index_rebuilt {
	bool formatted;          /* there was none, or none that could be
				  * rebuilt: it is new and empty */
	enum vdo_index_state found; /* the state before */
	uint64_t oldest, newest; /* chapters; newest: the open one */
	uint64_t entries;        /* of the volume index */
	uint64_t left_out;       /* chapters between them: damaged */
};

/*
 * Start a job that makes the index anew from the chapters on the storage, and
 * saves it. What was recorded since the last chapter was written is in the
 * newest save alone, and lost if that cannot be loaded; damaged chapters are
 * left out. If there is no index, or nothing that can be used, it makes a new,
 * empty one.
 *
 * Arguments as vdo_index_verify(). Nothing but the place of the index is
 * written, and that only at the end: until then a cancelled job has changed
 * nothing. Power may fail at any time.
 *
 * Errors of the call: those of vdo_index_verify() and vdo_inspect(); -EROFS if
 * the storage is read-only. Of the job: -VDO_EVERSION (of the index), -ENOMEM,
 * -errno.
 */
int vdo_index_rebuild(const char *path, const struct vdo_config *config,
		      struct vdo_job **job, struct vdo_error *error);
int vdo_index_rebuild_device(struct vdo_device *device,
			     const struct vdo_config *config,
			     struct vdo_job **job, struct vdo_error *error);

/* What the job made, once it has succeeded. @size is sizeof(struct
 * vdo_index_rebuilt). Errors as vdo_index_report_get(). */
int vdo_index_rebuilt_get(struct vdo_job *job,
			  struct vdo_index_rebuilt *rebuilt, size_t size);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
