/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A journal on a watchful device, for test_journal.c.
 *
 * The device keeps every write and flush until the test completes it, in any
 * order. Whenever the journal writes, it checks what a crash would show:
 *
 *  - the data of each entry was covered by a flush before (D1);
 *  - the heads pass only blocks whose holds were gone before a finished flush
 *    began (D7, D8), and never the newest durable block;
 *  - no block lands on one that the newest durable header still needs;
 *  - no two writes to one block, and no change of a buffer, at the same time;
 *  - no block is written anew before its last image is durable.
 *
 * What was written without FUA is in the device's cache until a flush that began
 * after that.
 *
 * All blocks are decoded here from the specification, not by lib/format.
 */
#ifndef TESTS_JOURNAL_RIG_H
#define TESTS_JOURNAL_RIG_H

#include <check.h>

#include "journal/journal.h"

#include "exec/executor.h"
#include "io/device.h"

#define RIG_ORIGIN 5u /* of the partition */
#define RIG_NONCE  UINT64_C(0x0123456789abcdef)
#define RIG_COUNT  0x5a /* recovery count */
#define RIG_USED   1000u
#define RIG_PAGES  77u
#define RIG_DATA   UINT64_C(0x123450000)
#define RIG_SEQS   4096u
#define RIG_OPS    40000u
#define RIG_HELD   16u

/* ck_assert() notes its place with a system call, each time. */
#define RIG_CHECK(expr)                                                        \
	do {                                                                   \
		if (!(expr))                                                   \
			ck_abort_msg("%s:%d: %s", __FILE__, __LINE__, #expr);  \
	} while (0)

struct rig;

struct rig_op {
	struct journal_op op;
	struct completion go;
	struct rig *rig;
	unsigned n;
	bool finished;
	bool failed;
};

struct rig_io {
	struct vdo_device_io *io;
	unsigned data_covered; /* flush: what it makes durable */
	unsigned cached_covered;
	seq_t map_clear, slab_clear;
	uint8_t *copy; /* write: as submitted */
};

/* A write that is in the cache. */
struct rig_cached {
	uint64_t offset, length;
	uint8_t *bytes;
};

/* By sequence number, from the start. */
struct rig_seq {
	unsigned finished, released; /* entries */
	unsigned map, slab;          /* holds */
};

struct rig {
	unsigned covered; /* entries that ops were appended for */
	struct executor *x;
	struct queue *queue;
	struct queue *sync_queue;
	struct vdo_device *device;
	struct storage storage;
	struct sync sync;
	struct readonly readonly;
	struct log log;
	struct journal *journal;
	uint64_t size;
	seq_t start;
	unsigned flags; /* of the device */

	/* The device. */
	uint8_t *disk; /* what is durable */
	struct rig_io held[RIG_HELD];
	unsigned held_count;
	struct rig_cached cached[RIG_HELD]; /* the oldest first */
	unsigned cached_count;
	bool hold;
	unsigned ios, flushes, writes, fua, fail_at;
	unsigned data_durable;
	seq_t map_clear, slab_clear; /* durable */

	/* The ops. */
	struct rig_op *ops;
	unsigned wanted, appended, finished, failed;
	struct rig_seq seqs[RIG_SEQS];
	bool saving;

	/* Upcalls. */
	unsigned tail_moved, commits;
	seq_t moved_to, commit_head;

	bool drained;
	int drain_result;
};

/* Entries appended from now on are all of one page, in runs and single ones by
 * chance; each has a new mapping of its own, or all of a run have the same one. Set
 * before rig_open(). */
enum rig_runs {RIG_NO_RUNS, RIG_RUNS_OF_ONE, RIG_RUNS_OF_NEWS};
extern enum rig_runs rig_runs;

struct rig_block {
	uint64_t map_head, slab_head, seq, nonce, used, pages;
	unsigned type, entries, check, recovery_count;
};

void rig_open(struct rig *r, uint64_t size, seq_t start, unsigned flags);
void rig_close(struct rig *r);

/* Run the queues until nothing is ready. */
void rig_run(struct rig *r);
void rig_call(struct rig *r, void (*fn)(struct rig *r));
void rig_append(struct rig *r, unsigned count);
void rig_drain(struct rig *r, bool save);

/* Complete the @i-th of the held operations, with @result. */
void rig_complete(struct rig *r, unsigned i, int result);
void rig_complete_all(struct rig *r);

/* Holds of the block @seq, at most @count of them. */
void rig_release_entries(struct rig *r, seq_t seq, unsigned count);
void rig_hold(struct rig *r, seq_t seq, bool map, bool slab);
void rig_release_map(struct rig *r, seq_t seq);
void rig_release_slab(struct rig *r, seq_t seq);

/* The decoder. */
uint8_t *rig_place(struct rig *r, uint8_t *disk, seq_t seq);
void rig_decode(const uint8_t *block, struct rig_block *b);
bool rig_ours(const struct rig_block *b);
/* The entries that recovery would use, at most @entries. */
unsigned rig_usable(const uint8_t *block);
void rig_check_entry(const uint8_t *block, unsigned i, unsigned n);
/* Recovery: all that was committed is there. */
void rig_check_crash(struct rig *r);

struct journal_entry rig_entry(unsigned n);

#endif
