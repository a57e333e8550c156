/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools: the calls of <vdo/sub.h>.
 *
 * The directory is data of the volume (sub/directory.h), read once and written by
 * each change, to the copy that does not count:
 *
 *	change_begin	takes the turn, reads the directory, cleans up what an
 *			interrupted change left: entries that are being made or removed
 *	publish		writes a new directory; from then on it counts
 *	change_end
 *
 * What a new entry gets of the logical space is discarded before the entry is
 * published, so that nobody's data shows up in it.
 *
 * Locks: change, while a change goes on, which may take long; inside of it lock, for
 * the directory in memory and the list of open sub-volumes.
 */
#include "build.h"

#include "api/pool.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <vdo/io.h>
#include <vdo/map.h>
#include <vdo/sub.h>

#include "api/subcopy.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "exec/await.h"

#define COPY_BYTES (DIRECTORY_COPY_BLOCKS * BLOCK_SIZE)

struct pool {
	struct vdo_volume *whole;
	pthread_mutex_t change;
	atomic_bool loaded; /* changes once, under change */
	bool begun; /* the first directory was not written whole */
	/* A directory that could not be written may be on the storage all the same, and
	 * would count: the one in memory has to be written over it first. */
	atomic_bool unsure;
	pthread_mutex_t lock;
	struct directory directory; /* sequence 0: there is none */
	struct sub *subs;
	unsigned handles;
	uint64_t closed; /* the id of who must not be opened now; or 0 */
};

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

