/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a volume: sizes from options, then the writes of V 4.5 in their order.
 *
 *	check      nothing is there, unless forced (content.c)
 *	plan       profile, slab size, journals, index region (plan.c)
 *	zero       start of the index region, block 0, roots, recovery journal
 *	super      the super block, state NEW
 *	geometry   block 0, last: it makes the volume exist (D12)
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/system.h"
#include "exec/clock.h"
#include "volume/content.h"
#include "volume/plan.h"

#define ZERO_CHUNK (UINT64_C(1) << 20)

/* Version 4 of RFC 9562: all but six bits are random. */
static int random_uuid(uint8_t uuid[16])
{
	int result = system_random(uuid, 16);

	uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0f));
	uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
	return result;
}

/* --------------------------------------------------------------- the writes */

/*
 * Make blocks read as zeroes. What reads so already stays as it is: then a
 * sparse file stays sparse.
 */
static int zero_blocks(struct vdo_device *device, pbn_t first, uint64_t count)
{
	uint64_t at = first * BLOCK_SIZE;
	uint64_t end = at + count * BLOCK_SIZE;
	uint8_t *chunk = alloc_aligned(BLOCK_SIZE, 1, ZERO_CHUNK);
	int result = 0;

	VDO_ASSERT(at <= end && end <= device->size_bytes);
	if (chunk == NULL)
		return -ENOMEM;
	while (result == 0 && at < end) {
		size_t n = (size_t)MIN(ZERO_CHUNK, end - at);

		result = device_read(device, at, chunk, n);
		if (result == 0 && !is_zero(chunk, n)) {
			memset(chunk, 0, n);
			result = device_write(device, at, chunk, n);
		}
		at += n;
	}
	alloc_free(chunk);
	return result;
}

static int write_block(struct vdo_device *device, pbn_t pbn,
		       const uint8_t *block)
{
	int result = device_write(device, pbn * BLOCK_SIZE, block, BLOCK_SIZE);

	VDO_ASSERT(pbn < device->size_bytes / BLOCK_SIZE);
	return result != 0 ? result : device_flush(device);
}

static int write_volume(struct vdo_device *device, const struct geometry *g,
			const struct superblock *sb)
{
	const struct partition *roots = &sb->partitions[PARTITION_BLOCK_MAP];
	const struct partition *ring = &sb->partitions[PARTITION_JOURNAL];
	uint8_t block[BLOCK_SIZE];
	int result;

	VDO_ASSERT(sb->state == VOLUME_NEW && sb->nonce == g->nonce);
	VDO_ASSERT(roots->start > g->data_start && g->data_start > 0);
	/* Block 0 goes first, so that nothing half made looks like a volume. */
	if ((result = zero_blocks(device, 0, 1)) != 0 ||
	    (result = device_flush(device)) != 0 ||
	    (result = zero_blocks(device, 1, 1)) != 0 ||
	    (result = zero_blocks(device, roots->start, roots->count)) != 0 ||
	    (result = zero_blocks(device, ring->start, ring->count)) != 0)
		return result;
	superblock_encode(sb, block);
	result = write_block(device, g->data_start, block);
	if (result != 0)
		return result;
	geometry_encode(g, block);
	return write_block(device, 0, block);
}

static int cannot_grow(const struct vdo_device *device, uint64_t size,
		       int result, struct vdo_error *error)
{
	VDO_ASSERT(result < 0 && size > device->size_bytes);
	return error_set(error, result == -ENOTSUP ? -VDO_ESIZE : result,
			 "the storage has %llu bytes and cannot be grown to "
			 "%llu: %s",
			 (unsigned long long)device->size_bytes,
			 (unsigned long long)size, vdo_strerror(result));
}

static int prepare_size(struct vdo_device *device, uint64_t size,
			struct vdo_error *error)
{
	int result = 0;

	if (size > device->size_bytes)
		result = device_grow(device, size);
	VDO_ASSERT(result != 0 || device->size_bytes >= size);
	return result == 0 ? 0 : cannot_grow(device, size, result, error);
}

/* What is written before the first block of data is, if that is a hole now. */
static uint64_t metadata_blocks(const struct superblock *sb)
{
	return 2 + sb->partitions[PARTITION_BLOCK_MAP].count +
	       sb->partitions[PARTITION_JOURNAL].count +
	       sb->partitions[PARTITION_SUMMARY].count +
	       sb->slab.reference_count_blocks + sb->slab.slab_journal_blocks;
}

static unsigned long long mebibytes(uint64_t bytes)
{
	return div_up(bytes, UINT64_C(1) << 20);
}

