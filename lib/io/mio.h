/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block I/O: the volume's view of its device.
 *
 * struct storage is the device under one volume: where block 0 is, what was
 * sent to it (counted by kind), and whether anything may still be written. A
 * struct mio is one operation, embedded in whatever waits for it.
 *
 * Invariants
 *  (1) Once storage_set_read_only() was called no write or flush is started
 *      any more; they finish with -VDO_EREADONLY (I42). The super block
 *      is written with MIO_SUPER, which is exempt.
 *  (2) done runs on its home exactly once.
 *
 * Runs on: any thread; completes on done.home.
 * Lifetime: a mio and its buffers are in use from mio_*() until done runs.
 */
#ifndef IO_MIO_H
#define IO_MIO_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/uio.h>

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

/* What one queue counts; far from the others' and from what all read. */
struct mio_lane {
	char apart[CACHE_LINE];
	atomic_ullong read[MIO_KINDS], write[MIO_KINDS];
	atomic_ullong fua[MIO_KINDS], completed[MIO_KINDS];
};

struct storage {
	struct vdo_device *device;
	uint64_t bio_offset; /* blocks */
	uint64_t block_count;
	bool volatile_cache; /* flush and FUA have a meaning */
	atomic_bool read_only;
	atomic_ullong flushes;
	struct mio_lane lanes[QUEUE_LANES];
};

struct mio {
	struct completion done; /* home and fn set by the caller */
	struct vdo_device_io io;
	struct iovec vec;
	struct storage *storage;
	enum mio_kind kind;
};

void storage_init(struct storage *s, struct vdo_device *device,
		  uint64_t bio_offset);

/* What was started and completed so far. Any thread; not one moment's. */
void storage_counts(const struct storage *s, enum mio_kind kind,
		    struct mio_counts *counts);

/* Any thread. */
void storage_set_read_only(struct storage *s);

static inline bool storage_is_read_only(const struct storage *s)
{
	return atomic_load_explicit(&s->read_only, memory_order_relaxed);
}

/*
 * @count blocks from @pbn. A range beyond the device finishes with -ERANGE. A
 * write with @fua is durable when it is done.
 */
void mio_read(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	      uint64_t count, void *buf);
void mio_write(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	       uint64_t count, const void *buf, bool fua);

/* Vectors are used in place until done. */
void mio_readv(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	       const struct iovec *iov, unsigned iov_count);
void mio_writev(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
		const struct iovec *iov, unsigned iov_count, bool fua);

/* For sync.c alone: nobody else flushes. */
void mio_flush(struct mio *m, struct storage *s);

#endif
