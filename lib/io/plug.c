/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: each turn of a runner (exec/turn.h) collects what was started in it.
 *
 *	            [plug_start]           [turn is over: pull]
 *	mio_write() ---------> in the turn --+-- alone ----------------> device
 *	    |                                |
 *	    | the journal, the super block,  +-- a run of neighbours --> device
 *	    | FUA, what is large                 as one vectored write      |
 *	    v                                                     [bundle_done]
 *	  device                                all went well: each is told so
 *	                                        else: each again, alone [redo]
 *
 * At the end of the turn they are sorted by place. Neighbours of one direction
 * become a bundle: a device operation with a vector for each. Reads of the same
 * block at the same time, as of the fragments of a compressed block, are read
 * once and copied. What is alone goes as it is; since a turn ends when nothing is
 * left to run, what is alone on an idle volume goes at once. All of a turn goes
 * to the device in one call, where that can take it (submit_all).
 *
 * Not collected is what others wait for most, and is merged by whoever starts it:
 * the recovery journal and the super block. So nothing with FUA ever is in a
 * bundle. What is not collected for another reason pulls the plug first.
 *
 * Order. The rules (D1 to D16) speak of writes that have completed before a flush
 * began, and a bundle completes as a whole, so they hold for each of its blocks.
 * A flush pulls the plug of its own turn first, though no rule asks for it. If a
 * write and anything else of a turn touch the same block, nothing of that turn is
 * merged, and all goes in the order in which it was started.
 *
 * Errors. What is wrong with a part of a bundle says nothing about the rest. So
 * after an error, and a device that did less than all is one, each operation is
 * done once more, alone, on the queue that started it; what comes of that is
 * what it is told. A write may be repeated: until it has completed nobody counts
 * on it.
 *
 * Memory. Operations in a turn are linked through host_data[0], which no device
 * has a use for yet; the turn is pulled when it has COLLECT_MAX. Bundles are a
 * pool of the storage: BUNDLES, each with a vector for every block that option
 * io-merge allows; without a free one operations go alone.
 */
#include "build.h"

#include "io/plug.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "exec/freelist.h"
#include "exec/turn.h"
#include "io/device.h"

#define BUNDLES     64u
#define COLLECT_MAX 512u

struct bundle {
	struct vdo_device_io io;
	struct storage *storage;
	struct mio *first;     /* linked by next_of() */
	struct completion redo; /* its home: who started it */
	uint32_t number;
	struct iovec iov[];
};

/* ---------------------------------------------------------------- the chain */

static inline struct mio *next_of(const struct mio *m)
{
	return m->io.host_data[0];
}

static inline void link_to(struct mio *m, struct mio *next)
{
	m->io.host_data[0] = next;
}

static inline uint64_t end_of(const struct mio *m)
{
	return m->io.offset + m->io.length;
}

static inline bool is_write(const struct mio *m)
{
	VDO_CHECK(m->io.op == VDO_DEVICE_WRITE || m->io.op == VDO_DEVICE_READ);
	return m->io.op == VDO_DEVICE_WRITE;
}

/* What a chain is sorted by: the place, or the order in which they started. */
enum order { BY_PLACE, BY_START };

static inline uintptr_t started(const struct mio *m)
{
	return (uintptr_t)m->io.host_data[1];
}

static inline bool goes_first(const struct mio *a, const struct mio *b,
			      enum order order)
{
	if (order == BY_START)
		return started(a) <= started(b);
	return a->io.offset <= b->io.offset;
}

/* Of equals, those of @a go first. */
static struct mio *merge(struct mio *a, struct mio *b, enum order order)
{
	struct mio *first = NULL;
	struct mio *last = NULL;

	VDO_CHECK(a != NULL && b != NULL);
	while (a != NULL && b != NULL) {
		struct mio **from = goes_first(a, b, order) ? &a : &b;
		struct mio *m = *from;

		*from = next_of(m);
		if (first == NULL)
			first = m;
		else
			link_to(last, m);
		last = m;
	}
	link_to(last, a != NULL ? a : b);
	return first;
}

/* Cut off the part at the head of @m that is in order; return what is left. */
static struct mio *cut(struct mio *m, enum order order)
{
	struct mio *rest;

