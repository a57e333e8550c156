/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delta lists: the worked examples of X 13.6, the golden vectors, random
 * operations against a sorted array, and lists that are damaged.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vdo/error.h>

#include "base/compiler.h"
#include "index_format/delta_list.h"
#include "tests/lib/golden_files.h"
#include "tests/unit/golden.h"

static const struct {
	uint32_t mean, min_bits, min_keys, incr_keys;
} codings[] = {
	{8, 3, 2, 6},		   {100, 7, 59, 69},
	{1000, 10, 331, 693},	   {2114, 11, 583, 1465},
	{2730, 11, 156, 1892},	   {4080, 12, 1268, 2828},
	{4096, 12, 1257, 2839},	   {6241, 13, 3866, 4326},
	{65536, 16, 20110, 45426}, {2016, 11, 651, 1397},
	{4000, 12, 1323, 2773},	   {16, 4, 5, 11},
};

START_TEST(constants)
{
	struct delta_coding c;

	delta_coding_init(&c, codings[_i].mean, 10);
	ck_assert_uint_eq(c.min_bits, codings[_i].min_bits);
	ck_assert_uint_eq(c.min_keys, codings[_i].min_keys);
	ck_assert_uint_eq(c.incr_keys, codings[_i].incr_keys);
}
END_TEST

static const struct {
	uint32_t delta, low, zeros, bits;
} codes[] = {
	{0, 0, 0, 12},	     {1267, 1267, 0, 12}, {1268, 1268, 0, 13},
	{4095, 4095, 0, 13}, {4096, 1268, 1, 14}, {6923, 4095, 1, 14},
	{6924, 1268, 2, 15}, {1000000, 1716, 353, 366},
};

START_TEST(code_of_a_delta)
{
	struct delta_coding c;
	struct delta_entry e = {0};
	uint8_t mem[128];

	delta_coding_init(&c, 4080, 10);
	ck_assert_uint_eq(delta_entry_bits(&c, codes[_i].delta),
			  10 + codes[_i].bits);
	for (unsigned at = 0; at < 16; at++) {
		memset(mem, 0xff, sizeof(mem));
		ck_assert_uint_eq(delta_encode(mem, at, &c, 0x155,
					       codes[_i].delta, NULL),
				  10 + codes[_i].bits);
		ck_assert_uint_eq(bits_get(mem, at + 10, 12), codes[_i].low);
		ck_assert_int_eq(delta_decode(mem, at, 10 + codes[_i].bits, &c,
					      0, &e), 0);
		ck_assert_uint_eq(e.value, 0x155);
		ck_assert_uint_eq(e.delta, codes[_i].delta);
		ck_assert_uint_eq(e.bits, 10 + codes[_i].bits);
		/* One bit less, and it overruns. */
		ck_assert_int_eq(delta_decode(mem, at, 9 + codes[_i].bits, &c,
					      0, &e), -VDO_ECORRUPT);
	}
}
END_TEST

/* One step of a golden sequence. */
struct step {
	bool put;
	uint32_t key, value;
	const char *name;
	bool collision;
	uint32_t size;
	const char *bits;
};

static const struct step by_hand[] = {
	{true, 100, 5, "00000000000000000000000000000001", false, 22,
	 "059001"},
	{true, 1500, 1023, "00000000000000000000000000000002", false, 45,
	 "0590c1ff7815"},
	{true, 2767, 1, "00000000000000000000000000000003", false, 67,
	 "0590c1ff7835807902"},
	{true, 50, 341, "00000000000000000000000000000004", false, 89,
	 "55c9400132f03f5e0d609e00"},
	{true, 1500, 7, "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", true, 239,
	 "55c9400132f03f5e3d000040434547494b4d4f51535557595b5d5f039827"},
};

static void run_step(struct delta_lists *d, uint32_t list,
		     const struct step *s)
{
	struct hash128 name;
	struct delta_entry e;
	uint8_t want[8192] = {0};
	size_t n;

	golden(name.bytes, s->name);
	ck_assert_int_eq(delta_list_search(d, list, s->key, &name, &e), 0);
	if (s->put) {
		ck_assert_int_eq(delta_found(&e, s->key), s->collision);
		ck_assert_int_eq(delta_list_insert(d, list, &e, s->key,
						   s->value, &name), 0);
	} else {
		ck_assert(delta_found(&e, s->key));
		ck_assert_int_eq(delta_list_remove(d, list, &e), 0);
	}
	ck_assert_uint_eq(delta_list_bits(d, list), s->size);
	n = golden(want, s->bits);
	ck_assert_uint_eq(n, (s->size + 7) / 8);
	for (uint32_t i = 0; i < s->size; i++)
		ck_assert_uint_eq(bits_get(delta_list_data(d, list), i, 1),
				  want[i / 8] >> (i % 8) & 1);
}

