/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: a list of versions a block, oldest first; a clock that ticks with each
 * call. Versions go when they are out of date also for a crash and nothing that
 * could still see them is under way, which model_idle() and model_flushed()
 * find out.
 *
 * What versions hold is kept once, in a table by digest, and has a number that
 * nothing else ever gets: so a block is compared with what is known once, however
 * many versions there are, and looking at it again costs a number. Digests only
 * say where to look: what is equal was compared.
 */
#include "build.h"

#include "tests/lib/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

#define BLOCK	4096u
#define NEVER	UINT64_MAX
#define BUCKETS 4096u /* 2^12 */

struct content {
	struct content *next; /* of the bucket */
	uint64_t digest, number;
	uint64_t users;
	uint8_t data[BLOCK];
};

struct model_version {
	struct model_version *next; /* newer */
	struct list_node link;	    /* acknowledged, and not durable */
	uint64_t lbn;
	uint64_t submitted, ended; /* under way in between */
	uint64_t acked, durable;   /* never, if it failed */
	struct content *content;
};

struct model {
	struct model_version **oldest; /* by LBN */
	struct model_version **newest;
	uint64_t *written; /* LBNs that have versions */
	uint64_t written_count;
	struct list_node acked; /* and not durable */
	struct content *buckets[BUCKETS];
	uint64_t numbers;
	uint64_t blocks;
	uint64_t clock;
};

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ----------------------------------------------------------------- contents */

/* Eight lanes, so that no multiplication waits for another. */
static uint64_t digest_of(const uint8_t *block)
{
	uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, all = 0;

	for (unsigned i = 0; i < BLOCK; i += sizeof(lanes)) {
		for (unsigned l = 0; l < 8; l++) {
			uint64_t word;

			memcpy(&word, block + i + l * sizeof(word),
			       sizeof(word));
			lanes[l] = (lanes[l] ^ word) * 0x9e3779b97f4a7c15u;
		}
	}
	for (unsigned l = 0; l < 8; l++)
		all = (all ^ lanes[l] ^ lanes[l] >> 29) * 0xff51afd7ed558ccdu;
	return all ^ all >> 32;
}

static struct content **find_content(struct model *m, uint64_t digest,
				     const void *block)
{
	struct content **p = &m->buckets[digest >> 52];

	while (*p != NULL && ((*p)->digest != digest ||
			      memcmp((*p)->data, block, BLOCK) != 0))
		p = &(*p)->next;
	return p;
}

static struct content *get_content(struct model *m, const void *block)
{
	uint64_t digest = digest_of(block);
	struct content **p = find_content(m, digest, block);

	if (*p == NULL) {
		*p = must(malloc(sizeof(**p)));
		(*p)->next = NULL;
		(*p)->digest = digest;
		(*p)->number = ++m->numbers;
		(*p)->users = 0;
		memcpy((*p)->data, block, BLOCK);
	}
	(*p)->users++;
	return *p;
}

static void put_content(struct model *m, struct content *c)
{
	struct content **p = &m->buckets[c->digest >> 52];

	if (--c->users > 0)
		return;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	free(c);
}

uint64_t model_number(struct model *m, const void *block)
{
	const struct content *c = *find_content(m, digest_of(block), block);

	return c == NULL ? MODEL_UNKNOWN : c->number;
}

/* ----------------------------------------------------------------- versions */

/* The newest of @lbn. NULL: zeroes. */
static struct model_version *new_version(struct model *m, uint64_t lbn,
					 const void *block)
{
	static const uint8_t zeroes[BLOCK];
	struct model_version *v = must(calloc(1, sizeof(*v)));

	list_init(&v->link);
	v->lbn = lbn;
	v->ended = v->acked = v->durable = NEVER;
	v->content = get_content(m, block == NULL ? zeroes : block);
	if (m->oldest[lbn] != NULL) {
		m->newest[lbn]->next = v;
	} else {
		m->written[m->written_count++] = lbn;
		m->oldest[lbn] = v;
	}
	m->newest[lbn] = v;
	return v;
}

struct model *model_create(uint64_t blocks)
{
	static const uint8_t zeroes[BLOCK];
	struct model *m = must(calloc(1, sizeof(*m)));

	m->oldest = must(calloc(blocks, sizeof(*m->oldest)));
	m->newest = must(calloc(blocks, sizeof(*m->newest)));
	m->written = must(calloc(blocks, sizeof(*m->written)));
	list_init(&m->acked);
	m->blocks = blocks;
	m->clock = 1;
	if (get_content(m, zeroes)->number != MODEL_ZEROES)
		abort();
	return m;
}

void model_destroy(struct model *m)
{
	if (m == NULL)
		return;
	for (uint64_t i = 0; i < m->blocks; i++) {
		while (m->oldest[i] != NULL) {
			struct model_version *v = m->oldest[i];

			m->oldest[i] = v->next;
			free(v);
		}
	}
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (m->buckets[i] != NULL) {
			struct content *c = m->buckets[i];

			m->buckets[i] = c->next;
			free(c);
		}
	}
	free(m->oldest);
	free(m->newest);
	free(m->written);
	free(m);
}

uint64_t model_now(struct model *m)
{
	return ++m->clock;
}

bool model_is_fresh(struct model *m, uint64_t lbn)
{
	return m->oldest[lbn] == NULL;
}

/* The zeroes that were there before everything. */
static void begin(struct model *m, uint64_t lbn)
{
	struct model_version *v;

	if (m->oldest[lbn] != NULL)
		return;
	v = new_version(m, lbn, NULL);
	v->submitted = v->ended = v->acked = v->durable = 0;
}

struct model_version *model_submit(struct model *m, uint64_t lbn,
				   const void *block)
{
	struct model_version *v;

	begin(m, lbn);
	v = new_version(m, lbn, block);
	v->submitted = model_now(m);
	return v;
}

