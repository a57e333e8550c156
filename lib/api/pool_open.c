/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sub-volumes that are open: their handles.
 */
#include "build.h"

#include "api/pool_priv.h"

#include <errno.h>

#include <vdo/sub.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/await.h"

/* Under lock. */
struct sub *pool_find_open(const struct pool *p, uint64_t id)
{
	struct sub *s = p->subs;

	while (s != NULL && s->id != id)
		s = s->next;
	return s;
}

unsigned pool_count_open(struct pool *p, uint64_t id)
{
	const struct sub *s;
	unsigned n;

	pthread_mutex_lock(&p->lock);
	s = pool_find_open(p, id);
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
	struct sub *s = pool_find_open(p, e->id);

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
	v->front = whole->front;
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
	front_group_end(v->front, &v->calls);
	front_group_leave(&v->calls);
	(void)await_end(&w);
	drop_handle(v->whole->pool, v->sub);
	alloc_free(v);
}

/* The handle of the entry called @name. @owner: by who closed it to others. */
int pool_open_entry(struct pool *p, const char *name, bool read_only,
		    bool owner, struct vdo_volume **sub,
		    struct vdo_error *error)
{
	struct sub_entry *e;
	int result;

	pthread_mutex_lock(&p->lock);
	result = pool_find(&p->directory, name, &e, error);
	if (result == 0 && (e->flags & SUB_REMOVING) != 0)
		result = error_set(
			error, -EBUSY,
			"'%s' is being removed: remove it again to finish "
			"that",
			name);
	if (result == 0 && e->id == p->closed && !owner)
		result =
			error_set(error, -EBUSY, "'%s' is being changed", name);
	if (result == 0) {
		*sub = new_handle(p, e, read_only);
		result = *sub == NULL ? -ENOMEM : 0;
	}
	pthread_mutex_unlock(&p->lock);
	return result;
}

int pool_open(struct pool *p, const char *name, bool read_only,
	      struct vdo_volume **sub, struct vdo_error *error)
{
	return pool_open_entry(p, name, read_only, false, sub, error);
}

/* It is not open, and is not opened until pool_change_end(). */
int pool_must_be_closed(struct pool *p, const struct sub_entry *e,
			struct vdo_error *error)
{
	bool open;

	pthread_mutex_lock(&p->lock);
	open = pool_find_open(p, e->id) != NULL;
	if (!open)
		p->closed = e->id;
	pthread_mutex_unlock(&p->lock);
	if (!open)
		return 0;
	return error_set(error, -EBUSY, "'%s' is open: close it first",
			 e->name);
}

int vdo_sub_open(struct vdo_volume *v, const char *name, unsigned flags,
		 struct vdo_volume **sub, struct vdo_error *error)
{
	struct pool *p;
	int result = pool_enter(v, &p, error);

	if (result == 0 && name == NULL)
		result = error_missing(error, "name");
	if (result == 0 && sub == NULL)
		result = error_missing(error, "sub");
	if (result == 0 && (flags & ~VDO_OPEN_READ_ONLY) != 0)
		result = error_set(error, -EINVAL, "there are no such flags");
	if (result == 0)
		result = pool_open(p, name, flags != 0, sub, error);
	return error_finish(error, result);
}
