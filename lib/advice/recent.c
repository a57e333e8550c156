/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names seen last, in tables.
 *
 * A table is an array of buckets of one cache line:
 *
 *	bucket	+--------+--------+--------+--------+
 *		| newest |  ...   |  ...   | oldest |   4 entries, 64 bytes
 *		+--------+--------+--------+--------+
 *	entry	0	8	bytes 8..15 of the name
 *		8	5	location, as in a block map page; 0: no entry
 *		13	3	bytes 5..7 of the name
 *
 * Bytes 1..4 of the name select the bucket (byte 0 selected the zone), so an
 * entry and its place tell 15 bytes of a name; the engine compares the data
 * anyway (I21). Whatever is touched moves to the front; what is new pushes out
 * the entry that was touched longest ago. A request costs one cache miss.
 *
 * The tables come from fresh pages: memory is used up only as names arrive.
 */
#include "build.h"

#include "advice/recent.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/counter.h"
#include "base/assert.h"
#include "format/mapping.h"

#define ENTRIES_PER_BUCKET 4u
#define BUCKETS_MAX	   (UINT64_C(1) << 32) /* four bytes select one */

struct entry {
	uint64_t tag;
	uint8_t location[MAPPING_SIZE];
	uint8_t more[3];
};

struct bucket {
	struct entry entries[ENTRIES_PER_BUCKET];
};

static_assert(sizeof(struct bucket) == CACHE_LINE, "a bucket is a line");

enum counter {
	ENTRIES,
	POSTS_FOUND,
	POSTS_NOT_FOUND,
	QUERIES_FOUND,
	QUERIES_NOT_FOUND,
	UPDATES_FOUND,
	UPDATES_NOT_FOUND,
	DISCARDED,
	COUNTERS,
};

/* The counter of "not found" is the one after "found". */
static const enum counter found_counter[] = {
	[ADVICE_POST] = POSTS_FOUND,
	[ADVICE_QUERY] = QUERIES_FOUND,
	[ADVICE_UPDATE] = UPDATES_FOUND,
};

struct zone {
	_Alignas(CACHE_LINE) struct bucket *buckets;
	uint64_t bucket_count; /* 0: knows nothing */
	counter_t counters[COUNTERS];
};

struct recent {
	unsigned zone_count;
	struct zone *zones;
};

static int recent_zone_init(struct zone *z, uint64_t entries)
{
	uint64_t n = MIN(div_up(entries, ENTRIES_PER_BUCKET), BUCKETS_MAX);

	if (n == 0)
		return 0;
	z->buckets = alloc_table(n * sizeof(struct bucket));
	if (z->buckets == NULL)
		return -ENOMEM;
	z->bucket_count = n;
	return 0;
}

int recent_create(unsigned zone_count, uint64_t entries_max,
		  struct recent **recent)
{
	struct recent *r = alloc_zeroed(1, sizeof(*r));

	VDO_ASSERT(zone_count >= 1);
	if (r == NULL)
		return -ENOMEM;
	r->zone_count = zone_count;
	r->zones = alloc_aligned(CACHE_LINE, zone_count, sizeof(struct zone));
	if (r->zones == NULL)
		goto fail;
	for (unsigned i = 0; i < zone_count; i++)
		if (recent_zone_init(&r->zones[i],
				     div_up(entries_max, zone_count)) != 0)
			goto fail;
	*recent = r;
	return 0;
fail:
	recent_destroy(r);
	return -ENOMEM;
}

void recent_destroy(struct recent *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; r->zones != NULL && i < r->zone_count; i++)
		alloc_table_free(r->zones[i].buckets,
				 r->zones[i].bucket_count *
					 sizeof(struct bucket));
	alloc_free(r->zones);
	alloc_free(r);
}

static struct bucket *bucket_of(struct zone *z, const struct hash128 *name)
{
	VDO_CHECK(z->bucket_count > 0);
	return &z->buckets[get_u32(name->bytes + 1) * z->bucket_count >> 32];
}

