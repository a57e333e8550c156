/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl check: look over a volume that is not open, and mend it. Exit codes
 * are those of fsck(8).
 *
 * A repair is three jobs: one that finds, and shows it; one that mends, when it
 * is known what will be lost; and one that looks again.
 */
#include "vdoctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char check_help[] =
	"Usage: vdoctl check FILE [--data] [--json] [-o NAME=VALUE]...\n"
	"       vdoctl check FILE --repair [--yes] [--undo UNDO] [--data] "
	"[--json]\n"
	"       vdoctl check FILE --undo-from UNDO\n"
	"Look over all metadata of a volume that is not open. One that was not "
	"closed is\nlooked at as it would be after its recovery.\n\n"
	"  --data            read all data as well; decompress it\n"
	"  --no-index        leave out the index\n"
	"  --repair          mend what can be mended without guessing; ask "
	"before\n                    anything that loses data\n"
	"  --yes             do not ask\n"
	"  --undo UNDO       the file to be made that can undo the repair "
	"(FILE.undo)\n"
	"  --undo-from UNDO  put back what a repair changed\n"
	"  --json            for programs\n"
	"  -o NAME=VALUE     any option that 'vdoctl options' lists\n"
	"  -v, --verbose     show what is done, and the log of the library\n"
	"  -h, --help        this text\n\n"
	"Exit codes: 0 nothing is wrong, 1 all was mended, 4 something is "
	"left,\n8 it could not be looked at, 16 usage, 32 interrupted.\n";

enum {
	CHECK_CLEAN = 0,
	CHECK_MENDED = 1,
	CHECK_LEFT = 4,
	CHECK_FAILED = 8,
	CHECK_USAGE = 16,
	CHECK_INTERRUPTED = 32,
};

struct findings {
	struct vdo_check_finding *list;
	size_t count, max;
	bool lost; /* no memory for all of them */
};

static void take(void *arg, const struct vdo_check_finding *f)
{
	struct findings *all = arg;

	if (all->count == all->max) {
		size_t max = 2 * all->max + 64;
		void *more = realloc(all->list, max * sizeof(*all->list));

		if (more == NULL) {
			all->lost = true;
			return;
		}
		all->list = more;
		all->max = max;
	}
	all->list[all->count++] = *f;
}

/*
 * JSON
 */

static void known(struct json *j, const char *name, uint64_t n)
{
	if (n != VDO_CHECK_NO_NUMBER)
		json_number(j, name, n);
}

void blocks_json(struct json *j, const struct vdo_blocks *b)
{
	json_number(j, "first", b->first);
	json_number(j, "count", b->count);
	if (b->repeats > 1) {
		json_number(j, "stride", b->stride);
		json_number(j, "repeats", b->repeats);
	}
}

void blocks_print(const struct vdo_blocks *b)
{
	printf("%llu", (unsigned long long)b->first);
	if (b->count > 1)
		printf("-%llu", (unsigned long long)(b->first + b->count - 1));
	if (b->repeats > 1)
		printf(" (%llu times, each %llu further)",
		       (unsigned long long)b->repeats,
		       (unsigned long long)b->stride);
}

