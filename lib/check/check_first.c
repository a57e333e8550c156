/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a volume begins with: geometry, super block, recovery journal.
 *
 * The first two are read when a check is created, so that what is no volume at
 * all is refused; what is damaged of them is told once it runs.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/error.h"
#include "check/check_priv.h"
#include "io/device.h"

/* -------------------------------------------------------------- first blocks
 */

static int wrong_first(struct check *c, enum vdo_check_code code,
		       uint64_t block, const char *found)
{
	c->first_wrong = finding_make(c, code);
	c->first_wrong.block = block;
	finding_found(&c->first_wrong, "%s", found);
	c->has_first_wrong = true;
	return 0;
}

static int read_super(struct check *c, uint8_t *block, struct vdo_error *error)
{
	uint64_t blocks = c->device->size_bytes / BLOCK_SIZE;
	pbn_t start = c->geometry.data_start;
	uint64_t at = start - c->geometry.bio_offset;
	const char *why = NULL;
	int result;

	if (start <= c->geometry.bio_offset || at >= blocks)
		return wrong_first(c, VDO_CHECK_TRUNCATED, at,
				   "no super block");
	result = device_read(c->device, at * BLOCK_SIZE, block, BLOCK_SIZE);
	if (result == -ENOMEM)
		return result;
	if (result != 0)
		return wrong_first(c, VDO_CHECK_SUPER_UNREADABLE, at,
				   vdo_strerror(result));
	result = superblock_decode(block, start, &c->sb);
	if (result == -VDO_EVERSION)
		return error_set(error, result,
				 "the super block has an unknown version; this "
				 "needs a newer library");
	if (result == -VDO_ECHECKSUM)
		return wrong_first(c, VDO_CHECK_SUPER_CHECKSUM, at, "");
	if (result != 0)
		return wrong_first(c, VDO_CHECK_SUPER_DAMAGED, at,
				   vdo_strerror(result));
	result = superblock_validate(&c->sb, &c->geometry, &why);
	if (result != 0)
		return wrong_first(c,
				   result == -VDO_ENONCE
					   ? VDO_CHECK_SUPER_NONCE
					   : VDO_CHECK_SUPER_INVALID,
				   at, why != NULL ? why : "");
	if (c->sb.physical_blocks > blocks)
		return wrong_first(c, VDO_CHECK_TRUNCATED, at, "too short");
	c->usable = true;
	return 0;
}

int check_first(struct check *c, struct vdo_error *error)
{
	uint8_t block[BLOCK_SIZE];
	int result;

	if (c->device->size_bytes < BLOCK_SIZE)
		return error_set(error, -VDO_ENOTVDO,
				 "this holds no volume, it has only %llu bytes",
				 (unsigned long long)c->device->size_bytes);
	result = device_read(c->device, 0, block, BLOCK_SIZE);
	if (result != 0)
		return error_set(
			error, result,
			"block 0 cannot be read: %s; check the storage",
			vdo_strerror(result));
	result = geometry_decode(block, &c->geometry);
	if (result == -VDO_ENOTVDO)
		return error_set(error, result,
				 "no VDO volume is here (the magic number is "
				 "missing); give another file");
	if (result == -VDO_EVERSION)
		return error_set(error, result,
				 "the geometry block has an unknown version; "
				 "this needs a newer library");
	if (result != 0)
		return wrong_first(c, VDO_CHECK_GEOMETRY, 0,
				   vdo_strerror(result));
	return read_super(c, block, error);
}

/* --------------------------------------------------------------- super block
 */

static struct vdo_check_finding of_super(const struct check *c,
					 enum vdo_check_code code)
{
	struct vdo_check_finding f = finding_make(c, code);

	f.block = check_block(c, c->geometry.data_start);
	return f;
}

/* Is it to be mended? */
static bool tell_number(struct check *c, enum vdo_check_code code,
			uint64_t found, uint64_t expected)
{
	struct vdo_check_finding f = of_super(c, code);

	finding_found(&f, "%llu", (unsigned long long)found);
	finding_expected(&f, "%llu", (unsigned long long)expected);
	return finding_tell(c, &f);
}

void check_super(struct check *c)
{
	const struct superblock *sb = &c->sb;
	struct slab_config want;

	if (sb->state == VOLUME_READ_ONLY || check_counts_are_void(c)) {
		struct vdo_check_finding f =
			of_super(c, VDO_CHECK_NEEDS_REBUILD);

		finding_found(&f, "state %s", superblock_state_name(sb->state));
		finding_expected(&f, "state clean");
		(void)finding_tell(c, &f);
	}
	if (sb->root_count != ROOT_COUNT)
		(void)tell_number(c, VDO_CHECK_ROOT_COUNT, sb->root_count,
				  ROOT_COUNT);
	if (slab_config_compute(sb->slab_size, sb->slab_journal_blocks,
				&want) == 0 &&
	    (want.slab_blocks != sb->slab.slab_blocks ||
	     want.slab_journal_blocks != sb->slab.slab_journal_blocks ||
	     want.data_blocks != sb->slab.data_blocks))
		(void)tell_number(c, VDO_CHECK_SLAB_CONFIG,
				  sb->slab.data_blocks, want.data_blocks);
	if (sb->state == VOLUME_CLEAN && sb->zone_count == 0 &&
	    tell_number(c, VDO_CHECK_ZONE_COUNT, 0, 1))
		c->wanted.zone_count = 1;
}

