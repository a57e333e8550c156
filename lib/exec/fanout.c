/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One atomic count of the parts that are not done, and the first of their
 * errors.
 */
#include "build.h"

#include "exec/fanout.h"

static void tell(struct fanout *f)
{
	struct completion *then = f->then;

	VDO_ASSERT(then != NULL && atomic_load(&f->pending) == 0);
	/* The fan-out may be gone, or begin anew, as soon as that is posted. */
	f->then = NULL;
	completion_finish(then, atomic_load_explicit(&f->result,
						     memory_order_relaxed));
}

void fanout_start(struct fanout *f, struct fanout_part *parts,
		  struct queue *const *queues, size_t stride, unsigned count,
		  completion_fn fn, struct completion *then)
{
	VDO_ASSERT(fn != NULL && (count == 0 || stride >= sizeof(*queues)));
	VDO_ASSERT(f->then == NULL && then != NULL);
	f->then = then;
	atomic_init(&f->pending, count);
	atomic_init(&f->result, 0);
	if (count == 0) {
		tell(f);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		VDO_ASSERT(*queues != NULL);
		completion_init(&parts[i].run, *queues, fn);
		parts[i].fanout = f;
		parts[i].number = i;
		queues = (struct queue *const *)((const char *)queues + stride);
	}
	/* The memory may be gone as soon as the last one is posted. */
	for (unsigned i = 0; i < count; i++)
		completion_post(&parts[i].run);
}

void fanout_part_done(struct fanout_part *part, int result)
{
	struct fanout *f = part->fanout;
	int none = 0;
	unsigned before;

	VDO_ASSERT(f != NULL && result <= 0);
	VDO_CHECK(f->then != NULL);
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
		tell(f);
}
