/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl: make volumes and look into them. See vdoctl(1).
 */
#include "vdoctl.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../storage.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"format", command_format, "make a new, empty volume"},
	{"estimate", command_estimate, "tell what memory and storage one takes"},
	{"info", command_info, "show what the first blocks of a volume say"},
	{"check", command_check, "look over a volume, and mend it"},
	{"index", command_index, "look at, verify or rebuild the index"},
	{"grow", command_grow, "make a volume larger"},
	{"read-only", command_read_only, "have nobody write to a volume"},
	{"rebuild", command_rebuild, "make a volume that is read-only writable"},
	{"trim", command_trim, "give free blocks back to the storage"},
	{"sub", command_sub, "volumes in a volume, their snapshots and clones"},
	{"savings", command_savings, "show what a volume saves, and why not more"},
	{"stats", command_stats, "show the statistics of a volume"},
	{"map", command_map, "show what of a volume is mapped"},
	{"write", command_write, "copy standard input into a volume"},
	{"read", command_read, "copy a part of a volume to standard output"},
	{"discard", command_discard, "forget a part of a volume"},
	{"options", command_options, "list the options that -o takes"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(void)
{
	printf("Usage: vdoctl COMMAND [ARGUMENT]...\n"
	       "Make volumes in the format of Linux's dm-vdo and look into "
	       "them.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-9s %s\n", commands[i].name, commands[i].summary);
	printf("\n'vdoctl COMMAND --help' shows the arguments of a command.\n"
	       "See vdoctl(1) and vdo-options(7).\n");
}

static const struct option argument_table[] = {
	{"offset", required_argument, NULL, 'o' + 256},
	{"length", required_argument, NULL, 'l' + 256},
	{"size", required_argument, NULL, 'z' + 256},
	{"logical-size", required_argument, NULL, 'L' + 256},
	{"json", no_argument, NULL, 'j' + 256},
	{"svg", no_argument, NULL, 's' + 256},
	{"unlocked", no_argument, NULL, 'U' + 256},
	{"exact", no_argument, NULL, 'x' + 256},
	{"repair", no_argument, NULL, 'R' + 256},
	{"data", no_argument, NULL, 'd' + 256},
	{"no-index", no_argument, NULL, 'n' + 256},
	{"yes", no_argument, NULL, 'y' + 256},
	{"force", no_argument, NULL, 'F' + 256},
	{"undo", required_argument, NULL, 'u' + 256},
	{"undo-from", required_argument, NULL, 'f' + 256},
	{"why", no_argument, NULL, 'w' + 256},
	{"everywhere", no_argument, NULL, 'e' + 256},
	{"html", required_argument, NULL, 'H' + 256},
	{"table", required_argument, NULL, 't' + 256},
	{"sub", required_argument, NULL, 'S' + 256},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0}};

/* An option without an argument. */
static void set_switch(struct arguments *a, int letter)
{
	a->unlocked |= letter == 'U';
	a->exact |= letter == 'x';
	a->json |= letter == 'j';
	a->svg |= letter == 's';
	a->repair |= letter == 'R';
	a->data |= letter == 'd';
	a->no_index |= letter == 'n';
	a->yes |= letter == 'y';
	a->force |= letter == 'F';
	a->why |= letter == 'w';
	a->everywhere |= letter == 'e';
}

/* A long option; @letter is that of arguments_parse(). */
static bool take_long(struct arguments *a, int letter, const char *accept,
		      const char *name)
{
	if (strchr(accept, letter) == NULL) {
		complain("there is no --%s here", name);
		return false;
	}
	switch (letter) {
	case 'o':
		a->has_offset = true;
		return parse_size_option("--offset", optarg, &a->offset);
	case 'l':
		a->has_length = true;
		return parse_size_option("--length", optarg, &a->length);
	case 'z':
		a->has_size = true;
		return parse_size_option("--size", optarg, &a->size);
	case 'L':
		a->has_logical_size = true;
		return parse_size_option("--logical-size", optarg,
					 &a->logical_size);
	case 'u':
		a->undo = optarg;
		return true;
	case 'H':
		a->html = optarg;
		return true;
	case 'f':
		a->undo_from = optarg;
		return true;
	case 't':
		a->table = optarg;
		return true;
	case 'S':
		a->sub = optarg;
		return true;
	default:
		set_switch(a, letter);
		return true;
	}
}

/* EXIT_USAGE, EXIT_OK after the help, or -1: go on. */
static int take_options(struct arguments *a, int argc, char **argv,
			const char *accept, const char *help_text)
{
	int c, i = 0;

	while ((c = next_option(argc, argv, ":ho:vU", argument_table, &i)) != -1) {
		bool good = false;

		if (c == 'h') {
			fputs(help_text, stdout);
			return EXIT_OK;
		}
		if (c == 'v') {
			a->verbose = good = true;
			config_log(a->config);
		} else if (c == 'o')
			good = config_assign(a->config, optarg);
		else if (c == 'U')
			good = take_long(a, 'U', accept, "unlocked");
		else if (c > 256)
			good = take_long(a, c - 256, accept,
					 argument_table[i].name);
		if (!good)
			return try_help();
	}
	if (optind == argc) {
		complain("which FILE?");
		return try_help();
	}
	a->path = argv[optind];
	a->operands = argv + optind + 1;
	a->operand_count = argc - optind - 1;
	if (a->operand_count > 0 && strchr(accept, 'm') == NULL) {
		complain("more than one FILE");
		return try_help();
	}
	return outputs_are_apart(a->path) ? -1 : EXIT_FAILED;
}

bool arguments_parse(struct arguments *a, int argc, char **argv,
		     const char *accept, const char *help_text)
{
	memset(a, 0, sizeof(*a));
	a->code = EXIT_FAILED;
	if (vdo_config_new(&a->config) != 0) {
		complain("out of memory");
		return false;
	}
	if (strchr(accept, 'r') != NULL &&
	    !config_set(a->config, "read-only", "on"))
		return false;
	a->code = take_options(a, argc, argv, accept, help_text);
	return a->code < 0;
}

bool confirm(const char *question)
{
	char answer[16];

	fflush(stdout);
	fprintf(stderr, "%s: %s [y/N] ", program_name, question);
	if (!wait_to_read(STDIN_FILENO) ||
	    fgets(answer, sizeof(answer), stdin) == NULL) {
		putc('\n', stderr);
		return false;
	}
	return answer[0] == 'y' || answer[0] == 'Y';
}

int give_up(void)
{
	complain("nothing was changed; --yes does it without asking");
	return EXIT_FAILED;
}

char *time_text(char *buffer, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(buffer, TIME_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(buffer, TIME_TEXT, "%lld s", (long long)seconds);
	return buffer;
}

void catch_if_writing(const struct vdo_config *config)
{
	if (strcmp(vdo_config_get(config, "read-only"), "on") != 0)
		catch_interrupts();
}

void arguments_free(struct arguments *a)
{
	vdo_config_free(a->config);
}

/* Output that cannot be written (disk full) is a failure, too. */
static int end(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	complain("cannot write to standard output");
	return EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static char name[32];

	process_begin();
	program_name = "vdoctl";
	if (argc < 2) {
		complain("which command?");
		return try_help();
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help();
		return end(EXIT_OK);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("vdoctl %s\n", vdo_version());
		return end(EXIT_OK);
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "vdoctl %s", argv[1]);
		program_name = name;
		argv[1] = name; /* for the messages of getopt */
		return end(commands[i].run(argc - 1, argv + 1));
	}
	complain("there is no command \"%s\"", argv[1]);
	return try_help();
}
