/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run has saved.
 */
#ifndef DEDUP_COPY_REPORT_H
#define DEDUP_COPY_REPORT_H

#include "dedup-copy.h"

/* Blocks of 4096 bytes since the volume was opened; data_used: at the time. */
struct counts {
	uint64_t zero;	    /* written, nothing but zeroes */
	uint64_t duplicate; /* written, shared with others */
	uint64_t data_used; /* that hold data */
};

/* Entries that were stored. */
struct plan {
	uint64_t files, directories, others;
};

struct report {
	struct run *run;
	const struct plan *plan; /* NULL: an image */
	uint32_t snapshot;
	struct counts before, after;
	uint64_t bytes_read;	/* from the sources */
	uint64_t bytes_written; /* to the volume, whole blocks */
	uint64_t bytes_kept;	/* in whole blocks that the archive had */
	uint64_t start_ms;
};

void report_start(struct report *r, struct run *run);
/* Dry run: @after is the estimate. NULL: ask the volume. */
void report_end(struct report *r, const struct counts *after);

#endif
