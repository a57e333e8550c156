/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps: the calling thread has the engine copy leaf pages (path/survey.h), a few
 * at a time, and makes extents of them, outside of all queues.
 *
 *	walk_next()   the next blocks of one page, or of none
 *	add()         neighbours become one extent, which is told when it ends
 *
 * Changes are two walks side by side (compare_all()).
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>

#include <vdo/sub.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "exec/await.h"
#include "format/layout.h"
#include "front/front.h"
#include "path/survey.h"

#define EXTENT_FLAGS (VDO_MAP_PLACES | VDO_MAP_REFERENCES)
#define CHANGE_FLAGS VDO_MAP_HOLES

const char *vdo_map_kind_name(enum vdo_map_kind kind)
{
	static const char *const names[] = {
		[VDO_MAP_HOLE] = "hole",
		[VDO_MAP_ZERO] = "zero",
		[VDO_MAP_DATA] = "data",
		[VDO_MAP_COMPRESSED] = "compressed",
	};

	return (unsigned)kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}

/* ----------------------------------------------------------------- the walk */

struct walk {
	struct vdo_volume *volume;
	struct survey *survey;
	lbn_t at;
	unsigned page; /* of the survey; those before it are over */
	int result;    /* of the survey; what it found before holds */
};

/* Blocks that are in one page, or (NULL) in none. */
struct part {
	lbn_t first, end;
	const struct survey_page *page;
};

static const struct mapping none = {ZERO_BLOCK, STATE_UNMAPPED};

/* Submit @q and wait; *@result is how it ended. */
static int carry_out(struct vdo_volume *v, struct io_request *q, int *result)
{
	struct await w;
	int refused;

	VDO_CHECK(queue_running == NULL);
	await_init(&w, v->executor);
	q->callback = front_call_over;
	q->arg = &w;
	refused = front_submit(v->front, q);
	if (refused == 0)
		*result = await_end(&w);
	return refused;
}

/*
 * What was acknowledged is in the map after a flush. One that fails says that
 * something was lost, which then is in no map and no read, and what is left is
 * told.
 */
static int settle(struct vdo_volume *v)
{
	struct io_request q = {.kind = IO_FLUSH};
	int lost = 0;

	return carry_out(v, &q, &lost);
}

/* Blocks @first to @end, of which there are some. */
static int walk_begin(struct walk *w, struct vdo_volume *v, lbn_t first,
		      lbn_t end, bool references)
{
	VDO_ASSERT(first < end);
	*w = (struct walk){.volume = v, .at = first};
	w->survey = alloc_zeroed(1, sizeof(*w->survey));
	if (w->survey == NULL)
		return -ENOMEM;
	w->survey->first = first;
	w->survey->end = end;
	w->survey->done = first;
	w->survey->references = references;
	return 0;
}

static void walk_end(struct walk *w)
{
	alloc_free(w->survey);
}

static void survey_on(struct walk *w)
{
	struct survey *s = w->survey;
	struct io_request q = {
		.kind = IO_SURVEY,
		.offset = s->done * BLOCK_SIZE,
		.length = (s->end - s->done) * BLOCK_SIZE,
		.survey = s,
	};
	int refused = carry_out(w->volume, &q, &w->result);

	if (refused != 0) {
		s->count = 0;
		w->result = refused;
	}
	w->page = 0;
}

/* What comes at w->at; the caller moves that. False: nothing, or w->result. */
static bool walk_next(struct walk *w, struct part *part)
{
	const struct survey *s = w->survey;

	for (;;) {
		const struct survey_page *p = &s->pages[w->page];
		bool any = w->page < s->count;

		*part = (struct part){w->at, any ? p->lbn : s->done, NULL};
		if (part->first < part->end)
			return true;
		if (any && w->at < p->lbn + MAP_PAGE_ENTRIES) {
			part->end = MIN(p->lbn + MAP_PAGE_ENTRIES, s->end);
			part->page = p;
			return w->at < part->end;
		}
		if (any)
			w->page++;
		else if (w->at == s->end || w->result != 0)
			return false;
		else
			survey_on(w);
	}
}

