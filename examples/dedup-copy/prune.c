/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup-copy --remove and --prune: snapshots go, and their space comes back.
 *
 * The rules of --prune look at snapshots of the same roots together, from the
 * newest to the oldest. A rule keeps the first one of each period (a day, say)
 * until it has kept as many as it says. What any rule keeps stays; and so does
 * the newest one, so that the newest state of each root is always there.
 */
#include "build.h"

#include "snapshots.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct candidate {
	uint32_t number;
	bool known; /* its time and roots */
	int64_t time;
	uint32_t *roots; /* numbers, ascending */
	uint32_t root_count;
	bool seen; /* with others of these roots */
	bool goes;
};

struct prune {
	struct run *run;
	struct snapshots snapshots;
	struct candidate *all; /* newest first */
	size_t count;
	uint64_t freed; /* bytes */
};

/* Which period is it, as a text? Of --keep-last each snapshot is one. */
static void period_of(const struct candidate *c, enum keep rule, char *text,
		      size_t size)
{
	static const char *const formats[KEEP_RULES] = {
		[KEEP_DAILY] = "%Y-%m-%d",
		[KEEP_WEEKLY] = "%G-%V",
		[KEEP_MONTHLY] = "%Y-%m",
		[KEEP_YEARLY] = "%Y",
	};
	time_t t = (time_t)c->time;
	struct tm tm;

	if (rule == KEEP_LAST || localtime_r(&t, &tm) == NULL ||
	    strftime(text, size, formats[rule], &tm) == 0)
		snprintf(text, size, "%u", (unsigned)c->number);
}

static bool same_roots(const struct candidate *a, const struct candidate *b)
{
	return a->root_count == b->root_count &&
	       (a->root_count == 0 ||
		memcmp(a->roots, b->roots, a->root_count * sizeof(*a->roots)) ==
			0);
}

/* Keep what one rule keeps of the snapshots like @first. */
static void apply(struct prune *p, struct candidate *first, enum keep rule)
{
	uint32_t left = p->run->arguments->keep[rule];
	char last[32] = "", period[32];

	for (struct candidate *c = first; c < p->all + p->count && left > 0;
	     c++) {
		if (!same_roots(c, first))
			continue;
		period_of(c, rule, period, sizeof(period));
		if (strcmp(period, last) == 0)
			continue;
		memcpy(last, period, sizeof(last));
		c->goes = false;
		left--;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->time != y->time)
		return (x->time < y->time) - (x->time > y->time);
	return (x->number < y->number) - (x->number > y->number);
}

/* The one that was stored last of those like @first. */
static struct candidate *newest_like(struct prune *p, struct candidate *first)
{
	struct candidate *newest = first;

	for (struct candidate *c = first; c < p->all + p->count; c++) {
		if (!same_roots(c, first))
			continue;
		c->seen = true;
		if (c->number > newest->number)
			newest = c;
	}
	return newest;
}

static void choose(struct prune *p)
{
	qsort(p->all, p->count, sizeof(*p->all), by_time);
	for (size_t i = 0; i < p->count; i++)
		p->all[i].goes = true;
	for (size_t i = 0; i < p->count; i++) {
		if (p->all[i].seen)
			continue;
		newest_like(p, &p->all[i])->goes = false;
		for (unsigned rule = 0; rule < KEEP_RULES; rule++)
			apply(p, &p->all[i], (enum keep)rule);
	}
}

/* What the rules have to know. */
static int look(struct prune *p, struct candidate *c)
{
	struct catalogue read;
	int r = snapshots_read(&p->snapshots,
			       snapshots_find(&p->snapshots, c->number), &read);

	if (r == 0) {
		c->roots = calloc(read.root_count + 1, sizeof(*c->roots));
		r = c->roots == NULL ? -ENOMEM : 0;
	}
	for (uint32_t i = 0; r == 0 && i < read.root_count; i++)
		if (read.roots[i].snapshot == read.number)
			c->roots[c->root_count++] = i;
	c->time = read.time;
	c->known = true;
	catalogue_fini(&read);
	return r;
}

static int choose_by_rules(struct prune *p)
{
	int r = 0;

	for (size_t i = 0; i < p->count && r == 0; i++)
		r = interrupted() ? STOP_INTERRUPTED : look(p, &p->all[i]);
	if (r == 0)
		choose(p);
	return r;
}

