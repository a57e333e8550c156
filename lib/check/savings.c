/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of things:
 *
 *	counts	of a volume that was closed: what is used, exactly (usage.c)
 *	journal	of any other: what recovery would put into the block map
 *	map	what is stored for the range, and how [savings_map]
 *	data	of the range, if that is asked for [savings_why]
 *
 * Without counts, what mappings lead to is what is used.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/savings_priv.h"

/* ------------------------------------------------------------------- making */

static int refuse_state(const struct savings *s, struct vdo_error *error)
{
	switch (s->u->sb.state) {
	case VOLUME_READ_ONLY:
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return error_set(error, -VDO_EREBUILD,
				 "the volume went read-only, and what it saves "
				 "cannot be told; rebuild it first");
	default:
		return 0;
	}
}

static int take_range(struct savings *s, const struct vdo_savings_range *range,
		      struct vdo_error *error)
{
	uint64_t size = s->u->sb.logical_blocks * BLOCK_SIZE;

	s->count = s->u->sb.logical_blocks;
	if (range == NULL)
		return 0;
	if (range->offset >= size || range->length > size - range->offset)
		return error_set(error, -EINVAL,
				 "the range is not of the volume, which has "
				 "%llu bytes",
				 (unsigned long long)size);
	s->first = range->offset / BLOCK_SIZE;
	s->count -= s->first;
	if (range->length > 0)
		s->count = range->length / BLOCK_SIZE;
	s->has_range = s->count < s->u->sb.logical_blocks;
	return 0;
}

static void begin(struct savings *s)
{
	const struct vdo_usage *u = &s->u->result;

	VDO_ASSERT(s->count > 0 &&
		   s->first + s->count <= s->u->sb.logical_blocks);
	s->part_blocks = SAVINGS_PART_BLOCKS;
	if (!s->has_range && !(s->flags & VDO_SAVINGS_WHY))
		s->part_blocks *= 2;
	s->name_slots = SAVINGS_NAME_SLOTS;
	s->first_walk = true;
	s->result = (struct vdo_savings){
		.state_name = u->state_name,
		.physical_blocks = u->physical_blocks,
		.overhead_blocks = u->overhead_blocks,
		.first_block = s->first,
		.logical_blocks = s->count,
	};
}

int savings_create(struct vdo_device *device,
		   const struct vdo_savings_range *range, unsigned flags,
		   struct savings **savings, struct vdo_error *error)
{
	struct savings *s = alloc_zeroed(1, sizeof(*s));
	int result;

	if (s == NULL)
		return -ENOMEM;
	s->flags = flags;
	result = usage_create(device, false, &s->u, error);
	if (result == 0)
		result = refuse_state(s, error);
	if (result == 0)
		result = take_range(s, range, error);
	if (result != 0) {
		savings_destroy(s);
		return result;
	}
	begin(s);
	*savings = s;
	return 0;
}

void savings_destroy(struct savings *s)
{
	if (s == NULL)
		return;
	savings_free_part(s);
	names_free(&s->names);
	check_journal_free(&s->journal);
	usage_destroy(s->u);
	alloc_free(s);
}

/* ------------------------------------------------------------------ journal */

static int read_journal(void *arg, pbn_t pbn, uint64_t count, void *to)
{
	struct savings *s = arg;

	return usage_read(s->u, pbn, count, to);
}

/* Was it closed, so that the block map is complete? */
static bool is_saved(const struct savings *s)
{
	return s->u->sb.state == VOLUME_NEW || s->u->sb.state == VOLUME_CLEAN ||
	       s->u->sb.state == VOLUME_RECOVERING;
}

static int take_journal(struct savings *s, struct vdo_error *error)
{
	struct check_journal *j = &s->journal;
	int result;

	if (is_saved(s))
		return 0;
	s->result.replayed = true;
	savings_phase(s, "reading the journal", s->u->sb.recovery_journal_size);
	result = check_journal_load(j, &s->u->sb, false, read_journal, s);
	if (result == 0 && j->wrong == NULL)
		result = check_journal_overlay(j);
	if (result == 0 && j->wrong == NULL && j->invalid == 0)
		return 0;
	if (result != 0)
		return result;
	result = j->why != 0 ? j->why : -VDO_ECORRUPT;
	return error_set(error, result,
			 "the volume was not closed, and its journal cannot be "
			 "replayed (%s); check it",
			 j->wrong != NULL ? j->wrong : j->why_invalid);
}

/* --------------------------------------------------------------------- sums */

static void sum_range(struct savings *s)
{
	struct vdo_savings *r = &s->result;
	uint64_t mapped = r->uncompressed + r->compressed;
	uint64_t distinct = r->distinct_uncompressed + r->distinct_compressed;

	/* Each logical block was met once at most, whatever the pages say. */
	VDO_ASSERT(r->zero + mapped <= r->logical_blocks);
	VDO_ASSERT(r->stored_blocks <= distinct);
	r->unmapped = r->logical_blocks - r->zero - mapped;
	/* Another walk may have read something else, from bad storage. */
	r->saved_by_deduplication = mapped - MIN(distinct, mapped);
	r->saved_by_compression = distinct - r->stored_blocks;
}

static void sum_volume(struct savings *s)
{
	const struct vdo_usage *u = &s->u->result;
	const struct slab_geometry *g = &s->u->slabs;
	struct vdo_savings *r = &s->result;
	uint64_t all = g->slab_count * g->data_blocks;
	uint64_t used = MIN(s->stored + s->pages, all);

	r->counted = u->level >= VDO_USAGE_COUNTED;
	if (r->counted)
		used = u->data_blocks + u->block_map_blocks;
	r->block_map_blocks = MIN(s->pages, used);
	r->data_blocks = used - r->block_map_blocks;
	r->free_blocks = all - used;
	if (r->data_blocks > s->stored)
		r->unreferenced_blocks = r->data_blocks - s->stored;
}

/* ---------------------------------------------------------------------- job */

static int describe(int result, struct vdo_error *error)
{
	if (result == -VDO_ECORRUPT)
		return error_set(error, result,
				 "pages of the block map lead to each other: it "
				 "is damaged, and what is saved cannot be told; "
				 "check the volume");
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	return error_set(error, result,
			 "the volume cannot be read: %s; check the storage",
			 vdo_strerror(result));
}

int savings_run(struct savings *s, struct vdo_error *error)
{
	int result = usage_run(s->u, error);

	if (result != 0)
		return result;
	if (s->u->sb.state != VOLUME_NEW) {
		result = take_journal(s, error);
		if (result != 0 && s->journal.wrong == NULL &&
		    s->journal.invalid == 0)
			return describe(result, error);
		if (result != 0)
			return result;
		result = savings_map(s);
	}
	if (result == 0)
		sum_range(s);
	if (result == 0 && s->flags & VDO_SAVINGS_WHY)
		result = savings_why(s);
	if (result != 0)
		return describe(result, error);
	sum_volume(s);
	/* Of what is damaged less was read. */
	counter_set(&s->u->done, counter_get(&s->u->total));
	return 0;
}

void savings_stop(struct savings *s)
{
	usage_stop(s->u);
}

void savings_progress(struct savings *s, struct vdo_job_progress *p)
{
	usage_progress(s->u, p);
}

const struct vdo_savings *savings_result(const struct savings *s)
{
	return &s->result;
}
