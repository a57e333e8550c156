/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory by budget: what a volume takes is what was said before, and what option
 * memory allows; said by the allocator, which counts all the library has.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/handle.h"
#include "base/alloc.h"
#include "exec/executor.h"
#include "tests/lib/fixture.h"
#include "volume/volume_priv.h"

#define MIB (UINT64_C(1) << 20)

static const char *const shapes[] = {
	"", "index-memory=none", "journal-blocks=64 size=64M slab-bits=11",
	"slab-journal-blocks=64 slab-bits=13 size=256M logical-size=512M",
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* The parts that are allocated here: not stacks. */
static uint64_t allocated(const struct fixture *f, bool growth)
{
	const struct volume_memory *m = &f->volume->volume->memory;
	struct depot_memory dm;
	uint64_t bytes = 0;

	depot_get_memory(f->volume->volume->depot, &dm);
	for (unsigned i = 0; i < MEMORY_KINDS; i++) {
		if (i == MEMORY_THREADS)
			continue;
		bytes += m->parts[i].fixed;
		bytes += growth ? m->parts[i].growth : m->parts[i].idle;
	}
	return bytes + dm.reserved;
}

START_TEST(test_allocated_is_what_was_said)
{
	int kind = _i % FIXTURE_KINDS;
	struct fixture f;
	size_t before, now;

	fixture_init(&f, kind, shapes[_i / FIXTURE_KINDS]);
	before = alloc_held();
	fixture_open(&f, "");
	now = alloc_held() - before;
	/* The executor, the handle and the device are about 64 KiB. */
	ck_assert_uint_le(now, allocated(&f, false) + 64 * 1024);
	ck_assert_uint_ge(now, allocated(&f, false) / 20 * 17);
	for (uint64_t at = 0; at + 512 <= f.logical_blocks && at < 4096;
	     at += 512)
		fixture_write(&f, at, 512, V_UNIQUE(1 + at), 0);
	fixture_flush(&f);
	now = alloc_held() - before;
	ck_assert_uint_le(now, allocated(&f, true) + 64 * 1024);
	fixture_fini(&f);
	ck_assert_uint_le(alloc_held(), before);
}
END_TEST

/* With a sanitizer large areas come from malloc() (base/alloc.c). */
#ifndef UNIT_SANITIZED
/* What is called spare is no memory before it is used: bundles of operations. */
START_TEST(test_spare_is_not_touched)
{
	const struct storage *s;
	unsigned char there[64];
	struct fixture f;
	uintptr_t begin;
	unsigned pages, count = 0;

	fixture_init(&f, KIND_INLINE, "");
	fixture_open(&f, "io-merge=256K");
	s = &f.volume->volume->storage;
	ck_assert_ptr_nonnull(s->bundles);
	pages = 64 * s->merge_blocks * sizeof(struct iovec) / BLOCK_SIZE;
	ck_assert_uint_ge(pages, 16);
	ck_assert_uint_le(pages, sizeof(there));
	begin = ((uintptr_t)s->bundles + BLOCK_SIZE - 1) / BLOCK_SIZE *
		BLOCK_SIZE;
	ck_assert_int_eq(mincore((void *)begin, (size_t)pages * BLOCK_SIZE,
				 there), 0);
	for (unsigned i = 0; i < pages; i++)
		count += there[i] & 1;
	ck_assert_uint_le(count, pages / 4);
	fixture_fini(&f);
}
END_TEST
#endif

/* An estimate of what is there, or would be, is what the volume has then. */
START_TEST(test_estimate)
{
	const char *executor[] = {"executor=native threads=3 ",
				  "executor=inline ", "topology=classic "};
	struct vdo_estimate planned, there;
	char options[256];
	struct vdo_config *c;
	struct vdo_device *d;
	struct vdo_volume *v;
	struct vdo_error e;
	const struct volume_memory *m;

	snprintf(options, sizeof(options), "profile=small size=256M %s%s",
		 executor[_i % 3], _i / 3 ? "memory=64M" : "");
	c = fixture_config(options);
	ck_assert_int_eq(vdo_device_open_memory(256 * MIB, &d), 0);
	ck_assert_int_eq(
		vdo_estimate_device(d, c, &planned, sizeof(planned), &e), 0);
	ck_assert_int_eq(vdo_format_device(d, c, &e), 0);
	ck_assert_int_eq(vdo_estimate_device(d, c, &there, sizeof(there), &e),
			 0);
	ck_assert_mem_eq(&planned, &there, sizeof(there));
	ck_assert_int_eq(vdo_open_device(d, c, &v, &e), 0);
	m = &v->volume->memory;
	/* Queues have other sizes where they are run by threads. */
	ck_assert_uint_le(memory_most(m), there.memory_most + 4096);
	ck_assert_uint_ge(memory_most(m) + 4096, there.memory_most);
	ck_assert_uint_eq(m->depth, there.depth);
	ck_assert_uint_eq(v->executor->thread_count,
			  MAX(there.thread_count, 1));
	ck_assert_int_eq(vdo_estimate_device(d, c, &there, sizeof(there), &e),
			 -VDO_EINUSE);
	ck_assert_int_eq(vdo_close(v), 0);
	ck_assert_uint_eq(there.requests + there.cache + there.counts +
				  there.blocks + there.index + there.map +
				  there.slabs + there.journal + there.threads +
				  there.engine,
			  there.memory_most);
	ck_assert_uint_ge(there.memory_most, there.memory_idle);
	if (_i / 3)
		ck_assert_uint_le(there.memory_most, 64 * MIB);
	vdo_device_close(d);
	vdo_config_free(c);
}
END_TEST

START_TEST(test_estimate_of_nothing)
{
	struct vdo_config *c = fixture_config("");
	struct vdo_estimate s;
	struct vdo_error e;

	ck_assert_int_eq(vdo_estimate(NULL, c, &s, sizeof(s), &e), -VDO_ESIZE);
	ck_assert_int_eq(vdo_estimate("/no/such", c, &s, sizeof(s), &e),
			 -ENOENT);
	ck_assert_int_eq(vdo_estimate_device(NULL, c, &s, sizeof(s), &e),
			 -EINVAL);
	ck_assert_int_eq(vdo_estimate(NULL, c, NULL, sizeof(s), &e), -EINVAL);
	ck_assert_int_eq(vdo_config_set(c, "size", "1T", &e), 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &s, sizeof(s), &e), 0);
	ck_assert_uint_eq(s.storage, MIB * MIB);
	ck_assert_uint_lt(s.data, s.storage);
	ck_assert_uint_gt(s.data + s.metadata + s.index_storage, s.storage / 2);
	/* A caller of an older header has a shorter struct. */
	memset(&s, 0xee, sizeof(s));
	ck_assert_int_eq(vdo_estimate(NULL, c, &s, 16, &e), 0);
	ck_assert_uint_eq(s.memory_least, UINT64_C(0xeeeeeeeeeeeeeeee));
	vdo_config_free(c);
}
END_TEST