START_TEST(lists_by_hand)
{
	struct delta_coding c;
	struct delta_lists d;

	delta_coding_init(&c, 4080, 10);
	ck_assert_int_eq(delta_lists_init(&d, &c, 3, 1024), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(by_hand); i++)
		run_step(&d, 1, &by_hand[i]);
	ck_assert_uint_eq(d.record_count, 5);
	ck_assert_uint_eq(d.collision_count, 1);
	ck_assert_uint_eq(d.bits_used, 239);
	delta_lists_fini(&d);
}
END_TEST

static long field(const char *line, const char *name)
{
	char key[32];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\": ", name);
	p = strstr(line, key);
	ck_assert_ptr_nonnull(p);
	return strtol(p + strlen(key), NULL, 10);
}

static void text(const char *line, const char *name, char *to, size_t size)
{
	char key[32];
	const char *p;
	size_t n;

	snprintf(key, sizeof(key), "\"%s\": \"", name);
	p = strstr(line, key);
	ck_assert_ptr_nonnull(p);
	p += strlen(key);
	n = strcspn(p, "\"");
	ck_assert_uint_lt(n, size);
	memcpy(to, p, n);
	to[n] = '\0';
}

START_TEST(golden_vectors)
{
	char path[1024], name[64];
	static char line[1 << 16], bits[1 << 16], op[16];
	struct delta_lists d = {0};
	unsigned steps = 0;
	FILE *f;

	golden_path("index/delta-vectors.json", path);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct delta_coding c;
		struct step s;

		if (strstr(line, "\"payload_bits\"") != NULL) {
			delta_lists_fini(&d);
			delta_coding_init(&c,
					  (uint32_t)field(line, "mean_delta"),
					  (unsigned)field(line,
							  "payload_bits"));
			ck_assert_int_eq(delta_lists_init(&d, &c, 2, 4096), 0);
		}
		if (strstr(line, "{\"op\":") == NULL)
			continue;
		text(line, "op", op, sizeof(op));
		text(line, "name", name, sizeof(name));
		text(line, "bits", bits, sizeof(bits));
		s = (struct step){
			.put = strcmp(op, "put") == 0,
			.key = (uint32_t)field(line, "key"),
			.value = (uint32_t)field(line, "value"),
			.name = name,
			.size = (uint32_t)field(line, "size_bits"),
			.bits = bits,
			.collision =
				strstr(line, "\"collision\": true") != NULL,
		};
		run_step(&d, 0, &s);
		steps++;
	}
	ck_assert_uint_ge(steps, 20);
	delta_lists_fini(&d);
	fclose(f);
}
END_TEST

/* Many lists in little memory against plain arrays. */
#define LISTS	    16
#define RECORDS_MAX 1600

struct record {
	uint32_t list, key, value;
	struct hash128 name;
};

static struct record model[RECORDS_MAX];
static unsigned model_count;
static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % n);
}

static void model_add(struct delta_lists *d)
{
	struct record *m = &model[model_count];
	struct delta_entry e;
	int r;

	m->list = random_below(4) == 0 ? 3 : random_below(LISTS);
	m->key = random_below(2000) * (1 + random_below(500));
	m->value = random_below(1024);
	for (unsigned i = 0; i < 16; i++)
		m->name.bytes[i] = (uint8_t)random_below(256);
	ck_assert_int_eq(delta_list_search(d, m->list, m->key, &m->name, &e),
			 0);
	ck_assert(!e.collision || !delta_found(&e, m->key));
	/* Which of those with one key is the ordinary one is of no interest. */
	if (delta_found(&e, m->key))
		return;
	r = delta_list_insert(d, m->list, &e, m->key, m->value, &m->name);
	if (r == 0)
		model_count++;
	else
		ck_assert_int_eq(r, -ENOSPC);
}

