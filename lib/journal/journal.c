/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal: life, entries, read-only mode, drain.
 *
 * journal_priv.h says which file does what.
 *
 * A drain is a question that each idle moment answers [journal_idle]: entries
 * left? Then their round asks again. With save, the open block is closed, and
 * one more round moves the heads over it. At last notifications are forbidden;
 * if one is on its way, its arrival begins the round that asks again. So when
 * the drain is over nothing of the journal is in any queue.
 */
#include "build.h"

#include "journal/journal.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "journal/journal_priv.h"

static bool valid(const struct journal_config *c)
{
	uint64_t n = c->partition.count;

	return n != 0 && (n & (n - 1)) == 0 && journal_reserved(n) > 0 &&
	       c->start > 0;
}

static void begin_at(struct journal *j, seq_t start, uint8_t recovery_count,
		     uint64_t logical_blocks_used,
		     uint64_t block_map_data_blocks)
{
	j->recovery_count = recovery_count;
	j->tail = start;
	j->durable = start - 1;
	j->map_head = start;
	j->slab_head = start;
	j->logical_blocks_used = logical_blocks_used;
	j->block_map_data_blocks = block_map_data_blocks;
}

static void init_ring(struct journal *j, const struct journal_config *c)
{
	j->origin = c->partition.start;
	j->size = c->partition.count;
	j->reserved = (unsigned)journal_reserved(j->size);
	VDO_ASSERT(j->reserved <= RESERVED_MAX && j->reserved < j->size);
	j->usable = j->size - j->reserved;
	j->nonce = c->nonce;
	begin_at(j, c->start, c->recovery_count, c->logical_blocks_used,
		 c->block_map_data_blocks);
	for (unsigned i = 0; i < j->reserved; i++)
		j->blocks[i].buffer = j->buffers + (size_t)i * BLOCK_SIZE;
}

int journal_create(const struct journal_config *c, struct journal **journal)
{
	struct journal *j;

	if (!valid(c))
		return -EINVAL;
	j = alloc_aligned(CACHE_LINE, 1, sizeof(*j));
	if (j == NULL)
		return -ENOMEM;
	j->buffers = alloc_spare(
		BLOCK_SIZE, journal_reserved(c->partition.count), BLOCK_SIZE);
	j->holds = alloc_spare(CACHE_LINE, c->partition.count, sizeof(*j->holds));
	if (j->buffers == NULL || j->holds == NULL)
		goto fail;
	j->queue = c->queue;
	j->storage = c->storage;
	j->sync = c->sync;
	j->readonly = c->readonly;
	j->holders = c->holders;
	init_ring(j, c);
	waitq_init(&j->waiting);
	waitq_init(&j->assigned);
	waitq_init(&j->committing);
	waitq_init(&j->sent);
	for (unsigned i = 0; i < RUNS_MAX; i++)
		j->runs[i].journal = j;
	completion_init(&j->begin, j->queue, commit_begin);
	completion_init(&j->let_go, j->queue, holds_let_go);
	*journal = j;
	return 0;
fail:
	journal_destroy(j);
	return -ENOMEM;
}

void journal_destroy(struct journal *j)
{
	if (j == NULL)
		return;
	VDO_ASSERT(j->runs_pending == 0);
	alloc_free(j->holds);
	alloc_free(j->buffers);
	alloc_free(j);
}

void journal_restart(struct journal *j, seq_t start, uint8_t recovery_count,
		     uint64_t logical_blocks_used,
		     uint64_t block_map_data_blocks)
{
	VDO_ASSERT(queue_is_current(j->queue));
	VDO_ASSERT(j->active == 0 && j->round == ROUND_IDLE && !j->draining);
	VDO_ASSERT(start >= j->tail && waitq_empty(&j->waiting));
	begin_at(j, start, recovery_count, logical_blocks_used,
		 block_map_data_blocks);
}

void journal_set_holders(struct journal *j, const struct journal_holders *h)
{
	VDO_ASSERT(j->active == 0);
	j->holders = *h;
}

void journal_append(struct journal *j, struct journal_op *op)
{
	VDO_ASSERT(queue_is_current(j->queue));
	if (unlikely(readonly_entered(j->readonly))) {
		completion_finish(&op->done, -VDO_EREADONLY);
		return;
	}
	VDO_CHECK(!j->draining);
	counter_inc(&j->ops_waiting);
	if (likely(waitq_empty(&j->waiting) && ring_has_room(j))) {
		ring_assign(j, op);
	} else {
		waitq_push(&j->waiting, &op->link);
		j->waiting_entries += op_entries(op);
	}
	commit_ask(j);
}

