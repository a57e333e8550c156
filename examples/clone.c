/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies of a range that cost nothing: a "disk" of 16 MiB at the beginning of a
 * volume gets clones beside it, each of which can be written to on its own.
 *
 *	clone FILE
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#define DISK   (UINT64_C(16) << 20)
#define CLONES 10u
#define BLOCK  4096u

static void check(int r, const struct vdo_error *error)
{
	if (r == 0)
		return;
	fprintf(stderr, "clone: %s\n",
		error != NULL ? error->message : vdo_strerror(r));
	exit(EXIT_FAILURE);
}

static uint64_t statistic(struct vdo_volume *volume, const char *name)
{
	struct vdo_stats *stats;
	uint64_t n;

	check(vdo_stats_get(volume, &stats), NULL);
	n = vdo_stats_value(stats, name);
	vdo_stats_free(stats);
	return n;
}

static void fill_disk(struct vdo_volume *volume)
{
	static uint32_t block[BLOCK / sizeof(uint32_t)];

	for (uint64_t at = 0; at < DISK; at += BLOCK) {
		for (size_t i = 0; i < BLOCK / sizeof(uint32_t); i++)
			block[i] = (uint32_t)((at + i) * 2654435761u);
		check(vdo_pwrite(volume, block, BLOCK, at, 0), NULL);
	}
}

int main(int argc, char **argv)
{
	static char old[BLOCK], new[BLOCK] = "of clone 3 alone\n", now[BLOCK];
	const char *path = argc > 1 ? argv[1] : "clone.vdo";
	struct vdo_config *config;
	struct vdo_volume *volume;
	struct vdo_error error;
	uint64_t shared, written;
	sigset_t all;

	/* As in hello.c. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);

	check(vdo_config_new(&config), NULL);
	check(vdo_config_set(config, "size", "64M", &error), &error);
	check(vdo_config_set(config, "logical-size", "256M", &error), &error);
	check(vdo_format(path, config, &error), &error);
	vdo_config_free(config);
	check(vdo_open(path, NULL, &volume, &error), &error);

	fill_disk(volume);
	for (unsigned i = 1; i <= CLONES; i++)
		check(vdo_copy_range(volume, i * DISK, 0, DISK, 0), NULL);
	check(vdo_flush(volume, 0), NULL);
	shared = statistic(volume, "path.copiedByReference");
	written = statistic(volume, "path.copiedByWriting");

	/* What is written to a clone shows in no other. */
	check(vdo_pwrite(volume, new, BLOCK, 3 * DISK, 0), NULL);
	check(vdo_pread(volume, old, BLOCK, 0, 0), NULL);
	check(vdo_pread(volume, now, BLOCK, 4 * DISK, 0), NULL);
	check(vdo_close(volume), NULL);
	sigprocmask(SIG_UNBLOCK, &all, NULL);

	printf("%u clones of %" PRIu64 " blocks: %" PRIu64 " blocks shared, "
	       "%" PRIu64 " written\n",
	       CLONES, DISK / BLOCK, shared, written);
	return memcmp(old, now, BLOCK) == 0 ? 0 : 1;
}
