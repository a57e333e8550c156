/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl sub: sub-volumes, their snapshots and clones; and --sub of other
 * commands.
 *
 * A subcommand is a row in the table at the end. It runs on the open volume,
 * which is closed behind it.
 */
#include "vdoctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"

static const char sub_help[] =
	"Usage: vdoctl sub create FILE NAME SIZE\n"
	"       vdoctl sub list FILE [--json]\n"
	"       vdoctl sub stat FILE NAME [--json | --table DEVICE]\n"
	"       vdoctl sub snapshot FILE SOURCE NAME\n"
	"       vdoctl sub clone FILE SOURCE NAME\n"
	"       vdoctl sub resize FILE NAME SIZE\n"
	"       vdoctl sub rename FILE NAME NEW\n"
	"       vdoctl sub remove FILE NAME... [--yes]\n"
	"       vdoctl sub changes FILE A B [--json]\n"
	"Volumes in a volume, with names. Snapshots, which are read-only, and "
	"clones share\ntheir data with what they were copied from.\n\n"
	"  create    make one, empty; the first one needs an empty volume\n"
	"  list      show which there are\n"
	"  stat      show what one holds, and where it lies in the volume\n"
	"  snapshot  copy one as it is now; the copy cannot be written to\n"
	"  clone     copy one as it is now; the copy can be written to\n"
	"  resize    make one larger, or smaller if its end is unmapped\n"
	"  rename    give one another name\n"
	"  remove    forget some, with all of their data; asks first\n"
	"  changes   show where two differ\n\n"
	"  --json          for programs\n"
	"  --table DEVICE  print a table for dmsetup instead; DEVICE is what "
	"Linux\n"
	"                  serves the volume as\n"
	"  --yes           do not ask\n"
	"  -o NAME=VALUE   any option that 'vdoctl options' lists\n"
	"  -v, --verbose   show the log of the library\n"
	"  -h, --help      this text\n\n"
	"Put -- before a name that begins with -. 'vdoctl read', 'write', "
	"'discard' and\n'map' take --sub NAME.\n";

/*
 * What other commands work on
 */

static int look_at_one(void *arg, const struct vdo_sub *s)
{
	(void)arg;
	(void)s;
	return 1;
}

/* Whatever is wrong with its directory: it is one. */
static bool is_pool(struct vdo_volume *volume)
{
	int r = vdo_sub_list(volume, look_at_one, NULL, NULL);

	return r != -ENOENT && r != -VDO_ESIGNATURE;
}

