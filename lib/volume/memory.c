/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the memory of a volume is divided.
 *
 *	fixed     requests by the depth, queues, threads, the journal, the index
 *	growth    interior pages of the map, slab journals: what a full volume
 *		  has of them is kept free
 *	elastic   leaf pages, counts, blocks: the rest
 *
 * Without option memory the three have the sizes that their own options say, or
 * the defaults. With it, an option that is set wins, and the others share what is
 * left: each has its least; then the default, as far as it goes, in equal
 * proportion; then counts and leaf pages get what they can use, and the blocks get
 * the rest, up to as much as both have.
 */
#include "build.h"

#include "volume/memory.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/blockcache.h"
#include "io/file.h"
#include "volume/volume_priv.h"

/* Leaf pages for one per mille of the volume or so; 128 MiB at most. */
#define CACHE_PAGES_MIN UINT64_C(256)
#define CACHE_PAGES_MAX UINT64_C(32768)

/* By default the counts of 256 GiB in use. What is beyond it costs a read of half a
 * megabyte for 2 GiB that are used again; what is below it, memory. */
#define COUNTS_DEFAULT (UINT64_C(64) << 20)

#define NAMES_MAX  (UINT64_C(8) << 20)
#define NAME_BYTES 16u

#define KIB UINT64_C(1024)

/*
 * What a thread takes beside what it allocates: its stack as far as it was
 * touched, the tables of libc and the kernel. And what a file does, with its
 * ring or threads.
 */
#define THREAD_BYTES (UINT64_C(64) << 10)
#define FILE_BYTES   (UINT64_C(160) << 10)

uint64_t memory_idle(const struct volume_memory *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < MEMORY_KINDS; i++) {
		const struct memory_part *p = &m->parts[i];

		VDO_ASSERT(p->spare <= p->fixed && p->idle <= p->growth);
		bytes += p->fixed - p->spare + p->idle;
	}
	return bytes;
}

uint64_t memory_most(const struct volume_memory *m)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < MEMORY_KINDS; i++)
		bytes += m->parts[i].fixed + m->parts[i].growth;
	return bytes;
}

static void count_from_here(struct volume_memory *m)
{
	m->own = alloc_own();
	m->own_spare = alloc_own_spare();
}

void memory_begin(struct volume *v)
{
	struct memory_part engine = v->memory.parts[MEMORY_ENGINE];

	VDO_ASSERT(v->path == NULL && v->journal == NULL);
	memset(v->memory.parts, 0, sizeof(v->memory.parts));
	v->memory.parts[MEMORY_ENGINE] = engine;
	count_from_here(&v->memory);
}

void memory_note(struct volume *v, enum memory_kind kind)
{
	struct volume_memory *m = &v->memory;
	uint64_t own = alloc_own(), spare = alloc_own_spare();

	VDO_ASSERT((int64_t)(own - m->own) >= 0); /* it can be below 0 */
	VDO_ASSERT(spare >= m->own_spare);
	m->parts[kind].fixed += own - m->own;
	m->parts[kind].spare += spare - m->own_spare;
	m->own = own;
	m->own_spare = spare;
}

/* -------------------------------------------------------------------- names */

/* A name for each block of the volume. */
static uint64_t names_wanted(const struct volume *v)
{
	uint64_t blocks = v->sb.depot_last_block - v->sb.depot_first_block;

	VDO_ASSERT(v->sb.depot_last_block > v->sb.depot_first_block);
	return MAX(blocks, 1024);
}

/* The table of a zone has buckets of four. */
static uint64_t names_rounding(const struct volume *v)
{
	VDO_ASSERT(v->topology.hash_zones > 0);
	return UINT64_C(4) * v->topology.hash_zones;
}

/* At 16 bytes each they take 128 MiB, or a quarter of option memory, at most. */
uint64_t memory_names(const struct volume *v)
{
	const struct open_settings *o = &v->settings.open;
	uint64_t most = NAMES_MAX;

	if (v->opened_read_only)
		return 0;
	if (o->advice_entries != 0)
		return o->advice_entries;
	if (o->memory != 0)
		most = o->memory / 4 / NAME_BYTES - names_rounding(v);
	return MIN(names_wanted(v), most);
}

/* Their bytes, if there are more of them with more of option memory. */
static uint64_t elastic_names(const struct volume *v)
{
	if (v->has_index || v->settings.open.advice_entries != 0)
		return 0;
	return v->memory.parts[MEMORY_INDEX].spare;
}

