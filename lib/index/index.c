/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of an index.
 *
 *	open	[read_super] [read_config] [read_saves] then index_load(), and
 *		index_rebuild() if that fails; or [format]
 *		[go_online]: all zones accept
 *	suspend	[stop_zones]: all zones refuse and are empty
 *		[zones_stopped]: the chapter writer is idle
 *		[writer_idle]: all zones have had its last messages
 *		[zones_quiet]: save, or make the save unusable
 *
 * One such operation at a time, all on the main queue. While it reads or writes
 * what the zones own, these stand still: the messages that stopped them order
 * their work before ours, and those that start them ours before theirs.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/counter.h"
#include "index/index_priv.h"

static void run(struct completion *c);

int index_create(const struct index_config *c, struct index **result)
{
	struct index *index = alloc_zeroed(1, sizeof(*index));
	int r;

	VDO_ASSERT(c->zone_count >= 1 && c->zone_count <= INDEX_ZONES_MAX);
	if (index == NULL)
		return -ENOMEM;
	index->c = *c;
	index->save_slot = -1;
	completion_init(&index->run, c->queue, run);
	r = index_geometry_init(&index->geometry, c->memory, c->sparse,
				c->block_count);
	if (r == 0 && index->geometry.total_blocks > c->block_count)
		r = -ENOSPC;
	if (r != 0)
		goto fail;
	r = -ENOMEM;
	index->block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	index->zones = alloc_aligned(CACHE_LINE, c->zone_count,
				     sizeof(struct index_zone));
	if (index->block == NULL || index->zones == NULL)
		goto fail;
	r = page_map_init(&index->page_map, &index->geometry);
	for (unsigned i = 0; i < c->zone_count && r == 0; i++)
		r = zone_init(index, i);
	if (r == 0)
		r = sparse_init(index);
	if (r == 0)
		r = writer_init(index);
	if (r == 0)
		r = stream_init(&index->stream, c->storage, c->kind, c->queue);
	if (r != 0)
		goto fail;
	*result = index;
	return 0;
fail:
	index_destroy(index);
	return r;
}

void index_destroy(struct index *index)
{
	if (index == NULL)
		return;
	for (unsigned i = 0; index->zones != NULL && i < index->c.zone_count;
	     i++)
		zone_fini(&index->zones[i]);
	page_map_fini(&index->page_map);
	sparse_fini(index);
	writer_fini(index);
	stream_fini(&index->stream);
	alloc_free(index->zones);
	alloc_free(index->block);
	alloc_free(index);
}

const struct index_geometry *index_geometry_of(const struct index *index)
{
	return &index->geometry;
}

static enum index_state get_state(const struct index *index)
{
	return (enum index_state)atomic_load_explicit(&index->state,
						      memory_order_relaxed);
}

static void set_state(struct index *index, enum index_state state)
{
	atomic_store_explicit(&index->state, (int)state, memory_order_relaxed);
}

void index_fail(struct index *index, int error, const char *what)
{
	int none = 0;

	if (atomic_compare_exchange_strong_explicit(&index->error, &none, error,
						    memory_order_relaxed,
						    memory_order_relaxed))
		log_error(index->c.log, "index: %s, error=%d", what, error);
}

void index_set_name(const struct index *index, struct index_name *name,
		    const struct hash128 *hash)
{
	index_name_init(name, &index->geometry, index->c.zone_count, hash);
}

static void op_init(struct index_op *op)
{
	op->looked_up = false;
	op->sampled = false;
}

void index_start(struct index *index, struct index_op *op)
{
	int r = 0;

	if (unlikely(get_state(index) != INDEX_ONLINE))
		r = -VDO_EBUSY;
	else if (unlikely(index_error(index) != 0))
		r = -EIO;
	op_init(op);
	if (unlikely(r != 0)) {
		op->found = false;
		op->region = INDEX_NOWHERE;
		completion_finish(&op->done, r);
		return;
	}
	VDO_ASSERT(op->name.zone < index->c.zone_count);
	op->zone = &index->zones[op->name.zone];
	completion_init(&op->run, op->zone->queue, zone_receive);
	completion_post(&op->run);
}

