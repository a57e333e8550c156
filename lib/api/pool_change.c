/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changes of a pool: sub-volumes are made, renamed, resized, removed, copied.
 *
 * Each marks in the directory what it begins, does it, and publishes the directory
 * without the mark.
 */
#include "build.h"

#include "api/pool_priv.h"

#include <errno.h>
#include <time.h>

#include <vdo/io.h>
#include <vdo/map.h>
#include <vdo/sub.h>

#include "api/subcopy.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

static int check_size(uint64_t size, struct vdo_error *error)
{
	if (size > 0 && size % BLOCK_SIZE == 0)
		return 0;
	return error_set(
		error, -EINVAL,
		"the size of a sub-volume is a multiple of 4096 bytes, and not "
		"0");
}

/* The end of a change that makes of *@d what shall count, unless it failed. */
static int end_with(struct pool *p, struct directory *d,
		    struct vdo_error *error, int result)
{
	if (result == 0)
		result = pool_publish(p, d);
	else
		directory_fini(d);
	return pool_change_end(p, error, result);
}

int vdo_sub_create(struct vdo_volume *v, const char *name, uint64_t size,
		   struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e;
	struct pool *p;
	int result = pool_change_begin(v, true, name, &p, &d, error);

	if (result != 0)
		return pool_change_end(p, error, result);
	result = check_size(size, error);
	if (result == 0)
		result = pool_explain_name(
			error, directory_add(&d, name, size / BLOCK_SIZE, &e),
			name);
	if (result == 0) {
		e->created = (int64_t)time(NULL);
		result = pool_discard(p, e);
	}
	return end_with(p, &d, error, result);
}

