/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counts are kept by lane (exec/executor.h), so that threads do not fight
 * for them, and summed up by whoever asks; counters that all threads added to
 * took 3 % of the time of a write. A lane can be shared, and operations end on
 * threads of the device; so these counters are added to atomically.
 */
#include "build.h"

#include "io/storage.h"

#include <string.h>

#include "format/types.h"
#include "io/device.h"

void storage_init(struct storage *s, struct vdo_device *device,
		  uint64_t bio_offset)
{
	VDO_ASSERT(device->submit != NULL);
	s->device = device;
	s->bio_offset = bio_offset;
	s->block_count = device->size_bytes >> BLOCK_SHIFT;
	s->volatile_cache = device->flags & VDO_DEVICE_VOLATILE_CACHE;
	atomic_init(&s->read_only, device->flags & VDO_DEVICE_READ_ONLY);
	atomic_init(&s->flushes, 0);
	s->merge_blocks = 0;
	s->bundles = NULL;
	s->free_bundles = NULL;
	s->cache = NULL;
	memset(s->lanes, 0, sizeof(s->lanes));
}

void storage_grow(struct storage *s)
{
	VDO_ASSERT(s->device->size_bytes >> BLOCK_SHIFT >= s->block_count);
	s->block_count = s->device->size_bytes >> BLOCK_SHIFT;
}

void storage_counts(const struct storage *s, enum mio_kind kind,
		    struct mio_counts *counts)
{
	VDO_ASSERT(kind < MIO_KINDS);
	memset(counts, 0, sizeof(*counts));
	for (unsigned i = 0; i < QUEUE_LANES; i++) {
		const struct mio_lane *l = &s->lanes[i];

		counts->read += atomic_load(&l->read[kind]);
		counts->write += atomic_load(&l->write[kind]);
		counts->fua += atomic_load(&l->fua[kind]);
		counts->completed += atomic_load(&l->completed[kind]);
	}
}

void storage_get_totals(const struct storage *s, struct storage_totals *totals)
{
	uint64_t joined[2] = {0}, further[2] = {0};

	memset(totals, 0, sizeof(*totals));
	for (unsigned k = 0; k < MIO_KINDS; k++) {
		struct mio_counts c;

		storage_counts(s, k, &c);
		totals->reads += c.read;
		totals->writes += c.write;
	}
	for (unsigned i = 0; i < QUEUE_LANES; i++) {
		totals->cache_misses += atomic_load(&s->lanes[i].cached[0]);
		totals->cache_hits += atomic_load(&s->lanes[i].cached[1]);
		for (unsigned write = 0; write < 2; write++) {
			joined[write] += atomic_load(&s->lanes[i].joined[write]);
			further[write] +=
				atomic_load(&s->lanes[i].further[write]);
		}
	}
	totals->blocks_read = totals->reads + further[0];
	totals->blocks_written = totals->writes + further[1];
	/* They are not counted at one moment. */
	totals->reads -= MIN(joined[0], totals->reads);
	totals->writes -= MIN(joined[1], totals->writes);
}

void storage_set_read_only(struct storage *s)
{
	atomic_store_explicit(&s->read_only, true, memory_order_relaxed);
}

bool storage_free_lasts(const struct storage *s)
{
	return (s->device->flags & VDO_DEVICE_CAN_DISCARD) == 0 ||
	       s->device->discard_zeroes;
}

int storage_reserve(struct storage *s, pbn_t pbn, uint64_t count)
{
	VDO_ASSERT(pbn >= s->bio_offset && count <= s->block_count);
	VDO_ASSERT(pbn - s->bio_offset <= s->block_count - count);
	if (storage_is_read_only(s))
		return 0; /* nothing will be written */
	return device_reserve(s->device, (pbn - s->bio_offset) << BLOCK_SHIFT,
			      count << BLOCK_SHIFT);
}
