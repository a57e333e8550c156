/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chapter index pages. Pages of machines with the other byte order, which may
 * exist on very old volumes, differ in the header only; they are accepted.
 */
#include "build.h"

#include "index_format/chapter_index.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"

#define HEADER_BITS 160u
#define OFFSET_BITS 19u
#define GUARD_BYTES 7u
#define LISTS_MAX   ((PAGE_BYTES - 20) * 8 / OFFSET_BITS)
#define LISTS_END   ((PAGE_BYTES - GUARD_BYTES) * 8)

int chapter_index_init(struct delta_lists *d, const struct index_geometry *g)
{
	VDO_ASSERT(g->lists > 0 && g->index_pages > 0);
	/* One and a half times what the pages hold, and some room for each
	 * list. */
	uint64_t memory = (uint64_t)g->index_pages * PAGE_BYTES * 3 / 2 +
			  64 * (uint64_t)g->lists + 4096;

	return delta_lists_init(d, &g->chapter_coding, g->lists, memory);
}

int chapter_index_put(struct delta_lists *d, const struct index_geometry *g,
		      const struct hash128 *name, uint32_t record_page)
{
	struct delta_place place = index_name_in_chapter(g, name);
	struct delta_entry e;
	int r = delta_list_search(d, place.list, place.key, name, &e);

	VDO_ASSERT(record_page < g->record_pages);
	if (r != 0)
		return r;
	r = delta_list_insert(d, place.list, &e, place.key, record_page, name);
	return r == -ENOSPC || r == -EEXIST ? 0 : r;
}

/* How many lists, from @next on, fit in one page. */
static uint32_t lists_that_fit(const struct delta_lists *d, uint32_t next)
{
	uint32_t room = PAGE_BYTES * 8 - (HEADER_BITS + OFFSET_BITS) -
			GUARD_BYTES * 8;
	uint32_t list = next;

	VDO_ASSERT(next <= d->list_count);
	while (list < d->list_count) {
		uint32_t need = OFFSET_BITS + delta_list_bits(d, list);

		if (need > room)
			break;
		room -= need;
		list++;
	}
	return list - next;
}

/* Empty list @list or, if that is empty, the last one before that is not. */
static void give_up_list(struct delta_lists *d, uint32_t list)
{
	VDO_ASSERT(list < d->list_count);
	while (list > 0 && delta_list_bits(d, list) == 0)
		list--;
	delta_list_clear(d, list);
}

static void write_page(const struct delta_lists *d, uint64_t nonce,
		       uint64_t vcn, uint32_t next, uint32_t count,
		       uint8_t *page)
{
	uint64_t at = HEADER_BITS + OFFSET_BITS * (count + 1);

	VDO_ASSERT(next + count <= d->list_count);
	memset(page, 0, PAGE_BYTES);
	put_u64(page, nonce);
	put_u64(page + 8, vcn);
	put_u16(page + 16, (uint16_t)next);
	put_u16(page + 18, (uint16_t)count);
	for (uint32_t i = 0; i <= count; i++) {
		bits_put(page, HEADER_BITS + OFFSET_BITS * i, OFFSET_BITS, at);
		if (i == count)
			break;
		bits_copy(page, at, delta_list_data(d, next + i), 0,
			  delta_list_bits(d, next + i));
		at += delta_list_bits(d, next + i);
	}
	VDO_ASSERT(at <= LISTS_END);
	memset(page + PAGE_BYTES - GUARD_BYTES, 0xff, GUARD_BYTES);
}

uint32_t chapter_index_pack(struct delta_lists *d, uint64_t nonce, uint64_t vcn,
			    uint32_t next, bool last, uint8_t *page,
			    uint32_t *lost)
{
	uint32_t count;

	for (;;) {
		count = lists_that_fit(d, next);
		if (next + count == d->list_count || (count > 0 && !last))
			break;
		give_up_list(d, next + count);
		++*lost;
	}
	write_page(d, nonce, vcn, next, count, page);
	return next + count;
}

