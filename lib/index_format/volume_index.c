/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volume index of one zone.
 *
 * Who looks at a list whose flush chapter is below low purges it first: one
 * pass over the list removes the entries of expired chapters and finds the
 * oldest chapter of the others, which bounds the new flush chapter [purge].
 * Entries expire evenly, so a pass mostly finds none or one; hence it decodes
 * as fast as a search and calls delta_list_remove() for each. On its way it
 * passes the place that the search is for, so the search begins there.
 *
 * Removing all entries of a chapter when it expires would touch the whole index
 * at once; this spreads the work over the requests.
 */
#include "build.h"

#include "index_format/volume_index.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

static int sub_init(struct sub_zone *s, const struct sub_geometry *g,
		    unsigned zone, unsigned zones)
{
	uint32_t each = geometry_zone_lists(g, zones);
	uint32_t first = MIN(zone * each, g->list_count);

	VDO_ASSERT(zone < zones && first <= g->list_count);
	s->geometry = g;
	s->first_list = first;
	s->max_bits = geometry_zone_bits_max(g, zones);
	s->chapter_bits_each = MAX(g->chapter_size_bits / zones, UINT64_C(1));
	return delta_lists_init(&s->lists, &g->coding,
				MIN(each, g->list_count - first),
				geometry_zone_memory(g, zones));
}

int volume_index_init(struct volume_index *v, const struct index_geometry *g,
		      unsigned zone, unsigned zone_count)
{
	VDO_ASSERT(zone_count >= 1 && zone_count <= INDEX_ZONES_MAX);
	*v = (struct volume_index){
		.geometry = g,
		.zone = zone,
		.zone_count = zone_count,
	};
	for (unsigned i = 0; i < g->sub_count; i++) {
		int r = sub_init(&v->subs[i], &g->subs[i], zone, zone_count);

		if (r != 0) {
			volume_index_fini(v);
			return r;
		}
	}
	return 0;
}

void volume_index_fini(struct volume_index *v)
{
	for (unsigned i = 0; i < SUBS_MAX; i++)
		delta_lists_fini(&v->subs[i].lists);
}

void volume_index_clear(struct volume_index *v)
{
	for (unsigned i = 0; i < v->geometry->sub_count; i++) {
		delta_lists_clear(&v->subs[i].lists);
		v->subs[i].low = v->subs[i].high = 0;
		counter_set(&v->subs[i].discarded, 0);
		counter_set(&v->subs[i].early_flushes, 0);
	}
	VDO_CHECK(volume_index_sane(v));
}

static void sub_open(struct sub_zone *s, uint64_t vcn)
{
	uint64_t chapters = s->geometry->chapter_count;
	uint64_t over;

	VDO_ASSERT(vcn >= s->high);
	s->high = vcn;
	s->low = vcn >= chapters ? vcn - chapters + 1 : 0;
	if (s->lists.bits_used <= s->max_bits)
		return;
	over = 1 + (s->lists.bits_used - s->max_bits) / s->chapter_bits_each;
	if (over > 1 && over >= s->high - s->low)
		over = s->high - s->low;
	s->low += over;
	if (s->low > s->high)
		s->low = s->high;
	counter_add(&s->early_flushes, over);
	VDO_ASSERT(s->low <= s->high);
}

void volume_index_open(struct volume_index *v, uint64_t vcn)
{
	for (unsigned i = 0; i < v->geometry->sub_count; i++)
		sub_open(&v->subs[i], vcn);
}

static uint64_t value_mask(const struct sub_zone *s)
{
	return bits_mask(s->geometry->chapter_bits);
}

/* The chapter that a value stands for. */
static uint64_t chapter_of(const struct sub_zone *s, uint64_t value)
{
	return s->low + ((value - s->low) & value_mask(s));
}

struct purge {
	uint64_t flush; /* chapter, before the pass */
	uint64_t dead;	/* values less than this beyond flush are */
	uint64_t oldest; /* of the others, counted from flush */
};

/* Is the entry with @value alive? */
static inline bool survives(struct purge *p, uint64_t value, uint64_t mask)
{
	uint64_t age = (value - p->flush) & mask;

	if (age < p->dead)
		return false;
	if (age < p->oldest)
		p->oldest = age;
	return true;
}

/* Step over entries that are alive and have keys below @stop. */
static void skip_living(const struct sub_zone *s, uint32_t list,
			struct purge *p, uint32_t stop, struct delta_entry *e)
{
	const struct delta_coding c = s->lists.coding;
	const uint8_t *mem = delta_list_data(&s->lists, list);
	uint32_t at = e->at, end = delta_list_bits(&s->lists, list);
	uint32_t key = e->key;
	uint64_t mask = value_mask(s);
	struct purge mine = *p;

