/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compare a volume with a manifest.
 *
 *	= LBN COUNT KIND SEED STEP SHA256
 *		these blocks, all together with that digest
 *	? LBN KIND SEED SHA256
 *		this, or what another such line says of the block
 *
 * Lines are in the order of LBNs; blocks in none read as zeroes.
 */
#include "build.h"

#include "tests/kernel/vdoplay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/sha256.h"

#define NEAR_BLOCKS    8u
#define COMPLAINTS_MAX 20u

struct checker {
	struct vdo_volume *volume;
	const struct check_options *options;
	uint64_t blocks; /* of the volume */
	uint64_t good, either, zeroes, bad;
	uint64_t at;	 /* all blocks before it were dealt with */
	uint8_t *buffer; /* PER_IO_MAX blocks */
	bool pending;	 /* no "?" line of block at - 1 was right so far */
	bool is_choice;	 /* the last line was a "?" line, for block at - 1 */
	char found[65];	 /* digest of that block */
};

static void complain(struct checker *c, uint64_t lbn, const char *expected)
{
	if (++c->bad <= COMPLAINTS_MAX)
		printf("block %" PRIu64 ": not %s\n", lbn, expected);
}

static void read_blocks(struct checker *c, uint64_t lbn, uint64_t count)
{
	int result;

	if (lbn + count > c->blocks)
		die("block %" PRIu64 " lies behind the volume",
		    lbn + count - 1);
	result = vdo_pread(c->volume, c->buffer, count * BLOCK, lbn * BLOCK,
			   0);
	if (result != 0)
		die("read of block %" PRIu64 ": %s", lbn,
		    vdo_strerror(result));
}

static void check_zero(struct checker *c, uint64_t from, uint64_t to)
{
	uint64_t i, n;

	for (; from < to; from += n) {
		n = to - from < PER_IO_MAX ? to - from : PER_IO_MAX;
		read_blocks(c, from, n);
		for (i = 0; i < n; i++) {
			if (block_is_zero(c->buffer + i * BLOCK))
				c->zeroes++;
			else
				complain(c, from + i, "zero, as in no line");
		}
	}
}

/* Go on to block @to, of which there is a line. */
static void skip_to(struct checker *c, uint64_t to)
{
	bool all = to - c->at <= 2 * NEAR_BLOCKS || c->options->gaps;

	if (c->pending)
		complain(c, c->at - 1, "one of its ? lines");
	c->pending = false;
	if (to < c->at)
		die("lines are not in the order of LBNs");
	if (!c->options->gaps && !c->options->near)
		return;
	if (all) {
		check_zero(c, c->at, to);
		return;
	}
	check_zero(c, c->at, c->at + NEAR_BLOCKS);
	check_zero(c, to - NEAR_BLOCKS, to);
}

static void digest(const void *data, size_t size, char hex[65])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_add(&sha, data, size);
	sha256_end(&sha, hex);
}

static void check_mixed(struct checker *c, uint64_t lbn, const char *expected)
{
	char hex[65];

	read_blocks(c, lbn, 1);
	digest(c->buffer, BLOCK, hex);
	if (strcmp(hex, expected) != 0)
		complain(c, lbn, expected);
}

/* The digest is only needed where the bytes are not known. */
static void check_equal(struct checker *c, char **w)
{
	uint64_t lbn = number_parse(w[1]), count = number_parse(w[2]);
	uint64_t seed = number_parse(w[4]), step = number_parse(w[5]);
	uint64_t i, n, done, bad = c->bad;
	int kind = kind_parse(w[3]);
	uint8_t block[BLOCK];

	skip_to(c, lbn);
	if (kind == KIND_MIXED)
		check_mixed(c, lbn, w[6]);
	for (done = 0; done < count && kind != KIND_MIXED; done += n) {
		n = count - done < PER_IO_MAX ? count - done : PER_IO_MAX;
		read_blocks(c, lbn + done, n);
		for (i = 0; i < n; i++) {
			block_fill(block, kind, seed + (done + i) * step);
			if (memcmp(block, c->buffer + i * BLOCK, BLOCK) != 0)
				complain(c, lbn + done + i, w[3]);
		}
	}
	c->good += count - (c->bad - bad);
	c->at = lbn + count;
	c->is_choice = false;
}

static void check_choice(struct checker *c, char **w)
{
	uint64_t lbn = number_parse(w[1]);

	if (!c->is_choice || lbn != c->at - 1) {
		skip_to(c, lbn);
		read_blocks(c, lbn, 1);
		digest(c->buffer, BLOCK, c->found);
		c->pending = true;
		c->at = lbn + 1;
		c->is_choice = true;
	}
	if (c->pending && strcmp(c->found, w[4]) == 0) {
		c->pending = false;
		c->either++;
	}
}

uint64_t check(struct vdo_volume *volume, const char *manifest,
	       const struct check_options *options)
{
	struct checker c = {.volume = volume, .options = options};
	FILE *file = text_open(manifest);
	char line[512], *w[8];

	c.blocks = vdo_volume_size(volume) / BLOCK;
	c.buffer = aligned_alloc(BLOCK, PER_IO_MAX * BLOCK);
	if (c.buffer == NULL)
		die("out of memory");
	while (fgets(line, sizeof(line), file) != NULL) {
		int n = line_split(line, w, 8);

		if (n == 7 && strcmp(w[0], "=") == 0)
			check_equal(&c, w);
		else if (n == 5 && strcmp(w[0], "?") == 0)
			check_choice(&c, w);
		else if (n != 0)
			die("%s: what is \"%s\"?", manifest, w[0]);
	}
	skip_to(&c, c.blocks);
	if (file != stdin)
		fclose(file);
	free(c.buffer);
	printf("%s: %" PRIu64 " blocks as expected, %" PRIu64
	       " as one of several possible, %" PRIu64
	       " unlisted ones zero, %" PRIu64 " wrong\n",
	       c.bad == 0 ? "ok" : "BAD", c.good, c.either, c.zeroes, c.bad);
	return c.bad;
}
