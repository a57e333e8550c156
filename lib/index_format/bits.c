/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying bits: whole words where the destination is on a byte, and single
 * puts at both ends.
 *
 *	to:	|..xxxxx|xxxxxxxx xxxxxxxx|xxxxx...|
 *		  head    64-bit words      tail
 *
 * Downwards (to before from) the order is head, words, tail; upwards it is the
 * reverse. A word is loaded entirely before it is stored, and the next load
 * takes its bits from beyond what was stored, so overlap does no harm; bits of
 * a byte that was stored already are shifted out.
 */
#include "build.h"

#include "index_format/bits.h"

#include "base/assert.h"

static inline uint64_t word_at(const uint8_t *mem, uint64_t at)
{
	const uint8_t *p = mem + (at >> 3);
	unsigned shift = at & 7;
	uint64_t w = get_u64(p);

	if (shift == 0)
		return w;
	return w >> shift | (uint64_t)p[8] << (64 - shift);
}

/* Move less than 64 bits within one area, in words. */
static void move_few(uint8_t *mem, uint64_t to, uint64_t from, unsigned n,
		     bool down)
{
	unsigned low = n > BITS_AT_ONCE ? BITS_AT_ONCE : n, high = n - low;

	VDO_CHECK(n < 64);
	if (!down && high != 0)
		bits_put(mem, to + low, high, bits_get(mem, from + low, high));
	bits_put(mem, to, low, bits_get(mem, from, low));
	if (down && high != 0)
		bits_put(mem, to + low, high, bits_get(mem, from + low, high));
}

/* Copy one byte at a time, which never touches more than it must. */
static void copy_few(uint8_t *to, uint64_t to_at, const uint8_t *from,
		     uint64_t from_at, unsigned n, bool down)
{
	VDO_CHECK(n < 64);
	while (n > 0) {
		unsigned k = n < 8 ? n : 8;
		uint64_t at = down ? 0 : n - k;
		uint64_t f = from_at + at, t = to_at + at;
		unsigned v = from[f >> 3] >> (f & 7);
		unsigned mask = (1u << k) - 1;

		if ((f & 7) + k > 8)
			v |= (unsigned)from[(f >> 3) + 1] << (8 - (f & 7));
		v &= mask;
		to[t >> 3] = (uint8_t)((to[t >> 3] & ~(mask << (t & 7))) |
				       v << (t & 7));
		if ((t & 7) + k > 8) {
			unsigned s = 8 - (t & 7);

			to[(t >> 3) + 1] =
				(uint8_t)((to[(t >> 3) + 1] & ~(mask >> s)) |
					  v >> s);
		}
		n -= k;
		if (down) {
			from_at += k;
			to_at += k;
		}
	}
}

/* Copy less than 64 bits. @roomy: @to and @from are one area as bits_move()
 * wants it. */
static inline void few(uint8_t *to, uint64_t to_at, const uint8_t *from,
		       uint64_t from_at, unsigned n, bool down, bool roomy)
{
	if (roomy)
		move_few(to, to_at, from_at, n, down);
	else
		copy_few(to, to_at, from, from_at, n, down);
}

static inline void copy_down(uint8_t *to, uint64_t to_at, const uint8_t *from,
			     uint64_t from_at, uint64_t n, bool roomy)
{
	unsigned head = (unsigned)(-to_at & 7);

	if (head > n)
		head = (unsigned)n;
	few(to, to_at, from, from_at, head, true, roomy);
	to_at += head;
	from_at += head;
	n -= head;
	for (; n >= 64; n -= 64) {
		put_u64(to + (to_at >> 3), word_at(from, from_at));
		to_at += 64;
		from_at += 64;
	}
	few(to, to_at, from, from_at, (unsigned)n, true, roomy);
}

static inline void copy_up(uint8_t *to, uint64_t to_at, const uint8_t *from,
			   uint64_t from_at, uint64_t n, bool roomy)
{
	unsigned tail = (unsigned)((to_at + n) & 7);

	if (tail > n)
		tail = (unsigned)n;
	n -= tail;
	few(to, to_at + n, from, from_at + n, tail, false, roomy);
	while (n >= 64) {
		n -= 64;
		put_u64(to + ((to_at + n) >> 3), word_at(from, from_at + n));
	}
	few(to, to_at, from, from_at, (unsigned)n, false, roomy);
}

void bits_copy(uint8_t *to, uint64_t to_at, const uint8_t *from,
	       uint64_t from_at, uint64_t n)
{
	const uint8_t *t = to + (to_at >> 3), *f = from + (from_at >> 3);

	if (t < f || (t == f && (to_at & 7) <= (from_at & 7)))
		copy_down(to, to_at, from, from_at, n, false);
	else
		copy_up(to, to_at, from, from_at, n, false);
}

void bits_move(uint8_t *mem, uint64_t to_at, uint64_t from_at, uint64_t n)
{
	if (to_at <= from_at)
		copy_down(mem, to_at, mem, from_at, n, true);
	else
		copy_up(mem, to_at, mem, from_at, n, true);
}
