/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suspending and resuming a volume that is in use: calls that come meanwhile
 * wait, nothing is lost, and what is on the storage after a suspension with
 * saving is a whole volume of its own.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/handle.h"
#include "base/alloc.h"
#include "tests/lib/fixture.h"
#include "volume/volume_priv.h"

#define B	BLOCK_SIZE
#define CALLS	48u
#define LATE	16u
#define ROUNDS	8u
#define INDEXED "size=64M slab-bits=10 profile=small "

static struct volume *inside(struct fixture *f)
{
	return f->volume->volume;
}

/* ------------------------------------------------------------- the storage */

static void peek_durable(void *arg, uint64_t block, void *buf)
{
	sim_device_peek_durable(arg, block, buf);
}

/* What is safe from a crash is a clean volume that holds what it must. */
static void check_storage(struct fixture *f)
{
	struct image im;

	image_open(&im, peek_durable, f->sd, f->block_count);
	image_recover(&im);
	image_check(&im);
	ck_assert_uint_eq(im.problems, 0);
	ck_assert_uint_eq(im.sb.state, VOLUME_CLEAN);
	ck_assert_uint_eq(im.entries, 0);
	for (uint64_t i = 0; i < f->logical_blocks; i++)
		fixture_check_lbn(f, &im, i);
	image_close(&im);
}

/* The library opens a copy of it, and finds everything. */
static void check_copy(struct fixture *f)
{
	struct sim_device_config config = {.block_count = f->block_count,
					   .volatile_cache = true};
	struct fixture copy;
	uint8_t buf[B];
	size_t bytes = f->logical_blocks * sizeof(value_t);

	fixture_init_raw(&copy, KIND_INLINE, &config);
	for (uint64_t i = 0; i < f->block_count; i++) {
		sim_device_peek_durable(f->sd, i, buf);
		sim_device_poke(copy.sd, i, buf);
	}
	copy.logical_blocks = f->logical_blocks;
	copy.expect = malloc(bytes);
	copy.unknown = calloc(f->logical_blocks, sizeof(bool));
	ck_assert(copy.expect != NULL && copy.unknown != NULL);
	memcpy(copy.expect, f->expect, bytes);
	fixture_open(&copy, "");
	fixture_verify_all(&copy);
	fixture_write(&copy, 0, 20, V_UNIQUE(777), 0);
	fixture_fini(&copy);
}

/* -------------------------------------------------------------------- calls */

struct call {
	struct pending p;
	uint64_t lbn;
	value_t before, after;
};

/* Content of each kind: its own, that of others, small, none. */
static value_t choose(uint64_t *random)
{
	uint64_t n = pattern_random(random, 1000);

	switch (n % 4) {
	case 0:
		return V_UNIQUE(n % 40);
	case 1:
		return V_SQUEEZE(n, 300);
	case 2:
		return n % 20 == 2 ? V_ZERO : V_UNIQUE(n * 1000);
	default:
		return V_UNIQUE(pattern_random(random, UINT32_MAX));
	}
}

/* Each on a block of its own; the fixture expects what was there before until
 * the call is over. */
static void submit(struct fixture *f, struct call *calls, unsigned count,
		   uint64_t first, uint64_t *random)
{
	for (unsigned i = 0; i < count; i++) {
		struct call *c = &calls[i];

		c->lbn = (first + 7 * i) % f->logical_blocks;
		c->before = f->expect[c->lbn];
		c->after = choose(random);
		pending_write(&c->p, f, c->lbn, c->after, 0);
		f->expect[c->lbn] = c->before;
	}
}

static unsigned note_done(struct fixture *f, struct call *calls,
			  unsigned count)
{
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++)
		if (pending_is_done(&calls[i].p)) {
			f->expect[calls[i].lbn] = calls[i].after;
			done++;
		}
	return done;
}

static void wait_all(struct fixture *f, struct call *calls, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_eq(pending_wait(&calls[i].p), 0);
		f->expect[calls[i].lbn] = calls[i].after;
	}
}

