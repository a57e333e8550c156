/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The geometry block (block 0).
 *
 * Version 5.0 (4.0 lacks bio_offset)
 *	OFFSET	SIZE	MEANING
 *	0	8	"dmvdo001"
 *	8	20	component header: id 5, version, size 101 (93)
 *	28	4	unused word, preserved
 *	32	8	nonce
 *	40	16	UUID
 *	56	8	bio_offset (5.0 only)
 *	64	12	region 0: id 0, first block: the index
 *	76	12	region 1: id 1, first block: super block and data
 *	88	4	index memory code
 *	92	4	unused
 *	96	1	sparse flag
 *	97	4	CRC over all before
 */
#ifndef FORMAT_GEOMETRY_H
#define FORMAT_GEOMETRY_H

#include "format/types.h"

struct geometry {
	uint32_t version_major; /* 4 or 5 */
	uint32_t unused;
	uint64_t nonce;
	uint8_t uuid[16];
	uint64_t bio_offset; /* blocks */
	pbn_t index_start;
	pbn_t data_start;
	int32_t index_memory; /* code, V 2.2 */
	bool index_sparse;
};

/* CRC-32 as VDO computes it: register starts at 0, final XOR all ones. */
uint32_t format_crc(const void *p, size_t n);

/* @block is 4096 bytes, all of them written. */
void geometry_encode(const struct geometry *g, uint8_t *block);

/* 0, -VDO_ENOTVDO, -VDO_EVERSION, -VDO_ECHECKSUM */
int geometry_decode(const uint8_t *block, struct geometry *g) MUST_CHECK;

#endif
