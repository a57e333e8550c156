/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order of a recovery (V 10.3 A to D).
 *
 * The ring is read once to find what is to be replayed, and these blocks once
 * more to look at each entry, during which the first batch is gathered. Only
 * then is anything written. Further batches, of which there are none unless the
 * journal is large, are read again, and so is what the slab journals may lack.
 * No more than a few MiB of the journal are in memory at any time.
 *
 * What is read may not be durable: a process that was killed leaves writes in
 * the page cache of its host. Were a page written then, and power lost, the page
 * could survive the entry that it has. So a flush comes before the first write
 * (D14).
 *
 * The pages are durable before the slab journals are begun: recovery has no
 * need of that order, but one flush more costs nothing, and whoever looks at a
 * recovery that was interrupted has fewer cases to think of.
 */
#include "build.h"

#include "recovery/recovery_priv.h"

#include <errno.h>
#include <inttypes.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* Row, function, where it runs; what it does. */
#define RECOVERY_ROWS(X)						       \
	/* the ring; what of it is to be replayed */			       \
	X(R_READ, recover_read, ON_JOURNAL)				       \
	X(R_SCAN, recover_scan, ON_JOURNAL)				       \
	X(R_BOUNDS, recover_bounds, ON_JOURNAL)				       \
	/* each entry; the first batch */				       \
	X(R_CHECK, recover_check, ON_JOURNAL)				       \
	/* what was read is durable */					       \
	X(R_FLUSH, recover_flush, ON_JOURNAL)				       \
	/* a batch into the pages; another one is read */		       \
	X(R_PAGES, recover_pages, ON_JOURNAL)				       \
	/* of blocks that were set aside the map is asked, a part at a time */ \
	X(R_ASIDE, recover_aside, ON_JOURNAL)				       \
	X(R_WAYS, recover_ways, ON_JOURNAL)				       \
	X(R_LOOK, recover_look, ON_JOURNAL)				       \
	/* these, and pages that the batch makes */			       \
	X(R_LATE, recover_late, ON_JOURNAL)				       \
	X(R_BATCH, recover_batch, ON_JOURNAL)				       \
	X(R_FILL, recover_fill, ON_JOURNAL)				       \
	/* all pages are durable */					       \
	X(R_SYNC, recover_sync, ON_JOURNAL)				       \
	/* summary and tails of the slab journals */			       \
	X(R_DEPOT, recover_depot, ON_JOURNAL)				       \
	/* the super block names the copies of the summary */		       \
	X(R_MERGED, recover_merged, ON_JOURNAL)				       \
	X(R_SLABS, recover_slabs, ON_JOURNAL)				       \
	/* some blocks of entries into the slab journals, until all are */     \
	X(R_APPEND, recover_append, ON_JOURNAL)				       \
	X(R_APPENDED, recover_appended, ON_JOURNAL)			       \
	/* these are durable */						       \
	X(R_SETTLE, recover_settle, ON_JOURNAL)				       \
	/* nothing is read any more; who asked is told */		       \
	X(R_END, recover_end, ON_JOURNAL)

enum { RECOVERY_ROWS(FLOW_ROW) };
RECOVERY_ROWS(FLOW_FUNCTION)
FLOW_TABLE(recovery_table, R_END, RECOVERY_ROWS);

static const char scan_phase[] = "reading the recovery journal";
static const char check_phase[] = "checking the entries of the journal";
static const char pages_phase[] = "replaying the block map";
static const char load_phase[] = "reading the slab journals";
static const char slabs_phase[] = "replaying the slab journals";

/* ----------------------------------------------------------------- lifetime */

