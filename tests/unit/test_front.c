/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front over engines of the test: what waits, what is refused, what a drain
 * waits for; stopping and starting while other threads submit.
 */
#include "build.h"

#include "front/io.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <vdo/io.h>

#include "tests/lib/unit.h"
#include "tests/unit/hand_queue.h"

#define B     BLOCK_SIZE
#define DEPTH 4

/* An engine that keeps what it is given until it is told to end it. */
struct engine {
	struct front *front;
	unsigned free; /* requests */
	unsigned count;
	struct io_block blocks[64]; /* under way, in order */
	struct io *flush;
	unsigned started; /* blocks, so far */
};

static bool run(void *arg, struct io *io, unsigned max)
{
	struct engine *e = arg;

	while (max-- > 0 && e->free > 0) {
		bool last = io_next(io, &e->blocks[e->count]);

		e->free--;
		e->count++;
		e->started++;
		if (last)
			return true;
		if (!front_hold_more(e->front))
			break;
	}
	front_release(e->front);
	return false;
}

static int reserve(void *arg, struct io *io)
{
	struct engine *e = arg;

	return (io->end - io->next) / B > e->free ? -EAGAIN : 0;
}

static void flush(void *arg, struct io *io)
{
	struct engine *e = arg;

	e->flush = io;
}

static bool ready(void *arg)
{
	struct engine *e = arg;

	return e->free > 0;
}

static const struct front_engine ops = {
	.run = run,
	.reserve = reserve,
	.flush = flush,
	.ready = ready,
};

/* The oldest block is over. */
static void end_one(struct engine *e)
{
	struct io_block b = e->blocks[0];

	ck_assert_uint_gt(e->count, 0);
	memmove(e->blocks, e->blocks + 1, --e->count * sizeof(b));
	io_end_block(b.io, 0);
	e->free++;
	front_feed(e->front);
	front_release(e->front);
}

static struct hand_queue hand;
static struct front *front;
static struct engine engine;
static unsigned drained;
static char ended[64]; /* letters of the calls that are over, in order */

static void letter(void *arg, int result)
{
	ck_assert_int_eq(result, 0);
	strncat(ended, arg, 1);
}

static void drain_done(struct completion *c)
{
	(void)c;
	drained++;
}

static int submit(enum io_kind kind, unsigned blocks, const char *name,
		  unsigned flags)
{
	static uint8_t bytes[300 * B];
	struct iovec iov = {bytes, blocks * B};
	struct io_request q = {
		.kind = kind,
		.flags = flags,
		.length = blocks * B,
		.iov = &iov,
		.iov_count = 1,
		.callback = letter,
		.arg = (void *)name,
	};

	return front_submit(front, &q);
}

static void setup(void)
{
	struct front_config c = {.depth = DEPTH, .queue = &hand.queue};

	hand_init(&hand);
	ck_assert_int_eq(front_create(&c, &front), 0);
	engine = (struct engine){.front = front, .free = DEPTH};
	drained = 0;
	ended[0] = '\0';
}

static void start(void)
{
	front_start(front, &ops, &engine);
}

static struct completion drain_op;

static void begin_drain(void)
{
	completion_init(&drain_op, &hand.queue, drain_done);
	front_drain(front, &drain_op);
}

static void teardown(void)
{
	begin_drain();
	hand_run(&hand);
	ck_assert_uint_eq(drained, 1);
	ck_assert_uint_eq(front_holds(front), 0);
	front_join(front);
	front_destroy(front);
}

/* Blocks without requests wait; calls take turns. */
START_TEST(waits_for_requests)
{
	setup();
	start();
	ck_assert_int_eq(submit(IO_WRITE, 3, "a", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 3, "b", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 1, "c", 0), 0);
	ck_assert_uint_eq(engine.count, DEPTH);
	ck_assert_int_eq(submit(IO_WRITE, 1, "d", VDO_IO_NOWAIT), -EAGAIN);
	for (unsigned i = 0; i < 7; i++)
		end_one(&engine);
	ck_assert_str_eq(ended, "abc");
	teardown();
}
END_TEST

