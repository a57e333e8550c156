/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup-copy: a volume as an archive of files, trees and images. See
 * dedup-copy(1).
 */
#include "build.h"

#include "dedup-copy.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void help(void)
{
	printf("Usage: dedup-copy [OPTION]... SOURCE... VOLUME\n"
	       "       dedup-copy --list [OPTION]... VOLUME [NAME]...\n"
	       "       dedup-copy --snapshots [--json] VOLUME\n"
	       "       dedup-copy --extract [OPTION]... VOLUME [NAME]... "
	       "DIRECTORY\n"
	       "       dedup-copy --remove N[,N]... [OPTION]... VOLUME\n"
	       "       dedup-copy --prune --keep-... N [OPTION]... VOLUME\n"
	       "       dedup-copy --image [OPTION]... IMAGE VOLUME\n"
	       "       dedup-copy --image --extract [OPTION]... VOLUME IMAGE\n"
	       "Copy files, trees and images into a volume that stores equal "
	       "blocks once, and back.\n\n");
	printf("  --dry-run            only say what would be done\n"
	       "  --verify             read back and compare\n"
	       "  --force              overwrite what is there\n"
	       "  --exclude PATTERN    leave out what matches, such as '*.o'\n"
	       "  --files-from FILE    read more names from FILE, - is standard "
	       "input\n"
	       "  -0, --null           they end with NUL, not with newline\n"
	       "  --no-recursion       directories without what is in them\n"
	       "  --snapshot N         list or extract snapshot N only\n"
	       "  --time TIME          of the snapshot, '2026-11-22 10:00:00'\n"
	       "  --keep-last N        keep the last N snapshots\n"
	       "  --keep-daily N       and the last one of each of N days\n"
	       "  --keep-weekly N, --keep-monthly N, --keep-yearly N\n"
	       "                       the same with weeks, months, years\n"
	       "  --json               report as JSON\n"
	       "  -v, --verbose        print names; twice: the log of the "
	       "library, too\n"
	       "  --progress, --no-progress\n"
	       "                       show a bar (default: on a terminal)\n");
	printf("  --size SIZE          of a new volume file: 64M, 1.5GiB, ...\n"
	       "  --logical-size SIZE  bytes that a new volume can address\n"
	       "  --profile NAME       of a new volume: auto, kernel, small\n"
	       "  -o NAME=VALUE        option of the library, see "
	       "vdo-options(7)\n"
	       "  -h, --help, --version\n\n"
	       "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but not "
	       "with everything;\n"
	       "130 interrupted.\n");
}

enum {
	OPT_LIST = 256,
	OPT_EXTRACT,
	OPT_IMAGE,
	OPT_DRY_RUN,
	OPT_VERIFY,
	OPT_FORCE,
	OPT_JSON,
	OPT_PROGRESS,
	OPT_NO_PROGRESS,
	OPT_SNAPSHOT,
	OPT_SIZE,
	OPT_LOGICAL_SIZE,
	OPT_PROFILE,
	OPT_VERSION,
	OPT_SNAPSHOTS,
	OPT_EXCLUDE,
	OPT_FILES_FROM,
	OPT_NO_RECURSION,
	OPT_REMOVE,
	OPT_PRUNE,
	OPT_TIME,
	OPT_KEEP, /* and KEEP_RULES of them */
};

static const struct option table[] = {
	{"list", no_argument, NULL, OPT_LIST},
	{"extract", no_argument, NULL, OPT_EXTRACT},
	{"image", no_argument, NULL, OPT_IMAGE},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"verify", no_argument, NULL, OPT_VERIFY},
	{"force", no_argument, NULL, OPT_FORCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"progress", no_argument, NULL, OPT_PROGRESS},
	{"no-progress", no_argument, NULL, OPT_NO_PROGRESS},
	{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
	{"size", required_argument, NULL, OPT_SIZE},
	{"logical-size", required_argument, NULL, OPT_LOGICAL_SIZE},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"snapshots", no_argument, NULL, OPT_SNAPSHOTS},
	{"exclude", required_argument, NULL, OPT_EXCLUDE},
	{"files-from", required_argument, NULL, OPT_FILES_FROM},
	{"null", no_argument, NULL, '0'},
	{"no-recursion", no_argument, NULL, OPT_NO_RECURSION},
	{"remove", required_argument, NULL, OPT_REMOVE},
	{"prune", no_argument, NULL, OPT_PRUNE},
	{"keep-last", required_argument, NULL, OPT_KEEP + KEEP_LAST},
	{"keep-daily", required_argument, NULL, OPT_KEEP + KEEP_DAILY},
	{"keep-weekly", required_argument, NULL, OPT_KEEP + KEEP_WEEKLY},
	{"keep-monthly", required_argument, NULL, OPT_KEEP + KEEP_MONTHLY},
	{"keep-yearly", required_argument, NULL, OPT_KEEP + KEEP_YEARLY},
	{"time", required_argument, NULL, OPT_TIME},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0}};

