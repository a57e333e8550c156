/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole volume: damage to a small good one, then all that can be done with
 * it. Byte 0:
 *
 *	1	the volume that has an index
 *	2	three zones of each kind
 *	4	leave checksums as the damage left them; else they are right
 *	8	compression and deduplication are off
 *	16	the volume was not closed: its journal is to be replayed
 *
 * Then the damage (overlay.h); parts are those of enum part.
 *
 * The volume is inspected, opened read-only, opened and written, closed, and
 * opened again. At each step it either refuses, with an error that says
 * something, or serves. Read-only volumes write nothing. What was written is
 * read back at once, unless the counters of references may be wrong, which
 * nothing guards. A volume without damage, or with damage to its index alone,
 * holds what was stored, also if it was not closed: all was flushed.
 */
#include "build.h"

#include "tests/fuzz/overlay.h"

#include <vdo/vdo.h>

#include "base/bytes.h"
#include "format/layout.h"
#include "format/mapping.h"
#include "format/slab.h"

const unsigned fuzz_replays = 150;

#define BLOCKS	    6800u /* of a device that has room for an index */
#define BLOCKS_LESS 1900u /* of one that has not */
#define STORED	    240u  /* blocks of data, from LBN 0 */
#define NONCE	    4711u

enum part {
	GEOMETRY,
	SUPER,
	INDEX,
	ROOTS,
	PAGES, /* of the block map */
	JOURNAL,
	SUMMARY,
	COUNTS,
	SLAB_JOURNALS,
	DATA,
	PARTS,
};

struct golden {
	struct overlay overlay;
	struct overlay_part parts[PARTS];
	uint64_t blocks[PARTS][BLOCKS];
	struct geometry geometry;
	struct superblock sb;
};

static struct golden goldens[2][2]; /* without and with an index; closed or not */

static void fill(uint64_t lbn, uint8_t *block)
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

static struct vdo_config *config(unsigned flags, bool read_only)
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

/*
 * A volume that is not closed has pages, counts and slab journals on disk that
 * lack the newest entries, as its journal is short, and a part of them that
 * lacks none.
 */
