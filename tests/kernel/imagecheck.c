/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * imagecheck FILE: hold all parts of a volume that is not open against each
 * other (tests/lib/image.h), one that was not closed as its journal says.
 */
#include "build.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/image.h"

static void peek(void *arg, uint64_t block, void *buf)
{
	const int *fd = arg;
	ssize_t n = pread(*fd, buf, BLOCK_SIZE, (off_t)(block * BLOCK_SIZE));

	if (n == (ssize_t)BLOCK_SIZE)
		return;
	perror("imagecheck: read");
	exit(2);
}

int main(int argc, char **argv)
{
	struct image image;
	struct stat st;
	unsigned problems;
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0 || fstat(fd, &st) != 0) {
		fprintf(stderr, "imagecheck FILE\n");
		return 2;
	}
	image_open(&image, peek, &fd, (uint64_t)st.st_size / BLOCK_SIZE);
	image_recover(&image);
	image_check(&image);
	problems = image.problems;
	printf("state %u, replayed %llu entries, %u problems\n",
	       (unsigned)image.sb.state, (unsigned long long)image.entries,
	       problems);
	image_close(&image);
	close(fd);
	return problems != 0;
}
