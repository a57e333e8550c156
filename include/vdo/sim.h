/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libvdo-sim: libvdo on simulated storage, for crash tests of programs that
 * stand on a volume.
 *
 * The library is libvdo itself, with all of its calls, and a simulator: storage
 * that loses power, tears, reorders and fails as a seed decides, and an executor
 * without threads that runs the volume's queues in an order that the seed
 * decides. So a run depends on its seed and on nothing else, and a failure can
 * be run again. Link to it instead of to libvdo (pkg-config libvdo-sim).
 *
 *	vdo_sim_new -> format vdo_sim_device() -> vdo_sim_open -> use, and
 *	vdo_sim_fail_power_at() in the midst of it -> vdo_abandon
 *	-> vdo_sim_restore_power -> vdo_sim_open -> is all there that was flushed?
 *
 * What survives a power failure: each block holds what it held at the last
 * flush, or any later write, or any mixture of these by sectors of 512 bytes.
 *
 * Threads: all calls, those to the volume too, come from the thread that made
 * the simulator. Memory: without it the program ends.
 */
#ifndef VDO_SIM_H
#define VDO_SIM_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_sim;

/* Storage that keeps every completed write: there is no cache to lose. */
#define VDO_SIM_NO_CACHE 1u

/*
 * Storage of @size_bytes, a multiple of 4096, all zeroes. 0, or -EINVAL for a
 * size or flags that cannot be.
 */
int vdo_sim_new(uint64_t seed, uint64_t size_bytes, unsigned flags,
		struct vdo_sim **sim);

/* No volume may be open any more. NULL is fine. */
void vdo_sim_free(struct vdo_sim *sim);

/*
 * The storage, to be formatted, inspected, checked. Operations end at once, in
 * the calling thread. To be closed by vdo_device_close(), after the volume or
 * the job that used it; while no volume is open.
 */
int vdo_sim_device(struct vdo_sim *sim, struct vdo_device **device);

/*
 * Open the volume, as vdo_open() does. All options of @config (NULL: defaults)
 * hold but "executor" and the number of threads; a pool is not used.
 *
 * The volume is to be closed by vdo_close() or vdo_abandon(): the latter after
 * a power failure, or to see what a killed process leaves. Time that a call
 * waits for passes in the simulation only.
 */
int vdo_sim_open(struct vdo_sim *sim, const struct vdo_config *config,
		 struct vdo_volume **volume, struct vdo_error *error);

/*
 * Let the power fail now; or when the @nth operation from now is handed to the
 * storage, which is then under way (1: the next one; 0: not any more). From then
 * on all operations end with -EIO, until the power is back.
 */
void vdo_sim_fail_power(struct vdo_sim *sim);
void vdo_sim_fail_power_at(struct vdo_sim *sim, uint64_t nth);

/* 1: there is power; 0: it has failed. */
int vdo_sim_power(struct vdo_sim *sim);

/* The volume that was open has been abandoned. */
void vdo_sim_restore_power(struct vdo_sim *sim);

/* How many operations the storage was handed so far: what the number of
 * vdo_sim_fail_power_at() is to be chosen by. */
uint64_t vdo_sim_operations(struct vdo_sim *sim);

/*
 * Let operations of the kind @op fail with @result (-EIO, ...): after @skip of
 * them that still succeed, @times of them (0: all). There can be 8 such rules
 * until they are dropped, then -ENOSPC; -EINVAL for what is no kind or no error.
 */
int vdo_sim_fail_io(struct vdo_sim *sim, enum vdo_device_op op, uint64_t skip,
		    uint64_t times, int result);

/* Drop all of these rules. */
void vdo_sim_heal_io(struct vdo_sim *sim);

/* The next number of the seed's sequence, below @limit, which is not 0; so that
 * what the program does depends on the seed, too. */
uint64_t vdo_sim_random(struct vdo_sim *sim, uint64_t limit);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
