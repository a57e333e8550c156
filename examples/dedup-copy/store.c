/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storing files and trees.
 *
 *	survey -> create or open -> walk: entries and their data -> catalogue
 *	-> new header
 *
 * What is known of a file, and what is read of it, comes from one descriptor.
 * A dry run goes the same way with an estimate in place of the volume.
 */
#include "build.h"

#include "store.h"

#include <errno.h>
#include <time.h>

static int store_files(struct store *s)
{
	struct walk w;
	int r;

	progress_begin(s->run,
		       s->run->arguments->dry_run ? "reading" : "storing",
		       s->survey.file_bytes);
	walk_init(&w, s->run, &gather_ops, s);
	w.catalogue = &s->catalogue;
	r = walk_sources(&w);
	walk_fini(&w);
	table_fini(&s->inodes);
	progress_end(&s->run->progress);
	return r;
}

/* Begin the catalogue with the roots that are known already. */
static int load_roots(struct store *s)
{
	struct catalogue *c = &s->catalogue, newest = {0};
	struct snapshots *all = &s->snapshots;
	int r;

	if (all->count == 0)
		return 0;
	r = snapshots_roots(all, &newest);
	if (r == 0)
		r = kept_init(&s->kept, all, &newest);
	c->roots = newest.roots;
	c->root_count = newest.root_count;
	newest.roots = NULL;
	newest.root_count = 0;
	catalogue_fini(&newest);
	for (uint32_t i = 0; i < c->root_count && all->form == ARCHIVE_POOL;
	     i++)
		c->roots[i].catalogue = 0; /* a place in another sub-volume */
	return r;
}

/* Is it the newest snapshot of some root? */
static bool is_newest(const struct store *s, uint32_t number)
{
	for (uint32_t i = 0; i < s->kept.root_count; i++)
		if (s->kept.numbers[i] == number)
			return true;
	return false;
}

/* All of a container is there. */
static int learn_container(struct store *s)
{
	uint64_t at = CONTAINER_START, end = s->snapshots.box.end;
	int r = 0;

	while (r == 0 && at < end) {
		const uint8_t *data;
		size_t bytes = CHUNK;

		r = reader_get(&s->snapshots.reader, at, &data, &bytes);
		if (r == 0)
			r = estimate_blocks(&s->estimate, data, bytes);
		if (r == 0 && interrupted())
			r = STOP_INTERRUPTED;
		at += bytes;
	}
	return r;
}

/* Dry run: what is in the archive counts as there, unless the index has
 * forgotten it. Of a pool older snapshots are left out: they have mostly the
 * same. */
static int learn(struct store *s)
{
	const struct snapshots *all = &s->snapshots;
	size_t count = all->form == ARCHIVE_ONE ? 1 : all->count;
	int r = 0;

	if (all->count == 0 || (s->disk.known && s->disk.chapters == 0))
		return 0; /* nothing is there, or known */
	estimate_learn(&s->estimate, true);
	for (size_t i = count; i > 0 && r == 0; i--) {
		const struct snapshot *one = &all->all[i - 1];

		if (all->form == ARCHIVE_POOL && !is_newest(s, one->number))
			continue;
		r = snapshots_open(&s->snapshots, one);
		if (r == 0)
			r = learn_container(s);
	}
	estimate_learn(&s->estimate, false);
	return r;
}

static int reserve(void *arg, uint64_t end, uint64_t *limit)
{
	struct store *s = arg;
	int r = snapshots_grow(&s->snapshots, end);

	return r == 0 ? container_reserve(&s->container, end, limit) : r;
}

/* Everything is known and open: copy. */
static int store_data(struct store *s)
{
	struct writer *w = &s->writer;
	struct container *box = &s->container;
	bool dry = s->run->arguments->dry_run;
	int r = writer_init(w, dry ? NULL : box->volume,
			    s->run->arguments->polled && !dry);

	if (r != 0)
		return r;
	w->position = box->end;
	if (dry) {
		writer_set_sink(w, estimate_blocks, &s->estimate);
		r = learn(s);
	} else {
		writer_set_reserve(w, reserve, s);
		r = container_reserve(box, box->end + s->survey.bytes,
				      &w->limit);
	}
	if (r == 0)
		r = store_files(s);
	if (r == 0) {
		s->catalogue.place = w->position;
		r = catalogue_write(&s->catalogue, w);
	}
	if (r == 0)
		r = writer_drain(w);
	if (r == 0)
		r = kept_flush(&s->kept);
	if (r == 0 && !dry)
		r = snapshots_commit(&s->snapshots, box, s->catalogue.place,
				     w->position);
	if ((target_is_full(r) || r == NO_ADDRESSES) && !dry) {
		writer_drain(w);
		snapshots_abandon(&s->snapshots, box, w->position);
	}
	s->report.bytes_written = w->written;
	s->end = w->position;
	writer_fini(w);
	return r;
}

/* Leaf pages of the block map below @end. */
static uint64_t leaves(uint64_t end)
{
	return (end / BLOCK + LEAF_MAPPINGS - 1) / LEAF_MAPPINGS;
}

