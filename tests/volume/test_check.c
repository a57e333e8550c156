/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a check finds: each kind of damage, planted into a small volume with
 * shared, compressed, zero and discarded blocks, is named; what can be mended
 * is mended, and can be undone; and what is undamaged has no finding.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/fragment.h"
#include "format/mapping.h"
#include "io/device.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static struct vdo_error error;

/* A volume that is not open, and what was found in it. */
struct bed {
	struct fixture f;
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	struct vdo_check_finding found[600];
	size_t found_count;
	struct vdo_check_report report;
};

/* ------------------------------------------------------------------ the bed */

static void peek(struct bed *b, pbn_t pbn, void *to)
{
	sim_device_peek(b->f.sd, pbn, to);
}

static void poke(struct bed *b, pbn_t pbn, const void *from)
{
	sim_device_poke(b->f.sd, pbn, from);
}

static void load_super(struct bed *b)
{
	uint8_t block[B];

	peek(b, 0, block);
	ck_assert_int_eq(geometry_decode(block, &b->geometry), 0);
	peek(b, b->geometry.data_start, block);
	ck_assert_int_eq(
		superblock_decode(block, b->geometry.data_start, &b->sb), 0);
	layout_slab_geometry_init(&b->slabs, &b->sb);
}

static void store_super(struct bed *b)
{
	uint8_t block[B];

	superblock_encode(&b->sb, block);
	poke(b, b->geometry.data_start, block);
}

/* LBNs of the parts of what is written. */
enum { UNIQUE = 0, SHARED = 300, SQUEEZED = 400, ZEROES = 700, LAST = 1700 };

static void fill(struct fixture *f)
{
	fixture_write(f, UNIQUE, 100, V_UNIQUE(1), 0);
	fixture_flush(f);
	fixture_write(f, SHARED, 30, V_UNIQUE(1), 0);
	fixture_write(f, SQUEEZED, 84, V_SQUEEZE(1, 200), 0);
	fixture_flush(f);
	fixture_write(f, ZEROES, 20, V_ZERO, 0);
	fixture_write(f, LAST, 10, V_UNIQUE(500), 0);
	fixture_discard(f, 90, 10);
	fixture_flush(f);
}

static struct bed *make_bed(bool closed)
{
	struct bed *b = calloc(1, sizeof(*b));

	ck_assert_ptr_nonnull(b);
	fixture_init(&b->f, KIND_INLINE, "");
	fixture_open(&b->f, "");
	fill(&b->f);
	if (closed)
		fixture_close(&b->f);
	else
		fixture_abandon(&b->f);
	load_super(b);
	return b;
}

static void free_bed(struct bed *b)
{
	b->f.no_check = true;
	fixture_fini(&b->f);
	free(b);
}

static void keep(void *arg, const struct vdo_check_finding *f)
{
	struct bed *b = arg;

	ck_assert_uint_lt(b->found_count, ARRAY_SIZE(b->found));
	b->found[b->found_count++] = *f;
}

/* The allocation of a check that fails; 0: none. */
static unsigned long fail_at;

/* Start a check; its result. @undo of a repair. */
static int try_check(struct bed *b, unsigned flags, struct vdo_device *undo)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device = sim_device_open(b->f.sd, NULL);
	struct vdo_job *job = NULL;
	int r;

	b->found_count = 0;
	memset(&b->report, 0, sizeof(b->report));
	alloc_fail_at(fail_at);
	r = vdo_check_device(device, c, flags, undo, keep, b, &job, &error);
	if (r == 0)
		r = vdo_job_wait(job, -1, &error);
	alloc_fail_at(0);
	if (r == 0)
		ck_assert_int_eq(vdo_check_report_get(job, &b->report,
						      sizeof(b->report)),
				 0);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	return r;
}

static void check_flags(struct bed *b, unsigned flags, struct vdo_device *undo)
{
	int r = try_check(b, flags, undo);

	ck_assert_msg(r == 0, "check: %d: %s", r, error.message);
}

static void print_findings(const struct bed *b)
{
	for (size_t i = 0; i < b->found_count && i < 10; i++)
		fprintf(stderr, "%s: block %lld slot %lld: %s, expected %s\n",
			vdo_check_name(b->found[i].code),
			(long long)b->found[i].block,
			(long long)b->found[i].slot, b->found[i].found,
			b->found[i].expected);
}

static void expect_clean(struct bed *b, unsigned flags)
{
	check_flags(b, flags, NULL);
	print_findings(b);
	ck_assert_uint_eq(b->report.findings, 0);
}

static const struct vdo_check_finding *find(const struct bed *b,
					    enum vdo_check_code code)
{
	for (size_t i = 0; i < b->found_count; i++)
		if (b->found[i].code == code)
			return &b->found[i];
	return NULL;
}

/* ------------------------------------------------------------------- places */

/* The page of @level on the way to @lbn, and the slot in it. */
static pbn_t page_of(struct bed *b, lbn_t lbn, unsigned level, unsigned *slot)
{
	struct tree_place t;
	uint8_t page[B];
	pbn_t pbn;

	mapping_tree_place(lbn, (unsigned)b->sb.root_count, &t);
	pbn = b->sb.root_origin + t.root;
	for (unsigned i = MAP_LEVELS - 1; i > level; i--) {
		peek(b, pbn, page);
		pbn = mapping_page_get(page, t.slot[i]).pbn;
		ck_assert_uint_ne(pbn, 0);
	}
	*slot = t.slot[level];
	return pbn;
}

static struct mapping get_mapping(struct bed *b, lbn_t lbn)
{
	uint8_t page[B];
	unsigned slot;

	peek(b, page_of(b, lbn, 0, &slot), page);
	return mapping_page_get(page, slot);
}

static void put_entry(struct bed *b, pbn_t pbn, unsigned slot, struct mapping m)
{
	uint8_t page[B];

	peek(b, pbn, page);
	mapping_page_put(page, slot, m);
	poke(b, pbn, page);
}

static void put_mapping(struct bed *b, lbn_t lbn, struct mapping m)
{
	unsigned slot;
	pbn_t pbn = page_of(b, lbn, 0, &slot);

	put_entry(b, pbn, slot, m);
}

static pbn_t counts_of(struct bed *b, uint64_t slab)
{
	return slab_start(&b->slabs, slab) + b->sb.slab.data_blocks;
}

static pbn_t ring_of(struct bed *b, uint64_t slab)
{
	return counts_of(b, slab) + b->sb.slab.reference_count_blocks;
}

/* Change the count of a data block; it was what is returned. */
static uint8_t put_count(struct bed *b, pbn_t pbn, uint8_t n)
{
	uint64_t at = slab_offset_of(&b->slabs, pbn);
	pbn_t block =
		counts_of(b, slab_of(&b->slabs, pbn)) + at / COUNTS_PER_BLOCK;
	uint64_t byte =
		at % COUNTS_PER_BLOCK / COUNTS_PER_SECTOR * SECTOR_SIZE + 8 +
		at % COUNTS_PER_SECTOR;
	uint8_t bytes[B], was;

	peek(b, block, bytes);
	was = bytes[byte];
	bytes[byte] = n;
	poke(b, block, bytes);
	return was;
}

static pbn_t summary_of(struct bed *b, uint64_t slab, uint64_t *offset)
{
	unsigned zones = MAX(b->sb.zone_count, 1);
	uint64_t byte = slab % zones * SUMMARY_ZONE_BLOCKS * B + 2 * slab;

	*offset = byte % B;
	return b->sb.partitions[PARTITION_SUMMARY].start + byte / B;
}

