/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rounds: group commit and reaping in one.
 *
 *	IDLE --[commit_ask]--> ASKED --[commit_begin]--> FLUSH --[flush_done]--+
 *	  ^                     ^  |                                           |
 *	  +---- nothing to do --|--+                                           |
 *	                        +-----------[round_end]<---- WRITE <-----------+
 *
 * The first append of an idle journal does not begin a round, it posts one to
 * the journal's own queue: what is queued there already joins the batch. What
 * arrives while a round runs waits for the next, which each round asks for at
 * its end; so batches grow with the load, and nobody needs a timer.
 *
 * A round encodes all assigned entries, looks how far the heads can go, and
 * asks for one flush. That makes durable the data which the entries name (D1)
 * and the pages and summaries which let go of old blocks (D7, D8). Then the new
 * heads are published, the headers filled in, and the blocks, a range of the
 * ring, are written as one vectored write, two where it wraps. A round that only
 * moves heads ends after its flush.
 *
 * If entries have come when the write begins, or somebody waits for a flush, the
 * next round begins with one anyway, which makes durable what this round wrote,
 * too [settle]. So a row of rounds costs one flush each, and two rounds are under
 * way at a time: what one wrote is made durable by the flush for the data of the
 * next. Nobody waits for company: else the write has FUA, and is durable when it
 * is over. Who needs a flush meanwhile waits for the end of the write, and shares
 * the next round's, if there is one (io/sync.c).
 *
 * Left out: starting the next flush during the writes. It would not cover them.
 */
#include "build.h"

#include "journal/journal_priv.h"

#include <inttypes.h>

static void flush_done(struct completion *c);
static void run_done(struct completion *c);

void commit_ask(struct journal *j)
{
	VDO_CHECK(queue_is_current(j->queue));
	if (j->round != ROUND_IDLE)
		return;
	j->round = ROUND_ASKED;
	completion_post(&j->begin);
}

/* Whether what was sent becomes durable is not known any more. */
static void abandon_sent(struct journal *j)
{
	VDO_ASSERT(readonly_entered(j->readonly));
	ops_finish(j, &j->sent, -VDO_EREADONLY);
	j->sent_blocks = 0;
	j->sent_entries = 0;
}

void commit_begin(struct completion *c)
{
	struct journal *j = container_of(c, struct journal, begin);
	unsigned entries;
	bool moved;

	VDO_ASSERT(j->round == ROUND_ASKED);
	VDO_CHECK(journal_ring_sane(j));
	if (unlikely(readonly_entered(j->readonly))) {
		abandon_sent(j);
		journal_abandon(j);
		sync_unexpect(j->sync);
		j->round = ROUND_IDLE;
		journal_idle(j);
		return;
	}
	entries = ring_encode(j);
	moved = holds_scan(j);
	if (entries == 0 && !moved && j->sent_blocks == 0) {
		j->round = ROUND_IDLE;
		sync_unexpect(j->sync);
		ring_check_pressure(j);
		journal_idle(j);
		return;
	}
	j->round = ROUND_FLUSH;
	completion_init(&j->flush.done, j->queue, flush_done);
	sync_request_expected(j->sync, &j->flush);
}

/* A round that ended badly is the last: nothing can be committed any more. */
static void round_failed(struct journal *j, int result, const char *what)
{
	VDO_ASSERT(result < 0 && j->runs_pending == 0);
	VDO_ASSERT(j->round == ROUND_FLUSH || j->round == ROUND_WRITE);
	readonly_enter(j->readonly, result, "journal: %s failed, tail=%" PRIu64,
		       what, j->tail);
	abandon_sent(j);
	ops_finish(j, &j->committing, -VDO_EREADONLY);
	j->batch = 0;
	j->round = ROUND_IDLE;
	commit_ask(j);
}

/* What was written is durable: its entries take effect, in their order (I12). */
static void settle(struct journal *j)
{
	VDO_ASSERT(j->runs_pending == 0 && j->sent_blocks <= j->active);
	counter_add(&j->counters.blocks_committed, j->sent_blocks);
	counter_add(&j->counters.entries_committed, j->sent_entries);
	ring_retire_full(j);
	j->sent_entries = 0;
	ops_finish(j, &j->sent, 0);
	ring_assign_waiting(j);
}

static void round_end(struct journal *j)
{
	VDO_ASSERT(j->runs_pending == 0 && j->batch == 0);
	j->round = ROUND_IDLE;
	commit_ask(j);
}

