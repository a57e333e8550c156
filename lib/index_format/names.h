/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names, and which of their bytes decide what (X 5.2).
 *
 *	bytes 0..7	list and key in the volume index, zone
 *	bytes 8..13	list and key in a chapter's index, open chapter's slot
 *	bytes 14..15	sample or not
 *
 * Runs on: anything; pure functions.
 */
#ifndef INDEX_FORMAT_NAMES_H
#define INDEX_FORMAT_NAMES_H

#include <assert.h>

#include "base/assert.h"
#include "index_format/geometry.h"

/* One record, as it lies on pages and in saves. */
struct index_record {
	struct hash128 name;
	uint8_t data[16];
};

static_assert(sizeof(struct index_record) == RECORD_BYTES, "as on disk");

/* Where a name belongs in a delta index. */
struct delta_place {
	uint32_t list;
	uint32_t key;
};

/*
 * A name, taken apart: whoever submits it does that once, and the parts are
 * carried along wherever the name goes.
 */
struct index_name {
	struct hash128 hash;
	struct delta_place volume;  /* list: counted from the zone's first */
	struct delta_place chapter; /* in the index of any closed chapter */
	uint32_t slot;		    /* an open chapter's search begins here */
	uint8_t zone;
	uint8_t sub; /* SUB_SAMPLES or SUB_NAMES */
};

static_assert(INDEX_ZONES_MAX <= UINT8_MAX && SUBS_MAX <= UINT8_MAX, "bytes");

static inline bool index_name_is_sample(const struct index_name *n)
{
	return n->sub == SUB_SAMPLES;
}

/* Where @hash belongs in the index of a chapter. Records on their way to the
 * disk need no more than this. */
static inline struct delta_place
index_name_in_chapter(const struct index_geometry *g,
		      const struct hash128 *hash)
{
	uint64_t y = get_u64be(hash->bytes + 8) >> 16;

	VDO_CHECK(g->lists > 0);
	return (struct delta_place){
		.list = (uint32_t)((y >> g->address_bits) & (g->lists - 1)),
		.key = (uint32_t)(y & bits_mask(g->address_bits)),
	};
}

/* Take @hash apart for an index of @zones zones. */
static inline void index_name_init(struct index_name *n,
				   const struct index_geometry *g,
				   unsigned zones, const struct hash128 *hash)
{
	uint64_t x = get_u64be(hash->bytes);
	unsigned sample = (unsigned)hash->bytes[14] << 8 | hash->bytes[15];
	const struct sub_geometry *s;
	uint32_t list, each;

	n->hash = *hash;
	n->sub = g->sparse && sample % SPARSE_SAMPLE_RATE == 0 ? SUB_SAMPLES
								: SUB_NAMES;
	s = &g->subs[n->sub];
	list = (uint32_t)((x >> ADDRESS_BITS) % s->list_count);
	each = geometry_zone_lists(s, zones);
	n->zone = (uint8_t)(list / each);
	n->volume.list = list - n->zone * each;
	n->volume.key = (uint32_t)(x & bits_mask(ADDRESS_BITS));
	n->chapter = index_name_in_chapter(g, hash);
	VDO_CHECK(n->zone < zones);
	n->slot = (uint32_t)(get_u64be(hash->bytes + 8) >> 16);
}

#endif
