/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one parser of sizes: options of the library, and the programs.
 *
 *	number [. digits] [space] [K M G T P E] [iB] or [B]
 *
 * Locales and their decimal points play no part. "MB" is refused: it means
 * 1000000 to some and 1048576 to others.
 */
#include "build.h"

#include "base/assert.h"

#include <vdo/config.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* 10^18: twice as much still fits into 64 bits. */
#define FRACTION_DIGITS 18u

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c, char letter)
{
	return (c | 0x20) == letter;
}

/* Digits at *@text, which moves on. False: none, or too many. */
static bool take_whole(const char **text, uint64_t *value)
{
	const char *p = *text;
	uint64_t n = 0;

	if (!is_digit(*p))
		return false;
	for (; is_digit(*p); p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*text = p;
	*value = n;
	return true;
}

/* A part of one: @over / @under, less than 1. */
struct fraction {
	uint64_t over, under;
	bool given;
};

/* ".25" at *@text, if there is one; digits that make no byte are dropped. */
static bool take_fraction(const char **text, struct fraction *f)
{
	const char *p = *text;

	*f = (struct fraction){.under = 1};
	if (*p != '.')
		return true;
	f->given = true;
	if (!is_digit(*++p))
		return false;
	for (unsigned n = 0; is_digit(*p); p++, n++) {
		if (n >= FRACTION_DIGITS)
			continue;
		f->over = f->over * 10 + (unsigned)(*p - '0');
		f->under *= 10;
	}
	VDO_ASSERT(f->over < f->under);
	*text = p;
	return true;
}

/* The power of two of the unit at @text, which must be all that is left. */
static bool parse_unit(const char *text, unsigned *shift)
{
	static const char letters[] = "kmgtpe";

	*shift = 0;
	if (*text == ' ')
		text++;
	for (unsigned i = 0; letters[i] != '\0'; i++)
		if (is_letter(*text, letters[i]))
			*shift = 10 * (i + 1);
	if (*shift == 0)
		return *text == '\0' ||
		       (is_letter(*text, 'b') && text[1] == '\0');
	VDO_ASSERT(*shift <= 60);
	text++;
	if (is_letter(*text, 'i') && is_letter(text[1], 'b'))
		text += 2;
	return *text == '\0';
}

/* 2^@shift times @f, rounded down. */
static uint64_t scale(struct fraction f, unsigned shift)
{
	uint64_t n = 0;

	VDO_ASSERT(f.over < f.under && shift <= 60);
	for (; shift > 0; shift--) {
		f.over *= 2;
		n *= 2;
		if (f.over >= f.under) {
			f.over -= f.under;
			n++;
		}
	}
	return n;
}

int vdo_size_parse(const char *text, uint64_t *bytes)
{
	struct fraction f;
	unsigned shift;
	uint64_t n, part;

	if (text == NULL || bytes == NULL)
		return -EINVAL;
	if (!take_whole(&text, &n) || !take_fraction(&text, &f) ||
	    !parse_unit(text, &shift))
		return -EINVAL;
	if (f.given && shift == 0)
		return -EINVAL; /* a part of a byte */
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	part = scale(f, shift);
	VDO_ASSERT(part < UINT64_C(1) << shift); /* or the sum overflows */
	*bytes = (n << shift) + part;
	return 0;
}
