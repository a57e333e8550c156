/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The blocks that say where an index lies. Byte 0: what the block is, and 4
 * makes its nonce right. Then the block.
 *
 *	0	super block
 *	1	config
 *	2, 3	header of save 0 or 1
 *
 * What is decoded is encoded and decoded again and must be the same; the parts
 * of saves follow each other.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/types.h"
#include "index_format/layout.h"

const unsigned fuzz_replays = 10000;

#define FIRST	   100u
#define NONCE	   4711u
#define NONCE_INFO 224u
#define PRIMARY	   256u

static void setup(struct index_geometry *g, struct index_layout *l)
{
	static const uint8_t unique[NONCE_INFO_MAX] = {1, 2, 3};

	FUZZ_CHECK(index_geometry_init(g, -2, false, 190) == 0);
	layout_init(l, g, FIRST, unique);
}

/* All parts of a save lie in it, one behind the other. */
static void check_parts(const struct index_layout *l, unsigned slot,
			unsigned zones)
{
	uint64_t next = layout_super_block(l) + INDEX_HEADER_BLOCKS +
			l->volume_blocks + slot * l->save_blocks;
	uint64_t end = next + l->save_blocks;

	for (unsigned i = 0; i < zones + 3; i++) {
		enum save_part part = i < 2	      ? (enum save_part)i
				      : i < zones + 2 ? SAVE_ZONE
						      : SAVE_OPEN_CHAPTER;
		struct extent e = layout_save_part(l, slot, part, i - 2, zones);

		FUZZ_CHECK(e.start == next && e.blocks > 0 &&
			   e.blocks <= end - next);
		next += e.blocks;
	}
}

static void super(struct index_geometry *g, uint8_t *block, bool fix)
{
	struct index_layout l, m;
	uint8_t again[BLOCK_SIZE];

	if (fix) {
		layout_init(&l, g, FIRST, block + NONCE_INFO);
		put_u64(block + PRIMARY, l.primary_nonce);
	}
	if (index_super_decode(&l, g, FIRST, block) != 0)
		return;
	FUZZ_CHECK(layout_super_block(&l) == FIRST);
	for (unsigned slot = 0; slot < SAVES; slot++)
		for (unsigned zones = 1; zones <= INDEX_ZONES_MAX; zones++)
			check_parts(&l, slot, zones);
	if (l.volume_offset != 0)
		return;
	index_super_encode(&l, again);
	FUZZ_CHECK(index_super_decode(&m, g, FIRST, again) == 0);
	FUZZ_CHECK(memcmp(&l, &m, sizeof(l)) == 0);
}

static void config(struct index_geometry *g, const uint8_t *block)
{
	uint8_t again[BLOCK_SIZE];

	if (index_config_decode(g, NONCE, block) != 0)
		return;
	FUZZ_CHECK(g->remapped_physical < g->chapters);
	for (uint64_t vcn = 0; vcn < 3 * (uint64_t)g->chapters; vcn++)
		FUZZ_CHECK(geometry_physical(g, vcn) < g->chapters);
	if (g->remapped_virtual == 0 && g->remapped_physical == 0) {
		index_config_encode(g, NONCE, again);
		FUZZ_CHECK(memcmp(block, again, 5) == 0 &&
			   memcmp(block + 10, again + 10, 16) == 0 &&
			   memcmp(block + 30, again + 30, 20) == 0);
	}
}

static void save(const struct index_layout *l, unsigned slot, uint8_t *block,
		 bool fix)
{
	unsigned count = get_u16(block + 20), payload = 24 + 24 * (count % 32);
	struct index_save s = {.zone_count = 1}, back;
	uint8_t again[BLOCK_SIZE];

	if (fix) {
		s.timestamp = get_u64(block + payload);
		index_save_encode(l, slot, &s, again);
		memcpy(block + payload + 8,
		       again + 24 + 24 * get_u16(again + 20) + 8, 8);
	}
	index_save_decode(l, slot, block, &s);
	if (s.zone_count == 0) {
		static const struct index_save none;

		FUZZ_CHECK(memcmp(&s, &none, sizeof(s)) == 0);
		return;
	}
	FUZZ_CHECK(s.timestamp != 0 && s.zone_count <= INDEX_ZONES_MAX);
	check_parts(l, slot, s.zone_count);
	index_save_encode(l, slot, &s, again);
	index_save_decode(l, slot, again, &back);
	FUZZ_CHECK(memcmp(&s, &back, sizeof(s)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	uint8_t block[BLOCK_SIZE];
	struct index_geometry g;
	struct index_layout l;

	setup(&g, &l);
	fuzz_fill(&f, block, sizeof(block));
	switch (flags & 3) {
	case 0:
		super(&g, block, flags & 4);
		break;
	case 1:
		config(&g, block);
		break;
	default:
		save(&l, flags & 1, block, flags & 4);
	}
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct index_save s = {1000, 9, 3, 8, i};
	uint8_t block[BLOCK_SIZE];
	struct index_geometry g;
	struct index_layout l;
	size_t n = 24 + 24 * 7 + 120;

	setup(&g, &l);
	if (i > 4)
		return 0;
	input[0] = (uint8_t)(MIN(i, 2) | 4);
	if (i == 0)
		index_super_encode(&l, block);
	else if (i == 1)
		index_config_encode(&g, NONCE, block);
	else
		index_save_encode(&l, 0, &s, block);
	memcpy(input + 1, block, n);
	return n + 1;
}