int recovery_create(const struct recovery_config *c, struct recovery **recovery)
{
	struct recovery *r = alloc_zeroed(1, sizeof(*r));

	*recovery = NULL;
	if (r == NULL)
		return -ENOMEM;
	VDO_ASSERT(c->queue != NULL && c->depot != NULL);
	r->c = *c;
	r->c.sb = NULL;
	r->sb = *c->sb;
	if (r->c.batch_entries == 0)
		r->c.batch_entries = RECOVERY_BATCH_ENTRIES;
	replay_facts_init(&r->facts, &r->sb);
	flow_init(&r->flow, &recovery_table);
	r->flow.queues[ON_JOURNAL] = c->queue;
	atomic_init(&r->phase, scan_phase);
	*recovery = r;
	return 0;
}

static void free_memory(struct recovery *r)
{
	ways_clear(r);
	pages_fini(r);
	reader_fini(&r->reader);
	alloc_free(r->entries);
	r->entries = NULL;
	replay_table_destroy(r->table);
	r->table = NULL;
	replay_made_fini(&r->made);
	replay_scan_destroy(r->scan);
	r->scan = NULL;
}

void recovery_destroy(struct recovery *r)
{
	if (r == NULL)
		return;
	VDO_ASSERT(r->done == NULL);
	free_memory(r);
	alloc_free(r);
}

static struct recovery *recovery_of(struct flow *f)
{
	struct recovery *r = container_of(f, struct recovery, flow);

	VDO_ASSERT(r->done != NULL && queue_is_current(r->c.queue));
	return r;
}

static void begin_phase(struct recovery *r, const char *phase, uint64_t blocks)
{
	counter_set(&r->phase_done, 0);
	counter_set(&r->phase_total, blocks * BLOCK_SIZE);
	atomic_store_explicit(&r->phase, phase, memory_order_relaxed);
}

const char *recovery_progress(const struct recovery *r, uint64_t *done,
			      uint64_t *total)
{
	const char *phase =
		atomic_load_explicit(&r->phase, memory_order_relaxed);

	if (phase == load_phase) {
		depot_load_progress(r->c.depot, done, total);
		return phase;
	}
	*total = counter_get(&r->phase_total);
	*done = MIN(counter_get(&r->phase_done), *total);
	return phase;
}

const struct recovery_result *recovery_result(const struct recovery *r)
{
	VDO_ASSERT(r->done == NULL);
	return &r->result;
}

void recovery_run(struct recovery *r, struct completion *done)
{
	struct partition ring = r->sb.partitions[PARTITION_JOURNAL];
	int result;

	VDO_ASSERT(r->done == NULL && done != NULL && r->scan == NULL);
	VDO_ASSERT(ring.count >= r->facts.blocks);
	ring.count = r->facts.blocks;
	result = replay_scan_create(&r->facts, &r->scan);
	if (result == 0)
		result = reader_init(&r->reader, r->c.queue, r->c.storage,
				     ring);
	if (result == 0)
		result = pages_init(r);
	if (result == 0) {
		r->entries = alloc_zeroed((size_t)r->reader.chunk_blocks *
						  JOURNAL_ENTRIES_PER_BLOCK +
					  REPLAY_OLD_ENTRIES_PER_BLOCK,
					  sizeof(*r->entries));
		result = r->entries != NULL ? 0 : -ENOMEM;
	}
	if (result != 0) {
		free_memory(r);
		completion_finish(done, result);
		return;
	}
	r->done = done;
	flow_start(&r->flow);
}

/* --------------------------------------------------------- rows: the journal */

/* Have the next chunk of the journal: NULL after the last one. False: *next is
 * what the row has to return. */
static bool next_chunk(struct recovery *r, int row, struct reader_chunk **chunk,
		       int *next)
{
	if (!reader_get(&r->reader, &r->flow, row, chunk)) {
		*next = FLOW_WAIT;
		return false;
	}
	if (r->reader.result == 0 && !recovery_is_stopped(r))
		return true;
	if (r->reader.result != 0)
		log_error(r->c.log,
			  "recovery: the journal cannot be read, result=%d",
			  r->reader.result);
	*next = flow_fail(&r->flow, r->reader.result != 0 ? r->reader.result
							  : -ECANCELED);
	return false;
}

