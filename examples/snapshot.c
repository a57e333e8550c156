/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of a volume that stays open: what was written before is in it, what is
 * written later is not.
 *
 *	snapshot FILE COPY
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
	fprintf(stderr, "snapshot: %s\n",
		error != NULL ? error->message : vdo_strerror(r));
	exit(EXIT_FAILURE);
}

static int copy_file(const char *from, const char *to)
{
	static char buffer[1 << 16];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n = 0;
	int failed = in == NULL || out == NULL;

	while (!failed && (n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		failed = fwrite(buffer, 1, n, out) != n;
	failed = failed || ferror(in);
	if (in != NULL)
		fclose(in);
	if (out != NULL && fclose(out) != 0)
		failed = 1;
	return failed;
}

static void make_volume(const char *path)
{
	struct vdo_config *config;
	struct vdo_error error;

	check(vdo_config_new(&config), NULL);
	check(vdo_config_set(config, "size", "64M", &error), &error);
	check(vdo_config_set(config, "force", "on", &error), &error);
	check(vdo_format(path, config, &error), &error);
	vdo_config_free(config);
}

static void print_block(const char *path, struct vdo_volume *volume)
{
	static char block[4096];

	check(vdo_pread(volume, block, sizeof(block), 0, 0), NULL);
	printf("%s: %s\n", path, block);
}

int main(int argc, char **argv)
{
	static char first[4096] = "the first version";
	static char second[4096] = "the second version";
	const char *path = argc > 1 ? argv[1] : "snapshot.vdo";
	const char *to = argc > 2 ? argv[2] : "snapshot-copy.vdo";
	struct vdo_volume *volume, *copy;
	struct vdo_error error;
	sigset_t all;
	int failed;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	make_volume(path);
	check(vdo_open(path, NULL, &volume, &error), &error);
	check(vdo_pwrite(volume, first, sizeof(first), 0, 0), NULL);

	check(vdo_suspend(volume, true), NULL);
	failed = copy_file(path, to);
	check(vdo_resume(volume), NULL);

	check(vdo_pwrite(volume, second, sizeof(second), 0, 0), NULL);
	print_block(path, volume);
	check(vdo_close(volume), NULL);
	if (failed) {
		fprintf(stderr, "snapshot: the copy could not be written\n");
		return EXIT_FAILURE;
	}
	check(vdo_open(to, NULL, &copy, &error), &error);
	print_block(to, copy);
	check(vdo_close(copy), NULL);
	return EXIT_SUCCESS;
}
