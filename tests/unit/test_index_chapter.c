/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chapters: addresses of names (X 13.5), the chapter of X 13.7 bit for bit,
 * damaged index pages, open chapters, page maps.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "index_format/chapter_builder.h"
#include "index_format/chapter_index.h"
#include "index_format/open_chapter.h"
#include "index_format/page_map.h"
#include "index_format/record_page.h"
#include "tests/unit/golden.h"
#include "tests/unit/index_names.h"

#define NONCE UINT64_C(0xac44936132f2bef8)

static struct index_geometry tiny;
static struct index_record *records;
static uint8_t *pages;

static void geometry(struct index_geometry *g, int32_t memory, bool sparse)
{
	ck_assert_int_eq(index_geometry_init(g, memory, sparse, 0), 0);
}

/* The parts of a name in the tiny index, until the next call. */
static const struct index_name *cut(const struct hash128 *hash)
{
	static struct index_name name;

	index_name_init(&name, &tiny, 1, hash);
	return &name;
}

static const struct {
	int32_t memory;
	bool sparse;
	uint32_t volume_list, chapter_list;
} places[] = {
	{-1, false, 374, 419},
	{-256, false, 52086, 931},
	{1, false, 838518, 2979},
	{-256, true, 52086, 931},
};

START_TEST(where_a_name_goes)
{
	struct index_geometry g;
	struct hash128 name = golden_name(0);
	uint8_t want[16];
	struct index_name n;

	golden(want, "cbc357ccb763df2852fee8c4fc7d55f2");
	ck_assert_mem_eq(name.bytes, want, 16);
	geometry(&g, places[_i].memory, places[_i].sparse);
	for (unsigned zones = 1; zones <= INDEX_ZONES_MAX; zones++) {
		uint32_t share = geometry_zone_lists(&g.subs[SUB_NAMES], zones);

		index_name_init(&n, &g, zones, &name);
		ck_assert_mem_eq(&n.hash, &name, sizeof(name));
		ck_assert(!index_name_is_sample(&n));
		ck_assert_uint_lt(n.zone, zones);
		ck_assert_uint_lt(n.volume.list, share);
		ck_assert_uint_eq(n.zone * share + n.volume.list,
				  places[_i].volume_list);
		ck_assert_uint_eq(n.volume.key, 0x3df28);
		ck_assert_uint_eq(n.chapter.list, places[_i].chapter_list);
		ck_assert_uint_eq(n.chapter.key, 326781);
	}
}
END_TEST

START_TEST(samples)
{
	struct index_geometry g;
	struct hash128 name;
	struct index_name n;

	golden(name.bytes, "1b776c9bf6c5d40f160b491803798a00");
	geometry(&g, -256, false);
	index_name_init(&n, &g, 1, &name);
	ck_assert(!index_name_is_sample(&n));
	geometry(&g, -256, true);
	index_name_init(&n, &g, 1, &name);
	ck_assert(index_name_is_sample(&n));
	ck_assert_uint_eq(n.volume.list, 81772);
	ck_assert_uint_eq(n.volume.key, 381967);
}
END_TEST

static void setup(void)
{
	geometry(&tiny, -1, true);
	records = calloc(tiny.records, sizeof(*records));
	pages = calloc(tiny.chapter_pages, PAGE_BYTES);
	ck_assert(records != NULL && pages != NULL);
	for (uint32_t i = 0; i < tiny.records; i++) {
		records[i].name = golden_name(i);
		golden_data(i, 0, records[i].data);
	}
}

static void teardown(void)
{
	free(records);
	free(pages);
}

static void digest(const void *data, size_t n, const char *want)
{
	struct sha256 s;
	char hex[65];

	sha256_init(&s);
	sha256_add(&s, data, n);
	sha256_end(&s, hex);
	ck_assert_str_eq(hex, want);
}

