/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of the journal in memory.
 *
 *	                              [ring_retire_full]
 *	free --[open_block]--> open --[full]--> full --------> free
 *	                        |                               ^
 *	                        '--[ring_close, when saving]----'
 *
 * There are as many buffers as reserved blocks (V 6.1), and a new block is
 * opened only while head and tail are less than usable = size - reserved apart.
 * So all blocks that are not durable lie within reserved blocks of the newest
 * durable one, and the place of each, one lap earlier, is below the head that
 * the newest durable header names: writing them destroys nothing that recovery
 * would look for, in whatever order they arrive.
 *
 * Recovery takes a head for damage if it lies beyond the last block that it can
 * use (V 10.3). So heads stay at or below the newest durable block; and where
 * there is none yet, at the start and after a save, the first block is made
 * durable before a second one is opened.
 *
 * A place is given as soon as there is one, also in a block under I/O: that
 * touches counts only. The bytes follow when a round begins.
 */
#include "build.h"

#include "journal/journal_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void ring_check_pressure(struct journal *j)
{
	VDO_ASSERT(j->slab_head <= j->tail);
	if (likely(3 * (j->tail - j->slab_head) <= 2 * j->size))
		return;
	counter_inc(&j->counters.slab_journal_commits_requested);
	if (j->holders.commit_slab_journals != NULL)
		j->holders.commit_slab_journals(j->holders.arg, j->slab_head);
}

static bool has_space(struct journal *j)
{
	VDO_ASSERT(j->tail - MIN(j->map_head, j->slab_head) <= j->usable);
	if (likely(j->tail - MIN(j->map_head, j->slab_head) < j->usable))
		return true;
	if (!j->full)
		counter_inc(&j->counters.disk_full);
	j->full = true;
	return false;
}

/* False if there is no buffer or no space now, or in read-only mode. */
static bool open_block(struct journal *j)
{
	bool first_of_all = MAX(j->map_head, j->slab_head) > j->durable;
	struct block *b;

	VDO_ASSERT(j->open == NULL ||
		   j->open->assigned == JOURNAL_ENTRIES_PER_BLOCK);
	if (j->active == (first_of_all ? 1 : j->reserved) || !has_space(j) ||
	    readonly_entered(j->readonly))
		return false;
	if (unlikely(j->tail >= SEQ_MAX)) {
		readonly_enter(
			j->readonly, -EOVERFLOW,
			"journal: no sequence number left, tail=%" PRIu64,
			j->tail);
		return false;
	}
	b = ring_block(j, j->active++);
	b->seq = j->tail++;
	b->assigned = 0;
	b->encoded = 0;
	b->sent = 0;
	b->written = 0;
	b->logical_blocks_used = j->logical_blocks_used;
	b->block_map_data_blocks = j->block_map_data_blocks;
	memset(b->buffer, 0, BLOCK_SIZE);
	holds_open(j, b->seq);
	j->open = b;
	if (j->holders.tail_moved != NULL)
		j->holders.tail_moved(j->holders.arg, b->seq);
	ring_check_pressure(j);
	return true;
}

bool ring_has_room(struct journal *j)
{
	const struct block *b = j->open;

	if (likely(b != NULL && b->assigned < JOURNAL_ENTRIES_PER_BLOCK))
		return true;
	return open_block(j);
}

static void count_usage(struct journal *j, const struct journal_entry *e)
{
	VDO_CHECK(mapping_valid(e->new_mapping));
	if (e->operation == JOURNAL_BLOCK_MAP) {
		j->block_map_data_blocks++;
		return;
	}
	j->logical_blocks_used += e->new_mapping.state != STATE_UNMAPPED;
	j->logical_blocks_used -= e->old_mapping.state != STATE_UNMAPPED;
}

/* Entry @i of the run @op. */
static struct journal_entry run_entry(const struct journal_op *op, unsigned i)
{
	struct journal_entry e = op->entry;

	VDO_CHECK(i < op->run_count);
	e.slot = op->run[i].slot;
	e.old_mapping = op->run[i].old;
	if (op->news != NULL)
		e.new_mapping = op->news[i];
	return e;
}

