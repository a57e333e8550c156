/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index for tests.
 */
#include "build.h"

#include "tests/unit/index_rig.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "exec/executor.h"
#include "tests/lib/index_ask.h"
#include "tests/unit/index_names.h"

static void on_log(void *arg, enum vdo_log_level level, const char *message)
{
	struct rig *r = arg;

	if (level <= VDO_LOG_WARNING)
		__atomic_add_fetch(&r->warnings, 1, __ATOMIC_RELAXED);
	if (getenv("RIG_LOG") != NULL)
		fprintf(stderr, "%s\n", message);
}

static void on_sync_failure(void *arg, int result)
{
	struct rig *r = arg;

	r->sync_failed = result;
}

void rig_init(struct rig *r, struct executor *x, struct vdo_device *device,
	      int32_t memory, bool sparse, unsigned zones, uint64_t nonce,
	      uint64_t first_block)
{
	struct index_config *c = &r->config;
	struct queue *service;

	memset(r, 0, sizeof(*r));
	r->x = x;
	r->device = device;
	r->log = (struct log){on_log, r};
	ck_assert_int_eq(executor_queue(x, "asker", 0, &r->asker), 0);
	ck_assert_int_eq(executor_queue(x, "sync", 1, &service), 0);
	ck_assert_int_eq(device_claim(device, x), 0);
	storage_init(&r->storage, device, 0);
	sync_init(&r->sync, service, &r->storage, on_sync_failure, r);
	*c = (struct index_config){
		.memory = memory,
		.sparse = sparse,
		.nonce = nonce,
		.storage = &r->storage,
		.sync = &r->sync,
		.kind = MIO_DATA,
		.first_block = first_block,
		.block_count = r->storage.block_count - first_block,
		.zone_count = zones,
		.log = &r->log,
	};
	ck_assert_int_eq(executor_queue(x, "index", 2, &c->queue), 0);
	for (unsigned i = 0; i < zones; i++) {
		char name[16];

		snprintf(name, sizeof(name), "zone%u", i);
		ck_assert_int_eq(executor_queue(x, name, i, &c->zones[i]), 0);
	}
}

void rig_fini(struct rig *r)
{
	/* First, as volumes do: no message of it may be on its way. */
	index_destroy(r->index);
	r->index = NULL;
	device_release(r->device);
	executor_destroy(r->x);
}

int rig_open(struct rig *r, enum index_open how)
{
	struct await a;
	int result;

	if (r->index == NULL) {
		result = index_create(&r->config, &r->index);
		if (result != 0)
			return result;
	}
	index_open(r->index, how, await_on(&a, r->asker));
	if (r->before_wait != NULL)
		completion_post(r->before_wait);
	return await_end(&a);
}

int rig_suspend(struct rig *r, bool save)
{
	struct await a;

	index_suspend(r->index, save, await_on(&a, r->asker));
	return await_end(&a);
}

int rig_resume(struct rig *r)
{
	struct await a;

	index_resume(r->index, await_on(&a, r->asker));
	return await_end(&a);
}

int rig_close(struct rig *r, bool save)
{
	struct await a;

	index_close(r->index, save, await_on(&a, r->asker));
	return await_end(&a);
}

int rig_ask(struct rig *r, struct index_op *op)
{
	return index_ask(r->index, r->asker, op);
}

struct ranger {
	struct rig *rig;
	struct event event;
	uint64_t next, high;
	unsigned out;
	long found;
	int error;
	struct range_op *ops;
	struct completion go;
	unsigned depth;
};

struct range_op {
	struct index_op op;
	struct ranger *ranger;
};

static void range_done(struct completion *c);

static void range_next(struct range_op *o)
{
	struct ranger *g = o->ranger;
	struct hash128 name;

	if (g->next == g->high || g->error != 0)
		return;
	o->op.request = INDEX_POST;
	name = golden_name(g->next);
	index_set_name(g->rig->index, &o->op.name, &name);
	golden_data(g->next, 0, o->op.data);
	g->next++;
	g->out++;
	completion_init(&o->op.done, g->rig->asker, range_done);
	index_start(g->rig->index, &o->op);
}

static void range_done(struct completion *c)
{
	struct range_op *o = container_of(c, struct range_op, op.done);
	struct ranger *g = o->ranger;

	g->out--;
	g->found += o->op.found;
	if (c->result != 0)
		g->error = c->result;
	range_next(o);
	if (g->out == 0)
		executor_signal(g->rig->x, &g->event);
}

static void range_go(struct completion *c)
{
	struct ranger *g = container_of(c, struct ranger, go);

	for (unsigned i = 0; i < g->depth; i++) {
		g->ops[i].ranger = g;
		range_next(&g->ops[i]);
	}
	if (g->out == 0)
		executor_signal(g->rig->x, &g->event);
}

long rig_post_range(struct rig *r, uint64_t low, uint64_t high, unsigned depth)
{
	struct ranger g = {.rig = r, .next = low, .high = high, .depth = depth};

	g.ops = calloc(depth, sizeof(*g.ops));
	event_init(&g.event);
	completion_init(&g.go, r->asker, range_go);
	completion_post(&g.go);
	executor_wait(r->x, &g.event);
	free(g.ops);
	return g.error != 0 ? g.error : g.found;
}

int rig_generation(struct rig *r, uint64_t i)
{
	struct index_op op = {.request = INDEX_QUERY_NO_UPDATE,
			      .name.hash = golden_name(i)};
	uint8_t want[16];

	ck_assert_int_eq(rig_ask(r, &op), 0);
	if (!op.found)
		return -1;
	golden_data(i, get_u16(op.data + 8), want);
	return memcmp(want, op.data, 16) == 0 ? get_u16(op.data + 8) : -2;
}

struct index_stats rig_stats(struct rig *r)
{
	struct index_stats s;

	index_get_stats(r->index, &s);
	return s;
}
