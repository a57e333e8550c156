/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is in a lock on a block.
 *
 * It is a file of its own so that tests which stand in for the depot can make
 * locks; pbnlock_pbn() relies on what comes first.
 *
 * Runs on: the queue of the block's zone, but for claims.
 */
#ifndef DEPOT_PBNLOCK_PRIV_H
#define DEPOT_PBNLOCK_PRIV_H

#include <stdatomic.h>
#include <stddef.h>

#include "depot/depot.h"

struct pbn_lock {
	pbn_t pbn; /* comes first */
	enum pbn_lock_type type;
	uint32_t holders;
	bool provisional; /* it owns the block's provisional reference */
	uint8_t limit;	  /* claims that can be granted */
	atomic_uint claims;
	union {
		struct slab *slab; /* held: where the block lies */
		struct pbn_lock *next_free;
	};
};

_Static_assert(offsetof(struct pbn_lock, pbn) == 0,
	       "a lock begins with its block");

#endif
