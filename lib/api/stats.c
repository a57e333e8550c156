/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of statistics: name, label, help, and where the value is in struct
 * volume_stats. Names and labels are those of the Linux driver (E 10.10) where
 * the meaning is equal; the names of all others begin with "path.".
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/handle.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "volume/stats.h"

static const struct row {
	const char *name, *label, *help;
	size_t offset;
	unsigned size; /* of the field */
} rows[] = {
#define ROW(field, name, label, help)                                          \
	{name, label, help, offsetof(struct volume_stats, field),              \
	 sizeof(((struct volume_stats *)0)->field)}
#include "api/stats_rows.h"
#undef ROW
};

#define TEXTS	3
#define DERIVED 4

struct vdo_stats {
	size_t count;
	struct vdo_stat stats[ARRAY_SIZE(rows) + TEXTS + DERIVED];
	char read_only_reason[256];
};

static uint64_t value_of(const struct volume_stats *s, const struct row *row)
{
	const char *p = (const char *)s + row->offset;
	uint64_t v = 0;

	VDO_ASSERT(row->size == sizeof(bool) || row->size == sizeof(v));
	/* bool or uint64_t, on a little- or big-endian machine */
	if (row->size == sizeof(bool))
		v = *(const bool *)p;
	else
		memcpy(&v, p, sizeof(v));
	return v;
}

static void add(struct vdo_stats *stats, const char *name, const char *label,
		const char *help, uint64_t value)
{
	VDO_ASSERT(stats->count < ARRAY_SIZE(stats->stats));
	VDO_ASSERT(name != NULL && *name != '\0');
	stats->stats[stats->count++] = (struct vdo_stat){
		.name = name, .label = label, .help = help, .value = value};
}

/* Add a value that is only known if the slabs are loaded. */
static void add_count(struct vdo_stats *stats, bool known, const char *name,
		      const char *label, const char *help, uint64_t value)
{
	add(stats, name, label, help, known ? value : 0);
	if (!known)
		stats->stats[stats->count - 1].text = "N/A";
}

/* What is in use, and what follows from it: about, if slabs are estimated. */
static void add_derived(struct vdo_stats *stats, const struct volume_stats *s)
{
	bool known = s->counts_known;
	uint64_t used = s->data_blocks_used + s->overhead_blocks_used;
	uint64_t logical = s->logical_blocks_used;
	uint64_t saving = 0;

	if (logical > s->data_blocks_used)
		saving = 100 * (logical - s->data_blocks_used) / logical;
	add_count(stats, known, "dataBlocksUsed", "data blocks used",
		  "blocks that hold data", s->data_blocks_used);
	add_count(stats, known, "path.usedBytes", "bytes used",
		  "physical bytes in use, metadata included",
		  used * BLOCK_SIZE);
	add_count(stats, known, "path.availableBytes", "bytes available",
		  "physical bytes that are free",
		  (s->physical_blocks - used) * BLOCK_SIZE);
	add_count(stats, known, "path.savingPercent", "saving percent",
		  "share of the used logical blocks that needs no block",
		  saving);
}

int vdo_stats_get(struct vdo_volume *v, struct vdo_stats **stats)
{
	struct volume_stats values;
	struct vdo_stats *s;
	int result = handle_check(v, true);

	if (stats == NULL)
		return -EINVAL;
	*stats = NULL;
	if (result != 0)
		return result;
	s = alloc_zeroed(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	result = handle_enter(v);
	if (result != 0) {
		alloc_free(s);
		return result;
	}
	volume_get_stats(engine_of(v), &values);
	snprintf(s->read_only_reason, sizeof(s->read_only_reason), "%s",
		 values.read_only_reason);
	handle_leave(v);
	add(s, "mode", "operating mode", "normal or read-only", 0);
	s->stats[0].text = values.mode;
	add(s, "path.index", "index",
	    "state of the index: online, rebuilding, error, memory ...", 0);
	s->stats[1].text = values.advice.state;
	add(s, "path.readOnlyReason", "reason of read-only mode",
	    "the first error after which nothing is written; none", 0);
	s->stats[2].text = s->read_only_reason;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		add(s, rows[i].name, rows[i].label, rows[i].help,
		    value_of(&values, &rows[i]));
	add_derived(s, &values);
	VDO_ASSERT(s->count == ARRAY_SIZE(s->stats));
	*stats = s;
	return 0;
}

void vdo_stats_free(struct vdo_stats *stats)
{
	alloc_free(stats);
}

size_t vdo_stats_count(const struct vdo_stats *stats)
{
	return stats == NULL ? 0 : stats->count;
}

const struct vdo_stat *vdo_stats_at(const struct vdo_stats *stats, size_t i)
{
	return i < vdo_stats_count(stats) ? &stats->stats[i] : NULL;
}

uint64_t vdo_stats_value(const struct vdo_stats *stats, const char *name)
{
	for (size_t i = 0; name != NULL && i < vdo_stats_count(stats); i++)
		if (strcmp(stats->stats[i].name, name) == 0)
			return stats->stats[i].value;
	return 0;
}