/* The first entry of the run @op has its place, and so have the others. */
static void assign_run(struct journal *j, struct journal_op *op)
{
	VDO_ASSERT(op->run_count > 0 && op->entry.operation == JOURNAL_DATA);
	VDO_ASSERT(op->point.entry + op->run_count <=
		   JOURNAL_ENTRIES_PER_BLOCK);
	j->open->assigned += op->run_count - 1;
	counter_add(&j->counters.entries_started, op->run_count - 1);
	for (unsigned i = 0; i < op->run_count; i++) {
		struct journal_entry e = run_entry(op, i);

		count_usage(j, &e);
	}
}

void ring_assign(struct journal *j, struct journal_op *op)
{
	struct block *b = j->open;

	VDO_CHECK(b->assigned < JOURNAL_ENTRIES_PER_BLOCK);
	/* All earlier entries are in an image, so a new image begins. */
	if (b->assigned == b->encoded)
		counter_inc(&j->counters.blocks_started);
	op->point.seq = b->seq;
	op->point.entry = (uint16_t)b->assigned++;
	if (likely(op->run == NULL))
		count_usage(j, &op->entry);
	else
		assign_run(j, op);
	waitq_push(&j->assigned, &op->link);
	counter_inc(&j->counters.entries_started);
}

void ring_assign_waiting(struct journal *j)
{
	VDO_CHECK(queue_is_current(j->queue));
	while (!waitq_empty(&j->waiting) && ring_has_room(j)) {
		struct journal_op *op = op_of(waitq_pop(&j->waiting));

		j->waiting_entries -= op_entries(op);
		ring_assign(j, op);
	}
}

static void encode(struct journal *j, struct block *b, uint8_t check,
		   const struct journal_op *op)
{
	VDO_CHECK(op->point.entry == b->encoded);
	if (likely(op->run == NULL)) {
		journal_block_put(b->buffer, b->encoded++, check,
				  j->recovery_count, &op->entry);
		return;
	}
	j->entries += op->run_count - 1;
	for (unsigned i = 0; i < op->run_count; i++) {
		struct journal_entry e = run_entry(op, i);

		journal_block_put(b->buffer, b->encoded++, check,
				  j->recovery_count, &e);
	}
}

unsigned ring_encode(struct journal *j)
{
	unsigned first, i;
	struct block *b;
	uint8_t check;

	j->batch = 0;
	j->entries = (unsigned)j->assigned.count;
	if (j->entries == 0)
		return 0;
	first = (unsigned)(op_of(j->assigned.first)->point.seq -
			   ring_block(j, 0)->seq);
	i = first;
	b = ring_block(j, i);
	check = journal_check(b->seq, j->size);
	for (struct waiter *w = j->assigned.first; w != NULL; w = w->next) {
		const struct journal_op *op = op_of(w);

		while (b->seq != op->point.seq) {
			b = ring_block(j, ++i);
			check = journal_check(b->seq, j->size);
		}
		encode(j, b, check, op);
	}
	/* What was sent is durable when it is written: they begin the ring. */
	VDO_ASSERT(i < j->active && first + 1 >= j->sent_blocks);
	j->batch = i - first + 1;
	waitq_splice(&j->committing, &j->assigned);
	return j->entries;
}

static void retire_oldest(struct journal *j)
{
	VDO_ASSERT(j->active > 0 && ring_block(j, 0)->seq <= j->durable);
	j->oldest = j->oldest + 1 == j->reserved ? 0 : j->oldest + 1;
	j->active--;
	if (j->active == 0)
		j->open = NULL;
}

void ring_retire_full(struct journal *j)
{
	for (unsigned n = j->sent_blocks; n > 0; n--) {
		struct block *b = ring_block(j, 0);

		j->durable = b->seq;
		b->written = b->sent;
		if (b->written < JOURNAL_ENTRIES_PER_BLOCK) {
			VDO_ASSERT(n == 1);
			break;
		}
		holds_drop(j, b->seq, 1);
		retire_oldest(j);
	}
	j->sent_blocks = 0;
}

bool ring_close(struct journal *j)
{
	struct block *b = j->open;

	if (b == NULL)
		return false;
	VDO_ASSERT(j->active == 1 && b->written == b->assigned);
	holds_drop(j, b->seq, JOURNAL_ENTRIES_PER_BLOCK - b->assigned + 1);
	retire_oldest(j);
	return true;
}
