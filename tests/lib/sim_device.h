/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device of the tests: memory that loses power, fails, rots and waits, as
 * a seed and the test decide.
 *
 * A sim_device is the storage itself and survives crashes; sim_device_open()
 * plugs it in, as often as wanted, under one volume at a time. With a sim
 * executor operations take a random virtual time and overtake each other; with
 * NULL they are over when submit returns, on any thread.
 *
 * Invariants
 *  (1) With a volatile cache a completed write is durable once a flush that
 *      was submitted after its completion has completed, or if it had FUA and
 *      FUA keeps its word; without one, when it completes.
 *  (2) At a crash each 4 KiB block takes its writes that are not durable, also
 *      those under way, in any order; each is kept, dropped, or torn by sectors
 *      of 512 bytes: at random, or all but one block, or all but those of some
 *      kinds, or all since some time; or one is torn, and all others are kept.
 *      A durable write is never undone by an older one.
 *      Part of what a flush that fails should have covered is lost for good:
 *      reads find it until the crash.
 *      A discard is a write of zeroes, but reads may find what was there before
 *      until the crash, or for good.
 *  (3) After a crash all I/O through devices opened before it fails with -EIO
 *      and changes nothing.
 *  (4) Where only the process dies, each block of the writes that are under way
 *      is written or not, and what was written stays readable. None of it is
 *      durable that was not.
 *  (5) Same seed, same calls: same results.
 *
 * Runs on: any thread, except with a sim executor.
 * Lifetime: sim_device_destroy() comes after the executors it was opened with
 * are gone. Devices that were not closed by then (of a volume that was simply
 * forgotten after a crash) are freed with it.
 */
#ifndef TESTS_SIM_DEVICE_H
#define TESTS_SIM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/device.h>

struct executor;
struct sim_device;

struct sim_device_config {
	uint64_t seed;
	uint64_t block_count;
	bool volatile_cache;
	bool fua_lies; /* FUA is accepted, and does nothing */
	bool no_discard;
	bool read_only;
	uint64_t delay_max_ns; /* of an operation; 0: 200 us */
	unsigned flush_factor; /* so many times as long for flushes; 0: 1 */
	unsigned late_percent; /* of all others take up to 20 times as long */
};

/* These abort without memory. */
struct sim_device *sim_device_create(const struct sim_device_config *config);
void sim_device_destroy(struct sim_device *sd);

struct vdo_device *sim_device_open(struct sim_device *sd,
				   struct executor *sim);

/* Lose power now, or when the @nth operation from now is submitted (which is
 * then under way; 1: the next one; 0: not any more). */
void sim_device_crash(struct sim_device *sd);
void sim_device_crash_at(struct sim_device *sd, uint64_t nth);
bool sim_device_crashed(const struct sim_device *sd);

/* It crashed at the same moment, but took other blocks with it. */
void sim_device_crash_otherwise(struct sim_device *sd);

/* At most ends of crashes to come, this block is kept, lost or torn, and all the
 * others have a fate in common, or those of a kind: so it shows which of them had
 * to be durable before it, or after. SIM_NO_FOCUS, and again after a crash: none.
 */
#define SIM_NO_FOCUS UINT64_MAX

void sim_device_focus(struct sim_device *sd, uint64_t block);

/* What if it crashed now? Peeks show what would be left, until it did not happen.
 * No operation may come meanwhile. */
void sim_device_pretend_crash(struct sim_device *sd);
void sim_device_did_not_crash(struct sim_device *sd);

/* A crash from now on is that of the process alone: the storage keeps power. */
void sim_device_kill_only(struct sim_device *sd, bool kill);

/* Kinds of blocks, below SIM_KINDS, for crashes that lose all of some kinds, or
 * all others: given is what was written last. NULL: there are none. */
#define SIM_KINDS 16u

typedef unsigned (*sim_kind_fn)(void *arg, uint64_t block, const void *bytes);

void sim_device_kinds(struct sim_device *sd, sim_kind_fn kind, void *arg);

/* From now on a write that begins with a block of kind i takes up to max_ns[i];
 * 0: as long as others. */
void sim_device_delays(struct sim_device *sd,
		       const uint64_t max_ns[SIM_KINDS]);

/* Power is back: what survived, through a new device. */
struct vdo_device *sim_device_reopen(struct sim_device *sd,
				     struct executor *sim);

/* Failures. Sets of operations: SIM_OP(VDO_DEVICE_READ) | ... */
#define SIM_OP(op)  (1u << (op))
#define SIM_OPS_ALL 0xfu

struct sim_fault {
	unsigned ops;
	uint64_t first_block; /* not for flushes */
	uint64_t block_count; /* 0: anywhere */
	uint64_t skip;        /* matching operations that still succeed */
	uint64_t times;       /* that fail then; 0: all */
	int result;           /* 0: -EIO */
	bool heals;           /* with a write there, as on a disk */
};

#define SIM_FAULTS_MAX 8

void sim_device_fault(struct sim_device *sd, const struct sim_fault *fault);
void sim_device_clear_faults(struct sim_device *sd);

/* Flip the bits of @mask in @n bytes, in what reads see; durable. */
void sim_device_rot(struct sim_device *sd, uint64_t offset, size_t n,
		    uint8_t mask);

/*
 * Hold back operations for which @match is true (NULL: none) as they are
 * submitted; it may look at the device. Those held already stay so until sim_device_release(), which lets
 * them all go but goes on holding new ones.
 */
typedef bool (*sim_match_fn)(void *arg, const struct vdo_device_io *io);

void sim_device_hold(struct sim_device *sd, sim_match_fn match, void *arg);
void sim_device_release(struct sim_device *sd);
uint64_t sim_device_held(struct sim_device *sd);

/* Look at and change blocks behind everybody's back. Peek shows what a read
 * would, peek_durable what is safe from a crash; poke sets both. */
void sim_device_peek(struct sim_device *sd, uint64_t block, void *buf);
void sim_device_peek_durable(struct sim_device *sd, uint64_t block, void *buf);
void sim_device_poke(struct sim_device *sd, uint64_t block, const void *buf);

/* What a peek would copy, where it is, until something happens to the device.
 * Two looks at a block that find the same stamp find the same bytes. Nothing is
 * locked. */
const void *sim_device_look(struct sim_device *sd, uint64_t block,
			    uint64_t *stamp);

/* All contents, of a device that has no power or nothing in its cache; and them
 * again, whatever happened meanwhile. The memory of @old, or NULL, is used again.
 * Free it in the end. */
struct sim_saved;

struct sim_saved *sim_device_save(struct sim_device *sd,
				  struct sim_saved *old);
void sim_device_restore(struct sim_device *sd, const struct sim_saved *saved);

/* Whoever opens it from now on finds so many blocks; 0: all. */
void sim_device_cut(struct sim_device *sd, uint64_t block_count);

/* Operations submitted so far, and those of them that failed by order. */
uint64_t sim_device_count(struct sim_device *sd, enum vdo_device_op op);
uint64_t sim_device_count_failed(struct sim_device *sd, enum vdo_device_op op);
uint64_t sim_device_count_fua(struct sim_device *sd);

/* All that was written is durable, as if time had passed. */
void sim_device_settle(struct sim_device *sd);

/* Writes that have completed, and how many of them a completed flush covers. */
uint64_t sim_device_written(struct sim_device *sd);
uint64_t sim_device_settled(struct sim_device *sd);

/* Operations submitted since the last crash and not completed, also held. */
uint64_t sim_device_pending(struct sim_device *sd);

#endif
