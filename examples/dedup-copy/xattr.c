/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "dedup-copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define VALUE_MAX 65536

static void load_value(struct bytes *b, int fd, const char *name)
{
	static char value[VALUE_MAX];
	ssize_t n = fgetxattr(fd, name, value, sizeof(value));

	if (n < 0)
		return;
	bytes_number(b, strlen(name), 2);
	bytes_number(b, (uint64_t)n, 4);
	bytes_put(b, name, strlen(name));
	bytes_put(b, value, (size_t)n);
}

/* What cannot be read is left out: many file systems have none. */
void xattrs_load(int fd, struct entry *e)
{
	static char names[VALUE_MAX];
	ssize_t n = flistxattr(fd, names, sizeof(names));
	struct bytes b = {0};

	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
		load_value(&b, fd, names + i);
	e->xattrs = b.data;
	e->xattr_bytes = b.failed ? 0 : b.length;
}

/* False: some could not be set, though the file system has such ones. */
bool xattrs_restore(int fd, const struct entry *e)
{
	const uint8_t *p = e->xattrs;
	struct cursor in = {.at = p, .end = p + e->xattr_bytes};
	char name[256];
	bool good = true;

	while (e->xattr_bytes > 0 && in.at < in.end) {
		size_t name_length = (size_t)cursor_number(&in, 2);
		size_t length = (size_t)cursor_number(&in, 4);
		const uint8_t *text = cursor_take(&in, name_length);
		const uint8_t *value = cursor_take(&in, length);

		if (in.bad || name_length >= sizeof(name))
			return false;
		memcpy(name, text, name_length);
		name[name_length] = '\0';
		if (fsetxattr(fd, name, value, length, 0) != 0 &&
		    errno != ENOTSUP && errno != EPERM)
			good = false;
	}
	return good;
}
