/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Verifying and rebuilding an index that nobody uses.
 *
 *	create	 index_inspect(), and an index on an executor of its own
 *	verify	 index_open() the newest save; index_verify()
 *	rebuild	 index_open() the newest save, only to keep the records of its
 *		 open chapter, which are nowhere else; index_open() from the
 *		 chapters or, if that cannot be, a new one; those records
 *		 again; index_close() with a save
 *
 * Both use the index as a volume does, so there is one code that knows how to
 * load, rebuild and save it.
 */
#include "build.h"

#include "index/reindex.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/await.h"
#include "exec/executor.h"
#include "index/index.h"
#include "index/verify.h"
#include "index_format/chapter_index.h"
#include "io/device.h"

struct reindex {
	struct vdo_device *device;
	bool claimed; /* here */
	struct log log;
	struct index_place place;
	struct executor *executor;
	bool own_executor;
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

static int create_index(struct reindex *r, const struct reindex_config *rc)
{
	struct index_config c = {
		.memory = rc->place.memory,
		.sparse = rc->place.sparse,
		.nonce = rc->place.nonce,
		.storage = &r->storage,
		.sync = &r->sync,
		.kind = rc->kind,
		.first_block = rc->place.first_block + rc->bio_offset,
		.block_count = rc->place.block_count,
		.queue = r->queue,
		.zones = {r->queue},
		.zone_count = 1,
		.log = &r->log,
		.wall_ms = rc->wall_ms,
	};

	VDO_ASSERT(r->queue != NULL);
	return index_create(&c, &r->index);
}

static int claim(struct reindex *r, struct vdo_error *error)
{
	int result = executor_inline_create(&r->executor);

	VDO_ASSERT(!r->claimed);
	r->own_executor = true;
	if (result == 0)
		result = device_claim(r->device, r->executor);
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by an open volume");
	r->claimed = result == 0;
	return result;
}

static int prepare(struct reindex *r, const struct reindex_config *c,
		   struct vdo_error *error)
{
	struct vdo_index_info info;
	int result = 0;

	r->executor = c->executor;
	if (r->executor == NULL)
		result = claim(r, error);
	if (result != 0)
		return result;
	/* This reads, too, so that what cannot work fails before the work
	 * begins. */
	result = index_inspect(r->device, &r->place, &info, error);
	r->verify.report.state = r->rebuilt.found = info.state;
	if (result == 0)
		result = executor_queue(r->executor, "index", 0, &r->queue);
	if (result != 0)
		return result;
	storage_init(&r->storage, r->device, c->bio_offset);
	if (!c->writes)
		storage_set_read_only(&r->storage);
	sync_init(&r->sync, r->queue, &r->storage, flush_failed, r);
	return create_index(r, c);
}

int reindex_create(const struct reindex_config *c, struct reindex **reindex,
		   struct vdo_error *error)
{
	struct reindex *r = alloc_zeroed(1, sizeof(*r));
	int result;

	VDO_ASSERT(c->device != NULL);
	if (r == NULL)
		return -ENOMEM;
	r->device = c->device;
	r->place = c->place;
	r->log = c->log;
	atomic_init(&r->stop, false);
	atomic_init(&r->phase, "");
	result = prepare(r, c, error);
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
	if (r->own_executor)
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

void reindex_on_record(struct reindex *r,
		       void (*record)(void *arg, const struct index_record *rec),
		       void *arg)
{
	VDO_ASSERT(r->verify.index == NULL);
	r->verify.record = record;
	r->verify.arg = arg;
}

static bool stopped(const struct reindex *r)
{
	return atomic_load(&r->stop);
}

static int open_index(struct reindex *r, enum index_open how)
{
	struct await a;

	VDO_ASSERT(r->index != NULL && queue_running == NULL);
	index_open(r->index, how, await_on(&a, r->queue));
	/* index_open() does not see a stop from before. */
	if (stopped(r))
		index_stop(r->index);
	return await_end(&a);
}

static int close_index(struct reindex *r, bool save)
{
	struct await a;

	VDO_ASSERT(r->index != NULL);
	index_close(r->index, save, await_on(&a, r->queue));
	return await_end(&a);
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

	VDO_ASSERT(v->report.state >= VDO_INDEX_FORMATTED);
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
	int result;

	VDO_ASSERT(v->index == NULL);
	switch (v->report.state) {
	case VDO_INDEX_NONE:
		return 0;
	case VDO_INDEX_UNSUPPORTED:
		return unsupported(error);
	case VDO_INDEX_FOREIGN:
	case VDO_INDEX_DAMAGED:
		index_verify_fault(v, VDO_INDEX_FAULT_SUPER, CHAPTER_NONE,
				   r->place.first_block,
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

/* Keep what only a save has: the records of its open chapter. */
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

static int put_record(struct reindex *r, const struct index_record *record)
{
	struct index_op op = {.request = INDEX_UPDATE};
	struct await a;

	VDO_ASSERT(queue_running == NULL);
	index_set_name(r->index, &op.name, &record->name);
	memcpy(op.data, record->data, sizeof(op.data));
	await_arm(&a, &op.done, r->queue);
	index_start(r->index, &op);
	return await_end(&a);
}

static int put_records(struct reindex *r, const struct index_record *records,
		       uint32_t count)
{
	VDO_ASSERT(count == 0 || records != NULL);
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

/* Rebuild the index from its chapters or, if it cannot be, make a new one. */
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

	VDO_ASSERT(r->index != NULL);
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

/* A rebuild counts chapters, which are told as bytes. */
void reindex_progress(const struct reindex *r, struct vdo_job_progress *p)
{
	const struct index_geometry *g = index_geometry_of(r->index);
	struct index_stats s;

	VDO_ASSERT(r->index != NULL);
	p->phase = atomic_load(&r->phase);
	p->total = atomic_load(&r->verify.total);
	p->done = atomic_load(&r->verify.done);
	if (p->total != 0)
		return;
	index_get_stats(r->index, &s);
	p->total = s.rebuild_total * g->chapter_pages * PAGE_BYTES;
	p->done = s.rebuild_done * g->chapter_pages * PAGE_BYTES;
}
