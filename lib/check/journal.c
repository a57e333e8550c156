/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the ring, in pieces: all that is told of a block is kept by the scan.
 */
#include "build.h"

#include "check/journal.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

#define PIECE 64u /* blocks that are read at once */

static pbn_t ring_start(const struct check_journal *j)
{
	return j->sb->partitions[PARTITION_JOURNAL].start;
}

static bool ends_it(int result)
{
	return result == -ECANCELED || result == -ENOMEM;
}

/* @n blocks from @index on; what cannot be read is zeroes, which is nobody's.
 */
static int read_piece(struct check_journal *j, uint64_t index, uint64_t n,
		      uint8_t *to)
{
	int result = j->read(j->arg, ring_start(j) + index, n, to);

	VDO_ASSERT(n > 0 && n <= PIECE);
	for (uint64_t i = 0; result != 0 && !ends_it(result) && i < n; i++) {
		int r = j->read(j->arg, ring_start(j) + index + i, 1,
				to + i * BLOCK_SIZE);

		if (r == 0)
			continue;
		if (ends_it(r))
			return r;
		memset(to + i * BLOCK_SIZE, 0, BLOCK_SIZE);
		if (j->unreadable++ == 0)
			j->first_unreadable = ring_start(j) + index + i;
	}
	return ends_it(result) ? result : 0;
}

static void note(uint8_t *bits, uint64_t *count, uint64_t index)
{
	bits[index / 8] |= (uint8_t)(1u << index % 8);
	++*count;
}

static void look_at_header(struct check_journal *j, uint64_t index,
			   const uint8_t *block)
{
	struct journal_header h;

	VDO_ASSERT(index < j->facts.blocks);
	journal_header_decode(block, &h);
	if (!replay_is_ours(&j->facts, &h) || h.seq % j->facts.blocks != index)
		return;
	if (h.seq >= j->facts.start)
		note(j->ahead, &j->ahead_count, index);
	if (MAX(h.map_head, h.slab_head) > h.seq ||
	    h.seq - MIN(h.map_head, h.slab_head) >= j->facts.blocks)
		note(j->odd, &j->odd_count, index);
}

static int scan_ring(struct check_journal *j)
{
	uint8_t *piece = alloc_aligned(BLOCK_SIZE, PIECE, BLOCK_SIZE);
	uint64_t blocks = j->facts.blocks;
	int result = piece == NULL ? -ENOMEM : 0;

	for (uint64_t i = 0; result == 0 && i < blocks; i += PIECE) {
		uint64_t n = MIN(PIECE, blocks - i);

		result = read_piece(j, i, n, piece);
		for (uint64_t k = 0; result == 0 && k < n; k++) {
			replay_scan_block(j->scan, i + k,
					  piece + k * BLOCK_SIZE);
			look_at_header(j, i + k, piece + k * BLOCK_SIZE);
		}
	}
	alloc_free(piece);
	return result;
}

int check_journal_load(
	struct check_journal *j, const struct superblock *sb, bool tolerant,
	int (*read)(void *arg, pbn_t pbn, uint64_t count, void *to), void *arg)
{
	int result;

	*j = (struct check_journal){.sb = sb, .read = read, .arg = arg};
	replay_facts_init(&j->facts, sb);
	result = replay_scan_create(&j->facts, &j->scan);
	j->ahead = alloc_zeroed(div_up(j->facts.blocks, 8), 1);
	j->odd = alloc_zeroed(div_up(j->facts.blocks, 8), 1);
	if (j->ahead == NULL || j->odd == NULL)
		result = -ENOMEM;
	if (result == 0)
		result = scan_ring(j);
	if (result != 0)
		return result;
	if (tolerant)
		replay_scan_end_tolerant(j->scan, &j->bounds);
	else
		j->why = replay_scan_end(j->scan, &j->bounds, &j->wrong);
	/* As recovery has it. */
	if (!tolerant && j->why == 0 && j->bounds.highest >= SEQ_MAX - 1) {
		j->why = -VDO_ECORRUPT;
		j->wrong = "no sequence number is left after it";
	}
	return 0;
}

void check_journal_free(struct check_journal *j)
{
	replay_table_destroy(j->table);
	replay_made_fini(&j->made);
	replay_scan_destroy(j->scan);
	alloc_free(j->ahead);
	alloc_free(j->odd);
	j->table = NULL;
	j->scan = NULL;
	j->ahead = j->odd = NULL;
}

/* ------------------------------------------------------------------- entries
 */

struct reading {
	struct check_journal *j;
	uint8_t *block;
	struct replay_entry *entries;
};

static bool is_valid(struct check_journal *j, const struct replay_entry *e)
{
	const char *wrong = replay_entry_check(&j->facts, &e->entry);

	if (wrong == NULL)
		return true;
	if (j->invalid++ == 0) {
		j->first_invalid = e->at;
		j->why_invalid = wrong;
	}
	return false;
}

static int take_block(struct reading *r, seq_t seq,
		      int (*take)(void *arg, const struct replay_entry *e),
		      void *arg)
{
	struct check_journal *j = r->j;
	unsigned n;
	int result;

	if (replay_entries(j->scan, seq) == 0)
		return 0;
	result = j->read(j->arg, ring_start(j) + seq % j->facts.blocks, 1,
			 r->block);
	if (result != 0)
		return result;
	n = replay_decode(j->scan, seq, r->block, r->entries);
	for (unsigned i = 0; result == 0 && i < n; i++)
		if (is_valid(j, &r->entries[i]))
			result = take(arg, &r->entries[i]);
	return result;
}

int check_journal_each(struct check_journal *j, seq_t first,
		       int (*take)(void *arg, const struct replay_entry *e),
		       void *arg)
{
	struct reading r = {.j = j};
	int result = 0;

	VDO_ASSERT(j->scan != NULL);
	j->invalid = 0;
	r.block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	r.entries =
		alloc_zeroed(REPLAY_OLD_ENTRIES_PER_BLOCK, sizeof(*r.entries));
	if (r.block == NULL || r.entries == NULL)
		result = -ENOMEM;
	for (seq_t seq = MAX(first, j->bounds.first);
	     result == 0 && seq <= j->bounds.last; seq++)
		result = take_block(&r, seq, take, arg);
	alloc_free(r.entries);
	alloc_free(r.block);
	return result;
}

static int put(void *arg, const struct replay_entry *e)
{
	struct check_journal *j = arg;
	int result;

	if (j->clash == NULL) {
		result = replay_made_take(&j->made, &e->entry, &j->clash);
		if (result != 0)
			return result;
		j->clash_block = e->entry.new_mapping.pbn;
	}
	/* It has room for all that the scan has counted. */
	if (!replay_table_add(j->table, &e->entry))
		return -ENOMEM;
	if (e->entry.operation == JOURNAL_BLOCK_MAP &&
	    e->at.seq <= j->bounds.whole)
		replay_table_make(j->table, e->entry.new_mapping.pbn);
	return 0;
}

int check_journal_overlay(struct check_journal *j)
{
	const struct replay_bounds *b = &j->bounds;
	size_t n = 0;
	int result;

	VDO_ASSERT(j->table == NULL);
	for (seq_t seq = MAX(b->map_head, b->first); seq <= b->last; seq++)
		n += replay_entries(j->scan, seq);
	if (n == 0)
		return 0;
	result = replay_table_create(n, &j->table);
	if (result == 0)
		result = check_journal_each(j, b->map_head, put, j);
	if (result == 0)
		replay_table_sort(j->table);
	return result;
}
