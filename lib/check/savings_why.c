/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why was the rest not saved? Each block that the range leads to is read, in the
 * order of places; what is whole is compressed as a write would, and fragments
 * are decompressed. The name of each content is looked up among those before it.
 *
 * The table of names has room for some. If there may be more, the data are read
 * again: each pass looks at the names of an interval, and leaves out the others.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "check/savings_priv.h"
#include "format/fragment.h"
#include "format/mapping.h"
#include "format/slab.h"
#include "pack/pack.h"

#define PIECE 64u /* blocks that are read at once */

struct reading {
	struct savings *s;
	struct compressor *compressor;
	struct pack_op op;
	uint8_t *piece;
	uint8_t *data; /* of a fragment, and room to compress to */
	uint64_t pass, passes;
	bool elsewhere; /* what the range does not lead to */
};

static bool is_of_pass(const struct reading *r, const struct hash128 *name)
{
	uint64_t part = get_u64(name->bytes) >> 32;

	VDO_ASSERT(r->passes > 0 && r->passes <= UINT32_MAX);
	return part * r->passes >> 32 == r->pass;
}

static bool compresses(struct reading *r, const uint8_t *data)
{
	pack_op_reset(&r->op);
	return pack_compress(r->compressor, &r->op, data);
}

static void take_content(struct reading *r, const uint8_t *data,
			 struct savings_content c, bool is_whole)
{
	struct savings *s = r->s;
	uint64_t(*why)[VDO_SAVINGS_FORMS] = s->result.why;
	struct savings_verdict v;

	c.name = hash128(data, BLOCK_SIZE, BLOCK_NAME_SEED);
	if (!is_of_pass(r, &c.name))
		return;
	if (r->elsewhere) {
		if (!names_meet(&s->names, &c, &v))
			return;
		VDO_ASSERT(why[v.from][v.form] > 0);
		why[v.from][v.form]--;
		why[v.to][v.form]++;
		return;
	}
	if (is_whole)
		c.form = compresses(r, data) ? VDO_SAVINGS_ALONE
					     : VDO_SAVINGS_INCOMPRESSIBLE;
	if (names_add(&s->names, &c, &v))
		why[v.to][v.form]++;
	else
		s->result.untold++;
}

static void untold(struct reading *r, unsigned contents)
{
	/* Each pass meets them again. */
	if (!r->elsewhere && r->pass == 0)
		r->s->result.untold += contents;
}

static void take_fragments(struct reading *r, const uint8_t *block,
			   uint16_t forms, uint16_t again,
			   struct savings_content c)
{
	c.form = VDO_SAVINGS_PACKED;
	for (unsigned i = 0; i < FRAGMENTS_MAX; i++) {
		if (!(forms >> i & 1))
			continue;
		c.shared = (again >> i & 1) != 0;
		if (pack_decompress(block, (uint8_t)(STATE_FRAGMENT_0 + i),
				    r->data) == 0)
			take_content(r, r->data, c, false);
		else
			untold(r, 1);
	}
}

/* The forms of a block that are to be read; 0: it is not. */
static uint16_t wanted(const struct reading *r, uint64_t at)
{
	const struct savings_part *p = &r->s->part;
	uint16_t own = p->own[at];

	if (r->elsewhere)
		return own & FORM_WHOLE ? 0 : (uint16_t)(p->forms[at] & ~own);
	return own & FORM_WHOLE ? FORM_WHOLE : own;
}

static void take_block(struct reading *r, uint64_t at, const uint8_t *block)
{
	const struct savings_part *p = &r->s->part;
	uint16_t forms = wanted(r, at);
	struct savings_content c = {.full = p->counts[at] >= REFS_MAX};

	VDO_ASSERT(forms != 0);
	if (forms & FORM_WHOLE) {
		c.shared = p->counts[at] > 1;
		take_content(r, block, c, true);
	} else {
		take_fragments(r, block, forms, p->again[at], c);
	}
}