uint64_t journal_waiting(const struct journal *j)
{
	return counter_get(&j->ops_waiting);
}

/* Places are given in order, so those of the entries that wait are known. */
unsigned journal_room(const struct journal *j)
{
	unsigned before = j->waiting_entries;

	VDO_CHECK(queue_is_current(j->queue));
	if (j->open != NULL)
		before += j->open->assigned;
	return JOURNAL_ENTRIES_PER_BLOCK - before % JOURNAL_ENTRIES_PER_BLOCK;
}

void journal_abandon(struct journal *j)
{
	VDO_ASSERT(readonly_entered(j->readonly));
	ops_finish(j, &j->assigned, -VDO_EREADONLY);
	ops_finish(j, &j->waiting, -VDO_EREADONLY);
	j->waiting_entries = 0;
}

void journal_read_only(struct journal *j)
{
	VDO_ASSERT(queue_is_current(j->queue));
	journal_abandon(j);
	if (j->drained != NULL)
		commit_ask(j);
}

void journal_drain(struct journal *j, bool save, struct completion *done)
{
	VDO_ASSERT(queue_is_current(j->queue));
	VDO_ASSERT(j->drained == NULL && done != NULL);
	if (j->draining) {
		VDO_ASSERT(!save || j->save);
		completion_finish(done, save && readonly_entered(j->readonly)
						? -VDO_EREADONLY
						: 0);
		return;
	}
	j->draining = true;
	j->save = save;
	j->drained = done;
	commit_ask(j);
}

void journal_resume(struct journal *j)
{
	VDO_ASSERT(queue_is_current(j->queue));
	VDO_ASSERT(j->draining && j->drained == NULL);
	/* The closed block is short; replay must begin after it. */
	if (j->save && !readonly_entered(j->readonly)) {
		(void)holds_scan(j);
		VDO_ASSERT(j->next_map_head == j->tail);
		VDO_ASSERT(j->next_slab_head == j->tail);
		j->map_head = j->tail;
		j->slab_head = j->tail;
		j->full = false;
	}
	j->draining = false;
	j->save = false;
	holds_resume(j);
	commit_ask(j);
}

seq_t journal_settled(const struct journal *j)
{
	VDO_ASSERT(queue_is_current(j->queue));
	return j->active == 0 ? j->tail : j->blocks[j->oldest].seq;
}

void journal_move(struct journal *j, pbn_t origin)
{
	VDO_ASSERT(queue_is_current(j->queue) && origin > j->origin);
	VDO_ASSERT(j->draining && j->drained == NULL);
	VDO_ASSERT(j->round == ROUND_IDLE);
	j->origin = origin;
}

void journal_idle(struct journal *j)
{
	struct completion *done = j->drained;
	bool dead = readonly_entered(j->readonly);

	VDO_ASSERT(j->round == ROUND_IDLE);
	if (likely(done == NULL) || !waitq_empty(&j->waiting))
		return;
	if (j->save && !dead && ring_close(j)) {
		commit_ask(j);
		return;
	}
	if (!holds_suspend(j))
		return;
	VDO_CHECK(journal_sane(j));
	j->drained = NULL;
	completion_finish(done, dead ? -VDO_EREADONLY : 0);
}

void journal_get_state(const struct journal *j, struct journal_state *state)
{
	VDO_ASSERT(MAX(j->map_head, j->slab_head) <= j->tail);
	state->tail = j->tail;
	state->map_head = j->map_head;
	state->slab_head = j->slab_head;
	/* The count is below zero where it began with less than there was. */
	state->logical_blocks_used = (int64_t)j->logical_blocks_used < 0
					     ? 0
					     : j->logical_blocks_used;
	state->block_map_data_blocks = j->block_map_data_blocks;
}

void journal_get_stats(const struct journal *j, struct journal_stats *stats)
{
	const struct counters *c = &j->counters;

	stats->disk_full = counter_get(&c->disk_full);
	stats->slab_journal_commits_requested =
		counter_get(&c->slab_journal_commits_requested);
	stats->entries_started = counter_get(&c->entries_started);
	stats->entries_written = counter_get(&c->entries_written);
	stats->entries_committed = counter_get(&c->entries_committed);
	stats->blocks_started = counter_get(&c->blocks_started);
	stats->blocks_written = counter_get(&c->blocks_written);
	stats->blocks_committed = counter_get(&c->blocks_committed);
}
