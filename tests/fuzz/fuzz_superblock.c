/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The super block. Byte 0: 1 makes the checksum right, 2 gives geometry the
 * same nonce. Then the first block of data (5 bytes), then the block.
 *
 * What is decoded is encoded and decoded again and must be the same; what is
 * valid keeps to the limits that everybody relies on.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "format/layout.h"
#include "format/slab.h"

const unsigned fuzz_replays = 20000;

#define CRC_OFFSET 434u

/* Linux reverses the partitions each time; so two rounds make it the same. */
static void check_encoding(const struct superblock *sb, pbn_t data_start)
{
	struct superblock once, twice;
	uint8_t a[BLOCK_SIZE], b[BLOCK_SIZE];

	superblock_encode(sb, a);
	FUZZ_CHECK(superblock_decode(a, data_start, &once) == 0);
	superblock_encode(&once, b);
	FUZZ_CHECK(superblock_decode(b, data_start, &twice) == 0);
	FUZZ_CHECK(memcmp(sb, &twice, sizeof(twice)) == 0);
}

static void check_valid(const struct superblock *sb, const struct geometry *g)
{
	const struct partition *p = sb->partitions;
	struct slab_geometry s;
	pbn_t last;

	layout_slab_geometry_init(&s, sb);
	FUZZ_CHECK(s.slab_count >= 1 && s.slab_count <= SLABS_MAX);
	FUZZ_CHECK(s.data_blocks >= 1 &&
		   s.data_blocks <= UINT64_C(1) << s.slab_shift);
	last = slab_start(&s, s.slab_count - 1) + s.data_blocks - 1;
	FUZZ_CHECK(is_data_block(&s, last) && last < sb->physical_blocks);
	FUZZ_CHECK(!is_data_block(&s, ZERO_BLOCK) &&
		   !is_data_block(&s, g->data_start) &&
		   !is_data_block(&s, sb->root_origin) &&
		   !is_data_block(&s, sb->depot_last_block));
	FUZZ_CHECK(sb->logical_blocks <= LOGICAL_BLOCKS_MAX);
	for (unsigned i = 0; i < PARTITION_COUNT; i++)
		FUZZ_CHECK(p[i].start > g->data_start &&
			   p[i].start + p[i].count <= sb->physical_blocks);
	FUZZ_CHECK(superblock_state_name(sb->state)[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	uint8_t flags = (uint8_t)fuzz_take(&f, 1), block[BLOCK_SIZE];
	struct geometry g = {.data_start = fuzz_take(&f, 5)};
	struct superblock sb;
	const char *why = "";
	int r;

	fuzz_fill(&f, block, sizeof(block));
	if (flags & 1)
		put_u32(block + CRC_OFFSET, format_crc(block, CRC_OFFSET));
	if (superblock_decode(block, g.data_start, &sb) != 0)
		return 0;
	check_encoding(&sb, g.data_start);
	if (flags & 2)
		g.nonce = sb.nonce;
	r = superblock_validate(&sb, &g, &why);
	FUZZ_CHECK((r == 0) == (why == NULL));
	if (r == 0)
		check_valid(&sb, &g);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct layout_request r = {
		.physical_blocks = 4000 + 70000 * i,
		.slab_bits = 9 + 3 * i,
		.slab_journal_blocks = 3 + 8 * i,
		.recovery_journal_blocks = 4u << i,
		.index_blocks = 100 * i,
		.index_memory = i == 0 ? 0 : -2,
		.nonce = 4711,
	};
	uint8_t block[BLOCK_SIZE];
	struct superblock sb;
	struct geometry g;

	if (i > 2 || layout_compute(&r, &g, &sb, NULL, NULL) != 0)
		return 0;
	superblock_encode(&sb, block);
	input[0] = 3;
	put_u64(input + 1, g.data_start);
	memcpy(input + 6, block, CRC_OFFSET + 4);
	return 6 + CRC_OFFSET + 4;
}
