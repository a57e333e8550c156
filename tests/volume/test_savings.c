/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is told of savings, against a count of what the image holds that is made
 * here: mapping by mapping, block by block, sorted rather than hashed.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "check/savings_priv.h"
#include "format/fragment.h"
#include "format/mapping.h"
#include "format/slab.h"
#include "io/device.h"
#include "tests/lib/fixture.h"
#include "tests/lib/image.h"

#define B BLOCK_SIZE

static struct vdo_error error;

static unsigned long fail_at; /* the allocation that fails; 0: none */

static int try_savings(struct fixture *f, const struct vdo_savings_range *range,
		       unsigned flags, struct vdo_savings *s)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device = sim_device_open(f->sd, NULL);
	struct vdo_job_progress p;
	struct vdo_job *job = NULL;
	int r;

	alloc_fail_at(fail_at);
	r = vdo_savings_device(device, c, range, flags, &job, &error);
	if (r == 0) {
		ck_assert_int_eq(vdo_savings_get(job, s, sizeof(*s)), -EAGAIN);
		r = vdo_job_wait(job, -1, &error);
	}
	alloc_fail_at(0);
	if (r == 0) {
		ck_assert_int_eq(vdo_savings_get(job, s, sizeof(*s)), 0);
		vdo_job_progress(job, &p, sizeof(p));
		ck_assert(p.over && p.done == p.total);
	}
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	return r;
}

/* ------------------------------------------------------------ what must add up */

static uint64_t sum(const uint64_t *n, size_t count)
{
	uint64_t all = 0;

	for (size_t i = 0; i < count; i++)
		all += n[i];
	return all;
}

static void expect_sums(const struct vdo_savings *s)
{
	uint64_t fragments = 0;

	ck_assert_uint_eq(s->overhead_blocks + s->block_map_blocks +
				  s->data_blocks + s->free_blocks,
			  s->physical_blocks);
	ck_assert_uint_eq(s->unmapped + s->zero + s->uncompressed +
				  s->compressed,
			  s->logical_blocks);
	ck_assert_uint_eq(s->saved_by_deduplication + s->saved_by_compression +
				  s->stored_blocks,
			  s->uncompressed + s->compressed);
	ck_assert_uint_eq(s->distinct_uncompressed + s->compressed_blocks,
			  s->stored_blocks);
	ck_assert_uint_eq(sum(s->references, ARRAY_SIZE(s->references)),
			  s->stored_blocks);
	ck_assert_uint_eq(s->references[0] + s->fragments[0], 0);
	ck_assert_uint_eq(sum(s->fragments, ARRAY_SIZE(s->fragments)),
			  s->compressed_blocks);
	for (unsigned i = 1; i <= FRAGMENTS_MAX; i++)
		fragments += i * s->fragments[i];
	ck_assert_uint_eq(fragments, s->distinct_compressed);
	ck_assert_uint_le(s->exclusive_blocks, s->stored_blocks);
	ck_assert_uint_eq(s->top_count, MIN(s->stored_blocks, VDO_SAVINGS_TOP));
	ck_assert_uint_eq(sum(&s->why[0][0],
			      VDO_SAVINGS_COPIES * VDO_SAVINGS_FORMS) +
				  s->untold,
			  s->has_why ? s->distinct_uncompressed +
						s->distinct_compressed
				     : 0);
}

/* -------------------------------------------------------------- another count */

/* A content, as it is found by going through all mappings. */
struct content {
	pbn_t pbn;
	uint8_t state;
	bool own, whole, squeezes;
	unsigned mappings, own_mappings;
	uint64_t name; /* of 4096 bytes: that tests write few will do */
};

struct counted {
	struct content *list;
	size_t count;
	uint64_t zero, uncompressed, compressed;
	uint64_t references[1 << 16], own_references[1 << 16]; /* by PBN */
};

static int by_place(const void *a, const void *b)
{
	const struct content *x = a, *y = b;

	if (x->pbn != y->pbn)
		return x->pbn < y->pbn ? -1 : 1;
	return (int)x->state - (int)y->state;
}