/* What is given back is noted where it is: in a file with holes, which one that is
 * yet to be made has as well. */
START_TEST(test_estimate_of_a_file)
{
	static const char *const reclaim[] = {"auto", "off", "on"};
	char path[] = "libvdo-budget-XXXXXX";
	struct vdo_config *c = fixture_config(
		"size=64M slab-bits=9 slab-journal-blocks=8 profile=small "
		"index-memory=none executor=inline io-engine=threads");
	struct vdo_estimate planned, there;
	uint64_t slabs[4];
	struct vdo_volume *v;
	struct vdo_error e;
	int fd = mkstemp(path);

	for (unsigned i = 0; i < 4; i++) {
		if (i == 3)
			ck_assert_int_eq(posix_fallocate(fd, 0, 64 << 20), 0);
		ck_assert_int_eq(vdo_config_set(c, "reclaim", reclaim[i % 3],
						&e), 0);
		ck_assert_int_eq(vdo_estimate(i == 0 ? NULL : path, c, &planned,
					      sizeof(planned), &e), 0);
		if (i == 0)
			ck_assert_int_eq(vdo_format(path, c, &e), 0);
		ck_assert_int_eq(vdo_estimate(path, c, &there, sizeof(there),
					      &e), 0);
		ck_assert_mem_eq(&planned, &there, sizeof(there));
		ck_assert_int_eq(vdo_open(path, c, &v, &e), 0);
		ck_assert_uint_le(memory_most(&v->volume->memory),
				  there.memory_most + 4096);
		ck_assert_uint_ge(memory_most(&v->volume->memory) + 4096,
				  there.memory_most);
		ck_assert_int_eq(vdo_close(v), 0);
		slabs[i] = there.slabs;
	}
	ck_assert_uint_gt(slabs[0], slabs[1]);
	ck_assert_uint_eq(slabs[2], slabs[0]);
	ck_assert_uint_eq(slabs[3], slabs[1]);
	close(fd);
	unlink(path);
	vdo_config_free(c);
}
END_TEST

