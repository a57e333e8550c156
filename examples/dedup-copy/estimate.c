/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "estimate.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>

/* A block holds up to 14 fragments in 4060 bytes. */
#define FRAGMENTS_MAX 14u
#define PAYLOAD	      4060u

void estimate_init(struct estimate *e, const struct vdo_config *config)
{
	memset(e, 0, sizeof(*e));
	e->compress = strcmp(vdo_config_get(config, "compression"), "on") == 0;
	e->deduplicate =
		strcmp(vdo_config_get(config, "deduplication"), "on") == 0;
}

void estimate_fini(struct estimate *e)
{
	table_fini(&e->seen);
}

static uint64_t rotate(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static uint64_t finish(uint64_t v)
{
	v = (v ^ v >> 33) * 0xff51afd7ed558ccdu;
	v = (v ^ v >> 29) * 0xc4ceb9fe1a85ec53u;
	return v ^ v >> 32;
}

/* Four lanes of multiply and rotate, each step a bijection of its lane. */
static struct key hash_block(const uint8_t *data)
{
	static const uint64_t odd[4] = {
		0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu,
		0xd6e8feb86659fd93u};
	uint64_t lanes[4] = {1, 2, 3, 4};
	struct key key;

	for (size_t i = 0; i < BLOCK; i += 32) {
		for (unsigned lane = 0; lane < 4; lane++) {
			uint64_t word;

			memcpy(&word, data + i + 8 * lane, sizeof(word));
			lanes[lane] = rotate(
				(lanes[lane] ^ finish(word)) * odd[lane], 29);
		}
	}
	key.low = finish(lanes[0] + rotate(lanes[1], 17) +
			 rotate(lanes[2], 31) * odd[0] +
			 rotate(lanes[3], 47) * odd[1]);
	key.high = finish(lanes[3] ^ rotate(lanes[0], 13) * odd[2] ^
			  rotate(lanes[1], 37) ^ lanes[2] * odd[3]);
	key.low |= key.low == 0 && key.high == 0;
	return key;
}

static void empty_bin(struct estimate *e, struct bin *b)
{
	if (b->fragments > 0)
		e->counts.data_used++;
	*b = (struct bin){0};
}

static void pack(struct estimate *e, unsigned size)
{
	struct bin *best = NULL, *fullest = &e->bins[0];

	for (unsigned i = 0; i < BINS; i++) {
		struct bin *b = &e->bins[i];

		if (b->bytes + size <= PAYLOAD &&
		    (best == NULL || b->bytes > best->bytes))
			best = b;
		if (b->bytes > fullest->bytes)
			fullest = b;
	}
	if (best == NULL) {
		empty_bin(e, fullest);
		best = fullest;
	}
	best->bytes += size;
	if (++best->fragments == FRAGMENTS_MAX || best->bytes == PAYLOAD)
		empty_bin(e, best);
}

static void store_block(struct estimate *e, const uint8_t *block)
{
	char fragment[PAYLOAD];
	int size = 0;

	if (e->compress)
		size = LZ4_compress_default((const char *)block, fragment,
					    BLOCK, PAYLOAD - 1);
	if (size > 0)
		pack(e, (unsigned)size);
	else
		e->counts.data_used++;
}

void estimate_set_index(struct estimate *e, uint64_t chapters, uint64_t records)
{
	e->chapters_max = chapters;
	/* a chapter is full when the first of its zones is */
	e->records_max = records - records / 50;
}

void estimate_learn(struct estimate *e, bool learning)
{
	e->learning = learning;
	e->first_chapter = e->chapter;
	e->recorded = 0;
}

/* The name in *@last comes up: into the open chapter with it. */
static void record(struct estimate *e, uint64_t *last, bool added)
{
	if (!added && *last == e->chapter)
		return;
	*last = e->chapter;
	e->recorded++;
	if (e->chapters_max != 0 && ++e->records >= e->records_max) {
		e->chapter++;
		e->records = 0;
	}
}

/* Is a block that comes up a copy of one that is known? */
static int is_duplicate(struct estimate *e, const uint8_t *block, bool *known)
{
	uint64_t *last;
	bool added;

	*known = false;
	if (!e->deduplicate)
		return 0;
	last = table_get(&e->seen, hash_block(block), e->chapter, &added);
	if (last == NULL)
		return -ENOMEM;
	*known = !added && (e->chapters_max == 0 ||
			    e->chapter - *last < e->chapters_max);
	record(e, last, added);
	return 0;
}

int estimate_blocks(void *arg, const uint8_t *data, size_t bytes)
{
	struct estimate *e = arg;

	for (const uint8_t *end = data + bytes; data < end; data += BLOCK) {
		bool known;

		if (data[0] == 0 && memcmp(data, data + 1, BLOCK - 1) == 0) {
			e->counts.zero += !e->learning;
			continue;
		}
		if (is_duplicate(e, data, &known) != 0)
			return -ENOMEM;
		if (e->learning)
			continue;
		if (known)
			e->counts.duplicate++;
		else
			store_block(e, data);
	}
	return 0;
}

void estimate_end(struct estimate *e)
{
	for (unsigned i = 0; i < BINS; i++)
		empty_bin(e, &e->bins[i]);
}
