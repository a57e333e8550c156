/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory in memory, and its bytes. Whatever is read was not trusted: an
 * entry that breaks an invariant is no directory at all, and its volume is still
 * a volume.
 */
#include "build.h"

#include "sub/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "format/geometry.h"

#define MAGIC	     "vdosubs1"
#define MAGIC_SIZE   8u
#define LAYOUT_VERSION	     1u
#define HEADER_BYTES 48u
#define ENTRY_BYTES  40u
#define EXTENT_BYTES 16u
#define BODY_MAX     ((DIRECTORY_COPY_BLOCKS - 1) * BLOCK_SIZE)

static void free_entry(struct sub_entry *e)
{
	if (e != NULL)
		alloc_free(e->extents);
	alloc_free(e);
}

void directory_init(struct directory *d, uint64_t logical_blocks)
{
	*d = (struct directory){.logical_blocks = logical_blocks, .next_id = 1};
}

void directory_fini(struct directory *d)
{
	for (size_t i = 0; i < d->count; i++)
		free_entry(d->entries[i]);
	alloc_free(d->entries);
	directory_init(d, d->logical_blocks);
}

/* ------------------------------------------------------------------ entries */

static bool is_name(const char *name, size_t n)
{
	return n > 0 && n <= DIRECTORY_NAME_MAX &&
	       memchr(name, '/', n) == NULL && memchr(name, '\0', n) == NULL;
}

/* The first entry that is not before @name. */
static size_t place_of(const struct directory *d, const char *name)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(d->entries[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct sub_entry *directory_find(const struct directory *d, const char *name)
{
	size_t at = place_of(d, name);

	if (at == d->count || strcmp(d->entries[at]->name, name) != 0)
		return NULL;
	return d->entries[at];
}

struct sub_entry *directory_find_id(const struct directory *d, uint64_t id)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->entries[i]->id == id)
			return d->entries[i];
	return NULL;
}

