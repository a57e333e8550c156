/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: a volume is formatted and written by the library itself, and gets the
 * same nonce each time; then its blocks are sorted into parts. Fields are
 * those of doc/format.md, so that damage meets them.
 */
#include "build.h"

#include "tests/fuzz/volume_host.h"

#include "base/bytes.h"
#include "format/mapping.h"
#include "format/slab.h"

#define NONCE 4711u

/* LBNs that are far from the others: other pages of other trees. */
static const uint64_t far_lbns[] = {900, 1700, 2500, 3300, 3301, 4095};

static const uint64_t written[WRITTEN] = {0, 1, 2, 7, 9, 100, 200, 812, 2000};

/* Without and with an index; not closed, and closed. */
static struct golden goldens[2][2];

void host_fill(uint64_t lbn, uint8_t *block)
{
	uint64_t random = lbn % 97; /* so that some are equal */

	memset(block, (int)random, BLOCK_SIZE);
	for (unsigned i = 0; i < BLOCK_SIZE / (1 + lbn % 3); i += 8)
		put_u64(block + i, fuzz_random(&random));
}

static void ignore(void *arg, enum vdo_log_level level, const char *message)
{
	FUZZ_CHECK(message[0] != '\0');
}

struct vdo_config *host_config(unsigned flags, bool read_only)
{
	const char *zones = flags & 2 ? "3" : "1";
	const char *on = flags & 8 ? "off" : "on";
	const char *options[][2] = {
		{"executor", "inline"},
		{"depth", "16"},
		{"cache", "1M"},
		{"advice-entries", "1024"},
		{"logical-zones", zones},
		{"physical-zones", zones},
		{"hash-zones", zones},
		{"compression", on},
		{"deduplication", on},
		{"read-only", read_only ? "on" : "off"},
	};
	struct vdo_config *c;

