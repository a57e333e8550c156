/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of a check:
 *
 *	first blocks	geometry, super block [check_first]; without them
 *			nothing else is looked at
 *	journal		what recovery would replay [check_journal]
 *	summary		which slabs are in use
 *	parts		slabs in use, as many as memory allows: the block map,
 *			their counts, their data; then slabs that something leads
 *			to although they are not
 *	totals, summary, super block, logical blocks, index
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "check/check_priv.h"
#include "exec/executor.h"
#include "io/device.h"

bool check_is_stopped(const struct check *c)
{
	return atomic_load_explicit(&c->stop, memory_order_relaxed);
}

int check_read(void *check, pbn_t pbn, uint64_t count, void *to)
{
	struct check *c = check;
	int result;

	VDO_ASSERT(count > 0 && pbn + count <= c->sb.physical_blocks);
	/* What has begun to write goes on to its end. */
	if (check_is_stopped(c) && !c->mend.begun)
		return -ECANCELED;
	result = device_read(c->device, check_block(c, pbn) * BLOCK_SIZE, to,
			     count * BLOCK_SIZE);
	counter_add(&c->done, count * BLOCK_SIZE);
	return result;
}

void check_phase(struct check *c, const char *phase, uint64_t total_blocks)
{
	counter_set(&c->total, 0);
	counter_set(&c->done, 0);
	atomic_store(&c->phase, phase);
	counter_set(&c->total, total_blocks * BLOCK_SIZE);
}

static bool needs_rebuild(const struct check *c)
{
	return c->sb.state == VOLUME_READ_ONLY ||
	       c->sb.state == VOLUME_FORCE_REBUILD ||
	       c->sb.state == VOLUME_REBUILD_FOR_UPGRADE;
}

/* Why a volume that needs a rebuild is not repaired. */
static int refuse_repair(const struct check *c, struct vdo_error *error)
{
	if (!needs_rebuild(c))
		return 0;
	return error_set(
		error, -VDO_EREBUILD,
		"the volume needs a rebuild, which mends what a repair "
		"would");
}

/* Why a volume that was not closed is not: its journal is read, and what is
 * wrong with that is told to nobody. */
static int refuse_dirty(struct check *c, struct vdo_error *error)
{
	const uint64_t *found = c->report.by_code;
	int result;

	VDO_ASSERT(check_repairs(c) && !needs_rebuild(c));
	c->fn = NULL;
	c->flags &= ~(unsigned)(VDO_CHECK_REPAIR | VDO_CHECK_LOSE);
	result = check_journal(c);
	check_journal_free(&c->journal);
	if (result != 0)
		return result;
	if (found[VDO_CHECK_JOURNAL_DAMAGED] + found[VDO_CHECK_JOURNAL_OLD] +
		    found[VDO_CHECK_JOURNAL_ENTRY] >
	    0)
		return error_set(error, -VDO_EDIRTY,
				 "the volume was not closed, and its journal "
				 "cannot be replayed; rebuild it by force, "
				 "which mends what a repair would");
	return error_set(error, -VDO_EDIRTY,
			 "the volume was not closed; open it once to recover "
			 "it, then repair it");
}

static int create_tables(struct check *c)
{
	uint64_t n = c->slabs.slab_count;

	VDO_ASSERT(c->usable && n > 0);
	c->entries = alloc_zeroed(n, sizeof(*c->entries));
	c->slab_flags = alloc_zeroed(n, 1);
	c->places = alloc_zeroed(n, sizeof(*c->places));
	return c->entries == NULL || c->slab_flags == NULL || c->places == NULL
		       ? -ENOMEM
		       : 0;
}

