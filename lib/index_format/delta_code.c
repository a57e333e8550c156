/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coding of delta lists.
 *
 * Searching is nearly all that the index computes, so its loop decodes without
 * branches that depend on the code, and two entries a load where both are in the
 * word: the next place depends on the bits of the one before, and a load takes
 * half of that chain. Entries with long codes are rare and take the slow way.
 */
#include "build.h"

#include "index_format/delta_code.h"

#include <vdo/error.h>

#include "base/assert.h"

static unsigned digits(uint64_t n)
{
	return n == 0 ? 1 : log2_floor(n) + 1;
}

void delta_coding_init(struct delta_coding *c, uint32_t mean_delta,
		       unsigned value_bits)
{
	/* mean * ln 2 */
	uint64_t incr = (UINT64_C(836158) * mean_delta + 603160) / 1206321;

	VDO_ASSERT(mean_delta > 0 && incr > 0);
	c->value_bits = value_bits;
	c->incr_keys = (uint32_t)incr;
	c->min_bits = digits(incr + 1);
	c->min_keys = (uint32_t)((UINT64_C(1) << c->min_bits) - incr);
	VDO_ASSERT(c->value_bits + c->min_bits < BITS_AT_ONCE);
}

/* Take @delta apart: a code and, if the result is true, zeros and a one. */
static inline bool split(const struct delta_coding *c, uint32_t delta,
			 uint32_t *code, uint32_t *zeros)
{
	bool far = delta >= c->min_keys;

	*zeros = far ? (delta - c->min_keys) / c->incr_keys : 0;
	*code = delta - *zeros * c->incr_keys;
	return far;
}

uint32_t delta_entry_bits(const struct delta_coding *c, uint32_t delta)
{
	uint32_t code, zeros;
	bool far = split(c, delta, &code, &zeros);

	return c->value_bits + c->min_bits + (far ? zeros + 1 : 0);
}

static void put_name(uint8_t *mem, uint64_t at, const struct hash128 *name)
{
	bits_copy(mem, at, name->bytes, 0, NAME_BITS);
}

uint32_t delta_encode(uint8_t *mem, uint64_t at, const struct delta_coding *c,
		      uint32_t value, uint32_t delta,
		      const struct hash128 *name)
{
	uint32_t bits = c->value_bits + c->min_bits;
	uint32_t code, zeros;
	bool far = split(c, delta, &code, &zeros);

	VDO_CHECK(value <= bits_mask(c->value_bits));
	VDO_CHECK(name == NULL || delta == 0);
	bits_put(mem, at, bits, value | (uint64_t)code << c->value_bits);
	if (far) {
		for (; zeros >= 32; zeros -= 32, bits += 32)
			bits_put(mem, at + bits, 32, 0);
		bits_put(mem, at + bits, zeros + 1, UINT64_C(1) << zeros);
		bits += zeros + 1;
	}
	if (name != NULL) {
		put_name(mem, at + bits, name);
		bits += NAME_BITS;
	}
	return bits;
}

/* Writes bits one after the other. */
struct pen {
	uint8_t *at;
	uint64_t word; /* from at on */
	unsigned bits; /* of it, below 8 */
};

/* Write @n bits, at most 56. */
static inline void pen_write(struct pen *p, unsigned n, uint64_t v)
{
	VDO_CHECK(n <= 56 && p->bits < 8);
	p->word |= v << p->bits;
	p->bits += n;
	put_u64(p->at, p->word);
	p->at += p->bits / 8;
	p->word >>= p->bits / 8 * 8;
	p->bits %= 8;
}

uint32_t delta_encode_all(uint8_t *mem, const struct delta_coding *coding,
			  const uint64_t *entries, unsigned count)
{
	const struct delta_coding c = *coding;
	struct pen p = {.at = mem};
	uint32_t before = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t key = (uint32_t)(entries[i] >> 32);
		uint32_t value = (uint32_t)entries[i];
		uint32_t code, zeros;
		bool far = split(&c, key - before, &code, &zeros);

		VDO_CHECK(i == 0 || key > before);
		pen_write(&p, c.value_bits + c.min_bits,
			  value | (uint64_t)code << c.value_bits);
		if (far) {
			for (; zeros >= 32; zeros -= 32)
				pen_write(&p, 32, 0);
			pen_write(&p, zeros + 1, UINT64_C(1) << zeros);
		}
		before = key;
	}
	return (uint32_t)(p.at - mem) * 8 + p.bits;
}

/* Count the zeros from @at on, up to a one. Returns false if that is not before
 * @end. */