/* A number from 1 on; up to *@text, or up to a comma if @more may come. */
static bool parse_number(const char *option, const char **text, bool more,
			 uint32_t *number)
{
	char *end;
	unsigned long n = strtoul(*text, &end, 10);

	if (**text < '0' || **text > '9' || n == 0 || n > UINT32_MAX ||
	    (*end != '\0' && !(more && *end == ','))) {
		complain("--%s: \"%s\" is not a number from 1 on", option,
			 *text);
		return false;
	}
	*number = (uint32_t)n;
	*text = end;
	return true;
}

/* "3" or "3,5,7" */
static bool parse_removed(struct arguments *a, const char *text)
{
	do {
		uint32_t *all = realloc(a->removed,
					(a->removed_count + 1) * sizeof(*all));

		if (all == NULL)
			return false;
		a->removed = all;
		if (!parse_number("remove", &text, true,
				  &all[a->removed_count++]))
			return false;
	} while (*text++ == ',');
	return true;
}

/* As --snapshots shows it. */
static bool parse_time(struct arguments *a, const char *text)
{
	struct tm tm = {.tm_isdst = -1};
	const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);

	if (end == NULL || *end != '\0') {
		complain("--time: \"%s\" is not like 2026-11-22 10:00:00",
			 text);
		return false;
	}
	a->time = (int64_t)mktime(&tm);
	return true;
}

/* "auto" is as if nothing had been said. */
static const char *unless_auto(const char *value)
{
	return strcmp(value, "auto") == 0 ? NULL : value;
}

static bool add_exclude(struct arguments *a, const char *pattern)
{
	size_t length = strlen(pattern), n = a->exclude_count;
	struct exclude *e = realloc(a->excludes, (n + 1) * sizeof(*e));

	if (e == NULL)
		return false;
	a->excludes = e;
	e += n;
	e->directories_only = length > 1 && pattern[length - 1] == '/';
	e->pattern = strndup(pattern, length - e->directories_only);
	if (length == 0 || e->pattern == NULL) {
		complain("--exclude: an empty pattern matches nothing");
		free(e->pattern);
		return false;
	}
	a->exclude_count++;
	return true;
}

/* One option with a value. False: it was bad, and that was said. */
static bool take_value(struct arguments *a, int option, const char *value)
{
	switch (option) {
	case OPT_SNAPSHOT:
		return parse_number("snapshot", &value, false, &a->snapshot);
	case OPT_REMOVE:
		a->mode = MODE_REMOVE;
		return parse_removed(a, value);
	case OPT_TIME:
		return parse_time(a, value);
	case OPT_KEEP + KEEP_LAST:
	case OPT_KEEP + KEEP_DAILY:
	case OPT_KEEP + KEEP_WEEKLY:
	case OPT_KEEP + KEEP_MONTHLY:
	case OPT_KEEP + KEEP_YEARLY:
		return parse_number("keep-...", &value, false,
				    &a->keep[option - OPT_KEEP]);
	case OPT_EXCLUDE:
		return add_exclude(a, value);
	case OPT_FILES_FROM:
		a->files_from = value;
		return true;
	case OPT_SIZE:
		a->size = unless_auto(value);
		return config_set(a->config, "size", value);
	case OPT_LOGICAL_SIZE:
		a->logical_size = unless_auto(value);
		return config_set(a->config, "logical-size", value);
	case OPT_PROFILE:
		return config_set(a->config, "profile", value);
	case 'o':
		if (strncmp(value, "size=", 5) == 0)
			a->size = unless_auto(value + 5);
		if (strncmp(value, "logical-size=", 13) == 0)
			a->logical_size = unless_auto(value + 13);
		return config_assign(a->config, value);
	default:
		return false; /* next_option() has complained */
	}
}

static bool take_option(struct arguments *a, int option, const char *value)
{
	switch (option) {
	case OPT_LIST:
		a->mode = MODE_LIST;
		return true;
	case OPT_SNAPSHOTS:
		a->mode = MODE_LIST;
		a->snapshots = true;
		return true;
	case OPT_PRUNE:
		a->mode = MODE_PRUNE;
		return true;
	case OPT_NO_RECURSION:
		a->no_recursion = true;
		return true;
	case '0':
		a->nul = true;
		return true;
	case 'v':
		if (++a->verbose == 2)
			config_log(a->config);
		return true;
	case OPT_EXTRACT:
		a->mode = MODE_EXTRACT;
		return true;
	case OPT_IMAGE:
		a->image = true;
		return true;
	case OPT_DRY_RUN:
		a->dry_run = true;
		return true;
	case OPT_VERIFY:
		a->verify = true;
		return true;
	case OPT_FORCE:
		a->force = true;
		return true;
	case OPT_JSON:
		a->json = true;
		return true;
	case OPT_PROGRESS:
		a->progress = 1;
		return true;
	case OPT_NO_PROGRESS:
		a->progress = 0;
		return true;
	default:
		return take_value(a, option, value);
	}
}

