/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names on a terminal. A name may be any bytes; what a terminal could take for
 * a command, or what breaks or turns a line, is printed as an escape, as the
 * library does in its messages: "\n", "\t", "\\", and three octal digits for
 * each byte of control characters and of what is no UTF-8. The name can be
 * told from the text.
 */
#ifndef EXAMPLES_TEXT_H
#define EXAMPLES_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The character that @s begins with, and how many bytes it has; 0: @s is at its
 * end, or begins with a byte that is no UTF-8.
 */
size_t text_decode(const char *s, uint32_t *character);

/* Not a control character, line separator, or mark that turns the direction. */
int text_is_plain(uint32_t character);

/* Print @s, escaped. */
void text_print(FILE *file, const char *s);

/* @s, escaped, for the caller to free. NULL: out of memory. */
char *text_escaped(const char *s);

#endif