/* Of option memory there must be so much that all but @rest is enough for the
 * names that there are then. */
static uint64_t least_with_names(const struct volume *v, uint64_t rest)
{
	uint64_t names = names_wanted(v) + names_rounding(v);

	if (elastic_names(v) == 0)
		return rest;
	return MIN(rest + names * NAME_BYTES, div_up(rest * 4, 3));
}

/* ------------------------------------------------------------------ sharing */

/* What has no fixed size. */
struct elastic {
	uint64_t least, usual, most; /* bytes */
	uint64_t given;
};

static void fix(struct elastic *e, uint64_t bytes)
{
	e->least = e->usual = e->most = bytes;
}

/* Of a block cache there are tables as well: 1/64 or less. */
static uint64_t blocks_cost(uint64_t bytes)
{
	return bytes == 0 ? 0 : bytes + bytes / 64 + 2 * BLOCK_SIZE;
}

static uint64_t blocks_of(uint64_t cost)
{
	return cost < 2 * BLOCK_SIZE ? 0 : (cost - 2 * BLOCK_SIZE) / 65 * 64;
}

static uint64_t leaves_cost(const struct map_memory *mm, uint64_t pages)
{
	return MAX(pages, mm->cache_least) * mm->cache_page + mm->cache_more;
}

static void know_elastic(const struct volume *v, struct elastic *leaves,
			 struct elastic *counts, struct elastic *blocks)
{
	const struct open_settings *o = &v->settings.open;
	struct depot_memory dm;
	struct map_memory mm;
	uint64_t pages;

	map_get_memory(v->map, &mm);
	depot_get_memory(v->depot, &dm);
	pages = MIN(MAX(mm.leaves, CACHE_PAGES_MIN), CACHE_PAGES_MAX);
	*leaves = (struct elastic){
		.least = leaves_cost(&mm, CACHE_PAGES_MIN),
		.usual = leaves_cost(&mm, pages),
		.most = leaves_cost(&mm, MAX(mm.leaves, pages)),
	};
	if (o->cache_bytes != 0)
		fix(leaves, leaves_cost(&mm, o->cache_bytes / BLOCK_SIZE));
	*counts = (struct elastic){
		.least = dm.counts_least,
		.usual = MIN(MAX(COUNTS_DEFAULT, dm.counts_least),
			     dm.counts_max),
		.most = dm.counts_max,
	};
	/* Slabs in use have theirs in any case, and there are only so many. */
	if (o->counts_memory != 0)
		fix(counts, MIN(MAX(o->counts_memory, dm.counts_least),
				dm.counts_max));
	*blocks = (struct elastic){
		.usual = blocks_cost(o->block_cache),
		.most = UINT64_MAX,
	};
	if (o->block_cache_given)
		fix(blocks, blocks_cost(o->block_cache));
	if (v->device->immediate)
		fix(blocks, 0);
}

static uint64_t give(struct elastic *e, uint64_t most, uint64_t left)
{
	uint64_t more = MIN(most - MIN(e->given, most), left);

	e->given += more;
	return left - more;
}

/* @left: of option memory, when all three have their least. */
static void divide(struct elastic *leaves, struct elastic *counts,
		   struct elastic *blocks, uint64_t left)
{
	struct elastic *all[] = {leaves, counts, blocks};
	uint64_t wanted = 0, pot = left;

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		wanted += all[i]->usual - all[i]->given;
	for (unsigned i = 0; i < ARRAY_SIZE(all) && wanted > 0; i++) {
		uint64_t share = all[i]->usual - all[i]->given;

		if (wanted > pot)
			share = share / KIB * (pot / KIB) /
				div_up(wanted, KIB) * KIB;
		left = give(all[i], all[i]->given + share, left);
	}
	left = give(counts, counts->most, left);
	left = give(leaves, leaves->most, left);
	give(blocks, MIN(blocks->most, leaves->given + counts->given), left);
}

/* Threads of the file, if it has any. */
static unsigned file_threads(const struct device_options *o)
{
	if (o->threads != 0)
		return o->threads;
	return o->engine == DEVICE_THREADS ? FILE_THREADS : 0;
}