START_TEST(golden_record_pages)
{
	const struct index_record *scratch[RECORDS_PER_PAGE];
	const struct index_record *slots = (const void *)pages;

	for (uint32_t i = 0; i < tiny.record_pages; i++)
		record_page_encode(pages + i * PAGE_BYTES,
				   records + i * RECORDS_PER_PAGE, scratch);
	digest(pages, PAGE_BYTES, "a029dcf1e6b7eb0715e9c954aaca39cfbcd4bfc2"
				  "cf9750ced3a413e02b382bd6");
	digest(pages, tiny.record_pages * PAGE_BYTES,
	       "510ae9d6b5321d15c8a0ef882561f84080dc6c557d1f71e206630efd436e113"
	       "b");
	ck_assert_mem_eq(&slots[0], &records[902], RECORD_BYTES);
	ck_assert_mem_eq(&slots[1], &records[945], RECORD_BYTES);
	ck_assert_mem_eq(&slots[2], &records[860], RECORD_BYTES);
	for (uint32_t i = 0; i < 2048; i++) {
		const struct index_record *r =
			record_page_find(pages, &records[i].name);

		if (i < RECORDS_PER_PAGE)
			ck_assert_mem_eq(r, &records[i], RECORD_BYTES);
		else
			ck_assert_ptr_null(r);
	}
}
END_TEST

static void build(struct delta_lists *d)
{
	ck_assert_int_eq(chapter_index_init(d, &tiny), 0);
	for (uint32_t i = 0; i < tiny.records; i++)
		ck_assert_int_eq(chapter_index_put(d, &tiny, &records[i].name,
						   i / RECORDS_PER_PAGE), 0);
}

START_TEST(golden_chapter_lists)
{
	static const struct {
		uint32_t at, value, delta, key, end;
	} entries[] = {
		{0, 20, 5637, 5637, 21},
		{21, 21, 56917, 62554, 43},
		{43, 6, 10271, 72825, 64},
		{64, 0, 127777, 200602, 88},
	};
	struct delta_lists d;
	struct delta_entry e = {0};
	struct sha256 s;
	char hex[65];

	build(&d);
	sha256_init(&s);
	for (uint32_t i = 0; i < tiny.lists; i++) {
		uint32_t bits = delta_list_bits(&d, i);
		uint8_t size[2], copy[8192] = {0};

		put_u16(size, (uint16_t)bits);
		sha256_add(&s, size, 2);
		bits_copy(copy, 0, delta_list_data(&d, i), 0, bits);
		sha256_add(&s, copy, (bits + 7) / 8);
	}
	sha256_end(&s, hex);
	ck_assert_str_eq(hex, "968c01f5a08f8eb1c42e6e19c6a678c19b754bfd44794237"
			      "f4c2799738050229");
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
		ck_assert_uint_eq(e.at, entries[i].at);
		ck_assert_int_eq(delta_list_at(&d, 0, e.key, &e), 0);
		ck_assert_uint_eq(e.value, entries[i].value);
		ck_assert_uint_eq(e.delta, entries[i].delta);
		ck_assert_uint_eq(e.key, entries[i].key);
		e.at += e.bits;
		ck_assert_uint_eq(e.at, entries[i].end);
	}
	delta_lists_fini(&d);
}
END_TEST

static void pack(struct delta_lists *d)
{
	uint32_t next = 0, lost = 0;

	build(d);
	for (uint32_t i = 0; i < tiny.index_pages; i++)
		next = chapter_index_pack(d, NONCE, 0, next,
					  i + 1 == tiny.index_pages,
					  pages + i * PAGE_BYTES, &lost);
	ck_assert_uint_eq(next, tiny.lists);
	ck_assert_uint_eq(lost, 0);
}