static int by_name(const void *a, const void *b)
{
	const struct content *x = a, *y = b;

	if (x->name != y->name)
		return x->name < y->name ? -1 : 1;
	return by_place(a, b);
}

static uint64_t name_of(const uint8_t *data)
{
	uint64_t name = 0;

	for (size_t i = 0; i < B; i += 8)
		name = (name ^ get_u64(data + i)) * 0x9e3779b97f4a7c15u + i;
	return name;
}

/* Each mapping once; then those of the same content become one. */
static void count_contents(struct counted *c)
{
	size_t n = 0;

	qsort(c->list, c->count, sizeof(*c->list), by_place);
	for (size_t i = 0; i < c->count; i++) {
		struct content *last = n > 0 ? &c->list[n - 1] : NULL;

		if (last != NULL && by_place(last, &c->list[i]) == 0) {
			last->mappings++;
			last->own_mappings += c->list[i].own_mappings;
			last->own |= c->list[i].own;
		} else {
			c->list[n++] = c->list[i];
		}
	}
	c->count = n;
}

static struct counted *count_image(struct fixture *f, uint64_t first,
				   uint64_t count)
{
	struct counted *c = calloc(1, sizeof(*c));
	uint8_t data[B];
	struct image im;

	ck_assert_ptr_nonnull(c);
	image_open_sim(&im, f->sd, f->block_count);
	if (im.sb.state != VOLUME_CLEAN)
		image_recover(&im);
	c->list = calloc(f->logical_blocks, sizeof(*c->list));
	for (uint64_t lbn = 0; lbn < f->logical_blocks; lbn++) {
		struct mapping m = image_lookup(&im, lbn);
		bool own = lbn >= first && lbn - first < count;
		bool packed = m.state >= STATE_FRAGMENT_0;

		if (m.pbn == ZERO_BLOCK) {
			c->zero += own && m.state != STATE_UNMAPPED;
			continue;
		}
		c->uncompressed += own && !packed;
		c->compressed += own && packed;
		ck_assert_uint_lt(m.pbn, ARRAY_SIZE(c->references));
		c->references[m.pbn]++;
		c->own_references[m.pbn] += own;
		ck_assert(image_read(&im, lbn, data));
		c->list[c->count++] = (struct content){
			.pbn = m.pbn,
			.state = m.state,
			.own = own,
			.whole = !packed,
			.squeezes = f->expect[lbn] >> 56 == 2,
			.mappings = 1,
			.own_mappings = own,
			.name = name_of(data),
		};
	}
	image_close(&im);
	count_contents(c);
	return c;
}

static void free_counted(struct counted *c)
{
	free(c->list);
	free(c);
}

static void expect_blocks(const struct counted *c, const struct vdo_savings *s)
{
	uint64_t references[256] = {0}, fragments[15] = {0};
	uint64_t exclusive = 0, distinct = 0, most = 0;

	for (size_t i = 0, n; i < c->count; i += n) {
		const struct content *first = &c->list[i];
		unsigned own = 0;

		for (n = 0; i + n < c->count && first[n].pbn == first->pbn; n++)
			own += first[n].own;
		if (own == 0)
			continue;
		distinct += own;
		ck_assert(!first->whole || n == 1);
		references[c->references[first->pbn]]++;
		most = MAX(most, c->references[first->pbn]);
		exclusive += c->references[first->pbn] ==
			     c->own_references[first->pbn];
		if (!first->whole)
			fragments[own]++;
	}
	ck_assert_mem_eq(references, s->references, sizeof(references));
	ck_assert_mem_eq(fragments, s->fragments, sizeof(fragments));
	ck_assert_uint_eq(s->exclusive_blocks, exclusive);
	ck_assert_uint_eq(s->distinct_uncompressed + s->distinct_compressed,
			  distinct);
	ck_assert_uint_eq(s->saved_by_deduplication,
			  c->uncompressed + c->compressed - distinct);
	for (size_t i = 0; i < s->top_count; i++) {
		ck_assert_uint_eq(s->top[i].references,
				  c->references[s->top[i].block]);
		ck_assert_uint_le(s->top[i].references, most);
		most = s->top[i].references;
	}
	/* None of the others has more than the last of them. */
	for (unsigned i = 255; s->top_count > 0 && i > most; i--)
		ck_assert_uint_le(references[i], s->top_count);
}