static struct summary_entry get_entry(struct bed *b, uint64_t slab)
{
	uint8_t block[B];
	uint64_t offset;

	peek(b, summary_of(b, slab, &offset), block);
	return slab_summary_decode(block + offset);
}

static void put_summary(struct bed *b, uint64_t slab, struct summary_entry e)
{
	uint8_t block[B];
	uint64_t offset;
	pbn_t pbn = summary_of(b, slab, &offset);

	peek(b, pbn, block);
	slab_summary_encode(block + offset, e);
	poke(b, pbn, block);
}

/* A slab that was (never) used. */
static uint64_t slab_that_is(struct bed *b, bool used)
{
	for (uint64_t i = 0; i < b->slabs.slab_count; i++)
		if (get_entry(b, i).load == used)
			return i;
	ck_abort_msg("all slabs are alike");
	return 0;
}

static pbn_t tail_of(struct bed *b, uint64_t slab)
{
	uint64_t ring = b->sb.slab.slab_journal_blocks;

	return ring_of(b, slab) +
	       (get_entry(b, slab).tail_offset + ring - 1) % ring;
}

static void flip(struct bed *b, pbn_t pbn, unsigned at, uint8_t mask)
{
	uint8_t block[B];

	peek(b, pbn, block);
	block[at] ^= mask;
	poke(b, pbn, block);
}

static void unreadable(struct bed *b, pbn_t pbn)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ),
				  .first_block = pbn,
				  .block_count = 1};

	sim_device_fault(b->f.sd, &fault);
}

/* ------------------------------------------------------------------- damage */

static void geometry(struct bed *b)
{
	flip(b, 0, 41, 1);
}

static void truncated(struct bed *b)
{
	b->sb.partitions[PARTITION_SUMMARY].count += 100;
	b->sb.physical_blocks += 100;
	store_super(b);
}

static void super_unreadable(struct bed *b)
{
	unreadable(b, b->geometry.data_start);
}

static void super_checksum(struct bed *b)
{
	flip(b, b->geometry.data_start, 60, 1);
}

static void super_damaged(struct bed *b)
{
	flip(b, b->geometry.data_start, 0, 8);
}

static void super_nonce(struct bed *b)
{
	b->sb.nonce ^= 1;
	store_super(b);
}

static void super_invalid(struct bed *b)
{
	b->sb.state = 9;
	store_super(b);
}

static void needs_rebuild(struct bed *b)
{
	b->sb.state = VOLUME_READ_ONLY;
	store_super(b);
}

static void root_count(struct bed *b)
{
	b->sb.root_count--;
	store_super(b);
}

static void slab_config(struct bed *b)
{
	b->sb.slab_journal_blocks++;
	store_super(b);
}

static void zone_count(struct bed *b)
{
	ck_assert_uint_le(b->sb.zone_count, 1);
	b->sb.zone_count = 0;
	store_super(b);
}

static void logical_used(struct bed *b)
{
	b->sb.logical_blocks_used++;
	store_super(b);
}

static void map_pages(struct bed *b)
{
	b->sb.block_map_data_blocks--;
	store_super(b);
}

static pbn_t journal_block(struct bed *b, uint64_t index)
{
	return b->sb.partitions[PARTITION_JOURNAL].start +
	       index % b->sb.recovery_journal_size;
}

static void journal_unreadable(struct bed *b)
{
	unreadable(b, journal_block(b, 3));
}

/* The oldest block that recovery needs is gone. */
static void journal_damaged(struct bed *b)
{
	uint8_t block[B] = {0};

	poke(b, journal_block(b, 1), block);
}

static void journal_old(struct bed *b)
{
	uint8_t block[B];

	for (uint64_t i = 0; i < b->sb.recovery_journal_size; i++) {
		peek(b, journal_block(b, i), block);
		block[32] = block[32] == JOURNAL_TYPE ? JOURNAL_OLD_TYPE : 0;
		poke(b, journal_block(b, i), block);
	}
}

static void journal_entry(struct bed *b)
{
	/* The page of the first entry. */
	flip(b, journal_block(b, 1), SECTOR_SIZE + 3 + 5, 0x80);
}

/* The first entry of data is for a page where its own data are: a recovery would
 * make a page of them. */
static void journal_stray(struct bed *b)
{
	uint8_t block[B], *at = block + SECTOR_SIZE + 3;
	struct journal_entry e;

	peek(b, journal_block(b, 1), block);
	for (;; at += JOURNAL_ENTRY_SIZE) {
		ck_assert(at < block + 2 * SECTOR_SIZE - JOURNAL_ENTRY_SIZE);
		journal_entry_decode(at, &e);
		if (e.operation == JOURNAL_DATA &&
		    e.new_mapping.pbn != ZERO_BLOCK)
			break;
	}
	put_u32(at + 2, (uint32_t)e.new_mapping.pbn);
	poke(b, journal_block(b, 1), block);
}

static void journal_ahead(struct bed *b)
{
	ck_assert_uint_gt(b->sb.journal_start, 1);
	b->sb.journal_start--;
	store_super(b);
}

static void journal_heads(struct bed *b)
{
	flip(b, journal_block(b, 1), 3, 1);
}

static void journal_behind(struct bed *b)
{
	uint8_t block[B] = {0};

	for (uint64_t i = 0; i < b->sb.recovery_journal_size; i++)
		poke(b, journal_block(b, i), block);
	b->sb.journal_start = 1;
	store_super(b);
}

static void root_damaged(struct bed *b)
{
	flip(b, b->sb.root_origin, 16, 1);
}

static void page_damaged(struct bed *b)
{
	unsigned slot;

	flip(b, page_of(b, 0, 0, &slot), 16, 1);
}

static void page_unreadable(struct bed *b)
{
	unsigned slot;

	unreadable(b, page_of(b, 0, 1, &slot));
}

static void page_twice(struct bed *b)
{
	unsigned slot;

	put_entry(b, b->sb.root_origin + 2, 0,
		  (struct mapping){page_of(b, 0, 3, &slot), 1});
}

static void page_lost(struct bed *b)
{
	uint8_t nothing[B] = {0};
	unsigned slot;

	poke(b, page_of(b, LAST, 0, &slot), nothing);
}

static void child_invalid(struct bed *b)
{
	put_entry(b, b->sb.root_origin, 0,
		  (struct mapping){get_mapping(b, 0).pbn, 5});
}

static void child_beyond(struct bed *b)
{
	put_entry(b, b->sb.root_origin, 700,
		  (struct mapping){get_mapping(b, 0).pbn, 1});
}

static void mapping_invalid(struct bed *b)
{
	put_mapping(b, 5, (struct mapping){get_mapping(b, 5).pbn, 0});
}

static void mapping_outside(struct bed *b)
{
	put_mapping(b, 5, (struct mapping){counts_of(b, 0), 1});
}

static void mapping_beyond(struct bed *b)
{
	unsigned slot;

	put_entry(b, page_of(b, LAST, 0, &slot), 800, (struct mapping){0, 1});
}

static void page_and_data(struct bed *b)
{
	unsigned slot;

	put_mapping(b, 5, (struct mapping){page_of(b, 0, 0, &slot), 1});
}

static void two_forms(struct bed *b)
{
	struct mapping m = get_mapping(b, SQUEEZED);

	ck_assert(mapping_is_compressed(m));
	put_mapping(b, SQUEEZED, (struct mapping){m.pbn, 1});
}