int target_open(struct target *t, const struct arguments *a, bool writes)
{
	struct vdo_error error;

	*t = (struct target){NULL, NULL};
	if (vdo_open(a->path, a->config, &t->whole, &error) != 0) {
		t->whole = NULL;
		return complain_vdo(a->path, &error);
	}
	t->volume = t->whole;
	if (a->sub != NULL &&
	    vdo_sub_open(t->whole, a->sub, writes ? 0 : VDO_OPEN_READ_ONLY,
			 &t->volume, &error) != 0) {
		t->volume = t->whole;
		return complain_vdo(a->path, &error);
	}
	if (a->sub == NULL && writes && !a->force && is_pool(t->whole)) {
		complain("%s: it holds sub-volumes, which this may destroy: "
			 "--sub NAME is for one of them, --force for all of "
			 "it",
			 a->path);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int target_close(struct target *t, const struct arguments *a, int code)
{
	int r = 0, whole;

	if (t->whole == NULL)
		return code;
	if (t->volume != t->whole)
		r = vdo_close(t->volume);
	whole = vdo_close(t->whole);
	if (r == 0)
		r = whole;
	return r == 0 ? code : complain_result(a->path, "close", r);
}

/*
 * All sub-volumes, as they are listed
 */

struct entry {
	struct vdo_sub sub;
	char name[VDO_SUB_NAME_MAX + 1];
};

struct entries {
	struct entry *entry;
	size_t count, room;
};

static int add_entry(void *arg, const struct vdo_sub *s)
{
	struct entries *all = arg;
	struct entry *e;

	if (all->count == all->room) {
		size_t room = all->room * 2 + 16;
		struct entry *more = realloc(all->entry, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		all->entry = more;
		all->room = room;
	}
	e = &all->entry[all->count++];
	e->sub = *s;
	snprintf(e->name, sizeof(e->name), "%s", s->name);
	return 0;
}

/* Free all->entry in any case. */
static int read_entries(const struct arguments *a, struct vdo_volume *v,
			struct entries *all)
{
	struct vdo_error error = {0};
	int r;

	*all = (struct entries){NULL, 0, 0};
	r = vdo_sub_list(v, add_entry, all, &error);
	if (r == 0)
		return EXIT_OK;
	return error.code != 0 ? complain_vdo(a->path, &error)
			       : complain_result(a->path, "list", r);
}

static const char *name_of(const struct entries *all, uint64_t id)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->entry[i].sub.id == id)
			return all->entry[i].name;
	return NULL;
}

static const char *kind_name(uint64_t parent, bool read_only, bool removing)
{
	if (removing)
		return "removing";
	if (read_only)
		return "snapshot";
	return parent != 0 ? "clone" : "volume";
}

/*
 * list
 */

static void list_json(const struct entries *all)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_begin(&j, "sub_volumes", '[');
	for (size_t i = 0; i < all->count; i++) {
		const struct vdo_sub *s = &all->entry[i].sub;

		json_begin(&j, NULL, '{');
		json_string(&j, "name", all->entry[i].name);
		json_number(&j, "id", s->id);
		json_number(&j, "size", s->size);
		json_number(&j, "parent", s->parent);
		json_signed(&j, "created", s->created);
		json_bool(&j, "read_only", s->read_only);
		json_bool(&j, "removing", s->removing);
		json_number(&j, "extents", s->extents);
		json_end(&j, '}');
	}
	json_end(&j, ']');
	json_end(&j, '}');
}

/* Names stand at the end, where blanks in them do no harm. */
static void list_people(const struct entries *all)
{
	char size[SIZE_TEXT], when[TIME_TEXT];

	printf("%12s  %-8s  %-23s  %s\n", "size", "kind", "created", "name");
	for (size_t i = 0; i < all->count; i++) {
		const struct vdo_sub *s = &all->entry[i].sub;

		printf("%12s  %-8s  %-23s  ", size_text(size, s->size),
		       kind_name(s->parent, s->read_only, s->removing),
		       time_text(when, s->created));
		text_print(stdout, all->entry[i].name);
		putchar('\n');
	}
}

static int run_list(const struct arguments *a, struct vdo_volume *v)
{
	struct entries all;
	int code = read_entries(a, v, &all);

	if (code == EXIT_OK && a->json)
		list_json(&all);
	else if (code == EXIT_OK)
		list_people(&all);
	free(all.entry);
	return code;
}

/*
 * stat
 */

static uint64_t mapped_blocks(const struct vdo_sub_usage *u)
{
	return u->zero_blocks + u->data_blocks + u->compressed_blocks;
}

static int place_json(void *arg, const struct vdo_sub_extent *e)
{
	json_begin(arg, NULL, '{');
	json_number(arg, "offset", e->offset);
	json_number(arg, "length", e->length);
	json_number(arg, "place", e->place);
	json_end(arg, '}');
	return 0;
}

static int stat_json(struct vdo_volume *v, const char *name,
		     const struct vdo_sub_usage *u, struct vdo_error *error)
{
	struct json j = {.file = stdout};
	int r;

	json_begin(&j, NULL, '{');
	json_string(&j, "name", name);
	json_number(&j, "id", u->id);
	json_number(&j, "size", u->size);
	json_number(&j, "parent", u->parent);
	json_signed(&j, "created", u->created);
	json_bool(&j, "read_only", u->read_only);
	json_bool(&j, "removing", u->removing);
	json_number(&j, "mapped_blocks", mapped_blocks(u));
	json_number(&j, "unmapped_blocks", u->unmapped_blocks);
	json_number(&j, "zero_blocks", u->zero_blocks);
	json_number(&j, "data_blocks", u->data_blocks);
	json_number(&j, "compressed_blocks", u->compressed_blocks);
	json_number(&j, "shared_blocks", u->shared_blocks);
	json_number(&j, "exclusive_blocks", u->exclusive_blocks);
	json_begin(&j, "places", '[');
	r = vdo_sub_places(v, name, place_json, &j, error);
	json_end(&j, ']');
	json_end(&j, '}');
	return r;
}