/* Some calls are under way, some wait in line as there are few requests. */
static void run_round(struct fixture *f, unsigned round, uint64_t *random)
{
	uint64_t first = pattern_random(random, f->logical_blocks);
	struct call calls[CALLS + LATE];
	bool save = round % 4 != 3;
	unsigned done;

	submit(f, calls, CALLS, first, random);
	for (uint64_t n = pattern_random(random, 40); n > 0; n--)
		fixture_poll(f);
	ck_assert_int_eq(volume_suspend(inside(f), save), 0);
	submit(f, calls + CALLS, LATE, first + 7 * CALLS, random);
	for (unsigned i = 0; i < 20; i++)
		fixture_poll(f);
	done = note_done(f, calls, CALLS);
	ck_assert_uint_eq(note_done(f, calls + CALLS, LATE), 0);
	if (save)
		check_storage(f);
	if (round % 4 == 1)
		check_copy(f);
	ck_assert_uint_eq(note_done(f, calls, CALLS), done);
	ck_assert_int_eq(volume_resume(inside(f)), 0);
	wait_all(f, calls, CALLS + LATE);
}

START_TEST(test_again_and_again)
{
	struct fixture f;
	uint64_t random = (uint64_t)_i + 1;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 era=2");
	for (unsigned i = 0; i < ROUNDS; i++) {
		run_round(&f, i, &random);
		if (i % 3 == 0)
			fixture_verify_all(&f);
		if (i % 3 == 1)
			fixture_flush(&f);
		if (i == ROUNDS / 2)
			fixture_reopen(&f, "depth=16 era=2");
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A crash after it was resumed is a crash like any other: what was saved and
 * what was flushed since is there. */
START_TEST(test_crash_after_resuming)
{
	struct fixture f;
	uint64_t random = (uint64_t)_i + 100;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 era=2");
	for (unsigned i = 0; i < 3; i++)
		run_round(&f, i, &random);
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	fixture_flush(&f);
	sim_device_crash(f.sd);
	fixture_abandon(&f);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	{
		uint8_t buf[B];
		struct image im;

		image_open_sim(&im, f.sd, f.block_count);
		image_recover(&im);
		for (uint64_t i = 0; i < f.logical_blocks; i++) {
			ck_assert(image_read(&im, i, buf));
			ck_assert(pattern_is(f.expect[i], buf));
		}
		image_close(&im);
	}
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------- writers that do not stop */

struct thread {
	struct fixture *f;
	uint64_t first, count;
	atomic_uint written;
	atomic_bool *stop;
	pthread_t thread;
};

static void *write_on(void *arg)
{
	struct thread *w = arg;
	uint64_t random = w->first + 1;

	while (!atomic_load(w->stop)) {
		uint64_t lbn = w->first + pattern_random(&random, w->count);

		fixture_write(w->f, lbn, 1, choose(&random), 0);
		if (atomic_fetch_add(&w->written, 1) % 16 == 0)
			fixture_flush(w->f);
	}
	return NULL;
}

/* Wait until each has written once more. */
static void see_progress(struct thread *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned before = atomic_load(&w[i].written);

		while (atomic_load(&w[i].written) == before)
			sched_yield();
	}
}

START_TEST(test_writers_go_on)
{
	struct thread w[3];
	atomic_bool stop = false;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 era=2");
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i].f = &f;
		w[i].first = 500 * i;
		w[i].count = 500;
		w[i].stop = &stop;
		atomic_init(&w[i].written, 0);
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, write_on,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < 25; i++) {
		unsigned sum = 0, again = 0;

		ck_assert_int_eq(volume_suspend(inside(&f), i % 3 != 0), 0);
		for (unsigned k = 0; k < ARRAY_SIZE(w); k++)
			sum += atomic_load(&w[k].written);
		sched_yield();
		for (unsigned k = 0; k < ARRAY_SIZE(w); k++)
			again += atomic_load(&w[k].written);
		/* Each may have been about to count what was over before. */
		ck_assert_uint_le(again, sum + ARRAY_SIZE(w));
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		see_progress(w, ARRAY_SIZE(w));
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A call that may not wait is refused; one without blocks waits like others. */
START_TEST(test_nobody_waits_who_may_not)
{
	struct pending p, flush;
	struct fixture f;
	uint8_t *buf = pattern_blocks(V_UNIQUE(3), 1);

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	ck_assert_int_eq(volume_suspend(inside(&f), true), 0);
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_pwrite(f.volume, buf, B, 0, pending_done, &p,
					VDO_IO_NOWAIT),
			 -EAGAIN);
	pending_flush(&flush, &f);
	for (unsigned i = 0; i < 20; i++)
		fixture_poll(&f);
	ck_assert(!pending_is_done(&flush));
	/* The switches and statistics do not wait. */
	ck_assert_int_eq(vdo_volume_set(f.volume, "compression", "off", NULL),
			 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.compression"), 0);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	ck_assert_int_eq(pending_wait(&flush), 0);
	free(buf);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- errors */

static uint64_t super_block_of(struct fixture *f)
{
	struct vdo_info info;

	ck_assert_int_eq(vdo_inspect_device(f->device, &info, sizeof(info),
					    NULL),
			 0);
	return info.data_start;
}

/* It cannot be marked as clean: it is in use all the same, and once more. */
START_TEST(test_not_marked_clean)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE),
				  .block_count = 1,
				  .times = 1};
	struct fixture f;
	uint64_t writes;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fault.first_block = super_block_of(&f);
	sim_device_fault(f.sd, &fault);
	ck_assert_int_eq(volume_suspend(inside(&f), true), -EIO);
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	/* What is there since may be either: it is said anew. */
	writes = fixture_stat(&f, "path.superWrite");
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	ck_assert_uint_eq(fixture_stat(&f, "path.superWrite"), writes + 1);
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	fixture_write(&f, 50, 100, V_UNIQUE(200), 0);
	ck_assert_int_eq(volume_suspend(inside(&f), true), 0);
	check_storage(&f);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* It cannot be marked as in use: it serves reads, and the storage is clean. */
START_TEST(test_not_marked_dirty)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE),
				  .block_count = 1};
	struct call call;
	struct fixture f;
	uint64_t random = 5;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	ck_assert_int_eq(volume_suspend(inside(&f), true), 0);
	submit(&f, &call, 1, 200, &random);
	fault.first_block = super_block_of(&f);
	sim_device_fault(f.sd, &fault);
	ck_assert_int_eq(volume_resume(inside(&f)), -EIO);
	sim_device_clear_faults(f.sd);
	ck_assert_int_eq(pending_wait(&call.p), -VDO_EREADONLY);
	ck_assert(vdo_volume_is_read_only(f.volume));
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	check_storage(&f);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