static void too_many(struct bed *b)
{
	for (lbn_t i = 100; i < 400; i++)
		put_mapping(b, i, get_mapping(b, 0));
}

static void count_missing(struct bed *b)
{
	ck_assert_uint_eq(put_count(b, get_mapping(b, 50).pbn, 0), 1);
}

static void count_low(struct bed *b)
{
	ck_assert_uint_eq(put_count(b, get_mapping(b, SHARED).pbn, 1), 2);
}

static void count_high(struct bed *b)
{
	ck_assert_uint_eq(put_count(b, get_mapping(b, 50).pbn, 7), 1);
}

static void unreferenced(struct bed *b)
{
	uint64_t slab = slab_of(&b->slabs, get_mapping(b, 50).pbn);
	pbn_t last = slab_start(&b->slabs, slab) + b->slabs.data_blocks - 1;

	ck_assert_uint_eq(put_count(b, last, 1), 0);
}

static void page_count(struct bed *b)
{
	unsigned slot;

	ck_assert_uint_eq(put_count(b, page_of(b, 0, 2, &slot), 3), 254);
}

static void counts_beyond(struct bed *b)
{
	uint64_t last = b->slabs.data_blocks;

	ck_assert_uint_lt(last, COUNTS_PER_SECTOR);
	flip(b, counts_of(b, slab_that_is(b, true)), 8 + (unsigned)last, 1);
}

static void counts_unreadable(struct bed *b)
{
	unreadable(b, counts_of(b, slab_that_is(b, true)));
}

static void commit_point(struct bed *b)
{
	flip(b, counts_of(b, slab_that_is(b, true)), 5, 1);
}

static void slab_unreadable(struct bed *b)
{
	unreadable(b, tail_of(b, slab_that_is(b, true)));
}

static void slab_tail(struct bed *b)
{
	flip(b, tail_of(b, slab_that_is(b, true)), 8, 1);
}

/*
 * A journal of two blocks in a slab that was never used: an increment in the
 * first, and the decrement in the second, so that nothing comes of it.
 */
struct two {
	struct slab_journal_header h[2];
	struct slab_journal_entry e[2];
};

static void put_two(struct bed *b, struct two *two)
{
	uint64_t slab = slab_that_is(b, false);

	for (unsigned i = 0; i < 2; i++) {
		uint8_t block[B] = {0};

		slab_journal_header_encode(&two->h[i], block);
		slab_journal_put(block, 0, &two->e[i]);
		poke(b, ring_of(b, slab) + i + 1, block);
	}
	put_summary(b, slab,
		    (struct summary_entry){
			    .tail_offset = 3,
			    .dirty = true,
			    .hint = slab_summary_hint(b->slabs.slab_shift,
						      b->slabs.data_blocks)});
}

static struct two make_two(struct bed *b)
{
	struct two two = {
		.e = {{.offset = 9, .increment = true}, {.offset = 9}},
	};

	for (unsigned i = 0; i < 2; i++)
		two.h[i] = (struct slab_journal_header){
			.head = 1,
			.seq = i + 1,
			.recovery_point = {1, (uint16_t)(1 + i)},
			.nonce = b->sb.nonce,
			.type = SLAB_JOURNAL_TYPE,
			.entries = 1};
	return two;
}

static void slab_block(struct bed *b)
{
	struct two two = make_two(b);

	two.h[0].seq = 5;
	put_two(b, &two);
}

static void slab_entry(struct bed *b)
{
	struct two two = make_two(b);

	two.e[0].offset = (uint32_t)b->slabs.data_blocks + 1;
	put_two(b, &two);
}

static void slab_disagrees(struct bed *b)
{
	struct two two = make_two(b);

	two.e[0].increment = false;
	put_two(b, &two);
}

static void slab_points(struct bed *b)
{
	struct two two = make_two(b);

	two.h[0].recovery_point.entry = 7;
	put_two(b, &two);
}

static void summary_unreadable(struct bed *b)
{
	unreadable(b, b->sb.partitions[PARTITION_SUMMARY].start);
}

static void summary_tail(struct bed *b)
{
	uint64_t slab = slab_that_is(b, true);
	struct summary_entry e = get_entry(b, slab);

	e.tail_offset = 200;
	put_summary(b, slab, e);
}

static void summary_flags(struct bed *b)
{
	uint64_t slab = slab_that_is(b, true);
	struct summary_entry e = get_entry(b, slab);

	e.tail_offset = 3;
	e.load = e.dirty = false;
	put_summary(b, slab, e);
}

static void summary_hint(struct bed *b)
{
	uint64_t slab = slab_that_is(b, true);
	struct summary_entry e = get_entry(b, slab);

	e.hint = e.hint > 30 ? 3 : 60;
	put_summary(b, slab, e);
}

static void summary_spare(struct bed *b)
{
	put_summary(b, 5000, (struct summary_entry){.load = true});
}

static void data_unreadable(struct bed *b)
{
	unreadable(b, get_mapping(b, 50).pbn);
}

static void fragment_header(struct bed *b)
{
	flip(b, get_mapping(b, SQUEEZED).pbn, 0, 2);
}

/* The block has a fragment less than is mapped. */
static void fragment_missing(struct bed *b)
{
	struct mapping m = get_mapping(b, SQUEEZED);
	uint8_t block[B];

	peek(b, m.pbn, block);
	put_u16(block + 8 + 2 * (m.state - STATE_FRAGMENT_0), 0);
	poke(b, m.pbn, block);
}

static void fragment_damaged(struct bed *b)
{
	struct mapping m = get_mapping(b, SQUEEZED);
	const uint8_t *bytes;
	uint8_t block[B];
	size_t size;

	peek(b, m.pbn, block);
	ck_assert_int_eq(fragment_find(block, m.state, &bytes, &size), 0);
	memset(block + (bytes - block), 0xff, size);
	poke(b, m.pbn, block);
}

enum {
	ALONE = 1,   /* nothing else is found */
	DIRTY = 2,   /* of a volume that was not closed */
	DATA = 4,    /* needs VDO_CHECK_DATA */
	KEEPS = 8,   /* mending it loses nothing */
	TOUCHES = 16 /* logical blocks are told */
};

