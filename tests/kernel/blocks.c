/* SPDX-License-Identifier: BSD-2-Clause */
/* The blocks of plans and manifests: see blocks.h. */
#include "build.h"

#include "tests/kernel/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[32] = {
	"the", "volume", "of", "block", "and", "journal", "is", "a",
	"compressed", "to", "recovery", "index", "chapter", "in", "page",
	"with", "reference", "count", "for", "mapping", "slab", "that", "on",
	"device", "deduplication", "as", "logical", "was", "physical", "by",
	"address", "written",
};

uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static const struct {
	const char *name;
	int kind;
} named[] = {
	{"zero", KIND_ZERO},   {"text", KIND_TEXT}, {"salt", KIND_SALT},
	{"mixed", KIND_MIXED}, {"rand", KIND_RAND},
};

int kind_parse(const char *name)
{
	char *end;
	size_t i;
	long n;

	for (i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (strcmp(name, named[i].name) == 0)
			return named[i].kind;
	if (name[0] != 'r')
		return 0;
	n = strtol(name + 1, &end, 10);
	return *end == '\0' && n >= 8 && n < (long)BLOCK && n % 8 == 0
		       ? (int)n : 0;
}

const char *kind_name(int kind, char text[KIND_NAME_MAX])
{
	size_t i;

	snprintf(text, KIND_NAME_MAX, "r%d", kind);
	for (i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (kind == named[i].kind)
			snprintf(text, KIND_NAME_MAX, "%s", named[i].name);
	return text;
}

static void put_word(uint8_t *p, uint64_t word)
{
	unsigned i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(word >> (8 * i));
}

static void fill_random(uint8_t *p, unsigned bytes, uint64_t seed)
{
	unsigned i;

	for (i = 0; i < bytes; i += 8)
		put_word(p + i, splitmix64(&seed));
}

static void fill_text(uint8_t *p, uint64_t seed)
{
	unsigned at = 0, column = 0;

	while (at < BLOCK) {
		const char *word = words[splitmix64(&seed) % 32];
		unsigned length = (unsigned)strlen(word);
		unsigned fits = length < BLOCK - at ? length : BLOCK - at;

		memcpy(p + at, word, fits);
		at += fits;
		column += length + 1;
		if (at < BLOCK)
			p[at++] = column >= 72 ? '\n' : ' ';
		if (column >= 72)
			column = 0;
	}
}

void block_fill(uint8_t *p, int kind, uint64_t seed)
{
	unsigned at;

	switch (kind) {
	case KIND_ZERO:
		memset(p, 0, BLOCK);
		return;
	case KIND_TEXT:
		fill_text(p, seed);
		return;
	case KIND_SALT:
		fill_random(p, BLOCK, seed & ~UINT64_C(0xffff));
		put_word(p, seed);
		put_word(p + 8, ~seed);
		return;
	default:
		fill_random(p, (unsigned)kind, seed);
		for (at = (unsigned)kind; at < BLOCK; at += 8)
			memcpy(p + at, "padding.", 8);
	}
}

bool block_is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}
