/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A record page: the number of a name (2 bytes), then patches (fuzz.h), once of
 * the records that a page is made of and once of a page.
 *
 * Whatever the records are, each name on the page is found there; on a damaged
 * page what is found has the name.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "index_format/record_page.h"
#include "tests/unit/index_names.h"

const unsigned fuzz_replays = 300;

static void make(struct index_record *records)
{
	for (uint32_t i = 0; i < RECORDS_PER_PAGE; i++) {
		records[i].name = golden_name(i);
		golden_data(i, 0, records[i].data);
	}
}

static void must_find(const uint8_t *page, const struct hash128 *name)
{
	const struct index_record *r = record_page_find(page, name);

	FUZZ_CHECK(r != NULL && memcmp(&r->name, name, sizeof(*name)) == 0);
	FUZZ_CHECK((const uint8_t *)r >= page &&
		   (const uint8_t *)(r + 1) <= page + PAGE_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct index_record *scratch[RECORDS_PER_PAGE];
	struct fuzz f = {data, size}, again;
	struct index_record *records = malloc(PAGE_BYTES);
	uint8_t *page = malloc(PAGE_BYTES);
	struct hash128 name = golden_name(fuzz_take(&f, 2));
	const struct index_record *r;

	FUZZ_CHECK(records != NULL && page != NULL);
	again = f;
	make(records);
	fuzz_patch(&f, (uint8_t *)records, PAGE_BYTES);
	record_page_encode(page, records, scratch);
	for (uint32_t i = 0; i < RECORDS_PER_PAGE; i++)
		must_find(page, &records[i].name);
	fuzz_patch(&again, page, PAGE_BYTES);
	r = record_page_find(page, &name);
	if (r != NULL)
		must_find(page, &name);
	free(records);
	free(page);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct hash128 name = golden_name(5);
	size_t n = 2;

	if (i > 0)
		return 0;
	put_u16(input, 5);
	for (unsigned k = 0; k < 4; k++)
		n += fuzz_put_patch(input + n, 320 * k * k, name.bytes, 16);
	return n;
}
