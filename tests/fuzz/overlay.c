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

/* --------------------------------------------------------------------- lies
 */

static uint64_t get_field(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = width; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static void put_field(uint8_t *p, unsigned width, uint64_t v)
{
	for (unsigned i = 0; i < width; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

static uint64_t number_of_note(uint8_t i)
{
	static const uint64_t numbers[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 60, 61, 217, 218, 252, 253,
		254, 255, 256, 511, 512, 811, 812, 1299, 1353, 4095, 4096,
		65535, 1u << 20, INT32_MAX, UINT32_MAX, SEQ_MAX - 1, SEQ_MAX,
		UINT64_C(1) << 36, INT64_MAX, UINT64_MAX};

	return numbers[i % ARRAY_SIZE(numbers)];
}

/* The low nibble of a mapping is its state, which goes on as it is unless it
 * would lead nowhere. */
static uint64_t lead_to(uint64_t old, uint64_t block)
{
	uint64_t state = old & 15;

	return block << 8 | (state == 0 ? 1 : state);
}

static uint64_t new_value(const struct overlay *o, struct fuzz *f,
			  const struct overlay_part *parts, unsigned part_count,
			  const struct overlay_part *p, const uint8_t *block,
			  const struct overlay_field *field, size_t at)
{
	uint64_t old = get_field(block + at, field->width), i;
	unsigned repeat = MAX(field->repeat, 1);

	switch (fuzz_take(f, 1) % 6) {
	case 0:
		i = fuzz_take(f, 1);
		return field->width == 5 ? (old & ~UINT64_C(15)) | (i & 15)
					 : number_of_note((uint8_t)i);
	case 1:
		i = (uint64_t)(int8_t)fuzz_take(f, 1);
		return field->width == 5 ? old + (i << 8) : old + i;
	case 2:
		return fuzz_take(f, field->width);
	case 3:
		i = p->blocks[fuzz_take(f, 2) % p->count];
		return get_field(o->image + i * BLOCK_SIZE + at, field->width);
	case 4:
		p = &parts[fuzz_take(f, 1) % part_count];
		i = fuzz_take(f, 2);
		if (p->count == 0)
			return old;
		i = p->blocks[i % p->count];
		return field->width == 5 ? lead_to(old, i) : i;
	default:
		i = fuzz_take(f, 2) % repeat;
		return get_field(block + field->offset + i * field->stride,
				 field->width);
	}
}

static void lie(struct overlay *o, struct fuzz *f,
		const struct overlay_part *parts, unsigned part_count,
		const struct overlay_part *p, uint8_t *block)
{
	const struct overlay_field *field =
		&p->fields[fuzz_take(f, 1) % p->field_count];
	unsigned i = (unsigned)fuzz_take(f, 2) % MAX(field->repeat, 1);
	size_t at = field->offset + (size_t)i * field->stride;

	FUZZ_CHECK(at + field->width <= BLOCK_SIZE);
	put_field(block + at, field->width,
		  new_value(o, f, parts, part_count, p, block, field, at));
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
		if (kind >> 5 == 2 && p->field_count > 0) {
			lie(o, f, parts, part_count, p, block);
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

size_t overlay_put_lie(uint8_t *to, unsigned part, unsigned block,
		       unsigned field, unsigned repeat, unsigned how,
		       const void *bytes, uint8_t n)
{
	to[0] = (uint8_t)(2 << 5 | part);
	put_u16(to + 1, (uint16_t)block);
	to[3] = (uint8_t)field;
	put_u16(to + 4, (uint16_t)repeat);
	to[6] = (uint8_t)how;
	memcpy(to + 7, bytes, n);
	return (size_t)n + 7;
}

/* --------------------------------------------------------------------- marks
 */

/* Blocks that were not as kept, in the order of dirty_blocks. */
struct overlay_mark {
	uint64_t count;
	uint8_t *blocks;
};

struct overlay_mark *overlay_mark(const struct overlay *o)
{
	struct overlay_mark *m = malloc(sizeof(*m));

	FUZZ_CHECK(m != NULL);
	m->count = o->dirty_count;
	m->blocks = malloc(m->count * BLOCK_SIZE + 1);
	FUZZ_CHECK(m->blocks != NULL);
	for (uint64_t i = 0; i < m->count; i++)
		memcpy(m->blocks + i * BLOCK_SIZE,
		       o->image + o->dirty_blocks[i] * BLOCK_SIZE, BLOCK_SIZE);
	return m;
}

bool overlay_is_as_marked(const struct overlay *o, struct overlay_mark *m,
			  uint64_t first, uint64_t skip)
{
	bool same = true;

	for (uint64_t i = 0; i < o->dirty_count; i++) {
		uint64_t at = o->dirty_blocks[i];
		const uint8_t *was = i < m->count ? m->blocks + i * BLOCK_SIZE
						  : o->kept + at * BLOCK_SIZE;

		if (at - first >= skip &&
		    memcmp(o->image + at * BLOCK_SIZE, was, BLOCK_SIZE) != 0)
			same = false;
	}
	free(m->blocks);
	free(m);
	return same;
}
