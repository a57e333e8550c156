/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work on an index that nobody uses.
 *
 *	reindex_create() -> reindex_verify() or reindex_rebuild(), once
 *			 -> reindex_destroy()
 *
 * It has an executor without threads: whoever calls verify or rebuild does the
 * work. As a rule it is its own, which then claims the device.
 *
 * Invariants
 *  (1) The device is claimed from create to destroy, here or by the caller.
 *  (2) Only a rebuild writes, and nothing but the place of the index.
 *
 * Runs on: outside of any queue, one thread at a time; reindex_stop() and
 * reindex_progress() on any thread.
 * Lifetime: the device is the caller's and outlives it.
 */
#ifndef INDEX_REINDEX_H
#define INDEX_REINDEX_H

#include <vdo/index.h>

#include "base/log.h"
#include "index/inspect.h"
#include "io/mio.h"

struct index_record;
struct reindex;

struct reindex_config {
	struct vdo_device *device;
	struct executor *executor; /* that has claimed it; NULL: claim it */
	struct index_place place;
	uint64_t bio_offset; /* of the volume, in blocks */
	bool writes;	     /* for a rebuild */
	enum mio_kind kind;  /* that its I/O counts as */
	uint64_t (*wall_ms)(void *arg); /* as in struct index_config */
	struct log log;
};

int reindex_create(const struct reindex_config *c, struct reindex **reindex,
		   struct vdo_error *error) MUST_CHECK;
void reindex_destroy(struct reindex *r);

int reindex_verify(struct reindex *r, struct vdo_error *error) MUST_CHECK;
int reindex_rebuild(struct reindex *r, struct vdo_error *error) MUST_CHECK;

/* Have a verification call @record for each record of the chapters. Before it
 * begins. */
void reindex_on_record(struct reindex *r,
		       void (*record)(void *arg, const struct index_record *rec),
		       void *arg);

/* What the work found or made, once it has succeeded. */
const struct vdo_index_report *reindex_report(const struct reindex *r);
const struct vdo_index_rebuilt *reindex_rebuilt(const struct reindex *r);

/* Let the work end soon, with -ECANCELED; also before it has begun. */
void reindex_stop(struct reindex *r);
void reindex_progress(const struct reindex *r, struct vdo_job_progress *p);

#endif