static const struct plant {
	enum vdo_check_code code;
	void (*plant)(struct bed *b);
	unsigned flags;
} plants[] = {
	{VDO_CHECK_GEOMETRY, geometry, ALONE},
	{VDO_CHECK_TRUNCATED, truncated, ALONE},
	{VDO_CHECK_SUPER_UNREADABLE, super_unreadable, ALONE},
	{VDO_CHECK_SUPER_CHECKSUM, super_checksum, ALONE},
	{VDO_CHECK_SUPER_DAMAGED, super_damaged, ALONE},
	{VDO_CHECK_SUPER_NONCE, super_nonce, ALONE},
	{VDO_CHECK_SUPER_INVALID, super_invalid, ALONE},
	{VDO_CHECK_NEEDS_REBUILD, needs_rebuild, ALONE},
	{VDO_CHECK_ROOT_COUNT, root_count, 0},
	{VDO_CHECK_SLAB_CONFIG, slab_config, ALONE},
	{VDO_CHECK_ZONE_COUNT, zone_count, ALONE | KEEPS},
	{VDO_CHECK_LOGICAL_USED, logical_used, ALONE | KEEPS},
	{VDO_CHECK_MAP_PAGES, map_pages, ALONE | KEEPS},
	{VDO_CHECK_JOURNAL_UNREADABLE, journal_unreadable, ALONE},
	{VDO_CHECK_JOURNAL_DAMAGED, journal_damaged, ALONE | DIRTY},
	{VDO_CHECK_JOURNAL_OLD, journal_old, ALONE | DIRTY},
	{VDO_CHECK_JOURNAL_ENTRY, journal_entry, DIRTY},
	{VDO_CHECK_JOURNAL_ENTRY, journal_stray, DIRTY},
	{VDO_CHECK_JOURNAL_AHEAD, journal_ahead, KEEPS},
	{VDO_CHECK_JOURNAL_HEADS, journal_heads, ALONE | KEEPS},
	{VDO_CHECK_JOURNAL_BEHIND, journal_behind, ALONE | KEEPS},
	{VDO_CHECK_ROOT_DAMAGED, root_damaged, TOUCHES},
	{VDO_CHECK_PAGE_DAMAGED, page_damaged, TOUCHES},
	{VDO_CHECK_PAGE_UNREADABLE, page_unreadable, TOUCHES},
	{VDO_CHECK_PAGE_TWICE, page_twice, TOUCHES},
	{VDO_CHECK_PAGE_LOST, page_lost, TOUCHES},
	{VDO_CHECK_CHILD_INVALID, child_invalid, TOUCHES},
	{VDO_CHECK_CHILD_BEYOND, child_beyond, ALONE | KEEPS},
	{VDO_CHECK_MAPPING_INVALID, mapping_invalid, TOUCHES},
	{VDO_CHECK_MAPPING_OUTSIDE, mapping_outside, TOUCHES},
	{VDO_CHECK_MAPPING_BEYOND, mapping_beyond, ALONE | KEEPS},
	{VDO_CHECK_PAGE_AND_DATA, page_and_data, TOUCHES},
	{VDO_CHECK_TWO_FORMS, two_forms, ALONE | TOUCHES},
	{VDO_CHECK_TOO_MANY, too_many, TOUCHES},
	{VDO_CHECK_COUNT_MISSING, count_missing, ALONE | KEEPS | TOUCHES},
	{VDO_CHECK_COUNT_LOW, count_low, ALONE | KEEPS | TOUCHES},
	{VDO_CHECK_COUNT_HIGH, count_high, ALONE | KEEPS},
	{VDO_CHECK_UNREFERENCED, unreferenced, ALONE | KEEPS},
	{VDO_CHECK_PAGE_COUNT, page_count, ALONE | KEEPS | TOUCHES},
	{VDO_CHECK_COUNTS_BEYOND, counts_beyond, ALONE | KEEPS},
	{VDO_CHECK_COUNTS_UNREADABLE, counts_unreadable, ALONE | KEEPS},
	{VDO_CHECK_COMMIT_POINT, commit_point, ALONE | KEEPS},
	{VDO_CHECK_SLAB_UNREADABLE, slab_unreadable, ALONE | KEEPS},
	{VDO_CHECK_SLAB_TAIL, slab_tail, ALONE | KEEPS},
	{VDO_CHECK_SLAB_BLOCK, slab_block, ALONE | KEEPS},
	{VDO_CHECK_SLAB_ENTRY, slab_entry, ALONE | KEEPS},
	{VDO_CHECK_SLAB_DISAGREES, slab_disagrees, ALONE | KEEPS},
	{VDO_CHECK_SLAB_POINTS, slab_points, ALONE | KEEPS},
	{VDO_CHECK_SUMMARY_UNREADABLE, summary_unreadable, ALONE | KEEPS},
	{VDO_CHECK_SUMMARY_TAIL, summary_tail, ALONE | KEEPS},
	{VDO_CHECK_SUMMARY_FLAGS, summary_flags, ALONE | KEEPS},
	{VDO_CHECK_SUMMARY_HINT, summary_hint, ALONE | KEEPS},
	{VDO_CHECK_SUMMARY_SPARE, summary_spare, ALONE | KEEPS},
	{VDO_CHECK_DATA_UNREADABLE, data_unreadable, ALONE | DATA | TOUCHES},
	{VDO_CHECK_FRAGMENT_HEADER, fragment_header, ALONE | DATA | TOUCHES},
	{VDO_CHECK_FRAGMENT_MISSING, fragment_missing, ALONE | DATA | TOUCHES},
	{VDO_CHECK_FRAGMENT_DAMAGED, fragment_damaged, ALONE | DATA | TOUCHES},
};

#define PLANTS ((int)ARRAY_SIZE(plants))

/* A damaged bed, and a look at it. */
static struct bed *plant(const struct plant *p)
{
	unsigned flags = p->flags & DATA ? VDO_CHECK_DATA : 0;
	struct bed *b = make_bed(!(p->flags & DIRTY));

	expect_clean(b, VDO_CHECK_DATA);
	p->plant(b);
	check_flags(b, flags, NULL);
	return b;
}

START_TEST(each_damage_is_named)
{
	const struct plant *p = &plants[_i];
	struct bed *b = plant(p);
	const struct vdo_check_finding *f = find(b, p->code);

	if (f == NULL || (p->flags & ALONE &&
			  b->report.findings != b->report.by_code[p->code]))
		print_findings(b);
	ck_assert_msg(f != NULL, "%s is not found", vdo_check_name(p->code));
	if (p->flags & ALONE)
		ck_assert_uint_eq(b->report.findings,
				  b->report.by_code[p->code]);
	ck_assert_int_eq(f->severity, vdo_check_severity(p->code));
	ck_assert_uint_ge(b->report.by_severity[f->severity], 1);
	ck_assert_uint_eq(f->mendable,
			  vdo_check_mend(p->code) != VDO_CHECK_CANNOT);
	ck_assert(!f->mended);
	ck_assert_uint_ne(f->block, VDO_CHECK_NO_NUMBER);
	if (p->flags & TOUCHES) {
		ck_assert_uint_gt(f->logical_blocks, 0);
		ck_assert_uint_gt(f->block_count, 0);
		ck_assert_uint_lt(f->blocks[0].first, b->f.logical_blocks);
	}
	free_bed(b);
}
END_TEST

/* ------------------------------------------------------------------- repairs
 */

static uint8_t *copy_of(struct bed *b)
{
	uint8_t *bytes = malloc(b->f.block_count * B);

	ck_assert_ptr_nonnull(bytes);
	for (uint64_t i = 0; i < b->f.block_count; i++)
		peek(b, i, bytes + i * B);
	return bytes;
}

static struct vdo_device *make_undo(void)
{
	struct vdo_device *undo;

	ck_assert_int_eq(vdo_device_open_memory(8 << 20, &undo), 0);
	return undo;
}

/* What was changed is as it was, but for what could not be read. */
static void undo_it(struct bed *b, struct vdo_device *undo,
		    const uint8_t *before, bool all)
{
	struct vdo_device *device = sim_device_open(b->f.sd, NULL);
	uint8_t block[B];
	uint64_t blocks;

	ck_assert_msg(vdo_check_undo_device(device, undo, &blocks, &error) == 0,
		      "%s", error.message);
	ck_assert_uint_gt(blocks, 0);
	vdo_device_close(device);
	for (uint64_t i = 0; all && i < b->f.block_count; i++) {
		peek(b, i, block);
		ck_assert_msg(memcmp(block, before + i * B, B) == 0,
			      "block %llu is not as it was",
			      (unsigned long long)i);
	}
}

