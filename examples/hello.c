/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shortest program: make a volume if there is none, write, read back.
 *
 *	hello FILE
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

static void check(int r, const struct vdo_error *error)
{
	if (r == 0)
		return;
	fprintf(stderr, "hello: %s\n",
		error != NULL ? error->message : vdo_strerror(r));
	exit(EXIT_FAILURE);
}

static void make_volume(const char *path)
{
	struct vdo_config *config;
	struct vdo_error error;

	check(vdo_config_new(&config), NULL);
	check(vdo_config_set(config, "size", "64M", &error), &error);
	check(vdo_format(path, config, &error), &error);
	vdo_config_free(config);
}

int main(int argc, char **argv)
{
	static char block[4096] = "hello, world\n", back[4096];
	const char *path = argc > 1 ? argv[1] : "hello.vdo";
	FILE *file = fopen(path, "r");
	struct vdo_volume *volume;
	struct vdo_error error;
	sigset_t all;

	/* What would end us waits until the volume is closed: one that is not
	 * needs recovery. Programs that take longer ask examples/process.h. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);

	if (file != NULL)
		fclose(file);
	else
		make_volume(path);

	check(vdo_open(path, NULL, &volume, &error), &error);
	check(vdo_pwrite(volume, block, sizeof(block), 0, 0), NULL);
	check(vdo_pread(volume, back, sizeof(back), 0, 0), NULL);
	check(vdo_close(volume), NULL);
	sigprocmask(SIG_UNBLOCK, &all, NULL);

	fputs(back, stdout);
	return memcmp(block, back, sizeof(block)) == 0 ? 0 : 1;
}
