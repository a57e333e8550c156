/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be asked of an open volume, and its switches.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <string.h>

uint64_t volume_logical_blocks(const struct volume *v)
{
	return v->sb.logical_blocks;
}

bool volume_is_read_only(const struct volume *v)
{
	return readonly_entered(&v->readonly);
}

int volume_read_only_reason(const struct volume *v, const char **text)
{
	int reason = readonly_reason(&v->readonly);

	VDO_ASSERT(reason <= 0);
	*text = readonly_text(&v->readonly);
	return reason;
}

void volume_say_waits(const struct volume *v)
{
	VDO_ASSERT(queue_running == NULL);
	log_warning(&v->log, "volume: a call waits, as it is suspended; another "
			     "thread must resume it");
}

static void compression_on(void *arg, struct completion *done)
{
	VDO_ASSERT(arg != NULL);
	pack_enable(arg, true);
	completion_post(done);
}

static void compression_off(void *arg, struct completion *done)
{
	pack_enable(arg, false);
	completion_post(done);
}

void volume_set_compression(struct volume *v, bool on)
{
	VDO_ASSERT(queue_running == NULL);
	(void)await_call(v->topology.packer,
			 on ? compression_on : compression_off, v->packer);
}

void volume_set_deduplication(struct volume *v, bool on)
{
	VDO_ASSERT(queue_running == NULL);
	dedupe_enable(v->dedupe, on);
	path_set_deduplication(v->path, on);
}

static void storage_stats(struct volume *v, struct volume_stats *s)
{
	unsigned k;

	for (k = 0; k < MIO_KINDS; k++) {
		struct mio_counts c;

		storage_counts(&v->storage, k, &c);
		s->io_read[k] = c.read;
		s->io_write[k] = c.write;
		s->io_fua[k] = c.fua;
		s->io_completed[k] = c.completed;
	}
	storage_get_totals(&v->storage, &s->device);
	s->flush_out = atomic_load(&v->storage.flushes);
}

/* The journal's numbers belong to its queue. */
struct snapshot {
	struct journal *journal;
	struct journal_state state;
};

static void snapshot_take(void *arg, struct completion *done)
{
	struct snapshot *s = arg;

	journal_get_state(s->journal, &s->state);
	completion_post(done);
}

void volume_get_stats(struct volume *v, struct volume_stats *s)
{
	struct snapshot journal = {.journal = v->journal};

	VDO_ASSERT(queue_running == NULL && v->service != SERVICE_NOT_YET);
	memset(s, 0, sizeof(*s));
	s->mode = volume_is_read_only(v) ? "read-only" : "normal";
	if (volume_read_only_reason(v, &s->read_only_reason) == 0)
		s->read_only_reason = "none";
	(void)await_call(v->topology.journal, snapshot_take, &journal);
	journal_get_stats(v->journal, &s->journal);
	depot_get_stats(v->depot, &s->depot);
	map_get_stats(v->map, &s->map);
	pack_get_stats(v->packer, &s->pack);
	dedupe_get_stats(v->dedupe, &s->dedupe);
	advice_get_stats(v->advice, &s->advice);
	if (v->opened_read_only)
		s->advice.state = "closed";
	else if (!path_deduplication(v->path))
		s->advice.state = "offline";
	path_get_stats(v->path, &s->path);
	storage_stats(v, s);
	s->physical_blocks = v->sb.physical_blocks;
	s->logical_blocks = v->sb.logical_blocks;
	s->space_rises = counter_get(&v->space.rises);
	s->space_falls = counter_get(&v->space.falls);
	front_get_parked(v->front, &s->held, &s->held_total);
	s->logical_blocks_used = journal.state.logical_blocks_used;
	s->counts_known = !v->opened_read_only;
	/* Hints may say anything. */
	if (s->counts_known &&
	    s->depot.allocated > journal.state.block_map_data_blocks)
		s->data_blocks_used = s->depot.allocated -
				      journal.state.block_map_data_blocks;
	s->cache_bytes = v->cache_bytes;
	s->memory_most = memory_most(&v->memory);
	for (unsigned i = 0; i < MEMORY_KINDS; i++)
		s->memory[i] = v->memory.parts[i].fixed +
			       v->memory.parts[i].growth;
	s->overhead_blocks_used = v->sb.physical_blocks - s->depot.data_blocks +
				  journal.state.block_map_data_blocks;
	s->complete_recoveries = v->sb.complete_recoveries;
	s->read_only_recoveries = v->sb.read_only_recoveries;
	s->recovered_entries = v->recovered.entries;
	s->recovered_pages = v->recovered.pages;
	s->recovery_ms = v->recovery_ms;
	s->requests_max = v->settings.open.depth;
	s->requests_spare = v->requests - v->settings.open.depth;
	s->alignment = v->settings.open.alignment;
	s->deduplication = path_deduplication(v->path);
	s->compression = pack_enabled(v->packer);
	volume_stats_add(s, &v->past);
}
