/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block I/O: one operation on the storage of a volume, embedded in whatever
 * waits for it.
 *
 * Invariants
 *  (1) Once storage_set_read_only() was called no write, discard or flush is started
 *      any more; they finish with -VDO_EREADONLY (I42). The super block
 *      is written with MIO_SUPER, which is exempt.
 *  (2) done runs on its home exactly once.
 *
 * Runs on: any thread; completes on done.home.
 * Lifetime: a mio and its buffers are in use from mio_*() until done runs.
 */
#ifndef IO_MIO_H
#define IO_MIO_H

#include <stdint.h>
#include <sys/uio.h>

#include <vdo/device.h>

#include "exec/completion.h"
#include "format/types.h"
#include "io/storage.h"

struct mio {
	struct completion done; /* home and fn set by the caller */
	struct vdo_device_io io;
	struct iovec vec;
	struct storage *storage;
	enum mio_kind kind;
};

/*
 * @count blocks from @pbn. A range beyond the device finishes with -ERANGE. A
 * write with @fua is durable when it is done.
 */
void mio_read(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	      uint64_t count, void *buf);
void mio_write(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
	       uint64_t count, const void *buf, bool fua);

/* Vectors are used in place until done. */
void mio_writev(struct mio *m, struct storage *s, enum mio_kind kind, pbn_t pbn,
		const struct iovec *iov, unsigned iov_count, bool fua);

/* Blocks whose content is of no use to anybody may lose it. A failure says nothing
 * of what else is on the storage. */
void mio_discard(struct mio *m, struct storage *s, pbn_t pbn, uint64_t count);

/* For sync.c alone: nobody else flushes. */
void mio_flush(struct mio *m, struct storage *s);

#endif
