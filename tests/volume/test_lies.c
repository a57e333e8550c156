/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Journals that are whole, with entries that are not true: nothing in the
 * format tells one from what was written. None has a recovery, a look at the
 * volume or a rebuild overwrite data; and a crash of Linux, which leaves
 * entries of pages whose first write was lost, is no lie.
 *
 * A volume is closed, and then given a journal as if it had been in use.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/check.h>
#include <vdo/rebuild.h>

#include "base/alloc.h"
#include "format/journal.h"
#include "format/layout.h"
#include "tests/lib/fixture.h"

#define B      BLOCK_SIZE
#define BLOCKS 3u /* of the journal, at most */

/* First logical blocks of two leaf pages, the second of another tree. */
enum { ONE = 0, TWO = MAP_PAGE_ENTRIES };

struct bed {
	struct fixture f;
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	uint8_t *used; /* by PBN: it is not free */
	pbn_t next;
	struct mapping at[2 * MAP_PAGE_ENTRIES]; /* by LBN */
	unsigned entries;
	uint8_t blocks[BLOCKS][B];
	uint64_t found[VDO_CHECK_CODES];
};

static void peek(struct bed *b, pbn_t pbn, void *block)
{
	sim_device_peek(b->f.sd, pbn - b->geometry.bio_offset, block);
}

static void poke(struct bed *b, pbn_t pbn, const void *block)
{
	sim_device_poke(b->f.sd, pbn - b->geometry.bio_offset, block);
}

/* The page of @level on the way to @lbn. */
static pbn_t page_of(struct bed *b, lbn_t lbn, unsigned level)
{
	struct image im;
	pbn_t pbn;

	image_open_sim(&im, b->f.sd, b->f.block_count);
	pbn = image_page_of(&im, lbn, level);
	ck_assert_uint_ne(pbn, 0);
	image_close(&im);
	return pbn;
}

static pbn_t free_block(struct bed *b)
{
	while (!is_data_block(&b->slabs, b->next) || b->used[b->next])
		b->next++;
	ck_assert_uint_lt(b->next, b->sb.physical_blocks);
	return b->next++;
}

static void load(struct bed *b)
{
	struct image im;

	image_open_sim(&im, b->f.sd, b->f.block_count);
	b->geometry = im.geometry;
	b->sb = im.sb;
	b->slabs = im.slabs;
	b->used = image_used(&im);
	for (lbn_t lbn = 0; lbn < ARRAY_SIZE(b->at); lbn++)
		b->at[lbn] = image_lookup(&im, lbn);
	image_close(&im);
}

/* Both leaf pages have data; the second has zeroes, too, which no page that
 * leads to pages has. */
static void bed_init(struct bed *b, int kind)
{
	memset(b, 0, sizeof(*b));
	fixture_init(&b->f, kind, "");
	fixture_open(&b->f, "compression=off");
	fixture_write(&b->f, ONE, 10, V_UNIQUE(1), 0);
	fixture_write(&b->f, TWO, 10, V_UNIQUE(100), 0);
	fixture_write(&b->f, TWO + 20, 2, V_ZERO, 0);
	fixture_close(&b->f);
	load(b);
}

static void bed_fini(struct bed *b)
{
	free(b->used);
	fixture_fini(&b->f);
}

/* ------------------------------------------------------------------ journals
 */

static void append(struct bed *b, const struct journal_entry *e)
{
	unsigned n = b->entries / JOURNAL_ENTRIES_PER_BLOCK;

	ck_assert_uint_lt(n, BLOCKS);
	journal_block_put(b->blocks[n], b->entries % JOURNAL_ENTRIES_PER_BLOCK,
			  journal_check(b->sb.journal_start + n,
					b->sb.recovery_journal_size),
			  (uint8_t)b->sb.complete_recoveries, e);
	b->entries++;
}

/* A write of @lbn, whose leaf page is @leaf, to block @pbn. */
static void write_to(struct bed *b, pbn_t leaf, lbn_t lbn, pbn_t pbn)
{
	struct journal_entry e = {
		.operation = JOURNAL_DATA,
		.page = leaf,
		.slot = (uint16_t)(lbn % MAP_PAGE_ENTRIES),
		.new_mapping = {pbn, STATE_UNCOMPRESSED},
		.old_mapping = b->at[lbn],
	};
	uint8_t data[B];

	b->at[lbn] = e.new_mapping;
	b->f.expect[lbn] = V_UNIQUE(e.new_mapping.pbn);
	pattern_fill(b->f.expect[lbn], data);
	poke(b, e.new_mapping.pbn, data);
	append(b, &e);
}

static void write_in(struct bed *b, pbn_t leaf, lbn_t lbn)
{
	write_to(b, leaf, lbn, free_block(b));
}