static int read_one(struct reading *r, uint64_t at)
{
	const struct savings *s = r->s;
	int result = usage_read(s->u,
				s->u->slabs.first_block + s->part.first + at,
				1, r->piece);

	if (result == 0)
		take_block(r, at, r->piece);
	else if (result != -ECANCELED && result != -ENOMEM)
		untold(r, forms_count(wanted(r, at)));
	else
		return result;
	return 0;
}

/* @n blocks from @at on, which are all wanted. */
static int read_run(struct reading *r, uint64_t at, uint64_t n)
{
	const struct savings *s = r->s;
	int result = usage_read(s->u,
				s->u->slabs.first_block + s->part.first + at, n,
				r->piece);

	VDO_ASSERT(n > 0 && n <= PIECE);
	if (result == 0) {
		for (uint64_t i = 0; i < n; i++)
			take_block(r, at + i, r->piece + i * BLOCK_SIZE);
		return 0;
	}
	for (uint64_t i = 0; i < n; i++) {
		if (result == -ECANCELED || result == -ENOMEM)
			return result;
		result = read_one(r, at + i);
	}
	return result;
}

static int read_part(void *arg)
{
	struct reading *r = arg;
	uint64_t end = r->s->part.count;
	int result = 0;

	for (uint64_t i = 0, n; result == 0 && i < end; i += n) {
		for (n = 0; n < PIECE && i + n < end; n++)
			if (wanted(r, i + n) == 0)
				break;
		if (n == 0)
			n = 1;
		else
			result = read_run(r, i, n);
	}
	return result;
}

static int read_passes(struct reading *r)
{
	struct savings *s = r->s;
	bool everywhere = s->has_range && s->flags & VDO_SAVINGS_EVERYWHERE;
	int result = 0;

	for (r->pass = 0; result == 0 && r->pass < r->passes; r->pass++) {
		if (r->pass > 0)
			names_clear(&s->names);
		r->elsewhere = false;
		result = savings_each_part(s, read_part, r);
		r->elsewhere = true;
		if (result == 0 && everywhere)
			result = savings_each_part(s, read_part, r);
	}
	return result;
}

static void begin_phase(const struct reading *r)
{
	struct savings *s = r->s;
	uint64_t parts = savings_count_parts(s);
	uint64_t blocks = s->result.stored_blocks, walks = 1;

	/* A block may be read as one of the range and as one of others. */
	if (s->has_range && s->flags & VDO_SAVINGS_EVERYWHERE) {
		blocks += s->stored - MIN(s->result.exclusive_blocks,
					  s->stored);
		walks = 2;
	}
	if (parts > 1)
		blocks += walks * parts * savings_walk_blocks(s);
	savings_phase(s, "reading data", blocks * r->passes);
}

int savings_why(struct savings *s)
{
	uint64_t contents = s->result.distinct_uncompressed +
			    s->result.distinct_compressed;
	uint64_t slots = MIN(contents + contents / 2 + 16, s->name_slots);
	struct reading r = {.s = s};
	int result;

	s->result.has_why = true;
	if (contents == 0)
		return 0;
	result = names_create(&s->names, slots);
	/* Full to three quarters, as far as names are spread evenly. */
	r.passes = MAX(div_up(contents, MAX(slots / 4 * 3, 1)), 1);
	r.piece = alloc_aligned(BLOCK_SIZE, PIECE, BLOCK_SIZE);
	r.data = alloc_zeroed(2, BLOCK_SIZE);
	r.compressor = compressor_create();
	if (r.piece == NULL || r.data == NULL || r.compressor == NULL)
		result = -ENOMEM;
	if (result == 0) {
		r.op.block = r.data + BLOCK_SIZE;
		begin_phase(&r);
		result = read_passes(&r);
	}
	compressor_destroy(r.compressor);
	alloc_free(r.data);
	alloc_free(r.piece);
	names_free(&s->names);
	return result;
}
