/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of the block map: each is read, gets all mappings that the batch has for
 * it, and is written.
 *
 *	read --> check --> apply --> write --------------------> next page
 *	           |                   ^
 *	           '- never written: empty, flag off, storage;
 *	              write, barrier, flag on (D9)
 *
 * Old mappings are not compared, and what a page has already does no harm (I43).
 * A page that carries the nonce of the volume and is not what should be there is
 * damage, and ends the recovery; so does one that its entries do not fit. Of a
 * page that the batch makes nothing is read: the batch has all that is in it, and
 * it is written even if that is nothing.
 *
 * Whatever a page is written over that holds none would be lost, if an entry is
 * not true. So pages that are there come first. Blocks that hold none, and that
 * nothing in the batch makes a page, are set aside, and looked for in the map
 * (ways.c), and so are pages that are told to lead to others without a sign that
 * they do. Only when all these are good, they and the pages that the batch makes
 * are written; and so are all that lead to others, as a false one would stay after
 * a recovery that was refused, and a rebuild would follow it.
 *
 * A page that was never written lies in a hole of a sparse file, unless its
 * storage was set aside before the crash and survived it. So storage is asked
 * for again, before the write.
 */
#include "build.h"

#include "recovery/recovery_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"

/* Row, function, where it runs; what it does. */
#define PAGE_ROWS(X)							       \
	/* the next page of the batch */				       \
	X(P_TAKE, page_take, ON_JOURNAL)				       \
	/* as it is, or empty; the mappings of the batch */		       \
	X(P_APPLY, page_apply, ON_JOURNAL)				       \
	X(P_STORE, page_store, ON_JOURNAL)				       \
	/* the first image of a page is durable before the second */	       \
	X(P_STORED, page_stored, ON_JOURNAL)				       \
	X(P_AGAIN, page_again, ON_JOURNAL)				       \
	/* no page is left, or one failed */				       \
	X(P_END, page_end, ON_JOURNAL)

enum { PAGE_ROWS(FLOW_ROW) };
PAGE_ROWS(FLOW_FUNCTION)
FLOW_TABLE(page_table, P_END, PAGE_ROWS);

int pages_init(struct recovery *r)
{
	VDO_ASSERT(r->workers == NULL && r->working == 0);
	r->workers = alloc_zeroed(PAGE_WORKERS, sizeof(*r->workers));
	r->page_buffers = alloc_aligned(BLOCK_SIZE, PAGE_WORKERS, BLOCK_SIZE);
	if (r->workers == NULL || r->page_buffers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < PAGE_WORKERS; i++) {
		struct page_worker *w = &r->workers[i];

		w->recovery = r;
		w->bytes = r->page_buffers + (size_t)i * BLOCK_SIZE;
		flow_init(&w->flow, &page_table);
		w->flow.queues[ON_JOURNAL] = r->c.queue;
	}
	return 0;
}

void pages_fini(struct recovery *r)
{
	VDO_ASSERT(r->working == 0);
	alloc_free(r->page_buffers);
	alloc_free(r->workers);
	r->page_buffers = NULL;
	r->workers = NULL;
}

int pages_replay(struct recovery *r, int next)
{
	VDO_ASSERT(r->working == 0 && r->pages_result == 0);
	flow_park(&r->flow, next);
	r->position = 0; /* of the batch, whose pages are taken twice */
	r->working = PAGE_WORKERS;
	for (unsigned i = 0; i < PAGE_WORKERS; i++)
		flow_start(&r->workers[i].flow);
	return FLOW_WAIT;
}

static struct page_worker *worker_of(struct flow *f)
{
	struct page_worker *w = container_of(f, struct page_worker, flow);

	VDO_ASSERT(queue_is_current(w->recovery->c.queue));
	return w;
}

/* A share of the journal blocks that this batch is made of. */
static void note_progress(struct recovery *r)
{
	uint64_t blocks = r->batch_next - r->batch_first;
	uint64_t before = r->batch_first - r->bounds.map_head;
	size_t places = replay_table_count(r->table);

	VDO_ASSERT(places > 0);
	counter_set(&r->phase_done,
		    (before * BLOCK_SIZE) +
			    blocks * BLOCK_SIZE *
				    MIN(r->position, places) / places);
}

/* The next page of the batch, of those whose turn it is. */
static pbn_t next_page(struct recovery *r)
{
	bool is_late;
	pbn_t page;

	do {
		page = replay_table_page(r->table, &r->position);
		is_late = replay_table_makes(r->table, page) ||
			  replay_table_notes(r->table, page) != 0;
	} while (page != 0 && is_late != r->late);
	return page;
}

