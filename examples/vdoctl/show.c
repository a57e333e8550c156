/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl info, stats and options: what is printed from tables, for people or
 * as JSON.
 */
#include "vdoctl.h"

#include <string.h>

/*
 * info
 */

static const char info_help[] =
	"Usage: vdoctl info FILE [-U] [--json]\n"
	"Show what the first blocks of a volume say, and about how full it is. The\n"
	"volume is not opened: its state does not matter, and nothing is changed.\n\n"
	"  -U, --unlocked  also if somebody has it open; then it is out of date\n"
	"  --json          for programs\n"
	"  -h, --help      this text\n";

enum kind {
	SECTION,
	NUMBER32,
	NUMBER,
	SIGNED,
	BLOCKS, /* people see bytes as well */
	FLAG,
	TEXT,
	UUID,
	MEMORY,
};

static const struct {
	enum kind kind;
	const char *name, *label;
	size_t offset;
} fields[] = {
#define F(kind, field, label)                                                  \
	{kind, #field, label, offsetof(struct vdo_info, field)}
	{SECTION, "geometry", "Geometry", 0},
	F(NUMBER32, geometry_major, "format, major"),
	F(NUMBER32, geometry_minor, "format, minor"),
	F(UUID, uuid, "UUID"),
	F(NUMBER, nonce, "nonce"),
	F(SIGNED, bio_offset, "bio offset"),
	F(NUMBER, index_start, "index starts at block"),
	F(NUMBER, data_start, "data starts at block"),
	F(MEMORY, index_memory, "index memory"),
	F(FLAG, index_sparse, "sparse index"),
	{SECTION, "volume", "Volume", 0},
	F(TEXT, state_name, "state"),
	F(NUMBER, complete_recoveries, "recoveries"),
	F(NUMBER, read_only_recoveries, "read-only recoveries"),
	F(BLOCKS, logical_blocks, "logical size"),
	F(BLOCKS, physical_blocks, "physical size"),
	F(NUMBER, logical_blocks_used, "logical blocks used"),
	F(NUMBER, block_map_data_blocks, "block map pages"),
	F(NUMBER, root_origin, "block map roots at block"),
	F(NUMBER, root_count, "block map roots"),
	{SECTION, "slabs", "Slabs", 0},
	F(BLOCKS, slab_blocks, "slab size"),
	F(NUMBER, slab_count, "slabs"),
	F(NUMBER, slab_data_blocks, "data blocks"),
	F(NUMBER, slab_journal_blocks, "journal blocks"),
	F(NUMBER, reference_count_blocks, "reference count blocks"),
	F(NUMBER32, zone_count, "physical zones"),
	{SECTION, "journal", "Recovery journal", 0},
	F(BLOCKS, recovery_journal_blocks, "size"),
	F(NUMBER, journal_start, "sequence number"),
	{SECTION, "partitions", "Partitions", 0},
	F(NUMBER, block_map_start, "block map, first block"),
	F(NUMBER, block_map_count, "block map, blocks"),
	F(NUMBER, depot_start, "slabs, first block"),
	F(NUMBER, depot_count, "slabs, blocks"),
	F(NUMBER, journal_partition_start, "journal, first block"),
	F(NUMBER, journal_partition_count, "journal, blocks"),
	F(NUMBER, summary_start, "slab summary, first block"),
	F(NUMBER, summary_count, "slab summary, blocks"),
#undef F
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static char *uuid_text(char *buffer, const uint8_t *uuid)
{
	char *p = buffer;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += sprintf(p, "%02x", uuid[i]);
	}
	return buffer;
}

static uint64_t number_at(const void *field, enum kind kind)
{
	uint32_t narrow;
	uint64_t wide;

	if (kind == NUMBER32) {
		memcpy(&narrow, field, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, field, sizeof(wide));
	return wide;
}

/* What has happened, as far as the format can hold it, and what to do next; the
 * numbers are those of the format. */
static const char *state_means(uint32_t state)
{
	switch (state) {
	case 0:
	case 6:
		return "it is open or was not closed; the next opening "
		       "recovers it, and read-only=on shows it before that";
	case 1:
		return "nothing was ever written";
	case 2:
		return "it was closed, and can be opened";
	case 3:
		return "an error ended all writing, or 'vdoctl read-only' did; "
		       "it can be read: save what you need, look after the "
		       "storage, then 'vdoctl rebuild'";
	case 4:
		return "it is marked for a rebuild, or one did not end; it can "
		       "be read with read-only=on; 'vdoctl rebuild' makes it "
		       "writable";
	case 5:
		return "it was closed while counts were still brought up to "
		       "date after a recovery; the next opening goes on";
	case 7:
		return "an older version left it for a rebuild; 'vdoctl "
		       "rebuild' does it";
	default:
		return "no version of this library knows such a state";
	}
}

static void info_json(const struct vdo_info *info,
		      const struct vdo_usage *usage)
{
	struct json j = {.file = stdout};
	bool open = false;
	char text[64];

	json_begin(&j, NULL, '{');
	for (size_t i = 0; i < FIELDS; i++) {
		const char *name = fields[i].name;
		const void *p = (const char *)info + fields[i].offset;
		enum kind kind = fields[i].kind;

		switch (kind) {
		case SECTION:
			if (open)
				json_end(&j, '}');
			json_begin(&j, name, '{');
			open = true;
			break;
		case NUMBER32:
		case NUMBER:
		case BLOCKS:
			json_number(&j, name, number_at(p, kind));
			break;
		case SIGNED:
			json_signed(&j, name, *(const int64_t *)p);
			break;
		case MEMORY:
			json_signed(&j, name, *(const int32_t *)p);
			break;
		case FLAG:
			json_bool(&j, name, *(const bool *)p);
			break;
		case TEXT:
			json_string(&j, name, *(const char *const *)p);
			json_string(&j, "state_means",
				    state_means(info->state));
			break;
		case UUID:
			json_string(&j, name, uuid_text(text, p));
			break;
		}
	}
	json_end(&j, '}');
	if (usage != NULL)
		usage_json(&j, usage);
	json_end(&j, '}');
}

static void info_people(const struct vdo_info *info)
{
	char text[MEMORY_TEXT];

	for (size_t i = 0; i < FIELDS; i++) {
		const void *p = (const char *)info + fields[i].offset;
		enum kind kind = fields[i].kind;
		uint64_t n;

		if (kind == SECTION) {
			printf("%s%s\n", i == 0 ? "" : "\n", fields[i].label);
			continue;
		}
		printf("  %-26s ", fields[i].label);
		switch (kind) {
		case SECTION:
			break;
		case NUMBER32:
		case NUMBER:
			printf("%llu\n",
			       (unsigned long long)number_at(p, kind));
			break;
		case BLOCKS:
			n = number_at(p, kind);
			printf("%llu blocks, %s\n", (unsigned long long)n,
			       size_text(text, n * 4096));
			break;
		case SIGNED:
			printf("%lld\n", (long long)*(const int64_t *)p);
			break;
		case MEMORY:
			puts(memory_text(text, *(const int32_t *)p));
			break;
		case FLAG:
			puts(*(const bool *)p ? "yes" : "no");
			break;
		case TEXT:
			puts(*(const char *const *)p);
			printf("  %-26s %s\n", "which means",
			       state_means(info->state));
			break;
		case UUID:
			puts(uuid_text(text, p));
			break;
		}
	}
}

static int show_info(const struct arguments *a, struct vdo_device *device)
{
	struct vdo_error error;
	struct vdo_usage usage;
	struct vdo_info info;

	bool known;

	if (vdo_inspect_device(device, &info, sizeof(info), &error) != 0)
		return complain_vdo(a->path, &error);
	known = vdo_usage_inspect_device(device, &usage, sizeof(usage),
					 &error) == 0;
	if (a->unlocked)
		complain("-U: whoever has the volume open may have changed it "
			 "since this was written");
	if (a->json) {
		info_json(&info, known ? &usage : NULL);
	} else {
		info_people(&info);
		putchar('\n');
		if (known)
			usage_people(&usage);
	}
	return known ? EXIT_OK : complain_vdo(a->path, &error);
}

int command_info(int argc, char **argv)
{
	struct vdo_device *device = NULL;
	struct vdo_error error;
	struct arguments a;
	unsigned flags = VDO_OPEN_READ_ONLY;
	int code = EXIT_OK;

	if (!arguments_parse(&a, argc, argv, "jU", info_help)) {
		arguments_free(&a);
		return a.code;
	}
	if (a.unlocked)
		flags |= VDO_OPEN_UNLOCKED;
	if (vdo_device_open(a.path, flags, &device, &error) == 0) {
		code = show_info(&a, device);
	} else {
		code = complain_vdo(a.path, &error);
		if (error.code == -VDO_EINUSE)
			complain("-U looks at it all the same");
	}
	vdo_device_close(device);
	arguments_free(&a);
	return code;
}

/*
 * stats
 */

static const char stats_help[] =
	"Usage: vdoctl stats FILE [--exact] [--json] [-o NAME=VALUE]...\n"
	"Count what a volume uses and saves, open it read-only, and show its\n"
	"statistics.\n\n"
	"  --exact        also what is stored how, and how much each way saves:\n"
	"                 reads the block map\n"
	"  --json         for programs\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

/*
 * What the counts say of a statistic that has no value because the volume was
 * opened read-only; false: nothing.
 */
static bool known_by_usage(const char *name, const struct vdo_usage *u,
			   uint64_t *value)
{
	uint64_t used = u->overhead_blocks + u->block_map_blocks +
			u->data_blocks;

	if (u->level < VDO_USAGE_COUNTED)
		return false;
	if (strcmp(name, "dataBlocksUsed") == 0)
		*value = u->data_blocks;
	else if (strcmp(name, "path.usedBytes") == 0)
		*value = used * 4096;
	else if (strcmp(name, "path.availableBytes") == 0)
		*value = u->free_blocks * 4096;
	else if (strcmp(name, "path.savingPercent") == 0)
		*value = usage_saving_percent(u);
	else
		return false;
	return true;
}

static void stat_print(struct json *j, const struct vdo_stat *s,
		       const struct vdo_usage *usage, bool as_json)
{
	const char *label = s->label[0] != '\0' ? s->label : s->name;
	const char *text = s->text;
	uint64_t value = s->value;

	if (text != NULL && known_by_usage(s->name, usage, &value))
		text = NULL;
	if (as_json && text != NULL)
		json_string(j, s->name, text);
	else if (as_json)
		json_number(j, s->name, value);
	else if (text != NULL)
		printf("%-44s : %s\n", label, text);
	else
		printf("%-44s : %llu\n", label, (unsigned long long)value);
}

static void stats_print(const struct vdo_stats *stats,
			const struct vdo_usage *usage, bool as_json)
{
	struct json j = {.file = stdout};
	size_t count = vdo_stats_count(stats);

	if (as_json) {
		json_begin(&j, NULL, '{');
		usage_json(&j, usage);
	} else {
		usage_people(usage);
		printf("\nStatistics\n");
	}
	for (size_t i = 0; i < count; i++)
		stat_print(&j, vdo_stats_at(stats, i), usage, as_json);
	if (as_json)
		json_end(&j, '}');
}

static bool count_usage(const struct arguments *a, struct vdo_usage *usage)
{
	struct vdo_error error;
	struct vdo_job *job;
	bool good;

	good = vdo_usage_count(a->path, a->config, a->exact ? VDO_USAGE_MAP : 0,
			       &job, &error) == 0 &&
	       job_finish(job, &error) == 0 &&
	       vdo_usage_get(job, usage, sizeof(*usage)) == 0;
	if (!good)
		complain_vdo(a->path, &error);
	vdo_job_free(job);
	return good;
}

static int show_stats(const struct arguments *a)
{
	struct vdo_stats *stats = NULL;
	struct vdo_volume *volume;
	struct vdo_usage usage;
	struct vdo_error error;
	int r;

	catch_interrupts();
	if (!count_usage(a, &usage))
		return EXIT_FAILED;
	r = vdo_open(a->path, a->config, &volume, &error);
	if (r != 0)
		return complain_vdo(a->path, &error);
	r = vdo_stats_get(volume, &stats);
	if (r == 0)
		stats_print(stats, &usage, a->json);
	vdo_stats_free(stats);
	vdo_close(volume);
	if (r != 0)
		return complain_result(a->path, "take statistics", r);
	return EXIT_OK;
}

int command_stats(int argc, char **argv)
{
	struct arguments a;
	int code = EXIT_OK;

	if (!arguments_parse(&a, argc, argv, "jrx", stats_help))
		code = a.code;
	else
		code = show_stats(&a);
	arguments_free(&a);
	return code;
}

/*
 * options
 */

static const char options_help[] =
	"Usage: vdoctl options [--json]\n"
	"List the options of the library, which -o NAME=VALUE sets.\n\n"
	"  --json      for programs\n"
	"  -h, --help  this text\n";

static const char *const when_words[] = {"format", "open", "online",
					   "pause"};
static const char *const type_words[] = {"bool", "number", "size", "choice",
					 "string"};

static void options_print(bool as_json)
{
	struct json j = {.file = stdout};
	const struct vdo_option *o;

	if (as_json)
		json_begin(&j, NULL, '[');
	for (size_t i = 0; (o = vdo_config_describe(i)) != NULL; i++) {
		if (!as_json) {
			printf("%s=%s\n    %s\n    (%s) %s\n", o->name,
			       o->default_value, o->help, when_words[o->when],
			       o->range);
			continue;
		}
		json_begin(&j, NULL, '{');
		json_string(&j, "name", o->name);
		json_string(&j, "type", type_words[o->type]);
		json_string(&j, "when", when_words[o->when]);
		json_string(&j, "default", o->default_value);
		json_string(&j, "range", o->range);
		json_string(&j, "help", o->help);
		json_end(&j, '}');
	}
	if (as_json)
		json_end(&j, ']');
}

int command_options(int argc, char **argv)
{
	static const struct option table[] = {
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool as_json = false;
	int c;

	while ((c = next_option(argc, argv, ":h", table, NULL)) != -1) {
		if (c == 'h') {
			fputs(options_help, stdout);
			return EXIT_OK;
		}
		if (c != 'J')
			return try_help();
		as_json = true;
	}
	if (optind != argc) {
		complain("options takes no FILE");
		return try_help();
	}
	options_print(as_json);
	return EXIT_OK;
}
