/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An incremental backup: two copies of the same data in a volume, of which one was
 * changed later. What has to be saved is found without reading any of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#define OLD	UINT64_C(0)
#define NEW	(UINT64_C(64) << 20)
#define LENGTH	(UINT64_C(8) << 20)
#define CHANGED (UINT64_C(4) << 20) /* of the new one */

static void check(int r)
{
	if (r == 0)
		return;
	fprintf(stderr, "changes: %s\n", vdo_strerror(r));
	exit(EXIT_FAILURE);
}

/* A volume in memory. */
static struct vdo_volume *make_volume(struct vdo_device **device)
{
	struct vdo_volume *volume;
	struct vdo_config *config;

	check(vdo_config_new(&config));
	check(vdo_config_set(config, "logical-size", "128M", NULL));
	check(vdo_device_open_memory(UINT64_C(256) << 20, device));
	check(vdo_format_device(*device, config, NULL));
	check(vdo_open_device(*device, config, &volume, NULL));
	vdo_config_free(config);
	return volume;
}

static void fill(uint32_t *data, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i < bytes / 4; i++)
		data[i] = seed = seed * 1664525 + 1013904223;
}

/* Called for each change; here its data would be read and saved. */
static int save(void *arg, const struct vdo_change *c)
{
	char *list = arg;
	size_t used = strlen(list);

	snprintf(list + used, 256 - used, " %llu at %llu",
		 (unsigned long long)c->length, (unsigned long long)c->offset);
	return 0;
}

static int add_length(void *arg, const struct vdo_change *c)
{
	*(uint64_t *)arg += c->length;
	return 0;
}

int main(void)
{
	uint32_t *data = malloc(LENGTH);
	struct vdo_device *device;
	struct vdo_volume *volume = make_volume(&device);
	char list[256] = "";
	uint64_t bytes = 0;

	if (data == NULL)
		return EXIT_FAILURE;
	fill(data, LENGTH, 1);
	check(vdo_pwrite(volume, data, LENGTH, OLD, 0));
	check(vdo_flush(volume, 0));
	check(vdo_pwrite(volume, data, LENGTH, NEW, 0));
	fill(data, 3 * 4096, 2);
	check(vdo_pwrite(volume, data, 3 * 4096, NEW + CHANGED, 0));

	check(vdo_map_changes(volume, OLD, NEW, LENGTH, 0, add_length,
			      &bytes));
	check(vdo_map_changes(volume, OLD, NEW, LENGTH, 0, save, list));
	printf("%llu bytes to be saved:%s\n", (unsigned long long)bytes, list);

	check(vdo_close(volume));
	vdo_device_close(device);
	free(data);
	return EXIT_SUCCESS;
}
