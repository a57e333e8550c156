/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building a chapter's index.
 *
 * A list has 64 names or fewer on average, so it is sorted on the stack: by the
 * first bits of its keys, which are hashes, and then by insertion. To put names
 * one by one into a list costs about eight times as much, because each moves
 * what comes after it.
 */
#include "build.h"

#include "index_format/chapter_builder.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define USUAL	    160u /* names of a list; more are put one by one */
#define BUCKET_BITS 6u
#define BUCKETS	    (1u << BUCKET_BITS)

/* The costs of a list besides its names, and of a name that is put by itself,
 * in names that are sorted. */
#define LIST_COST 8u
#define PUT_COST  8u

static_assert(USUAL <= UINT8_MAX, "counts");
static_assert(sizeof(struct builder_piece) == CACHE_LINE, "a piece");

/* The last piece of each list may have just one name. */
static size_t piece_count(const struct index_geometry *g)
{
	return g->records / PIECE_NAMES + (size_t)g->lists;
}

int chapter_builder_init(struct chapter_builder *b,
			 const struct index_geometry *g,
			 chapter_builder_name name_of, void *arg)
{
	size_t pieces = piece_count(g);

	VDO_ASSERT(name_of != NULL);
	*b = (struct chapter_builder){
		.geometry = g,
		.name_of = name_of,
		.arg = arg,
		.heads = alloc_spare(CACHE_LINE, g->lists, sizeof(*b->heads)),
		.pieces = alloc_spare(CACHE_LINE, pieces, sizeof(*b->pieces)),
		.before = alloc_spare(CACHE_LINE, pieces, sizeof(*b->before)),
	};
	if (b->heads == NULL || b->pieces == NULL || b->before == NULL)
		return -ENOMEM;
	return chapter_index_init(&b->lists, g);
}

void chapter_builder_fini(struct chapter_builder *b)
{
	delta_lists_fini(&b->lists);
	alloc_free(b->heads);
	alloc_free(b->pieces);
	alloc_free(b->before);
}

uint64_t chapter_builder_bytes(const struct chapter_builder *b)
{
	return b->lists.arena_bytes +
	       b->geometry->lists * (uint64_t)sizeof(*b->heads) +
	       piece_count(b->geometry) *
		       (sizeof(*b->pieces) + sizeof(*b->before));
}

void chapter_builder_clear(struct chapter_builder *b)
{
	VDO_ASSERT(b->heads != NULL);
	delta_lists_clear(&b->lists);
	memset(b->heads, 0, b->geometry->lists * sizeof(*b->heads));
	b->used = b->next = b->rest = 0;
}

void chapter_builder_add(struct chapter_builder *b, uint32_t record,
			 const struct hash128 *name)
{
	struct delta_place place = index_name_in_chapter(b->geometry, name);
	struct builder_list *l = &b->heads[place.list];
	unsigned at = l->count++ % PIECE_NAMES;

	VDO_CHECK(record < b->geometry->records && b->next == 0);
	if (at == 0) {
		b->before[b->used] = l->last;
		l->last = ++b->used;
	}
	b->pieces[l->last - 1].names[at] = (uint64_t)place.key << 32 | record;
}

/* A list on its way from the order of records to that of keys. */
struct sorting {
	unsigned count;
	uint64_t names[USUAL], sorted[USUAL];
};

static void gather(const struct chapter_builder *b,
		   const struct builder_list *l, struct sorting *s)
{
	unsigned n = l->count % PIECE_NAMES;

	VDO_CHECK(l->count <= USUAL);
	s->count = 0;
	for (uint32_t p = l->last; p != 0; p = b->before[p - 1]) {
		if (n == 0)
			n = PIECE_NAMES;
		memcpy(&s->names[s->count], b->pieces[p - 1].names,
		       n * sizeof(*s->names));
		s->count += n;
		n = 0;
	}
	VDO_CHECK(s->count == l->count);
}

/* Sort by key. The first bits of the keys, from @shift on, bring them nearly in
 * order. */
static void sort(struct sorting *s, unsigned shift)
{
	uint8_t at[BUCKETS + 1] = {0};

	VDO_CHECK(s->count <= USUAL);
	for (unsigned i = 0; i < s->count; i++)
		at[(s->names[i] >> shift) + 1]++;
	for (unsigned i = 1; i < BUCKETS; i++)
		at[i] = (uint8_t)(at[i] + at[i - 1]);
	for (unsigned i = 0; i < s->count; i++)
		s->sorted[at[s->names[i] >> shift]++] = s->names[i];
	for (unsigned i = 1; i < s->count; i++) {
		uint64_t x = s->sorted[i];
		unsigned to = i;

		for (; to > 0 && s->sorted[to - 1] > x; to--)
			s->sorted[to] = s->sorted[to - 1];
		s->sorted[to] = x;
	}
}

/* Replace records by their pages. Returns false if two names have one key. */
static bool make_entries(struct sorting *s)
{
	uint64_t key = UINT64_MAX;

	for (unsigned i = 0; i < s->count; i++) {
		uint64_t x = s->sorted[i];

		if (x >> 32 == key)
			return false;
		key = x >> 32;
		s->sorted[i] = key << 32 | (uint32_t)x / RECORDS_PER_PAGE;
	}
	return true;
}

/* Returns false if the list is unusual, and writes nothing then. */
static bool write_usual(struct chapter_builder *b, uint32_t list)
{
	struct sorting s;

	VDO_CHECK(list < b->geometry->lists);
	if (b->heads[list].count > USUAL)
		return false;
	gather(b, &b->heads[list], &s);
	sort(&s, 32 + b->geometry->address_bits - BUCKET_BITS);
	return make_entries(&s) &&
	       delta_list_fill(&b->lists, list, s.sorted, s.count);
}

/* Reverse a chain of pieces, so that its names come in the order of records. */
static uint32_t reverse(struct chapter_builder *b, uint32_t piece)
{
	uint32_t after = 0;

	while (piece != 0) {
		uint32_t before = b->before[piece - 1];

		b->before[piece - 1] = after;
		after = piece;
		piece = before;
	}
	return after;
}

/* Write the next list, or have its names put one by one. Returns its cost. */
static uint32_t write_list(struct chapter_builder *b)
{
	const struct builder_list *l = &b->heads[b->next];

	VDO_ASSERT(b->rest == 0 && b->used <= piece_count(b->geometry));
	if (!write_usual(b, b->next++)) {
		b->rest = l->count;
		b->rest_piece = reverse(b, l->last);
	}
	return LIST_COST + l->count;
}

/* Put one name of an unusual list. */
static int put_rest(struct chapter_builder *b)
{
	uint32_t at = b->heads[b->next - 1].count - b->rest--;
	uint32_t record;

	VDO_ASSERT(b->next > 0 && at < b->heads[b->next - 1].count);
	if (at != 0 && at % PIECE_NAMES == 0)
		b->rest_piece = b->before[b->rest_piece - 1];
	record = (uint32_t)b->pieces[b->rest_piece - 1].names[at % PIECE_NAMES];
	return chapter_index_put(&b->lists, b->geometry,
				 b->name_of(b->arg, record),
				 record / RECORDS_PER_PAGE);
}

int chapter_builder_go_on(struct chapter_builder *b, uint32_t names)
{
	uint32_t cost = 0;
	int r = 0;

	VDO_ASSERT(names > 0);
	while (r == 0 && cost < names && !chapter_builder_done(b)) {
		if (b->rest != 0) {
			r = put_rest(b);
			cost += PUT_COST;
		} else {
			cost += write_list(b);
		}
	}
	return r;
}
