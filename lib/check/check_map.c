/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block map: each page, and what each mapping leads to.
 *
 * The first walk tells what is wrong with pages and mappings, and clears it if
 * that was asked for; those after it, for other parts, meet the same again and
 * say nothing. What is told to be wrong leads nowhere.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "check/check_priv.h"

static const struct mapping nothing = {ZERO_BLOCK, STATE_UNMAPPED};

/* Note that something leads to block @pbn. */
static void refer(struct check *c, pbn_t pbn, uint16_t flag)
{
	uint64_t slab = slab_of(&c->slabs, pbn);
	uint32_t place = c->places[slab];
	uint16_t *refs;

	VDO_ASSERT(is_data_block(&c->slabs, pbn));
	c->slab_flags[slab] |= SLAB_TOUCHED;
	if (place == NOT_HERE)
		return;
	refs = &c->refs[check_at(c, place, slab_offset_of(&c->slabs, pbn))];
	*refs |= flag;
	if (flag != REFS_PAGE && (*refs & REFS_COUNT) < REFS_COUNT)
		++*refs;
}

static struct vdo_check_finding at_page(struct check *c,
					enum vdo_check_code code,
					const struct walk_page *p)
{
	struct vdo_check_finding f = finding_make(c, code);

	f.block = check_block(c, p->pbn);
	return f;
}

static struct vdo_check_finding at_slot(struct check *c,
					enum vdo_check_code code,
					const struct walk_page *p,
					unsigned slot, struct mapping m)
{
	struct vdo_check_finding f = at_page(c, code, p);

	f.slot = slot;
	if (m.pbn >= c->geometry.bio_offset)
		f.about = check_block(c, m.pbn);
	finding_found(&f, "block %llu, state %u", (unsigned long long)m.pbn,
		      m.state);
	finding_touches(&f, walk_slot_lbns(&c->sb, p, slot));
	return f;
}

/* Tell it, in the first walk; is it to be cleared? What is not is left out. */
static bool tell(struct check *c, struct vdo_check_finding *f)
{
	if (!c->first)
		return false;
	if (finding_tell(c, f))
		return true;
	if (f->code != VDO_CHECK_CHILD_BEYOND &&
	    f->code != VDO_CHECK_MAPPING_BEYOND)
		c->map_damaged = true;
	return false;
}

/* -------------------------------------------------------------------- pages */

/* NULL: the page is good. */
static const char *page_wrong(const struct walk_page *p,
			      enum vdo_check_code *code)
{
	if (p->again) {
		*code = VDO_CHECK_PAGE_TWICE;
		return "a page that another entry leads to";
	}
	if (p->error != 0) {
		*code = VDO_CHECK_PAGE_UNREADABLE;
		return vdo_strerror(p->error);
	}
	if (p->validity != MAP_PAGE_BAD)
		return NULL;
	*code = p->level == MAP_LEVELS - 1 ? VDO_CHECK_ROOT_DAMAGED
					   : VDO_CHECK_PAGE_DAMAGED;
	return "another place, version or flag";
}

/*
 * A page that is damaged becomes an empty one, which costs a block at worst: so
 * only one page is written, and the entry that leads to it need not be. Of one
 * that is met again the entry goes.
 */
static int take_bad_page(struct check *c, struct walk_page *p,
			 enum vdo_check_code code, const char *wrong)
{
	struct vdo_check_finding f = at_page(c, code, p);

	if (p->parent != 0) {
		f.block = check_block(c, p->parent);
		f.slot = p->parent_slot;
	}
	f.about = check_block(c, p->pbn);
	finding_found(&f, "%s", wrong);
	finding_expected(&f, "a page of tree %u, level %u", p->root, p->level);
	finding_touches(&f,
			walk_page_lbns(&c->sb, p->root, p->level, p->number));
	if (!tell(c, &f))
		return WALK_PAST;
	if (p->again)
		return WALK_CLEAR;
	mapping_page_format(p->bytes, c->sb.nonce, p->pbn, true);
	p->changed = true;
	return WALK_PAST;
}

/*
 * A page that was never written is empty. It may be so for good reason, if what
 * it was made for failed; or its write was lost. Only leaked blocks tell.
 */
static void note_unwritten(struct check *c, const struct walk_page *p)
{
	if (!c->first || c->unwritten++ > 0)
		return;
	c->lost = at_page(c, VDO_CHECK_PAGE_LOST, p);
	finding_found(&c->lost, "no page of this volume");
	finding_expected(&c->lost, "a page of tree %u, level %u", p->root,
			 p->level);
	finding_touches(&c->lost,
			walk_page_lbns(&c->sb, p->root, p->level, p->number));
}

void check_lost(struct check *c)
{
	struct vdo_check_report *r = &c->report;

	if (!c->map_doubtful ||
	    r->by_code[VDO_CHECK_UNREFERENCED] +
			    r->by_code[VDO_CHECK_COUNT_HIGH] ==
		    0)
		return;
	if (c->unwritten == 0) { /* a root, then, or what led to it */
		c->lost = finding_make(c, VDO_CHECK_PAGE_LOST);
		c->lost.block = check_block(c, c->sb.root_origin);
		finding_found(&c->lost, "%llu pages",
			      (unsigned long long)c->pages);
		finding_expected(
			&c->lost, "%llu",
			(unsigned long long)check_pages_told(c));
	}
	(void)finding_tell(c, &c->lost);
	finding_count(c, VDO_CHECK_PAGE_LOST, MAX(c->unwritten, 1) - 1);
}

