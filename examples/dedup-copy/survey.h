/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is to store, in numbers.
 *
 * Lifetime: filled by survey_run(); nothing has to be freed.
 */
#ifndef DEDUP_COPY_SURVEY_H
#define DEDUP_COPY_SURVEY_H

#include "table.h"
#include "walk.h"

/* About what an entry needs in a catalogue besides its path, and an extent. */
#define ENTRY_BYTES  256u
#define EXTENT_BYTES 24u

struct survey {
	uint64_t entries;
	uint64_t bytes;		  /* of data, whole blocks */
	uint64_t file_bytes;	  /* sizes of the files */
	uint64_t catalogue_bytes; /* about */
	bool met_volume;	  /* it is among the sources */
	struct table inodes;	  /* of files with more than one link */
};

/* @quiet: nothing is said about what cannot be read. 0, or a reason to stop. */
int survey_run(struct survey *s, struct run *run, bool quiet);

#endif
