/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening: what the super block and the config say must be an index of this
 * volume and of this shape; what follows depends on the saves.
 *
 * A save that cannot be loaded is as good as none, whatever is wrong with it:
 * all it says is also in the chapters, but for the records of the open one. An
 * index whose first two blocks are damaged cannot be rebuilt, because the
 * chapters carry a nonce that is known from there alone.
 */
#include "build.h"

#include "index/opener.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/counter.h"

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define OPENER_ROWS(X)							       \
	/* make a new one, or read the super block */			       \
	X(O_SUPER, opener_super, ON_MAIN)				       \
	/* take the layout from it; read the config */			       \
	X(O_CONFIG, opener_config, ON_MAIN)				       \
	/* is it ours? */						       \
	X(O_OURS, opener_ours, ON_MAIN)					       \
	/* read the header of each save */				       \
	X(O_SAVE, opener_save, ON_MAIN)					       \
	X(O_SAVE_READ, opener_save_read, ON_MAIN)			       \
	/* the newest save, if one may be used */			       \
	X(O_LOAD, opener_load, ON_MAIN)					       \
	/* without it: rebuild, or refuse */				       \
	X(O_LOADED, opener_loaded, ON_MAIN)				       \
	X(O_REBUILD, opener_rebuild, ON_MAIN)				       \
	X(O_REBUILT, opener_rebuilt, ON_MAIN)				       \
	/* a new one: its first chapter is open */			       \
	X(O_FORMATTED, opener_formatted, ON_MAIN)			       \
	X(O_END, opener_end, ON_MAIN)

enum { OPENER_ROWS(FLOW_ROW) };
OPENER_ROWS(FLOW_FUNCTION)
FLOW_TABLE(opener_table, O_END, OPENER_ROWS);

static struct index_opener *opener_of(struct flow *f)
{
	return container_of(f, struct index_opener, flow);
}

static void init_parts(struct index_opener *o)
{
	const struct opener_config *c = &o->c;

	loader_init(&o->loader, &(struct loader_config){
		.media = c->media,
		.saves = c->saves,
		.contents = c->contents,
		.range = c->range,
		.stream = c->stream,
		.queue = c->queue,
	});
	rebuilder_init(&o->rebuilder, &(struct rebuilder_config){
		.media = c->media,
		.contents = c->contents,
		.range = c->range,
		.pages = c->pages,
		.stop = c->stop,
		.queue = c->queue,
	});
	formatter_init(&o->formatter, &(struct formatter_config){
		.media = c->media,
		.queue = c->queue,
		.wall_ms = c->wall_ms,
		.wall_arg = c->wall_arg,
	});
}

void opener_init(struct index_opener *o, const struct opener_config *c)
{
	VDO_ASSERT(c->queue != NULL && c->pages != NULL);
	*o = (struct index_opener){.c = *c};
	flow_init(&o->flow, &opener_table);
	o->flow.queues[ON_MAIN] = c->queue;
	init_parts(o);
}

void opener_start(struct index_opener *o, enum index_open how)
{
	VDO_ASSERT(how <= INDEX_REBUILD);
	o->how = how;
	o->unsaved = false;
	counter_set(&o->rebuilder.left_out, 0);
	index_saves_forget(o->c.saves);
	o->c.media->geometry->remapped_virtual = 0;
	o->c.media->geometry->remapped_physical = 0;
	flow_start(&o->flow);
}

/* Read a block into the media's buffer, then go on at row @next. */
static void read_block(struct index_opener *o, uint64_t block)
{
	VDO_ASSERT(queue_is_current(o->c.queue));
	media_read(o->c.media, &o->io, block, 1, o->c.media->block);
}

static int opener_super(struct flow *f)
{
	struct index_opener *o = opener_of(f);

	VDO_ASSERT(queue_is_current(o->c.queue));
	if (o->how == INDEX_FORMAT) {
		flow_await(f, &o->formatter.done, O_FORMATTED);
		formatter_start(&o->formatter);
		return FLOW_WAIT;
	}
	flow_await(f, &o->io.done, O_CONFIG);
	read_block(o, o->c.media->first_block);
	return FLOW_WAIT;
}

