/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Play a plan, with many requests under way at the same time.
 *
 * An operation is one request or several. A request starts when no other one
 * that overlaps with it is under way, since their order would be open. A flush
 * waits for all requests before it to be acknowledged, as only those are what
 * it covers; requests after it do not wait for it.
 *
 * With options->copy what the plan wrote before, and is still there, is copied
 * from there instead of being written again.
 */
#include "build.h"

#include "tests/kernel/vdoplay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT64_MAX

struct player;

/* What was written to blocks side by side, and is there. */
struct extent {
	uint64_t lbn, count, seed, step;
	int kind;
};

struct request {
	struct player *player;
	const struct operation *operation;
	uint64_t number; /* of the operation */
	uint64_t lbn, count;
	uint64_t source; /* of a copy, or NOWHERE */
	uint8_t *buffer; /* PER_IO_MAX blocks, once there is one */
	bool busy;
};

struct player {
	struct vdo_volume *volume;
	const struct play_options *options;
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned under_way;
	struct extent *extents;
	size_t extent_count, extent_room;
	struct request requests[WINDOW_MAX];
};

static bool is_flush(const struct request *r)
{
	return r->operation->action == ACT_FLUSH;
}

static void report(const struct player *p, const char *what, uint64_t number)
{
	const char *tag = p->options->tag;

	if (p->options->quiet)
		return;
	printf("%s%s%s %" PRIu64 "\n", tag != NULL ? tag : "",
	       tag != NULL ? " " : "", what, number);
	fflush(stdout);
}

static void request_done(void *arg, int result)
{
	struct request *r = arg;
	struct player *p = r->player;

	if (result != 0)
		die("operation %" PRIu64 ", block %" PRIu64 ": %s", r->number,
		    r->lbn, vdo_strerror(result));
	pthread_mutex_lock(&p->lock);
	if (is_flush(r))
		report(p, "flushed", r->number);
	r->busy = false;
	p->under_way--;
	pthread_cond_signal(&p->done);
	pthread_mutex_unlock(&p->lock);
}

static bool overlap(uint64_t a, uint64_t b, uint64_t count, uint64_t b_count)
{
	return a != NOWHERE && b != NOWHERE && a < b + b_count &&
	       b < a + count;
}

/* Must a request that changes these blocks, and copies them from @source, wait for
 * @r? No blocks: a flush. */
static bool is_in_the_way(const struct request *r, uint64_t lbn,
			  uint64_t count, uint64_t source)
{
	if (!r->busy || is_flush(r))
		return false;
	return count == 0 || overlap(lbn, r->lbn, count, r->count) ||
	       overlap(lbn, r->source, count, r->count) ||
	       overlap(source, r->lbn, count, r->count);
}

/* A free request that may start now, or NULL. */
static struct request *find_free(struct player *p, uint64_t lbn,
				 uint64_t count, uint64_t source)
{
	struct request *found = NULL;
	unsigned i;

	for (i = 0; i < p->options->window; i++) {
		struct request *r = &p->requests[i];

		if (is_in_the_way(r, lbn, count, source))
			return NULL;
		if (!r->busy && (found == NULL || r->buffer != NULL))
			found = r;
	}
	return found;
}

static struct request *request_begin(struct player *p,
				     const struct operation *o,
				     uint64_t number, uint64_t lbn,
				     uint64_t count, uint64_t source)
{
	struct request *r;

	pthread_mutex_lock(&p->lock);
	while ((r = find_free(p, lbn, count, source)) == NULL)
		pthread_cond_wait(&p->done, &p->lock);
	r->busy = true;
	p->under_way++;
	pthread_mutex_unlock(&p->lock);
	r->player = p;
	r->operation = o;
	r->number = number;
	r->lbn = lbn;
	r->count = count;
	r->source = source;
	if (r->buffer == NULL)
		r->buffer = aligned_alloc(BLOCK, PER_IO_MAX * BLOCK);
	if (r->buffer == NULL)
		die("out of memory");
	return r;
}

static void add_extent(struct player *p, struct extent e)
{
	if (e.count == 0)
		return;
	if (p->extent_count == p->extent_room) {
		p->extent_room = p->extent_room * 2 + 64;
		p->extents = realloc(p->extents,
				     p->extent_room * sizeof(*p->extents));
		if (p->extents == NULL)
			die("out of memory");
	}
	p->extents[p->extent_count++] = e;
}

/* Something else is to be in these blocks. */
static void forget_extents(struct player *p, uint64_t lbn, uint64_t count)
{
	uint64_t from = lbn + count;
	size_t n = p->extent_count;

	for (size_t i = 0; i < n; i++) {
		struct extent e = p->extents[i];
		uint64_t end = e.lbn + e.count;

		if (!overlap(lbn, e.lbn, count, e.count))
			continue;
		p->extents[i].count = e.lbn < lbn ? lbn - e.lbn : 0;
		if (from >= end)
			continue;
		e.seed += (from - e.lbn) * e.step;
		e.lbn = from;
		e.count = end - from;
		add_extent(p, e);
	}
}

