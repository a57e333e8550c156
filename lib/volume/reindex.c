/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a volume that is not open.
 *
 *	inspect	 geometry block, then super block, config and save headers of
 *		 the index, read one by one
 *	verify	 inspect; index_open() the newest save; index_verify()
 *	rebuild	 index_open() the newest save, only to keep the records of its
 *		 open chapter, which are nowhere else; index_open() from the
 *		 chapters or, if that cannot be, a new one; those records
 *		 again; index_close() with a save
 *
 * The super block of the volume is needed by a rebuild only, which writes and
 * so wants to be sure where the index ends.
 */
#include "build.h"

#include "volume/reindex.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/error.h"
#include "exec/wallclock.h"
#include "index/index.h"
#include "index/verify.h"
#include "index_format/chapter_index.h"
#include "index_format/layout.h"
#include "index_format/names.h"
#include "index_format/saved.h"
#include "volume/volume_priv.h"

static uint64_t wall_ms(void *arg)
{
	return wallclock_us() / 1000;
}

bool index_config_from(const struct geometry *g, struct index_config *c)
{
	struct index_geometry shape;

	if (g->index_memory == 0 || g->index_start < g->bio_offset ||
	    g->data_start <= g->index_start)
		return false;
	c->memory = g->index_memory;
	c->sparse = g->index_sparse;
	c->nonce = g->nonce;
	c->first_block = g->index_start;
	c->block_count = g->data_start - g->index_start;
	c->kind = MIO_INDEX;
	c->wall_ms = wall_ms;
	return index_geometry_init(&shape, c->memory, c->sparse,
				   c->block_count) == 0 &&
	       shape.total_blocks <= c->block_count;
}

/* ------------------------------------------------------------------ inspect */

/* What is known of an index by its first blocks. */
struct look {
	struct vdo_device *device;
	struct index_geometry shape;
	struct index_layout layout;
	uint64_t nonce;
	uint64_t first; /* block of the device, as all here */
	struct index_save saves[SAVES];
	int newest; /* save, or -1 */
	uint8_t *page;
};

static int read_blocks(struct look *l, uint64_t block, unsigned count,
		       struct vdo_error *error)
{
	int r = device_read(l->device, block * BLOCK_SIZE, l->page,
			    (size_t)count * BLOCK_SIZE);

	if (r != 0)
		return error_set(error, r,
				 "block %llu of the index cannot be read: %s; "
				 "check the storage",
				 (unsigned long long)block, vdo_strerror(r));
	return 0;
}

/* The state by super block and config; FORMATTED: they are good. */
static int look_at_header(struct look *l, enum vdo_index_state *state,
			  struct vdo_error *error)
{
	int super, config, r;
	bool zero;

	r = read_blocks(l, l->first, 1, error);
	if (r != 0)
		return r;
	zero = is_zero(l->page, BLOCK_SIZE);
	super = super_decode(&l->layout, &l->shape, l->first, l->page);
	r = read_blocks(l, l->first + 1, 1, error);
	if (r != 0)
		return r;
	config = index_config_decode(&l->shape, l->nonce, l->page);
	if (super == -VDO_EVERSION)
		*state = VDO_INDEX_UNSUPPORTED;
	else if (super == -VDO_ENOINDEX)
		/* A new one gets its super block last. */
		*state = config == 0 && !zero ? VDO_INDEX_DAMAGED
					      : VDO_INDEX_NONE;
	else if (super != 0 || config == -VDO_ECORRUPT)
		*state = VDO_INDEX_DAMAGED;
	else
		*state = config != 0 ? VDO_INDEX_FOREIGN : VDO_INDEX_FORMATTED;
	return 0;
}

static int look_at_saves(struct look *l, struct vdo_error *error)
{
	l->newest = -1;
	for (unsigned i = 0; i < SAVES; i++) {
		struct extent e = layout_save_part(&l->layout, i, SAVE_HEADER,
						   0, 1);
		int r = read_blocks(l, e.start, 1, error);

		if (r != 0)
			return r;
		save_decode(&l->layout, i, l->page, &l->saves[i]);
		if (l->saves[i].timestamp != 0 &&
		    (l->newest < 0 || l->saves[i].timestamp >
					      l->saves[l->newest].timestamp))
			l->newest = (int)i;
	}
	return 0;
}

/*
 * Before the first chapter that follows a save is written, the beginning of the
 * save's open chapter is made zero.
 */
static int look_at_open_chapter(struct look *l, enum vdo_index_state *state,
				struct vdo_error *error)
{
	unsigned slot = (unsigned)l->newest;
	struct extent e = layout_save_part(&l->layout, slot, SAVE_OPEN_CHAPTER,
					   0, l->saves[slot].zone_count);
	int r = read_blocks(l, e.start, 1, error);