static bool has_rules(const struct arguments *a)
{
	for (unsigned i = 0; i < KEEP_RULES; i++)
		if (a->keep[i] > 0)
			return true;
	return false;
}

/* What does not go together, or NULL. */
static const char *contradiction(const struct arguments *a)
{
	bool selects = a->exclude_count > 0 || a->files_from != NULL ||
		       a->no_recursion;
	bool removes = a->mode == MODE_REMOVE || a->mode == MODE_PRUNE;

	if (removes && (a->image || selects || a->snapshot != 0 || a->force))
		return "--remove and --prune take whole snapshots";
	if (a->mode == MODE_PRUNE && !has_rules(a))
		return "--prune takes --keep-last, --keep-daily, "
		       "--keep-weekly, "
		       "--keep-monthly or --keep-yearly";
	if (a->mode != MODE_PRUNE && has_rules(a))
		return "--keep-... goes with --prune";
	if ((a->mode != MODE_STORE || a->image) && a->time != NO_TIME)
		return "--time goes with storing only";
	if (a->mode == MODE_LIST && a->image)
		return "an image has nothing to list";
	if (a->mode != MODE_STORE && (a->dry_run || a->verify) && !removes)
		return "--dry-run and --verify go with storing only";
	if (removes && a->verify)
		return "--verify goes with storing only";
	if (a->mode == MODE_STORE && a->snapshot != 0)
		return "--snapshot goes with --list and --extract";
	if (a->mode != MODE_STORE && a->no_recursion)
		return "--no-recursion goes with storing only";
	if (a->image && (selects || a->snapshot != 0))
		return "an image is one thing: there is nothing to choose";
	if (a->snapshots && (selects || a->snapshot != 0))
		return "--snapshots shows all of them; --list takes names";
	if (a->nul && a->files_from == NULL)
		return "-0 goes with --files-from";
	return NULL;
}

/* Sources and volume, in the order that the mode wants. */
static bool take_names(struct arguments *a, int count, char **names)
{
	bool removes = a->mode == MODE_REMOVE || a->mode == MODE_PRUNE;
	int least =
		a->mode == MODE_LIST || removes ||
				(a->mode == MODE_STORE && a->files_from != NULL)
			? 1
			: 2;
	int most = a->snapshots || removes ? 1 : a->image ? 2 : count;
	const char *why = contradiction(a);

	if (why != NULL) {
		complain("%s", why);
		return false;
	}
	if (count < least || count > most) {
		complain(count < least ? "arguments are missing"
				       : "too many arguments");
		return false;
	}
	if (a->mode == MODE_STORE) {
		a->volume = names[count - 1];
		a->names = names;
		a->name_count = count - 1;
		return true;
	}
	a->volume = names[0];
	a->names = names + 1;
	a->name_count = count - 1;
	if (a->mode == MODE_EXTRACT)
		a->directory = names[a->name_count--];
	return true;
}

static int run_mode(struct arguments *a)
{
	struct run run = {.arguments = a};
	int r = 0;

	if (!outputs_are_apart(a->volume))
		return EXIT_FAILED;
	if (a->files_from != NULL)
		r = names_read(&a->listed, a->files_from, a->nul);
	if (r != 0)
		return run_end(&run, "read names", r);
	if (a->mode == MODE_LIST)
		return list_run(&run); /* read-only: signals do no harm */
	catch_interrupts();
	if (a->mode == MODE_REMOVE || a->mode == MODE_PRUNE)
		return prune_run(&run);
	if (a->mode == MODE_EXTRACT)
		return a->image ? image_extract(&run) : extract_run(&run);
	return a->image ? image_store(&run) : store_run(&run);
}

/* Exit code, or -1: go on. */
static int parse(struct arguments *a, int argc, char **argv)
{
	int option;

	while ((option = next_option(argc, argv, ":o:hv0", table, NULL)) !=
	       -1) {
		if (option == 'h') {
			help();
			return EXIT_OK;
		}
		if (option == OPT_VERSION) {
			printf("dedup-copy (libvdo) %s\n", vdo_version());
			return EXIT_OK;
		}
		if (!take_option(a, option, optarg))
			return try_help();
	}
	if (!take_names(a, argc - optind, argv + optind))
		return try_help();
	a->polled =
		strcmp(vdo_config_get(a->config, "executor"), "inline") == 0;
	return -1;
}

int main(int argc, char **argv)
{
	struct arguments a = {.progress = -1, .time = NO_TIME};
	int status;

	process_begin();
	program_name = "dedup-copy";
	if (vdo_config_new(&a.config) != 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	status = parse(&a, argc, argv);
	if (status < 0)
		status = run_mode(&a);
	vdo_config_free(a.config);
	names_fini(&a.listed);
	for (size_t i = 0; i < a.exclude_count; i++)
		free(a.excludes[i].pattern);
	free(a.excludes);
	free(a.removed);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("standard output: cannot write");
		status = EXIT_FAILED;
	}
	return status;
}
