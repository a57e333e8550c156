/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making an index. The super block makes it one, so that of an old index goes
 * first and the new one comes last: a crash in between leaves none.
 */
#include "build.h"

#include "index/formatter.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "exec/executor.h"

enum { ON_MAIN = 1 };

/* Row, function, where it runs; what it does. */
#define FORMAT_ROWS(X)							       \
	/* choose nonces; the super block becomes zero */		       \
	X(F_ERASE, format_erase, ON_MAIN)				       \
	/* the header of each save: there is none */			       \
	X(F_SAVES, format_saves, ON_MAIN)				       \
	X(F_CONFIG, format_config, ON_MAIN)				       \
	X(F_SUPER, format_super, ON_MAIN)				       \
	X(F_END, format_end, ON_MAIN)

enum { FORMAT_ROWS(FLOW_ROW) };
FORMAT_ROWS(FLOW_FUNCTION)
FLOW_TABLE(format_table, F_END, FORMAT_ROWS);

static struct index_formatter *formatter_of(struct flow *f)
{
	return container_of(f, struct index_formatter, flow);
}

void formatter_init(struct index_formatter *m,
		    const struct formatter_config *c)
{
	VDO_ASSERT(c->queue != NULL);
	*m = (struct index_formatter){.c = *c};
	flow_init(&m->flow, &format_table);
	m->flow.queues[ON_MAIN] = c->queue;
}

void formatter_start(struct index_formatter *m)
{
	flow_start(&m->flow);
}

static void make_unique(const struct index_formatter *m,
			uint8_t unique[NONCE_INFO_MAX])
{
	struct executor *x = m->c.queue->executor;
	uint64_t wall = m->c.wall_ms == NULL ? executor_now(x)
					     : m->c.wall_ms(m->c.wall_arg);

	put_u64(unique, wall);
	for (unsigned i = 8; i < NONCE_INFO_MAX; i += 8)
		put_u64(unique + i, x->ops->random(x));
}

/* Write the block in the media's buffer, then go on at row @next. */
static int store_block(struct index_formatter *m, uint64_t block, int next)
{
	VDO_ASSERT(queue_is_current(m->c.queue));
	flow_await(&m->flow, &m->io.done, next);
	media_store(m->c.media, &m->io, block, 1, m->c.media->block);
	return FLOW_WAIT;
}

static int format_erase(struct flow *f)
{
	struct index_formatter *m = formatter_of(f);
	struct index_media *media = m->c.media;
	uint8_t unique[NONCE_INFO_MAX];
	struct index_layout layout;

	VDO_ASSERT(media->geometry->remapped_physical == 0);
	make_unique(m, unique);
	layout_init(&layout, media->geometry, media_device_block(media),
		    unique);
	media_set_layout(media, &layout);
	m->slot = 0;
	memset(media->block, 0, BLOCK_SIZE);
	return store_block(m, layout_super_block(&media->layout), F_SAVES);
}

static int format_saves(struct flow *f)
{
	struct index_formatter *m = formatter_of(f);
	const struct index_layout *l = &m->c.media->layout;
	const struct index_save none = {0};
	struct extent e;

	VDO_ASSERT(m->slot <= SAVES);
	if (m->slot == SAVES)
		return F_CONFIG;
	index_save_encode(l, m->slot, &none, m->c.media->block);
	e = layout_save_part(l, m->slot, SAVE_HEADER, 0, 1);
	m->slot++;
	return store_block(m, e.start, F_SAVES);
}

static int format_config(struct flow *f)
{
	struct index_formatter *m = formatter_of(f);
	struct index_media *media = m->c.media;

	VDO_ASSERT(m->slot == SAVES);
	index_config_encode(media->geometry, media->nonce, media->block);
	return store_block(m, layout_config_block(&media->layout), F_SUPER);
}

static int format_super(struct flow *f)
{
	struct index_formatter *m = formatter_of(f);
	struct index_media *media = m->c.media;

	VDO_ASSERT(media->layout.volume_offset == 0);
	index_super_encode(&media->layout, media->block);
	return store_block(m, layout_super_block(&media->layout), F_END);
}

static int format_end(struct flow *f)
{
	VDO_ASSERT(queue_is_current(formatter_of(f)->c.queue));
	completion_finish(&formatter_of(f)->done, f->result);
	return FLOW_END;
}