static void write_some(struct bed *b, lbn_t lbn, unsigned count)
{
	pbn_t leaf = page_of(b, lbn, 0);

	for (unsigned i = 0; i < count; i++)
		write_in(b, leaf, lbn + i);
}

/* Slot @slot of @page leads to @child from now on. */
static void append_page(struct bed *b, pbn_t page, unsigned slot, pbn_t child)
{
	append(b, &(struct journal_entry){
			  .operation = JOURNAL_BLOCK_MAP,
			  .page = page,
			  .slot = (uint16_t)slot,
			  .new_mapping = {child, STATE_UNCOMPRESSED},
		  });
}

static void store(struct bed *b)
{
	unsigned n = div_up(b->entries, JOURNAL_ENTRIES_PER_BLOCK);
	uint8_t block[B];

	for (unsigned i = 0; i < n; i++) {
		seq_t seq = b->sb.journal_start + i;
		struct journal_header h = {
			.map_head = b->sb.journal_start,
			.slab_head = b->sb.journal_start,
			.seq = seq,
			.nonce = b->sb.nonce,
			.type = JOURNAL_TYPE,
			.entries = (uint16_t)MIN(
				b->entries - i * JOURNAL_ENTRIES_PER_BLOCK,
				JOURNAL_ENTRIES_PER_BLOCK),
			.logical_blocks_used = b->sb.logical_blocks_used,
			.block_map_data_blocks = b->sb.block_map_data_blocks,
			.check =
				journal_check(seq, b->sb.recovery_journal_size),
			.recovery_count = (uint8_t)b->sb.complete_recoveries,
		};

		journal_header_encode(&h, b->blocks[i]);
		poke(b,
		     b->sb.partitions[PARTITION_JOURNAL].start +
			     seq % b->sb.recovery_journal_size,
		     b->blocks[i]);
	}
	b->sb.state = VOLUME_DIRTY;
	superblock_encode(&b->sb, block);
	poke(b, b->geometry.data_start, block);
}

/* ---------------------------------------------------------------------- lies
 */

/* A block that has data since before the journal began. */
static pbn_t old_data(struct bed *b)
{
	return b->at[ONE + 3].pbn;
}

static void lie(struct bed *b, enum journal_operation operation, pbn_t page,
		unsigned slot, pbn_t to)
{
	append(b, &(struct journal_entry){
			  .operation = operation,
			  .page = page,
			  .slot = (uint16_t)slot,
			  .new_mapping = {to, STATE_UNCOMPRESSED},
		  });
}

static void page_is_data(struct bed *b)
{
	lie(b, JOURNAL_DATA, old_data(b), 7, free_block(b));
}

static void parent_is_data(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, old_data(b), 7, free_block(b));
}

static void page_is_free(struct bed *b)
{
	pbn_t page = free_block(b);

	lie(b, JOURNAL_DATA, page, 7, free_block(b));
}

static void page_is_new_data(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->at[ONE + 100].pbn, 7, free_block(b));
}

static void new_page_is_new_data(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, b->at[ONE + 100].pbn);
}

static void new_page_is_new_data_beside_zeroes(struct bed *b)
{
	write_some(b, TWO + 100, 1);
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, b->at[TWO + 100].pbn);
}

/* Of a tree that has nothing yet. */
static void new_tree_is_new_data(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, b->sb.root_origin + 2, 0,
	    b->at[ONE + 100].pbn);
}

static void new_tree_is_old_data(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, b->sb.root_origin + 2, 0, old_data(b));
}

/* The block that the page has got is damaged in the entry, and not in those of
 * the page. */
static void new_page_is_old_data(struct bed *b)
{
	pbn_t page = free_block(b);

	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, old_data(b));
	lie(b, JOURNAL_DATA, page, 7, free_block(b));
}

/* The leaf page on the storage leads to it, and to zeroes as none else does. */
static void new_page_is_old_data_beside_zeroes(struct bed *b)
{
	write_some(b, TWO + 100, 1);
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, b->at[TWO + 3].pbn);
}

static void data_in_interior_page(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 1), 7, old_data(b));
}

/* The slot leads to the leaf page. */
static void data_in_place_of_page(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 1), 0, old_data(b));
}

static void pages_in_leaf_page(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 0), 700, free_block(b));
}

/* Nothing else is in the journal of that page. */
static void pages_in_other_leaf_page(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, TWO, 0), 700, free_block(b));
}

