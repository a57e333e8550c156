/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/fuzz/overlay.h"

#include "base/bytes.h"
#include "format/types.h"

static uint64_t get_size(void *ctx)
{
	const struct overlay *o = ctx;

	return o->count * BLOCK_SIZE;
}

static unsigned get_flags(void *ctx)
{
	return VDO_DEVICE_VOLATILE_CACHE | VDO_DEVICE_CAN_DISCARD;
}

uint8_t *overlay_block(struct overlay *o, uint64_t block)
{
	FUZZ_CHECK(block < o->count);
	if (!o->dirty[block]) {
		o->dirty[block] = 1;
		o->dirty_blocks[o->dirty_count++] = block;
	}
	return o->image + block * BLOCK_SIZE;
}

static void transfer(struct overlay *o, struct vdo_device_io *io)
{
	uint8_t *p = o->image + io->offset;

	for (unsigned i = 0; i < io->iov_count; i++) {
		size_t n = io->iov[i].iov_len;

		if (io->op == VDO_DEVICE_READ)
			memcpy(io->iov[i].iov_base, p, n);
		else
			memcpy(p, io->iov[i].iov_base, n);
		p += n;
	}
	FUZZ_CHECK(p == o->image + io->offset + io->length);
}

static void submit(void *ctx, struct vdo_device_io *io)
{
	struct overlay *o = ctx;
	uint64_t first = io->offset / BLOCK_SIZE, n = io->length / BLOCK_SIZE;

	FUZZ_CHECK(++o->ios <= OVERLAY_IOS_MAX);
	if (io->op != VDO_DEVICE_FLUSH) {
		FUZZ_CHECK(io->offset % BLOCK_SIZE == 0 &&
			   io->length % BLOCK_SIZE == 0);
		FUZZ_CHECK(n > 0 && first < o->limit && n <= o->limit - first);
	}
	if (io->op == VDO_DEVICE_WRITE || io->op == VDO_DEVICE_DISCARD) {
		FUZZ_CHECK(!o->read_only);
		for (uint64_t i = 0; i < n; i++)
			overlay_block(o, first + i);
	}
	if (io->op == VDO_DEVICE_DISCARD)
		memset(o->image + io->offset, 0xdd, io->length);
	else if (io->op != VDO_DEVICE_FLUSH)
		transfer(o, io);
	io->complete(io, 0);
}

void overlay_init(struct overlay *o, uint64_t count)
{
	static const struct vdo_device_ops ops = {
		.size = sizeof(ops),
		.get_size = get_size,
		.get_flags = get_flags,
		.submit = submit,
	};

	*o = (struct overlay){.count = count, .limit = count};
	o->image = calloc(count, BLOCK_SIZE);
	o->kept = calloc(count, BLOCK_SIZE);
	o->dirty = calloc(count, 1);
	o->dirty_blocks = calloc(count, sizeof(*o->dirty_blocks));
	FUZZ_CHECK(o->image != NULL && o->kept != NULL && o->dirty != NULL &&
		   o->dirty_blocks != NULL);
	FUZZ_CHECK(vdo_device_open_custom(&ops, o, &o->device) == 0);
}

static void clean(struct overlay *o)
{
	while (o->dirty_count > 0)
		o->dirty[o->dirty_blocks[--o->dirty_count]] = 0;
}

void overlay_keep(struct overlay *o)
{
	memcpy(o->kept, o->image, o->count * BLOCK_SIZE);
	clean(o);
}

void overlay_reset(struct overlay *o)
{
	for (uint64_t i = 0; i < o->dirty_count; i++) {
		size_t at = o->dirty_blocks[i] * BLOCK_SIZE;

		memcpy(o->image + at, o->kept + at, BLOCK_SIZE);
	}
	clean(o);
	o->ios = 0;
}

unsigned overlay_damage(struct overlay *o, struct fuzz *f,
			const struct overlay_part *parts, unsigned part_count)
{
	unsigned damaged = 0;

	while (f->n > 3) {
		unsigned kind = (unsigned)fuzz_take(f, 1);
		unsigned part = kind % 32 % part_count;
		const struct overlay_part *p = &parts[part];
		uint64_t i = fuzz_take(f, 2);
		size_t offset, n;
		uint8_t *block;

		if (p->count == 0)
			continue;
		damaged |= 1u << part;
		block = overlay_block(o, p->blocks[i % p->count]);
		if (kind >> 5 == 0) {
			memset(block, 0, BLOCK_SIZE);
			continue;
		}
		offset = fuzz_take(f, 2) % BLOCK_SIZE;
		if (kind >> 5 == 1) {
			const uint8_t *from =
				o->image +
				p->blocks[offset % p->count] * BLOCK_SIZE;

			memmove(block, from, BLOCK_SIZE);
			continue;
		}
		n = 1 + fuzz_take(f, 1) % 32;
		fuzz_fill(f, block + offset, MIN(MIN(n, BLOCK_SIZE - offset),
						 f->n));
	}
	return damaged;
}

size_t overlay_put_damage(uint8_t *to, unsigned part, unsigned block,
			  unsigned offset, const void *bytes, uint8_t n)
{
	to[0] = (uint8_t)(7 << 5 | part);
	put_u16(to + 1, (uint16_t)block);
	put_u16(to + 3, (uint16_t)offset);
	to[5] = (uint8_t)(n - 1);
	memcpy(to + 6, bytes, n);
	return (size_t)n + 6;
}
