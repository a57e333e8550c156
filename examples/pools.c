/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks with names in one volume, here one in memory: a snapshot keeps what one
 * of them was like, and is gone in the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#define DISK "disk"
#define COPY "monday"

static void check(int r, const struct vdo_error *error)
{
	if (r == 0)
		return;
	fprintf(stderr, "pools: %s\n",
		error != NULL ? error->message : vdo_strerror(r));
	exit(EXIT_FAILURE);
}

/* In which much more can be addressed than there is storage. */
static struct vdo_volume *make_volume(struct vdo_device **device)
{
	struct vdo_volume *volume;
	struct vdo_config *config;
	struct vdo_error error;

	check(vdo_config_new(&config), NULL);
	check(vdo_config_set(config, "logical-size", "10G", &error), &error);
	check(vdo_device_open_memory(UINT64_C(128) << 20, device), NULL);
	check(vdo_format_device(*device, config, &error), &error);
	check(vdo_open_device(*device, config, &volume, &error), &error);
	vdo_config_free(config);
	return volume;
}

static void write_text(struct vdo_volume *disk, const char *text)
{
	static char block[4096];

	memset(block, 0, sizeof(block));
	snprintf(block, sizeof(block), "%s", text);
	check(vdo_pwrite(disk, block, sizeof(block), 0, 0), NULL);
}

static void print_text(struct vdo_volume *volume, const char *name)
{
	static char block[4096];
	struct vdo_volume *sub;
	struct vdo_error error;

	check(vdo_sub_open(volume, name, VDO_OPEN_READ_ONLY, &sub, &error),
	      &error);
	check(vdo_pread(sub, block, sizeof(block), 0, 0), NULL);
	printf("%s: %s\n", name, block);
	check(vdo_close(sub), NULL);
}

static int print(void *arg, const struct vdo_sub *s)
{
	++*(int *)arg;
	printf("%s %llu%s\n", s->name, (unsigned long long)s->size,
	       s->read_only ? " read-only" : "");
	return 0;
}

static int count(void *arg, const struct vdo_sub *s)
{
	(void)s;
	++*(int *)arg;
	return 0;
}

int main(void)
{
	struct vdo_device *device;
	struct vdo_volume *volume = make_volume(&device), *disk;
	struct vdo_error error;
	int listed = 0, left = 0;

	check(vdo_sub_create(volume, DISK, UINT64_C(1) << 30, &error), &error);
	check(vdo_sub_open(volume, DISK, 0, &disk, &error), &error);
	write_text(disk, "the first version");
	check(vdo_sub_snapshot(volume, DISK, COPY, &error), &error);
	write_text(disk, "the second version");
	check(vdo_close(disk), NULL);

	print_text(volume, DISK);
	print_text(volume, COPY);
	check(vdo_sub_list(volume, print, &listed, &error), &error);
	check(vdo_sub_remove(volume, COPY, &error), &error);
	check(vdo_sub_list(volume, count, &left, &error), &error);
	printf("%d is left of %d\n", left, listed);

	check(vdo_close(volume), NULL);
	vdo_device_close(device);
	return EXIT_SUCCESS;
}
