/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Golden files that are not part of the source: looked for in $VDO_SHARED, or
 * in ../shared beside the source tree. Tests that need them do without.
 */
#ifndef TESTS_UNIT_INDEX_SHARED_H
#define TESTS_UNIT_INDEX_SHARED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of @name, in 1024 bytes; false if there is no such file. */
static inline bool shared_path(const char *name, char *path)
{
	const char *places[] = {getenv("VDO_SHARED"), "../shared", NULL, NULL};
	const char *source = getenv("srcdir");
	char beside[512];

	if (source != NULL) {
		snprintf(beside, sizeof(beside), "%s/../shared", source);
		places[2] = beside;
	}
	for (unsigned i = 0; i < 3; i++) {
		if (places[i] == NULL)
			continue;
		snprintf(path, 1024, "%s/%s", places[i], name);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

#endif
