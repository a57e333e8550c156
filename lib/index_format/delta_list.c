/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutable delta lists.
 *
 * All changes are one operation: replace some bits of a list by others of
 * another length [replace]. What follows them moves. If the list outgrows its
 * gap, a window of lists around it is spread first [make_room].
 *
 * The window grows to both sides until it has SPARE_BYTES for each of its
 * lists besides what is asked for, so the next few insertions into any of them
 * find room, and spreading it again is paid for by the insertions in between.
 * With the whole zone as window, what is asked for suffices.
 */
#include "build.h"

#include "index_format/delta_list.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"

#define GUARD_BYTES 16u /* loads and puts reach beyond the last list */
#define SPARE_BYTES 12u
#define TABLE_BYTES (UINT64_C(4) << 20) /* from here on worth huge pages */

static uint64_t start_of(const struct delta_lists *d, uint32_t list)
{
	VDO_CHECK(list <= d->list_count);
	return counter_get(&d->heads[list].place) >> 16;
}

static uint64_t bytes_of(const struct delta_lists *d, uint32_t list)
{
	return (delta_list_bits(d, list) + 7) / 8;
}

/* The place is atomic, because other threads prefetch what it points to. */
static void set_place(struct delta_lists *d, uint32_t list, uint64_t start,
		      uint32_t bits)
{
	VDO_CHECK(list <= d->list_count && start <= d->arena_bytes);
	VDO_ASSERT(bits <= LIST_BITS_MAX);
	counter_set(&d->heads[list].place, start << 16 | bits);
}

int delta_lists_init(struct delta_lists *d, const struct delta_coding *coding,
		     uint32_t list_count, uint64_t memory_bytes)
{
	VDO_ASSERT(memory_bytes > GUARD_BYTES);
	*d = (struct delta_lists){
		.coding = *coding,
		.list_count = list_count,
		.arena_bytes = memory_bytes - GUARD_BYTES,
	};
	d->heads = alloc_zeroed((size_t)list_count + 1, sizeof(*d->heads));
	if (memory_bytes >= TABLE_BYTES)
		d->arena = alloc_table(memory_bytes);
	else
		d->arena = alloc_spare(CACHE_LINE, memory_bytes, 1);
	if (d->heads == NULL || d->arena == NULL) {
		delta_lists_fini(d);
		return -ENOMEM;
	}
	delta_lists_clear(d);
	return 0;
}

void delta_lists_fini(struct delta_lists *d)
{
	alloc_free(d->heads);
	if (d->arena_bytes + GUARD_BYTES >= TABLE_BYTES)
		alloc_table_free(d->arena, d->arena_bytes + GUARD_BYTES);
	else
		alloc_free(d->arena);
	d->heads = NULL;
	d->arena = NULL;
}

void delta_lists_clear(struct delta_lists *d)
{
	uint64_t share = d->arena_bytes / MAX(d->list_count, 1u);

	VDO_ASSERT(d->heads != NULL && d->arena != NULL);
	for (uint32_t i = 0; i < d->list_count; i++) {
		set_place(d, i, i * share, 0);
		d->heads[i].tag = 0;
	}
	set_place(d, d->list_count, d->arena_bytes, 0);
	d->bits_used = 0;
	counter_set(&d->record_count, 0);
	counter_set(&d->collision_count, 0);
	VDO_CHECK(delta_lists_sane(d));
}

int delta_list_at(const struct delta_lists *d, uint32_t list, uint32_t key,
		  struct delta_entry *e)
{
	VDO_CHECK(list < d->list_count);
	return delta_decode(delta_list_data(d, list), 0,
			    delta_list_bits(d, list), &d->coding, key, e);
}

int delta_list_search_on(const struct delta_lists *d, uint32_t list,
			 uint32_t key, const struct hash128 *name,
			 struct delta_entry *e)
{
	VDO_CHECK(list < d->list_count);
	return delta_search_on(delta_list_data(d, list), 0,
			       delta_list_bits(d, list), &d->coding, key, name,
			       e);
}