static int explain_damage(struct vdo_error *error, int result)
{
	switch (result) {
	case -VDO_ECHECKSUM:
	case -VDO_ECORRUPT:
		return error_set(error, result,
				 "the directory of sub-volumes is damaged; the whole "
				 "volume can be read as it is");
	case -VDO_EVERSION:
		return error_set(error, result,
				 "the directory of sub-volumes is of a newer version "
				 "of the library; use that one");
	case -ENOENT:
		return error_set(error, result,
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
		return explain_damage(error, result);
	pthread_mutex_lock(&p->lock);
	p->directory = d;
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->loaded, true);
	return 0;
}

static int write_copy(struct pool *p, const uint8_t *copy, size_t bytes,
		      uint64_t offset)
{
	int result = vdo_pwrite(p->whole, copy, bytes, offset,
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
static int publish(struct pool *p, struct directory *d)
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
	return result != 0 ? result : publish(p, &d);
}

/* Forget what is stored in the space of @e. */
static int discard_space(struct pool *p, const struct sub_entry *e)
{
	int result = 0;

	for (unsigned i = 0; result == 0 && i < e->extent_count; i++)
		result = vdo_discard(p->whole,
				     e->extents[i].count * BLOCK_SIZE,
				     e->extents[i].first * BLOCK_SIZE, 0);
	return result;
}

/* Discard what the entry @id has, then forget it. */
static int drop_entry(struct pool *p, uint64_t id)
{
	struct directory d;
	int result = be_sure(p);

	if (result == 0)
		result = directory_copy(&d, &p->directory);
	if (result != 0)
		return result;
	result = discard_space(p, directory_find_id(&d, id));
	if (result != 0) {
		directory_fini(&d);
		return result;
	}
	directory_remove(&d, directory_find_id(&d, id));
	return publish(p, &d);
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
			result = drop_entry(p, e->id);
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
static int enter(struct vdo_volume *v, struct pool **pool,
		 struct vdo_error *error)
{
	int result;

	error_clear(error);
	if (v == NULL)
		return error_missing(error, "volume");
	if (v->sub != NULL)
		return error_set(error, -EINVAL,
				 "this is a sub-volume: the call is for the whole volume");
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
		return error_set(error, result,
				 "the volume holds data of its own; sub-volumes need an "
				 "empty one, or discard all of it");
	return result;
}

/*
 * Take the turn to change the pool, and make *@d a copy of its directory. Whatever this
 * returns, change_end() comes next unless *@pool is NULL.
 */
static int change_begin(struct vdo_volume *v, bool first, struct pool **pool,
			struct directory *d, struct vdo_error *error)
{
	struct pool *p;
	int result;

	*pool = NULL;
	result = enter(v, &p, error);
	if (result != 0)
		return result;
	*pool = p;
	pthread_mutex_lock(&p->change);
	if (volume_is_read_only(v->volume))
		return error_set(error, -VDO_EREADONLY,
				 "the volume is read-only: its sub-volumes cannot be "
				 "changed");
	if (p->directory.sequence == 0 && !first)
		return explain_damage(error, -ENOENT);
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

static int change_end(struct pool *p, struct vdo_error *error, int result)
{
	if (p != NULL) {
		pthread_mutex_lock(&p->lock);
		p->closed = 0;
		pthread_mutex_unlock(&p->lock);
		pthread_mutex_unlock(&p->change);
	}
	return error_finish(error, result);
}

static int explain_name(struct vdo_error *error, int result, const char *name)
{
	switch (result) {
	case -EINVAL:
		return error_set(error, result,
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
		return error_set(error, result,
				 "the logical space, or the directory, has no room for "
				 "'%s': remove others, or let the volume grow",
				 name);
	default:
		return result;
	}
}

static int check_size(uint64_t size, struct vdo_error *error)
{
	if (size > 0 && size % BLOCK_SIZE == 0)
		return 0;
	return error_set(error, -EINVAL,
			 "the size of a sub-volume is a multiple of 4096 bytes, and not "
			 "0");
}

/* The entry of @name that can be used. -ENOENT. */
static int find(const struct directory *d, const char *name,
		struct sub_entry **e, struct vdo_error *error)
{
	*e = directory_find(d, name);
	if (*e == NULL || ((*e)->flags & SUB_MAKING) != 0)
		return explain_name(error, -ENOENT, name);
	return 0;
}

/* --------------------------------------------------------- open sub-volumes */

/* Under lock. */
static struct sub *find_open(const struct pool *p, uint64_t id)
{
	struct sub *s = p->subs;

	while (s != NULL && s->id != id)
		s = s->next;
	return s;
}

static unsigned count_open(struct pool *p, uint64_t id)
{
	const struct sub *s;
	unsigned n;

	pthread_mutex_lock(&p->lock);
	s = find_open(p, id);
	n = s == NULL ? 0 : s->handles;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* A handle of @e; under lock. */
static struct vdo_volume *new_handle(struct pool *p, const struct sub_entry *e,
				     bool read_only)
{
	const struct vdo_volume *whole = p->whole;
	struct vdo_volume *v = alloc_zeroed(1, sizeof(*v));
	struct sub *s = find_open(p, e->id);

	if (v != NULL && s == NULL) {
		s = sub_create(e);
		if (s != NULL) {
			s->next = p->subs;
			p->subs = s;
		}
	}
	if (v == NULL || s == NULL) {
		alloc_free(v);
		return NULL;
	}
	s->handles++;
	p->handles++;
	v->volume = whole->volume;
	v->executor = whole->executor;
	v->device = whole->device;
	v->alignment = whole->alignment;
	v->here = whole->here;
	v->pid = whole->pid;
	v->whole = p->whole;
	v->sub = s;
	v->read_only = read_only || (e->flags & SUB_READ_ONLY) != 0;
	atomic_init(&v->calls.count, 1);
	return v;
}

static void drop_handle(struct pool *p, struct sub *s)
{
	struct sub **at = &p->subs;

	pthread_mutex_lock(&p->lock);
	p->handles--;
	if (--s->handles > 0) {
		s = NULL;
	} else {
		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
	}
	pthread_mutex_unlock(&p->lock);
	if (s != NULL)
		sub_destroy(s);
}

void sub_close(struct vdo_volume *v)
{
	struct await w;

	await_init(&w, v->executor);
	v->calls.over = &w;
	front_group_leave(&v->calls);
	(void)await_end(&w);
	drop_handle(v->whole->pool, v->sub);
	alloc_free(v);
}

/* The handle of the entry called @name. @owner: by who closed it to others. */
static int open_entry(struct pool *p, const char *name, bool read_only,
		      bool owner, struct vdo_volume **sub,
		      struct vdo_error *error)
{
	struct sub_entry *e;
	int result;

	pthread_mutex_lock(&p->lock);
	result = find(&p->directory, name, &e, error);
	if (result == 0 && (e->flags & SUB_REMOVING) != 0)
		result = error_set(error, -EBUSY,
				   "'%s' is being removed: remove it again to finish "
				   "that",
				   name);
	if (result == 0 && e->id == p->closed && !owner)
		result = error_set(error, -EBUSY, "'%s' is being changed", name);
	if (result == 0) {
		*sub = new_handle(p, e, read_only);
		result = *sub == NULL ? -ENOMEM : 0;
	}
	pthread_mutex_unlock(&p->lock);
	return result;
}

static int open_handle(struct pool *p, const char *name, bool read_only,
		       struct vdo_volume **sub, struct vdo_error *error)
{
	return open_entry(p, name, read_only, false, sub, error);
}

int vdo_sub_open(struct vdo_volume *v, const char *name, unsigned flags,
		 struct vdo_volume **sub, struct vdo_error *error)
{
	struct pool *p;
	int result = enter(v, &p, error);

	if (result == 0 && name == NULL)
		result = error_missing(error, "name");
	if (result == 0 && sub == NULL)
		result = error_missing(error, "sub");
	if (result == 0 && (flags & ~VDO_OPEN_READ_ONLY) != 0)
		result = error_set(error, -EINVAL, "there are no such flags");
	if (result == 0)
		result = open_handle(p, name, flags != 0, sub, error);
	return error_finish(error, result);
}

/* ------------------------------------------------------------------- changes */

int vdo_sub_create(struct vdo_volume *v, const char *name, uint64_t size,
		   struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e;
	struct pool *p;
	int result = change_begin(v, true, &p, &d, error);

	if (result != 0)
		return change_end(p, error, result);
	if (name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = check_size(size, error);
	if (result == 0)
		result = explain_name(error,
				      directory_add(&d, name,
						    size / BLOCK_SIZE, &e),
				      name);
	if (result == 0) {
		e->created = (int64_t)time(NULL);
		result = discard_space(p, e);
	}
	if (result == 0)
		result = publish(p, &d);
	else
		directory_fini(&d);
	return change_end(p, error, result);
}

int vdo_sub_rename(struct vdo_volume *v, const char *name,
		   const char *new_name, struct vdo_error *error)
{
	struct directory d;
	struct sub_entry *e;
	struct pool *p;
	int result = change_begin(v, false, &p, &d, error);

	if (result != 0)
		return change_end(p, error, result);
	if (name == NULL || new_name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = find(&d, name, &e, error);
	if (result == 0)
		result = explain_name(error, directory_rename(&d, e, new_name),
				      new_name);
	if (result == 0)
		result = publish(p, &d);
	else
		directory_fini(&d);
	return change_end(p, error, result);
}

/* It is not open, and is not opened until change_end(). */
static int must_be_closed(struct pool *p, const struct sub_entry *e,
			  struct vdo_error *error)
{
	bool open;

	pthread_mutex_lock(&p->lock);
	open = find_open(p, e->id) != NULL;
	if (!open)
		p->closed = e->id;
	pthread_mutex_unlock(&p->lock);
	if (!open)
		return 0;
	return error_set(error, -EBUSY, "'%s' is open: close it first",
			 e->name);
}

static int mark_removing(struct pool *p, uint64_t id)
{
	struct directory d;
	int result = directory_copy(&d, &p->directory);

	if (result != 0)
		return result;
	directory_find_id(&d, id)->flags |= SUB_REMOVING;
	return publish(p, &d);
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
		const struct sub_piece *piece = sub_map_find(m, at);

		length = MIN(MAKE_ROOM, piece->offset + piece->length - at);
		result = vdo_discard(p->whole, length,
				     piece->place + at - piece->offset, 0);
		if (result == 0)
			result = mark_removing(p, id);
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
	int result = mark_removing(p, id);

	if (result == -ENOSPC)
		result = make_room(p, id);
	return result != 0 ? result : drop_entry(p, id);
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
	int result = enter(v, &p, error);
	bool begun = result == 0 && name != NULL && is_being_removed(p, name);

	if (result == 0 && name == NULL)
		result = error_missing(error, "name");
	if (result != 0)
		return error_finish(error, result);
	/* This finishes what was begun. */
	result = change_begin(v, false, &p, &d, error);
	if (result != 0)
		return change_end(p, error, result);
	if (begun && directory_find(&d, name) == NULL) {
		directory_fini(&d);
		return change_end(p, error, 0);
	}
	result = find(&d, name, &e, error);
	if (result == 0)
		result = must_be_closed(p, e, error);
	if (result == 0)
		result = remove_entry(p, e->id);
	directory_fini(&d);
	return change_end(p, error, result);
}

/* ------------------------------------------------------------------- resize */

static int found_data(void *arg, const struct vdo_extent *e)
{
	(void)arg;
	return e->kind == VDO_MAP_HOLE || e->kind == VDO_MAP_ZERO
		       ? 0
		       : -ENOTEMPTY;
}

/* Nothing is stored from byte @size on; zeroes that are noted there are dropped. */
static int empty_end(struct pool *p, const struct sub_entry *e, uint64_t size,
		     struct vdo_error *error)
{
	struct vdo_volume *v;
	int result = must_be_closed(p, e, error);

	if (result == 0)
		result = open_entry(p, e->name, false, true, &v, error);
	if (result != 0)
		return result;
	result = vdo_map_extents(v, size, handle_size(v) - size, 0, found_data,
				 NULL);
	if (result == 0)
		result = vdo_discard(v, handle_size(v) - size, size, 0);
	sub_close(v);
	if (result == -ENOTEMPTY)
		return error_set(error, result,
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
	s = find_open(p, id);
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
	int result = explain_name(
		error, directory_resize(d, e, size / BLOCK_SIZE), e->name);

	if (result == 0) {
		m = sub_map_create(e);
		result = m == NULL ? -ENOMEM : 0;
	}
	for (uint64_t at = old; result == 0 && at < size; at += length) {
		const struct sub_piece *piece = sub_map_find(m, at);

		length = piece->offset + piece->length - at;
		result = vdo_discard(p->whole, length,
				     piece->place + at - piece->offset, 0);
	}
	if (result == 0)
		result = publish(p, d);
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
	int result = change_begin(v, false, &p, &d, error);

	if (result != 0)
		return change_end(p, error, result);
	if (name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = check_size(size, error);
	if (result == 0)
		result = find(&d, name, &e, error);
	if (result == 0 && (e->flags & SUB_READ_ONLY) != 0)
		result = error_set(error, -VDO_EREADONLY,
				   "'%s' is a snapshot: resize a clone of it", name);
	if (result == 0 && size > e->blocks * BLOCK_SIZE) {
		result = grow_entry(p, &d, e, size, error);
		return change_end(p, error, result);
	}
	if (result == 0 && size < e->blocks * BLOCK_SIZE)
		result = empty_end(p, e, size, error);
	if (result == 0)
		result = directory_resize(&d, e, size / BLOCK_SIZE);
	if (result == 0)
		result = publish(p, &d);
	else
		directory_fini(&d);
	return change_end(p, error, result);
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

/* It is whole. */
static int finish_copy(struct pool *p, uint64_t id)
{
	struct directory d;
	int result = directory_copy(&d, &p->directory);

	if (result != 0)
		return result;
	directory_find_id(&d, id)->flags &= ~(unsigned)SUB_MAKING;
	return publish(p, &d);
}

/* @d: a copy of the directory, which is gone afterwards. */
static int copy_source(struct pool *p, struct directory *d,
		       struct vdo_volume *source, const char *name,
		       unsigned flags, struct vdo_error *error)
{
	struct sub_entry *e = NULL;
	uint64_t id = 0;
	int result = explain_name(
		error,
		directory_add(d, name, handle_size(source) / BLOCK_SIZE, &e),
		name);

	if (result == 0) {
		e->flags = flags | SUB_MAKING;
		e->parent = source->sub->id;
		e->created = (int64_t)time(NULL);
		id = e->id;
		result = discard_space(p, e);
	}
	if (result != 0) {
		directory_fini(d);
		return result;
	}
	result = publish(p, d);
	if (result != 0)
		return result;
	result = fill(p, source, id);
	if (result == 0)
		result = finish_copy(p, id);
	/* What cannot be dropped now is dropped by the next change. */
	if (result != 0)
		(void)drop_entry(p, id);
	return result;
}

static int copy_sub(struct vdo_volume *v, const char *source, const char *name,
		    unsigned flags, struct vdo_error *error)
{
	struct vdo_volume *from = NULL;
	struct directory d;
	struct pool *p;
	int result = change_begin(v, false, &p, &d, error);

	if (result != 0)
		return change_end(p, error, result);
	if (source == NULL || name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = open_handle(p, source, true, &from, error);
	if (result == 0)
		result = copy_source(p, &d, from, name, flags, error);
	else
		directory_fini(&d);
	if (from != NULL)
		sub_close(from);
	return change_end(p, error, result);
}

int vdo_sub_snapshot(struct vdo_volume *v, const char *source,
		     const char *name, struct vdo_error *error)
{
	return copy_sub(v, source, name, SUB_READ_ONLY, error);
}

int vdo_sub_clone(struct vdo_volume *v, const char *source, const char *name,
		  struct vdo_error *error)
{
	return copy_sub(v, source, name, 0, error);
}

/* ----------------------------------------------------------------- what is there */

/* The directory as it is now. */
static int copy_directory(struct pool *p, struct directory *d,
			  struct vdo_error *error)
{
	int result;

	pthread_mutex_lock(&p->lock);
	result = p->directory.sequence == 0
			 ? explain_damage(error, -ENOENT)
			 : directory_copy(d, &p->directory);
	pthread_mutex_unlock(&p->lock);
	return result;
}

int vdo_sub_list(struct vdo_volume *v, vdo_sub_callback callback, void *arg,
		 struct vdo_error *error)
{
	struct directory d;
	struct pool *p;
	int result = enter(v, &p, error);

	if (result == 0 && callback == NULL)
		result = error_missing(error, "callback");
	if (result == 0)
		result = copy_directory(p, &d, error);
	if (result != 0)
		return error_finish(error, result);
	for (size_t i = 0; result == 0 && i < d.count; i++) {
		const struct sub_entry *e = d.entries[i];
		struct vdo_sub s = {
			.name = e->name,
			.id = e->id,
			.size = e->blocks * BLOCK_SIZE,
			.parent = e->parent,
			.created = e->created,
			.read_only = (e->flags & SUB_READ_ONLY) != 0,
			.removing = (e->flags & SUB_REMOVING) != 0,
			.open = count_open(p, e->id),
			.extents = e->extent_count,
		};

		if ((e->flags & SUB_MAKING) == 0)
			result = callback(arg, &s);
	}
	directory_fini(&d);
	return result;
}

static int count_extent(void *arg, const struct vdo_extent *e)
{
	struct vdo_sub_usage *u = arg;
	uint64_t n = e->length / BLOCK_SIZE;

	switch (e->kind) {
	case VDO_MAP_HOLE:
		u->unmapped_blocks += n;
		break;
	case VDO_MAP_ZERO:
		u->zero_blocks += n;
		break;
	case VDO_MAP_DATA:
		u->data_blocks += n;
		u->shared_blocks += e->references > 1 ? n : 0;
		u->exclusive_blocks += e->references == 1 ? n : 0;
		break;
	case VDO_MAP_COMPRESSED:
		u->compressed_blocks += n;
		break;
	}
	return 0;
}

/* A copy of the entry called @name, the only one of *@d. */
static int get_entry(struct vdo_volume *v, const char *name,
		     struct pool **pool, struct directory *d,
		     struct sub_entry **e, struct vdo_error *error)
{
	int result = enter(v, pool, error);

	if (result == 0 && name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = copy_directory(*pool, d, error);
	if (result != 0)
		return result;
	result = find(d, name, e, error);
	if (result != 0)
		directory_fini(d);
	return result;
}

int vdo_sub_stat(struct vdo_volume *v, const char *name,
		 struct vdo_sub_usage *usage, size_t size,
		 struct vdo_error *error)
{
	struct vdo_sub_usage u = {0};
	struct vdo_volume *sub = NULL;
	struct sub_entry *e;
	struct directory d;
	struct pool *p;
	int result = get_entry(v, name, &p, &d, &e, error);

	if (result != 0)
		return error_finish(error, result);
	u.id = e->id;
	u.size = e->blocks * BLOCK_SIZE;
	u.parent = e->parent;
	u.created = e->created;
	u.read_only = (e->flags & SUB_READ_ONLY) != 0;
	u.removing = (e->flags & SUB_REMOVING) != 0;
	u.open = count_open(p, e->id);
	u.extents = e->extent_count;
	directory_fini(&d);
	if (usage == NULL)
		result = error_missing(error, "usage");
	if (result == 0 && !u.removing) {
		result = open_handle(p, name, true, &sub, error);
		/* Others may have had that name in between. */
		if (result == 0 && sub->sub->id != u.id)
			result = explain_name(error, -ENOENT, name);
		if (result == 0) {
			u.size = handle_size(sub);
			result = vdo_map_extents(sub, 0, u.size,
						 VDO_MAP_REFERENCES,
						 count_extent, &u);
		}
		if (sub != NULL)
			sub_close(sub);
	}
	if (result == 0)
		memcpy(usage, &u, MIN(size, sizeof(u)));
	return error_finish(error, result);
}

int vdo_sub_places(struct vdo_volume *v, const char *name,
		   vdo_sub_extent_callback callback, void *arg,
		   struct vdo_error *error)
{
	struct sub_map *m = NULL;
	struct sub_entry *e;
	struct directory d;
	struct pool *p;
	int result = get_entry(v, name, &p, &d, &e, error);

	if (result != 0)
		return error_finish(error, result);
	if (callback == NULL)
		result = error_missing(error, "callback");
	if (result == 0) {
		m = sub_map_create(e);
		result = m == NULL ? -ENOMEM : 0;
	}
	directory_fini(&d);
	for (unsigned i = 0; result == 0 && i < m->count; i++) {
		struct vdo_sub_extent x = {m->pieces[i].offset,
					   m->pieces[i].length,
					   m->pieces[i].place};

		result = callback(arg, &x);
	}
	if (m == NULL)
		return error_finish(error, result);
	alloc_free(m);
	return result;
}
