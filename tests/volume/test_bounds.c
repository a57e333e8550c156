/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each number on the storage at its extremes: doc/bounds.md, row by row.
 *
 * A small volume is made once. For each row and each value the number is
 * changed, checksums are made right again, and the volume is used: inspected,
 * opened read-only, opened, read, written, flushed, closed, opened again. What
 * must never happen is an abort or an end that does not come (the device counts,
 * overlay.h). Beyond its bounds a number is refused with the error of its row;
 * within them an error is as good as service, but for numbers that change
 * nothing for the user [INTACT, INDEX], where all must be as it was stored.
 */
#include "build.h"

#include <errno.h>
#include <inttypes.h>

#include <vdo/vdo.h>

#include "base/bytes.h"
#include "format/layout.h"
#include "format/mapping.h"
#include "format/slab.h"
#include "index_format/chapter_index.h"
#include "index_format/layout.h"
#include "tests/fuzz/overlay.h"
#include "tests/lib/pattern.h"
#include "tests/lib/unit.h"

#define BLOCKS 6800u
#define STORED 1400u /* more than a chapter of the index has */
#define READ   60u   /* of them are looked at each time */
#define LEVELS 5

static struct overlay o;
static struct geometry geometry;
static struct superblock sb;
static struct slab_geometry slabs;
static struct index_geometry shape;
static struct index_layout layout;
static struct index_save saved;
static unsigned save_slot;
static pbn_t pages[LEVELS]; /* on the way to LBN 0, by level */
static struct mapping compressed;
static lbn_t compressed_lbn;

/* ------------------------------------------------------------------ volume */

static value_t value_of(lbn_t lbn)
{
	return lbn % 4 == 3 && lbn < 400 ? V_SQUEEZE(lbn, 1000)
					 : V_UNIQUE(lbn);
}

static struct vdo_config *config(bool read_only)
{
	const char *options[][2] = {
		{"executor", "inline"}, {"depth", "16"}, {"cache", "1M"},
		{"logical-zones", "2"}, {"physical-zones", "2"},
		{"hash-zones", "2"},	{"index-wait", "on"},
		{"read-only", read_only ? "on" : "off"},
	};
	struct vdo_config *c;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		ck_assert_int_eq(vdo_config_set(c, options[i][0],
						options[i][1], NULL),
				 0);
	return c;
}

static struct vdo_volume *try_open(bool read_only, int *result)
{
	struct vdo_config *c = config(read_only);
	struct vdo_error error = {0};
	struct vdo_volume *v = NULL;

	o.read_only = read_only;
	*result = vdo_open_device(o.device, c, &v, &error);
	vdo_config_free(c);
	if (*result == 0)
		return v;
	ck_assert_int_lt(*result, 0);
	ck_assert_int_eq(error.code, *result);
	ck_assert_int_ne(error.message[0], '\0');
	return NULL;
}