/* ------------------------------------------------------------------ extents */

struct telling {
	uint64_t begin, end; /* bytes of the range, or of a piece of it */
	uint64_t shift;	     /* what they are less than their place in the volume */
	unsigned flags;
	vdo_map_callback callback;
	void *arg;
	struct vdo_extent extent; /* may go on; none: its length is 0 */
	int stopped;		  /* what the callback ended it with */
};

static enum vdo_map_kind kind_of(struct mapping m)
{
	if (m.pbn == ZERO_BLOCK)
		return m.state == STATE_UNMAPPED ? VDO_MAP_HOLE : VDO_MAP_ZERO;
	return mapping_is_compressed(m) ? VDO_MAP_COMPRESSED : VDO_MAP_DATA;
}

/* Tell the extent that ended. False: the callback wants no more. */
static bool tell(struct telling *t)
{
	struct vdo_extent e = t->extent;

	VDO_CHECK(t->stopped == 0);
	t->extent.length = 0;
	if (e.length > 0)
		t->stopped = t->callback(t->arg, &e);
	return t->stopped == 0;
}

/* Do the blocks of @n go on where those of @e end? */
static bool goes_on(const struct vdo_extent *e, const struct vdo_extent *n)
{
	if (e->length == 0 || e->kind != n->kind ||
	    e->references != n->references)
		return false;
	return n->physical == (e->kind == VDO_MAP_DATA && e->physical != 0
				       ? e->physical + e->length
				       : e->physical);
}

/* The blocks @first to @end have the mapping @m, or are of no page. */
static bool add(struct telling *t, lbn_t first, lbn_t end, struct mapping m,
		uint64_t physical, unsigned references)
{
	uint64_t start = first * BLOCK_SIZE - t->shift;
	uint64_t from = MAX(start, t->begin);
	struct vdo_extent n = {
		.offset = from,
		.length = MIN(end * BLOCK_SIZE - t->shift, t->end) - from,
		.kind = kind_of(m),
		.physical = physical,
		.references = references,
	};
	bool more = true;

	VDO_CHECK(first < end && from < t->end);
	if (n.kind == VDO_MAP_DATA && physical != 0)
		n.physical += from - start;
	if (goes_on(&t->extent, &n)) {
		t->extent.length += n.length;
		return true;
	}
	more = tell(t);
	t->extent = n;
	return more;
}

/* The slots of @part. False: the callback wants no more, or one is damaged. */
static bool add_page(struct telling *t, const struct part *part,
		     struct walk *w)
{
	const uint8_t *page = part->page->bytes;
	lbn_t lbn = part->page->lbn;
	unsigned slot = (unsigned)(part->first - lbn);
	unsigned end = (unsigned)(part->end - lbn);
	bool more = true;

	VDO_CHECK(slot < end && end <= MAP_PAGE_ENTRIES);
	while (more && slot < end) {
		struct mapping m = mapping_page_get(page, slot);
		uint64_t physical = 0;
		unsigned next = slot + 1, references = 0;

		if (unlikely(!mapping_plausible(&w->survey->slabs, m))) {
			w->result = -VDO_EMAPPING;
			return false;
		}
		if (m.pbn == ZERO_BLOCK)
			next = mapping_page_skip(page, next, end, m);
		else if (t->flags & VDO_MAP_PLACES)
			physical = (m.pbn - w->survey->origin) * BLOCK_SIZE;
		if (t->flags & VDO_MAP_REFERENCES)
			references = part->page->references[slot];
		more = add(t, lbn + slot, lbn + next, m, physical, references);
		slot = next;
	}
	return more;
}

