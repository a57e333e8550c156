/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plug: operations on neighbouring blocks that one turn of a queue starts go
 * to the device as one. See plug.c.
 *
 * Invariants
 *  (1) Each operation is told what it would have been told alone.
 *  (2) Of two operations of a turn on one block, one of them a write, the first
 *      goes to the device first.
 *  (3) No write is started once the storage is read-only (I42).
 *
 * Runs on: the queue that started the operations; ends on any thread.
 * Lifetime: the storage's.
 */
#ifndef IO_PLUG_H
#define IO_PLUG_H

#include <stdint.h>

#include "io/mio.h"

/*
 * Merge up to @bytes on @s from now on; 0: nothing is. A device whose
 * operations are over at once has nothing to gain from it. After
 * storage_init(). -ENOMEM
 */
int plug_init(struct storage *s, uint64_t bytes) MUST_CHECK;

/* When all operations are over. */
void plug_fini(struct storage *s);

/* Start @m, which is prepared and counted, now or at the end of the turn. */
void plug_start(struct mio *m);

/* What the turn has put off goes to the device now. */
void plug_flush(void);

#endif
