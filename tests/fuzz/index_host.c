/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/fuzz/index_host.h"

#include <vdo/error.h>

#include "exec/executor.h"
#include "tests/lib/index_ask.h"
#include "tests/unit/index_names.h"

#define NONCE 4711u
#define GUARD 64u /* blocks behind the index */

static void on_log(void *arg, enum vdo_log_level level, const char *message)
{
	FUZZ_CHECK(message[0] != '\0');
}

static void on_sync_failure(void *arg, int result)
{
	FUZZ_CHECK(result == 0); /* the device never fails */
}

static void start(struct index_host *h, struct overlay *o, unsigned zones)
{
	struct index_config c = {
		.memory = -2,
		.nonce = NONCE,
		.storage = &h->storage,
		.sync = &h->sync,
		.kind = MIO_DATA,
		.block_count = INDEX_BLOCKS,
		.zone_count = zones,
		.log = &h->log,
	};
	struct queue *service;

	memset(h, 0, sizeof(*h));
	h->device = o->device;
	h->log = (struct log){on_log, h};
	FUZZ_CHECK(executor_inline_create(&h->x) == 0);
	FUZZ_CHECK(executor_queue(h->x, "asker", 0, &h->asker) == 0);
	FUZZ_CHECK(executor_queue(h->x, "sync", 1, &service) == 0);
	FUZZ_CHECK(device_claim(h->device, h->x) == 0);
	storage_init(&h->storage, h->device, 0);
	sync_init(&h->sync, service, &h->storage, on_sync_failure, h);
	FUZZ_CHECK(executor_queue(h->x, "index", 2, &c.queue) == 0);
	for (unsigned i = 0; i < zones; i++)
		FUZZ_CHECK(executor_queue(h->x, "zone", i, &c.zones[i]) == 0);
	FUZZ_CHECK(index_create(&c, &h->index) == 0);
}

void index_host_init(struct index_host *h, unsigned zones)
{
	start(h, &index_golden()->overlay, zones);
}

void index_host_fini(struct index_host *h)
{
	device_release(h->device);
	executor_destroy(h->x);
	index_destroy(h->index);
}

int index_host_open(struct index_host *h, enum index_open how)
{
	struct await a;

	index_open(h->index, how, await_on(&a, h->asker));
	return await_end(&a);
}

int index_host_close(struct index_host *h, bool save)
{
	struct await a;

	index_close(h->index, save, await_on(&a, h->asker));
	return await_end(&a);
}

int index_host_ask(struct index_host *h, enum index_request request,
		   uint64_t name)
{
	struct index_op op = {.request = request, .name.hash = golden_name(name)};
	uint8_t want[INDEX_DATA_SIZE];
	int r;

	golden_data(name, 0, want);
	memcpy(op.data, want, sizeof(want));
	r = index_ask(h->index, h->asker, &op);
	if (r != 0)
		return r;
	if (!op.found)
		return 0;
	return memcmp(op.data, want, sizeof(want)) == 0 ? 1 : 2;
}

/* Several closed chapters and an open one, saved. */
struct index_golden *index_golden(void)
{
	static struct index_golden g;
	struct index_host h;

	if (g.overlay.image != NULL)
		return &g;
	overlay_init(&g.overlay, INDEX_BLOCKS + GUARD);
	g.overlay.limit = INDEX_BLOCKS;
	start(&h, &g.overlay, INDEX_SAVERS);
	FUZZ_CHECK(index_host_open(&h, INDEX_FORMAT) == 0);
	for (unsigned i = 0; i < INDEX_POSTS; i++)
		FUZZ_CHECK(index_host_ask(&h, INDEX_POST, i) == 0);
	FUZZ_CHECK(index_host_close(&h, true) == 0);
	g.geometry = *index_geometry_of(h.index);
	FUZZ_CHECK(index_super_decode(&g.layout, &g.geometry, 0, g.overlay.image) ==
		   0);
	index_host_fini(&h);
	overlay_keep(&g.overlay);
	return &g;
}

/* Ask for old names and add new ones; the first error. */
static int exercise(struct index_host *h, bool intact, uint64_t from)
{
	static const enum index_request requests[] = {
		INDEX_POST, INDEX_QUERY, INDEX_UPDATE, INDEX_QUERY_NO_UPDATE,
		INDEX_DELETE};

	for (uint64_t i = 0; i < INDEX_POSTS; i += 7) {
		int r = index_host_ask(h, INDEX_QUERY_NO_UPDATE, i);

		if (r < 0)
			return r;
		/* Nothing guards the data, but names lead to some. */
		FUZZ_CHECK(!intact || r == 1);
	}
	for (uint64_t i = from; i < from + 1300; i++) {
		int r = index_host_ask(h, INDEX_POST, i);

		if (r < 0)
			return r;
	}
	for (uint64_t i = 0; i < 100; i++) {
		int r = index_host_ask(h, requests[i % ARRAY_SIZE(requests)],
				       31 * i);

		if (r < 0)
			return r;
	}
	return 0;
}