static void blocks_line(const char *label, uint64_t n)
{
	char size[SIZE_TEXT];

	printf("  %-26s %llu blocks, %s\n", label, (unsigned long long)n,
	       size_text(size, n * 4096));
}

static int place_people(void *arg, const struct vdo_sub_extent *e)
{
	(void)arg;
	printf("  %16" PRIu64 " %16" PRIu64 " %16" PRIu64 "\n", e->offset,
	       e->length, e->place);
	return 0;
}

static int stat_people(struct vdo_volume *v, const char *name,
		       const char *parent, const struct vdo_sub_usage *u,
		       struct vdo_error *error)
{
	uint64_t unknown = u->data_blocks - u->shared_blocks -
			   u->exclusive_blocks;
	char size[SIZE_TEXT], when[TIME_TEXT];

	text_print(stdout, name);
	printf("\n  %-26s %s", "kind",
	       kind_name(u->parent, u->read_only, u->removing));
	if (parent != NULL) {
		printf(" of ");
		text_print(stdout, parent);
	} else if (u->parent != 0) {
		printf(" of one that was removed");
	}
	printf("\n  %-26s %s\n", "created", time_text(when, u->created));
	printf("  %-26s %llu bytes, %s\n", "size", (unsigned long long)u->size,
	       size_text(size, u->size));
	blocks_line("mapped", mapped_blocks(u));
	blocks_line("  stored as they are", u->data_blocks);
	blocks_line("    shared", u->shared_blocks);
	blocks_line("    its own", u->exclusive_blocks);
	if (unknown > 0)
		blocks_line("    not known which", unknown);
	blocks_line("  compressed", u->compressed_blocks);
	blocks_line("  zeroes", u->zero_blocks);
	blocks_line("not mapped", u->unmapped_blocks);
	printf("\n  %16s %16s %16s\n", "offset", "length", "in the volume at");
	return vdo_sub_places(v, name, place_people, NULL, error);
}

/* In sectors of 512 bytes. */
static int place_table(void *arg, const struct vdo_sub_extent *e)
{
	printf("%" PRIu64 " %" PRIu64 " linear ", e->offset / 512,
	       e->length / 512);
	text_print(stdout, arg);
	printf(" %" PRIu64 "\n", e->place / 512);
	return 0;
}

static int run_stat(const struct arguments *a, struct vdo_volume *v)
{
	char *name = a->operands[0], *device = (char *)a->table;
	struct vdo_error error = {0};
	struct vdo_sub_usage u;
	struct entries all;
	int code, r;

	if (device != NULL)
		return vdo_sub_places(v, name, place_table, device, &error) == 0
			       ? EXIT_OK
			       : complain_vdo(a->path, &error);
	if (vdo_sub_stat(v, name, &u, sizeof(u), &error) != 0)
		return complain_vdo(a->path, &error);
	code = read_entries(a, v, &all);
	if (code == EXIT_OK) {
		r = a->json ? stat_json(v, name, &u, &error)
			    : stat_people(v, name, name_of(&all, u.parent), &u,
					  &error);
		if (r != 0)
			code = complain_vdo(a->path, &error);
	}
	free(all.entry);
	return code;
}

/*
 * remove
 */

static const struct entry *find_entry(const struct entries *all,
				      const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->entry[i].name, name) == 0)
			return &all->entry[i];
	return NULL;
}

/* All of them are there, and are to be removed: nothing is asked in vain. */
static int ask_to_remove(const struct arguments *a, const struct entries *all)
{
	for (int i = 0; i < a->operand_count; i++) {
		const struct entry *e = find_entry(all, a->operands[i]);
		char size[SIZE_TEXT];

		if (e == NULL) {
			complain("%s: there is no sub-volume \"%s\"; nothing "
				 "was changed",
				 a->path, a->operands[i]);
			return EXIT_FAILED;
		}
		if (!a->yes)
			complain("%s: \"%s\", a %s of %s, will be gone with "
				 "all that it holds",
				 a->path, e->name,
				 kind_name(e->sub.parent, e->sub.read_only,
					   false),
				 size_text(size, e->sub.size));
	}
	if (!a->yes &&
	    !confirm(a->operand_count == 1 ? "Remove it?" : "Remove them?"))
		return give_up();
	return EXIT_OK;
}

