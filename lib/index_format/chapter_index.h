/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chapter index: name -> record page of one chapter (X 4.8, 6.2).
 *
 * When a chapter is closed its index is built as lists in memory
 * (chapter_builder.h), then packed into pages. A page (X 4.8):
 *
 *	0	8	volume nonce
 *	8	8	chapter
 *	16	2	first list
 *	18	2	number of lists, N
 *	20	19 bits	start of each list, and the end of the last; N + 1 of
 *			them; in bits from the start of the page
 *			lists, without padding
 *	32761	7	all ones
 *
 * Runs on: anything; no state besides the lists'.
 */
#ifndef INDEX_FORMAT_CHAPTER_INDEX_H
#define INDEX_FORMAT_CHAPTER_INDEX_H

#include "index_format/delta_list.h"
#include "index_format/names.h"

#define CHAPTER_NONE UINT64_MAX
#define PAGE_NONE    UINT32_MAX

/* What a page says of itself. */
struct index_page {
	uint64_t nonce;
	uint64_t vcn;
	uint32_t first_list;
	uint32_t list_count;
};

int chapter_index_init(struct delta_lists *d, const struct index_geometry *g)
	MUST_CHECK;

/* Put one name. If it has no room it is dropped, and the result is 0: its
 * record will not be found. */
int chapter_index_put(struct delta_lists *d, const struct index_geometry *g,
		      const struct hash128 *name, uint32_t record_page)
	MUST_CHECK;

/*
 * Write the page that begins with list @next. Returns the list that the next
 * page begins with. The last page must have all lists that are left; what does
 * not fit there, or in any page, is emptied and counted in *lost.
 */
uint32_t chapter_index_pack(struct delta_lists *d, uint64_t nonce, uint64_t vcn,
			    uint32_t next, bool last, uint8_t *page,
			    uint32_t *lost);

/* Read a page's header, and check it and the offsets. -VDO_ECORRUPT,
 * -VDO_ENONCE */
int index_page_open(const uint8_t *page, const struct index_geometry *g,
		    uint64_t nonce, struct index_page *p) MUST_CHECK;

/* Decode all lists. Each entry must end and name a page of the chapter. */
int index_page_verify(const uint8_t *page, const struct index_geometry *g,
		      const struct index_page *p) MUST_CHECK;

/*
 * Search a page that was opened. *record_page is PAGE_NONE if there is no entry
 * for @name. -VDO_ECORRUPT also if the name's list is not on the page.
 */
int index_page_search(const uint8_t *page, const struct index_geometry *g,
		      const struct index_name *name, uint32_t *record_page)
	MUST_CHECK;

#endif
