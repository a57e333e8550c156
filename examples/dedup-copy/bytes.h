/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Little-endian numbers in memory: a growing buffer to write to, and a cursor
 * that never reads beyond the end.
 */
#ifndef DEDUP_COPY_BYTES_H
#define DEDUP_COPY_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t load_bytes(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

static inline void store_bytes(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load_bytes(p, 4);
}

static inline uint64_t load64(const uint8_t *p)
{
	return load_bytes(p, 8);
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store_bytes(p, v, 4);
}

static inline void store64(uint8_t *p, uint64_t v)
{
	store_bytes(p, v, 8);
}

struct bytes {
	uint8_t *data;
	size_t length, max;
	bool failed; /* out of memory: nothing more is added */
};

static inline void bytes_put(struct bytes *b, const void *data, size_t length)
{
	if (b->failed || length == 0)
		return;
	if (b->max - b->length < length) {
		size_t max = 2 * (b->length + length) + 256;
		uint8_t *bigger = realloc(b->data, max);

		if (bigger == NULL) {
			b->failed = true;
			return;
		}
		b->data = bigger;
		b->max = max;
	}
	memcpy(b->data + b->length, data, length);
	b->length += length;
}

static inline void bytes_number(struct bytes *b, uint64_t v, unsigned bytes)
{
	uint8_t p[8];

	store_bytes(p, v, bytes);
	bytes_put(b, p, bytes);
}

/* Four bytes of length, then the data. */
static inline void bytes_blob(struct bytes *b, const void *data, size_t length)
{
	bytes_number(b, length, 4);
	bytes_put(b, data, length);
}

static inline void bytes_string(struct bytes *b, const char *s)
{
	bytes_blob(b, s, strlen(s));
}

struct cursor {
	const uint8_t *at, *end;
	bool bad; /* ran out of bytes, or something made no sense */
};

static inline const uint8_t *cursor_take(struct cursor *c, uint64_t length)
{
	const uint8_t *p = c->at;

	if (c->bad || (uint64_t)(c->end - c->at) < length) {
		c->bad = true;
		return NULL;
	}
	c->at += length;
	return p;
}

static inline uint64_t cursor_number(struct cursor *c, unsigned bytes)
{
	const uint8_t *p = cursor_take(c, bytes);

	return p == NULL ? 0 : load_bytes(p, bytes);
}

/* A copy with a NUL behind it. NULL: bad, or out of memory. */
static inline void *cursor_blob(struct cursor *c, size_t *length)
{
	uint64_t n = cursor_number(c, 4);
	const uint8_t *p = cursor_take(c, n);
	char *copy = p == NULL ? NULL : malloc((size_t)n + 1);

	if (copy == NULL) {
		c->bad = true;
		return NULL;
	}
	memcpy(copy, p, (size_t)n);
	copy[n] = '\0';
	*length = (size_t)n;
	return copy;
}

/* As above; a NUL inside of it is bad. */
static inline char *cursor_string(struct cursor *c)
{
	size_t length = 0;
	char *s = cursor_blob(c, &length);

	if (s != NULL && strlen(s) != length)
		c->bad = true;
	return s;
}

#endif