	*state = is_zero(l->page, SECTOR_SIZE) ? VDO_INDEX_DIRTY
					       : VDO_INDEX_SAVED;
	return r;
}

/* Without a save: was a chapter written? The first slot has had one then. */
static int look_at_chapter(struct look *l, enum vdo_index_state *state,
			   struct vdo_error *error)
{
	struct index_page p;
	uint64_t block = layout_volume_block(&l->layout) +
			 geometry_page_block(&l->shape, 0, 0);
	int r = read_blocks(l, block, PAGE_BLOCKS, error);

	if (r == 0 && index_page_open(l->page, &l->shape,
				      l->layout.volume_nonce, &p) == 0)
		*state = VDO_INDEX_DIRTY;
	return r;
}

static int look_at_all(struct look *l, enum vdo_index_state *state,
		       struct vdo_error *error)
{
	int r = look_at_header(l, state, error);

	if (r != 0 || *state != VDO_INDEX_FORMATTED)
		return r;
	r = look_at_saves(l, error);
	if (r != 0)
		return r;
	return l->newest >= 0 ? look_at_open_chapter(l, state, error)
			      : look_at_chapter(l, state, error);
}

static void fill_shape(struct vdo_index_info *i, const struct index_geometry *g)
{
	i->chapters = g->chapters;
	i->sparse_chapters = g->sparse_chapters;
	i->record_pages = g->record_pages;
	i->index_pages = g->index_pages;
	i->records_per_chapter = g->records;
	i->names_max = (uint64_t)g->records * g->chapters;
	i->total_blocks = g->total_blocks;
	i->volume_blocks = g->volume_blocks;
	i->save_blocks = g->save_blocks;
	i->volume_index_blocks = g->volume_index_blocks;
	i->page_map_blocks = g->page_map_blocks;
	i->open_chapter_blocks = g->open_chapter_blocks;
}

static void fill_saves(struct vdo_index_info *i, const struct look *l)
{
	for (unsigned k = 0; k < SAVES; k++) {
		const struct index_save *s = &l->saves[k];

		if (s->timestamp == 0)
			continue;
		i->saves[k] = (struct vdo_index_save){
			.valid = true,
			.newest_save = (int)k == l->newest,
			.zones = s->zone_count,
			.oldest = s->oldest,
			.newest = s->newest,
			.time_ms = s->timestamp,
		};
	}
}

/* Its place must be on the storage. */
static int check_size(const struct vdo_device *device,
		      const struct index_config *c, uint64_t first,
		      struct vdo_error *error)
{
	uint64_t blocks = device->size_bytes / BLOCK_SIZE;

	if (first < blocks && c->block_count <= blocks - first)
		return 0;
	return error_set(error, -VDO_ESIZE,
			 "the index should take %llu blocks from block %llu "
			 "on, but the storage has %llu; was it truncated?",
			 (unsigned long long)c->block_count,
			 (unsigned long long)first,
			 (unsigned long long)blocks);
}

static int inspect(struct vdo_device *device, const struct geometry *g,
		   struct vdo_index_info *i, struct vdo_error *error)
{
	struct index_config c = {0};
	struct look l = {.device = device, .newest = -1};
	int r;

	*i = (struct vdo_index_info){
		.memory = g->index_memory,
		.sparse = g->index_sparse,
		.state = VDO_INDEX_NONE,
	};
	if (!index_config_from(g, &c))
		return 0;
	l.first = c.first_block - g->bio_offset;
	l.nonce = c.nonce;
	i->region = true;
	i->first_block = l.first;
	i->region_blocks = c.block_count;
	r = index_geometry_init(&l.shape, c.memory, c.sparse, c.block_count);
	if (r == 0)
		r = check_size(device, &c, l.first, error);
	if (r != 0)
		return r;
	l.page = alloc_aligned(BLOCK_SIZE, 1, PAGE_BYTES);
	if (l.page == NULL)
		return -ENOMEM;
	r = look_at_all(&l, &i->state, error);
	alloc_free(l.page);
	fill_shape(i, &l.shape);
	fill_saves(i, &l);
	return r;
}

int reindex_inspect(struct vdo_device *device, struct vdo_index_info *info,
		    struct vdo_error *error)
{
	struct geometry g;
	int r = geometry_read(device, &g, error);

	return r != 0 ? r : inspect(device, &g, info, error);
}

/* --------------------------------------------------------- verify, rebuild */

struct reindex {
	struct vdo_device *device;
	bool claimed;
	struct log log;
	struct geometry geometry;
	struct executor *executor;
	struct queue *queue;
	struct storage storage;
	struct sync sync;
	struct index *index;
	atomic_bool stop;
	_Atomic(const char *) phase;
	struct index_verify verify;
	struct vdo_index_rebuilt rebuilt;
};

