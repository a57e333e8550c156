/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl index: look at, verify or rebuild the deduplication index of a volume
 * that is not open.
 */
#include "vdoctl.h"

#include <errno.h>
#include <string.h>

static const char index_help[] =
	"Usage: vdoctl index info FILE [--json]\n"
	"       vdoctl index verify FILE [--json] [-o NAME=VALUE]...\n"
	"       vdoctl index rebuild FILE [--json] [-o NAME=VALUE]...\n"
	"The deduplication index of a volume that is not open. The state of "
	"the volume\ndoes not matter, and what it holds is never changed.\n\n"
	"  info     show its shape, its state and its saves\n"
	"  verify   read all of it and hold its parts against each other; fail "
	"if\n           something is wrong\n"
	"  rebuild  make it anew from its chapters, or a new one if there is "
	"none\n\n"
	"  --json         for programs\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

/* Two names for codes whose index was made one chapter shorter. */
char *memory_text(char *buffer, int32_t code)
{
	char size[SIZE_TEXT];
	const char *more = "";
	uint64_t bytes = 0;

	if (code >= 1 && code <= 1024)
		bytes = (uint64_t)code << 30;
	else if (code == -256 || code == -512 || code == -768)
		bytes = (uint64_t)-code << 20;
	else if (code == -1280 || code == -1536 || code == -1792)
		bytes = (uint64_t)(-code - 1024) << 20;
	else if (code >= 4097 && code <= 5120)
		bytes = (uint64_t)(code - 4096) << 30;
	else if (code >= -255 && code <= -2)
		bytes = (uint64_t)-code << 20;
	if (code < -1024 || code > 4096)
		more = ", one chapter less than usual";
	else if (code >= -255 && code <= -2)
		more = ", small: Linux does not use it";
	if (bytes != 0)
		snprintf(buffer, MEMORY_TEXT, "%s%s", size_text(size, bytes),
			 more);
	else if (code == 0)
		strcpy(buffer, "none");
	else if (code == -1)
		strcpy(buffer, "tiny, for tests");
	else
		snprintf(buffer, MEMORY_TEXT, "unknown (code %d)", code);
	return buffer;
}

/*
 * info
 */

static void save_json(struct json *j, const struct vdo_index_save *s)
{
	json_begin(j, NULL, '{');
	json_bool(j, "valid", s->valid);
	if (s->valid) {
		json_bool(j, "newest_save", s->newest_save);
		json_number(j, "zones", s->zones);
		json_number(j, "oldest", s->oldest);
		json_number(j, "newest", s->newest);
		json_number(j, "time_ms", s->time_ms);
	}
	json_end(j, '}');
}

static void info_json(const struct vdo_index_info *i)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_bool(&j, "region", i->region);
	json_signed(&j, "memory", i->memory);
	json_bool(&j, "sparse", i->sparse);
	json_string(&j, "state", i->state_name);
	if (i->region) {
		json_number(&j, "first_block", i->first_block);
		json_number(&j, "region_blocks", i->region_blocks);
		json_number(&j, "chapters", i->chapters);
		json_number(&j, "sparse_chapters", i->sparse_chapters);
		json_number(&j, "record_pages", i->record_pages);
		json_number(&j, "index_pages", i->index_pages);
		json_number(&j, "records_per_chapter", i->records_per_chapter);
		json_number(&j, "names_max", i->names_max);
		json_number(&j, "total_blocks", i->total_blocks);
		json_number(&j, "volume_blocks", i->volume_blocks);
		json_number(&j, "save_blocks", i->save_blocks);
		json_number(&j, "volume_index_blocks", i->volume_index_blocks);
		json_number(&j, "page_map_blocks", i->page_map_blocks);
		json_number(&j, "open_chapter_blocks", i->open_chapter_blocks);
		json_begin(&j, "saves", '[');
		for (unsigned k = 0; k < VDO_INDEX_SAVES; k++)
			save_json(&j, &i->saves[k]);
		json_end(&j, ']');
	}
	json_end(&j, '}');
}

static void number_line(const char *label, uint64_t n)
{
	printf("  %-26s %llu\n", label, (unsigned long long)n);
}

static void blocks_line(const char *label, uint64_t n)
{
	char size[SIZE_TEXT];

	printf("  %-26s %llu blocks, %s\n", label, (unsigned long long)n,
	       size_text(size, n * 4096));
}

static void save_line(const struct vdo_index_save *s, unsigned number)
{
	char when[TIME_TEXT];

	printf("  save %-21u ", number);
	if (!s->valid) {
		puts("none");
		return;
	}
	printf("chapters %llu to %llu, %u zone%s, %s%s\n",
	       (unsigned long long)s->oldest, (unsigned long long)s->newest,
	       s->zones, s->zones == 1 ? "" : "s",
	       time_text(when, (int64_t)(s->time_ms / 1000)),
	       s->newest_save ? " (newest)" : "");
}

