/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "tests/lib/unit.h"
#include "tests/unit/map_fixture.h"

#define CACHE 16u /* the least that a zone gets */

static lbn_t lbn_of(unsigned leaf)
{
	return (lbn_t)leaf * MAP_PAGE_ENTRIES + 7;
}

static pbn_t pages[400];

/* @count leaves, saved, with a mapping each; nothing in memory. */
static struct fx *fx_prepared(const struct fx_options *o, unsigned count)
{
	struct fx *fx = fx_create(o);

	ck_assert_uint_le(count, ARRAY_SIZE(pages));
	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_eq(fx_make(fx, lbn_of(i), &pages[i]), 0);
		ck_assert_int_eq(fx_write(fx, lbn_of(i), fx_mapping(i)), 0);
	}
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	memset(fx->writes, 0, sizeof(fx->writes));
	fx->reads = 0;
	return fx;
}

static void check_read(struct fx *fx, unsigned leaf, uint64_t want)
{
	struct mapping m;

	ck_assert_int_eq(fx_read(fx, lbn_of(leaf), &m), 0);
	ck_assert(mapping_equal(m, fx_mapping(want)));
}

static struct map_stats stats_of(const struct fx *fx)
{
	struct map_stats s;

	map_get_stats(fx->map, &s);
	return s;
}

static bool hold_writes(struct fx *fx, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_WRITE;
}

static bool hold_flushes(struct fx *fx, enum vdo_device_op op, pbn_t pbn)
{
	return op == VDO_DEVICE_FLUSH;
}

static unsigned held_count(const struct fx *fx)
{
	unsigned n = 0;

	list_for_each(node, &fx->held)
		n++;
	return n;
}

/* Where the first operation goes that is held. */
static pbn_t held_page(const struct fx *fx)
{
	ck_assert(!list_empty(&fx->held));
	return list_entry(fx->held.next, struct fx_io, link)->io->offset /
	       BLOCK_SIZE;
}

static void let_go(struct fx *fx)
{
	fx->hold = NULL;
	(void)fx_release(fx, NULL);
	fx_run(fx);
}

/* ----------------------------------------------------------------- loading */

START_TEST(one_read_for_many)
{
	static struct fx_req reqs[10];
	struct fx_options o = {.seed = 1};
	struct fx *fx = fx_prepared(&o, 1);
	struct map_stats s;

	memset(reqs, 0, sizeof(reqs));
	for (unsigned i = 0; i < 10; i++)
		fx_start(fx, &reqs[i], lbn_of(0));
	fx_run(fx);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert(reqs[i].done && reqs[i].result == 0);
		ck_assert(mapping_equal(reqs[i].value, fx_mapping(0)));
	}
	/* Root, three interior pages, leaf. */
	ck_assert_uint_eq(fx->reads, 5);
	s = stats_of(fx);
	ck_assert_uint_eq(s.fetch_required, 1);
	ck_assert_uint_eq(s.wait_for_page + s.found_in_cache, 9);
	ck_assert_uint_eq(s.read_count, 10);
	ck_assert_uint_eq(s.clean_pages, 1);
	ck_assert_uint_eq(s.free_pages, CACHE - 1);
	ck_assert_uint_eq(s.pages_loaded, 1);
	fx_destroy(fx);
}
END_TEST

static void tamper(struct fx *fx, pbn_t pbn, unsigned offset, uint8_t value)
{
	fx->now[pbn * BLOCK_SIZE + offset] = value;
	fx->durable[pbn * BLOCK_SIZE + offset] = value;
}

static const struct {
	const char *what;
	unsigned offset;
	uint8_t value;
	int result;
	bool read_only;
} images[] = {
	{"major version", 0, 5, -VDO_ECORRUPT, true},
	{"minor version", 4, 2, -VDO_ECORRUPT, true},
	{"impossible flag", 32, 4, -VDO_ECORRUPT, true},
	{"foreign nonce", 8, 1, 0, false},
	{"flag off", 32, 0, 0, false},
	{"other place", 17, 9, -VDO_ECORRUPT, true},
};

