/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The undo file of a repair: what was in each block before.
 *
 *	header | group 1 | its blocks | group 2 | its blocks ... | end
 *
 * All of it is blocks of 4096 bytes; each of the three kinds ends with a CRC
 * over what is before it.
 *
 *	header	OFFSET	SIZE	MEANING
 *		0	8	"vdoundo1"
 *		8	8	nonce of the volume
 *		16	8	blocks of the volume
 *	group	0	8	"vdoundog"
 *		8	8	nonce
 *		16	8	its number, from 1
 *		24	8	blocks that follow, 1..240
 *		32	4	CRC over these
 *		40	8*n	where they belong on the storage; bit 63: could not
 *				be read, and is not put back
 *	end	0	8	"vdoundoe"
 *		8	8	nonce
 *		16	8	number of groups
 *		24	4	CRC over the numbers of the super block that the
 *				repair leaves [mark_of], each in 8 bytes
 *
 * A group is durable before any of its blocks is changed. So one that is torn is
 * of blocks that were not changed, and ends the file. The first block of the
 * first group is the super block, which is put back last: while the others are,
 * the volume is marked for a rebuild, as it is during a repair.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/check_priv.h"
#include "io/device.h"
#include "volume/super.h"

#define CRC_AT	   (BLOCK_SIZE - 4)
#define PLACES_AT  40u
#define UNREADABLE (UINT64_C(1) << 63)

static const char HEADER[] = "vdoundo1", GROUP[] = "vdoundog",
		  END[] = "vdoundoe";

static void seal(uint8_t *block)
{
	put_u32(block + CRC_AT, format_crc(block, CRC_AT));
}

static bool is_sealed(const uint8_t *block, const char *magic, uint64_t nonce)
{
	return memcmp(block, magic, 8) == 0 && get_u64(block + 8) == nonce &&
	       get_u32(block + CRC_AT) == format_crc(block, CRC_AT);
}

/* What of a super block tells whether a volume was used since. */
static uint32_t mark_of(const struct superblock *sb)
{
	const uint64_t numbers[] = {
		sb->complete_recoveries,   sb->read_only_recoveries,
		sb->logical_blocks,	   sb->physical_blocks,
		sb->journal_start,	   sb->logical_blocks_used,
		sb->block_map_data_blocks,
	};
	uint8_t bytes[8 * ARRAY_SIZE(numbers)];

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		put_u64(bytes + 8 * i, numbers[i]);
	return format_crc(bytes, sizeof(bytes));
}

/* ------------------------------------------------------------------- writing
 */

static int append(struct mend *m, const uint8_t *blocks, uint64_t n)
{
	uint64_t end = (m->end_block + n) * BLOCK_SIZE;
	int result = 0;

	VDO_ASSERT(n > 0);
	if (end > m->undo->size_bytes)
		result = device_grow(m->undo, end);
	if (result == -ENOTSUP)
		result = -ENOSPC;
	if (result == 0)
		result = device_write(m->undo, m->end_block * BLOCK_SIZE,
				      blocks, n * BLOCK_SIZE);
	if (result == 0)
		m->end_block += n;
	return result;
}

int undo_begin(struct check *c)
{
	uint8_t *block = c->mend.blocks;

	VDO_ASSERT(c->mend.end_block == 0 && c->mend.count == 0);
	memset(block, 0, BLOCK_SIZE);
	memcpy(block, HEADER, 8);
	put_u64(block + 8, c->sb.nonce);
	put_u64(block + 16, c->sb.physical_blocks);
	seal(block);
	return append(&c->mend, block, 1);
}

int undo_store(struct check *c)
{
	struct mend *m = &c->mend;
	uint8_t *block = m->blocks;
	int result;

	VDO_ASSERT(m->count > 0 && m->count <= UNDO_GROUP_MAX);
	memset(block, 0, BLOCK_SIZE);
	memcpy(block, GROUP, 8);
	put_u64(block + 8, c->sb.nonce);
	put_u64(block + 16, m->groups + 1);
	put_u64(block + 24, m->count);
	put_u32(block + 32,
		format_crc(block + BLOCK_SIZE, (size_t)m->count * BLOCK_SIZE));
	for (unsigned i = 0; i < m->count; i++)
		put_u64(block + PLACES_AT + 8 * i,
			m->places[i] | (m->unreadable[i] ? UNREADABLE : 0));
	seal(block);
	result = append(m, block, m->count + 1);
	if (result == 0)
		result = device_flush(m->undo);
	m->groups += result == 0;
	return result;
}

