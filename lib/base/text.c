/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text is decoded character by character; what is no UTF-8, or may not stand in
 * a line, is escaped byte by byte. The longest piece is a character of four
 * bytes, escaped as 16.
 */
#include "build.h"

#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* The least character that may be encoded in so many bytes. */
static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

/* Decode the sequence at @s, not the end of the text. Its length, or 0: it is
 * no UTF-8. */
static size_t decode(const unsigned char *s, uint32_t *character)
{
	size_t length = *s < 0x80   ? 1
			: *s < 0xc0 ? 0
			: *s < 0xe0 ? 2
			: *s < 0xf0 ? 3
			: *s < 0xf8 ? 4
				    : 0;
	uint32_t c = length == 1 ? *s : *s & (0x7fu >> length);

	VDO_CHECK(*s != '\0');
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0; /* the end of the text, too */
		c = c << 6 | (s[i] & 0x3f);
	}
	if (length == 0 || c < least[length] || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000))
		return 0;
	*character = c;
	return length;
}

static int is_plain(uint32_t c)
{
	VDO_CHECK(c != 0 && c <= 0x10ffff);
	return c != '\\' && c >= 0x20 && (c < 0x7f || c >= 0xa0) &&
	       (c < 0x2028 || c > 0x202e) && (c < 0x2066 || c > 0x2069) &&
	       c != 0x200e && c != 0x200f && c != 0x61c;
}

static size_t escape_byte(char *to, unsigned char c)
{
	if (c == '\n' || c == '\t' || c == '\\')
		return (size_t)sprintf(to, "\\%c",
				       c == '\n'   ? 'n'
				       : c == '\t' ? 't'
						   : '\\');
	return (size_t)sprintf(to, "\\%03o", c);
}

void text_escape(char *to, size_t size, const char *from)
{
	const unsigned char *s = (const unsigned char *)from;
	size_t used = 0;

	VDO_ASSERT(size > 0);
	VDO_CHECK(to + size <= from || from + strlen(from) < to);
	while (*s != '\0') {
		char piece[20];
		uint32_t c = 0;
		size_t length = decode(s, &c), n = 0;

		if (length != 0 && is_plain(c)) {
			n = length;
			memcpy(piece, s, n);
		} else {
			length += length == 0;
			for (size_t i = 0; i < length; i++)
				n += escape_byte(piece + n, s[i]);
		}
		VDO_ASSERT(n > 0 && n < sizeof(piece) && used < size);
		if (n >= size - used)
			break;
		memcpy(to + used, piece, n);
		used += n;
		s += length;
	}
	VDO_ASSERT(used < size);
	to[used] = '\0';
}
