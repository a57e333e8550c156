/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a save, to and from what an index knows (X 5.8, 7.4).
 *
 * The page map and the open chapter are magic, count and items (X 6.4, 7.4).
 * The volume index is one stream for each zone that saved:
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
 *
 * Functions that read or write bytes work on a piece of a stream, which begins
 * and ends anywhere: they take or make as many whole items as there are. They
 * return 1 if there is more to come, 0 at the end, else an error. Their first
 * argument is a struct save_reader or save_writer, for stream.h.
 *
 * Runs on: whoever has stopped the zones; no I/O.
 */
#ifndef INDEX_FORMAT_SAVED_H
#define INDEX_FORMAT_SAVED_H

#include "base/assert.h"
#include "index_format/contents.h"

#define SAVED_ITEM_MAX (SAVED_LIST_HEADER + SAVED_LIST_BYTES_MAX)

#define OPEN_CHAPTER_MAGIC   "ALBOC02.00"
#define PAGE_MAP_MAGIC	     "ALBIPM02"
#define SPARSE_MAGIC	     "MI6-0001"
#define SUB_INDEX_MAGIC	     "MI5-0005"
#define DELTA_MAGIC	     "DI-00002"
#define SAVED_GUARD_TAG	     'z'
#define SAVED_LIST_HEADER    8u
#define SAVED_LIST_BYTES_MAX 8199u

/* The parts of a stream; the other two parts of a save have START and LISTS. */
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

/* Where somebody is. */
struct saved_place {
	enum saved_part part;
	unsigned sub;
	uint64_t item; /* the next of the part */
};

static inline uint8_t saved_tag(const struct index_geometry *g, unsigned sub)
{
	VDO_CHECK(sub < g->sub_count);
	if (!g->sparse)
		return 'm';
	return sub == SUB_SAMPLES ? 's' : 'd';
}

/* On to the next part. All headers of a stream come before all of its lists. */
static inline void saved_next(struct saved_place *at,
			      const struct index_geometry *g)
{
	VDO_ASSERT(at->part < PART_END && at->sub < g->sub_count);
	at->item = 0;
	if (at->part == PART_SIZES && ++at->sub < g->sub_count) {
		at->part = PART_SUB_HEADER;
		return;
	}
	if (at->part == PART_SIZES)
		at->sub = 0;
	if (at->part == PART_LISTS && ++at->sub < g->sub_count)
		return;
	if (at->part == PART_LISTS)
		at->sub = 0;
	at->part++;
}

/* ------------------------------------------------------------------ writing */

struct save_writer {
	const struct index_contents *contents;
	uint64_t nonce; /* of the index volume */
	unsigned zone;	/* whose stream it is */
	struct saved_place at;
	/* The piece that is being made. */
	uint8_t *p;
	size_t room, made;
};

/* Before each part of a save. @zone matters for a stream only. */
void saved_write_begin(struct save_writer *s, const struct index_contents *c,
		       uint64_t nonce, unsigned zone);

int saved_write_page_map(void *writer, uint8_t *p, size_t room, size_t *made);
int saved_write_open_chapter(void *writer, uint8_t *p, size_t room,
			     size_t *made);
int saved_write_stream(void *writer, uint8_t *p, size_t room, size_t *made);

/* ------------------------------------------------------------------ reading */

/* What the headers of a stream said of a sub-index. */
struct saved_share {
	uint32_t first, count; /* lists */
};

struct saved_stream {
	uint64_t header_bytes;
	struct saved_share shares[SUBS_MAX];
};

/* What the streams said of a sub-index, so far. */
struct saved_sub {
	uint32_t next; /* list that the next stream must begin with */
	uint64_t low;  /* the largest of all */
	uint64_t records, collisions;
};

/*
 * Streams are read twice, first their headers and then their lists: lists can
 * be laid out in memory only when the sizes of all are known.
 */
struct save_reader {
	const struct index_contents *contents;
	uint64_t nonce;	      /* of the index volume */
	uint64_t newest;      /* chapter, by the header of the save */
	unsigned stream_count; /* zones that wrote it; ours may be others */
	unsigned stream;      /* that is being read */
	bool lists;	      /* for the second time */
	struct saved_place at;
	uint32_t count; /* records of the open chapter */
	uint64_t skip;	/* bytes, up to the lists */
	struct saved_sub subs[SUBS_MAX];
	struct saved_stream streams[INDEX_ZONES_MAX];
	/* The piece that is being read. */
	const uint8_t *p;
	size_t n, taken;
};

void saved_read_init(struct save_reader *s, const struct index_contents *c,
		     uint64_t nonce, uint64_t newest, unsigned stream_count);

/* Before the page map and before the open chapter. */
void saved_read_begin(struct save_reader *s);

/* Before a stream; with @lists for the second time. */
void saved_read_begin_stream(struct save_reader *s, unsigned stream,
			     bool lists);

/* Between the two readings: lay out the lists. -VDO_ECORRUPT */
int saved_read_arrange(struct save_reader *s) MUST_CHECK;

int saved_read_page_map(void *reader, const uint8_t *p, size_t n,
			size_t *taken);
int saved_read_open_chapter(void *reader, const uint8_t *p, size_t n,
			    size_t *taken);
int saved_read_stream(void *reader, const uint8_t *p, size_t n, size_t *taken);

#endif
