/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal, for the files of this folder.
 *
 *	journal.c  create, append, read-only mode, drain
 *	ring.c     blocks in memory: opening, places, encoding, retiring
 *	holds.c    who still needs which block; moving the heads
 *	commit.c   rounds: flush, publish heads, write, release
 *	sane.c     walks over all of it
 *
 * Where an op is:
 *
 *	waiting --[ring_assign]--> assigned --[ring_encode]--> committing
 *	   no place yet               has its point               until its flush
 *	                                                            |
 *	              finished, in order  <--[settle]-- sent <--[write_batch]
 *	                                                  until its block is durable
 *
 * Everything here belongs to the journal's queue, but for the hold counters
 * and notified.
 */
#ifndef JOURNAL_JOURNAL_PRIV_H
#define JOURNAL_JOURNAL_PRIV_H

#include "journal/journal.h"

#include <stdatomic.h>

#include "base/counter.h"
#include "exec/executor.h"

#define RESERVED_MAX 11u

/* The batch of a round is a range of the ring, which is two runs if it wraps.
 */
#define RUNS_MAX 2u

/* One block that is open or not yet fully durable. */
struct block {
	seq_t seq;
	uint8_t *buffer;
	unsigned assigned;	      /* entries that have their place here */
	unsigned encoded;	      /* the first of these are in the buffer */
	unsigned sent;		      /* the first of these are in an image */
	unsigned written;	      /* the first of these are durable */
	uint64_t logical_blocks_used; /* when it was opened */
	uint64_t block_map_data_blocks;
};

/*
 * Who needs a block of the ring. entries starts with one hold for each entry
 * that fits and one for the block itself.
 */
struct holds {
	_Alignas(16) atomic_uint entries;
	atomic_uint map;
	atomic_uint slab;
};

/* A write of neighbouring blocks. */
struct journal_run {
	struct mio mio;
	struct journal *journal;
};

/* See commit.c. */
enum round_state {
	ROUND_IDLE,
	ROUND_ASKED,
	ROUND_FLUSH,
	ROUND_WRITE,
};

struct counters {
	counter_t disk_full;
	counter_t slab_journal_commits_requested;
	counter_t entries_started, entries_written, entries_committed;
	counter_t blocks_started, blocks_written, blocks_committed;
};

struct journal {
	struct queue *queue;
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	struct journal_holders holders;

	/* The ring on disk. */
	pbn_t origin;
	uint64_t size;	 /* blocks, a power of two */
	uint64_t usable; /* blocks between head and tail at most */
	uint64_t nonce;
	uint8_t recovery_count;
	bool full;	/* the lack of space was counted */
	seq_t tail;	/* the next block to open */
	seq_t durable;	/* the newest block that is on disk */
	seq_t map_head; /* published */
	seq_t slab_head;
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;

	struct waitq waiting;
	unsigned waiting_entries;
	struct waitq assigned;
	struct waitq committing;
	struct waitq sent;

	/* The ring in memory: active blocks from the oldest on. */
	struct block *open; /* the newest of them; NULL: none */
	unsigned oldest;
	unsigned active;
	unsigned reserved;
	struct block blocks[RESERVED_MAX];
	uint8_t *buffers;

	/* The round. */
	enum round_state round;
	unsigned batch; /* active blocks that are written in it */
	unsigned entries; /* that are committing */
	unsigned sent_blocks;  /* oldest active ones, written or being written */
	unsigned sent_entries; /* and what they have that is not durable */
	bool lazy; /* the next round's flush makes its write durable */
	unsigned runs_pending;
	int write_result;
	seq_t next_map_head; /* to be published after its flush */
	seq_t next_slab_head;
	struct completion begin;
	struct sync_op flush;
	struct journal_run runs[RUNS_MAX];
	struct iovec iov[RESERVED_MAX];

	/* The drain. */
	struct completion *drained;
	bool draining; /* until journal_resume() */
	bool save;

	struct counters counters;
	counter_t ops_waiting; /* appended, and not over */
	struct holds *holds; /* by place in the ring */

	/* True while a notification is on its way, and after a drain. */
	_Alignas(CACHE_LINE) atomic_bool notified;
	struct completion let_go;
};

static inline struct journal_op *op_of(struct waiter *w)
{
	return container_of(w, struct journal_op, link);
}

/* All ops in @q are over, with @result. */
static inline void ops_finish(struct journal *j, struct waitq *q, int result)
{
	struct waiter *w;

	while ((w = waitq_pop(q)) != NULL) {
		counter_add(&j->ops_waiting, -UINT64_C(1));
		completion_finish(&op_of(w)->done, result);
	}
}

/* How many entries @op makes. */
static inline unsigned op_entries(const struct journal_op *op)
{
	return likely(op->run == NULL) ? 1 : op->run_count;
}

/* The @i-th active block, from the oldest. */
static inline struct block *ring_block(struct journal *j, unsigned i)
{
	unsigned at = j->oldest + i;

	VDO_CHECK(i < j->reserved);
	return &j->blocks[at < j->reserved ? at : at - j->reserved];
}

/* Give places to @op, or to all who wait while there is room. */
bool ring_has_room(struct journal *j);
void ring_assign(struct journal *j, struct journal_op *op);
void ring_assign_waiting(struct journal *j);

/* Put assigned entries into their buffers: they become the round's. Sets
 * batch; returns how many there are. */
unsigned ring_encode(struct journal *j);

/* The blocks that were sent are durable: drop those that are full. */
void ring_retire_full(struct journal *j);

/* Close the open block, which is durable; false if there is none. */
bool ring_close(struct journal *j);

/* Ask the depot to let go of old blocks when many are in use. */
void ring_check_pressure(struct journal *j);

/* Holds of a block that is being opened; and the journal's own, given back. */
void holds_open(struct journal *j, seq_t seq);
void holds_drop(struct journal *j, seq_t seq, unsigned n);

/* Where the heads can go; true if any can move. */
bool holds_scan(struct journal *j);

/* Forbid notifications; false if one is still on its way. */
bool holds_suspend(struct journal *j);
void holds_resume(struct journal *j);

/* [let_go]: somebody released the last hold of its kind on a block. */
void holds_let_go(struct completion *c);

/* Have a round begin, unless one is under way: each ends with another. */
void commit_ask(struct journal *j);
void commit_begin(struct completion *c);

/* Finish all ops that are in no round with -VDO_EREADONLY. */
void journal_abandon(struct journal *j);

/* Do heads, active blocks, ops and the round agree? On the journal's queue. */
bool journal_ring_sane(const struct journal *j);

/* Nothing to flush or write: a drain may be over. */
void journal_idle(struct journal *j);

#endif
