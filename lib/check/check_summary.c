/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slab summary: read before all slabs, judged with each, and written at the
 * end if an entry of it changed. Of each slab one copy counts (V 7.4).
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "format/slab.h"

static pbn_t summary_block(const struct check *c, uint64_t slab,
			   uint64_t *offset)
{
	unsigned zones = MIN(MAX(c->sb.zone_count, 1), PHYSICAL_ZONES_MAX);
	uint64_t byte = slab % zones * SUMMARY_ZONE_BLOCKS * BLOCK_SIZE +
			slab * SUMMARY_ENTRY_SIZE;

	*offset = byte;
	return c->sb.partitions[PARTITION_SUMMARY].start + byte / BLOCK_SIZE;
}

static struct summary_entry initial_entry(const struct check *c)
{
	return (struct summary_entry){
		.hint = slab_summary_hint(c->slabs.slab_shift,
					  c->slabs.data_blocks),
	};
}

/* Notes which blocks cannot be read. */
static int read_summary(struct check *c)
{
	pbn_t start = c->sb.partitions[PARTITION_SUMMARY].start;
	int result = check_read(c, start, SUMMARY_BLOCKS, c->summary);

	VDO_ASSERT(c->summary_unreadable == 0);
	if (result == 0 || result == -ECANCELED || result == -ENOMEM)
		return result;
	for (unsigned i = 0; i < SUMMARY_BLOCKS; i++) {
		result = check_read(c, start + i, 1,
				    c->summary + i * BLOCK_SIZE);
		if (result == -ECANCELED || result == -ENOMEM)
			return result;
		if (result == 0)
			continue;
		c->summary_unreadable |= UINT64_C(1) << i;
		memset(c->summary + i * BLOCK_SIZE, 0, BLOCK_SIZE);
	}
	return 0;
}

static void take_entry(struct check *c, uint64_t slab)
{
	struct summary_entry e;
	uint64_t offset;

	(void)summary_block(c, slab, &offset);
	e = slab_summary_decode(c->summary + offset);
	c->entries[slab] = e;
	if (!check_is_pristine(e))
		c->slab_flags[slab] |= SLAB_USED;
	if (c->summary_unreadable >> offset / BLOCK_SIZE & 1) {
		c->slab_flags[slab] |= SLAB_USED;
		check_spoil(c, slab, true);
	}
}

int check_summary(struct check *c)
{
	int result = 0;

	c->summary = alloc_aligned(BLOCK_SIZE, SUMMARY_BLOCKS, BLOCK_SIZE);
	if (c->summary == NULL)
		return -ENOMEM;
	if (c->sb.state == VOLUME_NEW) { /* it is not there yet */
		for (uint64_t i = 0; i < c->slabs.slab_count; i++)
			c->entries[i] = initial_entry(c);
		return 0;
	}
	check_phase(c, "reading the slab summary", SUMMARY_BLOCKS);
	result = read_summary(c);
	for (uint64_t i = 0; result == 0 && i < c->slabs.slab_count; i++)
		take_entry(c, i);
	return result;
}

void check_entry(struct check *c, uint64_t slab)
{
	struct summary_entry e = c->entries[slab];
	const char *wrong =
		slab_summary_check(e, c->sb.slab.slab_journal_blocks);
	uint64_t offset;
	pbn_t pbn = summary_block(c, slab, &offset);

	if (wrong != NULL)
		check_tell_slab(c,
				e.tail_offset < c->sb.slab.slab_journal_blocks
					? VDO_CHECK_SUMMARY_FLAGS
					: VDO_CHECK_SUMMARY_TAIL,
				slab, pbn, wrong, true);
}

void check_hint(struct check *c, uint64_t slab, uint64_t free_blocks)
{
	uint8_t hint = slab_summary_hint(c->slabs.slab_shift, free_blocks);
	struct summary_entry *e = &c->entries[slab];
	struct vdo_check_finding f;
	uint64_t offset;

	if (c->sb.state != VOLUME_CLEAN || !check_frees(c) ||
	    c->slab_flags[slab] & SLAB_BAD ||
	    (hint <= e->hint + 1u && e->hint <= hint + 1u))
		return;
	f = finding_of_slab(c, VDO_CHECK_SUMMARY_HINT, slab,
			    summary_block(c, slab, &offset));
	f.slot = offset % BLOCK_SIZE / SUMMARY_ENTRY_SIZE;
	finding_found(&f, "%u", e->hint);
	finding_expected(&f, "%u", hint);
	if (finding_tell(c, &f)) {
		e->hint = hint;
		c->summary_changed = true;
	}
}

/* Slabs that volumes may grow by. */
static void check_spare(struct check *c, uint64_t slab)
{
	struct vdo_check_finding f;
	uint64_t offset;
	pbn_t pbn = summary_block(c, slab, &offset);

	if (check_is_pristine(slab_summary_decode(c->summary + offset)))
		return;
	VDO_ASSERT(slab >= c->slabs.slab_count);
	f = finding_of_slab(c, VDO_CHECK_SUMMARY_SPARE, slab, pbn);
	f.slot = offset % BLOCK_SIZE / SUMMARY_ENTRY_SIZE;
	finding_found(&f, "tail %u, flags %u", c->summary[offset],
		      c->summary[offset + 1] >> 6);
	finding_expected(&f, "tail 0, flags 0");
	if (finding_tell(c, &f))
		c->summary_changed = true;
}

/* All copies, as they are to be. */
static int write_summary(struct check *c)
{
	struct summary_entry spare = initial_entry(c);
	uint8_t *copy =
		alloc_aligned(BLOCK_SIZE, SUMMARY_ZONE_BLOCKS, BLOCK_SIZE);
	int result = copy == NULL ? -ENOMEM : 0;

	for (uint64_t i = 0; result == 0 && i < SLABS_MAX; i++)
		slab_summary_encode(copy + i * SUMMARY_ENTRY_SIZE,
				    i < c->slabs.slab_count ? c->entries[i]
							    : spare);
	for (unsigned i = 0; result == 0 && i < SUMMARY_BLOCKS; i++) {
		const uint8_t *block =
			copy + i % SUMMARY_ZONE_BLOCKS * BLOCK_SIZE;

		if (c->summary_unreadable >> i & 1 ||
		    memcmp(block, c->summary + i * BLOCK_SIZE, BLOCK_SIZE))
			result = mend_write(
				c,
				c->sb.partitions[PARTITION_SUMMARY].start + i,
				block);
	}
	alloc_free(copy);
	return result;
}

static void tell_unreadable(struct check *c)
{
	for (unsigned i = 0; i < SUMMARY_BLOCKS; i++) {
		struct vdo_check_finding f =
			finding_make(c, VDO_CHECK_SUMMARY_UNREADABLE);

		if (!(c->summary_unreadable >> i & 1))
			continue;
		f.block = check_block(
			c, c->sb.partitions[PARTITION_SUMMARY].start + i);
		finding_found(&f, "%s", vdo_strerror(-EIO));
		if (finding_tell(c, &f))
			c->summary_changed = true;
	}
}

int check_summary_end(struct check *c)
{
	if (c->sb.state == VOLUME_NEW || check_counts_are_void(c))
		return 0;
	tell_unreadable(c);
	for (uint64_t i = c->slabs.slab_count; i < SLABS_MAX; i++)
		check_spare(c, i);
	return check_repairs(c) && c->summary_changed ? write_summary(c) : 0;
}