static void drop_chunk(struct recovery *r, const struct reader_chunk *k)
{
	counter_add(&r->phase_done, (uint64_t)k->count * BLOCK_SIZE);
	reader_drop(&r->reader);
}

static int recover_read(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	begin_phase(r, scan_phase, r->facts.blocks);
	reader_begin(&r->reader, 0, r->facts.blocks);
	return R_SCAN;
}

static int recover_scan(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct reader_chunk *k;
	int next;

	if (!next_chunk(r, R_SCAN, &k, &next))
		return next;
	if (k == NULL)
		return R_BOUNDS;
	for (unsigned i = 0; i < k->count; i++)
		replay_scan_block(r->scan, k->first + i,
				  k->bytes + (size_t)i * BLOCK_SIZE);
	drop_chunk(r, k);
	return R_SCAN;
}

static int damaged(struct recovery *r, int result, seq_t block,
		   const char *wrong)
{
	VDO_ASSERT(wrong != NULL);
	r->result.wrong = wrong;
	r->result.wrong_block = block;
	log_error(r->c.log, "recovery: the journal cannot be replayed: %s, "
			    "block=%" PRIu64,
		  wrong, block);
	return flow_fail(&r->flow, result);
}

/* Room for all entries that the map may lack, or for a batch of them. */
static int make_table(struct recovery *r)
{
	uint64_t entries = 0;

	for (seq_t s = r->bounds.map_head; s <= r->bounds.last; s++)
		entries += replay_entries(r->scan, s);
	entries = MAX(MIN(entries, r->c.batch_entries),
		      JOURNAL_ENTRIES_PER_BLOCK);
	r->table_size = entries;
	return replay_table_create(entries, &r->table);
}

static uint64_t blocks_from(const struct recovery *r, seq_t first)
{
	return first <= r->bounds.last ? r->bounds.last - first + 1 : 0;
}

static int recover_bounds(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct replay_bounds *b = &r->bounds;
	struct recovery_result *t = &r->result;
	const char *wrong;
	int result = replay_scan_end(r->scan, b, &wrong);

	if (result != 0)
		return damaged(r, result, b->highest, wrong);
	if (b->highest >= SEQ_MAX - 1)
		return damaged(r, -VDO_ECORRUPT, b->highest,
			       "no sequence number is left after it");
	t->next = b->highest + 1;
	/* Counts for people only: no reason to refuse a volume. */
	t->logical_blocks_used =
		MIN(b->logical_blocks_used, r->sb.logical_blocks);
	t->block_map_data_blocks =
		MIN(b->block_map_data_blocks, r->sb.physical_blocks);
	t->blocks = blocks_from(r, b->first);
	if (t->blocks == 0)
		return R_FLUSH;
	result = make_table(r);
	if (result != 0)
		return flow_fail(f, result);
	r->batch_first = b->map_head;
	r->batch_next = b->map_head;
	begin_phase(r, check_phase, t->blocks);
	reader_begin(&r->reader, b->first, t->blocks);
	return R_CHECK;
}

/* ---------------------------------------------------------- rows: block map */

/*
 * Take block @seq apart, and look at each of its entries, each time that it was
 * read: nothing says that it reads the same twice. How many there are, or a
 * negative number: r->flow.result says why.
 */
static int decode(struct recovery *r, seq_t seq, const uint8_t *block,
		  struct replay_entry *entries)
{
	unsigned n = replay_decode(r->scan, seq, block, entries);

	if (n != replay_entries(r->scan, seq)) {
		(void)damaged(r, -VDO_ECORRUPT, seq,
			      "a block changed while it was read");
		return -1;
	}
	for (unsigned i = 0; i < n; i++) {
		const char *wrong =
			replay_entry_check(&r->facts, &entries[i].entry);

		if (wrong != NULL) {
			(void)damaged(r, -VDO_ECORRUPT, seq, wrong);
			return -1;
		}
	}
	return (int)n;
}

