/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two header blocks of an archive of dedup-copy. Byte 0: 1 leaves the first
 * checksum, 2 the second; else they are right. Then the size of the volume in
 * blocks (2 bytes), and 52 bytes of each header.
 *
 * What is good lies in the volume, and is good and newer when it was written
 * again; no step leaves the archive without a header.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <zlib.h>

#include "examples/dedup-copy/bytes.h"
#include "examples/dedup-copy/container.h"
#include "examples/dedup-copy/writer.h"

const unsigned fuzz_replays = 5000;

#define HEADER 52u

/* The volume, as far as its first two blocks go. */
struct vdo_volume {
	uint64_t size;
	uint8_t blocks[2 * BLOCK];
};

uint64_t vdo_volume_size(const struct vdo_volume *v)
{
	return v->size;
}

int vdo_pread(struct vdo_volume *v, void *buf, size_t count, uint64_t offset,
	      unsigned flags)
{
	FUZZ_CHECK(offset + count <= sizeof(v->blocks));
	memcpy(buf, v->blocks + offset, count);
	return 0;
}

int vdo_pwrite(struct vdo_volume *v, const void *buf, size_t count,
	       uint64_t offset, unsigned flags)
{
	FUZZ_CHECK(offset + count <= sizeof(v->blocks));
	memcpy(v->blocks + offset, buf, count);
	return 0;
}

int vdo_flush(struct vdo_volume *v, unsigned flags)
{
	return 0;
}

int vdo_discard(struct vdo_volume *v, uint64_t count, uint64_t offset,
		unsigned flags)
{
	FUZZ_CHECK(offset >= CONTAINER_START && offset <= v->size &&
		   count <= v->size - offset);
	return 0;
}

static void check_good(const struct container *c)
{
	FUZZ_CHECK(c->end >= CONTAINER_START && c->end <= c->reserved &&
		   c->reserved <= c->volume->size && c->catalogue < c->end);
	FUZZ_CHECK(c->end % BLOCK == 0 && c->reserved % BLOCK == 0 &&
		   c->catalogue % BLOCK == 0);
}

static void must_be(const struct container *c)
{
	struct container d;

	FUZZ_CHECK(container_load(&d, c->volume) == CONTAINER_GOOD);
	FUZZ_CHECK(d.sequence == c->sequence && d.end == c->end &&
		   d.catalogue == c->catalogue && d.reserved == c->reserved &&
		   d.snapshots == c->snapshots);
}

/* A run, as far as the header goes. */
static void use(struct container *c)
{
	uint64_t limit = 0, end = c->end + 2 * BLOCK;

	/* No archive gets this far. */
	if (c->sequence > UINT64_MAX - 10 || c->snapshots == UINT32_MAX)
		return;
	FUZZ_CHECK(container_reserve(c, end, &limit) == 0);
	FUZZ_CHECK(limit <= c->volume->size && limit == c->reserved);
	if (end > limit)
		return;
	FUZZ_CHECK(container_commit(c, c->end, end) == 0);
	check_good(c);
	must_be(c);
	FUZZ_CHECK(container_discard(c, end) == 0);
	must_be(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct vdo_volume v = {.size = fuzz_take(&f, 2) * BLOCK};
	struct container c;
	int r;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t *block = v.blocks + (size_t)i * BLOCK;

		if (fuzz_fill(&f, block, HEADER) == 0 || (flags >> i & 1) != 0)
			continue;
		store32(block + 12, 0);
		store32(block + 12, (uint32_t)crc32_z(0, block, BLOCK));
	}
	r = container_load(&c, &v);
	FUZZ_CHECK(r == NO_ADDRESSES || (r >= 0 && r <= CONTAINER_NEWER));
	if (r == CONTAINER_GOOD)
		check_good(&c);
	if (r == CONTAINER_GOOD || r == CONTAINER_EMPTY)
		use(&c);
	return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct vdo_volume v = {.size = 1000 * BLOCK};
	struct container c;
	uint64_t limit;

	if (i > 2)
		return 0;
	FUZZ_CHECK(container_load(&c, &v) == CONTAINER_EMPTY);
	for (unsigned k = 0; k < i; k++) {
		FUZZ_CHECK(container_reserve(&c, c.end + BLOCK, &limit) == 0);
		FUZZ_CHECK(container_commit(&c, c.end, c.end + BLOCK) == 0);
	}
	input[0] = 0;
	store_bytes(input + 1, 1000, 2);
	memcpy(input + 3, v.blocks, HEADER);
	memcpy(input + 3 + HEADER, v.blocks + BLOCK, HEADER);
	return 3 + 2 * HEADER;
}