bool index_serve(struct index *index, struct index_op *op)
{
	VDO_ASSERT(op->name.zone < index->c.zone_count);
	op_init(op);
	return zone_serve(&index->zones[op->name.zone], op);
}

int index_open_records(const struct index *index, struct index_record **records,
		       uint32_t *count)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < index->c.zone_count; i++)
		used += index->zones[i].open->used;
	*count = 0;
	*records = alloc_zeroed(used + 1, sizeof(**records));
	if (*records == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		const struct open_chapter *o = index->zones[i].open;

		for (uint32_t n = 1; n <= o->used; n++) {
			const struct index_record *r =
				open_chapter_record(o, n);

			if (r != NULL)
				(*records)[(*count)++] = *r;
		}
	}
	return 0;
}

void index_stop(struct index *index)
{
	atomic_store_explicit(&index->stop, true, memory_order_relaxed);
}

/* Small steps. */

static void step_done(struct index *index, int result)
{
	index_then then = index->then;

	then(index, result);
}

static void again_done(struct completion *c)
{
	step_done(container_of(c, struct index, step), 0);
}

void index_again(struct index *index, index_then then)
{
	index->then = then;
	completion_init(&index->step, index->c.queue, again_done);
	completion_post(&index->step);
}

static void sync_done(struct completion *c)
{
	step_done(container_of(c, struct index, sync.done), c->result);
}

void index_sync(struct index *index, index_then then)
{
	index->then = then;
	completion_init(&index->sync.done, index->c.queue, sync_done);
	sync_request(index->c.sync, &index->sync);
}

static void read_done(struct completion *c)
{
	step_done(container_of(c, struct index, mio.done), c->result);
}

void index_read_block(struct index *index, uint64_t block, index_then then)
{
	index->then = then;
	completion_init(&index->mio.done, index->c.queue, read_done);
	mio_read(&index->mio, index->c.storage, index->c.kind, block, 1,
		 index->block);
}

static void write_done(struct completion *c)
{
	struct index *index = container_of(c, struct index, mio.done);

	if (c->result != 0)
		step_done(index, c->result);
	else
		index_sync(index, index->then);
}

void index_write_block(struct index *index, uint64_t block, index_then then)
{
	index->then = then;
	completion_init(&index->mio.done, index->c.queue, write_done);
	mio_write(&index->mio, index->c.storage, index->c.kind, block, 1,
		  index->block, false);
}

void index_set_chapters(struct index *index, uint64_t oldest, uint64_t newest)
{
	__atomic_store_n(&index->oldest, oldest, __ATOMIC_RELAXED);
	__atomic_store_n(&index->newest, newest, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		index->zones[i].oldest = oldest;
		index->zones[i].newest = newest;
	}
}

/* Run @fn as each zone; @then on the main queue when all parts are done. */
static void visit_zones(struct index *index, completion_fn fn,
			completion_fn then)
{
	completion_init(&index->fanout.done, index->c.queue, then);
	fanout_zones(&index->fanout, index->parts, index->zones,
		     index->c.zone_count, fn, &index->fanout.done);
}

static struct index_zone *zone_of(struct completion *c)
{
	struct fanout_part *part = fanout_part_of(c);

	return &container_of(part->fanout, struct index, fanout)
			->zones[part->number];
}

static void zone_starts(struct completion *c)
{
	zone_accept(zone_of(c), true);
}

static void zone_stops(struct completion *c)
{
	zone_accept(zone_of(c), false);
}

/* The operation is over. */
static void finish(struct index *index, enum index_state state, int result)
{
	struct completion *done = index->done;

	index->done = NULL;
	set_state(index, state);
	completion_finish(done, result);
}

/* Opening. */

static void online(struct completion *c)
{
	finish(container_of(c, struct index, fanout.done), INDEX_ONLINE, 0);
}

static void go_online(struct index *index, int result)
{
	__atomic_store_n(&index->rebuild_done, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&index->rebuild_total, 0, __ATOMIC_RELAXED);
	if (result != 0)
		finish(index, INDEX_IDLE, result);
	else
		visit_zones(index, zone_starts, online);
}

