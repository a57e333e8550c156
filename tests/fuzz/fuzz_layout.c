/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes of a new volume: the input is a struct layout_request, field by field.
 *
 * What is accepted can be opened: encoded, decoded and valid, and it fits. What
 * is refused has a reason.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/layout.h"
#include "index_format/geometry.h"

const unsigned fuzz_replays = 20000;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	struct layout_request r = {
		.slab_bits = (unsigned)fuzz_take(&f, 1),
		.slab_journal_blocks = fuzz_take(&f, 2),
		.recovery_journal_blocks = UINT64_C(1) << fuzz_take(&f, 1) % 64,
		.index_memory = (int32_t)fuzz_take(&f, 4),
		.index_sparse = fuzz_take(&f, 1) & 1,
		.physical_blocks = fuzz_take(&f, 8),
		.index_blocks = fuzz_take(&f, 8),
		.logical_blocks = fuzz_take(&f, 8),
		.nonce = 4711,
	};
	uint64_t minimum = 0;
	struct superblock sb, again;
	struct geometry g, h;
	uint8_t block[BLOCK_SIZE];
	const char *why = NULL;

	if (layout_compute(&r, &g, &sb, &minimum, &why) != 0) {
		FUZZ_CHECK(why != NULL && why[0] != '\0');
		return 0;
	}
	FUZZ_CHECK(why == NULL && minimum <= r.physical_blocks);
	FUZZ_CHECK(sb.physical_blocks == r.physical_blocks);
	FUZZ_CHECK(g.data_start - g.index_start == r.index_blocks);
	geometry_encode(&g, block);
	FUZZ_CHECK(geometry_decode(block, &h) == 0);
	superblock_encode(&sb, block);
	FUZZ_CHECK(superblock_decode(block, h.data_start, &again) == 0);
	FUZZ_CHECK(superblock_validate(&again, &h, NULL) == 0);
	/* One block less is too small if this is the minimum. */
	if (minimum == r.physical_blocks) {
		r.physical_blocks--;
		FUZZ_CHECK(layout_compute(&r, &g, &sb, NULL, NULL) != 0);
	}
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct writer w = {input};

	if (i > 3)
		return 0;
	write_u8(&w, (uint8_t)(9 + 4 * i));
	write_u16(&w, (uint16_t)(3 + 60 * i));
	write_u8(&w, (uint8_t)(2 + 4 * i));
	write_u32(&w, i == 0 ? 0 : (uint32_t)-256);
	write_u8(&w, i == 2);
	write_u64(&w, i == 0 ? 645 : 4000000);
	write_u64(&w, i == 0 ? 0 : index_geometry_kernel_blocks(-256, i == 2));
	write_u64(&w, 1000 * i);
	return (size_t)(w.p - input);
}