struct model_version *model_submit_at(struct model *m, uint64_t lbn,
				      const void *block, uint64_t since)
{
	struct model_version *v = model_submit(m, lbn, block);

	v->submitted = since;
	return v;
}

void model_ack(struct model *m, struct model_version *v, bool fua)
{
	v->ended = v->acked = model_now(m);
	if (fua)
		v->durable = v->acked;
	else
		list_push_back(&m->acked, &v->link);
}

static void drop(struct model *m, struct model_version *v)
{
	struct model_version *at = m->oldest[v->lbn], *before = NULL;

	for (; at != v; at = at->next)
		before = at;
	if (before == NULL)
		m->oldest[v->lbn] = v->next;
	else
		before->next = v->next;
	if (v->next == NULL)
		m->newest[v->lbn] = before;
	list_remove(&v->link);
	put_content(m, v->content);
	free(v);
}

void model_never(struct model *m, struct model_version *v)
{
	drop(m, v);
}

void model_maybe(struct model *m, struct model_version *v)
{
	v->ended = model_now(m);
}

/* Has @v been overtaken by a version that was acknowledged before @before? */
static bool is_overtaken(const struct model *m, const struct model_version *v,
			 uint64_t before)
{
	for (const struct model_version *w = m->oldest[v->lbn]; w != NULL;
	     w = w->next)
		if (w->submitted > v->ended && w->acked < before)
			return true;
	return false;
}

/* The same by one that is durable. */
static bool is_lost(const struct model *m, const struct model_version *v)
{
	for (const struct model_version *w = m->oldest[v->lbn]; w != NULL;
	     w = w->next)
		if (w->submitted > v->ended && w->durable != NEVER)
			return true;
	return false;
}

static void tidy(struct model *m, uint64_t lbn)
{
	struct model_version *v = m->oldest[lbn], *next;

	for (; v != NULL; v = next) {
		next = v->next;
		if (is_lost(m, v) && is_overtaken(m, v, NEVER))
			drop(m, v);
	}
}

void model_flushed(struct model *m, uint64_t since)
{
	list_for_each_safe(n, &m->acked) {
		struct model_version *v =
			list_entry(n, struct model_version, link);

		if (v->acked >= since)
			break;
		v->durable = m->clock;
		list_remove(n);
	}
}

void model_idle(struct model *m)
{
	for (uint64_t i = 0; i < m->written_count; i++)
		tidy(m, m->written[i]);
}

bool model_may_read(struct model *m, uint64_t lbn, uint64_t since,
		    uint64_t number)
{
	if (model_is_fresh(m, lbn))
		return number == MODEL_ZEROES;
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (v->content->number == number && !is_overtaken(m, v, since))
			return true;
	return false;
}

static bool is_among(const void *const *contents, unsigned n, const void *data)
{
	for (unsigned i = 0; i < n; i++)
		if (contents[i] == data)
			return true;
	return false;
}

bool model_contents(struct model *m, uint64_t lbn, uint64_t since,
		    const void **contents, unsigned max)
{
	unsigned n = 0;

	begin(m, lbn);
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next) {
		if (is_overtaken(m, v, since) ||
		    is_among(contents, n, v->content->data))
			continue;
		contents[n++] = v->content->data;
		if (n == max)
			return false;
	}
	contents[n] = NULL;
	return true;
}

bool model_may_hold(struct model *m, uint64_t lbn, uint64_t number)
{
	if (model_is_fresh(m, lbn))
		return number == MODEL_ZEROES;
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (v->content->number == number && !is_lost(m, v))
			return true;
	return false;
}

void model_print(struct model *m, uint64_t lbn, const void *block)
{
	begin(m, lbn);
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		fprintf(stderr,
			"model: %c submitted %lld, ended %lld, acked %lld, "
			"durable %lld (%02x %02x ...)\n",
			memcmp(v->content->data, block, BLOCK) == 0 ? '*'
								    : ' ',
			(long long)v->submitted, (long long)v->ended,
			(long long)v->acked, (long long)v->durable,
			v->content->data[0], v->content->data[1]);
}

bool model_may_survive(struct model *m, uint64_t lbn, uint64_t number)
{
	struct model_version *found = NULL;

	if (model_is_fresh(m, lbn))
		return number == MODEL_ZEROES;
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (v->content->number == number && !is_lost(m, v))
			found = v;
	if (found == NULL)
		return false;
	while (m->oldest[lbn] != found)
		drop(m, m->oldest[lbn]);
	while (found->next != NULL)
		drop(m, found->next);
	list_remove(&found->link);
	found->ended = found->acked = found->durable = model_now(m);
	return true;
}

bool model_settled(struct model *m, uint64_t lbn)
{
	const struct model_version *only = NULL;

	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next) {
		if (is_lost(m, v))
			continue;
		if (only != NULL || v->durable == NEVER)
			return false;
		only = v;
	}
	return true;
}

void model_adopt(struct model *m, uint64_t lbn, const void *block)
{
	struct model_version *v;

	begin(m, lbn);
	v = new_version(m, lbn, block);
	while (m->oldest[lbn] != v)
		drop(m, m->oldest[lbn]);
	v->submitted = model_now(m);
	v->ended = v->acked = v->durable = v->submitted;
}

const void *model_only(struct model *m, uint64_t lbn)
{
	struct model_version *v, *only = NULL;

	begin(m, lbn);
	for (v = m->oldest[lbn]; v != NULL; v = v->next) {
		if (is_overtaken(m, v, NEVER))
			continue;
		if (only != NULL || v->ended == NEVER)
			return NULL;
		only = v;
	}
	return only == NULL ? NULL : only->content->data;
}
