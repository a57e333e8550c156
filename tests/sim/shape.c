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

/* Blocks that were never written hold mappings that make sense; in pages that
 * were in use once, or only begun. */
static void fill_with_pages(struct run *r)
{
	uint8_t page[BLOCK_SIZE];
	pbn_t pbn = r->slabs.first_block;

	mapping_page_format(page, r->layout.nonce, pbn, r->old_pages);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		mapping_page_put(page, i,
				 (struct mapping){pbn + dice(r, 100),
						  STATE_UNCOMPRESSED});
	for (; pbn - r->bio_offset < r->block_count; pbn++) {
		if (!is_data_block(&r->slabs, pbn) || percent(r, 20))
			continue;
		put_u64(page + 16, pbn);
		sim_device_poke(r->sd, pbn - r->bio_offset, page);
	}
}

/* ------------------------------------------------------------------- format */

static struct vdo_config *random_shape(struct run *r)
{
	static const unsigned rings[] = {4, 8, 16, 32, 64, 256};
	static const unsigned tight_rings[] = {4, 4, 4, 8, 8, 16};
	static const unsigned wide_rings[] = {8, 8, 16, 32};
	static const unsigned deep_rings[] = {16, 32, 64};
	static const unsigned deep_slab_rings[] = {3, 3, 4, 5, 6};
	static const unsigned slab_rings[] = {3, 4, 8, 16};
	static const unsigned logical[] = {500, 500, 6000, 6000, 80000};
	struct vdo_config *c;

	if (vdo_config_new(&c) != 0)
		abort();
	r->wide = percent(r, 30);
	r->deep = r->wide && percent(r, 50);
	r->late = r->deep && percent(r, 40);
	r->sparse = !r->wide && percent(r, 25);
	r->trees = 1 + (unsigned)dice(r, 3);
	r->many = !r->wide && !r->sparse && percent(r, 15);
	r->has_index = !r->deep && !r->many && percent(r, 30);
	vdo_config_set(c, "profile", "small", NULL);
	vdo_config_set(c, "index-memory", r->has_index ? "2M" : "none", NULL);
	r->tight = !r->wide && !r->many && percent(r, 55);
	say(r, "  %s", r->deep	   ? "deep"
		       : r->wide   ? "wide"
		       : r->tight  ? "tight"
		       : r->sparse ? "sparse"
		       : r->many   ? "many"
				   : "plain");
	config_set(r, c, "slab-bits",
		   r->deep   ? 10
		   : r->many ? 9
			     : 9 + dice(r, 2));
	config_set(r, c, "slab-journal-blocks",
		   r->late    ? 3 + dice(r, 4)
		   : r->deep  ? CHOOSE(r, deep_slab_rings)
		   : r->wide  ? 32
		   : r->tight ? 3 + dice(r, 3)
			      : CHOOSE(r, slab_rings));
	r->ring = r->late    ? 64u << dice(r, 2)
		  : r->deep  ? CHOOSE(r, deep_rings)
		  : r->wide  ? CHOOSE(r, wide_rings)
		  : r->tight ? CHOOSE(r, tight_rings)
			     : CHOOSE(r, rings);
	config_set(r, c, "journal-blocks", r->ring);
	r->lbns = (r->tight ? 300 : 10) + dice(r, CHOOSE(r, logical));
	if (r->wide)
		r->lbns = (r->deep ? 200 : 1000) + dice(r, 2000);
	if (r->many)
		r->lbns = 2000 + dice(r, 3000);
	if (r->sparse)
		r->lbns = LEAF_USED * (50 + dice(r, 300));
	config_set(r, c, "logical-size",
		   (place_of(r, r->lbns - 1) + 1) * BLOCK_SIZE);
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

	sim_device_crash_at(r->sd, 1 + dice(r, 16));
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
	} else if (error.code != -VDO_ENOTVDO) {
		die(r, "an interrupted format looks like a damaged volume: %s",
		    error.message);
	}
	vdo_device_close(d);
}

/* A volume may have any thresholds: where counts are written as soon as there is
 * something to write, much is under way with them; and one block in reserve is
 * the least that is enough for what waits for room (I40). Other formatters also
 * make journals of two blocks. */