/* The same, and the page has nothing that only a leaf page can have. */
static void pages_in_plain_leaf_page(struct bed *b)
{
	uint8_t page[B];
	pbn_t leaf = page_of(b, TWO, 0);

	peek(b, leaf, page);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		if (mapping_page_get(page, i).pbn == ZERO_BLOCK)
			mapping_page_put(page, i, (struct mapping){0, 0});
	poke(b, leaf, page);
	pages_in_other_leaf_page(b);
}

static void another_child(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 0, free_block(b));
}

static void another_child_of_root(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, MAP_LEVELS - 1), 0,
	    free_block(b));
}

static void page_leads_to_itself(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, page_of(b, ONE, 1));
}

static void data_are_their_page(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, page_of(b, ONE, 0));
}

static void data_are_another_page(struct bed *b)
{
	write_some(b, TWO + 100, 1);
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, page_of(b, TWO, 0));
}

/* What no block of the block map is in. */
static void page_is_root(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->sb.root_origin + 1, 7, free_block(b));
}

static void page_is_geometry(struct bed *b)
{
	lie(b, JOURNAL_DATA, 0, 7, free_block(b));
}

static void page_is_in_index(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->geometry.data_start - 1, 7, free_block(b));
}

static void page_is_super_block(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->geometry.data_start, 7, free_block(b));
}

static void page_is_journal(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->sb.partitions[PARTITION_JOURNAL].start, 7,
	    free_block(b));
}

static void page_is_summary(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, b->sb.partitions[PARTITION_SUMMARY].start, 7,
	    free_block(b));
}

/* The first block of slab 1 that is not for data. */
static pbn_t counts_of(struct bed *b)
{
	return slab_start(&b->slabs, 1) + b->slabs.data_blocks;
}

static void page_is_counts(struct bed *b)
{
	lie(b, JOURNAL_DATA, counts_of(b), 7, free_block(b));
}

static void page_is_slab_journal(struct bed *b)
{
	lie(b, JOURNAL_DATA, counts_of(b) + b->sb.slab.reference_count_blocks,
	    7, free_block(b));
}

static void page_is_beyond_the_end(struct bed *b)
{
	lie(b, JOURNAL_DATA, b->sb.physical_blocks, 7, free_block(b));
}

static void data_are_journal(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700,
	    b->sb.partitions[PARTITION_JOURNAL].start);
}

static void data_are_counts(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, counts_of(b));
}

static void data_are_beyond_the_end(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, b->sb.physical_blocks);
}

static void new_page_is_root(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, b->sb.root_origin);
}

static void new_page_is_counts(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, counts_of(b));
}

static void new_page_is_zero(struct bed *b)
{
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, ZERO_BLOCK);
}

/* What the encoder does not make: the last entry, changed in bytes. */
static uint8_t *last(struct bed *b)
{
	unsigned i = (b->entries - 1) % JOURNAL_ENTRIES_PER_BLOCK;

	return b->blocks[(b->entries - 1) / JOURNAL_ENTRIES_PER_BLOCK] +
	       (1 + i / JOURNAL_ENTRIES_PER_SECTOR) * SECTOR_SIZE + 3 +
	       i % JOURNAL_ENTRIES_PER_SECTOR * JOURNAL_ENTRY_SIZE;
}

static void unknown_operation(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, free_block(b));
	last(b)[0] |= 3;
}

static void slot_is_812(struct bed *b)
{
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 0, free_block(b));
	last(b)[0] |= (uint8_t)(MAP_PAGE_ENTRIES << 2);
	last(b)[1] |= (uint8_t)(MAP_PAGE_ENTRIES >> 6);
}

static void new_page_is_compressed(struct bed *b)
{
	append(b, &(struct journal_entry){
			  .operation = JOURNAL_BLOCK_MAP,
			  .page = page_of(b, ONE, 1),
			  .slot = 7,
			  .new_mapping = {free_block(b), STATE_FRAGMENT_0 + 3},
		  });
}

static void unmapped_to_a_block(struct bed *b)
{
	append(b, &(struct journal_entry){
			  .page = page_of(b, ONE, 0),
			  .slot = 700,
			  .new_mapping = {old_data(b), STATE_UNMAPPED},
		  });
}

static void fragment_of_zeroes(struct bed *b)
{
	append(b, &(struct journal_entry){
			  .page = page_of(b, ONE, 0),
			  .slot = 700,
			  .new_mapping = {ZERO_BLOCK, STATE_FRAGMENT_0},
		  });
}

static void new_page_replaces_another(struct bed *b)
{
	append(b, &(struct journal_entry){
			  .operation = JOURNAL_BLOCK_MAP,
			  .page = page_of(b, ONE, 1),
			  .slot = 7,
			  .new_mapping = {free_block(b), STATE_UNCOMPRESSED},
			  .old_mapping = {old_data(b), STATE_UNCOMPRESSED},
		  });
}

