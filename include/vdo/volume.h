/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume: format, open, close, and what is known about it.
 *
 * Threads: any call on an open volume from any thread, except vdo_close() and
 * vdo_abandon(), which are the last ones. A volume must not be used after
 * fork(): calls in the child return -VDO_EFORKED.
 */
#ifndef VDO_VOLUME_H
#define VDO_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_volume;

/*
 * Make a new, empty volume in a file or on a block device, or on @device. All
 * that was there is lost. @config may be NULL (all defaults). A file is created
 * if option size is given, and grown to it.
 *
 * Errors: -VDO_ESIGNATURE if something known is there and option force is off;
 * -VDO_EINUSE, -VDO_ECONFLICT, -VDO_ESIZE, -ENOSPC, -errno.
 */
int vdo_format(const char *path, const struct vdo_config *config,
	       struct vdo_error *error);
int vdo_format_device(struct vdo_device *device,
		      const struct vdo_config *config,
		      struct vdo_error *error);

/* What formatting makes; for vdo_format_plan(). */
struct vdo_plan {
	const char *profile;         /* "kernel" or "small", static text */
	int32_t index_memory;        /* code: N GB; -N: N MB; 0: no index */
	bool index_sparse;
	uint64_t logical_blocks;     /* that can be addressed */
	uint64_t recovery_journal_blocks;
	uint64_t slab_blocks, slab_count;
	/* of a slab */
	uint64_t slab_data_blocks, slab_journal_blocks, reference_count_blocks;
	/* All blocks: the sum of what follows. */
	uint64_t physical_blocks;
	uint64_t data_blocks;        /* for data that save nothing */
	uint64_t block_map_blocks;   /* of the block map that leads to them */
	uint64_t index_blocks;
	uint64_t metadata_blocks;    /* journals, counts, and all else */
	uint64_t unused_blocks;      /* too few for another slab */
};

/*
 * What vdo_format() with this file or block device would make, or what it would
 * be refused for. Nothing is changed. If @path is NULL or not there, it is a new
 * file of option size. @size is sizeof(struct vdo_plan). Errors as vdo_format().
 */
int vdo_format_plan(const char *path, const struct vdo_config *config,
		    struct vdo_plan *plan, size_t size,
		    struct vdo_error *error);
int vdo_format_plan_device(struct vdo_device *device,
			   const struct vdo_config *config,
			   struct vdo_plan *plan, size_t size,
			   struct vdo_error *error);

/*
 * Open a volume. vdo_open() opens the file or block device by itself;
 * vdo_open_device() borrows @device until the volume is closed.
 *
 * Errors: -VDO_ENOTVDO, -VDO_ECORRUPT, -VDO_ECHECKSUM, -VDO_EVERSION,
 * -VDO_ENONCE, -VDO_ESIZE, -VDO_EDIRTY, -VDO_EREBUILD, -VDO_EINUSE,
 * -VDO_ECONFLICT, -ENOMEM, -errno.
 */
int vdo_open(const char *path, const struct vdo_config *config,
	     struct vdo_volume **volume, struct vdo_error *error);
int vdo_open_device(struct vdo_device *device, const struct vdo_config *config,
		    struct vdo_volume **volume, struct vdo_error *error);

/*
 * Open a volume as a job (job.h), since a large one takes its time: what can be
 * found out from its first blocks is found out at once, the rest is the job's.
 * A job that is cancelled, or fails, leaves the volume as it was; once the super
 * block says that the volume is in use it is too late to cancel, and the job
 * succeeds.
 */
struct vdo_job;
int vdo_open_start(const char *path, const struct vdo_config *config,
		   struct vdo_job **job, struct vdo_error *error);
int vdo_open_device_start(struct vdo_device *device,
			  const struct vdo_config *config,
			  struct vdo_job **job, struct vdo_error *error);

/*
 * The volume that @job has opened, which is the caller's from then on, also
 * after vdo_job_free(); what nobody asked for is closed there. -EAGAIN: it is
 * not over, or has failed. -EINVAL: it was handed out already, or the job is of
 * another kind. -VDO_EFORKED.
 */
