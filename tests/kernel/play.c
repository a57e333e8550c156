/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Play a plan, with many requests under way at the same time.
 *
 * An operation is one request or several. A request starts when no other one
 * that overlaps with it is under way, since their order would be open. A flush
 * waits for all requests before it to be acknowledged, as only those are what
 * it covers; requests after it do not wait for it.
 */
#include "build.h"

#include "tests/kernel/vdoplay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct player;

struct request {
	struct player *player;
	const struct operation *operation;
	uint64_t number; /* of the operation */
	uint64_t lbn, count;
	uint8_t *buffer; /* PER_IO_MAX blocks, once there is one */
	bool busy;
};

struct player {
	struct vdo_volume *volume;
	const struct play_options *options;
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned under_way;
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

/* Must a request on these blocks wait for @r? No blocks: a flush. */
static bool is_in_the_way(const struct request *r, uint64_t lbn,
			  uint64_t count)
{
	if (!r->busy || is_flush(r))
		return false;
	return count == 0 || (r->lbn < lbn + count && lbn < r->lbn + r->count);
}

/* A free request that may start now, or NULL. */
static struct request *find_free(struct player *p, uint64_t lbn,
				 uint64_t count)
{
	struct request *found = NULL;
	unsigned i;

	for (i = 0; i < p->options->window; i++) {
		struct request *r = &p->requests[i];

		if (is_in_the_way(r, lbn, count))
			return NULL;
		if (!r->busy && (found == NULL || r->buffer != NULL))
			found = r;
	}
	return found;
}

static struct request *request_begin(struct player *p,
				     const struct operation *o,
				     uint64_t number, uint64_t lbn,
				     uint64_t count)
{
	struct request *r;

	pthread_mutex_lock(&p->lock);
	while ((r = find_free(p, lbn, count)) == NULL)
		pthread_cond_wait(&p->done, &p->lock);
	r->busy = true;
	p->under_way++;
	pthread_mutex_unlock(&p->lock);
	r->player = p;
	r->operation = o;
	r->number = number;
	r->lbn = lbn;
	r->count = count;
	if (r->buffer == NULL)
		r->buffer = aligned_alloc(BLOCK, PER_IO_MAX * BLOCK);
	if (r->buffer == NULL)
		die("out of memory");
	return r;
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

static void play_operation(struct player *p, const struct operation *o,
			   uint64_t number)
{
	bool writes = o->action <= ACT_FUA;
	uint64_t done = 0;

	do {
		uint64_t n = o->count - done;
		struct request *r;
		int result;

		if (writes && n > o->per_io)
			n = o->per_io;
		r = request_begin(p, o, number, o->lbn + done, n);
		if (o->action == ACT_FLUSH)
			report(p, "reached", number);
		result = writes ? submit_write(p, r, done) : submit(p, r);
		if (result != 0)
			die("operation %" PRIu64 ": %s", number,
			    vdo_strerror(result));
		done += n;
	} while (done < o->count);
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
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