/* Have @e in its place. -EEXIST, -ENOMEM: it is still the caller's. */
static int insert(struct directory *d, struct sub_entry *e)
{
	size_t at = place_of(d, e->name);

	if (at < d->count && strcmp(d->entries[at]->name, e->name) == 0)
		return -EEXIST;
	if (d->count == d->room) {
		struct sub_entry **more =
			alloc_more(d->entries, &d->room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		d->entries = more;
	}
	memmove(&d->entries[at + 1], &d->entries[at],
		(d->count - at) * sizeof(*d->entries));
	d->entries[at] = e;
	d->count++;
	return 0;
}

/* Out of its place. */
static void take_out(struct directory *d, const struct sub_entry *e)
{
	size_t at = place_of(d, e->name);

	VDO_ASSERT(at < d->count && d->entries[at] == e);
	d->count--;
	memmove(&d->entries[at], &d->entries[at + 1],
		(d->count - at) * sizeof(*d->entries));
}

void directory_remove(struct directory *d, struct sub_entry *e)
{
	take_out(d, e);
	free_entry(e);
}

/* -------------------------------------------------------------------- space */

static int compare(const void *a, const void *b)
{
	const struct sub_extent *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* All extents, by place, and one of nothing at the end of the space; *@n of them.
 * NULL: no memory. */
static struct sub_extent *extents_of(const struct directory *d, size_t *n)
{
	struct sub_extent *all;
	size_t count = 1;

	for (size_t i = 0; i < d->count; i++)
		count += d->entries[i]->extent_count;
	all = alloc_zeroed(count, sizeof(*all));
	if (all == NULL)
		return NULL;
	*n = count;
	count = 0;
	for (size_t i = 0; i < d->count; i++) {
		const struct sub_entry *e = d->entries[i];

		memcpy(&all[count], e->extents,
		       e->extent_count * sizeof(*all));
		count += e->extent_count;
	}
	VDO_ASSERT(count + 1 == *n);
	qsort(all, count, sizeof(*all), compare);
	all[count].first = d->logical_blocks -
			   d->logical_blocks % DIRECTORY_UNIT;
	return all;
}

uint64_t directory_free(const struct directory *d)
{
	uint64_t end = d->logical_blocks - d->logical_blocks % DIRECTORY_UNIT;
	uint64_t used = DIRECTORY_BLOCKS;

	for (size_t i = 0; i < d->count; i++)
		used += div_up(d->entries[i]->blocks, DIRECTORY_UNIT) *
			DIRECTORY_UNIT;
	return end - MIN(used, end);
}

/* The extent, behind those of @e or as a part of its last one. False: it has too
 * many. */
static bool append(struct sub_entry *e, struct sub_extent x)
{
	struct sub_extent *last = e->extents + e->extent_count - 1;

	VDO_ASSERT(x.count > 0 && x.count % DIRECTORY_UNIT == 0);
	if (e->extent_count > 0 && last->first + last->count == x.first) {
		last->count += x.count;
		return true;
	}
	if (e->extent_count == DIRECTORY_EXTENTS_MAX)
		return false;
	e->extents[e->extent_count++] = x;
	return true;
}

/*
 * Give @e so many blocks more: the first gap that has room for all, else gaps from
 * the first one on. @e has room for the most extents. -ENOSPC: it may have got some.
 */
static int take_space(const struct directory *d, struct sub_entry *e,
		      uint64_t blocks)
{
	size_t n = 0, pass = 0;
	struct sub_extent *all = extents_of(d, &n);
	uint64_t least = blocks;

	if (all == NULL)
		return -ENOMEM;
	for (; pass < 2 && blocks > 0; pass++, least = DIRECTORY_UNIT) {
		lbn_t end = DIRECTORY_BLOCKS;

		for (size_t i = 0; i < n && blocks > 0; i++) {
			uint64_t gap = all[i].first - MIN(end, all[i].first);
			uint64_t take = MIN(gap, blocks);

			if (gap >= least) {
				if (!append(e, (struct sub_extent){end, take}))
					break;
				blocks -= take;
			}
			end = all[i].first + all[i].count;
		}
	}
	alloc_free(all);
	return blocks > 0 ? -ENOSPC : 0;
}

static void drop_space(struct sub_entry *e, uint64_t blocks)
{
	while (blocks > 0) {
		struct sub_extent *last = e->extents + e->extent_count - 1;
		uint64_t n = MIN(blocks, last->count);

		VDO_ASSERT(e->extent_count > 0);
		last->count -= n;
		blocks -= n;
		if (last->count == 0)
			e->extent_count--;
	}
}

static uint64_t room_for(uint64_t blocks)
{
	return div_up(blocks, DIRECTORY_UNIT) * DIRECTORY_UNIT;
}

static size_t entry_size(const struct sub_entry *e)
{
	return ENTRY_BYTES + e->extent_count * EXTENT_BYTES + strlen(e->name);
}

static size_t body_size(const struct directory *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++)
		n += entry_size(d->entries[i]);
	return n;
}

size_t directory_size(const struct directory *d)
{
	return BLOCK_SIZE + div_up(body_size(d), BLOCK_SIZE) * BLOCK_SIZE;
}

static bool has_room(const struct directory *d)
{
	return directory_size(d) <= DIRECTORY_COPY_BLOCKS * BLOCK_SIZE;
}

/* With room for the most extents, or for @count. */
static struct sub_entry *new_entry(const char *name, size_t n, size_t count)
{
	struct sub_entry *e = alloc_zeroed(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	memcpy(e->name, name, n);
	e->extents = alloc_zeroed(MAX(count, 1), sizeof(*e->extents));
	if (e->extents != NULL)
		return e;
	alloc_free(e);
	return NULL;
}

/* No more memory than is needed. */
static void trim_extents(struct sub_entry *e)
{
	struct sub_extent *x =
		alloc_zeroed(MAX(e->extent_count, 1), sizeof(*x));

	if (x == NULL)
		return;
	memcpy(x, e->extents, e->extent_count * sizeof(*x));
	alloc_free(e->extents);
	e->extents = x;
}

int directory_add(struct directory *d, const char *name, uint64_t blocks,
		  struct sub_entry **entry)
{
	size_t n = strlen(name);
	struct sub_entry *e;
	int result;

	if (!is_name(name, n) || blocks == 0)
		return -EINVAL;
	if (directory_find(d, name) != NULL)
		return -EEXIST;
	if (blocks > directory_free(d) || d->next_id == UINT64_MAX)
		return -ENOSPC;
	e = new_entry(name, n, DIRECTORY_EXTENTS_MAX);
	if (e == NULL)
		return -ENOMEM;
	e->blocks = blocks;
	result = take_space(d, e, room_for(blocks));
	if (result == 0)
		result = insert(d, e);
	if (result != 0) {
		free_entry(e);
		return result;
	}
	trim_extents(e);
	if (!has_room(d)) {
		directory_remove(d, e);
		return -ENOSPC;
	}
	e->id = d->next_id++;
	*entry = e;
	return 0;
}

int directory_resize(struct directory *d, struct sub_entry *e, uint64_t blocks)
{
	struct sub_entry *more;
	uint64_t has = room_for(e->blocks), wants = room_for(blocks);
	int result;

	if (blocks == 0)
		return -EINVAL;
	if (wants <= has) {
		drop_space(e, has - wants);
		e->blocks = blocks;
		return 0;
	}
	if (wants - has > directory_free(d))
		return -ENOSPC;
	more = new_entry(e->name, strlen(e->name), DIRECTORY_EXTENTS_MAX);
	if (more == NULL)
		return -ENOMEM;
	memcpy(more->extents, e->extents,
	       e->extent_count * sizeof(*e->extents));
	more->extent_count = e->extent_count;
	result = take_space(d, more, wants - has);
	if (result == 0) {
		struct sub_extent *old = e->extents;
		unsigned count = e->extent_count;

		e->extents = more->extents;
		e->extent_count = more->extent_count;
		more->extents = old;
		if (has_room(d)) {
			e->blocks = blocks;
			trim_extents(e);
		} else {
			more->extents = e->extents;
			e->extents = old;
			e->extent_count = count;
			result = -ENOSPC;
		}
	}
	free_entry(more);
	return result;
}

int directory_rename(struct directory *d, struct sub_entry *e, const char *name)
{
	char old[sizeof(e->name)];
	size_t n = strlen(name);
	int result;

	if (!is_name(name, n))
		return -EINVAL;
	if (directory_find(d, name) != NULL)
		return -EEXIST;
	memcpy(old, e->name, sizeof(old));
	take_out(d, e);
	memcpy(e->name, name, n + 1);
	result = directory_size(d) + entry_size(e) <=
				 DIRECTORY_COPY_BLOCKS * BLOCK_SIZE
			 ? 0
			 : -ENOSPC;
	if (result != 0)
		memcpy(e->name, old, sizeof(old));
	/* There is room for one entry more since one was taken out. */
	if (insert(d, e) != 0)
		VDO_ASSERT(false);
	return result;
}

/* -------------------------------------------------------------------- bytes */

static void encode_entry(struct writer *w, const struct sub_entry *e)
{
	size_t n = strlen(e->name);

	write_u64(w, e->id);
	write_u64(w, e->blocks);
	write_u64(w, e->parent);
	write_u64(w, (uint64_t)e->created);
	write_u32(w, e->flags);
	write_u16(w, (uint16_t)e->extent_count);
	write_u16(w, (uint16_t)n);
	for (unsigned i = 0; i < e->extent_count; i++) {
		write_u64(w, e->extents[i].first);
		write_u64(w, e->extents[i].count);
	}
	write_bytes(w, e->name, n);
}

void directory_encode(const struct directory *d, uint8_t *copy)
{
	struct writer w = {copy + BLOCK_SIZE};
	size_t body;

	VDO_ASSERT(has_room(d));
	memset(copy, 0, directory_size(d));
	for (size_t i = 0; i < d->count; i++)
		encode_entry(&w, d->entries[i]);
	body = (size_t)(w.p - copy) - BLOCK_SIZE;
	VDO_ASSERT(body == body_size(d));
	w.p = copy;
	write_bytes(&w, MAGIC, MAGIC_SIZE);
	write_u32(&w, LAYOUT_VERSION);
	write_u32(&w, (uint32_t)d->count);
	write_u64(&w, d->sequence);
	write_u64(&w, d->next_id);
	write_u64(&w, body);
	write_u32(&w, format_crc(copy + BLOCK_SIZE, body));
	write_u32(&w, format_crc(copy, HEADER_BYTES - 4));
	VDO_ASSERT(w.p == copy + HEADER_BYTES);
}

int directory_look(const uint8_t *header, struct directory_header *h)
{
	uint64_t body = get_u64(header + 32);

	if (memcmp(header, MAGIC, MAGIC_SIZE) != 0)
		return -ENOENT;
	if (get_u32(header + 44) != format_crc(header, HEADER_BYTES - 4))
		return -VDO_ECHECKSUM;
	if (get_u32(header + 8) != LAYOUT_VERSION)
		return -VDO_EVERSION;
	h->sequence = get_u64(header + 16);
	if (body > BODY_MAX || h->sequence == 0 ||
	    h->sequence >= UINT64_MAX - 1 || get_u64(header + 24) == 0)
		return -VDO_ECORRUPT;
	h->bytes = BLOCK_SIZE + div_up(body, BLOCK_SIZE) * BLOCK_SIZE;
	return 0;
}

/* Does the entry, all of which was read, agree with itself and with the space? */
static bool is_sane(const struct directory *d, const struct sub_entry *e)
{
	uint64_t blocks = 0;

	for (unsigned i = 0; i < e->extent_count; i++) {
		const struct sub_extent *x = &e->extents[i];

		if (x->first < DIRECTORY_BLOCKS ||
		    x->first % DIRECTORY_UNIT != 0 || x->count == 0 ||
		    x->count % DIRECTORY_UNIT != 0 ||
		    x->first > d->logical_blocks ||
		    x->count > d->logical_blocks - x->first)
			return false;
		blocks += x->count; /* at most 4096 times 2^52 */
	}
	return e->id > 0 && e->id < d->next_id && e->blocks > 0 &&
	       e->blocks <= d->logical_blocks &&
	       blocks == room_for(e->blocks) && (e->flags & ~SUB_FLAGS) == 0;
}

static int decode_entry(struct directory *d, struct reader *r,
			const uint8_t *end)
{
	struct sub_entry *e;
	const uint8_t *at = r->p;
	size_t extents, n;
	int result;

	if ((size_t)(end - at) < ENTRY_BYTES)
		return -VDO_ECORRUPT;
	extents = get_u16(at + 36);
	n = get_u16(at + 38);
	if (extents == 0 || extents > DIRECTORY_EXTENTS_MAX ||
	    (size_t)(end - at) < ENTRY_BYTES + extents * EXTENT_BYTES + n ||
	    !is_name((const char *)at + ENTRY_BYTES + extents * EXTENT_BYTES,
		     n))
		return -VDO_ECORRUPT;
	e = new_entry((const char *)at + ENTRY_BYTES + extents * EXTENT_BYTES,
		      n, extents);
	if (e == NULL)
		return -ENOMEM;
	e->id = read_u64(r);
	e->blocks = read_u64(r);
	e->parent = read_u64(r);
	e->created = (int64_t)read_u64(r);
	e->flags = read_u32(r);
	r->p += 4;
	for (; e->extent_count < extents; e->extent_count++) {
		e->extents[e->extent_count].first = read_u64(r);
		e->extents[e->extent_count].count = read_u64(r);
	}
	r->p += n;
	result = is_sane(d, e) ? insert(d, e) : -VDO_ECORRUPT;
	if (result != 0)
		free_entry(e);
	return result == -EEXIST ? -VDO_ECORRUPT : result;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Invariants that are about several entries. */
static int check_all(const struct directory *d)
{
	uint64_t *ids = alloc_zeroed(MAX(d->count, 1), sizeof(*ids));
	size_t n = 0;
	struct sub_extent *all = extents_of(d, &n);
	int result = 0;

	if (ids == NULL || all == NULL) {
		result = -ENOMEM;
	} else {
		for (size_t i = 0; i < d->count; i++)
			ids[i] = d->entries[i]->id;
		qsort(ids, d->count, sizeof(*ids), compare_ids);
		for (size_t i = 1; i < d->count; i++)
			if (ids[i - 1] == ids[i])
				result = -VDO_ECORRUPT;
		for (size_t i = 1; i < n; i++)
			if (all[i - 1].first + all[i - 1].count > all[i].first)
				result = -VDO_ECORRUPT;
	}
	alloc_free(ids);
	alloc_free(all);
	return result;
}

int directory_decode(struct directory *d, const uint8_t *copy, size_t bytes)
{
	uint64_t body = get_u64(copy + 32);
	uint32_t count = get_u32(copy + 12);
	struct reader r = {copy + BLOCK_SIZE};
	int result = 0;

	VDO_ASSERT(d->count == 0 && bytes >= BLOCK_SIZE);
	if (body > bytes - BLOCK_SIZE ||
	    format_crc(copy + BLOCK_SIZE, body) != get_u32(copy + 40))
		return -VDO_ECHECKSUM; /* or it is not what was looked at */
	d->sequence = get_u64(copy + 16);
	d->next_id = get_u64(copy + 24);
	for (uint32_t i = 0; result == 0 && i < count; i++)
		result = decode_entry(d, &r, copy + BLOCK_SIZE + body);
	if (result == 0 && r.p != copy + BLOCK_SIZE + body)
		result = -VDO_ECORRUPT;
	if (result == 0)
		result = check_all(d);
	if (result != 0)
		directory_fini(d);
	return result;
}

int directory_copy(struct directory *to, const struct directory *from)
{
	int result = 0;

	directory_init(to, from->logical_blocks);
	to->sequence = from->sequence;
	to->next_id = from->next_id;
	for (size_t i = 0; result == 0 && i < from->count; i++) {
		const struct sub_entry *e = from->entries[i];
		struct sub_entry *copy =
			new_entry(e->name, strlen(e->name), e->extent_count);

		if (copy == NULL) {
			result = -ENOMEM;
			break;
		}
		memcpy(copy->extents, e->extents,
		       e->extent_count * sizeof(*e->extents));
		copy->id = e->id;
		copy->blocks = e->blocks;
		copy->parent = e->parent;
		copy->created = e->created;
		copy->flags = e->flags;
		copy->extent_count = e->extent_count;
		result = insert(to, copy);
		if (result != 0)
			free_entry(copy);
	}
	if (result != 0)
		directory_fini(to);
	return result;
}
