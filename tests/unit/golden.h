/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps of real volumes as test data: hexadecimal text to bytes.
 */
#ifndef TESTS_UNIT_GOLDEN_H
#define TESTS_UNIT_GOLDEN_H

#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Write the bytes of @hex, blanks between them allowed; returns the number. */
static inline size_t golden(uint8_t *to, const char *hex)
{
	size_t n = 0;

	while (*hex != '\0') {
		char digits[3] = {hex[0], 0, 0};

		if (isspace((unsigned char)*hex)) {
			hex++;
			continue;
		}
		digits[1] = hex[1];
		to[n++] = (uint8_t)strtoul(digits, NULL, 16);
		hex += 2;
	}
	return n;
}

/* The volume of the worked example. */
#define GOLDEN_NONCE      UINT64_C(0x000660d7e4c94872)
#define GOLDEN_DATA_START UINT64_C(679128)

#endif
