/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Region tables, nonces, and the blocks that carry them.
 *
 * All tables are written and checked from one description: the list of regions
 * that must be there, one after the other [super_regions, save_regions]. Only
 * the sizes of volume and saves are taken from the super block, where they can
 * differ from the geometry's for an index that was moved.
 */
#include "build.h"

#include "index_format/layout.h"

#include <assert.h>
#include <string.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash128.h"
#include "format/types.h"

#define REGION_MAGIC	UINT64_C(0x416c6252676e3031)
#define REGION_VERSION	1u
#define TABLE_HEADER	24u
#define TABLE_ENTRY	24u
#define TYPE_SUPER	1u
#define TYPE_SAVE	2u
#define TYPE_UNSAVED	4u
#define SOLE		65535u
#define KIND_FREE	0u
#define KIND_HEADER	1u
#define KIND_CONFIG	100u
#define KIND_INDEX	101u
#define KIND_SEAL	102u
#define KIND_VOLUME	201u
#define KIND_SAVE	202u
#define KIND_PAGE_MAP	301u
#define KIND_ZONE	302u
#define KIND_OPEN	303u
#define LABEL		"*ALBIREO*SINGLE*FILE*LAYOUT*001*"
#define SUPER_VERSION	3u
#define SUPER_MOVED	7u
#define SUPER_REGIONS	7u
#define SUPER_PAYLOAD	104u
#define SAVE_PAYLOAD	64u
#define UNSAVED_PAYLOAD 24u
#define SAVE_VERSION	1u
#define STATE_SIGNATURE UINT32_MAX
#define STATE_VERSION	301u
#define PRIMARY_SEED	UINT64_C(0xa1b1e0fc)
#define REGIONS_MAX	(INDEX_ZONES_MAX + 4)

static_assert(TABLE_HEADER + REGIONS_MAX * TABLE_ENTRY + SUPER_PAYLOAD + 16 <=
		      BLOCK_SIZE, "a block");

/* The time of a save is below this, so that the next one can be newer. */
#define TIMESTAMPS_END (UINT64_C(1) << 62)

struct region {
	uint64_t start, blocks;
	unsigned kind, instance;
};

struct table {
	uint64_t blocks;
	unsigned type, count, payload;
	struct region regions[REGIONS_MAX];
};

/* X 3.3. The length @n is 16 or 32. */
static uint64_t make_nonce(uint64_t start, const void *data, size_t n)
{
	struct hash128 h =
		hash128(data, n, (uint32_t)(start ^ start >> 27));

	VDO_ASSERT(n == 16 || n == 32);
	return get_u64(h.bytes + 4);
}

static uint64_t make_volume_nonce(uint64_t primary, uint64_t start)
{
	uint8_t data[16] = {0};
	uint64_t nonce;

	put_u64(data, start);
	nonce = make_nonce(primary + 1, data, sizeof(data));
	if (nonce == 0)
		nonce = make_nonce(~primary + 2, data, sizeof(data));
	return nonce;
}

static uint64_t save_start(const struct index_layout *l, unsigned slot)
{
	VDO_ASSERT(slot <= SAVES);
	return l->first + INDEX_HEADER_BLOCKS + l->volume_blocks +
	       l->volume_offset + slot * l->save_blocks;
}

static uint64_t make_save_nonce(const struct index_layout *l, unsigned slot,
				uint64_t timestamp)
{
	uint8_t data[32] = {0};

	VDO_ASSERT(slot < SAVES);
	put_u64(data, timestamp);
	put_u32(data + 16, SAVE_VERSION);
	put_u64(data + 24, save_start(l, slot));
	return make_nonce(l->volume_nonce + 1, data, sizeof(data));
}

void layout_init(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t unique[NONCE_INFO_MAX])
{
	VDO_ASSERT(g->total_blocks > 0);
	*l = (struct index_layout){
		.first = first_block,
		.volume_blocks = g->volume_blocks,
		.save_blocks = g->save_blocks,
		.page_map_blocks = g->page_map_blocks,
		.open_chapter_blocks = g->open_chapter_blocks,
	};
	memcpy(l->nonce_info, unique, NONCE_INFO_MAX);
	l->primary_nonce = make_nonce(PRIMARY_SEED, unique, NONCE_INFO_MAX);
	l->volume_nonce = make_volume_nonce(
		l->primary_nonce, first_block + INDEX_HEADER_BLOCKS);
}

static uint64_t index_blocks(const struct index_layout *l)
{
	return l->volume_blocks + SAVES * l->save_blocks;
}

