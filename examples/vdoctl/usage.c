/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full a volume is and what it saves, for people or as JSON.
 */
#include "vdoctl.h"

static const struct {
	enum vdo_usage_level level; /* from which it is known */
	bool if_any;		    /* people want to hear of it then only */
	const char *name, *label;
	size_t offset;
} fields[] = {
#define F(level, if_any, field, label)                                         \
	{VDO_USAGE_##level, if_any, #field, label,                             \
	 offsetof(struct vdo_usage, field)}
	F(SAVED, false, logical_blocks, "logical size"),
	F(SAVED, false, logical_blocks_used, "logical, used"),
	F(MAPPED, false, unmapped, "  never written"),
	F(MAPPED, false, zero, "  zeroes"),
	F(MAPPED, false, uncompressed, "  not compressed"),
	F(MAPPED, false, compressed, "  compressed"),
	F(MAPPED, false, distinct_uncompressed, "different, not compressed"),
	F(MAPPED, false, shared_blocks, "  of these shared"),
	F(MAPPED, false, distinct_compressed, "different, compressed"),
	F(MAPPED, false, compressed_blocks, "  in blocks"),
	F(MAPPED, false, saved_by_deduplication, "saved by deduplication"),
	F(MAPPED, false, saved_by_compression, "saved by compression"),
	F(SAVED, false, physical_blocks, "physical size"),
	F(ESTIMATED, false, data_blocks, "  data"),
	F(ESTIMATED, false, free_blocks, "  free"),
	F(SAVED, false, block_map_blocks, "  block map"),
	F(SAVED, false, overhead_blocks, "  other overhead"),
	F(ESTIMATED, true, unsure_blocks, "data, more or less by"),
	F(MAPPED, true, unreferenced_blocks, "data that nothing leads to"),
	F(MAPPED, true, damaged_pages, "damaged block map pages"),
	F(MAPPED, true, damaged_mappings, "damaged mappings"),
#undef F
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *const levels[] = {"saved", "estimated", "counted", "mapped"};

static uint64_t number_at(const struct vdo_usage *u, size_t i)
{
	return *(const uint64_t *)((const char *)u + fields[i].offset);
}

unsigned usage_saving_percent(const struct vdo_usage *u)
{
	uint64_t logical = u->logical_blocks_used;

	return logical <= u->data_blocks
		       ? 0
		       : (unsigned)(100 * (logical - u->data_blocks) / logical);
}

void usage_json(struct json *j, const struct vdo_usage *u)
{
	json_begin(j, "usage", '{');
	json_string(j, "level", levels[u->level]);
	if (u->why != NULL)
		json_string(j, "why", u->why);
	for (size_t i = 0; i < FIELDS; i++)
		if (u->level >= fields[i].level)
			json_number(j, fields[i].name, number_at(u, i));
	if (u->level >= VDO_USAGE_ESTIMATED)
		json_number(j, "saving_percent", usage_saving_percent(u));
	json_end(j, '}');
}

static void field_line(const struct vdo_usage *u, size_t i)
{
	char text[SIZE_TEXT];
	uint64_t n = number_at(u, i);

	/* How it is stored is told to who asks for it. */
	if (u->level < fields[i].level) {
		if (fields[i].level == VDO_USAGE_ESTIMATED && !fields[i].if_any)
			printf("  %-26s N/A\n", fields[i].label);
		return;
	}
	if (n != 0 || !fields[i].if_any)
		printf("  %-26s %llu blocks, %s\n", fields[i].label,
		       (unsigned long long)n, size_text(text, n * 4096));
}

void usage_people(const struct vdo_usage *u)
{
	static const char *const words[] = {
		"as of the last time that it was closed", "about", "exactly",
		"exactly, by the block map"};

	printf("Usage\n");
	printf("  %-26s %s\n", "known", words[u->level]);
	if (u->why != NULL)
		printf("  %-26s %s\n", "no more, because", u->why);
	for (size_t i = 0; i < FIELDS; i++)
		field_line(u, i);
	if (u->level >= VDO_USAGE_ESTIMATED)
		printf("  %-26s %u%%\n", "saving", usage_saving_percent(u));
}