static void format(void)
{
	const char *options[][2] = {
		{"slab-bits", "9"},	    {"slab-journal-blocks", "3"},
		{"journal-blocks", "4"},    {"index-memory", "2M"},
		{"logical-size", "16M"},
	};
	struct vdo_config *c;

	ck_assert_int_eq(vdo_config_new(&c), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		ck_assert_int_eq(vdo_config_set(c, options[i][0],
						options[i][1], NULL),
				 0);
	ck_assert_int_eq(vdo_format_device(o.device, c, NULL), 0);
	vdo_config_free(c);
}

static void store(void)
{
	uint8_t block[BLOCK_SIZE];
	int r;
	struct vdo_volume *v = try_open(false, &r);

	ck_assert_ptr_nonnull(v);
	for (lbn_t lbn = 0; lbn < STORED; lbn++) {
		pattern_fill(value_of(lbn), block);
		ck_assert_int_eq(vdo_pwrite(v, block, BLOCK_SIZE,
					    lbn * BLOCK_SIZE, 0),
				 0);
	}
	ck_assert_int_eq(vdo_close(v), 0);
}

static uint8_t *block_at(pbn_t pbn)
{
	return overlay_block(&o, pbn);
}

static void find_pages(void)
{
	struct tree_place t;

	mapping_tree_place(0, (unsigned)sb.root_count, &t);
	pages[LEVELS - 1] = sb.root_origin + t.root;
	for (unsigned level = LEVELS - 1; level > 0; level--)
		pages[level - 1] =
			mapping_page_get(block_at(pages[level]), t.slot[level])
				.pbn;
	for (unsigned slot = 0; slot < 400; slot++) {
		struct mapping m = mapping_page_get(block_at(pages[0]), slot);

		if (m.state != STATE_FRAGMENT_0)
			continue;
		compressed = m;
		compressed_lbn = slot;
	}
	ck_assert_uint_ne(compressed.pbn, 0);
}

static void find_index(void)
{
	ck_assert_int_eq(index_geometry_init(&shape, geometry.index_memory,
					     geometry.index_sparse,
					     geometry.data_start - 1),
			 0);
	ck_assert_int_eq(index_super_decode(&layout, &shape, 1, block_at(1)), 0);
	for (unsigned slot = 0; slot < SAVES; slot++) {
		struct index_save s;
		struct extent e = layout_save_part(&layout, slot, SAVE_HEADER,
						   0, 1);

		index_save_decode(&layout, slot, block_at(e.start), &s);
		if (s.timestamp > saved.timestamp) {
			saved = s;
			save_slot = slot;
		}
	}
	ck_assert_uint_gt(saved.timestamp, 0);
	ck_assert_uint_gt(saved.newest, 0); /* a chapter was closed */
}

static void setup(void)
{
	overlay_init(&o, BLOCKS);
	format();
	store();
	ck_assert_int_eq(geometry_decode(block_at(0), &geometry), 0);
	ck_assert_int_eq(superblock_decode(block_at(geometry.data_start),
					   geometry.data_start, &sb),
			 0);
	layout_slab_geometry_init(&slabs, &sb);
	find_pages();
	find_index();
	overlay_keep(&o);
}

/* ------------------------------------------------------------------- places */

enum place {
	GEOMETRY,
	SUPER,
	SUMMARY,     /* of slab 0 */
	SUMMARY_NEW, /* of a slab that was never used */
	TAIL,	     /* the newest journal block of slab 0 */
	TAIL_DIRTY,  /* the same, and its journal is to be applied */
	COUNTS,
	ROOT,
	LEVEL_3,
	LEVEL_2,
	LEVEL_1,
	LEAF,
	FRAGMENTS,
	INDEX_SUPER,
	INDEX_CONFIG,
	SAVE,	    /* behind the table of its header */
	SAVE_TABLE,
	SAVE_TIME,  /* with the nonce that it makes */
	PAGE_MAP_PART,
	RECORDS_PART,
	VOLUME_PART,
	VOLUME_DELTAS, /* the header of the lists, in the same part */
	CHAPTER,       /* the first page; read when there is no save */
	PLACES,
};

static pbn_t slab_part(unsigned part)
{
	pbn_t at = slab_start(&slabs, 0) + sb.slab.data_blocks;

	return at + part;
}

static uint8_t *summary_at(uint64_t slab)
{
	return block_at(sb.partitions[PARTITION_SUMMARY].start +
			slab % sb.zone_count * SUMMARY_ZONE_BLOCKS) +
	       SUMMARY_ENTRY_SIZE * slab;
}

static uint8_t *tail_at(void)
{
	uint64_t ring = sb.slab.slab_journal_blocks;

	return block_at(slab_part((unsigned)(
		sb.slab.reference_count_blocks +
		(summary_at(0)[0] + ring - 1) % ring)));
}

static uint8_t *part_at(enum save_part part)
{
	return block_at(layout_save_part(&layout, save_slot, part, 0,
					 saved.zone_count)
				.start);
}

/* Of the save header: 24 bytes, a table of so many entries, the payload. */
static uint8_t *payload_at(void)
{
	uint8_t *header = part_at(SAVE_HEADER);

	return header + 24 + 24 * get_u16(header + 20);
}

static uint8_t *at_place(enum place place)
{
	static const unsigned levels[] = {
		[ROOT] = 4, [LEVEL_3] = 3, [LEVEL_2] = 2, [LEVEL_1] = 1,
		[LEAF] = 0,
	};

	switch (place) {
	case GEOMETRY:
		return block_at(0);
	case SUPER:
		return block_at(geometry.data_start);
	case SUMMARY:
		return summary_at(0);
	case SUMMARY_NEW:
		return summary_at(slabs.slab_count - 1);
	case TAIL_DIRTY:
		summary_at(0)[1] |= 0x80;
		return tail_at();
	case TAIL:
		return tail_at();
	case COUNTS:
		return block_at(slab_part(0));
	case FRAGMENTS:
		return block_at(compressed.pbn);
	case INDEX_SUPER:
		return block_at(1);
	case INDEX_CONFIG:
		return block_at(2);
	case SAVE:
		return payload_at();
	case SAVE_TIME:
	case SAVE_TABLE:
		return part_at(SAVE_HEADER);
	case PAGE_MAP_PART:
		return part_at(SAVE_PAGE_MAP);
	case RECORDS_PART:
		return part_at(SAVE_OPEN_CHAPTER);
	case VOLUME_PART:
		return part_at(SAVE_ZONE);
	case VOLUME_DELTAS:
		return part_at(SAVE_ZONE) + 40 +
		       8 * geometry_zone_lists(&shape.subs[0], saved.zone_count);
	case CHAPTER:
		memset(part_at(SAVE_HEADER), 0, SECTOR_SIZE);
		return block_at(layout_volume_block(&layout) +
				geometry_page_block(&shape, 0, 0));
	default:
		return block_at(pages[levels[place]]);
	}
}

/* --------------------------------------------------------------------- rows */

enum how {
	OPEN,	 /* refused at each opening */
	OPEN_RW, /* refused when it is opened to be written; read-only it is as
		  * it was */
	LBN_0,	 /* reading it fails */
	FRAGMENT, /* reading what is compressed fails */
	INTACT,	 /* changes nothing; bounds are those of the number */
	INDEX,	 /* at worst there is no deduplication */
};

#define ANY_OTHER 0, 0, true
#define NO_BOUND  0, UINT64_MAX, false

/* Valid from low to high; with @only nothing but what is there. */
struct row {
	const char *name;
	enum place place;
	unsigned offset, size;
	uint64_t low, high;
	bool only;
	enum how how;
	int error;
};

#define BAD -VDO_ECORRUPT

static const struct row rows[] = {
	/* Geometry block. */
	{"unused", GEOMETRY, 28, 4, NO_BOUND, INTACT, 0},
	{"nonce", GEOMETRY, 32, 8, ANY_OTHER, OPEN, -VDO_ENONCE},
	{"uuid", GEOMETRY, 40, 8, NO_BOUND, INTACT, 0},
	{"bio_offset", GEOMETRY, 56, 8, 0, BLOCKS, false, OPEN, -VDO_ESIZE},
	{"region 0 id", GEOMETRY, 64, 4, NO_BOUND, INTACT, 0},
	{"index start", GEOMETRY, 68, 8, NO_BOUND, INTACT, 0},
	{"region 1 id", GEOMETRY, 76, 4, NO_BOUND, INTACT, 0},
	{"data start", GEOMETRY, 80, 8, 1, BLOCKS - 1, false, OPEN,
	 -VDO_ESIZE},
	{"index memory", GEOMETRY, 88, 4, NO_BOUND, INTACT, 0},
	{"unused 2", GEOMETRY, 92, 4, NO_BOUND, INTACT, 0},
	{"sparse", GEOMETRY, 96, 1, NO_BOUND, INTACT, 0},

	/* Super block. */
	{"unused", SUPER, 20, 4, NO_BOUND, INTACT, 0},
	{"state", SUPER, 40, 4, 0, 7, false, OPEN, BAD},
	{"complete recoveries", SUPER, 44, 8, NO_BOUND, INTACT, 0},
	{"read-only recoveries", SUPER, 52, 8, NO_BOUND, INTACT, 0},
	{"logical blocks", SUPER, 60, 8, 0, LOGICAL_BLOCKS_MAX, false, OPEN,
	 BAD},
	{"physical blocks", SUPER, 68, 8, ANY_OTHER, OPEN, -VDO_ESIZE},
	{"slab size", SUPER, 76, 8, 8, 1 << 23, false, OPEN, BAD},
	{"recovery journal size", SUPER, 84, 8, 4, 4, false, OPEN, BAD},
	{"slab journal blocks", SUPER, 92, 8, 2, 256, false, OPEN, BAD},
	{"nonce", SUPER, 100, 8, ANY_OTHER, OPEN, -VDO_ENONCE},
	{"free from", SUPER, 128, 8, NO_BOUND, INTACT, 0},
	{"free to", SUPER, 136, 8, NO_BOUND, INTACT, 0},
	{"partitions", SUPER, 144, 1, 4, 4, false, OPEN, BAD},
	{"partition id", SUPER, 145, 1, ANY_OTHER, OPEN, BAD},
	{"start of the first", SUPER, 146, 8, 1, BLOCKS, false, OPEN, BAD},
	{"unused", SUPER, 154, 8, NO_BOUND, INTACT, 0},
	{"size of the first", SUPER, 162, 8, ANY_OTHER, OPEN, -VDO_ESIZE},
	{"start of the second", SUPER, 171, 8, 1, BLOCKS, false, OPEN, BAD},
	{"size of the second", SUPER, 187, 8, ANY_OTHER, OPEN, -VDO_ESIZE},
	{"start of the third", SUPER, 196, 8, 1, BLOCKS, false, OPEN, BAD},
	{"size of the third", SUPER, 212, 8, ANY_OTHER, OPEN, -VDO_ESIZE},
	{"start of the fourth", SUPER, 221, 8, 1, BLOCKS, false, OPEN, BAD},
	{"size of the fourth", SUPER, 237, 8, ANY_OTHER, OPEN, -VDO_ESIZE},
	{"journal start", SUPER, 265, 8, 1, SEQ_MAX, false, OPEN, BAD},
	{"logical blocks used", SUPER, 273, 8, NO_BOUND, INTACT, 0},
	{"block map data blocks", SUPER, 281, 8, NO_BOUND, INTACT, 0},
	{"slab blocks", SUPER, 309, 8, 512, 1 << 23, false, OPEN, BAD},
	{"data blocks", SUPER, 317, 8, 1, 508, false, OPEN, BAD},
	{"reference count blocks", SUPER, 325, 8, 1, 253, false, OPEN, BAD},
	{"slab journal blocks", SUPER, 333, 8, 2, 255, false, OPEN, BAD},
	{"flushing threshold", SUPER, 341, 8, 0, 3, false, OPEN, BAD},
	{"blocking threshold", SUPER, 349, 8, 1, 3, false, OPEN, BAD},
	{"scrubbing threshold", SUPER, 357, 8, 0, 3, false, OPEN, BAD},
	{"first block", SUPER, 365, 8, 500, BLOCKS, false, OPEN, BAD},
	{"last block", SUPER, 373, 8, 1000, BLOCKS, false, OPEN, BAD},
	{"zone count", SUPER, 381, 1, 0, 16, false, OPEN, BAD},
	{"flat origin", SUPER, 402, 8, 1, 1, false, OPEN, BAD},
	{"flat count", SUPER, 410, 8, 0, 0, false, OPEN, BAD},
	{"root origin", SUPER, 418, 8, ANY_OTHER, OPEN, BAD},
	{"root count", SUPER, 426, 8, 1, 60, false, OPEN, BAD},

	/* Slab summary, slab journals, counts. */
	{"tail offset", SUMMARY, 0, 1, ANY_OTHER, OPEN_RW, BAD},
	{"flags and hint", SUMMARY, 1, 1, 0, 255, false, OPEN_RW, BAD},
	{"tail offset, unused", SUMMARY_NEW, 0, 1, 0, 0, false, OPEN_RW, BAD},
	{"flags, unused", SUMMARY_NEW, 1, 1, 0, 255, false, OPEN_RW, BAD},
	{"head", TAIL, 0, 8, 1, SEQ_MAX, false, OPEN_RW, BAD},
	{"sequence number", TAIL, 8, 8, ANY_OTHER, OPEN_RW, BAD},
	{"recovery point", TAIL, 16, 8, 0, 1000 << 16, false, OPEN_RW, BAD},
	{"nonce", TAIL, 24, 8, ANY_OTHER, OPEN_RW, BAD},
	{"type", TAIL, 32, 1, 2, 2, false, OPEN_RW, BAD},
	{"entries", TAIL, 34, 2, 0, 1353, false, OPEN_RW, BAD},
	{"head", TAIL_DIRTY, 0, 8, 1, SEQ_MAX, false, OPEN_RW, BAD},
	{"sequence number", TAIL_DIRTY, 8, 8, ANY_OTHER, OPEN_RW, BAD},
	{"recovery point", TAIL_DIRTY, 16, 8, 0, 1000 << 16, false, OPEN_RW,
	 BAD},
	{"nonce", TAIL_DIRTY, 24, 8, ANY_OTHER, OPEN_RW, BAD},
	{"type", TAIL_DIRTY, 32, 1, 2, 2, false, OPEN_RW, BAD},
	{"map increments", TAIL_DIRTY, 33, 1, 0, 255, false, OPEN_RW, BAD},
	{"entries", TAIL_DIRTY, 34, 2, 0, 1353, false, OPEN_RW, BAD},
	{"entry", TAIL_DIRTY, 36, 2, 0, UINT16_MAX, false, OPEN_RW, BAD},
	{"commit point", COUNTS, 0, 8, 0, 1000 << 16, false, OPEN_RW, BAD},
	{"count", COUNTS, 8, 1, 0, 255, false, OPEN_RW, BAD},

	/* Pages of the block map. */
	{"version", ROOT, 0, 4, 4, 4, false, LBN_0, BAD},
	{"minor version", ROOT, 4, 4, 1, 1, false, LBN_0, BAD},
	{"nonce", ROOT, 8, 8, ANY_OTHER, LBN_0, BAD},
	{"place", ROOT, 16, 8, ANY_OTHER, LBN_0, BAD},
	{"unused", ROOT, 24, 8, NO_BOUND, INTACT, 0},
	{"flag", ROOT, 32, 1, 0, 1, false, LBN_0, BAD},
	{"state", ROOT, 36, 1, 0, 255, false, LBN_0, -VDO_EMAPPING},
	{"child", ROOT, 37, 4, 500, BLOCKS, false, LBN_0, -VDO_EMAPPING},
	{"version", LEVEL_3, 0, 4, 4, 4, false, LBN_0, BAD},
	{"nonce", LEVEL_3, 8, 8, 0, UINT64_MAX, false, LBN_0, BAD},
	{"place", LEVEL_3, 16, 8, ANY_OTHER, LBN_0, BAD},
	{"flag", LEVEL_3, 32, 1, 0, 1, false, LBN_0, BAD},
	{"child", LEVEL_3, 37, 4, 500, BLOCKS, false, LBN_0, -VDO_EMAPPING},
	{"place", LEVEL_2, 16, 8, ANY_OTHER, LBN_0, BAD},
	{"child", LEVEL_2, 37, 4, 500, BLOCKS, false, LBN_0, -VDO_EMAPPING},
	{"place", LEVEL_1, 16, 8, ANY_OTHER, LBN_0, BAD},
	{"child", LEVEL_1, 37, 4, 500, BLOCKS, false, LBN_0, -VDO_EMAPPING},
	{"version", LEAF, 0, 4, 4, 4, false, LBN_0, BAD},
	{"minor version", LEAF, 4, 4, 1, 1, false, LBN_0, BAD},
	{"nonce", LEAF, 8, 8, 0, UINT64_MAX, false, LBN_0, BAD},
	{"place", LEAF, 16, 8, ANY_OTHER, LBN_0, BAD},
	{"flag", LEAF, 32, 1, 0, 1, false, LBN_0, BAD},
	{"state", LEAF, 36, 1, 0, 15, false, LBN_0, -VDO_EMAPPING},
	{"block", LEAF, 37, 4, 0, BLOCKS, false, LBN_0, -VDO_EMAPPING},

	/* A block of fragments. */
	{"version", FRAGMENTS, 0, 4, 1, 1, false, FRAGMENT, -VDO_EFRAGMENT},
	{"minor version", FRAGMENTS, 4, 4, 0, 0, false, FRAGMENT,
	 -VDO_EFRAGMENT},
	{"first size", FRAGMENTS, 8, 2, 1, 4060, false, FRAGMENT,
	 -VDO_EFRAGMENT},

	/* The index. */
	{"magic", INDEX_SUPER, 0, 8, NO_BOUND, INDEX, 0},
	{"blocks", INDEX_SUPER, 8, 8, NO_BOUND, INDEX, 0},
	{"type", INDEX_SUPER, 16, 2, NO_BOUND, INDEX, 0},
	{"version", INDEX_SUPER, 18, 2, NO_BOUND, INDEX, 0},
	{"regions", INDEX_SUPER, 20, 2, NO_BOUND, INDEX, 0},
	{"payload", INDEX_SUPER, 22, 2, NO_BOUND, INDEX, 0},
	{"start of a region", INDEX_SUPER, 24 + 3 * 24, 8, NO_BOUND, INDEX, 0},
	{"blocks of the volume", INDEX_SUPER, 32 + 3 * 24, 8, NO_BOUND, INDEX,
	 0},
	{"kind of a region", INDEX_SUPER, 44 + 3 * 24, 2, NO_BOUND, INDEX, 0},
	{"instance", INDEX_SUPER, 46 + 3 * 24, 2, NO_BOUND, INDEX, 0},
	{"blocks of a save", INDEX_SUPER, 32 + 4 * 24, 8, NO_BOUND, INDEX, 0},
	{"nonce info", INDEX_SUPER, 24 + 7 * 24 + 32, 8, NO_BOUND, INDEX, 0},
	{"nonce", INDEX_SUPER, 24 + 7 * 24 + 64, 8, NO_BOUND, INDEX, 0},
	{"version", INDEX_SUPER, 24 + 7 * 24 + 72, 4, NO_BOUND, INDEX, 0},
	{"block size", INDEX_SUPER, 24 + 7 * 24 + 76, 4, NO_BOUND, INDEX, 0},
	{"indexes", INDEX_SUPER, 24 + 7 * 24 + 80, 2, NO_BOUND, INDEX, 0},
	{"saves", INDEX_SUPER, 24 + 7 * 24 + 82, 2, NO_BOUND, INDEX, 0},
	{"open chapter blocks", INDEX_SUPER, 24 + 7 * 24 + 88, 8, NO_BOUND,
	 INDEX, 0},
	{"page map blocks", INDEX_SUPER, 24 + 7 * 24 + 96, 8, NO_BOUND, INDEX,
	 0},
	{"record pages", INDEX_CONFIG, 10, 4, NO_BOUND, INDEX, 0},
	{"chapters", INDEX_CONFIG, 14, 4, NO_BOUND, INDEX, 0},
	{"sparse chapters", INDEX_CONFIG, 18, 4, NO_BOUND, INDEX, 0},
	{"cache chapters", INDEX_CONFIG, 22, 4, NO_BOUND, INDEX, 0},
	{"mean delta", INDEX_CONFIG, 30, 4, NO_BOUND, INDEX, 0},
	{"page size", INDEX_CONFIG, 34, 4, NO_BOUND, INDEX, 0},
	{"sample rate", INDEX_CONFIG, 38, 4, NO_BOUND, INDEX, 0},
	{"nonce", INDEX_CONFIG, 42, 8, NO_BOUND, INDEX, 0},
	{"regions", SAVE_TABLE, 20, 2, NO_BOUND, INDEX, 0},
	{"start of a region", SAVE_TABLE, 24 + 24, 8, NO_BOUND, INDEX, 0},
	{"blocks of a region", SAVE_TABLE, 32 + 24, 8, NO_BOUND, INDEX, 0},
	{"kind of a region", SAVE_TABLE, 44 + 24, 2, NO_BOUND, INDEX, 0},
	{"time", SAVE_TIME, 0, 8, NO_BOUND, INDEX, 0},
	{"nonce", SAVE, 8, 8, NO_BOUND, INDEX, 0},
	{"version", SAVE, 16, 4, NO_BOUND, INDEX, 0},
	{"signature", SAVE, 24, 4, NO_BOUND, INDEX, 0},
	{"state version", SAVE, 28, 4, NO_BOUND, INDEX, 0},
	{"newest chapter", SAVE, 32, 8, NO_BOUND, INDEX, 0},
	{"oldest chapter", SAVE, 40, 8, NO_BOUND, INDEX, 0},
	{"last save", SAVE, 48, 8, NO_BOUND, INDEX, 0},
	{"last update", PAGE_MAP_PART, 8, 8, NO_BOUND, INDEX, 0},
	{"records", RECORDS_PART, 10, 4, NO_BOUND, INDEX, 0},
	{"nonce", VOLUME_PART, 8, 8, NO_BOUND, INDEX, 0},
	{"low", VOLUME_PART, 16, 8, NO_BOUND, INDEX, 0},
	{"high", VOLUME_PART, 24, 8, NO_BOUND, INDEX, 0},
	{"first list", VOLUME_PART, 32, 4, NO_BOUND, INDEX, 0},
	{"lists", VOLUME_PART, 36, 4, NO_BOUND, INDEX, 0},
	{"flush chapter", VOLUME_PART, 40, 8, NO_BOUND, INDEX, 0},
	{"zone", VOLUME_DELTAS, 8, 4, NO_BOUND, INDEX, 0},
	{"zones", VOLUME_DELTAS, 12, 4, NO_BOUND, INDEX, 0},
	{"first list", VOLUME_DELTAS, 16, 4, NO_BOUND, INDEX, 0},
	{"lists", VOLUME_DELTAS, 20, 4, NO_BOUND, INDEX, 0},
	{"records", VOLUME_DELTAS, 24, 8, NO_BOUND, INDEX, 0},
	{"collisions", VOLUME_DELTAS, 32, 8, NO_BOUND, INDEX, 0},
	{"size of a list", VOLUME_DELTAS, 40, 2, NO_BOUND, INDEX, 0},
	{"nonce", CHAPTER, 0, 8, NO_BOUND, INDEX, 0},
	{"chapter", CHAPTER, 8, 8, NO_BOUND, INDEX, 0},
	{"first list", CHAPTER, 16, 2, NO_BOUND, INDEX, 0},
	{"lists", CHAPTER, 18, 2, NO_BOUND, INDEX, 0},
	{"offset of a list", CHAPTER, 20, 4, NO_BOUND, INDEX, 0},
};

/* ---------------------------------------------------------------------- use */

static uint64_t get(const uint8_t *p, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static void put(uint8_t *p, unsigned size, uint64_t v)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void fix_checksums(void)
{
	uint8_t *block = block_at(0);

	put_u32(block + 97, format_crc(block, 97));
	block = block_at(geometry.data_start);
	put_u32(block + 434, format_crc(block, 434));
}

/* Returns what was there. */
static uint64_t change(const struct row *row, uint64_t value)
{
	uint8_t *p = at_place(row->place) + row->offset;
	uint64_t was = get(p, row->size);

	if (row->place == SAVE_TIME) {
		struct index_save s = saved;

		s.timestamp = value;
		index_save_encode(&layout, save_slot, &s, p);
		return saved.timestamp;
	}
	put(p, row->size, value);
	fix_checksums();
	return was;
}

/* The result of reading @lbn; what is read without an error is right. */
static int read_one(struct vdo_volume *v, lbn_t lbn, bool intact)
{
	uint8_t block[BLOCK_SIZE];
	int r;

	if ((lbn + 1) * BLOCK_SIZE > vdo_volume_size(v))
		return -EINVAL;
	r = vdo_pread(v, block, BLOCK_SIZE, lbn * BLOCK_SIZE, 0);
	ck_assert_int_le(r, 0);
	if (intact)
		ck_assert(r == 0 && pattern_is(value_of(lbn), block));
	return r;
}

static void read_some(struct vdo_volume *v, bool intact)
{
	for (lbn_t i = 0; i < READ; i++)
		(void)read_one(v, i * (STORED / READ), intact);
}

static void write_some(struct vdo_volume *v, bool intact)
{
	uint8_t block[BLOCK_SIZE];
	uint64_t n = vdo_volume_size(v) / BLOCK_SIZE;

	for (lbn_t i = 0; i < 40 && i < n; i++) {
		int r;

		pattern_fill(i % 3 == 0 ? value_of(1 + i)
					: V_UNIQUE(10000 + i), block);
		r = vdo_pwrite(v, block, BLOCK_SIZE,
			       (n - 1 - i) * BLOCK_SIZE, i % 5 == 0);
		ck_assert_int_le(r, 0);
		ck_assert(!intact || r == 0);
	}
	ck_assert_int_le(vdo_flush(v, 0), 0);
	if (n > 100)
		ck_assert_int_le(vdo_discard(v, 50 * BLOCK_SIZE,
					     50 * BLOCK_SIZE, 0),
				 0);
}

/* What was seen. */
struct seen {
	int read_only, opened; /* results of opening */
	int lbn_0, fragment;   /* of reading, when opened */
	int lbn_0_read_only;
};

static struct seen use(bool intact)
{
	struct seen s = {0};
	struct vdo_error error = {0};
	struct vdo_info info;
	struct vdo_volume *v;
	int r = vdo_inspect_device(o.device, &info, sizeof(info), &error);

	ck_assert(r == 0 || (r < 0 && error.message[0] != '\0'));
	v = try_open(true, &s.read_only);
	if (v != NULL) {
		s.lbn_0_read_only = read_one(v, 0, intact);
		read_some(v, intact);
		ck_assert_int_le(vdo_close(v), 0);
	}
	v = try_open(false, &s.opened);
	if (v == NULL)
		return s;
	s.lbn_0 = read_one(v, 0, intact);
	s.fragment = read_one(v, compressed_lbn, intact);
	read_some(v, intact);
	write_some(v, intact);
	r = vdo_close(v);
	ck_assert(intact ? r == 0 : r <= 0);
	v = try_open(false, &r);
	ck_assert(!intact || v != NULL);
	if (v != NULL) {
		read_some(v, false);
		ck_assert_int_le(vdo_close(v), 0);
	}
	return s;
}

static void check(const struct row *row, uint64_t value, bool valid, bool same,
		  const struct seen *s)
{
	int found = s->opened;

	if (same) {
		ck_assert_msg(s->read_only == 0 && s->opened == 0,
			      "%s as it is: %s", row->name,
			      vdo_error_name(s->opened));
		return;
	}
	if (valid)
		return;
	switch (row->how) {
	case OPEN:
		ck_assert_msg(s->read_only == row->error,
			      "%s=%#" PRIx64 ": %s, read-only", row->name,
			      value, vdo_error_name(s->read_only));
		break;
	case OPEN_RW:
		ck_assert_msg(s->read_only == 0, "%s=%#" PRIx64 ": read-only",
			      row->name, value);
		break;
	case LBN_0:
		ck_assert_msg(s->lbn_0_read_only == row->error,
			      "%s=%#" PRIx64 ": %s, read-only", row->name,
			      value, vdo_error_name(s->lbn_0_read_only));
		found = s->lbn_0;
		break;
	case FRAGMENT:
		found = s->fragment;
		break;
	case INTACT:
	case INDEX:
		ck_abort_msg("%s has no bound", row->name);
	}
	ck_assert_msg(found == row->error, "%s=%#" PRIx64 ": %s", row->name,
		      value, vdo_error_name(found));
}

/* Values of @row: extremes of numbers of its size, and of its bounds. */
static unsigned extremes(const struct row *row, uint64_t *values)
{
	uint64_t max = UINT64_MAX >> (64 - 8 * row->size);
	uint64_t all[] = {
		0, 1, max / 2, max / 2 + 1, max - 1, max, UINT64_C(1) << 48,
		row->low - 1, row->low, row->high, row->high + 1,
	};
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		bool known = all[i] > max;

		for (unsigned k = 0; k < n; k++)
			known |= values[k] == all[i];
		if (!known)
			values[n++] = all[i];
	}
	return n;
}

static void try(const struct row *row, uint64_t value)
{
	uint64_t was;
	bool valid, same;
	struct seen s;

	overlay_reset(&o);
	was = change(row, value);
	same = value == was && row->place != TAIL_DIRTY;
	valid = row->only ? value == was
			  : value >= row->low && value <= row->high;
	s = use(same || row->how == INTACT || row->how == INDEX);
	check(row, value, valid, same, &s);
}

START_TEST(extremes_of)
{
	const struct row *row = &rows[_i];
	uint64_t values[16];
	unsigned n = extremes(row, values);

	for (unsigned i = 0; i < n; i++)
		try(row, values[i]);
}
END_TEST

/* What is there, and its neighbours, of all rows. */
START_TEST(as_it_is)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		uint64_t was;

		overlay_reset(&o);
		was = get(at_place(row->place) + row->offset, row->size);
		try(row, row->place == SAVE_TIME ? saved.timestamp : was);
		if (i % 8 == 0 && was != 0)
			try(row, was - 1);
		if (i % 8 == 1)
			try(row, was + 1);
	}
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("bounds");

	tcase_set_timeout(tc, 300);
	tcase_add_unchecked_fixture(tc, setup, NULL);
	tcase_add_test(tc, as_it_is);
	tcase_add_loop_test(tc, extremes_of, 0, ARRAY_SIZE(rows));
	return unit_run();
}