/* A file that is read and written by threads has some by default. */
START_TEST(test_estimate_of_threads)
{
	struct vdo_config *c = fixture_config(
		"size=64M executor=inline profile=small io-engine=threads");
	struct vdo_estimate four, one, by_default;
	struct vdo_error e;

	ck_assert_int_eq(vdo_estimate(NULL, c, &by_default, sizeof(four), &e),
			 0);
	ck_assert_int_eq(vdo_config_set(c, "io-threads", "4", &e), 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &four, sizeof(four), &e), 0);
	ck_assert_int_eq(vdo_config_set(c, "io-threads", "1", &e), 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &one, sizeof(one), &e), 0);
	ck_assert_uint_eq(by_default.threads, four.threads);
	ck_assert_uint_lt(one.threads, four.threads);
	vdo_config_free(c);
}
END_TEST

START_TEST(test_estimate_without_memory)
{
	struct vdo_config *c = fixture_config("size=1G memory=128M");
	struct vdo_estimate s;
	struct vdo_error e;
	size_t before = alloc_held();

	for (unsigned long n = 1;; n++) {
		int r;

		alloc_fail_at(n);
		r = vdo_estimate(NULL, c, &s, sizeof(s), &e);
		alloc_fail_at(0);
		ck_assert_uint_eq(alloc_held(), before);
		if (r == 0) {
			ck_assert_uint_gt(n, 20);
			break;
		}
		ck_assert_int_eq(r, -ENOMEM);
	}
	vdo_config_free(c);
}
END_TEST

/* -------------------------------------------------------- option memory */

START_TEST(test_memory_is_kept)
{
	struct fixture f;
	size_t before;

	fixture_init(&f, _i, shapes[3]);
	before = alloc_held();
	fixture_open(&f, "depth=64 memory=32M");
	for (uint64_t at = 0; at + 512 <= f.logical_blocks && at < 32768;
	     at += 512)
		fixture_write(&f, at, 512, V_UNIQUE(1 + at), 0);
	fixture_flush(&f);
	/* What is there for slabs to come is no memory. */
	ck_assert_uint_le(alloc_held() - before, 32 * MIB + 2 * MIB + 64 * 1024);
	ck_assert_uint_le(memory_most(&f.volume->volume->memory), 32 * MIB);
	ck_assert_uint_ge(memory_most(&f.volume->volume->memory), 16 * MIB);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_too_little_memory)
{
	struct fixture f;
	uint64_t least;
	char options[64];

	fixture_init(&f, KIND_INLINE, "");
	ck_assert_int_eq(fixture_try_open(&f, "memory=1M"), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(f.error.message, "lower depth"));
	/* By itself depth gets as low as it must, and no lower. */
	fixture_open(&f, "memory=16M");
	least = f.volume->volume->memory.least;
	ck_assert_uint_lt(f.volume->volume->memory.depth, 512);
	ck_assert_uint_gt(f.volume->volume->memory.depth, 16);
	ck_assert_uint_le(memory_most(&f.volume->volume->memory), 16 * MIB);
	ck_assert_str_eq(f.error.message, "");
	ck_assert_uint_eq(fixture_stat(&f, "path.depth"),
			  f.volume->volume->memory.depth);
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_close(&f);
	ck_assert_uint_le(least, 16 * MIB);
	/* Not if somebody has set it. */
	ck_assert_int_eq(fixture_try_open(&f, "memory=16M depth=512"),
			 -ENOMEM);
	/* The least that is said is enough, a byte less is not. */
	fixture_open(&f, "memory=1G depth=64");
	least = f.volume->volume->memory.least;
	fixture_close(&f);
	snprintf(options, sizeof(options), "depth=64 memory=%llu",
		 (unsigned long long)least);
	fixture_reopen(&f, options);
	fixture_write(&f, 0, 1000, V_UNIQUE(5), 0);
	fixture_close(&f);
	snprintf(options, sizeof(options), "depth=64 memory=%llu",
		 (unsigned long long)least - 1);
	ck_assert_int_eq(fixture_try_open(&f, options), -ENOMEM);
	fixture_fini(&f);
}
END_TEST

/* Counts are what slabs in use need at least, and what all need at most, whatever
 * is set: least is enough, and what is set is no reason to ask for more. */
START_TEST(test_counts_that_are_set)
{
	static const char *const set[] = {"", "counts-memory=64K ",
					  "counts-memory=64M "};
	struct fixture f;
	uint64_t least[3];
	char options[128];

	fixture_init(&f, KIND_INLINE, "size=2G slab-bits=16 logical-size=2G");
	for (unsigned i = 0; i < 3; i++) {
		const struct volume_memory *m;
		unsigned long long memory = 1u << 30;

		for (unsigned round = 0; round < 2; round++) {
			snprintf(options, sizeof(options),
				 "depth=64 physical-zones=2 block-cache=0 "
				 "%smemory=%llu", set[i], memory);
			fixture_open(&f, options);
			m = &f.volume->volume->memory;
			ck_assert_uint_le(memory_most(m), memory);
			memory = least[i] = m->least;
			fixture_close(&f);
		}
	}
	ck_assert_uint_eq(least[1], least[0]);
	ck_assert_uint_gt(least[2], least[0]);
	ck_assert_uint_lt(least[2], least[0] + 2 * MIB);
	fixture_fini(&f);
}
END_TEST