/* Open it, and read all that is not lost; then once more from the image. */
static void use_it(struct bed *b, bool keeps)
{
	uint8_t *buf = malloc(B);

	fixture_open(&b->f, "");
	if (keeps)
		fixture_verify_all(&b->f);
	for (uint64_t i = 0; i < b->f.logical_blocks; i++)
		ck_assert_int_eq(vdo_pread(b->f.volume, buf, B, i * B, 0), 0);
	fixture_write(&b->f, 20, 60, V_UNIQUE(2000), 0);
	b->f.no_check = !keeps;
	ck_assert_int_eq(fixture_try_close(&b->f), 0);
	ck_assert_uint_eq(fixture_check_image(&b->f), 0);
	free(buf);
}

START_TEST(what_can_be_mended_is)
{
	const struct plant *p = &plants[_i];
	enum vdo_check_mend mend = vdo_check_mend(p->code);
	unsigned flags = VDO_CHECK_REPAIR;
	struct vdo_device *undo;
	struct bed *b;
	uint8_t *before;
	bool readable;

	if (mend == VDO_CHECK_CANNOT)
		return;
	b = plant(p);
	before = copy_of(b);
	if (mend == VDO_CHECK_CLEARS)
		flags |= VDO_CHECK_LOSE;
	readable = strstr(vdo_check_name(p->code), "unreadable") == NULL;
	for (int round = 0; round < 2; round++) {
		undo = make_undo();
		check_flags(b, flags, undo);
		ck_assert_ptr_nonnull(find(b, p->code));
		ck_assert(find(b, p->code)->mended);
		ck_assert_uint_eq(b->report.mended, b->report.findings);
		ck_assert_uint_eq(b->report.mendable + b->report.losing, 0);
		if (round == 0)
			undo_it(b, undo, before, readable);
		vdo_device_close(undo);
	}
	sim_device_clear_faults(b->f.sd);
	ck_assert_uint_eq(fixture_state(&b->f), VOLUME_CLEAN);
	expect_clean(b, VDO_CHECK_DATA);
	ck_assert_uint_eq(fixture_check_image(&b->f), 0);
	use_it(b, (p->flags & KEEPS) != 0);
	expect_clean(b, VDO_CHECK_DATA);
	free(before);
	free_bed(b);
}
END_TEST

/* What only mends with a loss is left alone, and nothing is freed meanwhile; a
 * count that is too low is put right all the same. */
START_TEST(nothing_is_lost_unasked)
{
	struct bed *b = make_bed(true);
	struct vdo_device *undo = make_undo();
	uint8_t *before, block[B];
	uint64_t losing;
	unsigned slot;

	flip(b, page_of(b, LAST, 0, &slot), 16, 1);
	before = copy_of(b);
	check_flags(b, VDO_CHECK_REPAIR, undo);
	ck_assert_uint_eq(b->report.by_code[VDO_CHECK_UNREFERENCED], 10);
	ck_assert_uint_eq(b->report.mended, 0);
	ck_assert_uint_eq(b->report.losing, b->report.findings);
	ck_assert_uint_eq(b->report.blocks_changed, 0);
	losing = b->report.losing;
	for (uint64_t i = 0; i < b->f.block_count; i++) {
		peek(b, i, block);
		ck_assert_mem_eq(block, before + i * B, B);
	}
	count_missing(b);
	check_flags(b, VDO_CHECK_REPAIR, undo);
	ck_assert_uint_eq(b->report.mended, 1);
	check_flags(b, 0, NULL);
	ck_assert_uint_eq(b->report.findings, losing);
	free(before);
	vdo_device_close(undo);
	free_bed(b);
}
END_TEST

/* A page or a root that is zeroes looks as if it had never been written; then
 * nothing is freed unasked either. Where nobody knows the counts (2, 3), nothing but
 * the number of pages tells that some may be lost, so it stays. */
START_TEST(nothing_is_freed_that_a_lost_page_led_to)
{
	struct bed *b = make_bed(true);
	struct vdo_device *undo = make_undo();
	uint8_t nothing[B] = {0};
	bool known = _i < 2;
	unsigned slot;

	if (_i % 2 == 0)
		poke(b, page_of(b, LAST, 0, &slot), nothing);
	else
		poke(b, b->sb.root_origin + 2, nothing);
	for (uint64_t i = 0; !known && i < b->slabs.slab_count; i++) {
		struct summary_entry e = get_entry(b, i);

		e.tail_offset = 200;
		put_summary(b, i, e);
	}
	for (int i = 0; i < 3; i++) {
		check_flags(b, VDO_CHECK_REPAIR, undo);
		if (known)
			ck_assert_uint_ge(
				b->report.by_code[VDO_CHECK_UNREFERENCED], 10);
		ck_assert_uint_eq(b->report.by_code[VDO_CHECK_PAGE_LOST],
				  known);
		ck_assert_uint_eq(b->report.by_code[VDO_CHECK_LOGICAL_USED],
				  1);
		ck_assert_uint_eq(b->report.mendable, 0);
		ck_assert_uint_eq(b->report.blocks_changed, 0);
	}
	check_flags(b, VDO_CHECK_REPAIR | VDO_CHECK_LOSE, undo);
	expect_clean(b, VDO_CHECK_DATA);
	vdo_device_close(undo);
	free_bed(b);
}
END_TEST

/* ---------------------------------------------------------------- no damage */

START_TEST(undamaged_has_no_finding)
{
	struct bed *b = calloc(1, sizeof(*b));

	fixture_init(&b->f, _i, "");
	expect_clean(b, VDO_CHECK_DATA);
	fixture_open(&b->f, "");
	fill(&b->f);
	fixture_close(&b->f);
	expect_clean(b, VDO_CHECK_DATA);
	ck_assert_uint_gt(b->report.mappings, 100);
	ck_assert_uint_gt(b->report.data_blocks, 100);
	fixture_open(&b->f, "");
	fixture_write(&b->f, 500, 900, V_UNIQUE(7000), 0);
	fixture_discard(&b->f, 0, 300);
	fixture_flush(&b->f);
	fixture_abandon(&b->f);
	expect_clean(b, VDO_CHECK_DATA);
	ck_assert(b->report.replayed);
	free_bed(b);
}
END_TEST

/* What was not flushed may be there or not; both is as it should be. */
START_TEST(crashed_has_no_finding)
{
	struct sim_device_config config = {.seed = (uint64_t)_i + 1,
					   .block_count = 8192,
					   .volatile_cache = true};
	struct bed *b = calloc(1, sizeof(*b));

	fixture_init_raw(&b->f, KIND_SIM, &config);
	ck_assert_int_eq(fixture_format(&b->f,
					"profile=small slab-bits=9 "
					"slab-journal-blocks=8 "
					"journal-blocks=32 logical-size=8M "
					"force=on"),
			 0);
	fixture_open(&b->f, "");
	fill(&b->f);
	sim_device_crash_at(b->f.sd, 40 + 29 * (uint64_t)_i);
	for (int i = 0; i < 2000 && !sim_device_crashed(b->f.sd); i++)
		(void)fixture_try_write(&b->f, (uint64_t)(i * 7 % 2000),
					V_UNIQUE(8000 + i), 0);
	fixture_abandon(&b->f);
	vdo_device_close(sim_device_reopen(b->f.sd, NULL));
	expect_clean(b, VDO_CHECK_DATA);
	free_bed(b);
}
END_TEST

/* Power fails at the nth write of a slab journal, around which is decided what is
 * lost; the summary is slow. */
struct trap {
	struct bed *bed;
	unsigned in;
};