START_TEST(unusable_leaf)
{
	struct fx_options o = {.seed = 2};
	struct fx *fx = fx_prepared(&o, 1);
	struct mapping m;

	tamper(fx, pages[0], images[_i].offset, images[_i].value);
	ck_assert_int_eq(fx_read(fx, lbn_of(0), &m), images[_i].result);
	ck_assert(mapping_equal(m, (struct mapping){0, 0}));
	ck_assert_int_eq(readonly_entered(&fx->readonly),
			 images[_i].read_only);
	fx_destroy(fx);
}
END_TEST

static const struct {
	uint8_t bytes[5];
	int result;
} entries[] = {
	{{0, 0, 0, 0, 0}, 0},
	{{1, 0, 0, 0, 0}, 0},
	{{2, 0, 0, 0, 0}, -VDO_EMAPPING},
	{{0, 250, 0, 0, 0}, -VDO_EMAPPING},
	{{1, 250, 0, 0, 0}, 0},
	{{15, 250, 0, 0, 0}, 0},
	{{1, 2, 0, 0, 0}, -VDO_EMAPPING}, /* before the slabs */
	{{1, 0xb0, 0x04, 0, 0}, -VDO_EMAPPING}, /* behind a slab's data */
	{{0x11, 250, 0, 0, 0}, -VDO_EMAPPING}, /* behind all slabs */
};

START_TEST(damaged_entry)
{
	struct fx_options o = {.seed = 3};
	struct fx *fx = fx_prepared(&o, 1);
	struct journal_change changes[3];
	struct fx_req run = {.run = 3, .changes = changes};
	struct mapping m;

	for (unsigned i = 0; i < MAPPING_SIZE; i++)
		tamper(fx, pages[0], MAP_PAGE_HEADER + 7 * MAPPING_SIZE + i,
		       entries[_i].bytes[i]);
	ck_assert_int_eq(fx_read(fx, lbn_of(0), &m), entries[_i].result);
	ck_assert(mapping_equal(m, mapping_decode(entries[_i].bytes)));
	/* A run has the slots as they are. */
	fx_start(fx, &run, lbn_of(0) - 1);
	fx_run(fx);
	ck_assert(run.done && run.result == 0);
	ck_assert_uint_eq(run.op.run.count, 3);
	ck_assert(mapping_equal(changes[1].old,
				mapping_decode(entries[_i].bytes)));
	ck_assert_uint_eq(changes[2].old.state, STATE_UNMAPPED);
	ck_assert(!readonly_entered(&fx->readonly));
	fx_destroy(fx);
}
END_TEST

/* Garbage that looks like a page of this volume, but of another place. */
START_TEST(new_leaf_is_not_read)
{
	struct fx_options o = {.seed = 4};
	struct fx *fx = fx_create(&o);
	pbn_t page;

	for (pbn_t pbn = FX_FIRST_BLOCK; pbn < FX_BLOCKS; pbn++) {
		mapping_page_format(fx_block(fx, pbn), FX_NONCE, 3, true);
		mapping_page_format(fx->durable + pbn * BLOCK_SIZE, FX_NONCE, 3,
				    true);
	}
	for (unsigned i = 0; i < 3 * CACHE; i++) {
		ck_assert_int_eq(fx_make(fx, lbn_of(i), &page), 0);
		if (i % 2)
			ck_assert_int_eq(fx_write(fx, lbn_of(i), fx_mapping(i)),
					 0);
	}
	ck_assert_int_eq(fx_drain(fx, true), 0);
	fx_reopen(fx);
	for (unsigned i = 0; i < 3 * CACHE; i++) {
		struct mapping m;

		ck_assert_int_eq(fx_read(fx, lbn_of(i), &m), 0);
		ck_assert_uint_eq(m.pbn, i % 2 ? fx_mapping(i).pbn : 0);
	}
	ck_assert(!readonly_entered(&fx->readonly));
	fx_destroy(fx);
}
END_TEST