	while (next_of(m) != NULL && goes_first(m, next_of(m), order))
		m = next_of(m);
	rest = next_of(m);
	link_to(m, NULL);
	return rest;
}

/* Merge parts that are in order, of about the same age; stable. In the usual
 * case it is one part. */
static struct mio *sort(struct mio *m, enum order order)
{
	struct mio *parts[16] = {NULL}; /* part i was made of 2^i */
	struct mio *sorted = NULL;
	unsigned i;

	while (m != NULL) {
		struct mio *rest = cut(m, order);

		for (i = 0; parts[i] != NULL; i++) {
			m = merge(parts[i], m, order);
			parts[i] = NULL;
		}
		VDO_CHECK(i < ARRAY_SIZE(parts)); /* COLLECT_MAX is less */
		parts[i] = m;
		m = rest;
	}
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i] != NULL)
			sorted = sorted == NULL
					 ? parts[i]
					 : merge(parts[i], sorted, order);
	}
	return sorted;
}

/* Do a write and something else of the sorted chain @m touch the same block? */
static bool is_in_conflict(const struct mio *m)
{
	uint64_t end = 0, write_end = 0;

	for (; m != NULL; m = next_of(m)) {
		if (m->io.offset < write_end ||
		    (is_write(m) && m->io.offset < end))
			return true;
		end = MAX(end, end_of(m));
		if (is_write(m))
			write_end = end_of(m);
	}
	return false;
}

/* ------------------------------------------------------------------ bundles */

static struct bundle *bundle_at(const struct storage *s, uint32_t i)
{
	size_t size = sizeof(struct bundle) +
		      s->merge_blocks * sizeof(struct iovec);

	VDO_CHECK(i < BUNDLES);
	return (struct bundle *)((char *)s->bundles + i * size);
}

static void free_bundle(struct bundle *b)
{
	VDO_CHECK(b->first != NULL);
	b->first = NULL;
	freelist_push(b->storage->free_bundles, b->number);
}

/* As an engine for files looks at it: such memory goes another way. */
static inline bool is_aligned(const struct mio *m)
{
	return (uintptr_t)m->io.iov->iov_base % BLOCK_SIZE == 0;
}

/* Is @b the same read as @a, which is before it? */
static inline bool is_twin(const struct mio *a, const struct mio *b)
{
	return b->io.offset == a->io.offset && b->io.length == a->io.length;
}

static bool joins(const struct mio *a, const struct mio *b)
{
	return b->io.op == a->io.op && is_aligned(a) == is_aligned(b) &&
	       (b->io.offset == end_of(a) ||
		(is_twin(a, b) && !is_write(a)));
}

/* How many from @m on can be one operation? */
static unsigned run_length(const struct storage *s, const struct mio *m)
{
	uint64_t limit = m->io.offset + s->merge_blocks * BLOCK_SIZE;
	unsigned n = 1;

	VDO_CHECK(m->io.length <= s->merge_blocks * BLOCK_SIZE);
	for (; next_of(m) != NULL; m = next_of(m), n++) {
		if (!joins(m, next_of(m)) || end_of(next_of(m)) > limit)
			break;
	}
	return n;
}

static void count_completed(const struct mio *m)
{
	struct mio_lane *l = storage_own_lane(m->storage);
	unsigned n[MIO_KINDS] = {0};

	for (; m != NULL; m = next_of(m))
		n[m->kind]++;
	for (unsigned k = 0; k < MIO_KINDS; k++) {
		if (n[k] != 0)
			atomic_fetch_add_explicit(&l->completed[k], n[k],
						  memory_order_relaxed);
	}
}

/* Take those that go to @home off the chain @m, and post them; the rest. */
static struct mio *post_to(struct queue *home, struct mio *m)
{
	struct completion *first = NULL, *last = NULL;
	struct mio *rest = NULL, *rest_last = NULL;
	unsigned n = 0;

	for (; m != NULL; m = next_of(m)) {
		if (m->done.home != home) {
			if (rest == NULL)
				rest = m;
			else
				link_to(rest_last, m);
			rest_last = m;
			continue;
		}
		if (first == NULL)
			first = &m->done;
		else
			completion_link(last, &m->done);
		last = &m->done;
		n++;
	}
	VDO_CHECK(n > 0);
	if (rest != NULL)
		link_to(rest_last, NULL);
	completion_link(last, NULL);
	queue_post_all(home, first, last, n);
	return rest;
}