static bool is_full(const struct counted *c, const struct content *x)
{
	return c->references[x->pbn] >= REFS_MAX;
}

/* The first of a name that the range has, by what is known of the others. */
static enum vdo_savings_copies first_verdict(const struct counted *c,
					     const struct content *first,
					     bool found, bool found_room)
{
	if (found)
		return found_room && !is_full(c, first) ? VDO_SAVINGS_MISSED
							: VDO_SAVINGS_LIMITED;
	return first->mappings > 1 ? VDO_SAVINGS_SHARED : VDO_SAVINGS_UNIQUE;
}

static void expect_why(struct counted *c, const struct vdo_savings *s,
		       bool everywhere)
{
	uint64_t why[VDO_SAVINGS_COPIES][VDO_SAVINGS_FORMS] = {{0}};

	qsort(c->list, c->count, sizeof(*c->list), by_name);
	for (size_t i = 0, n; i < c->count; i += n) {
		const struct content *g = &c->list[i];
		bool found = false, found_room = false;
		bool is_first = true, met_room = false;

		for (n = 0; i + n < c->count && g[n].name == g->name; n++)
			if (everywhere && !g[n].own) {
				found = true;
				found_room |= !is_full(c, &g[n]);
			}
		for (size_t k = 0; k < n; k++) {
			enum vdo_savings_copies v = VDO_SAVINGS_LIMITED;
			enum vdo_savings_form form =
				!g[k].whole ? VDO_SAVINGS_PACKED
				: g[k].squeezes
					? VDO_SAVINGS_ALONE
					: VDO_SAVINGS_INCOMPRESSIBLE;

			if (!g[k].own)
				continue;
			if (is_first)
				v = first_verdict(c, &g[k], found, found_room);
			else if (!is_full(c, &g[k]) && met_room)
				v = VDO_SAVINGS_MISSED;
			met_room |= !is_full(c, &g[k]);
			is_first = false;
			why[v][form]++;
		}
	}
	ck_assert_mem_eq(why, s->why, sizeof(why));
}

/* All that is told of @count blocks from @first on, against that. */
static void expect_image(struct fixture *f, uint64_t first, uint64_t count,
			 unsigned flags, struct vdo_savings *s)
{
	struct vdo_savings_range range = {first * B, count * B};
	struct counted *c = count_image(f, first, count);
	int r = try_savings(f, &range, flags, s);

	ck_assert_msg(r == 0, "%d: %s", r, error.message);
	expect_sums(s);
	ck_assert_uint_eq(s->first_block, first);
	ck_assert_uint_eq(s->logical_blocks, count);
	ck_assert_uint_eq(s->zero, c->zero);
	ck_assert_uint_eq(s->uncompressed, c->uncompressed);
	ck_assert_uint_eq(s->compressed, c->compressed);
	ck_assert_uint_eq(s->damaged_pages + s->damaged_mappings + s->untold,
			  0);
	expect_blocks(c, s);
	if (flags & VDO_SAVINGS_WHY)
		expect_why(c, s, (flags & VDO_SAVINGS_EVERYWHERE) != 0);
	free_counted(c);
}

/* -------------------------------------------------------------------- volumes */

enum {
	UNIQUE = 0,
	DUPLICATES = 200,
	SQUEEZED = 300,
	AGAIN = 400, /* of the fragments */
	OFTEN = 500, /* more often than a block can be referenced */
	MISSED = 900,
	WHOLE = 1000, /* although it could be compressed */
	ZEROES = 1100,
	TRIPLE = 1200,
	LAST = 2040
};