static int begin(struct check *c, struct vdo_error *error)
{
	int result = executor_inline_create(&c->executor);

	if (result == 0)
		result = device_claim(c->device, c->executor);
	c->claimed = result == 0;
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	if (result == 0)
		result = check_first(c, error);
	if (result != 0 || !c->usable)
		return result;
	layout_slab_geometry_init(&c->slabs, &c->sb);
	c->wanted = c->sb;
	c->report.state_name = superblock_state_name(c->sb.state);
	c->report.replayed = !check_saved(c);
	if (check_repairs(c))
		result = refuse_repair(c, error);
	return result == 0 ? create_tables(c) : result;
}

int check_create(const struct check_config *config, struct check **check,
		 struct vdo_error *error)
{
	struct check *c;
	int result;

	VDO_ASSERT(queue_running == NULL);
	if ((config->flags & VDO_CHECK_REPAIR) != 0 &&
	    (config->device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	c = alloc_zeroed(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->device = config->device;
	c->mend.undo = config->undo;
	c->flags = config->flags;
	c->fn = config->fn;
	c->arg = config->arg;
	c->settings = *config->settings;
	c->part_blocks = CHECK_PART_BLOCKS;
	c->first = true;
	atomic_init(&c->stop, false);
	atomic_init(&c->phase, "checking");
	atomic_init(&c->reindex, NULL);
	result = begin(c, error);
	if (result != 0) {
		check_destroy(c);
		return result;
	}
	*check = c;
	return 0;
}

static void free_part(struct check *c)
{
	alloc_free(c->part);
	alloc_table_free(c->refs, c->refs_bytes);
	alloc_table_free(c->forms, c->forms_bytes);
	alloc_table_free(c->counts, c->counts_bytes);
	alloc_table_free(c->points, c->points_bytes);
	c->part = NULL;
	c->refs = c->forms = NULL;
	c->counts = NULL;
	c->points = NULL;
	c->part_count = 0;
}

void check_destroy(struct check *c)
{
	if (c == NULL)
		return;
	VDO_ASSERT(queue_running == NULL);
	reindex_destroy(c->verify);
	reindex_destroy(c->rebuild);
	if (c->claimed)
		device_release(c->device);
	executor_destroy(c->executor);
	free_part(c);
	findings_free(c);
	mend_free(c);
	check_journal_free(&c->journal);
	alloc_free(c->summary);
	alloc_free(c->entries);
	alloc_free(c->slab_flags);
	alloc_free(c->places);
	alloc_free(c);
}

/* --------------------------------------------------------------------- parts
 */

static void *table(size_t *bytes, uint64_t n, size_t size)
{
	*bytes = MAX(n * size, 1);
	return alloc_table(*bytes);
}

static int create_part(struct check *c, uint32_t count)
{
	uint64_t n = count * c->slabs.data_blocks;
	uint64_t sectors = count * c->sb.slab.reference_count_blocks *
			   (BLOCK_SIZE / SECTOR_SIZE);

	VDO_ASSERT(c->part == NULL);
	c->part = alloc_zeroed(MAX(count, 1), sizeof(*c->part));
	c->refs = table(&c->refs_bytes, n, sizeof(*c->refs));
	c->counts = table(&c->counts_bytes, n, 1);
	c->points = table(&c->points_bytes, sectors, sizeof(*c->points));
	if ((c->flags & VDO_CHECK_DATA) != 0) {
		c->forms = table(&c->forms_bytes, n, sizeof(*c->forms));
		if (c->forms == NULL)
			return -ENOMEM;
	}
	return c->part == NULL || c->refs == NULL || c->counts == NULL ||
			       c->points == NULL
		       ? -ENOMEM
		       : 0;
}

/* As many slabs as there is room for, of those with @flags that are not done.
 */
static void choose(struct check *c, uint8_t flags, uint32_t most)
{
	for (uint32_t i = 0; i < c->slabs.slab_count && c->part_count < most;
	     i++) {
		if (c->places[i] != NOT_HERE ||
		    (c->slab_flags[i] & SLAB_DONE) != 0 ||
		    (c->slab_flags[i] & flags) != flags)
			continue;
		c->places[i] = c->part_count;
		c->part[c->part_count++].number = i;
	}
}

/* Fill the part. Slabs that are not in use come along while there is room: if
 * something leads to one it is known then. */
static int next_part(struct check *c)
{
	uint64_t most = c->part_blocks;
	int result;

	/* The journal's entries, and the forms of blocks, need room, too. */
	if (c->journal.table != NULL || (c->flags & VDO_CHECK_DATA) != 0)
		most /= 2;
	most = MIN(MAX(most / c->slabs.data_blocks, 1), c->slabs.slab_count);
	free_part(c);
	result = create_part(c, (uint32_t)most);
	for (uint64_t i = 0; i < c->slabs.slab_count; i++)
		c->places[i] = NOT_HERE;
	if (result != 0)
		return result;
	choose(c, SLAB_USED, (uint32_t)most);
	choose(c, SLAB_TOUCHED, (uint32_t)most);
	if (c->first)
		choose(c, 0, (uint32_t)most);
	return 0;
}

static int check_parts(struct check *c)
{
	int result = next_part(c);

	while (result == 0 && (c->first || c->part_count > 0)) {
		result = check_map(c);
		if (result == 0)
			result = check_slabs(c);
		if (result == 0)
			result = check_data(c);
		if (result == 0)
			result = mend_flush(c);
		if (result == 0)
			result = next_part(c);
	}
	free_part(c);
	return result;
}

/* ----------------------------------------------------------------------- job
 */

static int check_volume(struct check *c)
{
	int result;

	check_super(c);
	result = check_journal(c);
	if (result == 0)
		result = check_summary(c);
	if (result == 0)
		result = check_parts(c);
	if (result == 0) {
		check_lost(c);
		check_totals(c);
	}
	if (result == 0)
		result = check_summary_end(c);
	if (result == 0)
		result = mend_end(c);
	if (result == 0)
		result = findings_end(c);
	return result;
}

static int describe(const struct check *c, int result, struct vdo_error *error)
{
	if (c->mend.begun && !c->mend.ended)
		return error_set(
			error, result,
			"the repair could not be ended: %s; the volume "
			"is marked for a rebuild: rebuild it, or undo "
			"the repair",
			vdo_strerror(result));
	if (error_is_no_space(result))
		return error_set(error, result,
				 "there is no space for the undo file; nothing "
				 "was changed");
	if (result != -ECANCELED && result != -ENOMEM)
		return error_set(error, result,
				 "the volume cannot be checked: %s",
				 vdo_strerror(result));
	return result;
}

int check_run(struct check *c, struct vdo_error *error)
{
	int result;

	VDO_ASSERT(c->claimed && queue_running == NULL);
	if (check_is_stopped(c))
		return -ECANCELED;
	if (c->has_first_wrong)
		(void)finding_tell(c, &c->first_wrong);
	if (!c->usable)
		return 0;
	if (check_repairs(c) && c->sb.state != VOLUME_CLEAN &&
	    c->sb.state != VOLUME_NEW)
		return refuse_dirty(c, error);
	result = check_volume(c);
	check_journal_free(&c->journal);
	if (result != 0)
		return describe(c, result, error);
	result = check_index(c, error);
	check_phase(c, "checking", 0);
	return result;
}

void check_stop(struct check *c)
{
	struct reindex *r;

	atomic_store(&c->stop, true);
	r = atomic_load(&c->reindex);
	if (r != NULL)
		reindex_stop(r);
}

void check_progress(struct check *c, struct vdo_job_progress *p)
{
	struct reindex *r = atomic_load(&c->reindex);

	p->phase = atomic_load(&c->phase);
	if (r != NULL && !p->over) {
		reindex_progress(r, p);
		return;
	}
	p->total = counter_get(&c->total);
	p->done = MIN(counter_get(&c->done), p->total);
}

const struct vdo_check_report *check_report(const struct check *c)
{
	return &c->report;
}
