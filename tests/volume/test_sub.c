/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools: sub-volumes, what they hold, snapshots of those that are written to, and
 * what crashes, lack of space or memory, and damage leave of them.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/sub.h>

#include "api/pool_priv.h"
#include "base/alloc.h"
#include "sub/directory.h"
#include "tests/lib/fixture.h"

#define B    BLOCK_SIZE
#define UNIT DIRECTORY_UNIT /* blocks */
#define MIB  (UINT64_C(1) << 20)
#define POOL "logical-size=64M "

static struct vdo_error said;

#define OK(call)                                                               \
	do {                                                                   \
		int r_ = (call);                                               \
		ck_assert_msg(r_ == 0, "%s: %s", vdo_error_name(r_),           \
			      said.message);                                   \
	} while (0)

/* With a text. */
#define FAILS(want, call)                                                      \
	do {                                                                   \
		memset(&said, 0, sizeof(said));                                \
		ck_assert_int_eq(call, want);                                  \
		ck_assert_int_eq(said.code, want);                             \
		ck_assert_str_ne(said.message, "");                            \
	} while (0)

/* What blocks hold is not the fixture's to know. */
static void begin(struct fixture *f, int kind, const char *options)
{
	fixture_init(f, kind, options);
	fixture_open(f, "");
	memset(f->unknown, true, f->logical_blocks);
}

static struct vdo_volume *open_sub(struct fixture *f, const char *name)
{
	struct vdo_volume *sub;

	OK(vdo_sub_open(f->volume, name, 0, &sub, &said));
	return sub;
}

static void close_sub(struct vdo_volume *sub)
{
	ck_assert_int_eq(vdo_close(sub), 0);
}

static int try_put(struct vdo_volume *v, uint64_t block, uint64_t count,
		   value_t value)
{
	uint8_t *buf = pattern_blocks(value, count);
	int result = vdo_pwrite(v, buf, count * B, block * B, 0);

	free(buf);
	return result;
}

static void put(struct vdo_volume *v, uint64_t block, uint64_t count,
		value_t value)
{
	ck_assert_int_eq(try_put(v, block, count, value), 0);
}

/* @count blocks hold @value and what comes after it, or all zeroes. */
static void has(struct vdo_volume *v, uint64_t block, uint64_t count,
		value_t value)
{
	uint8_t *buf = malloc(count * B);

	ck_assert_ptr_nonnull(buf);
	ck_assert_int_eq(vdo_pread(v, buf, count * B, block * B, 0), 0);
	for (uint64_t i = 0; i < count; i++)
		ck_assert_msg(pattern_is(value == V_ZERO ? V_ZERO : value + i,
					 buf + i * B),
			      "block %llu", (unsigned long long)(block + i));
	free(buf);
}

static uint64_t used(struct fixture *f)
{
	fixture_flush(f);
	return fixture_stat(f, "dataBlocksUsed");
}

static int add_name(void *arg, const struct vdo_sub *s)
{
	char *all = arg;
	size_t n = strlen(all);

	snprintf(all + n, 1000 - n, "%s%s%s ", s->name, s->read_only ? "*" : "",
		 s->removing ? "-" : "");
	return 0;
}

static const char *names(struct fixture *f)
{
	static char all[1000];

	all[0] = '\0';
	OK(vdo_sub_list(f->volume, add_name, all, &said));
	return all;
}

static struct vdo_sub_usage stat_of(struct fixture *f, const char *name)
{
	struct vdo_sub_usage u;

	OK(vdo_sub_stat(f->volume, name, &u, sizeof(u), &said));
	return u;
}

/* -------------------------------------------------------------------- calls */

