/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The depot on real threads: what crosses zones is hopping for space, claims,
 * requests to commit, statistics, load and drain. For ThreadSanitizer too.
 *
 * Workers allocate, count up, claim, count down and unlock, each step on the
 * queue of the block's zone; they start in zones of which the first is full
 * soonest, so they visit others.
 */
#include "build.h"

#include <vdo/error.h>

#include "depot/depot_priv.h"
#include "exec/await.h"
#include "tests/lib/unit.h"

#define ZONES	3
#define WORKERS 24
#define ROUNDS	150
#define FIRST	100
#define SLABS	2

/* The recovery journal: nobody looks at its holds here. */
static atomic_long holds;

void journal_hold_slab(struct journal *j, seq_t seq)
{
	atomic_fetch_add(&holds, 1);
}

void journal_release_slab(struct journal *j, seq_t seq)
{
	ck_assert_int_gt(atomic_fetch_sub(&holds, 1), 0);
}

static struct executor *x;
static struct queue *queues[ZONES];
static struct queue *sync_queue;
static struct storage storage;
static struct sync durability;
static struct readonly ro;
static struct log logger;
static struct depot *depot;
static seq_t seqs[ZONES]; /* each zone's own recovery journal */

struct worker {
	struct completion done;
	struct alloc_op alloc;
	struct refs_op op;
	unsigned rounds;
	struct event over;
};

static struct worker workers[WORKERS];

static void set_up_op(struct worker *w, enum refs_kind kind, completion_fn fn)
{
	unsigned zone = depot_zone_of(depot, pbnlock_pbn(w->alloc.lock));

	completion_init(&w->op.done, depot_queue(depot, zone), fn);
	w->op.kind = kind;
	w->op.pbn = pbnlock_pbn(w->alloc.lock);
	w->op.point = (struct journal_point){++seqs[zone], 0};
}

static void begin_round(struct completion *c);

static void counted_down(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, op.done);

	ck_assert_int_eq(c->result, 0);
	depot_unlock(depot, w->alloc.zone, w->alloc.lock);
	if (++w->rounds == ROUNDS) {
		executor_signal(x, &w->over);
		return;
	}
	completion_init(&w->done, queues[w->rounds % ZONES], begin_round);
	completion_post(&w->done);
}

static void counted_up(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, op.done);

	ck_assert_int_eq(c->result, 0);
	depot_lock_downgrade(depot, w->alloc.zone, w->alloc.lock, false);
	ck_assert(pbnlock_claim(w->alloc.lock));
	set_up_op(w, REFS_DECREMENT, counted_down);
	if (depot_adjust(depot, &w->op))
		counted_down(&w->op.done);
}

static void count_up(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, done);

	set_up_op(w, REFS_INCREMENT, counted_up);
	if (depot_adjust(depot, &w->op))
		counted_up(&w->op.done);
}

static void allocated(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, alloc.done);

	ck_assert_int_eq(c->result, 0);
	completion_init(&w->done, queues[w->alloc.zone], count_up);
	completion_post(&w->done);
}

static void begin_round(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, done);

	w->alloc.zone = w->rounds % ZONES;
	w->alloc.type = PBN_LOCK_WRITE;
	completion_init(&w->alloc.done, queues[w->alloc.zone], allocated);
	if (depot_allocate(depot, &w->alloc))
		allocated(&w->alloc.done);
}

static void failed(void *arg, int result)
{
	ck_abort_msg("flush failed");
}

static void open_all(struct vdo_device **device)
{
	struct superblock sb = {
		.nonce = 7,
		.depot_first_block = FIRST,
		.depot_last_block = FIRST + (SLABS << 10),
	};
	struct native_config native = {.threads = 4, .name_prefix = "t"};
	struct depot_config c = {
		.zone_count = ZONES,
		.queues = queues,
		.storage = &storage,
		.sync = &durability,
		.readonly = &ro,
		.log = &logger,
		.sb = &sb,
		.locks_max = 2 * WORKERS,
	};

	sb.partitions[PARTITION_SUMMARY].start = sb.depot_last_block;
	ck_assert_int_eq(slab_config_compute(1024, 4, &sb.slab), 0);
	ck_assert_int_eq(vdo_device_open_memory(8 << 20 << 1, device), 0);
	storage_init(&storage, *device, 0);
	ck_assert_int_eq(executor_native_create(&native, &x), 0);
	for (unsigned i = 0; i < ZONES; i++)
		ck_assert_int_eq(executor_queue(x, "zone", i, &queues[i]), 0);
	ck_assert_int_eq(executor_queue(x, "sync", ZONES, &sync_queue), 0);
	sync_init(&durability, sync_queue, &storage, failed, NULL);
	readonly_init(&ro, &storage, &logger, NULL, NULL);
	ck_assert_int_eq(depot_create(&c, &depot), 0);
}

START_TEST(zones_at_work)
{
	struct vdo_device *device;
	struct depot_stats s;
	struct await a;

	open_all(&device);
	depot_load(depot, DEPOT_NEW, await_on(&a, sync_queue));
	ck_assert_int_eq(await_end(&a), 0);
	depot_start(depot, await_on(&a, sync_queue));
	ck_assert_int_eq(await_end(&a), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		event_init(&workers[i].over);
		completion_init(&workers[i].done, queues[0], begin_round);
		completion_post(&workers[i].done);
	}
	for (seq_t n = 0; n < 500; n++) {
		depot_commit_tails(depot, 10 * n);
		depot_get_stats(depot, &s);
		ck_assert_uint_le(s.allocated, WORKERS);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		executor_wait(x, &workers[i].over);
	depot_drain(depot, true, await_on(&a, sync_queue));
	ck_assert_int_eq(await_end(&a), 0);
	ck_assert(!readonly_entered(&ro));
	depot_get_stats(depot, &s);
	ck_assert_uint_eq(s.allocated, 0);
	ck_assert_int_eq(holds, 0);
	executor_destroy(x);
	depot_destroy(depot);
	vdo_device_close(device);
}
END_TEST

int main(void)
{
	tcase_add_test(unit_case("depot_threads"), zones_at_work);
	return unit_run();
}
