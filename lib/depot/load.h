/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading: what load.c, which sees to the whole, and loader.c, which does one
 * slab after another, share.
 *
 * Runs on: the queue of the zone. Lifetime: from the row "zones" of the depot's
 * flow to the last row of the zone's.
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
};

/* A zone; its result keeps loaders from taking another slab. */
struct zone_load {
	struct flow flow;
	struct depot_zone *zone;
	const struct slab *last; /* handed to a loader */
	unsigned running, loader_count;
	struct slab_loader loaders[LOADERS];
};

/* Memory for the loaders of @load; 0 or -ENOMEM, also then to be freed. */
int loaders_init(struct zone_load *load, unsigned count) MUST_CHECK;
void loaders_fini(struct zone_load *load);

/*
 * Have the loaders read the newest block of the journal of all slabs in use.
 * What a row of the zone's flow returns, which goes on at @next.
 */
int loaders_tails(struct zone_load *load, int next);

/* Has @s counts that are complete, and are not needed before service? */
bool loaders_may_wait(const struct slab *s);

/* Blocks that loading and scrubbing read of @s: 0 for a slab that was never used. */
uint32_t loaders_blocks(const struct slab *s);

#endif
