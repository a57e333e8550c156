/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sub-volumes that are open: where their bytes lie, and calls on them.
 *
 *	sub_submit	a call of the user: may it? is the sub-volume being copied
 *			(subcopy.h)? then
 *	sub_pass	goes on to the front, as it is or piece by piece
 *
 * Invariants
 *  (1) A sub-volume only becomes larger while it is open. So a call that found its
 *      range to be in it is right until it is over.
 *  (2) Calls under way are counted in their handle; sub_close() waits for them.
 *
 * Runs on: any thread, but for sub_open() and sub_close(), which are for the pool.
 * Lifetime of struct sub: as long as it has handles.
 */
#ifndef API_SUB_H
#define API_SUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "sub/directory.h"

struct front;
struct iovec;
struct io_request;
struct subcopy;
struct vdo_volume;

/* In bytes: @offset in the sub-volume, @place in the volume. */
struct sub_piece {
	uint64_t offset, length, place;
};

/* All of them, in order; none is empty. */
struct sub_map {
	struct sub_map *older; /* calls may still be looking at it */
	uint64_t size;
	unsigned count;
	struct sub_piece pieces[];
};

struct sub {
	struct sub *next;
	uint64_t id;
	unsigned handles; /* the pool's */
	_Atomic(struct sub_map *) map;
	/* Somebody copies it, or NULL. Changes under the lock. */
	_Atomic(struct subcopy *) copy;
	pthread_mutex_t lock;
};

/* NULL: no memory. */
struct sub_map *sub_map_create(const struct sub_entry *e) MUST_CHECK;

/* The piece with byte @offset, which there is. */
const struct sub_piece *sub_map_find(const struct sub_map *m, uint64_t offset);

/* Of @e, without handles. NULL: no memory. */
struct sub *sub_create(const struct sub_entry *e) MUST_CHECK;
void sub_destroy(struct sub *s);

/* It has become larger. The map is the sub's from now on. */
void sub_grow(struct sub *s, struct sub_map *m);

static inline uint64_t sub_size(const struct sub *s)
{
	return atomic_load_explicit(&s->map, memory_order_acquire)->size;
}

/* Where byte @offset of @v is in the volume, and *@length: how many bytes from there
 * on lie side by side. Of a whole volume, too. */
uint64_t sub_place(const struct vdo_volume *v, uint64_t offset,
		   uint64_t *length);

/*
 * As front_submit(). @q is of the sub-volume: with offsets in it, which are good.
 * @from: where copies come from, open until they are over; @v's own of all others.
 * sub_pass() does not look whether it is being copied.
 */
int sub_submit(struct vdo_volume *v, const struct sub *from,
	       struct io_request *q) MUST_CHECK;
int sub_pass(struct vdo_volume *v, const struct sub *from,
	     const struct io_request *q) MUST_CHECK;

/*
 * Carry @q out piece by piece, where offsets are in @to, and sources of copies in
 * @from. As front_submit(), and both stay until the callback.
 */
int sub_walk(struct front *f, const struct sub_map *to,
	     const struct sub_map *from, const struct io_request *q) MUST_CHECK;

/* The vectors of @q in memory of their own, *@copy; -ENOMEM. */
int sub_keep_vectors(struct io_request *q, struct iovec **copy) MUST_CHECK;

#endif