struct enter {
	struct fixture *f;
	uint64_t super_block;
	bool entered;
};

/* With the first write of the super block. */
static bool enter_read_only(void *arg, const struct vdo_device_io *io)
{
	struct enter *e = arg;

	if (io->op == VDO_DEVICE_WRITE && !e->entered &&
	    io->offset / B == e->super_block) {
		e->entered = true;
		readonly_enter(&inside(e->f)->readonly, -EIO, "the test");
	}
	return false;
}

/* Read-only mode comes while CLEAN is being written: its record is the last
 * word, and nobody is told that all was saved. */
START_TEST(test_read_only_meanwhile)
{
	struct fixture f;
	struct enter e = {.f = &f};

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	e.super_block = super_block_of(&f);
	sim_device_hold(f.sd, enter_read_only, &e);
	ck_assert_int_eq(volume_suspend(inside(&f), true), -VDO_EREADONLY);
	ck_assert(e.entered);
	ck_assert_int_eq(fixture_state(&f), VOLUME_READ_ONLY);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	ck_assert_int_eq(fixture_state(&f), VOLUME_READ_ONLY);
	fixture_fini(&f);
}
END_TEST

static bool any_write(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_WRITE;
}

/* Metadata cannot be written on the way: read-only, and at rest. */
START_TEST(test_fails_on_the_way)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE),
				  .skip = (uint64_t)_i / FIXTURE_KINDS};
	struct fixture f;
	value_t v = V_UNIQUE(5);
	int result;

	fixture_init(&f, _i % FIXTURE_KINDS, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_fault(f.sd, &fault);
	result = volume_suspend(inside(&f), true);
	ck_assert_int_lt(result, 0);
	ck_assert_uint_eq(sim_device_pending(f.sd), 0);
	sim_device_clear_faults(f.sd);
	/* Nothing more is written, except by whoever asks for it. */
	sim_device_hold(f.sd, any_write, NULL);
	fixture_poll(&f);
	ck_assert_uint_eq(sim_device_held(f.sd), 0);
	sim_device_hold(f.sd, NULL, NULL);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	fixture_verify_all(&f);
	if (vdo_volume_is_read_only(f.volume)) {
		ck_assert_int_eq(fixture_try_write(&f, 1, v, 0),
				 -VDO_EREADONLY);
		ck_assert_int_eq(volume_suspend(inside(&f), true),
				 -VDO_EREADONLY);
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		fixture_verify_all(&f);
		ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	} else {
		ck_assert_int_eq(fixture_try_write(&f, 1, v, 0), 0);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(test_opened_read_only)
{
	struct fixture f;
	uint64_t writes;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fixture_reopen(&f, "read-only=on");
	writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(volume_suspend(inside(&f), i % 2 == 0), 0);
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		fixture_verify_all(&f);
	}
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), writes);
	fixture_fini(&f);
}
END_TEST