static void gather_entry(struct recovery *r, const struct journal_entry *e)
{
	bool added = replay_table_add(r->table, e);

	VDO_ASSERT(added);
	if (e->operation == JOURNAL_BLOCK_MAP)
		replay_table_make(r->table, e->new_mapping.pbn);
}

/*
 * Put the @n entries of block @seq into the batch, if it is their turn and there
 * is room for all of them.
 */
static bool gather(struct recovery *r, seq_t seq, int n,
		   const struct replay_entry *entries)
{
	size_t room = r->table_size - replay_table_count(r->table);

	if (seq != r->batch_next || room < (size_t)n)
		return false;
	for (int i = 0; i < n; i++)
		gather_entry(r, &entries[i].entry);
	r->batch_next++;
	return true;
}

/* No entry of block @seq contradicts those before it in what is a page. */
static int compare(struct recovery *r, seq_t seq, int n,
		   const struct replay_entry *entries)
{
	int result = 0;

	VDO_ASSERT(n >= 0);
	for (int i = 0; seq >= r->bounds.map_head && result == 0 && i < n; i++) {
		const struct journal_entry *e = &entries[i].entry;
		const char *wrong;

		result = replay_made_take(&r->made, e, &wrong);
		if (result == 0 && wrong != NULL)
			result = recovery_page_wrong(r, e->new_mapping.pbn,
						     wrong);
	}
	return result;
}

static int recover_check(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct reader_chunk *k;
	int next;

	if (!next_chunk(r, R_CHECK, &k, &next))
		return next;
	if (k == NULL)
		return R_FLUSH;
	for (unsigned i = 0; i < k->count; i++) {
		int n = decode(r, k->first + i,
			       k->bytes + (size_t)i * BLOCK_SIZE, r->entries);
		int result;

		if (n < 0)
			return R_END;
		result = compare(r, k->first + i, n, r->entries);
		if (result != 0)
			return flow_fail(f, result);
		r->result.entries += (unsigned)n;
		(void)gather(r, k->first + i, n, r->entries);
	}
	drop_chunk(r, k);
	return R_CHECK;
}

static int recover_flush(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	begin_phase(r, pages_phase, blocks_from(r, r->bounds.map_head));
	flow_await(f, &r->sync.done, r->table != NULL ? R_PAGES : R_DEPOT);
	sync_request(r->c.sync, &r->sync);
	return FLOW_WAIT;
}

int recovery_page_wrong(struct recovery *r, pbn_t page, const char *wrong)
{
	VDO_ASSERT(wrong != NULL && page != 0);
	if (r->result.wrong != NULL) /* another page was the first */
		return -VDO_ECORRUPT;
	r->result.wrong = wrong;
	r->result.wrong_page = page;
	log_error(r->c.log,
		  "recovery: the journal cannot be replayed: %s, pbn=%" PRIu64,
		  wrong, page);
	return -VDO_ECORRUPT;
}

static int recover_pages(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	bool is_last = r->batch_next == r->bounds.last + 1;
	int result = 0;
	const char *wrong;
	pbn_t page;

	if (replay_table_count(r->table) == 0)
		return R_SYNC;
	replay_table_sort(r->table);
	wrong = replay_table_clash(r->table, &page);
	if (wrong == NULL)
		result = replay_made_batch(&r->made, r->table, is_last, &page,
					   &wrong);
	if (result != 0)
		return flow_fail(f, result);
	if (wrong != NULL)
		return flow_fail(f, recovery_page_wrong(r, page, wrong));
	r->late = false;
	return pages_replay(r, R_ASIDE);
}

static int recover_aside(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	if (r->pages_result != 0)
		return flow_fail(f, r->pages_result);
	if (r->aside_count > 0)
		return flow_next(f, ways_begin(r), R_WAYS);
	return replay_table_made(r->table) > 0 ? R_LATE : R_BATCH;
}

static int recover_ways(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	if (recovery_is_stopped(r))
		return flow_fail(f, -ECANCELED);
	if (ways_read(r, R_LOOK))
		return FLOW_WAIT;
	return flow_next(f, ways_end(r), R_LATE);
}

