/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "snapshots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/sub.h>

#define PREFIX	"snapshot-"
#define PARTIAL "snapshot.partial"

#define UNIT	  (UINT64_C(1) << 20) /* of addresses that a sub-volume takes */
#define POOL_MIN  (UINT64_C(64) << 20) /* less is one container */
#define GROW_STEP (UINT64_C(64) << 20)

struct name {
	char text[24];
};

static struct name name_of(uint32_t number)
{
	struct name n;

	snprintf(n.text, sizeof(n.text), PREFIX "%u", (unsigned)number);
	return n;
}

/* 0: it is not the name of a snapshot. */
static uint32_t number_of(const char *name)
{
	unsigned long n;

	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
		return 0;
	n = strtoul(name + sizeof(PREFIX) - 1, NULL, 10);
	if (n > UINT32_MAX || strcmp(name_of((uint32_t)n).text, name) != 0)
		return 0;
	return (uint32_t)n;
}

/* What the library said, unless it is about space. */
static int sub_result(const struct snapshots *s, int r,
		      const struct vdo_error *error)
{
	if (r == 0 || target_is_full(r))
		return r;
	complain_vdo(s->run->arguments->volume, error);
	return STOP_SAID;
}

/*
 * What there is
 */

static int add(struct snapshots *s, uint32_t number, uint64_t place)
{
	struct snapshot *all =
		realloc(s->all, (s->count + 1) * sizeof(*s->all));

	if (all == NULL)
		return -ENOMEM;
	s->all = all;
	all[s->count++] = (struct snapshot){number, place};
	return 0;
}

static int add_sub(void *arg, const struct vdo_sub *sub)
{
	struct snapshots *s = arg;
	uint32_t number = number_of(sub->name);

	s->taken += sub->size + -sub->size % UNIT;
	return number == 0 || sub->removing ? 0 : add(s, number, 0);
}

static int newest_first(const void *a, const void *b)
{
	const struct snapshot *x = a, *y = b;

	return (x->number < y->number) - (x->number > y->number);
}

/* The catalogues of one container lead to older ones. */
static int follow_catalogues(struct snapshots *s)
{
	uint64_t place = s->box.catalogue;
	struct catalogue c;
	int r = reader_init(&s->reader, s->box.volume,
			    s->run->arguments->polled, s->box.end);

	while (r == 0 && place != 0) {
		r = catalogue_read_header(&c, &s->reader, place);
		if (r == 0)
			r = add(s, c.number, place);
		place = c.previous;
	}
	if (r == 0 || r == -ENOMEM || s->count == 0)
		return r;
	warn(s->run, "%s: what is older than snapshot %u cannot be read: %s",
	     s->run->arguments->volume, (unsigned)s->all[s->count - 1].number,
	     vdo_strerror(r));
	return 0;
}

/* Nothing is stored, or what is must not be overwritten. */
static int load_other(struct snapshots *s, int state, bool may_be_empty)
{
	const struct arguments *a = s->run->arguments;

	if (may_be_empty && (state == CONTAINER_EMPTY || a->force))
		return 0;
	if (state == CONTAINER_EMPTY)
		complain("%s: nothing is stored here", a->volume);
	else if (state == CONTAINER_FOREIGN)
		complain("%s: holds something else, not an archive", a->volume);
	else
		complain("%s: both headers of the archive are damaged",
			 a->volume);
	if (may_be_empty)
		complain("with --force it is overwritten");
	return STOP_SAID;
}

static int load_one(struct snapshots *s, bool may_be_empty)
{
	const char *path = s->run->arguments->volume;
	int r = container_load(&s->box, s->run->volume);

	if (r < 0) {
		complain_result(path, "read it", r);
		return STOP_SAID;
	}
	if (r == CONTAINER_NEWER) {
		complain("%s: the archive was made by a newer dedup-copy",
			 path);
		return STOP_SAID;
	}
	if (r != CONTAINER_GOOD)
		return load_other(s, r, may_be_empty);
	s->form = ARCHIVE_ONE;
	s->taken = s->box.end;
	r = follow_catalogues(s);
	if (r == 0 && s->count == 0)
		r = load_other(s, CONTAINER_EMPTY, may_be_empty);
	return r;
}

int snapshots_load(struct snapshots *s, struct run *run, bool may_be_empty)
{
	struct vdo_error error;
	int r;

	*s = (struct snapshots){.run = run, .taken = POOL_DIRECTORY};
	r = vdo_sub_list(run->volume, add_sub, s, &error);
	if (r == -ENOENT)
		return load_one(s, may_be_empty);
	if ((r == -VDO_ECHECKSUM || r == -VDO_ECORRUPT) && may_be_empty &&
	    run->arguments->force)
		return 0;
	if (r != 0)
		return sub_result(s, r, &error);
	s->form = ARCHIVE_POOL;
	if (s->count > 0)
		qsort(s->all, s->count, sizeof(*s->all), newest_first);
	return s->count > 0 ? 0 : load_other(s, CONTAINER_EMPTY, may_be_empty);
}