static bool is_slab_journal(const struct bed *b, uint64_t block)
{
	const struct slab_config *c = &b->sb.slab;

	return block >= b->slabs.first_block &&
	       (block - b->slabs.first_block) % c->slab_blocks >=
		       c->data_blocks + c->reference_count_blocks;
}

static bool spring(void *arg, const struct vdo_device_io *io)
{
	struct trap *t = arg;
	uint64_t block = io->offset / B;

	if (io->op != VDO_DEVICE_WRITE || !is_slab_journal(t->bed, block) ||
	    t->in == 0 || --t->in > 0)
		return false;
	sim_device_focus(t->bed->f.sd, block);
	sim_device_crash(t->bed->f.sd);
	return false;
}

static unsigned is_summary(void *arg, uint64_t block, const void *bytes)
{
	const struct bed *b = arg;
	const struct partition *p = &b->sb.partitions[PARTITION_SUMMARY];

	(void)bytes;
	return block >= p->start && block - p->start < p->count;
}

static void write_until_crash(struct bed *b, struct trap *t, unsigned in)
{
	static uint8_t data[500 * B];

	t->in = in;
	for (unsigned n = 0; n < 30 && !sim_device_crashed(b->f.sd); n++) {
		for (uint64_t i = 0; i < 500; i++)
			pattern_fill(V_UNIQUE(9000 + 500 * n + i),
				     data + i * B);
		(void)vdo_pwrite(b->f.volume, data, sizeof(data), 0, 0);
	}
	ck_assert(sim_device_crashed(b->f.sd));
	fixture_abandon(&b->f);
	vdo_device_close(sim_device_reopen(b->f.sd, NULL));
}

/* A recovery is interrupted after it has used blocks of a slab journal which the
 * summary still leads to. */
START_TEST(recovery_was_interrupted)
{
	static const uint64_t delays[SIM_KINDS] = {0, 100000000};
	struct sim_device_config config = {.seed = (uint64_t)_i + 1,
					   .block_count = 1600,
					   .volatile_cache = true};
	struct bed *b = calloc(1, sizeof(*b));
	struct trap t = {.bed = b};

	fixture_init_raw(&b->f, KIND_SIM, &config);
	ck_assert_int_eq(fixture_format(&b->f,
					"profile=small slab-bits=10 "
					"slab-journal-blocks=4 "
					"journal-blocks=64 logical-size=2M "
					"force=on"),
			 0);
	load_super(b);
	sim_device_kinds(b->f.sd, is_summary, b);
	sim_device_delays(b->f.sd, delays);
	sim_device_hold(b->f.sd, spring, &t);
	fixture_open(&b->f, "depth=2000");
	write_until_crash(b, &t, 4 + (unsigned)_i % 5);
	for (unsigned n = 1; n < 6; n++) {
		t.in = n;
		if (fixture_try_open(&b->f, "") == 0)
			fixture_abandon(&b->f);
		if (!sim_device_crashed(b->f.sd))
			break;
		vdo_device_close(sim_device_reopen(b->f.sd, NULL));
		expect_clean(b, VDO_CHECK_DATA);
	}
	sim_device_hold(b->f.sd, NULL, NULL);
	free_bed(b);
}
END_TEST

static void shorten_slab_journals(struct bed *b)
{
	load_super(b);
	b->sb.slab.slab_journal_blocks = SLAB_JOURNAL_BLOCKS_MIN;
	b->sb.slab.flushing_threshold = 1;
	b->sb.slab.blocking_threshold = SLAB_JOURNAL_BLOCKS_MIN;
	b->sb.slab.scrubbing_threshold = SLAB_JOURNAL_BLOCKS_MIN;
	store_super(b);
}

static bool any_without_journal(struct bed *b)
{
	bool any = false;

	load_super(b);
	for (uint64_t i = 0; i < b->slabs.slab_count; i++) {
		struct summary_entry e = get_entry(b, i);

		any |= e.load && !e.dirty && e.tail_offset == 1;
	}
	return any;
}

/* Counts may be on disk before the first block of their journal: where it has two
 * blocks, and where they were dropped. */
START_TEST(counts_come_before_their_journal)
{
	struct bed *b = calloc(1, sizeof(*b));

	fixture_init(&b->f, KIND_SIM, "slab-journal-blocks=3");
	if (_i == 0)
		shorten_slab_journals(b);
	else
		b->f.counts_memory = 1;
	fixture_open(&b->f, "");
	fixture_write(&b->f, 0, 700, V_UNIQUE(9000), 0);
	fixture_flush(&b->f);
	for (uint64_t i = 0; i < 1000 && !any_without_journal(b); i++)
		fixture_write(&b->f, 700 + i, 1, V_UNIQUE(9700 + i), 0);
	fixture_flush(&b->f);
	ck_assert(any_without_journal(b));
	fixture_abandon(&b->f);
	check_flags(b, VDO_CHECK_DATA, NULL);
	print_findings(b);
	ck_assert_uint_eq(b->report.findings,
			  b->report.by_severity[VDO_CHECK_COSMETIC]);
	fixture_open(&b->f, "");
	fixture_verify_all(&b->f);
	free_bed(b);
}
END_TEST

/* ------------------------------------------------------------------ failures
 */

START_TEST(allocations_fail)
{
	struct bed *b = make_bed(true);
	unsigned long n;

	count_missing(b);
	fragment_damaged(b);
	for (n = 1;; n++) {
		int r;

		fail_at = n;
		r = try_check(b, VDO_CHECK_DATA, NULL);
		fail_at = 0;
		if (r == 0 &&
		    find(b, VDO_CHECK_COUNT_MISSING)->block_count > 0 &&
		    find(b, VDO_CHECK_FRAGMENT_DAMAGED)->block_count > 0)
			break;
		ck_assert(r == 0 || r == -ENOMEM);
	}
	ck_assert_uint_gt(n, 10);
	free_bed(b);
}
END_TEST

static uint64_t operations(struct bed *b)
{
	return sim_device_count(b->f.sd, VDO_DEVICE_READ) +
	       sim_device_count(b->f.sd, VDO_DEVICE_WRITE) +
	       sim_device_count(b->f.sd, VDO_DEVICE_FLUSH);
}

/* One repair that may fail; what was planted is there again afterwards. */
static int repair_once(struct bed *b, const uint8_t *before, unsigned *marked)
{
	struct vdo_device *undo = make_undo();
	int r = try_check(b, VDO_CHECK_REPAIR | VDO_CHECK_LOSE, undo);

	fail_at = 0;
	sim_device_clear_faults(b->f.sd);
	if (r != 0 && fixture_state(&b->f) == VOLUME_FORCE_REBUILD) {
		++*marked;
		ck_assert_ptr_nonnull(strstr(error.message, "undo"));
		undo_it(b, undo, before, true);
	}
	if (r == 0 && b->report.mended == b->report.findings)
		expect_clean(b, 0);
	for (uint64_t i = 0; i < b->f.block_count; i++)
		poke(b, i, before + i * B);
	vdo_device_close(undo);
	return r;
}

/* Whatever becomes of a repair, it can be undone. */
static void repair_fails(bool memory)
{
	struct bed *b = make_bed(true);
	struct sim_fault fault = {.ops = SIM_OPS_ALL, .times = 1};
	uint64_t most = operations(b);
	unsigned marked = 0;
	uint8_t *before;

	count_missing(b);
	mapping_outside(b);
	before = copy_of(b);
	ck_assert_int_eq(repair_once(b, before, &marked), 0);
	most = memory ? 200 : operations(b) - most;
	for (unsigned long n = 1; n <= most; n++) {
		fault.skip = n - 1;
		if (memory)
			fail_at = n;
		else
			sim_device_fault(b->f.sd, &fault);
		if (repair_once(b, before, &marked) == 0 && memory)
			break;
	}
	ck_assert(memory || marked > 3);
	free(before);
	free_bed(b);
}