static void info_people(const struct vdo_index_info *i)
{
	char text[MEMORY_TEXT];

	printf("Index\n");
	printf("  %-26s %s\n", "state", i->state_name);
	printf("  %-26s %s%s\n", "memory", memory_text(text, i->memory),
	       i->sparse ? ", sparse" : "");
	if (!i->region)
		return;
	number_line("starts at block", i->first_block);
	blocks_line("place", i->region_blocks);
	number_line("names at most", i->names_max);
	printf("\nShape\n");
	number_line("chapters", i->chapters);
	if (i->sparse)
		number_line("sparse chapters", i->sparse_chapters);
	number_line("records of a chapter", i->records_per_chapter);
	number_line("record pages of a chapter", i->record_pages);
	number_line("index pages of a chapter", i->index_pages);
	printf("\nBlocks\n");
	blocks_line("all", i->total_blocks);
	blocks_line("chapters", i->volume_blocks);
	blocks_line("each save", i->save_blocks);
	blocks_line("  volume index", i->volume_index_blocks);
	blocks_line("  page map", i->page_map_blocks);
	blocks_line("  open chapter", i->open_chapter_blocks);
	printf("\nSaves\n");
	for (unsigned k = 0; k < VDO_INDEX_SAVES; k++)
		save_line(&i->saves[k], k);
}

static int info(const struct arguments *a)
{
	struct vdo_index_info i;
	struct vdo_error error;

	if (vdo_index_inspect(a->path, &i, sizeof(i), &error) != 0)
		return complain_vdo(a->path, &error);
	if (a->json)
		info_json(&i);
	else
		info_people(&i);
	return EXIT_OK;
}

/*
 * Jobs
 */

static void draw(struct progress *p, struct vdo_job *job)
{
	struct vdo_job_progress now;

	vdo_job_progress(job, &now, sizeof(now));
	if (now.phase != p->label || now.total != p->total) {
		progress_end(p);
		progress_start(p, now.phase, now.total);
	}
	atomic_store(&p->done, now.done);
	progress_draw(p);
}

int job_finish(struct vdo_job *job, struct vdo_error *error)
{
	struct progress p;
	int r;

	progress_start(&p, "", 0);
	while ((r = vdo_job_wait(job, 50, error)) == -ETIMEDOUT) {
		if (interrupted())
			vdo_job_cancel(job);
		draw(&p, job);
	}
	progress_end(&p);
	return r;
}

/*
 * verify
 */

static void fault_json(struct json *j, const struct vdo_index_fault *f)
{
	json_begin(j, NULL, '{');
	json_string(j, "kind", vdo_index_fault_name(f->kind));
	if (f->chapter != UINT64_MAX)
		json_number(j, "chapter", f->chapter);
	if (f->block != 0)
		json_number(j, "block", f->block);
	json_string(j, "text", f->text);
	json_end(j, '}');
}

static void report_json(const struct vdo_index_report *r)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "state", vdo_index_state_name(r->state));
	json_number(&j, "oldest", r->oldest);
	json_number(&j, "newest", r->newest);
	json_number(&j, "chapters", r->chapters);
	json_number(&j, "chapters_unused", r->chapters_unused);
	json_number(&j, "records", r->records);
	json_number(&j, "open_records", r->open_records);
	json_number(&j, "entries", r->entries);
	json_number(&j, "records_known", r->records_known);
	json_number(&j, "faults", r->faults);
	json_begin(&j, "faults_by_kind", '{');
	for (int k = 0; k < VDO_INDEX_FAULT_KINDS; k++)
		json_number(&j,
			    vdo_index_fault_name((enum vdo_index_fault_kind)k),
			    r->faults_by_kind[k]);
	json_end(&j, '}');
	json_begin(&j, "first_faults", '[');
	for (size_t i = 0; i < r->first_count; i++)
		fault_json(&j, &r->first[i]);
	json_end(&j, ']');
	json_end(&j, '}');
}

static void fault_line(const struct vdo_index_fault *f)
{
	printf("  %s: ", vdo_index_fault_name(f->kind));
	if (f->chapter != UINT64_MAX)
		printf("chapter %llu: ", (unsigned long long)f->chapter);
	fputs(f->text, stdout);
	if (f->block != 0)
		printf(" (block %llu)", (unsigned long long)f->block);
	putchar('\n');
}

