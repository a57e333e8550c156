/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is in a pool: names, sizes, what they hold, and where.
 */
#include "build.h"

#include "api/pool_priv.h"

#include <errno.h>
#include <string.h>

#include <vdo/map.h>
#include <vdo/sub.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

/* The directory as it is now. */
static int copy_directory(struct pool *p, struct directory *d,
			  struct vdo_error *error)
{
	int result;

	pthread_mutex_lock(&p->lock);
	result = p->directory.sequence == 0
			 ? pool_explain_damage(error, -ENOENT)
			 : directory_copy(d, &p->directory);
	pthread_mutex_unlock(&p->lock);
	return result;
}

int vdo_sub_list(struct vdo_volume *v, vdo_sub_callback callback, void *arg,
		 struct vdo_error *error)
{
	struct directory d;
	struct pool *p;
	int result = pool_enter(v, &p, error);

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
			.open = pool_count_open(p, e->id),
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
static int get_entry(struct vdo_volume *v, const char *name, struct pool **pool,
		     struct directory *d, struct sub_entry **e,
		     struct vdo_error *error)
{
	int result = pool_enter(v, pool, error);

	if (result == 0 && name == NULL)
		result = error_missing(error, "name");
	if (result == 0)
		result = copy_directory(*pool, d, error);
	if (result != 0)
		return result;
	result = pool_find(d, name, e, error);
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
	u.open = pool_count_open(p, e->id);
	u.extents = e->extent_count;
	directory_fini(&d);
	if (usage == NULL)
		result = error_missing(error, "usage");
	if (result == 0 && !u.removing) {
		result = pool_open(p, name, true, &sub, error);
		/* Others may have had that name in between. */
		if (result == 0 && sub->sub->id != u.id)
			result = pool_explain_name(error, -ENOENT, name);
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
