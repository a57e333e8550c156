/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an index is looked over.
 *
 * A chapter is read in one piece, and its pages are then in memory for
 * everything that refers to them. Records are looked up as requests do it, with
 * index_page_search(). Fill records are there many times, so a record may also
 * be led to another page that has its name.
 *
 * A chapter that no entry of the volume index names is left alone, as nobody
 * ever reads it. Rebuilds leave out damaged chapters, and so nothing names
 * these.
 *
 * Without a save the range of chapters is that of a rebuild: it ends with the
 * newest one that is whole.
 */
#include "build.h"

#include "index/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "index/index_priv.h"
#include "index_format/chapter_index.h"
#include "index_format/record_page.h"
#include "io/device.h"


/* An index page of the chapter at hand. */
struct head {
	struct index_page page;
	bool good;
};

struct walk {
	struct index_verify *v;
	const struct index_media *media;
	const struct index_contents *contents;
	const struct index_geometry *g;
	uint8_t *pages; /* of a chapter */
	struct head *heads;
	uint64_t *vcns;	 /* by slot; only without a save */
	uint64_t *names; /* entries that name the slot's chapter; with one */
	uint64_t oldest, newest;
	uint64_t vcn, slot; /* at hand */
};

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

/* The block on the device of a page of the slot at hand. */
static uint64_t block_of(const struct walk *w, uint32_t page)
{
	VDO_ASSERT(w->slot < w->g->chapters && page < w->g->chapter_pages);
	return w->media->volume_block - w->media->storage->bio_offset +
	       geometry_page_block(w->g, w->slot, page);
}

#define page_fault(w, kind, page, ...)                                         \
	index_verify_fault((w)->v, VDO_INDEX_FAULT_##kind, (w)->vcn,	       \
			   block_of(w, page), __VA_ARGS__)

static int read_pages(const struct walk *w, uint32_t count)
{
	VDO_ASSERT(count > 0 && count <= w->g->chapter_pages);
	return device_read(w->media->storage->device,
			   block_of(w, 0) * BLOCK_SIZE, w->pages,
			   (size_t)count * PAGE_BYTES);
}

static const uint8_t *index_page(const struct walk *w, uint32_t i)
{
	VDO_ASSERT(i < w->g->chapter_pages);
	return w->pages + (size_t)i * PAGE_BYTES;
}

static const uint8_t *record_page(const struct walk *w, uint32_t i)
{
	VDO_ASSERT(i < w->g->record_pages);
	return index_page(w, w->g->index_pages + i);
}

static bool stopped(const struct walk *w)
{
	return atomic_load_explicit(w->v->stop, memory_order_relaxed);
}

/* -------------------------------------------------------------- index pages */

/* The chapter that an index page is of, or CHAPTER_NONE. */
static uint64_t open_page(const struct walk *w, uint32_t i,
			  struct index_page *p)
{
	VDO_ASSERT(i < w->g->index_pages);
	if (index_page_open(index_page(w, i), w->g,
			    w->media->layout.volume_nonce, p) != 0 ||
	    p->vcn >= CHAPTERS_END ||
	    geometry_physical(w->g, p->vcn) != w->slot)
		return CHAPTER_NONE;
	return p->vcn;
}

/* Fill in the heads. Returns how many pages are good. */
static uint32_t open_heads(struct walk *w)
{
	uint32_t good = 0;

	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		struct head *h = &w->heads[i];

		h->good = open_page(w, i, &h->page) == w->vcn &&
			  index_page_verify(index_page(w, i), w->g,
					    &h->page) == 0;
		good += h->good;
	}
	return good;
}

/* Does each page begin with the list after the last one of the page before? */
static bool check_order(struct walk *w)
{
	uint32_t next = 0;
	bool known = true, good = true;

	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		struct head *h = &w->heads[i];

		if (h->good && known && h->page.first_list != next) {
			page_fault(w, INDEX_PAGE, i,
				   "index page %u begins with list %u instead "
				   "of %u",
				   i, h->page.first_list, next);
			h->good = good = false;
		}
		known = h->good;
		next = h->page.first_list + h->page.list_count;
	}
	if (known && next != w->g->lists) {
		page_fault(w, INDEX_PAGE, w->g->index_pages - 1,
			   "the index pages have %u lists instead of %u", next,
			   w->g->lists);
		good = false;
	}
	return good;
}

