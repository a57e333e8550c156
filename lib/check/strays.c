/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of the journal that each make sense alone, and that a recovery
 * refuses all the same (replay/table.h, recovery/pages.c).
 *
 * A recovery makes a page of whatever block an entry names. If the block is no
 * page, and no entry makes it one, that is right only where the map leads to
 * it: then its first write was lost. Else the entry is damaged, and the block
 * may hold data, which a recovery would overwrite. So it is with entries that
 * do not fit each other, or the page that they are of.
 *
 * Pages of entries are looked at first; as a rule all of them are there, or
 * made by the journal. Only if some are not the map is walked for them.
 */
#include "build.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "check/walk.h"
#include "format/mapping.h"

/* Notes in the table, on pages of which only the map can say what they are. */
enum { STRAY = 1, STRAY_MET = 2 };

struct strays {
	struct check *c;
	struct replay_table *table;
	size_t count;
};

static void tell_entries(struct check *c, pbn_t pbn, const char *found)
{
	struct vdo_check_finding f = finding_make(c, VDO_CHECK_JOURNAL_ENTRY);

	f.block = check_block(c, pbn);
	finding_found(&f, "%s", found);
	(void)finding_tell(c, &f);
}

/* Has only the map to say what is at @pbn? What cannot be read is told where it
 * is needed. */
static int is_doubtful(struct check *c, pbn_t pbn, uint8_t *block)
{
	const struct replay_table *t = c->journal.table;
	const char *wrong = NULL;
	pbn_t which = pbn;
	int result;

	if (replay_table_makes(t, pbn))
		return 0;
	result = check_read(c, pbn, 1, block);
	if (result != 0)
		return result == -ECANCELED || result == -ENOMEM ? result : 0;
	switch (mapping_page_check(block, c->sb.nonce, pbn)) {
	case MAP_PAGE_VALID:
		if (is_data_block(&c->slabs, pbn) &&
		    replay_table_doubts(t, pbn, block))
			return 1;
		wrong = replay_table_misfit(t, pbn, block, &which);
		break;
	case MAP_PAGE_INVALID:
		return is_data_block(&c->slabs, pbn);
	default:
		break;
	}
	if (wrong != NULL)
		tell_entries(c, which, wrong);
	return 0;
}

static int gather(struct strays *s, uint8_t *block)
{
	size_t at = 0;
	pbn_t pbn;

	while ((pbn = replay_table_page(s->table, &at)) != 0) {
		int result = is_doubtful(s->c, pbn, block);

		if (result < 0)
			return result;
		if (result == 0)
			continue;
		replay_table_note(s->table, pbn, STRAY);
		s->count++;
	}
	return 0;
}

static int meet(void *arg, struct walk_page *p)
{
	struct strays *s = arg;

	if (replay_table_notes(s->table, p->pbn) == STRAY &&
	    replay_table_kinds(s->table, p->pbn) == walk_kind(p))
		replay_table_note(s->table, p->pbn, STRAY_MET);
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
	size_t at = 0;
	pbn_t pbn;

	while ((pbn = replay_table_page(s->table, &at)) != 0)
		if (replay_table_notes(s->table, pbn) == STRAY)
			tell_entries(s->c, pbn,
				     "it is not the page that an entry of the "
				     "journal takes it for");
}

int check_strays(struct check *c)
{
	struct strays s = {.c = c, .table = c->journal.table};
	struct walk_config w = {
		.sb = &c->sb,
		.slabs = &c->slabs,
		.overlay = c->journal.table,
		.arg = &s,
		.read = read_blocks,
		.page = meet,
		.child = take_child,
	};
	const char *wrong;
	uint8_t *block;
	int result = -ENOMEM;
	pbn_t pbn;

	if (c->journal.table == NULL)
		return 0;
	wrong = replay_table_clash(c->journal.table, &pbn);
	if (wrong == NULL) {
		wrong = c->journal.clash;
		pbn = c->journal.clash_block;
	}
	if (wrong != NULL)
		tell_entries(c, pbn, wrong);
	block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	if (block != NULL)
		result = gather(&s, block);
	if (result == 0 && s.count > 0)
		result = walk_run(&w);
	if (result == 0)
		tell(&s);
	alloc_free(block);
	return result;
}