/* ---------------------------------------------------------------- eviction */

START_TEST(clean_pages_go_unwritten)
{
	struct fx_options o = {.seed = 5};
	struct fx *fx = fx_prepared(&o, 60);
	uint64_t reads;

	for (unsigned i = 0; i < CACHE; i++)
		check_read(fx, i, i);
	reads = fx->reads;
	check_read(fx, CACHE, CACHE);
	ck_assert_uint_gt(fx->reads, reads);
	ck_assert_uint_eq(stats_of(fx).clean_pages, CACHE);
	reads = fx->reads;
	for (unsigned i = 1; i <= CACHE; i++)
		check_read(fx, i, i);
	/* All but the victim had stayed. */
	ck_assert_uint_eq(fx->reads, reads);
	for (unsigned i = 0; i < 60; i++)
		ck_assert_uint_eq(fx->writes[pages[i]], 0);
	ck_assert_uint_eq(stats_of(fx).pages_saved, 0);
	fx_destroy(fx);
}
END_TEST

static void dirty_all(struct fx *fx)
{
	for (unsigned i = 0; i < CACHE; i++)
		ck_assert_int_eq(fx_write(fx, lbn_of(i), fx_mapping(100 + i)),
				 0);
	ck_assert_uint_eq(stats_of(fx).dirty_pages, CACHE);
	ck_assert_uint_eq(fx_map_holds(fx), CACHE);
}

START_TEST(dirty_victim_is_written_first)
{
	struct fx_options o = {.seed = 6};
	struct fx *fx = fx_prepared(&o, 20);
	struct fx_req req = {.write = false};

	dirty_all(fx);
	fx->hold = hold_writes;
	fx_start(fx, &req, lbn_of(CACHE));
	fx_run(fx);
	ck_assert(!req.done);
	ck_assert_uint_eq(held_count(fx), 1);
	ck_assert_uint_eq(stats_of(fx).outgoing_pages, 1);
	ck_assert_uint_eq(stats_of(fx).discard_required, 1);
	let_go(fx);
	ck_assert(req.done && req.result == 0);
	ck_assert(mapping_equal(req.value, fx_mapping(CACHE)));
	ck_assert_uint_eq(stats_of(fx).dirty_pages, CACHE - 1);
	ck_assert_uint_eq(fx_map_holds(fx), CACHE - 1);
	fx_destroy(fx);
}
END_TEST

START_TEST(victim_is_reclaimed)
{
	struct fx_options o = {.seed = 7};
	struct fx *fx = fx_prepared(&o, 20);
	struct fx_req req = {.write = false};
	unsigned victim = 0;
	uint64_t reads;

	dirty_all(fx);
	fx->hold = hold_writes;
	fx_start(fx, &req, lbn_of(CACHE));
	fx_run(fx);
	while (pages[victim] != held_page(fx))
		victim++;
	check_read(fx, victim, 100 + victim);
	ck_assert_uint_eq(stats_of(fx).read_outgoing, 1);
	ck_assert(!req.done);
	let_go(fx);
	ck_assert(req.done && req.result == 0);
	ck_assert_uint_eq(stats_of(fx).reclaimed, 1);
	ck_assert_uint_eq(stats_of(fx).pages_saved, 2);
	reads = fx->reads;
	check_read(fx, victim, 100 + victim);
	ck_assert_uint_eq(fx->reads, reads);
	fx_destroy(fx);
}
END_TEST

