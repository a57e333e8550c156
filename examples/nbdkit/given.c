/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As getopt_long(3) does it: letters may stand together up to the first that
 * has a value, long options may be cut as long as they are clear, and options
 * may come after parameters. A value that is a word of its own and looks like
 * one of our options is taken for it; nbdkit has no option for which that would
 * make sense.
 */
#include "build.h"

#include "given.h"

#include <stdio.h>
#include <string.h>

/* nbdkit's letters without a value. */
#define FLAGS "46fnorsvV"

static bool has_letter(const char *word, char letter)
{
	for (const char *c = word + 1; *c != '\0'; c++) {
		if (*c == letter)
			return true;
		if (strchr(FLAGS, *c) == NULL)
			return false; /* the rest is its value */
	}
	return false;
}

/* Is @word the long option @name, or its beginning, with @least letters? */
static bool is_long(const char *word, const char *name, size_t least)
{
	size_t n = strcspn(word, "=");

	return n >= least + 2 && strncmp(word + 2, name, n - 2) == 0;
}

static void look_at(struct given *g, const char *word)
{
	if (word[0] != '-')
		return;
	if (word[1] != '-') {
		g->read_only |= has_letter(word, 'r');
		return;
	}
	g->read_only |= is_long(word, "readonly", 2) ||
			is_long(word, "read-only", 2);
	g->run |= is_long(word, "run", 2);
	g->swap |= is_long(word, "swap", 2);
}

void given_read(struct given *g)
{
	FILE *f = fopen("/proc/self/cmdline", "re");
	size_t n = 0;
	char word[64]; /* long enough to know one of ours */
	int c;

	memset(g, 0, sizeof(*g));
	while (f != NULL && (c = getc(f)) != EOF) {
		if (n < sizeof(word) - 1)
			word[n++] = (char)c;
		if (c != '\0')
			continue;
		word[n] = '\0';
		if (strcmp(word, "--") == 0)
			break;
		look_at(g, word);
		n = 0;
	}
	if (f != NULL)
		fclose(f);
}
