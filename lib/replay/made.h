/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks that entries make pages, over all batches of a journal.
 *
 * A table (table.h) compares the entries of its batch. But an entry can tell
 * that one of another batch is not true: a block is made a page once, after the
 * last mapping to it is gone, and it has no data ever after. A page of an
 * earlier batch would be written by the time that a later one says that it is
 * none. So all entries are looked at in order before anything is written, and
 * the places of a batch that lead to what a later one makes a page are
 * remembered until they are given another mapping.
 *
 * Memory: 32 to 64 bytes a page, 24 to 48 a place; 16 and 12 MiB at most, and
 * half of that more of one of them while it grows. A page or a place that there
 * is no room for is not known here: then only entries of one batch are
 * compared.
 *
 * Runs on: one thread. Lifetime: zeroed, or replay_made_fini().
 */
#ifndef REPLAY_MADE_H
#define REPLAY_MADE_H

#include "base/intmap.h"
#include "replay/table.h"

#define REPLAY_MADE_PAGES_MAX  (1u << 19)
#define REPLAY_MADE_PLACES_MAX (1u << 19)

struct replay_made {
	struct intmap pages;	     /* no slots: there is no page */
	struct replay_place *places; /* mapped to one of them, so far */
	size_t place_count, place_room;
};

void replay_made_fini(struct replay_made *m);

/*
 * All entries from some block of the journal to another, in order. -ENOMEM; or
 * *@wrong is what is wrong with this one, in words, and NULL if nothing is: then
 * the block is that of its new mapping.
 */
int replay_made_take(struct replay_made *m, const struct journal_entry *e,
		     const char **wrong) MUST_CHECK;

/*
 * After all these, the batches that they are in, sorted, in order. The same, of
 * what the batch makes: *@page. Of the last batch nothing is remembered.
 */
int replay_made_batch(struct replay_made *m, const struct replay_table *t,
		      bool is_last, pbn_t *page, const char **wrong) MUST_CHECK;

#endif
