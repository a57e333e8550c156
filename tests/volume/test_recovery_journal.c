/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery from journals that were made by hand: whole ones, and all that can be
 * wrong with one (V 6.4, 10.3).
 *
 * A volume is closed, and then given a journal as if it had been in use: each
 * entry maps another block of the first leaf page to a block that was free. The
 * slab journals know nothing of that.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/journal.h"
#include "format/layout.h"
#include "tests/lib/fixture.h"

#define B	   BLOCK_SIZE
#define SLOTS	   600u /* of the leaf page, that entries are about */
#define FIRST_SLOT 100u
#define BLOCKS	   5u /* of the journal */
#define SHORT	   50u /* entries of the last one */

struct forge {
	struct fixture f;
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	uint8_t *used; /* by PBN: it is not free */
	pbn_t leaf, next;
	pbn_t at[FIRST_SLOT + SLOTS]; /* by slot: what it is mapped to */
	unsigned entries;	      /* made so far */
	uint8_t blocks[BLOCKS][B];
};

static void poke(struct forge *g, pbn_t pbn, const void *block)
{
	sim_device_poke(g->f.sd, pbn - g->geometry.bio_offset, block);
}

static pbn_t free_block(struct forge *g)
{
	while (!is_data_block(&g->slabs, g->next) || g->used[g->next])
		g->next++;
	ck_assert_uint_lt(g->next, g->sb.physical_blocks);
	return g->next++;
}

/* Entry @i of block @n. */
static void put_entry(struct forge *g, unsigned n, unsigned i)
{
	uint16_t slot = (uint16_t)(FIRST_SLOT + g->entries++ % SLOTS);
	struct journal_entry e = {
		.operation = JOURNAL_DATA,
		.page = g->leaf,
		.slot = slot,
		.new_mapping = {free_block(g), STATE_UNCOMPRESSED},
		.old_mapping = {g->at[slot], g->at[slot] != 0},
	};
	uint8_t data[B];

	g->at[slot] = e.new_mapping.pbn;
	pattern_fill(V_UNIQUE(e.new_mapping.pbn), data);
	poke(g, e.new_mapping.pbn, data);
	journal_block_put(g->blocks[n], i,
			  journal_check(g->sb.journal_start + n,
					g->sb.recovery_journal_size),
			  (uint8_t)g->sb.complete_recoveries, &e);
}

static void put_block(struct forge *g, unsigned n, unsigned entries)
{
	seq_t seq = g->sb.journal_start + n;
	struct journal_header h = {
		.map_head = g->sb.journal_start,
		.slab_head = g->sb.journal_start,
		.seq = seq,
		.nonce = g->sb.nonce,
		.type = JOURNAL_TYPE,
		.entries = (uint16_t)entries,
		.logical_blocks_used = g->sb.logical_blocks_used +
				       MIN(g->entries, SLOTS),
		.block_map_data_blocks = g->sb.block_map_data_blocks,
		.check = journal_check(seq, g->sb.recovery_journal_size),
		.recovery_count = (uint8_t)g->sb.complete_recoveries,
	};

	memset(g->blocks[n], 0, B);
	for (unsigned i = 0; i < entries; i++)
		put_entry(g, n, i);
	journal_header_encode(&h, g->blocks[n]);
}

static void forge_init(struct forge *g, int kind)
{
	struct image im;

	memset(g, 0, sizeof(*g));
	fixture_init(&g->f, kind, "");
	fixture_open(&g->f, "");
	fixture_write(&g->f, 0, 10, V_UNIQUE(1), 0);
	fixture_close(&g->f);
	image_open_sim(&im, g->f.sd, g->f.block_count);
	g->geometry = im.geometry;
	g->sb = im.sb;
	g->slabs = im.slabs;
	g->leaf = image_page_of(&im, 0, 0);
	g->used = image_used(&im);
	image_close(&im);
	for (unsigned n = 0; n < BLOCKS; n++)
		put_block(g, n,
			  n + 1 < BLOCKS ? JOURNAL_ENTRIES_PER_BLOCK : SHORT);
}

/* Store journal and super block. */
static void forge_store(struct forge *g)
{
	uint8_t block[B];

	for (unsigned n = 0; n < BLOCKS; n++)
		poke(g,
		     g->sb.partitions[PARTITION_JOURNAL].start +
			     (g->sb.journal_start + n) %
				     g->sb.recovery_journal_size,
		     g->blocks[n]);
	g->sb.state = VOLUME_DIRTY;
	superblock_encode(&g->sb, block);
	poke(g, g->geometry.data_start, block);
}