/* What was being removed is gone by the first change, whichever that is. */
static int remove_one(const struct arguments *a, struct vdo_volume *v,
		      const char *name, bool removing)
{
	struct vdo_error error;
	int r = vdo_sub_remove(v, name, &error);

	if (r == 0 || (r == -ENOENT && removing))
		return EXIT_OK;
	return complain_vdo(a->path, &error);
}

static int run_remove(const struct arguments *a, struct vdo_volume *v)
{
	struct entries all;
	int code = read_entries(a, v, &all);

	if (code == EXIT_OK)
		code = ask_to_remove(a, &all);
	for (int i = 0; code == EXIT_OK && i < a->operand_count; i++) {
		const char *name = a->operands[i];

		if (i > 0 && interrupted()) {
			complain("interrupted: \"%s\" and what follows it are "
				 "still there",
				 name);
			code = EXIT_FAILED;
		} else {
			code = remove_one(a, v, name,
					  find_entry(&all, name)->sub.removing);
		}
	}
	free(all.entry);
	return code;
}

/*
 * changes
 */

struct changes {
	struct json json;
	bool people;
	uint64_t bytes;
};

static int add_change(void *arg, const struct vdo_change *c)
{
	const char *a = vdo_map_kind_name(c->a), *b = vdo_map_kind_name(c->b);
	struct changes *all = arg;

	all->bytes += c->length;
	if (all->people) {
		printf("%16" PRIu64 " %16" PRIu64 "  %-10s %s\n", c->offset,
		       c->length, a, b);
		return 0;
	}
	json_begin(&all->json, NULL, '{');
	json_number(&all->json, "offset", c->offset);
	json_number(&all->json, "length", c->length);
	json_string(&all->json, "a", a);
	json_string(&all->json, "b", b);
	json_end(&all->json, '}');
	return 0;
}

static int show_changes(const struct arguments *arguments, struct vdo_volume *a,
			struct vdo_volume *b)
{
	struct changes all = {.json.file = stdout, .people = !arguments->json};
	char size[SIZE_TEXT];
	int r;

	if (!all.people) {
		json_begin(&all.json, NULL, '{');
		json_begin(&all.json, "changes", '[');
	}
	r = vdo_sub_changes(a, b, 0, add_change, &all);
	if (all.people) {
		printf("\n%llu bytes differ, %s\n",
		       (unsigned long long)all.bytes,
		       size_text(size, all.bytes));
	} else {
		json_end(&all.json, ']');
		json_number(&all.json, "bytes", all.bytes);
		json_bool(&all.json, "complete", r == 0);
		json_end(&all.json, '}');
	}
	return r == 0 ? EXIT_OK
		      : complain_result(arguments->path,
					"compare them to the "
					"end",
					r);
}

static int run_changes(const struct arguments *arguments, struct vdo_volume *v)
{
	struct vdo_volume *a = NULL, *b = NULL;
	struct vdo_error error;
	int code;

	if (vdo_sub_open(v, arguments->operands[0], VDO_OPEN_READ_ONLY, &a,
			 &error) != 0)
		return complain_vdo(arguments->path, &error);
	if (vdo_sub_open(v, arguments->operands[1], VDO_OPEN_READ_ONLY, &b,
			 &error) == 0) {
		code = show_changes(arguments, a, b);
		(void)vdo_close(b);
	} else {
		code = complain_vdo(arguments->path, &error);
	}
	(void)vdo_close(a);
	return code;
}

/*
 * Those that are one call
 */

static int run_create(const struct arguments *a, struct vdo_volume *v)
{
	struct vdo_error error;
	uint64_t size = 0;

	(void)vdo_size_parse(a->operands[1], &size); /* it was tried before */
	return vdo_sub_create(v, a->operands[0], size, &error) == 0
		       ? EXIT_OK
		       : complain_vdo(a->path, &error);
}

