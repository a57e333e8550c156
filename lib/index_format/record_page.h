/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Record pages: 1024 records as a binary search tree in heap order (X 6.3).
 *
 * Runs on: anything; pure functions. @page has PAGE_BYTES.
 */
#ifndef INDEX_FORMAT_RECORD_PAGE_H
#define INDEX_FORMAT_RECORD_PAGE_H

#include "index_format/names.h"

/* Write a page from @records, in any order. @scratch: RECORDS_PER_PAGE. */
void record_page_encode(uint8_t *page, const struct index_record *records,
			const struct index_record **scratch);

/* The record of @name on @page, or NULL. */
const struct index_record *record_page_find(const uint8_t *page,
					    const struct hash128 *name);

/* Is the page a search tree, so that all that is on it can be found? Equal
 * names may follow each other. */
bool record_page_in_order(const uint8_t *page);

#endif
