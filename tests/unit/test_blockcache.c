/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of blocks: what is put is found until it is dropped or put over, and
 * whoever looks at a block sees nothing else, however many threads are at it.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/blockcache.h"

#define SETS  4u
#define COUNT (SETS * BLOCKCACHE_WAYS)

static struct blockcache *c;

static void setup(void)
{
	ck_assert_int_eq(blockcache_create(COUNT * BLOCK_SIZE, &c), 0);
	ck_assert_ptr_nonnull(c);
}

static void teardown(void)
{
	blockcache_destroy(c);
}

static void fill(uint8_t *block, pbn_t pbn, unsigned version)
{
	for (size_t i = 0; i < BLOCK_SIZE; i += 8) {
		uint64_t v = pbn * 0x10001 + version * 77 + i;

		memcpy(block + i, &v, 8);
	}
}

static void put(pbn_t pbn, unsigned version)
{
	uint8_t block[BLOCK_SIZE];

	fill(block, pbn, version);
	blockcache_put(c, pbn, block);
}

static bool has(pbn_t pbn, unsigned version)
{
	uint8_t block[BLOCK_SIZE], there[BLOCK_SIZE];

	if (!blockcache_get(c, pbn, there))
		return false;
	fill(block, pbn, version);
	ck_assert_int_eq(memcmp(block, there, BLOCK_SIZE), 0);
	return true;
}

START_TEST(fits)
{
	for (pbn_t p = 100; p < 100 + COUNT; p++) {
		ck_assert(!has(p, 0));
		put(p, 0);
		put(p, 0);
	}
	for (pbn_t p = 100; p < 100 + COUNT; p++)
		ck_assert(has(p, 0));
}
END_TEST

START_TEST(dropped)
{
	put(7, 1);
	put(7 + SETS, 1);
	blockcache_drop(c, 7);
	blockcache_drop(c, 8);
	ck_assert(!has(7, 1));
	ck_assert(has(7 + SETS, 1));
	put(7, 2);
	ck_assert(has(7, 2));
}
END_TEST

/* One more than a set has: the first is gone, unless somebody looks at it. */
START_TEST(put_over)
{
	struct blockcache_look look;
	uint8_t block[BLOCK_SIZE];

	for (unsigned i = 0; i <= BLOCKCACHE_WAYS; i++)
		put(1 + i * SETS, 3);
	ck_assert(!has(1, 3));
	ck_assert(has(1 + SETS, 3));
	ck_assert(has(1 + BLOCKCACHE_WAYS * SETS, 3));
	ck_assert(blockcache_begin(c, 1 + SETS, &look));
	for (unsigned i = 100; i < 100 + 2 * BLOCKCACHE_WAYS; i++)
		put(1 + i * SETS, 3);
	fill(block, 1 + SETS, 3);
	ck_assert_int_eq(memcmp(look.block, block, BLOCK_SIZE), 0);
	blockcache_end(&look);
	ck_assert(has(1 + SETS, 3));
}
END_TEST

START_TEST(none_or_no_memory)
{
	struct blockcache *none;

	ck_assert_int_eq(blockcache_create(0, &none), 0);
	ck_assert_ptr_null(none);
	ck_assert_int_eq(blockcache_create(BLOCK_SIZE, &none), 0);
	ck_assert_ptr_null(none);
	for (unsigned i = 1; i <= 3; i++) {
		alloc_fail_at(i);
		ck_assert_int_eq(blockcache_create(COUNT * BLOCK_SIZE, &none),
				 -ENOMEM);
		ck_assert_ptr_null(none);
	}
	alloc_fail_at(0);
}
END_TEST

/* Threads that own the blocks of every third number, as if by locks: whatever
 * others do in the same sets, the owner sees his newest version or nothing. */
#define THREADS 3u

static void *owner(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	unsigned version[16] = {0};
	uint32_t random = me + 1;
	uintptr_t hits = 0;

	for (unsigned i = 0; i < unit_share(20000); i++) {
		unsigned which;
		pbn_t pbn;

		random = random * 1664525u + 1013904223u;
		which = random >> 24 & 15;
		pbn = 1 + which * THREADS + me;
		switch (random >> 20 & 3) {
		case 0:
			blockcache_drop(c, pbn);
			ck_assert(!has(pbn, version[which]));
			version[which]++;
			break;
		case 1:
			put(pbn, version[which]);
			break;
		default:
			hits += has(pbn, version[which]);
		}
	}
	return (void *)hits;
}

START_TEST(many_threads)
{
	pthread_t threads[THREADS];
	uintptr_t hits = 0;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, owner,
						(void *)i),
				 0);
	for (unsigned i = 0; i < THREADS; i++) {
		void *n;

		pthread_join(threads[i], &n);
		hits += (uintptr_t)n;
	}
	ck_assert_uint_gt(hits, 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("blockcache");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, fits);
	tcase_add_test(tc, dropped);
	tcase_add_test(tc, put_over);
	tcase_add_test(tc, none_or_no_memory);
	tcase_add_test(tc, many_threads);
	return unit_run();
}