START_TEST(golden_index_pages)
{
	static const struct index_page want[] = {
		{NONCE, 0, 0, 179}, {NONCE, 0, 179, 179}, {NONCE, 0, 358, 154}};
	uint8_t start[32];
	struct delta_lists d;
	struct index_page p;

	pack(&d);
	golden(start, "f8bef2326193 44ac 0000000000000000 0000b300"
		      "fc0d709f804806de3d704a82");
	ck_assert_mem_eq(pages, start, 32);
	for (uint32_t i = 0; i < tiny.index_pages; i++) {
		const uint8_t *page = pages + i * PAGE_BYTES;

		ck_assert_int_eq(index_page_open(page, &tiny, NONCE, &p), 0);
		ck_assert_uint_eq(p.vcn, 0);
		ck_assert_uint_eq(p.first_list, want[i].first_list);
		ck_assert_uint_eq(p.list_count, want[i].list_count);
		ck_assert_int_eq(index_page_verify(page, &tiny, &p), 0);
		ck_assert_int_eq(index_page_open(page, &tiny, 1, &p),
				 -VDO_ENONCE);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		struct delta_place at = index_name_in_chapter(&tiny,
							&records[i].name);
		uint32_t page = at.list < 179 ? 0 : at.list < 358 ? 1 : 2;
		uint32_t found;

		ck_assert_int_eq(index_page_search(pages + page * PAGE_BYTES,
						   &tiny,
						   cut(&records[i].name),
						   &found), 0);
		ck_assert_uint_eq(found, i / RECORDS_PER_PAGE);
		ck_assert_int_eq(index_page_search(
					 pages + (page + 1) % 3 * PAGE_BYTES,
					 &tiny, cut(&records[i].name), &found),
				 -VDO_ECORRUPT);
	}
	delta_lists_fini(&d);
}
END_TEST

START_TEST(big_endian_header)
{
	struct hash128 name = records[0].name;
	struct delta_lists d;
	struct index_page p;
	uint32_t found;

	pack(&d);
	delta_lists_fini(&d);
	put_u64(pages + 2 * PAGE_BYTES, __builtin_bswap64(NONCE));
	put_u64(pages + 2 * PAGE_BYTES + 8, __builtin_bswap64(7));
	put_u16(pages + 2 * PAGE_BYTES + 16, __builtin_bswap16(358));
	put_u16(pages + 2 * PAGE_BYTES + 18, __builtin_bswap16(154));
	ck_assert_int_eq(index_page_open(pages + 2 * PAGE_BYTES, &tiny, NONCE,
					 &p), 0);
	ck_assert_uint_eq(p.vcn, 7);
	ck_assert_uint_eq(p.list_count, 154);
	ck_assert_uint_eq(index_name_in_chapter(&tiny, &name).list, 419);
	ck_assert_int_eq(index_page_search(pages + 2 * PAGE_BYTES, &tiny,
					   cut(&name),
					   &found), 0);
	ck_assert_uint_eq(found, 0);
}
END_TEST

/* Damage to the second page of the chapter. */
static const struct {
	const char *what;
	uint32_t at;
	uint8_t byte;
	bool opens; /* only a look at the lists finds out */
	int error;
} damages[] = {
	{"nonce", 0, 0, false, -VDO_ENONCE},
	{"list count", 18, 0, false, -VDO_ECORRUPT},
	{"list count beyond the page", 19, 0xff, false, -VDO_ECORRUPT},
	{"first list beyond the last", 17, 0x70, false, -VDO_ECORRUPT},
	{"first offset", 20, 0, false, -VDO_ECORRUPT},
	{"descending offsets", 40, 0xff, false, -VDO_ECORRUPT},
	{"guard", 32761, 0, false, -VDO_ECORRUPT},
	{"end of guard", 32767, 0x7f, false, -VDO_ECORRUPT},
};

START_TEST(damaged_index_pages)
{
	uint8_t *page = pages + PAGE_BYTES;
	struct delta_lists d;
	struct index_page p;

	pack(&d);
	delta_lists_fini(&d);
	ck_assert_uint_ne(page[damages[_i].at], damages[_i].byte);
	page[damages[_i].at] = damages[_i].byte;
	ck_assert_int_eq(index_page_open(page, &tiny, NONCE, &p),
			 damages[_i].error);
}
END_TEST

