/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls on sub-volumes.
 *
 * Nearly all of them lie in one piece, and differ from those on a volume by an
 * addition. Others become one call for each piece, one after another: so a copy onto
 * itself keeps its order, and there is one that is under way.
 */
#include "build.h"

#include "api/sub.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "api/handle.h"
#include "api/subcopy.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "front/front.h"

/* ------------------------------------------------------------- where it lies */

struct sub_map *sub_map_create(const struct sub_entry *e)
{
	struct sub_map *m = alloc_zeroed(
		1, sizeof(*m) + e->extent_count * sizeof(m->pieces[0]));

	if (m == NULL)
		return NULL;
	m->count = e->extent_count;
	for (unsigned i = 0; i < m->count; i++) {
		const struct sub_extent *x = &e->extents[i];
		uint64_t left = e->blocks * BLOCK_SIZE - m->size;

		m->pieces[i] = (struct sub_piece){
			.offset = m->size,
			.length = MIN(x->count * BLOCK_SIZE, left),
			.place = x->first * BLOCK_SIZE,
		};
		m->size += m->pieces[i].length;
		VDO_ASSERT(m->pieces[i].length > 0);
	}
	VDO_ASSERT(m->size == e->blocks * BLOCK_SIZE);
	return m;
}

const struct sub_piece *sub_map_find(const struct sub_map *m, uint64_t offset)
{
	unsigned low = 0, high = m->count;

	VDO_CHECK(offset < m->size);
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (m->pieces[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &m->pieces[low];
}

struct sub *sub_create(const struct sub_entry *e)
{
	struct sub *s = alloc_zeroed(1, sizeof(*s));
	struct sub_map *m = s == NULL ? NULL : sub_map_create(e);

	if (m == NULL) {
		alloc_free(s);
		return NULL;
	}
	s->id = e->id;
	atomic_init(&s->map, m);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void sub_destroy(struct sub *s)
{
	struct sub_map *m = atomic_load(&s->map);

	VDO_ASSERT(s->handles == 0 && atomic_load(&s->copy) == NULL);
	while (m != NULL) {
		struct sub_map *older = m->older;

		alloc_free(m);
		m = older;
	}
	pthread_mutex_destroy(&s->lock);
	alloc_free(s);
}

void sub_grow(struct sub *s, struct sub_map *m)
{
	VDO_ASSERT(m->older == NULL && m->size >= sub_size(s));
	m->older = atomic_load(&s->map);
	atomic_store_explicit(&s->map, m, memory_order_release);
}

uint64_t sub_place(const struct vdo_volume *v, uint64_t offset,
		   uint64_t *length)
{
	const struct sub_piece *p;

	VDO_CHECK(offset < handle_size(v));
	if (v->sub == NULL) {
		*length = handle_size(v) - offset;
		return offset;
	}
	p = sub_map_find(atomic_load_explicit(&v->sub->map,
					      memory_order_acquire),
			 offset);
	*length = p->length - (offset - p->offset);
	return p->place + (offset - p->offset);
}

/* ------------------------------------------------------------ piece by piece */

struct walk {
	struct front *front;
	const struct sub_map *to, *from;
	struct io_request q; /* what is left */
	struct iovec *vectors; /* of all, and as many for a piece; or NULL */
	unsigned at;	       /* the vector where it goes on */
	size_t skip;	       /* bytes of that are over */
	bool backward;	       /* from the end: a copy to a later place */
};

int sub_keep_vectors(struct io_request *q, struct iovec **copy)
{
	*copy = NULL;
	if (q->iov_count == 0)
		return 0;
	*copy = alloc_zeroed((size_t)q->iov_count * 2, sizeof(**copy));
	if (*copy == NULL)
		return -ENOMEM;
	memcpy(*copy, q->iov, q->iov_count * sizeof(**copy));
	q->iov = *copy;
	return 0;
}

/* Where the piece of @m is that a range of *@length begins, or ends, with; *@length
 * becomes what of the range is in it. */
static uint64_t place_of(const struct sub_map *m, uint64_t offset,
			 uint64_t *length, bool backward)
{
	const struct sub_piece *p;
	uint64_t end = offset + *length;

	if (!backward) {
		p = sub_map_find(m, offset);
		*length = MIN(*length, p->offset + p->length - offset);
	} else {
		p = sub_map_find(m, end - 1);
		offset = MAX(offset, p->offset);
		*length = end - offset;
	}
	return p->place + (offset - p->offset);
}

/* The vectors of the next @length bytes, in the second half of the memory. */
static void cut_vectors(struct walk *w, uint64_t length, struct io_request *q)
{
	struct iovec *to = w->vectors + w->q.iov_count;

	q->iov = to;
	q->iov_count = 0;
	while (length > 0) {
		const struct iovec *v = &w->vectors[w->at];
		size_t n = MIN(v->iov_len - w->skip, length);

		to[q->iov_count++] = (struct iovec){
			.iov_base = (uint8_t *)v->iov_base + w->skip,
			.iov_len = n,
		};
		length -= n;
		w->skip += n;
		if (w->skip == v->iov_len) {
			w->at++;
			w->skip = 0;
		}
	}
	VDO_CHECK(q->iov_count <= w->q.iov_count);
}

static void walk_over(void *arg, int result);

/* The next piece. It is over, when it has been submitted, as far as @w knows. */
static int walk_on(struct walk *w)
{
	struct io_request q = w->q;
	uint64_t length = w->q.length;

	VDO_CHECK(length > 0);
	q.offset = place_of(w->to, w->q.offset, &length, w->backward);
	if (q.kind == IO_COPY) {
		uint64_t n = length;
		uint64_t back = w->backward ? w->q.length - length : 0;

		q.source = place_of(w->from, w->q.source + back, &length,
				    w->backward);
		q.offset += w->backward ? n - length : 0;
	}
	q.length = length;
	if (w->vectors != NULL)
		cut_vectors(w, length, &q);
	q.callback = walk_over;
	q.arg = w;
	w->q.length -= length;
	if (!w->backward) {
		w->q.offset += length;
		w->q.source += length;
	}
	return front_submit(w->front, &q);
}

static void walk_free(struct walk *w)
{
	alloc_free(w->vectors);
	alloc_free(w);
}

static void walk_over(void *arg, int result)
{
	struct walk *w = arg;
	struct io_request q = w->q;

	if (result == 0 && w->q.length > 0) {
		result = walk_on(w);
		if (result == 0)
			return;
	}
	walk_free(w);
	q.callback(q.arg, result);
	if (q.group != NULL)
		front_group_leave(q.group);
}

int sub_walk(struct front *f, const struct sub_map *to,
	     const struct sub_map *from, const struct io_request *q)
{
	struct walk *w = alloc_zeroed(1, sizeof(*w));
	int result;

	if (w == NULL)
		return -ENOMEM;
	*w = (struct walk){
		.front = f,
		.to = to,
		.from = from,
		.q = *q,
		.backward = q->kind == IO_COPY && q->offset > q->source,
	};
	result = sub_keep_vectors(&w->q, &w->vectors);
	/* The group and the callback may be used before this returns. */
	if (result == 0 && q->group != NULL)
		front_group_enter(q->group);
	if (result == 0) {
		result = walk_on(w);
		if (result == 0)
			return 0;
		if (q->group != NULL)
			front_group_leave(q->group);
	}
	walk_free(w);
	return result;
}

/* -------------------------------------------------------------------- calls */

/* Is all of @q in one piece? Then its offsets become those of the volume. */
static bool translate(const struct sub_map *m, const struct sub_map *from,
		      struct io_request *q)
{
	uint64_t length = q->length, place, source = 0;

	if (length == 0) {
		q->offset = 0;
		q->source = 0;
		return true;
	}
	place = place_of(m, q->offset, &length, false);
	if (q->kind == IO_COPY)
		source = place_of(from, q->source, &length, false);
	if (length != q->length)
		return false;
	q->offset = place;
	q->source = source;
	return true;
}

static const struct sub_map *map_of(const struct sub *s)
{
	return atomic_load_explicit(&s->map, memory_order_acquire);
}

int sub_pass(struct vdo_volume *v, const struct sub *from,
	     const struct io_request *q)
{
	const struct sub_map *m = map_of(v->sub);
	const struct sub_map *source = map_of(from);
	struct front *f = v->front;
	struct io_request one = *q;

	one.group = &v->calls;
	if (translate(m, source, &one))
		return front_submit(f, &one);
	/* All of it cannot begin at once. */
	if ((q->flags & VDO_IO_NOWAIT) != 0)
		return -EAGAIN;
	one = *q;
	one.group = &v->calls;
	return sub_walk(f, m, source, &one);
}

int sub_submit(struct vdo_volume *v, const struct sub *from,
	       struct io_request *q)
{
	if (q->kind == IO_READ || q->kind == IO_FLUSH)
		return sub_pass(v, from, q);
	if (v->read_only)
		return -VDO_EREADONLY;
	if (unlikely(atomic_load(&v->sub->copy) != NULL) && q->length > 0)
		return subcopy_submit(v, from, q);
	return sub_pass(v, from, q);
}
