/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool of a volume: its directory, and whose turn it is to change it.
 *
 * The directory is data of the volume (sub/directory.h), read once and written by
 * each change, to the copy that does not count:
 *
 *	pool_change_begin()	takes the turn, reads the directory, cleans up what an
 *				interrupted change left: entries that are being made or
 *				removed
 *	pool_publish()		writes a new directory; from then on it counts
 *	pool_change_end()
 *
 * What a new entry gets of the logical space is discarded before the entry is
 * published, so that nobody's data shows up in it.
 */
#include "build.h"

#include "api/pool_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/io.h>
#include <vdo/map.h>
#include <vdo/sub.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

#define COPY_BYTES (DIRECTORY_COPY_BLOCKS * BLOCK_SIZE)

static struct pool *pool_create(struct vdo_volume *whole)
{
	struct pool *p = alloc_zeroed(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->whole = whole;
	pthread_mutex_init(&p->change, NULL);
	pthread_mutex_init(&p->lock, NULL);
	directory_init(&p->directory, 0);
	return p;
}

void pool_destroy(struct pool *p)
{
	if (p == NULL)
		return;
	VDO_ASSERT(p->handles == 0 && p->subs == NULL);
	directory_fini(&p->directory);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->change);
	alloc_free(p);
}

bool pool_is_busy(struct vdo_volume *v)
{
	bool busy = false;

	pthread_mutex_lock(&v->lock);
	if (v->pool != NULL) {
		pthread_mutex_lock(&v->pool->lock);
		busy = v->pool->handles > 0;
		pthread_mutex_unlock(&v->pool->lock);
	}
	pthread_mutex_unlock(&v->lock);
	return busy;
}

/* ------------------------------------------------------------ the directory */

/* The header of copy @n. -ENOENT: there is none. */
static int look(struct pool *p, unsigned n, struct directory_header *h)
{
	uint8_t *block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	int result;

	if (block == NULL)
		return -ENOMEM;
	result = vdo_pread(p->whole, block, BLOCK_SIZE, n * COPY_BYTES, 0);
	if (result == 0)
		result = directory_look(block, h);
	if (result == 0 && h->sequence % 2 != n)
		result = -VDO_ECORRUPT;
	alloc_free(block);
	return result;
}

static int read_copy(struct pool *p, unsigned n, size_t bytes,
		     struct directory *d)
{
	uint8_t *copy = alloc_aligned(BLOCK_SIZE, 1, bytes);
	int result;

	if (copy == NULL)
		return -ENOMEM;
	result = vdo_pread(p->whole, copy, bytes, n * COPY_BYTES, 0);
	if (result == 0)
		result = directory_decode(d, copy, bytes);
	alloc_free(copy);
	return result;
}

/* The later copy of those that were written whole. */
static int read_latest(struct pool *p, struct directory *d)
{
	struct directory_header h[2] = {{0}};
	int looked[2], result;
	unsigned late;

	for (unsigned n = 0; n < 2; n++) {
		looked[n] = look(p, n, &h[n]);
		if (looked[n] != 0 && looked[n] != -ENOENT)
			return looked[n];
	}
	late = looked[1] == 0 &&
	       (looked[0] != 0 || h[1].sequence > h[0].sequence);
	if (looked[late] != 0)
		return -ENOENT;
	result = read_copy(p, late, h[late].bytes, d);
	if (result != -VDO_ECHECKSUM)
		return result;
	/* Its write was interrupted: a block is written as a whole, the copy is not. */
	if (looked[!late] == 0)
		return read_copy(p, !late, h[!late].bytes, d);
	p->begun = looked[!late] == -ENOENT && h[late].sequence == 1;
	return p->begun ? -ENOENT : result;
}

/*
 * The copy that counts: the later one, unless its write was interrupted. What was
 * written whole, but makes no sense, is not passed over. -ENOENT: there is none, or the
 * write of the first one was interrupted.
 */
static int read_directory(struct pool *p, struct directory *d)
{
	if (d->logical_blocks < DIRECTORY_BLOCKS + DIRECTORY_UNIT)
		return -ENOENT;
	return read_latest(p, d);
}

int pool_explain_damage(struct vdo_error *error, int result)
{
	switch (result) {
	case -VDO_ECHECKSUM:
	case -VDO_ECORRUPT:
		return error_set(
			error, result,
			"the directory of sub-volumes is damaged; the whole "
			"volume can be read as it is");
	case -VDO_EVERSION:
		return error_set(
			error, result,
			"the directory of sub-volumes is of a newer version "
			"of the library; use that one");
	case -ENOENT:
		return error_set(
			error, result,
			"the volume has no sub-volumes: make the first one");
	default:
		return result;
	}
}

