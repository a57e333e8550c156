/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for terminals. The library escapes its own messages in the same way
 * (lib/base/text.c), but the programs use its public calls alone, and a call for
 * this would be one that no other host needs.
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

size_t text_decode(const char *text, uint32_t *character)
{
	/* the least character that may have so many bytes */
	static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	size_t length = *s < 0x80   ? 1
			: *s < 0xc0 ? 0
			: *s < 0xe0 ? 2
			: *s < 0xf0 ? 3
			: *s < 0xf8 ? 4
				    : 0;
	uint32_t c = length == 1 ? *s : *s & (0x7fu >> length);

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

int text_is_plain(uint32_t c)
{
	return c >= 0x20 && (c < 0x7f || c >= 0xa0) &&
	       (c < 0x2028 || c > 0x202e) && (c < 0x2066 || c > 0x2069) &&
	       c != 0x200e && c != 0x200f && c != 0x61c;
}

/* The escape of a byte in @to, 4 bytes at most; how many it has. */
static size_t escape_byte(char *to, unsigned char c)
{
	static const char digits[] = "01234567";

	*to++ = '\\';
	if (c == '\n' || c == '\t' || c == '\\') {
		*to = c == '\n' ? 'n' : c == '\t' ? 't' : '\\';
		return 2;
	}
	*to++ = digits[c >> 6];
	*to++ = digits[c >> 3 & 7];
	*to = digits[c & 7];
	return 4;
}

/* Escape what @s begins with in @to, 16 bytes at most; *s moves on. */
static size_t escape_next(char *to, const char **s)
{
	uint32_t c = 0;
	size_t length = text_decode(*s, &c), used = 0;

	if (length != 0 && c != '\\' && text_is_plain(c)) {
		memcpy(to, *s, length);
		*s += length;
		return length;
	}
	length += length == 0;
	for (; length > 0; length--, (*s)++)
		used += escape_byte(to + used, (unsigned char)**s);
	return used;
}

void text_print(FILE *file, const char *s)
{
	char piece[16];

	while (*s != '\0')
		fwrite(piece, 1, escape_next(piece, &s), file);
}

char *text_escaped(const char *s)
{
	char *escaped = malloc(4 * strlen(s) + 1);
	size_t used = 0;

	if (escaped == NULL)
		return NULL;
	while (*s != '\0')
		used += escape_next(escaped + used, &s);
	escaped[used] = '\0';
	return escaped;
}
