/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rebuilding a volume that is read-only: what is there afterwards, what is not,
 * and that neither depends on how often it was interrupted.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "check/rebuild_priv.h"
#include "format/journal.h"
#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

static struct vdo_error error;

/* -------------------------------------------------------------- the storage */

static void read_super(struct fixture *f, struct geometry *g,
		       struct superblock *sb)
{
	uint8_t block[B];

	sim_device_peek(f->sd, 0, block);
	ck_assert_int_eq(geometry_decode(block, g), 0);
	sim_device_peek(f->sd, g->data_start, block);
	ck_assert_int_eq(superblock_decode(block, g->data_start, sb), 0);
}

static void mark_read_only(struct fixture *f)
{
	struct vdo_device *d = sim_device_open(f->sd, NULL);

	ck_assert_int_eq(vdo_mark_read_only_device(d, &error), 0);
	vdo_device_close(d);
	ck_assert_uint_eq(fixture_state(f), VOLUME_READ_ONLY);
}

/* Blocks that were never written look like pages, but for their headers: what a
 * torn write of a new page leaves of them must not be believed. */
static void fill_with_mappings(struct fixture *f)
{
	struct slab_geometry slabs;
	struct superblock sb;
	struct geometry g;
	uint8_t block[B];

	read_super(f, &g, &sb);
	layout_slab_geometry_init(&slabs, &sb);
	memset(block, 0, B);
	for (unsigned i = 0; i < MAP_PAGE_ENTRIES; i++)
		mapping_page_put(block, i,
				 (struct mapping){slabs.first_block +
							  slabs.data_blocks - 1,
						  STATE_UNCOMPRESSED});
	for (uint64_t s = 0; s < slabs.slab_count; s++)
		for (uint64_t i = 0; i < slabs.data_blocks; i++)
			sim_device_poke(f->sd, slab_start(&slabs, s) + i,
					block);
}

/* Much of it is in the journal alone. */
static void make_read_only(struct fixture *f, int kind)
{
	fixture_init(f, kind, "");
	fill_with_mappings(f);
	f->no_check = true; /* each test checks when it is rebuilt */
	fixture_open(f, "era=1");
	fixture_write(f, 0, 300, V_UNIQUE(20000), 0);
	fixture_reopen(f, "");
	fixture_write_much(f);
	fixture_lose_power(f);
	mark_read_only(f);
}

/* Closed in good order, so that all is in the map; then marked. */
static void make_closed(struct fixture *f)
{
	fixture_init(f, KIND_INLINE, "");
	f->no_check = true;
	fixture_open(f, "compression=off");
	fixture_write(f, 0, 1000, V_UNIQUE(1), 0);
	fixture_write(f, 1000, 600, V_UNIQUE(1), 0); /* duplicates */
	fixture_close(f);
	mark_read_only(f);
}

/* -------------------------------------------------------------- the rebuild */

static int try_rebuild(struct fixture *f, unsigned flags,
		       struct vdo_rebuilt *rebuilt)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_device *device = sim_device_open(f->sd, NULL);
	struct vdo_rebuilt ignored;
	struct vdo_job *job;
	int result;

	fixture_log[0] = '\0';
	vdo_config_set_log(c, fixture_keep_line, NULL);
	if (rebuilt == NULL)
		rebuilt = &ignored;
	result = vdo_rebuild_device(device, c, flags, &job, &error);
	if (result == 0)
		result = vdo_job_wait(job, -1, &error);
	if (result == 0) {
		ck_assert_int_eq(vdo_rebuilt_get(job, rebuilt,
						 sizeof(*rebuilt)),
				 0);
		rebuilt->lost = NULL; /* it goes with the job */
	} else {
		ck_assert_ptr_nonnull(error.message);
	}
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	return result;
}

/* All parts of the image agree with each other. */
static void expect_sound(struct fixture *f)
{
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	image_check(&im);
	ck_assert_uint_eq(im.problems, 0);
	ck_assert_uint_eq(im.sb.state, VOLUME_CLEAN);
	image_close(&im);
}

