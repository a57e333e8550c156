/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "replay/scan.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* What is kept of a block of this journal that is in its place. */
struct scanned {
	seq_t seq; /* 0: it is another one, or not in its place */
	uint64_t logical_blocks_used, block_map_data_blocks;
	int16_t used_change;	/* by the entries that are whole */
	uint16_t pages_change;
	uint16_t whole;		/* entries up to the first that is missing */
	uint16_t present;	/* entries that are there */
	uint8_t type;
	bool full;		/* written to its end, and whole */
};

struct replay_scan {
	struct replay_facts facts;
	bool found, tolerant;
	seq_t highest, map_head, slab_head;
	seq_t first, last; /* the bounds that were given */
	seq_t certain;	   /* tolerant: all up to it had been durable once */
	uint64_t next;	   /* the block to be shown */
	struct scanned *blocks;
	struct replay_entry entries[REPLAY_OLD_ENTRIES_PER_BLOCK];
};

int replay_scan_create(const struct replay_facts *f, struct replay_scan **scan)
{
	struct replay_scan *s = alloc_zeroed(1, sizeof(*s));

	*scan = NULL;
	if (s == NULL)
		return -ENOMEM;
	s->facts = *f;
	s->highest = f->start;
	s->blocks = alloc_zeroed(f->blocks, sizeof(*s->blocks));
	if (s->blocks == NULL) {
		replay_scan_destroy(s);
		return -ENOMEM;
	}
	*scan = s;
	return 0;
}

void replay_scan_destroy(struct replay_scan *scan)
{
	if (scan == NULL)
		return;
	alloc_free(scan->blocks);
	alloc_free(scan);
}

const struct replay_facts *replay_scan_facts(const struct replay_scan *scan)
{
	return &scan->facts;
}

/* How the entries that are whole change the totals (V 10.3 C). */
static void count_changes(const struct replay_entry *entries, struct scanned *b)
{
	for (unsigned i = 0; i < b->whole; i++) {
		const struct journal_entry *e = &entries[i].entry;

		if (e->operation == JOURNAL_BLOCK_MAP)
			b->pages_change++;
		else
			b->used_change = (int16_t)(
				b->used_change +
				(e->new_mapping.state != STATE_UNMAPPED) -
				(e->old_mapping.state != STATE_UNMAPPED));
	}
}

void replay_scan_block(struct replay_scan *scan, uint64_t index,
		       const uint8_t *block)
{
	const struct replay_facts *f = &scan->facts;
	struct scanned *b = &scan->blocks[index];
	struct journal_header h;

	VDO_ASSERT(index == scan->next && index < f->blocks);
	scan->next++;
	journal_header_decode(block, &h);
	if (!replay_is_ours(f, &h) || h.seq % f->blocks != index || h.seq == 0)
		return;
	*b = (struct scanned){
		.seq = h.seq,
		.logical_blocks_used = h.logical_blocks_used,
		.block_map_data_blocks = h.block_map_data_blocks,
		.whole = (uint16_t)replay_take(f, &h, block, false,
					       scan->entries),
		.type = h.type,
	};
	count_changes(scan->entries, b);
	b->full = b->whole == JOURNAL_ENTRIES_PER_BLOCK;
	b->present = (uint16_t)replay_take(f, &h, block, true, NULL);
	if (h.seq >= scan->highest) {
		scan->highest = h.seq;
		scan->found = true;
	}
	if (scan->found) {
		scan->map_head = MAX(scan->map_head, h.map_head);
		scan->slab_head = MAX(scan->slab_head, h.slab_head);
	}
}

/* Block @seq, or NULL: something else is in its place. */
static const struct scanned *find(const struct replay_scan *scan, seq_t seq)
{
	const struct scanned *b = &scan->blocks[seq % scan->facts.blocks];

	return seq > 0 && b->seq == seq ? b : NULL;
}

static void set_bounds(struct replay_scan *scan, bool tolerant, seq_t first,
		       seq_t last, struct replay_bounds *b)
{
	VDO_ASSERT(scan->next == scan->facts.blocks);
	scan->tolerant = tolerant;
	scan->first = first;
	scan->last = last;
	*b = (struct replay_bounds){
		.found = scan->found,
		.highest = scan->highest,
		.map_head = scan->map_head,
		.slab_head = scan->slab_head,
		.first = first,
		.last = last,
		.points_end = points_of_block(scan->facts.start),
		.logical_blocks_used = scan->facts.logical_blocks_used,
		.block_map_data_blocks = scan->facts.block_map_data_blocks,
	};
}

/* The last block up to which all are there, or @first - 1; 0: some of them are
 * of another format. */
