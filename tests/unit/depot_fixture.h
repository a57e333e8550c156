/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A depot on a memory device with a volatile cache, for unit tests.
 *
 * Everything runs in the calling thread: fx_run() lets queues run until nothing
 * is ready. The recovery journal is replaced by two functions that count holds.
 * The device can hold back writes, fail the Nth I/O, and forget what was not
 * flushed.
 */
#ifndef TESTS_DEPOT_FIXTURE_H
#define TESTS_DEPOT_FIXTURE_H

#include "build.h"

#include <errno.h>
#include <stdlib.h>

#include <check.h>
#include <vdo/error.h>

#include "depot/depot_priv.h"

#define FX_FIRST      679189u /* as in the description's example */
#define FX_OFFSET     679000u
#define FX_SUMMARY(f) ((f)->sb.partitions[PARTITION_SUMMARY].start)
#define FX_NONCE      UINT64_C(0x000660d7e4c94872)
#define FX_HELD	      256
#define FX_WAITS      16

struct fx_log {
	enum vdo_device_op op;
	pbn_t pbn;
	uint64_t count;
};

struct fx_device {
	uint8_t *data;
	uint8_t *durable;
	uint8_t *unflushed; /* a flag a block, in first..end */
	uint64_t first, end;
	bool dead; /* everything fails */
	uint64_t blocks;
	pbn_t hold_from, hold_to; /* writes there are held back */
	pbn_t read_from, read_to; /* reads there are, too */
	bool hold_flushes, hold_discards;
	struct vdo_device_io *held[FX_HELD];
	unsigned held_count;
	long fail_in; /* this I/O from now fails, 1 the next; 0 none */
	struct fx_log log[65536];
	unsigned log_count;
};

struct fx_wait {
	struct completion done;
	bool over;
};

struct fx {
	struct executor *x;
	struct queue *queues[PHYSICAL_ZONES_MAX];
	struct queue *sync_queue;
	unsigned zones;
	struct fx_device dev;
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct readonly ro;
	struct log logger;
	struct superblock sb;
	struct depot *d;
	struct completion ro_posts[PHYSICAL_ZONES_MAX];
	struct fx_wait waits[FX_WAITS]; /* loads and drains */
	unsigned wait_count;
	seq_t seq; /* of the recovery journal */
	uint16_t entry;
	long holds[4096]; /* by its block */
	uint64_t counts_memory; /* of the next depot, in bytes; 0: no limit */
	bool by_hand;     /* the test changes the depot itself: no walks */
};

struct fx_config {
	unsigned slab_bits, slabs, journal_blocks, zones;
	unsigned locks; /* 0: 4096 */
};

struct fx *fx_create(struct fx_config c);
void fx_destroy(struct fx *f);
void fx_run(struct fx *f);

/* The parts of a load after a crash, in this order: up to replay, replay, start.
 * As fx_load(). */
int fx_load_journals(struct fx *f);
int fx_replay(struct fx *f, const struct replay_entry *entries, size_t count);
int fx_replayed(struct fx *f);
int fx_start(struct fx *f);
int fx_resume(struct fx *f);
/* Load, drain; -EINPROGRESS if it did not come to an end. */
int fx_load(struct fx *f, bool is_new);
int fx_drain(struct fx *f, bool save);
/* Of the last of them, by now. */
int fx_result(struct fx *f);

/* A new depot on the same device. */
void fx_reopen(struct fx *f, unsigned zones);
/* The same after a crash right now: @seed decides what of the unflushed
 * writes is lost. */
void fx_crash(struct fx *f, unsigned zones, unsigned *seed);

/* Run @fn in zone @zone and let everything run. */
void fx_on(struct fx *f, unsigned zone, void (*fn)(struct fx *f, void *arg),
	   void *arg);

struct fx_allocation {
	struct alloc_op op;
	bool over;
};
/* Ask @zone for a block; on the heap, to be freed by the caller. */
struct fx_allocation *fx_allocate_start(struct fx *f, unsigned zone);
/* The same, and it must be over. */
struct pbn_lock *fx_allocate(struct fx *f, unsigned zone, int *result);
struct fx_locking {
	struct lock_op op;
	bool over;
};
/* Ask for a read lock; on the heap, to be freed by the caller. */
struct fx_locking *fx_lock_start(struct fx *f, pbn_t pbn);
/* The same, and it must be over. */
struct pbn_lock *fx_lock_read(struct fx *f, pbn_t pbn);
void fx_unlock(struct fx *f, struct pbn_lock *lock);

struct fx_adjust {
	struct refs_op op;
	bool over;
};
/* Make the next entry; on the heap, to be freed by the caller. */
struct fx_adjust *fx_adjust_start(struct fx *f, pbn_t pbn, enum refs_kind kind);
/* The same, and it must be over; its result. */
int fx_adjust(struct fx *f, pbn_t pbn, enum refs_kind kind);
/* Allocate a block in @zone and make its first reference. */
pbn_t fx_write(struct fx *f, unsigned zone);

uint8_t *fx_block(struct fx *f, pbn_t pbn);
void fx_release(struct fx *f); /* what was held */
uint8_t *fx_entry(struct fx *f, unsigned copy, unsigned slab);

#endif