START_TEST(test_life)
{
	struct vdo_volume *a, *b, *again;
	struct vdo_sub_usage u;
	struct fixture f;

	begin(&f, _i, POOL);
	FAILS(-ENOENT, vdo_sub_list(f.volume, add_name, NULL, &said));
	FAILS(-ENOENT, vdo_sub_open(f.volume, "a", 0, &a, &said));
	FAILS(-ENOENT, vdo_sub_remove(f.volume, "a", &said));
	OK(vdo_sub_create(f.volume, "a", 5 * MIB, &said));
	OK(vdo_sub_create(f.volume, "with blank \xc3\xa4", 3 * MIB + 4096,
			  &said));
	a = open_sub(&f, "a");
	b = open_sub(&f, "with blank \xc3\xa4");
	again = open_sub(&f, "a");
	ck_assert_uint_eq(vdo_volume_size(a), 5 * MIB);
	ck_assert_uint_eq(vdo_volume_size(b), 3 * MIB + 4096);
	ck_assert(!vdo_volume_is_read_only(a));
	put(a, 0, 300, V_UNIQUE(1));
	put(b, 0, 300, V_UNIQUE(1));
	put(b, 768, 1, V_UNIQUE(77));
	ck_assert_int_eq(try_put(b, 769, 1, V_UNIQUE(78)), -ERANGE);
	ck_assert_int_eq(try_put(a, 1279, 2, V_UNIQUE(78)), -ERANGE);
	has(again, 0, 300, V_UNIQUE(1));
	has(b, 0, 300, V_UNIQUE(1));
	has(b, 300, 400, V_ZERO);
	ck_assert_int_eq(vdo_write_zeroes(b, 10 * B, 500 * B, 0), 0);
	u = stat_of(&f, "with blank \xc3\xa4");
	ck_assert_uint_eq(u.data_blocks + u.compressed_blocks, 301);
	ck_assert_uint_eq(u.zero_blocks, 10);
	ck_assert_uint_eq(u.unmapped_blocks, 769 - 311);
	ck_assert_uint_eq(u.open, 1);
	ck_assert_uint_eq(stat_of(&f, "a").open, 2);
	FAILS(-EBUSY, vdo_sub_remove(f.volume, "a", &said));
	ck_assert_int_eq(vdo_close(f.volume), -EBUSY);
	vdo_abandon(f.volume);
	OK(vdo_sub_rename(f.volume, "a", "z", &said));
	ck_assert_str_eq(names(&f), "with blank \xc3\xa4 z ");
	close_sub(a);
	has(again, 0, 300, V_UNIQUE(1));
	close_sub(again);
	close_sub(b);
	fixture_reopen(&f, "");
	ck_assert_str_eq(names(&f), "with blank \xc3\xa4 z ");
	b = open_sub(&f, "with blank \xc3\xa4");
	has(b, 0, 300, V_UNIQUE(1));
	has(b, 768, 1, V_UNIQUE(77));
	close_sub(b);
	OK(vdo_sub_remove(f.volume, "with blank \xc3\xa4", &said));
	OK(vdo_sub_remove(f.volume, "z", &said));
	ck_assert_str_eq(names(&f), "");
	/* The directory is all that is left. */
	ck_assert_uint_le(used(&f), 4);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(test_refused)
{
	char longest[VDO_SUB_NAME_MAX + 1], longer[VDO_SUB_NAME_MAX + 2];
	struct vdo_volume *a, *b;
	struct fixture f;

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	begin(&f, _i, POOL);
	FAILS(-EINVAL, vdo_sub_create(f.volume, "", MIB, &said));
	FAILS(-EINVAL, vdo_sub_create(f.volume, "a/b", MIB, &said));
	FAILS(-EINVAL, vdo_sub_create(f.volume, longer, MIB, &said));
	FAILS(-EINVAL, vdo_sub_create(f.volume, "a", 0, &said));
	FAILS(-EINVAL, vdo_sub_create(f.volume, "a", 512, &said));
	FAILS(-ENOSPC, vdo_sub_create(f.volume, "a", 49 * MIB, &said));
	FAILS(-ENOSPC, vdo_sub_create(f.volume, "a", UINT64_MAX - B + 1, &said));
	OK(vdo_sub_create(f.volume, longest, MIB, &said));
	OK(vdo_sub_create(f.volume, "a", 47 * MIB, &said));
	FAILS(-ENOSPC, vdo_sub_create(f.volume, "b", B, &said));
	FAILS(-EEXIST, vdo_sub_create(f.volume, "a", B, &said));
	FAILS(-EEXIST, vdo_sub_rename(f.volume, longest, "a", &said));
	FAILS(-EINVAL, vdo_sub_rename(f.volume, "a", "a/b", &said));
	FAILS(-ENOENT, vdo_sub_rename(f.volume, "c", "d", &said));
	FAILS(-ENOENT, vdo_sub_resize(f.volume, "c", MIB, &said));
	FAILS(-ENOENT, vdo_sub_snapshot(f.volume, "c", "d", &said));
	FAILS(-EEXIST, vdo_sub_snapshot(f.volume, "a", "a", &said));
	FAILS(-ENOSPC, vdo_sub_clone(f.volume, "a", "b", &said));
	FAILS(-ENOSPC, vdo_sub_resize(f.volume, longest, 2 * MIB, &said));
	FAILS(-EINVAL, vdo_sub_open(f.volume, "a", 64, &a, &said));
	OK(vdo_sub_open(f.volume, "a", VDO_OPEN_READ_ONLY, &a, &said));
	ck_assert(vdo_volume_is_read_only(a));
	ck_assert_int_eq(try_put(a, 0, 1, V_UNIQUE(1)), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_discard(a, B, 0, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_copy_range(a, 0, B, B, 0), -VDO_EREADONLY);
	ck_assert_int_eq(vdo_flush(a, 0), 0);
	FAILS(-EINVAL, vdo_sub_create(a, "b", MIB, &said));
	FAILS(-EINVAL, vdo_sub_open(a, "a", 0, &b, &said));
	ck_assert_int_eq(vdo_suspend(a, true), -EINVAL);
	ck_assert_int_eq(vdo_resume(a), -EINVAL);
	close_sub(a);
	ck_assert_int_eq(vdo_sub_changes(f.volume, f.volume, 0, NULL, NULL),
			 -EINVAL);
	fixture_reopen(&f, "read-only=on");
	FAILS(-VDO_EREADONLY, vdo_sub_create(f.volume, "b", B, &said));
	FAILS(-VDO_EREADONLY, vdo_sub_remove(f.volume, "a", &said));
	a = open_sub(&f, "a");
	ck_assert(vdo_volume_is_read_only(a));
	has(a, 0, 10, V_ZERO);
	close_sub(a);
	fixture_fini(&f);
}
END_TEST

/* A volume with data of its own is not taken for an empty one; a small one is none
 * for a pool. */
START_TEST(test_no_pool)
{
	static const uint64_t places[] = {0, 3000, 5000, 16383};
	struct fixture f;

	begin(&f, _i, POOL);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		put(f.volume, places[i], 1, V_UNIQUE(1));
		FAILS(-VDO_ESIGNATURE,
		      vdo_sub_create(f.volume, "a", MIB, &said));
		has(f.volume, places[i], 1, V_UNIQUE(1));
		ck_assert_int_eq(vdo_discard(f.volume, B, places[i] * B, 0), 0);
	}
	OK(vdo_sub_create(f.volume, "a", MIB, &said));
	fixture_fini(&f);
	begin(&f, _i, "logical-size=16M");
	FAILS(-ENOSPC, vdo_sub_create(f.volume, "a", B, &said));
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- pieces */

struct places {
	unsigned count;
	uint64_t bytes;
};

static int count_place(void *arg, const struct vdo_sub_extent *e)
{
	struct places *p = arg;

	ck_assert_uint_eq(e->offset, p->bytes);
	ck_assert_uint_ge(e->place, DIRECTORY_BLOCKS * B);
	p->bytes += e->length;
	p->count++;
	return 0;
}

/* A sub-volume of so many pieces of 1 MiB. */
static struct vdo_volume *make_pieces(struct fixture *f, unsigned count)
{
	struct places p = {0};
	char name[20];

	for (unsigned i = 0; i < 48; i++) {
		snprintf(name, sizeof(name), "%u", i);
		OK(vdo_sub_create(f->volume, name, MIB, &said));
	}
	for (unsigned i = 0; i < 2 * count; i += 2) {
		snprintf(name, sizeof(name), "%u", i);
		OK(vdo_sub_remove(f->volume, name, &said));
	}
	OK(vdo_sub_create(f->volume, "p", count * MIB, &said));
	OK(vdo_sub_places(f->volume, "p", count_place, &p, &said));
	ck_assert_uint_eq(p.count, count);
	ck_assert_uint_eq(p.bytes, count * MIB);
	return open_sub(f, "p");
}

/* Vectors that end anywhere, over the ends of pieces. */
START_TEST(test_vectors)
{
	struct fixture f;
	struct vdo_volume *p;
	uint8_t *data, *back;
	uint64_t random = 1;

	begin(&f, _i, POOL);
	p = make_pieces(&f, 4);
	data = pattern_blocks(V_UNIQUE(5), 4 * UNIT);
	back = malloc(4 * MIB);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t first = pattern_random(&random, 2 * UNIT);
		uint64_t count = 1 + pattern_random(&random, 2 * UNIT);
		struct iovec w[8], r[8];
		size_t at = 0, rest = count * B;

		for (unsigned i = 0; i < 8; i++) {
			size_t n = i == 7 ? rest - at
					  : pattern_random(&random,
							   (rest - at) / 2 + 1);

			w[i] = (struct iovec){data + first * B + at, n};
			r[i] = (struct iovec){back + at, n};
			at += n;
		}
		ck_assert_int_eq(vdo_pwritev(p, w, 8, first * B, 0), 0);
		memset(back, 1, count * B);
		ck_assert_int_eq(vdo_preadv(p, r, 8, first * B, 0), 0);
		ck_assert(memcmp(back, data + first * B, count * B) == 0);
	}
	ck_assert_int_eq(vdo_pwrite(p, data, 4 * MIB, 0, VDO_IO_FUA), 0);
	has(p, 0, 4 * UNIT, V_UNIQUE(5));
	ck_assert_int_eq(vdo_discard(p, 3 * MIB, MIB / 2, 0), 0);
	has(p, 0, UNIT / 2, V_UNIQUE(5));
	has(p, UNIT / 2, 3 * UNIT, V_ZERO);
	has(p, UNIT / 2 + 3 * UNIT, UNIT / 2,
	    V_UNIQUE(5) + 3 * UNIT + UNIT / 2);
	free(data);
	free(back);
	close_sub(p);
	fixture_fini(&f);
}
END_TEST

/* Onto itself, both ways, as memmove(). */
START_TEST(test_copies)
{
	static const struct {
		uint64_t dst, src, count;
	} shapes[] = {
		{0, 100, 900}, {100, 0, 900}, {300, 0, 600}, {0, 300, 600},
		{1, 0, 1023},  {0, 1, 1023},  {512, 0, 512}, {0, 512, 512},
	};
	struct fixture f;
	struct vdo_volume *p;
	value_t want[4 * UNIT];

	begin(&f, _i, POOL "size=64M");
	p = make_pieces(&f, 4);
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		put(p, 0, 4 * UNIT, V_UNIQUE(2000 * i));
		for (unsigned k = 0; k < 4 * UNIT; k++)
			want[k] = V_UNIQUE(2000 * i) + k;
		memmove(want + shapes[i].dst, want + shapes[i].src,
			shapes[i].count * sizeof(want[0]));
		ck_assert_int_eq(vdo_copy_range(p, shapes[i].dst * B,
						shapes[i].src * B,
						shapes[i].count * B, 0),
				 0);
		for (unsigned k = 0; k < 4 * UNIT; k++)
			has(p, k, 1, want[k]);
	}
	close_sub(p);
	fixture_fini(&f);
}
END_TEST