/*
 * A sparse file may need more than its file system has. That is said now; who
 * knows that less will be written goes on. Without room for the metadata it
 * could not even be opened.
 */
static int check_space(struct vdo_device *device, uint64_t size,
		       const struct superblock *sb, const struct log *log,
		       struct vdo_error *error)
{
	uint64_t least = metadata_blocks(sb) * BLOCK_SIZE;
	uint64_t room, taken;

	VDO_ASSERT(least <= size && sb->physical_blocks * BLOCK_SIZE == size);
	if (!device_space(device, &room, &taken))
		return 0;
	if (taken < least && room < least - taken)
		return error_set(error, -ENOSPC,
				 "the file system has %llu MiB free, but the "
				 "journals and tables alone need %llu; free "
				 "space there, or make a smaller volume",
				 (unsigned long long)(room >> 20),
				 mebibytes(least - taken));
	if (taken < size && room < size - taken)
		log_warning(log,
			    "volume: it may need %llu MiB more as it is "
			    "filled, but its file system has only %llu MiB "
			    "free; when these are used up new data are refused "
			    "(ENOSPC)",
			    mebibytes(size - taken),
			    (unsigned long long)(room >> 20));
	return 0;
}

/*
 * A storage without data is as it was again, as far as it can be written; one
 * whose data had to go holds nothing that looks like a volume.
 */
static void undo(struct vdo_device *device, const struct geometry *g,
		 uint64_t old_size)
{
	VDO_ASSERT(old_size <= device->size_bytes);
	if (zero_blocks(device, 0, 1) == 0)
		(void)zero_blocks(device, g->data_start, 1);
	device_ungrow(device, old_size);
}

/* Everything that can be refused is refused before anything changes. */
static int prepare(struct vdo_device *device, const struct settings *s,
		   struct plan *p, struct vdo_error *error)
{
	const struct format_settings *f = &s->format;
	uint64_t size;
	int result = f->force ? 0 : content_check(device, error);

	if (result != 0)
		return result;
	size = f->size_bytes != 0 ? f->size_bytes : device->size_bytes;
	size -= size % BLOCK_SIZE;
	if (size == 0)
		return error_set(error, -VDO_ESIZE,
				 "the file is empty; give option size");
	if (size > device->size_bytes &&
	    (device->file == NULL || device->block_device))
		return cannot_grow(device, size, -ENOTSUP, error);
	result = plan_make(p, f, size, device->block_device, error);
	return result != 0 ? result
			   : check_space(device, size, &p->sb, &s->log, error);
}

int volume_plan_whole(struct vdo_device *device, const struct settings *s,
		      struct plan *p, struct vdo_error *error)
{
	struct settings silent = *s;

	silent.log = (struct log){0}; /* formatting says it */
	if (device == NULL && s->format.size_bytes == 0)
		return error_set(error, -VDO_ESIZE,
				 "there is no file; give option size");
	return device != NULL ? prepare(device, &silent, p, error)
			      : plan_make(p, &s->format, s->format.size_bytes,
					  false, error);
}

int volume_plan(struct vdo_device *device, const struct settings *s,
		struct vdo_plan *plan, struct vdo_error *error)
{
	struct plan p;
	int result = volume_plan_whole(device, s, &p, error);

	if (result == 0)
		plan_describe(&p, plan);
	return result;
}

static int identify(struct plan *p, struct vdo_error *error)
{
	int result = random_uuid(p->geometry.uuid);

	p->geometry.nonce = p->sb.nonce = clock_wall_us();
	return result == 0 ? 0
			   : error_set(error, result, "no random numbers: %s",
				       vdo_strerror(result));
}

int volume_format(struct vdo_device *device, const struct settings *s,
		  struct vdo_error *error)
{
	uint64_t old_size = device->size_bytes;
	struct plan p;
	int result;

	if ((device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	result = prepare(device, s, &p, error);
	if (result == 0)
		result = identify(&p, error);
	if (result == 0)
		result = prepare_size(device,
				      p.sb.physical_blocks * BLOCK_SIZE, error);
	if (result != 0)
		return result;
	result = write_volume(device, &p.geometry, &p.sb);
	if (result != 0) {
		undo(device, &p.geometry, old_size);
		return error_set(error, result,
				 "writing the new volume failed: %s",
				 vdo_strerror(result));
	}
	log_info(&s->log, "volume: formatted, physical=%llu logical=%llu",
		 (unsigned long long)p.sb.physical_blocks,
		 (unsigned long long)p.sb.logical_blocks);
	return 0;
}