static void check_page_map(struct walk *w)
{
	VDO_ASSERT(w->v->loaded);
	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		const struct index_page *p = &w->heads[i].page;
		struct list_range want =
			page_map_lists(w->contents->page_map, w->slot, i);

		if (!w->heads[i].good ||
		    (p->first_list == want.first &&
		     p->first_list + p->list_count == want.last + 1))
			continue;
		page_fault(w, PAGE_MAP, i,
			   "index page %u has lists %u to %u, the page map "
			   "says %u to %u",
			   i, p->first_list,
			   p->first_list + p->list_count - 1, want.first,
			   want.last);
	}
}

/* Returns false if there is no such chapter. */
static bool check_index_pages(struct walk *w)
{
	struct index_page p;
	uint64_t vcn = open_page(w, 0, &p);
	uint32_t good = open_heads(w);

	VDO_ASSERT(w->slot < w->g->chapters);
	if (good == 0 && vcn != CHAPTER_NONE && vcn != w->vcn) {
		page_fault(w, CHAPTER, 0, "chapter %llu is in its place",
			   (unsigned long long)vcn);
		return false;
	}
	if (good == 0) {
		page_fault(w, CHAPTER, 0, "its index pages are damaged or "
			   "were never written");
		return false;
	}
	for (uint32_t i = 0; i < w->g->index_pages; i++)
		if (!w->heads[i].good)
			page_fault(w, INDEX_PAGE, i,
				   "index page %u is damaged", i);
	check_order(w);
	if (w->v->loaded)
		check_page_map(w);
	return true;
}

/* ------------------------------------------------------------------ records */

/* The index page that has the list of @name, or NULL if that page is bad. */
static const uint8_t *page_of_list(const struct walk *w,
				   const struct index_name *name)
{
	uint32_t list = name->chapter.list;

	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		const struct index_page *p = &w->heads[i].page;

		if (w->heads[i].good && list >= p->first_list &&
		    list < p->first_list + p->list_count)
			return index_page(w, i);
	}
	return NULL;
}

/* Does the chapter's index lead to @name on record page @at? */
static bool chapter_leads_to(const struct walk *w,
			     const struct index_name *name, uint32_t at)
{
	const uint8_t *page = page_of_list(w, name);
	uint32_t found;

	VDO_ASSERT(at < w->g->record_pages);
	if (page == NULL)
		return true; /* nobody knows */
	if (index_page_search(page, w->g, name, &found) != 0 ||
	    found == PAGE_NONE)
		return false;
	return found == at ||
	       record_page_find(record_page(w, found), &name->hash) != NULL;
}

/* Does the volume index lead to this chapter? */
static bool volume_leads_to(const struct walk *w, const struct index_name *name)
{
	struct volume_index *v = w->contents->volumes[name->zone];
	struct volume_hint h;

	VDO_ASSERT(w->v->loaded && name->zone < w->contents->zone_count);
	if (geometry_is_sparse(w->g, w->oldest, w->newest, w->vcn) &&
	    !index_name_is_sample(name))
		return false;
	return volume_index_get(v, name, &h) == 0 && h.found &&
	       h.chapter == w->vcn;
}

