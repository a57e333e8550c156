/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl grow: more storage for a volume, or a larger logical size.
 */
#include "vdoctl.h"

static const char help_text[] =
	"Usage: vdoctl grow FILE [--size SIZE] [--logical-size SIZE] [-v]\n"
	"                   [-o NAME=VALUE]...\n"
	"Make a volume larger. A file becomes as long as --size says; a block "
	"device must\nhave grown before. Without any size the volume takes all "
	"that its file or device\nhas. Contents stay as they are.\n\n"
	"  --size SIZE          how much storage it has then\n"
	"  --logical-size SIZE  how much can be addressed then\n"
	"  -o NAME=VALUE        any option that 'vdoctl options' lists\n"
	"  -v, --verbose        show what is done, and the log of the library\n"
	"  -h, --help           this text\n";

static int grow(const struct arguments *a)
{
	uint64_t size = a->size;
	struct vdo_volume *volume;
	struct vdo_error error;
	struct vdo_info info;
	int code = EXIT_OK, result;

	catch_interrupts();
	if (!a->has_size && !a->has_logical_size)
		size = VDO_GROW_ALL;
	if (vdo_open(a->path, a->config, &volume, &error) != 0)
		return complain_vdo(a->path, &error);
	if (vdo_grow(volume, size, a->logical_size, &error) != 0)
		code = complain_vdo(a->path, &error);
	result = vdo_close(volume);
	if (code != EXIT_OK)
		return code;
	if (result != 0) {
		complain("%s: %s", a->path, vdo_strerror(result));
		return EXIT_FAILED;
	}
	if (vdo_inspect(a->path, &info, sizeof(info), &error) != 0)
		return complain_vdo(a->path, &error);
	printf("%llu bytes of storage in %llu slabs; %llu bytes can be "
	       "addressed\n",
	       (unsigned long long)info.physical_blocks * 4096,
	       (unsigned long long)info.slab_count,
	       (unsigned long long)info.logical_blocks * 4096);
	return EXIT_OK;
}

int command_grow(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "zL", help_text))
		code = a.code;
	else
		code = grow(&a);
	arguments_free(&a);
	return code;
}