/* ---------------------------------------------------------------- the index */

/* It knows the same after it was suspended, and in the copy. */
START_TEST(test_index_goes_on)
{
	struct fixture f;

	fixture_init(&f, _i, INDEXED);
	fixture_open(&f, "index-wait=on");
	fixture_write(&f, 0, 200, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 1; i < 5; i++) {
		ck_assert_int_eq(volume_suspend(inside(&f), i % 2 == 1), 0);
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		fixture_write(&f, 200 * i, 200, V_UNIQUE(1), 0);
		fixture_flush(&f);
		ck_assert_uint_eq(fixture_stat(&f, "path.duplicate"),
				  200 * i);
	}
	ck_assert_int_eq(volume_suspend(inside(&f), true), 0);
	check_copy(&f);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static bool is_online(struct fixture *f)
{
	struct vdo_stats *s;
	bool online = false;

	ck_assert_int_eq(vdo_stats_get(f->volume, &s), 0);
	for (size_t i = 0; i < vdo_stats_count(s); i++)
		if (strcmp(vdo_stats_at(s, i)->name, "path.index") == 0)
			online = strcmp(vdo_stats_at(s, i)->text,
					"online") == 0;
	vdo_stats_free(s);
	return online;
}

/* While it is being loaded: that is cut short, and begins anew. */
START_TEST(test_index_is_being_loaded)
{
	struct fixture f;

	fixture_init(&f, _i, INDEXED);
	for (unsigned i = 0; i < 3; i++) {
		fixture_open(&f, "index-wait=off");
		ck_assert_int_eq(volume_suspend(inside(&f), i % 2 == 0), 0);
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		ck_assert_int_eq(volume_suspend(inside(&f), i % 2 == 1), 0);
		ck_assert_int_eq(volume_resume(inside(&f)), 0);
		fixture_write(&f, 100 * i, 100, V_UNIQUE(100 * i), 0);
		while (!is_online(&f))
			fixture_poll(&f);
		fixture_close(&f);
	}
	fixture_open(&f, "index-wait=on");
	fixture_write(&f, 500, 100, V_UNIQUE(0), 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static struct vdo_info info;

static bool in_index(void *arg, const struct vdo_device_io *io)
{
	uint64_t block = io->offset / B;

	(void)arg;
	return io->op == VDO_DEVICE_READ && block >= info.index_start &&
	       block < info.data_start;
}

/* A rebuild is cut short, and begins anew. */
START_TEST(test_index_is_being_rebuilt)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE)};
	struct fixture f;
	struct await a;

	fixture_init(&f, _i, INDEXED);
	fixture_open(&f, "index-wait=on");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_inspect_device(f.device, &info, sizeof(info),
					    NULL),
			 0);
	fault.first_block = info.index_start;
	fault.block_count = info.data_start - info.index_start;
	sim_device_fault(f.sd, &fault);
	fixture_close(&f); /* the index is not saved */
	sim_device_clear_faults(f.sd);

	sim_device_hold(f.sd, in_index, NULL);
	fixture_open(&f, "index-wait=off");
	for (unsigned i = 0; i < 20; i++)
		fixture_poll(&f);
	volume_start_suspend(inside(&f), true,
			     await_on(&a, inside(&f)->topology.journal));
	for (unsigned i = 0; i < 20; i++)
		fixture_poll(&f);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	ck_assert_int_eq(await_end(&a), 0);
	ck_assert(!is_online(&f));
	check_storage(&f);
	ck_assert_int_eq(volume_resume(inside(&f)), 0);
	while (!is_online(&f))
		fixture_poll(&f);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------------- the public calls */