int undo_end(struct check *c)
{
	uint8_t *block = c->mend.blocks;
	int result;

	VDO_ASSERT(c->mend.count == 0);
	memset(block, 0, BLOCK_SIZE);
	memcpy(block, END, 8);
	put_u64(block + 8, c->sb.nonce);
	put_u64(block + 16, c->mend.groups);
	put_u32(block + 24, mark_of(&c->wanted));
	seal(block);
	result = append(&c->mend, block, 1);
	return result == 0 ? device_flush(c->mend.undo) : result;
}

/* -------------------------------------------------------------- putting back
 */

struct undoing {
	struct vdo_device *device, *undo;
	struct geometry geometry;
	struct superblock sb; /* as it is now */
	uint64_t *groups;     /* where they begin */
	size_t count, max;
	bool ended;
	uint32_t mark;	     /* of the super block that the repair left */
	uint32_t first_mark; /* of the one that it found */
	uint8_t *buf;
	uint64_t blocks;
};

static int read_undo(struct undoing *u, uint64_t at, uint64_t n, uint8_t *to)
{
	if ((at + n) * BLOCK_SIZE > u->undo->size_bytes)
		return -ENODATA;
	return device_read(u->undo, at * BLOCK_SIZE, to, n * BLOCK_SIZE);
}

/* Read the group at @at; how many blocks it has, 0 if there is none, or an
 * error. */
static int read_group(struct undoing *u, uint64_t at, uint64_t number)
{
	uint64_t n;
	int result = read_undo(u, at, 1, u->buf);

	if (result != 0)
		return result == -ENODATA ? 0 : result;
	n = get_u64(u->buf + 24);
	if (!is_sealed(u->buf, GROUP, u->sb.nonce) ||
	    get_u64(u->buf + 16) != number || n == 0 || n > UNDO_GROUP_MAX)
		return 0;
	result = read_undo(u, at + 1, n, u->buf + BLOCK_SIZE);
	if (result != 0)
		return result == -ENODATA ? 0 : result;
	if (get_u32(u->buf + 32) !=
	    format_crc(u->buf + BLOCK_SIZE, n * BLOCK_SIZE))
		return 0;
	return (int)n;
}