/* Check a page of records. It has one fault of each kind at most. */
static void check_records(struct walk *w, uint32_t at)
{
	const struct index_record *records = (const void *)record_page(w, at);
	uint32_t page = w->g->index_pages + at;
	unsigned lost = 0;

	VDO_ASSERT(at < w->g->record_pages);
	for (unsigned i = 0; i < RECORDS_PER_PAGE; i++) {
		struct index_name name;

		index_set_name(w->v->index, &name, &records[i].name);
		lost += !chapter_leads_to(w, &name, at);
		if (w->v->loaded && volume_leads_to(w, &name))
			w->v->report.records_known++;
	}
	w->v->report.records += RECORDS_PER_PAGE;
	if (!record_page_in_order(record_page(w, at)))
		page_fault(w, RECORD_PAGE, page,
			   "the records of page %u are not in order", at);
	if (lost != 0)
		page_fault(w, RECORD, page,
			   "the chapter does not lead to %u records of page %u",
			   lost, at);
}

static void check_chapter(struct walk *w)
{
	int r;

	VDO_ASSERT(w->vcn < w->newest);
	w->slot = geometry_physical(w->g, w->vcn);
	if (w->names != NULL && w->names[w->slot] == 0) {
		w->v->report.chapters_unused++;
		return;
	}
	if (w->vcns != NULL && w->vcns[w->slot] != w->vcn) {
		page_fault(w, CHAPTER, 0, "it is not there, newer ones are");
		return;
	}
	r = read_pages(w, w->g->chapter_pages);
	if (r != 0) {
		page_fault(w, READ, 0, "it cannot be read: error %d", -r);
		return;
	}
	if (!check_index_pages(w))
		return;
	w->v->report.chapters++;
	for (uint32_t i = 0; i < w->g->record_pages; i++)
		check_records(w, i);
}

/* ------------------------------------------------------------- volume index */

/* Is the name of a collision in the list where it belongs? */
static bool name_belongs(const struct walk *w, const struct sub_zone *s,
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

static uint64_t check_list(struct walk *w, const struct sub_zone *s,
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

static void check_sub(struct walk *w, const struct sub_zone *s)
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

static void check_volume_index(struct walk *w)
{
	const struct index_contents *c = w->contents;

	VDO_ASSERT(w->v->loaded);
	w->v->report.open_records = contents_open_records(c);
	for (unsigned i = 0; i < c->zone_count; i++)
		for (unsigned k = 0; k < w->g->sub_count; k++)
			check_sub(w, &c->volumes[i]->subs[k]);
}

/* ------------------------------------------------------- range without save */

static int scan_slots(struct walk *w)
{
	struct index_page p;

	VDO_ASSERT(!w->v->loaded);
	for (w->slot = 0; w->slot < w->g->chapters; w->slot++) {
		if (stopped(w))
			return -ECANCELED;
		w->vcns[w->slot] = CHAPTER_NONE;
		if (read_pages(w, 1) == 0)
			w->vcns[w->slot] = open_page(w, 0, &p);
	}
	return 0;
}

static uint64_t newest_slot(const struct walk *w)
{
	uint64_t best = CHAPTER_NONE;

	VDO_ASSERT(w->vcns != NULL);
	for (uint64_t i = 0; i < w->g->chapters; i++)
		if (w->vcns[i] != CHAPTER_NONE &&
		    (best == CHAPTER_NONE || w->vcns[i] > w->vcns[best]))
			best = i;
	return best;
}

static bool is_whole(struct walk *w)
{
	uint32_t next = 0;

	VDO_ASSERT(w->slot < w->g->chapters);
	if (read_pages(w, w->g->index_pages) != 0 ||
	    open_heads(w) != w->g->index_pages)
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
static void find_newest(struct walk *w)
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

static int find_range(struct walk *w)
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

static int check_chapters(struct walk *w)
{
	uint64_t bytes = (uint64_t)w->g->chapter_pages * PAGE_BYTES;

	VDO_ASSERT(w->oldest <= w->newest);
	atomic_store_explicit(&w->v->total, (w->newest - w->oldest) * bytes,
			      memory_order_relaxed);
	for (w->vcn = w->oldest; w->vcn < w->newest; w->vcn++) {
		if (stopped(w))
			return -ECANCELED;
		check_chapter(w);
		atomic_fetch_add_explicit(&w->v->done, bytes,
					  memory_order_relaxed);
	}
	return 0;
}

static int prepare(struct walk *w)
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
	struct walk w = {
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