/* Each part is for one thing that is told. */
static void fill(struct fixture *f)
{
	fixture_write(f, UNIQUE, 100, V_UNIQUE(1), 0);
	fixture_flush(f);
	fixture_write(f, DUPLICATES, 30, V_UNIQUE(1), 0);
	fixture_write(f, SQUEEZED, 84, V_SQUEEZE(1, 200), 0);
	fixture_flush(f);
	fixture_write(f, AGAIN, 10, V_SQUEEZE(1, 200), 0);
	fixture_write(f, OFTEN, 1, V_UNIQUE(7777), 0);
	fixture_flush(f);
	fixture_repeat(f, OFTEN + 1, 299, V_UNIQUE(7777), 0);
	fixture_write(f, MISSED, 12, V_UNIQUE(20), VDO_IO_NO_DEDUPE);
	fixture_write(f, WHOLE, 9, V_SQUEEZE(900, 300), VDO_IO_NO_COMPRESS);
	fixture_write(f, ZEROES, 20, V_ZERO, 0);
	ck_assert_int_eq(vdo_write_zeroes(f->volume, 20 * B, ZEROES * B, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		fixture_write(f, TRIPLE + 10 * i, 5, V_UNIQUE(6000),
			      VDO_IO_NO_DEDUPE);
	fixture_write(f, LAST, 8, V_UNIQUE(8000), 0);
	fixture_discard(f, 90, 10);
	fixture_flush(f);
}

static void make(struct fixture *f, bool closed)
{
	fixture_init(f, KIND_INLINE, "");
	fixture_open(f, "");
	fill(f);
	if (closed)
		fixture_close(f);
	else
		fixture_abandon(f);
}

/* What was written, told by numbers that are known beforehand. */
START_TEST(tells_what_was_written)
{
	uint64_t(*why)[VDO_SAVINGS_FORMS];
	struct vdo_savings s;
	struct fixture f;

	make(&f, true);
	expect_image(&f, 0, f.logical_blocks, VDO_SAVINGS_WHY, &s);
	ck_assert_str_eq(s.state_name, "clean");
	ck_assert(s.counted && !s.replayed && s.has_why);
	ck_assert_uint_eq(s.unreferenced_blocks, 0);
	ck_assert_uint_eq(s.zero, 20);
	/* 10 of the 90 went to 30 duplicates; 300 references are two blocks. */
	ck_assert_uint_eq(s.references[REFS_MAX], 1);
	ck_assert_uint_eq(s.references[300 - REFS_MAX], 1);
	ck_assert_uint_eq(s.references[255], 0);
	ck_assert_uint_eq(s.top[0].references, REFS_MAX);
	ck_assert_uint_eq(s.top[1].references, 300 - REFS_MAX);
	ck_assert_uint_eq(s.distinct_compressed, 84);
	ck_assert_uint_eq(s.compressed_blocks, 84 / 14);
	ck_assert_uint_eq(s.fragments[14], 84 / 14);
	ck_assert_uint_eq(s.saved_by_compression, 84 - 84 / 14);
	ck_assert_uint_eq(s.saved_by_deduplication, 30 + 10 + 298);
	why = s.why;
	ck_assert_uint_eq(why[VDO_SAVINGS_SHARED][VDO_SAVINGS_PACKED], 10);
	ck_assert_uint_eq(why[VDO_SAVINGS_UNIQUE][VDO_SAVINGS_PACKED], 74);
	ck_assert_uint_eq(why[VDO_SAVINGS_UNIQUE][VDO_SAVINGS_ALONE], 9);
	/* 12 planted, and of five contents the second and third copy. */
	ck_assert_uint_eq(why[VDO_SAVINGS_MISSED][VDO_SAVINGS_INCOMPRESSIBLE],
			  12 + 5 * 2);
	ck_assert_uint_eq(why[VDO_SAVINGS_LIMITED][VDO_SAVINGS_INCOMPRESSIBLE],
			  1);
	ck_assert_uint_eq(why[VDO_SAVINGS_SHARED][VDO_SAVINGS_INCOMPRESSIBLE],
			  30 + 1);
	/* Discarded ones that were shared are unique now. */
	ck_assert_uint_eq(why[VDO_SAVINGS_UNIQUE][VDO_SAVINGS_INCOMPRESSIBLE],
			  60 + 5 + 8);
	fixture_fini(&f);
}
END_TEST

static const struct {
	uint64_t first, count;
} ranges[] = {
	{UNIQUE, 40},	{UNIQUE, 1},	    {DUPLICATES, 100}, {SQUEEZED, 30},
	{AGAIN, 10},	{OFTEN, 10},	    {OFTEN, 300},      {MISSED, 12},
	{MISSED, 1},	{WHOLE, 50},	    {ZEROES, 5},       {TRIPLE, 15},
	{TRIPLE, 1},	{TRIPLE + 10, 100}, {1500, 100},       {LAST, 8},
	{0, LAST},	{811, 2},	    {2047, 1},
};

/* Ranges, alone and against all of the volume. */
START_TEST(ranges_are_told)
{
	struct vdo_savings s;
	struct fixture f;

	make(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		expect_image(&f, ranges[i].first, ranges[i].count, 0, &s);
		ck_assert(!s.has_why);
		expect_image(&f, ranges[i].first, ranges[i].count,
			     VDO_SAVINGS_WHY, &s);
		expect_image(&f, ranges[i].first, ranges[i].count,
			     VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE, &s);
	}
	fixture_fini(&f);
}
END_TEST

/* A block that was stored again: by itself nothing else is like it. */
START_TEST(copies_elsewhere)
{
	struct vdo_savings_range one = {MISSED * B, B};
	struct vdo_savings s;
	struct fixture f;

	make(&f, true);
	ck_assert_int_eq(try_savings(&f, &one, VDO_SAVINGS_WHY, &s), 0);
	ck_assert_uint_eq(
		s.why[VDO_SAVINGS_UNIQUE][VDO_SAVINGS_INCOMPRESSIBLE], 1);
	ck_assert_int_eq(try_savings(&f, &one,
				     VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE,
				     &s),
			 0);
	ck_assert_uint_eq(
		s.why[VDO_SAVINGS_MISSED][VDO_SAVINGS_INCOMPRESSIBLE], 1);
	ck_assert_uint_eq(s.exclusive_blocks, 1);
	fixture_fini(&f);
}
END_TEST

/* Of the whole volume usage tells the same. */
START_TEST(usage_agrees)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device;
	struct vdo_savings s;
	struct vdo_usage u;
	struct vdo_job *job;
	struct fixture f;

	make(&f, true);
	ck_assert_int_eq(try_savings(&f, NULL, 0, &s), 0);
	expect_sums(&s);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_usage_count_device(device, c, VDO_USAGE_MAP, &job,
						&error),
			 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_usage_get(job, &u, sizeof(u)), 0);
	ck_assert_int_eq(vdo_savings_get(job, &s, sizeof(s)), -EINVAL);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	ck_assert_uint_eq(s.overhead_blocks, u.overhead_blocks);
	ck_assert_uint_eq(s.block_map_blocks, u.block_map_blocks);
	ck_assert_uint_eq(s.data_blocks, u.data_blocks);
	ck_assert_uint_eq(s.free_blocks, u.free_blocks);
	ck_assert_uint_eq(s.unmapped, u.unmapped);
	ck_assert_uint_eq(s.saved_by_deduplication, u.saved_by_deduplication);
	ck_assert_uint_eq(s.saved_by_compression, u.saved_by_compression);
	ck_assert_uint_eq(s.distinct_compressed, u.distinct_compressed);
	fixture_fini(&f);
}
END_TEST