void recent_prefetch(const struct recent *r, unsigned zone,
		     const struct hash128 *name)
{
	struct zone *z = &r->zones[zone];

	VDO_CHECK(zone < r->zone_count);
	if (z->bucket_count > 0)
		__builtin_prefetch(bucket_of(z, name), 1);
}

static bool entry_used(const struct entry *e)
{
	static const uint8_t none[MAPPING_SIZE];

	return memcmp(e->location, none, sizeof(none)) != 0;
}

/* Which entry is that of @name? ENTRIES_PER_BUCKET if none is. */
static unsigned find(const struct bucket *b, const struct hash128 *name)
{
	uint64_t tag = get_u64(name->bytes + 8);
	unsigned i;

	for (i = 0; i < ENTRIES_PER_BUCKET; i++) {
		const struct entry *e = &b->entries[i];

		if (e->tag == tag && memcmp(e->more, name->bytes + 5, 3) == 0 &&
		    entry_used(e))
			break;
	}
	return i;
}

/* Put @e first, in place of the entry at @i. */
static void put_first(struct bucket *b, unsigned i, const struct entry *e)
{
	VDO_CHECK(i < ENTRIES_PER_BUCKET);
	memmove(&b->entries[1], &b->entries[0], i * sizeof(*e));
	b->entries[0] = *e;
}

static void insert(struct zone *z, struct bucket *b, const struct entry *e)
{
	VDO_CHECK(entry_used(e));
	if (entry_used(&b->entries[ENTRIES_PER_BUCKET - 1]))
		counter_inc(&z->counters[DISCARDED]);
	else
		counter_inc(&z->counters[ENTRIES]);
	put_first(b, ENTRIES_PER_BUCKET - 1, e);
}

static void serve(struct zone *z, struct advice_op *op)
{
	const struct hash128 *name = &op->name->hash;
	struct bucket *b = bucket_of(z, name);
	unsigned i = find(b, name);
	struct entry e = {.tag = get_u64(name->bytes + 8)};

	VDO_CHECK(z->bucket_count > 0);
	memcpy(e.more, name->bytes + 5, sizeof(e.more));
	op->found = i < ENTRIES_PER_BUCKET;
	if (op->found && op->request != ADVICE_UPDATE) {
		e = b->entries[i];
		op->location = mapping_decode(e.location);
	} else if (op->request != ADVICE_QUERY) {
		/* The zero block would look like no entry. */
		VDO_CHECK(op->location.pbn != ZERO_BLOCK);
		mapping_encode(e.location, op->location);
	}
	if (op->found)
		put_first(b, i, &e);
	else if (op->request != ADVICE_QUERY)
		insert(z, b, &e);
}

void recent_serve(struct recent *r, unsigned zone, struct advice_op *op)
{
	struct zone *z = &r->zones[zone];

	VDO_CHECK(op->request <= ADVICE_UPDATE);
	VDO_CHECK(zone < r->zone_count);
	op->found = false;
	if (z->bucket_count != 0)
		serve(z, op);
	counter_inc(&z->counters[found_counter[op->request] +
				 (op->found ? 0 : 1)]);
}

void recent_get_stats(const struct recent *r, struct advice_stats *stats)
{
	uint64_t sum[COUNTERS] = {0};

	for (unsigned i = 0; i < r->zone_count; i++)
		for (unsigned c = 0; c < COUNTERS; c++)
			sum[c] += counter_get(&r->zones[i].counters[c]);
	stats->entries_indexed += sum[ENTRIES];
	stats->posts_found += sum[POSTS_FOUND];
	stats->posts_not_found += sum[POSTS_NOT_FOUND];
	stats->queries_found += sum[QUERIES_FOUND];
	stats->queries_not_found += sum[QUERIES_NOT_FOUND];
	stats->updates_found += sum[UPDATES_FOUND];
	stats->updates_not_found += sum[UPDATES_NOT_FOUND];
	stats->entries_discarded += sum[DISCARDED];
}