static void rebuild(struct fixture *f, struct vdo_rebuilt *rebuilt)
{
	int result = try_rebuild(f, 0, rebuilt);

	ck_assert_msg(result == 0, "%s: %s", vdo_error_name(result),
		      error.message);
	expect_sound(f);
}

/* It is a volume like any other again. */
static void expect_service(struct fixture *f)
{
	fixture_open(f, "");
	ck_assert(!vdo_volume_is_read_only(f->volume));
	fixture_verify_all(f);
	fixture_write(f, 700, 100, V_UNIQUE(40000), 0);
	fixture_write(f, 10, 20, V_UNIQUE(41000), 0);
	f->no_check = false;
	for (uint64_t i = 0; i < f->logical_blocks; i++)
		f->no_check = f->no_check || f->unknown[i];
	fixture_reopen(f, "");
	fixture_verify_all(f);
	fixture_close(f);
	expect_sound(f);
}

/* -------------------------------------------------------------------- sound */

START_TEST(nothing_is_lost)
{
	struct vdo_rebuilt r;
	struct superblock before, sb;
	struct geometry g;
	struct fixture f;

	make_read_only(&f, _i);
	read_super(&f, &g, &before);
	rebuild(&f, &r);
	read_super(&f, &g, &sb);
	ck_assert_uint_eq(sb.state, VOLUME_CLEAN);
	ck_assert_uint_eq(sb.complete_recoveries,
			  before.complete_recoveries + 1);
	ck_assert_uint_eq(sb.read_only_recoveries,
			  before.read_only_recoveries + 1);
	ck_assert_uint_gt(sb.journal_start, before.journal_start);
	ck_assert_str_eq(r.found, "read-only");
	ck_assert_uint_gt(r.replayed, 700);
	ck_assert_uint_eq(r.lost_blocks + r.lost_pages + r.lost_mappings, 0);
	ck_assert_uint_eq(r.stray_mappings + r.lost_count, 0);
	ck_assert_uint_eq(r.logical_blocks_used, sb.logical_blocks_used);
	ck_assert_uint_gt(r.data_blocks, 500);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(each_state)
{
	static const struct {
		enum volume_state state;
		unsigned flags;
		int want;
		unsigned read_only_recoveries;
	} cases[] = {
		{VOLUME_READ_ONLY, 0, 0, 1},
		{VOLUME_FORCE_REBUILD, 0, 0, 1},
		{VOLUME_REBUILD_FOR_UPGRADE, 0, 0, 0},
		{VOLUME_DIRTY, 0, -VDO_EDIRTY, 0},
		{VOLUME_REPLAYING, 0, -VDO_EDIRTY, 0},
		{VOLUME_RECOVERING, 0, -VDO_EDIRTY, 0},
		{VOLUME_CLEAN, 0, -EINVAL, 0},
		{VOLUME_NEW, 0, -EINVAL, 0},
		{VOLUME_DIRTY, VDO_REBUILD_FORCE, 0, 1},
		{VOLUME_REPLAYING, VDO_REBUILD_FORCE, 0, 1},
		{VOLUME_RECOVERING, VDO_REBUILD_FORCE, 0, 1},
		{VOLUME_CLEAN, VDO_REBUILD_FORCE, 0, 1},
		{VOLUME_DIRTY, 2, -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct superblock sb;
		struct geometry g;
		struct fixture f;
		uint64_t writes;
		int result;

		make_read_only(&f, KIND_INLINE);
		fixture_set_state(&f, cases[i].state);
		writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
		result = try_rebuild(&f, cases[i].flags, NULL);
		ck_assert_msg(result == cases[i].want, "%zu: %s", i,
			      error.message);
		read_super(&f, &g, &sb);
		if (result != 0) {
			ck_assert_str_ne(error.message, "");
			ck_assert_uint_eq(sb.state, cases[i].state);
			ck_assert_uint_eq(sim_device_count(f.sd,
							   VDO_DEVICE_WRITE),
					  writes);
		} else {
			ck_assert_uint_eq(sb.read_only_recoveries,
					  cases[i].read_only_recoveries);
			expect_sound(&f);
			expect_service(&f);
		}
		fixture_fini(&f);
	}
}
END_TEST

START_TEST(new_volume)
{
	struct vdo_rebuilt r;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, "");
	mark_read_only(&f);
	rebuild(&f, &r);
	ck_assert_uint_eq(r.data_blocks + r.block_map_blocks + r.replayed, 0);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(twice_in_a_row)
{
	struct vdo_rebuilt first, second;
	struct fixture f;

	make_read_only(&f, KIND_INLINE);
	rebuild(&f, &first);
	mark_read_only(&f);
	rebuild(&f, &second);
	ck_assert_uint_eq(second.replayed, 0);
	ck_assert_uint_eq(first.data_blocks, second.data_blocks);
	ck_assert_uint_eq(first.logical_blocks_used,
			  second.logical_blocks_used);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(parts_make_no_difference)
{
	static const uint64_t parts[] = {1, 512, 1024, 3000};
	struct vdo_rebuilt whole, part;
	struct log log = {fixture_keep_line, NULL};

	for (size_t i = 0; i <= ARRAY_SIZE(parts); i++) {
		struct vdo_device *device;
		struct rebuild *r;
		struct fixture f;

		make_read_only(&f, KIND_INLINE);
		device = sim_device_open(f.sd, NULL);
		ck_assert_int_eq(rebuild_create(device, false, &log, &r,
						&error),
				 0);
		if (i > 0)
			r->part_blocks = parts[i - 1];
		ck_assert_int_eq(rebuild_run(r, &error), 0);
		part = *rebuild_result(r);
		part.lost = NULL;
		if (i == 0)
			whole = part;
		ck_assert_mem_eq(&whole, &part, sizeof(whole));
		rebuild_destroy(r);
		vdo_device_close(device);
		expect_sound(&f);
		expect_service(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* ------------------------------------------------------------------- damage */

struct places {
	struct geometry geometry;
	struct superblock sb;
	struct slab_geometry slabs;
	pbn_t page[MAP_LEVELS]; /* above logical block 0 */
	struct mapping first;	/* of logical block 0 */
};

static void find_places(struct fixture *f, lbn_t lbn, struct places *p)
{
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	p->geometry = im.geometry;
	p->sb = im.sb;
	p->slabs = im.slabs;
	p->first = image_lookup(&im, lbn);
	for (unsigned level = 0; level < MAP_LEVELS; level++)
		p->page[level] = image_page_of(&im, lbn, level);
	image_close(&im);
}

static void poke_mapping(struct fixture *f, pbn_t page, unsigned slot,
			 struct mapping m)
{
	uint8_t block[B];

	sim_device_peek(f->sd, page, block);
	mapping_page_put(block, slot, m);
	sim_device_poke(f->sd, page, block);
}

/* Blocks that are dropped read as zeroes. */
static void dropped(struct fixture *f, lbn_t first, uint64_t count)
{
	for (lbn_t i = first; i < first + count; i++)
		f->expect[i] = V_ZERO;
}

static void log_has(const char *words)
{
	ck_assert_msg(strstr(fixture_log, words) != NULL, "%s: %s", words,
		      fixture_log);
}

/* A page at each level that is not what it should be: all below it goes. */
START_TEST(damaged_page)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ),
				  .block_count = 1,
				  .heals = true};
	unsigned level = (unsigned)_i % MAP_LEVELS;
	bool unreadable = _i >= (int)MAP_LEVELS;
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;
	uint8_t block[B];

	make_closed(&f);
	find_places(&f, 0, &p);
	if (unreadable) {
		fault.first_block = p.page[level];
		sim_device_fault(f.sd, &fault);
	} else {
		sim_device_peek(f.sd, p.page[level], block);
		block[16] ^= 1; /* where it says that it is */
		sim_device_poke(f.sd, p.page[level], block);
	}
	rebuild(&f, &r);
	sim_device_clear_faults(f.sd);
	ck_assert_uint_eq(r.lost_pages, 1);
	ck_assert_uint_eq(r.lost_count, 1);
	ck_assert_uint_eq(r.lost_blocks, MAP_PAGE_ENTRIES);
	log_has("first=0 count=812");
	log_has(unreadable ? "cannot be read" : "is damaged");
	dropped(&f, 0, MAP_PAGE_ENTRIES);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(bad_mappings)
{
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;

	make_closed(&f);
	find_places(&f, 0, &p);
	poke_mapping(&f, p.page[0], 3, (struct mapping){0, 7});
	poke_mapping(&f, p.page[0], 4, (struct mapping){p.first.pbn, 0});
	/* Behind the end, a slab's counts, metadata, a page of the map. */
	poke_mapping(&f, p.page[0], 10, (struct mapping){f.block_count + 7, 1});
	poke_mapping(&f, p.page[0], 11,
		     (struct mapping){slab_start(&p.slabs, 1) +
					      p.slabs.data_blocks,
				      1});
	poke_mapping(&f, p.page[0], 12, (struct mapping){1, 1});
	poke_mapping(&f, p.page[0], 20, (struct mapping){p.page[0], 1});
	rebuild(&f, &r);
	ck_assert_uint_eq(r.lost_mappings, 6);
	ck_assert_uint_eq(r.lost_blocks, 6);
	ck_assert_uint_eq(r.lost_count, 3);
	log_has("first=3 count=2: their mappings led to no block for data");
	log_has("first=10 count=3: their mappings led");
	log_has("first=20 count=1: their blocks are pages");
	dropped(&f, 3, 2);
	dropped(&f, 10, 3);
	dropped(&f, 20, 1);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(bad_interior_entries)
{
	unsigned level = 1 + (unsigned)_i % (MAP_LEVELS - 1);
	struct vdo_rebuilt r;
	struct places p, q;
	struct fixture f;
	struct mapping bad[] = {
		{1, STATE_UNCOMPRESSED}, {0, STATE_UNCOMPRESSED},
		{0, 4}, {0, 0}, {0, 0},
	};
	unsigned which = (unsigned)_i / (MAP_LEVELS - 1);

	make_closed(&f);
	find_places(&f, 0, &p);
	find_places(&f, MAP_PAGE_ENTRIES, &q);
	bad[3] = (struct mapping){p.page[level - 1], STATE_FRAGMENT_0};
	/* That of other blocks: those come second, and go. */
	bad[4] = (struct mapping){p.page[level - 1], STATE_UNCOMPRESSED};
	if (which < 4) {
		poke_mapping(&f, p.page[level], 0, bad[which]);
		dropped(&f, 0, MAP_PAGE_ENTRIES);
	} else {
		poke_mapping(&f, q.page[level], 0, bad[4]);
		dropped(&f, MAP_PAGE_ENTRIES, MAP_PAGE_ENTRIES);
	}
	rebuild(&f, &r);
	ck_assert_uint_eq(r.lost_mappings, 1);
	ck_assert_uint_eq(r.lost_blocks, MAP_PAGE_ENTRIES);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(entries_beyond_the_end)
{
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;

	/* 2048 blocks: the third leaf page is needed in part. */
	make_closed(&f);
	find_places(&f, 0, &p);
	poke_mapping(&f, p.page[1], 1,
		     (struct mapping){p.page[0], STATE_UNCOMPRESSED});
	poke_mapping(&f, p.page[4], 811, (struct mapping){p.page[0], 1});
	poke_mapping(&f, p.page[2], 5, (struct mapping){1, 1});
	rebuild(&f, &r);
	ck_assert_uint_eq(r.stray_mappings, 3);
	ck_assert_uint_eq(r.lost_blocks + r.lost_mappings, 0);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* More mappings lead to a block than can be counted: the last ones go. */
START_TEST(too_many_references)
{
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;

	make_closed(&f);
	find_places(&f, 0, &p);
	for (unsigned i = 0; i < 300; i++)
		poke_mapping(&f, p.page[0], i, p.first);
	for (unsigned i = 0; i < 254; i++)
		f.expect[i] = f.expect[0];
	dropped(&f, 254, 46);
	rebuild(&f, &r);
	/* In the duplicates one more leads there. */
	ck_assert_uint_eq(r.lost_mappings, 47);
	dropped(&f, 1000, 1);
	log_has("first=254 count=46: their blocks have 254 references");
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* Counts, summary and slab journals may be anything. */
START_TEST(nothing_of_slabs_is_believed)
{
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;
	uint8_t junk[B];

	make_read_only(&f, KIND_INLINE);
	find_places(&f, 0, &p);
	pattern_fill(V_UNIQUE(1234), junk);
	for (uint64_t i = 0; i < SUMMARY_BLOCKS; i++)
		sim_device_poke(f.sd,
				p.sb.partitions[PARTITION_SUMMARY].start + i,
				junk);
	for (uint64_t s = 0; s < p.slabs.slab_count; s++)
		for (uint64_t i = p.slabs.data_blocks;
		     i < p.sb.slab.slab_blocks; i++)
			sim_device_poke(f.sd, slab_start(&p.slabs, s) + i,
					junk);
	rebuild(&f, &r);
	ck_assert_uint_eq(r.lost_blocks, 0);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------ journal */

/* Of a volume that has written nothing but some blocks of its journal. */
#define WRITTEN 4000u

static void make_journal(struct fixture *f, struct places *p)
{
	fixture_init(f, KIND_INLINE, "journal-blocks=512 size=40M "
				      "logical-size=24M");
	f->no_check = true;
	fixture_open(f, "compression=off");
	fixture_write(f, 0, WRITTEN, V_UNIQUE(1), 0);
	fixture_flush(f);
	fixture_write(f, WRITTEN, 1, V_UNIQUE(1 + WRITTEN), 0);
	fixture_flush(f);
	fixture_lose_power(f);
	mark_read_only(f);
	find_places(f, 0, p);
}

static pbn_t journal_block(const struct places *p, seq_t seq)
{
	return p->sb.partitions[PARTITION_JOURNAL].start +
	       seq % p->sb.recovery_journal_size;
}

static bool makes_pages(const uint8_t *block)
{
	struct journal_header h;
	struct journal_entry e;

	journal_header_decode(block, &h);
	for (unsigned i = 0; i < h.entries; i++) {
		unsigned sector = 1 + i / JOURNAL_ENTRIES_PER_SECTOR;

		journal_entry_decode(
			block + sector * SECTOR_SIZE + 3 +
				i % JOURNAL_ENTRIES_PER_SECTOR *
					(size_t)JOURNAL_ENTRY_SIZE,
			&e);
		if (e.operation == JOURNAL_BLOCK_MAP)
			return true;
	}
	return false;
}

static seq_t newest_block(struct fixture *f, const struct places *p)
{
	struct journal_header h;
	uint8_t block[B];
	seq_t newest = 0;

	for (uint64_t i = 0; i < p->sb.recovery_journal_size; i++) {
		sim_device_peek(f->sd, journal_block(p, i), block);
		journal_header_decode(block, &h);
		newest = MAX(newest, h.seq);
	}
	return newest;
}

/* A block in the middle is gone: what is in all others is used. */
START_TEST(gap_in_the_journal)
{
	uint8_t none[B] = {0}, block[B], buf[B];
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;
	uint64_t n = 0;
	seq_t seq;

	make_journal(&f, &p);
	/* One that cannot have been under I/O when power failed, and that has
	 * no page of the map that others need. */
	seq = newest_block(&f, &p) -
	      journal_reserved(p.sb.recovery_journal_size);
	do {
		sim_device_peek(f.sd, journal_block(&p, --seq), block);
	} while (makes_pages(block));
	ck_assert_uint_gt(seq, 2);
	sim_device_poke(f.sd, journal_block(&p, seq), none);
	rebuild(&f, &r);
	ck_assert_uint_eq(r.lost_blocks, 0);
	fixture_open(&f, "");
	for (uint64_t i = 0; i < WRITTEN; i++) {
		ck_assert_int_eq(vdo_pread(f.volume, buf, B, i * B, 0), 0);
		n += pattern_is(f.expect[i], buf);
		ck_assert(pattern_is(f.expect[i], buf) ||
			  pattern_is(V_ZERO, buf));
	}
	fixture_verify(&f, 0, JOURNAL_ENTRIES_PER_BLOCK / 2);
	ck_assert_uint_ge(n, WRITTEN - JOURNAL_ENTRIES_PER_BLOCK);
	ck_assert_uint_lt(n, WRITTEN);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	expect_sound(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(bad_journal_entries)
{
	struct journal_header h;
	struct journal_entry e;
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;
	uint8_t block[B], *last;
	seq_t newest;

	make_journal(&f, &p);
	newest = newest_block(&f, &p);
	sim_device_peek(f.sd, journal_block(&p, newest), block);
	journal_header_decode(block, &h);
	last = block + SECTOR_SIZE + 3 + (h.entries - 1) * JOURNAL_ENTRY_SIZE;
	journal_entry_decode(last, &e);
	e.new_mapping.pbn = 1;
	journal_entry_encode(&e, last);
	sim_device_poke(f.sd, journal_block(&p, newest), block);
	rebuild(&f, &r);
	ck_assert_uint_eq(r.invalid_entries, 1);
	/* It is one of the last leaf page. */
	dropped(&f, WRITTEN / MAP_PAGE_ENTRIES * MAP_PAGE_ENTRIES + e.slot, 1);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* All blocks of the ring are gone: what is in the map is all there is. */
START_TEST(no_journal)
{
	uint8_t none[B] = {0};
	struct vdo_rebuilt r;
	struct places p;
	struct fixture f;

	make_closed(&f);
	find_places(&f, 0, &p);
	for (uint64_t i = 0; i < p.sb.recovery_journal_size; i++)
		sim_device_poke(f.sd, journal_block(&p, i), none);
	rebuild(&f, &r);
	ck_assert_uint_eq(r.replayed, 0);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------- what can go wrong */

/* Damage of each kind, in a volume whose journal is ahead of it. */
static void make_ruin(struct fixture *f)
{
	struct places p;
	uint8_t block[B];

	make_read_only(f, KIND_INLINE);
	find_places(f, 0, &p);
	poke_mapping(f, p.page[0], 3, (struct mapping){1, 1});
	poke_mapping(f, p.page[0], 800, (struct mapping){p.page[1], 1});
	find_places(f, 2 * MAP_PAGE_ENTRIES, &p);
	if (p.page[2] != 0) {
		sim_device_peek(f->sd, p.page[2], block);
		block[16] ^= 1;
		sim_device_poke(f->sd, p.page[2], block);
	}
}

/* What logical blocks read as after a rebuild. */
static void read_all(struct fixture *f, uint8_t *to)
{
	fixture_open(f, "read-only=on");
	ck_assert_int_eq(vdo_pread(f->volume, to, f->logical_blocks * B, 0, 0),
			 0);
	ck_assert_int_eq(fixture_try_close(f), 0);
}

/* What the next crash does is decided by how often the power failed before. */
static void stir(struct fixture *f, uint64_t n)
{
	for (; n > 0; n--) {
		sim_device_crash(f->sd);
		fixture_restore_power(f);
	}
}

/* What a flush that failed leaves can be read, and may not be durable: nothing is
 * written before it is (D14). */
START_TEST(flush_comes_first)
{
	uint64_t flushes, writes, n = 0;
	struct fixture f;

	make_ruin(&f);
	flushes = sim_device_count(f.sd, VDO_DEVICE_FLUSH);
	writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
	/* Up to the first of either. */
	while (sim_device_count(f.sd, VDO_DEVICE_FLUSH) == flushes &&
	       sim_device_count(f.sd, VDO_DEVICE_WRITE) == writes) {
		sim_device_crash_at(f.sd, ++n);
		(void)try_rebuild(&f, 0, NULL);
		sim_device_crash_at(f.sd, 0);
		fixture_restore_power(&f);
	}
	ck_assert_uint_gt(sim_device_count(f.sd, VDO_DEVICE_FLUSH), flushes);
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), writes);
	fixture_fini(&f);
}
END_TEST

/* Power fails at each operation in turn; the next rebuild gives the same. */
START_TEST(interrupted_anywhere)
{
	uint8_t *want = NULL, *got;
	struct fixture f;
	uint64_t nth;
	int result = -EIO;

	make_ruin(&f);
	want = malloc(f.logical_blocks * B);
	got = malloc(f.logical_blocks * B);
	ck_assert(want != NULL && got != NULL);
	rebuild(&f, NULL);
	read_all(&f, want);
	fixture_fini(&f);
	for (nth = 1; result != 0; nth++) {
		ck_assert_uint_lt(nth, 2000);
		make_ruin(&f);
		stir(&f, nth % 37);
		sim_device_crash_at(f.sd, nth);
		result = try_rebuild(&f, 0, NULL);
		sim_device_crash_at(f.sd, 0);
		fixture_restore_power(&f);
		if (fixture_state(&f) != VOLUME_CLEAN) {
			ck_assert_uint_eq(fixture_state(&f), VOLUME_READ_ONLY);
			/* And the second one is, at another place. */
			sim_device_crash_at(f.sd, 1 + nth * 7 % 150);
			result = try_rebuild(&f, 0, NULL);
			sim_device_crash_at(f.sd, 0);
			fixture_restore_power(&f);
			result = -EIO;
		}
		if (fixture_state(&f) != VOLUME_CLEAN)
			rebuild(&f, NULL);
		expect_sound(&f);
		read_all(&f, got);
		ck_assert_mem_eq(want, got, f.logical_blocks * B);
		fixture_fini(&f);
	}
	ck_assert_uint_gt(nth, 100);
	free(want);
	free(got);
}
END_TEST

static void expect_state(struct fixture *f, enum volume_state state)
{
	ck_assert_uint_eq(fixture_state(f), state);
}

START_TEST(each_io_can_fail)
{
	struct sim_fault fault = {
		.ops = SIM_OP(VDO_DEVICE_WRITE) | SIM_OP(VDO_DEVICE_FLUSH),
		.times = 1};
	struct fixture f;
	int result = -EIO;

	make_read_only(&f, KIND_INLINE);
	for (fault.skip = 0; result != 0; fault.skip++) {
		ck_assert_uint_lt(fault.skip, 2000);
		sim_device_fault(f.sd, &fault);
		result = try_rebuild(&f, 0, NULL);
		sim_device_clear_faults(f.sd);
		if (result != 0) {
			ck_assert_int_eq(result, -EIO);
			ck_assert_ptr_nonnull(
				strstr(error.message, "begin again"));
		}
		/* The flush after the last write tells nobody. */
		if (fixture_state(&f) == VOLUME_CLEAN)
			break;
		expect_state(&f, VOLUME_READ_ONLY);
	}
	ck_assert_uint_gt(fault.skip, 30);
	expect_sound(&f);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* A page that cannot be read for once is lost, so this is for what is no page. */
START_TEST(each_allocation_can_fail)
{
	struct fixture f;
	unsigned long n;
	int result = -ENOMEM;

	make_read_only(&f, KIND_INLINE);
	for (n = 1; result != 0; n++) {
		struct log log = {0};
		struct vdo_device *device = sim_device_open(f.sd, NULL);
		struct rebuild *r;

		ck_assert_uint_lt(n, 1000);
		alloc_fail_at(n);
		result = rebuild_create(device, false, &log, &r, &error);
		if (result == 0) {
			result = rebuild_run(r, &error);
			rebuild_destroy(r);
		}
		alloc_fail_at(0);
		vdo_device_close(device);
		ck_assert(result == 0 || result == -ENOMEM);
		expect_state(&f, result == 0 ? VOLUME_CLEAN : VOLUME_READ_ONLY);
	}
	ck_assert_uint_gt(n, 20);
	expect_sound(&f);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(can_be_cancelled)
{
	struct vdo_config *c = fixture_config("executor=inline");
	struct vdo_job_progress p;
	struct vdo_device *device;
	struct vdo_rebuilt r;
	struct vdo_job *job;
	struct fixture f;

	make_read_only(&f, KIND_INLINE);
	device = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_rebuild_device(device, c, 0, &job, &error), 0);
	ck_assert_int_eq(vdo_rebuilt_get(job, &r, sizeof(r)), -EAGAIN);
	vdo_job_cancel(job);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), -ECANCELED);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over);
	ck_assert_int_eq(vdo_rebuilt_get(job, &r, sizeof(r)), -EAGAIN);
	vdo_job_free(job);
	expect_state(&f, VOLUME_READ_ONLY);
	/* In use until it is freed. */
	ck_assert_int_eq(vdo_rebuild_device(device, c, 0, &job, &error), 0);
	ck_assert_int_eq(vdo_mark_read_only_device(device, &error),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_job_wait(job, -1, &error), 0);
	vdo_job_progress(job, &p, sizeof(p));
	ck_assert(p.over && p.done == p.total);
	vdo_job_free(job);
	vdo_device_close(device);
	vdo_config_free(c);
	expect_sound(&f);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------------------------- mark */

START_TEST(mark)
{
	struct vdo_job *job;
	struct vdo_device *d;
	struct fixture f;
	uint64_t writes;

	fixture_init(&f, KIND_INLINE, "");
	f.no_check = true;
	fixture_open(&f, "");
	fixture_write(&f, 0, 50, V_UNIQUE(1), 0);
	ck_assert_int_eq(vdo_mark_read_only_device(f.device, &error),
			 -VDO_EINUSE);
	ck_assert_str_ne(error.message, "");
	fixture_close(&f);
	mark_read_only(&f);
	writes = sim_device_count(f.sd, VDO_DEVICE_WRITE);
	mark_read_only(&f);
	ck_assert_uint_eq(sim_device_count(f.sd, VDO_DEVICE_WRITE), writes);
	fixture_open(&f, "");
	ck_assert(vdo_volume_is_read_only(f.volume));
	fixture_verify_all(&f);
	ck_assert_int_eq(fixture_try_close(&f), 0);
	d = sim_device_open(f.sd, NULL);
	ck_assert_int_eq(vdo_mark_read_only_device(NULL, &error), -EINVAL);
	ck_assert_int_eq(vdo_mark_read_only("/nowhere/at/all", &error),
			 -ENOENT);
	/* What makes no sense is said before anything is opened. */
	ck_assert_int_eq(vdo_rebuild("/nowhere/at/all", NULL, 2, &job, &error),
			 -EINVAL);
	ck_assert_int_eq(vdo_rebuild("/nowhere/at/all", NULL, 0, &job, &error),
			 -ENOENT);
	vdo_device_close(d);
	rebuild(&f, NULL);
	expect_service(&f);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("sound");

	tcase_add_loop_test(tc, nothing_is_lost, 0, FIXTURE_KINDS);
	tcase_add_test(tc, each_state);
	tcase_add_test(tc, new_volume);
	tcase_add_test(tc, twice_in_a_row);
	tcase_add_test(tc, parts_make_no_difference);
	tcase_add_test(tc, mark);
	tc = unit_case("damage");
	tcase_add_loop_test(tc, damaged_page, 0, 2 * (int)MAP_LEVELS);
	tcase_add_test(tc, bad_mappings);
	tcase_add_loop_test(tc, bad_interior_entries, 0,
			    5 * ((int)MAP_LEVELS - 1));
	tcase_add_test(tc, entries_beyond_the_end);
	tcase_add_test(tc, too_many_references);
	tcase_add_test(tc, nothing_of_slabs_is_believed);
	tc = unit_case("journal");
	tcase_add_test(tc, gap_in_the_journal);
	tcase_add_test(tc, bad_journal_entries);
	tcase_add_test(tc, no_journal);
	tc = unit_case("failures");
	tcase_add_test(tc, flush_comes_first);
	tcase_add_test(tc, interrupted_anywhere);
	tcase_add_test(tc, each_io_can_fail);
	tcase_add_test(tc, each_allocation_can_fail);
	tcase_add_test(tc, can_be_cancelled);
	return unit_run();
}
