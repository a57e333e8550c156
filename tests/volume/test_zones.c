/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of a volume that is open and in use: it gets other zones, threads and
 * caches, and who uses it notices nothing but a delay. On all executors.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/sub.h>

#include "api/handle.h"
#include "base/alloc.h"
#include "io/readonly.h"
#include "tests/lib/fixture.h"
#include "volume/volume_priv.h"

#define B	BLOCK_SIZE
#define INDEXED "size=64M slab-bits=10 profile=small "

static struct vdo_error said;

static struct volume *inside(struct fixture *f)
{
	return f->volume->volume;
}

static int try_set(struct fixture *f, const char *name, const char *value)
{
	memset(&said, 0, sizeof(said));
	return vdo_volume_set(f->volume, name, value, &said);
}

static void set(struct fixture *f, const char *name, const char *value)
{
	int result = try_set(f, name, value);

	ck_assert_msg(result == 0, "%s=%s: %s: %s", name, value,
		      vdo_error_name(result), said.message);
	ck_assert_int_eq(said.code, 0);
}

/* It is refused with a text that has @word in it. */
static void refused(struct fixture *f, const char *name, const char *value,
		    int want, const char *word)
{
	ck_assert_int_eq(try_set(f, name, value), want);
	ck_assert_int_eq(said.code, want);
	ck_assert_ptr_nonnull(strstr(said.message, word));
}

static bool has_threads(const struct fixture *f)
{
	return f->kind->where == WHERE_NATIVE || f->kind->where == WHERE_POOL;
}

/* The simulated executor has more queues than its option would allow. */
static void begin(struct fixture *f, int kind, const char *format,
		  const char *options)
{
	fixture_init(f, kind, format);
	fixture_open(f, options);
	if (!has_threads(f))
		set(f, "threads", "auto");
}

/* ------------------------------------------------------------------ options */

struct choice {
	const char *name;
	const char *values[5];
	enum { FOR_ALL, WITH_THREADS, WITH_OWN, WITH_POOL } who;
};

static const struct choice choices[] = {
	{"threads", {"1", "3", "auto", "2", "7"}, WITH_THREADS},
	{"executor-width", {"1", "5", "auto", "2", "3"}, WITH_POOL},
	{"topology", {"classic", "shard", "classic", "classic", "shard"},
	 FOR_ALL},
	{"logical-zones", {"1", "4", "auto", "2", "60"}, FOR_ALL},
	{"physical-zones", {"3", "1", "16", "auto", "2"}, FOR_ALL},
	{"hash-zones", {"2", "1", "auto", "100", "3"}, FOR_ALL},
	{"index-zones", {"1", "3", "auto", "16", "2"}, FOR_ALL},
	{"index", {"memory", "auto", "auto", "memory", "auto"}, FOR_ALL},
	{"index-wait", {"off", "on", "off", "off", "on"}, FOR_ALL},
	{"advice-entries", {"1024", "auto", "5000", "1024", "auto"}, FOR_ALL},
	{"pin", {"on", "off", "on", "on", "off"}, WITH_OWN},
	{"spin", {"0", "50", "20", "1", "0"}, FOR_ALL},
	{"depth", {"16", "100", "2048", "512", "17"}, FOR_ALL},
	{"cache", {"1M", "auto", "2M", "1M", "8M"}, FOR_ALL},
	{"counts-memory", {"64K", "auto", "1M", "64K", "auto"}, FOR_ALL},
	{"memory", {"1G", "auto", "2G", "1G", "auto"}, FOR_ALL},
	{"era", {"1", "auto", "3", "2", "auto"}, FOR_ALL},
	{"io-merge", {"0", "64K", "256K", "4K", "1M"}, FOR_ALL},
	{"block-cache", {"0", "1M", "64K", "8M", "0"}, FOR_ALL},
	{"reclaim", {"on", "close", "on", "off", "auto"}, FOR_ALL},
	{"space-warn", {"0", "50", "90", "1", "100"}, FOR_ALL},
	{"on-full", {"hold", "fail", "hold", "hold", "fail"}, FOR_ALL},
	{"compression", {"off", "on", "on", "off", "on"}, FOR_ALL},
	{"deduplication", {"off", "on", "on", "on", "off"}, FOR_ALL},
};

