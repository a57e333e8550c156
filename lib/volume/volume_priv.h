/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of volume/: the volume itself, its queues, waiting.
 */
#ifndef VOLUME_VOLUME_PRIV_H
#define VOLUME_VOLUME_PRIV_H

#include "base/counter.h"
#include "exec/executor.h"
#include "exec/await.h"
#include "exec/fanout.h"
#include "exec/flow.h"
#include "format/geometry.h"
#include "format/layout.h"
#include "format/superblock.h"
#include "front/front.h"
#include "io/device.h"
#include "io/readonly.h"
#include "io/sync.h"
#include "recovery/reader.h"
#include "recovery/recovery.h"
#include "replay/scan.h"
#include "volume/memory.h"
#include "volume/stats.h"
#include "volume/super.h"
#include "volume/super_writer.h"
#include "volume/volume.h"

/* Which queues there are, and which zone runs on which. */
struct topology {
	unsigned logical_zones, physical_zones, hash_zones, index_zones;
	unsigned queue_count;
	struct queue **queues;   /* all of them */
	struct queue **logical;  /* these four by zone; borrowed from queues */
	struct queue **physical;
	struct queue **hash;
	struct queue **index_zone;
	struct queue *journal;   /* also durability service and super block */
	struct queue *packer;
	struct queue *index;     /* all of the index but its zones, or NULL */
};

/* Where the rows of flows of a whole volume run. */
enum { ON_JOURNAL = 1, ON_PACKER, ON_INDEX };

/* Is there anybody who carries calls out? */
enum service {
	SERVICE_NOT_YET, /* it is being opened */
	SERVICE_ON,
	SERVICE_STOPPED, /* calls wait in the front */
};

/* An operation on the whole volume, that goes through one table of rows. */
struct life {
	struct flow flow;
	struct volume *volume;
	struct completion step;	 /* what a row waits for */
	struct completion *done; /* of who waits for the end; NULL: idle */
	/* What it is about, for the log and for whoever asks; NULL: nothing
	 * that could fail. */
	_Atomic(const char *) does;
};

/* Entering read-only mode (readonly.c). */
struct entering {
	struct flow flow;
	struct fanout fanout;
	struct fanout_part *parts; /* one a logical zone, one a physical one */
	struct super_op record;
	bool over;
	struct completion *waiter; /* who wants to know when it is over */
};

/* Looking whether the storage is still what was opened; still_there.c */
struct look {
	struct flow flow;
	struct mio mio;
	struct completion *done;
	uint8_t *block; /* one, aligned as devices want it */
};

/* What the journal has beyond the map of a volume that was not closed; overlay.c */
struct overlay {
	struct flow flow;
	struct journal_reader reader;
	struct completion *done;
	struct replay_scan *scan;
	struct replay_entry *entries; /* of one block */
	struct replay_bounds bounds;
	struct replay_table *table; /* the map's, too, in the end; or NULL */
	uint64_t skipped; /* entries that make no sense */
	counter_t read, total; /* blocks */
};

/* More storage, or a larger map; grow.c */
struct growing {
	struct life life;
	struct superblock sb;	 /* as it shall be */
	bool physical, logical;	 /* what grows */
	struct journal_reader reader;
	seq_t settled;		 /* copied blocks before this one stay */
	bool resting;		 /* calls wait */
	bool alone;		 /* becoming read-only waits for the end of this */
	bool delayed;		 /* it does, for: */
	struct completion over;
	struct super_op op;
	struct sync_op sync;
	struct mio mio;
	uint8_t *summary;
};

/* A threshold, and whether it is passed. */
struct space_level {
	unsigned percent; /* 0: none */
	bool passed;
};

/* How full it is; space.c. The journal's queue. */
struct space {
	struct space_level levels[1 + VDO_SPACE_THRESHOLDS_MAX]; /* the log's,
								  * the host's */
	unsigned count;
	vdo_space_callback callback;
	void *arg;
	counter_t rises, falls;
	bool holds; /* as it was told */
	struct completion holding;  /* look_held(), under a hold of the front */
	atomic_bool holding_posted;
};

struct volume {
	struct settings settings;
	unsigned requests; /* the depth, and those that wait for the journal */
	struct vdo_device *device;
	struct executor *executor;
	struct front *front; /* the caller's */
	struct log log;
	struct storage storage;
	struct sync sync;
	struct readonly readonly;
	struct topology topology;
	struct geometry geometry;
	struct superblock sb; /* as on disk when it was opened */
	bool opened_read_only;
	bool has_index;       /* one that is to be used */
	uint64_t cache_bytes; /* of leaf pages */
	struct volume_memory memory;
	enum service service;
	bool has_served; /* it was opened: calls were let through */
	struct vdo_error *error; /* the caller's, while the volume is opened */
	atomic_bool stop;        /* opening shall end soon */

	/* Of the engines before it, since the volume was opened. */
	struct volume_stats past;

