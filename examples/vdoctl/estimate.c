/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl estimate
 */
#include "vdoctl.h"

#include <inttypes.h>

#include "../text.h"

static const char help[] =
	"Usage: vdoctl estimate FILE [OPTION]...\n"
	"Tell what the volume in FILE takes of memory and storage when it is open; or\n"
	"if there is none, or with -o force=on, the one that 'vdoctl format' would make.\n\n"
	"  --size SIZE          of a new volume; FILE need not be there\n"
	"  --logical-size SIZE  bytes that can be addressed\n"
	"  --json               for programs\n"
	"  -o NAME=VALUE        any option that 'vdoctl options' lists\n"
	"  -v, --verbose        show the log of the library\n"
	"  -h, --help           this text\n\n"
	"Sizes are bytes, or have a unit: 64M, 64MiB, 1.5G (powers of 1024).\n";

/* The first are those of all, the others add up to the most. */
#define SUMS 3

static const struct {
	const char *name, *text;
	size_t offset;
} memory[] = {
#define F(field, text) {#field, text, offsetof(struct vdo_estimate, field)}
	F(memory_idle, "idle, when it is new"),
	F(memory_most, "at most"),
	F(memory_least, "option memory needs"),
	F(requests, "requests"),
	F(cache, "cache of the map"),
	F(counts, "counts"),
	F(blocks, "cache of blocks"),
	F(index, "index"),
	F(map, "map"),
	F(slabs, "slabs"),
	F(journal, "journal"),
	F(threads, "threads"),
	F(engine, "all else"),
}, storage[] = {
	F(storage, "of the volume"),
	F(data, "data"),
	F(metadata, "metadata"),
	F(index_storage, "index"),
	F(logical, "can be addressed"),
#undef F
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static uint64_t value(const struct vdo_estimate *e, size_t offset)
{
	return *(const uint64_t *)((const char *)e + offset);
}

static void print_json(const char *path, const struct vdo_estimate *e)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "path", path);
	for (size_t i = 0; i < ROWS(memory); i++)
		json_number(&j, memory[i].name, value(e, memory[i].offset));
	for (size_t i = 0; i < ROWS(storage); i++)
		json_number(&j, storage[i].name, value(e, storage[i].offset));
	json_number(&j, "depth", e->depth);
	json_number(&j, "thread_count", e->thread_count);
	json_end(&j, '}');
}

static void print_people(const struct vdo_estimate *e)
{
	char size[SIZE_TEXT];

	printf("memory, with depth %u and %u threads\n", e->depth,
	       e->thread_count);
	for (size_t i = 0; i < ROWS(memory); i++)
		printf("%s%-20s %12s\n", i < SUMS ? "  " : "    ",
		       memory[i].text,
		       size_text(size, value(e, memory[i].offset)));
	printf("storage\n");
	for (size_t i = 0; i < ROWS(storage); i++)
		printf("  %-20s %12s\n", storage[i].text,
		       size_text(size, value(e, storage[i].offset)));
}

static bool set_size(struct vdo_config *config, const char *name, bool is_said,
		     uint64_t bytes)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return !is_said || config_set(config, name, text);
}

static int estimate(const struct arguments *a)
{
	struct vdo_estimate e;
	struct vdo_error error;

	if (!set_size(a->config, "size", a->has_size, a->size) ||
	    !set_size(a->config, "logical-size", a->has_logical_size,
		      a->logical_size))
		return try_help();
	if (vdo_estimate(a->path, a->config, &e, sizeof(e), &error) != 0)
		return complain_vdo(a->path, &error);
	if (a->json)
		print_json(a->path, &e);
	else
		print_people(&e);
	return EXIT_OK;
}

int command_estimate(int argc, char **argv)
{
	struct arguments a;
	int code;

	code = arguments_parse(&a, argc, argv, "zLj", help) ? estimate(&a)
							    : a.code;
	arguments_free(&a);
	return code;
}
