/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps: each block is told as the block map has it, also what was acknowledged and
 * is not there yet; what is damaged, what callbacks may do.
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "format/mapping.h"
#include "tests/lib/fixture.h"

#define B    BLOCK_SIZE
#define PAGE MAP_PAGE_ENTRIES
#define TREE ((uint64_t)ROOT_COUNT * PAGE) /* from page to page of a tree */

/* --------------------------------------------------------- what was told */

struct told {
	struct vdo_extent *extents;
	unsigned count, room;
	unsigned stop_at; /* end the call at so many; 0: never */
};

static int tell(void *arg, const struct vdo_extent *e)
{
	struct told *t = arg;

	if (t->count == t->room) {
		t->room = 2 * t->room + 16;
		t->extents = realloc(t->extents,
				     t->room * sizeof(*t->extents));
	}
	t->extents[t->count++] = *e;
	return t->count == t->stop_at ? 77 : 0;
}

static bool could_be_one(const struct vdo_extent *a, const struct vdo_extent *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == VDO_MAP_DATA && a->physical != 0)
		return b->physical == a->physical + a->length;
	return a->physical == b->physical;
}

/* Extents follow each other from @offset on, and are as long as can be. Returns
 * where they end. */
static uint64_t in_a_row(const struct told *t, uint64_t offset)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct vdo_extent *e = &t->extents[i];

		ck_assert_uint_eq(e->offset, offset);
		ck_assert_uint_gt(e->length, 0);
		ck_assert(i == 0 || !could_be_one(e - 1, e));
		offset += e->length;
	}
	return offset;
}

static enum vdo_map_kind kind_of(struct mapping m)
{
	if (m.pbn == 0)
		return m.state == 0 ? VDO_MAP_HOLE : VDO_MAP_ZERO;
	return m.state == 1 ? VDO_MAP_DATA : VDO_MAP_COMPRESSED;
}

/* What the storage says of each block, with its journal replayed. */
struct truth {
	struct mapping *mappings;
	uint64_t origin;
};

static struct truth learn(struct fixture *f)
{
	struct truth t = {.mappings = calloc(f->logical_blocks,
					     sizeof(struct mapping))};
	struct image im;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	t.origin = im.geometry.bio_offset;
	for (uint64_t i = 0; i < f->logical_blocks; i++)
		t.mappings[i] = image_lookup(&im, i);
	image_close(&im);
	return t;
}

static bool is_true(const struct truth *t, uint64_t lbn,
		    const struct vdo_extent *e, unsigned flags)
{
	struct mapping m = t->mappings[lbn];
	uint64_t place = (m.pbn - t->origin) * B;

	if (e->kind != kind_of(m))
		return false;
	if ((flags & VDO_MAP_PLACES) == 0 || m.pbn == 0)
		return e->physical == 0;
	if (e->kind == VDO_MAP_COMPRESSED)
		return e->physical == place;
	return e->physical - e->offset == place - lbn * B;
}

/* The map of a range, of a volume on which nothing is under way, is what a
 * recovery would make of it. Returns the number of extents. */
static unsigned check_range(struct fixture *f, const struct truth *truth,
			    uint64_t offset, uint64_t length)
{
	struct told t = {0};
	unsigned n = 0;

	for (unsigned flags = 0; flags <= VDO_MAP_PLACES; flags++) {
		uint64_t lbn = offset / B;

		t.count = 0;
		ck_assert_int_eq(vdo_map_extents(f->volume, offset, length,
						 flags, tell, &t),
				 0);
		ck_assert_uint_eq(in_a_row(&t, offset), offset + length);
		for (unsigned i = 0; i < t.count; i++) {
			const struct vdo_extent *e = &t.extents[i];

			for (; lbn * B < e->offset + e->length; lbn++)
				if (!is_true(truth, lbn, e, flags))
					ck_abort_msg("lbn %llu: %s",
						     (unsigned long long)lbn,
						     vdo_map_kind_name(
							     e->kind));
		}
		n = flags == 0 ? t.count : n;
	}
	free(t.extents);
	return n;
}

static unsigned check_map(struct fixture *f, uint64_t offset, uint64_t length)
{
	struct truth truth = learn(f);
	unsigned n = check_range(f, &truth, offset, length);

	free(truth.mappings);
	return n;
}

/* ------------------------------------------------------------------ shapes */

