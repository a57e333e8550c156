/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal: makes changes of the block map durable, in order.
 *
 * A ring of blocks with sequence numbers (V 6). An op is appended, gets its
 * place (point) when it is assigned to a block, and is finished when its block
 * and all blocks before it are durable. A finished op holds its block (an
 * "entry hold") until journal_release_entry().
 *
 * Invariants
 *  (1) Ops finish in the order of their points, and only when all earlier blocks
 *      are durable (I12).
 *  (2) A block is written only after a flush that began when its entries had
 *      been appended, so the data they name is durable (I1, D1). It is durable
 *      when it was written with FUA, or after a flush that began later.
 *  (3) A buffer under I/O is not touched; a partial block is rewritten only
 *      after its last image is durable; bytes are encoded when the write starts.
 *  (4) map_head passes a block only when it has no entry and no map holds,
 *      slab_head only without entry and slab holds; both are published, and space
 *      is reused, only after a flush that began later (D7, D8).
 *  (5) tail - min(heads) never exceeds the ring; reserved blocks (V 6.1) stay
 *      free of new entries, so a block under write never lands on a head that a
 *      durable header names.
 *  (6) Holds never underflow (I37).
 *
 * Upcalls: struct journal_holders, called on the journal's queue.
 * Runs on: its queue, except the hold and release calls (any thread).
 * Lifetime: journal_create() to journal_destroy(); ops belong to callers.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/log.h"
#include "exec/completion.h"
#include "exec/waitq.h"
#include "format/journal.h"
#include "format/superblock.h"
#include "io/mio.h"
#include "io/readonly.h"
#include "io/sync.h"

struct journal;

/* One entry of a run. */
struct journal_change {
	struct mapping old;
	uint16_t slot;
};

/*
 * One entry; or, with @run, the entries of a run: those of @entry with slots and
 * old mappings of their own, and with @news new ones as well, side by side in one
 * block.
 */
struct journal_op {
	struct completion done;     /* home: the journal's queue, usually */
	struct journal_entry entry; /* in */
	struct journal_point point; /* out: block and index of the entry, or of
				     * the first of a run */
	struct waiter link;         /* private */
	const struct journal_change *run; /* in; NULL: one entry */
	const struct mapping *news; /* in, with run; NULL: that of entry */
	unsigned run_count;
};

/* Those who hold old blocks, and can be asked to let go. */
struct journal_holders {
	void *arg;
	/* Block @tail was opened: pages last changed long ago are to be written.
	 * Called once a block; may be coalesced by the callee. */
	void (*tail_moved)(void *arg, seq_t tail);
	/* The ring is 2/3 full: slab journals holding blocks up to and including
	 * @head are to be committed. */
	void (*commit_slab_journals)(void *arg, seq_t head);
};

struct journal_config {
	struct queue *queue;
	struct storage *storage;
	struct sync *sync;
	struct readonly *readonly;
	const struct log *log;
	struct partition partition;
	uint64_t nonce;
	uint8_t recovery_count; /* complete_recoveries & 0xff */
	seq_t start;            /* the first block to open */
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;
	struct journal_holders holders;
};

/* -EINVAL: the ring is no power of two, or smaller than 4 blocks; -ENOMEM */
int journal_create(const struct journal_config *c, struct journal **journal)
	MUST_CHECK;
void journal_destroy(struct journal *j);

/*
 * Begin at block @start, with another recovery count and other totals, as a
 * recovery left them. Before the first append, on the journal's queue.
 */
void journal_restart(struct journal *j, seq_t start, uint8_t recovery_count,
		     uint64_t logical_blocks_used,
		     uint64_t block_map_data_blocks);

/* For wiring: holders may be set before the first append. */
void journal_set_holders(struct journal *j, const struct journal_holders *h);

/* Make an entry. On the journal's queue. In read-only mode the op finishes with
 * -VDO_EREADONLY, and holds nothing. */
void journal_append(struct journal *j, struct journal_op *op);

/* How many operations were appended and are not over, about. Any thread. */
uint64_t journal_waiting(const struct journal *j);

/* How many entries a run may have that is appended now. On the journal's
 * queue. */
unsigned journal_room(const struct journal *j);

/*
 * Holds keep block @seq from being reused. Taking one needs another hold on the
 * same block at that time. Any thread.
 */
void journal_hold_map(struct journal *j, seq_t seq);
void journal_release_map(struct journal *j, seq_t seq);
void journal_hold_slab(struct journal *j, seq_t seq);
void journal_release_slab(struct journal *j, seq_t seq);
void journal_release_entry(struct journal *j, seq_t seq);
void journal_release_entries(struct journal *j, seq_t seq, unsigned n);

/*
 * Read-only mode was entered: finish all waiting ops with -VDO_EREADONLY. On the
 * journal's queue.
 */
void journal_read_only(struct journal *j);

/*
 * Wait until all entries are committed and no reaping is under way; with @save,
 * also close the open block: the journal is then logically empty if nobody
 * holds blocks. No append may follow. On the journal's queue. In read-only mode
 * @done gets -VDO_EREADONLY. A journal that is drained may be drained again,
 * but with @save only if it was saved.
 *
 * Holds may still be released afterwards; nothing follows from that, and the
 * heads stay, until journal_resume(): then entries can be made again. After a
 * save all holds must be gone by then, durably; the heads become the tail.
 */
void journal_drain(struct journal *j, bool save, struct completion *done);
void journal_resume(struct journal *j);

/*
 * Blocks of the ring are copied while it is in use: those before
 * journal_settled() are on the storage as they stay. Once it is drained, and the
 * rest copied, too, it goes on at @origin. On the journal's queue.
 */
seq_t journal_settled(const struct journal *j);
void journal_move(struct journal *j, pbn_t origin);

/* What the super block records; on the journal's queue or after a drain. */
struct journal_state {
	seq_t tail; /* the next block */
	seq_t map_head;
	seq_t slab_head;
	uint64_t logical_blocks_used;
	uint64_t block_map_data_blocks;
};
void journal_get_state(const struct journal *j, struct journal_state *state);

/* Counters of E 10.10; written on the queue, read by any thread. */
struct journal_stats {
	uint64_t disk_full;
	uint64_t slab_journal_commits_requested;
	uint64_t entries_started, entries_written, entries_committed;
	uint64_t blocks_started, blocks_written, blocks_committed;
};
void journal_get_stats(const struct journal *j, struct journal_stats *stats);

/* A walk over all of it, the holds of the whole ring too: does it agree with
 * itself? On the journal's queue, or when no queue runs. */
bool journal_sane(const struct journal *j);

#endif
