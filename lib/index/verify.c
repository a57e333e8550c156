/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an index is looked over: its volume index, then each of its chapters
 * (verify_chapter.c).
 *
 * Without a save the range of chapters is that of a rebuild: it ends with the
 * newest one that is whole.
 */
#include "build.h"

#include "index/verify_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

void index_verify_fault(struct index_verify *v, enum vdo_index_fault_kind kind,
			uint64_t chapter, uint64_t block, const char *fmt, ...)
{
	struct vdo_index_report *r = &v->report;
	struct vdo_index_fault *f;
	va_list ap;

	VDO_ASSERT(kind < VDO_INDEX_FAULT_KINDS);
	r->faults++;
	r->faults_by_kind[kind]++;
	if (r->first_count == FAULTS_DESCRIBED)
		return;
	f = &v->first[r->first_count++];
	f->kind = kind;
	f->chapter = chapter;
	f->block = block;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

static bool stopped(const struct verify_walk *w)
{
	return atomic_load_explicit(w->v->stop, memory_order_relaxed);
}

/* ------------------------------------------------------------- volume index */

/* Is the name of a collision in the list where it belongs? */
static bool name_belongs(const struct verify_walk *w, const struct sub_zone *s,
			 uint32_t list, const struct delta_entry *e)
{
	struct index_name name;
	struct hash128 hash;

	VDO_ASSERT(e->collision);
	bits_copy(hash.bytes, 0, delta_list_data(&s->lists, list),
		  e->at + e->bits - NAME_BITS, NAME_BITS);
	index_set_name(w->v->index, &name, &hash);
	return &w->contents->volumes[name.zone]->subs[name.sub] == s &&
	       name.volume.list == list && name.volume.key == e->key;
}

#define list_fault(w, ...)                                                     \
	index_verify_fault((w)->v, VDO_INDEX_FAULT_VOLUME_INDEX, CHAPTER_NONE, \
			   0, __VA_ARGS__)

static uint64_t check_list(struct verify_walk *w, const struct sub_zone *s,
			   uint32_t list)
{
	uint64_t flush = s->lists.heads[list].tag, records = 0;
	uint64_t mask = bits_mask(s->geometry->chapter_bits);
	uint32_t number = s->first_list + list;
	struct delta_entry e = {0};

	VDO_ASSERT(list < s->lists.list_count && w->names != NULL);
	while (e.at < delta_list_bits(&s->lists, list)) {
		uint64_t vcn;

		if (delta_list_at(&s->lists, list, e.key, &e) != 0) {
			list_fault(w, "list %u is malformed at bit %u", number,
				   e.at);
			break;
		}
		vcn = flush + ((e.value - flush) & mask);
		if (vcn > s->high)
			list_fault(w, "an entry of list %u names chapter %llu, "
				   "the newest is %llu",
				   number, (unsigned long long)vcn,
				   (unsigned long long)s->high);
		else if (vcn >= MAX(s->low, w->oldest) && vcn < w->newest)
			w->names[geometry_physical(w->g, vcn)]++;
		if (e.collision && !name_belongs(w, s, list, &e))
			list_fault(w, "a collision in list %u belongs into "
				   "another list", number);
		records++;
		e.at += e.bits;
	}
	return records;
}

static void check_sub(struct verify_walk *w, const struct sub_zone *s)
{
	uint64_t counted = counter_get(&s->lists.record_count);
	uint64_t records = 0;

	for (uint32_t i = 0; i < s->lists.list_count; i++)
		records += check_list(w, s, i);
	if (records != counted)
		list_fault(w, "there are %llu entries instead of %llu",
			   (unsigned long long)records,
			   (unsigned long long)counted);
	if (s->low > s->high || s->low + w->g->chapters <= s->high)
		list_fault(w, "chapters %llu to %llu are too many",
			   (unsigned long long)s->low,
			   (unsigned long long)s->high);
	w->v->report.entries += records;
}

static void check_volume_index(struct verify_walk *w)
{
	const struct index_contents *c = w->contents;

	VDO_ASSERT(w->v->loaded);
	w->v->report.open_records = contents_open_records(c);
	for (unsigned i = 0; i < c->zone_count; i++)
		for (unsigned k = 0; k < w->g->sub_count; k++)
			check_sub(w, &c->volumes[i]->subs[k]);
}

/* ------------------------------------------------------- range without save */

static int scan_slots(struct verify_walk *w)
{
	struct index_page p;

	VDO_ASSERT(!w->v->loaded);
	for (w->slot = 0; w->slot < w->g->chapters; w->slot++) {
		if (stopped(w))
			return -ECANCELED;
		w->vcns[w->slot] = CHAPTER_NONE;
		if (verify_read_pages(w, 1) == 0)
			w->vcns[w->slot] = verify_open_page(w, 0, &p);
	}
	return 0;
}

static uint64_t newest_slot(const struct verify_walk *w)
{
	uint64_t best = CHAPTER_NONE;

	VDO_ASSERT(w->vcns != NULL);
	for (uint64_t i = 0; i < w->g->chapters; i++)
		if (w->vcns[i] != CHAPTER_NONE &&
		    (best == CHAPTER_NONE || w->vcns[i] > w->vcns[best]))
			best = i;
	return best;
}

static bool is_whole(struct verify_walk *w)
{
	uint32_t next = 0;

	VDO_ASSERT(w->slot < w->g->chapters);
	if (verify_read_pages(w, w->g->index_pages) != 0 ||
	    verify_open_heads(w) != w->g->index_pages)
		return false;
	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		if (w->heads[i].page.first_list != next)
			return false;
		next += w->heads[i].page.list_count;
	}
	return next == w->g->lists;
}