/* Parts of the slabs, and passes over names, make no difference. */
START_TEST(parts_and_passes_make_no_difference)
{
	static const struct {
		uint64_t part_blocks, name_slots;
	} sizes[] = {{1000, 1 << 20}, {256, 1 << 20}, {1 << 20, 400},
		     {77, 300},	      {1 << 20, 100}};
	struct vdo_savings_range range = {50 * B, 1400 * B};
	struct vdo_device *device;
	struct fixture f;

	make(&f, true);
	for (unsigned ranged = 0; ranged < 2; ranged++) {
		unsigned flags = VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE;
		struct vdo_savings_range *r = ranged ? &range : NULL;
		struct vdo_savings whole;

		ck_assert_int_eq(try_savings(&f, r, flags, &whole), 0);
		device = sim_device_open(f.sd, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct savings *s;

			ck_assert_int_eq(
				savings_create(device, r, flags, &s, &error),
				0);
			s->part_blocks = sizes[i].part_blocks;
			s->name_slots = sizes[i].name_slots;
			ck_assert_int_eq(savings_run(s, &error), 0);
			ck_assert_mem_eq(savings_result(s), &whole,
					 sizeof(whole));
			savings_destroy(s);
		}
		vdo_device_close(device);
	}
	fixture_fini(&f);
}
END_TEST

