/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "select.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/random.h>

#include "dedup-copy.h"

/*
 * Names from a file
 */

static bool add_name(struct names *n, char *name)
{
	/* sizes 1, 2, 4, 8, ... */
	if ((n->count & (n->count - 1)) == 0) {
		size_t max = n->count == 0 ? 1 : 2 * n->count;
		char **list = realloc(n->list, max * sizeof(*list));

		if (list == NULL)
			return false;
		n->list = list;
	}
	n->list[n->count++] = name;
	return true;
}

static bool read_all(struct names *n, FILE *f, int end)
{
	for (;;) {
		char *name = NULL;
		size_t size = 0;
		ssize_t length = getdelim(&name, &size, end, f);

		if (length < 0 || interrupted()) {
			free(name);
			return length < 0 && feof(f);
		}
		if (name[length - 1] == end)
			name[--length] = '\0';
		if (length == 0 || strlen(name) != (size_t)length) {
			if (length != 0)
				complain("%s: this name has a NUL in it; is -0 "
					 "missing?",
					 name);
			free(name);
			if (length != 0)
				return false;
		} else if (!add_name(n, name)) {
			free(name);
			errno = ENOMEM;
			return false;
		}
	}
}

int names_read(struct names *n, const char *file, bool nul)
{
	bool is_input = strcmp(file, "-") == 0, good;
	FILE *f = is_input ? stdin : fopen(file, "re");

	if (f == NULL) {
		complain("%s: %s", file, strerror(errno));
		return STOP_SAID;
	}
	errno = 0;
	good = read_all(n, f, nul ? '\0' : '\n');
	if (!good && errno != 0 && !interrupted())
		complain("%s: %s", is_input ? "standard input" : file,
			 strerror(errno));
	if (!is_input)
		fclose(f);
	if (interrupted())
		return STOP_INTERRUPTED;
	return good ? 0 : STOP_SAID;
}

void names_fini(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->list[i]);
	free(n->list);
	*n = (struct names){0};
}

/*
 * Patterns
 */

/* At the beginning of @path, all of it or up to a slash? */
static bool matches_here(const char *pattern, const char *path,
			 bool is_directory, bool directories_only)
{
	if (fnmatch(pattern, path, 0) == 0)
		return is_directory || !directories_only;
	return fnmatch(pattern, path, FNM_LEADING_DIR) == 0;
}

static bool pattern_matches(const char *pattern, const char *path,
			    const char *source, bool is_directory,
			    bool directories_only)
{
	if (pattern[0] == '/')
		return source != NULL && matches_here(pattern, source,
						      is_directory,
						      directories_only);
	while (!matches_here(pattern, path, is_directory, directories_only)) {
		path = strchr(path, '/');
		if (path++ == NULL)
			return false;
	}
	return true;
}

bool select_excludes(const struct arguments *a, const char *path,
		     const char *source, bool is_directory)
{
	for (size_t i = 0; i < a->exclude_count; i++)
		if (pattern_matches(a->excludes[i].pattern, path, source,
				    is_directory,
				    a->excludes[i].directories_only))
			return true;
	return false;
}

/*
 * Names in an archive
 */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

struct key path_key(const char *path, size_t length)
{
	static uint64_t seed[2];
	struct key key;

	/* nobody can choose names that meet */
	if (seed[0] == 0 && getrandom(seed, sizeof(seed), 0) < 0)
		seed[1] = (uint64_t)(uintptr_t)&key;
	seed[0] |= 1;
	key = (struct key){mix(seed[0], length), mix(seed[1], length)};
	while (length > 0) {
		size_t n = length < 8 ? length : 8;
		uint64_t word = 0;

		memcpy(&word, path, n);
		key.low = mix(key.low, word);
		key.high = mix(key.high + key.low, word);
		path += n;
		length -= n;
	}
	key.high |= key.low == 0 && key.high == 0;
	return key;
}

/* As it is in an archive: without "./" before it and slashes after it. */
static int add_selected(struct selection *s, const char *name)
{
	size_t length;
	bool added;

	while (name[0] == '.' && name[1] == '/')
		for (name++; *name == '/';)
			name++;
	length = strlen(name);
	while (length > 0 && name[length - 1] == '/')
		length--;
	s->names[s->count] = name;
	s->lengths[s->count] = length;
	if (table_get(&s->by_path, path_key(name, length), s->count, &added) ==
	    NULL)
		return -ENOMEM;
	s->count++;
	return 0;
}

int selection_init(struct selection *s, const struct arguments *a)
{
	size_t max = (size_t)a->name_count + a->listed.count + 1;
	int r = 0;

	*s = (struct selection){.arguments = a};
	s->names = calloc(max, sizeof(*s->names));
	s->lengths = calloc(max, sizeof(*s->lengths));
	s->matched = calloc(max, sizeof(*s->matched));
	if (s->names == NULL || s->lengths == NULL || s->matched == NULL)
		return -ENOMEM;
	for (int i = 0; i < a->name_count && r == 0; i++)
		r = add_selected(s, a->names[i]);
	for (size_t i = 0; i < a->listed.count && r == 0; i++)
		r = add_selected(s, a->listed.list[i]);
	return r;
}

void selection_fini(struct selection *s)
{
	free(s->names);
	free(s->lengths);
	free(s->matched);
	table_fini(&s->by_path);
}

/* Mark the name that the first @length bytes of @path are, if there is one. */
static bool match(struct selection *s, const char *path, size_t length)
{
	const uint64_t *i = table_find(&s->by_path, path_key(path, length));

	if (i == NULL || s->lengths[*i] != length ||
	    memcmp(s->names[*i], path, length) != 0)
		return false;
	s->matched[*i] = true;
	return true;
}

bool selection_wants(struct selection *s, const char *path, bool is_directory)
{
	bool found = s->count == 0;
	size_t end = 0;

	while (s->count != 0) {
		end += strcspn(path + end, "/");
		found |= match(s, path, end);
		if (path[end++] == '\0')
			break;
	}
	if (found && select_excludes(s->arguments, path, NULL, is_directory))
		return false;
	s->any |= found;
	return found;
}

/* A name that was given twice counts once. */
static bool is_matched(struct selection *s, size_t i)
{
	const uint64_t *first = table_find(
		&s->by_path, path_key(s->names[i], s->lengths[i]));

	return first != NULL && s->matched[*first];
}

void selection_end(struct selection *s, struct run *run)
{
	for (size_t i = 0; i < s->count; i++)
		if (!is_matched(s, i))
			warn(run, "%s: is not in the archive", s->names[i]);
}
