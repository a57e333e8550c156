/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the storage does to a volume: power failures at chosen moments, errors,
 * and bits that flip while nobody looks.
 */
#include "build.h"

#include "tests/sim/sim.h"

#include "format/mapping.h"

/* ------------------------------------------------------------------- errors */

/* One kind, from somewhere on. */
static void set_errors(struct run *r)
{
	static const unsigned ops[] = {
		SIM_OP(VDO_DEVICE_READ), SIM_OP(VDO_DEVICE_READ),
		SIM_OP(VDO_DEVICE_WRITE), SIM_OP(VDO_DEVICE_FLUSH)};
	struct sim_fault fault = {
		.ops = CHOOSE(r, ops),
		.skip = any_size(r, 9) - 1,
		.times = percent(r, 50) ? 1 : dice(r, 20),
	};

	r->faulty = true;
	r->lossy = true; /* an unreadable map page is enough */
	say(r, "  faults of %x after %" PRIu64, fault.ops, fault.skip);
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

static bool is_page(struct run *r, const struct vdo_device_io *io, pbn_t pbn)
{
	return io->length == BLOCK_SIZE && io->iov[0].iov_len == BLOCK_SIZE &&
	       mapping_page_check(io->iov[0].iov_base, r->nonce, pbn) !=
		       MAP_PAGE_BAD;
}

/* Called with each operation of the storage. */
static bool watch(void *arg, const struct vdo_device_io *io)
{
	struct run *r = arg;
	pbn_t pbn = io->offset / BLOCK_SIZE;

	check_read_only(r, io);
	if (io->op != VDO_DEVICE_WRITE || r->trap_in == 0 ||
	    pbn < r->trap_first || pbn > r->trap_last ||
	    (r->trap_pages && !is_page(r, io, pbn)))
		return false;
	if (--r->trap_in == 0)
		r->trap_sprung = true;
	return false;
}

static void trap_at(struct run *r, pbn_t first, uint64_t count)
{
	r->trap_first = first;
	r->trap_last = first + count - 1;
}

/* All of a slab, or its counts, or its journal. */
enum slab_part { WHOLE_SLAB, COUNTS, SLAB_JOURNAL };

static void trap_in_slab(struct run *r, const struct image *im,
			 enum slab_part part)
{
	uint64_t slab = dice(r, im->slabs.slab_count);
	uint64_t counts = im->sb.slab.reference_count_blocks;
	pbn_t start;

	if (percent(r, 70))
		slab = dice(r, MIN(im->slabs.slab_count, 3));
	start = slab_start(&im->slabs, slab) - im->geometry.bio_offset;
	if (part == WHOLE_SLAB)
		trap_at(r, start, im->sb.slab.slab_blocks);
	else if (part == COUNTS)
		trap_at(r, start + im->slabs.data_blocks, counts);
	else
		trap_at(r, start + im->slabs.data_blocks + counts,
			im->sb.slab.slab_journal_blocks);
}

static void trap_in_partition(struct run *r, const struct image *im,
			      unsigned id)
{
	const struct partition *p = &im->sb.partitions[id];

	trap_at(r, p->start - im->geometry.bio_offset, p->count);
}

static void set_trap(struct run *r)
{
	struct image im;

	image_open_sim(&im, r->sd, r->block_count);
	r->trap_pages = false;
	switch (dice(r, 10)) {
	case 0:
	case 1:
		trap_in_partition(r, &im, PARTITION_SUMMARY);
		break;
	case 2:
		trap_in_partition(r, &im, PARTITION_JOURNAL);
		break;
	case 3:
	case 4:
		trap_at(r, 0, r->block_count);
		r->trap_pages = true;
		break;
	case 5:
		trap_in_slab(r, &im, WHOLE_SLAB);
		break;
	case 6:
	case 7:
		trap_in_slab(r, &im, COUNTS);
		break;
	default:
		trap_in_slab(r, &im, SLAB_JOURNAL);
		break;
	}
	image_close(&im);
	r->trap_in = any_size(r, r->is_long || r->tight ? 6 : 3);
	r->trap_sprung = false;
	say(r, "  trap %" PRIu64 "..%" PRIu64 " after %" PRIu64,
	    r->trap_first, r->trap_last, r->trap_in);
}

void fault_spring(struct run *r)
{
	if (!r->trap_sprung)
		return;
	r->trap_sprung = false;
	if (!sim_device_crashed(r->sd))
		sim_device_crash_at(r->sd, any_size(r, 3));
}

/* ------------------------------------------------------------------ together */

void fault_arm(struct run *r)
{
	uint64_t what = dice(r, 100);

	sim_device_hold(r->sd, watch, r);
	r->trap_in = 0;
	if (what < 60)
		set_trap(r);
	else if (what < 75)
		sim_device_crash_at(r->sd, any_size(r, r->is_long ? 14 : 11));
	else if (what < 82)
		set_errors(r);
}

void fault_disarm(struct run *r)
{
	r->trap_in = 0;
	r->trap_sprung = false;
}

/* ---------------------------------------------------------------------- rot */

/*
 * A bit flips in a volume that is closed: where checksums or redundancy find
 * it, where nothing is read any more, or where it cannot change what mappings
 * say. (Entries of the block map have no redundancy.)
 */
void fault_rot(struct run *r)
{
	struct image im;
	pbn_t at;

	image_open_sim(&im, r->sd, r->block_count);
	switch (dice(r, 5)) {
	case 0:
		at = 0; /* the geometry */
		break;
	case 1:
		at = r->super_block;
		break;
	case 2:
		trap_in_partition(r, &im, PARTITION_JOURNAL);
		at = r->trap_first + dice(r, r->trap_last - r->trap_first + 1);
		break;
	case 3:
		trap_in_partition(r, &im, PARTITION_SUMMARY);
		at = r->trap_first;
		break;
	default:
		at = slab_start(&im.slabs, dice(r, im.slabs.slab_count)) -
		     im.geometry.bio_offset + im.slabs.data_blocks;
		at += dice(r, im.sb.slab.reference_count_blocks +
				      im.sb.slab.slab_journal_blocks);
		break;
	}
	image_close(&im);
	r->rotten = true;
	say(r, "  block %" PRIu64 " rots", at);
	sim_device_rot(r->sd, at * BLOCK_SIZE + dice(r, percent(r, 50) ? 200
							: BLOCK_SIZE),
		       1, (uint8_t)(1u << dice(r, 8)));
}