START_TEST(allocations_of_a_repair_fail)
{
	repair_fails(true);
}
END_TEST

START_TEST(storage_of_a_repair_fails)
{
	repair_fails(false);
}
END_TEST

/* What a crash has left of a repair: all of it, nothing, or what can be undone.
 */
static void after_the_crash(struct bed *b, struct vdo_device *undo,
			    const uint8_t *before)
{
	uint8_t block[B];

	if (fixture_state(&b->f) == VOLUME_FORCE_REBUILD) {
		undo_it(b, undo, before, true);
		return;
	}
	check_flags(b, 0, NULL);
	if (b->report.findings == 0)
		return;
	for (uint64_t i = 0; i < b->f.block_count; i++) {
		peek(b, i, block);
		ck_assert_msg(memcmp(block, before + i * B, B) == 0,
			      "block %llu was changed in a clean volume",
			      (unsigned long long)i);
	}
}

/* The power fails at the @nth operation of a repair, of the undo file as well;
 * true: it was quicker. */
static bool lose_power(uint64_t nth)
{
	struct sim_device_config config = {
		.seed = nth, .block_count = 1024, .volatile_cache = true};
	struct sim_device *file = sim_device_create(&config);
	struct vdo_device *undo = sim_device_open(file, NULL);
	struct bed *b = make_bed(true);
	uint8_t *before;
	bool over;

	count_missing(b);
	summary_tail(b);
	mapping_outside(b);
	before = copy_of(b);
	sim_device_crash_at(b->f.sd, nth);
	over = try_check(b, VDO_CHECK_REPAIR | VDO_CHECK_LOSE, undo) == 0;
	vdo_device_close(undo);
	over = over && !sim_device_crashed(b->f.sd);
	if (sim_device_crashed(b->f.sd))
		vdo_device_close(sim_device_reopen(b->f.sd, NULL));
	sim_device_crash_at(b->f.sd, 0);
	sim_device_crash(file);
	undo = sim_device_reopen(file, NULL);
	if (over)
		expect_clean(b, 0);
	after_the_crash(b, undo, before);
	vdo_device_close(undo);
	free(before);
	free_bed(b);
	sim_device_destroy(file);
	return over;
}

START_TEST(power_fails_during_a_repair)
{
	uint64_t n = 1;

	while (!lose_power(n))
		n++;
	ck_assert_uint_gt(n, 30);
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* A page of the block map, at block @at of the slabs or after it. */
static pbn_t some_page(struct bed *b, uint64_t at)
{
	uint64_t count = b->sb.physical_blocks - b->slabs.first_block;
	uint8_t block[B];

	for (uint64_t n = 0; n < count; n++) {
		pbn_t pbn = b->slabs.first_block + (at + n) % count;

		peek(b, pbn, block);
		if (mapping_page_check(block, b->sb.nonce, pbn) ==
		    MAP_PAGE_VALID)
			return pbn;
	}
	return b->slabs.first_block + at; /* none was written yet */
}

/* A block of metadata: of the first blocks, a slab's, the journal, or a page.
 */
static pbn_t some_metadata(struct bed *b, uint64_t *state)
{
	uint64_t slab = next_random(state) % 3;
	const struct partition *p = b->sb.partitions;

	switch (next_random(state) % 6) {
	case 0:
		return b->sb.root_origin + next_random(state) % 3;
	case 1:
		return counts_of(b, slab);
	case 2:
		return ring_of(b, slab) + next_random(state) % 8;
	case 3:
		return p[PARTITION_JOURNAL].start + next_random(state) % 32;
	case 4:
		return p[PARTITION_SUMMARY].start + next_random(state) % 5;
	default:
		return some_page(b, next_random(state) % 100);
	}
}

/*
 * Whatever lies in the metadata: a check ends, and so does a repair. If that
 * has mended all, nothing is left to be found; and the volume can be used.
 */
static void damage_at_random(uint64_t seed, bool closed)
{
	struct bed *b = make_bed(closed);
	struct vdo_device *undo;
	uint64_t state = seed;
	bool all;

	for (uint64_t n = 1 + next_random(&state) % 6; n > 0; n--) {
		pbn_t pbn = some_metadata(b, &state);
		unsigned at = (unsigned)(next_random(&state) % B);

		if (next_random(&state) % 2 == 0)
			at %= 64; /* where headers are */
		flip(b, pbn, at, (uint8_t)(1 + next_random(&state) % 255));
	}
	check_flags(b, VDO_CHECK_DATA, NULL);
	if (!closed) {
		free_bed(b);
		return;
	}
	undo = make_undo();
	check_flags(b, VDO_CHECK_REPAIR | VDO_CHECK_LOSE, undo);
	all = b->report.mended == b->report.findings;
	vdo_device_close(undo);
	if (all) {
		check_flags(b, 0, NULL);
		if (b->report.findings != 0)
			print_findings(b);
		ck_assert_msg(b->report.findings == 0, "seed %llu",
			      (unsigned long long)seed);
		ck_assert_uint_eq(fixture_check_image(&b->f), 0);
		use_it(b, false);
	}
	free_bed(b);
}

START_TEST(anything_may_be_damaged)
{
	for (unsigned i = 0; i < unit_share(40); i++)
		damage_at_random(1000 * (uint64_t)_i + i, _i % 3 != 0);
}
END_TEST

START_TEST(cancelled)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct bed *b = make_bed(true);
	struct vdo_device *device = sim_device_open(b->f.sd, NULL);
	struct vdo_check_report r;
	struct vdo_job *job;

	ck_assert_int_eq(
		vdo_check_device(device, c, 0, NULL, NULL, NULL, &job, &error),
		0);
	ck_assert_int_eq(vdo_check_report_get(job, &r, sizeof(r)), -EAGAIN);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	free_bed(b);
}
END_TEST

START_TEST(what_is_refused)
{
	struct bed *b = make_bed(true);
	struct vdo_device *undo = make_undo();
	struct vdo_job *job;

	ck_assert_int_eq(try_check(b, 64, NULL), -EINVAL);
	ck_assert_int_eq(try_check(b, VDO_CHECK_LOSE, NULL), -EINVAL);
	ck_assert_int_eq(try_check(b, VDO_CHECK_REPAIR, NULL), -EINVAL);
	ck_assert_int_eq(
		vdo_check_device(NULL, NULL, 0, NULL, NULL, NULL, &job, &error),
		-EINVAL);
	ck_assert_int_eq(vdo_check("/nowhere/at/all", NULL, 0, NULL, NULL, NULL,
				   &job, &error),
			 -ENOENT);
	fixture_open(&b->f, "");
	ck_assert_int_eq(vdo_check_device(b->f.device, NULL, 0, NULL, NULL,
					  NULL, &job, &error),
			 -VDO_EINUSE);
	fixture_abandon(&b->f);
	ck_assert_int_eq(try_check(b, VDO_CHECK_REPAIR, undo), -VDO_EDIRTY);
	b->sb.state = VOLUME_FORCE_REBUILD;
	store_super(b);
	ck_assert_int_eq(try_check(b, VDO_CHECK_REPAIR, undo), -VDO_EREBUILD);
	vdo_device_close(undo);
	free_bed(b);
}
END_TEST

