/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The work of these examples: 16 chains, each of which writes a block, reads it back
 * and compares it, 64 times, and each step begins when the one before is over.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include <vdo/vdo.h>

#define CHAINS 16
#define STEPS  64
#define BLOCK  4096

struct chain {
	struct vdo_volume *volume;
	struct vdo_cq_entry entry; /* for loops that reap */
	/* Where operations end: vdo_cq_complete, or chain_callback. */
	vdo_callback callback;
	void *arg;
	unsigned number, step; /* even: written, odd: read back */
	_Alignas(BLOCK) unsigned char block[BLOCK];
};

extern unsigned chains_left, chains_failed;

/* A volume in memory, with these options in pairs, NULL at the end. Or exit. */
struct vdo_volume *volume_make(struct vdo_config *config,
			       const char *const *options);
/* Close it; the exit code. */
int volume_end(struct vdo_volume *volume, const char *name);

/* Begin all of them: @cq, or NULL for callbacks. */
void chains_start(struct vdo_volume *volume, struct vdo_cq *cq);

/* An operation of @c is over: begin the next one. */
void chain_go_on(struct chain *c, int result);

/* Take what is in @cq, and go on. */
void chains_reap(struct vdo_cq *cq);

#endif