/* First, middle and last blocks of pages; neighbouring trees; a page apart in
 * the same tree; alone, far from anything. */
static const struct {
	uint64_t lbn, count;
} islands[] = {
	{0, 3},		       {PAGE - 2, 4},	 {3 * PAGE + 400, 300},
	{TREE - 2, 4},	       {TREE + 5, 1},	 {TREE + 4 * PAGE - 1, 2},
	{TREE + 7 * PAGE, 2}, {61430, 10},
};

static const struct {
	uint64_t lbn, count;
} ranges[] = {
	{0, 61440},  {0, 1},		  {2, 2},	  {PAGE - 1, 2},
	{PAGE, TREE}, {TREE - 1, 9000},	  {TREE + 5, 2},  {1, 61438},
	{5, PAGE},    {3 * PAGE + 410, 7}, {61439, 1},	  {20000, 5000},
	{811, 55000}, {TREE, 12 * PAGE},
};

START_TEST(each_block_is_told)
{
	struct fixture f;

	fixture_init(&f, _i, "logical-size=240M");
	fixture_open(&f, "");
	ck_assert_uint_eq(check_map(&f, 0, 61440 * B), 1);
	for (size_t i = 0; i < ARRAY_SIZE(islands); i++)
		fixture_write(&f, islands[i].lbn, islands[i].count,
			      i % 3 == 1 ? V_SQUEEZE(1000 * i + 1, 700)
					 : V_UNIQUE(1000 * i + 1),
			      0);
	fixture_write(&f, 3 * PAGE + 450, 60, V_ZERO, 0);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, 3000 * B, 30000 * B, 0), 0);
	fixture_discard(&f, 3 * PAGE + 600, 50);
	fixture_repeat(&f, 50000, 40, V_UNIQUE(1), 0);
	for (unsigned round = 0; round < 2; round++) {
		struct truth truth;

		fixture_flush(&f);
		truth = learn(&f);
		for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
			(void)check_range(&f, &truth, ranges[i].lbn * B,
					  ranges[i].count * B);
		free(truth.mappings);
		f.no_check = true; /* would take long */
		fixture_reopen(&f, "cache=1M");
	}
	fixture_fini(&f);
}
END_TEST

/* Parts of blocks at both ends. */
START_TEST(extents_end_at_the_range)
{
	struct fixture f;
	struct told t = {0};

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512");
	fixture_write(&f, 10, 3, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t from = 9 * B + 512 * i;

		(void)check_map(&f, from, 5 * B - 1024 * (i % 5));
		(void)check_map(&f, from, 512);
	}
	ck_assert_int_eq(vdo_map_extents(f.volume, 10 * B + 1024, 512,
					 VDO_MAP_PLACES, tell, &t),
			 0);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_uint_eq(t.extents[0].physical % B, 1024);
	free(t.extents);
	fixture_fini(&f);
}
END_TEST

/* The largest volume there is, and little in it. */
START_TEST(largest_volume)
{
	static const uint64_t places[] = {0, 3 * TREE + 5, TREE * PAGE,
					  (UINT64_C(1) << 40) - 1};
	struct vdo_config *c = fixture_config("logical-size=4P slab-bits=9");
	struct vdo_device *d;
	struct vdo_volume *v;
	struct told t = {0};
	uint8_t buf[B];

	ck_assert_int_eq(vdo_device_open_memory(64 << 20, &d), 0);
	ck_assert_int_eq(vdo_format_device(d, c, NULL), 0);
	ck_assert_int_eq(vdo_open_device(d, c, &v, NULL), 0);
	memset(buf, 9, B);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		ck_assert_int_eq(vdo_pwrite(v, buf, B, places[i] * B, 0), 0);
	ck_assert_int_eq(vdo_map_extents(v, 0, vdo_volume_size(v), 0, tell, &t),
			 0);
	ck_assert_uint_eq(in_a_row(&t, 0), UINT64_C(1) << 52);
	ck_assert_uint_eq(t.count, 7);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		ck_assert_uint_eq(t.extents[2 * i].offset, places[i] * B);
	free(t.extents);
	ck_assert_int_eq(vdo_close(v), 0);
	vdo_device_close(d);
	vdo_config_free(c);
}
END_TEST

/* ----------------------------------------------------------------- changes */

struct changes {
	struct vdo_change list[512];
	unsigned count;
	unsigned stop_at; /* end the call at so many; 0: never */
};

