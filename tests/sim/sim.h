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
 * Runs on: one thread; the volume on the executor of tests/lib/sim_exec.h.
 * Lifetime: run_all() to its end.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/handle.h"
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
	uint64_t runs, cycles, crashes, recoveries, others, rebuilds;
};

extern struct totals totals;

/* What the work of a cycle is made of. */
enum flavour {
	MIXED,
	MANY_ENTRIES, /* few kinds of data, much at once: journals wrap */
	ALL_UNIQUE,   /* the volume gets full */
	FEW_VALUES,   /* blocks have 254 references */
	FLAVOURS,
};

/* How a volume is opened. */
enum opening {
	OPEN_SIM,	/* on the executor of the simulation */
	OPEN_READ_ONLY, /* the same, and nothing is written */
	OPEN_INLINE,	/* calls do their work themselves */
	OPEN_THREADS,	/* nothing is as it was the other time */
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
	pbn_t super_block;
	bool fua_lies;
	bool has_index;
	bool tight; /* journals wrap all the time */
	uint64_t nonce;

	/* What it must hold. */
	struct model *model;
	uint32_t *writes; /* under way, by LBN */
	bool *partial;	  /* one of them is partial: no others */
	struct promise promises[PROMISES_MAX];
	unsigned promise_count;
	struct image found; /* after the last crash, replayed by the tests */
	bool has_found;
	bool reopened; /* unsuccessfully, since then: it must stay so */

	/* The cycle. */
	struct vdo_device *device;
	struct vdo_volume *v; /* NULL: closed */
	enum opening how;
	unsigned under_way, under_way_max;
	uint64_t ops, ops_in_cycle;
	enum flavour flavour;
	bool is_long;
	bool dense;  /* few LBNs are used: much contention */
	bool narrow; /* few of each leaf page */
	bool flushy; /* many flushes */
	bool faulty; /* errors may come */
	bool lossy;  /* a write or flush may fail: read-only mode is fine */
	bool rotten; /* the metadata was damaged */
	bool useless; /* no more cycles: something cannot be read */
	uint64_t retry_lbn, retry_count; /* a read that failed; 0: none */
	bool super_written; /* since the volume was opened, in read-only mode */

	/* Power fails soon after the Nth write to some part of the storage. */
	pbn_t trap_first, trap_last;
	bool trap_pages; /* there, only pages of the block map */
	uint64_t trap_in;
	bool trap_sprung;
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

/* work.c */
void work_some(struct run *r);
void work_wait(struct run *r);

/* fault.c */
void fault_arm(struct run *r);
void fault_disarm(struct run *r);
void fault_spring(struct run *r);
void fault_rot(struct run *r);

/* check.c */
void check_note_flush(struct run *r, uint64_t since);
/* The volume is gone: what is on the storage is the only thing that is. */
void check_survivors(struct run *r, const char *when);
/* The volume is at rest, and saved. */
void check_at_rest(struct run *r);
/* Between two steps each component agrees with itself. */
void check_walk(struct run *r);
/* The volume was opened and nothing was done yet: it is what the tests found
 * on the storage before, replayed by themselves. */
void check_recovered(struct run *r);
/* The volume was rebuilt, and maps what it mapped. */
void check_rebuilt(struct run *r);
/* Blocks as the volume reads them, now that nothing is under way. */
void check_reads(struct run *r);
void check_forget(struct run *r);

/* mend.c: jobs for volumes that are not open */
void mend_check(struct run *r);
void mend_rebuild(struct run *r);

/* cycle.c */
void run_all(uint64_t seed, const struct limits *limits, bool verbose);

/* shrink.c: look for a shorter run that fails, too; the exit status. */
int shrink(uint64_t seed, const struct limits *limits);

#endif
