/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a volume: sizes from options, then the writes of V 4.5 in their order.
 *
 *	choose     profile, slab size, journals, index region
 *	check      nothing is there, unless forced (content.c)
 *	zero       start of the index region, block 0, roots, recovery journal
 *	super      the super block, state NEW
 *	geometry   block 0, last: it makes the volume exist (D12)
 *
 * The small profile keeps the proportions of a volume of a few dozen MB sane:
 * at least eight slabs, so that zones have something to share out, short
 * journals, and an index region of 1/64 of the volume.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "exec/system.h"
#include "exec/clock.h"
#include "index_format/geometry.h"
#include "volume/content.h"

#define SMALL_PROFILE_BYTES (UINT64_C(8) << 30)
#define ZERO_CHUNK	    (UINT64_C(1) << 20)
#define GIB_BLOCKS	    (UINT64_C(1) << 18)

/* ------------------------------------------------------------------ choose */

static bool is_small(const struct format_settings *f, uint64_t size_bytes)
{
	if (f->profile == PROFILE_AUTO)
		return size_bytes < SMALL_PROFILE_BYTES &&
		       (f->index_memory == 0 ||
			index_geometry_kernel_blocks(f->index_memory, false) == 0);
	return f->profile == PROFILE_SMALL;
}

static void choose_index(const struct format_settings *f, bool small,
			 struct layout_request *r)
{
	uint64_t gib = div_up(r->physical_blocks, GIB_BLOCKS);

	r->index_sparse = f->index_sparse;
	if (f->no_index)
		return;
	r->index_memory = f->index_memory;
	if (r->index_memory == 0)
		r->index_memory = small ? -(int32_t)MIN(MAX(gib, 2), 255)
					: -256;
	r->index_blocks = index_geometry_kernel_blocks(r->index_memory, r->index_sparse);
	if (r->index_blocks == 0) /* a code that Linux does not know */
		r->index_blocks = div_up(r->physical_blocks, 64) + 64;
}

static void choose_journals(const struct format_settings *f, bool small,
			    struct layout_request *r)
{
	r->recovery_journal_blocks = f->recovery_journal_blocks;
	if (r->recovery_journal_blocks == 0 && !small)
		r->recovery_journal_blocks = 32768;
	if (r->recovery_journal_blocks == 0) {
		r->recovery_journal_blocks = 64;
		while (r->recovery_journal_blocks < 8192 &&
		       r->recovery_journal_blocks * 64 < r->physical_blocks)
			r->recovery_journal_blocks *= 2;
	}
}

/* A short journal for a short slab: 1/64 of it. */
static uint64_t slab_journal_for(const struct format_settings *f, bool small,
				 unsigned bits)
{
	uint64_t blocks = (UINT64_C(1) << bits) / 64;

	if (f->slab_journal_blocks != 0)
		return f->slab_journal_blocks;
	return small ? MIN(MAX(blocks, 16), 224) : 224;
}

static void choose_slabs(const struct format_settings *f, bool small,
			 struct layout_request *r)
{
	uint64_t fixed = 2 + r->index_blocks + ROOT_COUNT +
			 r->recovery_journal_blocks + 64;
	uint64_t left = r->physical_blocks > fixed
				? r->physical_blocks - fixed : 0;
	unsigned least = small ? 10 : 13;
	unsigned wanted = small ? 8 : 4;

	r->slab_bits = f->slab_bits;
	if (r->slab_bits == 0) {
		r->slab_bits = small ? 15 : 19;
		while (r->slab_bits > least && left >> r->slab_bits < wanted)
			r->slab_bits--;
		while (r->slab_bits < SLAB_BITS_MAX &&
		       left >> r->slab_bits > SLABS_MAX)
			r->slab_bits++;
	}
	r->slab_journal_blocks = slab_journal_for(f, small, r->slab_bits);
}