static int recover_look(struct flow *f)
{
	return flow_next(f, ways_look(recovery_of(f)), R_WAYS);
}

static int recover_late(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	r->late = true;
	return pages_replay(r, R_BATCH);
}

static int recover_batch(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	bool first = r->batch_first == r->bounds.map_head;

	if (r->pages_result != 0)
		return flow_fail(f, r->pages_result);
	ways_clear(r);
	replay_table_clear(r->table);
	r->batch_first = r->batch_next;
	if (first)
		reader_begin(&r->reader, r->batch_next,
			     blocks_from(r, r->batch_next));
	return R_FILL;
}

/* A chunk that does not fit into the batch any more stays for the next one. */
static int recover_fill(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct reader_chunk *k;
	int next;

	if (!next_chunk(r, R_FILL, &k, &next))
		return next;
	if (k == NULL)
		return R_PAGES;
	for (unsigned i = (unsigned)(r->batch_next - k->first); i < k->count;
	     i++) {
		int n = decode(r, k->first + i,
			       k->bytes + (size_t)i * BLOCK_SIZE, r->entries);

		if (n < 0)
			return R_END;
		if (!gather(r, k->first + i, n, r->entries))
			return R_PAGES;
	}
	reader_drop(&r->reader);
	return R_FILL;
}

static int recover_sync(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	VDO_ASSERT(r->batch_next == r->bounds.last + 1);
	flow_await(f, &r->sync.done, R_DEPOT);
	sync_request(r->c.sync, &r->sync);
	return FLOW_WAIT;
}

/* ------------------------------------------------------ rows: slab journals */

static int recover_depot(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	pages_fini(r);
	replay_table_destroy(r->table);
	r->table = NULL;
	replay_made_fini(&r->made);
	begin_phase(r, load_phase, 0);
	flow_await(f, &r->step, R_MERGED);
	depot_set_points_end(r->c.depot, r->bounds.points_end);
	depot_load(r->c.depot, DEPOT_CRASHED, &r->step);
	return FLOW_WAIT;
}

static int recover_merged(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	if (r->c.summary_merged == NULL)
		return R_SLABS;
	flow_await(f, &r->step, R_SLABS);
	r->c.summary_merged(r->c.arg, &r->step);
	return FLOW_WAIT;
}

static int recover_slabs(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	uint64_t blocks = r->bounds.found ? blocks_from(r, r->bounds.slab_head)
					  : 0;

	begin_phase(r, slabs_phase, blocks);
	reader_begin(&r->reader, r->bounds.slab_head, blocks);
	return R_APPEND;
}

static int recover_append(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct reader_chunk *k;
	size_t count = 0;
	int next;

	if (!next_chunk(r, R_APPEND, &k, &next))
		return next;
	if (k == NULL)
		return R_SETTLE;
	for (unsigned i = 0; i < k->count; i++) {
		int n = decode(r, k->first + i,
			       k->bytes + (size_t)i * BLOCK_SIZE,
			       r->entries + count);

		if (n < 0)
			return R_END;
		count += (unsigned)n;
	}
	drop_chunk(r, k);
	flow_await(f, &r->step, R_APPENDED);
	depot_replay(r->c.depot, r->entries, count, &r->step);
	return FLOW_WAIT;
}

static int recover_appended(struct flow *f)
{
	VDO_ASSERT(recovery_of(f)->step.result == 0);
	return R_APPEND;
}

static int recover_settle(struct flow *f)
{
	struct recovery *r = recovery_of(f);

	flow_await(f, &r->step, R_END);
	depot_replayed(r->c.depot, &r->step);
	return FLOW_WAIT;
}

static int recover_end(struct flow *f)
{
	struct recovery *r = recovery_of(f);
	struct completion *done = r->done;

	if (!reader_rest(&r->reader, f, R_END))
		return FLOW_WAIT;
	free_memory(r);
	r->done = NULL;
	completion_finish(done, f->result);
	return FLOW_END;
}
