/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl format
 */
#include "vdoctl.h"

#include "../storage.h"
#include "../text.h"

static const char help[] =
	"Usage: vdoctl format FILE [OPTION]...\n"
	"Make a new, empty volume in FILE, a file or a block device.\n\n"
	"  --size SIZE          of the volume; makes or grows a file\n"
	"  --logical-size SIZE  bytes that can be addressed\n"
	"  --profile PROFILE    auto, kernel or small\n"
	"  --slab-bits N        slabs of 2^N blocks, 9 to 23\n"
	"  --index-memory M     of the index: 0.25, 0.5, 0.75, 1 to 1024 (GiB),\n"
	"                       2M to 255M, or none\n"
	"  --sparse             a sparse index\n"
	"  --force              even if something is there\n"
	"  -o NAME=VALUE        any option that 'vdoctl options' lists\n"
	"  -v, --verbose        show the log of the library\n"
	"  -h, --help           this text\n\n"
	"Sizes are bytes, or have a unit: 64M, 64MiB, 1.5G (powers of 1024).\n";

enum { OPTION = 256 };

/* The long options are options of the library of the same name. */
static const struct option table[] = {
	{"size", required_argument, NULL, OPTION},
	{"logical-size", required_argument, NULL, OPTION},
	{"profile", required_argument, NULL, OPTION},
	{"slab-bits", required_argument, NULL, OPTION},
	{"index-memory", required_argument, NULL, OPTION},
	{"sparse", no_argument, NULL, OPTION},
	{"force", no_argument, NULL, OPTION},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}};

static int format(const char *path, const struct vdo_config *config)
{
	char physical[SIZE_TEXT], logical[SIZE_TEXT];
	struct vdo_error error;
	struct vdo_info info;

	catch_interrupts();
	if (vdo_format(path, config, &error) != 0 ||
	    vdo_inspect(path, &info, sizeof(info), &error) != 0)
		return complain_vdo(path, &error);
	text_print(stdout, path);
	printf(": %s of storage, %s can be addressed, %llu slabs\n",
	       size_text(physical, info.physical_blocks * 4096),
	       size_text(logical, info.logical_blocks * 4096),
	       (unsigned long long)info.slab_count);
	return EXIT_OK;
}

static int parse(int argc, char **argv, struct vdo_config *config)
{
	int c, i;

	config_log_warnings(config);
	while ((c = next_option(argc, argv, ":ho:v", table, &i)) != -1) {
		bool good = false;

		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
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
	return format(argv[optind], config);
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
