/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "container.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "writer.h"

#define FORMAT_VERSION 1u
#define RESERVE_STEP   (UINT64_C(64) << 20)

static const uint8_t magic[8] = "VDOcopy\n";

enum {
	AT_VERSION = 8,
	AT_CRC = 12,
	AT_SEQUENCE = 16,
	AT_CATALOGUE = 24,
	AT_END = 32,
	AT_RESERVED = 40,
	AT_SNAPSHOTS = 48,
};

static uint32_t header_crc(const uint8_t *block)
{
	static const uint8_t none[4];
	uLong crc = crc32(0, block, AT_CRC);

	crc = crc32(crc, none, sizeof(none));
	return (uint32_t)crc32(crc, block + AT_CRC + 4, BLOCK - AT_CRC - 4);
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

static enum container_state decode(const uint8_t *block, uint64_t size,
				   struct container *c)
{
	if (is_zero(block))
		return CONTAINER_EMPTY;
	if (memcmp(block, magic, sizeof(magic)) != 0)
		return CONTAINER_FOREIGN;
	if (load32(block + AT_CRC) != header_crc(block))
		return CONTAINER_DAMAGED;
	if (load32(block + AT_VERSION) != FORMAT_VERSION)
		return CONTAINER_NEWER;
	c->sequence = load64(block + AT_SEQUENCE);
	c->catalogue = load64(block + AT_CATALOGUE);
	c->end = load64(block + AT_END);
	c->reserved = load64(block + AT_RESERVED);
	c->stale = c->reserved;
	c->snapshots = load32(block + AT_SNAPSHOTS);
	if (c->end % BLOCK != 0 || c->end < CONTAINER_START || c->end > size ||
	    c->reserved % BLOCK != 0 || c->reserved < c->end ||
	    c->reserved > size || c->catalogue % BLOCK != 0 ||
	    c->catalogue >= c->end)
		return CONTAINER_DAMAGED;
	return CONTAINER_GOOD;
}

int container_load(struct container *c, struct vdo_volume *volume)
{
	static _Alignas(BLOCK) uint8_t blocks[2 * BLOCK];
	struct container found[2] = {{.volume = volume}, {.volume = volume}};
	enum container_state states[2];
	uint64_t size = vdo_volume_size(volume);
	int r;

	*c = (struct container){.volume = volume,
				.end = CONTAINER_START,
				.reserved = CONTAINER_START,
				.stale = CONTAINER_START};
	if (size < CONTAINER_START + BLOCK)
		return NO_ADDRESSES;
	r = vdo_pread(volume, blocks, sizeof(blocks), 0, 0);
	if (r != 0)
		return r;
	for (unsigned i = 0; i < 2; i++)
		states[i] = decode(blocks + (size_t)i * BLOCK, size, &found[i]);
	if (states[0] == CONTAINER_GOOD && states[1] == CONTAINER_GOOD) {
		*c = found[found[1].sequence > found[0].sequence];
		return CONTAINER_GOOD;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (states[i] == CONTAINER_GOOD) {
			*c = found[i];
			return CONTAINER_GOOD;
		}
	}
	/* the first header ever, torn by a crash, leaves one block empty */
	return (int)(states[0] > states[1] ? states[0] : states[1]);
}

/* Write the next header, durably. */
static int write_header(struct container *c)
{
	static _Alignas(BLOCK) uint8_t block[BLOCK];
	uint64_t sequence = c->sequence + 1;
	int r;

	memset(block, 0, sizeof(block));
	memcpy(block, magic, sizeof(magic));
	store32(block + AT_VERSION, FORMAT_VERSION);
	store64(block + AT_SEQUENCE, sequence);
	store64(block + AT_CATALOGUE, c->catalogue);
	store64(block + AT_END, c->end);
	store64(block + AT_RESERVED, c->reserved);
	store32(block + AT_SNAPSHOTS, c->snapshots);
	store32(block + AT_CRC, header_crc(block));
	r = vdo_pwrite(c->volume, block, BLOCK, sequence % 2 * BLOCK,
		       VDO_IO_FUA);
	if (r == 0)
		c->sequence = sequence;
	return r;
}

int container_reserve(struct container *c, uint64_t end, uint64_t *limit)
{
	uint64_t size = vdo_volume_size(c->volume), before = c->reserved;
	int r = 0;

	if (end > size)
		end = size;
	if (end > before) {
		c->reserved =
			size - end < RESERVE_STEP ? size : end + RESERVE_STEP;
		r = write_header(c);
		if (r != 0)
			c->reserved = before;
	}
	*limit = c->reserved;
	return r;
}

/* Free what lies between the end of the archive and @end. */
static int free_tail(struct container *c, uint64_t end)
{
	int r;

	if (end > c->end) {
		r = vdo_discard(c->volume, end - c->end, c->end, 0);
		if (r != 0)
			return r;
	}
	c->reserved = c->stale = c->end;
	return write_header(c);
}

int container_commit(struct container *c, uint64_t catalogue, uint64_t end)
{
	struct container before = *c;
	int r;

	r = vdo_flush(c->volume, 0);
	if (r != 0)
		return r;
	c->catalogue = catalogue;
	c->end = end;
	c->reserved = c->stale > end ? c->stale : end;
	c->snapshots++;
	r = write_header(c);
	if (r != 0)
		*c = before;
	else if (c->stale > end)
		r = free_tail(c, c->stale);
	return r;
}

int container_discard(struct container *c, uint64_t end)
{
	return free_tail(c, c->stale > end ? c->stale : end);
}
