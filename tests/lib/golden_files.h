/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The golden files of tests/golden: where they are, and images out of their
 * archives. index/ has those of the reference's indexes, kernel/ the volumes
 * that Linux wrote; a README.md in each tells what they hold.
 *
 * $VDO_GOLDEN: another folder with these two.
 */
#ifndef TESTS_LIB_GOLDEN_FILES_H
#define TESTS_LIB_GOLDEN_FILES_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN_PATH 1024 /* bytes for a path */

/* The path of @name of the source, such as "tests/golden/index/x.ops". */
static inline void source_path(const char *name, char *path)
{
	const char *places[] = {getenv("top_srcdir"), "..", "."};

	for (unsigned i = 0; i < 3; i++) {
		if (places[i] == NULL)
			continue;
		snprintf(path, GOLDEN_PATH, "%s/%s", places[i], name);
		if (access(path, R_OK) == 0)
			return;
	}
	fprintf(stderr, "there is no %s; top_srcdir must name the source\n",
		name);
	exit(1);
}

/* The path of @name, such as "index/tiny-dense.ops". */
static inline void golden_path(const char *name, char *path)
{
	const char *other = getenv("VDO_GOLDEN");
	char below[256];

	if (other != NULL) {
		snprintf(path, GOLDEN_PATH, "%s/%s", other, name);
	} else {
		snprintf(below, sizeof(below), "tests/golden/%s", name);
		source_path(below, path);
	}
}

/*
 * The archive of the index's image @name: it has the first two words of the
 * name, since images that differ little take less room in one archive.
 */
static inline void golden_archive(const char *name, char *path)
{
	const char *dash = strchr(name, '-');
	char file[128];
	int n = (int)strlen(name);

	if (dash != NULL && (dash = strchr(dash + 1, '-')) != NULL)
		n = (int)(dash - name);
	snprintf(file, sizeof(file), "index/%.*s.tar.xz", n, name);
	golden_path(file, path);
}

/* The bytes of the index's image @name; ends with pclose(). NULL: failed. */
static inline FILE *golden_index(const char *name)
{
	char path[GOLDEN_PATH], command[GOLDEN_PATH + 256];

	golden_archive(name, path);
	snprintf(command, sizeof(command), "tar -xJOf '%s' '%s.img'", path,
		 name);
	return popen(command, "r");
}

/* Put the index's image @name into @dir, sparse, as NAME.img. */
static inline bool golden_index_unpack(const char *name, const char *dir)
{
	char path[GOLDEN_PATH], command[2 * GOLDEN_PATH + 256];

	golden_archive(name, path);
	snprintf(command, sizeof(command), "tar -C '%s' -xJSf '%s' '%s.img'",
		 dir, path, name);
	return system(command) == 0;
}

#endif