static void know_growth(struct volume *v)
{
	struct memory_part *p = v->memory.parts;
	struct depot_memory dm;
	struct map_memory mm;

	map_get_memory(v->map, &mm);
	depot_get_memory(v->depot, &dm);
	p[MEMORY_REQUESTS].fixed += front_bytes(v->front);
	p[MEMORY_REQUESTS].spare += front_bytes(v->front);
	p[MEMORY_MAP].growth = mm.growth;
	p[MEMORY_SLABS].fixed -= dm.reserved;
	p[MEMORY_SLABS].spare -= MIN(dm.reserved, p[MEMORY_SLABS].spare);
	p[MEMORY_SLABS].growth = dm.growth;
	p[MEMORY_SLABS].idle = dm.idle;
	p[MEMORY_THREADS].fixed = 0;
	if (v->settings.open.executor == EXECUTOR_NATIVE)
		p[MEMORY_THREADS].fixed =
			THREAD_BYTES * v->executor->thread_count;
	if (!v->device->immediate)
		p[MEMORY_THREADS].fixed +=
			FILE_BYTES +
			THREAD_BYTES * file_threads(&v->settings.device);
}

/* A volume may grow, so there is no limit but what was set. */
static uint64_t counts_to_keep(const struct volume *v, uint64_t counts)
{
	const struct open_settings *o = &v->settings.open;

	if (o->counts_memory != 0)
		return o->counts_memory;
	return o->memory != 0 ? counts : MAX(COUNTS_DEFAULT, counts);
}

/* Make what has got its size. */
static int make_elastic(struct volume *v, uint64_t leaves, uint64_t counts,
			uint64_t blocks)
{
	struct memory_part *p = v->memory.parts;
	struct depot_memory dm;
	struct map_memory mm;
	int result;

	map_get_memory(v->map, &mm);
	depot_get_memory(v->depot, &dm);
	VDO_ASSERT(leaves >= leaves_cost(&mm, 1));
	v->cache_bytes =
		(leaves - mm.cache_more) / mm.cache_page * BLOCK_SIZE;
	count_from_here(&v->memory);
	result = map_make_cache(v->map, v->cache_bytes / BLOCK_SIZE);
	memory_note(v, MEMORY_CACHE);
	if (result == 0)
		result = blockcache_create(blocks_of(blocks),
					   &v->storage.cache);
	memory_note(v, MEMORY_BLOCKS);
	VDO_ASSERT(dm.counts_least <= counts && counts <= dm.counts_max);
	depot_set_counts_memory(v->depot, counts_to_keep(v, counts));
	p[MEMORY_COUNTS].growth = counts;
	p[MEMORY_COUNTS].idle = MIN(dm.counts_least / 2,
				    p[MEMORY_COUNTS].growth);
	return result;
}

static unsigned long long mebibytes(uint64_t bytes)
{
	return (unsigned long long)div_up(bytes, UINT64_C(1) << 20);
}

static int too_little(struct volume *v)
{
	const struct memory_part *p = v->memory.parts;

	return error_set(v->error, -ENOMEM,
			 "the volume needs %llu MiB of memory with these "
			 "options, but option memory is %llu MiB; %llu are for "
			 "depth=%u and %llu for the index: raise memory, or "
			 "lower depth, threads or what else is set",
			 mebibytes(v->memory.least),
			 (unsigned long long)(v->settings.open.memory >> 20),
			 mebibytes(p[MEMORY_REQUESTS].fixed),
			 v->settings.open.depth,
			 mebibytes(p[MEMORY_INDEX].fixed));
}

int memory_share(struct volume *v)
{
	struct elastic leaves, counts, blocks;
	uint64_t memory = v->settings.open.memory;
	uint64_t needed;

	v->memory.depth = v->settings.open.depth;
	know_growth(v);
	know_elastic(v, &leaves, &counts, &blocks);
	needed = memory_most(&v->memory) + leaves.least + counts.least +
		 blocks.least;
	v->memory.least = least_with_names(v, needed - elastic_names(v));
	if (memory != 0 && memory < v->memory.least)
		return too_little(v);
	if (memory == 0)
		return make_elastic(v, leaves.usual, counts.usual,
				    blocks.usual);
	leaves.given = leaves.least;
	counts.given = counts.least;
	blocks.given = blocks.least;
	VDO_ASSERT(needed <= memory);
	divide(&leaves, &counts, &blocks, memory - needed);
	VDO_ASSERT(leaves.given + counts.given + blocks.given <= memory);
	return make_elastic(v, leaves.given, counts.given, blocks.given);
}