	FUZZ_CHECK(vdo_config_new(&c) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		FUZZ_CHECK(vdo_config_set(c, options[i][0], options[i][1],
					  NULL) == 0);
	vdo_config_set_log(c, ignore, NULL);
	return c;
}

static void format(struct golden *g, bool index)
{
	const char *options[][2] = {
		{"slab-bits", "9"},
		{"slab-journal-blocks", "3"},
		{"journal-blocks", "4"},
		{"index-memory", index ? "2M" : "none"},
		{"logical-size", "16M"},
	};
	struct vdo_config *c;
	struct vdo_error error;

	FUZZ_CHECK(vdo_config_new(&c) == 0);
	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		FUZZ_CHECK(vdo_config_set(c, options[i][0], options[i][1],
					  NULL) == 0);
	if (vdo_format_device(g->overlay.device, c, &error) != 0)
		fprintf(stderr, "%s\n", error.message);
	vdo_config_free(c);
}

static void load(struct golden *g)
{
	struct overlay *o = &g->overlay;

	FUZZ_CHECK(geometry_decode(o->image, &g->geometry) == 0);
	FUZZ_CHECK(superblock_decode(o->image + g->geometry.data_start *
							BLOCK_SIZE,
				     g->geometry.data_start, &g->sb) == 0);
}

/* The nonce is by chance, but inputs are to mean the same each time. */
static void fix_nonce(struct golden *g)
{
	struct overlay *o = &g->overlay;

	load(g);
	g->geometry.nonce = g->sb.nonce = NONCE;
	memset(g->geometry.uuid, 7, sizeof(g->geometry.uuid));
	geometry_encode(&g->geometry, o->image);
	superblock_encode(&g->sb,
			  o->image + g->geometry.data_start * BLOCK_SIZE);
	for (uint64_t i = 0; i < g->sb.root_count; i++) {
		uint8_t *page = o->image + (g->sb.root_origin + i) * BLOCK_SIZE;

		if (get_u64(page + 8) != 0)
			put_u64(page + 8, NONCE);
	}
}

bool host_is_written(uint64_t lbn)
{
	for (unsigned i = 0; i < WRITTEN; i++)
		if (lbn == written[i])
			return true;
	return lbn < 40 || (lbn >= 50 && lbn < 58);
}

uint64_t host_lbn(unsigned i)
{
	FUZZ_CHECK(i < LBNS);
	if (i < STORED)
		return i;
	i -= STORED;
	if (i < ARRAY_SIZE(far_lbns))
		return far_lbns[i];
	i -= ARRAY_SIZE(far_lbns);
	return i < WRITTEN ? written[i] : STORED + i;
}

static bool is_stored(uint64_t lbn)
{
	for (unsigned i = 0; i < ARRAY_SIZE(far_lbns); i++)
		if (lbn == far_lbns[i])
			return true;
	return lbn < STORED && (lbn < 8 || lbn >= 16);
}

void host_stored(uint64_t lbn, uint8_t *block)
{
	if (is_stored(lbn))
		host_fill(lbn, block);
	else
		memset(block, 0, BLOCK_SIZE);
}

/*
 * A volume that is not closed has pages, counts and slab journals on disk that
 * lack the newest entries, as its journal is short, and a part of them that
 * lacks none.
 */
static void store(struct golden *g, bool closed)
{
	struct vdo_config *c = host_config(0, false);
	uint8_t block[BLOCK_SIZE];
	struct vdo_volume *v;

	FUZZ_CHECK(vdo_open_device(g->overlay.device, c, &v, NULL) == 0);
	for (unsigned i = 0; i < STORED + ARRAY_SIZE(far_lbns); i++) {
		host_fill(host_lbn(i), block);
		FUZZ_CHECK(vdo_pwrite(v, block, BLOCK_SIZE,
				      host_lbn(i) * BLOCK_SIZE, 0) == 0);
	}
	FUZZ_CHECK(vdo_discard(v, 8 * BLOCK_SIZE, 8 * BLOCK_SIZE, 0) == 0);
	FUZZ_CHECK(vdo_flush(v, 0) == 0);
	if (closed)
		FUZZ_CHECK(vdo_close(v) == 0);
	else
		vdo_abandon(v);
	vdo_config_free(c);
}

static void add(struct golden *g, enum part part, uint64_t start,
		uint64_t count)
{
	struct overlay_part *p = &g->parts[part];

	p->blocks = g->blocks[part];
	for (uint64_t i = 0; i < count; i++)
		g->blocks[part][p->count++] = start + i;
}

/* ------------------------------------------------------------------- fields
 */

static const struct overlay_field geometry_fields[] = {
	{.offset = 12, .width = 4}, {.offset = 24, .width = 4},
	{.offset = 28, .width = 8}, {.offset = 52, .width = 8},
	{.offset = 60, .width = 4}, {.offset = 64, .width = 8},
	{.offset = 72, .width = 4}, {.offset = 76, .width = 8},
	{.offset = 84, .width = 1},
};

/* Of the configuration, of each partition, and of journal, slabs and map. */
static const struct overlay_field super_fields[] = {
	{.offset = 40, .width = 4},
	{.offset = 44, .width = 8, .stride = 8, .repeat = 8},
	{.offset = 128, .width = 8, .stride = 8, .repeat = 2},
	{.offset = 145, .width = 1, .stride = 25, .repeat = 4},
	{.offset = 146, .width = 8, .stride = 25, .repeat = 4},
	{.offset = 162, .width = 8, .stride = 25, .repeat = 4},
	{.offset = 265, .width = 8, .stride = 8, .repeat = 3},
	{.offset = 309, .width = 8, .stride = 8, .repeat = 9},
	{.offset = 381, .width = 1},
	{.offset = 402, .width = 8, .stride = 8, .repeat = 4},
};

static const struct overlay_field page_fields[] = {
	{.offset = 0, .width = 4, .stride = 4, .repeat = 2},
	{.offset = 8, .width = 8},
	{.offset = 16, .width = 8},
	{.offset = 32, .width = 1},
	{.offset = 36, .width = 5, .stride = 5, .repeat = 812},
	{.offset = 36, .width = 5, .stride = 5, .repeat = 16},
};

static const struct overlay_field journal_fields[] = {
	{.offset = 0, .width = 8, .stride = 8, .repeat = 4},
	{.offset = 32, .width = 1},
	{.offset = 33, .width = 2},
	{.offset = 35, .width = 8, .stride = 8, .repeat = 2},
	{.offset = 51, .width = 1, .stride = 1, .repeat = 2},
	/* check byte, recovery count and number of entries of each sector */
	{.offset = 512, .width = 1, .stride = 512, .repeat = 7},
	{.offset = 513, .width = 1, .stride = 512, .repeat = 7},
	{.offset = 514, .width = 1, .stride = 512, .repeat = 7},
	/* entries of the first sectors: page and slot, then mappings */
	{.offset = 515, .width = 2, .stride = 16, .repeat = 31},
	{.offset = 517, .width = 4, .stride = 16, .repeat = 31},
	{.offset = 521, .width = 5, .stride = 16, .repeat = 31},
	{.offset = 526, .width = 5, .stride = 16, .repeat = 31},
	{.offset = 1029, .width = 4, .stride = 16, .repeat = 31},
	{.offset = 1033, .width = 5, .stride = 16, .repeat = 31},
	{.offset = 1038, .width = 5, .stride = 16, .repeat = 31},
};

static const struct overlay_field summary_fields[] = {
	{.offset = 0, .width = 1, .stride = 2, .repeat = 16},
	{.offset = 1, .width = 1, .stride = 2, .repeat = 16},
};

static const struct overlay_field count_fields[] = {
	{.offset = 0, .width = 8, .stride = 512, .repeat = 8},
	{.offset = 8, .width = 1, .stride = 1, .repeat = 504},
};

static const struct overlay_field slab_journal_fields[] = {
	{.offset = 0, .width = 8, .stride = 8, .repeat = 4},
	{.offset = 32, .width = 1, .stride = 1, .repeat = 2},
	{.offset = 34, .width = 2},
	{.offset = 36, .width = 3, .stride = 3, .repeat = 300},
	{.offset = 3933, .width = 1, .stride = 1, .repeat = 163},
};

static const struct overlay_field data_fields[] = {
	{.offset = 0, .width = 4, .stride = 4, .repeat = 2},
	{.offset = 8, .width = 2, .stride = 2, .repeat = 14},
};

#define FIELDS(fields) fields, ARRAY_SIZE(fields)

static const struct {
	const struct overlay_field *fields;
	unsigned count;
} part_fields[PARTS] = {
	[GEOMETRY] = {FIELDS(geometry_fields)},
	[SUPER] = {FIELDS(super_fields)},
	[ROOTS] = {FIELDS(page_fields)},
	[PAGES] = {FIELDS(page_fields)},
	[JOURNAL] = {FIELDS(journal_fields)},
	[SUMMARY] = {FIELDS(summary_fields)},
	[COUNTS] = {FIELDS(count_fields)},
	[SLAB_JOURNALS] = {FIELDS(slab_journal_fields)},
	[DATA] = {FIELDS(data_fields)},
};

static void add_slab(struct golden *g, const struct slab_geometry *s,
		     uint64_t slab)
{
	const struct slab_config *c = &g->sb.slab;
	pbn_t start = slab_start(s, slab);

	for (uint64_t i = 0; i < c->data_blocks; i++) {
		const uint8_t *p = g->overlay.image + (start + i) * BLOCK_SIZE;

		if (mapping_page_check(p, NONCE, start + i) == MAP_PAGE_VALID)
			add(g, PAGES, start + i, 1);
		else if (p[0] != 0 || p[100] != 0)
			add(g, DATA, start + i, 1);
	}
	start += c->data_blocks;
	add(g, COUNTS, start, c->reference_count_blocks);
	add(g, SLAB_JOURNALS, start + c->reference_count_blocks,
	    c->slab_journal_blocks);
}

struct golden *host_golden(unsigned flags)
{
	bool index = flags & 1, closed = (flags & 16) == 0;
	struct golden *g = &goldens[index][closed];
	struct slab_geometry s;

