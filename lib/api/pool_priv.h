/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the pool: the calls of <vdo/sub.h> are in pool_change.c, pool_open.c and
 * pool_tell.c, what they share is here.
 *
 * Locks: change, while a change goes on, which may take long; inside of it lock, for
 * the directory in memory and the list of open sub-volumes.
 */
#ifndef API_POOL_PRIV_H
#define API_POOL_PRIV_H

#include "api/pool.h"

struct pool {
	struct vdo_volume *whole;
	pthread_mutex_t change;
	atomic_bool loaded; /* changes once, under change */
	bool begun;	    /* the first directory was not written whole */
	/* A directory that could not be written may be on the storage all the same, and
	 * would count: the one in memory has to be written over it first. */
	atomic_bool unsure;
	pthread_mutex_t lock;
	struct directory directory; /* sequence 0: there is none */
	struct sub *subs;
	unsigned handles;
	uint64_t closed; /* the id of who must not be opened now; or 0 */
};

/* ------------------------------------------------------------------- pool.c */

/* The pool of @v, with its directory in memory. Clears *@error. */
int pool_enter(struct vdo_volume *v, struct pool **pool,
	       struct vdo_error *error) MUST_CHECK;

/*
 * Take the turn to change the pool, and make *@d a copy of its directory; with
 * @first there need not be one. -EINVAL: @name, of what is to be changed, is NULL. Whatever this returns, pool_change_end() comes next,
 * with *@pool, which may be NULL.
 */
int pool_change_begin(struct vdo_volume *v, bool first, const char *name,
		      struct pool **pool, struct directory *d,
		      struct vdo_error *error) MUST_CHECK;
int pool_change_end(struct pool *p, struct vdo_error *error, int result);

/* @d counts from now on, and is the pool's; or it is gone. In a change. */
int pool_publish(struct pool *p, struct directory *d) MUST_CHECK;

/* Forget what is stored in the space of @e. */
int pool_discard(struct pool *p, const struct sub_entry *e) MUST_CHECK;

/* Discard what the entry @id has, then forget it. In a change. */
int pool_drop(struct pool *p, uint64_t id);

/* The entry of @name that can be used. -ENOENT. */
int pool_find(const struct directory *d, const char *name, struct sub_entry **e,
	      struct vdo_error *error) MUST_CHECK;

/* Say what @result, of a call about @name or of reading the directory, means; it is
 * returned. */
int pool_explain_name(struct vdo_error *error, int result, const char *name);
int pool_explain_damage(struct vdo_error *error, int result);

/* -------------------------------------------------------------- pool_open.c */

/* Under lock; NULL: it is not open. */
struct sub *pool_find_open(const struct pool *p, uint64_t id);

/* Handles. */
unsigned pool_count_open(struct pool *p, uint64_t id);

/* A handle of the entry called @name. @owner: by who has closed it to others. */
int pool_open_entry(struct pool *p, const char *name, bool read_only,
		    bool owner, struct vdo_volume **sub,
		    struct vdo_error *error) MUST_CHECK;
int pool_open(struct pool *p, const char *name, bool read_only,
	      struct vdo_volume **sub, struct vdo_error *error) MUST_CHECK;

/* It is not open, and is not opened until pool_change_end(). -EBUSY */
int pool_must_be_closed(struct pool *p, const struct sub_entry *e,
			struct vdo_error *error) MUST_CHECK;

#endif