static void forge_fini(struct forge *g)
{
	free(g->used);
	fixture_fini(&g->f);
}

/* What the first @entries entries make of the volume. */
static void expect_entries(struct forge *g, unsigned entries)
{
	pbn_t pbn = 0;

	memset(g->at, 0, sizeof(g->at));
	g->next = 0;
	for (unsigned i = 0; i < entries; i++) {
		pbn = free_block(g);
		g->f.expect[FIRST_SLOT + i % SLOTS] = V_UNIQUE(pbn);
	}
}

static struct journal_header header(struct forge *g, unsigned n)
{
	struct journal_header h;

	journal_header_decode(g->blocks[n], &h);
	return h;
}

/* ----------------------------------------------- what a crash can have left */

static void nothing(struct forge *g)
{
}

static void hole_in_the_middle(struct forge *g)
{
	memset(g->blocks[2], 0, B);
}

static void hole_at_the_end(struct forge *g)
{
	memset(g->blocks[4], 0, B);
}

static void two_holes(struct forge *g)
{
	memset(g->blocks[1], 0, B);
	memset(g->blocks[3], 0, B);
}

static void torn_sector(struct forge *g)
{
	memset(g->blocks[1] + 3 * SECTOR_SIZE, 0, SECTOR_SIZE);
}

static void torn_at_the_end(struct forge *g)
{
	memset(g->blocks[4] + 2 * SECTOR_SIZE, 0, SECTOR_SIZE);
}

/* The header is of the lap before; the sectors are not. */
static void torn_header(struct forge *g)
{
	struct journal_header h = header(g, 3);

	h.seq -= g->sb.recovery_journal_size;
	h.check--;
	journal_header_encode(&h, g->blocks[3]);
}

static void wrong_check_byte(struct forge *g)
{
	struct journal_header h = header(g, 2);

	h.check ^= 1;
	journal_header_encode(&h, g->blocks[2]);
}

static void fewer_entries(struct forge *g)
{
	struct journal_header h = header(g, 1);

	h.entries = 100;
	journal_header_encode(&h, g->blocks[1]);
}

static void too_many_entries(struct forge *g)
{
	struct journal_header h = header(g, 2);

	h.entries = JOURNAL_ENTRIES_PER_BLOCK + 1;
	journal_header_encode(&h, g->blocks[2]);
}

static void more_than_there_are(struct forge *g)
{
	struct journal_header h = header(g, 4);

	h.entries = SHORT + 7;
	journal_header_encode(&h, g->blocks[4]);
}

/* A block in its place, with the number that it had one lap before. */
static void stale_after_a_hole(struct forge *g)
{
	struct journal_header h = header(g, 3);

	memset(g->blocks[2], 0, B);
	h.seq -= g->sb.recovery_journal_size;
	journal_header_encode(&h, g->blocks[3]);
}

static void other_recovery(struct forge *g)
{
	struct journal_header h = header(g, 3);

	h.recovery_count++;
	journal_header_encode(&h, g->blocks[3]);
}

static void other_volume(struct forge *g)
{
	struct journal_header h = header(g, 4);

	h.nonce++;
	journal_header_encode(&h, g->blocks[4]);
}

#define FULL JOURNAL_ENTRIES_PER_BLOCK

static const struct {
	const char *name;
	void (*damage)(struct forge *g);
	unsigned entries; /* that are left */
} crashes[] = {
	{"whole", nothing, 4 * FULL + SHORT},
	{"hole in the middle", hole_in_the_middle, 2 * FULL},
	{"hole at the end", hole_at_the_end, 4 * FULL},
	{"two holes", two_holes, FULL},
	{"torn sector", torn_sector, FULL + 62},
	{"torn at the end", torn_at_the_end, 4 * FULL + 31},
	{"torn header", torn_header, 3 * FULL},
	{"wrong check byte", wrong_check_byte, 2 * FULL},
	{"fewer entries", fewer_entries, FULL + 100},
	{"too many entries", too_many_entries, 2 * FULL},
	{"more than there are", more_than_there_are, 4 * FULL + SHORT},
	{"stale after a hole", stale_after_a_hole, 2 * FULL},
	{"of an earlier recovery", other_recovery, 3 * FULL},
	{"of another volume", other_volume, 4 * FULL},
};