/* A long call lets others have a turn; what it gets in one lies together. */
START_TEST(long_calls_take_turns)
{
	uint64_t next = 0;
	unsigned alone = 0;

	setup();
	start();
	ck_assert_int_eq(submit(IO_WRITE, 300, "a", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 300, "b", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 1, "c", 0), 0);
	while (ended[0] == '\0') {
		uint64_t lbn = engine.blocks[engine.count - 1].lbn;

		alone += lbn != next;
		next = lbn + 1;
		end_one(&engine);
	}
	ck_assert_str_eq(ended, "c");
	ck_assert_uint_lt(alone, 5);
	while (engine.count > 0)
		end_one(&engine);
	teardown();
}
END_TEST

/* Of a stopped front, calls wait; their order is kept for the next engine. */
START_TEST(stopped)
{
	struct engine next;

	setup();
	start();
	ck_assert_int_eq(submit(IO_WRITE, 2, "a", 0), 0);
	front_stop(front);
	ck_assert_int_eq(submit(IO_WRITE, 2, "b", 0), 0);
	ck_assert_int_eq(submit(IO_FLUSH, 0, "f", 0), 0);
	ck_assert_int_eq(submit(IO_READ, 0, "e", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 1, "n", VDO_IO_NOWAIT), -EAGAIN);
	ck_assert_int_eq(submit(IO_FLUSH, 0, "n", VDO_IO_NOWAIT), -EAGAIN);
	ck_assert_uint_eq(engine.started, 2);
	ck_assert_ptr_null(engine.flush);
	begin_drain();
	end_one(&engine);
	hand_run(&hand);
	ck_assert_uint_eq(drained, 0);
	end_one(&engine);
	hand_run(&hand);
	ck_assert_uint_eq(drained, 1);
	ck_assert_str_eq(ended, "a");

	/* Nothing of the old engine is touched any more. */
	memset(&engine, 0xff, sizeof(engine));
	next = (struct engine){.front = front, .free = DEPTH};
	front_start(front, &ops, &next);
	ck_assert_uint_eq(next.count, 2);
	ck_assert_ptr_nonnull(next.flush);
	hand_run(&hand);
	ck_assert_str_eq(ended, "ae");
	io_end_block(next.flush, 0);
	end_one(&next);
	end_one(&next);
	ck_assert_str_eq(ended, "aefb");
	drained = 0;
	teardown();
}
END_TEST

/* A call that is being cut into blocks stops there, and goes on later. */
START_TEST(stopped_in_the_middle)
{
	setup();
	start();
	ck_assert_int_eq(submit(IO_WRITE, 9, "a", 0), 0);
	ck_assert_uint_eq(engine.count, DEPTH);
	front_stop(front);
	begin_drain();
	while (engine.count > 0)
		end_one(&engine);
	hand_run(&hand);
	ck_assert_uint_eq(engine.started, DEPTH);
	ck_assert_uint_eq(drained, 1);
	start();
	while (engine.count > 0)
		end_one(&engine);
	ck_assert_uint_eq(engine.started, 9);
	ck_assert_str_eq(ended, "a");
	drained = 0;
	teardown();
}
END_TEST

/* A drain of a front that runs waits for calls in line as well. */
START_TEST(drain_waits_for_all)
{
	setup();
	start();
	ck_assert_int_eq(submit(IO_WRITE, DEPTH, "a", 0), 0);
	ck_assert_int_eq(submit(IO_WRITE, 1, "b", 0), 0);
	ck_assert_int_eq(submit(IO_FLUSH, 0, "f", 0), 0);
	begin_drain();
	while (engine.count > 0)
		end_one(&engine);
	hand_run(&hand);
	ck_assert_str_eq(ended, "ab");
	ck_assert_uint_eq(drained, 0);
	io_end_block(engine.flush, 0);
	hand_run(&hand);
	ck_assert_uint_eq(drained, 1);
	ck_assert_uint_eq(front_holds(front), 0);
	front_destroy(front);
}
END_TEST

/* ------------------------------------------------------- under contention */

/*
 * An engine that ends each block at once, on the submitting thread. It says
 * whether it may be used, and fails the test when it is used all the same.
 */
struct swift {
	atomic_bool alive;
	atomic_uint blocks;
};