/* A piece that lies in the volume from @place on. */
static int tell_piece(struct telling *t, struct vdo_volume *v, uint64_t place)
{
	struct part part;
	struct walk walk, *w = &walk;
	bool more = true;
	int result = walk_begin(w, v, place / BLOCK_SIZE,
				div_up(place + t->end - t->begin, BLOCK_SIZE),
				(t->flags & VDO_MAP_REFERENCES) != 0);

	if (result != 0)
		return result;
	t->shift = place - t->begin;

	while (more && walk_next(w, &part)) {
		more = part.page == NULL
			       ? add(t, part.first, part.end, none, 0, 0)
			       : add_page(t, &part, w);
		w->at = part.end;
	}
	walk_end(w);
	return w->result;
}

static int tell_all(struct telling *t, struct vdo_volume *v)
{
	uint64_t end = t->end, length;
	int result = 0;

	for (; result == 0 && t->stopped == 0 && t->begin < end;
	     t->begin = t->end) {
		uint64_t place = sub_place(v, t->begin, &length);

		t->end = t->begin + MIN(length, end - t->begin);
		result = tell_piece(t, whole_of(v), place);
	}
	if (t->stopped == 0)
		(void)tell(t);
	return t->stopped != 0 ? t->stopped : result;
}

int vdo_map_extents(struct vdo_volume *v, uint64_t offset, uint64_t length,
		    unsigned flags, vdo_map_callback callback, void *arg)
{
	struct telling t = {
		.begin = offset,
		.end = offset + length,
		.flags = flags,
		.callback = callback,
		.arg = arg,
	};
	int result = handle_check(v, true);

	if (result == 0 && (callback == NULL || (flags & ~EXTENT_FLAGS) != 0))
		result = -EINVAL;
	if (result == 0)
		result = handle_check_range(v, offset, length);
	if (result != 0 || length == 0)
		return result;
	result = settle(v);
	return result != 0 ? result : tell_all(&t, v);
}

/* ------------------------------------------------------------------ changes */

struct comparing {
	unsigned flags;
	vdo_change_callback callback;
	void *arg;
	lbn_t begin;		  /* blocks of both ranges that are over */
	struct vdo_change change; /* may go on; none: its length is 0 */
	int stopped;		  /* what the callback ended it with */
};

static bool tell_change(struct comparing *c)
{
	struct vdo_change change = c->change;

	VDO_CHECK(c->stopped == 0);
	c->change.length = 0;
	if (change.length > 0)
		c->stopped = c->callback(c->arg, &change);
	return c->stopped == 0;
}

/* The block at @offset is differently mapped. */
static bool add_change(struct comparing *c, uint64_t offset, struct mapping a,
		       struct mapping b)
{
	struct vdo_change n = {offset, BLOCK_SIZE, kind_of(a), kind_of(b)};
	bool more = true;

	if (c->change.length > 0 && c->change.a == n.a && c->change.b == n.b &&
	    c->change.offset + c->change.length == offset) {
		c->change.length += BLOCK_SIZE;
		return true;
	}
	more = tell_change(c);
	c->change = n;
	return more;
}

/* The mapping of the block after @i others of @part. False: it is damaged. */
static bool mapping_of(struct walk *w, const struct part *part, lbn_t i,
		       struct mapping *m)
{
	*m = none;
	if (part->page == NULL)
		return true;
	*m = mapping_page_get(part->page->bytes,
			      (unsigned)(part->first + i - part->page->lbn));
	if (likely(mapping_plausible(&w->survey->slabs, *m)))
		return true;
	w->result = -VDO_EMAPPING;
	return false;
}

static bool differ(const struct comparing *c, struct mapping a,
		   struct mapping b)
{
	if (mapping_equal(a, b))
		return false;
	return a.pbn != ZERO_BLOCK || b.pbn != ZERO_BLOCK ||
	       (c->flags & VDO_MAP_HOLES) != 0;
}

/* @n blocks of both walks, each of one page or of none. */
static bool compare(struct comparing *c, struct walk *a, const struct part *pa,
		    struct walk *b, const struct part *pb, lbn_t n)
{
	lbn_t first = pa->first - a->survey->first;
	bool more = true;

