/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool of a whole volume: its directory, and the sub-volumes that are open.
 *
 * Lifetime: from the first call that asks for it to handle_free().
 */
#ifndef API_POOL_H
#define API_POOL_H

#include <stdbool.h>

#include "api/handle.h"

struct pool;

/* NULL is fine. */
void pool_destroy(struct pool *p);

/* Are sub-volumes of @v open? */
bool pool_is_busy(struct vdo_volume *v);

/* Give the handle of a sub-volume back, when its calls are over. */
void sub_close(struct vdo_volume *v);

#endif