static bool can_choose(const struct fixture *f, const struct choice *c)
{
	switch (c->who) {
	case WITH_THREADS:
		return has_threads(f);
	case WITH_OWN:
		return f->kind->where == WHERE_NATIVE;
	case WITH_POOL:
		return f->kind->where == WHERE_POOL;
	case FOR_ALL:
		break;
	}
	return true;
}

static void set_any(struct fixture *f, uint64_t *random)
{
	const struct choice *c;

	do
		c = &choices[pattern_random(random, ARRAY_SIZE(choices))];
	while (!can_choose(f, c));
	set(f, c->name, c->values[pattern_random(random, 5)]);
}

/* What the table says can be changed is here, and nothing else. */
START_TEST(test_table)
{
	const struct vdo_option *o;
	size_t n = 0;

	for (size_t i = 0; (o = vdo_config_describe(i)) != NULL; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(choices) &&
		       strcmp(choices[k].name, o->name) != 0)
			k++;
		ck_assert_msg((k < ARRAY_SIZE(choices)) ==
				      (o->when == VDO_OPTION_ONLINE ||
				       o->when == VDO_OPTION_PAUSE),
			      "option %s", o->name);
		n += k < ARRAY_SIZE(choices);
	}
	ck_assert_uint_eq(n, ARRAY_SIZE(choices));
}
END_TEST

/* Each value of each, one after the other. */
START_TEST(test_each)
{
	const char *formats[] = {"", INDEXED};
	struct fixture f;
	unsigned n = 0;

	begin(&f, _i / 2, formats[_i % 2], "");
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		if (!can_choose(&f, &choices[i]))
			continue;
		for (unsigned k = 0; k < 5; k++) {
			uint64_t lbn = 7 * n++ % 1900;

			fixture_write(&f, lbn, 20, V_UNIQUE(n), 0);
			fixture_repeat(&f, lbn + 20, 5, V_UNIQUE(n), 0);
			set(&f, choices[i].name, choices[i].values[k]);
			fixture_verify(&f, lbn, 25);
		}
		fixture_discard(&f, 13 * n % 1900, 20);
	}
	fixture_verify_all(&f);
	fixture_reopen(&f, "");
	fixture_fini(&f);
}
END_TEST

/* They take effect. */
START_TEST(test_effect)
{
	const struct topology *t;
	struct fixture f;

	begin(&f, _i, INDEXED, "");
	set(&f, "topology", "classic");
	set(&f, "logical-zones", "5");
	set(&f, "physical-zones", "2");
	set(&f, "hash-zones", "3");
	set(&f, "index-zones", "4");
	t = &inside(&f)->topology;
	ck_assert_uint_eq(t->logical_zones, 5);
	ck_assert_uint_eq(t->physical_zones, 2);
	ck_assert_uint_eq(t->hash_zones, 3);
	ck_assert_uint_eq(t->index_zones, 4);
	ck_assert_uint_eq(t->queue_count, 5 + 2 + 3 + 4 + 3);
	set(&f, "depth", "77");
	ck_assert_uint_eq(fixture_stat(&f, "path.depth"), 77);
	set(&f, "cache", "3M");
	ck_assert_uint_eq(fixture_stat(&f, "blockMapCacheSize"), 3 << 20);
	set(&f, "topology", "shard");
	if (has_threads(&f)) {
		set(&f, "threads", "6");
		ck_assert_uint_eq(inside(&f)->topology.queue_count, 6 + 1);
	}
	if (f.kind->where == WHERE_NATIVE)
		ck_assert_uint_eq(f.volume->executor->thread_count, 6);
	if (f.kind->where == WHERE_POOL) {
		set(&f, "executor-width", "2");
		ck_assert_uint_eq(inside(&f)->topology.queue_count, 2 + 1);
	}
	fixture_fini(&f);
}
END_TEST

/* ---------------------------------------------------------------- under load */

struct thread {
	struct fixture *f;
	struct vdo_volume *sub;
	uint64_t first, count;
	atomic_uint done;
	atomic_bool *stop;
	pthread_t thread;
};

static value_t choose(uint64_t *random)
{
	uint64_t kind = pattern_random(random, 4);

	if (kind == 0)
		return V_UNIQUE(pattern_random(random, 20));
	if (kind == 1)
		return V_SQUEEZE(pattern_random(random, 1000), 600);
	return V_UNIQUE(1000 + pattern_random(random, 100000));
}

