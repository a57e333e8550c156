/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The catalogue of dedup-copy. Byte 0:
 *
 *	1	leave the checksums; else they are right
 *	2	leave the lengths; else the body is as long as the input
 *
 * Then 52 bytes of the header, then the body.
 *
 * What is decoded is consistent and encoded again to something that means the
 * same.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <zlib.h>

#include "examples/dedup-copy/dedup-copy.h"

const unsigned fuzz_replays = 15000;

#define PLACE  (4 * UINT64_C(4096))
#define VOLUME (64 * UINT64_C(4096))
#define HEADER 52u

/* The volume, as far as a catalogue is read from it and written to it. */
static uint8_t volume[VOLUME];

int reader_copy(struct reader *r, uint64_t offset, void *data, size_t bytes)
{
	if (offset > VOLUME || bytes > VOLUME - offset)
		return -ERANGE;
	memcpy(data, volume + offset, bytes);
	return 0;
}

int writer_put(struct writer *w, const void *data, size_t bytes)
{
	FUZZ_CHECK(bytes <= VOLUME - w->position);
	if (bytes > 0)
		memcpy(volume + w->position, data, bytes);
	w->position += bytes;
	return 0;
}

int writer_align(struct writer *w)
{
	w->position = (w->position + BLOCK - 1) / BLOCK * BLOCK;
	return 0;
}

static void check_entry(const struct catalogue *c, uint64_t i)
{
	const struct entry *e = &c->entries[i];
	uint64_t at = 0;

	FUZZ_CHECK(e->root < c->root_count && e->mode <= 07777 &&
		   e->path != NULL && e->target != NULL);
	FUZZ_CHECK(e->type == ENTRY_FILE || e->extent_count == 0);
	if (e->type == ENTRY_HARDLINK)
		FUZZ_CHECK(e->link < i &&
			   c->entries[e->link].type != ENTRY_HARDLINK);
	for (uint32_t k = 0; k < e->extent_count; k++) {
		const struct extent *x = &e->extents[k];

		FUZZ_CHECK(x->in_file >= at && x->length > 0 &&
			   x->in_file + x->length <= e->size);
		FUZZ_CHECK(x->on_volume % BLOCK == 0 &&
			   x->on_volume + x->length <= c->place);
		at = x->in_file + x->length;
	}
	path_is_safe(e->path);
	/* There is no such file; but they are parsed. */
	xattrs_restore(-1, e);
}

/* Write it; returns the length. */
static uint64_t write_again(struct catalogue *c)
{
	static struct writer w;

	memset(volume, 0, sizeof(volume));
	w.position = PLACE;
	FUZZ_CHECK(catalogue_write(c, &w) == 0);
	return w.position - PLACE;
}

static void check(struct catalogue *c, struct reader *r)
{
	static uint8_t once[VOLUME];
	struct catalogue again;
	uint64_t length;

	for (uint64_t i = 0; i < c->entry_count; i++)
		check_entry(c, i);
	length = write_again(c);
	memcpy(once, volume + PLACE, length);
	FUZZ_CHECK(catalogue_read(&again, r, PLACE) == 0);
	FUZZ_CHECK(again.entry_count == c->entry_count &&
		   again.root_count == c->root_count);
	FUZZ_CHECK(write_again(&again) == length);
	FUZZ_CHECK(memcmp(once, volume + PLACE, length) == 0);
	/* Each root can be extracted, whatever its name. */
	for (uint32_t i = 0; i < again.root_count; i++) {
		char *name = catalogue_free_name(&again, again.roots[i].name);

		FUZZ_CHECK(name != NULL && strlen(name) <= NAME_MAX);
		again.roots[i].place = name;
	}
	while (again.entry_count > 0)
		catalogue_drop_last(&again);
	catalogue_fini(&again);
}

static void fix(unsigned flags, size_t body)
{
	uint8_t *block = volume + PLACE;

	if ((flags & 2) == 0)
		store64(block + 16, body);
	if ((flags & 1) != 0)
		return;
	body = (size_t)MIN(load64(block + 16), VOLUME - PLACE - BLOCK);
	store32(block + 12, (uint32_t)crc32_z(0, block + BLOCK, body));
	store32(block + 8, 0);
	store32(block + 8, (uint32_t)crc32_z(0, block, BLOCK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reader r = {.limit = VOLUME};
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	struct catalogue c;
	size_t body;

	memset(volume, 0, sizeof(volume));
	fuzz_fill(&f, volume + PLACE, HEADER);
	body = fuzz_fill(&f, volume + PLACE + BLOCK, MIN(f.n, FUZZ_INPUT_MAX));
	fix(flags, body);
	if (catalogue_read(&c, &r, PLACE) == 0)
		check(&c, &r);
	catalogue_fini(&c);
	return 0;
}

/* Two roots; a folder with a file, links, a device, and what hangs on them. */
static void example(struct catalogue *c)
{
	static const struct {
		enum entry_type type;
		const char *path, *target;
		uint64_t link;
	} entries[] = {
		{ENTRY_DIRECTORY, "etc", "", 0},
		{ENTRY_FILE, "etc/fstab", "", 0},
		{ENTRY_HARDLINK, "etc/mtab", "", 1},
		{ENTRY_SYMLINK, "etc/link", "fstab", 0},
		{ENTRY_CHAR, "etc/null", "", 0},
		{ENTRY_FIFO, "srv", "", 0},
	};

	c->place = PLACE;
	catalogue_root(c, "etc", "/etc");
	catalogue_root(c, "srv", "/srv");
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
		struct entry *e = catalogue_add(c);

		FUZZ_CHECK(e != NULL);
		e->type = entries[i].type;
		e->path = strdup(entries[i].path);
		e->target = strdup(entries[i].target);
		e->link = entries[i].link;
		e->root = i == 5;
		e->size = e->type == ENTRY_FILE ? 9000 : 0;
		if (e->type == ENTRY_FILE) {
			static const uint8_t xattr[] = "\6\0\2\0\0\0user.xhi";

			e->xattrs = malloc(14);
			FUZZ_CHECK(e->xattrs != NULL);
			memcpy(e->xattrs, xattr, 14);
			e->xattr_bytes = 14;
			FUZZ_CHECK(entry_add_extent(
					   e, (struct extent){0, 8192, 8192}) ==
				   0);
			FUZZ_CHECK(
				entry_add_extent(e, (struct extent){8192, 4096,
								    808}) == 0);
		}
	}
}

size_t fuzz_seed(unsigned i, uint8_t *input)
{
	struct catalogue c = {.number = i, .previous = 4096 * i};

	if (i > 1)
		return 0;
	if (i == 0)
		example(&c);
	c.place = PLACE;
	write_again(&c);
	catalogue_fini(&c);
	input[0] = 0;
	memcpy(input + 1, volume + PLACE, HEADER);
	c.body_length = load64(volume + PLACE + 16);
	memcpy(input + 1 + HEADER, volume + PLACE + BLOCK, c.body_length);
	return 1 + HEADER + c.body_length;
}
