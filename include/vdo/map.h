/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps of an open volume: what is stored where. Only metadata is read.
 *
 * A map costs what is mapped, not what can be addressed: parts of the block map
 * that do not exist are skipped as a whole.
 *
 * The calls wait, and tell what they find to a callback, which runs in the
 * calling thread, in the order of offsets, with no lock held: it may use the
 * volume in any way but closing it.
 *
 * Everything that was acknowledged before the call is told; to know that, it
 * begins with a flush. Volumes may be written to meanwhile: of the blocks that
 * are, either is told, before or after.
 *
 * Errors: -EINVAL not aligned, unknown flags, or no volume or callback; -ERANGE
 * beyond the end; -EDEADLK from a callback of the library; -ENOMEM;
 * -VDO_EFORKED. What is damaged or cannot be read ends a map with the error that
 * a read would get there (-VDO_EMAPPING, -VDO_ECORRUPT, -EIO, -VDO_EREADONLY);
 * what comes before it has been told.
 */
#ifndef VDO_MAP_H
#define VDO_MAP_H

#include <stdint.h>

#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

enum vdo_map_kind {
	VDO_MAP_HOLE,      /* never written, or discarded: reads as zeroes */
	VDO_MAP_ZERO,      /* zeroes were written; takes no space either */
	VDO_MAP_DATA,      /* each block of it is a block of the storage */
	VDO_MAP_COMPRESSED /* up to 14 of its blocks share one */
};

/* The name of a kind, such as "hole"; never NULL. */
const char *vdo_map_kind_name(enum vdo_map_kind kind);

/* Neighbouring blocks of one kind. All numbers are bytes. */
struct vdo_extent {
	uint64_t offset;
	uint64_t length;
	uint64_t physical; /* with VDO_MAP_PLACES, of DATA and COMPRESSED: where
			    * it begins in the storage; else 0 */
	enum vdo_map_kind kind;
	unsigned references; /* with VDO_MAP_REFERENCES; else 0 */
};

/* Anything but 0 ends the call, which returns it. */
typedef int (*vdo_map_callback)(void *arg, const struct vdo_extent *extent);

/*
 * Extents tell where they are, too. An extent of DATA then lies in one piece; one
 * of COMPRESSED is in one block of the storage, whose place is told.
 */
#define VDO_MAP_PLACES 1u

/*
 * Extents tell how many references each of their blocks of the storage has, 1 to 254:
 * mappings that lead to it, also from elsewhere, those to all parts of a compressed
 * block together. 0: not known, as the volume is read-only, or counts could not be
 * read. It costs reading the counts of all of them.
 */
#define VDO_MAP_REFERENCES 4u

/*
 * Tell the extents of a range, a multiple of vdo_volume_alignment(): each block
 * of it once, and no two neighbours are alike. Extents end at the ends of the
 * range. A range of no bytes has none.
 */
int vdo_map_extents(struct vdo_volume *volume, uint64_t offset,
		    uint64_t length, unsigned flags, vdo_map_callback callback,
		    void *arg);

/* Neighbouring blocks that differ in the same way. All numbers are bytes. */
struct vdo_change {
	uint64_t offset; /* from the beginning of both ranges */
	uint64_t length;
	enum vdo_map_kind a, b; /* what they are in each */
};

/* Anything but 0 ends the call, which returns it. */
typedef int (*vdo_change_callback)(void *arg, const struct vdo_change *change);

/* A hole and zeroes differ, though both read as zeroes. */
#define VDO_MAP_HOLES 2u

/*
 * Tell where @length bytes from @a and from @b on differ, by comparing where they
 * are in the storage: what is at the same place is equal. All numbers are multiples
 * of 4096; the ranges may overlap. What is not told is equal for certain, unless
 * it is written to meanwhile. What is told may be equal all the same, where the same
 * data was stored twice.
 */
int vdo_map_changes(struct vdo_volume *volume, uint64_t a, uint64_t b,
		    uint64_t length, unsigned flags,
		    vdo_change_callback callback, void *arg);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