static int page_take(struct flow *f)
{
	struct page_worker *w = worker_of(f);
	struct recovery *r = w->recovery;

	if (r->pages_result == 0 && recovery_is_stopped(r))
		return flow_fail(f, -ECANCELED);
	w->page = r->pages_result == 0 ? next_page(r) : 0;
	if (w->page == 0)
		return P_END;
	if (r->late &&
	    (replay_table_notes(r->table, w->page) & PAGE_IS_THERE) == 0) {
		memset(w->bytes, 0, BLOCK_SIZE); /* as never written */
		return P_APPLY;
	}
	if (!r->late)
		note_progress(r);
	flow_await(f, &w->mio.done, P_APPLY);
	mio_read(&w->mio, r->c.storage, MIO_MAP, w->page, 1, w->bytes);
	return FLOW_WAIT;
}

/* The page as it is to be, but for its entries. */
static int look_at(struct page_worker *w)
{
	struct recovery *r = w->recovery;
	uint64_t nonce = r->facts.nonce;
	bool is_root = replay_is_root(&r->facts, w->page);
	const char *wrong;
	pbn_t which;

	switch (is_root ? mapping_root_check(w->bytes, nonce, w->page)
			: mapping_page_check(w->bytes, nonce, w->page)) {
	case MAP_PAGE_VALID:
		wrong = replay_table_misfit(r->table, w->page, w->bytes,
					    &which);
		return wrong == NULL ? 0 : recovery_page_wrong(r, which, wrong);
	case MAP_PAGE_BAD:
		return recovery_page_wrong(r, w->page,
					   "a page of the block map is damaged "
					   "or of another place");
	default:
		break;
	}
	mapping_page_format(w->bytes, nonce, w->page, false);
	return storage_reserve(r->c.storage, w->page, 1);
}

/* Has only the map to say what @w has? */
static bool is_doubtful(const struct page_worker *w, bool *is_there)
{
	const struct recovery *r = w->recovery;

	if (r->late || replay_is_root(&r->facts, w->page))
		return false;
	switch (mapping_page_check(w->bytes, r->facts.nonce, w->page)) {
	case MAP_PAGE_VALID:
		*is_there = true;
		return replay_table_doubts(r->table, w->page, w->bytes);
	case MAP_PAGE_INVALID:
		*is_there = false;
		return true;
	default:
		return false;
	}
}

/* An entry of a leaf page can tell that one of an interior page is not true, so
 * none of these is written before all leaf pages were looked at. */
static bool leads_to_others(const struct page_worker *w)
{
	const struct recovery *r = w->recovery;

	VDO_CHECK(w->page != 0);
	return (replay_table_kinds(r->table, w->page) & REPLAY_INTERIOR) != 0;
}

static int page_apply(struct flow *f)
{
	struct page_worker *w = worker_of(f);
	struct recovery *r = w->recovery;
	bool is_there;
	int result;

	if (is_doubtful(w, &is_there)) {
		ways_set_aside(r, w->page, is_there);
		return P_TAKE;
	}
	result = look_at(w);
	if (result != 0)
		return flow_fail(f, result);
	if (!r->late && leads_to_others(w)) {
		/* Its turn comes: each entry of it makes a page. */
		VDO_ASSERT(replay_table_made(r->table) > 0);
		replay_table_note(r->table, w->page, PAGE_LATE | PAGE_IS_THERE);
		return P_TAKE;
	}
	(void)replay_table_apply(r->table, w->page, w->bytes,
				 REPLAY_LEAF | REPLAY_INTERIOR);
	return P_STORE;
}

static int page_store(struct flow *f)
{
	struct page_worker *w = worker_of(f);

	flow_await(f, &w->mio.done, P_STORED);
	mio_write(&w->mio, w->recovery->c.storage, MIO_MAP, w->page, 1,
		  w->bytes, false);
	return FLOW_WAIT;
}

static int page_stored(struct flow *f)
{
	struct page_worker *w = worker_of(f);

	if (mapping_page_initialised(w->bytes)) {
		w->recovery->result.pages++;
		return P_TAKE;
	}
	flow_await(f, &w->sync.done, P_AGAIN);
	sync_request(w->recovery->c.sync, &w->sync);
	return FLOW_WAIT;
}

static int page_again(struct flow *f)
{
	mapping_page_set_initialised(worker_of(f)->bytes, true);
	return P_STORE;
}

/* The last one takes the recovery on. */
static int page_end(struct flow *f)
{
	struct page_worker *w = worker_of(f);
	struct recovery *r = w->recovery;

	VDO_ASSERT(r->working > 0);
	if (f->result != 0 && r->pages_result == 0) {
		r->pages_result = f->result;
		if (f->result != -ECANCELED && r->result.wrong == NULL)
			log_error(r->c.log,
				  "recovery: page not replayed, pbn=%llu "
				  "result=%d",
				  (unsigned long long)w->page, f->result);
	}
	if (--r->working == 0)
		flow_go(&r->flow);
	return FLOW_END;
}
