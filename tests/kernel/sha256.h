/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-256 (FIPS 180-4), for the digests in manifests.
 *
 * Runs on: any thread. Lifetime: the caller's memory; nothing to free.
 */
#ifndef TESTS_SHA256_H
#define TESTS_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
	uint32_t h[8];
	uint64_t length;    /* bytes so far */
	uint8_t buffer[64]; /* the last ones, that are no whole chunk */
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t size);
/* The digest in hexadecimal. */
void sha256_end(struct sha256 *s, char hex[65]);

#endif
