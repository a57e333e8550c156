/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run of the simulation: one volume of random shape, and its cycles.
 *
 *	format [shape.c] -> open [shape.c] -> work [work.c, fault.c]
 *	                      ^                  |
 *	                      |                  v
 *	    check [check.c] <-+---- close, abandon, power loss [cycle.c]
 *
 * Invariants
 *  (1) What a run does depends on its seed and the limits alone, unless it
 *      opens the volume on threads.
 *  (2) A failure prints the command that does it again.
 *
 * Runs on: one thread; the volume on the executor of tests/lib/sim_exec.h, or on
 * the pool of pool.c.
 * Lifetime: run_all() to its end.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/handle.h"
#include "base/list.h"
#include "tests/lib/image.h"
#include "tests/lib/model.h"
#include "tests/lib/pattern.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"

/* What a run may do at most; 0: whatever it wants. */
struct limits {
	uint64_t cycles, ops;
};

/* What happened in all runs. */
struct totals {
	uint64_t runs, cycles, crashes, recoveries, others, probes;
	uint64_t pools;		/* openings on the executor over a pool */
	uint64_t reopenings;	/* crashes while one that crashed was opened */
	uint64_t unscrubbed;	/* crashes before all slabs were scrubbed */
	uint64_t closed_so;	/* the same, and closed: RECOVERING */
	uint64_t crashed_so;	/* crashes of those that were opened so */
	uint64_t rebuilds;
	uint64_t rebuilds_open;	 /* of volumes that were only not closed */
	uint64_t trims;
	uint64_t discards; /* of these, and while volumes were open */
	uint64_t rebuilds_cut;	 /* crashes in rebuilds */
	uint64_t read_only;	 /* crashes in read-only mode */
	uint64_t rots, rots_open; /* of volumes that were closed, and not */
	uint64_t rots_found;	 /* of these, refused or read-only */
	uint64_t short_devices;
	uint64_t suspended, copies; /* that were opened */
	uint64_t maps;
	uint64_t held; /* calls, when nothing went on */
	uint64_t grown, crashed_growing;
	uint64_t changed, crashed_changing; /* engines */
	uint64_t failed[4];	 /* operations of the storage that failed */
	uint64_t failed_opening; /* while a volume was opened */
};

extern struct totals totals;

/* What a device holds while something is tried out; its memory is kept. */
extern struct sim_saved *saved;

/* What the work of a cycle is made of. */
enum flavour {
	MIXED,
	MANY_ENTRIES, /* few kinds of data, much at once: journals wrap */
	ALL_UNIQUE,   /* the volume gets full */
	FEW_VALUES,   /* blocks have 254 references */
	FLAVOURS,
};

/* What a block is for; those of slabs come last. */
enum kind {
	KIND_OTHER,
	KIND_SUPER,
	KIND_JOURNAL,
	KIND_SUMMARY,
	KIND_PAGE, /* of the block map */
	KIND_DATA,
	KIND_COUNTS,
	KIND_SLAB_JOURNAL,
	KINDS,
};

/* How a volume is opened. */
enum opening {
	OPEN_SIM,	/* on the executor of the simulation */
	OPEN_READ_ONLY, /* the same, and nothing is written */
	OPEN_INLINE,	/* calls do their work themselves */
	OPEN_THREADS,	/* nothing is as it was the other time */
	OPEN_POOL,	/* on the pool of pool.c */
};

/* A flush that succeeded while FUA lies; see check_note_flush(). */
struct promise {
	uint64_t since;	  /* of the model */
	uint64_t written; /* of the storage */
};

#define PROMISES_MAX 64

struct run {
	uint64_t seed, random;
	struct limits limits;
	bool verbose;

	/* The volume's shape. */
	struct sim_device *sd;
	uint64_t block_count;
	uint64_t lbns;
	uint64_t super_block;
	struct superblock layout; /* as the super block has it */
	struct slab_geometry slabs;
	/* Blocks that it has for good, as growing it ended well; or 0. */
	uint64_t grown_physical, grown_logical;
	uint64_t bio_offset;
	bool fua_lies;
	bool no_discard;
	bool has_index;
	bool old_pages; /* what was never written looks like pages */
	bool tight; /* journals wrap all the time */
	bool wide;  /* much at once, with room for it in the journals */
	bool deep;  /* the same in one slab, whose journal has little room */
	/* The same with a summary that is very late, and a recovery journal that has
	 * room for what waits for it: the slab's journal comes back to blocks to
	 * which the summary on disk still leads. */
	bool late;
	bool many;  /* slabs, more than are scrubbed at once, all of them used */
	bool filled;
	unsigned ring; /* blocks of the recovery journal */
	/* Few trees with many leaf pages, of each of which some blocks are used:
	 * what the model has in a row is not in a row on the volume. */
	bool sparse;
	unsigned trees;

