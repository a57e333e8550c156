/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests against a model, with chapters that expire, saves, loads with
 * other numbers of zones, and crashes. The seed decides everything.
 *
 * The model knows for each name its data, and the chapter that was open when it
 * was last touched, give or take one: the zones may be ahead of the statistics.
 * So there are names that must be found, names that must not, and a few in
 * between. After a crash what was touched before the last save, or lies in a
 * chapter that was written, must be found as it was; of the rest anything that
 * was once true will do.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "exec/executor.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"

#define NAMES	  7000u
#define BATCH_MAX 200u
#define NONCE	  77u

struct known {
	bool exists;	  /* as far as the model knows */
	bool unsure;	  /* after a crash */
	uint16_t generation;
	uint16_t newest_generation; /* ever given */
	uint64_t chapter; /* newest of the statistics at the last touch */
};

static struct known model[NAMES];
static struct rig rig;
static struct sim_device *disk;
static uint64_t seed;
static bool sparse;
static uint64_t blocks;

static uint32_t random_below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % n);
}

struct batch_op {
	struct index_op op;
	uint32_t number;
	uint16_t generation; /* that it carries */
	bool in_use;
};

static struct batch_op batch[BATCH_MAX];
static unsigned out;
static struct event batch_over;
static struct completion batch_go;
static unsigned batch_count;

static void batch_done(struct completion *c)
{
	(void)c;
	if (--out == 0)
		executor_signal(rig.x, &batch_over);
}

static void batch_start(struct completion *c)
{
	(void)c;
	for (unsigned i = 0; i < batch_count; i++)
		index_start(rig.index, &batch[i].op);
}

/* Different names, so that their order does not matter. */
static void make_batch(void)
{
	static bool used[NAMES];
	uint32_t base = random_below(NAMES);

	memset(used, 0, sizeof(used));
	batch_count = 1 + random_below(BATCH_MAX);
	for (unsigned i = 0; i < batch_count; i++) {
		struct batch_op *b = &batch[i];
		struct hash128 name;
		uint32_t kind = random_below(100);

		do
			b->number = (base + random_below(1 + i * 8)) % NAMES;
		while (used[b->number]);
		used[b->number] = true;
		memset(&b->op, 0, sizeof(b->op));
		b->op.request = kind < 60   ? INDEX_POST
				: kind < 70 ? INDEX_UPDATE
				: kind < 80 ? INDEX_QUERY
				: kind < 95 ? INDEX_QUERY_NO_UPDATE
					    : INDEX_DELETE;
		name = golden_name(b->number);
		index_set_name(rig.index, &b->op.name, &name);
		b->generation = ++model[b->number].newest_generation;
		golden_data(b->number, b->generation, b->op.data);
		completion_init(&b->op.done, rig.asker, batch_done);
	}
}

static void run_batch(void)
{
	out = batch_count;
	event_init(&batch_over);
	completion_init(&batch_go, rig.asker, batch_start);
	completion_post(&batch_go);
	executor_wait(rig.x, &batch_over);
}

/* How long a name is certain to be known. */
static uint64_t window(void)
{
	const struct index_geometry *g = index_geometry_of(rig.index);

	return sparse ? g->dense_chapters : g->chapters;
}

/* @newest: the smallest and largest it can have been at the time. */
static void check_found(const struct batch_op *b, uint64_t low, uint64_t high)
{
	const struct known *k = &model[b->number];
	const struct index_geometry *g = index_geometry_of(rig.index);
	uint16_t generation = get_u16(b->op.data + 8);
	uint8_t want[16];

	if (k->exists && !k->unsure && high + 1 < k->chapter + window())
		ck_assert_msg(b->op.found,
			      "%u of chapter %lu lost, now %lu", b->number,
			      (unsigned long)k->chapter, (unsigned long)high);
	if (!k->exists && !k->unsure)
		ck_assert_msg(!b->op.found, "%u found", b->number);
	if (k->exists && !k->unsure && low >= k->chapter + 1 + g->chapters)
		ck_assert_msg(!b->op.found, "%u not expired", b->number);
	if (!b->op.found || b->op.request == INDEX_DELETE)
		return;
	golden_data(b->number, generation, want);
	ck_assert_mem_eq(b->op.data, want, 16);
	/* A chapter in the sparse cache may have an older one. */
	if (k->unsure || (sparse && high + 1 >= k->chapter + window()))
		ck_assert_uint_le(generation, k->newest_generation);
	else
		ck_assert_uint_eq(generation, k->generation);
}

