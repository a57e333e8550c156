/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a block: between the user, our buffers, and the device.
 */
#include "build.h"

#include "path/path_priv.h"

#include <string.h>

#include "base/hash128_lanes.h"
#include "io/blockcache.h"

/*
 * Copy @n bytes between @block and the user's vectors from (@iov, @offset) on.
 */
static void copy_vectors(const struct iovec *iov, size_t offset,
			 uint8_t *block, size_t n, bool to_user)
{
	VDO_CHECK(n <= BLOCK_SIZE);
	while (n > 0) {
		size_t part = MIN(iov->iov_len - offset, n);
		uint8_t *user = (uint8_t *)iov->iov_base + offset;

		if (to_user)
			memcpy(user, block, part);
		else
			memcpy(block, user, part);
		block += part;
		n -= part;
		iov++;
		offset = 0;
	}
}

void data_from_user(struct request *r)
{
	VDO_CHECK(r->what.kind == IO_WRITE && r->what.io != NULL);
	copy_vectors(r->what.iov, r->what.iov_offset, r->data + r->what.part_offset,
		     r->what.part_length, false);
}

void data_from_piece(struct request *r)
{
	VDO_CHECK(r->what.kind == IO_WRITE && r->what.user != NULL);
	VDO_CHECK(r->what.part_length == BLOCK_SIZE);
	memcpy(r->data, r->what.user, r->what.part_length);
}

void data_to_user(struct request *r, const uint8_t *from)
{
	VDO_ASSERT(r->what.kind == IO_READ && r->what.io != NULL);
	if (r->what.user != NULL && from == NULL) {
		memset(r->what.user, 0, BLOCK_SIZE);
		return;
	}
	if (from == NULL) {
		memset(r->data, 0, BLOCK_SIZE);
		from = r->data;
	}
	copy_vectors(r->what.iov, r->what.iov_offset, (uint8_t *)from + r->what.part_offset,
		     r->what.part_length, true);
}

static void set_hash_zone(struct request *r, unsigned zone)
{
	r->hash_zone = zone;
	r->flow.queues[ON_HASH] = r->path->config.hash_queues[zone];
}

static void set_name(struct request *r, const struct hash128 *hash)
{
	struct dedupe *d = r->path->config.dedupe;

	set_hash_zone(r, dedupe_set_name(d, &r->dedupe, hash));
	dedupe_prefetch(d, r->hash_zone, &r->dedupe);
}

void data_name(struct request *const *requests, unsigned n)
{
	struct request *named[HASH128_LANES];
	const uint8_t *blocks[HASH128_LANES];
	struct hash128 hashes[HASH128_LANES];
	unsigned count = 0;

	VDO_CHECK(n <= HASH128_LANES);
	for (unsigned i = 0; i < n; i++) {
		struct request *r = requests[i];

		VDO_CHECK(r->what.kind != IO_READ && !r->zero);
		if (r->no_dedupe) {
			set_hash_zone(r, r->zone % r->path->config.hash_zones);
			continue;
		}
		named[count] = r;
		blocks[count++] = r->data;
	}
	if (count == 0)
		return;
	hash128_blocks(blocks, count, hashes);
	for (unsigned i = 0; i < count; i++)
		set_name(named[i], &hashes[i]);
}

void data_fetch(struct request *r, struct mapping m, int next)
{
	VDO_ASSERT(m.pbn != ZERO_BLOCK);
	flow_await(&r->flow, &r->mio.done, next);
	mio_read(&r->mio, r->path->config.storage, MIO_DATA, m.pbn, 1,
		 r->block);
}

void data_fetch_user(struct request *r, struct mapping m, int next)
{
	VDO_CHECK(m.pbn != ZERO_BLOCK && r->what.user != NULL);
	VDO_CHECK(!mapping_is_compressed(m));
	flow_await(&r->flow, &r->mio.done, next);
	mio_read(&r->mio, r->path->config.storage, MIO_DATA, m.pbn, 1, r->what.user);
}

int data_unpack(struct request *r, struct mapping m, uint8_t *to)
{
	VDO_CHECK(m.pbn != ZERO_BLOCK && to != r->block);
	if (!mapping_is_compressed(m)) {
		memcpy(to, r->block, BLOCK_SIZE);
		return 0;
	}
	return pack_decompress(r->block, m.state, to);
}

bool data_is_cached(struct request *r, struct mapping m)
{
	struct storage *s = r->path->config.storage;
	bool there;

	VDO_CHECK(m.pbn != ZERO_BLOCK);
	if (s->cache == NULL)
		return false;
	there = blockcache_get(s->cache, m.pbn, r->block);
	storage_count_cached(s, there);
	return there;
}

void data_keep(struct request *r, struct mapping m)
{
	struct storage *s = r->path->config.storage;

	VDO_CHECK(m.pbn != ZERO_BLOCK);
	if (s->cache != NULL)
		blockcache_put(s->cache, m.pbn, r->block);
}