/* All pages dirty, and none can be written any more. */
START_TEST(waiters_are_sent_away)
{
	static struct fx_req reqs[3];
	struct fx_options o = {.seed = 8};
	struct fx *fx = fx_prepared(&o, 20);

	/* The interior pages shall be in memory. */
	for (unsigned i = CACHE; i < 20; i++)
		check_read(fx, i, i);
	dirty_all(fx);
	memset(reqs, 0, sizeof(reqs));
	fx->hold = hold_flushes;
	for (unsigned i = 0; i < 3; i++)
		fx_start(fx, &reqs[i], lbn_of(CACHE + i));
	fx_run(fx);
	readonly_enter(&fx->readonly, -EIO, "test");
	fx_run(fx);
	ck_assert(!reqs[0].done);
	let_go(fx);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(reqs[i].done);
		ck_assert_int_eq(reqs[i].result, -VDO_EREADONLY);
	}
	for (unsigned i = 0; i < CACHE; i++)
		check_read(fx, i, 100 + i);
	fx_destroy(fx);
}
END_TEST

/* ----------------------------------------------------------------- writing */

/* D3: the flush comes before the write. */
START_TEST(write_waits_for_flush)
{
	struct fx_options o = {.seed = 9};
	struct mio_counts counts;
	struct fx *fx = fx_prepared(&o, 1);

	ck_assert_int_eq(fx_write(fx, lbn_of(0), fx_mapping(5)), 0);
	fx->hold = hold_flushes;
	fx_tail(fx, 9000);
	fx_run(fx);
	ck_assert_uint_eq(held_count(fx), 1);
	storage_counts(&fx->storage, MIO_MAP, &counts);
	ck_assert_uint_eq(counts.write, counts.completed - counts.read);
	ck_assert_uint_eq(fx->writes[pages[0]], 0);
	let_go(fx);
	ck_assert_uint_eq(fx->writes[pages[0]], 1);
	fx_destroy(fx);
}
END_TEST

/* Puts do not wait for a write; a dirty page holds one block (I36). */
START_TEST(put_during_write)
{
	struct fx_options o = {.seed = 10};
	struct fx *fx = fx_prepared(&o, 1);

	ck_assert_int_eq(fx_write(fx, lbn_of(0), fx_mapping(5)), 0);
	fx->hold = hold_writes;
	fx_tail(fx, 9000);
	fx_run(fx);
	ck_assert_uint_eq(held_count(fx), 1);
	for (unsigned i = 0; i < 30; i++)
		ck_assert_int_eq(fx_write(fx, lbn_of(0), fx_mapping(6 + i)),
				 0);
	check_read(fx, 0, 35);
	/* One for the image on its way, one for what came later. */
	ck_assert_uint_eq(fx_map_holds(fx), 2);
	ck_assert_uint_eq(fx_entry_holds(fx), 0);
	/* It is too old again before the write has ended. */
	fx_tail(fx, 15000);
	fx_run(fx);
	ck_assert_uint_eq(held_count(fx), 1);
	let_go(fx);
	ck_assert_uint_eq(fx->writes[pages[0]], 2);
	ck_assert_uint_eq(fx_map_holds(fx), 0);
	ck_assert_uint_eq(stats_of(fx).clean_pages, 1);
	fx_reopen(fx);
	check_read(fx, 0, 35);
	fx_destroy(fx);
}
END_TEST

