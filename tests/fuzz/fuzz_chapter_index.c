/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page of a chapter's index: damage to the second page of a good one. Byte 0:
 * 1 turns the header into that of a machine with the other byte order. Then the
 * numbers of three names (2 bytes each), then patches (fuzz.h).
 *
 * What opens can be searched; what is verified as well can be without errors,
 * and leads to a record page that there is.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <vdo/error.h>

#include "base/bytes.h"
#include "index_format/chapter_index.h"
#include "tests/unit/index_names.h"

const unsigned fuzz_replays = 3000;

#define NONCE UINT64_C(0xac44936132f2bef8)
#define NAMES 3u

static struct index_geometry tiny;
static uint8_t golden_page[PAGE_BYTES];

/* The same each time. */
static void setup(void)
{
	struct delta_lists d;
	uint32_t lost = 0, next;

	if (tiny.records != 0)
		return;
	FUZZ_CHECK(index_geometry_init(&tiny, -1, true, 0) == 0);
	FUZZ_CHECK(chapter_index_init(&d, &tiny) == 0);
	for (uint32_t i = 0; i < tiny.records; i++) {
		struct hash128 name = golden_name(i);

		/* Some collide. */
		if (i % 64 == 0)
			name.bytes[10] = name.bytes[11] = name.bytes[12] = 0;
		FUZZ_CHECK(chapter_index_put(&d, &tiny, &name,
					     i / RECORDS_PER_PAGE) == 0);
	}
	next = chapter_index_pack(&d, NONCE, 7, 0, false, golden_page, &lost);
	chapter_index_pack(&d, NONCE, 7, next, false, golden_page, &lost);
	delta_lists_fini(&d);
}

static void swap_header(uint8_t *page)
{
	for (unsigned i = 0; i < 20; i += i < 16 ? 8 : 2) {
		unsigned n = i < 16 ? 8 : 2;

		for (unsigned k = 0; k < n / 2; k++) {
			uint8_t b = page[i + k];

			page[i + k] = page[i + n - 1 - k];
			page[i + n - 1 - k] = b;
		}
	}
}

static void check(const uint8_t *page, const uint16_t *names)
{
	struct index_page p;
	bool good;

	if (index_page_open(page, &tiny, NONCE, &p) != 0)
		return;
	FUZZ_CHECK(p.first_list + p.list_count <= tiny.lists);
	good = index_page_verify(page, &tiny, &p) == 0;
	for (unsigned i = 0; i < 16 * NAMES; i++) {
		struct hash128 hash = golden_name(names[i % NAMES] + i / NAMES);
		struct index_name name;
		uint32_t list, found;
		int r;

		index_name_init(&name, &tiny, 1, &hash);
		list = name.chapter.list;
		r = index_page_search(page, &tiny, &name, &found);

		FUZZ_CHECK(r == 0 || r == -VDO_ECORRUPT);
		FUZZ_CHECK(found == PAGE_NONE || found < tiny.record_pages);
		if (list < p.first_list || list >= p.first_list + p.list_count)
			FUZZ_CHECK(r != 0);
		else if (good)
			FUZZ_CHECK(r == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	uint8_t *page = malloc(PAGE_BYTES);
	uint16_t names[NAMES];

	setup();
	FUZZ_CHECK(page != NULL);
	memcpy(page, golden_page, PAGE_BYTES);
	for (unsigned i = 0; i < NAMES; i++)
		names[i] = (uint16_t)fuzz_take(&f, 2);
	fuzz_patch(&f, page, PAGE_BYTES);
	if (flags & 1)
		swap_header(page);
	check(page, names);
	free(page);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const uint32_t places[] = {0, 8, 16, 20, 22, 60, 500, 2000,
					  20000, 32761};
	size_t n = 7;

	if (i >= ARRAY_SIZE(places))
		return 0;
	setup();
	input[0] = (uint8_t)(i & 1);
	for (unsigned k = 0; k < NAMES; k++)
		put_u16(input + 1 + 2 * k, (uint16_t)(100 * k));
	/* What is there already: mutation makes damage of it. */
	n += fuzz_put_patch(input + n, places[i], golden_page + places[i], 7);
	return n;
}
