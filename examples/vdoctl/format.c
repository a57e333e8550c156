/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl format
 */
#include "vdoctl.h"

#include "../storage.h"
#include "../text.h"

static const char help[] =
	"Usage: vdoctl format FILE [OPTION]...\n"
	"Make a new, empty volume in FILE, a file or a block device, and tell what of\n"
	"it is for data.\n\n"
	"  --size SIZE          of the volume; makes or grows a file\n"
	"  --logical-size SIZE  bytes that can be addressed\n"
	"  --profile PROFILE    auto, kernel or small\n"
	"  --slab-bits N        slabs of 2^N blocks, 9 to 23\n"
	"  --index-memory M     of the index: 0.25, 0.5, 0.75, 1 to 1024 (GiB),\n"
	"                       2M to 255M, or none\n"
	"  --sparse             a sparse index\n"
	"  --force              even if something is there\n"
	"  -n, --dry-run        only tell what would be made\n"
	"  --json               for programs\n"
	"  -o NAME=VALUE        any option that 'vdoctl options' lists\n"
	"  -v, --verbose        show the log of the library\n"
	"  -h, --help           this text\n\n"
	"Sizes are bytes, or have a unit: 64M, 64MiB, 1.5G (powers of 1024).\n";

enum { OPTION = 256, JSON };

/* The long options are options of the library of the same name. */
static const struct option table[] = {
	{"size", required_argument, NULL, OPTION},
	{"logical-size", required_argument, NULL, OPTION},
	{"profile", required_argument, NULL, OPTION},
	{"slab-bits", required_argument, NULL, OPTION},
	{"index-memory", required_argument, NULL, OPTION},
	{"sparse", no_argument, NULL, OPTION},
	{"force", no_argument, NULL, OPTION},
	{"dry-run", no_argument, NULL, 'n'},
	{"json", no_argument, NULL, JSON},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}};

static const struct {
	const char *name;
	size_t offset;
} numbers[] = {
#define F(field) {#field, offsetof(struct vdo_plan, field)}
	F(logical_blocks),	    F(recovery_journal_blocks),
	F(slab_blocks),		    F(slab_count),
	F(slab_data_blocks),	    F(slab_journal_blocks),
	F(reference_count_blocks),  F(physical_blocks),
	F(data_blocks),		    F(block_map_blocks),
	F(index_blocks),	    F(metadata_blocks),
	F(unused_blocks),
#undef F
};

static void print_json(const char *path, const struct vdo_plan *p, bool dry)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "path", path);
	json_bool(&j, "dry_run", dry);
	json_string(&j, "profile", p->profile);
	json_signed(&j, "index_memory", p->index_memory);
	json_bool(&j, "index_sparse", p->index_sparse);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_number(&j, numbers[i].name,
			    *(const uint64_t *)((const char *)p +
						numbers[i].offset));
	json_end(&j, '}');
}

static void print_people(const char *path, const struct vdo_plan *p, bool dry)
{
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT], d[SIZE_TEXT];

	text_print(stdout, path);
	printf(": %s%s of storage, %s can be addressed, %llu slabs\n",
	       dry ? "would be " : "", size_text(a, p->physical_blocks * 4096),
	       size_text(b, p->logical_blocks * 4096),
	       (unsigned long long)p->slab_count);
	printf("holds %s of %s (%.1f%%); index %s, block map %s, ",
	       size_text(a, p->data_blocks * 4096),
	       size_text(b, p->physical_blocks * 4096),
	       100.0 * (double)p->data_blocks / (double)p->physical_blocks,
	       size_text(c, p->index_blocks * 4096),
	       size_text(d, p->block_map_blocks * 4096));
	printf("metadata %s, unused %s\n",
	       size_text(a, p->metadata_blocks * 4096),
	       size_text(b, p->unused_blocks * 4096));
}

static int format(const char *path, const struct vdo_config *config, bool dry,
		  bool json)
{
	struct vdo_error error;
	struct vdo_plan plan;

	catch_interrupts();
	if (vdo_format_plan(path, config, &plan, sizeof(plan), &error) != 0 ||
	    (!dry && vdo_format(path, config, &error) != 0))
		return complain_vdo(path, &error);
	if (json)
		print_json(path, &plan, dry);
	else
		print_people(path, &plan, dry);
	return EXIT_OK;
}

static int parse(int argc, char **argv, struct vdo_config *config)
{
	bool dry = false, json = false;
	int c, i;

	config_log_warnings(config);
	while ((c = next_option(argc, argv, ":hno:v", table, &i)) != -1) {
		bool good = c == 'n' || c == JSON;

		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		dry |= c == 'n';
		json |= c == JSON;
		if (c == 'v') {
			good = true;
			config_log(config);
		} else if (c == 'o')
			good = config_assign(config, optarg);
		else if (c == OPTION)
			good = config_set(config, table[i].name,
					  optarg != NULL ? optarg : "on");
		if (!good)
			return try_help();
	}
	if (optind + 1 != argc) {
		complain(optind == argc ? "which FILE?" : "more than one FILE");
		return try_help();
	}
	if (!outputs_are_apart(argv[optind]))
		return EXIT_FAILED;
	return format(argv[optind], config, dry, json);
}

int command_format(int argc, char **argv)
{
	struct vdo_config *config;
	int code;

	if (vdo_config_new(&config) != 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	code = parse(argc, argv, config);
	vdo_config_free(config);
	return code;
}