	VDO_CHECK(list < s->lists.list_count);
	while (at < end) {
		uint64_t word = bits_peek(mem, at);
		struct delta_quick q;

		if (unlikely(!delta_quick(word, BITS_AT_ONCE, &c, &q)) ||
		    unlikely(q.delta == 0) || unlikely(key + q.delta >= stop) ||
		    unlikely(!survives(&mine, q.word & mask, mask)))
			break;
		key += q.delta;
		at += q.bits;
	}
	e->at = at;
	e->key = key;
	p->oldest = mine.oldest;
}

/* Remove what has expired. A search for @target then begins at *place. */
static int purge(struct sub_zone *s, uint32_t list, uint64_t flush,
		 uint32_t target, struct delta_entry *place)
{
	uint64_t mask = value_mask(s);
	struct purge p = {
		.flush = flush,
		.dead = MIN(s->low - flush, mask + 1),
		.oldest = mask,
	};
	struct delta_entry e = {0};
	uint32_t key = 0, stop = target;
	uint64_t f;

	VDO_ASSERT(flush < s->low);
	for (;;) {
		int r;

		e.key = key;
		skip_living(s, list, &p, stop, &e);
		key = e.key;
		r = delta_list_at(&s->lists, list, key, &e);
		if (r != 0)
			return r;
		if (stop == target && (e.at_end || e.key >= target)) {
			place->at = e.at;
			place->key = key;
			stop = UINT32_MAX;
		}
		if (e.at_end)
			break;
		if (survives(&p, e.value, mask)) {
			key = e.key;
			e.at += e.bits;
			continue;
		}
		r = delta_list_remove(&s->lists, list, &e);
		if (r != 0)
			return r;
		counter_inc(&s->discarded);
	}
	f = chapter_of(s, flush + p.oldest);
	s->lists.heads[list].tag = MIN(f, s->high);
	VDO_CHECK(s->lists.heads[list].tag >= MIN(s->low, s->high));
	return 0;
}

int volume_index_get(struct volume_index *v, const struct index_name *name,
		     struct volume_hint *h)
{
	struct sub_zone *s = &v->subs[name->sub];
	uint64_t flush;
	int r;

	h->sub = s;
	h->list = name->volume.list;
	h->key = name->volume.key;
	VDO_ASSERT(h->list < s->lists.list_count);
	VDO_CHECK(name->zone == v->zone);
	flush = s->lists.heads[h->list].tag;
	h->entry.at = 0;
	h->entry.key = 0;
	if (flush < s->low) {
		r = purge(s, h->list, flush, h->key, &h->entry);
		if (r != 0)
			return r;
	}
	r = delta_list_search_on(&s->lists, h->list, h->key, &name->hash,
				 &h->entry);
	if (unlikely(r != 0))
		return r;
	h->found = delta_found(&h->entry, h->key);
	h->collision = h->found && h->entry.collision;
	h->chapter = h->found ? chapter_of(s, h->entry.value) : 0;
	/* Nobody puts such an entry, so it came from a damaged save. */
	return h->found && h->chapter > s->high ? -VDO_ECORRUPT : 0;
}

void volume_index_prefetch(const struct volume_index *v,
			   const struct index_name *name)
{
	VDO_CHECK(name->zone == v->zone);
	delta_list_prefetch(&v->subs[name->sub].lists, name->volume.list);
}

int volume_index_put(struct volume_hint *h, const struct index_name *name,
		     uint64_t vcn)
{
	struct sub_zone *s = h->sub;

	VDO_CHECK(name->volume.list == h->list && name->volume.key == h->key);
	VDO_ASSERT(vcn >= s->low && vcn <= s->high);
	return delta_list_insert(&s->lists, h->list, &h->entry, h->key,
				 (uint32_t)(vcn & value_mask(s)), &name->hash);
}

void volume_index_set(struct volume_hint *h, uint64_t vcn)
{
	struct sub_zone *s = h->sub;

	VDO_ASSERT(h->found && vcn >= s->low && vcn <= s->high);
	delta_list_set(&s->lists, h->list, &h->entry,
		       (uint32_t)(vcn & value_mask(s)));
	h->chapter = vcn;
}

int volume_index_remove(struct volume_hint *h)
{
	int r;

	VDO_ASSERT(h->found);
	r = delta_list_remove(&h->sub->lists, h->list, &h->entry);
	if (r == 0)
		counter_inc(&h->sub->discarded);
	return r;
}

void volume_index_count(const struct volume_index *v,
			struct volume_index_counts *add_to)
{
	for (unsigned i = 0; i < v->geometry->sub_count; i++) {
		const struct sub_zone *s = &v->subs[i];

		add_to->entries += counter_get(&s->lists.record_count);
		add_to->collisions += counter_get(&s->lists.collision_count);
		add_to->discarded += counter_get(&s->discarded);
		add_to->early_flushes += counter_get(&s->early_flushes);
		add_to->memory_bytes +=
			s->lists.arena_bytes +
			s->lists.list_count * sizeof(struct delta_head);
	}
}
