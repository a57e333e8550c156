/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What formatting chooses, over all sizes: a larger file never holds less, and
 * all parts add up.
 */
#include "build.h"

#include "volume/plan.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "tests/lib/unit.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define B   UINT64_C(4096)

static struct vdo_error error;

static bool adds_up(const struct vdo_plan *p, uint64_t size)
{
	return p->physical_blocks == size / B &&
	       p->data_blocks + p->block_map_blocks + p->index_blocks +
			       p->metadata_blocks + p->unused_blocks ==
		       p->physical_blocks &&
	       p->unused_blocks < p->physical_blocks &&
	       p->data_blocks + p->block_map_blocks ==
		       p->slab_count * p->slab_data_blocks;
}

/* Of the format. */
static bool is_within_bounds(const struct vdo_plan *p)
{
	return p->slab_count >= 1 && p->slab_count <= 8192 &&
	       is_power_of_two(p->slab_blocks) &&
	       is_power_of_two(p->recovery_journal_blocks);
}

static bool look(const struct format_settings *f, uint64_t size, bool device,
		 struct vdo_plan *plan)
{
	struct plan p;
	int result = plan_make(&p, f, size, device, &error);

	memset(plan, 0, sizeof(*plan));
	if (result == -ENOSPC)
		return false;
	if (result != 0)
		ck_abort_msg("%llu: %s", (unsigned long long)size,
			     error.message);
	plan_describe(&p, plan);
	/* Each ck_assert() is a system call; there are many sizes. */
	if (!adds_up(plan, size) || !is_within_bounds(plan) ||
	    (f->logical_size_bytes == 0 &&
	     plan->logical_blocks != plan->data_blocks))
		ck_abort_msg("%llu bytes", (unsigned long long)size);
	return true;
}

static uint64_t at_size; /* the size that was met last */
static struct vdo_plan before;

static void step(const struct format_settings *f, uint64_t size)
{
	struct vdo_plan plan;

	look(f, size, false, &plan);
	if (plan.data_blocks < before.data_blocks)
		ck_abort_msg("%llu bytes hold %llu blocks, %llu only %llu",
			     (unsigned long long)at_size,
			     (unsigned long long)before.data_blocks,
			     (unsigned long long)size,
			     (unsigned long long)plan.data_blocks);
	at_size = size;
	before = plan;
}

/* Are these chosen the same way? */
static bool alike(const struct vdo_plan *a, const struct vdo_plan *b)
{
	return a->profile == b->profile && a->index_memory == b->index_memory &&
	       a->recovery_journal_blocks == b->recovery_journal_blocks &&
	       a->slab_blocks == b->slab_blocks &&
	       a->slab_count == b->slab_count;
}

/* The first size above @low that is not chosen as @low is; @high is not. */
static uint64_t threshold(const struct format_settings *f, uint64_t low,
			  uint64_t high)
{
	struct vdo_plan first, plan;

	look(f, low, false, &first);
	while (high - low > B) {
		uint64_t middle = (low + high) / 2 / B * B;

		look(f, middle, false, &plan);
		if (alike(&first, &plan))
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* To the next size, and to the block before and after what changes between. */
static void walk_to(const struct format_settings *f, uint64_t size)
{
	struct vdo_plan plan;
	uint64_t from = at_size;

	look(f, size, false, &plan);
	if (!alike(&before, &plan)) {
		uint64_t at = threshold(f, from, size);

		for (uint64_t s = at - B; s <= at + B; s += B)
			if (s > at_size && s < size)
				step(f, s);
	}
	step(f, size);
}

static void walk(const struct format_settings *f)
{
	memset(&before, 0, sizeof(before));
	at_size = MIB;
	/* Each block of the smallest, up to where eight slabs fit. */
	for (uint64_t s = 4 * MIB; s <= 40 * MIB; s += B)
		step(f, s);
	for (uint64_t s = 41 * MIB; s <= 16 * GIB; s += MIB)
		walk_to(f, s);
	for (uint64_t s = 16 * GIB + 32 * MIB; s <= TIB; s += 32 * MIB)
		walk_to(f, s);
	for (uint64_t s = TIB + GIB; s <= 64 * TIB; s += 7 * GIB)
		walk_to(f, s);
	for (uint64_t s = 64 * TIB + 500 * GIB; s <= 256 * TIB; s += TIB)
		walk_to(f, s);
}

static const struct format_settings walked[] = {
	{0},
	{.no_index = true},
	{.index_sparse = true},
	{.logical_size_bytes = TIB},
	{.profile = PROFILE_KERNEL},
};

START_TEST(larger_never_holds_less)
{
	walk(&walked[_i]);
}
END_TEST

/* What of a file is for data, in parts of a thousand, with their block map. */
static const struct {
	uint64_t size;
	unsigned least;
	const char *profile;
} shares[] = {
	{64 * MIB, 900, "small"},
	{8188 * MIB, 955, "small"},
	{8 * GIB, 955, "small"},
	{10 * GIB, 955, "small"},
	{100 * GIB, 970, "small"},
	{256 * GIB - B, 970, "small"},
	{256 * GIB, 980, "kernel"},
	{TIB, 990, "kernel"},
};

START_TEST(most_is_for_data)
{
	struct format_settings f = {0};
	struct vdo_plan plan;

	ck_assert(look(&f, shares[_i].size, false, &plan));
	ck_assert_uint_ge((plan.data_blocks + plan.block_map_blocks) * 1000 /
				  plan.physical_blocks,
			  shares[_i].least);
	ck_assert_str_eq(plan.profile, shares[_i].profile);
}
END_TEST

static void expect_kernel(const struct vdo_plan *plan)
{
	ck_assert_str_eq(plan->profile, "kernel");
	ck_assert_int_eq(plan->index_memory, -256);
	ck_assert_uint_eq(plan->index_blocks, 679127);
	ck_assert_uint_eq(plan->recovery_journal_blocks, 32768);
	ck_assert_uint_eq(plan->slab_journal_blocks, 224);
	ck_assert_uint_ge(plan->slab_blocks, 8192);
}

/* Who asks for the kernel's volume gets it, and block devices do. */
START_TEST(kernel_is_as_it_was)
{
	struct format_settings f = {0};
	struct vdo_plan plan;

	ck_assert(look(&f, 8 * GIB, true, &plan));
	expect_kernel(&plan);
	ck_assert(look(&f, 8 * GIB - B, true, &plan));
	ck_assert_str_eq(plan.profile, "small");
	f.profile = PROFILE_KERNEL;
	ck_assert(look(&f, 3 * GIB, false, &plan));
	expect_kernel(&plan);
	f = (struct format_settings){.index_memory = -256};
	ck_assert(look(&f, 4 * GIB, false, &plan));
	expect_kernel(&plan);
	/* V 12.3 */
	f = (struct format_settings){.profile = PROFILE_KERNEL,
				     .slab_bits = 13};
	ck_assert(look(&f, 20 * GIB, false, &plan));
	expect_kernel(&plan);
	ck_assert_uint_eq(plan.data_blocks, 4399593);
	ck_assert_uint_eq(plan.slab_count, 553);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("plan");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, larger_never_holds_less, 0,
			    ARRAY_SIZE(walked));
	tcase_add_loop_test(tc, most_is_for_data, 0, ARRAY_SIZE(shares));
	tcase_add_test(tc, kernel_is_as_it_was);
	return unit_run();
}
