/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block map on real threads: three logical zones, two physical zones and
 * the journal, each on its thread. For ThreadSanitizer above all; the fakes of
 * journal and depot are as small as can be.
 */
#include "build.h"

#include <limits.h>
#include <stdlib.h>

#include "depot/pbnlock_priv.h"
#include "io/device.h"
#include "map/map_priv.h"
#include "tests/lib/unit.h"

#define ZONES          3u
#define PHYSICAL       2u
#define WORKERS        48u
#define ROUNDS         60u
#define SEQS           4096u
#define ENTRIES        40u
#define SLAB_SHIFT     13u
#define DATA_BLOCKS    8000u
#define FIRST_BLOCK    100u
#define DEVICE_BLOCKS  (FIRST_BLOCK + (PHYSICAL << SLAB_SHIFT))

struct journal {
	struct map *map;
	seq_t tail;
	unsigned fill;
	atomic_int holds[SEQS]; /* of both kinds */
};

struct depot {
	struct queue *queues[PHYSICAL];
	struct slab_geometry geometry;
	uint64_t next[PHYSICAL];
};

static struct queue *zones[ZONES];
static struct queue *journal_queue;
static struct journal journal;
static struct depot depot;
static struct executor *x;
static struct map *map;

static seq_t assign(struct journal *j)
{
	if (++j->fill == ENTRIES) {
		j->fill = 0;
		j->tail++;
		map_tail_moved(j->map, j->tail);
	}
	VDO_ASSERT(j->tail < SEQS);
	atomic_fetch_add(&j->holds[j->tail], 1);
	return j->tail;
}

void journal_append(struct journal *j, struct journal_op *op)
{
	op->point.seq = assign(j);
	completion_finish(&op->done, 0);
}

void journal_hold_map(struct journal *j, seq_t seq)
{
	VDO_ASSERT(atomic_fetch_add(&j->holds[seq], 1) > 0);
}

void journal_release_map(struct journal *j, seq_t seq)
{
	VDO_ASSERT(atomic_fetch_sub(&j->holds[seq], 1) > 0);
}

void journal_release_entry(struct journal *j, seq_t seq)
{
	journal_release_map(j, seq);
}

void journal_release_entries(struct journal *j, seq_t seq, unsigned n)
{
	while (n-- > 0)
		journal_release_entry(j, seq);
}

const struct slab_geometry *depot_geometry(const struct depot *d)
{
	return &d->geometry;
}

unsigned depot_zone_count(const struct depot *d)
{
	return PHYSICAL;
}

struct queue *depot_queue(const struct depot *d, unsigned zone)
{
	return d->queues[zone];
}

bool depot_allocate(struct depot *d, struct alloc_op *op)
{
	VDO_ASSERT(d->next[op->zone] < DATA_BLOCKS);
	op->lock = calloc(1, sizeof(*op->lock));
	op->lock->pbn = slab_start(&d->geometry, op->zone) +
			d->next[op->zone]++;
	return true;
}

bool depot_adjust(struct depot *d, struct refs_op *op)
{
	return true;
}

void depot_unlock(struct depot *d, unsigned zone, struct pbn_lock *lock)
{
	free(lock);
}

/* Writes and reads its own blocks, one after the other. */
struct worker {
	struct map_op op;
	struct completion hop;
	unsigned number;
	unsigned zone;
	unsigned round;
	bool check_only;
};

static struct worker workers[WORKERS];
static atomic_uint running;
static struct event finished;

static void next_round(struct completion *c);

static struct mapping value_of(const struct worker *w)
{
	return (struct mapping){
		.pbn = FIRST_BLOCK + (w->number * ROUNDS + w->round) % 8000,
		.state = (uint8_t)(1 + w->round % 15),
	};
}

static void go_on(struct worker *w)
{
	w->round++;
	if (w->round == ROUNDS) {
		if (atomic_fetch_sub(&running, 1) == 1)
			executor_signal(x, &finished);
		return;
	}
	/* Consecutive leaves, shared by all workers. */
	w->op.lbn = (lbn_t)w->round * MAP_PAGE_ENTRIES * 7 + w->number;
	w->zone = map_zone_of(map, w->op.lbn);
	completion_init(&w->hop, zones[w->zone], next_round);
	completion_post(&w->hop);
}

static void got(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, op.done);

	VDO_ASSERT(c->result == 0);
	VDO_ASSERT(mapping_equal(w->op.value, value_of(w)));
	go_on(w);
}

