/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "exec/fanout.h"

void fanout_start(struct fanout *f, struct fanout_part *parts, unsigned count)
{
	atomic_init(&f->pending, count);
	atomic_init(&f->result, 0);
	if (count == 0) {
		completion_post(&f->done);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		parts[i].fanout = f;
	/* The memory may be gone as soon as the last one is posted. */
	for (unsigned i = 0; i < count; i++)
		completion_post(&parts[i].run);
}

void fanout_part_done(struct fanout_part *part, int result)
{
	struct fanout *f = part->fanout;
	int none = 0;
	unsigned before;

	if (result != 0)
		atomic_compare_exchange_strong_explicit(&f->result, &none,
							result,
							memory_order_relaxed,
							memory_order_relaxed);
	/* Release our work to whoever is last; if we are, acquire theirs. */
	before = atomic_fetch_sub_explicit(&f->pending, 1,
					   memory_order_acq_rel);
	VDO_ASSERT(before > 0);
	if (before == 1)
		completion_finish(&f->done,
				  atomic_load_explicit(&f->result,
						       memory_order_relaxed));
}
