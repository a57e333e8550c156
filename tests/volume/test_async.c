/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of the asynchronous calls (vdo/io.h), sentence by sentence, on
 * all executors; completion queues.
 */
#include "build.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static bool is_write(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_WRITE;
}

static bool is_read(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_READ;
}

static bool is_flush(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_FLUSH;
}

/* Let all go, and hold nothing any more. */
static void let_go(struct fixture *f)
{
	sim_device_hold(f->sd, NULL, NULL);
	sim_device_release(f->sd);
}

/* 0 returned: exactly once, for each kind of operation. */
START_TEST(test_once)
{
	struct fixture f;
	struct pending *p = calloc(500, sizeof(*p));
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 3);

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=32");
	for (unsigned i = 0; i < 500; i++) {
		uint64_t at = i % 97 * B;
		int result = -1;

		pending_init(&p[i], &f);
		switch (i % 5) {
		case 0:
			p[i].buf = malloc(B);
			result = vdo_aio_pread(f.volume, p[i].buf, B, at,
					       pending_done, &p[i], 0);
			break;
		case 1:
			result = vdo_aio_pwrite(f.volume, buf, 3 * B, at,
						pending_done, &p[i], 0);
			break;
		case 2:
			result = vdo_aio_flush(f.volume, pending_done, &p[i],
					       0);
			break;
		case 3:
			result = vdo_aio_discard(f.volume, 2 * B, at,
						 pending_done, &p[i], 0);
			break;
		case 4:
			result = vdo_aio_write_zeroes(f.volume, 2 * B, at,
						      pending_done, &p[i],
						      VDO_IO_FUA);
			break;
		}
		ck_assert_int_eq(result, 0);
	}
	for (unsigned i = 0; i < 500; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	memset(f.unknown, 1, 100);
	fixture_close(&f);
	for (unsigned i = 0; i < 500; i++)
		ck_assert_uint_eq(p[i].calls, 1);
	fixture_fini(&f);
	free(p);
	free(buf);
}
END_TEST

/* Operations of length zero end too, and not inside of the call alone. */
START_TEST(test_empty_operations)
{
	struct fixture f;
	struct pending p[4];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (int i = 0; i < 4; i++)
		pending_init(&p[i], &f);
	ck_assert_int_eq(vdo_aio_pread(f.volume, NULL, 0, 0, pending_done,
				       &p[0], 0),
			 0);
	ck_assert_int_eq(vdo_aio_pwritev(f.volume, NULL, 0, B, pending_done,
					 &p[1], VDO_IO_FUA),
			 0);
	ck_assert_int_eq(vdo_aio_discard(f.volume, 0, vdo_volume_size(f.volume),
					 pending_done, &p[2], 0),
			 0);
	ck_assert_int_eq(vdo_aio_write_zeroes(f.volume, 0, 0, pending_done,
					      &p[3], VDO_IO_NOWAIT),
			 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_fini(&f);
}
END_TEST

/* The list of vectors is the caller's again when the call returns, however the
 * blocks lie in it: each in one piece, or across pieces. */
START_TEST(test_vectors_are_copied)
{
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 4);
	uint8_t *out = malloc(4 * B);
	struct fixture f;
	struct pending p[2];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	for (unsigned i = 0; i < 2; i++) {
		size_t cut = i == 0 ? B : 1000;
		struct iovec iov[2] = {{buf, cut}, {buf + cut, 4 * B - cut}};

		pending_init(&p[i], &f);
		ck_assert_int_eq(vdo_aio_pwritev(f.volume, iov, 2, 4 * B * i,
						 pending_done, &p[i], 0),
				 0);
		memset(iov, 0, sizeof(iov));
		ck_assert_int_eq(pending_wait(&p[i]), 0);
		ck_assert_int_eq(vdo_pread(f.volume, out, 4 * B, 4 * B * i, 0),
				 0);
		ck_assert_mem_eq(out, buf, 4 * B);
	}
	memset(f.unknown, 1, 8);
	fixture_fini(&f);
	free(out);
	free(buf);
}
END_TEST

/* Does all that is under way wait for a flush that is held, or for an entry that
 * one makes durable? */