int vdo_opened_get(struct vdo_job *job, struct vdo_volume **volume);

/*
 * Wait for all I/O, save everything, close. The handle is gone afterwards,
 * but where it says so. An error means that the volume could not be saved; it
 * then is as after a crash or read-only. -ENOSPC, -EDQUOT, -EFBIG: the file
 * system that holds it is full, a quota is used up, or a limit of file sizes
 * reached, and what was acknowledged since the last good flush may be lost,
 * though all else may have been saved. -EDEADLK from a callback, -EBUSY while
 * sub-volumes of it are open: the volume stays open.
 */
int vdo_close(struct vdo_volume *volume);

/* Drop a volume as a crash would: wait for I/O under way, save nothing. While
 * sub-volumes of it are open this does nothing. */
void vdo_abandon(struct vdo_volume *volume);

/*
 * Bring the volume to rest: what is under way ends, and from then on calls wait
 * until vdo_resume(); those with VDO_IO_NOWAIT get -EAGAIN. With @save all is
 * written first, as vdo_close() does, so that the storage is a volume that was
 * closed in good order, and a copy of it can be opened. Without, a copy is as
 * after a crash, with all that was flushed, and neither takes as long.
 *
 * The host must not write to the storage meanwhile. Closing a suspended volume
 * resumes it first, and so does vdo_abandon(). The two calls, vdo_volume_set() and
 * vdo_stats_get() wait for each other, and options for which calls wait
 * (VDO_OPTION_PAUSE) are refused while it is suspended; which thread resumes does not matter, but
 * it must not be one that waits for a call. With executor=inline the log says so
 * when a synchronous call begins to wait.
 *
 * An error of vdo_suspend() means that the volume is not suspended, and serves:
 * what could not be saved is an error as of vdo_close(); -EALREADY if it is
 * suspended (vdo_resume(): if it is not); -EDEADLK from a callback; -VDO_EFORKED.
 * Once vdo_resume() has returned 0 calls are carried out; if the storage could not
 * be marked as in use, in read-only mode.
 */
int vdo_suspend(struct vdo_volume *volume, bool save);
int vdo_resume(struct vdo_volume *volume);

/*
 * Make a volume larger that is open, while it is in use: the sizes are bytes and
 * multiples of 4096, and 0 leaves one as it is. The physical size is that of the
 * file or device: a file is made longer if it is shorter, a device must have
 * grown already. VDO_GROW_ALL takes all that is there. Calls wait for some
 * milliseconds; vdo_volume_size() is larger when this returns. After a crash it
 * has grown or it has not.
 *
 * The size of slabs stays, there are 8192 of them at most, and it grows by whole
 * ones: by at least as much as one, and as the journal. It never becomes smaller.
 *
 * Errors: -EINVAL smaller, or too little more (the message has the next size that
 * will do); -ENOSPC the storage is too small; -VDO_ECONFLICT too many slabs;
 * -ERANGE; -VDO_EREADONLY; -VDO_EBUSY suspended; -VDO_EGONE; -ENOMEM; -EDEADLK;
 * -VDO_EFORKED; -errno. Then it is as it was; or read-only, if the super block
 * could not be written.
 */
#define VDO_GROW_ALL UINT64_MAX
int vdo_grow(struct vdo_volume *volume, uint64_t physical_size,
	     uint64_t logical_size, struct vdo_error *error);

/* Bytes that can be addressed; a multiple of 4096. */
uint64_t vdo_volume_size(const struct vdo_volume *volume);

/* What offsets and lengths must be multiples of: 512 or 4096. */
unsigned vdo_volume_alignment(const struct vdo_volume *volume);

/* Did the volume go read-only (or was it opened so)? */
bool vdo_volume_is_read_only(const struct vdo_volume *volume);

/*
 * 0, or why the volume is read-only: the first error that it met, with its text
 * in @error (may be NULL); -VDO_EREADONLY if it was opened so, or is so since an
 * earlier session.
 */
