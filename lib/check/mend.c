/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a repair writes, a group of blocks at a time:
 *
 *	old contents -> undo file, durable -> new contents	(D16)
 *
 * Before the first of them the super block is marked for a rebuild, so that
 * until the last one nobody uses what is half mended, also after a crash: a
 * rebuild makes counts, journals and summary anew from a map that is the old
 * one or the mended one, page by page. At the end, when all is durable, the
 * super block says CLEAN again.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "format/slab.h"
#include "io/device.h"

static int begin(struct check *c)
{
	struct mend *m = &c->mend;

	VDO_ASSERT(m->undo != NULL && m->blocks == NULL);
	m->blocks = alloc_aligned(BLOCK_SIZE, UNDO_GROUP_MAX + 1, BLOCK_SIZE);
	m->fresh = alloc_aligned(BLOCK_SIZE, UNDO_GROUP_MAX, BLOCK_SIZE);
	return m->blocks == NULL || m->fresh == NULL ? -ENOMEM : undo_begin(c);
}

/* Add a block to the group, with what is there now. */
static int add(struct check *c, uint64_t place, const void *bytes)
{
	struct mend *m = &c->mend;
	uint8_t *old = m->blocks + (size_t)(m->count + 1) * BLOCK_SIZE;
	int result =
		device_read(c->device, place * BLOCK_SIZE, old, BLOCK_SIZE);

	VDO_ASSERT(m->count < UNDO_GROUP_MAX);
	if (result == -ENOMEM)
		return result;
	m->unreadable[m->count] = result != 0;
	if (result != 0)
		memset(old, 0, BLOCK_SIZE);
	m->places[m->count] = place;
	memcpy(m->fresh + (size_t)m->count * BLOCK_SIZE, bytes, BLOCK_SIZE);
	m->count++;
	return 0;
}

/* The undo file has the group; now the storage gets it. */
static int store(struct check *c)
{
	struct mend *m = &c->mend;
	int result = undo_store(c);

	for (unsigned i = 0; result == 0 && i < m->count; i++)
		result = device_write(c->device, m->places[i] * BLOCK_SIZE,
				      m->fresh + (size_t)i * BLOCK_SIZE,
				      BLOCK_SIZE);
	c->report.blocks_changed += m->count;
	m->count = 0;
	return result;
}

static int write_super(struct check *c, const struct superblock *sb)
{
	uint8_t block[BLOCK_SIZE];
	int result;

	superblock_encode(sb, block);
	result = add(c, check_block(c, c->geometry.data_start), block);
	if (result == 0)
		result = store(c);
	return result == 0 ? device_flush(c->device) : result;
}

/* Mark the volume. */
static int mark(struct check *c)
{
	struct superblock sb = c->sb;
	int result = begin(c);

	VDO_ASSERT(check_repairs(c) && c->sb.state == VOLUME_CLEAN);
	if (result != 0)
		return result;
	if (check_is_stopped(c))
		return -ECANCELED;
	c->mend.begun = true;
	sb.state = VOLUME_FORCE_REBUILD;
	return write_super(c, &sb);
}

static bool is_in_group(const struct mend *m, uint64_t place)
{
	for (unsigned i = 0; i < m->count; i++)
		if (m->places[i] == place)
			return true;
	return false;
}

int mend_write(struct check *c, pbn_t pbn, const void *bytes)
{
	struct mend *m = &c->mend;
	uint64_t place = check_block(c, pbn);
	int result = m->begun ? 0 : mark(c);

	VDO_ASSERT(pbn > c->geometry.data_start && pbn < c->sb.physical_blocks);
	if (result == 0 &&
	    (m->count == UNDO_GROUP_MAX || is_in_group(m, place)))
		result = store(c);
	return result == 0 ? add(c, place, bytes) : result;
}

int mend_flush(struct check *c)
{
	return c->mend.count > 0 ? store(c) : 0;
}

static bool super_changes(const struct check *c)
{
	const struct superblock *a = &c->sb, *b = &c->wanted;

	return a->zone_count != b->zone_count ||
	       a->logical_blocks_used != b->logical_blocks_used ||
	       a->block_map_data_blocks != b->block_map_data_blocks;
}

int mend_end(struct check *c)
{
	int result = 0;

	if (!check_repairs(c) || (!c->mend.begun && !super_changes(c)))
		return 0;
	if (!c->mend.begun)
		result = mark(c);
	if (result == 0)
		result = mend_flush(c);
	if (result == 0)
		result = device_flush(c->device);
	if (result == 0)
		result = undo_end(c);
	if (result == 0) {
		uint8_t block[BLOCK_SIZE];

		VDO_ASSERT(c->wanted.state == VOLUME_CLEAN);
		superblock_encode(&c->wanted, block);
		result = device_write(c->device,
				      check_block(c, c->geometry.data_start) *
					      BLOCK_SIZE,
				      block, BLOCK_SIZE);
	}
	if (result == 0)
		result = device_flush(c->device);
	c->mend.ended = result == 0;
	return result;
}

void mend_free(struct check *c)
{
	alloc_free(c->mend.blocks);
	alloc_free(c->mend.fresh);
	c->mend.blocks = c->mend.fresh = NULL;
}

/* ----------------------------------------------------------------- one slab */

static uint8_t fresh_count(const struct check *c, uint32_t place,
			   uint64_t offset)
{
	uint64_t at = check_at(c, place, offset);
	unsigned n = check_wanted(c->refs[at]);

	if (!check_frees(c))
		n = MAX(n, c->counts[at]);
	VDO_ASSERT(n <= REFS_MAX);
	return (uint8_t)n;
}

/* A block of counts; how many are not zero. */
static uint64_t fill_counts(const struct check *c, uint32_t place,
			    uint64_t block, uint8_t *bytes)
{
	uint64_t first = block * COUNTS_PER_BLOCK, used = 0;

	memset(bytes, 0, BLOCK_SIZE);
	for (uint64_t i = 0;
	     i < COUNTS_PER_BLOCK && first + i < c->slabs.data_blocks; i++) {
		uint8_t n = fresh_count(c, place, first + i);
		uint64_t sector = i / COUNTS_PER_SECTOR;

		bytes[sector * SECTOR_SIZE + SECTOR_SIZE - COUNTS_PER_SECTOR +
		      i % COUNTS_PER_SECTOR] = n;
		used += n != 0;
	}
	return used;
}

int mend_slab(struct check *c, uint32_t place)
{
	const struct slab_config *sc = &c->sb.slab;
	uint32_t slab = c->part[place].number;
	pbn_t pbn = slab_start(&c->slabs, slab) + sc->data_blocks;
	uint8_t *bytes = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	uint64_t used = 0;
	int result = bytes == NULL ? -ENOMEM : 0;

	for (uint64_t i = 0; result == 0 && i < sc->reference_count_blocks;
	     i++) {
		used += fill_counts(c, place, i, bytes);
		result = mend_write(c, pbn++, bytes);
	}
	if (result == 0)
		memset(bytes, 0, BLOCK_SIZE);
	for (uint64_t i = 0; result == 0 && i < sc->slab_journal_blocks; i++)
		result = mend_write(c, pbn++, bytes);
	alloc_free(bytes);
	/* As a rebuild leaves it (V 10.4). */
	c->entries[slab] = (struct summary_entry){
		.hint = slab_summary_hint(c->slabs.slab_shift,
					  c->slabs.data_blocks - used),
		.load = used > 0,
	};
	c->summary_changed = true;
	return result;
}
