/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty eras: a page is written at the latest maximum_age journal blocks after
 * its first change.
 *
 *	       era_low                         era_now = journal's tail
 *	          |<------- maximum_age ---------->|
 *	 expired  [  ][  ][  ][  ][  ][  ][  ][  ][  ]
 *
 * One bucket for each journal block, in a ring; a page is in the bucket of the
 * oldest block with a change that is not on disk, and moves only to older
 * ones. A bucket of all zeroes is an empty list, so that the ring costs
 * nothing before it is used.
 *
 * The journal tells the zones when it opens a block. An entry may arrive before
 * that message; it counts as one.
 */
#include "build.h"

#include "map/map_priv.h"

#include <errno.h>

#include "base/alloc.h"

void eras_restart(struct map_zone *z, seq_t tail)
{
	uint64_t age = z->map->maximum_age;

	VDO_ASSERT(tail >= z->era_now);
	z->era_now = tail;
	z->era_low = tail > age ? tail - age : 0;
}

int eras_init(struct map_zone *z, seq_t tail)
{
	uint64_t age = z->map->maximum_age;

	VDO_ASSERT(age > 0 && tail > 0);
	z->era_count = age + 1;
	eras_restart(z, tail);
	z->eras = alloc_zeroed(z->era_count, sizeof(*z->eras));
	return z->eras == NULL ? -ENOMEM : 0;
}

void eras_fini(struct map_zone *z)
{
	alloc_free(z->eras);
}

static struct list_node *bucket_of(struct map_zone *z, seq_t seq)
{
	struct list_node *bucket = &z->eras[seq % z->era_count];

	VDO_CHECK(seq >= z->era_low && seq <= z->era_now);
	if (bucket->next == NULL)
		list_init(bucket);
	return bucket;
}

static bool expire(struct map_zone *z, seq_t seq)
{
	struct list_node *bucket = &z->eras[seq % z->era_count];
	struct list_node taken;

	if (bucket->next == NULL || list_empty(bucket))
		return false;
	list_init(&taken);
	list_splice(&taken, bucket);
	list_for_each_safe(n, &taken)
		pageio_write(z, list_entry(n, struct page, link));
	VDO_ASSERT(list_empty(&taken));
	return true;
}

void eras_advance(struct map_zone *z, seq_t tail)
{
	uint64_t age = z->map->maximum_age;
	seq_t low;

	VDO_ASSERT(queue_is_current(z->queue));
	if (tail <= z->era_now)
		return;
	low = tail > age ? tail - age : 0;
	for (uint64_t n = 0; n < z->era_count && z->era_low < low; n++)
		(void)expire(z, z->era_low++);
	z->era_low = MAX(z->era_low, low);
	z->era_now = tail;
}

bool eras_expire_all(struct map_zone *z)
{
	bool any = false;

	VDO_ASSERT(z->era_now - z->era_low < z->era_count);
	for (seq_t seq = z->era_low; seq <= z->era_now; seq++)
		any |= expire(z, seq);
	return any;
}

void eras_add(struct map_zone *z, struct page *p, seq_t seq)
{
	VDO_CHECK(seq > 0);
	if (likely(p->era != 0 && p->era <= seq))
		return;
	if (p->queued || p->again) {
		/* The page will be written anyway, with this change. */
		p->era = seq;
		return;
	}
	/* The page is in no bucket while others expire: it is the newest. */
	list_remove(&p->link);
	eras_advance(z, seq);
	p->era = seq;
	if (p->state == PAGE_RESIDENT)
		page_set_state(z, p, PAGE_DIRTY);
	if (unlikely(seq < z->era_low))
		pageio_write(z, p);
	else
		list_push_back(bucket_of(z, seq), &p->link);
}

void eras_add_entry(struct map_zone *z, struct page *p, seq_t seq)
{
	struct journal *j = z->map->journal;

	VDO_CHECK(p->hold == 0 || p->era != 0);
	if (p->hold == 0 || seq < p->hold) {
		journal_hold_map(j, seq);
		if (p->hold != 0)
			journal_release_map(j, p->hold);
		p->hold = seq;
	}
	journal_release_entry(j, seq);
	eras_add(z, p, seq);
}
