/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of a check:
 *
 *	first blocks	geometry, super block [read_first]; without them nothing
 *			else is looked at
 *	journal		what recovery would replay [read_journal]
 *	summary		which slabs are in use
 *	parts		slabs in use, as many as memory allows: the block map, their
 *			counts, their data; then slabs that something leads to
 *			although they are not
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
#include "volume/reindex.h"

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

/* -------------------------------------------------------------- first blocks */

static int wrong_first(struct check *c, enum vdo_check_code code, uint64_t block,
		       const char *found)
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

static int read_first(struct check *c, struct vdo_error *error)
{
	uint8_t block[BLOCK_SIZE];
	int result;

	if (c->device->size_bytes < BLOCK_SIZE)
		return error_set(error, -VDO_ENOTVDO,
				 "this holds no volume, it has only %llu bytes",
				 (unsigned long long)c->device->size_bytes);
	result = device_read(c->device, 0, block, BLOCK_SIZE);
	if (result != 0)
		return error_set(error, result,
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

/* Why a volume that is not CLEAN is not repaired. */
static int refuse_repair(const struct check *c, struct vdo_error *error)
{
	switch (c->sb.state) {
	case VOLUME_NEW:
	case VOLUME_CLEAN:
		return 0;
	case VOLUME_READ_ONLY:
	case VOLUME_FORCE_REBUILD:
	case VOLUME_REBUILD_FOR_UPGRADE:
		return error_set(error, -VDO_EREBUILD,
				 "the volume needs a rebuild, which mends what "
				 "a repair would");
	default:
		return error_set(error, -VDO_EDIRTY,
				 "the volume was not closed; open it once to "
				 "recover it, then repair it");
	}
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
		result = read_first(c, error);
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

/* --------------------------------------------------------------- super block */

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

static void check_super(struct check *c)
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

static void check_totals(struct check *c)
{
	bool replayed = !check_saved(c);
	uint64_t used = replayed ? c->journal.bounds.logical_blocks_used
				 : c->sb.logical_blocks_used;
	uint64_t pages = replayed ? c->journal.bounds.block_map_data_blocks
				  : c->sb.block_map_data_blocks;

	/* Those of a read-only volume are what they were in memory. */
	if (check_counts_are_void(c) || c->map_damaged ||
	    c->sb.state == VOLUME_READ_ONLY)
		return;
	if (used != c->used &&
	    tell_number(c, VDO_CHECK_LOGICAL_USED, used, c->used))
		c->wanted.logical_blocks_used = c->used;
	if (pages != c->pages &&
	    tell_number(c, VDO_CHECK_MAP_PAGES, pages, c->pages))
		c->wanted.block_map_data_blocks = c->pages;
}

/* ------------------------------------------------------------------- journal */

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
	return check_journal_overlay(j);
}

static void check_saved_journal(struct check *c)
{
	const struct replay_bounds *b = &c->journal.bounds;
	struct vdo_check_finding f;

	if (!b->found)
		return;
	f = of_journal(c, VDO_CHECK_JOURNAL_AHEAD, b->highest);
	finding_found(&f, "block %llu", (unsigned long long)b->highest);
	finding_expected(&f, "none from %llu on",
			 (unsigned long long)c->sb.journal_start);
	(void)finding_tell(c, &f);
	c->wanted.journal_start = b->highest + 1;
}

static int check_journal(struct check *c)
{
	struct check_journal *j = &c->journal;
	bool is_void = check_counts_are_void(c);
	struct vdo_check_finding f;
	int result;

	if (c->sb.state == VOLUME_NEW) /* what lies there is somebody else's */
		return 0;
	check_phase(c, "reading the journal", c->sb.recovery_journal_size);
	result = check_journal_load(j, &c->sb, is_void, check_read, c);
	if (result != 0)
		return result;
	if (j->unreadable > 0) {
		f = finding_make(c, VDO_CHECK_JOURNAL_UNREADABLE);
		f.block = check_block(c, j->first_unreadable);
		finding_found(&f, "%llu blocks",
			      (unsigned long long)j->unreadable);
		(void)finding_tell(c, &f);
	}
	if (check_saved(c)) { /* what it would be is of no interest */
		j->why = 0;
		check_saved_journal(c);
		return 0;
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

/* --------------------------------------------------------------------- parts */

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

/* As many slabs as there is room for, of those with @flags that are not done. */
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

/* --------------------------------------------------------------------- index */

static void tell_fault(struct check *c, const struct vdo_index_fault *fault)
{
	struct vdo_check_finding f = finding_make(
		c, (enum vdo_check_code)(VDO_CHECK_INDEX_SUPER + fault->kind));

	if (fault->block != 0)
		f.block = fault->block;
	finding_found(&f, "%.63s", fault->text);
	(void)finding_tell(c, &f);
}

static bool tell_faults(struct check *c, const struct vdo_index_report *r)
{
	uint64_t told[VDO_INDEX_FAULT_KINDS] = {0};

	for (size_t i = 0; i < r->first_count; i++) {
		tell_fault(c, &r->first[i]);
		told[r->first[i].kind]++;
	}
	for (int k = 0; k < VDO_INDEX_FAULT_KINDS; k++)
		finding_count(c,
			      (enum vdo_check_code)(VDO_CHECK_INDEX_SUPER + k),
			      r->faults_by_kind[k] - told[k]);
	return r->faults > 0;
}

static int create_index(struct check *c, bool writes, struct reindex **reindex,
			struct vdo_error *error)
{
	int result = volume_reindex_create(c->device, c->executor, &c->settings,
					   writes, reindex, error);

	if (result != 0)
		return result;
	atomic_store(&c->reindex, *reindex);
	return check_is_stopped(c) ? -ECANCELED : 0;
}

static int rebuild_index(struct check *c, struct vdo_error *error)
{
	int result = create_index(c, true, &c->rebuild, error);

	return result == 0 ? reindex_rebuild(c->rebuild, error) : result;
}

static int check_index(struct check *c, struct vdo_error *error)
{
	int result;

	if ((c->flags & VDO_CHECK_NO_INDEX) != 0)
		return 0;
	check_phase(c, "reading the index", 0);
	result = create_index(c, false, &c->verify, NULL);
	if (result == -VDO_ENOINDEX)
		return 0;
	if (result == 0)
		result = reindex_verify(c->verify, NULL);
	if (result == -VDO_EVERSION)
		return 0; /* Linux may know it; nothing depends on it */
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	if (result != 0) {
		struct vdo_check_finding f =
			finding_make(c, VDO_CHECK_INDEX_UNREADABLE);

		finding_found(&f, "%s", vdo_strerror(result));
		return finding_tell(c, &f) ? rebuild_index(c, error) : 0;
	}
	c->report.index_records = reindex_report(c->verify)->records;
	if (tell_faults(c, reindex_report(c->verify)) && check_repairs(c))
		return rebuild_index(c, error);
	return 0;
}

/* ----------------------------------------------------------------------- job */

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
		return error_set(error, result,
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
