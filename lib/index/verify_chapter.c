/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the pages of a chapter are looked over.
 *
 * A chapter is read in one piece, and its pages are then in memory for
 * everything that refers to them. Records are looked up as requests do it, with
 * index_page_search(). Fill records are there many times, so a record may also
 * be led to another page that has its name.
 *
 * A chapter that no entry of the volume index names is left alone, as nobody
 * ever reads it. Rebuilds leave out damaged chapters, and so nothing names
 * these.
 */
#include "build.h"

#include "index/verify_priv.h"

#include "index_format/record_page.h"
#include "io/device.h"

int verify_read_pages(const struct verify_walk *w, uint32_t count)
{
	VDO_ASSERT(count > 0 && count <= w->g->chapter_pages);
	return device_read(w->media->storage->device,
			   verify_block_of(w, 0) * BLOCK_SIZE, w->pages,
			   (size_t)count * PAGE_BYTES);
}

static const uint8_t *index_page(const struct verify_walk *w, uint32_t i)
{
	VDO_ASSERT(i < w->g->chapter_pages);
	return w->pages + (size_t)i * PAGE_BYTES;
}

static const uint8_t *record_page(const struct verify_walk *w, uint32_t i)
{
	VDO_ASSERT(i < w->g->record_pages);
	return index_page(w, w->g->index_pages + i);
}

/* -------------------------------------------------------------- index pages */

/* The chapter that an index page is of, or CHAPTER_NONE. */
uint64_t verify_open_page(const struct verify_walk *w, uint32_t i,
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
uint32_t verify_open_heads(struct verify_walk *w)
{
	uint32_t good = 0;

	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		struct verify_head *h = &w->heads[i];

		h->good = verify_open_page(w, i, &h->page) == w->vcn &&
			  index_page_verify(index_page(w, i), w->g,
					    &h->page) == 0;
		good += h->good;
	}
	return good;
}

/* Does each page begin with the list after the last one of the page before? */
static bool check_order(struct verify_walk *w)
{
	uint32_t next = 0;
	bool known = true, good = true;

	for (uint32_t i = 0; i < w->g->index_pages; i++) {
		struct verify_head *h = &w->heads[i];

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

static void check_page_map(struct verify_walk *w)
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
static bool check_index_pages(struct verify_walk *w)
{
	struct index_page p;
	uint64_t vcn = verify_open_page(w, 0, &p);
	uint32_t good = verify_open_heads(w);

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
static const uint8_t *page_of_list(const struct verify_walk *w,
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
static bool chapter_leads_to(const struct verify_walk *w,
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
static bool volume_leads_to(const struct verify_walk *w,
			    const struct index_name *name)
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
static void check_records(struct verify_walk *w, uint32_t at)
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
		if (w->v->record != NULL)
			w->v->record(w->v->arg, &records[i]);
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

void verify_chapter(struct verify_walk *w)
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
	r = verify_read_pages(w, w->g->chapter_pages);
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
