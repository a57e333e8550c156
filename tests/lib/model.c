/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: a list of versions a block, oldest first; a clock that ticks with each
 * call. Versions go when they are out of date also for a crash and nothing that
 * could still see them is under way, which model_idle() and model_flushed()
 * find out.
 */
#include "build.h"

#include "tests/lib/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define NEVER UINT64_MAX

struct model_version {
	struct model_version *next; /* newer */
	uint64_t lbn;
	uint64_t submitted, ended; /* under way in between */
	uint64_t acked, durable;   /* never, if it failed */
	uint8_t data[BLOCK];
};

struct model {
	struct model_version **oldest; /* by LBN */
	uint64_t blocks;
	uint64_t clock;
};

static struct model_version *new_version(uint64_t lbn, const void *block)
{
	struct model_version *v = calloc(1, sizeof(*v));

	if (v == NULL)
		abort();
	v->lbn = lbn;
	v->ended = v->acked = v->durable = NEVER;
	if (block != NULL)
		memcpy(v->data, block, BLOCK);
	return v;
}

struct model *model_create(uint64_t blocks)
{
	struct model *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->oldest = calloc(blocks, sizeof(struct model_version *));
	if (m->oldest == NULL)
		abort();
	m->blocks = blocks;
	m->clock = 1;
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
	free(m->oldest);
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

static bool is_zeroes(const void *block)
{
	static const uint8_t zeroes[BLOCK];

	return memcmp(block, zeroes, BLOCK) == 0;
}

/* The zeroes that were there before everything. */
static void begin(struct model *m, uint64_t lbn)
{
	struct model_version *v;

	if (m->oldest[lbn] != NULL)
		return;
	v = m->oldest[lbn] = new_version(lbn, NULL);
	v->submitted = v->ended = v->acked = v->durable = 0;
}

struct model_version *model_submit(struct model *m, uint64_t lbn,
				   const void *block)
{
	struct model_version **end = &m->oldest[lbn];
	struct model_version *v = new_version(lbn, block);

	begin(m, lbn);
	v->submitted = model_now(m);
	while (*end != NULL)
		end = &(*end)->next;
	*end = v;
	return v;
}

void model_ack(struct model *m, struct model_version *v, bool fua)
{
	v->ended = v->acked = model_now(m);
	if (fua)
		v->durable = v->acked;
}

static void drop(struct model *m, struct model_version *v)
{
	struct model_version **at = &m->oldest[v->lbn];

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
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
	for (uint64_t i = 0; i < m->blocks; i++)
		for (struct model_version *v = m->oldest[i]; v != NULL;
		     v = v->next)
			if (v->acked < since && v->durable == NEVER)
				v->durable = m->clock;
}

void model_idle(struct model *m)
{
	for (uint64_t i = 0; i < m->blocks; i++)
		tidy(m, i);
}

bool model_may_read(struct model *m, uint64_t lbn, uint64_t since,
		    const void *block)
{
	if (model_is_fresh(m, lbn))
		return is_zeroes(block);
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (memcmp(v->data, block, BLOCK) == 0 &&
		    !is_overtaken(m, v, since))
			return true;
	return false;
}

bool model_may_hold(struct model *m, uint64_t lbn, const void *block)
{
	if (model_is_fresh(m, lbn))
		return is_zeroes(block);
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (memcmp(v->data, block, BLOCK) == 0 && !is_lost(m, v))
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
			memcmp(v->data, block, BLOCK) == 0 ? '*' : ' ',
			(long long)v->submitted, (long long)v->ended,
			(long long)v->acked, (long long)v->durable, v->data[0],
			v->data[1]);
}

bool model_may_survive(struct model *m, uint64_t lbn, const void *block)
{
	struct model_version *found = NULL;

	if (model_is_fresh(m, lbn))
		return is_zeroes(block);
	for (struct model_version *v = m->oldest[lbn]; v != NULL; v = v->next)
		if (memcmp(v->data, block, BLOCK) == 0 && !is_lost(m, v))
			found = v;
	if (found == NULL)
		return false;
	while (m->oldest[lbn] != found)
		drop(m, m->oldest[lbn]);
	while (found->next != NULL)
		drop(m, found->next);
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
	struct model_version *v = new_version(lbn, block);

	while (m->oldest[lbn] != NULL)
		drop(m, m->oldest[lbn]);
	v->submitted = model_now(m);
	v->ended = v->acked = v->durable = v->submitted;
	m->oldest[lbn] = v;
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
	return only == NULL ? NULL : only->data;
}
