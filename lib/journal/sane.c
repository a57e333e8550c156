/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks over the recovery journal, for VDO_CHECK, tests and the simulation: do
 * heads, blocks, ops and holds agree with each other, and with the invariants
 * in journal.h?
 *
 * Both walks want to be on the journal's queue, between two messages. Holds are
 * let go by other threads meanwhile. Each test allows for that: an upper bound
 * stays one while a count falls, and a lower bound counts only holds that the
 * journal's own queue lets go.
 */
#include "build.h"

#include "journal/journal_priv.h"

static const struct block *nth_block(const struct journal *j, unsigned i)
{
	return &j->blocks[(j->oldest + i) % j->reserved];
}

static bool positions_sane(const struct journal *j)
{
	seq_t head = MIN(j->map_head, j->slab_head);

	return j->usable == j->size - j->reserved && head > 0 &&
	       MAX(j->map_head, j->slab_head) <= j->durable + 1 &&
	       j->durable < j->tail && j->tail - head <= j->usable &&
	       j->active <= j->reserved && j->oldest < j->reserved &&
	       j->tail <= j->durable + 1 + j->active;
}

/* Only the oldest block may be durable in part, and only the newest is open. */
static bool block_sane(const struct journal *j, unsigned i)
{
	const struct block *b = nth_block(j, i);

	if (b->seq != j->tail - j->active + i || b->written > b->sent ||
	    b->sent > b->encoded || b->encoded > b->assigned ||
	    b->assigned > JOURNAL_ENTRIES_PER_BLOCK)
		return false;
	if (i > 0 && (b->written > 0 || b->seq <= j->durable))
		return false;
	if (i == 0 && (b->seq == j->durable) != (b->written > 0))
		return false;
	return i + 1 == j->active || b->assigned == JOURNAL_ENTRIES_PER_BLOCK;
}

static bool blocks_sane(const struct journal *j)
{
	for (unsigned i = 0; i < j->active; i++)
		if (!block_sane(j, i))
			return false;
	if (j->active == 0)
		return j->open == NULL && j->durable + 1 == j->tail;
	return j->open == nth_block(j, j->active - 1);
}

static bool has_place(const struct waiter *w, seq_t seq, unsigned entry)
{
	const struct journal_op *op = op_of((struct waiter *)w);

	return op->point.seq == seq && op->point.entry == entry;
}

/*
 * The ops of @q are the entries from @from to before @to of each active block,
 * in order.
 */
static bool ops_sane(const struct journal *j, const struct waitq *q,
		     unsigned (*from)(const struct block *b),
		     unsigned (*to)(const struct block *b))
{
	const struct waiter *w = q->first;
	size_t n = 0;

	for (unsigned i = 0; i < j->active; i++) {
		const struct block *b = nth_block(j, i);

		for (unsigned e = from(b); e < to(b); w = w->next, n++) {
			if (w == NULL || !has_place(w, b->seq, e))
				return false;
			e += op_entries(op_of((struct waiter *)w));
		}
	}
	return w == NULL && n == q->count;
}

static unsigned written(const struct block *b)
{
	return b->written;
}

static unsigned sent(const struct block *b)
{
	return b->sent;
}

static unsigned encoded(const struct block *b)
{
	return b->encoded;
}

static unsigned assigned(const struct block *b)
{
	return b->assigned;
}

/* Who waits has no place because there is none. */
static bool queues_sane(const struct journal *j)
{
	unsigned n = 0;

	if (!waitq_empty(&j->waiting) && j->open != NULL &&
	    j->open->assigned < JOURNAL_ENTRIES_PER_BLOCK)
		return false;
	for (struct waiter *w = j->waiting.first; w != NULL; w = w->next)
		n += op_entries(op_of(w));
	if (n != j->waiting_entries ||
	    counter_get(&j->ops_waiting) !=
		    j->waiting.count + j->assigned.count +
			    j->committing.count + j->sent.count)
		return false;
	return ops_sane(j, &j->sent, written, sent) &&
	       ops_sane(j, &j->committing, sent, encoded) &&
	       ops_sane(j, &j->assigned, encoded, assigned);
}

/* What was sent is in the oldest blocks; only the last of them can be open. */
static bool sent_sane(const struct journal *j)
{
	if (j->sent_blocks > j->active ||
	    (j->sent_blocks > 0) != !waitq_empty(&j->sent))
		return false;
	for (unsigned i = 0; i < j->active; i++) {
		const struct block *b = nth_block(j, i);

		if ((b->sent > b->written) != (i < j->sent_blocks))
			return false;
	}
	return true;
}

static bool round_sane(const struct journal *j)
{
	switch (j->round) {
	case ROUND_IDLE:
		return j->batch == 0 && waitq_empty(&j->committing) &&
		       waitq_empty(&j->assigned) && j->sent_blocks == 0;
	case ROUND_ASKED:
		return j->batch == 0 && waitq_empty(&j->committing);
	case ROUND_FLUSH:
		return j->batch <= j->active &&
		       j->next_map_head >= j->map_head &&
		       j->next_slab_head >= j->slab_head;
	case ROUND_WRITE:
		return j->batch == 0 && waitq_empty(&j->committing) &&
		       j->sent_blocks > 0 && j->runs_pending > 0 &&
		       j->runs_pending <= RUNS_MAX;
	}
	return false;
}

bool journal_ring_sane(const struct journal *j)
{
	if (!positions_sane(j) || !blocks_sane(j) ||
	    (j->round != ROUND_WRITE && j->runs_pending != 0))
		return false;
	/* In read-only mode ops are sent away, and their entries stay. */
	return readonly_entered(j->readonly) ||
	       (queues_sane(j) && sent_sane(j) && round_sane(j));
}

static inline unsigned held(const atomic_uint *counter)
{
	return atomic_load_explicit(counter, memory_order_acquire);
}

/*
 * A block that was not opened, or that both heads have passed, is held by
 * nobody; one that is closed, by its entries at most.
 */
static bool holds_sane(const struct journal *j, seq_t seq)
{
	const struct holds *h = &j->holds[seq & (j->size - 1)];
	unsigned entries = held(&h->entries);

	if (seq < j->map_head && (entries != 0 || held(&h->map) != 0))
		return false;
	if (seq < j->slab_head && (entries != 0 || held(&h->slab) != 0))
		return false;
	return entries <= JOURNAL_ENTRIES_PER_BLOCK;
}

/* There is a hold for the block, and one for each entry that is not durable or
 * not made yet. */
static bool active_holds_sane(const struct journal *j, const struct block *b)
{
	unsigned n = held(&j->holds[b->seq & (j->size - 1)].entries);

	return n <= JOURNAL_ENTRIES_PER_BLOCK + 1 &&
	       n > JOURNAL_ENTRIES_PER_BLOCK - b->written;
}

bool journal_sane(const struct journal *j)
{
	seq_t first_active = j->tail - j->active;
	seq_t oldest = j->tail - MIN(j->tail, j->size);

	if (!journal_ring_sane(j))
		return false;
	for (seq_t seq = oldest; seq < first_active; seq++)
		if (!holds_sane(j, seq))
			return false;
	for (unsigned i = 0; i < j->active; i++)
		if (!active_holds_sane(j, nth_block(j, i)))
			return false;
	return true;
}