/* The regions that a super block must list. */
static void super_regions(const struct index_layout *l, struct table *t)
{
	uint64_t first = l->first, volume = first + INDEX_HEADER_BLOCKS;

	*t = (struct table){
		.blocks = INDEX_HEADER_BLOCKS + 1 + index_blocks(l),
		.type = TYPE_SUPER,
		.count = SUPER_REGIONS,
		.payload = SUPER_PAYLOAD + (l->volume_offset != 0 ? 16 : 0),
		.regions = {
			{first, 1, KIND_HEADER, SOLE},
			{first + 1, 1, KIND_CONFIG, SOLE},
			{volume, index_blocks(l), KIND_INDEX, 0},
			{volume, l->volume_blocks, KIND_VOLUME, SOLE},
			{save_start(l, 0), l->save_blocks, KIND_SAVE, 0},
			{save_start(l, 1), l->save_blocks, KIND_SAVE, 1},
			{save_start(l, SAVES), 1, KIND_SEAL, SOLE},
		},
	};
}

static void add_region(struct table *t, unsigned kind, unsigned instance,
		       uint64_t blocks)
{
	const struct region *last = &t->regions[t->count - 1];

	VDO_ASSERT(t->count < REGIONS_MAX);
	t->regions[t->count++] = (struct region){
		last->start + last->blocks, blocks, kind, instance};
}

static uint64_t zone_blocks(const struct index_layout *l, unsigned zone_count)
{
	VDO_ASSERT(zone_count >= 1);
	VDO_ASSERT(l->save_blocks >
		   l->page_map_blocks + l->open_chapter_blocks);
	return (l->save_blocks - 1 - l->page_map_blocks -
		l->open_chapter_blocks) / zone_count;
}

/* The regions that the header of a save must list; @zone_count is 0 where there
 * is no save. */
static void save_regions(const struct index_layout *l, unsigned slot,
			 unsigned zone_count, struct table *t)
{
	uint64_t left = l->save_blocks - 1 - l->page_map_blocks;

	VDO_ASSERT(slot < SAVES && zone_count <= INDEX_ZONES_MAX);
	*t = (struct table){
		.blocks = l->save_blocks,
		.type = zone_count != 0 ? TYPE_SAVE : TYPE_UNSAVED,
		.payload = zone_count != 0 ? SAVE_PAYLOAD : UNSAVED_PAYLOAD,
		.count = 1,
		.regions = {{save_start(l, slot), 1, KIND_HEADER, SOLE}},
	};
	add_region(t, KIND_PAGE_MAP, SOLE, l->page_map_blocks);
	for (unsigned z = 0; z < zone_count; z++) {
		add_region(t, KIND_ZONE, z, zone_blocks(l, zone_count));
		left -= zone_blocks(l, zone_count);
	}
	if (zone_count != 0) {
		add_region(t, KIND_OPEN, SOLE, l->open_chapter_blocks);
		left -= l->open_chapter_blocks;
	}
	if (left != 0)
		add_region(t, KIND_FREE, SOLE, left);
}

static void table_encode(const struct table *t, struct writer *w)
{
	VDO_ASSERT(t->count >= 1 && t->count <= REGIONS_MAX);
	write_u64(w, REGION_MAGIC);
	write_u64(w, t->blocks);
	write_u16(w, (uint16_t)t->type);
	write_u16(w, REGION_VERSION);
	write_u16(w, (uint16_t)t->count);
	write_u16(w, (uint16_t)t->payload);
	for (unsigned i = 0; i < t->count; i++) {
		write_u64(w, t->regions[i].start);
		write_u64(w, t->regions[i].blocks);
		write_u32(w, 0);
		write_u16(w, (uint16_t)t->regions[i].kind);
		write_u16(w, (uint16_t)t->regions[i].instance);
	}
}

static int table_decode(struct table *t, struct reader *r)
{
	uint64_t magic = read_u64(r);
	unsigned version;

	t->blocks = read_u64(r);
	t->type = read_u16(r);
	version = read_u16(r);
	t->count = read_u16(r);
	t->payload = read_u16(r);
	if (magic != REGION_MAGIC)
		return -VDO_ENOINDEX;
	if (version != REGION_VERSION)
		return -VDO_EVERSION;
	if (t->count > REGIONS_MAX)
		return -VDO_ECORRUPT;
	for (unsigned i = 0; i < t->count; i++) {
		struct region *g = &t->regions[i];

		g->start = read_u64(r);
		g->blocks = read_u64(r);
		read_u32(r);
		g->kind = read_u16(r);
		g->instance = read_u16(r);
	}
	return 0;
}

static bool tables_equal(const struct table *a, const struct table *b)
{
	if (a->blocks != b->blocks || a->type != b->type ||
	    a->count != b->count || a->payload != b->payload)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		const struct region *x = &a->regions[i], *y = &b->regions[i];

		if (x->start != y->start || x->blocks != y->blocks ||
		    x->kind != y->kind || x->instance != y->instance)
			return false;
	}
	return true;
}