/* Where blocks are what is to be written next, @skip blocks into @o; how many of
 * @count. Or NOWHERE. */
static uint64_t find_source(const struct player *p, const struct operation *o,
			    uint64_t skip, uint64_t *count)
{
	uint64_t seed = o->seed + skip * o->step;

	if (o->kind == KIND_ZERO || o->step > 1)
		return NOWHERE;
	for (size_t i = p->extent_count; i > 0; i--) {
		const struct extent *e = &p->extents[i - 1];
		uint64_t at = seed - e->seed;

		if (e->kind != o->kind || e->step > 1 || at >= e->count ||
		    (e->step == 0 && at != 0) || e->lbn + at == o->lbn + skip)
			continue;
		if (e->step != o->step)
			*count = 1;
		else if (*count > e->count - at)
			*count = e->count - at;
		return e->lbn + at;
	}
	return NOWHERE;
}

static int submit_write(struct player *p, struct request *r, uint64_t skip)
{
	const struct operation *o = r->operation;
	uint64_t i;

	for (i = 0; i < r->count; i++)
		block_fill(r->buffer + i * BLOCK, o->kind,
			   o->seed + (skip + i) * o->step);
	return vdo_aio_pwrite(p->volume, r->buffer, r->count * BLOCK,
			      r->lbn * BLOCK, request_done, r,
			      o->action == ACT_FUA ? VDO_IO_FUA : 0);
}

static int submit(struct player *p, struct request *r)
{
	const struct operation *o = r->operation;

	switch (o->action) {
	case ACT_PART:
		block_fill(r->buffer, o->kind, o->seed);
		return vdo_aio_pwrite(p->volume, r->buffer + o->offset,
				      o->length, o->lbn * BLOCK + o->offset,
				      request_done, r, 0);
	case ACT_DISCARD:
		return vdo_aio_discard(p->volume, o->count * BLOCK,
				       o->lbn * BLOCK, request_done, r, 0);
	case ACT_ZEROOUT:
		return vdo_aio_write_zeroes(p->volume, o->count * BLOCK,
					    o->lbn * BLOCK, request_done, r, 0);
	default:
		return vdo_aio_flush(p->volume, request_done, r, 0);
	}
}

static int submit_copy(struct player *p, struct request *r)
{
	return vdo_aio_copy_range(p->volume, r->lbn * BLOCK,
				  r->source * BLOCK, r->count * BLOCK,
				  request_done, r,
				  r->operation->action == ACT_FUA ? VDO_IO_FUA
								  : 0);
}

/* Up to @n blocks of a write, of which @done are; how many. */
static uint64_t play_write(struct player *p, const struct operation *o,
			   uint64_t number, uint64_t done, uint64_t n)
{
	uint64_t source = NOWHERE;
	struct request *r;
	int result;

	if (p->options->copy)
		source = find_source(p, o, done, &n);
	r = request_begin(p, o, number, o->lbn + done, n, source);
	result = source == NOWHERE ? submit_write(p, r, done)
				   : submit_copy(p, r);
	if (result != 0)
		die("operation %" PRIu64 ": %s", number, vdo_strerror(result));
	forget_extents(p, o->lbn + done, n);
	add_extent(p, (struct extent){.lbn = o->lbn + done,
				      .count = n,
				      .seed = o->seed + done * o->step,
				      .step = o->step,
				      .kind = o->kind});
	return n;
}

static void play_operation(struct player *p, const struct operation *o,
			   uint64_t number)
{
	struct request *r;
	int result;

	if (o->action <= ACT_FUA) {
		for (uint64_t done = 0; done < o->count;) {
			uint64_t n = o->count - done;

			if (n > o->per_io)
				n = o->per_io;
			done += play_write(p, o, number, done, n);
		}
		return;
	}
	r = request_begin(p, o, number, o->lbn, o->count, NOWHERE);
	if (o->action == ACT_FLUSH)
		report(p, "reached", number);
	result = submit(p, r);
	if (result != 0)
		die("operation %" PRIu64 ": %s", number, vdo_strerror(result));
	forget_extents(p, o->lbn, o->count);
}

void play(struct vdo_volume *volume, const struct plan *plan,
	  const struct play_options *options)
{
	struct player *p = calloc(1, sizeof(*p));
	uint64_t n;
	unsigned i;

	if (p == NULL)
		die("out of memory");
	p->volume = volume;
	p->options = options;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->done, NULL);
	for (n = options->from; n <= plan->count && n <= options->to; n++)
		play_operation(p, &plan->operations[n - 1], n);
	pthread_mutex_lock(&p->lock);
	while (p->under_way > 0)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < options->window; i++)
		free(p->requests[i].buffer);
	free(p->extents);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
