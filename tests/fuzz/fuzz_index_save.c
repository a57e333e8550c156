/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of a save: damage to the streams of a good one. Byte 0:
 *
 *	1, 2	zones that load it, less one
 *	4, 8	what is damaged: 0 page map, 1 open chapter, 2, 3 the volume
 *		index of the first or second zone that saved
 *	16	what is there begins with the input instead
 *
 * Then patches (fuzz.h).
 *
 * A save that is loaded serves; another is refused, and then the index is built
 * again.
 */
#include "build.h"

#include "tests/fuzz/index_host.h"

const unsigned fuzz_replays = 40;

static struct extent target(const struct index_golden *g, unsigned what)
{
	static const enum save_part parts[] = {SAVE_PAGE_MAP, SAVE_OPEN_CHAPTER,
					       SAVE_ZONE, SAVE_ZONE};

	return layout_save_part(&g->layout, 0, parts[what], what % 2,
				INDEX_SAVERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index_golden *g = index_golden();
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct extent e = target(g, flags >> 2 & 3);
	bool intact = f.n == 0;
	uint8_t *stream;

	overlay_reset(&g->overlay);
	for (uint64_t i = 0; i < e.blocks; i++)
		overlay_block(&g->overlay, e.start + i);
	stream = g->overlay.image + e.start * 4096;
	if (flags & 16)
		fuzz_fill(&f, stream, MIN(f.n, e.blocks * 4096));
	else
		fuzz_patch(&f, stream, e.blocks * 4096);
	index_host_use(1 + flags % 4, INDEX_LOAD_SAVED, intact);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const uint16_t places[] = {0, 16, 40, 1064, 1104, 1360};
	struct index_golden *g = index_golden();
	struct extent e = target(g, i % 4);
	uint32_t at;

	input[0] = (uint8_t)(i % 4 << 2 | i / 4 % 4);
	if (i / 4 == ARRAY_SIZE(places))
		return 1;
	if (i / 4 > ARRAY_SIZE(places))
		return 0;
	at = places[i / 4];
	return 1 + fuzz_put_patch(input + 1, at,
				  g->overlay.kept + e.start * 4096 + at, 16);
}
