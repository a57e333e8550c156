/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of volume/: the volume itself, its queues, waiting.
 */
#ifndef VOLUME_VOLUME_PRIV_H
#define VOLUME_VOLUME_PRIV_H

#include "exec/executor.h"
#include "exec/await.h"
#include "exec/flow.h"
#include "format/geometry.h"
#include "format/layout.h"
#include "format/superblock.h"
#include "front/front.h"
#include "io/device.h"
#include "io/readonly.h"
#include "io/sync.h"
#include "volume/stats.h"
#include "volume/volume.h"

/* Which queues there are, and which zone runs on which. */
struct topology {
	unsigned logical_zones, physical_zones, hash_zones, index_zones;
	unsigned queue_count;
	struct queue **queues;   /* all of them */
	struct queue **logical;  /* by zone; borrowed from queues, as below */
	struct queue **physical;
	struct queue **hash;
	struct queue **index_zone;
	struct queue *journal;   /* also durability service and super block */
	struct queue *packer;
	struct queue *index;     /* all of the index but its zones, or NULL */
};

/* A message to one zone: read-only mode was entered. */
struct zone_visit {
	struct completion go;
	struct volume *volume;
	unsigned zone;
};

/* Looking whether the storage is still what was opened; still_there.c */
struct look {
	struct flow flow;
	struct mio mio;
	struct completion *done;
	_Alignas(BLOCK_SIZE) uint8_t block[BLOCK_SIZE];
};

struct volume {
	struct settings settings;
	struct vdo_device *device;
	struct executor *executor;
	struct log log;
	struct storage storage;
	struct sync sync;
	struct readonly readonly;
	struct topology topology;
	struct geometry geometry;
	struct superblock sb; /* as on disk, as far as we know */
	bool opened_read_only;
	bool has_index;       /* and it is to be used */
	bool index_open;
	bool online;          /* the super block says DIRTY */
	uint64_t cache_bytes; /* of leaf pages */
	bool journal_drained; /* which can be done only once */
	struct vdo_error *error; /* the caller's, during open */

	struct journal *journal;
	struct depot *depot;
	struct map *map;
	struct advice *advice;
	struct packer *packer;
	struct dedupe *dedupe;
	struct front *front;
	struct path *path;

	/* Entering read-only mode, on the journal's queue. */
	struct completion enter_read_only;
	struct mio super_mio;
	void *super_block; /* buffer of one block */
	atomic_uint visits_pending;
	struct zone_visit *zone_visits; /* one a zone, depot then map */
	struct await read_only_done;

	struct look look;
};

/* --------------------------------------------------------------- topology */

int topology_create(struct topology *t, struct executor *x,
		    const struct open_settings *s, uint64_t slab_count,
		    bool has_index) MUST_CHECK;
void topology_destroy(struct topology *t);

/* ---------------------------------------------------------------- waiting */

/* Run @call on @q; it arranges for @done to be finished. Wait for that. */
typedef void (*volume_call)(struct volume *v, struct completion *done);
int await_run(struct volume *v, struct queue *q, volume_call call);

/* A device flush through the durability service. */
int await_sync(struct volume *v);

/* ------------------------------------------------------------ super block */

/* Read and check the geometry block of @device alone. */
int geometry_read(struct vdo_device *device, struct geometry *g,
		  struct vdo_error *error) MUST_CHECK;

/* Read and check geometry and super block of @device. */
int super_read(struct vdo_device *device, struct geometry *g,
	       struct superblock *sb, struct vdo_error *error) MUST_CHECK;

/* Write v->sb, durably; before it, all that was written. */
int super_write(struct volume *v) MUST_CHECK;

/*
 * Look whether the storage is still what was opened. On any queue. @done gets 0
 * or, with a line in the log, -VDO_EGONE: then nothing more must be written.
 */
void still_there(struct volume *v, struct completion *done);

/* Does a file that had a name still have one? 0 or, with a line, -VDO_EGONE. */
int still_named(struct volume *v) MUST_CHECK;

/* ------------------------------------------------------------------- index */

struct index_config;

/*
 * Memory code, sparse, nonce and place of the index as @g says, the kind of its
 * I/O and the clock of its saves; the rest of *c is the caller's. False if
 * there is none: code 0, a code that is unknown, or too few blocks before the
 * data.
 */
bool volume_index_config(const struct geometry *g, struct index_config *c)
	MUST_CHECK;

/* --------------------------------------------------------------- read-only */

int read_only_init(struct volume *v) MUST_CHECK;
void read_only_fini(struct volume *v);
/* Wait until entering, if it has begun, is over. */
void read_only_wait(struct volume *v);

/* -------------------------------------------------------------- components */

/* The component that does not agree with itself, or NULL. While all of them are
 * there, and no queue runs. */
const char *volume_insane(const struct volume *v);

int components_create(struct volume *v) MUST_CHECK;
void components_destroy(struct volume *v);
void volume_free(struct volume *v);

/* A phase of open or close. */
struct phase {
	int (*run)(struct volume *v);
	const char *name;
};

/* Run phases until one fails; NULL name ends the table. */
int phases_run(struct volume *v, const struct phase *phases) MUST_CHECK;

#endif