static void estimate_disk(struct store *s)
{
	struct estimate *e = &s->estimate;
	bool empty = s->snapshots.form == ARCHIVE_NONE;
	uint64_t before = s->snapshots.taken, after = s->end;

	if (s->snapshots.form != ARCHIVE_ONE)
		after += before;
	if (empty)
		before = 0;
	struct disk_load load = {
		.leaves = leaves(after) - leaves(before),
		.interior = disk_interior(leaves(after)) -
			    disk_interior(leaves(before)),
		.chapters = e->chapter - e->first_chapter,
		.records = e->seen.used,
		.recent = e->recorded,
	};

	estimate_end(e);
	/* the headers; and a directory of two blocks, twice */
	e->counts.data_used += s->snapshots.form == ARCHIVE_ONE ? 0 : 2;
	e->counts.data_used += empty ? 4 : 0;
	load.data = e->counts.data_used;
	report_estimate(&s->report, &e->counts, s->disk.known,
			disk_metadata(&s->disk, &load));
}

/* What is there already, if anything is. */
static int open_existing(struct store *s)
{
	const struct arguments *a = s->run->arguments;
	int r;

	s->container.end = CONTAINER_START;
	if (target_is_missing(a->volume))
		return 0;
	r = target_open(s->run, a->dry_run);
	if (r == -VDO_ENOTVDO)
		return 0; /* --force: made anew when the sizes are known */
	if (r == 0)
		r = snapshots_load(&s->snapshots, s->run, true);
	if (r == 0 && s->snapshots.form == ARCHIVE_ONE)
		s->container = s->snapshots.box;
	return r;
}

/* Sources that cannot be read from while the volume is written. */
static int check_sources(const struct run *run)
{
	const struct arguments *a = run->arguments;
	struct storage volume = storage_at(a->volume);

	for (int i = 0; i < a->name_count; i++) {
		struct storage source = storage_at(a->names[i]);

		/* the volume itself among them is left out */
		if (storage_equal(&source, &volume) ||
		    !storage_would_change(&volume, &source))
			continue;
		complain("%s: lies on %s, the volume; nothing is stored",
			 a->names[i], a->volume);
		return STOP_SAID;
	}
	return 0;
}

static int survey(struct store *s)
{
	int r = survey_run(&s->survey, s->run, true);

	if (r != 0 || s->survey.entries != 0)
		return r;
	r = survey_run(&s->survey, s->run, false); /* say why */
	if (r == 0) {
		complain("there is nothing to store");
		r = STOP_SAID;
	}
	return r;
}

/* A dry run: what is the volume like, or will be? */
static int plan(struct store *s, const struct need *need)
{
	int r = 0;

	if (s->run->volume != NULL)
		disk_look(&s->disk, s->run->arguments->config,
			  s->run->arguments->volume);
	else
		r = target_plan(s->run, need, &s->disk);
	if (s->disk.known)
		estimate_set_index(&s->estimate, s->disk.chapters,
				   s->disk.records_per_chapter);
	return r;
}

static int begin(struct store *s, const struct need *need)
{
	int r = snapshots_begin(&s->snapshots, need->bytes, &s->container,
				&s->catalogue.number);

	s->catalogue.previous = s->container.catalogue;
	return r;
}

static int create(struct store *s)
{
	const struct arguments *a = s->run->arguments;
	const struct need need = {.bytes = s->survey.bytes +
					   s->survey.catalogue_bytes +
					   (UINT64_C(1) << 20)};
	int r;

	if (a->dry_run) {
		s->catalogue.number = s->snapshots.count == 0
					      ? 1
					      : s->snapshots.all[0].number + 1;
		return plan(s, &need);
	}
	if (s->run->volume != NULL)
		return begin(s, &need);
	if (s->survey.met_volume && !target_is_missing(a->volume)) {
		complain("%s: is one of the files to be stored, and no volume; "
			 "it is not overwritten",
			 a->volume);
		return STOP_SAID;
	}
	r = target_create_or_open(s->run, &need);
	if (r == 0)
		r = snapshots_load(&s->snapshots, s->run, true);
	return r == 0 ? begin(s, &need) : r;
}

static int store_all(struct store *s)
{
	struct run *run = s->run;
	int r = check_sources(run);

	if (r == 0)
		r = open_existing(s);
	if (r == 0)
		r = load_roots(s);
	if (r == 0)
		r = survey(s);
	if (r == 0)
		r = create(s);
	if (r != 0)
		return r;
	report_start(&s->report, run);
	r = store_data(s);
	if (r == 0 && run->arguments->verify && !run->arguments->dry_run)
		r = verify_snapshot(run, &s->container, &s->catalogue);
	if (r == 0 && run->arguments->dry_run)
		estimate_disk(s);
	else if (r == 0)
		report_measure(&s->report);
	return r;
}

int store_run(struct run *run)
{
	static struct store s;
	int r, status;

	s.run = run;
	s.catalogue.time = run->arguments->time;
	if (s.catalogue.time == NO_TIME)
		s.catalogue.time = (int64_t)time(NULL);
	estimate_init(&s.estimate, run->arguments->config);
	r = store_all(&s);
	kept_fini(&s.kept);
	snapshots_fini(&s.snapshots);
	status = run_end(run, "store it", r);
	if (target_close(run) != 0) {
		status = EXIT_FAILED;
	} else if (r == 0) {
		s.report.plan = &s.plan;
		s.report.snapshot = s.catalogue.number;
		report_end(&s.report);
	}
	estimate_fini(&s.estimate);
	catalogue_fini(&s.catalogue);
	return status;
}
