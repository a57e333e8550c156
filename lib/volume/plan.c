/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the sizes of a new volume are chosen.
 *
 * The kernel profile is what the tools of the Linux driver make: an index of
 * 2.6 GiB, a recovery journal of 128 MiB, slabs of 2 GiB. That is most of a
 * volume of a few GiB. So files get the small profile until the kernel's costs
 * little; block devices, which Linux may serve as well, have always had the
 * kernel's from 8 GiB on.
 *
 * Small, with a volume of S blocks:
 *
 *	index      S/64 + 64 blocks; the kernel's smallest, when that takes
 *	           no more
 *	journal    a power of two that fits into a reserve, S/64 up to 8192 and
 *	           S/512 up to 32768; the rest of the reserve stays unused
 *	slabs      the largest size of which there are eight, 2^10 to 2^15 blocks
 *
 * Why a larger file never holds less: index and reserve grow by 1/32 of what
 * the file grows by, so what is left for slabs grows, too. A slab of twice the
 * size holds at least what two slabs hold, and it is chosen when an even
 * number of the smaller ones fits. Were the journal itself taken off, its next
 * power of two could cost a slab. From 256 GiB on a file gets what holds more of
 * the two: that is the kernel's, except that a sparse index for Linux has to be
 * 22 GiB, and that without an index the rest of a slab of 2 GiB counts.
 */
#include "build.h"

#include "volume/plan.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "format/layout.h"
#include "format/slab.h"
#include "index_format/geometry.h"

#define GIB_BLOCKS	     (UINT64_C(1) << 18)
#define SMALL_FILE_BLOCKS    (256 * GIB_BLOCKS)
#define SMALL_DEVICE_BLOCKS  (8 * GIB_BLOCKS)
#define KERNEL_MEMORY	     (-256)
#define KERNEL_JOURNAL	     UINT64_C(32768)
#define KERNEL_SLAB_JOURNAL  UINT64_C(224)

/* Which profile can be told by the options and the size? */
static bool may_be_small(const struct format_settings *f, uint64_t blocks,
			 bool block_device)
{
	if (f->profile != PROFILE_AUTO)
		return f->profile == PROFILE_SMALL;
	/* An index for Linux is for a volume for Linux. */
	if (index_geometry_kernel_blocks(f->index_memory, false) != 0)
		return false;
	return !block_device || blocks < SMALL_DEVICE_BLOCKS;
}

static bool may_be_kernel(const struct format_settings *f, uint64_t blocks,
			  bool block_device)
{
	return !may_be_small(f, blocks, block_device) ||
	       (f->profile == PROFILE_AUTO && blocks >= SMALL_FILE_BLOCKS);
}

static uint64_t small_index_blocks(uint64_t blocks)
{
	return div_up(blocks, 64) + 64;
}

static int32_t choose_memory(const struct layout_request *r, bool small)
{
	uint64_t gib = div_up(r->physical_blocks, GIB_BLOCKS);

	if (!small || small_index_blocks(r->physical_blocks) >=
			      index_geometry_kernel_blocks(KERNEL_MEMORY,
							   r->index_sparse))
		return KERNEL_MEMORY;
	return -(int32_t)MIN(MAX(gib, 2), 255);
}

static void choose_index(const struct format_settings *f, bool small,
			 struct layout_request *r)
{
	r->index_sparse = f->index_sparse;
	if (f->no_index)
		return;
	r->index_memory = f->index_memory;
	if (r->index_memory == 0)
		r->index_memory = choose_memory(r, small);
	r->index_blocks = index_geometry_kernel_blocks(r->index_memory,
						       r->index_sparse);
	if (r->index_blocks == 0) /* a code that Linux does not know */
		r->index_blocks = small_index_blocks(r->physical_blocks);
	VDO_ASSERT(r->index_memory != 0 && r->index_blocks > 0);
}

static void choose_journal(const struct format_settings *f, bool small,
			   struct layout_request *r)
{
	uint64_t reserve = KERNEL_JOURNAL;

	if (f->recovery_journal_blocks != 0)
		reserve = f->recovery_journal_blocks;
	else if (small)
		reserve = MAX(MIN(MAX(r->physical_blocks / 64, 64), 8192),
			      MIN(r->physical_blocks / 512, KERNEL_JOURNAL));
	VDO_ASSERT(reserve >= RECOVERY_JOURNAL_BLOCKS_MIN);
	r->recovery_journal_blocks = UINT64_C(1) << log2_floor(reserve);
	r->spare_blocks = reserve - r->recovery_journal_blocks;
	/* No larger one fits. */
	VDO_ASSERT(r->spare_blocks < r->recovery_journal_blocks);
}

/* A short journal for a short slab: 1/64 of it. */
static uint64_t slab_journal_for(const struct format_settings *f, bool small,
				 unsigned bits)
{
	uint64_t blocks = (UINT64_C(1) << bits) / 64;

	if (f->slab_journal_blocks != 0)
		return f->slab_journal_blocks;
	return small ? MIN(MAX(blocks, 16), KERNEL_SLAB_JOURNAL)
		     : KERNEL_SLAB_JOURNAL;
}