	struct recovery *recovery; /* of a volume that was not closed; or NULL */
	struct recovery_result recovered; /* all zeroes: nothing was */
	uint64_t recovery_began; /* by the executor's clock */
	uint64_t recovery_ms;

	struct journal *journal;
	struct depot *depot;
	struct map *map;
	struct advice *advice;
	struct packer *packer;
	struct dedupe *dedupe;
	struct path *path;

	struct super_writer super;
	struct super_op mark;	/* of what opens, suspends and resumes */
	struct completion *zones_marked;
	struct sync_op sync_op; /* the flush of who uses mark */
	struct entering entering;

	struct growing growing;
	struct life opening, closing, suspending, resuming;
	bool save; /* by a suspension, as far as nothing fails */
	bool keep; /* by closing */

	struct look look;
	struct overlay overlay;
	struct space space;
};

/* --------------------------------------------------------------- topology */

int topology_create(struct topology *t, struct executor *x,
		    const struct open_settings *s, uint64_t slab_count,
		    bool has_index) MUST_CHECK;
void topology_destroy(struct topology *t);

/* ------------------------------------------------------ operations, life.c */

/* Set @l up for @table. The queues are known. */
void life_init(struct life *l, struct volume *v,
	       const struct flow_table *table);

/* Begin. @done finishes once it is over. Any thread. */
void life_start(struct life *l, struct completion *done);

/* Begin from outside of the queues, wait for the end, and return its result. */
int life_run(struct life *l) MUST_CHECK;

/* For rows: the operation of @f; what it is about from now on; what it has to
 * wait for, where the one that is asked has no op of its own. */
struct life *life_of(struct flow *f);
void life_does(struct life *l, const char *text);
struct completion *life_await(struct life *l, int next);

/* The last row: tell who waits. */
int life_end(struct life *l);

/* Have the log say what failed, unless it was cancelled, or for a reason that
 * was logged before (life_does(l, NULL)). */
void life_log(struct life *l);

/*
 * The tables. Opening is for once, the rest as often as wanted, one at a time;
 * who starts a suspension sets what is to be kept.
 */
void life_init_open(struct volume *v);	    /* load.c */
void life_init_resume(struct volume *v);
void life_init_suspend(struct volume *v);   /* save.c */
void life_init_close(struct volume *v);	    /* close.c */
void life_init_grow(struct volume *v);	    /* grow.c */
void volume_start_suspend(struct volume *v, bool save,
			  struct completion *done);

void volume_start_resume(struct volume *v, struct completion *done);

/* Is it being grown? Then the index, which stays as it is, does not rest. */
static inline bool volume_grows(const struct volume *v)
{
	return v->growing.life.done != NULL;
}

/* ------------------------------------------------------------ super block */

/* Have the super block say that the volume is in use, also that it is recovered
 * (v->recovered), or that it is clean; finishes v->mark.done. On the journal's
 * queue. */
void super_mark_dirty(struct volume *v);
void super_mark_recovered(struct volume *v);
void super_mark_clean(struct volume *v);
/* In a recovery, of volume @arg: the summary's copies are those of its zones.
 * Finishes @done. On the journal's queue. */
void super_mark_zones(void *arg, struct completion *done);

/*
 * Look whether the storage is still what was opened. On any queue. @done gets 0
 * or, with a line in the log, -VDO_EGONE: then nothing more must be written.
 */
int still_there_init(struct volume *v) MUST_CHECK;
void still_there_fini(struct volume *v);
void still_there(struct volume *v, struct completion *done);

/* Does a file that had a name still have one? 0 or, with a line, -VDO_EGONE. */
int still_named(struct volume *v) MUST_CHECK;

/* ------------------------------------------------------------------- space */

void space_init(struct volume *v);
/* Look how full it is; when service begins. On the journal's queue. */
void space_look(struct volume *v);
/* The depot's upcall (struct depot_fill). */
bool space_told(void *v, bool freed);
/* The path's (struct path_config). */
void space_holding(void *v);

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

/* If entering has begun, finish @done when it is over; else at once. On the
 * journal's queue. */
void read_only_wait(struct volume *v, struct completion *done);

/* Has a volume of this state, opened read-only, a journal to be read? */
bool overlay_wanted(const struct volume *v);

/*
 * Read it, and have the map show what is in it. On the journal's queue, before
 * anybody reads. @done gets -ECANCELED, -ENOMEM, -errno; a damaged journal is no
 * error.
 */
void overlay_read(struct volume *v, struct completion *done);
void overlay_progress(const struct volume *v, uint64_t *done, uint64_t *total);
void overlay_fini(struct volume *v); /* after the map is gone */

/* -------------------------------------------------------------- components */

/* The component that does not agree with itself, or NULL. While all of them are
 * there, and no queue runs. */
const char *volume_insane(const struct volume *v);

int components_create(struct volume *v) MUST_CHECK;
void components_destroy(struct volume *v);

#endif