static int run_resize(const struct arguments *a, struct vdo_volume *v)
{
	struct vdo_error error;
	uint64_t size = 0;

	(void)vdo_size_parse(a->operands[1], &size);
	return vdo_sub_resize(v, a->operands[0], size, &error) == 0
		       ? EXIT_OK
		       : complain_vdo(a->path, &error);
}

static int run_names(const struct arguments *a, struct vdo_volume *v,
		     int (*call)(struct vdo_volume *, const char *,
				 const char *, struct vdo_error *))
{
	struct vdo_error error;

	return call(v, a->operands[0], a->operands[1], &error) == 0
		       ? EXIT_OK
		       : complain_vdo(a->path, &error);
}

static int run_snapshot(const struct arguments *a, struct vdo_volume *v)
{
	return run_names(a, v, vdo_sub_snapshot);
}

static int run_clone(const struct arguments *a, struct vdo_volume *v)
{
	return run_names(a, v, vdo_sub_clone);
}

static int run_rename(const struct arguments *a, struct vdo_volume *v)
{
	return run_names(a, v, vdo_sub_rename);
}

/*
 * The whole
 */

struct sub_command {
	const char *name;
	const char *operands; /* behind FILE */
	int least, most;      /* of them */
	const char *accept;   /* of arguments_parse() */
	int (*run)(const struct arguments *a, struct vdo_volume *v);
};

static const struct sub_command sub_commands[] = {
	{"create", "NAME SIZE", 2, 2, "m", run_create},
	{"list", "and nothing else", 0, 0, "mrj", run_list},
	{"stat", "NAME", 1, 1, "mjt", run_stat},
	{"snapshot", "SOURCE NAME", 2, 2, "m", run_snapshot},
	{"clone", "SOURCE NAME", 2, 2, "m", run_clone},
	{"resize", "NAME SIZE", 2, 2, "m", run_resize},
	{"rename", "NAME NEW", 2, 2, "m", run_rename},
	{"remove", "NAME...", 1, 1 << 30, "my", run_remove},
	{"changes", "A B", 2, 2, "mrj", run_changes},
};

#define SUB_COMMANDS (sizeof(sub_commands) / sizeof(sub_commands[0]))

/* What is wrong with the operands is said before the volume is opened. */
static bool check_operands(const struct sub_command *c,
			   const struct arguments *a)
{
	uint64_t size;

	if (a->operand_count < c->least || a->operand_count > c->most) {
		complain("%s takes FILE %s", c->name, c->operands);
		return false;
	}
	if (a->json && a->table != NULL) {
		complain("either --json or --table");
		return false;
	}
	return strstr(c->operands, "SIZE") == NULL ||
	       parse_size_option("SIZE", a->operands[1], &size);
}

static int run(const struct sub_command *c, const struct arguments *a)
{
	struct target t;
	int code;

	if (!check_operands(c, a))
		return try_help();
	catch_if_writing(a->config);
	code = target_open(&t, a, false);
	if (code == EXIT_OK)
		code = c->run(a, t.whole);
	return target_close(&t, a, code);
}

int command_sub(int argc, char **argv)
{
	const struct sub_command *c = NULL;
	struct arguments a;
	int code;

	if (argc > 1 && argv[1][0] == '-') {
		if (strcmp(argv[1], "--help") != 0 &&
		    strcmp(argv[1], "-h") != 0)
			return try_help();
		fputs(sub_help, stdout);
		return EXIT_OK;
	}
	for (size_t i = 0; argc > 1 && i < SUB_COMMANDS; i++)
		if (strcmp(argv[1], sub_commands[i].name) == 0)
			c = &sub_commands[i];
	if (c == NULL) {
		complain("create, list, stat, snapshot, clone, resize, rename, "
			 "remove or changes?");
		return try_help();
	}
	argv[1] = argv[0]; /* for the messages of getopt */
	if (!arguments_parse(&a, argc - 1, argv + 1, c->accept, sub_help))
		code = a.code;
	else
		code = run(c, &a);
	arguments_free(&a);
	return code;
}