/* The same read twice: the second gets a copy of the first. */
static void copy_to_twins(const struct mio *m)
{
	for (; next_of(m) != NULL; m = next_of(m)) {
		const struct mio *n = next_of(m);

		if (is_twin(m, n))
			memcpy(n->io.iov->iov_base, m->io.iov->iov_base,
			       m->io.length);
	}
}

/* On any thread. The storage may be gone after the last post. */
static void bundle_done(struct vdo_device_io *io, int result)
{
	struct bundle *b = container_of(io, struct bundle, io);
	struct vdo_device *d = b->storage->device;
	struct mio *m = b->first;

	VDO_CHECK(m != NULL && next_of(m) != NULL);
	device_enter(d);
	if (unlikely(result != 0)) {
		completion_post(&b->redo);
	} else {
		if (!is_write(m))
			copy_to_twins(m);
		count_completed(m);
		free_bundle(b);
		while (m != NULL)
			m = post_to(m->done.home, m);
	}
	device_leave(d);
}

/* ----------------------------------------------------------- to the device */

static void send(struct vdo_device *d, const struct device_chain *batch)
{
	struct vdo_device_io *io = batch->first;

	if (io != NULL && io != batch->last && d->submit_all != NULL) {
		d->submit_all(d->ctx, io, batch->last);
		return;
	}
	while (io != NULL) {
		struct vdo_device_io *next = io->host_data[0];

		d->submit(d->ctx, io);
		io = next;
	}
}

/* Invariant 3: false if it ended here. */
static bool may_start(struct mio *m)
{
	if (likely(!is_write(m) || !storage_is_read_only(m->storage)))
		return true;
	completion_finish(&m->done, -VDO_EREADONLY);
	return false;
}

/* Each of the chain @m for itself, in this order. */
static void add_alone(struct device_chain *batch, struct mio *m)
{
	while (m != NULL) {
		struct mio *next = next_of(m);

		if (may_start(m))
			device_chain_add(batch, &m->io);
		m = next;
	}
}

static void redo(struct completion *c);

/* Bundles have no memory before they are used. */
static struct bundle *begin_bundle(struct storage *s, uint32_t i)
{
	struct bundle *b = bundle_at(s, i);

	b->storage = s;
	b->number = i;
	b->io.iov = b->iov;
	b->io.complete = bundle_done;
	b->redo.fn = redo;
	return b;
}

/* A bundle of the @n operations from @m on; the rest of the chain. */
static struct mio *fill(struct bundle *b, struct mio *m, unsigned n)
{
	struct vdo_device_io *io = &b->io;
	struct mio *last = NULL;

	VDO_CHECK(b->first == NULL && n > 1);
	b->first = m;
	io->op = m->io.op;
	io->flags = 0;
	io->offset = m->io.offset;
	io->iov_count = 0;
	for (; n > 0; n--, last = m, m = next_of(m)) {
		if (last == NULL || !is_twin(last, m))
			b->iov[io->iov_count++] = *m->io.iov;
	}
	io->length = end_of(last) - io->offset;
	VDO_CHECK(io->iov_count <= b->storage->merge_blocks);
	link_to(last, NULL);
	b->redo.home = queue_running;
	return m;
}

/* Bundles of what is sorted by place, as far as there are any. */
static void add_bundled(struct storage *s, struct device_chain *batch,
			struct mio *m)
{
	while (m != NULL) {
		unsigned n = run_length(s, m);
		uint32_t i = n > 1 && (!is_write(m) || !storage_is_read_only(s))
				     ? freelist_pop(s->free_bundles)
				     : FREELIST_NONE;
		struct mio *rest = m;

		if (i == FREELIST_NONE) {
			rest = next_of(m);
			link_to(m, NULL);
			add_alone(batch, m);
		} else {
			struct bundle *b = begin_bundle(s, i);

			rest = fill(b, m, n);
			device_chain_add(batch, &b->io);
			storage_count_joined(s, b->io.op == VDO_DEVICE_WRITE,
					     n - 1);
		}
		m = rest;
	}
}

