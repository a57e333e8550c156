/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handle of a volume or sub-volume, struct vdo_volume, for the files of api/.
 *
 * Lifetime: handle_create() to handle_free(); of a sub-volume: sub_open() to
 * sub_close().
 */
#ifndef API_HANDLE_H
#define API_HANDLE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <vdo/vdo.h>

#include "api/sub.h"
#include "base/assert.h"
#include "format/types.h"
#include "front/front.h"
#include "volume/volume.h"

struct vdo_volume {
	struct front *front;
	struct executor *executor;
	struct vdo_device *device;
	struct vdo_device *own_device; /* opened by us: to be closed */
	_Atomic uint64_t size_bytes; /* it may grow */
	unsigned alignment;
	pthread_mutex_t lock;	/* of who asks for, or changes, all of it */
	atomic_bool suspended;	/* changes under the lock */
	atomic_bool said_waits; /* since it was suspended */
	/* A page that reads as zeroes in a child process, or NULL; then the
	 * process is compared. */
	atomic_uint *here;
	pid_t pid;
	/* Of a sub-volume: the volume that it is in, whose are all of the above but
	 * size_bytes, and all of the below; else NULL. */
	struct vdo_volume *whole;
	struct sub *sub;
	bool read_only;
	struct front_group calls; /* that are under way */
	/* Of a whole volume. The engine changes under both locks: who has the
	 * first may wait with it, who has the second must not wait at all. */
	struct volume *volume;
	pthread_mutex_t look;
	struct settings settings; /* as they were wanted last */
	struct pool *pool; /* NULL: nobody has asked for it */
};

/*
 * Make a handle for the volume on @device, run by @x, which is the handle's from
 * now on and gone if this fails. The front and its queue outlive the engine.
 * volume_open() is still to come. -VDO_EINUSE, -ENOMEM, and what volume_create()
 * says.
 */
int handle_create(struct vdo_device *device, struct executor *x,
		  const struct settings *s, struct vdo_volume **volume,
		  struct vdo_error *error) MUST_CHECK;

/* The front alone, on a queue of its own: those of the engine come and go with
 * it. */
int handle_create_front(struct executor *x, unsigned depth,
			struct front **front) MUST_CHECK;

/* Open the volume; the handle, and a device of its own, are gone if that
 * fails. */
int handle_start(struct vdo_volume *v, struct vdo_error *error) MUST_CHECK;

/* Make a handle and open its volume. Executors of any kind will do: this is how
 * tests open volumes on theirs. */
int handle_open(struct vdo_device *device, struct executor *x,
		const struct settings *s, struct vdo_volume **volume,
		struct vdo_error *error) MUST_CHECK;

/* Under the lock: have another engine, of @s (change.c). */
int handle_change(struct vdo_volume *v, const struct settings *s,
		  struct vdo_error *error) MUST_CHECK;

/* How an executor with threads of its own is made for @s. */
struct native_config handle_native_config(const struct settings *s);

/* After the volume is gone: the rest of what handle_create() made. */
void handle_free(struct vdo_volume *v);

/*
 * May this thread call into @v? -VDO_EFORKED in another process; with @waits
 * also -EDEADLK from inside of a callback.
 */
int handle_check(const struct vdo_volume *v, bool waits) MUST_CHECK;

/* The same with @waits; then the calling thread alone asks for, or changes, what
 * the whole volume is, until handle_leave(). */
int handle_enter(struct vdo_volume *v) MUST_CHECK;

/* The same for what only a whole volume has; -EINVAL. */
int handle_enter_whole(struct vdo_volume *v) MUST_CHECK;
void handle_leave(struct vdo_volume *v);

/* As vdo_pwrite(), but for want of space it fails at once, whatever on-full says. */
int handle_write(struct vdo_volume *v, const void *buf, size_t count,
		 uint64_t offset, unsigned flags) MUST_CHECK;

static inline struct vdo_volume *whole_of(struct vdo_volume *v)
{
	return v->whole != NULL ? v->whole : v;
}

/* The engine; under the lock, or while nobody else can have the handle. */
static inline struct volume *engine_of(struct vdo_volume *v)
{
	return whole_of(v)->volume;
}

/* The engine, for what waits for nothing, until handle_look_away(): it stays as
 * long. Any thread, also in callbacks. */
const struct volume *handle_look(const struct vdo_volume *v);
void handle_look_away(const struct vdo_volume *v);

static inline uint64_t handle_size(const struct vdo_volume *v)
{
	return v->sub == NULL ? v->size_bytes : sub_size(v->sub);
}

/* Is this an aligned range of @v? -EINVAL, -ERANGE. */
static inline int handle_check_range(const struct vdo_volume *v,
				     uint64_t offset, uint64_t length)
{
	uint64_t size = handle_size(v);

	VDO_CHECK(v->alignment == 512 || v->alignment == BLOCK_SIZE);
	if ((offset | length) % v->alignment != 0)
		return -EINVAL;
	if (offset > size || length > size - offset)
		return -ERANGE;
	return 0;
}

#endif
