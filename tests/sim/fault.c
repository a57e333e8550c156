/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the storage does to a volume: power failures at chosen moments, errors,
 * and bits that flip while nobody looks.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include <errno.h>

/* ------------------------------------------------------------------- errors */

/* One kind, from somewhere on. */
void fault_errors(struct run *r)
{
	static const unsigned ops[] = {
		SIM_OP(VDO_DEVICE_READ), SIM_OP(VDO_DEVICE_READ),
		SIM_OP(VDO_DEVICE_WRITE), SIM_OP(VDO_DEVICE_FLUSH)};
	struct sim_fault fault = {
		.ops = CHOOSE(r, ops),
		.skip = any_size(r, 9) - 1,
		.times = percent(r, 50) ? 1 : dice(r, 20),
	};

	sim_device_kill_only(r->sd, false);
	r->killed = false;
	r->faulty = true;
	r->lossy = true; /* an unreadable map page is enough */
	say(r, "  faults of %x after %" PRIu64, fault.ops, fault.skip);
	sim_device_fault(r->sd, &fault);
}

/* Space is not taken back any more, which is no harm. */
void fault_discards(struct run *r)
{
	struct sim_fault fault = {
		.ops = SIM_OP(VDO_DEVICE_DISCARD),
		.skip = any_size(r, 5) - 1,
		.result = percent(r, 50) ? -EIO : -EOPNOTSUPP,
	};

	say(r, "  discards fail after %" PRIu64, fault.skip);
	sim_device_fault(r->sd, &fault);
}

/* -------------------------------------------------------------------- traps */

/* In read-only mode nothing is written but the super block, once (I42). */
static void check_read_only(struct run *r, const struct vdo_device_io *io)
{
	pbn_t pbn = io->offset / BLOCK_SIZE;

	if (io->op == VDO_DEVICE_READ || !run_read_only(r))
		return;
	if (io->op != VDO_DEVICE_WRITE || pbn != r->super_block ||
	    r->super_written)
		die(r, "operation %d of block %" PRIu64 " in read-only mode",
		    (int)io->op, pbn);
	r->super_written = true;
}

static bool is_trapped(struct run *r, uint64_t block, enum kind kind)
{
	return kind == r->trap_kind &&
	       (r->trap_slab == UINT64_MAX ||
		kinds_slab_of(r, block) == r->trap_slab);
}

/* Is this write one at which power failures are tried out? */
static bool is_probed(struct run *r, enum kind kind)
{
	unsigned chance = 2;

	if (r->rotten || kind == KIND_DATA || kind == KIND_OTHER)
		return false;
	if (r->opening)
		chance = r->unsure ? 50 : 15;
	else if (kind == KIND_SUMMARY || kind >= KIND_COUNTS)
		chance = r->deep ? 40 : kind == KIND_COUNTS ? 30 : 10;
	else if (kind == KIND_PAGE)
		chance = !r->sparse ? 4 : r->fua_lies ? 40 : 10;
	return percent(r, chance);
}

static void note_write(struct run *r, uint64_t block, const void *data)
{
	enum kind kind = kinds_of(r, block, data);

	if (is_probed(r, kind))
		check_if_crashed(r, block);
	if (r->trap_in == 0 || !is_trapped(r, block, kind))
		return;
	if (--r->trap_in > 0)
		return;
	r->trap_sprung = true;
	say(r, "  trap sprung at block %" PRIu64 " of kind %d", block, (int)kind);
	if (percent(r, 80))
		sim_device_focus(r->sd, block);
}

/* Called with each operation of the storage. Neighbours that are written as one
 * have a vector each. */
static bool watch(void *arg, const struct vdo_device_io *io)
{
	struct run *r = arg;
	uint64_t block = io->offset / BLOCK_SIZE;

	check_read_only(r, io);
	if (io->op != VDO_DEVICE_WRITE || sim_device_crashed(r->sd))
		return false;
	for (unsigned i = 0; i < io->iov_count; i++) {
		if (io->iov[i].iov_len >= BLOCK_SIZE)
			note_write(r, block, io->iov[i].iov_base);
		block += io->iov[i].iov_len / BLOCK_SIZE;
	}
	return false;
}

void fault_watch(struct run *r)
{
	sim_device_hold(r->sd, watch, r);
}

