/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index page map: its entries, 2 bytes each.
 *
 * Whatever they are, the page found for a list is one of the chapter and says
 * that it has that list.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "index_format/page_map.h"

const unsigned fuzz_replays = 3000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	struct index_geometry g;
	struct page_map m;

	FUZZ_CHECK(index_geometry_init(&g, -1, false, 0) == 0);
	FUZZ_CHECK(page_map_init(&m, &g) == 0);
	for (uint32_t c = 0; c < g.chapters; c++)
		for (uint32_t p = 0; p < g.index_pages; p++)
			page_map_set(&m, c, p, (uint32_t)fuzz_take(&f, 2));
	for (uint32_t c = 0; c < g.chapters; c++) {
		for (uint32_t list = 0; list < g.lists; list++) {
			uint32_t page = page_map_find(&m, c, list);
			struct list_range r = page_map_lists(&m, c, page);

			FUZZ_CHECK(page < g.index_pages);
			FUZZ_CHECK(r.first <= list && list <= r.last);
		}
	}
	page_map_fini(&m);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	if (i > 0)
		return 0;
	for (unsigned k = 0; k < 16; k++)
		put_u16(input + 2 * k, (uint16_t)(150 * (1 + k % 4)));
	return 32;
}
