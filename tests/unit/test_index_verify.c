/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking over an index: nothing is found in a whole one, whoever wrote it;
 * each kind of damage is found as what it is; and random damage never leads to
 * more than faults.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "exec/executor.h"
#include "index/index_priv.h"
#include "index/verify.h"
#include "tests/lib/golden_files.h"
#include "tests/unit/index_names.h"
#include "tests/unit/index_rig.h"

#define BLOCKS	 1879u
#define NONCE	 4711u
#define RECORDS	 32768u
#define POSTS	 70000u
#define CHAPTERS (POSTS / RECORDS)

static struct vdo_device *device;
static struct rig rig;
static struct index_verify result;
static atomic_bool stop;

static void start(int32_t memory, bool sparse, unsigned zones, uint64_t nonce)
{
	struct executor *x;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, device, memory, sparse, zones, nonce, 0);
}

/* A saved index with two closed chapters; made once. */
static void setup(void)
{
	ck_assert_int_eq(vdo_device_open_memory(BLOCKS * BLOCK_SIZE, &device),
			 0);
	start(-1, false, 1, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_post_range(&rig, 0, POSTS, 16), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
}

static void teardown(void)
{
	vdo_device_close(device);
}

/* Open with what is saved, if that can be used. */
static void load(unsigned zones)
{
	int r;

	start(-1, false, zones, NONCE);
	r = rig_open(&rig, INDEX_LOAD_SAVED);
	ck_assert(r == 0 || r == -VDO_EDIRTY);
	result = (struct index_verify){
		.index = rig.index,
		.loaded = r == 0,
		.stop = &stop,
	};
}

static const struct vdo_index_report *verify(void)
{
	ck_assert_int_eq(index_verify(&result), 0);
	return &result.report;
}

static void end(void)
{
	if (result.loaded)
		ck_assert_int_eq(rig_close(&rig, false), 0);
	rig_fini(&rig);
}

START_TEST(whole)
{
	const struct vdo_index_report *r;

	load((unsigned)_i);
	r = verify();
	ck_assert_uint_eq(r->faults, 0);
	ck_assert_uint_eq(r->oldest, 0);
	ck_assert_uint_eq(r->newest, CHAPTERS);
	ck_assert_uint_eq(r->chapters, CHAPTERS);
	ck_assert_uint_eq(r->records, CHAPTERS * RECORDS);
	ck_assert_uint_eq(r->open_records, POSTS - CHAPTERS * RECORDS);
	ck_assert_uint_eq(r->entries, POSTS);
	ck_assert_uint_eq(r->records_known, r->records);
	ck_assert_uint_eq(result.done, result.total);
	ck_assert_uint_gt(result.total, 0);
	end();
}
END_TEST

/* Blocks of the index, which begins at block 0. */
static uint64_t part_block(enum save_part part)
{
	return layout_save_part(&index_media_of(rig.index)->layout, 0, part, 0, 1).start;
}

static uint64_t page_at(uint64_t slot, uint32_t page)
{
	return (index_media_of(rig.index)->volume_block +
		geometry_page_block(index_geometry_of(rig.index), slot, page)) *
	       BLOCK_SIZE;
}

static uint8_t page[PAGE_BYTES];

static void get(uint64_t at)
{
	ck_assert_int_eq(device_read(device, at, page, PAGE_BYTES), 0);
}

static void put(uint64_t at)
{
	ck_assert_int_eq(device_write(device, at, page, PAGE_BYTES), 0);
}

static void zero_chapter(void)
{
	memset(page, 0, sizeof(page));
	for (uint32_t i = 0; i < index_geometry_of(rig.index)->index_pages; i++)
		put(page_at(1, i));
}

static void other_chapter(void)
{
	for (uint32_t i = 0; i < index_geometry_of(rig.index)->index_pages; i++) {
		get(page_at(1, i));
		put_u64(page + 8, 5); /* of the same slot */
		put(page_at(1, i));
	}
}

static void flip_index_page(void)
{
	get(page_at(0, 1));
	page[8]++;
	put(page_at(0, 1));
}

/* The last lists of a page are taken away. */
static void shorten_index_page(void)
{
	unsigned count;

	get(page_at(0, 0));
	count = get_u16(page + 18);
	/* The offsets follow the header; the first says how many. */
	put_u16(page + 18, (uint16_t)(count - 1));
	put(page_at(0, 0));
}

static void page_map_entry(void)
{
	index_contents_of(rig.index)->page_map->last_lists[1]++;
}

static void swap_records(void)
{
	uint64_t at = page_at(1, index_geometry_of(rig.index)->index_pages + 3);
	uint8_t record[RECORD_BYTES];

	get(at);
	memcpy(record, page, RECORD_BYTES);
	memcpy(page, page + RECORD_BYTES, RECORD_BYTES);
	memcpy(page + RECORD_BYTES, record, RECORD_BYTES);
	put(at);
}

/* Bytes 10 to 13 lead through a chapter's index. */
static void change_name(void)
{
	uint64_t at = page_at(1, index_geometry_of(rig.index)->index_pages + 3);

	get(at);
	page[7 * RECORD_BYTES + 12] ^= 0x55;
	put(at);
}

static void entry_of_the_future(void)
{
	struct sub_zone *s = &index_contents_of(rig.index)->volumes[0]->subs[0];
	struct delta_entry e = {0};
	uint32_t list = 0;

	while (delta_list_bits(&s->lists, list) == 0)
		list++;
	ck_assert_int_eq(delta_list_at(&s->lists, list, 0, &e), 0);
	delta_list_set(&s->lists, list, &e, CHAPTERS + 1);
}

static void entry_too_many(void)
{
	index_contents_of(rig.index)->volumes[0]->subs[0].lists.record_count++;
}

static const struct {
	const char *name;
	void (*damage)(void);
	enum vdo_index_fault_kind kind;
	unsigned count; /* 0: some */
} damages[] = {
	{"zero chapter", zero_chapter, VDO_INDEX_FAULT_CHAPTER, 1},
	{"other chapter", other_chapter, VDO_INDEX_FAULT_CHAPTER, 1},
	{"index page", flip_index_page, VDO_INDEX_FAULT_INDEX_PAGE, 1},
	{"short index page", shorten_index_page, VDO_INDEX_FAULT_INDEX_PAGE, 0},
	{"page map", page_map_entry, VDO_INDEX_FAULT_PAGE_MAP, 2},
	{"swapped records", swap_records, VDO_INDEX_FAULT_RECORD_PAGE, 1},
	{"changed name", change_name, VDO_INDEX_FAULT_RECORD, 1},
	{"future", entry_of_the_future, VDO_INDEX_FAULT_VOLUME_INDEX, 1},
	{"count", entry_too_many, VDO_INDEX_FAULT_VOLUME_INDEX, 1},
};

START_TEST(damage)
{
	const struct vdo_index_report *r;

	load(1);
	damages[_i].damage();
	r = verify();
	ck_assert_msg(r->faults_by_kind[damages[_i].kind] != 0, "%s",
		      damages[_i].name);
	if (damages[_i].count != 0)
		ck_assert_msg(r->faults == damages[_i].count,
			      "%s: %llu faults, the first: %s",
			      damages[_i].name, (unsigned long long)r->faults,
			      result.first[0].text);
	ck_assert_uint_eq(r->first_count, MIN(r->faults, FAULTS_DESCRIBED));
	ck_assert_int_eq(result.first[0].kind, damages[_i].kind);
	ck_assert_uint_ne(result.first[0].text[0], '\0');
	end();
}
END_TEST

/* What a chapter has that nothing leads to is of no interest. */
START_TEST(rebuilt_without_a_chapter)
{
	load(1);
	damages[_i].damage();
	end();
	start(-1, false, 1, NONCE);
	ck_assert_int_eq(rig_open(&rig, INDEX_REBUILD), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
	load(1);
	ck_assert(result.loaded);
	ck_assert_uint_eq(verify()->faults, 0);
	ck_assert_uint_eq(result.report.chapters, CHAPTERS - 1);
	/* The newest one is simply not there. */
	ck_assert_uint_eq(result.report.chapters_unused,
			  result.report.newest == CHAPTERS ? 1 : 0);
	end();
}
END_TEST

/* Without a save: the chapters alone. */
START_TEST(no_save)
{
	const struct vdo_index_report *r;

	load(1);
	memset(page, 0, sizeof(page));
	put(part_block(SAVE_HEADER) * BLOCK_SIZE);
	end();
	load(1);
	ck_assert(!result.loaded);
	r = verify();
	ck_assert_uint_eq(r->faults, 0);
	ck_assert_uint_eq(r->newest, CHAPTERS);
	ck_assert_uint_eq(r->records, CHAPTERS * RECORDS);
	ck_assert_uint_eq(r->entries, 0);
	/* One that newer ones follow is missed. */
	get(page_at(0, 0));
	page[0]++;
	put(page_at(0, 0));
	end();
	load(1);
	ck_assert_uint_eq(verify()->faults, 0);
	ck_assert_uint_eq(result.report.oldest, 1);
	end();
}
END_TEST

/* The storage counts from 512 on: on the device nothing is different. */
START_TEST(with_an_offset)
{
	struct executor *x;

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, device, -1, false, 1, NONCE, 0);
	rig.storage.bio_offset = rig.config.first_block = 512;
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED), 0);
	ck_assert_int_eq(rig_close(&rig, false), 0);
	ck_assert_int_eq(rig_open(&rig, INDEX_REBUILD), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
	load(1);
	ck_assert(result.loaded);
	ck_assert_uint_eq(verify()->faults, 0);
	ck_assert_uint_eq(result.report.open_records, 0);
	end();

	ck_assert_int_eq(executor_inline_create(&x), 0);
	rig_init(&rig, x, device, -1, false, 1, NONCE, 0);
	rig.storage.bio_offset = rig.config.first_block = 512;
	ck_assert_int_eq(rig_open(&rig, INDEX_FORMAT), 0);
	ck_assert_int_eq(rig_post_range(&rig, 0, POSTS / 2, 16), 0);
	ck_assert_int_eq(rig_close(&rig, true), 0);
	rig_fini(&rig);
	load(1);
	ck_assert(result.loaded);
	ck_assert_uint_eq(verify()->faults, 0);
	ck_assert_uint_eq(result.report.records, RECORDS);
	end();
}
END_TEST