static bool swift_run(void *arg, struct io *io, unsigned max)
{
	struct swift *s = arg;
	struct io_block b;
	bool last;

	(void)max;
	do {
		ck_assert(atomic_load(&s->alive));
		last = io_next(io, &b);
		if (!last && !front_hold_more(front)) {
			/* One hold for this block, one that we give back. */
			atomic_fetch_add(&s->blocks, 1);
			io_end_block(b.io, 0);
			front_release(front);
			ck_assert(atomic_load(&s->alive));
			front_release(front);
			return false;
		}
		atomic_fetch_add(&s->blocks, 1);
		io_end_block(b.io, 0);
		ck_assert(atomic_load(&s->alive));
		front_release(front);
	} while (!last);
	return true;
}

static bool swift_ready(void *arg)
{
	struct swift *s = arg;

	return atomic_load(&s->alive);
}

static const struct front_engine swift_ops = {
	.run = swift_run,
	.ready = swift_ready,
};

/* Of several the second is refused: the first goes on, the third never began,
 * and nothing holds the front up. Running or stopped. */
START_TEST(some_are_refused)
{
	static uint8_t bytes[B];
	struct iovec iov = {bytes, B};
	struct io_request q[3];
	unsigned taken = 0;

	setup();
	for (unsigned i = 0; i < 3; i++)
		q[i] = (struct io_request){
			.kind = IO_WRITE,
			.flags = i == 1 ? VDO_IO_NOWAIT : 0,
			.length = i == 1 ? (DEPTH + 1) * B : B,
			.iov = &iov,
			.iov_count = 1,
			.callback = letter,
			.arg = (void *)"a",
		};
	if (_i == 0)
		start();
	ck_assert_int_eq(front_submit_many(front, q, 3, &taken), -EAGAIN);
	ck_assert_uint_eq(taken, 1);
	if (_i == 1)
		start();
	ck_assert_uint_eq(front_holds(front), 1);
	end_one(&engine);
	ck_assert_str_eq(ended, "a");
	teardown();
}
END_TEST

static atomic_uint calls_over;

static void count_call(void *arg, int result)
{
	(void)arg;
	(void)result;
	atomic_fetch_add(&calls_over, 1);
}

#define CALLS 20000u

static void *submitter(void *arg)
{
	static uint8_t bytes[3 * B];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct io_request q = {
		.kind = IO_WRITE,
		.length = sizeof(bytes),
		.iov = &iov,
		.iov_count = 1,
		.callback = count_call,
	};

	(void)arg;
	for (unsigned i = 0; i < unit_share(CALLS); i++)
		ck_assert_int_eq(front_submit(front, &q), 0);
	return NULL;
}

static void drain_signal(struct completion *c)
{
	atomic_fetch_add((atomic_uint *)&drained, 1);
	(void)c;
}

static void atomic_post(struct queue *q, struct completion *c)
{
	(void)q;
	c->fn(c);
}

/*
 * While two threads submit, the front is stopped, drained, and started with
 * another engine, again and again: no engine is used after its drain, and no
 * call is lost.
 */
START_TEST(stops_under_load)
{
	static struct swift engines[2];
	struct queue queue = {.post = atomic_post, .name = "direct"};
	struct front_config c = {.depth = DEPTH, .queue = &queue};
	struct completion done;
	pthread_t threads[2];
	unsigned total = 2 * unit_share(CALLS);
	unsigned turn = 0;

	drained = 0;
	atomic_store(&calls_over, 0);
	ck_assert_int_eq(front_create(&c, &front), 0);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, submitter,
						NULL),
				 0);
	do {
		struct swift *s = &engines[turn & 1];

		atomic_store(&s->alive, true);
		front_start(front, &swift_ops, s);
		front_stop(front);
		completion_init(&done, &queue, drain_signal);
		front_drain(front, &done);
		while (atomic_load((atomic_uint *)&drained) == turn)
			sched_yield();
		atomic_store(&s->alive, false);
		turn++;
	} while (atomic_load(&calls_over) < total);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(drained, turn);
	ck_assert_uint_eq(engines[0].blocks + engines[1].blocks, 3 * total);
	front_join(front);
	front_destroy(front);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("front");

	tcase_add_test(tc, waits_for_requests);
	tcase_add_test(tc, long_calls_take_turns);
	tcase_add_test(tc, stopped);
	tcase_add_test(tc, stopped_in_the_middle);
	tcase_add_test(tc, drain_waits_for_all);
	tcase_add_loop_test(tc, some_are_refused, 0, 2);
	tcase_add_test(tc, stops_under_load);
	return unit_run();
}