static void rebuilt(struct index *index, int result)
{
	index->need_save = true;
	if (result == 0)
		log_info(index->c.log,
			 "index: rebuilt, oldest=%llu, newest=%llu",
			 (unsigned long long)index->oldest,
			 (unsigned long long)index->newest);
	go_online(index, result);
}

static void rebuild(struct index *index)
{
	/* What could not be loaded is of no use later either. */
	if (index->how == INDEX_LOAD_SAVED)
		finish(index, INDEX_IDLE, -VDO_EDIRTY);
	else
		index_rebuild(index, rebuilt);
}

static void loaded(struct index *index, int result)
{
	if (result == 0) {
		go_online(index, 0);
		return;
	}
	log_warning(index->c.log, "index: cannot use the save, error=%d",
		    result);
	rebuild(index);
}

static void choose_save(struct index *index)
{
	const struct index_save *s = index->saves;
	bool usable = index->how != INDEX_REBUILD && !index->unreadable;

	index->save_slot = -1;
	if (s[0].timestamp != 0 || s[1].timestamp != 0)
		index->save_slot = s[1].timestamp > s[0].timestamp ? 1 : 0;
	if (index->save_slot >= 0 && usable)
		index_load(index, loaded);
	else
		rebuild(index);
}

static void read_save(struct index *index);

static void save_read(struct index *index, int result)
{
	index->saves[index->at] = (struct index_save){0};
	if (result == 0)
		save_decode(&index->layout, index->at, index->block,
			    &index->saves[index->at]);
	else
		index->unreadable = true;
	if (++index->at < SAVES)
		read_save(index);
	else
		choose_save(index);
}

static void read_save(struct index *index)
{
	struct extent e = layout_save_part(&index->layout, index->at,
					   SAVE_HEADER, 0, 1);

	index_read_block(index, e.start, save_read);
}

/* What cannot be rebuilt is no index. */
static void no_index(struct index *index, int result)
{
	finish(index, INDEX_IDLE,
	       result == -VDO_ECORRUPT ? -VDO_ENOINDEX : result);
}

static void config_read(struct index *index, int result)
{
	if (result == 0)
		result = index_config_decode(&index->geometry, index->c.nonce,
					     index->block);
	if (result != 0) {
		no_index(index, result);
		return;
	}
	index->at = 0;
	index->unreadable = false;
	read_save(index);
}

/* Tables and nonces have numbers of the device. */
static uint64_t device_block(const struct index *index)
{
	return index->c.first_block - index->c.storage->bio_offset;
}

static void super_read(struct index *index, int result)
{
	if (result == 0)
		result = super_decode(&index->layout, &index->geometry,
				      device_block(index), index->block);
	/* Saves may be larger than the geometry asks for, but not than this. */
	if (result == 0 && layout_blocks(&index->layout) > index->c.block_count)
		result = -VDO_ECORRUPT;
	if (result != 0) {
		no_index(index, result);
		return;
	}
	index->layout.io_offset = index->c.storage->bio_offset;
	index->volume_block = layout_volume_block(&index->layout);
	index_read_block(index, layout_config_block(&index->layout),
			 config_read);
}

/* Formatting: save headers, config, super block last (X 3.8). */

static void formatted(struct index *index, int result)
{
	index->need_save = true;
	index_set_chapters(index, 0, 0);
	for (unsigned i = 0; i < index->c.zone_count; i++)
		volume_index_open(&index->zones[i].volume, 0);
	go_online(index, result);
}

static void config_written(struct index *index, int result)
{
	if (result != 0) {
		go_online(index, result);
		return;
	}
	super_encode(&index->layout, index->block);
	index_write_block(index, layout_super_block(&index->layout), formatted);
}

static void write_unsaved(struct index *index);

static void save_written(struct index *index, int result)
{
	if (result != 0) {
		go_online(index, result);
		return;
	}
	if (++index->at < SAVES) {
		write_unsaved(index);
		return;
	}
	index_config_encode(&index->geometry, index->c.nonce, index->block);
	index_write_block(index, layout_config_block(&index->layout),
			  config_written);
}

static void write_unsaved(struct index *index)
{
	struct index_save *save = &index->saves[index->at];
	struct extent e = layout_save_part(&index->layout, index->at,
					   SAVE_HEADER, 0, 1);

	*save = (struct index_save){0};
	save_encode(&index->layout, index->at, save, index->block);
	index_write_block(index, e.start, save_written);
}