/* What cannot be rebuilt is no index. */
static int no_index(struct flow *f, int result)
{
	VDO_ASSERT(result < 0);
	return flow_fail(f, result == -VDO_ECORRUPT ? -VDO_ENOINDEX : result);
}

static int opener_config(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	struct index_media *m = o->c.media;
	struct index_layout layout;
	int r = index_super_decode(&layout, m->geometry, media_device_block(m),
				   m->block);

	VDO_ASSERT(o->io.done.result == 0);
	/* Saves may be larger than the geometry asks for, but not than this. */
	if (r == 0 && layout_blocks(&layout) > m->block_count)
		r = -VDO_ECORRUPT;
	if (r != 0)
		return no_index(f, r);
	media_set_layout(m, &layout);
	flow_await(f, &o->io.done, O_OURS);
	read_block(o, layout_config_block(&m->layout));
	return FLOW_WAIT;
}

static int opener_ours(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	struct index_media *m = o->c.media;
	int r = index_config_decode(m->geometry, m->nonce, m->block);

	VDO_ASSERT(o->io.done.result == 0);
	if (r != 0)
		return no_index(f, r);
	o->slot = 0;
	return O_SAVE;
}

static int opener_save(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	struct extent e;

	VDO_ASSERT(o->slot <= SAVES);
	if (o->slot == SAVES)
		return O_LOAD;
	e = layout_save_part(&o->c.media->layout, o->slot, SAVE_HEADER, 0, 1);
	flow_await_any(f, &o->io.done, O_SAVE_READ);
	read_block(o, e.start);
	return FLOW_WAIT;
}

static int opener_save_read(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	const struct index_media *m = o->c.media;
	struct index_save *save = &o->c.saves->slots[o->slot];

	VDO_ASSERT(o->slot < SAVES);
	if (o->io.done.result == 0)
		index_save_decode(&m->layout, o->slot, m->block, save);
	else
		o->c.saves->unreadable = true;
	o->slot++;
	return O_SAVE;
}

static int opener_load(struct flow *f)
{
	struct index_opener *o = opener_of(f);

	VDO_ASSERT(o->slot == SAVES && o->how != INDEX_FORMAT);
	index_saves_choose(o->c.saves);
	if (o->how == INDEX_REBUILD || o->c.saves->unreadable ||
	    o->c.saves->newest == NO_SAVE)
		return O_REBUILD;
	flow_await_any(f, &o->loader.done, O_LOADED);
	loader_start(&o->loader);
	return FLOW_WAIT;
}

static int opener_loaded(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	int r = o->loader.done.result;

	VDO_ASSERT(o->c.saves->newest != NO_SAVE);
	if (r == 0)
		return O_END;
	log_warning(o->c.media->log, "index: cannot use the save, error=%d",
		    r);
	return O_REBUILD;
}

static int opener_rebuild(struct flow *f)
{
	struct index_opener *o = opener_of(f);

	VDO_ASSERT(!o->unsaved);
	if (o->how == INDEX_LOAD_SAVED)
		return flow_fail(f, -VDO_EDIRTY);
	flow_await(f, &o->rebuilder.done, O_REBUILT);
	rebuilder_start(&o->rebuilder);
	return FLOW_WAIT;
}

static int opener_rebuilt(struct flow *f)
{
	struct index_opener *o = opener_of(f);
	const struct chapter_range *range = o->c.range;

	VDO_ASSERT(range->oldest <= range->newest);
	o->unsaved = true;
	log_info(o->c.media->log, "index: rebuilt, oldest=%llu, newest=%llu",
		 (unsigned long long)range->oldest,
		 (unsigned long long)range->newest);
	return O_END;
}

static int opener_formatted(struct flow *f)
{
	struct index_opener *o = opener_of(f);

	VDO_ASSERT(o->how == INDEX_FORMAT);
	o->unsaved = true;
	chapter_range_set(o->c.range, 0, 0);
	contents_open_chapter(o->c.contents, 0);
	return O_END;
}

static int opener_end(struct flow *f)
{
	completion_finish(&opener_of(f)->done, f->result);
	return FLOW_END;
}
