/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The public face of the simulator: <vdo/sim.h> over sim_device.h and
 * sim_exec.h. It is linked with all of the engine to a library of its own, so
 * that libvdo itself carries nothing for tests.
 */
#include "build.h"

#include <vdo/sim.h>

#include <errno.h>
#include <stdlib.h>

#include "api/handle.h"
#include "api/host_config.h"
#include "format/types.h"
#include "tests/lib/pattern.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/sim_exec.h"

struct vdo_sim {
	struct sim_device *sd;
	uint64_t random;
	unsigned fault_count;
};

int vdo_sim_new(uint64_t seed, uint64_t size_bytes, unsigned flags,
		struct vdo_sim **sim)
{
	struct sim_device_config c = {
		.seed = seed,
		.block_count = size_bytes / BLOCK_SIZE,
		.volatile_cache = (flags & VDO_SIM_NO_CACHE) == 0,
	};

	if (sim == NULL)
		return -EINVAL;
	*sim = NULL;
	if (size_bytes == 0 || size_bytes % BLOCK_SIZE != 0 ||
	    (flags & ~VDO_SIM_NO_CACHE) != 0)
		return -EINVAL;
	*sim = calloc(1, sizeof(**sim));
	if (*sim == NULL)
		abort();
	(*sim)->sd = sim_device_create(&c);
	(*sim)->random = seed;
	return 0;
}

void vdo_sim_free(struct vdo_sim *sim)
{
	if (sim == NULL)
		return;
	sim_device_destroy(sim->sd);
	free(sim);
}

int vdo_sim_device(struct vdo_sim *sim, struct vdo_device **device)
{
	if (sim == NULL || device == NULL)
		return -EINVAL;
	*device = sim_device_open(sim->sd, NULL);
	return 0;
}

int vdo_sim_open(struct vdo_sim *sim, const struct vdo_config *config,
		 struct vdo_volume **volume, struct vdo_error *error)
{
	struct vdo_device *device;
	struct executor *x;
	struct settings s;
	int result;

	if (sim == NULL || volume == NULL)
		return -EINVAL;
	*volume = NULL;
	result = host_config_apply(config, &s, error);
	if (result != 0)
		return result;
	/* One thread runs all: the zones are those of the inline executor. */
	s.open.executor = EXECUTOR_INLINE;
	x = sim_executor_create(vdo_sim_random(sim, UINT64_MAX));
	device = sim_device_open(sim->sd, x);
	result = handle_open(device, x, &s, volume, error);
	if (result != 0)
		vdo_device_close(device);
	else
		(*volume)->own_device = device;
	return result;
}

void vdo_sim_fail_power(struct vdo_sim *sim)
{
	if (sim != NULL)
		sim_device_crash(sim->sd);
}

void vdo_sim_fail_power_at(struct vdo_sim *sim, uint64_t nth)
{
	if (sim != NULL)
		sim_device_crash_at(sim->sd, nth);
}

int vdo_sim_power(struct vdo_sim *sim)
{
	return sim != NULL && !sim_device_crashed(sim->sd);
}

void vdo_sim_restore_power(struct vdo_sim *sim)
{
	if (sim != NULL && sim_device_crashed(sim->sd))
		vdo_device_close(sim_device_reopen(sim->sd, NULL));
}

uint64_t vdo_sim_operations(struct vdo_sim *sim)
{
	uint64_t n = 0;

	if (sim == NULL)
		return 0;
	for (unsigned op = VDO_DEVICE_READ; op <= VDO_DEVICE_DISCARD; op++)
		n += sim_device_count(sim->sd, (enum vdo_device_op)op);
	return n;
}

int vdo_sim_fail_io(struct vdo_sim *sim, enum vdo_device_op op, uint64_t skip,
		    uint64_t times, int result)
{
	struct sim_fault fault = {
		.ops = SIM_OP(op),
		.skip = skip,
		.times = times,
		.result = result,
	};

	if (sim == NULL || (unsigned)op > VDO_DEVICE_DISCARD || result >= 0)
		return -EINVAL;
	if (sim->fault_count == SIM_FAULTS_MAX)
		return -ENOSPC;
	sim->fault_count++;
	sim_device_fault(sim->sd, &fault);
	return 0;
}

void vdo_sim_heal_io(struct vdo_sim *sim)
{
	if (sim == NULL)
		return;
	sim_device_clear_faults(sim->sd);
	sim->fault_count = 0;
}

uint64_t vdo_sim_random(struct vdo_sim *sim, uint64_t limit)
{
	return sim != NULL && limit > 0 ? pattern_random(&sim->random, limit)
					: 0;
}
