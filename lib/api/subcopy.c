/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunks: a table of their states, and the calls that wait for some of them.
 *
 * Who finishes a chunk begins the next one, so IN_FLIGHT of them are under way beside
 * those that somebody waits for.
 */
#include "build.h"

#include "api/subcopy.h"

#include <errno.h>

#include <vdo/map.h>

#include "api/handle.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "exec/await.h"
#include "front/front.h"

#define CHUNK_BYTES (DIRECTORY_UNIT * BLOCK_SIZE) /* or more: */
#define CHUNKS_MAX  (UINT64_C(1) << 20)		  /* 1 MiB of states */
#define IN_FLIGHT   2u

enum chunk_state {
	CHUNK_TODO,
	CHUNK_BUSY,
	CHUNK_DONE,
};

#define CHUNK_MAPPED 0x80u /* beside the state, while it is surveyed */

struct subcopy {
	struct sub *sub;
	struct front *front;
	const struct sub_map *from, *to;
	uint64_t chunk; /* bytes */
	uint64_t count; /* of chunks */
	/* Under the lock of the sub-volume: */
	uint8_t *states;
	uint64_t next; /* those before it are not todo */
	unsigned busy; /* chunks, and one more for who runs it */
	int result;
	struct list_node waiting;
	struct await *over;
};

/* A chunk that is busy. */
struct chunk_copy {
	struct subcopy *c;
	uint64_t chunk;
	bool one_of_many; /* its end begins another one */
};

/* A call that waits for chunks. */
struct waiting_call {
	struct list_node link;
	struct vdo_volume *handle;
	const struct sub *from; /* sub_submit()'s */
	struct io_request q;
	struct iovec *vectors;
	uint64_t first, last; /* chunks */
	uint64_t left;	      /* of these, that are not done */
	struct completion go; /* for one that is refused in the end */
	int result;
};

/* A call with more chunks does not begin them, and waits until they had their
 * turn. */
#define URGENT_MAX 16u

static unsigned state_of(const struct subcopy *c, uint64_t chunk)
{
	VDO_CHECK(chunk < c->count);
	return c->states[chunk] & ~CHUNK_MAPPED;
}

/* ------------------------------------------------------------ those who wait */

/* @chunk is done: calls that do not wait any more go to @ready. */
static void set_done(struct subcopy *c, uint64_t chunk,
		     struct list_node *ready)
{
	VDO_CHECK(state_of(c, chunk) != CHUNK_DONE);
	c->states[chunk] = CHUNK_DONE;
	list_for_each_safe(n, &c->waiting) {
		struct waiting_call *w =
			list_entry(n, struct waiting_call, link);

		if (chunk < w->first || chunk > w->last || --w->left > 0)
			continue;
		list_remove(n);
		list_push_back(ready, n);
	}
}

static void end_call(struct waiting_call *w)
{
	struct front_group *g = &w->handle->calls;

	if (w->result != 0)
		w->q.callback(w->q.arg, w->result);
	alloc_free(w->vectors);
	alloc_free(w);
	front_group_leave(g);
}

static void end_call_there(struct completion *c)
{
	end_call(container_of(c, struct waiting_call, go));
}

/* Outside of the lock. A callback is for a queue, where this does not run in one. */
static void let_go(struct list_node *ready)
{
	struct list_node *n;

	while ((n = list_pop(ready)) != NULL) {
		struct waiting_call *w =
			list_entry(n, struct waiting_call, link);
		struct front *f = w->handle->front;

		w->result = sub_pass(w->handle, w->from, &w->q);
		if (w->result == 0 || queue_running != NULL) {
			end_call(w);
			continue;
		}
		completion_init(&w->go, front_queue(f), end_call_there);
		completion_post(&w->go);
	}
}

/* -------------------------------------------------------------------- chunks */

/* One thing less is under way; true: it was the last one, and *@over is to be told,
 * outside of the lock. */
static bool less_busy(struct subcopy *c, struct await **over)
{
	VDO_CHECK(c->busy > 0);
	*over = c->over;
	return --c->busy == 0;
}

