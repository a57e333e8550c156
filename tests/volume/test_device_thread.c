/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage of the host that completes on a thread of its own: volumes and jobs
 * over it are closed again and again. The sanitizers watch; and one test holds
 * that thread where it has handed its message over, but has not returned: the
 * executor must not be destroyed before it has.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#include "api/handle.h"
#include "api/host_config.h"
#include "exec/executor.h"
#include "io/device.h"
#include "tests/lib/fixture.h"
#include "volume/settings.h"

#define STORE_BYTES (64u << 20)
#define ROUNDS	    20
#define IOS_MAX	    4096

/* ------------------------------------------------------------------ storage */

struct store {
	uint8_t *bytes;
	struct vdo_device_io *ios[IOS_MAX];
	unsigned count;
	atomic_uint submitted;
	unsigned taken; /* the thread's */
	bool stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
};

static _Thread_local bool is_storage_thread;

static void *store_thread(void *arg)
{
	struct store *s = arg;

	is_storage_thread = true;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct vdo_device_io *io;

		while (s->count == 0 && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->count == 0)
			break;
		io = s->ios[--s->count];
		s->taken++;
		pthread_mutex_unlock(&s->lock);
		fixture_transfer(io, s->bytes);
		io->complete(io, 0);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void store_submit(void *ctx, struct vdo_device_io *io)
{
	struct store *s = ctx;

	pthread_mutex_lock(&s->lock);
	ck_assert_uint_lt(s->count, IOS_MAX);
	s->ios[s->count++] = io;
	atomic_fetch_add(&s->submitted, 1);
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static uint64_t store_size(void *ctx)
{
	return STORE_BYTES;
}

static unsigned store_flags(void *ctx)
{
	return VDO_DEVICE_VOLATILE_CACHE;
}

static const struct vdo_device_ops store_ops = {
	.size = sizeof(store_ops),
	.get_size = store_size,
	.get_flags = store_flags,
	.submit = store_submit,
};

static void store_init(struct store *s)
{
	memset(s, 0, sizeof(*s));
	s->bytes = calloc(1, STORE_BYTES);
	ck_assert_ptr_nonnull(s->bytes);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, store_thread, s), 0);
}

static void store_fini(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s->bytes);
}

static struct vdo_device *store_open(struct store *s)
{
	struct vdo_device *d;

	ck_assert_int_eq(vdo_device_open_custom(&store_ops, s, &d), 0);
	return d;
}

static void store_format(struct store *s, const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_device *d = store_open(s);
	struct vdo_error e;
	int r = vdo_format_device(d, c, &e);

	ck_assert_msg(r == 0, "%s", e.message);
	vdo_device_close(d);
	vdo_config_free(c);
}

/* ---------------------------------------------------------------- executors */

static const struct {
	const char *options;
	int pool_threads; /* -1: none of the host's */
} kinds[] = {
	{"executor=native threads=1", -1},
	{"executor=native threads=2", -1},
	{"executor=inline", -1},
	{"", 0}, /* the storage's thread runs the queues */
	{"", 2},
};

static struct test_pool *make_pool(int kind)
{
	struct test_pool_config pool = {0};

	if (kinds[kind].pool_threads < 0)
		return NULL;
	pool.threads = (unsigned)kinds[kind].pool_threads;
	return test_pool_create(&pool);
}

static struct vdo_config *make_config(int kind, struct test_pool *pool)
{
	struct vdo_config *c = fixture_config(kinds[kind].options);

	if (pool != NULL)
		ck_assert_int_eq(
			vdo_config_set_pool(c, test_pool_ops(pool), pool), 0);
	return c;
}

static void write_some(struct vdo_volume *v)
{
	uint8_t *block = pattern_blocks(V_UNIQUE(1), 1);

	ck_assert_int_eq(vdo_pwrite(v, block, BLOCK_SIZE, 0, 0), 0);
	free(block);
}

static void open_and_close(struct store *s, const struct vdo_config *c)
{
	struct vdo_device *d = store_open(s);
	struct vdo_volume *v;

	ck_assert_int_eq(vdo_open_device(d, c, &v, NULL), 0);
	write_some(v);
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_device_close(d);
}

START_TEST(test_close_again_and_again)
{
	struct test_pool *pool = make_pool(_i);
	struct vdo_config *c = make_config(_i, pool);
	struct store s;

	store_init(&s);
	store_format(&s, "profile=small index-memory=none");
	for (unsigned i = 0; i < unit_share(ROUNDS); i++)
		open_and_close(&s, c);
	vdo_config_free(c);
	store_fini(&s);
	if (pool != NULL)
		test_pool_destroy(pool);
}
END_TEST