static int note_change(void *arg, const struct vdo_change *c)
{
	struct changes *t = arg;

	ck_assert_uint_lt(t->count, ARRAY_SIZE(t->list));
	t->list[t->count++] = *c;
	return t->count == t->stop_at ? 77 : 0;
}

static bool must_differ(struct mapping a, struct mapping b, unsigned flags)
{
	if (a.pbn == 0 && b.pbn == 0)
		return a.state != b.state && flags != 0;
	return a.pbn != b.pbn || a.state != b.state;
}

/* What is told is what is mapped to other places, and nothing else; returns the
 * number of changes. */
static unsigned check_changes(struct fixture *f, uint64_t a, uint64_t b,
			      uint64_t count, unsigned flags)
{
	struct truth truth = learn(f);
	struct changes t = {.count = 0};
	unsigned at = 0;

	ck_assert_int_eq(vdo_map_changes(f->volume, a * B, b * B, count * B,
					 flags, note_change, &t),
			 0);
	for (uint64_t i = 0; i < count; i++) {
		struct mapping ma = truth.mappings[a + i];
		struct mapping mb = truth.mappings[b + i];
		const struct vdo_change *c = &t.list[at];
		bool told = at < t.count && i * B >= c->offset;

		ck_assert_msg(told == must_differ(ma, mb, flags), "block %llu",
			      (unsigned long long)i);
		if (!told) {
			ck_assert(f->expect[a + i] == f->expect[b + i]);
			continue;
		}
		ck_assert_int_eq(c->a, kind_of(ma));
		ck_assert_int_eq(c->b, kind_of(mb));
		at += (i + 1) * B == c->offset + c->length;
	}
	ck_assert_uint_eq(at, t.count);
	for (unsigned i = 1; i < t.count; i++)
		ck_assert(t.list[i - 1].offset + t.list[i - 1].length !=
				  t.list[i].offset ||
			  t.list[i - 1].a != t.list[i].a ||
			  t.list[i - 1].b != t.list[i].b);
	free(truth.mappings);
	return t.count;
}

/* A copy, of which some blocks are changed; its pages are not in step. */
START_TEST(changes_are_told)
{
	struct fixture f;
	unsigned same;

	fixture_init(&f, _i, "logical-size=240M");
	fixture_open(&f, "compression=off");
	f.no_check = true; /* would take long */
	fixture_write(&f, 100, 1000, V_UNIQUE(1), 0);
	fixture_write(&f, 1200, 40, V_ZERO, 0);
	fixture_flush(&f);
	fixture_write(&f, 50100, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	/* A block that was not found to be there is told. */
	same = check_changes(&f, 0, 50000, 2000, 0);
	ck_assert_uint_le(check_changes(&f, 0, 50000, 2000, VDO_MAP_HOLES),
			  same + 1);
	fixture_write(&f, 50300, 3, V_UNIQUE(9000), 0);
	fixture_discard(&f, 50500, 10);
	fixture_write(&f, 50510, 10, V_ZERO, 0);
	fixture_write(&f, 51500, 1, V_UNIQUE(9100), 0);
	fixture_flush(&f);
	ck_assert_uint_ge(check_changes(&f, 0, 50000, 2000, 0), 4);
	ck_assert_uint_ge(check_changes(&f, 0, 50000, 2000, VDO_MAP_HOLES), 5);
	(void)check_changes(&f, 50000, 0, 2000, 0);
	(void)check_changes(&f, 50290, 290, 20, 0);
	ck_assert_uint_eq(check_changes(&f, 0, 0, 2000, VDO_MAP_HOLES), 0);
	ck_assert_uint_eq(check_changes(&f, 20000, 30000, 9000, 0), 0);
	ck_assert_uint_ge(check_changes(&f, 99, 100, 100, 0), 1);
	fixture_fini(&f);
}
END_TEST

/* What was acknowledged is seen, although it waits in the packer. */
START_TEST(changes_after_acknowledged)
{
	struct changes t = {.count = 0};
	struct pending p;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 0, 20, V_ZERO, 0);
	fixture_flush(&f);
	pending_write(&p, &f, 1003, V_SQUEEZE(1, 1500), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, 1000 * B, 20 * B, 0,
					 note_change, &t),
			 0);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_uint_eq(t.list[0].offset, 3 * B);
	ck_assert_uint_eq(t.list[0].length, B);
	ck_assert_int_eq(t.list[0].a, VDO_MAP_ZERO);
	fixture_fini(&f);
}
END_TEST