int vdo_sub_rename(struct vdo_volume *v, const char *name, const char *new_name,
		   struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e;
	struct pool *p;
	int result = pool_change_begin(v, false, name, &p, &d, error);

	if (result != 0)
		return pool_change_end(p, error, result);
	if (new_name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = pool_find(&d, name, &e, error);
	if (result == 0)
		result = pool_explain_name(
			error, directory_rename(&d, e, new_name), new_name);
	return end_with(p, &d, error, result);
}

/* Set these flags of the entry @id, and clear those. */
static int mark(struct pool *p, uint64_t id, unsigned set, unsigned clear)
{
	struct sub_entry *e;
	struct directory d;
	int result = directory_copy(&d, &p->directory);

	if (result != 0)
		return result;
	e = directory_find_id(&d, id);
	e->flags = (e->flags | set) & ~clear;
	return pool_publish(p, &d);
}

/* Discard from byte @at of @m on, in its piece and at most *@length bytes, which
 * becomes how many. */
static int discard_part(struct pool *p, const struct sub_map *m, uint64_t at,
			uint64_t *length)
{
	const struct sub_piece *piece = sub_map_find(m, at);
	uint64_t skip = at - piece->offset;

	*length = MIN(*length, piece->length - skip);
	return vdo_discard(p->whole, *length, piece->place + skip, 0);
}

#define MAKE_ROOM (UINT64_C(16) << 20)

/* Discard of @id until there is space for the mark. */
static int make_room(struct pool *p, uint64_t id)
{
	const struct sub_entry *e = directory_find_id(&p->directory, id);
	struct sub_map *m = sub_map_create(e);
	uint64_t length;
	int result = m == NULL ? -ENOMEM : -ENOSPC;

	for (uint64_t at = 0; result == -ENOSPC && at < m->size; at += length) {
		length = MAKE_ROOM;
		result = discard_part(p, m, at, &length);
		if (result == 0)
			result = mark(p, id, SUB_REMOVING, 0);
	}
	alloc_free(m);
	return result;
}

/*
 * Mark it first, so that an interruption leaves no sub-volume with parts of its data.
 * In a volume that is so full that there is no space for the mark some of the data
 * makes room for it.
 */
static int remove_entry(struct pool *p, uint64_t id)
{
	int result = mark(p, id, SUB_REMOVING, 0);

	if (result == -ENOSPC)
		result = make_room(p, id);
	return result != 0 ? result : pool_drop(p, id);
}

/* Has somebody begun to remove it? */
static bool is_being_removed(struct pool *p, const char *name)
{
	const struct sub_entry *e;
	bool is;

	pthread_mutex_lock(&p->lock);
	e = directory_find(&p->directory, name);
	is = e != NULL && (e->flags & SUB_REMOVING) != 0;
	pthread_mutex_unlock(&p->lock);
	return is;
}

int vdo_sub_remove(struct vdo_volume *v, const char *name,
		   struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e = NULL;
	struct pool *p;
	int result = pool_enter(v, &p, error);
	bool begun = result == 0 && name != NULL && is_being_removed(p, name);

	if (result != 0)
		return error_finish(error, result);
	/* This finishes what was begun. */
	result = pool_change_begin(v, false, name, &p, &d, error);
	if (result != 0)
		return pool_change_end(p, error, result);
	if (begun && directory_find(&d, name) == NULL) {
		directory_fini(&d);
		return pool_change_end(p, error, 0);
	}
	result = pool_find(&d, name, &e, error);
	if (result == 0)
		result = pool_must_be_closed(p, e, error);
	if (result == 0)
		result = remove_entry(p, e->id);
	directory_fini(&d);
	return pool_change_end(p, error, result);
}

/* ------------------------------------------------------------------- resize */

static int found_data(void *arg, const struct vdo_extent *e)
{
	(void)arg;
	return e->kind == VDO_MAP_HOLE || e->kind == VDO_MAP_ZERO ? 0
								  : -ENOTEMPTY;
}

/* Nothing is stored from byte @size on; zeroes that are noted there are dropped. */
static int empty_end(struct pool *p, const struct sub_entry *e, uint64_t size,
		     struct vdo_error *error)
{
	struct vdo_volume *v;
	int result = pool_must_be_closed(p, e, error);

	if (result == 0)
		result = pool_open_entry(p, e->name, false, true, &v, error);
	if (result != 0)
		return result;
	result = vdo_map_extents(v, size, handle_size(v) - size, 0, found_data,
				 NULL);
	if (result == 0)
		result = vdo_discard(v, handle_size(v) - size, size, 0);
	sub_close(v);
	if (result == -ENOTEMPTY)
		return error_set(
			error, result,
			"there is data in what '%s' would lose: discard it "
			"first",
			e->name);
	return result;
}

/* Handles have the new size. */
static void show_growth(struct pool *p, uint64_t id, struct sub_map *m)
{
	struct sub *s;

	pthread_mutex_lock(&p->lock);
	s = pool_find_open(p, id);
	if (s != NULL)
		sub_grow(s, m);
	else
		alloc_free(m);
	pthread_mutex_unlock(&p->lock);
}

static int grow_entry(struct pool *p, struct directory *d, struct sub_entry *e,
		      uint64_t size, struct vdo_error *error)
{
	struct sub_map *m = NULL;
	uint64_t id = e->id, old = e->blocks * BLOCK_SIZE, length = 0;
	int result = pool_explain_name(
		error, directory_resize(d, e, size / BLOCK_SIZE), e->name);

	if (result == 0) {
		m = sub_map_create(e);
		result = m == NULL ? -ENOMEM : 0;
	}
	for (uint64_t at = old; result == 0 && at < size; at += length) {
		length = size - at;
		result = discard_part(p, m, at, &length);
	}
	if (result == 0)
		result = pool_publish(p, d);
	else
		directory_fini(d);
	if (result == 0)
		show_growth(p, id, m);
	else
		alloc_free(m);
	return result;
}

int vdo_sub_resize(struct vdo_volume *v, const char *name, uint64_t size,
		   struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e = NULL;
	struct pool *p;
	int result = pool_change_begin(v, false, name, &p, &d, error);

	if (result != 0)
		return pool_change_end(p, error, result);
	result = check_size(size, error);
	if (result == 0)
		result = pool_find(&d, name, &e, error);
	if (result == 0 && (e->flags & SUB_READ_ONLY) != 0)
		result = error_set(error, -VDO_EREADONLY,
				   "'%s' is a snapshot: resize a clone of it",
				   name);
	if (result == 0 && size > e->blocks * BLOCK_SIZE) {
		result = grow_entry(p, &d, e, size, error);
		return pool_change_end(p, error, result);
	}
	if (result == 0 && size < e->blocks * BLOCK_SIZE)
		result = empty_end(p, e, size, error);
	if (result == 0)
		result = directory_resize(&d, e, size / BLOCK_SIZE);
	return end_with(p, &d, error, result);
}

/* -------------------------------------------------------- snapshots and clones */

/* Copy what @source shows to the entry @id, which is being made. */
static int fill(struct pool *p, struct vdo_volume *source, uint64_t id)
{
	const struct sub_entry *e = directory_find_id(&p->directory, id);
	struct sub_map *m = sub_map_create(e);
	int result = m == NULL ? -ENOMEM : subcopy_run(source, m);

	alloc_free(m);
	return result;
}

/* @d: a copy of the directory, which is gone afterwards. */
static int copy_source(struct pool *p, struct directory *d,
		       struct vdo_volume *source, const char *name,
		       unsigned flags, struct vdo_error *error)
{
	struct sub_entry *e = NULL;
	uint64_t id = 0;
	int result = pool_explain_name(
		error,
		directory_add(d, name, handle_size(source) / BLOCK_SIZE, &e),
		name);

	if (result == 0) {
		e->flags = flags | SUB_MAKING;
		e->parent = source->sub->id;
		e->created = (int64_t)time(NULL);
		id = e->id;
		result = pool_discard(p, e);
	}
	if (result != 0) {
		directory_fini(d);
		return result;
	}
	result = pool_publish(p, d);
	if (result != 0)
		return result;
	result = fill(p, source, id);
	if (result == 0)
		result = mark(p, id, 0, SUB_MAKING);
	/* What cannot be dropped now is dropped by the next change. */
	if (result != 0)
		pool_drop(p, id);
	return result;
}

static int copy_sub(struct vdo_volume *v, const char *source, const char *name,
		    unsigned flags, struct vdo_error *error)
{
	struct vdo_volume *from = NULL;
	struct directory d;
	struct pool *p;
	int result = pool_change_begin(v, false, name, &p, &d, error);

	if (result != 0)
		return pool_change_end(p, error, result);
	if (source == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = pool_open(p, source, true, &from, error);
	if (result == 0)
		result = copy_source(p, &d, from, name, flags, error);
	else
		directory_fini(&d);
	if (from != NULL)
		sub_close(from);
	return pool_change_end(p, error, result);
}

int vdo_sub_snapshot(struct vdo_volume *v, const char *source, const char *name,
		     struct vdo_error *error)
{
	return copy_sub(v, source, name, SUB_READ_ONLY, error);
}

int vdo_sub_clone(struct vdo_volume *v, const char *source, const char *name,
		  struct vdo_error *error)
{
	return copy_sub(v, source, name, 0, error);
}