static void *write_on(void *arg)
{
	struct thread *w = arg;
	uint64_t random = w->first + 1;

	while (!atomic_load(w->stop)) {
		uint64_t lbn = w->first + pattern_random(&random, w->count);

		fixture_write(w->f, lbn, 1, choose(&random), 0);
		lbn = w->first + pattern_random(&random, w->count);
		fixture_verify(w->f, lbn, 1);
		if (atomic_fetch_add(&w->done, 1) % 16 == 0)
			fixture_flush(w->f);
		if (atomic_load(&w->done) % 64 == 0)
			fixture_discard(w->f, w->first, w->count / 2);
	}
	return NULL;
}

static int in_a_row(void *arg, const struct vdo_extent *e)
{
	uint64_t *next = arg;

	ck_assert_uint_eq(e->offset, *next);
	*next += e->length;
	return 0;
}

/* All calls that ask something. Counters never go back. */
static void *ask_on(void *arg)
{
	static const char *const names[] = {
		"biosIn.read", "biosIn.write", "flushOut", "path.unique",
		"journal.blocks.committed", "biosOut.write",
		"blockMap.writeCount", "path.deviceWrites", "biosIn.flush",
	};
	struct thread *w = arg;
	struct vdo_volume *v = w->f->volume;
	uint64_t before[ARRAY_SIZE(names)] = {0};
	int fd = vdo_volume_fd(v);

	while (!atomic_load(w->stop)) {
		uint64_t next = 0, size = vdo_volume_size(v);
		struct vdo_stats *s;

		ck_assert_int_eq(vdo_stats_get(v, &s), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
			uint64_t now = vdo_stats_value(s, names[i]);

			ck_assert_msg(now >= before[i], "%s went back",
				      names[i]);
			before[i] = now;
		}
		vdo_stats_free(s);
		ck_assert(!vdo_volume_is_read_only(v));
		ck_assert_int_eq(vdo_volume_read_only_reason(v, NULL), 0);
		ck_assert_int_eq(vdo_volume_fd(v), fd);
		ck_assert_int_ge(vdo_poll(v, 0), 0);
		ck_assert_int_eq(vdo_map_extents(v, 0, size, VDO_MAP_PLACES,
						 in_a_row, &next),
				 0);
		ck_assert_uint_eq(next, size);
		atomic_fetch_add(&w->done, 1);
	}
	return NULL;
}

static void *look_on(void *arg)
{
	struct thread *w = arg;

	while (!atomic_load(w->stop)) {
		ck_assert(!vdo_volume_is_read_only(w->f->volume));
		ck_assert_int_eq(
			vdo_volume_read_only_reason(w->f->volume, NULL), 0);
		atomic_fetch_add(&w->done, 1);
		sched_yield();
	}
	return NULL;
}

static void start_thread(struct thread *w, struct fixture *f, uint64_t first,
			 atomic_bool *stop, void *(*run)(void *))
{
	*w = (struct thread){
		.f = f, .first = first, .count = 500, .stop = stop};
	ck_assert_int_eq(pthread_create(&w->thread, NULL, run, w), 0);
}

/* Each goes on. */
static void see_progress(struct thread *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned before = atomic_load(&w[i].done);

		while (atomic_load(&w[i].done) == before)
			sched_yield();
	}
}

#define CHANGES 40u