/* First of all the super block went: no old one may survive a crash. */
static void old_gone(struct index *index, int result)
{
	if (result != 0) {
		go_online(index, result);
		return;
	}
	index->at = 0;
	write_unsaved(index);
}

static void make_unique(struct index *index, uint8_t unique[NONCE_INFO_MAX])
{
	struct executor *x = index->c.queue->executor;
	uint64_t wall = index->c.wall_ms == NULL
				? x->ops->now(x)
				: index->c.wall_ms(index->c.wall_arg);

	put_u64(unique, wall);
	for (unsigned i = 8; i < NONCE_INFO_MAX; i += 8)
		put_u64(unique + i, x->ops->random(x));
}

static void format(struct index *index)
{
	uint8_t unique[NONCE_INFO_MAX];

	make_unique(index, unique);
	layout_init(&index->layout, &index->geometry, device_block(index),
		    unique);
	index->layout.io_offset = index->c.storage->bio_offset;
	index->volume_block = layout_volume_block(&index->layout);
	memset(index->block, 0, BLOCK_SIZE);
	index_write_block(index, layout_super_block(&index->layout), old_gone);
}

static void open_index(struct index *index)
{
	if (get_state(index) != INDEX_IDLE) {
		finish(index, get_state(index), -VDO_EBUSY);
		return;
	}
	set_state(index, INDEX_OPENING);
	atomic_store_explicit(&index->error, 0, memory_order_relaxed);
	index->need_save = false;
	counter_set(&index->left_out, 0);
	index->save_slot = -1;
	index->geometry.remapped_virtual = index->geometry.remapped_physical =
		0;
	page_map_clear(&index->page_map);
	sparse_reset(index);
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		struct index_zone *z = &index->zones[i];

		zone_reset(z);
		volume_index_clear(&z->volume);
		open_chapter_clear(&z->chapters[0]);
		open_chapter_clear(&z->chapters[1]);
		page_cache_clear(&z->cache);
	}
	if (index->how == INDEX_FORMAT)
		format(index);
	else
		index_read_block(index, index->c.first_block, super_read);
}

/* Suspending and closing. */

static enum index_state state_after(const struct index *index)
{
	return index->command == COMMAND_CLOSE ? INDEX_IDLE : INDEX_SUSPENDED;
}

static void saved(struct index *index, int result)
{
	if (result == 0)
		index->need_save = false;
	finish(index, state_after(index), result);
}

static void zones_quiet(struct completion *c)
{
	struct index *index = container_of(c, struct index, fanout.done);
	int error = index_error(index);

	for (unsigned i = 0; i < index->c.zone_count; i++) {
		index->need_save |= index->zones[i].touched;
		index->zones[i].touched = false;
	}
	if (error == 0 && index->save && index->need_save)
		index_save(index, saved);
	else if (error == -VDO_ECORRUPT && index->save_slot >= 0)
		index_discard_save(index, saved);
	else
		finish(index, state_after(index), 0);
}

static void zone_passes(struct completion *c)
{
	fanout_part_done(fanout_part_of(c), 0);
}

static void writer_idle(struct completion *c)
{
	struct index *index = container_of(c, struct index, step);

	visit_zones(index, zone_passes, zones_quiet);
}

static void zones_stopped(struct completion *c)
{
	struct index *index = container_of(c, struct index, fanout.done);

	completion_init(&index->step, index->c.queue, writer_idle);
	writer_wait_idle(index, &index->step);
}

static void suspend(struct index *index)
{
	switch (get_state(index)) {
	case INDEX_ONLINE:
		set_state(index, INDEX_SUSPENDING);
		visit_zones(index, zone_stops, zones_stopped);
		break;
	case INDEX_SUSPENDED:
		completion_init(&index->step, index->c.queue, writer_idle);
		completion_post(&index->step);
		break;
	default:
		finish(index, get_state(index), 0);
		break;
	}
}