/* Rubbish in the lists must not do more than give wrong answers. */
START_TEST(rotten_lists)
{
	uint8_t *page = pages;
	struct delta_lists d;
	struct index_page p;
	unsigned bad = 0;

	pack(&d);
	delta_lists_fini(&d);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t at = 500 + i * 97, found;
		uint8_t was = page[at];

		page[at] = i % 3 == 0 ? 0 : (uint8_t)(was ^ (1u << i % 8));
		ck_assert_int_eq(index_page_open(page, &tiny, NONCE, &p), 0);
		bad += index_page_verify(page, &tiny, &p) != 0;
		for (unsigned j = 0; j < 20; j++) {
			struct hash128 *name = &records[i * 20 + j].name;

			if (index_name_in_chapter(&tiny, name).list < 179 &&
			    index_page_search(page, &tiny, cut(name), &found) != 0)
				bad++;
		}
		page[at] = was;
	}
	ck_assert_uint_gt(bad, 10);
}
END_TEST

/* More in one list than a page or a list can hold. */
static void crowd(struct hash128 *name, uint32_t i)
{
	name->bytes[8] &= 0;
	name->bytes[9] &= 0;
	name->bytes[10] &= i % 512 == 0 ? 0x3f : 0;
	if (i % 16 != 0)
		name->bytes[11] = name->bytes[12] = 0;
}

/* It is given up. */
START_TEST(crowded_lists)
{
	struct delta_lists d;
	uint32_t next = 0, lost = 0;
	struct index_page p;

	ck_assert_int_eq(chapter_index_init(&d, &tiny), 0);
	for (uint32_t i = 0; i < tiny.records; i++) {
		struct hash128 name = records[i].name;

		crowd(&name, i);
		ck_assert_int_eq(chapter_index_put(&d, &tiny, &name, i / 1024),
				 0);
	}
	ck_assert_uint_gt(delta_list_bits(&d, 0), 65000);
	for (uint32_t i = 0; i < tiny.index_pages; i++) {
		next = chapter_index_pack(&d, NONCE, 0, next,
					  i + 1 == tiny.index_pages, pages,
					  &lost);
		ck_assert_int_eq(index_page_open(pages, &tiny, NONCE, &p), 0);
		ck_assert_int_eq(index_page_verify(pages, &tiny, &p), 0);
	}
	ck_assert_uint_eq(next, tiny.lists);
	delta_lists_fini(&d);
}
END_TEST

static void collide(struct hash128 *name, uint32_t i)
{
	(void)i;
	name->bytes[11] = name->bytes[12] = name->bytes[13] = 0;
	name->bytes[10] &= 0x7e;
}

/* A chapter of only collisions does not fit in its pages. */
START_TEST(too_much_for_the_pages)
{
	struct delta_lists d;
	uint32_t next = 0, lost = 0;

	ck_assert_int_eq(chapter_index_init(&d, &tiny), 0);
	for (uint32_t i = 0; i < tiny.records; i++) {
		struct hash128 name = records[i].name;

		collide(&name, i);
		ck_assert_int_eq(chapter_index_put(&d, &tiny, &name, i / 1024),
				 0);
	}
	for (uint32_t i = 0; i < tiny.index_pages; i++)
		next = chapter_index_pack(&d, NONCE, 0, next,
					  i + 1 == tiny.index_pages, pages,
					  &lost);
	ck_assert_uint_eq(next, tiny.lists);
	ck_assert_uint_gt(lost, 0);
	delta_lists_fini(&d);
}
END_TEST

/* Some of the names of a list have one key, and some are the same name. */
static void collide_some(struct hash128 *name, uint32_t i)
{
	if (i % 64 < 3) {
		*name = golden_name(i - i % 64);
		name->bytes[0] = i % 64 < 2 ? 0 : 1;
	}
}

/* More than usual in half of the lists, and no collisions. */
static void crowd_half(struct hash128 *name, uint32_t i)
{
	name->bytes[10] &= 0xfe;
	put_u16(name->bytes + 12, (uint16_t)i);
}