struct told {
	uint64_t offset, bytes[4];
};

static int tell(void *arg, const struct vdo_extent *e)
{
	struct told *t = arg;

	ck_assert_uint_eq(e->offset, t->offset);
	t->offset += e->length;
	t->bytes[e->kind] += e->length;
	return 0;
}

static int tell_change(void *arg, const struct vdo_change *c)
{
	struct told *t = arg;

	ck_assert_uint_ge(c->offset, t->offset);
	t->offset = c->offset + c->length;
	t->bytes[0] += c->length;
	return 0;
}

START_TEST(test_maps)
{
	struct fixture f;
	struct vdo_volume *p, *s;
	struct told t = {0};

	begin(&f, _i, POOL);
	p = make_pieces(&f, 4);
	put(p, UNIT - 10, 20, V_UNIQUE(1));
	put(p, 3 * UNIT, 5, V_UNIQUE(100));
	ck_assert_int_eq(vdo_write_zeroes(p, 30 * B, 100 * B, 0), 0);
	ck_assert_int_eq(vdo_map_extents(p, 0, 4 * MIB, 0, tell, &t), 0);
	ck_assert_uint_eq(t.offset, 4 * MIB);
	ck_assert_uint_eq(t.bytes[VDO_MAP_DATA] + t.bytes[VDO_MAP_COMPRESSED],
			  25 * B);
	ck_assert_uint_eq(t.bytes[VDO_MAP_ZERO], 30 * B);
	ck_assert_uint_eq(t.bytes[VDO_MAP_HOLE], 4 * MIB - 55 * B);
	t = (struct told){.offset = MIB - 512};
	ck_assert_int_eq(vdo_map_extents(p, MIB - 512, 1024, 0, tell, &t),
			 vdo_volume_alignment(p) == 512 ? 0 : -EINVAL);
	OK(vdo_sub_remove(f.volume, "1", &said));
	OK(vdo_sub_remove(f.volume, "3", &said));
	OK(vdo_sub_remove(f.volume, "5", &said));
	OK(vdo_sub_remove(f.volume, "7", &said));
	OK(vdo_sub_snapshot(f.volume, "p", "s", &said));
	s = open_sub(&f, "s");
	t = (struct told){0};
	ck_assert_int_eq(vdo_sub_changes(p, s, 0, tell_change, &t), 0);
	ck_assert_uint_eq(t.bytes[0], 0);
	put(p, 2 * UNIT - 1, 2, V_UNIQUE(300));
	ck_assert_int_eq(vdo_discard(p, 3 * B, 3 * MIB, 0), 0);
	ck_assert_int_eq(vdo_sub_changes(s, p, 0, tell_change, &t), 0);
	ck_assert_uint_eq(t.bytes[0], 5 * B);
	t = (struct told){0};
	ck_assert_int_eq(vdo_map_changes(p, 0, 2 * MIB, 2 * MIB, 0,
					 tell_change, &t),
			 0);
	ck_assert_uint_eq(t.bytes[0], 22 * B);
	close_sub(s);
	close_sub(p);
	fixture_fini(&f);
}
END_TEST