/* Once the volume was used, a repair cannot be undone any more. */
START_TEST(undo_of_what_was_used)
{
	struct vdo_device *undo = make_undo(), *device;
	struct bed *b = make_bed(true);
	uint8_t block[B] = {0};

	count_missing(b);
	check_flags(b, VDO_CHECK_REPAIR, undo);
	fixture_open(&b->f, "");
	fixture_write(&b->f, 0, 5, V_UNIQUE(9000), 0);
	fixture_close(&b->f);
	device = sim_device_open(b->f.sd, NULL);
	ck_assert_int_eq(vdo_check_undo_device(device, undo, NULL, &error),
			 -VDO_ECONFLICT);
	ck_assert_int_eq(device_write(undo, 0, block, B), 0);
	ck_assert_int_eq(vdo_check_undo_device(device, undo, NULL, &error),
			 -VDO_ENOTVDO);
	vdo_device_close(device);
	vdo_device_close(undo);
	fixture_open(&b->f, "");
	fixture_verify_all(&b->f);
	free_bed(b);
}
END_TEST

/* -------------------------------------------------------------------- memory
 */

#ifndef UNIT_SANITIZED /* sanitizers have memory of their own */

#define LIMIT (UINT64_C(300) << 20)

struct big {
	struct vdo_device *device;
	struct superblock sb;
	struct slab_geometry slabs;
	size_t before, most;
	uint64_t calls;
};

static void write_block(struct big *b, pbn_t pbn, const void *bytes)
{
	ck_assert_int_eq(device_write(b->device, pbn * B, bytes, B), 0);
}

/* Slabs are in use everywhere, and a leaf page leads into each 1.3 GiB. */
static void spread(struct big *b)
{
	pbn_t first = b->slabs.first_block;
	uint8_t page[B];

	for (unsigned level = MAP_LEVELS - 1; level > 0; level--) {
		pbn_t pbn = level == MAP_LEVELS - 1 ? b->sb.root_origin
						    : first + level;

		mapping_page_format(page, b->sb.nonce, pbn, true);
		mapping_page_put(page, 0,
				 (struct mapping){first + level - 1, 1});
		write_block(b, pbn, page);
	}
	mapping_page_format(page, b->sb.nonce, first, true);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++) {
		uint64_t at = b->slabs.slab_count * i / MAP_PAGE_ENTRIES;

		mapping_page_put(page, i,
				 (struct mapping){slab_start(&b->slabs, at) +
							  1000 +
							  300000 * (i % 2),
						  1});
	}
	write_block(b, first, page);
	for (unsigned zone = 0; zone < 16; zone++)
		for (unsigned i = 0; i < SUMMARY_ZONE_BLOCKS; i++) {
			pbn_t pbn = b->sb.partitions[PARTITION_SUMMARY].start +
				    zone * SUMMARY_ZONE_BLOCKS + i;

			memset(page, 0, B);
			for (unsigned k = 0; k < SUMMARY_PER_BLOCK; k++)
				slab_summary_encode(
					page + 2 * k,
					(struct summary_entry){
						.load = i * SUMMARY_PER_BLOCK +
								k <
							b->slabs.slab_count});
			write_block(b, pbn, page);
		}
	b->sb.state = VOLUME_CLEAN;
	superblock_encode(&b->sb, page);
	write_block(b, b->sb.root_origin - 1, page);
}

static void measure(void *arg, const struct vdo_check_finding *f)
{
	struct big *b = arg;
	size_t now = unit_resident_bytes();

	b->calls++;
	b->most = MAX(b->most, now);
}

/* 1 TiB of which all slabs are in use, and what leads to them is all over it.
 */
START_TEST(memory_is_bounded)
{
	char path[] = "/tmp/libvdo-check-XXXXXX";
	struct vdo_config *c = fixture_config(
		"size=1T index-memory=none force=on executor=inline");
	struct vdo_check_report r;
	struct geometry g;
	struct big b = {0};
	struct vdo_job *job;
	uint8_t block[B];

	close(mkstemp(path));
	ck_assert_msg(vdo_format(path, c, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vdo_device_open(path, 0, &b.device, &error), 0);
	ck_assert_int_eq(device_read(b.device, 0, block, B), 0);
	ck_assert_int_eq(geometry_decode(block, &g), 0);
	ck_assert_int_eq(device_read(b.device, g.data_start * B, block, B), 0);
	ck_assert_int_eq(superblock_decode(block, g.data_start, &b.sb), 0);
	layout_slab_geometry_init(&b.slabs, &b.sb);
	spread(&b);
	b.before = unit_resident_bytes();
	ck_assert_int_eq(vdo_check_device(b.device, c, _i, NULL, measure, &b,
					  &job, &error),
			 0);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	ck_assert_int_eq(vdo_check_report_get(job, &r, sizeof(r)), 0);
	vdo_job_free(job);
	ck_assert_uint_eq(r.mappings, MAP_PAGE_ENTRIES);
	ck_assert_uint_eq(r.slabs, b.slabs.slab_count);
	ck_assert_uint_eq(r.by_code[VDO_CHECK_COUNT_MISSING], MAP_PAGE_ENTRIES);
	ck_assert_uint_gt(b.calls, 100);
	ck_assert_uint_gt(b.most, b.before + (64u << 20)); /* it measures */
	ck_assert_msg(b.most - b.before < LIMIT, "%zu MiB",
		      (b.most - b.before) >> 20);
	vdo_device_close(b.device);
	unlink(path);
	vdo_config_free(c);
}
END_TEST

#endif

START_TEST(names)
{
	for (int i = 0; i < VDO_CHECK_CODES; i++) {
		enum vdo_check_code code = (enum vdo_check_code)i;

		ck_assert_ptr_nonnull(vdo_check_text(code));
		ck_assert_ptr_nonnull(vdo_check_structure(code));
		ck_assert_ptr_nonnull(
			vdo_check_severity_name(vdo_check_severity(code)));
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(
				vdo_check_name(code),
				vdo_check_name((enum vdo_check_code)k));
	}
	ck_assert_ptr_null(vdo_check_name(VDO_CHECK_CODES));
	ck_assert_ptr_null(vdo_check_severity_name((enum vdo_check_severity)9));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("check");

	tcase_add_loop_test(tc, each_damage_is_named, 0, PLANTS);
	tcase_add_loop_test(tc, what_can_be_mended_is, 0, PLANTS);
	tcase_add_test(tc, nothing_is_lost_unasked);
	tcase_add_loop_test(tc, nothing_is_freed_that_a_lost_page_led_to, 0, 4);
	tcase_add_loop_test(tc, undamaged_has_no_finding, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, crashed_has_no_finding, 0, 20);
	tcase_add_loop_test(tc, recovery_was_interrupted, 0, 20);
	tcase_add_loop_test(tc, counts_come_before_their_journal, 0, 2);
	tcase_add_test(tc, allocations_fail);
	tcase_add_test(tc, allocations_of_a_repair_fail);
	tcase_add_test(tc, storage_of_a_repair_fails);
	tcase_add_test(tc, power_fails_during_a_repair);
	tcase_add_loop_test(tc, anything_may_be_damaged, 0, 6);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, what_is_refused);
	tcase_add_test(tc, undo_of_what_was_used);
	tcase_add_test(tc, names);
#ifndef UNIT_SANITIZED
	/* Without, and with VDO_CHECK_DATA. */
	tcase_add_loop_test(tc, memory_is_bounded, 0, 2);
#endif
	return unit_run();
}