/* More pages than I/O objects: the others wait. */
START_TEST(many_writes)
{
	struct fx_options o = {.seed = 11, .cache_pages = 400};
	struct fx *fx = fx_prepared(&o, 300);

	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(fx_write(fx, lbn_of(i), fx_mapping(1)), 0);
	fx->hold = hold_writes;
	fx_tail(fx, 9000);
	fx_run(fx);
	ck_assert_uint_eq(held_count(fx), PAGE_IOS_MAX);
	ck_assert_uint_eq(stats_of(fx).outgoing_pages, PAGE_IOS_MAX);
	/* Those that wait take later changes along. */
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(fx_write(fx, lbn_of(i), fx_mapping(2)), 0);
	let_go(fx);
	ck_assert_int_eq(fx_drain(fx, true), 0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert_uint_le(fx->writes[pages[i]], 2);
	ck_assert_uint_eq(stats_of(fx).pages_saved, 300 + PAGE_IOS_MAX);
	fx_reopen(fx);
	for (unsigned i = 0; i < 300; i += 50)
		check_read(fx, i, 2);
	fx_destroy(fx);
}
END_TEST

/* -------------------------------------------------------------------- eras */

static void write_at(struct fx *fx, seq_t seq, unsigned leaf)
{
	fx->journal.tail = seq;
	fx->journal.fill = 0;
	ck_assert_int_eq(fx_write(fx, lbn_of(leaf), fx_mapping(leaf)), 0);
}

START_TEST(exactly_the_expired)
{
	struct fx_options o = {.seed = 12, .cache_pages = 100,
			       .maximum_age = 30};
	struct fx *fx = fx_prepared(&o, 20);

	/* Leaf i is first changed in block 400 + i, some again later. */
	for (unsigned i = 0; i < 20; i++)
		write_at(fx, 400 + i, i);
	for (unsigned i = 0; i < 20; i += 3)
		write_at(fx, 420, i);
	ck_assert_uint_eq(fx_map_holds(fx), 20);
	ck_assert_uint_eq(stats_of(fx).pages_saved, 0);
	/* Block 430: nothing is older than 400. */
	fx_tail(fx, 430);
	fx_run(fx);
	ck_assert_uint_eq(stats_of(fx).pages_saved, 0);
	for (unsigned k = 0; k < 20; k++) {
		fx_tail(fx, 431 + k);
		fx_run(fx);
		for (unsigned i = 0; i < 20; i++)
			ck_assert_uint_eq(fx->writes[pages[i]], i <= k);
		ck_assert_uint_eq(fx_map_holds(fx), 19 - k);
	}
	fx_destroy(fx);
}
END_TEST

/* Leaping tails, an entry before its message, and one that is too old. */
START_TEST(unusual_tails)
{
	struct fx_options o = {.seed = 13, .maximum_age = 30};
	struct fx *fx = fx_prepared(&o, 4);

	write_at(fx, 300, 0);
	fx_tail(fx, 305);
	fx_tail(fx, 299);
	fx_run(fx);
	ck_assert_uint_eq(fx->writes[pages[0]], 0);
	fx_tail(fx, 10000);
	fx_run(fx);
	ck_assert_uint_eq(fx->writes[pages[0]], 1);
	/* The entry is the first that is heard of block 10040. */
	write_at(fx, 10005, 1);
	ck_assert_uint_eq(fx->writes[pages[1]], 0);
	write_at(fx, 10040, 2);
	ck_assert_uint_eq(fx->writes[pages[1]], 1);
	ck_assert_uint_eq(fx->writes[pages[2]], 0);
	/* Too old: written at once. */
	write_at(fx, 10009, 3);
	ck_assert_uint_eq(fx->writes[pages[3]], 1);
	/* An older change moves a page, and its hold. */
	write_at(fx, 10020, 2);
	ck_assert_int_eq(fx->journal.map_holds[10020], 1);
	ck_assert_int_eq(fx->journal.map_holds[10040], 0);
	fx_tail(fx, 10051);
	fx_run(fx);
	ck_assert_uint_eq(fx->writes[pages[2]], 1);
	ck_assert_uint_eq(fx_map_holds(fx), 0);
	fx_destroy(fx);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("leaf cache");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, one_read_for_many);
	tcase_add_loop_test(tc, unusable_leaf, 0, ARRAY_SIZE(images));
	tcase_add_loop_test(tc, damaged_entry, 0, ARRAY_SIZE(entries));
	tcase_add_test(tc, new_leaf_is_not_read);
	tcase_add_test(tc, clean_pages_go_unwritten);
	tcase_add_test(tc, dirty_victim_is_written_first);
	tcase_add_test(tc, victim_is_reclaimed);
	tcase_add_test(tc, waiters_are_sent_away);
	tcase_add_test(tc, write_waits_for_flush);
	tcase_add_test(tc, put_during_write);
	tcase_add_test(tc, many_writes);
	tcase_add_test(tc, exactly_the_expired);
	tcase_add_test(tc, unusual_tails);
	return unit_run();
}
