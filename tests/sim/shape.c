/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shape of a volume, and of each opening: sizes, options, zones.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

#include "api/host_config.h"
#include "volume/volume_priv.h"

static void print_log(void *arg, enum vdo_log_level level, const char *message)
{
	struct run *r = arg;

	(void)level;
	say(r, "  log: %s", message);
}

static void config_set(struct run *r, struct vdo_config *c, const char *name,
		       uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	say(r, "  %s=%s", name, text);
	if (vdo_config_set(c, name, text, NULL) != 0)
		die(r, "%s=%s", name, text);
}

/* Blocks that were never written hold anything. */
static void fill_with_rubbish(struct run *r)
{
	uint8_t block[BLOCK_SIZE];

	pattern_fill(V_UNIQUE(dice(r, 1000)), block);
	for (uint64_t i = 0; i < r->block_count; i++) {
		block[i % BLOCK_SIZE]++;
		sim_device_poke(r->sd, i, block);
	}
}

/* ------------------------------------------------------------------- format */

static struct vdo_config *random_shape(struct run *r)
{
	static const unsigned rings[] = {4, 8, 16, 32, 64, 256};
	static const unsigned slab_rings[] = {3, 4, 8, 16};
	static const unsigned logical[] = {500, 500, 6000, 6000, 80000};
	struct vdo_config *c;

	if (vdo_config_new(&c) != 0)
		abort();
	r->has_index = percent(r, 30);
	vdo_config_set(c, "profile", "small", NULL);
	vdo_config_set(c, "index-memory", r->has_index ? "2M" : "none", NULL);
	r->tight = percent(r, 50);
	config_set(r, c, "slab-bits", 9 + dice(r, 2));
	config_set(r, c, "slab-journal-blocks",
		   r->tight ? 3 + dice(r, 3) : CHOOSE(r, slab_rings));
	config_set(r, c, "journal-blocks", r->tight ? 4 : CHOOSE(r, rings));
	r->lbns = (r->tight ? 300 : 10) + dice(r, CHOOSE(r, logical));
	config_set(r, c, "logical-size", r->lbns * BLOCK_SIZE);
	vdo_config_set(c, "force", "on", NULL);
	return c;
}

/* Power fails while it is formatted: it is whole, or it is none (D12). */
static void crash_in_format(struct run *r, struct vdo_config *c)
{
	struct vdo_device *d = sim_device_open(r->sd, NULL);
	struct vdo_error error;
	struct vdo_info info;
	struct image im;
	int result;

	sim_device_crash_at(r->sd, any_size(r, 5));
	result = vdo_format_device(d, c, &error);
	vdo_device_close(d);
	if (!sim_device_crashed(r->sd))
		sim_device_crash(r->sd);
	d = sim_device_reopen(r->sd, NULL);
	say(r, "  power fails while it is formatted: %s",
	    vdo_error_name(result));
	if (vdo_inspect_device(d, &info, sizeof(info), &error) == 0) {
		image_open_sim(&im, r->sd, r->block_count);
		image_check(&im);
		if (im.problems != 0)
			die(r, "half a volume was formatted");
		image_close(&im);
	} else if (result == 0) {
		die(r, "format succeeded, and is lost: %s", error.message);
	}
	vdo_device_close(d);
}

void shape_format(struct run *r)
{
	struct sim_device_config device = {
		.seed = r->seed,
		.block_count = 1500 + dice(r, 2500),
		.volatile_cache = percent(r, 90),
	};
	struct vdo_error error;
	struct vdo_config *c;
	struct vdo_info info;
	struct vdo_device *d;

	say(r, "seed %" PRIu64, r->seed);
	c = random_shape(r);
	if (r->tight)
		device.block_count = 1500 + dice(r, 700);
	if (r->has_index)
		device.block_count += 1000;
	device.fua_lies = device.volatile_cache &&
			  percent(r, r->tight ? 50 : 20);
	say(r, "  blocks=%" PRIu64 "%s%s", device.block_count,
	    device.volatile_cache ? " cache" : "",
	    device.fua_lies ? " lies" : "");
	r->fua_lies = device.fua_lies;
	r->block_count = device.block_count;
	r->sd = sim_device_create(&device);
	if (percent(r, 20))
		fill_with_rubbish(r);
	if (!r->fua_lies && percent(r, 10))
		crash_in_format(r, c);
	d = sim_device_open(r->sd, NULL);
	if (vdo_format_device(d, c, &error) != 0)
		die(r, "format: %s", error.message);
	if (vdo_inspect_device(d, &info, sizeof(info), &error) != 0)
		die(r, "inspect: %s", error.message);
	r->super_block = info.data_start - (uint64_t)info.bio_offset;
	r->nonce = info.nonce;
	vdo_device_close(d);
	vdo_config_free(c);
	r->model = model_create(r->lbns);
	r->writes = calloc(r->lbns, sizeof(*r->writes));
	r->partial = calloc(r->lbns, sizeof(*r->partial));
}