static int count_nothing(void *arg, const struct vdo_sub *sub)
{
	(void)arg;
	(void)sub;
	return 0;
}

bool volume_is_pool(struct vdo_volume *volume)
{
	return vdo_sub_list(volume, count_nothing, NULL, NULL) != -ENOENT;
}

const struct snapshot *snapshots_find(const struct snapshots *s,
				      uint32_t number)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->all[i].number == number)
			return &s->all[i];
	return NULL;
}

const struct snapshot *snapshots_need(const struct snapshots *s,
				      uint32_t number)
{
	const struct snapshot *one = snapshots_find(s, number);

	if (one == NULL)
		complain("%s: there is no snapshot %u",
			 s->run->arguments->volume, (unsigned)number);
	return one;
}

/*
 * Reading
 */

void snapshots_close(struct snapshots *s)
{
	reader_fini(&s->reader);
	if (s->open != 0)
		vdo_close(s->box.volume);
	s->open = 0;
}

static int open_sub(struct snapshots *s, uint32_t number)
{
	struct vdo_volume *sub;
	struct vdo_error error;
	int r = vdo_sub_open(s->run->volume, name_of(number).text,
			     VDO_OPEN_READ_ONLY, &sub, &error);

	if (r != 0)
		return sub_result(s, r, &error);
	s->open = number;
	r = container_load(&s->box, sub);
	s->box.volume = sub;
	if (r < 0)
		return r;
	if (r != CONTAINER_GOOD || s->box.catalogue == 0)
		return -VDO_ECORRUPT;
	return reader_init(&s->reader, sub, s->run->arguments->polled,
			   s->box.end);
}

/* What is wrong with a snapshot. */
static int said(const struct snapshots *s, const struct snapshot *one, int r)
{
	if (r >= 0 || r == -ENOMEM)
		return r;
	complain("%s: snapshot %u: %s", s->run->arguments->volume,
		 (unsigned)one->number, vdo_strerror(r));
	if (s->form == ARCHIVE_POOL && r == -VDO_ECORRUPT)
		complain("--remove %u removes it", (unsigned)one->number);
	return STOP_SAID;
}

int snapshots_open(struct snapshots *s, const struct snapshot *one)
{
	int r;

	if (s->form != ARCHIVE_POOL || s->open == one->number)
		return 0;
	snapshots_close(s);
	r = open_sub(s, one->number);
	if (r != 0)
		snapshots_close(s);
	return said(s, one, r);
}

int snapshots_read(struct snapshots *s, const struct snapshot *one,
		   struct catalogue *c)
{
	int r = snapshots_open(s, one);

	memset(c, 0, sizeof(*c));
	if (r != 0)
		return r;
	r = catalogue_read(c, &s->reader,
			   one->place != 0 ? one->place : s->box.catalogue);
	return said(s, one, r);
}

/* Was the snapshot removed that had the root last, and is it newer than this?
 */
static bool is_lost(const struct snapshots *s, const struct root *root,
		    const struct snapshot *one)
{
	return root->snapshot > one->number &&
	       snapshots_find(s, root->snapshot) == NULL;
}

/* Roots have the same number in each catalogue. */
static int find_lost(struct snapshots *s, const struct snapshot *one,
		     struct catalogue *newest)
{
	struct catalogue c = {0};
	bool any = false;
	int r = 0;

	for (uint32_t i = 0; i < newest->root_count; i++)
		any |= is_lost(s, &newest->roots[i], one);
	if (any)
		r = snapshots_read(s, one, &c);
	for (uint32_t i = 0; any && r == 0 && i < newest->root_count; i++)
		if (is_lost(s, &newest->roots[i], one))
			newest->roots[i].snapshot =
				i < c.root_count ? c.roots[i].snapshot : 0;
	catalogue_fini(&c);
	return r;
}

int snapshots_roots(struct snapshots *s, struct catalogue *newest)
{
	int r = snapshots_read(s, &s->all[0], newest);

	for (size_t i = 1; i < s->count && r == 0; i++)
		r = find_lost(s, &s->all[i], newest);
	for (uint32_t i = 0; i < newest->root_count; i++)
		if (snapshots_find(s, newest->roots[i].snapshot) == NULL)
			newest->roots[i].snapshot = 0;
	return r;
}