START_TEST(changes_stop_and_refuse)
{
	struct changes t = {.count = 0};
	struct fixture f;
	uint64_t size;

	fixture_init(&f, _i, "");
	fixture_open(&f, "alignment=512");
	size = vdo_volume_size(f.volume);
	for (unsigned i = 0; i < 5; i++)
		fixture_write(&f, 100 * i, 2, V_UNIQUE(10 * i + 1), 0);
	fixture_flush(&f);
	ck_assert_uint_eq(check_changes(&f, 0, 1000, 1000, 0), 5);
	for (unsigned i = 1; i <= 5; i++) {
		t.count = 0;
		t.stop_at = i;
		ck_assert_int_eq(vdo_map_changes(f.volume, 0, 1000 * B,
						 1000 * B, 0, note_change, &t),
				 77);
		ck_assert_uint_eq(t.count, i);
	}
	t.count = 0;
	ck_assert_int_eq(vdo_map_changes(f.volume, 512, B, B, 0, note_change,
					 &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, 512, B, 0, note_change,
					 &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, B, 512, 0, note_change,
					 &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, B, B, VDO_MAP_PLACES,
					 note_change, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, B, B, 0, NULL, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_changes(f.volume, size, 0, B, 0, note_change,
					 &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, B, size, 0, note_change,
					 &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_changes(f.volume, 0, size, 0, 0, note_change,
					 &t),
			 0);
	ck_assert_uint_eq(t.count, 0);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------- what is not there yet */

/* A block that was acknowledged waits in the packer for company, and no page
 * knows of it. */
START_TEST(acknowledged_and_parked)
{
	struct pending p[3];
	struct fixture f;
	struct told t = {0};

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write(&f, 100, 1, V_UNIQUE(1), 0);
	fixture_flush(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
		pending_write(&p[i], &f, 5 + 900 * i, V_SQUEEZE(i + 1, 1500),
			      0);
		ck_assert_int_eq(pending_wait(&p[i]), 0);
		t.count = 0;
		ck_assert_int_eq(vdo_map_extents(f.volume, (5 + 900 * i) * B,
						 B, 0, tell, &t),
				 0);
		ck_assert_uint_eq(t.count, 1);
		ck_assert_int_ne(t.extents[0].kind, VDO_MAP_HOLE);
	}
	(void)check_map(&f, 0, 2048 * B);
	free(t.extents);
	fixture_fini(&f);
}
END_TEST

struct mapper {
	pthread_t thread;
	struct vdo_volume *volume;
	struct told told;
	int result;
};

static void *map_it(void *arg)
{
	struct mapper *m = arg;

	m->result = vdo_map_extents(m->volume, 0, 2000 * B, 0, tell, &m->told);
	return NULL;
}

static bool is_write(void *arg, const struct vdo_device_io *io)
{
	return io->op == VDO_DEVICE_WRITE;
}

/* Writes, zeroes and discards that were acknowledged wait for the storage. The map
 * waits for them; with threads of the volume's own, so that two can wait. */
START_TEST(acknowledged_and_not_stored)
{
	enum { COUNT = 40 };
	struct pending p[COUNT];
	struct mapper m = {0};
	struct fixture f;
	uint64_t end;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1, V_UNIQUE(1), 0);
	fixture_write(&f, 900, 100, V_UNIQUE(100), 0);
	fixture_flush(&f);
	sim_device_hold(f.sd, is_write, NULL);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i % 4 == 3) {
			pending_init(&p[i], &f);
			ck_assert_int_eq(
				vdo_aio_discard(f.volume, 3 * B,
						(900 + i) * B, pending_done,
						&p[i], 0),
				0);
			memset(f.expect + 900 + i, 0, 3 * sizeof(value_t));
		} else {
			pending_write(&p[i], &f, 20 + 20 * i,
				      i % 4 == 2 ? V_ZERO : V_UNIQUE(1000 + i),
				      0);
		}
	}
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_int_eq(pending_wait(&p[i]), 0);
	m.volume = f.volume;
	ck_assert_int_eq(pthread_create(&m.thread, NULL, map_it, &m), 0);
	for (unsigned i = 0; i < 2000; i++)
		fixture_poll(&f);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	pthread_join(m.thread, NULL);
	ck_assert_int_eq(m.result, 0);
	ck_assert_uint_eq(in_a_row(&m.told, 0), 2000 * B);
	end = 0;
	for (unsigned i = 0; i < m.told.count; i++) {
		const struct vdo_extent *e = &m.told.extents[i];

		for (; end < (e->offset + e->length) / B; end++)
			ck_assert_msg((e->kind == VDO_MAP_DATA) ==
					      (f.expect[end] != V_ZERO),
				      "lbn %llu", (unsigned long long)end);
	}
	ck_assert_uint_eq(end, 2000);
	(void)check_map(&f, 0, 2000 * B);
	free(m.told.extents);
	fixture_fini(&f);
}
END_TEST