static bool all_wait(struct fixture *f)
{
	unsigned held = sim_device_held(f->sd);

	return held > 0 && sim_device_pending(f->sd) == held &&
	       fixture_stat(f, "journal.entries.started") -
			       fixture_stat(f, "journal.entries.committed") ==
		       fixture_stat(f, "currentVIOsInProgress");
}

/* A flush that takes its time holds nobody up who does not flush: what waits for
 * it is no part of the depth. When nothing waits, the depth is what it was. */
START_TEST(test_slow_flush)
{
	enum { COUNT = 600, DEPTH = 16, ALL = 4 * DEPTH };
	struct pending *p = calloc(COUNT, sizeof(*p));
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 compression=off");
	fixture_write(&f, 0, COUNT, V_UNIQUE(1), 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	sim_device_hold(f.sd, is_flush, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		pending_write(&p[i], &f, i, V_UNIQUE(10000 + i), 0);
	for (unsigned rounds = 0;
	     fixture_stat(&f, "currentVIOsInProgress") < ALL; rounds++) {
		ck_assert_uint_lt(rounds, 30);
		fixture_until(&f, all_wait(&f));
		if (fixture_stat(&f, "currentVIOsInProgress") < ALL)
			sim_device_release(f.sd);
	}
	let_go(&f);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	ck_assert_uint_eq(fixture_stat(&f, "maxVIOs"), ALL);
	fixture_verify(&f, 0, COUNT);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		pending_write(&p[i], &f, i, V_UNIQUE(20000 + i), 0);
	fixture_until(&f,
		      fixture_stat(&f, "currentVIOsInProgress") == DEPTH &&
			      sim_device_pending(f.sd) ==
				      sim_device_held(f.sd));
	let_go(&f);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* Submission does not wait for I/O: with the storage at a halt ten times the
 * depth is taken; NOWAIT is refused then, and taken again afterwards. */
START_TEST(test_depth)
{
	struct fixture f;
	struct pending *p = calloc(200, sizeof(*p));
	struct pending extra;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < 200; i++)
		pending_write(&p[i], &f, i + 1, V_UNIQUE(1000 + i), 0);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 16);
	pending_init(&extra, &f);
	for (unsigned i = 0; i < 5; i++) {
		uint8_t buf[B];

		ck_assert_int_eq(vdo_aio_pread(f.volume, buf, B, 0,
					       pending_done, &extra,
					       VDO_IO_NOWAIT),
				 -EAGAIN);
		ck_assert_int_eq(vdo_aio_discard(f.volume, B, 0, pending_done,
						 &extra, VDO_IO_NOWAIT),
				 -EAGAIN);
	}
	ck_assert_uint_eq(extra.calls, 0);
	let_go(&f);
	for (unsigned i = 0; i < 200; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	ck_assert_uint_eq(extra.calls, 0);
	fixture_flush(&f);
	fixture_until(&f, fixture_stat(&f, "currentVIOsInProgress") == 0);
	pending_init(&extra, &f);
	extra.buf = malloc(B);
	ck_assert_int_eq(vdo_aio_pread(f.volume, extra.buf, B, 0, pending_done,
				       &extra, VDO_IO_NOWAIT),
			 0);
	ck_assert_int_eq(pending_wait(&extra), 0);
	/* As many blocks as there are requests, none of which is lost. */
	for (unsigned i = 0; i < 3; i++) {
		fixture_until(&f,
			      fixture_stat(&f, "currentVIOsInProgress") == 0);
		pending_init(&extra, &f);
		ck_assert_int_eq(vdo_aio_discard(f.volume, 16 * B, 500 * B,
						 pending_done, &extra,
						 VDO_IO_NOWAIT),
				 0);
		ck_assert_int_eq(pending_wait(&extra), 0);
		ck_assert_int_eq(vdo_aio_discard(f.volume, 17 * B, 0,
						 pending_done, &extra,
						 VDO_IO_NOWAIT),
				 -EAGAIN);
	}
	/* More than will ever fit can wait, but not when told not to. */
	ck_assert_int_eq(vdo_aio_discard(f.volume, 17 * B, 0, pending_done,
					 &extra, VDO_IO_NOWAIT),
			 -EAGAIN);
	fixture_verify(&f, 0, 201);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* Two threads that begin at the same moment, with NOWAIT. */
struct racer {
	struct fixture *f;
	atomic_uint *there;
	struct pending p;
	uint8_t *buf;
	uint64_t at;
	int result;
	pthread_t thread;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	/* No barrier: it would wake one after the other. */
	atomic_fetch_add(r->there, 1);
	while (atomic_load(r->there) < 2)
		;
	r->result = vdo_aio_pwrite(r->f->volume, r->buf, 16 * B, r->at * B,
				   pending_done, &r->p, VDO_IO_NOWAIT);
	return NULL;
}

/* NOWAIT never queues, whatever others do at the same time: of two operations
 * that need all requests, with the storage at a halt, one at most is taken. */
START_TEST(test_nowait_at_once)
{
	struct racer r[2];
	atomic_uint there;
	struct fixture f;
	unsigned taken = 0;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 compression=off");
	for (unsigned k = 0; k < 2; k++) {
		r[k].f = &f;
		r[k].there = &there;
		r[k].at = 100 * k;
		memset(f.unknown + r[k].at, 1, 16);
	}
	for (unsigned round = 0; round < 100; round++) {
		sim_device_hold(f.sd, is_write, NULL);
		atomic_init(&there, 0);
		for (unsigned k = 0; k < 2; k++) {
			pending_init(&r[k].p, &f);
			r[k].buf = pattern_blocks(
				V_UNIQUE(1000 * round + 100 * k), 16);
			ck_assert_int_eq(pthread_create(&r[k].thread, NULL,
							race, &r[k]),
					 0);
		}
		for (unsigned k = 0; k < 2; k++) {
			pthread_join(r[k].thread, NULL);
			ck_assert(r[k].result == 0 || r[k].result == -EAGAIN);
			taken += r[k].result == 0;
		}
		ck_assert_msg(r[0].result != 0 || r[1].result != 0,
			      "both were taken in round %u", round);
		let_go(&f);
		for (unsigned k = 0; k < 2; k++) {
			if (r[k].result == 0)
				ck_assert_int_eq(pending_wait(&r[k].p), 0);
			free(r[k].buf);
		}
		fixture_flush(&f);
		fixture_until(&f,
			      fixture_stat(&f, "currentVIOsInProgress") == 0);
	}
	ck_assert_uint_gt(taken, 0);
	fixture_fini(&f);
}
END_TEST

/* Small operations do not wait until a huge one is over. */
START_TEST(test_fair)
{
	struct fixture f;
	struct pending big, small;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	pending_init(&big, &f);
	big.buf = pattern_blocks(V_UNIQUE(1), 1500);
	ck_assert_int_eq(vdo_aio_pwrite(f.volume, big.buf, 1500 * B, 0,
					pending_done, &big, 0),
			 0);
	pending_write(&small, &f, 2000, V_UNIQUE(5000), 0);
	ck_assert_int_eq(pending_wait(&small), 0);
	ck_assert_int_eq(pending_wait(&big), 0);
	if (f.kind->where == WHERE_SIM)
		ck_assert_uint_lt(small.order, big.order);
	for (unsigned i = 0; i < 1500; i++)
		f.expect[i] = V_UNIQUE(1 + i);
	fixture_fini(&f);
}
END_TEST

/* Callbacks that go on submitting: a chain of writes and reads of each. */
struct chain {
	struct pending end;
	struct vdo_volume *volume;
	struct vdo_volume *other;
	unsigned left;
	int result;
	uint8_t buf[B];
};

static void chain_next(void *arg, int result)
{
	struct chain *c = arg;
	struct vdo_volume *v = c->left % 3 == 0 ? c->other : c->volume;

	if (result == 0 && c->left-- > 0)
		result = c->left % 2 == 0
				 ? vdo_aio_pwrite(v, c->buf, B,
						  c->left % 50 * B, chain_next,
						  c, 0)
				 : vdo_aio_pread(v, c->buf, B,
						 c->left % 50 * B, chain_next,
						 c, 0);
	else
		pending_done(&c->end, result);
	if (result != 0)
		c->result = result;
}

START_TEST(test_callbacks_submit)
{
	struct fixture f;
	struct chain *c = calloc(20, sizeof(*c));

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	for (unsigned i = 0; i < 20; i++) {
		c[i].volume = c[i].other = f.volume;
		c[i].left = 300;
		pattern_fill(V_UNIQUE(i + 1), c[i].buf);
		pending_init(&c[i].end, &f);
		chain_next(&c[i], 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(pending_wait(&c[i].end), 0);
		ck_assert_int_eq(c[i].result, 0);
	}
	memset(f.unknown, 1, 50);
	fixture_fini(&f);
	free(c);
}
END_TEST

/* ... also on another volume. With threads only: else nobody runs it. */
START_TEST(test_callbacks_submit_elsewhere)
{
	struct fixture f, g;
	struct chain *c = calloc(8, sizeof(*c));

	fixture_init(&f, KIND_NATIVE, "");
	fixture_init(&g, _i, "");
	fixture_open(&f, "");
	fixture_open(&g, "");
	for (unsigned i = 0; i < 8; i++) {
		c[i].volume = f.volume;
		c[i].other = g.volume;
		c[i].left = 300;
		pattern_fill(V_UNIQUE(i + 1), c[i].buf);
		pending_init(&c[i].end, &f);
		chain_next(&c[i], 0);
	}
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pending_wait(&c[i].end), 0);
	memset(f.unknown, 1, 50);
	memset(g.unknown, 1, 50);
	fixture_fini(&f);
	fixture_fini(&g);
	free(c);
}
END_TEST

/* Synchronous calls and closing in a callback. */
static struct {
	struct vdo_volume *volume;
	int results[11];
} inside;

static void try_everything(void *arg, int result)
{
	struct vdo_volume *v = inside.volume;
	struct vdo_volume *opened = NULL;
	struct iovec iov = {arg, B};
	struct vdo_stats *stats = NULL;
	uint8_t buf[B];

	(void)result;
	iov.iov_base = buf;
	inside.results[0] = vdo_pread(v, buf, B, 0, 0);
	inside.results[1] = vdo_pwrite(v, buf, B, 0, 0);
	inside.results[2] = vdo_preadv(v, &iov, 1, 0, 0);
	inside.results[3] = vdo_pwritev(v, &iov, 1, 0, 0);
	inside.results[4] = vdo_flush(v, 0);
	inside.results[5] = vdo_discard(v, B, 0, 0);
	inside.results[6] = vdo_write_zeroes(v, B, 0, 0);
	inside.results[7] = vdo_close(v);
	inside.results[8] = vdo_volume_set(v, "compression", "off", NULL);
	inside.results[9] = vdo_stats_get(v, &stats);
	inside.results[10] = vdo_open("/nonexistent", NULL, &opened, NULL);
	vdo_abandon(v); /* has no result, but must not do it */
	pending_done(arg, 0);
}

START_TEST(test_deadlock)
{
	struct fixture f;
	struct pending p;
	uint8_t buf[B];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	inside.volume = f.volume;
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_pread(f.volume, buf, B, 0, try_everything, &p,
				       0),
			 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(inside.results); i++)
		ck_assert_msg(inside.results[i] == -EDEADLK, "call %zu: %d", i,
			      inside.results[i]);
	fixture_verify(&f, 0, 1);
	fixture_fini(&f);
}
END_TEST

/* Once the storage holds @count back, @flush is not over until they go on. */
static void waits_for_held(struct fixture *f, struct pending *flush,
			   unsigned count)
{
	fixture_until(f, sim_device_held(f->sd) >= count);
	for (unsigned i = 0; i < 100; i++)
		fixture_poll(f);
	ck_assert(!pending_is_done(flush));
	let_go(f);
	ck_assert_int_eq(pending_wait(flush), 0);
}

/* A flush ends only when the writes before it are durable, although they were
 * acknowledged long before. */
START_TEST(test_flush_waits)
{
	struct fixture f;
	struct pending p[20], flush;

	fixture_init(&f, _i, "");
	fixture_open(&f, "io-merge=0"); /* twenty writes of the device */
	fixture_write(&f, 100, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < 20; i++)
		pending_write(&p[i], &f, i, V_UNIQUE(10 + i), 0);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	pending_flush(&flush, &f);
	waits_for_held(&f, &flush, 20);
	fixture_fini(&f);
}
END_TEST

/* The same with the storage's own flush held back. */
START_TEST(test_flush_waits_for_flush)
{
	struct fixture f;
	struct pending p, flush;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 100, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_flush, NULL);
	pending_write(&p, &f, 0, V_UNIQUE(2), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	pending_flush(&flush, &f);
	waits_for_held(&f, &flush, 1);
	fixture_fini(&f);
}
END_TEST

/* Nothing to wait for: over at once. Many: in the order of their submission. */
START_TEST(test_flush_order)
{
	struct fixture f;
	struct pending p[40], flush[20];

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_flush(&f);
	fixture_flush(&f);
	for (unsigned i = 0; i < 20; i++) {
		pending_write(&p[2 * i], &f, 2 * i, V_UNIQUE(10 + i), 0);
		if (i % 3 != 0)
			pending_write(&p[2 * i + 1], &f, 2 * i + 1,
				      V_SQUEEZE(10 + i, 500), 0);
		else
			p[2 * i + 1] = (struct pending){.calls = 1, .f = &f};
		pending_flush(&flush[i], &f);
	}
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(pending_wait(&flush[i]), 0);
		if (i > 0)
			ck_assert_uint_gt(flush[i].order, flush[i - 1].order);
	}
	ck_assert_uint_eq(fixture_stat(&f, "biosIn.flush"), 22);
	fixture_fini(&f);
}
END_TEST

/* What a flush covered survives; power fails right after. Also FUA, without
 * any flush; also zeroes and discards. */
static const struct {
	const char *name;
	unsigned flags;
	bool flush;
} durable[] = {
	{"flush", 0, true},
	{"FUA", VDO_IO_FUA, false},
	{"FUA alone", VDO_IO_FUA | VDO_IO_NO_DEDUPE, false},
};

START_TEST(test_durable)
{
	for (size_t k = 0; k < ARRAY_SIZE(durable); k++) {
		struct fixture f;
		struct image im;
		uint8_t buf[B];

		fixture_init(&f, _i, "");
		fixture_open(&f, "");
		fixture_write(&f, 0, 40, V_UNIQUE(1), durable[k].flags);
		fixture_repeat(&f, 40, 10, V_UNIQUE(500), durable[k].flags);
		fixture_write(&f, 50, 10, V_SQUEEZE(1, 300), durable[k].flags);
		ck_assert_int_eq(vdo_discard(f.volume, 5 * B, 0,
					     durable[k].flags),
				 0);
		ck_assert_int_eq(vdo_write_zeroes(f.volume, 5 * B, 5 * B,
						  durable[k].flags),
				 0);
		memset(f.expect, 0, 10 * sizeof(value_t));
		if (durable[k].flush)
			fixture_flush(&f);
		sim_device_crash(f.sd);
		image_open_sim(&im, f.sd, f.block_count);
		image_recover(&im);
		image_check(&im);
		ck_assert_uint_eq(im.problems, 0);
		for (uint64_t i = 0; i < 60; i++) {
			ck_assert(image_read(&im, i, buf));
			ck_assert_msg(pattern_is(f.expect[i], buf),
				      "%s: lbn %llu", durable[k].name,
				      (unsigned long long)i);
		}
		image_close(&im);
		fixture_abandon(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* FUA is not acknowledged before it is durable, unlike a plain write. */
START_TEST(test_fua_waits)
{
	struct fixture f;
	struct pending plain, fua, zero;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	pending_write(&fua, &f, 1, V_UNIQUE(2), VDO_IO_FUA);
	pending_init(&zero, &f);
	ck_assert_int_eq(vdo_aio_write_zeroes(f.volume, B, 0, pending_done,
					      &zero, VDO_IO_FUA),
			 0);
	f.expect[0] = V_ZERO;
	pending_write(&plain, &f, 2, V_UNIQUE(3), 0);
	ck_assert_int_eq(pending_wait(&plain), 0);
	fixture_until(&f, sim_device_held(f.sd) >= 1);
	for (unsigned i = 0; i < 100; i++)
		fixture_poll(&f);
	ck_assert(!pending_is_done(&fua));
	ck_assert(!pending_is_done(&zero));
	let_go(&f);
	ck_assert_int_eq(pending_wait(&fua), 0);
	ck_assert_int_eq(pending_wait(&zero), 0);
	fixture_fini(&f);
}
END_TEST

/* A read finds an acknowledged write that is still on its way. */
START_TEST(test_read_of_what_is_under_way)
{
	struct fixture f;
	struct pending p;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 5, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	pending_write(&p, &f, 5, V_UNIQUE(2), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_verify(&f, 5, 1);
	let_go(&f);
	fixture_fini(&f);
}
END_TEST

/* Closing waits for all that is under way; each callback still runs. */
START_TEST(test_close_waits)
{
	struct fixture f;
	struct pending *p = calloc(300, sizeof(*p));

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=32");
	for (unsigned i = 0; i < 300; i++) {
		if (i % 10 == 9)
			pending_flush(&p[i], &f);
		else
			pending_write(&p[i], &f, i,
				      i % 2 == 0 ? V_UNIQUE(i)
						 : V_SQUEEZE(i, 200),
				      0);
	}
	fixture_close(&f);
	for (unsigned i = 0; i < 300; i++) {
		ck_assert_uint_eq(p[i].calls, 1);
		ck_assert_int_eq(p[i].result, 0);
		free(p[i].buf);
	}
	fixture_fini(&f);
	free(p);
}
END_TEST

/* The same for dropping a volume, which saves nothing. */
START_TEST(test_abandon_waits)
{
	struct fixture f;
	struct pending *p = calloc(300, sizeof(*p));

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=32");
	for (unsigned i = 0; i < 300; i++)
		pending_write(&p[i], &f, i, V_SQUEEZE(i, 200), 0);
	fixture_abandon(&f);
	for (unsigned i = 0; i < 300; i++) {
		ck_assert_uint_eq(p[i].calls, 1);
		ck_assert_int_eq(p[i].result, 0);
		free(p[i].buf);
	}
	ck_assert_int_eq(fixture_state(&f), VOLUME_DIRTY);
	ck_assert_uint_eq(fixture_check_image(&f), 0);
	fixture_fini(&f);
	free(p);
}
END_TEST

/* Many threads at once, each on blocks of its own, with common content. */
struct worker {
	struct fixture *f;
	pthread_t thread;
	unsigned number;
	int failed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t in[B], out[B];

	for (unsigned i = 0; i < 150; i++) {
		uint64_t at = (w->number * 100 + i % 100) * B;

		pattern_fill(V_UNIQUE(i % 40), in);
		if (vdo_pwrite(w->f->volume, in, B, at, 0) != 0 ||
		    vdo_pread(w->f->volume, out, B, at, 0) != 0 ||
		    memcmp(in, out, B) != 0)
			w->failed = 1;
		if (i % 50 == 0 && vdo_flush(w->f->volume, 0) != 0)
			w->failed = 1;
	}
	return NULL;
}

START_TEST(test_threads)
{
	struct fixture f;
	struct worker w[8];

	/* All but the simulation, which has one thread. */
	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	for (unsigned i = 0; i < 8; i++) {
		w[i] = (struct worker){.f = &f, .number = i};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(w[i].thread, NULL);
		ck_assert_int_eq(w[i].failed, 0);
		for (unsigned k = 0; k < 100; k++)
			f.expect[i * 100 + k] =
				V_UNIQUE((k < 50 ? k + 100 : k) % 40);
	}
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

/* A child of fork() is refused everything, and harms nothing. */
START_TEST(test_fork)
{
	struct fixture f;
	uint8_t buf[B];
	pid_t pid;
	int status;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct vdo_stats *stats;
		int wrong =
			vdo_pread(f.volume, buf, B, 0, 0) != -VDO_EFORKED ||
			vdo_pwrite(f.volume, buf, B, 0, 0) != -VDO_EFORKED ||
			vdo_flush(f.volume, 0) != -VDO_EFORKED ||
			vdo_aio_discard(f.volume, B, 0, pending_done, NULL,
					0) != -VDO_EFORKED ||
			vdo_aio_submit(f.volume, NULL, 0) != -VDO_EFORKED ||
			vdo_stats_get(f.volume, &stats) != -VDO_EFORKED ||
			vdo_poll(f.volume, 0) != -VDO_EFORKED ||
			vdo_volume_set(f.volume, "compression", "on", NULL) !=
				-VDO_EFORKED ||
			vdo_close(f.volume) != -VDO_EFORKED;
		vdo_abandon(f.volume);
		_exit(wrong);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	fixture_verify(&f, 0, 10);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------- completion queues */

START_TEST(test_cq)
{
	struct fixture f;
	struct vdo_cq *cq;
	struct vdo_cq_entry *e = calloc(100, sizeof(*e)), *got[7];
	uint8_t *buf = pattern_blocks(V_UNIQUE(1), 100);
	bool seen[100] = {false};
	unsigned left = 100;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	ck_assert_int_eq(vdo_cq_new(&cq), 0);
	for (size_t i = 0; i < 100; i++) {
		e[i].cq = cq;
		e[i].user = &seen[i];
		f.expect[i] = V_UNIQUE(1 + i);
		ck_assert_int_eq(vdo_aio_pwrite(f.volume, buf + i * B, B,
						i * B, vdo_cq_complete, &e[i],
						0),
				 0);
	}
	while (left > 0) {
		struct pollfd fd = {vdo_cq_fd(cq), POLLIN, 0};
		bool driven = f.kind->where == WHERE_INLINE ||
			      f.kind->where == WHERE_SIM;
		size_t n;

		if (driven)
			fixture_poll(&f);
		ck_assert_int_ge(poll(&fd, 1, driven ? 0 : -1), 0);
		n = vdo_cq_reap(cq, got, ARRAY_SIZE(got));
		ck_assert(n > 0 || fd.revents == 0);
		for (size_t i = 0; i < n; i++) {
			bool *s = got[i]->user;

			ck_assert_int_eq(got[i]->result, 0);
			ck_assert(!*s);
			*s = true;
		}
		left -= (unsigned)n;
	}
	struct pollfd fd = {vdo_cq_fd(cq), POLLIN, 0};
	ck_assert_int_eq(poll(&fd, 1, 0), 0);
	vdo_cq_free(cq);
	fixture_fini(&f);
	free(e);
	free(buf);
}
END_TEST

/* vdo_poll(): the number of things done; 0 at once with threads. */
START_TEST(test_poll)
{
	struct fixture f;
	struct pending p;
	int n = 0;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	pending_write(&p, &f, 0, V_UNIQUE(1), 0);
	if (f.kind->where == WHERE_INLINE) {
		ck_assert(!pending_is_done(&p));
		while (!pending_is_done(&p)) {
			n = vdo_poll(f.volume, -1);
			ck_assert_int_gt(n, 0);
		}
		while (vdo_poll(f.volume, 0) > 0)
			;
		ck_assert_int_eq(vdo_poll(f.volume, 1), 0);
	} else if (f.kind->where != WHERE_SIM) {
		ck_assert_int_eq(vdo_poll(f.volume, -1), 0);
	}
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_fini(&f);
}
END_TEST

/* Reads of the same block go on while the storage holds one back. */
START_TEST(test_reads_at_once)
{
	struct fixture f;
	struct pending p[40];

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 4, V_UNIQUE(1), 0);
	fixture_reopen(&f, "compression=off");
	sim_device_hold(f.sd, is_read, NULL);
	for (unsigned i = 0; i < 40; i++) {
		pending_init(&p[i], &f);
		p[i].buf = malloc(B);
		ck_assert_int_eq(vdo_aio_pread(f.volume, p[i].buf, B,
					       i % 4 * B, pending_done, &p[i],
					       0),
				 0);
	}
	let_go(&f);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("async");

	tcase_add_loop_test(tc, test_once, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_empty_operations, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_vectors_are_copied, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_depth, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_slow_flush, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_nowait_at_once, 0, KIND_INLINE);
	tcase_add_loop_test(tc, test_fair, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_callbacks_submit, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_callbacks_submit_elsewhere, 0, KIND_INLINE);
	tcase_add_loop_test(tc, test_deadlock, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_flush_waits, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_flush_waits_for_flush, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_flush_order, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_durable, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_fua_waits, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_read_of_what_is_under_way, 0,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_close_waits, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_abandon_waits, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_threads, 0, KIND_SIM);
	tcase_add_loop_test(tc, test_fork, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_cq, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_poll, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_reads_at_once, 0, FIXTURE_KINDS);
	return unit_run();
}
