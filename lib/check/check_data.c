/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data: each block that something leads to is read once, in the order of
 * places; of compressed blocks all fragments that are mapped are decompressed.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "format/fragment.h"
#include "pack/pack.h"

#define PIECE 64u /* blocks that are read at once */

struct reading {
	struct check *c;
	uint8_t *piece;
	uint8_t *data; /* of a fragment */
};

static struct vdo_check_finding about(const struct check *c,
				      enum vdo_check_code code,
				      const struct check_slab *s, pbn_t pbn)
{
	struct vdo_check_finding f = finding_make(c, code);

	f.slab = s->number;
	f.block = f.about = check_block(c, pbn);
	return f;
}

static void take_fragment(struct reading *r, const struct check_slab *s,
			  pbn_t pbn, const uint8_t *block, uint8_t state)
{
	const uint8_t *bytes;
	size_t size;
	bool is_there = fragment_find(block, state, &bytes, &size) == 0;
	struct vdo_check_finding f;

	VDO_ASSERT(state >= STATE_FRAGMENT_0);
	r->c->report.fragments++;
	if (is_there && pack_decompress(block, state, r->data) == 0)
		return;
	f = about(r->c,
		  is_there ? VDO_CHECK_FRAGMENT_DAMAGED
			   : VDO_CHECK_FRAGMENT_MISSING,
		  s, pbn);
	f.slot = state - STATE_FRAGMENT_0;
	if (is_there)
		finding_found(&f, "%u bytes that make no block",
			      (unsigned)size);
	else
		finding_found(&f, "no fragment");
	finding_expected(&f, "a fragment");
	(void)finding_tell_later(r->c, &f, state);
}

static void take_block(struct reading *r, const struct check_slab *s, pbn_t pbn,
		       const uint8_t *block, uint16_t forms)
{
	struct check *c = r->c;

	c->report.data_blocks++;
	if (forms == 0)
		return;
	if (!fragment_header_is_valid(block)) {
		struct vdo_check_finding f =
			about(c, VDO_CHECK_FRAGMENT_HEADER, s, pbn);

		finding_found(&f, "version %u.%u", get_u32(block),
			      get_u32(block + 4));
		finding_expected(&f, "version 1.0, at most 4060 bytes");
		(void)finding_tell_later(c, &f, STATE_UNMAPPED);
		return;
	}
	for (unsigned i = 0; i < FRAGMENTS_MAX; i++)
		if (forms >> i & 1)
			take_fragment(r, s, pbn, block,
				      (uint8_t)(STATE_FRAGMENT_0 + i));
}

static int read_one(struct reading *r, const struct check_slab *s, pbn_t pbn,
		    uint16_t forms)
{
	int result = check_read(r->c, pbn, 1, r->piece);
	struct vdo_check_finding f;

	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	if (result == 0) {
		take_block(r, s, pbn, r->piece, forms);
		return 0;
	}
	f = about(r->c, VDO_CHECK_DATA_UNREADABLE, s, pbn);
	finding_found(&f, "%s", vdo_strerror(result));
	(void)finding_tell_later(r->c, &f, STATE_UNMAPPED);
	return 0;
}

/* @n blocks from @offset on, which all hold data. */
static int read_run(struct reading *r, uint32_t place, uint64_t offset,
		    uint64_t n)
{
	struct check *c = r->c;
	const struct check_slab *s = &c->part[place];
	pbn_t pbn = slab_start(&c->slabs, s->number) + offset;
	const uint16_t *forms = &c->forms[check_at(c, place, offset)];
	int result = check_read(c, pbn, n, r->piece);

	VDO_ASSERT(n > 0 && n <= PIECE);
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	for (uint64_t i = 0; i < n; i++) {
		int one = 0;

		if (result == 0)
			take_block(r, s, pbn + i, r->piece + i * BLOCK_SIZE,
				   forms[i]);
		else
			one = read_one(r, s, pbn + i, forms[i]);
		if (one != 0)
			return one;
	}
	return 0;
}

static bool holds_data(const struct check *c, uint32_t place, uint64_t offset)
{
	return (c->refs[check_at(c, place, offset)] &
		(REFS_WHOLE | REFS_FRAGMENT)) != 0;
}

static int read_slab(struct reading *r, uint32_t place)
{
	struct check *c = r->c;
	uint64_t end = c->slabs.data_blocks;
	int result = 0;

	for (uint64_t i = 0, n; result == 0 && i < end; i += n) {
		for (n = 0; n < PIECE && i + n < end; n++)
			if (!holds_data(c, place, i + n))
				break;
		if (n == 0)
			n = 1;
		else
			result = read_run(r, place, i, n);
	}
	return result;
}

static uint64_t count_blocks(const struct check *c)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < c->part_count; i++)
		if (c->slab_flags[c->part[i].number] & SLAB_TOUCHED)
			for (uint64_t k = 0; k < c->slabs.data_blocks; k++)
				n += holds_data(c, i, k);
	return n;
}

int check_data(struct check *c)
{
	struct reading r = {.c = c};
	int result = 0;

	if (c->forms == NULL)
		return 0;
	check_phase(c, "reading data", count_blocks(c));
	r.piece = alloc_aligned(BLOCK_SIZE, PIECE, BLOCK_SIZE);
	r.data = alloc_zeroed(1, BLOCK_SIZE);
	if (r.piece == NULL || r.data == NULL)
		result = -ENOMEM;
	for (uint32_t i = 0; result == 0 && i < c->part_count; i++)
		if (c->slab_flags[c->part[i].number] & SLAB_TOUCHED)
			result = read_slab(&r, i);
	alloc_free(r.data);
	alloc_free(r.piece);
	return result;
}