static void get(struct worker *w)
{
	w->op.value = (struct mapping){0, 0};
	completion_init(&w->op.done, zones[w->zone], got);
	if (map_get(map, w->zone, &w->op))
		got(&w->op.done);
}

static void put_done(struct completion *c)
{
	VDO_ASSERT(c->result == 0);
	get(container_of(c, struct worker, op.done));
}

static void put(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, hop);

	completion_init(&w->op.done, zones[w->zone], put_done);
	w->op.value = value_of(w);
	if (map_put(map, w->zone, &w->op))
		put_done(&w->op.done);
}

static void enter(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, hop);

	w->op.seq = assign(&journal);
	completion_init(&w->hop, zones[w->zone], put);
	completion_post(&w->hop);
}

static void found(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, op.done);

	VDO_ASSERT(c->result == 0 && w->op.page != 0);
	if (w->check_only) {
		get(w);
		return;
	}
	completion_init(&w->hop, journal_queue, enter);
	completion_post(&w->hop);
}

static void next_round(struct completion *c)
{
	struct worker *w = container_of(c, struct worker, hop);

	completion_init(&w->op.done, zones[w->zone], found);
	w->op.allocate = !w->check_only;
	w->op.alloc_zone = w->number % PHYSICAL;
	if (map_find(map, w->zone, &w->op))
		found(&w->op.done);
}

static void run_workers(bool check_only)
{
	event_init(&finished);
	atomic_store(&running, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].number = i;
		workers[i].round = UINT_MAX;
		workers[i].check_only = check_only;
		go_on(&workers[i]);
	}
	executor_wait(x, &finished);
}

static void drain_done(struct completion *c)
{
	VDO_ASSERT(c->result == 0);
	executor_signal(x, &finished);
}

static void save(void)
{
	struct completion done;

	event_init(&finished);
	completion_init(&done, journal_queue, drain_done);
	map_drain(map, true, &done);
	executor_wait(x, &finished);
}

static void flush_failed(void *arg, int result)
{
}

static struct storage storage;
static struct sync sync;
static struct readonly readonly;
static struct log nobody;

static void open_map(void)
{
	struct superblock sb = {
		.logical_blocks = 1 << 24,
		.nonce = 5,
		.root_origin = 1,
		.root_count = ROOT_COUNT,
	};
	struct map_config c = {
		.zone_count = ZONES,
		.queues = zones,
		.journal_queue = journal_queue,
		.storage = &storage,
		.sync = &sync,
		.readonly = &readonly,
		.log = &nobody,
		.journal = &journal,
		.depot = &depot,
		.sb = &sb,
		.cache_pages = 60,
		.maximum_age = 3,
		.journal_tail = journal.tail,
	};

	ck_assert_int_eq(map_create(&c, &map), 0);
	journal.map = map;
}

START_TEST(threads)
{
	struct native_config nc = {.threads = 4, .name_prefix = "map"};
	struct map_stats s;
	struct vdo_device *device;
	int holds = 0;

	ck_assert_int_eq(executor_native_create(&nc, &x), 0);
	ck_assert_int_eq(vdo_device_open_memory(
				 (uint64_t)DEVICE_BLOCKS * BLOCK_SIZE, &device),
			 0);
	for (unsigned i = 0; i < ZONES; i++)
		ck_assert_int_eq(executor_queue(x, "logical", i, &zones[i]), 0);
	ck_assert_int_eq(executor_queue(x, "journal", 3, &journal_queue), 0);
	for (unsigned i = 0; i < PHYSICAL; i++)
		ck_assert_int_eq(executor_queue(x, "physical", 2 + i,
						&depot.queues[i]), 0);
	storage_init(&storage, device, 0);
	readonly_init(&readonly, &storage, &nobody, NULL, NULL);
	sync_init(&sync, journal_queue, &storage, flush_failed, NULL);
	depot.geometry = (struct slab_geometry){FIRST_BLOCK, SLAB_SHIFT,
						PHYSICAL, DATA_BLOCKS};
	journal.tail = 1;
	open_map();
	run_workers(false);
	map_get_stats(map, &s); /* while the others may still run */
	ck_assert_uint_eq(s.write_count, WORKERS * ROUNDS);
	save();
	map_destroy(map);
	open_map();
	run_workers(true);
	for (unsigned i = 0; i < SEQS; i++)
		holds += atomic_load(&journal.holds[i]);
	ck_assert_int_eq(holds, 0);
	executor_destroy(x);
	map_destroy(map);
	vdo_device_close(device);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("map on threads");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, threads);
	return unit_run();
}