static void write_counts_early(struct run *r)
{
	uint8_t block[BLOCK_SIZE];
	struct superblock *sb = &r->layout;
	struct slab_config *c = &sb->slab;

	sim_device_peek(r->sd, r->super_block, block);
	if (c->slab_journal_blocks == 3 && percent(r, 30))
		c->slab_journal_blocks = SLAB_JOURNAL_BLOCKS_MIN;
	c->scrubbing_threshold =
		MIN(c->scrubbing_threshold, c->slab_journal_blocks);
	if (c->slab_journal_blocks == SLAB_JOURNAL_BLOCKS_MIN ||
	    percent(r, r->deep ? 70 : 20))
		c->blocking_threshold = c->slab_journal_blocks - 1;
	c->flushing_threshold = dice(r, c->blocking_threshold + 1);
	superblock_encode(sb, block);
	sim_device_poke(r->sd, r->super_block, block);
	say(r, "  slab journals of %" PRIu64 " blocks: counts are written from "
	       "%" PRIu64 " on, and block from %" PRIu64 " on",
	    c->slab_journal_blocks, c->flushing_threshold,
	    c->blocking_threshold);
}

void shape_format(struct run *r)
{
	struct sim_device_config device = {
		.seed = r->seed,
		.block_count = 1500 + dice(r, 2500),
		.volatile_cache = percent(r, 90),
		.flush_factor = percent(r, 25) ? 1 + (unsigned)dice(r, 20) : 1,
		.no_discard = percent(r, 15),
	};
	struct vdo_error error;
	struct vdo_config *c;
	struct vdo_device *d;

	say(r, "seed %" PRIu64, r->seed);
	c = random_shape(r);
	if (percent(r, r->wide ? 60 : 25))
		device.late_percent = (unsigned)dice(r, 15);
	if (r->late) {
		device.late_percent = 0;
		device.flush_factor = 1;
	}
	if (r->tight)
		device.block_count = 1500 + dice(r, 700);
	if (r->deep)
		device.block_count = 1200 + r->ring + dice(r, 800);
	if (r->many)
		device.block_count = 500 + r->ring + 512 * (10 + dice(r, 10));
	if (r->has_index)
		device.block_count = 6800 + dice(r, 1000); /* or none fits */
	device.fua_lies = device.volatile_cache &&
			  percent(r, r->tight ? 50 : 20);
	if (percent(r, 40)) { /* it has room to grow */
		config_set(r, c, "size", device.block_count * BLOCK_SIZE);
		device.block_count +=
			(1 + dice(r, 4)) * (r->ring + SUMMARY_BLOCKS) +
			dice(r, 4000);
	}
	say(r, "  blocks=%" PRIu64 "%s%s", device.block_count,
	    device.volatile_cache ? " cache" : "",
	    device.fua_lies ? " lies" : "");
	r->fua_lies = device.fua_lies;
	r->no_discard = device.no_discard;
	r->block_count = device.block_count;
	r->sd = sim_device_create(&device);
	if (percent(r, 20))
		fill_with_rubbish(r);
	while (!r->fua_lies && percent(r, 30))
		crash_in_format(r, c);
	d = sim_device_open(r->sd, NULL);
	if (vdo_format_device(d, c, &error) != 0)
		die(r, "format: %s", error.message);
	vdo_device_close(d);
	vdo_config_free(c);
	kinds_begin(r);
	if (percent(r, r->deep || r->tight ? 60 : 30))
		write_counts_early(r);
	r->old_pages = percent(r, 10);
	if (r->old_pages || percent(r, r->sparse ? 70 : 15))
		fill_with_pages(r);
	r->model = model_create(r->lbns);
	r->seen = calloc(r->block_count, sizeof(*r->seen));
	r->writes = calloc(r->lbns, sizeof(*r->writes));
	r->partial = calloc(r->lbns, sizeof(*r->partial));
	list_init(&r->copies);
}

/* --------------------------------------------------------------------- open */