static void flush_failed(void *arg, int result)
{
	struct reindex *r = arg;

	log_error(&r->log, "index: a flush failed, result=%d", result);
}

static int create_index(struct reindex *r, struct vdo_error *error)
{
	struct index_config c = {
		.storage = &r->storage,
		.sync = &r->sync,
		.queue = r->queue,
		.zones = {r->queue},
		.zone_count = 1,
		.log = &r->log,
	};

	if (!index_config_from(&r->geometry, &c))
		return error_set(error, -VDO_ENOINDEX,
				 "the volume was formatted without an index");
	return index_create(&c, &r->index);
}

static int prepare(struct reindex *r, bool writes, struct vdo_error *error)
{
	struct vdo_index_info info;
	struct superblock sb;
	int result;

	if (writes && (r->device->flags & VDO_DEVICE_READ_ONLY) != 0)
		return error_set(error, -EROFS, "the storage is read-only");
	result = writes ? super_read(r->device, &r->geometry, &sb, error)
			: geometry_read(r->device, &r->geometry, error);
	if (result == 0)
		result = executor_inline_create(&r->executor);
	if (result == 0)
		result = device_claim(r->device, r->executor);
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	if (result != 0)
		return result;
	r->claimed = true;
	/* Reads as well, so that what cannot work fails now. */
	result = inspect(r->device, &r->geometry, &info, error);
	r->verify.report.state = r->rebuilt.found = info.state;
	if (result == 0)
		result = executor_queue(r->executor, "index", 0, &r->queue);
	if (result != 0)
		return result;
	storage_init(&r->storage, r->device, r->geometry.bio_offset);
	if (!writes)
		storage_set_read_only(&r->storage);
	sync_init(&r->sync, r->queue, &r->storage, flush_failed, r);
	return create_index(r, error);
}

int reindex_create(struct vdo_device *device, const struct settings *s,
		   bool writes, struct reindex **reindex,
		   struct vdo_error *error)
{
	struct reindex *r = alloc_zeroed(1, sizeof(*r));
	int result;

	if (r == NULL)
		return -ENOMEM;
	r->device = device;
	r->log = s->log;
	atomic_init(&r->stop, false);
	atomic_init(&r->phase, "");
	result = prepare(r, writes, error);
	if (result != 0) {
		reindex_destroy(r);
		return result;
	}
	*reindex = r;
	return 0;
}

void reindex_destroy(struct reindex *r)
{
	if (r == NULL)
		return;
	index_destroy(r->index);
	if (r->claimed)
		device_release(r->device);
	executor_destroy(r->executor);
	alloc_free(r);
}

const struct vdo_index_report *reindex_report(const struct reindex *r)
{
	return &r->verify.report;
}

const struct vdo_index_rebuilt *reindex_rebuilt(const struct reindex *r)
{
	return &r->rebuilt;
}

/* Something of the index's to wait for. */
struct wait {
	struct completion done;
	struct event event;
	struct executor *executor;
};

static void wait_done(struct completion *c)
{
	struct wait *w = container_of(c, struct wait, done);

	executor_signal(w->executor, &w->event);
}

static void wait_init(struct wait *w, struct reindex *r)
{
	completion_init(&w->done, r->queue, wait_done);
	event_init(&w->event);
	w->executor = r->executor;
}

static bool stopped(const struct reindex *r)
{
	return atomic_load(&r->stop);
}

static int open_index(struct reindex *r, enum index_open how)
{
	struct wait w;

	wait_init(&w, r);
	index_open(r->index, how, &w.done);
	/* A stop from before index_open() is not seen by it. */
	if (stopped(r))
		index_stop(r->index);
	executor_wait(r->executor, &w.event);
	return w.done.result;
}

static int close_index(struct reindex *r, bool save)
{
	struct wait w;

	wait_init(&w, r);
	index_close(r->index, save, &w.done);
	executor_wait(r->executor, &w.event);
	return w.done.result;
}

static int unsupported(struct vdo_error *error)
{
	return error_set(error, -VDO_EVERSION,
			 "the index has an unknown version; this needs a newer "
			 "library");
}

static int verify_opened(struct reindex *r)
{
	struct index_verify *v = &r->verify;
	int result;

	v->index = r->index;
	v->stop = &r->stop;
	atomic_store(&r->phase, "verifying");
	result = index_verify(v);
	v->report.first = v->first;
	if (v->loaded)
		(void)close_index(r, false);
	return result;
}

