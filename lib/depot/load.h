/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading: what load.c and start.c, which see to the whole, and loader.c, which
 * does one slab after another, share.
 *
 * Runs on: the queue of the zone. Lifetime: from zone_load_begin() to
 * zone_load_end(), the last row of each flow of a zone.
 */
#ifndef DEPOT_LOAD_H
#define DEPOT_LOAD_H

#include "depot/depot_priv.h"
#include "exec/flow.h"

/* The places of all flows of loading: a zone, or the first one. */
enum { ON_PHYSICAL = ANYWHERE + 1 };

#define LOADERS 8u /* in all zones */

/* Takes one slab at a time, until none is left. */
struct slab_loader {
	struct flow flow;
	struct zone_load *load;
	struct slab *slab;
	struct mio mio;
	uint8_t *buf;
	uint64_t *points; /* commit points of all sectors of the slab */
	uint32_t read;	  /* reference blocks read */
	uint32_t reading;
};

/* A zone; its result keeps loaders from taking another slab. */
struct zone_load {
	struct flow flow;
	struct depot_zone *zone;
	const struct slab *last; /* handed to a loader */
	unsigned running, loader_count;
	struct slab_loader loaders[LOADERS];
};

/* Begin the flow of @table in @z, with loaders of its own, as a part of the
 * depot's fan-out. */
void zone_load_begin(struct depot_zone *z, const struct flow_table *table);

/* What the last row of that flow returns. */
int zone_load_end(struct zone_load *load);

struct zone_load *zone_load_of(struct flow *f);

/* Memory for the loaders of @load; 0 or -ENOMEM, also then to be freed. */
int loaders_init(struct zone_load *load, unsigned count) MUST_CHECK;
void loaders_fini(struct zone_load *load);

/*
 * Have the loaders go through all slabs in use: first the newest block of each
 * journal, later the counts. What a row of the zone's flow returns, which goes on
 * at @next.
 */
int loaders_tails(struct zone_load *load, int next);
int loaders_counts(struct zone_load *load, int next);

/* Blocks that loading reads of @s: 0 for a slab that was never used. */
uint32_t loaders_blocks(const struct slab *s);

#endif
