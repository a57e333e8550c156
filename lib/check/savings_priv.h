/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of savings.
 *
 *	savings.c	the order of things, and the sums
 *	savings_map.c	what mappings lead to, a part of the slabs at a time
 *	savings_why.c	reads what is stored, and tells contents apart
 *	savings_names.c	the table of their names
 *
 * Storage, reference counts and progress are those of usage.
 */
#ifndef CHECK_SAVINGS_PRIV_H
#define CHECK_SAVINGS_PRIV_H

#include "base/hash128.h"
#include "check/journal.h"
#include "check/savings.h"
#include "check/usage_priv.h"

/* 8 bytes a block with a range, 5 without: up to 160 MiB. */
#define SAVINGS_PART_BLOCKS (UINT64_C(1) << 24)
#define SAVINGS_NAME_SLOTS  (UINT64_C(6) << 20) /* 96 MiB */

/* The forms of a block: a bit for each fragment, and one for all of it. */
#define FORM_FRAGMENTS 0x3fffu
#define FORM_WHOLE     0x4000u

static inline unsigned forms_count(uint16_t forms)
{
	unsigned n = 0;

	for (; forms != 0; forms &= (uint16_t)(forms - 1))
		n++;
	return n;
}

/*
 * What leads to the blocks of a part. Blocks are numbered from the first slab
 * on, journals and counts of slabs among them. Without a range there is nothing
 * of its own: own is forms, own_counts is NULL.
 */
struct savings_part {
	uint64_t first, count;
	uint16_t *forms;
	uint16_t *again;  /* the same, met more than once */
	uint8_t *counts;  /* stays at its end */
	uint16_t *own;	  /* forms that the range leads to */
	uint8_t *own_counts;
};

/* A content as it was found. */
struct savings_content {
	struct hash128 name;
	enum vdo_savings_form form;
	bool shared;
	bool full; /* its block can have no more references */
};

/* Where to add one; and where it is no more, or VDO_SAVINGS_COPIES. */
struct savings_verdict {
	enum vdo_savings_copies to, from;
	enum vdo_savings_form form;
};

struct savings_names {
	struct name *slots;
	uint64_t slot_count, used;
};

struct savings {
	struct usage *u;
	unsigned flags;
	bool has_range;
	lbn_t first; /* of the range */
	uint64_t count;
	uint64_t part_blocks; /* that one walk over the map looks at */
	uint64_t name_slots;
	struct check_journal journal;
	struct savings_part part; /* forms is NULL: none */
	bool first_walk;	  /* what does not depend on the part */
	uint64_t pages;		  /* of the block map, without roots */
	uint64_t stored; /* data blocks that mappings lead to, in all */
	struct savings_names names;
	struct vdo_savings result;
};

/* -------------------------------------------------------- savings_map.c */

/* Call @take for each part in which slabs are in use. */
int savings_each_part(struct savings *s, int (*take)(void *arg), void *arg)
	MUST_CHECK;
uint64_t savings_count_parts(struct savings *s);
void savings_free_part(struct savings *s);

/* Blocks that are read for one walk over the map. */
uint64_t savings_walk_blocks(const struct savings *s);

/* All parts once: what is stored how. */
int savings_map(struct savings *s) MUST_CHECK;

/* Have the progress begin anew. */
void savings_phase(struct savings *s, const char *phase, uint64_t blocks);

/* -------------------------------------------------------- savings_why.c */

int savings_why(struct savings *s) MUST_CHECK;

/* ------------------------------------------------------ savings_names.c */

int names_create(struct savings_names *n, uint64_t slots) MUST_CHECK;
void names_clear(struct savings_names *n);
void names_free(struct savings_names *n);

/* A content of the range. False: there is no room. */
bool names_add(struct savings_names *n, const struct savings_content *c,
	       struct savings_verdict *v) MUST_CHECK;
/* One from elsewhere. False: it changes nothing. */
bool names_meet(struct savings_names *n, const struct savings_content *c,
		struct savings_verdict *v) MUST_CHECK;

#endif