/* Make @chunk busy. NULL: no memory. */
static struct chunk_copy *take(struct subcopy *c, uint64_t chunk,
			       bool one_of_many)
{
	struct chunk_copy *k = alloc_zeroed(1, sizeof(*k));

	VDO_CHECK(state_of(c, chunk) == CHUNK_TODO);
	if (k == NULL) {
		if (c->result == 0)
			c->result = -ENOMEM;
		return NULL;
	}
	*k = (struct chunk_copy){c, chunk, one_of_many};
	c->states[chunk] = (c->states[chunk] & CHUNK_MAPPED) | CHUNK_BUSY;
	c->busy++;
	return k;
}

/* The next chunk of those that are todo. NULL: none, or the copy has failed. */
static struct chunk_copy *take_next(struct subcopy *c)
{
	while (c->next < c->count && state_of(c, c->next) != CHUNK_TODO)
		c->next++;
	return c->next < c->count && c->result == 0 ? take(c, c->next, true)
						    : NULL;
}

static void chunk_over(void *arg, int result);

/* Copy it. If that does not begin the copy has failed: who waits hears of it from
 * others, or in the end. */
static void begin(struct chunk_copy *k)
{
	struct subcopy *c = k->c;
	struct await *over;
	uint64_t offset = k->chunk * c->chunk;
	struct io_request q = {
		.kind = IO_COPY,
		.offset = offset,
		.source = offset,
		.length = MIN(c->chunk, c->from->size - offset),
		.callback = chunk_over,
		.arg = k,
	};
	int result = sub_walk(c->front, c->to, c->from, &q);
	bool last;

	if (result == 0)
		return;
	alloc_free(k);
	pthread_mutex_lock(&c->sub->lock);
	if (c->result == 0)
		c->result = result;
	last = less_busy(c, &over);
	pthread_mutex_unlock(&c->sub->lock);
	if (last)
		await_tell(over, 0);
}

static void chunk_over(void *arg, int result)
{
	struct chunk_copy *k = arg, *next = NULL;
	struct subcopy *c = k->c;
	struct list_node ready;
	struct await *over;
	bool last;

	list_init(&ready);
	pthread_mutex_lock(&c->sub->lock);
	if (c->result == 0)
		c->result = result;
	set_done(c, k->chunk, &ready);
	if (c->result != 0)
		list_splice(&ready, &c->waiting);
	if (k->one_of_many)
		next = take_next(c);
	last = less_busy(c, &over);
	pthread_mutex_unlock(&c->sub->lock);
	alloc_free(k);
	let_go(&ready);
	if (next != NULL)
		begin(next);
	if (last)
		await_tell(over, 0);
}

/* -------------------------------------------------------------------- submit */

/* Wait for the chunks of @w that are not done, and begin those of a short call. In
 * *@urgent, *@n of them. Under the lock; false: there are none. */
static bool wait_for(struct subcopy *c, struct waiting_call *w,
		     struct chunk_copy **urgent, unsigned *n)
{
	*n = 0;
	if (c->result != 0)
		return false;
	for (uint64_t i = w->first; i <= w->last; i++)
		w->left += state_of(c, i) != CHUNK_DONE;
	if (w->left == 0)
		return false;
	if (w->last - w->first >= URGENT_MAX)
		return true;
	for (uint64_t i = w->first; i <= w->last && c->result == 0; i++) {
		struct chunk_copy *k = state_of(c, i) == CHUNK_TODO
					       ? take(c, i, false)
					       : NULL;

		if (k != NULL)
			urgent[(*n)++] = k;
	}
	return true;
}