static void page_is_made_twice(struct bed *b)
{
	pbn_t page = free_block(b);

	append_page(b, page_of(b, ONE, 1), 7, page);
	append_page(b, page_of(b, ONE, 1), 8, page);
}

/* The last mapping of the place is another one. */
static void data_were_new_page(struct bed *b)
{
	pbn_t page = free_block(b);

	append_page(b, page_of(b, ONE, 1), 7, page);
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, page);
	lie(b, JOURNAL_DATA, page_of(b, ONE, 0), 700, free_block(b));
}

#define LIE(name)           \
	{                   \
#name, name \
	}

struct lie {
	const char *name;
	void (*tell)(struct bed *b);
};

static const struct lie lies[] = {
	LIE(page_is_free),
	LIE(page_is_data),
	LIE(parent_is_data),
	LIE(page_is_new_data),
	LIE(new_page_is_new_data),
	LIE(new_page_is_new_data_beside_zeroes),
	LIE(new_tree_is_new_data),
	LIE(new_page_is_old_data),
	LIE(new_page_is_old_data_beside_zeroes),
	LIE(data_in_interior_page),
	LIE(data_in_place_of_page),
	LIE(pages_in_leaf_page),
	LIE(pages_in_other_leaf_page),
	LIE(pages_in_plain_leaf_page),
	LIE(another_child),
	LIE(another_child_of_root),
	LIE(page_leads_to_itself),
	LIE(data_are_their_page),
	LIE(data_are_another_page),
	LIE(page_is_root),
	LIE(page_is_geometry),
	LIE(page_is_in_index),
	LIE(page_is_super_block),
	LIE(page_is_journal),
	LIE(page_is_summary),
	LIE(page_is_counts),
	LIE(page_is_slab_journal),
	LIE(page_is_beyond_the_end),
	LIE(data_are_journal),
	LIE(data_are_counts),
	LIE(data_are_beyond_the_end),
	LIE(new_page_is_root),
	LIE(new_page_is_counts),
	LIE(new_page_is_zero),
	LIE(new_page_is_compressed),
	LIE(new_page_replaces_another),
	LIE(unknown_operation),
	LIE(slot_is_812),
	LIE(unmapped_to_a_block),
	LIE(fragment_of_zeroes),
	LIE(page_is_made_twice),
	LIE(data_were_new_page),
};

#define PAGE_IS_FREE 0

#define LIES ((int)ARRAY_SIZE(lies))

/* A journal with lie @n among what is true. Blocks that are mapped to nothing
 * that was written are not looked at. */
static void make_lie(struct bed *b, int n, int kind)
{
	bed_init(b, kind);
	write_some(b, ONE + 100, 20);
	lies[n].tell(b);
	write_some(b, ONE + 120, 20);
	b->f.unknown[ONE + 700] = true;
	store(b);
}

static uint8_t *copy_storage(struct bed *b)
{
	uint8_t *all = malloc(b->f.block_count * B);

	ck_assert_ptr_nonnull(all);
	for (uint64_t i = 0; i < b->f.block_count; i++)
		sim_device_peek(b->f.sd, i, all + i * B);
	return all;
}

/* Nothing has changed but pages that are pages, and were before. */
static void expect_only_pages(struct bed *b, const uint8_t *before,
			      const char *name)
{
	uint8_t block[B];

	for (uint64_t i = 0; i < b->f.block_count; i++) {
		const uint8_t *old = before + i * B;

		sim_device_peek(b->f.sd, i, block);
		ck_assert_msg(memcmp(block, old, B) == 0 ||
				      mapping_page_check(
					      old, b->sb.nonce,
					      i + b->geometry.bio_offset) ==
					      MAP_PAGE_VALID,
			      "%s: block %llu", name, (unsigned long long)i);
	}
}

static void count_finding(void *arg, const struct vdo_check_finding *f)
{
	struct bed *b = arg;

	b->found[f->code]++;
}

static int try_check(struct bed *b, unsigned flags, struct vdo_device *undo)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device = sim_device_open(b->f.sd, NULL);
	struct vdo_job *job = NULL;
	int r;

	memset(b->found, 0, sizeof(b->found));
	r = vdo_check_device(device, c, flags, undo, count_finding, b, &job,
			     &b->f.error);
	if (r == 0)
		r = vdo_job_wait(job, -1, &b->f.error);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	return r;
}

/* The check names it, and a repair says what to do instead. */
static void expect_told(struct bed *b, const char *name)
{
	struct vdo_device *undo;

	ck_assert_int_eq(try_check(b, 0, NULL), 0);
	ck_assert_msg(b->found[VDO_CHECK_JOURNAL_ENTRY] > 0, "%s", name);
	ck_assert_int_eq(vdo_device_open_memory(8 << 20, &undo), 0);
	ck_assert_int_eq(try_check(b, VDO_CHECK_REPAIR, undo), -VDO_EDIRTY);
	ck_assert_ptr_nonnull(strstr(b->f.error.message, "rebuild it"));
	vdo_device_close(undo);
}