/* Threads write to parts of their own, discard them, and find there what they
 * did, and between them what is always there. */
struct worker {
	pthread_t thread;
	struct vdo_volume *volume;
	unsigned number;
};

#define WORKERS 3u
#define ROUNDS	40u

static int look_kind(void *arg, const struct vdo_extent *e)
{
	enum vdo_map_kind *kind = arg;

	*kind = e->kind;
	return 1;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t at = (500 * (w->number + 1)) * B;
	uint8_t *buf = malloc(32 * B);
	enum vdo_map_kind kind;

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t place = at + round % 20 * 7 * B;

		for (unsigned i = 0; i < 32 * B; i += 8)
			put_u64(buf + i, (uint64_t)(round * WORKERS + i) *
						 UINT64_C(0x9e3779b97f4a7c15) +
						 w->number);
		ck_assert_int_eq(vdo_pwrite(w->volume, buf, 32 * B, place, 0),
				 0);
		ck_assert_int_eq(vdo_map_extents(w->volume, place, 32 * B, 0,
						 look_kind, &kind),
				 1);
		ck_assert_int_ge(kind, VDO_MAP_DATA);
		ck_assert_int_eq(vdo_discard(w->volume, 32 * B, place, 0), 0);
		ck_assert_int_eq(vdo_map_extents(w->volume, place, 32 * B, 0,
						 look_kind, &kind),
				 1);
		ck_assert_int_eq(kind, VDO_MAP_HOLE);
		ck_assert_int_eq(vdo_map_extents(w->volume, 0, 2048 * B, 0,
						 look_kind, &kind),
				 1);
		ck_assert_int_eq(kind, VDO_MAP_DATA);
	}
	free(buf);
	return NULL;
}

START_TEST(threads)
{
	struct worker w[WORKERS];
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i].volume = f.volume;
		w[i].number = i;
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work,
						&w[i]),
				 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(w[i].thread, NULL);
	(void)check_map(&f, 0, 2048 * B);
	fixture_fini(&f);
}
END_TEST

/* --------------------------------------------------------------- callbacks */

static void map_in_callback(void *arg, int result)
{
	struct pending *p = arg;
	struct told t = {0};

	ck_assert_int_eq(vdo_map_extents(p->f->volume, 0, B, 0, tell, &t),
			 -EDEADLK);
	pending_done(arg, result);
}