/* Entries that take the page for another one than it is are left out of it
 * (walk.c), which is told here if no recovery would find it. */
static void note_kind(struct check *c, const struct walk_page *p)
{
	const struct replay_table *t = c->journal.table;
	struct vdo_check_finding f;

	if (!c->first || t == NULL || p->again ||
	    (replay_table_kinds(t, p->pbn) & ~walk_kind(p)) == 0 ||
	    c->report.by_code[VDO_CHECK_JOURNAL_ENTRY] > 0)
		return;
	f = at_page(c, VDO_CHECK_JOURNAL_ENTRY, p);
	finding_found(&f, "an entry takes a page of level %u for another one",
		      p->level);
	(void)finding_tell(c, &f);
}

static int take_leaf(struct check *c, struct walk_page *p);

static int take_page(void *arg, struct walk_page *p)
{
	struct check *c = arg;
	enum vdo_check_code code;
	const char *wrong = page_wrong(p, &code);

	if (p->level < MAP_LEVELS - 1) {
		refer(c, p->pbn, REFS_PAGE);
		c->pages += c->first && !p->again;
	}
	note_kind(c, p);
	if (wrong != NULL)
		return take_bad_page(c, p, code, wrong);
	if (p->validity != MAP_PAGE_VALID) {
		if (p->level < MAP_LEVELS - 1)
			note_unwritten(c, p);
		return WALK_PAST;
	}
	c->report.pages += c->first;
	return p->level == 0 ? take_leaf(c, p) : WALK_IN;
}

static int take_child(void *arg, struct walk_page *p, unsigned slot,
		      struct mapping m)
{
	struct check *c = arg;
	struct vdo_check_finding f;

	if (slot >= p->slots)
		f = at_slot(c, VDO_CHECK_CHILD_BEYOND, p, slot, m);
	else if (!walk_leads_to_page(&c->slabs, m))
		f = at_slot(c, VDO_CHECK_CHILD_INVALID, p, slot, m);
	else
		return WALK_IN;
	finding_expected(&f, slot >= p->slots ? "nothing" : "a data block");
	if (tell(c, &f))
		p->changed = true;
	return WALK_PAST;
}

/* ----------------------------------------------------------------- mappings */

/* What is wrong with a mapping, and what should be there; false: nothing. */
static bool mapping_wrong(const struct check *c, const struct walk_page *p,
			  unsigned slot, struct mapping m,
			  enum vdo_check_code *code, const char **expected)
{
	if (slot >= p->slots) {
		*code = VDO_CHECK_MAPPING_BEYOND;
		*expected = "nothing";
		return !mapping_equal(m, nothing);
	}
	if (!mapping_valid(m)) {
		*code = VDO_CHECK_MAPPING_INVALID;
		*expected =
			m.pbn == ZERO_BLOCK ? "state 0 or 1" : "state 1 to 15";
		return true;
	}
	*code = VDO_CHECK_MAPPING_OUTSIDE;
	*expected = "a data block";
	return !mapping_plausible(&c->slabs, m);
}

static void take_mapping(struct check *c, struct walk_page *p, unsigned slot)
{
	struct mapping m = mapping_page_get(p->bytes, slot);
	enum vdo_check_code code;
	const char *expected;

	if (mapping_wrong(c, p, slot, m, &code, &expected)) {
		struct vdo_check_finding f = at_slot(c, code, p, slot, m);

		finding_expected(&f, "%s", expected);
		if (tell(c, &f)) {
			mapping_page_put(p->bytes, slot, nothing);
			p->changed = true;
		}
		return;
	}
	c->used += c->first && m.state != STATE_UNMAPPED;
	c->report.mappings += c->first && m.pbn != ZERO_BLOCK;
	if (m.pbn == ZERO_BLOCK)
		return;
	refer(c, m.pbn, mapping_is_compressed(m) ? REFS_FRAGMENT : REFS_WHOLE);
	if (c->forms != NULL && mapping_is_compressed(m)) {
		uint32_t place = c->places[slab_of(&c->slabs, m.pbn)];

		if (place != NOT_HERE)
			c->forms[check_at(c, place,
					  slab_offset_of(&c->slabs, m.pbn))] |=
				(uint16_t)(1u << (m.state - STATE_FRAGMENT_0));
	}
}

static int take_leaf(struct check *c, struct walk_page *p)
{
	VDO_ASSERT(p->level == 0);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		take_mapping(c, p, i);
	return WALK_IN;
}

static int write_page(void *arg, pbn_t pbn, const void *from)
{
	return mend_write(arg, pbn, from);
}

int check_map(struct check *c)
{
	struct walk_config w = {
		.sb = &c->sb,
		.slabs = &c->slabs,
		.overlay = c->journal.table,
		.arg = c,
		.read = check_read,
		.write = check_clears(c) ? write_page : NULL,
		.page = take_page,
		.child = take_child,
	};
	uint64_t pages = c->first ? c->sb.block_map_data_blocks : c->pages;
	int result;

	check_phase(c, "reading the block map",
		    MIN(pages, c->slabs.slab_count * c->slabs.data_blocks) +
			    c->sb.root_count);
	result = walk_run(&w);
	if (result == 0)
		result = mend_flush(c);
	if (c->first && check_has_totals(c))
		c->map_doubtful =
			c->unwritten > 0 || c->pages < check_pages_told(c);
	c->first = false;
	return result;
}