/* Names that find no room are told as such, and the sums hold. */
START_TEST(table_without_room)
{
	struct savings_names n = {0};
	struct savings_verdict v;
	struct savings_content c = {.form = VDO_SAVINGS_ALONE};

	ck_assert_int_eq(names_create(&n, 3), 0);
	for (uint8_t i = 0; i < 3; i++) {
		memset(c.name.bytes, i, sizeof(c.name.bytes));
		ck_assert(names_add(&n, &c, &v));
		ck_assert_int_eq(v.to, VDO_SAVINGS_UNIQUE);
	}
	ck_assert(names_add(&n, &c, &v));
	ck_assert_int_eq(v.to, VDO_SAVINGS_MISSED);
	memset(c.name.bytes, 3, sizeof(c.name.bytes));
	ck_assert(!names_add(&n, &c, &v));
	ck_assert(!names_meet(&n, &c, &v));
	names_free(&n);
}
END_TEST

/* What is not closed is told as it is after recovery. */
START_TEST(not_closed)
{
	struct vdo_savings before, after;
	unsigned flags = VDO_SAVINGS_WHY;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 50, V_UNIQUE(4000), 0);
	fixture_reopen(&f, "");
	fill(&f);
	fixture_abandon(&f);
	expect_image(&f, 0, f.logical_blocks, flags, &before);
	ck_assert(before.replayed && !before.counted);
	expect_image(&f, 300, 700, flags | VDO_SAVINGS_EVERYWHERE, &after);
	expect_image(&f, 0, f.logical_blocks, flags, &before);
	fixture_open(&f, "");
	fixture_close(&f);
	expect_image(&f, 0, f.logical_blocks, flags, &after);
	ck_assert(!after.replayed && after.counted);
	after.replayed = true;
	after.counted = false;
	after.state_name = before.state_name;
	ck_assert_mem_eq(&before, &after, sizeof(before));
	fixture_fini(&f);
}
END_TEST

START_TEST(new_is_empty)
{
	struct vdo_savings s;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	ck_assert_int_eq(try_savings(&f, NULL, VDO_SAVINGS_WHY, &s), 0);
	expect_sums(&s);
	ck_assert_uint_eq(s.unmapped, s.logical_blocks);
	ck_assert_uint_eq(s.data_blocks + s.block_map_blocks, 0);
	ck_assert(s.counted && s.has_why);
	fixture_fini(&f);
}
END_TEST

/* ---------------------------------------------------------------- refusals */

START_TEST(what_makes_no_sense)
{
	static const struct vdo_savings_range bad[] = {
		{2048 * B, 0},	  {2047 * B, 2 * B}, {UINT64_MAX - B + 1, B},
		{B, 0 - 2ul * B}, {1, B},	     {0, 1},
	};
	struct vdo_savings_range end = {2040 * B, 0};
	struct vdo_savings s;
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_int_eq(try_savings(&f, &bad[i], 0, &s), -EINVAL);
		ck_assert_ptr_nonnull(strstr(error.message, "range"));
	}
	ck_assert_int_eq(try_savings(&f, NULL, 4, &s), -EINVAL);
	ck_assert_int_eq(try_savings(&f, NULL, VDO_SAVINGS_EVERYWHERE, &s),
			 -EINVAL);
	ck_assert_int_eq(try_savings(&f, &end, 0, &s), 0);
	ck_assert_uint_eq(s.logical_blocks, 8);
	ck_assert_int_eq(vdo_savings("/nowhere/at/all", NULL, NULL, 0, &job,
				     &error),
			 -ENOENT);
	ck_assert_int_eq(vdo_savings_device(NULL, NULL, NULL, 0, &job, &error),
			 -EINVAL);
	ck_assert_int_eq(vdo_savings_get(NULL, &s, sizeof(s)), -EINVAL);
	fixture_fini(&f);
}
END_TEST

