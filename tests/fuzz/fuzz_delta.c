/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delta lists: codes of a list, and changes to lists whose bits are anything.
 *
 *	1	bits of values, 1 to 16
 *	2	mean delta
 *	1	bit that the list begins with, 0 to 7
 *	2	bits of the list
 *	4	key to look for
 *	1	number of changes
 *		changes: kind, list, key (3), value
 *		the list
 *
 * A list that can be decoded to its end is encoded again to the same bits, and
 * a search in it finds what looking at all entries finds.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/bytes.h"
#include "index_format/delta_list.h"

const unsigned fuzz_replays = 20000;

#define LISTS 3u

struct list {
	uint8_t *mem; /* exactly what may be read */
	uint64_t start;
	uint32_t bits;
	struct delta_coding coding;
};

/* What a search must find; false: the list cannot be decoded. */
static bool look_at_all(const struct list *l, uint32_t key,
			const struct hash128 *name, struct delta_entry *want)
{
	uint8_t *again = calloc(1, l->bits / 8 + 16);
	struct delta_entry e = {0};
	struct hash128 found;
	bool have = false, good = true;
	uint32_t last = 0;

	FUZZ_CHECK(again != NULL);
	while (good && e.at < l->bits) {
		good = delta_decode(l->mem, l->start, l->bits, &l->coding, last,
				    &e) == 0;
		if (!good)
			break;
		FUZZ_CHECK(e.bits > 0 && e.bits <= l->bits - e.at &&
			   e.key == last + e.delta && !e.at_end);
		if (e.collision)
			bits_copy(found.bytes, 0, l->mem,
				  l->start + e.at + e.bits - NAME_BITS,
				  NAME_BITS);
		if ((!have && e.key >= key) ||
		    (have && e.collision && e.key == key && !want->collision &&
		     want->key == key &&
		     memcmp(&found, name, sizeof(found)) == 0))
			*want = e;
		have = have || e.key >= key;
		FUZZ_CHECK(delta_encode(again, e.at, &l->coding, e.value,
					e.delta,
					e.collision ? &found : NULL) == e.bits);
		last = e.key;
		e.at += e.bits;
	}
	for (uint32_t i = 0; good && i < l->bits; i++)
		FUZZ_CHECK(bits_get(again, i, 1) ==
			   bits_get(l->mem, l->start + i, 1));
	if (!have)
		*want = (struct delta_entry){
			.at = l->bits, .key = last, .at_end = true};
	free(again);
	return good;
}

static void check_search(const struct list *l, uint32_t key,
			 const struct hash128 *name)
{
	struct delta_entry want = {0}, e;
	bool good = look_at_all(l, key, name, &want);
	int r = delta_search(l->mem, l->start, l->bits, &l->coding, key, name,
			     &e);

	FUZZ_CHECK(r == 0 || (r == -VDO_ECORRUPT && !good));
	if (r != 0)
		return;
	FUZZ_CHECK(e.at <= l->bits && e.bits <= l->bits - e.at);
	if (good)
		FUZZ_CHECK(e.at == want.at && e.key == want.key &&
			   e.at_end == want.at_end && e.value == want.value &&
			   e.collision == want.collision);
}

/* Invariant (1) of delta_list.h. */
static void check_places(const struct delta_lists *d)
{
	uint64_t used = 0, next = 0;

	for (uint32_t i = 0; i < d->list_count; i++) {
		uint64_t start = d->heads[i].place >> 16;

		FUZZ_CHECK(start >= next);
		next = start + (delta_list_bits(d, i) + 7) / 8;
		used += delta_list_bits(d, i);
	}
	FUZZ_CHECK(next <= d->arena_bytes && used == d->bits_used);
}