/* The least keys, and the most of a list's bits for one: long codes. */
static void few(struct hash128 *name, uint32_t i)
{
	name->bytes[11] |= i % 2048 == 0 ? 0 : 0x3f;
	if (i % 1024 == 0)
		name->bytes[11] = name->bytes[12] = name->bytes[13] = 0;
}

static const struct {
	void (*change)(struct hash128 *name, uint32_t i);
	uint32_t every; /* of the records */
	uint32_t names; /* a step */
} builds[] = {
	{NULL, 1, 1},
	{NULL, 1, UINT32_MAX},
	{NULL, 97, 100},
	{NULL, UINT32_MAX, 10},
	{few, 64, 10},
	{collide_some, 1, 300},
	{crowd_half, 1, 300},
	{crowd, 1, 1000},
};

static const struct hash128 *name_of(void *arg, uint32_t record)
{
	(void)arg;
	return &records[record].name;
}

static void compare_lists(const struct delta_lists *a,
			  const struct delta_lists *b)
{
	for (uint32_t i = 0; i < tiny.lists; i++) {
		uint32_t bits = delta_list_bits(a, i);
		uint8_t x[8192 + 8] = {0}, y[8192 + 8] = {0};

		ck_assert_uint_eq(delta_list_bits(b, i), bits);
		bits_copy(x, 0, delta_list_data(a, i), 0, bits);
		bits_copy(y, 0, delta_list_data(b, i), 0, bits);
		ck_assert_mem_eq(x, y, bits / 8 + 1);
	}
	ck_assert_uint_eq(a->bits_used, b->bits_used);
	ck_assert_uint_eq(a->record_count, b->record_count);
	ck_assert_uint_eq(a->collision_count, b->collision_count);
}

/* As if put one by one; also the second time. */
START_TEST(built_lists)
{
	struct chapter_builder b;
	struct delta_lists d;

	ck_assert_int_eq(chapter_builder_init(&b, &tiny, name_of,
					      NULL), 0);
	ck_assert_int_eq(chapter_index_init(&d, &tiny), 0);
	for (unsigned round = 0; round < 2; round++) {
		chapter_builder_clear(&b);
		delta_lists_clear(&d);
		for (uint32_t i = 0; i < tiny.records; i++) {
			struct hash128 *name = &records[i].name;

			*name = golden_name(i + round * tiny.records);
			if (builds[_i].change != NULL)
				builds[_i].change(name, i);
			if (i % builds[_i].every != 0)
				continue;
			chapter_builder_add(&b, i, name);
			ck_assert_int_eq(
				chapter_index_put(&d, &tiny, name, i / 1024),
				0);
		}
		while (!chapter_builder_done(&b))
			ck_assert_int_eq(
				chapter_builder_go_on(&b, builds[_i].names), 0);
		compare_lists(&d, &b.lists);
	}
	chapter_builder_fini(&b);
	delta_lists_fini(&d);
}
END_TEST

/* Names are lost, and what is there is in order. */
START_TEST(builder_without_memory)
{
	struct chapter_builder b;
	struct index_page p;
	uint32_t next = 0, lost = 0;

	ck_assert_int_eq(chapter_builder_init(&b, &tiny, name_of,
					      NULL), 0);
	chapter_builder_clear(&b);
	for (uint32_t i = 0; i < tiny.records; i++) {
		collide(&records[i].name, i);
		chapter_builder_add(&b, i, &records[i].name);
	}
	ck_assert_int_eq(chapter_builder_go_on(&b, UINT32_MAX), 0);
	ck_assert(chapter_builder_done(&b));
	ck_assert_uint_lt(b.lists.record_count, tiny.records);
	for (uint32_t i = 0; i < tiny.index_pages; i++) {
		next = chapter_index_pack(&b.lists, NONCE, 0, next,
					  i + 1 == tiny.index_pages, pages,
					  &lost);
		ck_assert_int_eq(index_page_open(pages, &tiny, NONCE, &p), 0);
		ck_assert_int_eq(index_page_verify(pages, &tiny, &p), 0);
	}
	ck_assert_uint_eq(next, tiny.lists);
	chapter_builder_fini(&b);
}
END_TEST