START_TEST(bad_input)
{
	struct told t = {0};
	struct pending p;
	struct fixture f;
	uint64_t size;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	size = vdo_volume_size(f.volume);
	ck_assert_int_eq(vdo_map_extents(NULL, 0, B, 0, tell, &t), -EINVAL);
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, B, 0, NULL, &t), -EINVAL);
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, B, 1u << 31, tell, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_extents(f.volume, 512, B, 0, tell, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, 512, 0, tell, &t),
			 -EINVAL);
	ck_assert_int_eq(vdo_map_extents(f.volume, size, B, 0, tell, &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_extents(f.volume, B, size, 0, tell, &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_extents(f.volume, size + B, 0, 0, tell, &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_extents(f.volume, B, -(uint64_t)B, 0, tell,
					 &t),
			 -ERANGE);
	ck_assert_int_eq(vdo_map_extents(f.volume, size, 0, 0, tell, &t), 0);
	ck_assert_int_eq(vdo_map_extents(f.volume, B, 0, 0, tell, &t), 0);
	ck_assert_uint_eq(t.count, 0);
	pending_init(&p, &f);
	ck_assert_int_eq(vdo_aio_flush(f.volume, map_in_callback, &p, 0), 0);
	ck_assert_int_eq(pending_wait(&p), 0);
	fixture_fini(&f);
}
END_TEST

/* The callback ends it, at each extent. */
START_TEST(callback_stops)
{
	struct told t = {0};
	struct fixture f;
	unsigned n;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 5, 1, V_UNIQUE(1), 0);
	fixture_write(&f, 900, 5, V_UNIQUE(10), 0);
	fixture_write(&f, 1700, 5, V_UNIQUE(20), 0);
	fixture_flush(&f);
	n = check_map(&f, 0, 2048 * B);
	ck_assert_uint_eq(n, 7);
	for (unsigned i = 1; i <= n; i++) {
		t.count = 0;
		t.stop_at = i;
		ck_assert_int_eq(vdo_map_extents(f.volume, 0, 2048 * B, 0,
						 tell, &t),
				 77);
		ck_assert_uint_eq(t.count, i);
	}
	free(t.extents);
	fixture_fini(&f);
}
END_TEST

/* The callback reads, writes and maps what it is told of. */
static int copy_away(void *arg, const struct vdo_extent *e)
{
	struct fixture *f = arg;
	struct told t = {0};
	uint8_t buf[B];

	if (e->kind != VDO_MAP_DATA)
		return 0;
	ck_assert_int_eq(vdo_pread(f->volume, buf, B, e->offset, 0), 0);
	ck_assert(pattern_is(f->expect[e->offset / B], buf));
	ck_assert_int_eq(vdo_pwrite(f->volume, buf, B, 2000 * B, 0), 0);
	f->expect[2000] = f->expect[e->offset / B];
	ck_assert_int_eq(vdo_map_extents(f->volume, 2000 * B, B, 0, tell, &t),
			 0);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_int_eq(t.extents[0].kind, VDO_MAP_DATA);
	free(t.extents);
	return 0;
}

START_TEST(callback_works)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	for (unsigned i = 0; i < 30; i++)
		fixture_write(&f, 60 * i, 2, V_UNIQUE(10 * i + 1), 0);
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, 1900 * B, 0, copy_away,
					 &f),
			 0);
	fixture_verify_all(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(no_memory)
{
	struct told t = {0};
	struct fixture f;

	fixture_init(&f, KIND_NATIVE, "");
	fixture_open(&f, "");
	alloc_fail_at(1);
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, B, 0, tell, &t), -ENOMEM);
	for (unsigned n = 1; n <= 2; n++) {
		alloc_fail_at(n);
		ck_assert_int_eq(vdo_map_changes(f.volume, 0, B, B, 0,
						 note_change, NULL),
				 -ENOMEM);
	}
	alloc_fail_at(0);
	ck_assert_uint_eq(t.count, 0);
	fixture_fini(&f);
}
END_TEST

/* ------------------------------------------------------- read-only, damage */

/* What only the journal has is seen, in each state that can be opened. */
START_TEST(opened_read_only)
{
	static const enum volume_state states[] = {
		VOLUME_DIRTY,	      VOLUME_REPLAYING,
		VOLUME_READ_ONLY,     VOLUME_FORCE_REBUILD,
		VOLUME_REBUILD_FOR_UPGRADE,
	};
	struct truth truth;
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "");
	fixture_write_much(&f);
	fixture_lose_power(&f);
	truth = learn(&f); /* of a DIRTY volume */
	f.no_check = true;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		fixture_set_state(&f, states[i]);
		fixture_open(&f, "read-only=on");
		ck_assert_uint_gt(check_range(&f, &truth, 0, 2048 * B), 4);
		ck_assert_int_eq(fixture_try_close(&f), 0);
	}
	free(truth.mappings);
	fixture_fini(&f);
}
END_TEST

static pbn_t page_of(struct fixture *f, uint64_t lbn, unsigned level)
{
	struct image im;
	pbn_t pbn;

	image_open_sim(&im, f->sd, f->block_count);
	image_recover(&im);
	pbn = image_page_of(&im, lbn, level);
	image_close(&im);
	ck_assert_uint_ne(pbn, 0);
	return pbn;
}

/* The map ends with @error, which is what a read of @lbn gets, and has told all up
 * to @end. */
static void ends_with(struct fixture *f, int error, uint64_t lbn, uint64_t end)
{
	struct told t = {0};
	uint8_t buf[B];

	ck_assert_int_eq(vdo_map_extents(f->volume, 0, 2048 * B, 0, tell, &t),
			 error);
	ck_assert_uint_eq(in_a_row(&t, 0), end * B);
	ck_assert_int_eq(vdo_pread(f->volume, buf, B, lbn * B, 0), error);
	ck_assert_int_eq(vdo_map_extents(f->volume, 0, B, 0, tell, &t), 0);
	free(t.extents);
}