	VDO_CHECK(first == pb->first - b->survey->first);
	if (pa->page == NULL && pb->page == NULL)
		return true;
	for (lbn_t i = 0; more && i < n; i++) {
		struct mapping ma, mb;

		if (!mapping_of(a, pa, i, &ma) || !mapping_of(b, pb, i, &mb))
			return false;
		if (differ(c, ma, mb))
			more = add_change(c, (c->begin + first + i) * BLOCK_SIZE,
					  ma, mb);
	}
	return more;
}

static int compare_all(struct comparing *c, struct walk *a, struct walk *b)
{
	struct part pa, pb;
	bool more = true;

	while (more && walk_next(a, &pa) && walk_next(b, &pb)) {
		lbn_t n = MIN(pa.end - pa.first, pb.end - pb.first);

		more = compare(c, a, &pa, b, &pb, n);
		a->at += n;
		b->at += n;
	}
	return a->result != 0 ? a->result : b->result;
}

static int check_blocks(const struct vdo_volume *v, uint64_t offset,
			uint64_t length)
{
	if ((offset | length) % BLOCK_SIZE != 0)
		return -EINVAL;
	return handle_check_range(v, offset, length);
}

/* Of two pieces. */
static int compare_pieces(struct comparing *c, struct vdo_volume *v, lbn_t a,
			  lbn_t b, lbn_t blocks)
{
	struct walk wa, wb;
	int result = walk_begin(&wa, v, a, a + blocks, false);

	if (result != 0)
		return result;
	result = walk_begin(&wb, v, b, b + blocks, false);
	if (result == 0) {
		result = compare_all(c, &wa, &wb);
		walk_end(&wb);
	}
	walk_end(&wa);
	return result;
}

/* Both ranges, of handles of one volume, are good. */
static int map_changes(struct comparing *c, const struct vdo_volume *va,
		       uint64_t a, struct vdo_volume *vb, uint64_t b,
		       uint64_t length)
{
	int result = settle(vb);
	uint64_t n;

	for (uint64_t at = 0; result == 0 && c->stopped == 0 && at < length;
	     at += n) {
		uint64_t na, nb;
		uint64_t pa = sub_place(va, a + at, &na);
		uint64_t pb = sub_place(vb, b + at, &nb);

		n = MIN(MIN(na, nb), length - at);
		c->begin = at / BLOCK_SIZE;
		result = compare_pieces(c, whole_of(vb), pa / BLOCK_SIZE,
					pb / BLOCK_SIZE, n / BLOCK_SIZE);
	}
	if (c->stopped == 0)
		(void)tell_change(c);
	return c->stopped != 0 ? c->stopped : result;
}

int vdo_map_changes(struct vdo_volume *v, uint64_t a, uint64_t b,
		    uint64_t length, unsigned flags,
		    vdo_change_callback callback, void *arg)
{
	struct comparing c = {
		.flags = flags, .callback = callback, .arg = arg};
	int result = handle_check(v, true);

	if (result == 0 && (callback == NULL || (flags & ~CHANGE_FLAGS) != 0))
		result = -EINVAL;
	if (result == 0)
		result = check_blocks(v, a, length);
	if (result == 0)
		result = check_blocks(v, b, length);
	if (result != 0 || length == 0)
		return result;
	return map_changes(&c, v, a, v, b, length);
}

int vdo_sub_changes(struct vdo_volume *a, struct vdo_volume *b, unsigned flags,
		    int (*callback)(void *arg, const struct vdo_change *change),
		    void *arg)
{
	struct comparing c = {
		.flags = flags, .callback = callback, .arg = arg};
	int result = handle_check(a, true);

	if (result == 0)
		result = handle_check(b, true);
	if (result == 0 && (callback == NULL || (flags & ~CHANGE_FLAGS) != 0))
		result = -EINVAL;
	if (result == 0 && (a->sub == NULL || whole_of(a) != whole_of(b) ||
			    b->sub == NULL))
		result = -EINVAL;
	if (result != 0)
		return result;
	return map_changes(&c, a, 0, b, 0,
			   MIN(handle_size(a), handle_size(b)));
}
