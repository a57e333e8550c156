/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An estimate is no formula: the volume is made in memory, as for opening, counted,
 * and dropped. What is large is not touched, so that costs about a millisecond.
 */
#include "build.h"

#include <vdo/memory.h>

#include <errno.h>
#include <string.h>

#include "api/handle.h"
#include "api/offline.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "exec/executor.h"
#include "front/front.h"
#include "io/device.h"
#include "io/file.h"
#include "volume/memory.h"
#include "volume/plan.h"
#include "volume/super.h"
#include "volume/volume.h"

/* The volume that is there, or would be. */
static int find_volume(struct vdo_device *device, const struct settings *s,
		       struct plan *p, struct vdo_error *error)
{
	int result = -VDO_ENOTVDO;

	if (device != NULL && !s->format.force) {
		memset(p, 0, sizeof(*p));
		result = super_read(device, &p->geometry, &p->sb, error);
	}
	if (result != -VDO_ENOTVDO)
		return result;
	error_clear(error);
	return volume_plan_whole(device, s, p, error);
}

/* One that has the queues of the volume's own, but starts no threads. */
static int make_executor(const struct settings *s, struct executor **x)
{
	int result;

	if (s->open.executor == EXECUTOR_POOL)
		return executor_strand_create(&s->pool, s->pool_arg, x);
	result = executor_inline_create(x);
	if (result == 0 && s->open.executor == EXECUTOR_NATIVE)
		(*x)->thread_count = volume_thread_count(s);
	return result;
}

static uint64_t most(const struct volume_memory *m, enum memory_kind kind)
{
	return m->parts[kind].fixed + m->parts[kind].growth;
}

static void describe(const struct volume_memory *m, const struct plan *p,
		     struct vdo_estimate *e)
{
	struct vdo_plan plan;

	plan_describe(p, &plan);
	*e = (struct vdo_estimate){
		.memory_idle = memory_idle(m),
		.memory_most = memory_most(m),
		.memory_least = m->least,
		.requests = most(m, MEMORY_REQUESTS),
		.cache = most(m, MEMORY_CACHE),
		.counts = most(m, MEMORY_COUNTS),
		.blocks = most(m, MEMORY_BLOCKS),
		.index = most(m, MEMORY_INDEX),
		.map = most(m, MEMORY_MAP),
		.slabs = most(m, MEMORY_SLABS),
		.journal = most(m, MEMORY_JOURNAL),
		.threads = most(m, MEMORY_THREADS),
		.engine = most(m, MEMORY_ENGINE),
		.storage = plan.physical_blocks * BLOCK_SIZE,
		.data = plan.data_blocks * BLOCK_SIZE,
		.index_storage = plan.index_blocks * BLOCK_SIZE,
		.metadata = (plan.metadata_blocks + plan.block_map_blocks) *
			    BLOCK_SIZE,
		.logical = plan.logical_blocks * BLOCK_SIZE,
		.depth = m->depth,
	};
	VDO_ASSERT(e->memory_idle <= e->memory_most);
}

static void do_nothing(void *ctx, struct vdo_device_io *io)
{
	(void)ctx;
	(void)io;
	VDO_ASSERT(!"nothing is read or written");
}

/* What choices depend on: is it a file, and does it have all of its storage? */
static bool tell_space(void *ctx, uint64_t *free_bytes, uint64_t *taken_bytes)
{
	VDO_ASSERT(ctx != NULL);
	*free_bytes = 0;
	*taken_bytes = *(const uint64_t *)ctx;
	return true;
}

static const struct device_file_ops file_nowhere = {.space = tell_space};

/* As @device, or as the file that would be made; @taken: of its storage. */
static void resemble(struct vdo_device *nowhere, struct vdo_device *device,
		     uint64_t *taken)
{
	uint64_t free_bytes;

	*taken = 0;
	nowhere->ctx = taken;
	if (device == NULL || device->file != NULL) {
		/* It may be open for reading only now. */
		nowhere->file = &file_nowhere;
		nowhere->flags = VDO_DEVICE_CAN_DISCARD;
	}
	if (device == NULL)
		return;
	nowhere->immediate = device->immediate;
	nowhere->block_device = device->block_device;
	nowhere->flags |= device->flags & VDO_DEVICE_CAN_DISCARD;
	nowhere->size_bytes = MAX(nowhere->size_bytes, device->size_bytes);
	if (!device_space(device, &free_bytes, taken))
		*taken = 0;
}

static int measure(struct vdo_device *device, const struct settings *s,
		   const struct plan *p, struct vdo_estimate *e,
		   struct vdo_error *error)
{
	struct vdo_device nowhere = {
		.submit = do_nothing,
		.size_bytes = p->sb.physical_blocks * BLOCK_SIZE,
	};
	struct settings silent = *s;
	uint64_t taken;
	struct volume_memory memory;
	struct front *front = NULL;
	struct executor *x;
	int result = make_executor(s, &x);

	if (result != 0)
		return result;
	silent.log = (struct log){0};
	resemble(&nowhere, device, &taken);
	result = handle_create_front(x, s->open.depth, &front);
	if (result == 0)
		result = volume_measure(&nowhere, x, front, &silent,
					&p->geometry, &p->sb, &memory, error);
	if (result == 0)
		describe(&memory, p, e);
	front_destroy(front);
	if (s->open.executor == EXECUTOR_NATIVE)
		e->thread_count = x->thread_count;
	executor_destroy(x);
	return result;
}

static int estimate(struct vdo_device *device, const struct settings *s,
		    struct vdo_estimate *e, size_t size,
		    struct vdo_error *error)
{
	struct vdo_estimate whole = {0};
	struct plan p;
	int result = find_volume(device, s, &p, error);

	if (result == 0)
		result = measure(device, s, &p, &whole, error);
	if (result == 0)
		memcpy(e, &whole, MIN(size, sizeof(whole)));
	return result;
}

int vdo_estimate_device(struct vdo_device *device,
			const struct vdo_config *config,
			struct vdo_estimate *e, size_t size,
			struct vdo_error *error)
{
	struct settings s;
	int result = -EDEADLK;

	error_clear(error);
	if (device == NULL)
		return error_missing(error, "device");
	if (e == NULL)
		return error_missing(error, "estimate");
	if (queue_running == NULL)
		result = offline_look_at(device, config, &s, error);
	if (result == 0)
		result = estimate(device, &s, e, size, error);
	return error_finish(error, result);
}

int vdo_estimate(const char *path, const struct vdo_config *config,
		 struct vdo_estimate *e, size_t size, struct vdo_error *error)
{
	struct vdo_device *device = NULL;
	struct settings s;
	int result = -EDEADLK;

	error_clear(error);
	if (e == NULL)
		return error_missing(error, "estimate");
	if (queue_running == NULL)
		result = offline_look(path, config, &s, &device, error);
	if (result == 0)
		result = estimate(device, &s, e, size, error);
	vdo_device_close(device);
	return error_finish(error, result);
}