int subcopy_submit(struct vdo_volume *v, const struct sub *from,
		   const struct io_request *q)
{
	struct chunk_copy *urgent[URGENT_MAX];
	struct sub *s = v->sub;
	struct waiting_call *w = alloc_zeroed(1, sizeof(*w));
	bool waits = false;
	struct subcopy *c;
	unsigned n = 0;
	int result = 0;

	if (w == NULL)
		return -ENOMEM;
	w->handle = v;
	w->from = from;
	w->q = *q;
	w->q.flags &= ~VDO_IO_NOWAIT;
	result = sub_keep_vectors(&w->q, &w->vectors);
	if (result != 0) {
		alloc_free(w);
		return result;
	}
	pthread_mutex_lock(&s->lock);
	c = atomic_load(&s->copy);
	if (c != NULL) {
		w->first = q->offset / c->chunk;
		w->last = (q->offset + q->length - 1) / c->chunk;
		waits = wait_for(c, w, urgent, &n);
	}
	if (waits && (q->flags & VDO_IO_NOWAIT) != 0) {
		waits = false;
		result = -EAGAIN;
	} else if (waits) {
		front_group_enter(&v->calls);
		list_push_back(&c->waiting, &w->link);
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		begin(urgent[i]);
	if (waits)
		return 0;
	alloc_free(w->vectors);
	alloc_free(w);
	return result != 0 ? result : sub_pass(v, from, q);
}

/* ----------------------------------------------------------------------- run */

static int note_mapped(void *arg, const struct vdo_extent *e)
{
	struct subcopy *c = arg;
	uint64_t last = (e->offset + e->length - 1) / c->chunk;

	if (e->kind == VDO_MAP_HOLE)
		return 0;
	pthread_mutex_lock(&c->sub->lock);
	for (uint64_t i = e->offset / c->chunk; i <= last; i++)
		c->states[i] |= CHUNK_MAPPED;
	pthread_mutex_unlock(&c->sub->lock);
	return 0;
}

/* What has no mappings need not be copied. */
static void skip_unmapped(struct subcopy *c, struct list_node *ready)
{
	for (uint64_t i = 0; i < c->count; i++)
		if (c->states[i] == CHUNK_TODO)
			set_done(c, i, ready);
}

/* After the moment: copy everything, and wait for that. */
static void copy_all(struct subcopy *c, struct vdo_volume *v)
{
	struct chunk_copy *first[IN_FLIGHT] = {NULL};
	int result = vdo_map_extents(v, 0, c->from->size, 0, note_mapped, c);
	struct list_node ready;
	struct await *over;

	list_init(&ready);
	pthread_mutex_lock(&c->sub->lock);
	if (c->result == 0)
		c->result = result;
	if (c->result == 0)
		skip_unmapped(c, &ready);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		first[i] = take_next(c);
	pthread_mutex_unlock(&c->sub->lock);
	let_go(&ready);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		if (first[i] != NULL)
			begin(first[i]);
	pthread_mutex_lock(&c->sub->lock);
	if (less_busy(c, &over))
		await_tell(over, 0);
	pthread_mutex_unlock(&c->sub->lock);
	(void)await_end(c->over);
}

int subcopy_run(struct vdo_volume *v, const struct sub_map *to)
{
	struct sub *s = v->sub;
	struct subcopy c = {
		.sub = s,
		.front = v->front,
		.from = atomic_load(&s->map),
		.to = to,
		.chunk = CHUNK_BYTES,
		.busy = 1,
	};
	struct list_node ready;
	struct await w;

	VDO_ASSERT(c.from->size == to->size);
	while (div_up(to->size, c.chunk) > CHUNKS_MAX)
		c.chunk *= 2;
	c.count = div_up(to->size, c.chunk);
	c.states = alloc_zeroed(c.count, 1);
	if (c.states == NULL)
		return -ENOMEM;
	list_init(&c.waiting);
	list_init(&ready);
	await_init(&w, v->executor);
	c.over = &w;
	pthread_mutex_lock(&s->lock);
	VDO_ASSERT(atomic_load(&s->copy) == NULL);
	atomic_store(&s->copy, &c);
	pthread_mutex_unlock(&s->lock);
	copy_all(&c, v);
	pthread_mutex_lock(&s->lock);
	VDO_ASSERT(c.busy == 0);
	atomic_store(&s->copy, NULL);
	list_splice(&ready, &c.waiting);
	pthread_mutex_unlock(&s->lock);
	VDO_ASSERT(c.result != 0 || list_empty(&ready));
	let_go(&ready);
	alloc_free(c.states);
	return c.result;
}
