/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments: what is compressible, blocks of 2 to 14, damage, the status word.
 */
#include "build.h"

#include "pack/pack.h"

#include <string.h>

#include <vdo/error.h>

#include "pack/pack_priv.h"
#include "tests/lib/unit.h"

static struct compressor *lz4;
static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* A block whose first @noise bytes cannot be compressed, though they have but
 * 100 values, and so do not look it. */
static void fill(uint8_t *data, unsigned noise, uint64_t seed)
{
	rng_state = seed * 2654435761u + 1;
	for (unsigned i = 0; i < BLOCK_SIZE; i++)
		data[i] = i < noise ? (uint8_t)((rng() >> 24) % 100)
				    : (uint8_t)seed;
}

/* Around the limit each byte of noise is a byte of output. */
START_TEST(limit)
{
	uint8_t data[BLOCK_SIZE], block[BLOCK_SIZE + 1], out[BLOCK_SIZE];
	struct pack_op op = {.block = block};
	bool fitted = true;
	unsigned largest = 0;

	for (unsigned noise = 3000; noise <= BLOCK_SIZE; noise++) {
		fill(data, noise, 7);
		block[BLOCK_SIZE] = 0xa5;
		pack_op_reset(&op);
		if (!pack_compress(lz4, &op, data)) {
			fitted = false;
			ck_assert(!pack_allowed(&op));
			continue;
		}
		ck_assert_msg(fitted, "noise %u", noise);
		ck_assert(pack_allowed(&op));
		ck_assert_uint_le(op.size, PACK_SIZE_MAX);
		largest = MAX(largest, op.size);
		fragment_header_encode(block, &op.size, 1);
		ck_assert_int_eq(pack_decompress(block, 2, out), 0);
		ck_assert_mem_eq(out, data, BLOCK_SIZE);
		ck_assert_uint_eq(block[BLOCK_SIZE], 0xa5);
	}
	ck_assert(!fitted);
	ck_assert_uint_eq(largest, PACK_SIZE_MAX);
}
END_TEST

/* _i fragments; the block is as full as it may be. */
static void assemble(unsigned n, uint8_t (*data)[BLOCK_SIZE],
		     uint8_t (*blocks)[BLOCK_SIZE], struct pack_op *ops)
{
	for (unsigned i = 0; i < n; i++) {
		fill(data[i], 4000 / n - 30 + 2 * (i % 3), i + 1);
		ops[i].block = blocks[i];
		memset(blocks[i], 0xee, BLOCK_SIZE);
		pack_op_reset(&ops[i]);
		ck_assert(pack_compress(lz4, &ops[i], data[i]));
		ops[i].verdict = i == 0 ? PACK_LEAD : PACK_MEMBER;
		ops[i].slot = (uint8_t)i;
		if (i == 1)
			ops[0].members = &ops[1];
		else if (i > 1)
			ops[i - 1].next = &ops[i];
	}
	pack_assemble(&ops[0]);
}

START_TEST(blocks)
{
	static uint8_t data[14][BLOCK_SIZE], store[14][BLOCK_SIZE];
	struct pack_op ops[14];
	uint8_t out[BLOCK_SIZE];
	unsigned n = (unsigned)_i;

	assemble(n, data, store, ops);
	for (unsigned i = 0; i < n; i++) {
		ck_assert_int_eq(
			pack_decompress(store[0], (uint8_t)(2 + i), out), 0);
		ck_assert_mem_eq(out, data[i], BLOCK_SIZE);
	}
	for (unsigned i = n; i < 14; i++) {
		ck_assert_uint_eq(get_u16(store[0] + 8 + 2 * i), 0);
		ck_assert_int_eq(
			pack_decompress(store[0], (uint8_t)(2 + i), out),
			-VDO_EFRAGMENT);
	}
	for (unsigned i = 1; i < n; i++)
		ck_assert_ptr_eq(pack_next_member(&ops[0]), &ops[i]);
	ck_assert_ptr_null(pack_next_member(&ops[0]));
}
END_TEST

/* A good block of 3, one 16-bit field damaged. */
static const struct {
	const char *name;
	unsigned offset;
	uint16_t value;
	uint8_t state;
	int want;
} damages[] = {
	{"none", 0, 1, 2, 0},
	{"none, last", 0, 1, 4, 0},
	{"state unmapped", 0, 1, 0, -VDO_EFRAGMENT},
	{"state uncompressed", 0, 1, 1, -VDO_EFRAGMENT},
	{"state too high", 0, 1, 16, -VDO_EFRAGMENT},
	{"unused slot", 0, 1, 5, -VDO_EFRAGMENT},
	{"major version", 0, 2, 2, -VDO_EFRAGMENT},
	{"major version, high", 2, 1, 2, -VDO_EFRAGMENT},
	{"minor version", 4, 1, 2, -VDO_EFRAGMENT},
	{"size past the block", 12, 4000, 4, -VDO_EFRAGMENT},
	{"offset past the block", 8, 4061, 3, -VDO_EFRAGMENT},
	{"size cut", 8, 100, 2, -VDO_EFRAGMENT},
	{"size zero", 8, 0, 2, -VDO_EFRAGMENT},
	{"data shifted", 8, 100, 3, -VDO_EFRAGMENT},
};