/* Find the newest chapter. One that was being written when power failed is not
 * there. */
static void find_newest(struct verify_walk *w)
{
	uint64_t slot;

	while ((slot = newest_slot(w)) != CHAPTER_NONE) {
		w->slot = slot;
		w->vcn = w->vcns[slot];
		if (is_whole(w)) {
			w->newest = w->vcn + 1;
			return;
		}
		w->vcns[slot] = CHAPTER_NONE;
	}
	w->newest = 0;
}

static int find_range(struct verify_walk *w)
{
	uint64_t open;
	int r = scan_slots(w);

	VDO_ASSERT(!w->v->loaded);
	if (r != 0)
		return r;
	find_newest(w);
	open = geometry_physical(w->g, w->newest);
	w->oldest = w->newest;
	for (uint64_t i = 0; i < w->g->chapters; i++) {
		uint64_t vcn = w->vcns[i];

		if (vcn != CHAPTER_NONE && vcn < w->oldest && i != open &&
		    vcn + w->g->chapters > w->newest)
			w->oldest = vcn;
	}
	return 0;
}

/* ---------------------------------------------------------------------- all */

static int check_chapters(struct verify_walk *w)
{
	uint64_t bytes = (uint64_t)w->g->chapter_pages * PAGE_BYTES;

	VDO_ASSERT(w->oldest <= w->newest);
	atomic_store_explicit(&w->v->total, (w->newest - w->oldest) * bytes,
			      memory_order_relaxed);
	for (w->vcn = w->oldest; w->vcn < w->newest; w->vcn++) {
		if (stopped(w))
			return -ECANCELED;
		verify_chapter(w);
		atomic_fetch_add_explicit(&w->v->done, bytes,
					  memory_order_relaxed);
	}
	return 0;
}

static int prepare(struct verify_walk *w)
{
	w->pages = alloc_aligned(BLOCK_SIZE, w->g->chapter_pages, PAGE_BYTES);
	w->heads = alloc_zeroed(w->g->index_pages, sizeof(*w->heads));
	if (w->pages == NULL || w->heads == NULL)
		return -ENOMEM;
	if (w->v->loaded) {
		w->oldest = index_range_of(w->v->index)->oldest;
		w->newest = index_range_of(w->v->index)->newest;
		w->names = alloc_zeroed(w->g->chapters, sizeof(*w->names));
		return w->names == NULL ? -ENOMEM : 0;
	}
	w->vcns = alloc_zeroed(w->g->chapters, sizeof(*w->vcns));
	return w->vcns == NULL ? -ENOMEM : find_range(w);
}

int index_verify(struct index_verify *v)
{
	struct verify_walk w = {
		.v = v,
		.media = index_media_of(v->index),
		.contents = index_contents_of(v->index),
		.g = index_geometry_of(v->index),
	};
	int r = prepare(&w);

	VDO_ASSERT(v->index != NULL && v->stop != NULL);
	if (r == 0 && v->loaded)
		check_volume_index(&w);
	if (r == 0)
		r = check_chapters(&w);
	v->report.oldest = w.oldest;
	v->report.newest = w.newest;
	alloc_free(w.pages);
	alloc_free(w.heads);
	alloc_free(w.vcns);
	alloc_free(w.names);
	return r;
}