static void move_list(struct delta_lists *d, uint32_t list, uint64_t to)
{
	uint64_t from = start_of(d, list);

	VDO_CHECK(to + bytes_of(d, list) <= d->arena_bytes);
	if (from == to)
		return;
	memmove(d->arena + to, d->arena + from, bytes_of(d, list));
	set_place(d, list, to, delta_list_bits(d, list));
}

/* Spread lists @first to @last evenly. @list gets @need bytes more than the
 * others. */
static void spread(struct delta_lists *d, uint32_t first, uint32_t last,
		   uint64_t room, uint32_t list, uint64_t need)
{
	uint64_t to = start_of(d, first), end = start_of(d, last + 1);
	uint64_t gap = (room - need) / (last - first + 1);

	VDO_ASSERT(first <= list && list <= last && room >= need);
	for (uint32_t i = first; i <= last; i++) {
		move_list(d, i, to);
		to += bytes_of(d, i);
	}
	for (uint32_t i = last; i > first; i--) {
		end -= gap + bytes_of(d, i) + (i == list ? need : 0);
		move_list(d, i, end);
	}
}

/* Have @need free bytes after the end of @list. */
static int make_room(struct delta_lists *d, uint32_t list, uint64_t need)
{
	uint32_t first = list, last = list;
	uint64_t room = start_of(d, list + 1) - start_of(d, list) -
			bytes_of(d, list);

	VDO_CHECK(list < d->list_count);
	if (likely(room >= need))
		return 0;
	while (room < need + (last - first + 1) * (uint64_t)SPARE_BYTES) {
		bool stuck = true;

		if (first > 0) {
			first--;
			room += start_of(d, first + 1) - start_of(d, first) -
				bytes_of(d, first);
			stuck = false;
		}
		if (last + 1 < d->list_count) {
			last++;
			room += start_of(d, last + 1) - start_of(d, last) -
				bytes_of(d, last);
			stuck = false;
		}
		if (stuck)
			break;
	}
	if (room < need)
		return -ENOSPC;
	spread(d, first, last, room, list, need);
	return 0;
}

/* Replace @was bits at bit @at of @list by @now bits of undefined content. */
static int replace(struct delta_lists *d, uint32_t list, uint32_t at,
		   uint32_t was, uint32_t now)
{
	uint32_t bits = delta_list_bits(d, list);
	uint32_t size = bits - was + now;
	uint8_t *data;

	VDO_ASSERT(at + was <= bits);
	if (size > LIST_BITS_MAX)
		return -ENOSPC;
	if (size > bits) {
		int r = make_room(d, list, (size + 7) / 8 - (bits + 7) / 8);

		if (r != 0)
			return r;
	}
	data = delta_list_data(d, list);
	bits_move(data, at + now, at + was, bits - at - was);
	set_place(d, list, start_of(d, list), size);
	d->bits_used += size;
	d->bits_used -= bits;
	return 0;
}

static int insert_collision(struct delta_lists *d, uint32_t list,
			    const struct delta_entry *e, uint32_t value,
			    const struct hash128 *name)
{
	uint32_t bits = delta_entry_bits(&d->coding, 0) + NAME_BITS;
	uint32_t at = e->at + e->bits;
	int r;

	VDO_ASSERT(!e->at_end);
	if (e->collision)
		return -EEXIST;
	r = replace(d, list, at, 0, bits);
	if (r != 0)
		return r;
	delta_encode(delta_list_data(d, list), at, &d->coding, value, 0, name);
	counter_inc(&d->record_count);
	counter_inc(&d->collision_count);
	return 0;
}

