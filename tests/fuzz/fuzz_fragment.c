/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A compressed block, read as each of its fragments. Byte 0: 1 makes the
 * version right. Then the block.
 *
 * A fragment lies in the block, and what it holds, compressed again, is read
 * back.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "pack/pack.h"

const unsigned fuzz_replays = 10000;

static void check_data(const uint8_t *data)
{
	struct compressor *c = compressor_create();
	uint8_t block[2 * BLOCK_SIZE], back[BLOCK_SIZE];
	struct pack_op op = {.block = block};

	FUZZ_CHECK(c != NULL);
	pack_op_reset(&op);
	if (pack_compress(c, &op, data)) {
		FUZZ_CHECK(op.size > 0 && op.size <= PACK_SIZE_MAX);
		fragment_header_encode(block, &op.size, 1);
		FUZZ_CHECK(pack_decompress(block, STATE_FRAGMENT_0, back) == 0);
		FUZZ_CHECK(memcmp(data, back, BLOCK_SIZE) == 0);
	}
	compressor_destroy(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint8_t flags = (uint8_t)fuzz_take(&f, 1);
	/* Of their own sizes, so that reads and writes beyond are seen. */
	uint8_t *block = malloc(BLOCK_SIZE), *out = malloc(BLOCK_SIZE);

	FUZZ_CHECK(block != NULL && out != NULL);
	fuzz_fill(&f, block, BLOCK_SIZE);
	if (flags & 1)
		put_u64(block, 1);
	for (unsigned state = 0; state < 20; state++) {
		const uint8_t *p = NULL;
		size_t n = 0;
		int r = fragment_find(block, (uint8_t)state, &p, &n);

		if (r == 0)
			FUZZ_CHECK(n > 0 && p >= block + FRAGMENT_HEADER &&
				   p + n <= block + BLOCK_SIZE);
		else
			FUZZ_CHECK(pack_decompress(block, (uint8_t)state,
						   out) == r);
		if (r == 0 && pack_decompress(block, (uint8_t)state, out) == 0)
			check_data(out);
	}
	free(block);
	free(out);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct compressor *c = compressor_create();
	uint8_t block[2 * BLOCK_SIZE], data[BLOCK_SIZE] = {0};
	struct pack_op op = {.block = block};
	uint16_t sizes[3];
	uint8_t *p = input + 1 + FRAGMENT_HEADER;

	if (i > 0 || c == NULL) {
		compressor_destroy(c);
		return 0;
	}
	input[0] = 1;
	for (unsigned k = 0; k < 3; k++) {
		for (unsigned n = 0; n < BLOCK_SIZE; n++)
			data[n] = (uint8_t)(n % (30 + k) * (k + 1));
		pack_op_reset(&op);
		FUZZ_CHECK(pack_compress(c, &op, data));
		memcpy(p, block + FRAGMENT_HEADER, op.size);
		p += op.size;
		sizes[k] = op.size;
	}
	fragment_header_encode(input + 1, sizes, 3);
	compressor_destroy(c);
	return (size_t)(p - input);
}
