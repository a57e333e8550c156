/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which saves an index has on disk, and which one counts.
 *
 * There are two places. The next save goes to the one with the older save, so
 * until it is complete a crash finds the newer one as it was.
 *
 * Runs on: the main queue; it belongs to whoever is opening, saving or closing
 * the first chapter after a save, of which there is one at a time.
 */
#ifndef INDEX_SAVES_H
#define INDEX_SAVES_H

#include "base/assert.h"
#include "index_format/layout.h"

#define NO_SAVE (-1)

struct index_saves {
	struct index_save slots[SAVES]; /* timestamp 0: none there */
	/* The slot whose save is of the chapters that are there, or NO_SAVE. */
	int newest;
	bool unreadable; /* a header is: nobody knows which is the newest */
};

static inline void index_saves_forget(struct index_saves *s)
{
	*s = (struct index_saves){.newest = NO_SAVE};
}

/* All headers are known: which save is the newest? */
static inline void index_saves_choose(struct index_saves *s)
{
	s->newest = NO_SAVE;
	if (s->slots[0].timestamp != 0 || s->slots[1].timestamp != 0)
		s->newest = s->slots[1].timestamp > s->slots[0].timestamp;
}

static inline const struct index_save *
index_saves_newest(const struct index_saves *s)
{
	VDO_ASSERT(s->newest >= 0 && s->newest < (int)SAVES);
	return &s->slots[s->newest];
}

/* The slot for the next save: never that of a save which could be loaded. */
static inline unsigned index_saves_older(const struct index_saves *s)
{
	VDO_ASSERT(s->newest < (int)SAVES);
	if (s->newest != NO_SAVE)
		return (unsigned)s->newest ^ 1;
	return s->slots[1].timestamp < s->slots[0].timestamp;
}

#endif
