/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text that may go to a terminal.
 *
 * Messages and log lines have names in them that somebody else has chosen.
 * Whatever a terminal could take for a command, or that breaks or turns a
 * line, becomes an escape: "\n" and "\t", "\\", and "\ooo", three octal digits,
 * for each other byte. These are control characters (C0, DEL, C1), bytes that
 * are no UTF-8, line separators, and marks that change the direction.
 *
 * Runs on: any thread.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/*
 * Escape @from into @size bytes at @to; what does not fit is left out, whole
 * characters and escapes only. The two must not overlap.
 */
void text_escape(char *to, size_t size, const char *from);

#endif