static bool count_zeros(const uint8_t *mem, uint64_t at, uint64_t end,
			uint32_t *zeros)
{
	uint64_t p = at;

	VDO_CHECK(at <= end);
	while (p < end) {
		uint64_t w = bits_get(mem, p, BITS_AT_ONCE);

		if (w != 0) {
			p += (unsigned)__builtin_ctzll(w);
			break;
		}
		p += BITS_AT_ONCE;
	}
	*zeros = (uint32_t)(p - at);
	return p < end;
}

int delta_decode(const uint8_t *mem, uint64_t start, uint32_t bits,
		 const struct delta_coding *c, uint32_t key,
		 struct delta_entry *e)
{
	uint32_t head = c->value_bits + c->min_bits;
	uint64_t at = start + e->at;

	e->collision = false;
	e->at_end = e->at >= bits;
	if (e->at_end) {
		e->bits = e->value = e->delta = 0;
		e->key = key;
		return e->at > bits ? -VDO_ECORRUPT : 0;
	}
	if (bits - e->at < head)
		return -VDO_ECORRUPT;
	e->value = (uint32_t)bits_get(mem, at, c->value_bits);
	e->delta = (uint32_t)bits_get(mem, at + c->value_bits, c->min_bits);
	e->bits = head;
	if (e->delta >= c->min_keys) {
		uint32_t zeros;

		if (!count_zeros(mem, at + head, start + bits, &zeros))
			return -VDO_ECORRUPT;
		e->delta += zeros * c->incr_keys;
		e->bits += zeros + 1;
	}
	if (e->delta == 0 && e->at != 0) {
		e->collision = true;
		e->bits += NAME_BITS;
	}
	e->key = key + e->delta;
	return e->bits > bits - e->at ? -VDO_ECORRUPT : 0;
}

static bool name_equals(const uint8_t *mem, uint64_t at,
			const struct hash128 *name)
{
	for (unsigned i = 0; i < sizeof(name->bytes); i++) {
		const uint8_t *p = mem + (at >> 3) + i;
		unsigned v = *p;

		if ((at & 7) != 0)
			v = v >> (at & 7) | (unsigned)p[1] << (8 - (at & 7));
		if ((uint8_t)v != name->bytes[i])
			return false;
	}
	return true;
}

/* Search the collisions that follow the ordinary entry @e. */
static int search_collisions(const uint8_t *mem, uint64_t start, uint32_t bits,
			     const struct delta_coding *c,
			     const struct hash128 *name, struct delta_entry *e)
{
	struct delta_entry next = {.at = e->at + e->bits};

	while (next.at < bits) {
		int r = delta_decode(mem, start, bits, c, e->key, &next);

		if (r != 0)
			return r;
		if (!next.collision)
			break;
		if (name_equals(mem, start + next.at + next.bits - NAME_BITS,
				name)) {
			*e = next;
			break;
		}
		next.at += next.bits;
	}
	return 0;
}

int delta_search_on(const uint8_t *mem, uint64_t start, uint32_t bits,
		    const struct delta_coding *coding, uint32_t target,
		    const struct hash128 *name, struct delta_entry *e)
{
	const struct delta_coding c = *coding;
	unsigned head = c.value_bits + c.min_bits;
	uint64_t at = start + e->at, end = start + bits;
	uint32_t key = e->key;
	int r;

	while (at < end) {
		uint64_t word = bits_peek(mem, at);
		struct delta_quick q;
		unsigned left;

		if (unlikely(!delta_quick(word, BITS_AT_ONCE, &c, &q)) ||
		    unlikely(q.delta == 0 && at != start)) {
			e->at = (uint32_t)(at - start);
			r = delta_decode(mem, start, bits, &c, key, e);
			if (r != 0)
				return r;
			q.delta = e->delta;
			q.bits = e->bits;
		}
		if (key + q.delta >= target)
			break;
		key += q.delta;
		at += q.bits;
		left = BITS_AT_ONCE - q.bits; /* a name is longer */
		if (unlikely(left > BITS_AT_ONCE) || left < head || at >= end ||
		    !delta_quick(word >> q.bits, left, &c, &q) ||
		    unlikely(q.delta == 0))
			continue;
		if (key + q.delta >= target)
			break;
		key += q.delta;
		at += q.bits;
	}
	e->at = (uint32_t)(at - start);
	r = delta_decode(mem, start, bits, &c, key, e);
	if (r != 0 || !delta_found(e, target))
		return r;
	return search_collisions(mem, start, bits, &c, name, e);
}