static seq_t find_last(const struct replay_scan *scan, seq_t first)
{
	const struct scanned *b = find(scan, first);
	uint8_t type = b != NULL ? b->type : 0;
	seq_t seq = first;

	VDO_ASSERT(first > 0);
	for (; seq <= scan->highest; seq++) {
		b = find(scan, seq);
		if (b == NULL)
			break;
		if (b->type != type)
			return 0;
		if (type == JOURNAL_TYPE && !b->full)
			return seq;
	}
	return seq - 1;
}

int replay_scan_end(struct replay_scan *scan, struct replay_bounds *b,
		    const char **wrong)
{
	seq_t first = MIN(scan->map_head, scan->slab_head);
	const struct scanned *end;
	seq_t last;

	*wrong = NULL;
	set_bounds(scan, false, 1, 0, b);
	if (!scan->found)
		return 0;
	if (first == 0) {
		*wrong = "a block says that the journal begins at 0";
		return -VDO_ECORRUPT;
	}
	last = find_last(scan, first);
	if (last == 0 && first > 1) {
		*wrong = "its blocks are of two formats";
		return -VDO_ECORRUPT;
	}
	if (MAX(scan->map_head, scan->slab_head) > last) {
		*wrong = "the oldest block that is needed is not there";
		return -VDO_ECORRUPT;
	}
	end = find(scan, last);
	VDO_ASSERT(end != NULL);
	if (end->type != JOURNAL_TYPE) {
		*wrong = "it is of the format of VDO 6.2";
		return -VDO_EVERSION;
	}
	/* All buffers of a writer may be under I/O at a crash, and no more. */
	if (scan->highest - last > journal_reserved(scan->facts.blocks)) {
		*wrong = "blocks are damaged, or missing, before its newest";
		return -VDO_ECORRUPT;
	}
	set_bounds(scan, false, first, last, b);
	b->points_end = points_of_block(last);
	if (last < SEQ_MAX)
		b->points_end += 2 * end->whole;
	b->whole = last;
	b->logical_blocks_used = end->logical_blocks_used;
	if (end->used_change >= 0)
		b->logical_blocks_used += (uint64_t)end->used_change;
	else /* a header that lies must not make it wrap */
		b->logical_blocks_used -= MIN(b->logical_blocks_used,
					      (uint64_t)-end->used_change);
	b->block_map_data_blocks =
		end->block_map_data_blocks + end->pages_change;
	return 0;
}

/*
 * The last block from @first on that a writer may have told anybody of. Those
 * after the last gap were under I/O at the crash: of these the data need not
 * be durable either (I12).
 */
static seq_t find_told(const struct replay_scan *scan, seq_t first)
{
	seq_t seq = MAX(first, scan->certain + 1);

	for (; seq <= scan->highest; seq++) {
		const struct scanned *b = find(scan, seq);

		if (b == NULL)
			break;
		if (b->type == JOURNAL_TYPE && !b->full)
			return seq;
	}
	return seq - 1;
}

void replay_scan_end_tolerant(struct replay_scan *scan, struct replay_bounds *b)
{
	uint64_t reserved = journal_reserved(scan->facts.blocks);
	seq_t heads = MAX(scan->map_head, scan->slab_head);
	const char *wrong;
	seq_t oldest = scan->highest >= scan->facts.blocks
			       ? scan->highest - scan->facts.blocks + 1
			       : 1;
	seq_t first = MIN(MAX(scan->map_head, oldest), scan->highest + 1);

	if (replay_scan_end(scan, b, &wrong) == 0) {
		if (scan->found)
			scan->first = b->first = MAX(b->first, b->map_head);
		return;
	}
	scan->certain = scan->highest - MIN(scan->highest, reserved);
	/* A head passes only what was durable, and all before it. */
	if (heads > 0 && heads <= scan->highest)
		scan->certain = MAX(scan->certain, heads - 1);
	set_bounds(scan, true, first, find_told(scan, first), b);
}

unsigned replay_entries(const struct replay_scan *scan, seq_t seq)
{
	const struct scanned *b;

	if (seq < scan->first || seq > scan->last)
		return 0;
	b = find(scan, seq);
	if (!scan->tolerant) {
		VDO_ASSERT(b != NULL);
		return b->whole;
	}
	/* The newest block says which format counts. */
	if (b == NULL || b->type != find(scan, scan->highest)->type)
		return 0;
	return seq <= scan->certain ? b->present : b->whole;
}

unsigned replay_decode(const struct replay_scan *scan, seq_t seq,
		       const uint8_t *block, struct replay_entry *out)
{
	unsigned wanted = replay_entries(scan, seq);
	struct journal_header h;
	unsigned n;

	journal_header_decode(block, &h);
	if (wanted == 0 || !replay_is_ours(&scan->facts, &h) || h.seq != seq)
		return 0;
	n = replay_take(&scan->facts, &h, block,
			scan->tolerant && seq <= scan->certain, out);
	return n == wanted ? n : 0;
}