void check_totals(struct check *c)
{
	bool replayed = !check_saved(c);
	uint64_t used = replayed ? c->journal.bounds.logical_blocks_used
				 : c->sb.logical_blocks_used;
	uint64_t pages = check_pages_told(c);

	if (!check_has_totals(c) || c->map_damaged)
		return;
	if (used != c->used &&
	    tell_number(c, VDO_CHECK_LOGICAL_USED, used, c->used))
		c->wanted.logical_blocks_used = c->used;
	if (pages != c->pages &&
	    tell_number(c, VDO_CHECK_MAP_PAGES, pages, c->pages))
		c->wanted.block_map_data_blocks = c->pages;
}

/* ------------------------------------------------------------------- journal
 */

static struct vdo_check_finding of_journal(const struct check *c,
					   enum vdo_check_code code,
					   uint64_t index)
{
	struct vdo_check_finding f = finding_make(c, code);

	f.block = check_block(c, c->sb.partitions[PARTITION_JOURNAL].start +
					 index % c->sb.recovery_journal_size);
	return f;
}

static int count_entry(void *arg, const struct replay_entry *e)
{
	struct check *c = arg;

	c->report.journal_entries++;
	return 0;
}

/* What is replayed: all entries can be, and the map gets its part of them. */
static int take_entries(struct check *c)
{
	struct check_journal *j = &c->journal;
	int result = check_journal_each(j, j->bounds.first, count_entry, c);

	if (result != 0)
		return result;
	if (j->invalid > 0 && !check_counts_are_void(c)) {
		struct vdo_check_finding f = of_journal(
			c, VDO_CHECK_JOURNAL_ENTRY, j->first_invalid.seq);

		f.slot = j->first_invalid.entry;
		finding_found(&f, "%s", j->why_invalid);
		(void)finding_tell(c, &f);
	}
	result = check_journal_overlay(j);
	return result == 0 && !check_counts_are_void(c) ? check_strays(c)
							: result;
}

static bool has_bit(const uint8_t *bits, uint64_t i)
{
	return (bits[i / 8] >> i % 8 & 1) != 0;
}

/* A block that is not replayed, but would spoil the next recovery; nothing is
 * lost if it is wiped. */
static int take_stale(struct check *c, uint64_t index, enum vdo_check_code code)
{
	static const uint8_t nothing[BLOCK_SIZE];
	struct vdo_check_finding f = of_journal(c, code, index);

	if (code == VDO_CHECK_JOURNAL_AHEAD)
		finding_expected(&f, "none from %llu on",
				 (unsigned long long)c->sb.journal_start);
	if (!finding_tell(c, &f))
		return 0;
	return mend_write(c, c->sb.partitions[PARTITION_JOURNAL].start + index,
			  nothing);
}

static int check_saved_journal(struct check *c)
{
	const struct check_journal *j = &c->journal;
	int result = 0;

	if (j->ahead_count + j->odd_count == 0)
		return 0;
	for (uint64_t i = 0; result == 0 && i < j->facts.blocks; i++) {
		if (has_bit(j->ahead, i))
			result = take_stale(c, i, VDO_CHECK_JOURNAL_AHEAD);
		else if (has_bit(j->odd, i))
			result = take_stale(c, i, VDO_CHECK_JOURNAL_HEADS);
	}
	return result;
}

int check_journal(struct check *c)
{
	struct check_journal *j = &c->journal;
	bool is_void = check_counts_are_void(c);
	struct vdo_check_finding f;
	int result;

	check_phase(c, "reading the journal", c->sb.recovery_journal_size);
	result = check_journal_load(j, &c->sb, is_void, check_read, c);
	if (result != 0)
		return result;
	if (c->sb.state == VOLUME_NEW) { /* what is not ours does not count */
		j->why = 0;
		return check_saved_journal(c);
	}
	if (j->unreadable > 0) {
		f = finding_make(c, VDO_CHECK_JOURNAL_UNREADABLE);
		f.block = check_block(c, j->first_unreadable);
		finding_found(&f, "%llu blocks",
			      (unsigned long long)j->unreadable);
		(void)finding_tell(c, &f);
	}
	if (check_saved(c)) { /* what it would be is of no interest */
		j->why = 0;
		return check_saved_journal(c);
	}
	if (j->wrong == NULL)
		return take_entries(c);
	f = of_journal(c,
		       j->why == -VDO_EVERSION ? VDO_CHECK_JOURNAL_OLD
					       : VDO_CHECK_JOURNAL_DAMAGED,
		       0);
	finding_found(&f, "%s", j->wrong);
	(void)finding_tell(c, &f);
	return 0;
}
