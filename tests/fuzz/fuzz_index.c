/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole index: damage to a small good one, then it is looked over, opened,
 * asked and closed. Byte 0:
 *
 *	1, 2	zones, less one
 *	4	leave nonces as the damage left them; else they are right
 *	8	without saves: it is rebuilt from its chapters
 *	16	rebuild it although there may be a save
 *
 * Then the damage (overlay.h); parts are those of enum part.
 *
 * Opening says what to do, or serves; no request hangs; whatever was met is
 * good after the next opening. Nothing outside of the index is touched.
 */
#include "build.h"

#include "tests/fuzz/index_host.h"

#include "base/bytes.h"
const unsigned fuzz_replays = 40;

enum part {
	SUPER,
	CONFIG,
	HEADERS, /* of saves */
	MAP,	 /* page map */
	ZONES,	 /* volume index */
	OPEN,	 /* open chapter */
	CHAPTERS,
	STARTS, /* of chapters and their pages */
	ALL,
	PARTS,
};

static struct overlay_part parts[PARTS];
static uint64_t blocks[PARTS][INDEX_BLOCKS];

static void add(enum part part, uint64_t start, uint64_t count)
{
	struct overlay_part *p = &parts[part];

	p->blocks = blocks[part];
	for (uint64_t i = 0; i < count; i++)
		blocks[part][p->count++] = start + i;
}

static void add_save(enum part to, const struct index_layout *l,
		     enum save_part part, unsigned zone)
{
	for (unsigned slot = 0; slot < SAVES; slot++) {
		struct extent e =
			layout_save_part(l, slot, part, zone, INDEX_SAVERS);

		add(to, e.start, e.blocks);
	}
}

static struct index_golden *setup(void)
{
	struct index_golden *g = index_golden();
	const struct index_layout *l = &g->layout;

	if (parts[SUPER].count > 0)
		return g;
	add(SUPER, layout_super_block(l), 1);
	add(CONFIG, layout_config_block(l), 1);
	add_save(HEADERS, l, SAVE_HEADER, 0);
	add_save(MAP, l, SAVE_PAGE_MAP, 0);
	for (unsigned i = 0; i < INDEX_SAVERS; i++)
		add_save(ZONES, l, SAVE_ZONE, i);
	add_save(OPEN, l, SAVE_OPEN_CHAPTER, 0);
	add(CHAPTERS, layout_volume_block(l), l->volume_blocks);
	for (uint64_t i = 0; i < l->volume_blocks; i += PAGE_BLOCKS)
		add(STARTS, layout_volume_block(l) + i, 1);
	add(ALL, 0, INDEX_BLOCKS);
	return g;
}

/* A super block whose saves have @more blocks each, as where an index was made
 * for more and moved; they need not fit. */
static size_t put_larger_saves(const struct index_golden *g, uint64_t more,
			       uint8_t *to)
{
	struct index_layout l = g->layout;
	uint8_t block[4096];
	size_t n = 0;

	l.save_blocks += more;
	index_super_encode(&l, block);
	for (unsigned i = 0; i < 320; i += 32)
		n += overlay_put_damage(to + n, SUPER, 0, i, block + i, 32);
	return n;
}

/* Super block and saves with the nonces that belong to what they say. */
static void fix_nonces(struct index_golden *g)
{
	uint8_t *block = overlay_block(&g->overlay, 0);
	struct index_layout l;

	layout_init(&l, &g->geometry, 0, block + 224);
	put_u64(block + 256, l.primary_nonce);
	for (unsigned slot = 0; slot < SAVES; slot++) {
		struct index_save s = {.zone_count = 1};
		unsigned at;
		uint8_t made[4096];

		block = overlay_block(
			&g->overlay,
			layout_save_part(&l, slot, SAVE_HEADER, 0, 1).start);
		at = 24 + 24 * (get_u16(block + 20) % 32);
		s.timestamp = get_u64(block + at);
		index_save_encode(&l, slot, &s, made);
		if (s.timestamp != 0)
			memcpy(block + at + 8,
			       made + 24 + 24 * get_u16(made + 20) + 8, 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index_golden *g = setup();
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct index_verify v;
	bool intact;

	overlay_reset(&g->overlay);
	intact = overlay_damage(&g->overlay, &f, parts, PARTS) == 0 &&
		 (flags & 8) == 0;
	if ((flags & 4) == 0)
		fix_nonces(g);
	for (unsigned slot = 0; (flags & 8) != 0 && slot < SAVES; slot++)
		memset(overlay_block(&g->overlay, parts[HEADERS].blocks[slot]),
		       0, 4096);
	if (index_host_verify(1 + flags % 4, intact, &v) && (flags & 16) != 0)
		index_host_rebuild(1 + flags % 4);
	index_host_use(1 + flags % 4, INDEX_LOAD, intact && (flags & 16) == 0);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const struct {
		enum part part;
		unsigned offset;
	} places[] = {
		{SUPER, 24}, {SUPER, 224}, {SUPER, 256}, {CONFIG, 5},
		{CONFIG, 50}, {HEADERS, 24}, {HEADERS, 144}, {HEADERS, 176},
		{MAP, 0}, {ZONES, 0}, {ZONES, 1064}, {ZONES, 1104},
		{ZONES, 1360}, {OPEN, 0}, {CHAPTERS, 0}, {STARTS, 0},
		{ALL, 0},
	};
	struct index_golden *g = setup();
	uint64_t block;

	input[0] = (uint8_t)(i % 32);
	if (i == ARRAY_SIZE(places))
		return 1;
	if (i == ARRAY_SIZE(places) + 1)
		return 1 + put_larger_saves(g, 20, input + 1);
	if (i > ARRAY_SIZE(places))
		return 0;
	block = parts[places[i].part].blocks[0];
	return 1 + overlay_put_damage(input + 1, places[i].part, 0,
				      places[i].offset,
				      g->overlay.kept + block * 4096 +
					      places[i].offset, 24);
}