static void apply(const struct batch_op *b, uint64_t chapter)
{
	struct known *k = &model[b->number];
	uint16_t old = get_u16(b->op.data + 8);

	if (b->op.request == INDEX_QUERY_NO_UPDATE) {
		if (k->unsure && b->op.found) {
			/* Now it is known what survived, but not when. */
			k->exists = true;
			k->generation = old;
		}
		return;
	}
	k->unsure = false;
	k->chapter = chapter;
	switch (b->op.request) {
	case INDEX_DELETE:
		/* A chapter in the sparse cache may still have it. */
		k->exists = false;
		k->unsure = sparse;
		break;
	case INDEX_QUERY:
		k->exists = b->op.found;
		k->unsure = sparse && !b->op.found;
		if (b->op.found)
			k->generation = old;
		break;
	case INDEX_POST:
		k->exists = true;
		k->generation = b->op.found ? old : b->generation;
		break;
	default:
		k->exists = true;
		k->generation = b->generation;
		break;
	}
}

/* False: the device died. */
static bool step(void)
{
	uint64_t low = rig_stats(&rig).newest_chapter, high;
	bool alive = true;

	make_batch();
	run_batch();
	high = rig_stats(&rig).newest_chapter;
	for (unsigned i = 0; i < batch_count; i++) {
		struct batch_op *b = &batch[i];

		if (b->op.done.result != 0) {
			ck_assert(sim_device_crashed(disk));
			model[b->number].unsure = true;
			alive = false;
			continue;
		}
		check_found(b, low, high + 1);
		apply(b, low);
	}
	return alive;
}

static void plug_in(unsigned zones, uint64_t x_seed, bool again)
{
	struct executor *x = sim_executor_create(x_seed);
	struct vdo_device *d = again ? sim_device_reopen(disk, x)
				     : sim_device_open(disk, x);

	rig_init(&rig, x, d, -2, sparse, zones, NONCE, 0);
	rig.config.block_count = blocks;
}

static void unplug(void)
{
	struct vdo_device *d = rig.device;

	rig_fini(&rig);
	vdo_device_close(d);
}

/* What is in no chapter that was certainly written is open. */
static void forget(uint64_t written)
{
	for (unsigned i = 0; i < NAMES; i++)
		if (model[i].chapter + 1 >= written || !model[i].exists)
			model[i].unsure = true;
}

/* Until the device dies. Returns how many chapters had been written then. */
static uint64_t work_until_crash(void)
{
	uint64_t written = rig_stats(&rig).newest_chapter;

	sim_device_crash_at(disk, 1 + random_below(40));
	while (step()) {
		if (random_below(8) == 0 && rig_suspend(&rig, true) == 0)
			ck_assert_int_eq(rig_resume(&rig), 0);
		/* Chapters are counted that could not be written, too. */
		if (sim_device_crashed(disk))
			break;
		written = rig_stats(&rig).newest_chapter;
	}
	return written;
}

static void crash_and_recover(void)
{
	uint64_t written = work_until_crash();

	sim_device_crash(disk);
	rig_close(&rig, false);
	unplug();
	forget(written);
	for (bool again = random_below(2) == 0;; again = false) {
		plug_in(1 + random_below(4), seed, true);
		/* Perhaps it dies once more while it recovers. */
		if (again)
			sim_device_crash_at(disk, 1 + random_below(20));
		if (rig_open(&rig, INDEX_LOAD) == 0 &&
		    !sim_device_crashed(disk))
			break;
		ck_assert(again);
		sim_device_crash(disk);
		unplug();
	}
	sim_device_crash_at(disk, 0);
	ck_assert_uint_ge(rig_stats(&rig).newest_chapter, written);
}

