/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying a sub-volume as it is at one moment, while it is written to.
 *
 * It is copied in chunks. The moment is when the copy is shown to those who write:
 * whoever changes the sub-volume from then on has the chunks that he changes copied
 * first, and waits for that.
 *
 *	       subcopy_run()			subcopy_submit()
 *	todo  --------------->  busy  <----------------  todo
 *	  |			 |
 *	  | nothing is mapped	 | copied
 *	  +--------> done <------+
 *
 * Invariants
 *  (1) No call that was submitted after the moment changes a chunk that is not done.
 *  (2) What was acknowledged before the moment is in the copy: a copy sees what was
 *      acknowledged, and a chunk without mappings is not copied only if a survey
 *      after the moment found none, and it is still todo then.
 *  (3) If a chunk cannot be copied the whole copy fails, and all chunks count as done:
 *      who writes does not suffer.
 *
 * Locks: that of the sub-volume, with no other one inside.
 */
#ifndef API_SUBCOPY_H
#define API_SUBCOPY_H

#include "api/sub.h"

/*
 * Copy what @v shows to what @to describes, of the same size, where nothing is
 * mapped. @to stays until this returns. Not inside of the queues; one at a time for a
 * sub-volume.
 */
int subcopy_run(struct vdo_volume *v, const struct sub_map *to) MUST_CHECK;

/* sub_submit() of a call that changes a range, while there may be a copy. */
int subcopy_submit(struct vdo_volume *v, const struct sub *from,
		   const struct io_request *q) MUST_CHECK;

#endif
