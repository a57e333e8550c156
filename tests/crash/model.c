/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each place may hold: what a completed flush covered, or anything that
 * was submitted later.
 *
 * The versions of a place are in the order in which they were submitted, by one
 * thread, one after the other. The *floor* is the last one that is durable: it
 * was acknowledged before a flush began that completed, or itself with FUA.
 */
#include "build.h"

#include "tests/crash/crash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct version {
	content_t content;
	uint64_t acknowledged; /* when, in records; 0: not */
	bool fua;
};

static struct place {
	struct version *versions;
	unsigned count, room;
} places[PLACES];

/* What each worker waits for. */
static struct {
	bool flushing;
	uint64_t flush_began;
	struct record request; /* count 0: none */
} workers[WORKERS];

static uint64_t now, durable; /* in records */

static struct version *add_version(struct place *p)
{
	if (p->count == p->room) {
		p->room = p->room == 0 ? 8 : 2 * p->room;
		p->versions = realloc(p->versions,
				      p->room * sizeof(p->versions[0]));
		if (p->versions == NULL)
			abort();
	}
	p->versions[p->count] = (struct version){0};
	return &p->versions[p->count++];
}

static unsigned find_floor(const struct place *p)
{
	unsigned i = p->count - 1;

	for (; i > 0; i--) {
		const struct version *v = &p->versions[i];

		if (v->acknowledged != 0 &&
		    (v->fua || v->acknowledged <= durable))
			break;
	}
	return i;
}

static void forget_old(struct place *p)
{
	unsigned floor = find_floor(p);

	p->count -= floor;
	memmove(p->versions, p->versions + floor,
		p->count * sizeof(p->versions[0]));
}

void model_init(void)
{
	for (unsigned i = 0; i < PLACES; i++)
		add_version(&places[i]);
}

static void begin(const struct record *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct place *p = &places[r->place + i];
		struct version *v;

		if (p->count >= 8)
			forget_old(p);
		v = add_version(p);
		v->content = r->content + i * r->step;
		v->fua = r->fua;
	}
	workers[r->worker].request = *r;
}

static void end(unsigned worker)
{
	struct record *r = &workers[worker].request;

	for (uint32_t i = 0; i < r->count; i++) {
		struct place *p = &places[r->place + i];

		p->versions[p->count - 1].acknowledged = now;
	}
	r->count = 0;
}

void model_add(const struct record *r)
{
	now++;
	switch ((enum record_type)r->type) {
	case RECORD_BEGIN:
		begin(r);
		break;
	case RECORD_END:
		end(r->worker);
		break;
	case RECORD_FLUSH_BEGIN:
		workers[r->worker].flush_began = now;
		break;
	case RECORD_FLUSH_END:
		if (workers[r->worker].flush_began > durable)
			durable = workers[r->worker].flush_began;
		break;
	}
}

void model_crashed(void)
{
	memset(workers, 0, sizeof(workers));
}

uint64_t place_offset(uint64_t size, uint64_t place)
{
	return place < PLACES / 2 ? place * BLOCK :
				    size - (PLACES - place) * BLOCK;
}

static void complain(uint64_t i, const uint8_t *block)
{
	const struct place *p = &places[i];
	uint64_t word;

	memcpy(&word, block, sizeof(word));
	fprintf(stderr, "place %" PRIu64 " begins with %016" PRIx64
		", which is none of:\n", i, word);
	for (unsigned k = 0; k < p->count; k++)
		fprintf(stderr, "\t%016" PRIx64 "%s%s%s\n",
			p->versions[k].content,
			p->versions[k].acknowledged != 0 ? " acknowledged" : "",
			p->versions[k].fua ? " FUA" : "",
			k < find_floor(p) ? " (overwritten)" : "");
}

/* Take the last of the versions that it may be. */
static bool verify_place(uint64_t i, const uint8_t *block)
{
	struct place *p = &places[i];
	unsigned floor = find_floor(p), k = p->count;
	uint8_t want[BLOCK];

	while (k-- > floor) {
		content_fill(p->versions[k].content, want);
		if (memcmp(block, want, BLOCK) != 0)
			continue;
		p->versions[0] = (struct version){
			.content = p->versions[k].content,
		};
		p->count = 1;
		return true;
	}
	complain(i, block);
	return false;
}

unsigned model_verify(struct vdo_volume *volume)
{
	static uint8_t blocks[REQUEST_MAX * BLOCK];
	uint64_t size = vdo_volume_size(volume);
	unsigned wrong = 0;

	for (uint64_t i = 0; i < PLACES; i += REQUEST_MAX) {
		int r = vdo_pread(volume, blocks, sizeof(blocks),
				  place_offset(size, i), 0);

		if (r != 0) {
			fprintf(stderr, "place %" PRIu64 ": %s\n", i,
				vdo_strerror(r));
			wrong += REQUEST_MAX;
			continue;
		}
		for (unsigned k = 0; k < REQUEST_MAX; k++)
			wrong += !verify_place(i + k, blocks + k * BLOCK);
	}
	return wrong;
}