/* The entries up to the damage are there, and no later one. */
START_TEST(test_entries_that_are_left)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		struct forge g;

		forge_init(&g, _i);
		crashes[i].damage(&g);
		forge_store(&g);
		expect_entries(&g, crashes[i].entries);
		fixture_open(&g.f, "");
		ck_assert_msg(fixture_stat(&g.f, "path.recoveredEntries") ==
				      crashes[i].entries,
			      "%s: %llu entries", crashes[i].name,
			      (unsigned long long)fixture_stat(
				      &g.f, "path.recoveredEntries"));
		fixture_verify_all(&g.f);
		/* What is left of the old journal has no effect any more. */
		fixture_write(&g.f, 0, 5, V_UNIQUE(77), 0);
		fixture_flush(&g.f);
		fixture_abandon(&g.f);
		fixture_open(&g.f, "");
		ck_assert_uint_eq(fixture_stat(&g.f, "path.recoveredEntries"),
				  5);
		fixture_verify_all(&g.f);
		fixture_close(&g.f);
		forge_fini(&g);
	}
}
END_TEST

/* -------------------------------------------------- what no crash can leave */

static void no_head(struct forge *g)
{
	memset(g->blocks[0], 0, B);
}

static void head_too_far(struct forge *g)
{
	struct journal_header h = header(g, 2);

	h.slab_head = g->sb.journal_start + 20;
	journal_header_encode(&h, g->blocks[2]);
}

static void head_of_zero(struct forge *g)
{
	for (unsigned n = 0; n < BLOCKS; n++) {
		struct journal_header h = header(g, n);

		h.map_head = 0;
		journal_header_encode(&h, g->blocks[n]);
	}
}

static void old_format(struct forge *g)
{
	for (unsigned n = 0; n < BLOCKS; n++) {
		struct journal_header h = header(g, n);

		h.type = JOURNAL_OLD_TYPE;
		journal_header_encode(&h, g->blocks[n]);
	}
}

static void two_formats(struct forge *g)
{
	struct journal_header h = header(g, 2);

	h.type = JOURNAL_OLD_TYPE;
	journal_header_encode(&h, g->blocks[2]);
}

/* Entry 200 of block 3, changed in bytes: the encoder would not do it. */
static uint8_t *entry(struct forge *g)
{
	return g->blocks[3] + (1 + 200 / 31) * SECTOR_SIZE + 3 + 200 % 31 * 16;
}

static void bad_operation(struct forge *g)
{
	entry(g)[0] |= 3;
}

static void bad_slot(struct forge *g)
{
	entry(g)[0] |= 0xfc;
	entry(g)[1] |= 0x0f;
}

static void bad_page(struct forge *g)
{
	entry(g)[5] = 0x7f;
}

static void page_is_the_super_block(struct forge *g)
{
	put_u32(entry(g) + 2, (uint32_t)g->geometry.data_start);
}

static void bad_new_mapping(struct forge *g)
{
	entry(g)[10] = 0x7f;
}

static void unmapped_block(struct forge *g)
{
	entry(g)[6] &= 0xf0;
}

static void bad_old_mapping(struct forge *g)
{
	entry(g)[11] = STATE_UNCOMPRESSED;
	entry(g)[15] = 0x7f;
}

static void page_replaces_another(struct forge *g)
{
	entry(g)[0] |= JOURNAL_BLOCK_MAP;
	entry(g)[11] = STATE_UNCOMPRESSED;
	memcpy(entry(g) + 12, entry(g) + 7, 4);
}

static const struct {
	const char *name;
	void (*damage)(struct forge *g);
	int result;
} damages[] = {
	{"no head", no_head, -VDO_ECORRUPT},
	{"head too far", head_too_far, -VDO_ECORRUPT},
	{"head of 0", head_of_zero, -VDO_ECORRUPT},
	{"two formats", two_formats, -VDO_ECORRUPT},
	{"old format", old_format, -VDO_EVERSION},
	{"operation", bad_operation, -VDO_ECORRUPT},
	{"slot", bad_slot, -VDO_ECORRUPT},
	{"page", bad_page, -VDO_ECORRUPT},
	{"page is the super block", page_is_the_super_block, -VDO_ECORRUPT},
	{"new mapping", bad_new_mapping, -VDO_ECORRUPT},
	{"unmapped block", unmapped_block, -VDO_ECORRUPT},
	{"old mapping", bad_old_mapping, -VDO_ECORRUPT},
	{"page replaces another", page_replaces_another, -VDO_ECORRUPT},
};