static void choose_slabs(const struct format_settings *f, bool small,
			 struct layout_request *r)
{
	uint64_t around = layout_around(r);
	uint64_t left = r->physical_blocks > around
				? r->physical_blocks - around : 0;
	unsigned least = small ? 10 : 13;
	unsigned wanted = small ? 8 : 4;

	r->slab_bits = f->slab_bits;
	if (r->slab_bits == 0) {
		r->slab_bits = small ? 15 : 19;
		while (r->slab_bits > least && left >> r->slab_bits < wanted)
			r->slab_bits--;
		while (r->slab_bits < SLAB_BITS_MAX &&
		       left >> r->slab_bits > SLABS_MAX)
			r->slab_bits++;
	}
	VDO_ASSERT(r->slab_bits <= SLAB_BITS_MAX);
	r->slab_journal_blocks = slab_journal_for(f, small, r->slab_bits);
}

static int lay_out(struct plan *p, const struct format_settings *f,
		   uint64_t blocks, bool small, struct vdo_error *error)
{
	struct layout_request r = {
		.physical_blocks = blocks,
		.logical_blocks = f->logical_size_bytes / BLOCK_SIZE,
	};
	uint64_t minimum = 0;
	const char *why = NULL;
	int result;

	memset(p, 0, sizeof(*p));
	p->small = small;
	choose_index(f, small, &r);
	choose_journal(f, small, &r);
	choose_slabs(f, small, &r);
	result = layout_compute(&r, &p->geometry, &p->sb, &minimum, &why);
	VDO_ASSERT(result != -ENOSPC || minimum > blocks);
	VDO_ASSERT(result != 0 || p->sb.physical_blocks == blocks);
	if (result == -ENOSPC)
		return error_set(error, result,
				 "a volume with these options needs at least "
				 "%llu MiB, but there are %llu; give it more, "
				 "or choose profile=small or smaller slabs",
				 (unsigned long long)div_up(minimum, 256),
				 (unsigned long long)(blocks >> 8));
	if (result != 0)
		return error_set(error, result, "these sizes do not work: %s",
				 why != NULL ? why : vdo_strerror(result));
	return 0;
}

static uint64_t slab_count(const struct plan *p)
{
	uint64_t blocks = p->sb.depot_last_block - p->sb.depot_first_block;

	VDO_ASSERT(blocks > 0 && blocks % p->sb.slab.slab_blocks == 0);
	return blocks / p->sb.slab.slab_blocks;
}

static uint64_t holds(const struct plan *p)
{
	return slab_count(p) * p->sb.slab.data_blocks;
}

int plan_make(struct plan *p, const struct format_settings *f,
	      uint64_t size_bytes, bool block_device, struct vdo_error *error)
{
	uint64_t blocks = size_bytes / BLOCK_SIZE;
	struct plan other;
	int result;

	VDO_ASSERT(size_bytes > 0 && size_bytes % BLOCK_SIZE == 0);
	if (!may_be_small(f, blocks, block_device))
		return lay_out(p, f, blocks, false, error);
	result = lay_out(p, f, blocks, true, error);
	if (may_be_kernel(f, blocks, block_device) &&
	    lay_out(&other, f, blocks, false, NULL) == 0 &&
	    (result != 0 || holds(&other) >= holds(p))) {
		*p = other;
		result = 0;
	}
	return result;
}

void plan_describe(const struct plan *p, struct vdo_plan *plan)
{
	const struct superblock *sb = &p->sb;
	const struct slab_config *c = &sb->slab;
	uint64_t slabs = slab_count(p);
	uint64_t used = c->data_blocks + c->reference_count_blocks +
			c->slab_journal_blocks;

	VDO_ASSERT(used <= c->slab_blocks);
	*plan = (struct vdo_plan){
		.profile = p->small ? "small" : "kernel",
		.physical_blocks = sb->physical_blocks,
		.logical_blocks = sb->logical_blocks,
		.index_blocks = p->geometry.data_start - 1,
		.index_memory = p->geometry.index_memory,
		.index_sparse = p->geometry.index_sparse,
		.recovery_journal_blocks = sb->recovery_journal_size,
		.slab_blocks = c->slab_blocks,
		.slab_count = slabs,
		.slab_data_blocks = c->data_blocks,
		.slab_journal_blocks = c->slab_journal_blocks,
		.reference_count_blocks = c->reference_count_blocks,
		.data_blocks =
			layout_default_logical_blocks(slabs, c->data_blocks),
		.metadata_blocks = 2 + ROOT_COUNT + sb->recovery_journal_size +
				   SUMMARY_BLOCKS +
				   slabs * (used - c->data_blocks),
	};
	VDO_ASSERT(plan->data_blocks <= slabs * c->data_blocks);
	plan->block_map_blocks = slabs * c->data_blocks - plan->data_blocks;
	plan->unused_blocks = plan->physical_blocks - plan->index_blocks -
			      plan->data_blocks - plan->block_map_blocks -
			      plan->metadata_blocks;
	/* If this wrapped, the parts would be more than the whole. */
	VDO_ASSERT(plan->unused_blocks < plan->physical_blocks);
}
