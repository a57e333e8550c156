/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoplay: play plans of writes through the library, and compare volumes with
 * manifests; the plans are invented here, too.
 *
 * Plans (plan.h) and manifests (check.c) are those of blockplay, which does the
 * same on block devices, and makes the manifests.
 */
#include "build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernel/lossy.h"
#include "tests/kernel/vdoplay.h"

static const char usage[] =
	"Usage: vdoplay play PLAN VOLUME [OPTION]... [NAME=VALUE]...\n"
	"       vdoplay check MANIFEST VOLUME [OPTION]... [NAME=VALUE]...\n"
	"       vdoplay plan SEED OPERATIONS BLOCKS [--parts]\n"
	"\n"
	"NAME=VALUE are options of the library.\n"
	"  --from N, --to N  play only these operations\n"
	"  --window N        requests at the same time (64)\n"
	"  --tag TEXT        print it before \"reached N\" and \"flushed N\"\n"
	"  --quiet           print neither \"reached N\" nor \"flushed N\"\n"
	"  --copy            what a plan wrote before is copied from there\n"
	"  --print NAME      this statistic, before the volume is closed\n"
	"  --sub NAME        in this sub-volume\n"
	"  --abandon         do not close the volume in the end\n"
	"  --lossy SEED      on a disk with a volatile cache, whose power\n"
	"  --writes N        fails with the Nth write (exit code 99)\n"
	"  --gaps            blocks in no line must be zero\n"
	"  --near            the same, for those at most 8 from one in a line\n"
	"  --verbose         print the messages of the library\n";

struct command {
	struct vdo_config *config;
	struct play_options play;
	struct check_options check;
	struct lossy_config lossy;
	bool is_lossy, abandon;
	const char *print; /* a statistic, or NULL */
	const char *sub;   /* a sub-volume, or NULL */
};

static void print_message(void *arg, enum vdo_log_level level,
			  const char *message)
{
	fprintf(stderr, "%s\n", message);
}

static void set_option(struct command *c, const char *text)
{
	const char *equal = strchr(text, '=');
	struct vdo_error error;
	char name[64];

	if (equal == NULL || (size_t)(equal - text) >= sizeof(name))
		die("not an option: %s", text);
	snprintf(name, sizeof(name), "%.*s", (int)(equal - text), text);
	if (vdo_config_set(c->config, name, equal + 1, &error) != 0)
		die("%s", error.message);
}

static void parse_flag(struct command *c, const char *name)
{
	if (strcmp(name, "--quiet") == 0)
		c->play.quiet = true;
	else if (strcmp(name, "--copy") == 0)
		c->play.copy = true;
	else if (strcmp(name, "--abandon") == 0)
		c->abandon = true;
	else if (strcmp(name, "--gaps") == 0)
		c->check.gaps = true;
	else if (strcmp(name, "--near") == 0)
		c->check.near = true;
	else if (strcmp(name, "--verbose") == 0)
		vdo_config_set_log(c->config, print_message, NULL);
	else
		set_option(c, name);
}

/* An option with a value behind it; false: it is none. */
static bool parse_pair(struct command *c, const char *name, const char *value)
{
	if (strcmp(name, "--tag") == 0) {
		c->play.tag = value;
		return true;
	}
	if (strcmp(name, "--from") == 0) {
		c->play.from = number_parse(value);
	} else if (strcmp(name, "--to") == 0) {
		c->play.to = number_parse(value);
	} else if (strcmp(name, "--window") == 0) {
		c->play.window = (unsigned)number_parse(value);
	} else if (strcmp(name, "--writes") == 0) {
		c->lossy.writes = number_parse(value);
	} else if (strcmp(name, "--print") == 0) {
		c->print = value;
	} else if (strcmp(name, "--sub") == 0) {
		c->sub = value;
	} else if (strcmp(name, "--lossy") == 0) {
		c->lossy.seed = number_parse(value);
		c->is_lossy = true;
	} else {
		return false;
	}
	return true;
}

static void parse(struct command *c, int argc, char **argv)
{
	int i;

	memset(c, 0, sizeof(*c));
	c->play.from = 1;
	c->play.to = UINT64_MAX;
	c->play.window = 64;
	if (vdo_config_new(&c->config) != 0)
		die("out of memory");
	for (i = 0; i < argc; i++) {
		if (i + 1 < argc && parse_pair(c, argv[i], argv[i + 1]))
			i++;
		else
			parse_flag(c, argv[i]);
	}
	if (c->play.from == 0 || c->play.window == 0 ||
	    c->play.window > WINDOW_MAX)
		die("--from or --window is out of range");
}

static struct vdo_volume *open_volume(const char *path, struct command *c,
				      struct vdo_device **device)
{
	struct vdo_volume *volume;
	struct vdo_error error;
	int result;

	*device = NULL;
	if (!c->is_lossy) {
		result = vdo_open(path, c->config, &volume, &error);
	} else {
		result = lossy_open(path, &c->lossy, device);
		if (result != 0)
			die("%s: %s", path, vdo_strerror(result));
		result = vdo_open_device(*device, c->config, &volume, &error);
	}
	if (result != 0)
		die("%s: %s: %s", path, vdo_error_name(result), error.message);
	return volume;
}

static void print_statistic(struct vdo_volume *volume, const char *name)
{
	struct vdo_stats *stats;

	if (vdo_stats_get(volume, &stats) != 0)
		die("out of memory");
	printf("%s %" PRIu64 "\n", name, vdo_stats_value(stats, name));
	vdo_stats_free(stats);
}

/* What is played on: the volume, or a sub-volume of it. */
static struct vdo_volume *open_part(struct vdo_volume *volume,
				    const struct command *c)
{
	struct vdo_volume *part;
	struct vdo_error error;
	int result;

	if (c->sub == NULL)
		return volume;
	result = vdo_sub_open(volume, c->sub, 0, &part, &error);
	if (result != 0)
		die("%s: %s: %s", c->sub, vdo_error_name(result),
		    error.message);
	return part;
}

/* Do either; the exit code. */
static int run(const char *verb, const char *text, const char *path,
	       struct command *c)
{
	struct vdo_device *device;
	struct vdo_volume *volume = open_volume(path, c, &device);
	struct vdo_volume *part = open_part(volume, c);
	int result = 0, bad = 0;

	if (strcmp(verb, "play") == 0) {
		struct plan plan = plan_read(text);

		play(part, &plan, &c->play);
		plan_free(&plan);
	} else if (check(part, text, &c->check) != 0) {
		bad = 1;
	}
	if (c->print != NULL)
		print_statistic(volume, c->print);
	if (part != volume)
		(void)vdo_close(part);
	if (c->abandon)
		vdo_abandon(volume);
	else
		result = vdo_close(volume);
	if (result != 0)
		die("%s: close: %s", path, vdo_strerror(result));
	vdo_device_close(device);
	vdo_config_free(c->config);
	return bad;
}

int main(int argc, char **argv)
{
	struct plan_request request;
	struct command c;

	if (argc >= 5 && strcmp(argv[1], "plan") == 0) {
		request.seed = number_parse(argv[2]);
		request.operations = number_parse(argv[3]);
		request.blocks = number_parse(argv[4]);
		request.parts = argc > 5 && strcmp(argv[5], "--parts") == 0;
		plan_invent(&request);
		return 0;
	}
	if (argc < 4 || (strcmp(argv[1], "play") != 0 &&
			 strcmp(argv[1], "check") != 0)) {
		fputs(usage, stderr);
		return 2;
	}
	parse(&c, argc - 4, argv + 4);
	return run(argv[1], argv[2], argv[3], &c);
}