static uint64_t offset_at(const uint8_t *page, uint32_t i)
{
	VDO_CHECK(i <= LISTS_MAX);
	return bits_get(page, HEADER_BITS + OFFSET_BITS * (uint64_t)i,
			OFFSET_BITS);
}

static int check_offsets(const uint8_t *page, const struct index_geometry *g,
			 const struct index_page *p)
{
	static const uint8_t ones[GUARD_BYTES] = {0xff, 0xff, 0xff, 0xff,
						  0xff, 0xff, 0xff};
	uint64_t at, before = HEADER_BITS;

	before += OFFSET_BITS * (uint64_t)(p->list_count + 1);

	if (p->list_count > LISTS_MAX ||
	    p->first_list + p->list_count > g->lists ||
	    offset_at(page, 0) != before ||
	    memcmp(page + PAGE_BYTES - GUARD_BYTES, ones, GUARD_BYTES) != 0)
		return -VDO_ECORRUPT;
	for (uint32_t i = 1; i <= p->list_count; i++) {
		at = offset_at(page, i);
		if (at < before || at - before > LIST_BITS_MAX)
			return -VDO_ECORRUPT;
		before = at;
	}
	return before > LISTS_END ? -VDO_ECORRUPT : 0;
}

/* The header, in little or big endian. */
static struct index_page read_header(const uint8_t *page, bool big)
{
	struct index_page p = {
		.nonce = get_u64(page),
		.vcn = get_u64(page + 8),
		.first_list = get_u16(page + 16),
		.list_count = get_u16(page + 18),
	};

	if (big) {
		p.nonce = __builtin_bswap64(p.nonce);
		p.vcn = __builtin_bswap64(p.vcn);
		p.first_list = __builtin_bswap16((uint16_t)p.first_list);
		p.list_count = __builtin_bswap16((uint16_t)p.list_count);
	}
	return p;
}

int index_page_open(const uint8_t *page, const struct index_geometry *g,
		    uint64_t nonce, struct index_page *p)
{
	*p = read_header(page, false);
	if (p->nonce != nonce)
		*p = read_header(page, true);
	if (p->nonce != nonce)
		return -VDO_ENONCE;
	return check_offsets(page, g, p);
}

int index_page_verify(const uint8_t *page, const struct index_geometry *g,
		      const struct index_page *p)
{
	VDO_ASSERT(p->list_count <= LISTS_MAX);
	for (uint32_t i = 0; i < p->list_count; i++) {
		uint64_t start = offset_at(page, i);
		uint32_t bits = (uint32_t)(offset_at(page, i + 1) - start);
		struct delta_entry e = {0};
		uint32_t key = 0;

		while (e.at < bits) {
			int r = delta_decode(page, start, bits,
					     &g->chapter_coding, key, &e);

			if (r != 0)
				return r;
			if (e.value >= g->record_pages)
				return -VDO_ECORRUPT;
			key = e.key;
			e.at += e.bits;
		}
	}
	return 0;
}

int index_page_search(const uint8_t *page, const struct index_geometry *g,
		      const struct index_name *name, uint32_t *record_page)
{
	struct delta_place place = name->chapter;
	struct index_page p = read_header(page, false);
	struct delta_entry e;
	uint64_t start;
	int r;

	VDO_CHECK(place.list < g->lists);
	/* A page that was opened has a good header in one byte order. */
	if (p.list_count > LISTS_MAX ||
	    offset_at(page, 0) != HEADER_BITS +
					  OFFSET_BITS * (p.list_count + 1))
		p = read_header(page, true);
	*record_page = PAGE_NONE;
	if (place.list < p.first_list ||
	    place.list >= p.first_list + p.list_count)
		return -VDO_ECORRUPT;
	start = offset_at(page, place.list - p.first_list);
	r = delta_search(page, start,
			 (uint32_t)(offset_at(page, place.list - p.first_list +
							    1) -
				    start),
			 &g->chapter_coding, place.key, &name->hash, &e);
	if (r != 0 || !delta_found(&e, place.key))
		return r;
	if (e.value >= g->record_pages)
		return -VDO_ECORRUPT;
	*record_page = e.value;
	return 0;
}