	/* What it must hold. */
	struct model *model;
	struct image_seen *seen; /* what was learnt of blocks of the storage */
	uint32_t *writes; /* under way, by LBN */
	bool *partial;	  /* one of them is partial: no others */
	struct list_node copies; /* under way: copies.c */
	struct promise promises[PROMISES_MAX];
	unsigned promise_count;
	struct image found; /* after the last crash, replayed by the tests */
	bool has_found;
	bool reopened; /* unsuccessfully, since then: it must stay so */
	/* Only the process died: what was found may still be lost, until a flush
	 * has covered as many writes. */
	bool killed, unsure;
	uint64_t unsure_until;

	/* The cycle. */
	struct vdo_device *device;
	struct vdo_volume *v; /* NULL: closed */
	enum opening how;
	bool opening; /* it recovers, if there is something to recover */
	bool closing; /* or being dropped */
	unsigned under_way, under_way_max;
	uint64_t ops, ops_in_cycle;
	enum flavour flavour;
	bool is_long;
	bool dense;  /* few LBNs are used: much contention */
	bool narrow; /* few of each leaf page */
	bool flushy; /* many flushes */
	bool careful; /* each operation is flushed before the next */
	unsigned reading; /* so many reads to come, and nothing else */
	bool burst;  /* operations come at once, not one after the other */
	bool clearing; /* then all of them clear blocks */
	bool faulty; /* errors may come */
	bool lossy;  /* a write or flush may fail: read-only mode is fine */
	bool rotten; /* the metadata was damaged */
	bool was_recovering; /* it was opened with slabs left to be scrubbed */
	bool asleep; /* it was suspended, and is to end so */
	bool useless; /* no more cycles: something cannot be read */
	uint64_t retry_lbn, retry_count; /* a read that failed; 0: none */
	bool super_written; /* since the volume was opened, in read-only mode */

	/* Power fails soon after the Nth write of a kind, of all slabs or one. */
	enum kind trap_kind;
	uint64_t trap_slab;
	uint64_t trap_in;
	bool trap_sprung;
	uint64_t trap_flush_in; /* the same, of flushes and FUA that are over */
};

#define die(r, ...)                                                            \
	do {                                                                   \
		(void)(r);                                                     \
		fprintf(stderr, "sim: " __VA_ARGS__);                          \
		fprintf(stderr, "\n");                                         \
		abort();                                                       \
	} while (0)

#define say(r, ...)                                                            \
	do {                                                                   \
		if ((r)->verbose) {                                            \
			printf(__VA_ARGS__);                                   \
			printf("\n");                                          \
		}                                                              \
	} while (0)

#define UNALIGNED 16u /* bytes, of a buffer that begins at no block */

#define CHOOSE(r, array) ((array)[dice((r), ARRAY_SIZE(array))])

static inline uint64_t dice(struct run *r, uint64_t limit)
{
	return pattern_random(&r->random, limit);
}

static inline bool percent(struct run *r, unsigned n)
{
	return dice(r, 100) < n;
}

/* 1 to 2^bits, the small ones as often as the large ones. */
static inline uint64_t any_size(struct run *r, unsigned bits)
{
	return 1 + dice(r, UINT64_C(1) << dice(r, bits + 1));
}

#define LEAF_USED   16u /* blocks of a leaf page, where the volume is sparse */
#define LEAF_IN_ROW 4u

/* Where the volume has block @i of the model, and how many in a row from it. */
static inline lbn_t place_of(const struct run *r, uint64_t i)
{
	uint64_t page = i / LEAF_USED, at = i % LEAF_USED;

	if (!r->sparse)
		return i;
	page = page / r->trees * ROOT_COUNT + page % r->trees;
	return page * MAP_PAGE_ENTRIES +
	       at / LEAF_IN_ROW * (MAP_PAGE_ENTRIES * LEAF_IN_ROW / LEAF_USED) +
	       at % LEAF_IN_ROW;
}

static inline uint64_t in_a_row(const struct run *r, uint64_t i)
{
	return r->sparse ? LEAF_IN_ROW - i % LEAF_IN_ROW : r->lbns - i;
}

static inline bool run_read_only(struct run *r)
{
	return r->v != NULL && vdo_volume_is_read_only(r->v);
}