static void begin_damage(struct fixture *f, int kind)
{
	fixture_init(f, kind, "");
	fixture_open(f, "compression=off");
	fixture_write(f, 0, 2000, V_UNIQUE(1), 0);
	fixture_close(f);
	f->no_check = true;
}

START_TEST(damaged_entry)
{
	struct changes c = {.count = 0};
	uint8_t page[B];
	struct fixture f;
	pbn_t leaf;

	begin_damage(&f, _i);
	leaf = page_of(&f, PAGE, 0);
	sim_device_peek(f.sd, leaf, page);
	mapping_page_put(page, 30, (struct mapping){2, STATE_UNCOMPRESSED});
	sim_device_poke(f.sd, leaf, page);
	fixture_open(&f, "");
	ends_with(&f, -VDO_EMAPPING, PAGE + 30, PAGE + 30);
	for (unsigned i = 0; i < 2; i++) {
		c.count = 0;
		ck_assert_int_eq(vdo_map_changes(f.volume, i * PAGE * B,
						 (1 - i) * PAGE * B, PAGE * B,
						 0, note_change, &c),
				 -VDO_EMAPPING);
		ck_assert_uint_eq(c.count, 1);
		ck_assert_uint_eq(c.list[0].length, 30 * B);
	}
	ck_assert(!vdo_volume_is_read_only(f.volume));
	fixture_discard(&f, PAGE + 30, 1);
	fixture_flush(&f);
	ck_assert_uint_eq(check_map(&f, 0, 2048 * B), 4);
	fixture_fini(&f);
}
END_TEST

START_TEST(damaged_page)
{
	uint8_t page[B];
	struct fixture f;
	pbn_t leaf;

	begin_damage(&f, _i);
	leaf = page_of(&f, PAGE, 0);
	sim_device_peek(f.sd, leaf, page);
	put_u64(page + 16, leaf + 1); /* of another place */
	sim_device_poke(f.sd, leaf, page);
	fixture_open(&f, "");
	ends_with(&f, -VDO_ECORRUPT, PAGE, PAGE);
	ck_assert(vdo_volume_is_read_only(f.volume));
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

START_TEST(unreadable_page)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_READ),
				  .block_count = 1};
	struct fixture f;

	begin_damage(&f, _i);
	fault.first_block = page_of(&f, PAGE, 0);
	sim_device_fault(f.sd, &fault);
	fixture_open(&f, "");
	ends_with(&f, -EIO, PAGE, PAGE);
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

/* An entry of an interior page: what it leads to, and what comes after it in that
 * tree, is not known. */