static void save_and_reopen(void)
{
	unsigned zones = rig.config.zone_count;
	uint64_t newest;

	ck_assert_int_eq(rig_close(&rig, true), 0);
	newest = rig_stats(&rig).newest_chapter;
	unplug();
	plug_in(random_below(2) == 0 ? zones : 1 + random_below(4), seed,
		false);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	if (rig.config.zone_count == zones)
		return;
	/* Other zones may have too little room for the open chapter. */
	for (unsigned i = 0; i < NAMES; i++)
		if (model[i].chapter + 1 >= newest)
			model[i].unsure = true;
}

START_TEST(requests_saves_and_crashes)
{
	sparse = _i % 2 != 0;
	blocks = sparse ? 800 : 190;
	seed = (uint64_t)_i * 1000 + 1;
	memset(model, 0, sizeof(model));
	disk = sim_device_create(&(struct sim_device_config){
		.seed = seed,
		.block_count = blocks,
		.volatile_cache = true,
	});
	plug_in(1 + (unsigned)_i % 4, seed, false);
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_uint_le(index_geometry_of(rig.index)->records, 4096);
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned n = random_below(60); n > 0; n--)
			ck_assert(step());
		switch (random_below(4)) {
		case 0:
			ck_assert_int_eq(rig_suspend(&rig, true), 0);
			ck_assert_int_eq(rig_resume(&rig), 0);
			break;
		case 1:
			save_and_reopen();
			break;
		default:
			crash_and_recover();
			break;
		}
	}
	ck_assert_uint_gt(rig_stats(&rig).newest_chapter, 10);
	ck_assert_uint_eq(rig_stats(&rig).early_flushes, 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	unplug();
	sim_device_destroy(disk);
}
END_TEST

/* A page that does not come holds up who needs it, and nobody else. */
static bool is_read(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_READ;
}

static bool late_over;

static void late_done(struct completion *c)
{
	(void)c;
	late_over = true;
	executor_signal(rig.x, &batch_over);
}

START_TEST(others_go_on)
{
	struct index_op late = {.request = INDEX_POST};
	struct hash128 name = golden_name(5);
	uint8_t want[16];

	sparse = false;
	blocks = 190;
	late_over = false;
	disk = sim_device_create(&(struct sim_device_config){
		.seed = 1, .block_count = blocks});
	plug_in(1, 1, false);
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	/* Number 5 is in a chapter that was written two chapters ago. */
	ck_assert_int_eq(rig_post_range(&rig, 0, 2500, 10), 0);
	sim_device_hold(disk, is_read, NULL);
	event_init(&batch_over);
	index_set_name(rig.index, &late.name, &name);
	completion_init(&late.done, rig.asker, late_done);
	index_start(rig.index, &late);
	/* More than the open chapter holds; chapters close and are written. */
	ck_assert_int_eq(rig_post_range(&rig, 2500, 4900, 10), 0);
	ck_assert_int_eq(rig_generation(&rig, 4899), 0);
	ck_assert_int_eq(rig_generation(&rig, 100000), -1);
	ck_assert_uint_ge(rig_stats(&rig).newest_chapter, 4);
	ck_assert(!late_over);
	ck_assert_uint_gt(sim_device_held(disk), 0);
	sim_device_hold(disk, NULL, NULL);
	sim_device_release(disk);
	executor_wait(rig.x, &batch_over);
	/* Its chapter has expired meanwhile: it was added as new. */
	ck_assert_int_eq(late.done.result, 0);
	ck_assert(!late.found);
	ck_assert_int_eq(rig_ask(&rig, &late), 0);
	memset(want, 0, sizeof(want));
	ck_assert(late.found && late.region == INDEX_OPEN_CHAPTER);
	ck_assert_mem_eq(late.data, want, 16);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	unplug();
	sim_device_destroy(disk);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("model");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, requests_saves_and_crashes, 0,
			    (int)unit_share(12));
	tcase_add_test(tc, others_go_on);
	return unit_run();
}
