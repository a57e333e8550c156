/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small key-value store on a volume: a log of records, and a head that says
 * how many of them count. What was put before kv_commit() survives any crash
 * after it; of what was put later, nothing or all up to the next commit.
 *
 *	block 0		the head: magic, records, checksum
 *	block 1...	a record each: sequence, key, value, checksum
 */
#ifndef KV_H
#define KV_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/vdo.h>

#define KV_KEYS  64u  /* keys are numbers below it */
#define KV_VALUE 64u  /* bytes of a value */

struct kv {
	struct vdo_volume *volume;
	uint64_t records; /* in the log */
	uint64_t last[KV_KEYS]; /* block of the newest record of a key; or 0 */
	bool sloppy; /* a mistake, to be found: commit without a flush */
};

/* Open the store on @v, or begin one where all is zeroes. -EBADMSG: what was
 * committed is not there. */
int kv_open(struct kv *kv, struct vdo_volume *v);

/* Set @key to the KV_VALUE bytes at @value. */
int kv_put(struct kv *kv, unsigned key, const void *value);

/* Get what @key is set to; -ENOENT: nothing. */
int kv_get(struct kv *kv, unsigned key, void *value);

/* Have all that was put survive. */
int kv_commit(struct kv *kv);

#endif