static void rebuild(struct bed *b)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device = sim_device_open(b->f.sd, NULL);
	struct vdo_job *job = NULL;
	int r = vdo_rebuild_device(device, c, VDO_REBUILD_FORCE, &job,
				   &b->f.error);

	if (r == 0)
		r = vdo_job_wait(job, -1, &b->f.error);
	ck_assert_msg(r == 0, "%s", b->f.error.message);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
}

/* It has all that is true. */
static void rebuild_and_verify(struct bed *b)
{
	rebuild(b);
	fixture_open(&b->f, "");
	fixture_verify_all(&b->f);
	fixture_close(&b->f);
}

/* A recovery refuses it, each time, and has overwritten nothing; who only reads
 * finds what is true, and so does who rebuilds the volume. */
static void expect_refused(struct bed *b, const char *name)
{
	uint8_t *before = copy_storage(b);

	for (unsigned again = 0; again < 2; again++) {
		int result = fixture_try_open(&b->f, "");

		ck_assert_msg(result == -VDO_ECORRUPT, "%s: %s: %s", name,
			      vdo_error_name(result), b->f.error.message);
		ck_assert_ptr_nonnull(
			strstr(b->f.error.message, "vdoctl check"));
		ck_assert_ptr_nonnull(
			strstr(b->f.error.message, "vdoctl rebuild --force"));
		ck_assert_uint_eq(fixture_state(&b->f), VOLUME_DIRTY);
		expect_only_pages(b, before, name);
	}
	free(before);
	expect_told(b, name);
	fixture_open(&b->f, "read-only=on");
	fixture_verify_all(&b->f);
	ck_assert_int_eq(fixture_try_close(&b->f), 0);
	rebuild_and_verify(b);
}

START_TEST(test_lies)
{
	struct bed b;

	make_lie(&b, _i, KIND_INLINE);
	expect_refused(&b, lies[_i].name);
	bed_fini(&b);
}
END_TEST

/* Lies that entries of two blocks of the journal tell. The first block is full. */
static void fill_block(struct bed *b)
{
	write_some(b, TWO + 100, JOURNAL_ENTRIES_PER_BLOCK -
					 b->entries % JOURNAL_ENTRIES_PER_BLOCK);
}

/* The page of the first block is written before the second is replayed. */
static void new_page_is_later_data(struct bed *b)
{
	pbn_t pbn = free_block(b);

	lie(b, JOURNAL_BLOCK_MAP, page_of(b, ONE, 1), 7, pbn);
	fill_block(b);
	write_to(b, page_of(b, ONE, 0), ONE + 100, pbn);
}

static void new_page_is_earlier_data(struct bed *b)
{
	write_some(b, ONE + 100, 20);
	fill_block(b);
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, TWO, 1), 7, b->at[ONE + 107].pbn);
}

/* One block is between them. */
static void new_page_is_data_of_long_ago(struct bed *b)
{
	write_some(b, ONE + 100, 20);
	fill_block(b);
	write_some(b, TWO + 400, JOURNAL_ENTRIES_PER_BLOCK);
	lie(b, JOURNAL_BLOCK_MAP, page_of(b, TWO, 1), 7, b->at[ONE + 107].pbn);
}

static void page_is_made_again(struct bed *b)
{
	pbn_t page = free_block(b);

	append_page(b, page_of(b, ONE, 1), 7, page);
	fill_block(b);
	append_page(b, page_of(b, ONE, 1), 8, page);
}

static const struct lie spread[] = {
	LIE(new_page_is_later_data),
	LIE(new_page_is_earlier_data),
	LIE(new_page_is_data_of_long_ago),
	LIE(page_is_made_again),
};

/* So it is with memory for a block of the journal alone. */
START_TEST(test_lies_over_batches)
{
	for (unsigned batch = 0; batch < 2; batch++) {
		struct bed b;

		bed_init(&b, KIND_SIM);
		spread[_i].tell(&b);
		store(&b);
		b.f.recovery_batch = batch;
		expect_refused(&b, spread[_i].name);
		bed_fini(&b);
	}
}
END_TEST

/* The leaf page that has the data tells that this is not true, and before the root
 * has it: a rebuild would follow it. */
