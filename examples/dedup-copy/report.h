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
	uint64_t copied;    /* copied, but not by reference alone */
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
	bool disk_known;	/* what the volume takes of its file system */
	uint64_t disk_after;	/* bytes */
	uint64_t start_ms;
	double seconds;
};

void report_start(struct report *r, struct run *run);

/* All is stored; the volume is still open. */
void report_measure(struct report *r);

/* In place of that, for a dry run. @metadata: blocks. */
void report_estimate(struct report *r, const struct counts *counts,
		     bool disk_known, uint64_t metadata);

/* Print it. The volume was closed: only now it is as large as it will be. */
void report_end(struct report *r);

#endif
