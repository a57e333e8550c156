/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mappings lead to: a walk over the block map (walk.h) for each part of the
 * slabs, with what recovery would put into it. A part stays in memory until the
 * next one is needed, so that a volume of one part is walked over once.
 *
 * Pages are checked as in service. A page that is met twice ends it: nothing
 * that is counted would mean anything. A block that is mapped both whole and as
 * fragments is damaged, and counts as whole.
 */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/savings_priv.h"
#include "check/walk.h"
#include "format/mapping.h"
#include "format/slab.h"

void savings_phase(struct savings *s, const char *phase, uint64_t blocks)
{
	counter_set(&s->u->total, 0);
	counter_set(&s->u->done, 0);
	atomic_store(&s->u->phase, phase);
	counter_set(&s->u->total, blocks * BLOCK_SIZE);
}

/* ----------------------------------------------------------------- mappings */

static void meet(struct savings *s, struct mapping m, bool is_own)
{
	struct savings_part *p = &s->part;
	uint64_t at = m.pbn - s->u->slabs.first_block;
	uint16_t bit = FORM_WHOLE;

	VDO_CHECK(is_data_block(&s->u->slabs, m.pbn));
	if (at < p->first || at - p->first >= p->count)
		return;
	at -= p->first;
	if (mapping_is_compressed(m))
		bit = (uint16_t)(1u << (m.state - STATE_FRAGMENT_0));
	p->again[at] |= p->forms[at] & bit;
	p->forms[at] |= bit;
	p->counts[at] += p->counts[at] < UINT8_MAX;
	if (p->own_counts == NULL || !is_own)
		return;
	p->own[at] |= bit;
	p->own_counts[at] += p->own_counts[at] < UINT8_MAX;
}

static void take_mapping(struct savings *s, struct mapping m, bool is_own)
{
	struct vdo_savings *r = &s->result;
	bool plausible = mapping_plausible(&s->u->slabs, m);

	if (s->first_walk) {
		r->damaged_mappings += !plausible;
		if (plausible && is_own && m.state != STATE_UNMAPPED) {
			bool is_zero = m.pbn == ZERO_BLOCK;
			bool is_packed = mapping_is_compressed(m);

			r->zero += is_zero;
			r->compressed += !is_zero && is_packed;
			r->uncompressed += !is_zero && !is_packed;
		}
	}
	if (plausible && m.pbn != ZERO_BLOCK)
		meet(s, m, is_own);
}

static void take_leaf(struct savings *s, const struct walk_page *p)
{
	lbn_t lbn = walk_page_lbns(&s->u->sb, p->root, 0, p->number).first;

	VDO_ASSERT(p->level == 0 && lbn + p->slots <= s->u->sb.logical_blocks);
	for (unsigned i = 0; i < p->slots; i++, lbn++)
		take_mapping(s, mapping_page_get(p->bytes, i),
			     lbn >= s->first && lbn - s->first < s->count);
}

static int take_page(void *arg, struct walk_page *p)
{
	struct savings *s = arg;

	if (p->error != 0)
		return p->error;
	if (p->again)
		return -VDO_ECORRUPT;
	s->pages += s->first_walk && p->level < MAP_LEVELS - 1;
	s->result.damaged_pages +=
		s->first_walk && p->validity == MAP_PAGE_BAD;
	if (p->validity != MAP_PAGE_VALID)
		return WALK_PAST;
	if (p->level == 0)
		take_leaf(s, p);
	return WALK_IN;
}

static int take_child(void *arg, struct walk_page *p, unsigned slot,
		      struct mapping m)
{
	struct savings *s = arg;

	VDO_ASSERT(p->level > 0);
	if (slot < p->slots && !walk_leads_to_page(&s->u->slabs, m))
		s->result.damaged_mappings += s->first_walk;
	return WALK_IN;
}

static int read_for_walk(void *arg, pbn_t pbn, uint64_t count, void *to)
{
	struct savings *s = arg;

	return usage_read(s->u, pbn, count, to);
}

/* -------------------------------------------------------------------- parts */

void savings_free_part(struct savings *s)
{
	struct savings_part *p = &s->part;

	if (p->own != p->forms)
		alloc_table_free(p->own, p->count * sizeof(*p->own));
	alloc_table_free(p->own_counts, p->count);
	alloc_table_free(p->forms, p->count * sizeof(*p->forms));
	alloc_table_free(p->again, p->count * sizeof(*p->again));
	alloc_table_free(p->counts, p->count);
	*p = (struct savings_part){0};
}

static int create_part(struct savings *s, uint64_t first, uint64_t count)
{
	struct savings_part *p = &s->part;

	VDO_ASSERT(p->forms == NULL && count > 0);
	p->first = first;
	p->count = count;
	p->forms = alloc_table(count * sizeof(*p->forms));
	p->again = alloc_table(count * sizeof(*p->again));
	p->counts = alloc_table(count);
	p->own = p->forms;
	if (s->has_range) {
		p->own = alloc_table(count * sizeof(*p->own));
		p->own_counts = alloc_table(count);
		if (p->own == NULL || p->own_counts == NULL)
			return -ENOMEM;
	}
	return p->forms == NULL || p->again == NULL || p->counts == NULL
		       ? -ENOMEM
		       : 0;
}

