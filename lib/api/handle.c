/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a handle is made and freed, and who may use it.
 *
 * A child process has the memory of a volume but none of its threads. A page
 * that the kernel wipes at fork says which process we are in, without a system
 * call; where there is no such thing, process ids are compared.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/pool.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "format/types.h"
#include "io/device.h"

/* Are we in the process that opened @v? Without a system call, if possible. */
static bool is_here(const struct vdo_volume *v)
{
	if (v->here != NULL)
		return atomic_load_explicit(v->here, memory_order_relaxed) != 0;
	return getpid() == v->pid;
}

static void mark_here(struct vdo_volume *v)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	VDO_ASSERT(v->here == NULL);
	v->pid = getpid();
	if (p == MAP_FAILED)
		return;
	if (madvise(p, page, MADV_WIPEONFORK) != 0) {
		munmap(p, page);
		return;
	}
	v->here = p;
	atomic_init(v->here, 1);
}

static void unmark_here(struct vdo_volume *v)
{
	VDO_ASSERT(v->here == NULL || atomic_load(v->here) != 0);
	if (v->here != NULL)
		munmap((void *)v->here, (size_t)sysconf(_SC_PAGESIZE));
}

int handle_check(const struct vdo_volume *v, bool waits)
{
	if (v == NULL)
		return -EINVAL;
	if (unlikely(!is_here(v)))
		return -VDO_EFORKED;
	if (waits && unlikely(queue_running != NULL))
		return -EDEADLK;
	VDO_CHECK(v->front != NULL && v->executor != NULL);
	VDO_CHECK(handle_size(v) % v->alignment == 0);
	return 0;
}

int handle_enter(struct vdo_volume *v)
{
	int result = handle_check(v, true);

	if (result == 0)
		pthread_mutex_lock(&whole_of(v)->lock);
	return result;
}

int handle_enter_whole(struct vdo_volume *v)
{
	if (v != NULL && v->sub != NULL)
		return -EINVAL;
	return handle_enter(v);
}

void handle_leave(struct vdo_volume *v)
{
	VDO_ASSERT(queue_running == NULL);
	pthread_mutex_unlock(&whole_of(v)->lock);
}

int handle_create_front(struct executor *x, unsigned depth,
			struct front **front)
{
	struct front_config c = {.depth = depth, .executor = x};
	int result = executor_queue(x, "front", 0, &c.queue);

	VDO_ASSERT(depth > 0);
	return result != 0 ? result : front_create(&c, front);
}

/* Also of a child process, where nobody gives a lock back. */
static pthread_mutex_t *look_lock(const struct vdo_volume *v)
{
	const struct vdo_volume *whole = v->whole != NULL ? v->whole : v;

	return is_here(v) ? (pthread_mutex_t *)&whole->look : NULL;
}

const struct volume *handle_look(const struct vdo_volume *v)
{
	pthread_mutex_t *lock = look_lock(v);

	if (lock != NULL)
		pthread_mutex_lock(lock);
	return v->whole != NULL ? v->whole->volume : v->volume;
}

void handle_look_away(const struct vdo_volume *v)
{
	pthread_mutex_t *lock = look_lock(v);

	if (lock != NULL)
		pthread_mutex_unlock(lock);
}

int handle_create(struct vdo_device *device, struct executor *x,
		  const struct settings *s, struct vdo_volume **volume,
		  struct vdo_error *error)
{
	struct vdo_volume *v = alloc_zeroed(1, sizeof(*v));
	int result = -ENOMEM;

	VDO_ASSERT(queue_running == NULL);
	if (v == NULL)
		goto no_handle;
	result = device_claim(device, x);
	if (result == -VDO_EINUSE)
		error_set(error, result,
			  "the storage is in use by another open volume");
	if (result != 0)
		goto not_claimed;
	result = handle_create_front(x, s->open.depth, &v->front);
	if (result == 0)
		result = volume_create(device, x, v->front, s, &v->volume,
				       error);
	if (result != 0)
		goto not_made;
	v->executor = x;
	v->device = device;
	v->settings = *s;
	v->alignment = s->open.alignment;
	front_set_parking(v->front, s->open.on_full == FULL_HOLD);
	VDO_ASSERT(v->alignment == 512 || v->alignment == BLOCK_SIZE);
	v->size_bytes = volume_logical_blocks(v->volume) * BLOCK_SIZE;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->look, NULL);
	mark_here(v);
	*volume = v;
	return 0;

not_made:
	front_destroy(v->front);
	device_release(device);
not_claimed:
	alloc_free(v);
no_handle:
	executor_destroy(x);
	return result;
}

int handle_start(struct vdo_volume *v, struct vdo_error *error)
{
	int result = volume_open(v->volume, error);

	if (result == 0)
		return 0;
	volume_destroy(v->volume);
	handle_free(v);
	return result;
}

int handle_open(struct vdo_device *device, struct executor *x,
		const struct settings *s, struct vdo_volume **volume,
		struct vdo_error *error)
{
	struct vdo_volume *v;
	int result = handle_create(device, x, s, &v, error);

	if (result == 0)
		result = handle_start(v, error);
	if (result == 0)
		*volume = v;
	return result;
}

void handle_free(struct vdo_volume *v)
{
	VDO_ASSERT(queue_running == NULL);
	VDO_ASSERT(v->own_device == NULL || v->own_device == v->device);
	VDO_ASSERT(v->sub == NULL);
	pool_destroy(v->pool);
	front_destroy(v->front);
	device_release(v->device);
	executor_destroy(v->executor);
	vdo_device_close(v->own_device);
	unmark_here(v);
	pthread_mutex_destroy(&v->look);
	pthread_mutex_destroy(&v->lock);
	alloc_free(v);
}