START_TEST(test_once_at_a_time)
{
	bool save = _i / FIXTURE_KINDS == 0;
	struct pending p;
	struct fixture f;

	fixture_init(&f, _i % FIXTURE_KINDS, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_resume(f.volume), -EALREADY);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(vdo_suspend(f.volume, save), 0);
		ck_assert_int_eq(vdo_suspend(f.volume, !save), -EALREADY);
		ck_assert_int_eq(fixture_state(&f),
				 save ? VOLUME_CLEAN : VOLUME_DIRTY);
		pending_write(&p, &f, 5, V_UNIQUE(20 + i), 0);
		for (unsigned k = 0; k < 20; k++)
			fixture_poll(&f);
		ck_assert(!pending_is_done(&p));
		ck_assert_uint_eq(vdo_volume_size(f.volume),
				  f.logical_blocks * B);
		ck_assert_int_eq(vdo_resume(f.volume), 0);
		ck_assert_int_eq(pending_wait(&p), 0);
		ck_assert_int_eq(vdo_resume(f.volume), -EALREADY);
		ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* It ends as it would have otherwise, with the calls that wait. */
START_TEST(test_closed_while_suspended)
{
	bool save = _i / FIXTURE_KINDS == 0;
	struct pending p[3];
	struct fixture f;

	fixture_init(&f, _i % FIXTURE_KINDS, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, save), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++)
		pending_write(&p[i], &f, 50 + i, V_UNIQUE(500 + i), 0);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		ck_assert_uint_eq(p[i].calls, 1);
		ck_assert_int_eq(p[i].result, 0);
		free(p[i].buf);
		p[i].buf = NULL;
	}
	check_storage(&f);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	ck_assert_int_eq(vdo_suspend(f.volume, save), 0);
	fixture_close(&f);
	fixture_open(&f, "");
	fixture_flush(&f);
	ck_assert_int_eq(vdo_suspend(f.volume, save), 0);
	fixture_abandon(&f);
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	fixture_open(&f, "");
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* Whoever cannot have it saved has a volume that serves. */
START_TEST(test_serves_after_an_error)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE),
				  .block_count = 1,
				  .times = 1};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	fault.first_block = super_block_of(&f);
	sim_device_fault(f.sd, &fault);
	ck_assert_int_eq(vdo_suspend(f.volume, true), -EIO);
	ck_assert_int_eq(vdo_resume(f.volume), -EALREADY);
	fixture_write(&f, 50, 100, V_UNIQUE(200), 0);
	ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
	check_storage(&f);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	readonly_enter(&inside(&f)->readonly, -EIO, "the test");
	ck_assert_int_eq(vdo_suspend(f.volume, true), -VDO_EREADONLY);
	fixture_verify_all(&f);
	ck_assert_int_eq(vdo_suspend(f.volume, false), 0);
	ck_assert_int_eq(vdo_resume(f.volume), 0);
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), -VDO_EREADONLY);
	fixture_fini(&f);
}
END_TEST

struct inner {
	struct fixture *f;
	atomic_int calls;
	int suspended, resumed;
};

static void suspend_inside(void *arg, int result)
{
	struct inner *i = arg;

	ck_assert_int_eq(result, 0);
	i->suspended = vdo_suspend(i->f->volume, true);
	i->resumed = vdo_resume(i->f->volume);
	atomic_fetch_add(&i->calls, 1);
}