/*
 * Storing
 */

/* Addresses that no sub-volume has. */
static int free_addresses(struct snapshots *s, uint64_t *bytes)
{
	struct snapshots now = {.taken = POOL_DIRECTORY};
	uint64_t size = vdo_volume_size(s->run->volume);
	struct vdo_error error;
	int r = vdo_sub_list(s->run->volume, add_sub, &now, &error);

	free(now.all);
	size -= size % UNIT;
	*bytes = size > now.taken ? size - now.taken : 0;
	return r == -ENOENT ? 0 : sub_result(s, r, &error);
}

static int find_number(void *arg, const struct vdo_sub *sub)
{
	struct snapshots *s = arg;

	if (strcmp(sub->name, PARTIAL) == 0)
		s->number = (uint32_t)sub->id;
	return 0;
}

static int begin_sub(struct snapshots *s, uint64_t bytes)
{
	struct vdo_volume *whole = s->run->volume;
	struct vdo_error error;
	uint64_t most;
	int r = free_addresses(s, &most);

	bytes += -bytes % UNIT;
	if (bytes > most)
		bytes = most;
	if (r == 0 && bytes == 0)
		r = NO_ADDRESSES;
	if (r != 0)
		return r;
	r = vdo_sub_create(whole, PARTIAL, bytes, &error);
	if (r == 0)
		r = vdo_sub_open(whole, PARTIAL, 0, &s->partial, &error);
	if (r == 0)
		r = vdo_sub_list(whole, find_number, s, &error);
	if (r == -VDO_ESIGNATURE)
		return load_other(s, CONTAINER_FOREIGN, true);
	return sub_result(s, r, &error);
}

/* With --force nothing of what was there stays. */
static int wipe(struct snapshots *s)
{
	struct vdo_volume *whole = s->run->volume;

	if (s->form != ARCHIVE_NONE || s->run->created ||
	    !s->run->arguments->force)
		return 0;
	return vdo_discard(whole, vdo_volume_size(whole), 0, 0);
}

int snapshots_begin(struct snapshots *s, uint64_t bytes, struct container *box,
		    uint32_t *number)
{
	int r = wipe(s);

	if (r != 0)
		return r;
	if (s->form == ARCHIVE_NONE)
		s->form = vdo_volume_size(s->run->volume) < POOL_MIN
				  ? ARCHIVE_ONE
				  : ARCHIVE_POOL;
	if (s->form == ARCHIVE_POOL) {
		r = snapshots_remove(s, 0);
		if (r == 0)
			r = begin_sub(s, bytes);
	}
	if (r != 0)
		return r;
	r = container_load(box, s->form == ARCHIVE_POOL ? s->partial
							: s->run->volume);
	*number = s->form == ARCHIVE_POOL ? s->number : box->snapshots + 1;
	return r < 0 ? r : 0;
}

int snapshots_grow(struct snapshots *s, uint64_t end)
{
	uint64_t size, most;
	struct vdo_error error;
	int r;

	if (s->partial == NULL || end <= vdo_volume_size(s->partial))
		return 0;
	size = vdo_volume_size(s->partial);
	r = free_addresses(s, &most);
	if (r != 0 || most == 0)
		return r;
	size += most < GROW_STEP ? most : GROW_STEP;
	return sub_result(s,
			  vdo_sub_resize(s->run->volume, PARTIAL, size, &error),
			  &error);
}

int snapshots_commit(struct snapshots *s, struct container *box,
		     uint64_t catalogue, uint64_t end)
{
	struct vdo_error error;
	int r = container_commit(box, catalogue, end);

	if (r != 0 || s->partial == NULL)
		return r;
	r = vdo_sub_rename(s->run->volume, PARTIAL, name_of(s->number).text,
			   &error);
	return sub_result(s, r, &error);
}

void snapshots_abandon(struct snapshots *s, struct container *box, uint64_t end)
{
	if (s->partial == NULL) {
		container_discard(box, end);
		return;
	}
	vdo_close(s->partial);
	s->partial = NULL;
	snapshots_remove(s, 0);
}

int snapshots_remove(struct snapshots *s, uint32_t number)
{
	struct vdo_error error;
	int r = vdo_sub_remove(s->run->volume,
			       number == 0 ? PARTIAL : name_of(number).text,
			       &error);

	return r == -ENOENT && number == 0 ? 0 : sub_result(s, r, &error);
}

void snapshots_fini(struct snapshots *s)
{
	snapshots_close(s);
	if (s->partial != NULL)
		vdo_close(s->partial);
	free(s->all);
	memset(s, 0, sizeof(*s));
}