void index_super_encode(const struct index_layout *l, uint8_t *block)
{
	struct writer w = {block};
	struct table t;

	VDO_ASSERT(l->volume_offset == 0);
	memset(block, 0, BLOCK_SIZE);
	super_regions(l, &t);
	table_encode(&t, &w);
	write_bytes(&w, LABEL, 32);
	write_bytes(&w, l->nonce_info, NONCE_INFO_MAX);
	write_u64(&w, l->primary_nonce);
	write_u32(&w, SUPER_VERSION);
	write_u32(&w, BLOCK_SIZE);
	write_u16(&w, 1); /* indexes */
	write_u16(&w, SAVES);
	write_u32(&w, 0);
	write_u64(&w, l->open_chapter_blocks);
	write_u64(&w, l->page_map_blocks);
}

/* Read the fields after the table, in their order. */
static int super_decode_payload(struct index_layout *l, struct reader *r)
{
	uint8_t label[32];
	uint32_t version, block_size;
	unsigned index_count, saves;

	read_bytes(r, label, sizeof(label));
	read_bytes(r, l->nonce_info, NONCE_INFO_MAX);
	l->primary_nonce = read_u64(r);
	version = read_u32(r);
	block_size = read_u32(r);
	index_count = read_u16(r);
	saves = read_u16(r);
	read_u32(r);
	l->open_chapter_blocks = read_u64(r);
	l->page_map_blocks = read_u64(r);
	if (memcmp(label, LABEL, sizeof(label)) != 0)
		return -VDO_ECORRUPT;
	if (version != SUPER_VERSION && version != SUPER_MOVED)
		return -VDO_EVERSION;
	if (version == SUPER_MOVED) {
		l->volume_offset = read_u64(r);
		l->start_offset = read_u64(r);
	}
	if (l->volume_offset < l->start_offset ||
	    l->volume_offset >= PHYSICAL_BLOCKS_MAX || index_count != 1 ||
	    saves != SAVES || block_size != BLOCK_SIZE ||
	    l->primary_nonce != make_nonce(PRIMARY_SEED, l->nonce_info,
					   NONCE_INFO_MAX))
		return -VDO_ECORRUPT;
	return 0;
}

int index_super_decode(struct index_layout *l, const struct index_geometry *g,
		 uint64_t first_block, const uint8_t *block)
{
	struct reader r = {block};
	struct table found, want;
	int result = table_decode(&found, &r);

	*l = (struct index_layout){0};
	if (result != 0)
		return result;
	if (found.type != TYPE_SUPER || found.count != SUPER_REGIONS)
		return -VDO_ECORRUPT;
	result = super_decode_payload(l, &r);
	if (result != 0)
		return result;
	if (l->volume_offset - l->start_offset > first_block)
		return -VDO_ECORRUPT;
	l->first = first_block - (l->volume_offset - l->start_offset);
	l->volume_blocks = found.regions[3].blocks;
	l->save_blocks = found.regions[4].blocks;
	super_regions(l, &want);
	want.payload = found.payload;
	/* Larger numbers are those of a moved index, which was made for
	 * more. */
	if (!tables_equal(&found, &want) ||
	    l->volume_blocks != g->volume_blocks ||
	    l->save_blocks < g->save_blocks ||
	    l->page_map_blocks < g->page_map_blocks ||
	    l->open_chapter_blocks != g->open_chapter_blocks ||
	    l->save_blocks - g->save_blocks > g->save_blocks ||
	    l->page_map_blocks - g->page_map_blocks >
		    l->save_blocks - g->save_blocks)
		return -VDO_ECORRUPT;
	l->volume_nonce = make_volume_nonce(l->primary_nonce,
					    l->first + INDEX_HEADER_BLOCKS);
	return 0;
}

void index_config_encode(const struct index_geometry *g, uint64_t nonce,
			 uint8_t *block)
{
	struct writer w = {block};

	VDO_ASSERT(g->record_pages > 0 && g->chapters > 0);
	memset(block, 0, BLOCK_SIZE);
	write_bytes(&w, "ALBIC06.02", 10);
	write_u32(&w, g->record_pages);
	write_u32(&w, g->chapters);
	write_u32(&w, g->sparse_chapters);
	write_u32(&w, CACHE_CHAPTERS);
	write_u32(&w, 0);
	write_u32(&w, VOLUME_INDEX_MEAN_DELTA);
	write_u32(&w, PAGE_BYTES);
	write_u32(&w, g->sparse ? SPARSE_SAMPLE_RATE : 0);
	write_u64(&w, nonce);
}