static void touched_json(struct json *j, const struct vdo_check_finding *f)
{
	json_number(j, "logical_blocks", f->logical_blocks);
	json_begin(j, "ranges", '[');
	for (size_t i = 0; i < f->block_count; i++) {
		json_begin(j, NULL, '{');
		blocks_json(j, &f->blocks[i]);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void finding_json(struct json *j, const struct vdo_check_finding *f)
{
	json_begin(j, NULL, '{');
	json_string(j, "name", vdo_check_name(f->code));
	json_string(j, "structure", vdo_check_structure(f->code));
	json_string(j, "text", vdo_check_text(f->code));
	json_string(j, "severity", vdo_check_severity_name(f->severity));
	json_bool(j, "mendable", f->mendable);
	json_bool(j, "loses", vdo_check_mend(f->code) == VDO_CHECK_CLEARS);
	json_bool(j, "mended", f->mended);
	known(j, "block", f->block);
	known(j, "slot", f->slot);
	known(j, "slab", f->slab);
	known(j, "about", f->about);
	json_string(j, "found", f->found);
	json_string(j, "expected", f->expected);
	touched_json(j, f);
	json_end(j, '}');
}

static void numbers_json(struct json *j, const struct vdo_check_report *r)
{
	json_number(j, "findings", r->findings);
	json_begin(j, "by_name", '{');
	for (int i = 0; i < VDO_CHECK_CODES; i++)
		if (r->by_code[i] != 0)
			json_number(j, vdo_check_name((enum vdo_check_code)i),
				    r->by_code[i]);
	json_end(j, '}');
	json_number(j, "mendable", r->mendable);
	json_number(j, "losing", r->losing);
	json_number(j, "journal_entries", r->journal_entries);
	json_number(j, "pages", r->pages);
	json_number(j, "mappings", r->mappings);
	json_number(j, "slabs", r->slabs);
	json_number(j, "blocks_used", r->blocks_used);
	json_number(j, "data_blocks", r->data_blocks);
	json_number(j, "fragments", r->fragments);
	json_number(j, "index_records", r->index_records);
	json_number(j, "records_good", r->records_good);
	json_number(j, "records_stale", r->records_stale);
}

static void report_json(const struct vdo_check_report *r,
			const struct vdo_check_report *mended,
			const struct vdo_check_report *left,
			const struct findings *all)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	if (r->state_name != NULL)
		json_string(&j, "state", r->state_name);
	json_bool(&j, "replayed", r->replayed);
	numbers_json(&j, r);
	json_number(&j, "mended", mended->mended);
	json_number(&j, "blocks_changed", mended->blocks_changed);
	json_number(&j, "left", left->findings);
	json_begin(&j, "first_findings", '[');
	for (size_t i = 0; i < all->count; i++)
		finding_json(&j, &all->list[i]);
	json_end(&j, ']');
	json_end(&j, '}');
}

/*
 * For people
 */

static void place_line(const struct vdo_check_finding *f)
{
	if (f->block != VDO_CHECK_NO_NUMBER)
		printf(", block %llu", (unsigned long long)f->block);
	if (f->slot != VDO_CHECK_NO_NUMBER)
		printf(", slot %llu", (unsigned long long)f->slot);
	if (f->slab != VDO_CHECK_NO_NUMBER)
		printf(", slab %llu", (unsigned long long)f->slab);
	if (f->about != VDO_CHECK_NO_NUMBER && f->about != f->block)
		printf(", about block %llu", (unsigned long long)f->about);
	putchar('\n');
}

static void blocks_line(const struct vdo_check_finding *f)
{
	uint64_t shown = 0;

	if (f->logical_blocks == 0)
		return;
	printf("    logical blocks");
	for (size_t i = 0; i < f->block_count; i++) {
		const struct vdo_blocks *b = &f->blocks[i];

		fputs(i == 0 ? " " : ", ", stdout);
		blocks_print(b);
		shown += b->count * b->repeats;
	}
	if (shown < f->logical_blocks)
		printf(" and %llu more",
		       (unsigned long long)(f->logical_blocks - shown));
	putchar('\n');
}

static void finding_line(const struct vdo_check_finding *f)
{
	printf("%s: %s: %s", vdo_check_name(f->code),
	       vdo_check_severity_name(f->severity), vdo_check_text(f->code));
	place_line(f);
	if (f->found[0] != '\0' || f->expected[0] != '\0')
		printf("    found %s%s%s\n", f->found,
		       f->expected[0] != '\0' ? "; expected " : "",
		       f->expected);
	blocks_line(f);
}

static bool is_replayable(const struct vdo_check_report *r)
{
	return !r->replayed ||
	       r->by_code[VDO_CHECK_JOURNAL_DAMAGED] +
			       r->by_code[VDO_CHECK_JOURNAL_OLD] +
			       r->by_code[VDO_CHECK_JOURNAL_ENTRY] ==
		       0;
}

static void sums(const struct vdo_check_report *r, const struct findings *all)
{
	for (size_t i = 0; i < all->count; i++)
		finding_line(&all->list[i]);
	if (r->findings > all->count)
		printf("... and %llu more\n",
		       (unsigned long long)(r->findings - all->count));
	if (r->state_name != NULL)
		printf("State %s%s: %llu mappings on %llu pages, %llu blocks "
		       "in use in %llu slabs.\n",
		       r->state_name,
		       r->replayed ? ", looked at as recovered" : "",
		       (unsigned long long)r->mappings,
		       (unsigned long long)r->pages,
		       (unsigned long long)r->blocks_used,
		       (unsigned long long)r->slabs);
	if (r->data_blocks > 0)
		printf("Read %llu blocks of data, decompressed %llu "
		       "fragments.\n",
		       (unsigned long long)r->data_blocks,
		       (unsigned long long)r->fragments);
	if (r->records_good + r->records_stale > 0)
		printf("Of the records of the index, %llu lead to the data "
		       "that they name, %llu to others.\n",
		       (unsigned long long)r->records_good,
		       (unsigned long long)r->records_stale);
	if (!is_replayable(r))
		printf("The journal cannot be replayed: vdoctl rebuild --force "
		       "makes the volume usable.\n");
	if (r->findings == 0)
		printf("Nothing is wrong.\n");
	else
		printf("Findings: %llu; to be mended: %llu without a loss, "
		       "%llu "
		       "with one.\n",
		       (unsigned long long)r->findings,
		       (unsigned long long)r->mendable,
		       (unsigned long long)r->losing);
}

/*
 * Jobs
 */

/* Run a check to its end; CHECK_CLEAN, or why it has no result. */
static int run(const struct arguments *a, unsigned flags, const char *undo,
	       struct findings *all, struct vdo_check_report *report)
{
	struct vdo_error error;
	struct vdo_job *job;
	int code = CHECK_CLEAN;

	if (vdo_check(a->path, a->config, flags, undo, take, all, &job,
		      &error) != 0) {
		(void)complain_vdo(a->path, &error);
		return CHECK_FAILED;
	}
	if (job_finish(job, &error) != 0 ||
	    vdo_check_report_get(job, report, sizeof(*report)) != 0) {
		(void)complain_vdo(a->path, &error);
		code = interrupted() ? CHECK_INTERRUPTED : CHECK_FAILED;
	}
	vdo_job_free(job);
	if (code == CHECK_CLEAN && all->lost)
		complain("out of memory: not all findings are shown");
	return code;
}

static bool ask(uint64_t losing)
{
	complain("%llu findings can be mended only by giving up what they lead "
		 "to",
		 (unsigned long long)losing);
	return confirm("Do it?");
}

/* Where the undo file goes, to be freed; NULL after a complaint. */
static char *undo_path(const struct arguments *a)
{
	static const char suffix[] = ".undo";
	struct stat st;
	char *path;

	if (a->undo != NULL)
		return strdup(a->undo);
	if (stat(a->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		complain("%s is no file: say with --undo where the undo file "
			 "shall be",
			 a->path);
		return NULL;
	}
	path = malloc(strlen(a->path) + sizeof(suffix));
	if (path != NULL) {
		strcpy(path, a->path);
		strcat(path, suffix);
	}
	return path;
}

static int repair(const struct arguments *a, unsigned flags,
		  const struct vdo_check_report *found,
		  struct vdo_check_report *mended,
		  struct vdo_check_report *left)
{
	struct findings ignored = {0};
	char *undo;
	int code;

	flags |= VDO_CHECK_REPAIR;
	if (found->losing > 0 && (a->yes || ask(found->losing)))
		flags |= VDO_CHECK_LOSE;
	if (found->mendable == 0 && (flags & VDO_CHECK_LOSE) == 0)
		return CHECK_LEFT;
	undo = undo_path(a);
	if (undo == NULL)
		return CHECK_FAILED;
	code = run(a, flags, undo, &ignored, mended);
	free(ignored.list);
	if (code == CHECK_CLEAN && mended->blocks_changed > 0)
		fprintf(stderr, "%s: %s has what was there before\n",
			program_name, undo);
	free(undo);
	if (code != CHECK_CLEAN)
		return code;
	ignored = (struct findings){0};
	code = run(a, flags & (VDO_CHECK_DATA | VDO_CHECK_NO_INDEX), NULL,
		   &ignored, left);
	free(ignored.list);
	if (code != CHECK_CLEAN)
		return code;
	return left->findings > 0 ? CHECK_LEFT : CHECK_MENDED;
}

static int check(const struct arguments *a)
{
	unsigned flags = (a->data ? VDO_CHECK_DATA : 0) |
			 (a->no_index ? VDO_CHECK_NO_INDEX : 0);
	struct vdo_check_report found = {0}, mended = {0}, left;
	struct findings all = {0};
	int code = run(a, flags, NULL, &all, &found);

	left = found;
	if (code != CHECK_CLEAN) {
		free(all.list);
		return code;
	}
	if (!a->json)
		sums(&found, &all);
	if (found.findings > 0)
		code = a->repair ? repair(a, flags, &found, &mended, &left)
				 : CHECK_LEFT;
	if (a->json)
		report_json(&found, &mended, &left, &all);
	else if (code == CHECK_MENDED)
		printf("All is mended.\n");
	else if (code == CHECK_LEFT && a->repair)
		printf("Not mended: %llu.\n",
		       (unsigned long long)left.findings);
	free(all.list);
	return code;
}

static int undo(const struct arguments *a)
{
	struct vdo_error error;
	uint64_t blocks;

	if (vdo_check_undo(a->path, a->config, a->undo_from, &blocks, &error) !=
	    0) {
		(void)complain_vdo(a->path, &error);
		return CHECK_FAILED;
	}
	printf("Put back %llu blocks.\n", (unsigned long long)blocks);
	return CHECK_CLEAN;
}

static bool arguments_agree(const struct arguments *a)
{
	if (a->undo_from != NULL && (a->repair || a->data || a->undo != NULL))
		complain("--undo-from goes with nothing else");
	else if (!a->repair && (a->yes || a->undo != NULL))
		complain("--yes and --undo are for --repair");
	else
		return true;
	(void)try_help();
	return false;
}

int command_check(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "jRdnyuf", check_help)) {
		code = a.code == EXIT_OK      ? CHECK_CLEAN
		       : a.code == EXIT_USAGE ? CHECK_USAGE
					      : CHECK_FAILED;
	} else if (!arguments_agree(&a)) {
		code = CHECK_USAGE;
	} else {
		catch_interrupts();
		code = a.undo_from != NULL ? undo(&a) : check(&a);
	}
	arguments_free(&a);
	return code;
}
