/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "catalogue.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static const uint8_t magic[8] = "VDOcat1\n";

enum {
	AT_CRC = 8,
	AT_BODY_CRC = 12,
	AT_BODY_LENGTH = 16,
	AT_PREVIOUS = 24,
	AT_TIME = 32,
	AT_FILE_BYTES = 40,
	AT_NUMBER = 48,
};

/* The least number of bytes of an encoded root, entry and extent. */
enum { ROOT_MIN = 20, ENTRY_MIN = 61, EXTENT_SIZE = 24 };

static void entry_fini(struct entry *e)
{
	free(e->path);
	free(e->target);
	free(e->xattrs);
	free(e->extents);
}

void catalogue_fini(struct catalogue *c)
{
	for (uint32_t i = 0; i < c->root_count; i++) {
		free(c->roots[i].name);
		free(c->roots[i].origin);
		free(c->roots[i].source);
		free(c->roots[i].place);
	}
	for (uint64_t i = 0; i < c->entry_count; i++)
		entry_fini(&c->entries[i]);
	free(c->roots);
	free(c->entries);
	memset(c, 0, sizeof(*c));
}

struct entry *catalogue_add(struct catalogue *c)
{
	struct entry *e;

	if (c->entry_count == c->entry_max) {
		uint64_t max = 2 * c->entry_max + 64;

		e = realloc(c->entries, (size_t)max * sizeof(*e));
		if (e == NULL)
			return NULL;
		c->entries = e;
		c->entry_max = max;
	}
	e = &c->entries[c->entry_count++];
	memset(e, 0, sizeof(*e));
	return e;
}

void catalogue_drop_last(struct catalogue *c)
{
	entry_fini(&c->entries[--c->entry_count]);
}