/* An error that says what to do, and not a bit has changed. */
START_TEST(test_damage_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		struct forge g;
		uint64_t before;
		int result;

		forge_init(&g, _i);
		damages[i].damage(&g);
		forge_store(&g);
		before = fixture_checksum(&g.f);
		for (unsigned again = 0; again < 2; again++) {
			result = fixture_try_open(&g.f, "");
			ck_assert_msg(result == damages[i].result, "%s: %s: %s",
				      damages[i].name, vdo_error_name(result),
				      g.f.error.message);
			ck_assert_ptr_nonnull(
				strstr(g.f.error.message, "vdoctl rebuild"));
			ck_assert_uint_eq(fixture_checksum(&g.f), before);
		}
		forge_fini(&g);
	}
}
END_TEST

/* ------------------------------------------------------------------ new pages */

/* Something that looks like a page of the volume, at @pbn or of @other. */
static void put_stale_page(struct forge *g, pbn_t pbn, pbn_t other)
{
	uint8_t page[B];

	mapping_page_format(page, g->sb.nonce, other, true);
	for (unsigned slot = 3; slot < MAP_PAGE_ENTRIES; slot += 5)
		mapping_page_put(page, slot,
				 (struct mapping){g->leaf, STATE_UNCOMPRESSED});
	poke(g, pbn, page);
}

/* Entry @i of the first block. */
static void put_new(struct forge *g, unsigned i,
		    enum journal_operation operation, pbn_t page, uint16_t slot,
		    pbn_t pbn)
{
	struct journal_entry e = {
		.operation = operation,
		.page = page,
		.slot = slot,
		.new_mapping = {pbn, STATE_UNCOMPRESSED},
	};

	journal_block_put(g->blocks[0], i,
			  journal_check(g->sb.journal_start,
					g->sb.recovery_journal_size),
			  (uint8_t)g->sb.complete_recoveries, &e);
}

/* The blocks that a crash left to new pages held a page once, or a copy of one:
 * nothing of that is in the tree. */
START_TEST(test_new_pages_are_empty)
{
	struct journal_header h;
	pbn_t page, data;
	struct forge g;
	uint8_t block[B];

	forge_init(&g, _i);
	h = header(&g, 0);
	memset(g.blocks, 0, sizeof(g.blocks));
	memset(g.at, 0, sizeof(g.at));
	g.next = 0;
	page = g.sb.root_origin + 1;
	for (unsigned i = 0; i + 1 < MAP_LEVELS; i++) {
		pbn_t below = free_block(&g);

		put_new(&g, i, JOURNAL_BLOCK_MAP, page, 0, below);
		put_stale_page(&g, below, i % 2 == 0 ? below : below + 1);
		page = below;
	}
	data = free_block(&g);
	pattern_fill(V_UNIQUE(data), block);
	poke(&g, data, block);
	put_new(&g, MAP_LEVELS - 1, JOURNAL_DATA, page, 7, data);
	h.entries = MAP_LEVELS;
	h.logical_blocks_used = g.sb.logical_blocks_used;
	journal_header_encode(&h, g.blocks[0]);
	forge_store(&g);
	g.f.expect[MAP_PAGE_ENTRIES + 7] = V_UNIQUE(data);
	fixture_open(&g.f, "");
	ck_assert_uint_eq(fixture_stat(&g.f, "path.recoveredEntries"),
			  MAP_LEVELS);
	fixture_verify_all(&g.f);
	fixture_close(&g.f);
	forge_fini(&g);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("recovery_journal");

	tcase_add_loop_test(tc, test_entries_that_are_left, KIND_INLINE,
			    KIND_SIM + 1);
	tcase_add_loop_test(tc, test_damage_is_refused, KIND_INLINE,
			    KIND_SIM + 1);
	tcase_add_loop_test(tc, test_new_pages_are_empty, KIND_INLINE,
			    KIND_SIM + 1);
	return unit_run();
}
