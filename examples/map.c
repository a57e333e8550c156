/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sparse copy: what of a volume holds data is copied to a file, the rest of it
 * stays a hole.
 *
 *	map VOLUME FILE
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vdo/vdo.h>

#define PIECE (1u << 20)

struct copy {
	struct vdo_volume *volume;
	int file;
	char *buffer;
	unsigned long long data, holes; /* bytes */
};

static int copy_piece(struct copy *c, uint64_t offset, size_t length)
{
	int r = vdo_pread(c->volume, c->buffer, length, offset, 0);

	if (r == 0 && pwrite(c->file, c->buffer, length, (off_t)offset) !=
			      (ssize_t)length)
		r = 1;
	return r;
}

/* Called for each extent; what is not 0 ends the map. */
static int copy_extent(void *arg, const struct vdo_extent *e)
{
	struct copy *c = arg;
	uint64_t end = e->offset + e->length;
	int r = 0;

	if (e->kind == VDO_MAP_HOLE || e->kind == VDO_MAP_ZERO) {
		c->holes += e->length;
		return 0;
	}
	for (uint64_t at = e->offset; r == 0 && at < end; at += PIECE)
		r = copy_piece(c, at, end - at < PIECE ? end - at : PIECE);
	c->data += e->length;
	return r;
}

int main(int argc, char **argv)
{
	struct vdo_config *config;
	struct vdo_error error;
	struct copy c = {0};
	uint64_t size;
	int r;

	if (argc != 3)
		return EXIT_FAILURE;
	c.buffer = malloc(PIECE);
	c.file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (c.buffer == NULL || c.file < 0 || vdo_config_new(&config) != 0) {
		perror("map");
		return EXIT_FAILURE;
	}
	if (vdo_config_set(config, "read-only", "on", &error) != 0 ||
	    vdo_open(argv[1], config, &c.volume, &error) != 0) {
		fprintf(stderr, "map: %s\n", error.message);
		return EXIT_FAILURE;
	}
	size = vdo_volume_size(c.volume);
	r = vdo_map_extents(c.volume, 0, size, 0, copy_extent, &c);
	if (r == 0 && ftruncate(c.file, (off_t)size) != 0)
		r = 1;
	if (r != 0)
		fprintf(stderr, "map: %s\n",
			r > 0 ? "cannot write" : vdo_strerror(r));
	else
		printf("%llu bytes copied, %llu bytes of holes\n", c.data,
		       c.holes);
	vdo_close(c.volume);
	vdo_config_free(config);
	free(c.buffer);
	close(c.file);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
