/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools: a volume that holds named sub-volumes, and snapshots and clones of them.
 *
 * The logical space of a pool is a directory, in its first 16 MiB, and parts that
 * belong to sub-volumes. All of it is ordinary data to whoever reads the volume as a
 * whole, Linux for instance. Data that is the same in several sub-volumes is stored
 * once; snapshots and clones share what they have in common with their source.
 *
 * A sub-volume has a handle of the type of a volume's, from vdo_sub_open(). All calls
 * that read, write, copy, discard and map take it, with offsets within the
 * sub-volume; also vdo_volume_size(), vdo_volume_alignment(),
 * vdo_volume_is_read_only() and vdo_close(), which lets operations under way end
 * first. A flush is one of the whole volume. Calls about the engine (vdo_poll(),
 * vdo_volume_fd(), vdo_stats_get(), vdo_volume_set()) are about the whole volume
 * as well. vdo_suspend(), vdo_resume() and the calls below take the whole volume only:
 * -EINVAL.
 * While sub-volumes are open vdo_close() of the whole volume returns -EBUSY and leaves
 * it open, and vdo_abandon() does nothing.
 *
 * A crash leaves each sub-volume as it was before a call that changes the pool, or as
 * it is after it. What such a call left behind is cleaned up by the next one. (One
 * thing is else: of a volume without space for one block more a crash may leave a
 * sub-volume that was being removed, with a part of its data.)
 *
 * vdo_close() of a sub-volume of a suspended volume waits until it is resumed, if
 * calls do.
 *
 * Names are 1 to 255 bytes, any but '/' and NUL.
 *
 * Threads: any thread; calls that change a pool take turns. Not from a callback:
 * -EDEADLK.
 *
 * Errors: -EINVAL a wrong name, size or flag, or no volume; -ENOENT there is no such
 * sub-volume; -EEXIST the name is taken; -EBUSY the sub-volume is open; -ENOSPC the
 * logical space, the directory or the storage is full; -VDO_EREADONLY the volume is
 * read-only; -VDO_ESIGNATURE the volume holds data, but no pool; -VDO_ECHECKSUM,
 * -VDO_ECORRUPT, -VDO_EVERSION the directory is damaged, or newer than the library: the
 * whole volume can be read all the same; and errors of reading and writing.
 */
#ifndef VDO_SUB_H
#define VDO_SUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vdo/error.h>
#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VDO_SUB_NAME_MAX 255

/* What the directory says of a sub-volume. */
struct vdo_sub {
	const char *name;   /* see each call for how long */
	uint64_t id;        /* never used again in this pool */
	uint64_t size;      /* bytes */
	uint64_t parent;    /* the id of what it was copied from; 0: nothing */
	int64_t created;    /* seconds since 1970 */
	bool read_only;     /* a snapshot */
	bool removing;      /* vdo_sub_remove() was interrupted */
	unsigned open;      /* handles */
	unsigned extents;   /* pieces of the logical space */
};

/*
 * Make a sub-volume of @size bytes, a multiple of 4096, all of it unmapped. The first
 * one makes a pool of a volume, which must be empty.
 */
int vdo_sub_create(struct vdo_volume *volume, const char *name, uint64_t size,
		   struct vdo_error *error);

/*
 * Open one, any number of times. @flags: VDO_OPEN_READ_ONLY or 0; a snapshot is
 * read-only in any case. vdo_close(*@sub) gives it back.
 */
int vdo_sub_open(struct vdo_volume *volume, const char *name, unsigned flags,
		 struct vdo_volume **sub, struct vdo_error *error);

/*
 * Another size. It may be open to grow, and handles then have the new size; to shrink
 * it must not be open, and its end must be unmapped: -ENOTEMPTY.
 */
int vdo_sub_resize(struct vdo_volume *volume, const char *name, uint64_t size,
		   struct vdo_error *error);

/* Another name. It may be open. */
int vdo_sub_rename(struct vdo_volume *volume, const char *name,
		   const char *new_name, struct vdo_error *error);

/* Discard all of its data, and forget it. It must not be open. */
int vdo_sub_remove(struct vdo_volume *volume, const char *name,
		   struct vdo_error *error);

/*
 * Copy @source as it is at one moment during the call, under the name @name: a
 * snapshot is read-only, a clone can be written to. What was acknowledged before the
 * call is in it. What is submitted after the moment is not; it waits until the part of
 * the source that it changes has been copied: 1 MiB, or about a millionth of the source
 * if that is more. Of an operation that
 * is under way at that moment any part may be in it, as after a crash. No data is copied,
 * see vdo_copy_range(). When the call returns the copy is durable.
 */
int vdo_sub_snapshot(struct vdo_volume *volume, const char *source,
		     const char *name, struct vdo_error *error);
int vdo_sub_clone(struct vdo_volume *volume, const char *source,
		  const char *name, struct vdo_error *error);

/*
 * Tell of all sub-volumes, in the order of their names, in the calling thread.
 * Anything but 0 from the callback ends the call, which returns it. The callback may
 * use the volume in any way but closing it. None: 0; a volume that is no pool: -ENOENT.
 */
typedef int (*vdo_sub_callback)(void *arg, const struct vdo_sub *sub);
int vdo_sub_list(struct vdo_volume *volume, vdo_sub_callback callback,
		 void *arg, struct vdo_error *error);

/* Of one sub-volume; all numbers of blocks are of 4096 bytes. */
struct vdo_sub_usage {
	uint64_t id, size, parent;
	int64_t created;
	bool read_only, removing;
	unsigned open, extents;
	uint64_t unmapped_blocks;
	uint64_t zero_blocks;
	uint64_t data_blocks;       /* logical blocks that are stored as they are */
	uint64_t compressed_blocks; /* logical blocks that are stored compressed */
	uint64_t shared_blocks;     /* of data_blocks: their block has more than one
				     * reference */
	uint64_t exclusive_blocks;  /* it has one: their space is free when this
				     * sub-volume is removed. What is left of
				     * data_blocks is not known */
};

/* Count what it holds, from its block map and the reference counts. @size is sizeof(struct
 * vdo_sub_usage). */
int vdo_sub_stat(struct vdo_volume *volume, const char *name,
		 struct vdo_sub_usage *usage, size_t size,
		 struct vdo_error *error);

/* A piece of a sub-volume, in bytes: @offset within it, @place in the volume. */
struct vdo_sub_extent {
	uint64_t offset, length, place;
};

/* Tell where it lies in the logical space of the volume, piece by piece: what a table
 * of dm-linear needs. As vdo_sub_list(). */
typedef int (*vdo_sub_extent_callback)(void *arg,
				       const struct vdo_sub_extent *extent);
int vdo_sub_places(struct vdo_volume *volume, const char *name,
		   vdo_sub_extent_callback callback, void *arg,
		   struct vdo_error *error);

/*
 * Copy @count bytes from @src of one sub-volume to @dst of another one of the same
 * volume, or of the same one: as vdo_copy_range(), with its errors.
 */
int vdo_sub_copy(struct vdo_volume *to, uint64_t dst, struct vdo_volume *from,
		 uint64_t src, uint64_t count, unsigned flags);

/*
 * Tell where two sub-volumes differ, such as two snapshots of one: as
 * vdo_map_changes() tells of ranges, with flags and callback of <vdo/map.h>. What one
 * of them is longer than the other is no difference.
 */
struct vdo_change;
int vdo_sub_changes(struct vdo_volume *a, struct vdo_volume *b, unsigned flags,
		    int (*callback)(void *arg, const struct vdo_change *change),
		    void *arg);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