/* Without an index there are names, more of them with more memory: what is said to
 * be the least is enough for those that there are with it. */
START_TEST(test_least_with_names)
{
	static const char *const shape[] = {
		"size=16G logical-size=16G", "size=64M slab-bits=11",
		"size=16G logical-size=16G advice-entries=100000",
		"size=16G executor=native threads=3 block-cache=0"};
	unsigned long long least;
	struct vdo_estimate e;
	struct vdo_error error;
	struct vdo_config *c;
	char options[200];
	int n = snprintf(options, sizeof(options),
			 "index-memory=none depth=64 %s%s", shape[_i],
			 strstr(shape[_i], "executor") ? ""
						       : " executor=inline");

	c = fixture_config(options);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &e, sizeof(e), &error), 0);
	least = e.memory_least;
	ck_assert_uint_lt(least, 24 * MIB);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(options, sizeof(options), "%llu",
			 least + i * i * i * 16);
		ck_assert_int_eq(vdo_config_set(c, "memory", options, &error),
				 0);
		ck_assert_int_eq(vdo_estimate(NULL, c, &e, sizeof(e), &error),
				 0);
		ck_assert_uint_eq(e.memory_least, least);
		ck_assert_uint_le(e.memory_most, least + i * i * i * 16);
	}
	snprintf(options, sizeof(options), "%llu", least - 1);
	ck_assert_int_eq(vdo_config_set(c, "memory", options, &error), 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &e, sizeof(e), &error), -ENOMEM);
	/* What the error says in MiB is enough. */
	ck_assert_int_eq(sscanf(error.message, "the volume needs %llu", &least),
			 1);
	snprintf(options, sizeof(options), "%lluM", least);
	ck_assert_int_eq(vdo_config_set(c, "memory", options, &error), 0);
	ck_assert_int_eq(vdo_estimate(NULL, c, &e, sizeof(e), &error), 0);
	vdo_config_free(c);
}
END_TEST

/* What is set wins, the rest shares what is left. */
START_TEST(test_shares)
{
	const struct memory_part *p;
	struct fixture f;

	fixture_init(&f, KIND_INLINE, shapes[3]);
	fixture_open(&f, "depth=64 memory=64M cache=4M");
	p = f.volume->volume->memory.parts;
	ck_assert_uint_ge(p[MEMORY_CACHE].fixed, 4 * MIB);
	ck_assert_uint_lt(p[MEMORY_CACHE].fixed, 5 * MIB);
	ck_assert_uint_eq(fixture_stat(&f, "blockMapCacheSize"), 4 * MIB);
	ck_assert_uint_ge(p[MEMORY_BLOCKS].fixed, 2 * MIB);
	fixture_reopen(&f, "depth=64 memory=64M block-cache=0");
	p = f.volume->volume->memory.parts;
	ck_assert_uint_eq(p[MEMORY_BLOCKS].fixed, 0);
	ck_assert_uint_le(memory_most(&f.volume->volume->memory), 64 * MIB);
	fixture_reopen(&f, "depth=64 memory=64M counts-memory=128K");
	p = f.volume->volume->memory.parts;
	ck_assert_uint_le(p[MEMORY_COUNTS].growth, 128 * 1024);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("budget");

	tcase_add_loop_test(tc, test_allocated_is_what_was_said, 0,
			    FIXTURE_KINDS * SHAPES);
#ifndef UNIT_SANITIZED
	tcase_add_test(tc, test_spare_is_not_touched);
#endif
	tcase_add_loop_test(tc, test_estimate, 0, 6);
	tcase_add_test(tc, test_estimate_of_nothing);
	tcase_add_test(tc, test_estimate_of_a_file);
	tcase_add_test(tc, test_estimate_of_threads);
	tcase_add_test(tc, test_estimate_without_memory);
	tcase_add_loop_test(tc, test_memory_is_kept, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_too_little_memory);
	tcase_add_test(tc, test_counts_that_are_set);
	tcase_add_loop_test(tc, test_least_with_names, 0, 4);
	tcase_add_test(tc, test_shares);
	return unit_run();
}