/* After some writes of a kind, in any slab or in one. */
static void set_trap(struct run *r)
{
	static const enum kind kinds[] = {
		KIND_SUMMARY, KIND_SUMMARY,	 KIND_JOURNAL,
		KIND_JOURNAL, KIND_PAGE,	 KIND_PAGE,
		KIND_DATA,    KIND_COUNTS,	 KIND_COUNTS,
		KIND_COUNTS,  KIND_SLAB_JOURNAL, KIND_SLAB_JOURNAL,
	};
	static const enum kind deep_kinds[] = {
		KIND_SUMMARY, KIND_COUNTS, KIND_SLAB_JOURNAL};

	r->trap_kind = r->deep ? CHOOSE(r, deep_kinds) : CHOOSE(r, kinds);
	if (r->sparse && percent(r, 40))
		r->trap_kind = KIND_PAGE;
	if (!r->deep && percent(r, r->killed ? 90 : r->wide ? 60 : 0))
		r->trap_kind = KIND_JOURNAL;
	r->trap_slab = UINT64_MAX;
	if (r->trap_kind >= KIND_COUNTS && percent(r, 50))
		r->trap_slab = dice(r, MIN(r->slabs.slab_count, 3));
	r->trap_in = r->deep ? 1 + dice(r, r->late ? 30 : 12)
			     : any_size(r, r->is_long || r->tight ? 6 : 3);
	r->trap_sprung = false;
	say(r, "  trap at kind %d after %" PRIu64, (int)r->trap_kind,
	    r->trap_in);
}

void fault_spring(struct run *r)
{
	if (!r->trap_sprung)
		return;
	r->trap_sprung = false;
	if (sim_device_crashed(r->sd))
		return;
	/* Where journals are full, entries still get into the other one. */
	if (percent(r, r->deep ? 50 : 70))
		sim_device_crash(r->sd);
	else
		sim_device_crash_at(r->sd, any_size(r, r->deep ? 6 : 3));
}

void fault_kept(struct run *r)
{
	if (r->trap_flush_in != 0 && --r->trap_flush_in == 0)
		sim_device_crash(r->sd);
}

/* ------------------------------------------------------------------ together */

void fault_arm(struct run *r)
{
	uint64_t what = dice(r, 100);

	r->trap_in = 0;
	r->trap_flush_in = 0;
	r->careful = false;
	if (r->wide && !r->deep && percent(r, 40)) {
		r->trap_flush_in = any_size(r, 5);
	} else if (what < (r->deep || r->killed ? 75 : 50)) {
		set_trap(r);
	} else if (what < 64) {
		r->careful = percent(r, 70);
		r->trap_flush_in = r->careful ? 4 + dice(r, 20)
					      : any_size(r, 5);
	} else if (what < 75) {
		sim_device_crash_at(r->sd, any_size(r, r->is_long ? 14 : 11));
	} else if (what < 87) {
		fault_errors(r);
	} else if (what < 90) {
		fault_discards(r);
	}
}

void fault_disarm(struct run *r)
{
	r->trap_in = 0;
	r->trap_flush_in = 0;
	r->trap_sprung = false;
}

/* ---------------------------------------------------------------------- rot */

static uint64_t block_of_partition(struct run *r, unsigned id)
{
	const struct partition *p = &r->layout.partitions[id];

	return p->start - r->bio_offset + dice(r, p->count);
}

/*
 * A bit flips in a volume that is not open: where checksums or redundancy find
 * it, where nothing is read any more, or where it cannot change what mappings
 * say. (Entries of the block map have no redundancy.)
 */
bool fault_rot(struct run *r)
{
	uint64_t part = dice(r, 5), slab;
	pbn_t at;

	switch (part) {
	case 0:
		at = 0; /* the geometry */
		break;
	case 1:
		at = r->super_block;
		break;
	case 2:
		at = block_of_partition(r, PARTITION_JOURNAL);
		break;
	case 3:
		at = r->layout.partitions[PARTITION_SUMMARY].start -
		     r->bio_offset;
		break;
	default:
		slab = dice(r, r->slabs.slab_count);
		at = slab_start(&r->slabs, slab) - r->bio_offset +
		     r->slabs.data_blocks +
		     dice(r, r->layout.slab.reference_count_blocks +
				     r->layout.slab.slab_journal_blocks);
		break;
	}
	r->rotten = true;
	say(r, "  block %" PRIu64 " rots", at);
	sim_device_rot(r->sd, at * BLOCK_SIZE + dice(r, percent(r, 50) ? 200
							: BLOCK_SIZE),
		       1, (uint8_t)(1u << dice(r, 8)));
	return part == 2;
}