/* Under change. 0 also if there is none: its sequence is 0. */
static int load(struct pool *p, struct vdo_error *error)
{
	struct directory d;
	int result;

	if (p->loaded)
		return 0;
	directory_init(&d, p->whole->size_bytes / BLOCK_SIZE);
	result = read_directory(p, &d);
	if (result != 0 && result != -ENOENT)
		return pool_explain_damage(error, result);
	pthread_mutex_lock(&p->lock);
	p->directory = d;
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->loaded, true);
	return 0;
}

static int write_copy(struct pool *p, const uint8_t *copy, size_t bytes,
		      uint64_t offset)
{
	int result = handle_write(p->whole, copy, bytes, offset,
				VDO_IO_NO_DEDUPE | VDO_IO_NO_COMPRESS);

	return result != 0 ? result : vdo_flush(p->whole, 0);
}

/* Of the first one the header comes first: a block is written as a whole, so whatever
 * is there of a directory begins with one. */
static int write_bytes_of(struct pool *p, const uint8_t *copy, size_t bytes,
			  uint64_t sequence)
{
	uint64_t offset = sequence % 2 * COPY_BYTES;
	int result = 0;

	if (sequence == 1) {
		result = write_copy(p, copy, BLOCK_SIZE, offset);
		p->begun |= result == 0;
	}
	return result != 0 ? result : write_copy(p, copy, bytes, offset);
}

/*
 * Write @d over the copy that does not count. Where there is no space for that the
 * copy is forgotten first.
 */
static int write_directory(struct pool *p, struct directory *d)
{
	size_t bytes = directory_size(d);
	uint8_t *copy = alloc_aligned(BLOCK_SIZE, 1, bytes);
	int result;

	if (copy == NULL)
		return -ENOMEM;
	d->sequence = p->directory.sequence + 1;
	directory_encode(d, copy);
	/* What it says of others is durable first. */
	result = vdo_flush(p->whole, 0);
	if (result != 0) {
		alloc_free(copy);
		return result;
	}
	atomic_store(&p->unsure, true);
	result = write_bytes_of(p, copy, bytes, d->sequence);
	if (result == -ENOSPC) {
		result = vdo_discard(p->whole, COPY_BYTES,
				     d->sequence % 2 * COPY_BYTES, 0);
		if (result == 0)
			result = vdo_flush(p->whole, 0);
		if (result == 0)
			result = write_bytes_of(p, copy, bytes, d->sequence);
	}
	if (result == 0)
		atomic_store(&p->unsure, false);
	alloc_free(copy);
	return result;
}

/* @d counts from now on, and is the pool's; or it is gone. */
int pool_publish(struct pool *p, struct directory *d)
{
	int result = write_directory(p, d);

	if (result != 0) {
		directory_fini(d);
		return result;
	}
	pthread_mutex_lock(&p->lock);
	directory_fini(&p->directory);
	p->directory = *d;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* Have the directory in memory count, if another one might. Under change. */
static int be_sure(struct pool *p)
{
	struct directory d;
	int result;

	if (!atomic_load(&p->unsure) || p->directory.sequence == 0)
		return 0;
	result = directory_copy(&d, &p->directory);
	return result != 0 ? result : pool_publish(p, &d);
}

/* Forget what is stored in the space of @e. */
int pool_discard(struct pool *p, const struct sub_entry *e)
{
	int result = 0;

	for (unsigned i = 0; result == 0 && i < e->extent_count; i++)
		result = vdo_discard(p->whole, e->extents[i].count * BLOCK_SIZE,
				     e->extents[i].first * BLOCK_SIZE, 0);
	return result;
}

/* Discard what the entry @id has, then forget it. */
int pool_drop(struct pool *p, uint64_t id)
{
	struct directory d;
	int result = be_sure(p);

	if (result == 0)
		result = directory_copy(&d, &p->directory);
	if (result != 0)
		return result;
	result = pool_discard(p, directory_find_id(&d, id));
	if (result != 0) {
		directory_fini(&d);
		return result;
	}
	directory_remove(&d, directory_find_id(&d, id));
	return pool_publish(p, &d);
}

/* Is it over, but for what is left of it? */
static bool is_leftover(const struct sub_entry *e)
{
	return (e->flags & (SUB_MAKING | SUB_REMOVING)) != 0;
}

static int clean_up(struct pool *p)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < p->directory.count;) {
		const struct sub_entry *e = p->directory.entries[i];

		if (is_leftover(e))
			result = pool_drop(p, e->id);
		else
			i++;
	}
	return result;
}

