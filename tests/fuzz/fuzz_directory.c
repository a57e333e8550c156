/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A directory of sub-volumes. Byte 0: 1 leaves the checksums as they are, else they
 * are right. Then the logical space in units (2 bytes), and a copy.
 *
 * What is taken keeps the invariants of sub/directory.h, is the same when it is
 * written and read once more, and stays so when it is changed.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "base/bytes.h"
#include "format/geometry.h"
#include "sub/directory.h"

const unsigned fuzz_replays = 20000;

#define SPACE_MAX 2000u /* units */

static void check_pair(const struct sub_extent *a, const struct sub_extent *b)
{
	FUZZ_CHECK(a->first + a->count <= b->first ||
		   b->first + b->count <= a->first);
}

static void check_extents(const struct directory *d, size_t i)
{
	const struct sub_entry *e = d->entries[i];
	uint64_t blocks = 0;

	for (unsigned k = 0; k < e->extent_count; k++) {
		const struct sub_extent *x = &e->extents[k];

		FUZZ_CHECK(x->first >= DIRECTORY_BLOCKS && x->count > 0);
		FUZZ_CHECK(x->count <= d->logical_blocks &&
			   x->first <= d->logical_blocks - x->count);
		FUZZ_CHECK(x->first % DIRECTORY_UNIT == 0 &&
			   x->count % DIRECTORY_UNIT == 0);
		blocks += x->count;
		for (unsigned n = k + 1; n < e->extent_count; n++)
			check_pair(x, &e->extents[n]);
		for (size_t o = i + 1; o < d->count; o++)
			for (unsigned n = 0; n < d->entries[o]->extent_count; n++)
				check_pair(x, &d->entries[o]->extents[n]);
	}
	FUZZ_CHECK(e->blocks > 0 && e->blocks <= blocks &&
		   blocks - e->blocks < DIRECTORY_UNIT);
}

static void check(const struct directory *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct sub_entry *e = d->entries[i];

		FUZZ_CHECK(directory_find(d, e->name) == e);
		FUZZ_CHECK(directory_find_id(d, e->id) == e);
		FUZZ_CHECK(e->id > 0 && e->id < d->next_id);
		FUZZ_CHECK(strlen(e->name) > 0 && strchr(e->name, '/') == NULL);
		check_extents(d, i);
	}
}

/* Written and read once more. */
static void check_again(const struct directory *d)
{
	size_t bytes = directory_size(d);
	struct directory_header h;
	struct directory again;
	uint8_t *copy = malloc(bytes), *second = malloc(bytes);

	FUZZ_CHECK(copy != NULL && second != NULL);
	directory_encode(d, copy);
	FUZZ_CHECK(directory_look(copy, &h) == 0);
	FUZZ_CHECK(h.bytes == bytes && h.sequence == d->sequence);
	directory_init(&again, d->logical_blocks);
	FUZZ_CHECK(directory_decode(&again, copy, bytes) == 0);
	directory_encode(&again, second);
	FUZZ_CHECK(memcmp(copy, second, bytes) == 0);
	directory_fini(&again);
	free(copy);
	free(second);
}

static void change(struct directory *d)
{
	struct sub_entry *e = NULL;
	uint64_t free_blocks = directory_free(d);
	int r;

	r = directory_add(d, "new", 2 * DIRECTORY_UNIT + 1, &e);
	FUZZ_CHECK(r == 0 || r == -ENOSPC || r == -EEXIST);
	if (r == 0) {
		FUZZ_CHECK(directory_free(d) ==
			   free_blocks - 3 * DIRECTORY_UNIT);
		check(d);
		r = directory_resize(d, e, 9 * DIRECTORY_UNIT);
		FUZZ_CHECK(r == 0 || r == -ENOSPC);
		check(d);
		FUZZ_CHECK(directory_resize(d, e, 1) == 0);
		r = directory_rename(d, e, "newer");
		FUZZ_CHECK(r == 0 || r == -EEXIST);
		check(d);
		check_again(d);
		directory_remove(d, e);
	}
	while (d->count > 0)
		directory_remove(d, d->entries[d->count / 2]);
	FUZZ_CHECK(d->logical_blocks < DIRECTORY_BLOCKS ||
		   directory_free(d) / DIRECTORY_UNIT ==
			   (d->logical_blocks - DIRECTORY_BLOCKS) /
				   DIRECTORY_UNIT);
}

static void seal(uint8_t *copy, size_t bytes)
{
	uint64_t body = get_u64(copy + 32);

	if (body <= bytes - BLOCK_SIZE)
		put_u32(copy + 40, format_crc(copy + BLOCK_SIZE, body));
	put_u32(copy + 44, format_crc(copy, 44));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	bool sealed = (fuzz_take(&f, 1) & 1) == 0;
	uint64_t space = fuzz_take(&f, 2) % SPACE_MAX * DIRECTORY_UNIT;
	size_t bytes = 16 * BLOCK_SIZE;
	uint8_t *copy = malloc(bytes);
	struct directory_header h = {0};
	struct directory d, other;
	int r;

	FUZZ_CHECK(copy != NULL);
	/* The header's 48 bytes, then the entries. */
	fuzz_fill(&f, copy, 48);
	memset(copy + 48, 0, bytes - 48);
	fuzz_fill(&f, copy + BLOCK_SIZE, bytes - BLOCK_SIZE);
	if (sealed)
		seal(copy, bytes);
	directory_init(&d, space);
	r = directory_look(copy, &h);
	if (r == 0 && h.bytes <= bytes) {
		r = directory_decode(&d, copy, h.bytes);
		FUZZ_CHECK(r == 0 || d.count == 0);
		check(&d);
		if (r == 0) {
			check_again(&d);
			FUZZ_CHECK(directory_copy(&other, &d) == 0);
			check_again(&other);
			change(&other);
			directory_fini(&other);
		}
	}
	directory_fini(&d);
	free(copy);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static uint8_t copy[16 * BLOCK_SIZE];
	struct directory d;
	struct sub_entry *e;
	char name[8];
	size_t body;

	if (i > 5)
		return 0;
	directory_init(&d, SPACE_MAX * DIRECTORY_UNIT / 2);
	d.sequence = i + 1;
	for (unsigned k = 0; k < i; k++) {
		snprintf(name, sizeof(name), "s%u", k);
		FUZZ_CHECK(directory_add(&d, name, 100 + k * 300, &e) == 0);
		e->flags = k % 8;
	}
	/* In pieces. */
	if (i > 3) {
		directory_remove(&d, directory_find(&d, "s1"));
		FUZZ_CHECK(directory_resize(&d, directory_find(&d, "s0"),
					    2000) == 0);
	}
	directory_encode(&d, copy);
	body = get_u64(copy + 32);
	directory_fini(&d);
	input[0] = 0;
	put_u16(input + 1, SPACE_MAX / 2);
	memcpy(input + 3, copy, 48);
	memcpy(input + 51, copy + BLOCK_SIZE, body);
	return 51 + body;
}