START_TEST(read_only_is_refused)
{
	static const enum volume_state states[] = {VOLUME_READ_ONLY,
						   VOLUME_FORCE_REBUILD};
	struct vdo_savings s;
	struct fixture f;

	make(&f, true);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		fixture_set_state(&f, states[i]);
		ck_assert_int_eq(try_savings(&f, NULL, 0, &s), -VDO_EREBUILD);
		ck_assert_ptr_nonnull(strstr(error.message, "rebuild it"));
	}
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

START_TEST(open_is_refused)
{
	struct vdo_job *job;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "");
	ck_assert_int_eq(vdo_savings_device(f.device, NULL, NULL, 0, &job,
					    &error),
			 -VDO_EINUSE);
	fixture_fini(&f);
}
END_TEST

START_TEST(cancelled)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device;
	struct vdo_savings s;
	struct vdo_job *job;
	struct fixture f;

	make(&f, true);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_savings_device(device, c, NULL, VDO_SAVINGS_WHY,
					    &job, &error),
			 0);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	ck_assert_int_eq(vdo_savings_get(job, &s, sizeof(s)), -EAGAIN);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- damage */

static struct vdo_info info_of(struct fixture *f)
{
	struct vdo_device *device = sim_device_open(f->sd, NULL);
	struct vdo_info info;

	ck_assert_int_eq(vdo_inspect_device(device, &info, sizeof(info),
					    &error),
			 0);
	vdo_device_close(device);
	return info;
}

/* A page that is damaged is left out, and said to be. */
START_TEST(damaged_page)
{
	struct vdo_savings whole, s;
	struct vdo_info info;
	struct fixture f;
	uint8_t root[B];

	make(&f, true);
	ck_assert_int_eq(try_savings(&f, NULL, 0, &whole), 0);
	info = info_of(&f);
	sim_device_peek(f.sd, info.root_origin, root);
	root[16] ^= 1; /* the place that it says it has */
	sim_device_poke(f.sd, info.root_origin, root);
	ck_assert_int_eq(try_savings(&f, NULL, VDO_SAVINGS_WHY, &s), 0);
	expect_sums(&s);
	ck_assert_uint_eq(s.damaged_pages, 1);
	ck_assert_uint_gt(s.unmapped, whole.unmapped);
	ck_assert_uint_gt(s.unreferenced_blocks, 0);
	ck_assert_uint_eq(s.data_blocks,
			  s.stored_blocks + s.unreferenced_blocks);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* The slot of @page that leads to its first page; a second one does so, too. */
static pbn_t child_of(struct fixture *f, pbn_t pbn, bool twice)
{
	uint8_t page[B];
	struct mapping m;

	sim_device_peek(f->sd, pbn, page);
	m = mapping_page_get(page, 0);
	ck_assert_uint_ne(m.pbn, ZERO_BLOCK);
	if (twice) {
		struct vdo_info info = info_of(f);
		uint8_t other[B];

		/* Tree 1, leaf 0, is at the end of another way. */
		sim_device_peek(f->sd, info.root_origin + 1, other);
		mapping_page_put(other, 0, m);
		sim_device_poke(f->sd, info.root_origin + 1, other);
	}
	return m.pbn;
}

START_TEST(pages_that_come_again)
{
	struct vdo_savings s;
	struct fixture f;

	make(&f, true);
	child_of(&f, info_of(&f).root_origin, true);
	ck_assert_int_eq(try_savings(&f, NULL, 0, &s), -VDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, "check the volume"));
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* A journal that has lost a block cannot be replayed. */
START_TEST(damaged_journal)
{
	struct vdo_savings s;
	struct fixture f;
	struct image im;
	uint8_t zeroes[B] = {0};
	pbn_t ring;

	make(&f, false);
	image_open_sim(&im, f.sd, f.block_count);
	image_recover(&im);
	ring = im.sb.partitions[PARTITION_JOURNAL].start;
	ck_assert_uint_gt(im.last, im.first);
	sim_device_poke(f.sd,
			ring + im.first % im.sb.recovery_journal_size -
				im.geometry.bio_offset,
			zeroes);
	image_close(&im);
	ck_assert_int_eq(try_savings(&f, NULL, 0, &s), -VDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, "check it"));
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* Data that cannot be read, or make no block, have no reason; all else has. */
START_TEST(unreadable_data)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ),
				  .block_count = 1};
	uint8_t junk[B];
	struct vdo_savings s;
	struct fixture f;
	struct image im;
	pbn_t whole, packed;

	make(&f, true);
	image_open_sim(&im, f.sd, f.block_count);
	whole = image_lookup(&im, LAST).pbn;
	packed = image_lookup(&im, SQUEEZED).pbn;
	fault.first_block = whole - im.geometry.bio_offset;
	memset(junk, 0xff, B);
	sim_device_poke(f.sd, packed - im.geometry.bio_offset, junk);
	image_close(&im);
	sim_device_fault(f.sd, &fault);
	ck_assert_int_eq(try_savings(&f, NULL, VDO_SAVINGS_WHY, &s), 0);
	expect_sums(&s);
	ck_assert_uint_eq(s.untold, 1 + 14);
	sim_device_clear_faults(f.sd);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- faults */

