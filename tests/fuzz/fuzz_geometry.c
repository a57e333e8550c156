/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The geometry block. Byte 0: 1 makes the checksum right. Then the block.
 *
 * What is decoded is encoded again; the bytes that mean something must be the
 * same.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/geometry.h"
#include "index_format/geometry.h"

const unsigned fuzz_replays = 20000;

#define CRC_OF_4 89u
#define CRC_OF_5 97u

static void check(const struct geometry *g, uint8_t *block)
{
	uint8_t again[BLOCK_SIZE];
	struct geometry h;
	unsigned ids = g->version_major == 4 ? 56 : 64;
	unsigned crc = g->version_major == 4 ? CRC_OF_4 : CRC_OF_5;

	FUZZ_CHECK(g->version_major == 4 || g->version_major == 5);
	geometry_encode(g, again);
	FUZZ_CHECK(geometry_decode(again, &h) == 0);
	FUZZ_CHECK(h.nonce == g->nonce && h.data_start == g->data_start &&
		   h.index_start == g->index_start &&
		   h.bio_offset == g->bio_offset &&
		   h.index_memory == g->index_memory &&
		   h.index_sparse == g->index_sparse);
	/* Not looked at: the ids of the regions, a word, the flag's value. */
	put_u32(block + ids, 0);
	put_u32(block + ids + 12, 1);
	put_u32(block + crc - 5, 0);
	block[crc - 1] = block[crc - 1] != 0;
	FUZZ_CHECK(memcmp(block, again, crc) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint8_t flags = (uint8_t)fuzz_take(&f, 1), block[BLOCK_SIZE];
	struct geometry g;

	fuzz_fill(&f, block, sizeof(block));
	if (flags & 1) {
		unsigned crc = block[12] == 4 ? CRC_OF_4 : CRC_OF_5;

		put_u32(block + crc, format_crc(block, crc));
	}
	if (geometry_decode(block, &g) == 0)
		check(&g, block);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct geometry g = {
		.version_major = 5 - i,
		.nonce = 4711,
		.bio_offset = 7 * (1 - i),
		.index_start = 1,
		.data_start = 1 + index_geometry_kernel_blocks(-256, i),
		.index_memory = -256,
		.index_sparse = i,
	};
	uint8_t block[BLOCK_SIZE];

	if (i > 1)
		return 0;
	geometry_encode(&g, block);
	input[0] = 1;
	memcpy(input + 1, block, CRC_OF_5 + 4);
	return 1 + CRC_OF_5 + 4;
}