/* --------------------------------------------------------------------- open */

static void random_settings(struct run *r, struct settings *s)
{
	static const unsigned depths[] = {16, 17, 32, 64, 200, 1024};
	struct vdo_config *c;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set_log(c, print_log, r);
	config_set(r, c, "depth", CHOOSE(r, depths));
	if (percent(r, 50)) {
		vdo_config_set(c, "topology", "classic", NULL);
		config_set(r, c, "logical-zones", 1 + dice(r, 4));
		config_set(r, c, "physical-zones", 1 + dice(r, 4));
		config_set(r, c, "hash-zones", 1 + dice(r, 4));
	} else {
		config_set(r, c, "threads", 1 + dice(r, 4));
	}
	config_set(r, c, "era", 1 + dice(r, 8));
	vdo_config_set(c, "alignment", percent(r, 40) ? "512" : "4096", NULL);
	config_set(r, c, "deduplication", percent(r, 85));
	config_set(r, c, "compression", percent(r, 75));
	if (host_config_apply(c, s, NULL) != 0)
		die(r, "options");
	s->open.executor = EXECUTOR_INLINE;
	/* Smaller than the options allow, so that pages come and go. */
	s->open.cache_bytes = (4 + dice(r, percent(r, 50) ? 10 : 200)) *
			      BLOCK_SIZE;
	say(r, "  cache %" PRIu64, s->open.cache_bytes / BLOCK_SIZE);
	vdo_config_free(c);
}

static struct vdo_device *plug(struct run *r, struct executor *x)
{
	return sim_device_crashed(r->sd) ? sim_device_reopen(r->sd, x)
					 : sim_device_open(r->sd, x);
}

void shape_power_on(struct run *r)
{
	vdo_device_close(sim_device_reopen(r->sd, NULL));
}

static int open_simulated(struct run *r, bool read_only,
			  struct vdo_error *error)
{
	struct executor *x;
	struct settings s;

	random_settings(r, &s);
	s.open.read_only = read_only;
	x = sim_executor_create(dice(r, UINT64_MAX));
	r->device = plug(r, x);
	return handle_open(r->device, x, &s, &r->v, error);
}

/* As everybody else opens volumes. */
static int open_publicly(struct run *r, enum opening how,
			 struct vdo_error *error)
{
	struct vdo_config *c;
	int result;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set_log(c, print_log, r);
	vdo_config_set(c, "cache", "1M", NULL);
	config_set(r, c, "depth", 16 + dice(r, 100));
	if (how == OPEN_INLINE) {
		vdo_config_set(c, "executor", "inline", NULL);
	} else {
		config_set(r, c, "threads", 1 + dice(r, 3));
		config_set(r, c, "spin", 0);
	}
	r->device = plug(r, NULL);
	result = vdo_open_device(r->device, c, &r->v, error);
	vdo_config_free(c);
	return result;
}

int shape_open(struct run *r, enum opening how)
{
	struct vdo_error error = {0};
	int result;

	say(r, "  opening %d", (int)how);
	if (how == OPEN_SIM || how == OPEN_READ_ONLY)
		result = open_simulated(r, how == OPEN_READ_ONLY, &error);
	else
		result = open_publicly(r, how, &error);
	if (result == 0)
		return 0;
	say(r, "  open: %s: %s", vdo_error_name(result), error.message);
	vdo_device_close(r->device);
	r->v = NULL;
	return result;
}

void shape_drop_device(struct run *r)
{
	sim_device_hold(r->sd, NULL, NULL);
	vdo_device_close(r->device);
	r->v = NULL;
}