static void store(struct golden *g, bool closed)
{
	struct vdo_config *c = config(0, false);
	uint8_t block[BLOCK_SIZE];
	struct vdo_volume *v;

	FUZZ_CHECK(vdo_open_device(g->overlay.device, c, &v, NULL) == 0);
	for (uint64_t lbn = 0; lbn < STORED; lbn++) {
		fill(lbn, block);
		FUZZ_CHECK(vdo_pwrite(v, block, BLOCK_SIZE, lbn * BLOCK_SIZE,
				      0) == 0);
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

static struct golden *setup(unsigned flags)
{
	bool index = flags & 1, closed = (flags & 16) == 0;
	struct golden *g = &goldens[index][closed];
	struct slab_geometry s;

	if (g->overlay.image != NULL)
		return g;
	overlay_init(&g->overlay, index ? BLOCKS : BLOCKS_LESS);
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

static void read_all(struct vdo_volume *v, bool intact)
{
	uint64_t size = vdo_volume_size(v);
	uint8_t block[BLOCK_SIZE], want[BLOCK_SIZE];

	for (uint64_t lbn = 0; lbn < STORED + 20; lbn++) {
		int r;

		if ((lbn + 1) * BLOCK_SIZE > size)
			break;
		r = vdo_pread(v, block, BLOCK_SIZE, lbn * BLOCK_SIZE, 0);
		FUZZ_CHECK(r <= 0);
		if (!intact)
			continue;
		fill(lbn, want);
		if (lbn >= STORED || (lbn >= 8 && lbn < 16))
			memset(want, 0, BLOCK_SIZE);
		FUZZ_CHECK(r == 0 && memcmp(block, want, BLOCK_SIZE) == 0);
	}
	if (size >= BLOCK_SIZE)
		FUZZ_CHECK(vdo_pread(v, block, BLOCK_SIZE, size - BLOCK_SIZE,
				     0) <= 0);
	FUZZ_CHECK(vdo_pread(v, block, BLOCK_SIZE, size, 0) < 0);
}

/* An index is only a memory of hints. */
static bool data_is_intact(unsigned damaged)
{
	return (damaged & ~(1u << INDEX)) == 0;
}

/* With counters as they were nothing is allocated that is in use. */
static bool counters_are_right(unsigned damaged)
{
	return (damaged & ~(1u << INDEX | 1u << ROOTS | 1u << PAGES |
			    1u << DATA)) == 0;
}

/* What is written and acknowledged is read back. */
static void write_some(struct vdo_volume *v, bool sound)
{
	static const uint64_t lbns[] = {0, 1, 2, 7, 9, 100, 200, 812, 2000};
	uint64_t size = vdo_volume_size(v);
	uint8_t block[BLOCK_SIZE], back[BLOCK_SIZE];

	for (unsigned i = 0; i < ARRAY_SIZE(lbns); i++) {
		uint64_t at = lbns[i] * BLOCK_SIZE;
		int r;

		if (at + BLOCK_SIZE > size)
			break;
		fill(i % 4 == 1 ? lbns[i] + 1 : 1000 + lbns[i], block);
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

static struct vdo_volume *try_open(struct golden *g, unsigned flags,
				   bool read_only, int *result)
{
	struct vdo_config *c = config(flags, read_only);
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

static void use_read_only(struct golden *g, unsigned flags, bool intact,
			  const struct vdo_info *info)
{
	struct vdo_volume *v;
	int r;

	g->overlay.read_only = true;
	v = try_open(g, flags, true, &r);
	if (v != NULL) {
		uint8_t block[BLOCK_SIZE] = {1};

		FUZZ_CHECK(info != NULL && vdo_volume_is_read_only(v));
		FUZZ_CHECK(vdo_volume_size(v) ==
			   info->logical_blocks * BLOCK_SIZE);
		read_all(v, intact);
		FUZZ_CHECK(vdo_pwrite(v, block, BLOCK_SIZE, 0, 0) < 0);
		FUZZ_CHECK(vdo_close(v) <= 0);
	}
	g->overlay.read_only = false;
}

static void use(struct golden *g, unsigned flags, unsigned damaged)
{
	bool intact = data_is_intact(damaged);
	struct vdo_volume *v;
	bool good;
	int r;

	v = try_open(g, flags, false, &r);
	FUZZ_CHECK(!intact || v != NULL);
	if (v == NULL)
		return;
	read_all(v, intact);
	write_some(v, counters_are_right(damaged));
	good = !vdo_volume_is_read_only(v);
	r = vdo_close(v);
	FUZZ_CHECK(r <= 0 && (!intact || (good && r == 0)));
	good = good && r == 0;
	v = try_open(g, flags ^ 2, false, &r);
	/* What was closed in good order opens. */
	FUZZ_CHECK(!good || v != NULL);
	if (v == NULL)
		return;
	read_all(v, false);
	if (intact)
		FUZZ_CHECK(vdo_close(v) == 0);
	else
		vdo_abandon(v);
}

/* It tells sums that add up, or an error that says something. */
static void use_usage(struct golden *g)
{
	struct vdo_config *c;
	struct vdo_error error = {0};
	struct vdo_usage u;
	struct vdo_job *job;
	int r;

	FUZZ_CHECK(vdo_config_new(&c) == 0 &&
		   vdo_config_set(c, "executor", "inline", NULL) == 0);
	r = vdo_usage_count_device(g->overlay.device, c, VDO_USAGE_MAP, &job,
				   &error);
	if (r == 0)
		r = vdo_job_wait(job, -1, &error);
	FUZZ_CHECK(r == 0 || (r < 0 && error.message[0] != '\0'));
	if (r == 0) {
		FUZZ_CHECK(vdo_usage_get(job, &u, sizeof(u)) == 0);
		FUZZ_CHECK(u.level < VDO_USAGE_ESTIMATED ||
			   u.overhead_blocks + u.block_map_blocks +
					   u.data_blocks + u.free_blocks ==
				   u.physical_blocks);
		FUZZ_CHECK(u.level < VDO_USAGE_MAPPED ||
			   u.unmapped + u.zero + u.uncompressed +
					   u.compressed ==
				   u.logical_blocks);
	}
	vdo_job_free(job);
	vdo_config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct golden *g = setup(flags);
	struct vdo_info info;
	struct vdo_error error = {0};
	unsigned damaged;
	int r;

	overlay_reset(&g->overlay);
	damaged = overlay_damage(&g->overlay, &f, g->parts, PARTS);
	if ((flags & 4) == 0)
		fix_checksums(g);
	r = vdo_inspect_device(g->overlay.device, &info, sizeof(info), &error);
	FUZZ_CHECK(r == 0 || (r < 0 && error.message[0] != '\0'));
	use_usage(g);
	use_read_only(g, flags, data_is_intact(damaged), r == 0 ? &info : NULL);
	use(g, flags, damaged);
	return 0;
}

/* Numbers of the super block, at their limits. */
static size_t put_number(unsigned i, uint8_t *to)
{
	static const struct {
		unsigned offset;
		uint64_t value;
	} numbers[] = {
		{40, 0}, {40, 3}, {40, 4}, {40, 99}, /* state */
		{60, 0}, {60, 1}, {60, UINT64_C(1) << 40}, /* logical */
		{84, 1}, {84, 2}, /* recovery journal */
		{92, 2}, {92, 256}, /* slab journals */
		{265, 0}, {265, SEQ_MAX - 1}, {265, UINT64_MAX}, /* sequence */
		{273, UINT64_MAX}, {281, UINT64_MAX}, /* blocks used */
		{317, 1}, {317, 100}, {333, 1}, {333, 2}, /* of a slab */
		{341, 0}, {341, 3}, {349, 1}, {357, 0}, /* thresholds */
		{426, 1}, {426, 2}, {426, 59}, /* roots */
	};
	uint8_t value[8];

	if (i >= ARRAY_SIZE(numbers))
		return 0;
	put_u64(value, numbers[i].value);
	return overlay_put_damage(to, SUPER, 0, numbers[i].offset, value,
				  numbers[i].offset == 40 ? 4 : 8);
}

/* Bytes that are there already, a few of each part, and nothing at all. */
size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const struct {
		enum part part;
		unsigned offset;
	} places[] = {
		{GEOMETRY, 32}, {SUPER, 40}, {SUPER, 60}, {SUPER, 240},
		{SUPER, 300}, {SUPER, 340}, {SUPER, 400}, {INDEX, 0},
		{ROOTS, 36}, {PAGES, 36}, {PAGES, 0}, {JOURNAL, 0},
		{JOURNAL, 16}, {JOURNAL, 512}, {JOURNAL, 1024},
		{SUMMARY, 0}, {COUNTS, 0}, {SLAB_JOURNALS, 0}, {DATA, 0},
	};
	struct golden *g;
	unsigned place = i / 4;
	uint64_t block;
	size_t n;

	input[0] = (uint8_t)((i & 1) | (i & 2 ? 16 : 0) | (place & 1 ? 2 : 0));
	if (place == ARRAY_SIZE(places))
		return 1;
	if (place > ARRAY_SIZE(places)) {
		n = put_number(i - 4 * ARRAY_SIZE(places) - 4, input + 1);
		return n == 0 ? 0 : n + 1;
	}
	g = setup(input[0]);
	if (g->parts[places[place].part].count == 0)
		return 1;
	block = g->parts[places[place].part].blocks[0];
	return 1 + overlay_put_damage(input + 1, places[place].part, 0,
				      places[place].offset,
				      g->overlay.kept + block * BLOCK_SIZE +
					      places[place].offset,
				      20);
}