int entry_add_extent(struct entry *e, struct extent extent)
{
	struct extent *more;

	if (e->extent_count > 0) {
		struct extent *last = &e->extents[e->extent_count - 1];

		if (last->length % BLOCK == 0 &&
		    last->in_file + last->length == extent.in_file &&
		    last->on_volume + last->length == extent.on_volume) {
			last->length += extent.length;
			return 0;
		}
	}
	/* sizes 1, 2, 4, 8, ... */
	if ((e->extent_count & (e->extent_count - 1)) == 0) {
		size_t max = e->extent_count == 0 ? 1 : 2 * e->extent_count;

		more = realloc(e->extents, max * sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		e->extents = more;
	}
	e->extents[e->extent_count++] = extent;
	return 0;
}

static int64_t add_root(struct catalogue *c, const char *name,
			const char *origin)
{
	size_t size = ((size_t)c->root_count + 1) * sizeof(*c->roots);
	struct root *roots = realloc(c->roots, size), *root;

	if (roots == NULL)
		return -ENOMEM;
	c->roots = roots;
	root = &roots[c->root_count];
	*root = (struct root){.name = strdup(name), .origin = strdup(origin)};
	if (root->name == NULL || root->origin == NULL) {
		free(root->name);
		free(root->origin);
		return -ENOMEM;
	}
	return c->root_count++;
}

static bool has_root(const struct catalogue *c, const char *name)
{
	for (uint32_t i = 0; i < c->root_count; i++)
		if (strcmp(c->roots[i].name, name) == 0 ||
		    (c->roots[i].place != NULL &&
		     strcmp(c->roots[i].place, name) == 0))
			return true;
	return false;
}

/* @name in @other, "~@n" after it, cut so that a file can have this name. */
static void number_name(char other[NAME_MAX + 1], const char *name, unsigned n)
{
	char suffix[16];
	size_t length = strlen(name);
	size_t more = (size_t)snprintf(suffix, sizeof(suffix), "~%u", n);

	if (length > NAME_MAX - more) {
		length = NAME_MAX - more;
		while (length > 1 &&
		       ((unsigned char)name[length] & 0xc0) == 0x80)
			length--; /* not within a character */
	}
	memcpy(other, name, length);
	memcpy(other + length, suffix, more + 1);
}

char *catalogue_free_name(const struct catalogue *c, const char *name)
{
	char other[NAME_MAX + 1];
	unsigned n = 2;

	do
		number_name(other, name, n++);
	while (has_root(c, other));
	return strdup(other);
}

int64_t catalogue_root(struct catalogue *c, const char *name,
		       const char *origin)
{
	int64_t r = -ENOMEM;
	char *other;

	for (uint32_t i = 0; i < c->root_count; i++)
		if (strcmp(c->roots[i].origin, origin) == 0)
			return i;
	if (!has_root(c, name))
		return add_root(c, name, origin);
	other = catalogue_free_name(c, name);
	if (other != NULL)
		r = add_root(c, other, origin);
	free(other);
	return r;
}

void catalogue_drop_root(struct catalogue *c, uint32_t number)
{
	struct root *root = &c->roots[number];

	if (number + 1 != c->root_count || root->snapshot != 0)
		return;
	free(root->name);
	free(root->origin);
	free(root->source);
	c->root_count--;
}

bool path_is_safe(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') ||
		    (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		if (path[n] == '\0')
			return true;
		path += n + 1;
	}
}

/*
 * Encoding
 */

static void encode_entry(struct bytes *b, const struct entry *e)
{
	bytes_number(b, (uint64_t)e->type, 1);
	bytes_number(b, e->root, 4);
	bytes_number(b, e->mode, 4);
	bytes_number(b, e->uid, 4);
	bytes_number(b, e->gid, 4);
	bytes_number(b, (uint64_t)e->mtime, 8);
	bytes_number(b, e->mtime_ns, 4);
	bytes_number(b, e->size, 8);
	bytes_string(b, e->path);
	bytes_string(b, e->target == NULL ? "" : e->target);
	bytes_number(b, e->link, 8);
	bytes_blob(b, e->xattrs, e->xattr_bytes);
	bytes_number(b, e->extent_count, 4);
	for (uint32_t i = 0; i < e->extent_count; i++) {
		bytes_number(b, e->extents[i].in_file, 8);
		bytes_number(b, e->extents[i].on_volume, 8);
		bytes_number(b, e->extents[i].length, 8);
	}
}

static void encode_body(struct bytes *b, const struct catalogue *c)
{
	bytes_number(b, c->root_count, 4);
	for (uint32_t i = 0; i < c->root_count; i++) {
		bytes_string(b, c->roots[i].name);
		bytes_string(b, c->roots[i].origin);
		bytes_number(b, c->roots[i].catalogue, 8);
		bytes_number(b, c->roots[i].snapshot, 4);
	}
	bytes_number(b, c->entry_count, 8);
	for (uint64_t i = 0; i < c->entry_count; i++)
		encode_entry(b, &c->entries[i]);
}

static uint32_t crc_of(const uint8_t *data, size_t length)
{
	return (uint32_t)crc32_z(0, data, length);
}

int catalogue_write(struct catalogue *c, struct writer *w)
{
	uint8_t block[BLOCK] = {0};
	struct bytes body = {0};
	int r = -ENOMEM;

	encode_body(&body, c);
	if (!body.failed) {
		memcpy(block, magic, sizeof(magic));
		store32(block + AT_BODY_CRC, crc_of(body.data, body.length));
		store64(block + AT_BODY_LENGTH, body.length);
		store64(block + AT_PREVIOUS, c->previous);
		store64(block + AT_TIME, (uint64_t)c->time);
		store64(block + AT_FILE_BYTES, c->file_bytes);
		store32(block + AT_NUMBER, c->number);
		store32(block + AT_CRC, crc_of(block, BLOCK));
		r = writer_put(w, block, BLOCK);
		if (r == 0)
			r = writer_put(w, body.data, body.length);
		if (r == 0)
			r = writer_align(w);
	}
	free(body.data);
	return r;
}

/*
 * Decoding
 */

int catalogue_read_header(struct catalogue *c, struct reader *r, uint64_t place)
{
	uint8_t block[BLOCK];
	int result = reader_copy(r, place, block, BLOCK);
	uint32_t crc;

	memset(c, 0, sizeof(*c));
	if (result != 0)
		return result;
	crc = load32(block + AT_CRC);
	store32(block + AT_CRC, 0);
	if (memcmp(block, magic, sizeof(magic)) != 0 ||
	    crc != crc_of(block, BLOCK))
		return -VDO_ECORRUPT;
	c->place = place;
	c->body_crc = load32(block + AT_BODY_CRC);
	c->body_length = load64(block + AT_BODY_LENGTH);
	c->previous = load64(block + AT_PREVIOUS);
	c->time = (int64_t)load64(block + AT_TIME);
	c->file_bytes = load64(block + AT_FILE_BYTES);
	c->number = load32(block + AT_NUMBER);
	if (c->previous >= place || c->previous % BLOCK != 0 ||
	    c->body_length > r->limit - place - BLOCK)
		return -VDO_ECORRUPT;
	return 0;
}

static void decode_extents(struct cursor *in, struct entry *e, uint64_t limit)
{
	uint32_t count = (uint32_t)cursor_number(in, 4);
	uint64_t at = 0;

	if (count == 0)
		return;
	if ((uint64_t)(in->end - in->at) / EXTENT_SIZE < count ||
	    e->type != ENTRY_FILE) {
		in->bad = true;
		return;
	}
	e->extents = malloc(count * sizeof(*e->extents));
	if (e->extents == NULL) {
		in->bad = true;
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct extent *x = &e->extents[i];

		x->in_file = cursor_number(in, 8);
		x->on_volume = cursor_number(in, 8);
		x->length = cursor_number(in, 8);
		if (x->in_file < at || x->in_file > e->size || x->length == 0 ||
		    x->length > e->size - x->in_file ||
		    x->on_volume % BLOCK != 0 || x->on_volume > limit ||
		    x->length > limit - x->on_volume)
			in->bad = true;
		at = x->in_file + x->length;
	}
	e->extent_count = count;
}

static void decode_entry(struct cursor *in, struct catalogue *c, uint64_t limit)
{
	uint64_t number = c->entry_count;
	struct entry *e = catalogue_add(c);

	if (e == NULL) {
		in->bad = true;
		return;
	}
	e->type = (enum entry_type)cursor_number(in, 1);
	e->root = (uint32_t)cursor_number(in, 4);
	e->mode = (uint32_t)cursor_number(in, 4) & 07777;
	e->uid = (uint32_t)cursor_number(in, 4);
	e->gid = (uint32_t)cursor_number(in, 4);
	e->mtime = (int64_t)cursor_number(in, 8);
	e->mtime_ns = (uint32_t)cursor_number(in, 4);
	e->size = cursor_number(in, 8);
	e->path = cursor_string(in);
	e->target = cursor_string(in);
	e->link = cursor_number(in, 8);
	e->xattrs = cursor_blob(in, &e->xattr_bytes);
	decode_extents(in, e, limit);
	if (in->bad)
		return;
	if (memchr("fdlpcbh", (int)e->type, 7) == NULL ||
	    e->root >= c->root_count || e->size > INT64_MAX ||
	    e->mtime_ns > 999999999 ||
	    (e->type == ENTRY_HARDLINK &&
	     (e->link >= number || c->entries[e->link].type == ENTRY_HARDLINK)))
		in->bad = true;
}

static void decode_body(struct cursor *in, struct catalogue *c, uint64_t limit)
{
	uint64_t count = cursor_number(in, 4);

	if (count > (uint64_t)(in->end - in->at) / ROOT_MIN) {
		in->bad = true;
		return;
	}
	c->roots = calloc((size_t)count + 1, sizeof(*c->roots));
	if (c->roots == NULL) {
		in->bad = true;
		return;
	}
	for (; count > 0 && !in->bad; count--) {
		struct root *root = &c->roots[c->root_count++];

		root->name = cursor_string(in);
		root->origin = cursor_string(in);
		root->catalogue = cursor_number(in, 8);
		root->snapshot = (uint32_t)cursor_number(in, 4);
		if (root->catalogue > c->place || root->catalogue % BLOCK != 0)
			in->bad = true;
		if (root->catalogue == 0)
			root->catalogue = c->place;
	}
	count = cursor_number(in, 8);
	if (count > (uint64_t)(in->end - in->at) / ENTRY_MIN)
		in->bad = true;
	for (; count > 0 && !in->bad; count--)
		decode_entry(in, c, limit);
}

int catalogue_read(struct catalogue *c, struct reader *r, uint64_t place)
{
	int result = catalogue_read_header(c, r, place);
	struct cursor in = {0};
	uint8_t *body;

	if (result != 0)
		return result;
	body = malloc((size_t)c->body_length + 1);
	if (body == NULL)
		return -ENOMEM;
	result = reader_copy(r, place + BLOCK, body, (size_t)c->body_length);
	if (result == 0 && crc_of(body, c->body_length) != c->body_crc)
		result = -VDO_ECORRUPT;
	if (result == 0) {
		in.at = body;
		in.end = body + c->body_length;
		decode_body(&in, c, place);
		if (in.bad || in.at != in.end)
			result = -VDO_ECORRUPT;
	}
	free(body);
	return result;
}