static int keep_group(struct undoing *u, uint64_t at)
{
	if (u->count == u->max) {
		uint64_t *more = alloc_more(u->groups, &u->max, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		u->groups = more;
	}
	u->groups[u->count++] = at;
	return 0;
}

/* The super block that the repair found. */
static int take_first(struct undoing *u)
{
	struct superblock sb;
	pbn_t start = u->geometry.data_start;

	if (get_u64(u->buf + PLACES_AT) != start - u->geometry.bio_offset ||
	    superblock_decode(u->buf + BLOCK_SIZE, start, &sb) != 0)
		return -VDO_ECHECKSUM;
	u->first_mark = mark_of(&sb);
	return 0;
}

static int find_groups(struct undoing *u)
{
	uint64_t at = 1;
	int n, result = 0;

	while ((n = read_group(u, at, u->count + 1)) > 0) {
		if (u->count == 0)
			result = take_first(u);
		if (result == 0)
			result = keep_group(u, at);
		if (result != 0)
			return result;
		at += (uint64_t)n + 1;
	}
	if (n < 0)
		return n;
	result = read_undo(u, at, 1, u->buf);
	if (result == -ENODATA)
		return 0;
	u->ended = result == 0 && is_sealed(u->buf, END, u->sb.nonce) &&
		   get_u64(u->buf + 16) == u->count;
	u->mark = get_u32(u->buf + 24);
	return result;
}

static int check_header(struct undoing *u, struct vdo_error *error)
{
	int result = read_undo(u, 0, 1, u->buf);

	if (result == -ENODATA ||
	    (result == 0 && memcmp(u->buf, HEADER, 8) != 0))
		return error_set(error, -VDO_ENOTVDO,
				 "this is no undo file of a repair");
	if (result != 0)
		return result;
	if (get_u64(u->buf + 8) != u->sb.nonce ||
	    get_u64(u->buf + 16) != u->sb.physical_blocks)
		return error_set(error, -VDO_ENONCE,
				 "the undo file is of another volume");
	if (!is_sealed(u->buf, HEADER, u->sb.nonce))
		return error_set(error, -VDO_ECHECKSUM,
				 "the undo file is damaged");
	return 0;
}

/* Is the volume as the repair left it, or as it was when that was interrupted?
 */
static int check_unused(struct undoing *u, struct vdo_error *error)
{
	uint32_t mark = mark_of(&u->sb);
	bool marked = u->sb.state == VOLUME_FORCE_REBUILD;

	if (u->count == 0)
		return 0; /* nothing was changed */
	if (u->ended && mark == u->mark &&
	    (marked || u->sb.state == VOLUME_CLEAN))
		return 0;
	if (mark == u->first_mark && marked)
		return 0;
	return error_set(error, -VDO_ECONFLICT,
			 u->ended ? "the volume was used since the repair, "
				    "which can no longer be undone"
				  : "the undo file is damaged, or the volume "
				    "was used since the repair");
}

static int write_super(struct undoing *u, uint32_t state)
{
	int result;

	u->sb.state = state;
	superblock_encode(&u->sb, u->buf);
	result = device_write(
		u->device,
		(u->geometry.data_start - u->geometry.bio_offset) * BLOCK_SIZE,
		u->buf, BLOCK_SIZE);
	return result == 0 ? device_flush(u->device) : result;
}

static int put_back(struct undoing *u, uint64_t group)
{
	int n = read_group(u, u->groups[group], group + 1);
	int result = n < 0 ? n : n == 0 ? -VDO_ECHECKSUM : 0;

	for (int i = n - 1; result == 0 && i >= 0; i--) {
		uint64_t place = get_u64(u->buf + PLACES_AT + 8 * i);

		if (place & UNREADABLE)
			continue;
		if (place >= u->sb.physical_blocks)
			return -VDO_ECHECKSUM;
		if (group == 0 && i == 0) /* the super block comes last */
			result = device_flush(u->device);
		if (result == 0)
			result = device_write(u->device, place * BLOCK_SIZE,
					      u->buf + (i + 1) * BLOCK_SIZE,
					      BLOCK_SIZE);
		u->blocks++;
	}
	return result;
}

static int undo_all(struct undoing *u)
{
	int result = 0;

	if (u->count == 0)
		return 0;
	if (u->sb.state != VOLUME_FORCE_REBUILD)
		result = write_super(u, VOLUME_FORCE_REBUILD);
	for (uint64_t i = u->count; result == 0 && i-- > 0;)
		result = put_back(u, i);
	return result == 0 ? device_flush(u->device) : result;
}

static int run(struct undoing *u, struct vdo_error *error)
{
	int result = super_read(u->device, &u->geometry, &u->sb, error);

	if (result == 0)
		result = check_header(u, error);
	if (result == 0)
		result = find_groups(u);
	if (result == 0)
		result = check_unused(u, error);
	if (result == 0)
		result = undo_all(u);
	return result;
}

int undo_apply(struct vdo_device *device, struct vdo_device *undo,
	       uint64_t *blocks, struct vdo_error *error)
{
	struct undoing u = {.device = device, .undo = undo};
	struct executor *executor = NULL;
	int result;

	VDO_ASSERT(queue_running == NULL);
	if ((device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	u.buf = alloc_aligned(BLOCK_SIZE, UNDO_GROUP_MAX + 1, BLOCK_SIZE);
	result = u.buf == NULL ? -ENOMEM : executor_inline_create(&executor);
	if (result == 0)
		result = device_claim(device, executor);
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	if (result == 0) {
		result = run(&u, error);
		device_release(device);
	}
	if (blocks != NULL)
		*blocks = u.blocks;
	executor_destroy(executor);
	alloc_free(u.groups);
	alloc_free(u.buf);
	return result;
}