void index_host_use(unsigned zones, enum index_open how, bool intact)
{
	struct index_host h;
	int r, again;

	index_host_init(&h, zones);
	r = index_host_open(&h, how);
	FUZZ_CHECK(!intact || r == 0);
	if (r != 0) {
		FUZZ_CHECK(r == -VDO_ENOINDEX || r == -VDO_EVERSION ||
			   (r == -VDO_EDIRTY && how == INDEX_LOAD_SAVED));
		FUZZ_CHECK(index_host_ask(&h, INDEX_POST, 1) == -VDO_EBUSY);
		/* What cannot be opened can be made anew, or built again. */
		if (r == -VDO_EDIRTY)
			FUZZ_CHECK(index_host_open(&h, INDEX_LOAD) == 0);
		else
			FUZZ_CHECK(index_host_open(&h, INDEX_FORMAT) == 0);
	}
	r = exercise(&h, intact, INDEX_POSTS);
	FUZZ_CHECK(!intact || r == 0);
	FUZZ_CHECK(index_host_close(&h, true) == 0);
	/* After an error it is built again from what is good. */
	FUZZ_CHECK(index_host_open(&h, INDEX_LOAD) == 0);
	again = exercise(&h, false, 2 * INDEX_POSTS);
	FUZZ_CHECK(again == 0 || r == 0);
	/* Into the other slot; lists whose bits are wrong may not load. */
	FUZZ_CHECK(index_host_close(&h, true) == 0);
	FUZZ_CHECK(index_host_open(&h, intact ? INDEX_LOAD_SAVED
					      : INDEX_LOAD) == 0);
	FUZZ_CHECK(index_host_close(&h, false) == 0);
	index_host_fini(&h);
}

static void check_report(const struct index_verify *v)
{
	const struct vdo_index_report *r = &v->report;
	uint64_t sum = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(r->faults_by_kind); i++) {
		sum += r->faults_by_kind[i];
		FUZZ_CHECK(i < VDO_INDEX_FAULT_KINDS ||
			   r->faults_by_kind[i] == 0);
	}
	FUZZ_CHECK(r->faults == sum);
	FUZZ_CHECK(r->first_count == MIN(sum, FAULTS_DESCRIBED));
	for (size_t i = 0; i < r->first_count; i++)
		FUZZ_CHECK(v->first[i].text[0] != '\0' &&
			   v->first[i].block < INDEX_BLOCKS &&
			   vdo_index_fault_name(v->first[i].kind) != NULL);
	FUZZ_CHECK(r->oldest <= r->newest);
}

bool index_host_verify(unsigned zones, bool intact, struct index_verify *v)
{
	struct overlay *o = &index_golden()->overlay;
	struct index_host h;
	atomic_bool stop;
	int r;

	o->read_only = true;
	atomic_init(&stop, false);
	index_host_init(&h, zones);
	r = index_host_open(&h, INDEX_LOAD_SAVED);
	*v = (struct index_verify){
		.index = h.index, .loaded = r == 0, .stop = &stop};
	if (r == 0 || r == -VDO_EDIRTY) {
		FUZZ_CHECK(index_verify(v) == 0);
		check_report(v);
	}
	FUZZ_CHECK(!intact || (v->loaded && v->report.faults == 0 &&
			       v->report.chapters == 3));
	if (r == 0)
		FUZZ_CHECK(index_host_close(&h, false) == 0);
	index_host_fini(&h);
	o->read_only = false;
	return r == 0 || r == -VDO_EDIRTY;
}

void index_host_rebuild(unsigned zones)
{
	struct index_verify v;
	struct index_host h;

	index_host_init(&h, zones);
	FUZZ_CHECK(index_host_open(&h, INDEX_REBUILD) == 0);
	FUZZ_CHECK(index_host_close(&h, true) == 0);
	index_host_fini(&h);
	FUZZ_CHECK(index_host_verify(zones, false, &v) && v.loaded);
	/* Chapters are as they were; all else is new. */
	FUZZ_CHECK(v.report.faults_by_kind[VDO_INDEX_FAULT_VOLUME_INDEX] == 0 &&
		   v.report.faults_by_kind[VDO_INDEX_FAULT_PAGE_MAP] == 0);
}
