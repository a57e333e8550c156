/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash locks on a workbench: real hash zone and packer, one queue run by hand,
 * and a model of physical blocks and their locks.
 *
 * Advice and claims are the rig's own: it defines advice_start() and
 * pbnlock_claim(). Whatever an op is told is checked against the model (I18
 * I20 I34) and noted in answers, one letter each:
 *
 *	p parked  v verify  w write  a write alone  s share  u unlock  l leave
 *	f fail    o out of the packer (O with others)
 *
 * the caller first, without its number, then the others in order.
 */
#ifndef TESTS_DEDUPE_RIG_H
#define TESTS_DEDUPE_RIG_H

#include "dedupe/dedupe.h"
#include "dedupe/dedupe_priv.h"
#include "depot/pbnlock_priv.h"
#include "tests/lib/unit.h"
#include "tests/unit/hand_queue.h"

#define OPS	    700
#define FIRST_BLOCK 1000
#define BLOCKS	    1024
#define CONTENTS    30

/* For what is checked very often: libcheck's own notes each success. */
#define HOLDS(e)                                \
	do {                                    \
		if (unlikely(!(e)))             \
			ck_abort_msg("%s", #e); \
	} while (0)

struct user {
	struct dedupe_op op;
	struct pack_op pack;
	unsigned content;
	enum dedupe_next next; /* LEAVE: idle */
	bool waiting_io;       /* in the packer */
	bool from_verify;
};

/* A physical block; its lock is in use while it has holders. */
struct block {
	struct pbn_lock lock;
	unsigned refs;
	unsigned granted; /* claims since it was locked */
	unsigned shares;  /* ops told to share, since then */
	int content;
};

/* The index: answers always the same, or as decide() says. */
struct fake_advice {
	struct mapping answer;
	bool found;
	bool async;
	int result;
	char log[OPS];
	unsigned count;
	struct advice_op *pending[OPS];
	unsigned pending_count;
	void (*decide)(struct advice_op *op); /* instead of answer */
};

extern struct hand_queue hand;
extern struct dedupe *dedupe;
extern struct packer *packer;
extern struct user users[OPS];
extern struct block blocks[BLOCKS];
extern struct fake_advice fake;
extern unsigned refs_max;      /* references a block can take */
extern char answers[16 * OPS]; /* what happened since the last look */

void set_up(bool enabled);

/* Everybody is gone, and so is every lock. */
void tear_down(void);

struct block *block_at(pbn_t pbn);
struct pbn_lock *lock_read(pbn_t pbn);
void unlock_block(struct pbn_lock *lock);

/* @b becomes the op's own. */
void give_block(struct user *u, struct block *b);

void enter(struct user *u);
void verify(struct user *u, bool lock, bool equal);

/* Into the packer, if it may. */
void park(struct user *u);

/* Question @i is answered. */
void advice_answer(unsigned i);

/*
 *	e enter         V verified, equal     D verified, different
 *	N no lock       W written             C written compressed
 *	S shared        U unlocked            F failed
 *	k park          q the index answers
 */
void event(char what, struct user *u);

#endif