START_TEST(stopped)
{
	load(1);
	atomic_store(&stop, true);
	ck_assert_int_eq(index_verify(&result), -ECANCELED);
	atomic_store(&stop, false);
	end();
}
END_TEST

/* Some bytes anywhere are overwritten. */
START_TEST(random_damage)
{
	unsigned seed = (unsigned)_i;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t block = (unsigned)rand_r(&seed) % BLOCKS;

		/* Half of them where the save is. */
		if (i % 2 == 0)
			block = BLOCKS - 1 - block % 700;
		if (block < 2)
			continue;
		ck_assert_int_eq(device_read(device, block * BLOCK_SIZE, page,
					     BLOCK_SIZE), 0);
		for (unsigned k = 0; k < 8; k++)
			page[(unsigned)rand_r(&seed) % BLOCK_SIZE] =
				(uint8_t)rand_r(&seed);
		ck_assert_int_eq(device_write(device, block * BLOCK_SIZE, page,
					      BLOCK_SIZE), 0);
	}
	load(1 + seed % 3);
	(void)verify();
	end();
}
END_TEST

/* Indexes that the reference wrote. */
static const struct {
	const char *name;
	bool sparse;
	uint64_t nonce, blocks;
	bool saved;
} images[] = {
	{"tiny-dense", false, UINT64_C(0x1122334455667788), 1879, true},
	{"tiny-dense-expired", false, UINT64_C(0x1122334455667788), 1879, true},
	{"tiny-dense-dirty", false, UINT64_C(0x1122334455667788), 1879, false},
	{"tiny-3zones", false, 0x2233, 1879, true},
	{"tiny-sparse", true, 0x3344, 11959, true},
};

