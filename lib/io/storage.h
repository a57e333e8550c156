/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device under one volume: where its block 0 is, what was sent to it, by
 * kind, and whether anything may still be written.
 *
 * Runs on: any thread. Lifetime: the volume's.
 */
#ifndef IO_STORAGE_H
#define IO_STORAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vdo/device.h>

#include "base/compiler.h"
#include "exec/executor.h"
#include "format/types.h"

/* Whose I/O it is; the statistics are by kind. */
enum mio_kind {
	MIO_DATA,
	MIO_JOURNAL,
	MIO_MAP,   /* leaf and interior pages */
	MIO_SLAB,  /* slab journals, reference counts, summary */
	MIO_INDEX, /* of the deduplication index */
	MIO_SUPER, /* geometry and super block */
	MIO_KINDS,
};

struct mio_counts {
	uint64_t read, write, fua;
	uint64_t completed;
};

/* What went to the device, of all kinds: operations, and blocks in them. */
struct storage_totals {
	uint64_t reads, writes;
	uint64_t blocks_read, blocks_written;
	uint64_t cache_hits, cache_misses;
};

/* What one queue counts; far from the others' and from what all read. */
struct mio_lane {
	char apart[CACHE_LINE];
	atomic_ullong read[MIO_KINDS], write[MIO_KINDS];
	atomic_ullong fua[MIO_KINDS], completed[MIO_KINDS];
	/* Of reads and of writes: how many went along with another one, and
	 * blocks beyond the first of each. */
	atomic_ullong joined[2], further[2];
	atomic_ullong cached[2]; /* in the cache of blocks: not there, there */
};

struct blockcache;
struct bundle;
struct freelist;

struct storage {
	struct vdo_device *device;
	uint64_t bio_offset; /* blocks */
	_Atomic uint64_t block_count;
	uint32_t merge_blocks; /* in one operation; 0: nothing is merged */
	bool volatile_cache; /* flush and FUA have a meaning */
	atomic_bool read_only;
	atomic_ullong flushes;
	struct bundle *bundles; /* private to plug.c */
	struct freelist *free_bundles;
	struct blockcache *cache; /* NULL: there is none */
	struct mio_lane lanes[QUEUE_LANES];
};

void storage_init(struct storage *s, struct vdo_device *device,
		  uint64_t bio_offset);

/* The device has grown. */
void storage_grow(struct storage *s);

/* Is what lies side by side one operation? */
static inline bool storage_merges(const struct storage *s)
{
	return s->merge_blocks != 0;
}

/* What was started and completed so far. Any thread; not one moment's. */
void storage_counts(const struct storage *s, enum mio_kind kind,
		    struct mio_counts *counts);

/* The same of all kinds together. */
void storage_get_totals(const struct storage *s, struct storage_totals *totals);

/* Where the calling thread counts. */
static inline struct mio_lane *storage_own_lane(struct storage *s)
{
	VDO_CHECK(s->device != NULL);
	return &s->lanes[queue_own_lane()];
}

static inline void storage_count_cached(struct storage *s, bool there)
{
	atomic_fetch_add_explicit(&storage_own_lane(s)->cached[there], 1,
				  memory_order_relaxed);
}

static inline void storage_count_joined(struct storage *s, bool write,
					unsigned n)
{
	atomic_fetch_add_explicit(&storage_own_lane(s)->joined[write], n,
				  memory_order_relaxed);
}

/* Any thread. */
void storage_set_read_only(struct storage *s);

static inline bool storage_is_read_only(const struct storage *s)
{
	return atomic_load_explicit(&s->read_only, memory_order_relaxed);
}

/*
 * Is what a block without an owner reads as what it will read as after a crash, until
 * somebody writes there? Not where it may have been discarded, as long as that
 * does not make zeroes of it.
 */
bool storage_free_lasts(const struct storage *s);

/*
 * device_reserve() for @count blocks from @pbn, which exist. A system call, in
 * the calling thread: not for each request.
 */
int storage_reserve(struct storage *s, pbn_t pbn, uint64_t count) MUST_CHECK;

#endif