	if (g->overlay.image != NULL)
		return g;
	overlay_init(&g->overlay, index ? BLOCKS : NO_INDEX);
	format(g, index);
	fix_nonce(g);
	store(g, closed);
	load(g);
	layout_slab_geometry_init(&s, &g->sb);
	add(g, GEOMETRY, 0, 1);
	add(g, SUPER, g->geometry.data_start, 1);
	add(g, INDEX, 1, g->geometry.data_start - 1);
	/* It was made when the volume was opened. */
	FUZZ_CHECK(!index || g->overlay.image[BLOCK_SIZE] != 0);
	add(g, ROOTS, g->sb.root_origin, g->sb.root_count);
	add(g, JOURNAL, g->sb.partitions[PARTITION_JOURNAL].start,
	    g->sb.recovery_journal_size);
	add(g, SUMMARY, g->sb.partitions[PARTITION_SUMMARY].start, 1);
	for (uint64_t i = 0; i < s.slab_count; i++)
		add_slab(g, &s, i);
	for (unsigned i = 0; i < PARTS; i++) {
		g->parts[i].fields = part_fields[i].fields;
		g->parts[i].field_count = part_fields[i].count;
	}
	overlay_keep(&g->overlay);
	return g;
}

static void fix_checksums(struct golden *g)
{
	uint8_t *block = overlay_block(&g->overlay, 0);
	unsigned crc = block[12] == 4 ? 89 : 97;

	put_u32(block + crc, format_crc(block, crc));
	block = overlay_block(&g->overlay, g->geometry.data_start);
	put_u32(block + 434, format_crc(block, 434));
}

/* Pages that were copied are of their place. */
static void fix_pages(struct golden *g, const struct overlay_part *part)
{
	for (uint64_t i = 0; i < part->count; i++) {
		uint8_t *page = g->overlay.image + part->blocks[i] * BLOCK_SIZE;

		if (g->overlay.dirty[part->blocks[i]] &&
		    get_u64(page + 8) == NONCE)
			put_u64(page + 16, part->blocks[i]);
	}
}

unsigned host_damage(struct golden *g, struct fuzz *f, unsigned flags)
{
	unsigned damaged;

	overlay_reset(&g->overlay);
	damaged = overlay_damage(&g->overlay, f, g->parts, PARTS);
	if (flags & 4)
		return damaged;
	fix_checksums(g);
	fix_pages(g, &g->parts[ROOTS]);
	fix_pages(g, &g->parts[PAGES]);
	return damaged;
}

void host_write_some(struct vdo_volume *v, bool sound)
{
	uint64_t size = vdo_volume_size(v);
	uint8_t block[BLOCK_SIZE], back[BLOCK_SIZE];

	for (unsigned i = 0; i < WRITTEN; i++) {
		uint64_t at = written[i] * BLOCK_SIZE;
		int r;

		if (at + BLOCK_SIZE > size)
			break;
		host_fill(i % 4 == 1 ? written[i] + 1 : 1000 + written[i], block);
		r = vdo_pwrite(v, block, BLOCK_SIZE, at, i % 2);
		FUZZ_CHECK(r <= 0);
		if (r == 0 && vdo_pread(v, back, BLOCK_SIZE, at, 0) == 0 &&
		    sound)
			FUZZ_CHECK(memcmp(block, back, BLOCK_SIZE) == 0);
	}
	FUZZ_CHECK(vdo_flush(v, 0) <= 0);
	if (size >= 64 * BLOCK_SIZE) {
		FUZZ_CHECK(vdo_discard(v, 40 * BLOCK_SIZE, 0, 0) <= 0);
		FUZZ_CHECK(vdo_write_zeroes(v, 8 * BLOCK_SIZE,
					    50 * BLOCK_SIZE, 0) <= 0);
	}
}

struct vdo_volume *host_open(struct golden *g, unsigned flags, bool read_only,
			     int *result)
{
	struct vdo_config *c = host_config(flags, read_only);
	struct vdo_error error = {0};
	struct vdo_volume *v = NULL;

	*result = vdo_open_device(g->overlay.device, c, &v, &error);
	vdo_config_free(c);
	if (*result == 0)
		return v;
	FUZZ_CHECK(*result < 0 && error.code == *result);
	FUZZ_CHECK(error.message[0] != '\0');
	return NULL;
}
