/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a block nothing but zeroes?
 */
#ifndef BASE_ZERO_H
#define BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* @n is a multiple of 16 and not 0. Ends at the first word that is not zero. */
bool zero_test(const void *p, size_t n);

#endif
