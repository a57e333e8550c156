/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test for blocks of nothing but zeroes, which every write goes through.
 *
 * Runs on: any thread.
 */
#ifndef BASE_ZERO_H
#define BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* Are the @n bytes at @p all zero? @n is a multiple of 16, and not 0. The test
 * ends early where it can. */
bool zero_test(const void *p, size_t n);

#endif
