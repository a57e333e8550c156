/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian integers in byte arrays, bit arithmetic and block predicates.
 *
 * Every structure on disk is read and written through these; nothing depends
 * on the alignment or the byte order of the machine. They copy rather than
 * shift bytes: compilers do not always see a store in eight shifts.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

/* The value between its form on disk and that of the machine, either way. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LE16(v) __builtin_bswap16(v)
#define LE32(v) __builtin_bswap32(v)
#define LE64(v) __builtin_bswap64(v)
#else
#define LE16(v) (v)
#define LE32(v) (v)
#define LE64(v) (v)
#endif

static inline uint16_t get_u16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return LE16(v);
}

static inline uint32_t get_u32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return LE32(v);
}

static inline uint64_t get_u64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return LE64(v);
}

static inline void put_u16(void *p, uint16_t v)
{
	v = LE16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_u32(void *p, uint32_t v)
{
	v = LE32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_u64(void *p, uint64_t v)
{
	v = LE64(v);
	memcpy(p, &v, sizeof(v));
}

/* A big-endian number, for block names. */
static inline uint64_t get_u64be(const void *p)
{
	return __builtin_bswap64(get_u64(p));
}

/*
 * Cursors: read or write one field and step over it. A cursor never checks
 * bounds; the caller has a whole block before it.
 */
struct reader {
	const uint8_t *p;
};

struct writer {
	uint8_t *p;
};

static inline uint8_t read_u8(struct reader *r)
{
	return *r->p++;
}

static inline uint16_t read_u16(struct reader *r)
{
	uint16_t v = get_u16(r->p);

	r->p += 2;
	return v;
}

static inline uint32_t read_u32(struct reader *r)
{
	uint32_t v = get_u32(r->p);

	r->p += 4;
	return v;
}

static inline uint64_t read_u64(struct reader *r)
{
	uint64_t v = get_u64(r->p);

	r->p += 8;
	return v;
}

static inline void read_bytes(struct reader *r, void *to, size_t n)
{
	VDO_CHECK((uint8_t *)to + n <= r->p || r->p + n <= (uint8_t *)to);
	memcpy(to, r->p, n);
	r->p += n;
}

static inline void write_u8(struct writer *w, uint8_t v)
{
	*w->p++ = v;
}

static inline void write_u16(struct writer *w, uint16_t v)
{
	put_u16(w->p, v);
	w->p += 2;
}

static inline void write_u32(struct writer *w, uint32_t v)
{
	put_u32(w->p, v);
	w->p += 4;
}

static inline void write_u64(struct writer *w, uint64_t v)
{
	put_u64(w->p, v);
	w->p += 8;
}

static inline void write_bytes(struct writer *w, const void *from, size_t n)
{
	VDO_CHECK((const uint8_t *)from + n <= w->p ||
		  w->p + n <= (const uint8_t *)from);
	memcpy(w->p, from, n);
	w->p += n;
}

static inline void write_zeroes(struct writer *w, size_t n)
{
	memset(w->p, 0, n);
	w->p += n;
}

static inline bool is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static inline uint64_t div_up(uint64_t a, uint64_t b)
{
	VDO_ASSERT(b != 0);
	return a / b + (a % b != 0);
}

/* floor(log2(n)); n must not be 0. */
static inline unsigned log2_floor(uint64_t n)
{
	VDO_ASSERT(n != 0);
	return 63 - (unsigned)__builtin_clzll(n);
}

/* Is every byte zero? @n is a multiple of 16 and not 0. */
static inline bool is_zero(const void *p, size_t n)
{
	const uint8_t *b = p;

	VDO_ASSERT(n > 0 && n % 16 == 0);
	/* A block of zeroes equals itself 16 bytes further on, which the
	 * fastest loop of libc finds out. */
	return get_u64(b) == 0 && get_u64(b + 8) == 0 &&
	       memcmp(b, b + 16, n - 16) == 0;
}

#endif