/* All that is in the turn. On the queue that put the first there. */
static void pull(struct turn *t)
{
	struct device_chain batch = {NULL, NULL};
	struct mio *m = t->first;
	struct storage *s = m->storage;
	struct vdo_device *d = s->device;

	VDO_CHECK(t->count > 0 && t->count <= COLLECT_MAX);
	t->first = NULL;
	if (t->count == 1) {
		add_alone(&batch, m);
	} else {
		m = sort(m, BY_PLACE);
		if (is_in_conflict(m))
			add_alone(&batch, sort(m, BY_START));
		else
			add_bundled(s, &batch, m);
	}
	send(d, &batch);
}

/* A bundle went wrong: each of it alone. On the queue that started it. */
static void redo(struct completion *c)
{
	struct bundle *b = container_of(c, struct bundle, redo);
	struct vdo_device *d = b->storage->device;
	struct device_chain batch = {NULL, NULL};
	struct mio *m = b->first;

	free_bundle(b);
	add_alone(&batch, m);
	send(d, &batch);
}

/* --------------------------------------------------------- into the turn */

void plug_flush(void)
{
	struct turn *t = queue_running == NULL ? NULL : queue_running->turn;

	if (t == NULL || t->close != pull)
		return;
	t->close = NULL;
	pull(t);
}

static bool may_wait(const struct mio *m)
{
	return m->io.flags == 0 && m->io.iov_count == 1 &&
	       m->io.length <= m->storage->merge_blocks / 2 * BLOCK_SIZE;
}

void plug_start(struct mio *m)
{
	struct vdo_device *d = m->storage->device;
	struct turn *t = queue_running == NULL ? NULL : queue_running->turn;

	if (m->kind == MIO_JOURNAL || m->kind == MIO_SUPER || t == NULL) {
		d->submit(d->ctx, &m->io);
		return;
	}
	if (turn_is_open(t) &&
	    (!may_wait(m) || t->count == COLLECT_MAX ||
	     ((struct mio *)t->first)->storage != m->storage))
		plug_flush();
	if (!may_wait(m)) {
		d->submit(d->ctx, &m->io);
		return;
	}
	link_to(m, NULL);
	if (!turn_is_open(t)) {
		turn_open(t, pull);
		t->first = m;
		t->count = 0;
	} else {
		link_to(t->last, m);
	}
	t->last = m;
	m->io.host_data[1] = (void *)(uintptr_t)t->count++;
}

/* The list has lines of the cache to itself; the storage, part of structs from
 * anywhere, need not begin at one. */
static int create_pool(struct storage *s)
{
	size_t size = sizeof(struct bundle) +
		      s->merge_blocks * sizeof(struct iovec);

	VDO_ASSERT(s->bundles == NULL && s->free_bundles == NULL);
	s->bundles = alloc_spare(CACHE_LINE, BUNDLES, size);
	s->free_bundles = alloc_aligned(_Alignof(struct freelist), 1,
					sizeof(*s->free_bundles));
	if (s->bundles == NULL || s->free_bundles == NULL)
		return -ENOMEM;
	return freelist_init(s->free_bundles, BUNDLES, BUNDLES);
}

static void destroy_pool(struct storage *s)
{
	if (s->free_bundles != NULL)
		freelist_fini(s->free_bundles);
	alloc_free(s->free_bundles);
	alloc_free(s->bundles);
	s->free_bundles = NULL;
	s->bundles = NULL;
	s->merge_blocks = 0;
}

int plug_init(struct storage *s, uint64_t bytes)
{
	int r;

	VDO_ASSERT(s->merge_blocks == 0 && bytes / BLOCK_SIZE <= UINT32_MAX);
	if (bytes < 2 * BLOCK_SIZE || s->device->immediate)
		return 0;
	s->merge_blocks = (uint32_t)(bytes / BLOCK_SIZE);
	r = create_pool(s);
	if (r != 0)
		destroy_pool(s);
	return r;
}

void plug_fini(struct storage *s)
{
	if (s->bundles == NULL)
		return;
	for (uint32_t i = 0; s->merge_blocks != 0 && i < BUNDLES; i++)
		VDO_ASSERT(bundle_at(s, i)->first == NULL);
	destroy_pool(s);
}
