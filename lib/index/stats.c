/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics of an index: what its parts count, added up.
 *
 * Runs on: any thread. Each number has one writer, and is that of a moment
 * ago.
 */
#include "build.h"

#include "index/index_priv.h"

#include "base/counter.h"

static void add_zone(const struct index_zone *z, struct index_stats *s)
{
	const struct zone_counts *c = &z->counts;

	s->posts_found += counter_get(&c->found[INDEX_POST]);
	s->posts_not_found += counter_get(&c->not_found[INDEX_POST]);
	s->in_memory_posts_found +=
		counter_get(&c->posts_in[INDEX_OPEN_CHAPTER]);
	s->dense_posts_found += counter_get(&c->posts_in[INDEX_DENSE]);
	s->sparse_posts_found += counter_get(&c->posts_in[INDEX_SPARSE]);
	s->updates_found += counter_get(&c->found[INDEX_UPDATE]);
	s->updates_not_found += counter_get(&c->not_found[INDEX_UPDATE]);
	s->deletions_found += counter_get(&c->found[INDEX_DELETE]);
	s->deletions_not_found += counter_get(&c->not_found[INDEX_DELETE]);
	s->queries_found += counter_get(&c->found[INDEX_QUERY]) +
			    counter_get(&c->found[INDEX_QUERY_NO_UPDATE]);
	s->queries_not_found +=
		counter_get(&c->not_found[INDEX_QUERY]) +
		counter_get(&c->not_found[INDEX_QUERY_NO_UPDATE]);
	s->page_reads += counter_get(&z->cache.reads);
}

/* But for the volume index, which counts itself. From any thread: which of its
 * chapters a zone fills and which it writes is its own business. */
static uint64_t memory_of(const struct index *index)
{
	const struct index_geometry *g = &index->geometry;
	uint64_t sparse = g->sparse ? SPARSE_SLOTS * g->index_pages : 0;
	uint64_t open = 0;

	for (unsigned i = 0; i < index->c.zone_count; i++)
		for (unsigned k = 0; k < 2; k++)
			open += open_chapter_bytes(
				&index->zones[i].chapters[k]);
	return open + chapter_builder_bytes(&index->writer.builder) +
	       PAGE_BYTES * ((uint64_t)g->cache_pages + g->chapter_pages +
			     sparse);
}

void index_get_stats(const struct index *index, struct index_stats *stats)
{
	const struct index_rebuilder *rebuilder = &index->opener.rebuilder;
	struct volume_index_counts v = {0};

	*stats = (struct index_stats){
		.state = index_state_of(index),
		.error = index_failure_get(&index->failure),
		.memory_used = memory_of(index),
		.chapters_written =
			counter_get(&index->writer.chapters_written),
		.oldest_chapter = counter_get(&index->range.oldest),
		.newest_chapter = counter_get(&index->range.newest),
		.rebuild_done = counter_get(&rebuilder->chapters_done),
		.rebuild_total = counter_get(&rebuilder->chapters_total),
		.left_out = counter_get(&rebuilder->left_out),
	};
	for (unsigned i = 0; i < index->c.zone_count; i++) {
		volume_index_count(&index->zones[i].volume, &v);
		add_zone(&index->zones[i], stats);
	}
	stats->entries_indexed = v.entries;
	stats->collisions = v.collisions;
	stats->entries_discarded = v.discarded;
	stats->early_flushes = v.early_flushes;
	stats->memory_used += v.memory_bytes;
	stats->requests = stats->posts_found + stats->posts_not_found +
			  stats->updates_found + stats->updates_not_found +
			  stats->deletions_found + stats->deletions_not_found +
			  stats->queries_found + stats->queries_not_found;
}