/* Between sub-volumes, over the ends of pieces of both. */
START_TEST(test_copies_between)
{
	struct vdo_volume *p, *a;
	struct fixture f;
	uint64_t before;

	begin(&f, _i, POOL "size=64M");
	p = make_pieces(&f, 4);
	OK(vdo_sub_remove(f.volume, "47", &said));
	OK(vdo_sub_remove(f.volume, "46", &said));
	OK(vdo_sub_remove(f.volume, "44", &said));
	OK(vdo_sub_create(f.volume, "a", 3 * MIB, &said));
	a = open_sub(&f, "a");
	put(p, 0, 4 * UNIT, V_UNIQUE(1));
	before = used(&f);
	ck_assert_int_eq(vdo_sub_copy(a, B, p, 2 * B, 3 * MIB - B, 0), 0);
	ck_assert_uint_eq(used(&f), before);
	has(a, 0, 1, V_ZERO);
	has(a, 1, 3 * UNIT - 1, V_UNIQUE(3));
	has(p, 0, 4 * UNIT, V_UNIQUE(1));
	ck_assert_int_eq(vdo_sub_copy(p, 3 * MIB, a, 2 * MIB, MIB, 0), 0);
	has(p, 3 * UNIT, UNIT, V_UNIQUE(2 * UNIT + 2));
	ck_assert_int_eq(vdo_sub_copy(p, B, p, 0, 2 * MIB, 0), 0);
	has(p, 1, 2 * UNIT, V_UNIQUE(1));
	ck_assert_int_eq(vdo_sub_copy(a, 0, p, 4 * MIB - B, 2 * B, 0), -ERANGE);
	ck_assert_int_eq(vdo_sub_copy(a, 3 * MIB - B, p, 0, 2 * B, 0), -ERANGE);
	ck_assert_int_eq(vdo_sub_copy(a, 0, p, 512, B, 0), -EINVAL);
	ck_assert_int_eq(vdo_sub_copy(a, 0, p, 0, B, 64), -EINVAL);
	ck_assert_int_eq(vdo_sub_copy(a, 0, f.volume, 0, B, 0), -EINVAL);
	close_sub(a);
	OK(vdo_sub_open(f.volume, "a", VDO_OPEN_READ_ONLY, &a, &said));
	ck_assert_int_eq(vdo_sub_copy(a, 0, p, 0, B, 0), -VDO_EREADONLY);
	close_sub(a);
	close_sub(p);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------------------- resize */

START_TEST(test_resize)
{
	struct vdo_volume *a;
	struct fixture f;

	begin(&f, _i, POOL);
	OK(vdo_sub_create(f.volume, "a", MIB, &said));
	OK(vdo_sub_create(f.volume, "b", MIB, &said));
	/* What lies in free space is nobody's. */
	put(f.volume, DIRECTORY_BLOCKS + 2 * UNIT, 100, V_UNIQUE(1000));
	a = open_sub(&f, "a");
	put(a, 0, UNIT, V_UNIQUE(1));
	OK(vdo_sub_resize(f.volume, "a", 3 * MIB + B, &said));
	ck_assert_uint_eq(vdo_volume_size(a), 3 * MIB + B);
	has(a, UNIT, 2 * UNIT + 1, V_ZERO);
	put(a, UNIT, 2 * UNIT + 1, V_UNIQUE(1) + UNIT);
	has(a, 0, 3 * UNIT + 1, V_UNIQUE(1));
	FAILS(-EBUSY, vdo_sub_resize(f.volume, "a", MIB, &said));
	close_sub(a);
	FAILS(-ENOTEMPTY, vdo_sub_resize(f.volume, "a", MIB, &said));
	a = open_sub(&f, "a");
	has(a, 0, 3 * UNIT + 1, V_UNIQUE(1));
	ck_assert_int_eq(vdo_discard(a, 2 * MIB + B - 7 * B, MIB + 7 * B, 0),
			 0);
	ck_assert_int_eq(vdo_write_zeroes(a, 100 * B, 2 * MIB, 0), 0);
	close_sub(a);
	OK(vdo_sub_resize(f.volume, "a", MIB + 7 * B, &said));
	OK(vdo_sub_resize(f.volume, "a", 4 * MIB, &said));
	fixture_reopen(&f, "");
	a = open_sub(&f, "a");
	ck_assert_uint_eq(vdo_volume_size(a), 4 * MIB);
	has(a, 0, UNIT + 7, V_UNIQUE(1));
	has(a, UNIT + 7, 3 * UNIT - 7, V_ZERO);
	close_sub(a);
	ck_assert_uint_eq(stat_of(&f, "a").zero_blocks, 0);
	fixture_fini(&f);
}
END_TEST

/* A volume that grows has room for more of them. */
START_TEST(test_volume_grows)
{
	struct vdo_volume *a;
	struct fixture f;

	begin(&f, _i, POOL);
	OK(vdo_sub_create(f.volume, "a", 47 * MIB, &said));
	FAILS(-ENOSPC, vdo_sub_create(f.volume, "b", 2 * MIB, &said));
	a = open_sub(&f, "a");
	put(a, 0, 300, V_UNIQUE(1));
	FAILS(-EINVAL, vdo_grow(a, 0, 256 * MIB, &said));
	OK(vdo_grow(f.volume, 0, 256 * MIB, &said));
	OK(vdo_sub_create(f.volume, "b", 2 * MIB, &said));
	OK(vdo_sub_resize(f.volume, "a", 50 * MIB, &said));
	OK(vdo_sub_snapshot(f.volume, "a", "s", &said));
	put(a, 49 * UNIT, 256, V_UNIQUE(1000));
	close_sub(a);
	f.logical_blocks = 256 * UNIT;
	ck_assert_int_eq(fixture_try_close(&f), 0);
	fixture_open(&f, "");
	a = open_sub(&f, "a");
	has(a, 0, 300, V_UNIQUE(1));
	has(a, 49 * UNIT, 256, V_UNIQUE(1000));
	close_sub(a);
	ck_assert_str_eq(names(&f), "a b s* ");
	ck_assert_int_eq(fixture_try_close(&f), 0);
	f.logical_blocks = 64 * UNIT;
	fixture_fini(&f);
}
END_TEST

/* ---------------------------------------------------------------- snapshots */

START_TEST(test_snapshots)
{
	struct vdo_volume *a, *s, *c;
	struct fixture f;
	uint64_t before;

	begin(&f, _i, POOL);
	OK(vdo_sub_create(f.volume, "a", 5 * MIB, &said));
	a = open_sub(&f, "a");
	put(a, 100, 1000, V_UNIQUE(1));
	ck_assert_int_eq(vdo_write_zeroes(a, 10 * B, 0, 0), 0);
	before = used(&f);
	ck_assert_uint_eq(stat_of(&f, "a").exclusive_blocks, 1000);
	OK(vdo_sub_snapshot(f.volume, "a", "s", &said));
	ck_assert_uint_eq(stat_of(&f, "a").exclusive_blocks, 0);
	ck_assert_uint_eq(stat_of(&f, "s").shared_blocks, 1000);
	OK(vdo_sub_clone(f.volume, "s", "c", &said));
	ck_assert_uint_le(used(&f), before + 4);
	ck_assert_str_eq(names(&f), "a c s* ");
	ck_assert_uint_eq(stat_of(&f, "s").parent, stat_of(&f, "a").id);
	ck_assert_uint_eq(stat_of(&f, "c").parent, stat_of(&f, "s").id);
	ck_assert_uint_eq(stat_of(&f, "c").zero_blocks, 10);
	s = open_sub(&f, "s");
	c = open_sub(&f, "c");
	put(a, 100, 500, V_UNIQUE(5000));
	put(c, 600, 500, V_UNIQUE(6000));
	fixture_flush(&f);
	ck_assert_uint_eq(stat_of(&f, "a").exclusive_blocks, 500);
	ck_assert_uint_eq(stat_of(&f, "a").shared_blocks, 500);
	ck_assert_int_eq(try_put(s, 0, 1, V_UNIQUE(1)), -VDO_EREADONLY);
	has(s, 0, 100, V_ZERO);
	has(s, 100, 1000, V_UNIQUE(1));
	has(a, 100, 500, V_UNIQUE(5000));
	has(a, 600, 500, V_UNIQUE(501));
	has(c, 100, 500, V_UNIQUE(1));
	has(c, 600, 500, V_UNIQUE(6000));
	close_sub(a);
	close_sub(s);
	FAILS(-VDO_EREADONLY, vdo_sub_resize(f.volume, "s", 6 * MIB, &said));
	OK(vdo_sub_remove(f.volume, "a", &said));
	OK(vdo_sub_remove(f.volume, "s", &said));
	has(c, 100, 500, V_UNIQUE(1));
	close_sub(c);
	fixture_reopen(&f, "");
	c = open_sub(&f, "c");
	has(c, 600, 500, V_UNIQUE(6000));
	close_sub(c);
	OK(vdo_sub_remove(f.volume, "c", &said));
	ck_assert_uint_le(used(&f), 4);
	fixture_fini(&f);
}
END_TEST

/*
 * Somebody writes numbers, one after another, to blocks far apart; so what a
 * snapshot shows is what there was after one of them. Each chain has blocks of its
 * own, and begins the next write when it hears of the end of the last one.
 */
#define CHAINS	   3u
#define OWN_BLOCKS 40u
#define WRITES	   3000u /* at most, where a pool runs all of them in the first */

struct chain {
	struct vdo_volume *volume;
	uint64_t sub_blocks;
	unsigned number;
	bool may_fail; /* and each write is durable */
	atomic_uint acknowledged;
	unsigned begun;
	atomic_bool stop, over;
	uint8_t buf[B];
};

static uint64_t block_of(const struct chain *c, unsigned n)
{
	return (n * 29 % OWN_BLOCKS * CHAINS + c->number) *
	       (c->sub_blocks / (OWN_BLOCKS * CHAINS));
}

static value_t value_of(const struct chain *c, unsigned n)
{
	return V_UNIQUE((uint64_t)(c->number + 1) << 32 | n);
}

static void next_write(struct chain *c);

static void written(void *arg, int result)
{
	struct chain *c = arg;

	ck_assert(result == 0 || c->may_fail);
	if (result == 0)
		atomic_store(&c->acknowledged, c->begun);
	if (result != 0 || atomic_load(&c->stop) || c->begun == WRITES)
		atomic_store(&c->over, true);
	else
		next_write(c);
}

static void next_write(struct chain *c)
{
	unsigned n = ++c->begun;

	pattern_fill(value_of(c, n), c->buf);
	ck_assert_int_eq(vdo_aio_pwrite(c->volume, c->buf, B,
					block_of(c, n) * B, written, c,
					c->may_fail || n % 7 == 0 ? VDO_IO_FUA
								  : 0),
			 0);
}

/* The number in a block, 0: none. */
static unsigned number_in(struct vdo_volume *v, const struct chain *c,
			  uint64_t block, unsigned most)
{
	uint8_t buf[B];

	ck_assert_int_eq(vdo_pread(v, buf, B, block * B, 0), 0);
	if (pattern_is(V_ZERO, buf))
		return 0;
	for (unsigned n = most; n > 0; n--)
		if (block_of(c, n) == block && pattern_is(value_of(c, n), buf))
			return n;
	ck_abort_msg("block %llu holds what was not written",
		     (unsigned long long)block);
	return 0;
}

/* @s shows @c as it was after a write, @least or later; or one that was under way
 * is in it as well. */
static void check_chain(struct vdo_volume *s, const struct chain *c,
			unsigned least)
{
	unsigned found[OWN_BLOCKS], latest = 0;

	for (unsigned i = 1; i <= OWN_BLOCKS; i++) {
		found[i - 1] = number_in(s, c, block_of(c, i), c->begun);
		latest = MAX(latest, found[i - 1]);
	}
	ck_assert_uint_ge(latest, least);
	for (unsigned i = 1; i <= OWN_BLOCKS; i++) {
		/* The last one up to it that went to that block. */
		unsigned want = latest - (latest - i % OWN_BLOCKS + OWN_BLOCKS) %
						 OWN_BLOCKS;

		if (latest < i)
			want = 0;
		ck_assert_uint_eq(found[i - 1], want);
	}
}

static struct chain chains[CHAINS];

static void begin_chains(struct vdo_volume *a, uint64_t sub_blocks,
			 bool may_fail)
{
	for (unsigned i = 0; i < CHAINS; i++) {
		memset(&chains[i], 0, sizeof(chains[i]));
		chains[i].volume = a;
		chains[i].sub_blocks = sub_blocks;
		chains[i].number = i;
		chains[i].may_fail = may_fail;
		next_write(&chains[i]);
	}
}

static void end_chains(struct fixture *f)
{
	for (unsigned i = 0; i < CHAINS; i++)
		atomic_store(&chains[i].stop, true);
	for (unsigned i = 0; i < CHAINS; i++)
		fixture_until(f, atomic_load(&chains[i].over));
}

static void run_chains(struct fixture *f, struct vdo_volume *a,
		       uint64_t sub_blocks)
{
	unsigned least[CHAINS];
	char name[20];

	begin_chains(a, sub_blocks, false);
	for (unsigned round = 0; round < 4; round++) {
		fixture_until(f, atomic_load(&chains[0].acknowledged) >
					 30 * (round + 1));
		for (unsigned i = 0; i < CHAINS; i++)
			least[i] = atomic_load(&chains[i].acknowledged);
		snprintf(name, sizeof(name), "s%u", round);
		OK(vdo_sub_snapshot(f->volume, "a", name, &said));
	}
	end_chains(f);
	for (unsigned round = 0; round < 4; round++) {
		struct vdo_volume *s;

		snprintf(name, sizeof(name), "s%u", round);
		s = open_sub(f, name);
		for (unsigned i = 0; i < CHAINS; i++)
			check_chain(s, &chains[i], round == 3 ? least[i] : 1);
		close_sub(s);
	}
	for (unsigned i = 0; i < CHAINS; i++)
		check_chain(a, &chains[i], chains[i].begun);
}

START_TEST(test_one_moment)
{
	struct vdo_volume *a;
	struct fixture f;

	begin(&f, _i, POOL);
	OK(vdo_sub_create(f.volume, "a", 8 * MIB, &said));
	a = open_sub(&f, "a");
	put(a, 8 * UNIT - 200, 200, V_UNIQUE(1));
	ck_assert_int_eq(vdo_discard(a, 200 * B, (8 * UNIT - 200) * B, 0), 0);
	run_chains(&f, a, 8 * UNIT);
	close_sub(a);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

/* Somebody removes "x", or shrinks it, while flushes are held back. */
struct changing {
	struct vdo_volume *volume;
	bool shrinks;
	int result;
};

static bool is_flush(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_FLUSH;
}

/* Has the change got so far that "x" must stay closed? */
static bool is_closed(struct pool *p)
{
	bool closed;

	pthread_mutex_lock(&p->lock);
	closed = p->closed != 0;
	pthread_mutex_unlock(&p->lock);
	return closed;
}

static void *change_x(void *arg)
{
	struct changing *c = arg;

	c->result = c->shrinks ? vdo_sub_resize(c->volume, "x", B, NULL)
			       : vdo_sub_remove(c->volume, "x", NULL);
	return NULL;
}

/* Who opens it then would have what belongs to somebody else soon. */
START_TEST(test_opened_while_changed)
{
	struct changing c = {.shrinks = _i != 0};
	struct vdo_volume *x, *y;
	struct fixture f;
	pthread_t thread;

	begin(&f, KIND_NATIVE, POOL);
	OK(vdo_sub_create(f.volume, "x", 3 * MIB, &said));
	OK(vdo_sub_create(f.volume, "y", MIB, &said));
	y = open_sub(&f, "y");
	put(y, 0, 1, V_UNIQUE(1)); /* it has its page of the map */
	ck_assert_int_eq(vdo_flush(y, 0), 0);
	c.volume = f.volume;
	sim_device_hold(f.sd, is_flush, NULL);
	/* This is not durable before a flush is; the change waits for that first. */
	put(y, 1, 5, V_UNIQUE(2));
	ck_assert_int_eq(pthread_create(&thread, NULL, change_x, &c), 0);
	fixture_until(&f, is_closed(f.volume->pool));
	FAILS(-EBUSY, vdo_sub_open(f.volume, "x", 0, &x, &said));
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	pthread_join(thread, NULL);
	ck_assert_int_eq(c.result, 0);
	ck_assert_str_eq(names(&f), c.shrinks ? "x y " : "y ");
	close_sub(y);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------- bad directories */

static void read_copy(struct fixture *f, unsigned n, uint8_t *copy)
{
	ck_assert_int_eq(vdo_pread(f->volume, copy, 4 * B,
				   n * DIRECTORY_COPY_BLOCKS * B, 0),
			 0);
}

static void write_copy(struct fixture *f, unsigned n, const uint8_t *copy)
{
	ck_assert_int_eq(vdo_pwrite(f->volume, copy, 4 * B,
				    n * DIRECTORY_COPY_BLOCKS * B, VDO_IO_FUA),
			 0);
}

/* The checksums of what was changed are right again. */
static void seal(uint8_t *copy)
{
	put_u32(copy + 40, format_crc(copy + B, get_u64(copy + 32)));
	put_u32(copy + 44, format_crc(copy, 44));
}

/* Where the entries @n begins: names have one byte, and there is one extent. */
#define ENTRY(n)	(B + (n) * 57)
#define E_BLOCKS(n)	(ENTRY(n) + 8)
#define E_FLAGS(n)	(ENTRY(n) + 32)
#define E_EXTENTS(n)	(ENTRY(n) + 36)
#define E_NAME_BYTES(n) (ENTRY(n) + 38)
#define E_FIRST(n)	(ENTRY(n) + 40)
#define E_COUNT(n)	(ENTRY(n) + 48)
#define E_NAME(n)	(ENTRY(n) + 56)

static const struct {
	const char *what;
	unsigned at, bytes;
	uint64_t value;
	bool unsealed;
	int code;
} lies[] = {
	{"version", 8, 4, 2, false, -VDO_EVERSION},
	{"more entries", 12, 4, 3, false, -VDO_ECORRUPT},
	{"fewer entries", 12, 4, 1, false, -VDO_ECORRUPT},
	{"sequence", 16, 8, 0, false, -VDO_ECORRUPT},
	{"last sequence", 16, 8, UINT64_MAX, false, -VDO_ECORRUPT},
	{"next id", 24, 8, 2, false, -VDO_ECORRUPT},
	{"no next id", 24, 8, 0, false, -VDO_ECORRUPT},
	{"bytes", 32, 8, 3000, true, -VDO_ECHECKSUM},
	{"same ids", ENTRY(1), 8, 1, false, -VDO_ECORRUPT},
	{"id 0", ENTRY(1), 8, 0, false, -VDO_ECORRUPT},
	{"no size", E_BLOCKS(0), 8, 0, false, -VDO_ECORRUPT},
	{"larger than its place", E_BLOCKS(0), 8, 2 * UNIT + 1, false,
	 -VDO_ECORRUPT},
	{"smaller than its place", E_BLOCKS(0), 8, UNIT, false, -VDO_ECORRUPT},
	{"flags", E_FLAGS(0), 4, 8, false, -VDO_ECORRUPT},
	{"no extents", E_EXTENTS(0), 2, 0, false, -VDO_ECORRUPT},
	{"extents", E_EXTENTS(1), 2, 4097, false, -VDO_ECORRUPT},
	{"name over the end", E_NAME_BYTES(1), 2, 255, false, -VDO_ECORRUPT},
	{"in the directory", E_FIRST(0), 8, 0, false, -VDO_ECORRUPT},
	{"overlap", E_FIRST(1), 8, DIRECTORY_BLOCKS + UNIT, false,
	 -VDO_ECORRUPT},
	{"not a unit", E_FIRST(1), 8, DIRECTORY_BLOCKS + 2 * UNIT + 1, false,
	 -VDO_ECORRUPT},
	{"behind the end", E_FIRST(1), 8, UINT64_C(1) << 40, false,
	 -VDO_ECORRUPT},
	{"over the end", E_FIRST(1), 8, 16384 - UNIT, false, -VDO_ECORRUPT},
	{"empty extent", E_COUNT(1), 8, 0, false, -VDO_ECORRUPT},
	{"endless extent", E_COUNT(1), 8, UINT64_MAX - UNIT + 1, false,
	 -VDO_ECORRUPT},
	{"a slash", E_NAME(0), 1, '/', false, -VDO_ECORRUPT},
	{"no name", E_NAME(0), 1, 0, false, -VDO_ECORRUPT},
	{"same names", E_NAME(1), 1, 'a', false, -VDO_ECORRUPT},
};

/* Both copies lie in the same way: the whole volume is still there, and nobody gets
 * a wrong part of it. */
START_TEST(test_lies)
{
	uint8_t whole[2][4 * B], lie[4 * B];
	struct vdo_volume *a;
	struct fixture f;

	begin(&f, KIND_INLINE, POOL);
	OK(vdo_sub_create(f.volume, "a", 2 * MIB, &said));
	a = open_sub(&f, "a");
	put(a, 0, 10, V_UNIQUE(1));
	close_sub(a);
	OK(vdo_sub_create(f.volume, "b", 2 * MIB, &said));
	OK(vdo_sub_rename(f.volume, "b", "c", &said));
	for (unsigned n = 0; n < 2; n++)
		read_copy(&f, n, whole[n]);
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		uint8_t value[8];

		put_u64(value, lies[i].value);
		for (unsigned n = 0; n < 2; n++) {
			memcpy(lie, whole[n], sizeof(lie));
			memcpy(lie + lies[i].at, value, lies[i].bytes);
			if (!lies[i].unsealed)
				seal(lie);
			write_copy(&f, n, lie);
		}
		fixture_reopen(&f, "");
		ck_assert_msg(vdo_sub_open(f.volume, "a", 0, &a, &said) ==
				      lies[i].code,
			      "%s: %s", lies[i].what, said.message);
		FAILS(lies[i].code, vdo_sub_create(f.volume, "d", B, &said));
		has(f.volume, DIRECTORY_BLOCKS, 10, V_UNIQUE(1));
		for (unsigned n = 0; n < 2; n++)
			write_copy(&f, n, whole[n]);
		fixture_reopen(&f, "");
		ck_assert_str_eq(names(&f), "a c ");
	}
	fixture_fini(&f);
}
END_TEST

/* The copy that was being written does not count, whatever is there of it. */
START_TEST(test_torn)
{
	uint8_t whole[4 * B], torn[4 * B];
	struct fixture f;

	begin(&f, KIND_INLINE, POOL);
	OK(vdo_sub_create(f.volume, "a", 2 * MIB, &said));
	OK(vdo_sub_create(f.volume, "b", 2 * MIB, &said));
	read_copy(&f, 0, whole); /* number 2 */
	for (unsigned i = 0; i < 3; i++) {
		memcpy(torn, whole, sizeof(torn));
		memset(torn + (i == 1 ? B : 0), 0, i == 2 ? 4 * B : B);
		write_copy(&f, 0, torn);
		fixture_reopen(&f, "");
		ck_assert_str_eq(names(&f), "a ");
	}
	/* And of the first one of all. */
	read_copy(&f, 1, torn);
	memset(torn + B, 0, B);
	write_copy(&f, 1, torn);
	fixture_reopen(&f, "");
	FAILS(-ENOENT, vdo_sub_list(f.volume, add_name, NULL, &said));
	OK(vdo_sub_create(f.volume, "n", 2 * MIB, &said));
	ck_assert_str_eq(names(&f), "n ");
	fixture_fini(&f);
}
END_TEST

/* ----------------------------------------------------- crashes, and no space */

static struct vdo_volume *try_open(struct fixture *f, const char *name)
{
	struct vdo_volume *sub;

	return vdo_sub_open(f->volume, name, 0, &sub, &said) == 0 ? sub : NULL;
}

static bool try_fill(struct fixture *f, const char *name, value_t value)
{
	struct vdo_volume *a = try_open(f, name);
	int result;

	if (a == NULL)
		return false;
	result = try_put(a, 0, 600, value);
	if (result == 0)
		result = vdo_flush(a, 0);
	close_sub(a);
	return result == 0;
}

#define STEPS 10u

static int tell_story(struct fixture *f, unsigned step)
{
	switch (step) {
	case 0:
		return vdo_sub_create(f->volume, "a", 3 * MIB, &said);
	case 1:
		return try_fill(f, "a", V_UNIQUE(1)) ? 0 : -1;
	case 2:
		return vdo_sub_snapshot(f->volume, "a", "s", &said);
	case 3:
		return try_fill(f, "a", V_UNIQUE(1001)) ? 0 : -1;
	case 4:
		return vdo_sub_clone(f->volume, "s", "c", &said);
	case 5:
		return vdo_sub_resize(f->volume, "c", 5 * MIB, &said);
	case 6:
		return vdo_sub_rename(f->volume, "c", "d", &said);
	case 7:
		return vdo_sub_remove(f->volume, "s", &said);
	case 8:
		return vdo_sub_remove(f->volume, "d", &said);
	case 9:
		return vdo_sub_create(f->volume, "e", 2 * MIB, &said);
	}
	return -1;
}

/* The names after so many steps. */
static const char *const scenes[STEPS + 1] = {
	NULL,  "a ",	  "a ",	  "a s* ", "a s* ", "a c s* ", "a c s* ", "a d s* ",
	"a d ", "a ", "a e ",
};

static bool names_are(const char *got, const char *want)
{
	return got == want ||
	       (got != NULL && want != NULL && strcmp(got, want) == 0);
}

static void check_content(struct fixture *f, const char *name, bool may_first,
			  bool may_second)
{
	struct vdo_volume *a = try_open(f, name);
	uint8_t buf[B];

	if (a == NULL)
		return;
	for (unsigned i = 0; i < 600; i++) {
		ck_assert_int_eq(vdo_pread(a, buf, B, i * B, 0), 0);
		ck_assert((may_first && pattern_is(V_UNIQUE(1) + i, buf)) ||
			  (may_second && pattern_is(V_UNIQUE(1001) + i, buf)) ||
			  (may_first && may_second && pattern_is(V_ZERO, buf)));
	}
	close_sub(a);
}

/* After a crash in step @step everything is as before, or after it. */
static void check_scene(struct fixture *f, unsigned step)
{
	static char all[1000];
	const char *got = all;

	all[0] = '\0';
	if (vdo_sub_list(f->volume, add_name, all, &said) != 0)
		got = NULL;
	if (got != NULL && strchr(got, '-') == NULL)
		ck_assert_msg(names_are(got, scenes[step]) ||
				      names_are(got, scenes[step + 1]),
			      "step %u: %s", step, got);
	if (step > 1)
		check_content(f, "a", step <= 3, step >= 3);
	check_content(f, "s", true, false);
	if (step != 8)
		check_content(f, "c", true, false);
	check_content(f, "d", true, false);
}

/* Power fails at the Nth operation of the device: the rest of the story can be told
 * all the same, and nothing is left in the end. */
START_TEST(test_crashes)
{
	bool over = false;
	uint64_t n;

	for (n = 1; !over; n += 1 + n / 64) {
		struct fixture f;
		unsigned step = 0;

		begin(&f, KIND_INLINE, POOL "slab-bits=9 profile=small");
		sim_device_crash_at(f.sd, n);
		while (step < STEPS && tell_story(&f, step) == 0)
			step++;
		over = !sim_device_crashed(f.sd);
		sim_device_crash_at(f.sd, 0);
		fixture_abandon(&f);
		if (!over)
			vdo_device_close(sim_device_reopen(f.sd, NULL));
		fixture_open(&f, "");
		if (step < STEPS)
			check_scene(&f, step);
		if (step <= 1)
			(void)vdo_sub_create(f.volume, "a", 3 * MIB, &said);
		OK(vdo_sub_create(f.volume, "last", MIB, &said));
		ck_assert_ptr_null(strchr(names(&f), '-'));
		OK(vdo_sub_remove(f.volume, "last", &said));
		for (const char *name = "a\0s\0c\0d\0e\0"; *name != '\0'; name += 2)
			(void)vdo_sub_remove(f.volume, name, &said);
		ck_assert_str_eq(names(&f), "");
		ck_assert_uint_le(used(&f), 4);
		fixture_close(&f);
		fixture_fini(&f);
	}
	ck_assert_uint_gt(n, 100);
}
END_TEST

/* Power fails while a snapshot of what is written to is made: if it is there, it is
 * of one moment; and the source has what was acknowledged. */
START_TEST(test_crashes_of_snapshots)
{
	bool over = false;

	for (uint64_t n = 1; !over; n += 1 + n / 8) {
		struct vdo_volume *a, *s;
		unsigned least[CHAINS];
		struct fixture f;

		begin(&f, _i, POOL "slab-bits=9 profile=small");
		OK(vdo_sub_create(f.volume, "a", 8 * MIB, &said));
		a = open_sub(&f, "a");
		begin_chains(a, 8 * UNIT, true);
		fixture_until(&f, atomic_load(&chains[0].acknowledged) > 20);
		for (unsigned i = 0; i < CHAINS; i++)
			least[i] = atomic_load(&chains[i].acknowledged);
		sim_device_crash_at(f.sd, n);
		(void)vdo_sub_snapshot(f.volume, "a", "s", &said);
		end_chains(&f);
		over = !sim_device_crashed(f.sd);
		sim_device_crash_at(f.sd, 0);
		close_sub(a);
		fixture_abandon(&f);
		if (!over)
			vdo_device_close(sim_device_reopen(f.sd, NULL));
		fixture_open(&f, "");
		a = open_sub(&f, "a");
		s = try_open(&f, "s");
		ck_assert(s != NULL || !over);
		for (unsigned i = 0; i < CHAINS; i++) {
			check_chain(a, &chains[i],
				    atomic_load(&chains[i].acknowledged));
			if (s != NULL)
				check_chain(s, &chains[i], least[i]);
		}
		close_sub(a);
		if (s != NULL)
			close_sub(s);
		fixture_close(&f);
		fixture_fini(&f);
	}
}
END_TEST

/* A full volume: a snapshot is all or nothing, and removing gives space. */
START_TEST(test_full)
{
	struct vdo_volume *a;
	struct fixture f;
	uint64_t n = 0, k = 0;

	begin(&f, _i, POOL);
	OK(vdo_sub_create(f.volume, "a", 24 * MIB, &said));
	OK(vdo_sub_create(f.volume, "b", 4 * MIB, &said));
	a = open_sub(&f, "b");
	put(a, 0, 500, V_UNIQUE(100000));
	close_sub(a);
	a = open_sub(&f, "a");
	while (n < 24 * UNIT && try_put(a, n, 1, V_UNIQUE(n)) == 0)
		n++;
	ck_assert_uint_lt(n, 24 * UNIT);
	ck_assert_int_eq(vdo_flush(a, 0), 0);
	while (k < 20) {
		char name[20];
		int result;

		snprintf(name, sizeof(name), "s%llu", (unsigned long long)k++);
		result = vdo_sub_snapshot(f.volume, "b", name, &said);
		ck_assert_msg(result == 0 || result == -ENOSPC, "%s",
			      vdo_error_name(result));
		if (result != 0) {
			ck_assert_ptr_null(strstr(names(&f), name));
			break;
		}
	}
	has(a, 0, n, V_UNIQUE(0));
	close_sub(a);
	OK(vdo_sub_remove(f.volume, "a", &said));
	a = open_sub(&f, "b");
	has(a, 0, 500, V_UNIQUE(100000));
	put(a, 500, 300, V_UNIQUE(200000));
	close_sub(a);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

/* Memory is short, once: a call fails as a whole, or succeeds. */
START_TEST(test_allocations)
{
	struct fixture f;
	struct vdo_volume *a;

	begin(&f, KIND_INLINE, POOL);
	for (unsigned step = 0; step < STEPS; step++) {
		int result = -1;

		for (unsigned long n = 1; result != 0; n++) {
			alloc_fail_at(n);
			result = tell_story(&f, step);
			alloc_fail_at(0);
			ck_assert_msg(n < 3000, "step %u: %d %s", step, result,
				      said.message);
			if (step < 4 && result != 0)
				ck_assert_int_ne(result, -EEXIST);
		}
		ck_assert_str_eq(names(&f), scenes[step + 1]);
	}
	a = open_sub(&f, "a");
	has(a, 0, 600, V_UNIQUE(1001));
	close_sub(a);
	fixture_close(&f);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("sub");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_life, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_no_pool, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_vectors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_copies, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_copies_between, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_maps, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_resize, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_volume_grows, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_snapshots, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_one_moment, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_opened_while_changed, 0, 2);
	tcase_add_test(tc, test_lies);
	tcase_add_test(tc, test_torn);
	tcase_add_test(tc, test_crashes);
	tcase_add_loop_test(tc, test_crashes_of_snapshots, KIND_INLINE,
			    FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_full, 0, FIXTURE_KINDS);
	tcase_add_test(tc, test_allocations);
	return unit_run();
}