static void load_image(const char *name, uint64_t blocks)
{
	FILE *f = golden_index(name);
	uint64_t at = 0;
	size_t n;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(vdo_device_open_memory(blocks * BLOCK_SIZE, &device),
			 0);
	while ((n = fread(page, 1, sizeof(page), f)) > 0) {
		ck_assert_int_eq(device_write(device, at, page, n), 0);
		at += n;
	}
	ck_assert_int_eq(pclose(f), 0);
	ck_assert_uint_eq(at, blocks * BLOCK_SIZE);
}

START_TEST(golden)
{
	const struct vdo_index_report *r = &result.report;

	load_image(images[_i].name, images[_i].blocks);
	start(-1, images[_i].sparse, 1, images[_i].nonce);
	ck_assert_int_eq(rig_open(&rig, INDEX_LOAD_SAVED),
			 images[_i].saved ? 0 : -VDO_EDIRTY);
	result = (struct index_verify){
		.index = rig.index,
		.loaded = images[_i].saved,
		.stop = &stop,
	};
	ck_assert_int_eq(index_verify(&result), 0);
	ck_assert_msg(r->faults == 0, "%s: %s", images[_i].name,
		      result.first[0].text);
	ck_assert_uint_gt(r->chapters, 0);
	if (images[_i].saved)
		ck_assert_uint_gt(r->records_known, 0);
	end();
	vdo_device_close(device);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("made here");
	TCase *reference = unit_case("of the reference");

	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, whole, 1, 4);
	tcase_add_loop_test(tc, damage, 0, (int)ARRAY_SIZE(damages));
	tcase_add_loop_test(tc, rebuilt_without_a_chapter, 0, 3);
	tcase_add_loop_test(tc, rebuilt_without_a_chapter, 5, 6);
	tcase_add_test(tc, no_save);
	tcase_add_test(tc, with_an_offset);
	tcase_add_test(tc, stopped);
	tcase_add_loop_test(tc, random_damage, 1, 16);
	tcase_set_timeout(reference, 60);
	tcase_add_loop_test(reference, golden, 0, (int)ARRAY_SIZE(images));
	return unit_run();
}
