/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of contents, in a hash table of a fixed size with linear probing.
 *
 * A name has one slot, however often it is met, with what the verdict on the
 * next one needs: of all that have it the first is kept, and has the verdict of
 * its mappings. Of the others one that is full, or the first that is not after
 * only full ones, was needed [LIMITED]; all others had a place with room
 * [MISSED]. So how many there are of each does not depend on the order.
 *
 * 112 bits of a name are compared: those of data that are not made for it are
 * different if the data are.
 */
#include "build.h"

#include "check/savings_priv.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "format/types.h"

#define PROBES_MAX 1024u

#define USED	  0x01u
#define HAS_ROOM  0x02u /* one that is not full was met in the range */
#define SHARED	  0x04u /* the first one: more than one mapping */
#define FULL	  0x08u /* the same: it is full */
#define LIMITED	  0x10u /* the same: it has that verdict now */
#define MISSED	  0x20u
#define FORM_AT	  6u
#define FLAG_BITS 16u

struct name {
	uint64_t low;
	uint64_t high; /* its last 16 bits are flags */
};

int names_create(struct savings_names *n, uint64_t slots)
{
	VDO_ASSERT(n->slots == NULL && slots > 0 && slots <= UINT32_MAX);
	n->slots = alloc_table(slots * sizeof(*n->slots));
	n->slot_count = slots;
	n->used = 0;
	return n->slots == NULL ? -ENOMEM : 0;
}

void names_clear(struct savings_names *n)
{
	VDO_ASSERT(n->slots != NULL);
	memset(n->slots, 0, n->slot_count * sizeof(*n->slots));
	n->used = 0;
}

void names_free(struct savings_names *n)
{
	if (n->slots != NULL)
		alloc_table_free(n->slots, n->slot_count * sizeof(*n->slots));
	n->slots = NULL;
}

/* The slot of a name, or a free one for it; NULL: neither is near. */
static struct name *find(const struct savings_names *n,
			 const struct hash128 *name)
{
	uint64_t low = get_u64(name->bytes);
	uint64_t high = get_u64(name->bytes + 8) >> FLAG_BITS;
	uint64_t at = ((low & UINT32_MAX) * n->slot_count) >> 32;

	VDO_ASSERT(at < n->slot_count);
	for (unsigned i = 0; i < PROBES_MAX && i < n->slot_count; i++) {
		struct name *e = &n->slots[(at + i) % n->slot_count];

		if (!(e->high & USED) ||
		    (e->low == low && e->high >> FLAG_BITS == high))
			return e;
	}
	return NULL;
}

static void put(struct savings_names *n, struct name *e,
		const struct savings_content *c)
{
	VDO_ASSERT(!(e->high & USED));
	e->low = get_u64(c->name.bytes);
	e->high = get_u64(c->name.bytes + 8) >> FLAG_BITS << FLAG_BITS;
	e->high |= USED | (c->full ? FULL : HAS_ROOM) |
		   (c->shared ? SHARED : 0) | (unsigned)c->form << FORM_AT;
	n->used++;
}

bool names_add(struct savings_names *n, const struct savings_content *c,
	       struct savings_verdict *v)
{
	struct name *e = find(n, &c->name);

	*v = (struct savings_verdict){.from = VDO_SAVINGS_COPIES,
				      .form = c->form};
	if (e == NULL)
		return false;
	if (!(e->high & USED)) {
		put(n, e, c);
		v->to = c->shared ? VDO_SAVINGS_SHARED : VDO_SAVINGS_UNIQUE;
		return true;
	}
	v->to = c->full || !(e->high & HAS_ROOM) ? VDO_SAVINGS_LIMITED
						 : VDO_SAVINGS_MISSED;
	e->high |= c->full ? 0 : HAS_ROOM;
	return true;
}

bool names_meet(struct savings_names *n, const struct savings_content *c,
		struct savings_verdict *v)
{
	struct name *e = find(n, &c->name);
	bool is_limited;

	if (e == NULL || !(e->high & USED) || e->high & MISSED)
		return false;
	is_limited = c->full || e->high & FULL;
	if (is_limited && e->high & LIMITED)
		return false;
	v->form = (enum vdo_savings_form)(e->high >> FORM_AT & 3);
	v->from = e->high & LIMITED ? VDO_SAVINGS_LIMITED
		  : e->high & SHARED ? VDO_SAVINGS_SHARED
				     : VDO_SAVINGS_UNIQUE;
	v->to = is_limited ? VDO_SAVINGS_LIMITED : VDO_SAVINGS_MISSED;
	e->high |= is_limited ? LIMITED : MISSED;
	return true;
}