START_TEST(test_not_in_callbacks)
{
	struct fixture f;
	struct inner inner = {.f = &f};

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_aio_flush(f.volume, suspend_inside, &inner, 0),
			 0);
	fixture_until(&f, atomic_load(&inner.calls) == 1);
	ck_assert_int_eq(inner.suspended, -EDEADLK);
	ck_assert_int_eq(inner.resumed, -EDEADLK);
	fixture_fini(&f);
}
END_TEST

#define TURNS 200u

static void *suspend_often(void *arg)
{
	struct thread *w = arg;
	uint64_t random = w->first;

	for (unsigned i = 0; i < TURNS; i++) {
		struct vdo_stats *s;
		int result = 0;

		switch (pattern_random(&random, 6)) {
		case 0:
		case 1:
			result = vdo_suspend(w->f->volume, i % 2 == 0);
			break;
		case 2:
			ck_assert_int_eq(vdo_stats_get(w->f->volume, &s), 0);
			vdo_stats_free(s);
			break;
		default:
			result = vdo_resume(w->f->volume);
			break;
		}
		ck_assert(result == 0 || result == -EALREADY);
	}
	return NULL;
}

/* Several threads suspend and resume, others write. */
START_TEST(test_many_suspend)
{
	struct thread w[2], s[3];
	atomic_bool stop = false;
	struct fixture f;
	int result;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 era=2");
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = (struct thread){.f = &f,
				       .first = 500 * i,
				       .count = 500,
				       .stop = &stop};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, write_on,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = (struct thread){.f = &f, .first = 77 + i};
		ck_assert_int_eq(pthread_create(&s[i].thread, NULL,
						suspend_often, &s[i]),
				 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
		pthread_join(s[i].thread, NULL);
	result = vdo_resume(f.volume);
	ck_assert(result == 0 || result == -EALREADY);
	see_progress(w, ARRAY_SIZE(w));
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

static atomic_uint lines_of_waiting;

static void count_waits(void *arg, enum vdo_log_level level, const char *line)
{
	(void)arg;
	if (level == VDO_LOG_WARNING && strstr(line, "a call waits") != NULL)
		atomic_fetch_add(&lines_of_waiting, 1);
}

static void *read_one(void *arg)
{
	struct thread *w = arg;

	fixture_verify(w->f, w->first, 1);
	return NULL;
}

/* Without threads a call may wait for nobody: the log says so, once. */
START_TEST(test_says_that_it_waits)
{
	struct thread r[2];
	struct fixture f;

	fixture_init(&f, _i, "");
	f.log = count_waits;
	atomic_store(&lines_of_waiting, 0);
	fixture_open(&f, "");
	fixture_write(&f, 0, 100, V_UNIQUE(1), 0);
	for (unsigned round = 1; round < 3; round++) {
		ck_assert_int_eq(vdo_suspend(f.volume, true), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
			r[i] = (struct thread){.f = &f, .first = i};
			ck_assert_int_eq(pthread_create(&r[i].thread, NULL,
							read_one, &r[i]),
					 0);
		}
		while (_i == KIND_INLINE &&
		       atomic_load(&lines_of_waiting) < round)
			sched_yield();
		ck_assert_int_eq(vdo_resume(f.volume), 0);
		for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
			pthread_join(r[i].thread, NULL);
	}
	ck_assert_uint_eq(atomic_load(&lines_of_waiting),
			  _i == KIND_INLINE ? 2 : 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("suspend");

	tcase_add_loop_test(tc, test_again_and_again, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_crash_after_resuming, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_writers_go_on, 0, KIND_INLINE);
	tcase_add_loop_test(tc, test_nobody_waits_who_may_not, 0,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_not_marked_clean, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_not_marked_dirty, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_read_only_meanwhile, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_fails_on_the_way, 0, 9 * FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_opened_read_only, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_index_goes_on, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_index_is_being_loaded, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_index_is_being_rebuilt, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_once_at_a_time, 0, 2 * FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_closed_while_suspended, 0,
			    2 * FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_serves_after_an_error, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_not_in_callbacks, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_many_suspend, 0, KIND_SIM);
	tcase_add_loop_test(tc, test_says_that_it_waits, 0, KIND_SIM);
	return unit_run();
}