/* Version 4 of RFC 9562: all but six bits are random. */
static int random_uuid(uint8_t uuid[16])
{
	int result = system_random(uuid, 16);

	uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0f));
	uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
	return result;
}

static int choose(const struct format_settings *f, uint64_t size_bytes,
		  struct geometry *g, struct superblock *sb,
		  struct vdo_error *error)
{
	bool small = is_small(f, size_bytes);
	struct layout_request r = {
		.physical_blocks = size_bytes / BLOCK_SIZE,
		.logical_blocks = f->logical_size_bytes / BLOCK_SIZE,
		.nonce = clock_wall_us(),
	};
	uint64_t minimum = 0;
	const char *why = NULL;
	int result;

	result = random_uuid(r.uuid);
	if (result != 0)
		return error_set(error, result, "no random numbers: %s",
				 vdo_strerror(result));
	choose_index(f, small, &r);
	choose_journals(f, small, &r);
	choose_slabs(f, small, &r);
	result = layout_compute(&r, g, sb, &minimum, &why);
	if (result == -ENOSPC)
		return error_set(error, result,
				 "a volume with these options needs at least "
				 "%llu MiB, but there are %llu; give it more, "
				 "or choose profile=small or smaller slabs",
				 (unsigned long long)div_up(minimum, 256),
				 (unsigned long long)(size_bytes >> 20));
	if (result != 0)
		return error_set(error, result, "these sizes do not work: %s",
				 why != NULL ? why : vdo_strerror(result));
	return 0;
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

	return result != 0 ? result : device_flush(device);
}

static int write_volume(struct vdo_device *device, const struct geometry *g,
			const struct superblock *sb)
{
	const struct partition *roots = &sb->partitions[PARTITION_BLOCK_MAP];
	const struct partition *ring = &sb->partitions[PARTITION_JOURNAL];
	uint8_t block[BLOCK_SIZE];
	int result;

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

static int prepare_size(struct vdo_device *device, uint64_t size,
			struct vdo_error *error)
{
	uint64_t now = device->size_bytes;
	int result;

	if (size <= now)
		return 0;
	result = device_grow(device, size);
	if (result == 0)
		return 0;
	return error_set(error,
			 result == -ENOTSUP ? -VDO_ESIZE : result,
			 "the storage has %llu bytes and cannot be grown to "
			 "%llu: %s",
			 (unsigned long long)now, (unsigned long long)size,
			 vdo_strerror(result));
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
	if (zero_blocks(device, 0, 1) == 0)
		(void)zero_blocks(device, g->data_start, 1);
	device_ungrow(device, old_size);
}

int volume_format(struct vdo_device *device, const struct settings *s,
		  struct vdo_error *error)
{
	const struct format_settings *f = &s->format;
	uint64_t old_size = device->size_bytes;
	struct geometry g;
	struct superblock sb;
	uint64_t size;
	int result = 0;

	if ((device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	if (!f->force)
		result = content_check(device, error);
	if (result != 0)
		return result;
	/* Everything that can be refused is refused before anything changes. */
	size = f->size_bytes != 0 ? f->size_bytes : old_size;
	size -= size % BLOCK_SIZE;
	if (size == 0)
		return error_set(error, -VDO_ESIZE,
				 "the file is empty; give option size");
	result = choose(f, size, &g, &sb, error);
	if (result == 0)
		result = check_space(device, size, &sb, &s->log, error);
	if (result == 0)
		result = prepare_size(device, size, error);
	if (result != 0)
		return result;
	result = write_volume(device, &g, &sb);
	if (result != 0) {
		undo(device, &g, old_size);
		return error_set(error, result,
				 "writing the new volume failed: %s",
				 vdo_strerror(result));
	}
	log_info(&s->log, "volume: formatted, physical=%llu logical=%llu",
		 (unsigned long long)sb.physical_blocks,
		 (unsigned long long)sb.logical_blocks);
	return 0;
}