int delta_list_insert(struct delta_lists *d, uint32_t list,
		      const struct delta_entry *e, uint32_t key, uint32_t value,
		      const struct hash128 *name)
{
	const struct delta_coding *c = &d->coding;
	uint32_t before = e->key - e->delta;
	uint32_t bits, follow = 0;
	uint8_t *data;
	int r;

	VDO_ASSERT(e->at_end ? e->delta == 0 : e->key >= key);
	if (delta_found(e, key))
		return insert_collision(d, list, e, value, name);
	bits = delta_entry_bits(c, key - before);
	if (!e->at_end)
		follow = delta_entry_bits(c, e->key - key);
	r = replace(d, list, e->at, e->bits, bits + follow);
	if (r != 0)
		return r;
	data = delta_list_data(d, list);
	delta_encode(data, e->at, c, value, key - before, NULL);
	if (!e->at_end)
		delta_encode(data, e->at + bits, c, e->value, e->key - key,
			     NULL);
	counter_inc(&d->record_count);
	return 0;
}

bool delta_list_fill(struct delta_lists *d, uint32_t list,
		     const uint64_t *entries, unsigned count)
{
	const struct delta_coding *c = &d->coding;
	uint64_t start = start_of(d, list);
	uint64_t room = start_of(d, list + 1) - start;
	uint32_t most, bits;

	VDO_ASSERT(list < d->list_count);
	VDO_ASSERT(delta_list_bits(d, list) == 0);
	if (count == 0)
		return true;
	most = count * (c->value_bits + c->min_bits + 1) +
	       (uint32_t)(entries[count - 1] >> 32) / c->incr_keys;
	if (most > LIST_BITS_MAX || most / 8 + sizeof(uint64_t) > room)
		return false;
	bits = delta_encode_all(d->arena + start, c, entries, count);
	set_place(d, list, start, bits);
	d->bits_used += bits;
	counter_add(&d->record_count, count);
	return true;
}

void delta_list_clear(struct delta_lists *d, uint32_t list)
{
	VDO_ASSERT(list < d->list_count);
	d->bits_used -= delta_list_bits(d, list);
	set_place(d, list, start_of(d, list), 0);
}

int delta_list_remove(struct delta_lists *d, uint32_t list,
		      const struct delta_entry *e)
{
	struct delta_entry next = {.at = e->at + e->bits};
	uint32_t delta = e->delta, now = 0;
	int r = delta_list_at(d, list, e->key, &next);

	VDO_ASSERT(!e->at_end);
	if (r != 0)
		return r;
	if (!e->collision && !next.at_end) {
		delta += next.delta;
		now = delta_entry_bits(&d->coding, delta);
	} else {
		next.bits = 0;
	}
	r = replace(d, list, e->at, e->bits + next.bits, now);
	if (r != 0)
		return r;
	if (now != 0)
		delta_encode(delta_list_data(d, list), e->at, &d->coding,
			     next.value, delta, NULL);
	counter_dec(&d->record_count);
	if (e->collision || (now != 0 && next.collision))
		counter_dec(&d->collision_count);
	return 0;
}

void delta_list_expect(struct delta_lists *d, uint32_t list, uint32_t bits)
{
	VDO_ASSERT(list < d->list_count && bits <= LIST_BITS_MAX);
	set_place(d, list, 0, bits);
}

int delta_lists_arrange(struct delta_lists *d)
{
	uint64_t used = 0, at = 0, gap;

	d->bits_used = 0;
	for (uint32_t i = 0; i < d->list_count; i++) {
		used += bytes_of(d, i);
		d->bits_used += delta_list_bits(d, i);
	}
	if (used > d->arena_bytes)
		return -VDO_ECORRUPT;
	gap = d->list_count == 0 ? 0 : (d->arena_bytes - used) / d->list_count;
	for (uint32_t i = 0; i < d->list_count; i++) {
		set_place(d, i, at, delta_list_bits(d, i));
		at += bytes_of(d, i) + gap;
	}
	set_place(d, d->list_count, d->arena_bytes, 0);
	VDO_CHECK(delta_lists_sane(d));
	return 0;
}
