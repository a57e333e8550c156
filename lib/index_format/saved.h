/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of a save look like, for writing and reading (X 5.8, 7.4).
 *
 * The stream of one zone's volume index:
 *
 *	sparse only: "MI6-0001", sample rate (4 bytes)
 *	for each sub-index:
 *		0	8	"MI5-0005"
 *		8	8	volume nonce
 *		16	8	low
 *		24	8	high
 *		32	4	first list
 *		36	4	number of lists
 *			8 each	flush chapters
 *		0	8	"DI-00002"
 *		8	4	zone
 *		12	4	zones
 *		16	4	first list
 *		20	4	number of lists
 *		24	8	records
 *		32	8	collisions
 *			2 each	sizes in bits
 *	for each sub-index, each list that is not empty:
 *		0	1	tag: m all, d all but samples, s samples
 *		1	1	bits before the list
 *		2	2	bytes that follow the header
 *		4	4	list
 *	guard: z, 7 zeros
 */
#ifndef INDEX_FORMAT_SAVED_H
#define INDEX_FORMAT_SAVED_H

#include "index_format/geometry.h"

#define OPEN_CHAPTER_MAGIC "ALBOC02.00"
#define PAGE_MAP_MAGIC	   "ALBIPM02"
#define SPARSE_MAGIC	   "MI6-0001"
#define SUB_INDEX_MAGIC	   "MI5-0005"
#define DELTA_MAGIC	   "DI-00002"
#define GUARD_TAG	   'z'
#define LIST_HEADER	   8u
#define LIST_BYTES_MAX	   8199u

/* Where in a stream somebody is. */
enum saved_part {
	PART_START,
	PART_SUB_HEADER,
	PART_FLUSH,
	PART_DELTA_HEADER,
	PART_SIZES,
	PART_LISTS,
	PART_GUARD,
	PART_END,
};

static inline uint8_t saved_tag(const struct index_geometry *g, unsigned sub)
{
	if (!g->sparse)
		return 'm';
	return sub == SUB_SAMPLES ? 's' : 'd';
}

struct saver {
	enum saved_part part;
	unsigned sub;
	uint64_t item; /* next of the part */
	/* Of one call. */
	uint8_t *p;
	size_t room, made;
};

/* Headers, flush chapters and sizes of all subs come before all lists. */
static inline void saver_next(struct saver *s, const struct index_geometry *g)
{
	s->item = 0;
	if (s->part == PART_SIZES && ++s->sub < g->sub_count) {
		s->part = PART_SUB_HEADER;
		return;
	}
	if (s->part == PART_SIZES)
		s->sub = 0;
	if (s->part == PART_LISTS && ++s->sub < g->sub_count)
		return;
	s->part++;
}

/* What the headers of a stream said. */
struct loaded_zone {
	uint64_t header_bytes;
	uint32_t first[SUBS_MAX], count[SUBS_MAX];
};

struct loaded_sub {
	uint32_t first, count; /* of the stream being read */
	uint32_t next;	       /* that the next stream must begin with */
	uint64_t low;	       /* the largest */
	uint64_t records, collisions;
};

struct loader {
	unsigned slot, zone_count;
	unsigned step;
	bool second; /* reading of the streams */
	enum saved_part part;
	unsigned sub;
	uint64_t item;
	uint64_t skip, header_bytes; /* of a stream */
	uint32_t count;
	struct loaded_sub subs[SUBS_MAX];
	struct loaded_zone zones[INDEX_ZONES_MAX];
	/* Of one call. */
	const uint8_t *p;
	size_t n, taken;
};

enum saver_step {
	SAVER_UNSAVED,
	SAVER_RECORDS,
	SAVER_VOLUME,
	SAVER_PAGE_MAP,
	SAVER_SAVED,
};

#endif