static int load_part(struct savings *s, uint64_t first, uint64_t count)
{
	struct walk_config c = {
		.sb = &s->u->sb,
		.slabs = &s->u->slabs,
		.overlay = s->journal.table,
		.arg = s,
		.read = read_for_walk,
		.page = take_page,
		.child = take_child,
	};
	int result;

	if (s->part.forms != NULL && s->part.first == first)
		return 0;
	savings_free_part(s);
	result = create_part(s, first, count);
	if (result == 0)
		result = walk_run(&c);
	s->first_walk = false;
	return result;
}

/* Is a slab in use of which a block lies in the part? What the summary says of
 * a volume that was not closed does not count. */
static bool is_used(const struct savings *s, uint64_t first, uint64_t count)
{
	unsigned shift = s->u->slabs.slab_shift;
	uint64_t last = (first + count - 1) >> shift;

	VDO_ASSERT(count > 0 && last < s->u->slabs.slab_count);
	if (s->u->summary == NULL)
		return true;
	for (uint64_t i = first >> shift; i <= last; i++)
		if (!usage_is_unused(usage_summary(s->u, i)))
			return true;
	return false;
}

/* From *@first on; false: there is none. */
static bool next_part(const struct savings *s, uint64_t *first,
		      uint64_t *count)
{
	uint64_t end = s->u->slabs.slab_count << s->u->slabs.slab_shift;

	VDO_ASSERT(s->part_blocks > 0);
	for (; *first < end; *first += *count) {
		*count = MIN(s->part_blocks, end - *first);
		if (is_used(s, *first, *count))
			return true;
	}
	return false;
}

int savings_each_part(struct savings *s, int (*take)(void *arg), void *arg)
{
	uint64_t first = 0, count = 0;
	int result = 0;

	while (result == 0 && next_part(s, &first, &count)) {
		result = load_part(s, first, count);
		if (result == 0)
			result = take(arg);
		first += count;
	}
	return result;
}

uint64_t savings_count_parts(struct savings *s)
{
	uint64_t n = 0, first = 0, count = 0;

	for (; next_part(s, &first, &count); first += count)
		n++;
	return n;
}

uint64_t savings_walk_blocks(const struct savings *s)
{
	uint64_t leaves = div_up(s->u->sb.logical_blocks, MAP_PAGE_ENTRIES);
	uint64_t pages = s->first_walk ? s->u->result.block_map_blocks
				       : s->pages;

	return pages + MIN(leaves, s->u->sb.root_count);
}

/* --------------------------------------------------------------------- sums */

/* Among those with most references, in the order of places. */
static void rank(struct savings *s, const struct vdo_savings_block *b)
{
	struct vdo_savings *r = &s->result;
	uint64_t at = r->top_count;

	VDO_ASSERT(r->top_count <= VDO_SAVINGS_TOP);
	while (at > 0 && r->top[at - 1].references < b->references)
		at--;
	if (at == VDO_SAVINGS_TOP)
		return;
	r->top_count = MIN(r->top_count + 1, VDO_SAVINGS_TOP);
	memmove(&r->top[at + 1], &r->top[at],
		(r->top_count - at - 1) * sizeof(*b));
	r->top[at] = *b;
}

static void count_block(struct savings *s, uint64_t at)
{
	const struct savings_part *p = &s->part;
	struct vdo_savings *r = &s->result;
	struct vdo_savings_block b = {
		.block = s->u->slabs.first_block + p->first + at -
			 s->u->geometry.bio_offset,
		.references = p->counts[at],
	};

	if (p->own[at] & FORM_WHOLE) {
		r->distinct_uncompressed++;
	} else {
		b.fragments = forms_count(p->own[at]);
		r->compressed_blocks++;
		r->distinct_compressed += b.fragments;
		r->fragments[b.fragments]++;
	}
	r->stored_blocks++;
	r->references[b.references]++;
	r->exclusive_blocks += p->own_counts == NULL ||
			       p->own_counts[at] == p->counts[at];
	rank(s, &b);
}

static int count_part(void *arg)
{
	struct savings *s = arg;

	for (uint64_t i = 0; i < s->part.count; i++) {
		s->stored += s->part.forms[i] != 0;
		if (s->part.own[i] != 0)
			count_block(s, i);
	}
	return 0;
}

int savings_map(struct savings *s)
{
	VDO_ASSERT(s->first_walk);
	savings_phase(s, "reading the block map",
		      savings_count_parts(s) * savings_walk_blocks(s));
	return savings_each_part(s, count_part, s);
}