int vdo_volume_read_only_reason(const struct vdo_volume *volume,
				struct vdo_error *error);

/*
 * Change an option whose "when" is VDO_OPTION_ONLINE (compression,
 * deduplication, on-full), or VDO_OPTION_PAUSE (zones, threads, caches ...): for these the
 * volume comes to rest, is saved, and goes on with another engine. Calls wait
 * meanwhile, and those with VDO_IO_NOWAIT are refused; nothing else changes for
 * whoever uses it. The new engine is in memory next to the one before it; after an
 * error that one goes on. Outside of callbacks.
 *
 * Errors: -VDO_EOPTION for any other option, -VDO_EVALUE, -VDO_ECONFLICT;
 * -VDO_EBUSY: it is suspended; -VDO_EREADONLY: it is in read-only mode since an
 * error; -ENOMEM, -EAGAIN: no memory or threads; what the storage says.
 */
int vdo_volume_set(struct vdo_volume *volume, const char *name,
		   const char *value, struct vdo_error *error);

/*
 * Without threads (executor=inline): run what is ready; if nothing is, wait up
 * to @timeout_ms (-1: for ever, 0: not at all) for I/O. Returns the number of
 * things done, or negative. With threads it returns 0 at once.
 */
int vdo_poll(struct vdo_volume *volume, int timeout_ms);

/*
 * Without threads (executor=inline): a descriptor for poll(2), epoll or an event
 * library, so that one loop serves sockets and volumes. It is readable as long
 * as vdo_poll() with timeout 0 has something to do: a request that was
 * submitted, I/O that is over, a timer that is due. It stays so until vdo_poll()
 * has done it; after that returned 0 it is not readable before there is
 * something more. (It may be readable once in vain.) While another thread waits
 * inside of the library, that one does what there is to do.
 *
 * The descriptor is made by the first call and closed with the volume; until
 * then leave it open, and do not read from it. It is never 0, 1 or 2, and is
 * closed by execve(). A volume that nobody asks for it does no more than before.
 *
 * Errors: -ENOTSUP with another executor, -VDO_EFORKED, -EMFILE, -ENFILE,
 * -ENOMEM, -EINVAL. Any thread, also in callbacks.
 */
int vdo_volume_fd(struct vdo_volume *volume);

/* What the first blocks of a volume say; for vdo_inspect(). */
struct vdo_info {
	/* geometry */
	uint32_t geometry_major, geometry_minor;
	uint64_t nonce;
	uint8_t uuid[16];
	int64_t bio_offset;          /* blocks */
	uint64_t index_start;        /* block */
	uint64_t data_start;         /* block: the super block */
	int32_t index_memory;        /* code: N GB; -N: N MB; 0: no index */
	bool index_sparse;
	/* super block */
	uint32_t state;
	const char *state_name;      /* "new", "clean", "dirty", ... */
	uint64_t complete_recoveries, read_only_recoveries;
	uint64_t logical_blocks, physical_blocks;
	uint64_t slab_blocks, slab_count, slab_data_blocks;
	uint64_t slab_journal_blocks, reference_count_blocks;
	uint64_t recovery_journal_blocks;
	uint64_t journal_start;      /* sequence number */
	uint64_t logical_blocks_used, block_map_data_blocks;
	uint32_t zone_count;         /* physical zones that saved it last */
	uint64_t root_origin, root_count;
	/* partitions: first block and number of blocks */
	uint64_t block_map_start, block_map_count;
	uint64_t depot_start, depot_count;
	uint64_t journal_partition_start, journal_partition_count;
	uint64_t summary_start, summary_count;
};

/*
 * Read and check geometry and super block without opening the volume. @size is
 * sizeof(struct vdo_info). Errors as vdo_open(), but any state is fine.
 */
int vdo_inspect(const char *path, struct vdo_info *info, size_t size,
		struct vdo_error *error);
int vdo_inspect_device(struct vdo_device *device, struct vdo_info *info,
		       size_t size, struct vdo_error *error);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