START_TEST(test_job_again_and_again)
{
	const char *executor = _i == 0 ? "executor=native" : "executor=inline";
	struct vdo_config *c = fixture_config(executor);
	struct store s;

	store_init(&s);
	store_format(&s, "profile=small index-memory=2M");
	open_and_close(&s, c);
	for (unsigned i = 0; i < unit_share(ROUNDS); i++) {
		struct vdo_device *d = store_open(&s);
		struct vdo_error e;
		struct vdo_job *job;

		int r;

		if (i % 2 == 0)
			r = vdo_index_verify_device(d, c, &job, &e);
		else
			r = vdo_index_rebuild_device(d, c, &job, &e);
		ck_assert_msg(r == 0, "%s", e.message);
		ck_assert_int_eq(vdo_job_wait(job, -1, NULL), 0);
		vdo_job_free(job);
		vdo_device_close(d);
	}
	vdo_config_free(c);
	store_fini(&s);
}
END_TEST

/* ------------------------------------------------------------ held in a post */

/*
 * An executor like the real one, but while the volume is closed the storage's
 * thread stays in its post, after the message was put. It goes on when there is
 * more to do for the storage; after the last message of all there is not, and
 * it stays until somebody waits for it, or the executor is destroyed.
 */
static struct {
	const struct vdo_executor_ops *real;
	struct vdo_executor_ops ops;
	void (*post)(struct queue *q, struct completion *c);
	atomic_bool closing, destroyed;
	struct store *store;
	struct vdo_device *device;
	atomic_bool awaited; /* somebody waited for the thread in a post */
	atomic_bool torn; /* destroyed while the thread was in a post */
} held;

static void held_post(struct queue *q, struct completion *c)
{
	bool outside = queue_running == NULL;

	held.post(q, c);
	if (!is_storage_thread || !outside || !atomic_load(&held.closing))
		return;
	while (atomic_load(&held.store->submitted) == held.store->taken) {
		if (atomic_load(&held.destroyed)) {
			atomic_store(&held.torn, true);
			return;
		}
		if (atomic_load(&held.device->completing.word) &
		    INSIDE_AWAITED) {
			atomic_store(&held.awaited, true);
			return;
		}
		sched_yield();
	}
}

static int held_queue_create(struct executor *x, const char *name,
			     unsigned thread, struct queue **queue)
{
	int r = held.real->queue_create(x, name, thread, queue);

	if (r == 0) {
		held.post = (*queue)->post;
		(*queue)->post = held_post;
	}
	return r;
}

static void held_destroy(struct executor *x)
{
	atomic_store(&held.destroyed, true);
	held.real->destroy(x);
}

static struct executor *held_create(int kind, struct test_pool *pool)
{
	struct native_config native = {.threads = 1 + (unsigned)kind,
				       .name_prefix = "held-"};
	struct executor *x;
	int r;

	if (pool != NULL)
		r = executor_strand_create(test_pool_ops(pool), pool, &x);
	else if (kind < 2)
		r = executor_native_create(&native, &x);
	else
		r = executor_inline_create(&x);
	ck_assert_int_eq(r, 0);
	held.real = x->ops;
	held.ops = *x->ops;
	held.ops.queue_create = held_queue_create;
	held.ops.destroy = held_destroy;
	atomic_store(&held.closing, false);
	atomic_store(&held.destroyed, false);
	x->ops = &held.ops;
	return x;
}

START_TEST(test_held_in_post)
{
	struct test_pool *pool = make_pool(_i);
	struct vdo_config *c = make_config(_i, pool);
	struct settings settings;
	struct store s;

	ck_assert_int_eq(host_config_apply(c, &settings, NULL), 0);
	for (unsigned i = 0; i < unit_share(4); i++) {
		struct executor *x = held_create(_i, pool);
		struct vdo_device *d;
		struct vdo_volume *v;

		store_init(&s);
		store_format(&s, "profile=small index-memory=none");
		d = store_open(&s);
		held.store = &s;
		held.device = d;
		atomic_store(&held.awaited, false);
		ck_assert_int_eq(handle_open(d, x, &settings, &v, NULL), 0);
		write_some(v);
		atomic_store(&held.closing, true);
		ck_assert_int_eq(vdo_close(v), 0);
		/* Before the device is gone, which the thread looks at. */
		store_fini(&s);
		vdo_device_close(d);
		ck_assert(!atomic_load(&held.torn));
		ck_assert(atomic_load(&held.awaited));
	}
	vdo_config_free(c);
	if (pool != NULL)
		test_pool_destroy(pool);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("the host's storage has a thread");

	tcase_add_loop_test(tc, test_close_again_and_again, 0,
			    ARRAY_SIZE(kinds));
	tcase_add_loop_test(tc, test_job_again_and_again, 0, 2);
	tcase_add_loop_test(tc, test_held_in_post, 0, ARRAY_SIZE(kinds));
	return unit_run();
}
