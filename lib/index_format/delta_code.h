/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delta lists as bits: the code of X 4.2 to 4.5, without any memory of its own.
 *
 * An entry is value, delta code and, if it is a collision, the name:
 *
 *	| value | delta, min_bits [| zeros, one] [| 16 bytes of name] |
 *
 * A collision is an entry with delta 0 that is not the first of its list.
 *
 * Invariants
 *  (1) Nothing beyond a list's end is interpreted, whatever the bits say; lists
 *      come from disk. (Up to 7 bytes after it are loaded.)
 *  (2) A list has at most LIST_BITS_MAX bits, so that keys fit in 32 bits.
 *
 * Runs on: anything; pure functions.
 */
#ifndef INDEX_FORMAT_DELTA_CODE_H
#define INDEX_FORMAT_DELTA_CODE_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/hash128.h"
#include "index_format/bits.h"

#define LIST_BITS_MAX 65535u
#define NAME_BITS     128u

struct delta_coding {
	unsigned value_bits;
	unsigned min_bits;
	uint32_t min_keys;
	uint32_t incr_keys;
};

/* An entry of a list, or the place after the last one. */
struct delta_entry {
	uint32_t at;    /* bit in the list */
	uint32_t bits;  /* length, the name included; 0 at the end */
	uint32_t value;
	uint32_t delta;
	uint32_t key;   /* at the end: of the last entry, or 0 */
	bool at_end;
	bool collision;
};

void delta_coding_init(struct delta_coding *c, uint32_t mean_delta,
		       unsigned value_bits);

/* The length of an entry without a name. */
uint32_t delta_entry_bits(const struct delta_coding *c, uint32_t delta);

/* Write an entry at bit @at; name may be NULL. Returns its length. */
uint32_t delta_encode(uint8_t *mem, uint64_t at, const struct delta_coding *c,
		      uint32_t value, uint32_t delta,
		      const struct hash128 *name);

/*
 * Write a whole list, of entries as delta_list_fill() takes them. Returns its
 * length in bits. Up to 8 bytes are written from its last byte on.
 */
uint32_t delta_encode_all(uint8_t *mem, const struct delta_coding *c,
			  const uint64_t *entries, unsigned count);

/*
 * Read the entry at e->at of the list of @bits bits that begins at bit @start.
 * @key is that of the entry before. -VDO_ECORRUPT if it overruns the list.
 */
int delta_decode(const uint8_t *mem, uint64_t start, uint32_t bits,
		 const struct delta_coding *c, uint32_t key,
		 struct delta_entry *e) MUST_CHECK;

/*
 * Look for @key and @name as in X 4.5: the collision entry with that name, else
 * the ordinary entry with that key, else the first entry with a larger key or
 * the end. The search begins with the entry at e->at, which follows one with
 * e->key; all entries before must have smaller keys than @key.
 */
int delta_search_on(const uint8_t *mem, uint64_t start, uint32_t bits,
		    const struct delta_coding *c, uint32_t key,
		    const struct hash128 *name,
		    struct delta_entry *e) MUST_CHECK;

static inline MUST_CHECK int
delta_search(const uint8_t *mem, uint64_t start, uint32_t bits,
	     const struct delta_coding *c, uint32_t key,
	     const struct hash128 *name, struct delta_entry *e)
{
	e->at = 0;
	e->key = 0;
	return delta_search_on(mem, start, bits, c, key, name, e);
}

/* Did a search for @key find an entry? */
static inline bool delta_found(const struct delta_entry *e, uint32_t key)
{
	VDO_CHECK(e->at_end || e->bits != 0);
	return !e->at_end && e->key == key;
}

/* What an entry is that was decoded from a word. */
struct delta_quick {
	uint64_t word;
	uint32_t delta;
	uint32_t bits;
};

/*
 * Decode the entry that @word begins with, of which @valid bits are there, for
 * fast loops. Returns false if it may be longer, or begins too late in the word
 * to tell.
 */
static inline bool delta_quick(uint64_t word, unsigned valid,
			       const struct delta_coding *c,
			       struct delta_quick *q)
{
	unsigned head = c->value_bits + c->min_bits;
	uint64_t tail = (word >> head) | UINT64_C(1) << (valid - head);
	uint32_t code = (uint32_t)(word >> c->value_bits) &
			(uint32_t)bits_mask(c->min_bits);
	uint32_t zeros = (uint32_t)__builtin_ctzll(tail);
	bool far = code >= c->min_keys;

	VDO_CHECK(valid >= head && valid <= BITS_AT_ONCE);
	q->word = word;
	q->delta = code + (far ? zeros * c->incr_keys : 0);
	q->bits = head + (far ? zeros + 1 : 0);
	return q->bits <= valid;
}

#endif