START_TEST(test_rebuild_keeps_data)
{
	struct bed b;

	bed_init(&b, KIND_INLINE);
	write_some(&b, ONE + 100, 20);
	new_tree_is_old_data(&b);
	store(&b);
	ck_assert_int_eq(fixture_try_open(&b.f, ""), -VDO_ECORRUPT);
	rebuild_and_verify(&b);
	bed_fini(&b);
}
END_TEST

/* No entry leads to the data or is of their page, so that a recovery would believe
 * this one. Who walks over the map does not. */
START_TEST(test_only_the_map_knows)
{
	struct bed b;

	bed_init(&b, KIND_INLINE);
	write_some(&b, TWO + 100, 20);
	new_tree_is_old_data(&b);
	store(&b);
	ck_assert_int_eq(try_check(&b, 0, NULL), 0);
	ck_assert_uint_eq(b.found[VDO_CHECK_JOURNAL_ENTRY], 0);
	ck_assert_uint_eq(b.found[VDO_CHECK_PAGE_AND_DATA], 1);
	rebuild_and_verify(&b);
	bed_fini(&b);
}
END_TEST

/* As a recovery of an older version has left it: refused, with a slot of the map
 * that leads to the data, which the page of another slot has, as to a page. */
START_TEST(test_rebuild_empties_slot)
{
	uint8_t root[B];
	struct bed b;
	pbn_t pbn;

	bed_init(&b, KIND_INLINE);
	write_some(&b, ONE + 100, 20);
	new_tree_is_old_data(&b);
	if (_i == 1) /* with entries of its own */
		lie(&b, JOURNAL_BLOCK_MAP, old_data(&b), 7, free_block(&b));
	pbn = b.sb.root_origin + 2;
	mapping_page_format(root, b.sb.nonce, pbn, true);
	mapping_page_put(root, 0,
			 (struct mapping){old_data(&b), STATE_UNCOMPRESSED});
	poke(&b, pbn, root);
	store(&b);
	ck_assert_int_eq(fixture_try_open(&b.f, ""), -VDO_ECORRUPT);
	rebuild_and_verify(&b);
	peek(&b, pbn, root);
	ck_assert_uint_eq(mapping_page_get(root, 0).pbn, 0);
	bed_fini(&b);
}
END_TEST

/* What is refused is one line of the log, which names the block. */
START_TEST(test_lie_is_logged)
{
	char line[100];
	const char *at;
	struct bed b;
	pbn_t stray;

	bed_init(&b, KIND_INLINE);
	stray = free_block(&b);
	b.next = stray; /* again */
	page_is_free(&b);
	store(&b);
	b.f.log = fixture_keep_line;
	fixture_log[0] = '\0';
	ck_assert_int_eq(fixture_try_open(&b.f, ""), -VDO_ECORRUPT);
	b.f.log = NULL;
	snprintf(line, sizeof(line), "does not lead to it, pbn=%llu",
		 (unsigned long long)stray);
	at = strstr(fixture_log, line);
	ck_assert_msg(at != NULL, "%s", fixture_log);
	ck_assert_ptr_null(strstr(at + 1, "recovery: "));
	rebuild(&b);
	bed_fini(&b);
}
END_TEST

/* -------------------------------------------------------------- what is true
 */

static void lose(struct bed *b, pbn_t pbn)
{
	uint8_t data[B];

	pattern_fill(V_UNIQUE(pbn), data);
	poke(b, pbn, data);
}

/* The leaf page of @lbn was never written: nothing else was in it. */
static void lose_leaf(struct bed *b, lbn_t lbn)
{
	lose(b, page_of(b, lbn, 0));
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++) {
		b->at[lbn + i] = (struct mapping){0, 0};
		b->f.expect[lbn + i] = V_ZERO;
	}
}

static void lost_leaf(struct bed *b)
{
	lose_leaf(b, ONE);
	write_some(b, ONE, 40);
}

/* Those of the second are in another batch. */
static void lost_leaves(struct bed *b)
{
	lose_leaf(b, ONE);
	lose_leaf(b, TWO);
	write_some(b, ONE, JOURNAL_ENTRIES_PER_BLOCK);
	write_some(b, TWO, JOURNAL_ENTRIES_PER_BLOCK + 5);
}

/* @level1 leads to a new leaf page, with what is written from @lbn on. */
static void write_new_leaf(struct bed *b, pbn_t level1, lbn_t lbn)
{
	pbn_t leaf = free_block(b);

	append_page(b, level1, 0, leaf);
	for (unsigned i = 0; i < 300; i++)
		write_in(b, leaf, lbn + i);
}

/* The page that the journal makes was the first to be in the one that was lost.
 */
static void lost_interior(struct bed *b)
{
	pbn_t level1 = page_of(b, ONE, 1);

	lose_leaf(b, ONE);
	lose(b, level1);
	write_new_leaf(b, level1, ONE);
}