static void report_people(const struct vdo_index_report *r)
{
	printf("  %-26s %s\n", "state", vdo_index_state_name(r->state));
	if (r->state >= VDO_INDEX_FORMATTED) {
		number_line("chapters read", r->chapters);
		if (r->chapters_unused != 0)
			number_line("chapters not in use", r->chapters_unused);
		number_line("records in them", r->records);
		number_line("open chapter", r->newest);
		number_line("records in it", r->open_records);
		number_line("entries of the index", r->entries);
		number_line("records it leads to", r->records_known);
	}
	number_line("faults", r->faults);
	for (int k = 0; k < VDO_INDEX_FAULT_KINDS; k++)
		if (r->faults_by_kind[k] != 0)
			printf("    %-24s %llu\n",
			       vdo_index_fault_name(
				       (enum vdo_index_fault_kind)k),
			       (unsigned long long)r->faults_by_kind[k]);
	if (r->faults == 0)
		return;
	printf("\n%s\n", r->faults > r->first_count ? "The first faults"
						    : "Faults");
	for (size_t i = 0; i < r->first_count; i++)
		fault_line(&r->first[i]);
}

static int verify(const struct arguments *a)
{
	struct vdo_index_report report;
	struct vdo_error error;
	struct vdo_job *job;
	int code = EXIT_OK;

	catch_interrupts();
	if (vdo_index_verify(a->path, a->config, &job, &error) != 0)
		return complain_vdo(a->path, &error);
	if (job_finish(job, &error) != 0) {
		code = complain_vdo(a->path, &error);
	} else if (vdo_index_report_get(job, &report, sizeof(report)) == 0) {
		if (a->json)
			report_json(&report);
		else
			report_people(&report);
		if (report.faults != 0)
			code = EXIT_FAILED;
	}
	vdo_job_free(job);
	return code;
}

/*
 * rebuild
 */

static void rebuilt_json(const struct vdo_index_rebuilt *r)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "found", vdo_index_state_name(r->found));
	json_bool(&j, "formatted", r->formatted);
	json_number(&j, "oldest", r->oldest);
	json_number(&j, "newest", r->newest);
	json_number(&j, "entries", r->entries);
	json_number(&j, "left_out", r->left_out);
	json_end(&j, '}');
}

static void rebuilt_people(const struct vdo_index_rebuilt *r)
{
	if (r->formatted && r->found == VDO_INDEX_NONE)
		printf("There was no index: made a new, empty one.\n");
	else if (r->formatted)
		printf("The index could not be rebuilt (%s): made a new, empty "
		       "one.\n",
		       vdo_index_state_name(r->found));
	else
		printf("Rebuilt from %llu chapters, %llu entries.\n",
		       (unsigned long long)(r->newest - r->oldest -
					    r->left_out),
		       (unsigned long long)r->entries);
	if (r->left_out != 0)
		printf("Chapters that were damaged and left out: %llu.\n",
		       (unsigned long long)r->left_out);
}

static int rebuild(const struct arguments *a)
{
	struct vdo_index_rebuilt rebuilt;
	struct vdo_error error;
	struct vdo_job *job;
	int code = EXIT_OK;

	catch_interrupts();
	if (vdo_index_rebuild(a->path, a->config, &job, &error) != 0)
		return complain_vdo(a->path, &error);
	if (job_finish(job, &error) != 0)
		code = complain_vdo(a->path, &error);
	else if (vdo_index_rebuilt_get(job, &rebuilt, sizeof(rebuilt)) != 0)
		code = EXIT_FAILED;
	else if (a->json)
		rebuilt_json(&rebuilt);
	else
		rebuilt_people(&rebuilt);
	vdo_job_free(job);
	return code;
}

static const struct {
	const char *name;
	int (*run)(const struct arguments *a);
} index_commands[] = {
	{"info", info},
	{"verify", verify},
	{"rebuild", rebuild},
};

#define INDEX_COMMANDS (sizeof(index_commands) / sizeof(index_commands[0]))

int command_index(int argc, char **argv)
{
	int (*run)(const struct arguments *a) = NULL;
	struct arguments a;
	int code = EXIT_OK;

	if (argc > 1 && argv[1][0] == '-') {
		if (strcmp(argv[1], "--help") != 0 &&
		    strcmp(argv[1], "-h") != 0)
			return try_help();
		fputs(index_help, stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; argc > 1 && i < INDEX_COMMANDS; i++)
		if (strcmp(argv[1], index_commands[i].name) == 0)
			run = index_commands[i].run;
	if (run == NULL) {
		complain("info, verify or rebuild?");
		return try_help();
	}
	argv[1] = argv[0]; /* for the messages of getopt */
	if (!arguments_parse(&a, argc - 1, argv + 1, "j", index_help))
		code = a.code;
	else
		code = run(&a);
	arguments_free(&a);
	return code;
}