static void model_check(struct delta_lists *d)
{
	uint64_t bits = 0;

	ck_assert_uint_eq(d->record_count, model_count);
	for (unsigned i = 0; i < model_count; i++) {
		struct delta_entry e;

		ck_assert_int_eq(delta_list_search(d, model[i].list,
						   model[i].key,
						   &model[i].name, &e), 0);
		ck_assert(delta_found(&e, model[i].key));
		ck_assert_uint_eq(e.value, model[i].value);
	}
	for (uint32_t i = 0; i < LISTS; i++)
		bits += delta_list_bits(d, i);
	ck_assert_uint_eq(bits, d->bits_used);
}

START_TEST(random_operations)
{
	struct delta_coding c;
	struct delta_lists d;

	seed = (uint64_t)_i + 1;
	model_count = 0;
	delta_coding_init(&c, 4080, 10);
	ck_assert_int_eq(delta_lists_init(&d, &c, LISTS, 4200), 0);
	for (unsigned n = 0; n < 6000; n++) {
		bool add = random_below(n < 3000 ? 4 : 2) != 0;

		if (add && model_count < RECORDS_MAX) {
			model_add(&d);
		} else if (model_count > 0) {
			struct record *m = &model[random_below(model_count)];
			struct delta_entry e;

			ck_assert_int_eq(delta_list_search(&d, m->list, m->key,
							   &m->name, &e), 0);
			ck_assert_int_eq(delta_list_remove(&d, m->list, &e),
					 0);
			*m = model[--model_count];
		}
		if (n % 64 == 0) {
			model_check(&d);
			ck_assert(delta_lists_sane(&d));
		}
	}
	ck_assert_uint_gt(model_count, 100);
	model_check(&d);
	delta_lists_fini(&d);
}
END_TEST

START_TEST(bits_that_move)
{
	uint8_t a[80], b[80];

	seed = 7;
	for (unsigned n = unit_share(20000); n > 0; n--) {
		unsigned bits = random_below(300);
		unsigned from = random_below(200), to = random_below(200);
		bool same = true;

		for (unsigned i = 0; i < sizeof(a); i++)
			a[i] = b[i] = (uint8_t)random_below(256);
		if (n % 2 == 0)
			bits_copy(a, to, a, from, bits);
		else
			bits_move(a, to, from, bits);
		for (unsigned i = 0; i < 500; i++) {
			unsigned at = i;

			if (i >= to && i < to + bits)
				at = i - to + from;
			same = same && (a[i / 8] >> (i % 8) & 1) ==
					       (b[at / 8] >> (at % 8) & 1);
		}
		ck_assert(same);
	}
}
END_TEST

/* Rubbish as a list: found out or not, it must end. */
START_TEST(rubbish)
{
	struct delta_coding c;
	struct hash128 name = {{1, 2, 3}};
	static uint8_t mem[8300];
	unsigned corrupt = 0;

	seed = 99;
	delta_coding_init(&c, _i == 0 ? 4080 : 65536, 6);
	for (unsigned n = 0; n < 2000; n++) {
		uint32_t bits = random_below(n % 2 == 0 ? 300 : 65535);
		struct delta_entry e;

		for (unsigned i = 0; i < bits / 8 + 1; i++)
			mem[i] = n % 3 == 0 ? 0 : (uint8_t)random_below(256);
		corrupt += delta_search(mem, 0, bits, &c, UINT32_MAX, &name,
					&e) != 0;
	}
	ck_assert_uint_gt(corrupt, 100);
}
END_TEST

START_TEST(longest_list)
{
	struct delta_coding c;
	struct delta_lists d;
	struct hash128 name = {{0}};
	struct delta_entry e;
	int r = 0;

	delta_coding_init(&c, 4080, 10);
	ck_assert_int_eq(delta_lists_init(&d, &c, 2, 20000), 0);
	for (uint32_t key = 0; r == 0; key++) {
		ck_assert_int_eq(delta_list_search(&d, 0, key, &name, &e), 0);
		r = delta_list_insert(&d, 0, &e, key, 1, &name);
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_eq(d.record_count, LIST_BITS_MAX / 22);
	delta_lists_fini(&d);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("delta");

	tcase_add_loop_test(tc, constants, 0, ARRAY_SIZE(codings));
	tcase_add_loop_test(tc, code_of_a_delta, 0, ARRAY_SIZE(codes));
	tcase_add_test(tc, lists_by_hand);
	tcase_add_test(tc, golden_vectors);
	tcase_add_loop_test(tc, random_operations, 0,
			    (int)unit_share(8));
	tcase_add_test(tc, bits_that_move);
	tcase_add_loop_test(tc, rubbish, 0, 2);
	tcase_add_test(tc, longest_list);
	return unit_run();
}