START_TEST(damage)
{
	static uint8_t data[14][BLOCK_SIZE], store[14][BLOCK_SIZE];
	struct pack_op ops[14];
	uint8_t out[BLOCK_SIZE];

	assemble(3, data, store, ops);
	put_u16(store[0] + damages[_i].offset, damages[_i].value);
	ck_assert_msg(pack_decompress(store[0], damages[_i].state, out) ==
			      damages[_i].want,
		      "%s", damages[_i].name);
}
END_TEST

/* Every stage, cancelled or not: who has to fetch, may it still be packed. */
static const struct {
	const char *name;
	unsigned status;
	bool allowed;
	bool fetch;
} stages[] = {
	{"before", STAGE_BEFORE, true, false},
	{"compressing", STAGE_COMPRESSING, true, false},
	{"packing", STAGE_PACKING, true, true},
	{"after", STAGE_AFTER, false, false},
	{"before, cancelled", STAGE_BEFORE | STATUS_CANCELLED, false, false},
	{"compressing, cancelled", STAGE_COMPRESSING | STATUS_CANCELLED, false,
	 false},
	{"packing, cancelled", STAGE_PACKING | STATUS_CANCELLED, false, false},
	{"after, cancelled", STAGE_AFTER | STATUS_CANCELLED, false, false},
};

START_TEST(cancel)
{
	struct pack_op op;

	pack_op_reset(&op);
	atomic_store(&op.status, stages[_i].status);
	ck_assert_int_eq(pack_allowed(&op), stages[_i].allowed);
	ck_assert_int_eq(pack_cancel(&op), stages[_i].fetch);
	ck_assert(!pack_allowed(&op));
	ck_assert(!pack_cancel(&op));
	ck_assert_uint_eq(atomic_load(&op.status),
			  stages[_i].status | STATUS_CANCELLED);
}
END_TEST

/* Random blocks are given up, unless they repeat themselves; no others are. */
START_TEST(looks_random)
{
	static const unsigned periods[] = {2048, 1024, 512, 64};
	uint8_t data[BLOCK_SIZE], block[BLOCK_SIZE];
	struct pack_op op = {.block = block};
	unsigned found = 0;

	for (unsigned seed = 1; seed <= 1000; seed++) {
		rng_state = seed * 2654435761u + 1;
		for (unsigned i = 0; i < BLOCK_SIZE; i++)
			data[i] = (uint8_t)(rng() >> 24);
		found += pack_looks_random(data);
		for (unsigned k = 0; k < ARRAY_SIZE(periods); k++) {
			for (unsigned i = periods[k]; i < BLOCK_SIZE; i++)
				data[i] = data[i - periods[k]];
			ck_assert(!pack_looks_random(data));
			pack_op_reset(&op);
			ck_assert(pack_compress(lz4, &op, data));
		}
		/* Nothing but a quarter, a third, half of it, is random. */
		for (unsigned share = 2; share <= 4; share++) {
			rng_state = seed;
			for (unsigned i = 0; i < BLOCK_SIZE; i++)
				data[i] = i < BLOCK_SIZE / share
						  ? (uint8_t)(rng() >> 24)
						  : (uint8_t)"libvdo"[i % 6];
			ck_assert(!pack_looks_random(data));
		}
		/* Records with one random column of eight. */
		memset(data, 0, BLOCK_SIZE);
		for (unsigned i = seed % 8; i < BLOCK_SIZE; i += 8)
			data[i] = (uint8_t)(rng() >> 24);
		ck_assert(!pack_looks_random(data));
	}
	ck_assert_uint_gt(found, 970);
	/* Each value as often as the others. */
	for (unsigned i = 0; i < BLOCK_SIZE; i++)
		data[i] = (uint8_t)i;
	ck_assert(!pack_looks_random(data));
}
END_TEST

/* What looks random counts as what LZ4 could not compress. */
START_TEST(given_up)
{
	uint8_t data[BLOCK_SIZE], block[BLOCK_SIZE];
	struct pack_op op = {.block = block};

	rng_state = 7;
	do {
		for (unsigned i = 0; i < BLOCK_SIZE; i++)
			data[i] = (uint8_t)(rng() >> 24);
	} while (!pack_looks_random(data));
	pack_op_reset(&op);
	ck_assert(!pack_compress(lz4, &op, data));
	ck_assert(!pack_allowed(&op));
	ck_assert(!pack_cancel(&op));
}
END_TEST

START_TEST(cancelled_before)
{
	uint8_t data[BLOCK_SIZE] = {0}, block[BLOCK_SIZE];
	struct pack_op op = {.block = block};

	pack_op_reset(&op);
	ck_assert(!pack_cancel(&op));
	ck_assert(!pack_compress(lz4, &op, data));
	pack_op_reset(&op);
	ck_assert(pack_allowed(&op));
	ck_assert(pack_compress(lz4, &op, data));
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("compress");
	int result;

	lz4 = compressor_create();
	tcase_add_test(tc, limit);
	tcase_add_loop_test(tc, blocks, 2, 15);
	tcase_add_loop_test(tc, damage, 0, ARRAY_SIZE(damages));
	tcase_add_loop_test(tc, cancel, 0, ARRAY_SIZE(stages));
	tcase_add_test(tc, looks_random);
	tcase_add_test(tc, given_up);
	tcase_add_test(tc, cancelled_before);
	result = unit_run();
	compressor_destroy(lz4);
	return result;
}