/* shape.c */
void shape_format(struct run *r);
/* 0, or what was wrong. */
int shape_open(struct run *r, enum opening how);
/* After a crash; opening does it, too. */
void shape_power_on(struct run *r);
/* The volume is gone; its device too. */
void shape_drop_device(struct run *r);

/* kinds.c */
/* The volume was formatted: know where things are. */
void kinds_begin(struct run *r);
/* It may have grown: look again. */
void kinds_look(struct run *r);
/* Writes of some kinds are to be slow from now on, or none. */
void kinds_choose_delays(struct run *r);
enum kind kinds_of(const struct run *r, uint64_t block, const void *data);
/* The slab of a block, or a number that no slab has. */
uint64_t kinds_slab_of(const struct run *r, uint64_t block);

/* copies.c */
struct copying;
/* A copy is submitted, unless too much is under way (NULL); and is over, with
 * @result. */
struct copying *copies_begin(struct run *r, uint64_t dst, uint64_t src,
			     uint64_t count);
void copies_end(struct run *r, struct copying *c, int result, bool durable);
/* @block is on its way to @lbn; NULL: zeroes. After model_submit(). */
void copies_note(struct run *r, uint64_t lbn, const void *block);

/* work.c */
/* All blocks are written once. */
void work_fill(struct run *r);
void work_some(struct run *r);
void work_wait(struct run *r);
/* One more operation. */
void work_start(struct run *r);
/* Power fails at the very step at which a trap is sprung, or soon after. False:
 * nothing is left to be done. */
bool work_run(struct run *r, uint64_t steps);

/* rest.c: all comes to rest, calls wait, and it goes on */
void rest_suspend(struct run *r);
/* It gets larger. */
void rest_grow(struct run *r);
/* It gets another engine. */
void rest_change(struct run *r);

/* clock.c */
void clock_begin(uint64_t seed);
/* Time stands still; or it is that of the system again. */
void clock_stop(bool on);
uint64_t clock_now(void); /* 0: it does not stand still */
/* It is @ns now, if it was earlier. */
void clock_go_on(uint64_t ns);

/* pool.c */
const struct vdo_pool_ops *pool_begin(struct run *r);
/* Are tasks to be left for steps? Those that were are run. */
void pool_hold(bool on);
/* Returns how many steps there were; fewer if nothing is left. */
uint64_t pool_run(uint64_t steps);

/* fault.c */
/* See what is written from now on. */
void fault_watch(struct run *r);
void fault_arm(struct run *r);
/* Errors come from now on. */
void fault_errors(struct run *r);
void fault_discards(struct run *r);
void fault_disarm(struct run *r);
void fault_spring(struct run *r);
/* A flush, or a write with FUA, ended well. */
void fault_kept(struct run *r);
/* Returns whether it is in the journal. */
bool fault_rot(struct run *r);

/* check.c */
void check_note_flush(struct run *r, uint64_t since);
/* The volume is gone: what is on the storage is the only thing that is. */
void check_survivors(struct run *r, const char *when);
/* Power might fail now, as @block is being written, and does not. */
void check_if_crashed(struct run *r, uint64_t block);
/* The volume is at rest, and saved. */
void check_at_rest(struct run *r);
/* Between two steps each component agrees with itself. */
void check_walk(struct run *r);
/* The volume was opened and nothing was done yet: it is what the tests found
 * on the storage before, replayed by themselves. */
void check_recovered(struct run *r);
/* It serves: what was found stays, also where only the process had died. */
void check_is_certain(struct run *r);
/* The volume was rebuilt, and maps what it mapped. */
void check_rebuilt(struct run *r);
/* The same of one that had crashed: each block is as the crash may have left it,
 * which need not be what a recovery finds. */
void check_forced(struct run *r);
/* Blocks as the volume reads them, now that nothing is under way. */
void check_reads(struct run *r);
void check_forget(struct run *r);

/* maps.c */
/* Ask for the map of a part, whatever is under way; what is certain is told. */
void maps_look(struct run *r);

/* mend.c: jobs for volumes that are not open */
void mend_check(struct run *r);
void mend_trim(struct run *r);
void mend_rebuild(struct run *r);
/* What a crash has just left, and then the crash again. */
void mend_by_force(struct run *r);

/* cycle.c */
/* It is opened, and reads find all; nothing is written, whatever it needs. */
void cycle_look(struct run *r);
void run_all(uint64_t seed, const struct limits *limits, bool verbose);

/* Of the run that goes on: threads have a part in it from now on, so the same seed
 * may do something else. */
void note_threads(void);

/* shrink.c: look for a shorter run that fails, too; the exit status. */
int shrink(uint64_t seed, const struct limits *limits);

#endif
