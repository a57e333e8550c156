/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What journal entries make of the block map: the last mapping of each place,
 * sorted by page.
 *
 * Entries say what a place holds afterwards, not how it changes. So only the
 * last one of each place counts, and applying one again does no harm (I43).
 *
 * A page that an entry makes is empty before the entries that follow, whatever
 * its block holds: it may never have been written since, and hold data that is
 * a copy of a page, or a page that a rebuild took out of its tree.
 *
 * Nothing in the format says that an entry is what was written. One that is not
 * may name any block as a page, and bring about that data are overwritten. What
 * entries that are true never do is told here: replay_table_clash() of entries
 * among themselves, replay_table_misfit() of entries and the page that they are
 * of.
 *
 * A recovery fills a table as often as needed, a batch at a time. A volume that
 * is only read is served with all entries in one table, over pages as they are
 * on disk.
 *
 * Runs on: one thread until it is sorted, then any number.
 * Memory: 16 bytes an entry and a page that is made, of which what is not used
 * is not touched, and 1 MiB at most.
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

/* What it has of memory: what was added, not what might have been. */
size_t replay_table_bytes(const struct replay_table *t);

/* The next page that has entries or is made, in ascending order, or 0; begin
 * with
 * *@pos 0, which then goes beyond the entries of that page. */
pbn_t replay_table_page(const struct replay_table *t, size_t *pos);

/* Pages that are made, when it is sorted. */
size_t replay_table_made(const struct replay_table *t);

/* Does an entry make page @page? Then nothing is to be read of its block. */
bool replay_table_makes(const struct replay_table *t, pbn_t page);

/* What entries take their page for: one with mappings of logical blocks, or one
 * that leads to pages. */
enum { REPLAY_LEAF = 1, REPLAY_INTERIOR = 2 };

/* What the entries of page @page take it for; 0: it has none. */
unsigned replay_table_kinds(const struct replay_table *t, pbn_t page);

/* Has an entry a mapping for this slot? */
bool replay_table_has(const struct replay_table *t, pbn_t page, unsigned slot);

/* A place of a logical block, and the block that an entry has it lead to. */
struct replay_place {
	pbn_t page;
	unsigned slot;
	pbn_t to;
};

/* The next one that leads to a block, if it is sorted; begin with *@at 0. */
bool replay_table_data(const struct replay_table *t, size_t *at,
		       struct replay_place *place);

/* What whoever has the table notes of page @page, which has items: a number of
 * 23 bits, which is 0 when it was sorted, and of other blocks. */
unsigned replay_table_notes(const struct replay_table *t, pbn_t page);
void replay_table_note(struct replay_table *t, pbn_t page, unsigned notes);

/*
 * Store the mappings of page @page into @bytes that are of @kinds; how many,
 * and one more if the page is made: then @bytes are those of an empty page. A
 * slot that leads to a page goes on to do so.
 */
unsigned replay_table_apply(const struct replay_table *t, pbn_t page,
			    uint8_t *bytes, unsigned kinds);

/* Page @page, which is made, is none: nothing makes it, or leads to it. */
void replay_table_refute(struct replay_table *t, pbn_t page);
bool replay_table_refuted(const struct replay_table *t, pbn_t page);

/* Said of a block. */
extern const char replay_page_and_data[];

/*
 * What is wrong with the entries, all of which from some block of the journal
 * to another are there, in words; *@page is the block. NULL: nothing is. They
 * are wrong if a page has entries of both kinds, or data are in a page: what
 * was data becomes a page only after the last mapping to it is gone, and a page
 * stays one.
 */
const char *replay_table_clash(const struct replay_table *t, pbn_t *page);

/*
 * The same of page @page, which is not made, and is on the storage as @bytes,
 * without its entries; *@which is the block. A page with entries of data that
 * leads to a page with entries, or that is made, is an interior page, or those
 * are wrong.
 */
const char *replay_table_misfit(const struct replay_table *t, pbn_t page,
				const uint8_t *bytes, pbn_t *which);

/*
 * Does nothing but its entries say that this page leads to pages? They lead to
 * one that has none of its own, which may be data, and @page a leaf page.
 */
bool replay_table_doubts(const struct replay_table *t, pbn_t page,
			 const uint8_t *bytes);

#endif