/* What was named; nothing if one of it is not there. */
static int choose_by_name(struct prune *p)
{
	const struct arguments *a = p->run->arguments;

	for (size_t i = 0; i < a->removed_count; i++) {
		if (snapshots_need(&p->snapshots, a->removed[i]) == NULL)
			return STOP_SAID;
		for (size_t k = 0; k < p->count; k++)
			p->all[k].goes |= p->all[k].number == a->removed[i];
	}
	return 0;
}

static int load(struct prune *p)
{
	const struct arguments *a = p->run->arguments;
	int r = snapshots_load(&p->snapshots, p->run, false);

	if (r != 0)
		return r;
	if (p->snapshots.form != ARCHIVE_POOL) {
		complain("%s: is an archive whose snapshots refer to each "
			 "other: none "
			 "can be removed; store into a new volume, of which "
			 "they can",
			 a->volume);
		return STOP_SAID;
	}
	p->all = calloc(p->snapshots.count, sizeof(*p->all));
	if (p->all == NULL)
		return -ENOMEM;
	p->count = p->snapshots.count;
	for (size_t i = 0; i < p->count; i++)
		p->all[i].number = p->snapshots.all[i].number;
	return a->mode == MODE_PRUNE ? choose_by_rules(p) : choose_by_name(p);
}

static uint64_t used(struct vdo_volume *volume)
{
	struct vdo_stats *stats;
	uint64_t blocks;

	if (vdo_stats_get(volume, &stats) != 0)
		return 0;
	blocks = vdo_stats_value(stats, "dataBlocksUsed");
	vdo_stats_free(stats);
	return blocks;
}

/* Oldest first. */
static int remove_them(struct prune *p)
{
	struct vdo_volume *volume = p->run->volume;
	uint64_t before = used(volume), after;
	int r = snapshots_remove(&p->snapshots, 0);

	for (size_t i = p->count; i > 0 && r == 0; i--) {
		const struct candidate *c = &p->all[i - 1];

		if (interrupted())
			r = STOP_INTERRUPTED;
		else if (c->goes)
			r = snapshots_remove(&p->snapshots, c->number);
	}
	if (r == 0)
		r = vdo_flush(volume, 0);
	after = used(volume);
	p->freed = before > after ? (before - after) * BLOCK : 0;
	return r;
}

static void print_text(const struct prune *p)
{
	bool dry = p->run->arguments->dry_run;
	char when[32], size[SIZE_TEXT];
	size_t gone = 0;

	for (size_t i = p->count; i > 0; i--) {
		const struct candidate *c = &p->all[i - 1];

		if (!c->goes)
			continue;
		gone++;
		printf("snapshot %u  %s%s%s\n", (unsigned)c->number,
		       c->known ? time_text(when, sizeof(when), c->time) : "",
		       c->known ? "  " : "",
		       dry ? "would be removed" : "removed");
	}
	printf("%zu removed, %zu kept\n", gone, p->count - gone);
	if (!dry)
		printf("freed %s\n", size_text(size, p->freed));
}

static void json_some(struct json *j, const struct prune *p, const char *name,
		      bool gone)
{
	json_begin(j, name, '[');
	for (size_t i = p->count; i > 0; i--) {
		const struct candidate *c = &p->all[i - 1];

		if (c->goes != gone)
			continue;
		json_begin(j, NULL, '{');
		json_number(j, "number", c->number);
		if (c->known)
			json_signed(j, "time", c->time);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void print_result(const struct prune *p)
{
	const struct arguments *a = p->run->arguments;
	struct json j = {.file = stdout};

	if (!a->json) {
		print_text(p);
		return;
	}
	json_begin(&j, NULL, '{');
	json_string(&j, "volume", a->volume);
	json_bool(&j, "dry_run", a->dry_run);
	json_some(&j, p, "removed", true);
	json_some(&j, p, "kept", false);
	if (!a->dry_run)
		json_number(&j, "bytes_freed", p->freed);
	json_end(&j, '}');
}

int prune_run(struct run *run)
{
	struct prune p = {.run = run};
	int r = target_open(run, run->arguments->dry_run), status;

	if (r == 0)
		r = load(&p);
	if (r == 0 && !run->arguments->dry_run) {
		snapshots_close(&p.snapshots);
		r = remove_them(&p);
	}
	snapshots_fini(&p.snapshots);
	status = run_end(run, "remove snapshots", r);
	if (target_close(run) != 0)
		status = EXIT_FAILED;
	else if (r == 0)
		print_result(&p);
	for (size_t i = 0; i < p.count; i++)
		free(p.all[i].roots);
	free(p.all);
	return status;
}
