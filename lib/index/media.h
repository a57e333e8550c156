/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an index is on its device, and I/O there.
 *
 * Blocks are numbers of the storage. What media_store() wrote is durable when
 * the op is done; after media_write() that takes a media_flush().
 *
 * Runs on: op->done.home, where done runs. The layout changes only while the
 * index is opened, on the main queue.
 * Lifetime: an op and its buffer are in use until done runs.
 */
#ifndef INDEX_MEDIA_H
#define INDEX_MEDIA_H

#include "base/assert.h"
#include "base/log.h"
#include "index_format/layout.h"
#include "io/mio.h"
#include "io/sync.h"

struct index_media {
	struct index_geometry *geometry; /* whose remapped chapter is read */
	struct index_layout layout;
	uint64_t volume_block; /* where the chapters begin */
	uint64_t first_block, block_count; /* all that there is for it */
	uint64_t nonce;			   /* of the volume */
	struct storage *storage;
	struct sync *sync;
	enum mio_kind kind;
	uint8_t *block; /* a buffer, for whoever is at work on single blocks */
	const struct log *log;
};

struct media_op {
	struct completion done; /* set up by the caller */

	/* private */
	struct sync *service;
	struct mio mio;
	struct sync_op sync;
};

/* The layout is known: have chapters where it says. */
void media_set_layout(struct index_media *m, const struct index_layout *l);

/* The number on the device of the first block; tables and nonces use it. */
static inline uint64_t media_device_block(const struct index_media *m)
{
	VDO_ASSERT(m->first_block >= m->storage->bio_offset);
	return m->first_block - m->storage->bio_offset;
}

/* The block of a page of chapter @vcn. */
static inline uint64_t media_page_block(const struct index_media *m,
					uint64_t vcn, uint32_t page)
{
	VDO_ASSERT(page < m->geometry->chapter_pages);
	return m->volume_block +
	       geometry_page_block(m->geometry,
				   geometry_physical(m->geometry, vcn), page);
}

void media_read(const struct index_media *m, struct media_op *op,
		uint64_t block, uint64_t count, void *to);
void media_write(const struct index_media *m, struct media_op *op,
		 uint64_t block, uint64_t count, const void *from);
void media_store(const struct index_media *m, struct media_op *op,
		 uint64_t block, uint64_t count, const void *from);
void media_flush(const struct index_media *m, struct media_op *op);

#endif