static void change(struct delta_lists *d, struct fuzz *f)
{
	unsigned kind = (unsigned)fuzz_take(f, 1);
	uint32_t list = (uint32_t)fuzz_take(f, 1) % LISTS;
	uint32_t key = (uint32_t)fuzz_take(f, 3);
	uint32_t value = (uint32_t)fuzz_take(f, 1) &
			 (uint32_t)bits_mask(d->coding.value_bits);
	struct hash128 name = {{(uint8_t)(kind >> 2), 1, 2, (uint8_t)key}};
	struct delta_entry e;
	int r = delta_list_search(d, list, key, &name, &e);

	if (r != 0)
		return;
	if (kind % 4 == 0) {
		if (delta_found(&e, key))
			FUZZ_CHECK(delta_list_remove(d, list, &e) <= 0);
		return;
	}
	r = delta_list_insert(d, list, &e, key, value, &name);
	FUZZ_CHECK(r == 0 || r == -ENOSPC || r == -EEXIST);
	if (r != 0)
		return;
	FUZZ_CHECK(delta_list_search(d, list, key, &name, &e) == 0);
	FUZZ_CHECK(delta_found(&e, key) && e.value == value);
}

/* The list and twice its first half, in an arena that is soon full. */
static void check_changes(const struct list *l, struct fuzz *changes,
			  unsigned count)
{
	struct delta_lists d;
	uint64_t bytes = 16 + 2 * (((uint64_t)l->bits + 7) / 8 + 1) + 200;

	FUZZ_CHECK(delta_lists_init(&d, &l->coding, LISTS, bytes) == 0);
	for (uint32_t i = 0; i < LISTS; i++)
		delta_list_expect(&d, i, i == 1 ? l->bits : l->bits / 2);
	FUZZ_CHECK(delta_lists_arrange(&d) == 0);
	for (uint32_t i = 0; i < LISTS; i++)
		bits_copy(delta_list_data(&d, i), 0, l->mem, l->start,
			  delta_list_bits(&d, i));
	check_places(&d);
	for (; count > 0; count--) {
		change(&d, changes);
		check_places(&d);
	}
	delta_lists_fini(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size}, changes;
	unsigned value_bits = 1 + (unsigned)fuzz_take(&f, 1) % 16;
	uint32_t mean = 1 + (uint32_t)fuzz_take(&f, 2), key;
	unsigned count;
	struct hash128 name = {{0, 1, 2}};
	struct list l;
	size_t bytes;

	delta_coding_init(&l.coding, mean, value_bits);
	l.start = fuzz_take(&f, 1) % 8;
	l.bits = (uint32_t)fuzz_take(&f, 2);
	key = (uint32_t)fuzz_take(&f, 4);
	count = (unsigned)fuzz_take(&f, 1) % 64;
	changes = f;
	changes.n = MIN(f.n, 6 * count);
	f.p += changes.n;
	f.n -= changes.n;
	/* A short input is a short list. */
	l.bits = (uint32_t)MIN(l.bits, 8 * f.n + 64);
	bytes = (l.start + l.bits + 7) / 8 + 7;
	l.mem = malloc(bytes);
	FUZZ_CHECK(l.mem != NULL);
	fuzz_fill(&f, l.mem, bytes);
	name.bytes[3] = (uint8_t)key;
	check_search(&l, key, &name);
	check_changes(&l, &changes, count);
	free(l.mem);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	uint8_t list[4096] = {0};
	struct delta_coding c;
	struct hash128 name = {{0, 1, 2}};
	uint32_t at = 0, mean = i == 0 ? 4096 : i == 1 ? 65536 : 1;
	struct writer w = {input};
	uint64_t random = i;

	if (i > 3)
		return 0;
	delta_coding_init(&c, mean, 4);
	for (unsigned n = 0; n < 20; n++) {
		bool collision = n % 5 == 3;
		uint32_t delta = (uint32_t)(fuzz_random(&random) % (3 * mean));

		at += delta_encode(list, at, &c, n % 16,
				   collision ? 0 : delta + 1,
				   collision ? &name : NULL);
	}
	write_u8(&w, 3);
	write_u16(&w, (uint16_t)(mean - 1));
	write_u8(&w, 0);
	write_u16(&w, (uint16_t)at);
	write_u32(&w, 10 * mean);
	write_u8(&w, 4);
	for (unsigned n = 0; n < 4; n++) {
		write_u8(&w, (uint8_t)(n % 3));
		write_u8(&w, (uint8_t)n);
		write_u16(&w, (uint16_t)(5 * mean));
		write_u16(&w, 0x0700);
	}
	write_bytes(&w, list, at / 8 + 1);
	return (size_t)(w.p - input);
}
