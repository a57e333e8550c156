/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of the journal for pages that nothing leads to.
 *
 * A recovery makes a page of whatever block an entry names. If the block is no
 * page, and no entry makes it one, that is right only where the map leads to
 * it: then its first write was lost. Else the entry is damaged, and the block
 * may hold data, which a recovery would overwrite.
 *
 * Pages of entries are looked at first; as a rule all of them are there, or made
 * by the journal. Only if some are not the map is walked for them.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "check/walk.h"
#include "format/mapping.h"

struct stray {
	pbn_t pbn;
	bool met;
};

struct strays {
	struct check *c;
	struct stray *pages; /* ascending */
	size_t count;
};

static int by_pbn(const void *a, const void *b)
{
	const struct stray *x = a, *y = b;

	return (x->pbn > y->pbn) - (x->pbn < y->pbn);
}

/* Is there something else than a page at @pbn? What cannot be read is told where
 * it is needed. */
static int is_no_page(struct check *c, pbn_t pbn, uint8_t *block)
{
	int result;

	if (replay_table_makes(c->journal.table, pbn) ||
	    !is_data_block(&c->slabs, pbn))
		return 0;
	result = check_read(c, pbn, 1, block);
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	return result == 0 && mapping_page_check(block, c->sb.nonce, pbn) ==
				      MAP_PAGE_INVALID;
}

static int gather(struct strays *s, uint8_t *block)
{
	const struct replay_table *t = s->c->journal.table;
	size_t at = 0;
	pbn_t pbn;

	while ((pbn = replay_table_page(t, &at)) != 0) {
		int result = is_no_page(s->c, pbn, block);

		if (result < 0)
			return result;
		if (result > 0)
			s->pages[s->count++].pbn = pbn;
	}
	return 0;
}

static int meet(void *arg, struct walk_page *p)
{
	struct strays *s = arg;
	struct stray key = {.pbn = p->pbn};
	struct stray *found =
		bsearch(&key, s->pages, s->count, sizeof(key), by_pbn);

	if (found != NULL)
		found->met = true;
	return p->level > 0 && !p->again && p->validity == MAP_PAGE_VALID
		       ? WALK_IN
		       : WALK_PAST;
}

static int take_child(void *arg, struct walk_page *p, unsigned slot,
		      struct mapping m)
{
	(void)arg;
	(void)slot;
	(void)m;
	VDO_ASSERT(p->level > 0);
	return WALK_IN;
}

static int read_blocks(void *arg, pbn_t pbn, uint64_t count, void *to)
{
	struct strays *s = arg;

	return check_read(s->c, pbn, count, to);
}

static void tell(struct strays *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct vdo_check_finding f;

		if (s->pages[i].met)
			continue;
		f = finding_make(s->c, VDO_CHECK_JOURNAL_ENTRY);
		f.block = check_block(s->c, s->pages[i].pbn);
		finding_found(&f, "no page of this volume");
		finding_expected(&f, "a page that an entry changes");
		(void)finding_tell(s->c, &f);
	}
}

int check_strays(struct check *c)
{
	struct strays s = {.c = c};
	struct walk_config w = {
		.sb = &c->sb,
		.slabs = &c->slabs,
		.overlay = c->journal.table,
		.arg = &s,
		.read = read_blocks,
		.page = meet,
		.child = take_child,
	};
	uint8_t *block;
	int result = -ENOMEM;

	if (c->journal.table == NULL)
		return 0;
	block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	s.pages = alloc_zeroed(replay_table_count(c->journal.table) + 1,
			       sizeof(*s.pages));
	if (block != NULL && s.pages != NULL)
		result = gather(&s, block);
	if (result == 0 && s.count > 0)
		result = walk_run(&w);
	if (result == 0)
		tell(&s);
	alloc_free(s.pages);
	alloc_free(block);
	return result;
}
