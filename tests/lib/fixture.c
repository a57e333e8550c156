/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fixture.h.
 */
#include "build.h"

#include "tests/lib/fixture.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/handle.h"
#include "api/host_config.h"
#include "base/alloc.h"
#include "exec/trace.h"
#include "tests/lib/sim_exec.h"

const struct fixture_kind fixture_kinds[FIXTURE_KINDS] = {
	{"native", WHERE_NATIVE, "threads=2", {0}, 0},
	{"native, zones on their own", WHERE_NATIVE,
	 "topology=classic threads=3 logical-zones=2 physical-zones=2 "
	 "hash-zones=2 spin=0",
	 {0}, 0},
	{"pool of one", WHERE_POOL, "threads=2", {.threads = 1}, 0},
	{"pool that runs tasks inside of submit", WHERE_POOL,
	 "topology=classic logical-zones=3 physical-zones=2 hash-zones=3",
	 {.threads = 0}, 0},
	{"pool of three that mixes up everything", WHERE_POOL,
	 "topology=classic logical-zones=3 physical-zones=3 hash-zones=1",
	 {.threads = 3, .inline_percent = 20, .reorder = true, .later = true},
	 0},
	{"inline", WHERE_INLINE, "", {0}, 0},
	{"sim, shards", WHERE_SIM, "threads=3", {0}, 1},
	{"sim, one zone of each", WHERE_SIM,
	 "topology=classic logical-zones=1 physical-zones=1 hash-zones=1",
	 {0}, 2},
	{"sim, many zones", WHERE_SIM,
	 "topology=classic logical-zones=4 physical-zones=3 hash-zones=4",
	 {0}, 3},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t completed;

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ----------------------------------------------------------------- options */

static void set_options(struct vdo_config *c, const char *options)
{
	char *copy = must(strdup(options)), *rest = copy, *word;

	while ((word = strsep(&rest, " ")) != NULL) {
		struct vdo_error error;
		char *value = strchr(word, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		ck_assert_msg(vdo_config_set(c, word, value, &error) == 0, "%s",
			      error.message);
	}
	free(copy);
}

/* VDO_TEST_LOG=1 in the environment shows what the volumes say. */
static void print_log(void *arg, enum vdo_log_level level, const char *message)
{
	(void)arg;
	fprintf(stderr, "log %d: %s\n", (int)level, message);
}

char fixture_log[16384];

void fixture_keep_line(void *arg, enum vdo_log_level level, const char *line)
{
	size_t n = strlen(fixture_log);

	(void)arg;
	(void)level;
	snprintf(fixture_log + n, sizeof(fixture_log) - n, "%s\n", line);
}

struct vdo_config *fixture_config(const char *options)
{
	struct vdo_config *c;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	if (options != NULL)
		set_options(c, options);
	if (getenv("VDO_TEST_LOG") != NULL)
		vdo_config_set_log(c, print_log, NULL);
	return c;
}

/* The kind's options, then the test's. */
static struct vdo_config *open_config(struct fixture *f, const char *options)
{
	struct vdo_config *c = fixture_config(f->kind->options);

	if (f->kind->where == WHERE_INLINE)
		set_options(c, "executor=inline");
	if (f->kind->where == WHERE_POOL)
		ck_assert_int_eq(vdo_config_set_pool(c, test_pool_ops(f->pool),
						     f->pool),
				 0);
	if (f->log != NULL)
		vdo_config_set_log(c, f->log, f);
	if (options != NULL)
		set_options(c, options);
	return c;
}

/* ---------------------------------------------------------------- lifetime */

void fixture_init_raw(struct fixture *f, int kind,
		      const struct sim_device_config *config)
{
	memset(f, 0, sizeof(*f));
	f->kind = &fixture_kinds[kind];
	f->sd = sim_device_create(config);
	f->block_count = config->block_count;
	if (f->kind->where == WHERE_POOL)
		f->pool = test_pool_create(&f->kind->pool);
}

int fixture_format(struct fixture *f, const char *options)
{
	struct vdo_config *c = fixture_config(options);
	struct vdo_device *device = sim_device_open(f->sd, NULL);
	struct vdo_info info;
	int result = vdo_format_device(device, c, &f->error);

	vdo_config_free(c);
	if (result == 0)
		result = vdo_inspect_device(device, &info, sizeof(info),
					    &f->error);
	if (result == 0) {
		f->logical_blocks = info.logical_blocks;
		free(f->expect);
		free(f->unknown);
		f->expect = must(calloc(info.logical_blocks, sizeof(value_t)));
		f->unknown = must(calloc(info.logical_blocks, sizeof(bool)));
	}
	vdo_device_close(device);
	return result;
}

/* A small volume with several slabs, and journals that wrap soon. */
#define SMALL                                                                  \
	"profile=small slab-bits=9 slab-journal-blocks=8 "                     \
	"journal-blocks=32 logical-size=8M "

void fixture_init(struct fixture *f, int kind, const char *options)
{
	struct vdo_config *c;
	struct settings s;
	struct sim_device_config config = {
		.seed = (uint64_t)kind + 1,
		.volatile_cache = true,
	};
	char *all = must(malloc(sizeof(SMALL) + strlen(options) + 16));
	int result;

	strcpy(all, SMALL "size=32M ");
	strcat(all, options);
	c = fixture_config(all);
	ck_assert_int_eq(host_config_apply(c, &s, NULL), 0);
	vdo_config_free(c);
	config.block_count = s.format.size_bytes / BLOCK_SIZE;
	fixture_init_raw(f, kind, &config);
	result = fixture_format(f, all);
	ck_assert_msg(result == 0, "%s", f->error.message);
	free(all);
}

/* The executor of the volume that was opened last, while it is open. */
static struct executor *watched;

static void print_line(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

/* No handler should print; but what hangs is about to be killed. */
static void print_queues(int signal)
{
	fprintf(stderr, "the last rows on each queue:\n");
	if (watched != NULL)
		trace_print_all(watched, print_line, NULL);
}

/* Look at @x when the time for a test is nearly over, or somebody asks. */
static void watch(struct executor *x)
{
	struct sigaction action = {.sa_handler = print_queues,
				   .sa_flags = SA_RESTART};

	watched = x;
	/* The handler of libcheck is its parent's, which has the time limit. */
	sigaction(SIGALRM, &action, NULL);
	alarm(x != NULL ? UNIT_SECONDS - 10 : 0);
}

int fixture_try_open(struct fixture *f, const char *options)
{
	struct vdo_config *c = open_config(f, options);
	struct executor *x;
	struct settings s;
	int result;

	ck_assert_ptr_null(f->volume);
	f->error = (struct vdo_error){0};
	if (f->kind->where == WHERE_SIM) {
		result = host_config_apply(c, &s, &f->error);
		/* Zones are as asked for, as with a pool. */
		s.open.executor = EXECUTOR_INLINE;
		s.open.recovery_batch = f->recovery_batch;
		s.open.reclaim_blocks = f->reclaim_blocks;
		if (f->counts_memory != 0)
			s.open.counts_memory = f->counts_memory;
		x = sim_executor_create(f->kind->seed);
		f->device = sim_device_open(f->sd, x);
		if (result == 0)
			result = handle_open(f->device, x, &s, &f->volume,
					     &f->error);
		else
			executor_destroy(x);
	} else {
		f->device = sim_device_open(f->sd, NULL);
		result = vdo_open_device(f->device, c, &f->volume, &f->error);
	}
	vdo_config_free(c);
	if (result != 0) {
		ck_assert_ptr_null(f->volume);
		vdo_device_close(f->device);
		f->device = NULL;
	} else {
		watch(f->volume->executor);
	}
	return result;
}

void fixture_open(struct fixture *f, const char *options)
{
	int result = fixture_try_open(f, options);

	ck_assert_msg(result == 0, "open: %s: %s", vdo_error_name(result),
		      f->error.message);
	ck_assert_uint_eq(vdo_volume_size(f->volume),
			  f->logical_blocks * BLOCK_SIZE);
}

static void drop_device(struct fixture *f)
{
	f->volume = NULL;
	vdo_device_close(f->device);
	f->device = NULL;
}

int fixture_try_close(struct fixture *f)
{
	int result = vdo_close(f->volume);

	watch(NULL);
	drop_device(f);
	return result;
}

void fixture_abandon(struct fixture *f)
{
	vdo_abandon(f->volume);
	watch(NULL);
	drop_device(f);
}

void fixture_transfer(const struct vdo_device_io *io, uint8_t *bytes)
{
	uint8_t *at = bytes + io->offset;

	for (unsigned i = 0; i < io->iov_count; i++) {
		const struct iovec *v = &io->iov[i];

		if (io->op == VDO_DEVICE_READ)
			memcpy(v->iov_base, at, v->iov_len);
		else
			memcpy(at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
}

void fixture_check_lbn(const struct fixture *f, struct image *im, uint64_t lbn)
{
	uint8_t buf[BLOCK_SIZE];

	ck_assert(image_read(im, lbn, buf));
	ck_assert_msg(pattern_is(f->expect[lbn], buf),
		      "lbn %llu on the storage is not %llx",
		      (unsigned long long)lbn,
		      (unsigned long long)f->expect[lbn]);
}

static void check_image_data(struct fixture *f)
{
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	for (uint64_t i = 0; i < f->logical_blocks; i++) {
		if (!f->unknown[i])
			fixture_check_lbn(f, &im, i);
	}
	image_close(&im);
}

void fixture_close(struct fixture *f)
{
	int result = fixture_try_close(f);
	uint32_t state;

	ck_assert_msg(result == 0, "close: %s", vdo_error_name(result));
	state = fixture_state(f);
	/* After a recovery, if slabs were left to be scrubbed. */
	ck_assert(state == VOLUME_CLEAN || state == VOLUME_RECOVERING);
	if (f->no_check)
		return;
	ck_assert_uint_eq(fixture_check_image(f), 0);
	check_image_data(f);
}

void fixture_reopen(struct fixture *f, const char *options)
{
	fixture_close(f);
	fixture_open(f, options);
}

void fixture_fini(struct fixture *f)
{
	if (f->volume != NULL)
		fixture_close(f);
	if (f->pool != NULL)
		test_pool_destroy(f->pool);
	sim_device_destroy(f->sd);
	free(f->expect);
	free(f->unknown);
}

unsigned fixture_check_image(struct fixture *f)
{
	struct image im;
	unsigned problems;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	image_check(&im);
	problems = im.problems;
	image_close(&im);
	return problems;
}

uint32_t fixture_state(struct fixture *f)
{
	struct image im;
	uint32_t state;

	image_open_sim(&im, f->sd, f->block_count);
	ck_assert_uint_eq(im.problems, 0);
	state = im.sb.state;
	image_close(&im);
	return state;
}

void fixture_set_state(struct fixture *f, enum volume_state state)
{
	uint8_t block[BLOCK_SIZE];
	struct image im;

	ck_assert_ptr_null(f->volume);
	image_open_sim(&im, f->sd, f->block_count);
	im.sb.state = state;
	superblock_encode(&im.sb, block);
	sim_device_poke(f->sd, im.geometry.data_start - im.geometry.bio_offset,
			block);
	image_close(&im);
}

/* --------------------------------------------------------------------- I/O */

void fixture_write(struct fixture *f, uint64_t lbn, uint64_t count, value_t v,
		   unsigned flags)
{
	uint8_t *buf = pattern_blocks(v, count);
	int result = vdo_pwrite(f->volume, buf, count * BLOCK_SIZE,
				lbn * BLOCK_SIZE, flags);

	ck_assert_msg(result == 0, "write of %llu+%llu: %s",
		      (unsigned long long)lbn, (unsigned long long)count,
		      vdo_error_name(result));
	for (uint64_t i = 0; i < count; i++)
		f->expect[lbn + i] = v == V_ZERO ? v : v + i;
	free(buf);
}

int fixture_try_write(struct fixture *f, uint64_t lbn, value_t v,
		      unsigned flags)
{
	uint8_t buf[BLOCK_SIZE];
	int result;

	pattern_fill(v, buf);
	result = vdo_pwrite(f->volume, buf, BLOCK_SIZE, lbn * BLOCK_SIZE,
			    flags);
	if (result == 0)
		f->expect[lbn] = v;
	return result;
}

void fixture_repeat(struct fixture *f, uint64_t lbn, uint64_t count, value_t v,
		    unsigned flags)
{
	uint8_t *buf = must(malloc(count * BLOCK_SIZE));

	for (uint64_t i = 0; i < count; i++) {
		pattern_fill(v, buf + i * BLOCK_SIZE);
		f->expect[lbn + i] = v;
	}
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, count * BLOCK_SIZE,
				    lbn * BLOCK_SIZE, flags),
			 0);
	free(buf);
}

void fixture_discard(struct fixture *f, uint64_t lbn, uint64_t count)
{
	ck_assert_int_eq(vdo_discard(f->volume, count * BLOCK_SIZE,
				     lbn * BLOCK_SIZE, 0),
			 0);
	memset(f->expect + lbn, 0, count * sizeof(value_t));
}

void fixture_flush(struct fixture *f)
{
	ck_assert_int_eq(vdo_flush(f->volume, 0), 0);
}

#define CHUNK UINT64_C(64)

void fixture_verify(struct fixture *f, uint64_t lbn, uint64_t count)
{
	uint8_t *buf = must(malloc(CHUNK * BLOCK_SIZE));

	for (uint64_t at = lbn; at < lbn + count; at += CHUNK) {
		uint64_t n = MIN(CHUNK, lbn + count - at);
		int result = vdo_pread(f->volume, buf, n * BLOCK_SIZE,
				       at * BLOCK_SIZE, 0);

		ck_assert_msg(result == 0, "read of %llu: %s",
			      (unsigned long long)at, vdo_error_name(result));
		for (uint64_t i = 0; i < n; i++)
			ck_assert_msg(
				f->unknown[at + i] ||
					pattern_is(f->expect[at + i],
						   buf + i * BLOCK_SIZE),
				"lbn %llu does not hold %llx",
				(unsigned long long)(at + i),
				(unsigned long long)f->expect[at + i]);
	}
	free(buf);
}

void fixture_verify_all(struct fixture *f)
{
	fixture_verify(f, 0, f->logical_blocks);
}

uint64_t fixture_stat(struct fixture *f, const char *name)
{
	struct vdo_stats *stats;
	uint64_t value = UINT64_MAX;

	ck_assert_int_eq(vdo_stats_get(f->volume, &stats), 0);
	for (size_t i = 0; i < vdo_stats_count(stats); i++)
		if (strcmp(vdo_stats_at(stats, i)->name, name) == 0)
			value = vdo_stats_at(stats, i)->value;
	vdo_stats_free(stats);
	ck_assert_msg(value != UINT64_MAX, "no statistic %s", name);
	return value;
}

/* ------------------------------------------------------------ asynchronous */

static bool must_poll(struct fixture *f)
{
	return f->kind->where == WHERE_INLINE || f->kind->where == WHERE_SIM;
}

/* In the simulation time passes only here. */
static int poll_volume(struct fixture *f)
{
	return vdo_poll(f->volume, f->kind->where == WHERE_SIM ? 1 : 0);
}

void fixture_poll(struct fixture *f)
{
	if (must_poll(f))
		ck_assert_int_ge(poll_volume(f), 0);
	else
		sched_yield();
}

void pending_done(void *arg, int result)
{
	struct pending *p = arg;

	pthread_mutex_lock(&lock);
	p->calls++;
	p->result = result;
	p->order = ++completed;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

void pending_init(struct pending *p, struct fixture *f)
{
	memset(p, 0, sizeof(*p));
	p->f = f;
}

bool pending_is_done(struct pending *p)
{
	bool done;

	pthread_mutex_lock(&lock);
	done = p->calls > 0;
	pthread_mutex_unlock(&lock);
	return done;
}

int pending_wait(struct pending *p)
{
	unsigned idle = 0;

	if (must_poll(p->f)) {
		while (!pending_is_done(p)) {
			if (poll_volume(p->f) > 0)
				idle = 0;
			ck_assert_msg(++idle < 100000, "an operation hangs");
		}
	} else {
		pthread_mutex_lock(&lock);
		while (p->calls == 0)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
	}
	ck_assert_uint_eq(p->calls, 1);
	free(p->buf);
	p->buf = NULL;
	return p->result;
}

void pending_write(struct pending *p, struct fixture *f, uint64_t lbn,
		   value_t v, unsigned flags)
{
	pending_init(p, f);
	p->buf = pattern_blocks(v, 1);
	f->expect[lbn] = v;
	ck_assert_int_eq(vdo_aio_pwrite(f->volume, p->buf, BLOCK_SIZE,
					lbn * BLOCK_SIZE, pending_done, p,
					flags),
			 0);
}

void pending_flush(struct pending *p, struct fixture *f)
{
	pending_init(p, f);
	ck_assert_int_eq(vdo_aio_flush(f->volume, pending_done, p, 0), 0);
}

void fixture_restore_power(struct fixture *f)
{
	if (sim_device_crashed(f->sd))
		vdo_device_close(sim_device_reopen(f->sd, NULL));
}

void fixture_lose_power(struct fixture *f)
{
	sim_device_crash(f->sd);
	fixture_abandon(f);
	fixture_restore_power(f);
}

void fixture_write_much(struct fixture *f)
{
	fixture_write(f, 0, 600, V_UNIQUE(1), 0);
	fixture_write(f, 600, 100, V_SQUEEZE(1, 300), 0);
	fixture_repeat(f, 800, 60, V_UNIQUE(7777), 0);
	fixture_flush(f);
	fixture_discard(f, 50, 100);
	fixture_write(f, 100, 20, V_UNIQUE(5000), 0);
	fixture_write(f, 300, 20, V_ZERO, 0);
	fixture_write(f, f->logical_blocks - 30, 30, V_UNIQUE(9000), 0);
	fixture_flush(f);
}

uint64_t fixture_checksum(struct fixture *f)
{
	uint64_t sum = 0;
	uint8_t block[BLOCK_SIZE];

	for (uint64_t i = 0; i < f->block_count; i++) {
		sim_device_peek(f->sd, i, block);
		for (unsigned k = 0; k < BLOCK_SIZE; k += 8)
			sum = sum * 31 + get_u64(block + k);
	}
	return sum;
}