/* The same one level up. */
static void lost_way(struct bed *b)
{
	pbn_t level2 = page_of(b, ONE, 2), level1 = free_block(b);

	lose_leaf(b, ONE);
	lose(b, level2);
	append_page(b, level2, 0, level1);
	write_new_leaf(b, level1, ONE);
}

static void lost_both(struct bed *b)
{
	lose_leaf(b, TWO);
	lost_interior(b);
	write_some(b, TWO, 300);
}

/* What was data becomes a page, of which the leaf page on the storage does not
 * know yet. */
static void make_page_of(struct bed *b, lbn_t lbn)
{
	append(b, &(struct journal_entry){
			  .operation = JOURNAL_DATA,
			  .page = page_of(b, lbn, 0),
			  .slot = (uint16_t)(lbn % MAP_PAGE_ENTRIES),
			  .old_mapping = b->at[lbn],
		  });
	b->f.expect[lbn] = V_ZERO;
	append_page(b, page_of(b, ONE, 1), 7, b->at[lbn].pbn);
}

static void page_was_data(struct bed *b)
{
	make_page_of(b, ONE + 3);
	write_some(b, TWO, 5);
}

static void page_was_data_beside_zeroes(struct bed *b)
{
	make_page_of(b, TWO + 3);
	write_some(b, ONE, 5);
}

/* The same of data that were written before it, with a block of the journal for
 * each step; and of some that are given up with the page. */
static void page_was_new_data(struct bed *b)
{
	pbn_t pbn[2];

	write_some(b, ONE + 100, 2);
	pbn[0] = b->at[ONE + 100].pbn;
	pbn[1] = b->at[ONE + 101].pbn;
	fill_block(b);
	write_some(b, ONE + 100, 1);
	write_some(b, TWO + 400, JOURNAL_ENTRIES_PER_BLOCK - 1);
	append_page(b, page_of(b, TWO, 1), 7, pbn[0]);
	write_some(b, ONE + 101, 1);
	append_page(b, page_of(b, TWO, 1), 8, pbn[1]);
}

/* The entry that leads to a page is the last one that is left: nothing is in
 * the page. Its parent has no sign of what it is. */
static void page_without_entries(struct bed *b)
{
	write_some(b, TWO, 5);
	append_page(b, page_of(b, ONE, 1), 7, free_block(b));
}

static const struct {
	const char *name;
	void (*make)(struct bed *b);
} truths[] = {
	{"lost leaf", lost_leaf},
	{"lost leaves", lost_leaves},
	{"lost interior page", lost_interior},
	{"lost way", lost_way},
	{"lost both", lost_both},
	{"page was data", page_was_data},
	{"page was data beside zeroes", page_was_data_beside_zeroes},
	{"page was new data", page_was_new_data},
	{"page without entries", page_without_entries},
};

#define LOST_BOTH 4

#define TRUTHS ((int)ARRAY_SIZE(truths))

static void make_truth(struct bed *b, int n, int kind)
{
	bed_init(b, kind);
	truths[n].make(b);
	store(b);
	/* What lost pages had led to is in use, and nothing leads to it. */
	b->f.no_check = true;
}

/* Pages whose first write was lost are made, also with memory for a block of
 * the journal alone. */
START_TEST(test_lost_first_writes)
{
	for (unsigned batch = 0; batch < 2; batch++) {
		struct bed b;
		int result;

		make_truth(&b, _i, KIND_SIM);
		b.f.recovery_batch = batch;
		fixture_open(&b.f, "read-only=on");
		fixture_verify_all(&b.f);
		ck_assert_int_eq(fixture_try_close(&b.f), 0);
		result = fixture_try_open(&b.f, "");
		ck_assert_msg(result == 0, "%s: %s", truths[_i].name,
			      b.f.error.message);
		fixture_verify_all(&b.f);
		fixture_reopen(&b.f, "");
		fixture_verify_all(&b.f);
		bed_fini(&b);
	}
}
END_TEST

static void restore_storage(struct bed *b, const uint8_t *all)
{
	for (uint64_t i = 0; i < b->f.block_count; i++)
		sim_device_poke(b->f.sd, i, all + i * B);
}

/* Power is lost at each operation in turn; what is true is recovered by the
 * next opening, and what is not is refused by it (I43). */
