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
	struct catalogue *c = &s->catalogue;
	struct reader reader;
	int r;

	c->number = s->container.snapshots + 1;
	c->time = (int64_t)time(NULL);
	c->previous = s->container.catalogue;
	if (c->previous == 0)
		return 0;
	r = reader_init(&reader, s->run->volume, s->run->arguments->polled,
			s->container.end);
	if (r == 0) {
		struct catalogue last;

		r = catalogue_read(&last, &reader, c->previous);
		if (r == 0)
			r = kept_init(&s->kept, s->run->volume,
				      s->run->arguments->polled,
				      s->container.end, &last);
		c->roots = last.roots;
		c->root_count = last.root_count;
		last.roots = NULL;
		last.root_count = 0;
		catalogue_fini(&last);
	}
	reader_fini(&reader);
	return r;
}

/* Dry run: all that is in the archive counts as there, unless the index has
 * forgotten it. */
static int learn(struct store *s)
{
	uint64_t at = CONTAINER_START;
	struct reader reader;
	int r;

	if (s->run->volume == NULL || s->container.end == at ||
	    (s->disk.known && s->disk.chapters == 0))
		return 0; /* nothing is there, or known */
	r = reader_init(&reader, s->run->volume, s->run->arguments->polled,
			s->container.end);
	estimate_learn(&s->estimate, true);
	while (r == 0 && at < s->container.end) {
		const uint8_t *data;
		size_t bytes = CHUNK;

		r = reader_get(&reader, at, &data, &bytes);
		if (r == 0)
			r = estimate_blocks(&s->estimate, data, bytes);
		if (r == 0 && interrupted())
			r = STOP_INTERRUPTED;
		at += bytes;
	}
	estimate_learn(&s->estimate, false);
	reader_fini(&reader);
	return r;
}

static int reserve(void *arg, uint64_t end, uint64_t *limit)
{
	struct store *s = arg;

	return container_reserve(&s->container, end, limit);
}

/* Everything is known and open: copy. */
static int store_data(struct store *s)
{
	struct writer *w = &s->writer;
	struct container *box = &s->container;
	bool dry = s->run->arguments->dry_run;
	int r = writer_init(w, dry ? NULL : s->run->volume,
			    s->run->arguments->polled && !dry);

	if (r != 0)
		return r;
	w->position = box->end;
	if (dry) {
		writer_set_sink(w, estimate_blocks, &s->estimate);
		r = learn(s);
	} else {
		writer_set_reserve(w, reserve, s);
		r = container_reserve(box, box->end + s->survey.bytes, &w->limit);
	}
	if (r == 0)
		r = store_files(s);
	if (r == 0) {
		s->catalogue.place = w->position;
		r = catalogue_write(&s->catalogue, w);
	}
	if (r == 0)
		r = writer_drain(w);
	if (r == 0 && !dry)
		r = container_commit(box, s->catalogue.place, w->position);
	if ((target_is_full(r) || r == NO_ADDRESSES) && !dry) {
		writer_drain(w);
		container_discard(box, w->position);
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
	uint64_t before = s->run->volume == NULL ? 0 : s->container.end;
	struct disk_load load = {
		.leaves = leaves(s->end) - leaves(before),
		.interior = disk_interior(leaves(s->end)) -
			    disk_interior(leaves(before)),
		.chapters = e->chapter - e->first_chapter,
		.records = e->seen.used,
		.recent = e->recorded,
	};

	estimate_end(e);
	e->counts.data_used += before == 0 ? 2 : 0; /* headers */
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
		r = target_load(s->run, &s->container, true);
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

static int create(struct store *s)
{
	const struct arguments *a = s->run->arguments;
	const struct need need = {.bytes = s->survey.bytes +
					   s->survey.catalogue_bytes +
					   (UINT64_C(1) << 20)};
	int r;

	if (a->dry_run)
		return plan(s, &need);
	if (s->run->volume != NULL)
		return 0;
	if (s->survey.met_volume && !target_is_missing(a->volume)) {
		complain("%s: is one of the files to be stored, and no volume; "
			 "it is not overwritten",
			 a->volume);
		return STOP_SAID;
	}
	r = target_create_or_open(s->run, &need);
	if (r == 0)
		r = target_load(s->run, &s->container, true);
	return r;
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
	estimate_init(&s.estimate, run->arguments->config);
	r = store_all(&s);
	kept_fini(&s.kept); /* it reads the volume */
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