START_TEST(damaged_interior_entry)
{
	uint8_t page[B];
	struct fixture f;
	pbn_t interior;

	begin_damage(&f, _i);
	interior = page_of(&f, PAGE, 1);
	sim_device_peek(f.sd, interior, page);
	mapping_page_put(page, 0, (struct mapping){2, STATE_UNCOMPRESSED});
	sim_device_poke(f.sd, interior, page);
	fixture_open(&f, "");
	ends_with(&f, -VDO_EMAPPING, PAGE, PAGE);
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

/* The volume went read-only while it was written to: what can be read is told. */
START_TEST(read_only_meanwhile)
{
	struct sim_fault fault = {.ops = SIM_OP(VDO_DEVICE_WRITE)};
	struct told t = {0};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	fixture_flush(&f);
	sim_device_fault(f.sd, &fault);
	(void)fixture_try_write(&f, 1500, V_UNIQUE(5000), 0);
	ck_assert_int_lt(vdo_flush(f.volume, 0), 0);
	ck_assert(vdo_volume_is_read_only(f.volume));
	ck_assert_int_eq(vdo_map_extents(f.volume, 0, 2048 * B, 0, tell, &t),
			 0);
	ck_assert_uint_eq(in_a_row(&t, 0), 2048 * B);
	ck_assert_int_eq(t.extents[0].kind, VDO_MAP_DATA);
	ck_assert_uint_eq(t.extents[0].length, 1000 * B);
	free(t.extents);
	f.no_check = true;
	(void)fixture_try_close(&f);
	fixture_fini(&f);
}
END_TEST

/* -------------------------------------------------------------- references */

static unsigned references[2048];

static int note_references(void *arg, const struct vdo_extent *e)
{
	for (uint64_t i = 0; i < e->length / B; i++)
		references[e->offset / B + i] = e->references;
	ck_assert((e->kind == VDO_MAP_DATA || e->kind == VDO_MAP_COMPRESSED) ||
		  e->references == 0);
	return 0;
}

static void look_at_references(struct fixture *f)
{
	memset(references, 0xff, sizeof(references));
	ck_assert_int_eq(vdo_map_extents(f->volume, 0, f->logical_blocks * B,
					 VDO_MAP_REFERENCES, note_references,
					 NULL),
			 0);
}

static void check_references(struct fixture *f)
{
	look_at_references(f);
	for (unsigned i = 0; i < 2048; i++) {
		unsigned want = i < 500	   ? 1
				: i < 900  ? 2
				: i < 1000 ? 1
				: i < 1300 ? 0
				: i < 1554 ? 254
				: i < 1600 ? 0
				: i < 2000 ? 2
					   : 0;

		ck_assert_msg(references[i] == want, "block %u: %u", i,
			      references[i]);
	}
}

static void copy(struct fixture *f, uint64_t dst, uint64_t src, uint64_t count)
{
	ck_assert_int_eq(vdo_copy_range(f->volume, dst * B, src * B, count * B,
					0),
			 0);
	memmove(f->expect + dst, f->expect + src, count * sizeof(value_t));
}

/* As written; with few counts in memory; before slabs are scrubbed. Of a volume that
 * is read-only nothing is known. */
START_TEST(references_are_told)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=off");
	fixture_write(&f, 0, 1000, V_UNIQUE(1), 0);
	copy(&f, 1600, 500, 400);
	ck_assert_int_eq(vdo_write_zeroes(f.volume, 50 * B, 1000 * B, 0), 0);
	fixture_write(&f, 1300, 1, V_UNIQUE(5000), 0);
	for (unsigned i = 1; i < 254; i++)
		copy(&f, 1300 + i, 1300, 1);
	check_references(&f);
	fixture_reopen(&f, "counts-memory=64K");
	check_references(&f);
	fixture_flush(&f);
	fixture_abandon(&f);
	fixture_open(&f, "counts-memory=64K");
	check_references(&f);
	fixture_reopen(&f, "read-only=on");
	look_at_references(&f);
	for (unsigned i = 0; i < 2048; i++)
		ck_assert_uint_eq(references[i], 0);
	fixture_fini(&f);
}
END_TEST

/* Of parts of compressed blocks: those of all parts together. */
START_TEST(references_of_parts)
{
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "compression=on");
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(fixture_try_write(
					 &f, i, V_SQUEEZE(10 * i + 1, 500), 0),
				 0);
	fixture_flush(&f);
	copy(&f, 1000, 0, 100);
	look_at_references(&f);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_ge(references[i], 2);
		ck_assert_uint_eq(references[i], references[1000 + i]);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(names)
{
	static const char *const want[] = {"hole", "zero", "data",
					   "compressed", "unknown"};

	for (unsigned i = 0; i < ARRAY_SIZE(want); i++)
		ck_assert_str_eq(vdo_map_kind_name((enum vdo_map_kind)i),
				 want[i]);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("map");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, each_block_is_told, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, extents_end_at_the_range, 0, FIXTURE_KINDS);
	tcase_add_test(tc, largest_volume);
	tcase_add_loop_test(tc, changes_are_told, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, changes_after_acknowledged, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, changes_stop_and_refuse, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, acknowledged_and_parked, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, acknowledged_and_not_stored, KIND_NATIVE,
			    KIND_INLINE);
	tcase_add_loop_test(tc, threads, KIND_NATIVE, KIND_INLINE);
	tcase_add_loop_test(tc, bad_input, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, callback_stops, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, callback_works, 0, FIXTURE_KINDS);
	tcase_add_test(tc, no_memory);
	tcase_add_loop_test(tc, opened_read_only, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, damaged_entry, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, damaged_page, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, unreadable_page, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, damaged_interior_entry, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, read_only_meanwhile, 0, FIXTURE_KINDS);
	tcase_add_test(tc, names);
	tcase_add_loop_test(tc, references_are_told, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, references_of_parts, 0, FIXTURE_KINDS);
	return unit_run();
}
