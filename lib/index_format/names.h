/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which bytes of a name decide what (X 5.2).
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

static inline bool name_is_sample(const struct index_geometry *g,
				  const struct hash128 *name)
{
	return g->sparse && (name->bytes[14] << 8 | name->bytes[15]) %
					    SPARSE_SAMPLE_RATE == 0;
}

static inline unsigned name_sub(const struct index_geometry *g,
				const struct hash128 *name)
{
	return name_is_sample(g, name) ? SUB_SAMPLES : SUB_NAMES;
}

static inline struct delta_place name_in_volume(const struct sub_geometry *s,
						const struct hash128 *name)
{
	uint64_t x = get_u64be(name->bytes);

	return (struct delta_place){
		.list = (uint32_t)((x >> ADDRESS_BITS) % s->list_count),
		.key = (uint32_t)(x & bits_mask(ADDRESS_BITS)),
	};
}

static inline uint64_t name_48(const struct hash128 *name)
{
	return get_u64be(name->bytes + 8) >> 16;
}

static inline struct delta_place name_in_chapter(const struct index_geometry *g,
						 const struct hash128 *name)
{
	uint64_t y = name_48(name);

	return (struct delta_place){
		.list = (uint32_t)((y >> g->address_bits) & (g->lists - 1)),
		.key = (uint32_t)(y & bits_mask(g->address_bits)),
	};
}

static inline unsigned name_zone(const struct index_geometry *g,
				 const struct hash128 *name, unsigned zones)
{
	const struct sub_geometry *s = &g->subs[name_sub(g, name)];

	return name_in_volume(s, name).list / sub_zone_lists(s, zones);
}

#endif