START_TEST(test_under_load)
{
	const char *formats[] = {"", INDEXED};
	struct thread w[5];
	atomic_bool stop = false;
	struct fixture f;
	uint64_t random = (uint64_t)_i + 1;

	begin(&f, _i / 2, formats[_i % 2], "depth=16 era=2");
	for (unsigned i = 0; i < 3; i++)
		start_thread(&w[i], &f, 500 * i, &stop, write_on);
	start_thread(&w[3], &f, 0, &stop, ask_on);
	start_thread(&w[4], &f, 0, &stop, look_on);
	for (unsigned i = 0; i < CHANGES; i++) {
		set_any(&f, &random);
		if (i % 4 == 0)
			see_progress(w, ARRAY_SIZE(w));
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	set_any(&f, &random);
	fixture_verify_all(&f);
	fixture_reopen(&f, "");
	fixture_fini(&f);
}
END_TEST

/* Calls that nobody waits for, more than there are requests: those that are under
 * way end, the others go on with the next engine. */
START_TEST(test_calls_in_line)
{
	struct pending p[150];
	struct fixture f;
	uint64_t random = 5;

	begin(&f, _i, "", "depth=16 era=1");
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
			pending_write(&p[i], &f, (37 * i + round) % 2000,
				      V_UNIQUE(1000 * round + i), 0);
		set_any(&f, &random);
		for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
			ck_assert_int_eq(pending_wait(&p[i]), 0);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A discard of everything is under way for long, and goes on. */
START_TEST(test_in_the_middle_of_a_discard)
{
	struct pending p;
	struct fixture f;

	begin(&f, _i, "", "depth=16");
	for (unsigned round = 0; round < 6; round++) {
		fixture_write(&f, 0, f.logical_blocks, V_UNIQUE(5000 * round),
			      0);
		pending_init(&p, &f);
		ck_assert_int_eq(vdo_aio_discard(f.volume,
						 f.logical_blocks * B, 0,
						 pending_done, &p, 0),
				 0);
		set(&f, "physical-zones", round % 2 == 0 ? "3" : "1");
		set(&f, "logical-zones", round % 2 == 0 ? "1" : "4");
		ck_assert_int_eq(pending_wait(&p), 0);
		memset(f.expect, 0, f.logical_blocks * sizeof(value_t));
		fixture_verify_all(&f);
	}
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------- what goes on */

START_TEST(test_switches_go_on)
{
	struct fixture f;

	begin(&f, _i, INDEXED, "compression=off");
	set(&f, "deduplication", "off");
	set(&f, "logical-zones", "2");
	ck_assert_uint_eq(fixture_stat(&f, "path.deduplication"), 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.compression"), 0);
	set(&f, "deduplication", "on");
	set(&f, "compression", "on");
	set(&f, "hash-zones", "2");
	ck_assert_uint_eq(fixture_stat(&f, "path.deduplication"), 1);
	ck_assert_uint_eq(fixture_stat(&f, "path.compression"), 1);
	fixture_fini(&f);
}
END_TEST

/* The index has what it had. */
START_TEST(test_index_goes_on)
{
	struct fixture f;

	begin(&f, _i, INDEXED, "");
	fixture_write(&f, 0, 200, V_UNIQUE(1), 0);
	fixture_flush(&f);
	set(&f, "index-zones", "2");
	set(&f, "hash-zones", "3");
	fixture_until(&f, fixture_stat(&f, "index.entriesIndexed") == 200);
	fixture_write(&f, 500, 200, V_UNIQUE(1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"), 200);
	ck_assert_uint_eq(fixture_stat(&f, "path.unique"), 200);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_counters_go_on)
{
	struct fixture f;

	begin(&f, _i, "", "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_repeat(&f, 100, 50, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < 3; i++) {
		set(&f, "logical-zones", i % 2 == 0 ? "3" : "1");
		ck_assert_uint_eq(fixture_stat(&f, "biosIn.write"), 150);
		ck_assert_uint_eq(fixture_stat(&f, "path.unique"), 100);
		ck_assert_uint_eq(fixture_stat(&f, "logicalBlocksUsed"), 150);
		ck_assert_uint_eq(fixture_stat(&f, "dataBlocksUsed"), 100);
		ck_assert_uint_eq(fixture_stat(&f, "journal.entries.started"),
				  fixture_stat(&f, "journal.entries."
						   "committed"));
	}
	fixture_fini(&f);
}
END_TEST

/* A volume that was not closed: slabs are still to be scrubbed. */
START_TEST(test_while_scrubbing)
{
	struct fixture f;
	uint64_t entries;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	fixture_restore_power(&f);
	fixture_open(&f, "");
	entries = fixture_stat(&f, "path.recoveredEntries");
	ck_assert_uint_gt(entries, 0);
	if (!has_threads(&f))
		set(&f, "threads", "auto");
	set(&f, "physical-zones", "3");
	set(&f, "physical-zones", "1");
	set(&f, "physical-zones", "2");
	fixture_until(&f, fixture_stat(&f, "path.slabsUnscrubbed") == 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.recoveredEntries"), entries);
	ck_assert_uint_eq(fixture_stat(&f, "completeRecoveries"), 1);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static void told(void *arg, const struct vdo_space *space)
{
	ck_assert_int_eq(space->event, VDO_SPACE_ROSE);
	atomic_fetch_add((atomic_uint *)arg, 1);
}

/* Who watches how full it is goes on, and does not hear of the same again. */
START_TEST(test_space_is_watched)
{
	const unsigned percents[] = {5, 30};
	struct fixture f;
	atomic_uint n = 0;

	begin(&f, _i, "", "");
	ck_assert_int_eq(vdo_space_watch(f.volume, percents, 2, told, &n), 0);
	fixture_write(&f, 0, 500, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_until(&f, atomic_load(&n) == 1);
	set(&f, "physical-zones", "2");
	fixture_write(&f, 500, 1200, V_UNIQUE(1000), 0);
	fixture_flush(&f);
	fixture_until(&f, atomic_load(&n) == 2);
	ck_assert_int_eq(vdo_space_watch(f.volume, NULL, 0, NULL, NULL), 0);
	ck_assert_uint_eq(atomic_load(&n), 2);
	fixture_fini(&f);
}
END_TEST

/* Calls that are held for want of space wait for it with the next engine. */
START_TEST(test_held)
{
	struct pending p[3];
	struct fixture f;
	uint64_t n = 0;
	int result;

	begin(&f, _i, "size=6M logical-size=100M ", "compression=off depth=16");
	while ((result = fixture_try_write(&f, n, V_UNIQUE(n), 0)) == 0)
		n++;
	ck_assert_int_eq(result, -ENOSPC);
	fixture_flush(&f);
	while (fixture_try_write(&f, n, V_UNIQUE(n), 0) == 0)
		n++;
	set(&f, "on-full", "hold");
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		pending_write(&p[i], &f, n + i, V_UNIQUE(90000 + i), 0);
	fixture_until(&f, fixture_stat(&f, "path.held") == 3);
	set(&f, "physical-zones", "3");
	fixture_until(&f, fixture_stat(&f, "path.held") == 3);
	set(&f, "logical-zones", "2");
	fixture_until(&f, fixture_stat(&f, "path.held") == 3);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		ck_assert(!pending_is_done(&p[i]));
	fixture_discard(&f, 20, 100);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Sub-volumes and what is copied between them go on. */
START_TEST(test_sub_volumes)
{
	struct vdo_volume *sub;
	struct fixture f;
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 64);
	uint8_t back[B];

	begin(&f, _i, "logical-size=64M ", "");
	f.no_check = true;
	ck_assert_int_eq(vdo_sub_create(f.volume, "one", UINT64_C(4) << 20, &said), 0);
	ck_assert_int_eq(vdo_sub_open(f.volume, "one", 0, &sub, &said), 0);
	ck_assert_int_eq(vdo_pwrite(sub, buf, 64 * B, 0, 0), 0);
	ck_assert_int_eq(vdo_volume_set(sub, "logical-zones", "3", &said), 0);
	ck_assert_uint_eq(inside(&f)->topology.logical_zones, 3);
	set(&f, "physical-zones", "2");
	ck_assert_int_eq(vdo_sub_snapshot(f.volume, "one", "two", &said), 0);
	set(&f, "physical-zones", "1");
	for (unsigned i = 0; i < 64; i++) {
		ck_assert_int_eq(vdo_pread(sub, back, B, i * B, 0), 0);
		ck_assert_mem_eq(back, buf + i * B, B);
	}
	ck_assert(!vdo_volume_is_read_only(sub));
	ck_assert_int_eq(vdo_close(sub), 0);
	memset(f.unknown, true, f.logical_blocks);
	free(buf);
	fixture_fini(&f);
}
END_TEST

/* What has grown is as large afterwards. */
START_TEST(test_grown)
{
	struct fixture f;
	uint64_t size;

	begin(&f, _i, "", "");
	size = 2 * f.logical_blocks * B;
	ck_assert_int_eq(vdo_grow(f.volume, 0, size, &said), 0);
	set(&f, "logical-zones", "2");
	ck_assert_uint_eq(vdo_volume_size(f.volume), size);
	ck_assert_uint_eq(fixture_stat(&f, "logicalBlocks"), size / B);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ refusals */

START_TEST(test_refused)
{
	struct fixture f;

	begin(&f, _i, "", "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	refused(&f, "slab-bits", "9", -VDO_EOPTION, "formatted");
	refused(&f, "read-only", "on", -VDO_EOPTION, "opened");
	refused(&f, "alignment", "512", -VDO_EOPTION, "opened");
	refused(&f, "direct", "on", -VDO_EOPTION, "opened");
	refused(&f, "nothing", "on", -VDO_EOPTION, "no option");
	refused(&f, "depth", "15", -VDO_EVALUE, "16..2048");
	refused(&f, "threads", NULL, -VDO_EVALUE, "1..128");
	if (f.kind->where != WHERE_NATIVE)
		refused(&f, "pin", "on", -VDO_ECONFLICT, "executor");
	if (f.kind->where != WHERE_POOL)
		refused(&f, "executor-width", "2", -VDO_ECONFLICT, "executor");
	if (!has_threads(&f))
		refused(&f, "threads", "2", -VDO_ECONFLICT, "executor");
	ck_assert_int_eq(vdo_volume_set(NULL, "depth", "16", &said), -EINVAL);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	refused(&f, "logical-zones", "2", -VDO_EBUSY, "suspended");
	set(&f, "compression", "off");
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	set(&f, "logical-zones", "2");
	readonly_enter(&inside(&f)->readonly, -EIO, "the test");
	refused(&f, "logical-zones", "1", -VDO_EREADONLY, "the test");
	ck_assert_uint_eq(inside(&f)->topology.logical_zones, 2);
	ck_assert(vdo_volume_is_read_only(f.volume));
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	fixture_fini(&f);
}
END_TEST

static void set_inside(void *arg, int result)
{
	struct pending *p = arg;

	ck_assert_int_eq(result, 0);
	ck_assert(!vdo_volume_is_read_only(p->f->volume));
	pending_done(p, vdo_volume_set(p->f->volume, "depth", "16", NULL));
}

START_TEST(test_not_in_callbacks)
{
	struct fixture f;
	struct pending p;

	begin(&f, _i, "", "");
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_flush(f.volume, set_inside, &p, 0), 0);
	ck_assert_int_eq(pending_wait(&p), -EDEADLK);
	fixture_fini(&f);
}
END_TEST

/* Nothing is written, and nothing need be saved: it stays as it is. */
START_TEST(test_opened_read_only)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	fixture_restore_power(&f);
	fixture_open(&f, "read-only=on");
	if (!has_threads(&f))
		set(&f, "threads", "auto");
	set(&f, "logical-zones", "3");
	ck_assert(vdo_volume_is_read_only(f.volume));
	ck_assert_int_eq(vdo_volume_read_only_reason(f.volume, NULL),
			 -VDO_EREADONLY);
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	ck_assert_uint_eq(fixture_state(&f), VOLUME_DIRTY);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------------- errors */

/* The Nth allocation fails: it goes on as before. */
START_TEST(test_no_memory)
{
	const char *formats[] = {"", INDEXED};
	const int kinds[] = {KIND_NATIVE, KIND_INLINE, KIND_SIM};
	struct fixture f;
	unsigned long n;
	int result = -ENOMEM;

	begin(&f, kinds[_i / 2], formats[_i % 2], "topology=classic");
	set(&f, "hash-zones", "2");
	for (n = 1; result != 0; n++) {
		fixture_write(&f, n % 2000, 20, V_UNIQUE(30 * n), 0);
		alloc_fail_at(n);
		result = try_set(&f, "hash-zones", "5");
		alloc_fail_at(0);
		if (result == 0)
			break;
		ck_assert_msg(result == -ENOMEM, "allocation %lu: %s", n,
			      vdo_error_name(result));
		ck_assert_str_ne(said.message, "");
		ck_assert_uint_eq(inside(&f)->topology.hash_zones, 2);
		fixture_verify(&f, n % 2000, 20);
	}
	ck_assert_uint_gt(n, 20);
	ck_assert_uint_eq(inside(&f)->topology.hash_zones, 5);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A change that fails leaves as many threads as there were, though by now "auto" is
 * less: the caller may use one core only. */
START_TEST(test_fails_with_fewer_cores)
{
	struct fixture f;
	cpu_set_t one;

	fixture_init(&f, KIND_NATIVE, "");
	fixture_open(&f, "threads=2");
	ck_assert_int_eq(vdo_volume_set(f.volume, "threads", "auto", NULL), 0);
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	alloc_fail_at(30);
	ck_assert_int_eq(vdo_volume_set(f.volume, "cache", "2M", NULL),
			 -ENOMEM);
	alloc_fail_at(0);
	fixture_write(&f, 50, 100, V_UNIQUE(500), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* The Nth operation of the storage fails: it has the one engine or the other, may
 * be read-only, and what was flushed is there. */
START_TEST(test_storage_fails)
{
	const unsigned ops[] = {SIM_OP(VDO_DEVICE_WRITE),
				SIM_OP(VDO_DEVICE_READ),
				SIM_OP(VDO_DEVICE_FLUSH)};
	const int kinds[] = {KIND_NATIVE, KIND_INLINE, KIND_SIM + 2};
	const char *format = _i % 2 == 0 ? "" : INDEXED;
	struct sim_fault fault = {.ops = ops[_i / 2 % 3], .times = 1};
	uint64_t n;
	int result = -EIO;

	for (n = 0; result != 0; n++) {
		struct fixture f;
		unsigned zones;

		begin(&f, kinds[_i / 6], format, "");
		set(&f, "physical-zones", "2");
		fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
		fixture_flush(&f);
		fault.skip = n;
		sim_device_fault(f.sd, &fault);
		result = try_set(&f, "physical-zones", "3");
		sim_device_clear_faults(f.sd);
		ck_assert(result == 0 || said.message[0] != '\0');
		zones = inside(&f)->topology.physical_zones;
		ck_assert_uint_eq(zones, result == 0 ? 3 : 2);
		fixture_verify_all(&f);
		if (!vdo_volume_is_read_only(f.volume)) {
			fixture_write(&f, 50, 100, V_UNIQUE(500), 0);
			fixture_close(&f);
		} else {
			f.no_check = true;
			(void)fixture_try_close(&f);
		}
		fixture_fini(&f);
		if (result == 0 && n < 3)
			result = -EIO; /* it did not matter */
	}
	ck_assert_uint_ge(n, 3);
}
END_TEST

/* Power fails after the Nth write, and what was flushed is recovered. */
START_TEST(test_power_fails)
{
	const int kinds[] = {KIND_NATIVE, KIND_INLINE, KIND_SIM + 2};
	const char *format = _i % 2 == 0 ? "" : INDEXED;
	bool over = false;

	for (uint64_t n = 1; !over; n++) {
		struct fixture f;

		begin(&f, kinds[_i / 2], format, "");
		set(&f, "physical-zones", "1");
		fixture_write_much(&f);
		sim_device_crash_at(f.sd, n);
		over = try_set(&f, "physical-zones", "3") == 0 &&
		       !sim_device_crashed(f.sd);
		sim_device_crash_at(f.sd, 0);
		fixture_lose_power(&f);
		fixture_restore_power(&f);
		fixture_open(&f, "");
		fixture_verify_all(&f);
		fixture_fini(&f);
		ck_assert_uint_lt(n, 10000);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("zones");

	tcase_add_test(tc, test_table);
	tcase_add_loop_test(tc, test_each, 0, 2 * FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_effect, 0, FIXTURE_KINDS);
	tc = unit_case("load");
	tcase_add_loop_test(tc, test_under_load, 0, 2 * KIND_SIM);
	tc = unit_case("goes on");
	tcase_add_loop_test(tc, test_calls_in_line, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_in_the_middle_of_a_discard, 0,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_switches_go_on, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_index_goes_on, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_counters_go_on, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_while_scrubbing, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_space_is_watched, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_held, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_sub_volumes, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_grown, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_not_in_callbacks, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_opened_read_only, 0, FIXTURE_KINDS);
	tc = unit_case("errors");
	tcase_add_loop_test(tc, test_no_memory, 0, 6);
	tcase_add_test(tc, test_fails_with_fewer_cores);
	tcase_add_loop_test(tc, test_storage_fails, 0, 18);
	tcase_add_loop_test(tc, test_power_fails, 0, 6);
	return unit_run();
}
