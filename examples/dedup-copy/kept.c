/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One catalogue of the archive is in memory at a time: roots that were stored
 * together have the same. A catalogue or data that cannot be read only means
 * that there is nothing to refer to.
 */
#include "build.h"

#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/sub.h>

/* More is copied at once, so that an interruption is noticed. */
#define COPY_MAX (UINT64_C(8) << 20)

int kept_init(struct kept *k, struct snapshots *snapshots,
	      const struct catalogue *roots)
{
	k->numbers = calloc(roots->root_count + 1, sizeof(*k->numbers));
	if (k->numbers == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < roots->root_count; i++)
		k->numbers[i] = roots->roots[i].snapshot;
	k->root_count = roots->root_count;
	k->snapshots = snapshots;
	return 0;
}

static void drop_catalogue(struct kept *k)
{
	catalogue_fini(&k->catalogue);
	table_fini(&k->files);
	memset(&k->catalogue, 0, sizeof(k->catalogue));
}

void kept_fini(struct kept *k)
{
	drop_catalogue(k);
	free(k->numbers);
	k->numbers = NULL;
	k->snapshots = NULL;
}

/* FNV-1a, twice. Whoever finds an entry compares the path. */
static struct key key_of(const char *path)
{
	struct key k = {UINT64_C(0xcbf29ce484222325),
			UINT64_C(0x84222325cbf29ce4)};

	for (; *path != '\0'; path++) {
		k.low = (k.low ^ (uint8_t)*path) * UINT64_C(0x100000001b3);
		k.high = (k.high + (uint8_t)*path) * UINT64_C(0x100000001b3);
		k.high ^= k.high >> 29;
	}
	k.low |= k.low == 0; /* 0, 0 stands for none */
	return k;
}

/* Without memory, files are missing in the table, and are stored again. */
static void load(struct kept *k, uint32_t number)
{
	const struct snapshot *one = snapshots_find(k->snapshots, number);

	kept_flush(k); /* which remembers an error */
	drop_catalogue(k);
	k->number = number;
	if (one == NULL ||
	    snapshots_read(k->snapshots, one, &k->catalogue) != 0) {
		drop_catalogue(k);
		return;
	}
	for (uint64_t i = 0; i < k->catalogue.entry_count; i++) {
		const struct entry *e = &k->catalogue.entries[i];
		bool added;

		if (e->type == ENTRY_FILE && e->extent_count > 0 &&
		    table_get(&k->files, key_of(e->path), i, &added) == NULL)
			return;
	}
}

const struct entry *kept_find(struct kept *k, const struct entry *e)
{
	const struct entry *old;
	const uint64_t *number;

	if (k->snapshots == NULL || e->root >= k->root_count ||
	    k->numbers[e->root] == 0)
		return NULL;
	if (k->number != k->numbers[e->root])
		load(k, k->numbers[e->root]);
	number = table_find(&k->files, key_of(e->path));
	if (number == NULL)
		return NULL;
	old = &k->catalogue.entries[*number];
	return old->root == e->root && strcmp(old->path, e->path) == 0 ? old
								       : NULL;
}

/* The extent that has the byte at @in_file, or NULL. They are ascending. */
static const struct extent *extent_at(const struct entry *e, uint64_t in_file)
{
	uint32_t low = 0, high = e->extent_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct extent *x = &e->extents[middle];

		if (in_file < x->in_file)
			high = middle;
		else if (in_file - x->in_file >= x->length)
			low = middle + 1;
		else
			return x;
	}
	return NULL;
}

static bool equal(struct kept *k, uint64_t on_volume, const uint8_t *data,
		  size_t bytes)
{
	struct reader *reader = &k->snapshots->reader;

	while (bytes > 0) {
		const uint8_t *there;
		size_t n = bytes;

		if (reader_get(reader, on_volume, &there, &n) != 0 ||
		    memcmp(there, data, n) != 0)
			return false;
		on_volume += n;
		data += n;
		bytes -= n;
	}
	return true;
}

bool kept_has(struct kept *k, const struct entry *old, uint64_t in_file,
	      const uint8_t *data, size_t bytes, uint64_t *on_volume)
{
	const struct extent *x = extent_at(old, in_file);
	uint64_t skip;

	if (x == NULL)
		return false;
	skip = in_file - x->in_file;
	if (skip % BLOCK != 0 || bytes > x->length - skip)
		return false;
	/* After its last block an extent has zeroes; inside, it goes on. */
	if (bytes % BLOCK != 0 && bytes != x->length - skip)
		return false;
	*on_volume = x->on_volume + skip;
	return equal(k, *on_volume, data, bytes);
}

int kept_flush(struct kept *k)
{
	if (k->copy.bytes > 0 && k->result == 0)
		k->result = vdo_sub_copy(k->snapshots->partial, k->copy.to,
					 k->snapshots->box.volume, k->copy.from,
					 k->copy.bytes, 0);
	k->copy.bytes = 0;
	return k->result;
}

int kept_copy(struct kept *k, uint64_t from, uint64_t to, uint64_t bytes)
{
	if (from != k->copy.from + k->copy.bytes ||
	    to != k->copy.to + k->copy.bytes || k->copy.bytes >= COPY_MAX)
		kept_flush(k);
	if (k->copy.bytes == 0) {
		k->copy.from = from;
		k->copy.to = to;
	}
	k->copy.bytes += bytes;
	return k->result;
}
