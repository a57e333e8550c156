/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What journal entries make of the block map: the last mapping of each place,
 * sorted by page.
 *
 * Entries say what a place holds afterwards, not how it changes. So only the last
 * one of each place counts, and applying one again does no harm (I43).
 *
 * A page that an entry makes is empty before the entries that follow, whatever its
 * block holds: it may never have been written since, and hold data that is a copy
 * of a page, or a page that a rebuild took out of its tree.
 *
 * A recovery fills a table as often as needed, a batch at a time. A volume that
 * is only read is served with all entries in one table, over pages as they are
 * on disk.
 *
 * Runs on: one thread until it is sorted, then any number.
 * Memory: 16 bytes an entry and a page that is made, of which what is not used is not touched.
 */
#ifndef REPLAY_TABLE_H
#define REPLAY_TABLE_H

#include "format/journal.h"

struct replay_table;

int replay_table_create(size_t entries_max,
			struct replay_table **table) MUST_CHECK;
void replay_table_destroy(struct replay_table *t);

/* Entries come in the order of the journal, and replay_entry_check() has seen
 * them. False: the table is full. */
bool replay_table_add(struct replay_table *t,
		      const struct journal_entry *e) MUST_CHECK;

/* The entry that was added last makes a page. */
void replay_table_make(struct replay_table *t, pbn_t page);

/* After the last entry, before any of the following. */
void replay_table_sort(struct replay_table *t);

/* Begin anew. */
void replay_table_clear(struct replay_table *t);

/* Places, if it is sorted; else entries. */
size_t replay_table_count(const struct replay_table *t);

/* The next page that has entries or is made, in ascending order, or 0; begin with *@pos 0,
 * which then goes beyond the entries of that page. */
pbn_t replay_table_page(const struct replay_table *t, size_t *pos);

/* Does an entry make page @page? Then nothing is to be read of its block. */
bool replay_table_makes(const struct replay_table *t, pbn_t page);

/* Store all mappings of page @page into @bytes; how many, and one more if the page
 * is made: then @bytes are those of an empty page. */
unsigned replay_table_apply(const struct replay_table *t, pbn_t page,
			    uint8_t *bytes);

#endif