START_TEST(open_chapter)
{
	struct open_chapter o;

	ck_assert_int_eq(open_chapter_init(&o, 1000), 0);
	for (uint32_t i = 0; i < 999; i++)
		open_chapter_put(&o, cut(&records[i].name), records[i].data);
	ck_assert_uint_eq(o.used, 999);
	/* In place. */
	open_chapter_put(&o, cut(&records[5].name), records[6].data);
	ck_assert_uint_eq(o.used, 999);
	ck_assert_mem_eq(open_chapter_find(&o, cut(&records[5].name))->data,
			 records[6].data, 16);
	ck_assert_ptr_null(open_chapter_find(&o, cut(&records[999].name)));
	/* A deleted one keeps its number and comes back with a new one. */
	open_chapter_remove(&o, cut(&records[7].name));
	ck_assert_ptr_null(open_chapter_find(&o, cut(&records[7].name)));
	ck_assert_ptr_null(open_chapter_record(&o, 8));
	ck_assert_ptr_nonnull(open_chapter_record(&o, 9));
	open_chapter_remove(&o, cut(&records[7].name));
	ck_assert_uint_eq(o.deleted_count, 1);
	open_chapter_put(&o, cut(&records[7].name), records[8].data);
	ck_assert(open_chapter_full(&o));
	ck_assert_mem_eq(open_chapter_record(&o, 1000)->data, records[8].data,
			 16);
	ck_assert_ptr_null(open_chapter_record(&o, 1001));
	ck_assert(open_chapter_sane(&o));
	o.deleted_count++;
	ck_assert(!open_chapter_sane(&o));
	o.deleted_count--;
	open_chapter_clear(&o);
	ck_assert_uint_eq(o.used, 0);
	ck_assert_ptr_null(open_chapter_find(&o, cut(&records[0].name)));
	open_chapter_fini(&o);
}
END_TEST

START_TEST(page_maps)
{
	struct page_map m;

	ck_assert_int_eq(page_map_init(&m, &tiny), 0);
	for (uint32_t i = 0; i < 3; i++)
		page_map_set(&m, 41, i, (const uint32_t[]){182, 364, 511}[i]);
	ck_assert_uint_eq(m.last_update, 41);
	for (uint32_t list = 0; list < 512; list++) {
		uint32_t page = page_map_find(&m, 1, list);
		struct list_range r = page_map_lists(&m, 1, page);

		ck_assert_uint_eq(page, list < 183 ? 0 : list < 365 ? 1 : 2);
		ck_assert(r.first <= list && list <= r.last);
	}
	ck_assert_uint_eq(page_map_lists(&m, 1, 1).first, 183);
	ck_assert_uint_eq(page_map_lists(&m, 1, 1).last, 364);
	page_map_fini(&m);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("chapter");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, where_a_name_goes, 0, ARRAY_SIZE(places));
	tcase_add_test(tc, samples);
	tcase_add_test(tc, golden_record_pages);
	tcase_add_test(tc, golden_chapter_lists);
	tcase_add_test(tc, golden_index_pages);
	tcase_add_test(tc, big_endian_header);
	tcase_add_loop_test(tc, damaged_index_pages, 0, ARRAY_SIZE(damages));
	tcase_add_test(tc, rotten_lists);
	tcase_add_test(tc, crowded_lists);
	tcase_add_test(tc, too_much_for_the_pages);
	tcase_add_loop_test(tc, built_lists, 0, ARRAY_SIZE(builds));
	tcase_add_test(tc, builder_without_memory);
	tcase_add_test(tc, open_chapter);
	tcase_add_test(tc, page_maps);
	return unit_run();
}
