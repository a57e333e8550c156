/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Somebody who has an index: an overlay device with a good index on it, and
 * what it takes to open and ask it.
 *
 * Blocks behind those of the index are nobody's (overlay.h), so an index that
 * leaves its region is found out.
 *
 * Runs on: one thread, which runs all queues while it waits.
 */
#ifndef TESTS_FUZZ_INDEX_HOST_H
#define TESTS_FUZZ_INDEX_HOST_H

#include "index/index.h"
#include "index/verify.h"
#include "index_format/layout.h"
#include "io/device.h"
#include "tests/fuzz/overlay.h"

#define INDEX_BLOCKS 190u
#define INDEX_POSTS  3500u
#define INDEX_SAVERS 2u /* zones that saved the good one */

/* The device and its index; made once. */
struct index_golden {
	struct overlay overlay;
	struct index_geometry geometry;
	struct index_layout layout;
};

struct index_golden *index_golden(void);

struct index_host {
	struct executor *x;
	struct queue *asker;
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct log log;
	struct index *index;
};

void index_host_init(struct index_host *h, unsigned zones);
void index_host_fini(struct index_host *h);

int index_host_open(struct index_host *h, enum index_open how);
int index_host_close(struct index_host *h, bool save);

/* One request for a golden name. 1: found, with that name's data; 2: found,
 * with other data; 0: not found; negative: an error. */
int index_host_ask(struct index_host *h, enum index_request request,
		   uint64_t name);

/* Look over all of it without a change; false: there is no index to look at.
 * @intact: it has no fault. */
bool index_host_verify(unsigned zones, bool intact, struct index_verify *v);

/* Build it anew; what is made then has no fault. */
void index_host_rebuild(unsigned zones);

/*
 * Open it with all that can be found out about it, ask, add names, close; then
 * again, when all must be well.
 */
void index_host_use(unsigned zones, enum index_open how, bool intact);

#endif