static void random_settings(struct run *r, struct settings *s)
{
	static const unsigned depths[] = {16, 17, 32, 64, 200, 1024};
	static const unsigned buffers[] = {1, 1, 2, 3};
	static const unsigned freed[] = {1, 2, 8, 64};
	static const enum settings_reclaim reclaims[] = {
		RECLAIM_SETTING_AUTO, RECLAIM_SETTING_ON, RECLAIM_SETTING_ON,
		RECLAIM_SETTING_CLOSE,
	};
	static const uint64_t merges[] = {0, 2 * BLOCK_SIZE, 64 * BLOCK_SIZE};
	static const uint64_t caches[] = {0, 32 << 10, 1 << 20};
	struct vdo_config *c;

	if (vdo_config_new(&c) != 0)
		abort();
	vdo_config_set_log(c, print_log, r);
	config_set(r, c, "depth",
		   r->wide && percent(r, 70) ? 2000 : CHOOSE(r, depths));
	/* On one queue requests go in step. */
	if (r->wide && percent(r, 40)) {
		config_set(r, c, "threads", 1);
	} else if (percent(r, r->many ? 80 : 50)) {
		vdo_config_set(c, "topology", "classic", NULL);
		config_set(r, c, "logical-zones", 1 + dice(r, 4));
		config_set(r, c, "physical-zones",
			   r->many ? 4 : 1 + dice(r, 4));
		config_set(r, c, "hash-zones", 1 + dice(r, 4));
	} else {
		config_set(r, c, "threads", 1 + dice(r, 4));
	}
	config_set(r, c, "era", 1 + dice(r, 8));
	config_set(r, c, "io-merge", CHOOSE(r, merges));
	config_set(r, c, "block-cache", caches[r->seed % ARRAY_SIZE(caches)]);
	vdo_config_set(c, "alignment", percent(r, 40) ? "512" : "4096", NULL);
	config_set(r, c, "deduplication", percent(r, 85));
	config_set(r, c, "compression", percent(r, 75));
	vdo_config_set(c, "on-full", percent(r, 40) ? "hold" : "fail", NULL);
	if (host_config_apply(c, s, NULL) != 0)
		die(r, "options");
	s->open.executor = EXECUTOR_INLINE;
	/* Smaller than the options allow, so that pages come and go. */
	s->open.cache_bytes = (4 + dice(r, percent(r, 50) ? 10 : 200)) *
			      BLOCK_SIZE;
	say(r, "  cache %" PRIu64, s->open.cache_bytes / BLOCK_SIZE);
	/* A slab has some 500 or 1,000 bytes of counts. */
	if (percent(r, 40))
		s->open.counts_memory = 1 + dice(r, 4) * 1200;
	say(r, "  counts-memory %" PRIu64, s->open.counts_memory);
	if (percent(r, 40))
		s->open.slab_buffers = CHOOSE(r, buffers);
	if (percent(r, 40))
		s->open.recovery_batch = 1 + dice(r, 600);
	s->open.reclaim = CHOOSE(r, reclaims);
	if (percent(r, 80))
		s->open.reclaim_blocks = CHOOSE(r, freed);
	say(r, "  slab-buffers %u recovery-batch %" PRIu64
	       " reclaim %d of %u",
	    s->open.slab_buffers, s->open.recovery_batch, (int)s->open.reclaim,
	    s->open.reclaim_blocks);
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
	if (percent(r, 50))
		vdo_config_set(c, "reclaim", percent(r, 70) ? "on" : "close",
			       NULL);
	config_set(r, c, "depth", 16 + dice(r, 100));
	if (how == OPEN_INLINE) {
		vdo_config_set(c, "executor", "inline", NULL);
	} else if (how == OPEN_POOL) {
		if (vdo_config_set_pool(c, pool_begin(r), r) != 0)
			die(r, "a pool");
		config_set(r, c, "logical-zones", 1 + dice(r, 3));
		config_set(r, c, "physical-zones", 1 + dice(r, 3));
		config_set(r, c, "hash-zones", 1 + dice(r, 3));
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
	clock_stop(how == OPEN_POOL);
	if (how != OPEN_THREADS)
		fault_watch(r);
	else
		note_threads();
	r->super_written = false;
	kinds_look(r);
	r->opening = true;
	if (how == OPEN_SIM || how == OPEN_READ_ONLY)
		result = open_simulated(r, how == OPEN_READ_ONLY, &error);
	else
		result = open_publicly(r, how, &error);
	r->opening = false;
	if (result == 0)
		return 0;
	sim_device_hold(r->sd, NULL, NULL);
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