/* -------------------------------------------------------------- begin and end */

static int get_pool(struct vdo_volume *v, struct pool **pool)
{
	int result = handle_enter_whole(v);

	if (result != 0)
		return result;
	if (v->pool == NULL)
		v->pool = pool_create(v);
	*pool = v->pool;
	handle_leave(v);
	return *pool == NULL ? -ENOMEM : 0;
}

/* The pool, with its directory in memory. */
int pool_enter(struct vdo_volume *v, struct pool **pool,
	       struct vdo_error *error)
{
	int result;

	error_clear(error);
	if (v == NULL)
		return error_missing(error, "volume");
	if (v->sub != NULL)
		return error_set(error, -EINVAL,
				 "this is a sub-volume: the call is for the "
				 "whole volume");
	result = get_pool(v, pool);
	if (result != 0)
		return result;
	if (atomic_load(&(*pool)->loaded) && !atomic_load(&(*pool)->unsure))
		return 0;
	pthread_mutex_lock(&(*pool)->change);
	result = load(*pool, error);
	if (result == 0)
		result = be_sure(*pool);
	pthread_mutex_unlock(&(*pool)->change);
	return result;
}

static int found_something(void *arg, const struct vdo_extent *e)
{
	(void)arg;
	return e->kind == VDO_MAP_HOLE ? 0 : -VDO_ESIGNATURE;
}

/* The first sub-volume makes a pool of the volume. */
static int may_begin(struct pool *p, struct vdo_error *error)
{
	struct vdo_volume *v = p->whole;
	uint64_t from = p->begun ? DIRECTORY_BLOCKS * BLOCK_SIZE : 0;
	int result = vdo_map_extents(v, from, v->size_bytes - from, 0,
				     found_something, NULL);

	if (result == -VDO_ESIGNATURE)
		return error_set(
			error, result,
			"the volume holds data of its own; sub-volumes need an "
			"empty one, or discard all of it");
	return result;
}

/*
 * Take the turn to change the pool, and make *@d a copy of its directory. Whatever this
 * returns, pool_change_end() comes next unless *@pool is NULL.
 */
int pool_change_begin(struct vdo_volume *v, bool first, const char *name,
		      struct pool **pool, struct directory *d,
		      struct vdo_error *error)
{
	struct pool *p;
	int result;

	*pool = NULL;
	result = pool_enter(v, &p, error);
	if (result != 0)
		return result;
	*pool = p;
	pthread_mutex_lock(&p->change);
	if (name == NULL)
		return error_missing(error, "name");
	if (vdo_volume_is_read_only(v))
		return error_set(
			error, -VDO_EREADONLY,
			"the volume is read-only: its sub-volumes cannot be "
			"changed");
	if (p->directory.sequence == 0 && !first)
		return pool_explain_damage(error, -ENOENT);
	if (p->directory.sequence == 0) {
		result = may_begin(p, error);
		if (result != 0)
			return result;
	}
	pthread_mutex_lock(&p->lock);
	p->directory.logical_blocks = v->size_bytes / BLOCK_SIZE;
	pthread_mutex_unlock(&p->lock);
	result = clean_up(p);
	return result != 0 ? result : directory_copy(d, &p->directory);
}

int pool_change_end(struct pool *p, struct vdo_error *error, int result)
{
	if (p != NULL) {
		pthread_mutex_lock(&p->lock);
		p->closed = 0;
		pthread_mutex_unlock(&p->lock);
		pthread_mutex_unlock(&p->change);
	}
	return error_finish(error, result);
}

int pool_explain_name(struct vdo_error *error, int result, const char *name)
{
	switch (result) {
	case -EINVAL:
		return error_set(
			error, result,
			"not a name of a sub-volume: it has 1 to %u bytes, and "
			"no '/'",
			DIRECTORY_NAME_MAX);
	case -EEXIST:
		return error_set(error, result,
				 "there is a sub-volume '%s' already", name);
	case -ENOENT:
		return error_set(error, result, "there is no sub-volume '%s'",
				 name);
	case -ENOSPC:
		return error_set(
			error, result,
			"the logical space, or the directory, has no room for "
			"'%s': remove others, or let the volume grow",
			name);
	default:
		return result;
	}
}

/* The entry of @name that can be used. -ENOENT. */
int pool_find(const struct directory *d, const char *name, struct sub_entry **e,
	      struct vdo_error *error)
{
	*e = directory_find(d, name);
	if (*e == NULL || ((*e)->flags & SUB_MAKING) != 0)
		return pool_explain_name(error, -ENOENT, name);
	return 0;
}