/* Write @n blocks of the batch from @first on, which are neighbours on disk. */
static void write_run(struct journal *j, struct journal_run *run,
		      unsigned first, unsigned n)
{
	pbn_t pbn = j->origin + (ring_block(j, first)->seq & (j->size - 1));

	/* It does not go beyond the end of the ring. */
	VDO_ASSERT(n > 0 && pbn - j->origin + n <= j->size);
	completion_init(&run->mio.done, j->queue, run_done);
	j->runs_pending++;
	mio_writev(&run->mio, j->storage, MIO_JOURNAL, pbn, &j->iov[first], n,
		   !j->lazy);
}

static void encode_header(struct journal *j, const struct block *b)
{
	const struct journal_header h = {
		.map_head = j->map_head,
		.slab_head = j->slab_head,
		.seq = b->seq,
		.nonce = j->nonce,
		.type = JOURNAL_TYPE,
		.entries = (uint16_t)b->encoded,
		.logical_blocks_used = b->logical_blocks_used,
		.block_map_data_blocks = b->block_map_data_blocks,
		.check = journal_check(b->seq, j->size),
		.recovery_count = j->recovery_count,
	};

	VDO_ASSERT(b->encoded > b->written && b->sent == b->written);
	journal_header_encode(&h, b->buffer);
}

/* Headers for the images of the batch, which is sent now. */
static void send_batch(struct journal *j)
{
	seq_t first = ring_block(j, 0)->seq;

	VDO_ASSERT(j->sent_blocks == 0 && waitq_empty(&j->sent));
	for (unsigned i = 0; i < j->batch; i++) {
		struct block *b = ring_block(j, i);

		VDO_ASSERT(b->seq == first + i);
		encode_header(j, b);
		b->sent = b->encoded;
		j->iov[i].iov_base = b->buffer;
		j->iov[i].iov_len = BLOCK_SIZE;
	}
	counter_add(&j->counters.blocks_written, j->batch);
	counter_add(&j->counters.entries_written, j->entries);
	waitq_splice(&j->sent, &j->committing);
	j->sent_blocks = j->batch;
	j->sent_entries = j->entries;
	j->batch = 0;
}

static void write_batch(struct journal *j)
{
	seq_t first = ring_block(j, 0)->seq;
	uint64_t to_wrap = j->size - (first & (j->size - 1));
	unsigned head;

	send_batch(j);
	head = (unsigned)MIN(to_wrap, j->sent_blocks);
	j->round = ROUND_WRITE;
	j->write_result = 0;
	j->lazy = j->storage->volatile_cache &&
		  (!waitq_empty(&j->assigned) || sync_is_wanted(j->sync));
	sync_expect(j->sync);
	write_run(j, &j->runs[0], 0, head);
	if (head < j->sent_blocks)
		write_run(j, &j->runs[1], head, j->sent_blocks - head);
}

static void publish_heads(struct journal *j)
{
	if (j->next_map_head == j->map_head &&
	    j->next_slab_head == j->slab_head)
		return;
	VDO_ASSERT(j->next_map_head >= j->map_head);
	VDO_ASSERT(j->next_slab_head >= j->slab_head);
	j->map_head = j->next_map_head;
	j->slab_head = j->next_slab_head;
	j->full = false;
	ring_check_pressure(j);
	ring_assign_waiting(j);
}

static void flush_done(struct completion *c)
{
	struct journal *j = container_of(c, struct journal, flush.done);

	VDO_ASSERT(j->round == ROUND_FLUSH);
	if (unlikely(c->result != 0)) {
		round_failed(j, c->result, "flush");
		return;
	}
	settle(j);
	publish_heads(j);
	if (j->batch > 0)
		write_batch(j);
	else
		round_end(j);
}

/* Both runs are awaited: a block is durable only with all before it (I12). */
static void run_done(struct completion *c)
{
	struct journal_run *run = container_of(c, struct journal_run, mio.done);
	struct journal *j = run->journal;

	VDO_ASSERT(j->round == ROUND_WRITE && j->runs_pending > 0);
	if (unlikely(c->result != 0) && j->write_result == 0)
		j->write_result = c->result;
	if (--j->runs_pending > 0)
		return;
	if (unlikely(j->write_result != 0)) {
		round_failed(j, j->write_result, "write");
		return;
	}
	if (!j->lazy)
		settle(j);
	round_end(j);
}
