/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Findings: the one table as functions, telling and counting.
 *
 * Of each code only the first are told. Those about a block, of which it must
 * be looked up whose data it has, wait for one walk over the block map at the
 * end; without any, there is none.
 */
#include "build.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"

static const struct row {
	const char *name, *structure, *text;
	enum vdo_check_severity severity;
	enum vdo_check_mend mend;
} table[] = {
#define X(code, name, structure, severity, mend, text) \
	{name, structure, text, VDO_CHECK_##severity, VDO_CHECK_##mend},
	VDO_CHECK_FINDINGS(X)
#undef X
};

_Static_assert(ARRAY_SIZE(table) == VDO_CHECK_CODES, "a row for each code");
_Static_assert(VDO_CHECK_CODES <=
		       ARRAY_SIZE(((struct vdo_check_report *)0)->by_code),
	       "a number for each code");

static bool is_code(enum vdo_check_code code)
{
	return (unsigned)code < VDO_CHECK_CODES;
}

const char *vdo_check_name(enum vdo_check_code code)
{
	return is_code(code) ? table[code].name : NULL;
}

const char *vdo_check_structure(enum vdo_check_code code)
{
	return is_code(code) ? table[code].structure : NULL;
}

const char *vdo_check_text(enum vdo_check_code code)
{
	return is_code(code) ? table[code].text : NULL;
}

enum vdo_check_severity vdo_check_severity(enum vdo_check_code code)
{
	return is_code(code) ? table[code].severity : VDO_CHECK_COSMETIC;
}

enum vdo_check_mend vdo_check_mend(enum vdo_check_code code)
{
	return is_code(code) ? table[code].mend : VDO_CHECK_CANNOT;
}

const char *vdo_check_severity_name(enum vdo_check_severity severity)
{
	static const char *const names[] = {
		[VDO_CHECK_COSMETIC] = "cosmetic",
		[VDO_CHECK_WASTES] = "wastes space",
		[VDO_CHECK_LOSES] = "loses data",
		[VDO_CHECK_FATAL] = "fatal",
	};

	return (unsigned)severity < ARRAY_SIZE(names) ? names[severity] : NULL;
}

/* ------------------------------------------------------------------- making */

struct vdo_check_finding finding_make(const struct check *c,
				      enum vdo_check_code code)
{
	VDO_ASSERT(is_code(code));
	return (struct vdo_check_finding){
		.code = code,
		.severity = table[code].severity,
		.mendable = table[code].mend != VDO_CHECK_CANNOT && c->usable &&
			    c->sb.state == VOLUME_CLEAN,
		.block = VDO_CHECK_NO_NUMBER,
		.slot = VDO_CHECK_NO_NUMBER,
		.slab = VDO_CHECK_NO_NUMBER,
		.about = VDO_CHECK_NO_NUMBER,
	};
}

struct vdo_check_finding finding_of_slab(const struct check *c,
					 enum vdo_check_code code,
					 uint64_t slab, pbn_t pbn)
{
	struct vdo_check_finding f = finding_make(c, code);

	f.slab = slab;
	f.block = check_block(c, pbn);
	return f;
}

static void set_text(char *to, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(to, size, fmt, ap);

	VDO_ASSERT(n >= 0);
}

void finding_found(struct vdo_check_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(f->found, sizeof(f->found), fmt, ap);
	va_end(ap);
}

void finding_expected(struct vdo_check_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_text(f->expected, sizeof(f->expected), fmt, ap);
	va_end(ap);
}

void finding_touches(struct vdo_check_finding *f, struct vdo_blocks l)
{
	if (l.count == 0)
		return;
	f->logical_blocks += l.count * l.repeats;
	if (f->block_count > 0 &&
	    walk_join(&f->blocks[f->block_count - 1], &l))
		return;
	if (f->block_count < VDO_CHECK_BLOCKS_MAX)
		f->blocks[f->block_count++] = l;
}

/* ------------------------------------------------------------------ telling */

/* Does mending it free blocks, or may it (check_frees())? If they are not to be
 * freed, counts only grow. */
static bool may_free(enum vdo_check_code code)
{
	switch (code) {
	case VDO_CHECK_COUNT_MISSING:
	case VDO_CHECK_COUNT_LOW:
	case VDO_CHECK_PAGE_COUNT:
	case VDO_CHECK_SUMMARY_SPARE:
		return false;
	default:
		return code >= VDO_CHECK_COUNT_HIGH &&
		       code <= VDO_CHECK_SUMMARY_FLAGS;
	}
}

/* The totals of a volume that has lost pages, or may have, are what is known of
 * these. */
static bool is_of_lost(const struct check *c, enum vdo_check_code code)
{
	return (code == VDO_CHECK_LOGICAL_USED ||
		code == VDO_CHECK_MAP_PAGES) &&
	       (c->report.by_code[VDO_CHECK_PAGE_LOST] > 0 || c->slabs_left > 0);
}

static enum vdo_check_mend how(const struct check *c,
			       const struct vdo_check_finding *f)
{
	if (!f->mendable)
		return VDO_CHECK_CANNOT;
	if (is_of_lost(c, f->code) ||
	    ((c->map_damaged || c->map_doubtful) && may_free(f->code)))
		return VDO_CHECK_CLEARS;
	return table[f->code].mend;
}

static void count_all(struct check *c, struct vdo_check_finding *f, uint64_t n)
{
	struct vdo_check_report *r = &c->report;
	enum vdo_check_mend mend = how(c, f);

	f->mended = (mend == VDO_CHECK_MENDS && check_repairs(c)) ||
		    (mend == VDO_CHECK_CLEARS && check_clears(c));
	r->findings += n;
	r->by_code[f->code] += n;
	r->by_severity[f->severity] += n;
	if (f->mended)
		r->mended += n;
	else if (mend == VDO_CHECK_MENDS)
		r->mendable += n;
	else if (mend == VDO_CHECK_CLEARS)
		r->losing += n;
}

void finding_count(struct check *c, enum vdo_check_code code, uint64_t n)
{
	struct vdo_check_finding f = finding_make(c, code);

	if (n > 0)
		count_all(c, &f, n);
}

/* Count it; true: tell it as well. */
static bool count(struct check *c, struct vdo_check_finding *f)
{
	count_all(c, f, 1);
	return c->findings.told[f->code]++ < CHECK_TOLD_MAX;
}

static void tell(struct check *c, const struct vdo_check_finding *f)
{
	if (c->fn != NULL)
		c->fn(c->arg, f);
}

bool finding_tell(struct check *c, struct vdo_check_finding *f)
{
	if (count(c, f))
		tell(c, f);
	return f->mended;
}

bool finding_tell_later(struct check *c, struct vdo_check_finding *f,
			uint8_t state)
{
	struct findings *all = &c->findings;

	VDO_ASSERT(f->about != VDO_CHECK_NO_NUMBER);
	if (!count(c, f))
		return f->mended;
	if (all->deferred == NULL) {
		all->deferred_max = (size_t)VDO_CHECK_CODES * CHECK_TOLD_MAX;
		all->deferred =
			alloc_zeroed(all->deferred_max, sizeof(*all->deferred));
	}
	if (all->deferred == NULL || all->deferred_count == all->deferred_max)
		tell(c, f); /* without them is better than not at all */
	else
		all->deferred[all->deferred_count++] =
			(struct deferred){*f, state};
	return f->mended;
}

static int by_block(const void *a, const void *b)
{
	const struct deferred *x = a, *y = b;

	if (x->f.about != y->f.about)
		return x->f.about < y->f.about ? -1 : 1;
	return (int)x->f.code - (int)y->f.code;
}

/* The first one about @block or a later one. */
static size_t find(const struct findings *all, uint64_t block)
{
	size_t low = 0, high = all->deferred_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (all->deferred[middle].f.about < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int look_up_page(void *arg, struct walk_page *p)
{
	struct check *c = arg;
	struct findings *all = &c->findings;

	if (p->again || p->error != 0 || p->validity != MAP_PAGE_VALID)
		return WALK_PAST;
	for (unsigned i = 0; p->level == 0 && i < p->slots; i++) {
		struct mapping m = mapping_page_get(p->bytes, i);
		uint64_t block = check_block(c, m.pbn);

		if (m.pbn == ZERO_BLOCK)
			continue;
		for (size_t k = find(all, block);
		     k < all->deferred_count &&
		     all->deferred[k].f.about == block;
		     k++)
			if (all->deferred[k].state == STATE_UNMAPPED ||
			    all->deferred[k].state == m.state)
				finding_touches(&all->deferred[k].f,
						walk_slot_lbns(&c->sb, p, i));
	}
	return WALK_IN;
}

/* A page touches all that needs it. */
static int look_up_child(void *arg, struct walk_page *p, unsigned slot,
			 struct mapping m)
{
	struct check *c = arg;
	struct findings *all = &c->findings;
	uint64_t block = check_block(c, m.pbn);

	for (size_t k = find(all, block);
	     k < all->deferred_count && all->deferred[k].f.about == block; k++)
		if (all->deferred[k].f.code == VDO_CHECK_PAGE_COUNT ||
		    all->deferred[k].f.code == VDO_CHECK_PAGE_AND_DATA)
			finding_touches(&all->deferred[k].f,
					walk_slot_lbns(&c->sb, p, slot));
	return WALK_IN;
}

int findings_end(struct check *c)
{
	struct findings *all = &c->findings;
	struct walk_config w = {
		.sb = &c->sb,
		.slabs = &c->slabs,
		.overlay = c->journal.table,
		.arg = c,
		.read = check_read,
		.page = look_up_page,
		.child = look_up_child,
	};
	int result;

	if (all->deferred_count == 0)
		return 0;
	check_phase(c, "looking up logical blocks", c->pages);
	qsort(all->deferred, all->deferred_count, sizeof(*all->deferred),
	      by_block);
	result = walk_run(&w);
	for (size_t i = 0; i < all->deferred_count; i++)
		tell(c, &all->deferred[i].f);
	all->deferred_count = 0;
	return result;
}

void findings_free(struct check *c)
{
	alloc_free(c->findings.deferred);
	c->findings.deferred = NULL;
}