START_TEST(test_interrupted_anywhere)
{
	bool is_lie = _i >= TRUTHS, over = false;
	uint8_t *before;
	struct bed b;
	uint64_t n;

	if (is_lie)
		make_lie(&b, _i - TRUTHS, KIND_SIM);
	else
		make_truth(&b, _i, KIND_SIM);
	before = copy_storage(&b);
	b.f.recovery_batch = 1;
	for (n = 1; !over; n++) {
		restore_storage(&b, before);
		sim_device_crash_at(b.f.sd, n);
		if (fixture_try_open(&b.f, "") == 0)
			fixture_abandon(&b.f);
		over = !sim_device_crashed(b.f.sd);
		sim_device_crash_at(b.f.sd, 0);
		if (!over)
			vdo_device_close(sim_device_reopen(b.f.sd, NULL));
		if (is_lie) {
			ck_assert_int_eq(fixture_try_open(&b.f, ""),
					 -VDO_ECORRUPT);
			expect_only_pages(&b, before, lies[_i - TRUTHS].name);
		} else {
			fixture_open(&b.f, "");
			fixture_verify_all(&b.f);
			fixture_close(&b.f);
		}
	}
	ck_assert_uint_gt(n, 3);
	if (is_lie)
		rebuild(&b);
	free(before);
	bed_fini(&b);
}
END_TEST

/* ------------------------------------------------------------- what can fail
 */

/* What opening says at last is what it says without a failure. */
static void check_result(struct bed *b, const char *name, int result,
			 int wanted, int failure)
{
	ck_assert_msg(result == wanted || result == failure, "%s: %s: %s", name,
		      vdo_error_name(result), b->f.error.message);
	if (result == 0)
		fixture_abandon(&b->f);
	ck_assert_uint_eq(fixture_state(&b->f), VOLUME_DIRTY);
}

/* "Lost both", and a page that is none; the map is asked for both. */
static const char *make_either(struct bed *b, int n)
{
	if (n == 0)
		make_truth(b, LOST_BOTH, KIND_INLINE);
	else
		make_lie(b, PAGE_IS_FREE, KIND_INLINE);
	return n == 0 ? truths[LOST_BOTH].name : lies[PAGE_IS_FREE].name;
}

START_TEST(test_allocations)
{
	int wanted = _i == 0 ? 0 : -VDO_ECORRUPT, result = -ENOMEM;
	uint8_t *before;
	struct bed b;
	const char *name = make_either(&b, _i);
	unsigned long n;

	before = copy_storage(&b);
	for (n = 1; result == -ENOMEM; n++) {
		struct vdo_config *c = fixture_config("executor=inline");
		struct vdo_device *d = sim_device_open(b.f.sd, NULL);
		struct vdo_volume *v;

		restore_storage(&b, before);
		alloc_fail_at(n);
		result = vdo_open_device(d, c, &v, &b.f.error);
		alloc_fail_at(0);
		ck_assert_msg(result == wanted || result == -ENOMEM, "%s: %s",
			      name, vdo_error_name(result));
		if (result == 0)
			vdo_abandon(v);
		vdo_device_close(d);
		vdo_config_free(c);
	}
	ck_assert_uint_gt(n, 30);
	free(before);
	rebuild(&b);
	bed_fini(&b);
}
END_TEST

/* Each read in turn fails once; no merged one hides it. */
START_TEST(test_reads)
{
	int wanted = _i == 0 ? 0 : -VDO_ECORRUPT, result = -EIO;
	uint8_t *before;
	struct bed b;
	const char *name = make_either(&b, _i);
	unsigned n;

	before = copy_storage(&b);
	for (n = 0; result == -EIO; n++) {
		struct sim_fault sf = {
			.ops = SIM_OP(VDO_DEVICE_READ),
			.skip = n,
			.times = 1,
		};

		restore_storage(&b, before);
		sim_device_fault(b.f.sd, &sf);
		result = fixture_try_open(&b.f, "io-merge=0");
		sim_device_clear_faults(b.f.sd);
		check_result(&b, name, result, wanted, -EIO);
	}
	ck_assert_uint_gt(n, 60); /* the roots alone are as many */
	free(before);
	rebuild(&b);
	bed_fini(&b);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("lies");

	tcase_add_loop_test(tc, test_lies, 0, LIES);
	tcase_add_loop_test(tc, test_lies_over_batches, 0, ARRAY_SIZE(spread));
	tcase_add_test(tc, test_rebuild_keeps_data);
	tcase_add_test(tc, test_only_the_map_knows);
	tcase_add_loop_test(tc, test_rebuild_empties_slot, 0, 2);
	tcase_add_test(tc, test_lie_is_logged);
	tcase_add_loop_test(tc, test_lost_first_writes, 0, TRUTHS);
	/* Some of the lies are enough: others end the same. */
	tcase_add_loop_test(tc, test_interrupted_anywhere, 0, TRUTHS + 3);
	tcase_add_loop_test(tc, test_allocations, 0, 2);
	tcase_add_loop_test(tc, test_reads, 0, 2);
	return unit_run();
}