static void run(struct completion *c)
{
	struct index *index = container_of(c, struct index, run);

	switch (index->command) {
	case COMMAND_CLOSE:
	case COMMAND_SUSPEND:
		suspend(index);
		break;
	case COMMAND_RESUME:
		if (get_state(index) == INDEX_SUSPENDED)
			visit_zones(index, zone_starts, online);
		else
			finish(index, get_state(index), -VDO_EBUSY);
		break;
	default:
		open_index(index);
		break;
	}
}

static void begin(struct index *index, enum index_command command, bool save,
		  struct completion *done)
{
	VDO_ASSERT(index->done == NULL);
	index->command = command;
	index->save = save;
	index->done = done;
	completion_post(&index->run);
}

void index_open(struct index *index, enum index_open how,
		struct completion *done)
{
	atomic_store_explicit(&index->stop, false, memory_order_relaxed);
	index->how = how;
	begin(index, COMMAND_OPEN, false, done);
}

void index_suspend(struct index *index, bool save, struct completion *done)
{
	begin(index, COMMAND_SUSPEND, save, done);
}

void index_resume(struct index *index, struct completion *done)
{
	begin(index, COMMAND_RESUME, false, done);
}

void index_close(struct index *index, bool save, struct completion *done)
{
	begin(index, COMMAND_CLOSE, save, done);
}

/* Statistics. */

static void add_zone(const struct index_zone *z, struct index_stats *s)
{
	const struct zone_counts *c = &z->counts;

	s->posts_found += counter_get(&c->found[INDEX_POST]);
	s->posts_not_found += counter_get(&c->not_found[INDEX_POST]);
	s->in_memory_posts_found +=
		counter_get(&c->posts_in[INDEX_OPEN_CHAPTER]);
	s->dense_posts_found += counter_get(&c->posts_in[INDEX_DENSE]);
	s->sparse_posts_found += counter_get(&c->posts_in[INDEX_SPARSE]);
	s->updates_found += counter_get(&c->found[INDEX_UPDATE]);
	s->updates_not_found += counter_get(&c->not_found[INDEX_UPDATE]);
	s->deletions_found += counter_get(&c->found[INDEX_DELETE]);
	s->deletions_not_found += counter_get(&c->not_found[INDEX_DELETE]);
	s->queries_found += counter_get(&c->found[INDEX_QUERY]) +
			    counter_get(&c->found[INDEX_QUERY_NO_UPDATE]);
	s->queries_not_found +=
		counter_get(&c->not_found[INDEX_QUERY]) +
		counter_get(&c->not_found[INDEX_QUERY_NO_UPDATE]);
	s->page_reads += counter_get(&z->cache.reads);
}

static uint64_t memory_of(const struct index *index)
{
	const struct index_geometry *g = &index->geometry;
	uint64_t open = g->records * (uint64_t)(RECORD_BYTES + 8);
	uint64_t sparse = g->sparse ? SPARSE_SLOTS * g->index_pages : 0;

	return 2 * open + chapter_builder_bytes(&index->writer.builder) +
	       PAGE_BYTES * ((uint64_t)g->cache_pages + g->chapter_pages +
			     sparse);
}

void index_get_stats(const struct index *index, struct index_stats *stats)
{
	struct volume_index_counts v = {0};

	*stats = (struct index_stats){
		.state = get_state(index),
		.error = index_error(index),
		.memory_used = memory_of(index),
		.chapters_written =
			counter_get(&index->writer.chapters_written),
		.oldest_chapter = counter_get(&index->oldest),
		.newest_chapter = counter_get(&index->newest),
		.rebuild_done = counter_get(&index->rebuild_done),
		.rebuild_total = counter_get(&index->rebuild_total),
		.left_out = counter_get(&index->left_out),
	};
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		volume_index_count(&index->zones[i].volume, &v);
		add_zone(&index->zones[i], stats);
	}
	stats->entries_indexed = v.entries;
	stats->collisions = v.collisions;
	stats->entries_discarded = v.discarded;
	stats->early_flushes = v.early_flushes;
	stats->memory_used += v.memory_bytes;
	stats->requests = stats->posts_found + stats->posts_not_found +
			  stats->updates_found + stats->updates_not_found +
			  stats->deletions_found + stats->deletions_not_found +
			  stats->queries_found + stats->queries_not_found;
}