static void without_memory(bool closed)
{
	struct vdo_savings_range range = {0, 1000 * B};
	unsigned flags = VDO_SAVINGS_WHY | VDO_SAVINGS_EVERYWHERE;
	struct vdo_savings s, whole;
	struct fixture f;
	int r;

	make(&f, closed);
	ck_assert_int_eq(try_savings(&f, &range, flags, &whole), 0);
	for (fail_at = 1; (r = try_savings(&f, &range, flags, &s)) != 0;
	     fail_at++) {
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_lt(fail_at, 200);
	}
	ck_assert_uint_gt(fail_at, 15);
	fail_at = 0;
	ck_assert_mem_eq(&s, &whole, sizeof(s));
	f.no_check = true;
	fixture_fini(&f);
}

START_TEST(allocations_fail)
{
	without_memory(true);
	without_memory(false);
}
END_TEST

/* Each read in turn; what comes is right, or says what is left out. */
START_TEST(reads_fail)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ), .times = 1};
	struct vdo_savings s, whole;
	unsigned failed = 0, complete = 0;
	struct fixture f;

	make(&f, _i == 0);
	ck_assert_int_eq(try_savings(&f, NULL, VDO_SAVINGS_WHY, &whole), 0);
	for (unsigned n = 0; n < 500; n++) {
		int r;

		fault.skip = n;
		sim_device_clear_faults(f.sd);
		sim_device_fault(f.sd, &fault);
		r = try_savings(&f, NULL, VDO_SAVINGS_WHY, &s);
		if (r == 0) {
			expect_sums(&s);
			/* A piece that fails is read again by blocks. */
			ck_assert_mem_eq(&s, &whole, sizeof(s));
			complete++;
		} else {
			ck_assert_ptr_nonnull(strchr(error.message, ' '));
			failed++;
		}
	}
	ck_assert_uint_gt(failed, 5);
	ck_assert_uint_gt(complete, 5);
	sim_device_clear_faults(f.sd);
	f.no_check = true;
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("savings");

	tcase_add_test(tc, tells_what_was_written);
	tcase_add_test(tc, ranges_are_told);
	tcase_add_test(tc, copies_elsewhere);
	tcase_add_test(tc, usage_agrees);
	tcase_add_test(tc, parts_and_passes_make_no_difference);
	tcase_add_test(tc, table_without_room);
	tcase_add_test(tc, not_closed);
	tcase_add_test(tc, new_is_empty);
	tcase_add_test(tc, what_makes_no_sense);
	tcase_add_test(tc, read_only_is_refused);
	tcase_add_test(tc, open_is_refused);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, damaged_page);
	tcase_add_test(tc, pages_that_come_again);
	tcase_add_test(tc, damaged_journal);
	tcase_add_test(tc, unreadable_data);
	tcase_add_test(tc, allocations_fail);
	tcase_add_loop_test(tc, reads_fail, 0, 2);
	return unit_run();
}