int index_config_decode(struct index_geometry *g, uint64_t nonce,
			const uint8_t *block)
{
	uint8_t want[BLOCK_SIZE];
	bool moved = memcmp(block + 5, "08.02", 5) == 0;

	index_config_encode(g, nonce, want);
	if (memcmp(block, want, 5) != 0 ||
	    (!moved && memcmp(block + 5, want + 5, 5) != 0))
		return -VDO_ECORRUPT;
	if (memcmp(block + 10, want + 10, 16) != 0 ||
	    memcmp(block + 30, want + 30, 20) != 0)
		return -VDO_ENOINDEX;
	if (!moved)
		return 0;
	g->remapped_virtual = get_u64(block + 50);
	g->remapped_physical = get_u64(block + 58);
	return g->remapped_physical >= g->chapters ||
			       g->remapped_virtual >= CHAPTERS_END
		       ? -VDO_ECORRUPT
		       : 0;
}

void index_save_encode(const struct index_layout *l, unsigned slot,
		 const struct index_save *save, uint8_t *block)
{
	struct writer w = {block};
	struct table t;

	VDO_ASSERT(slot < SAVES && save->zone_count <= INDEX_ZONES_MAX);
	memset(block, 0, BLOCK_SIZE);
	save_regions(l, slot, save->timestamp == 0 ? 0 : save->zone_count, &t);
	table_encode(&t, &w);
	if (save->timestamp == 0)
		return;
	write_u64(&w, save->timestamp);
	write_u64(&w, make_save_nonce(l, slot, save->timestamp));
	write_u32(&w, SAVE_VERSION);
	write_u32(&w, 0);
	write_u32(&w, STATE_SIGNATURE);
	write_u32(&w, STATE_VERSION);
	write_u64(&w, save->newest);
	write_u64(&w, save->oldest);
	write_u64(&w, save->last_save);
	write_u64(&w, 0);
}

static bool save_decode_payload(const struct index_layout *l, unsigned slot,
				struct reader *r, struct index_save *save)
{
	uint64_t nonce;
	uint32_t version, signature, state;

	save->timestamp = read_u64(r);
	nonce = read_u64(r);
	version = read_u32(r);
	read_u32(r);
	signature = read_u32(r);
	state = read_u32(r);
	save->newest = read_u64(r);
	save->oldest = read_u64(r);
	save->last_save = read_u64(r);
	/* How far apart chapters may be depends on the geometry, which who
	 * loads the save compares. */
	if (save->timestamp >= TIMESTAMPS_END || save->newest >= CHAPTERS_END ||
	    save->oldest > save->newest)
		return false;
	return save->timestamp != 0 && version <= SAVE_VERSION &&
	       signature == STATE_SIGNATURE && state == STATE_VERSION &&
	       nonce == make_save_nonce(l, slot, save->timestamp);
}

void index_save_decode(const struct index_layout *l, unsigned slot,
		 const uint8_t *block, struct index_save *save)
{
	struct reader r = {block};
	struct table found, want;
	unsigned zones;

	VDO_ASSERT(slot < SAVES);
	*save = (struct index_save){0};
	if (table_decode(&found, &r) != 0 || found.type != TYPE_SAVE ||
	    found.count < 4)
		return;
	zones = found.count - 3;
	if (found.regions[found.count - 1].kind == KIND_FREE)
		zones--;
	if (zones < 1 || zones > INDEX_ZONES_MAX)
		return;
	save_regions(l, slot, zones, &want);
	if (!tables_equal(&found, &want) ||
	    !save_decode_payload(l, slot, &r, save)) {
		*save = (struct index_save){0};
		return;
	}
	save->zone_count = zones;
}

struct extent layout_save_part(const struct index_layout *l, unsigned slot,
			       enum save_part part, unsigned zone,
			       unsigned zone_count)
{
	unsigned at = part;
	struct table t;

	VDO_ASSERT(part != SAVE_ZONE || zone < zone_count);
	VDO_ASSERT(zone_count >= 1 && zone_count <= INDEX_ZONES_MAX);
	save_regions(l, slot, zone_count, &t);
	if (part == SAVE_ZONE)
		at += zone;
	else if (part == SAVE_OPEN_CHAPTER)
		at = 2 + zone_count;
	return (struct extent){
		t.regions[at].start - l->start_offset + l->io_offset,
		t.regions[at].blocks};
}

uint64_t layout_super_block(const struct index_layout *l)
{
	VDO_ASSERT(l->volume_offset >= l->start_offset);
	return l->first + l->volume_offset - l->start_offset + l->io_offset;
}

uint64_t layout_blocks(const struct index_layout *l)
{
	return INDEX_HEADER_BLOCKS + index_blocks(l);
}

uint64_t layout_config_block(const struct index_layout *l)
{
	return layout_super_block(l) + 1;
}

uint64_t layout_volume_block(const struct index_layout *l)
{
	return layout_super_block(l) + INDEX_HEADER_BLOCKS;
}
