/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compression and packing: several small fragments in one physical block.
 *
 * A pack_op carries one compressed block through the packer and comes back with
 * a verdict. The packer never writes: the LEAD does (its allocation gets the
 * block), and then tells its members.
 *
 *	compress()  ->  pack_submit()  ->  ALONE   store uncompressed
 *	                               ->  LEAD    store op->block for all, then
 *	                                           pack_next_member() for each
 *	                               ->  MEMBER  waits; finished by its lead, who
 *	                                           may change it to ALONE
 *
 * The status word is the only thing shared between threads: a stage, and a bit
 * that says "may not wait in the packer". pack_cancel() sets the bit; it returns
 * true to exactly one caller, and only if the op is in a bin: that caller must
 * send a pack_fetch to get it out (I31, I32).
 *
 * Invariants
 *  (1) Fragments of a bin: at most 14, at most 4060 bytes, at least 2 when it is
 *      written (I29).
 *  (2) An op's stage is PACKING exactly while it is in a bin, the cancelled bin
 *      included; stage and bin change together on the packer's queue.
 *  (3) A cancelled op is continued exactly once.
 *
 * Runs on: the packer's queue, except compress and cancel (any thread).
 * Lifetime: packer_create() to packer_destroy(); ops belong to callers.
 */
#ifndef PACK_PACK_H
#define PACK_PACK_H

#include <stdatomic.h>

#include "exec/completion.h"
#include "format/fragment.h"

struct packer;

enum pack_verdict {
	PACK_ALONE,
	PACK_LEAD,
	PACK_MEMBER,
};

/*
 * The largest fragment that goes to the packer. Larger ones rarely find another
 * that fits beside them: without them four trees of a Debian system, 670 MB, took
 * as many blocks, within 0.02 %, and a third fewer fragments waited in vain.
 */
#define PACK_SIZE_MAX 3200u

struct pack_op {
	struct completion done;  /* home: the packer's queue or any other */
	uint8_t *block;          /* 4096 bytes; own fragment after the header */
	uint16_t size;           /* of the fragment, from pack_compress() */
	uint32_t generation;     /* flush generation of the write */
	enum pack_verdict verdict; /* out */
	uint8_t slot;            /* out: LEAD (0) and MEMBER: own fragment */
	atomic_uint status;      /* private: stage and cancel bit */
	struct pack_op *members; /* LEAD: list of the others, by next */
	struct pack_op *next;    /* private */
	struct pack_bin *bin;    /* private */
};

/* Sent to the packer to take a cancelled op out of its bin. */
struct pack_fetch {
	struct completion go; /* private */
	struct packer *packer;
	struct pack_op *op;
};

struct packer_config {
	struct queue *queue;
	unsigned bin_count; /* 1..16; what is parked is at most 13 a bin */
	bool enabled;       /* compression is on */
};

int packer_create(const struct packer_config *c, struct packer **packer)
	MUST_CHECK;
void packer_destroy(struct packer *p);

/* LZ4's memory; one user at a time. NULL: no memory. */
struct compressor;
struct compressor *compressor_create(void) MUST_CHECK;
void compressor_destroy(struct compressor *c);

/* Make an op ready for a new block: stage "before", not cancelled. */
void pack_op_reset(struct pack_op *op);

/*
 * Compress 4096 bytes at @data into op->block. False: not worth it, or
 * cancelled; the op has then left the packing path (stage after). Any thread.
 */
bool pack_compress(struct compressor *c, struct pack_op *op,
		   const uint8_t *data) MUST_CHECK;

/*
 * Decompress the fragment that @state stands for in @block to 4096 bytes at
 * @data. 0, or -VDO_EFRAGMENT; @data is then undefined. Any thread.
 */
int pack_decompress(const uint8_t *block, uint8_t state, uint8_t *data)
	MUST_CHECK;

/* May the op still be compressed? Any thread. */
bool pack_allowed(const struct pack_op *op);

/* Keep an op from waiting in the packer; true: the caller must fetch it. Any
 * thread. */
bool pack_cancel(struct pack_op *op) MUST_CHECK;

/* Send the message that fetches @op, after pack_cancel() returned true. Any
 * thread. @f must live until the op is continued. */
void pack_send_fetch(struct packer *p, struct pack_fetch *f,
		     struct pack_op *op);

/* Hand over a compressed op. On the packer's queue. done runs with a verdict. */
void pack_submit(struct packer *p, struct pack_op *op);

/* Write the header of a lead's block and copy its members' fragments after its
 * own. Any thread, after the verdict LEAD. */
void pack_assemble(struct pack_op *lead);

/* Take the next member off a lead; NULL at the end. In slot order. */
struct pack_op *pack_next_member(struct pack_op *lead);

/*
 * A flush: from now on ops of generations before @generation are not parked,
 * and all bins are given out. On the packer's queue.
 */
void pack_flush(struct packer *p, uint32_t generation);

/* Compression on or off; off gives all bins out. On the packer's queue. */
void pack_enable(struct packer *p, bool enabled);
bool pack_enabled(const struct packer *p); /* any thread, relaxed */

/* Park nothing any more, give all bins out, wait for cancelled ops to be
 * fetched. On the packer's queue. */
void packer_drain(struct packer *p, struct completion *done);

/* Park ops again; a drain must have ended. On the packer's queue. */
void packer_resume(struct packer *p);

struct pack_stats {
	uint64_t fragments_written, blocks_written, fragments_pending;
};
void pack_get_stats(const struct packer *p, struct pack_stats *stats);

/* A walk: do bins, their order and their members agree? On the packer's queue, or
 * when no queue runs. */
bool packer_sane(const struct packer *p);

#endif