int reindex_verify(struct reindex *r, struct vdo_error *error)
{
	struct index_verify *v = &r->verify;
	uint64_t first = r->geometry.index_start - r->geometry.bio_offset;
	int result;

	switch (v->report.state) {
	case VDO_INDEX_NONE:
		return 0;
	case VDO_INDEX_UNSUPPORTED:
		return unsupported(error);
	case VDO_INDEX_FOREIGN:
	case VDO_INDEX_DAMAGED:
		index_verify_fault(v, VDO_INDEX_FAULT_SUPER, CHAPTER_NONE,
				   first,
				   v->report.state == VDO_INDEX_FOREIGN
					   ? "the index is of another volume, "
					     "or of another shape"
					   : "the first two blocks of the "
					     "index are damaged");
		v->report.first = v->first;
		return 0;
	default:
		break;
	}
	atomic_store(&r->phase, "loading");
	result = open_index(r, INDEX_LOAD_SAVED);
	if (result != 0 && result != -VDO_EDIRTY)
		return result;
	v->loaded = result == 0;
	if (!v->loaded && v->report.state == VDO_INDEX_SAVED)
		index_verify_fault(v, VDO_INDEX_FAULT_SAVE, CHAPTER_NONE, 0,
				   "the newest save is damaged: the next "
				   "opening rebuilds");
	return verify_opened(r);
}

/* What a save has and the chapters have not. Without a save: nothing. */
static int keep_records(struct reindex *r, struct index_record **records,
			uint32_t *count)
{
	int result = open_index(r, INDEX_LOAD_SAVED);

	if (result == -VDO_EDIRTY || result == -VDO_ENOINDEX)
		return 0;
	if (result != 0)
		return result;
	result = index_open_records(r->index, records, count);
	(void)close_index(r, false);
	return result;
}

struct asking {
	struct index_op op;
	struct event event;
	struct executor *executor;
};

static void asking_done(struct completion *c)
{
	struct asking *a = container_of(c, struct asking, op.done);

	executor_signal(a->executor, &a->event);
}

static int put_record(struct reindex *r, const struct index_record *record)
{
	struct asking a = {
		.op.request = INDEX_UPDATE,
		.executor = r->executor,
	};

	index_set_name(r->index, &a.op.name, &record->name);
	memcpy(a.op.data, record->data, sizeof(a.op.data));
	completion_init(&a.op.done, r->queue, asking_done);
	event_init(&a.event);
	index_start(r->index, &a.op);
	executor_wait(r->executor, &a.event);
	return a.op.done.result;
}

static int put_records(struct reindex *r, const struct index_record *records,
		       uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int result = put_record(r, &records[i]);

		if (result != 0)
			return result;
	}
	return 0;
}

static void note_rebuilt(struct reindex *r)
{
	struct index_stats s;

	index_get_stats(r->index, &s);
	r->rebuilt.oldest = s.oldest_chapter;
	r->rebuilt.newest = s.newest_chapter;
	r->rebuilt.entries = s.entries_indexed;
	r->rebuilt.left_out = s.left_out;
}

/* From the chapters, else a new one. */
static int open_anew(struct reindex *r)
{
	int result;

	atomic_store(&r->phase, "rebuilding");
	result = open_index(r, INDEX_REBUILD);
	if (result != -VDO_ENOINDEX)
		return result;
	if (stopped(r))
		return -ECANCELED;
	r->rebuilt.formatted = true;
	return open_index(r, INDEX_FORMAT);
}

int reindex_rebuild(struct reindex *r, struct vdo_error *error)
{
	struct index_record *records = NULL;
	uint32_t count = 0;
	int result;

	if (stopped(r))
		return -ECANCELED;
	atomic_store(&r->phase, "loading");
	result = keep_records(r, &records, &count);
	if (result == 0)
		result = stopped(r) ? -ECANCELED : open_anew(r);
	if (result == -VDO_EVERSION)
		unsupported(error);
	if (result != 0) {
		alloc_free(records);
		return result;
	}
	result = put_records(r, records, count);
	alloc_free(records);
	if (result == 0) {
		note_rebuilt(r);
		atomic_store(&r->phase, "saving");
		return close_index(r, true);
	}
	(void)close_index(r, false);
	return result;
}

void reindex_stop(struct reindex *r)
{
	atomic_store(&r->stop, true);
	index_stop(r->index);
}

/* Chapters of a rebuild are as good as bytes. */
void reindex_progress(const struct reindex *r, struct vdo_job_progress *p)
{
	const struct index_geometry *g = index_geometry_of(r->index);
	struct index_stats s;

	p->phase = atomic_load(&r->phase);
	p->total = atomic_load(&r->verify.total);
	p->done = atomic_load(&r->verify.done);
	if (p->total != 0)
		return;
	index_get_stats(r->index, &s);
	p->total = s.rebuild_total * g->chapter_pages * PAGE_BYTES;
	p->done = s.rebuild_done * g->chapter_pages * PAGE_BYTES;
}
