/* SPDX-License-Identifier: BSD-2-Clause */
/* Plans: read them, and make them up. */
#include "build.h"

#include "tests/kernel/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "vdoplay: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

FILE *text_open(const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");

	if (file == NULL)
		die("%s: %s", path, strerror(errno));
	return file;
}

uint64_t number_parse(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0')
		die("not a number: %s", text);
	return n;
}

int line_split(char *line, char **words, int limit)
{
	char *word, *rest;
	int n = 0;

	line[strcspn(line, "#\r\n")] = '\0';
	for (word = strtok_r(line, " \t", &rest); word != NULL;
	     word = strtok_r(NULL, " \t", &rest)) {
		if (n == limit)
			die("too many words in a line");
		words[n++] = word;
	}
	return n;
}

/* -------------------------------------------------------------------- read */

static const struct form {
	const char *name;
	enum action action;
	int words_min;
} forms[] = {
	{"write", ACT_WRITE, 5},     {"fua", ACT_FUA, 5},
	{"part", ACT_PART, 6},	     {"discard", ACT_DISCARD, 3},
	{"zeroout", ACT_ZEROOUT, 3}, {"flush", ACT_FLUSH, 1},
};

static const struct form *find_form(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (strcmp(name, forms[i].name) == 0)
			return &forms[i];
	die("unknown operation: %s", name);
}

static void parse_kind(struct operation *o, const char *name)
{
	o->kind = kind_parse(name);
	if (o->kind == 0 || o->kind == KIND_MIXED)
		die("not a kind that can be written: %s", name);
}

static void parse_write(struct operation *o, char **w, int n)
{
	o->count = number_parse(w[2]);
	parse_kind(o, w[3]);
	o->seed = number_parse(w[4]);
	if (n > 5)
		o->step = number_parse(w[5]);
	if (n > 6)
		o->per_io = (unsigned)number_parse(w[6]);
	if (o->per_io < 1 || o->per_io > PER_IO_MAX)
		die("PER_IO must be 1..%u", PER_IO_MAX);
}

static void parse_part(struct operation *o, char **w)
{
	o->count = 1;
	o->offset = (unsigned)number_parse(w[2]);
	o->length = (unsigned)number_parse(w[3]);
	parse_kind(o, w[4]);
	o->seed = number_parse(w[5]);
	if (o->offset % 512 != 0 || o->length % 512 != 0 || o->length == 0 ||
	    o->offset + o->length > BLOCK)
		die("bad OFFSET or LENGTH");
}

static struct operation parse_operation(char **w, int n)
{
	struct operation o = {.step = 1, .per_io = 32};
	const struct form *form = find_form(w[0]);

	if (n < form->words_min)
		die("%s lacks words", w[0]);
	o.action = form->action;
	if (o.action != ACT_FLUSH)
		o.lbn = number_parse(w[1]);
	if (o.action <= ACT_FUA)
		parse_write(&o, w, n);
	else if (o.action == ACT_PART)
		parse_part(&o, w);
	else if (o.action != ACT_FLUSH)
		o.count = number_parse(w[2]);
	return o;
}

struct plan plan_read(const char *path)
{
	FILE *file = text_open(path);
	struct plan plan = {NULL, 0};
	uint64_t room = 0;
	char line[512], *w[WORDS_MAX];

	while (fgets(line, sizeof(line), file) != NULL) {
		int n = line_split(line, w, WORDS_MAX);

		if (n == 0)
			continue;
		if (plan.count == room) {
			room = room * 2 + 64;
			plan.operations = realloc(plan.operations,
						  room * sizeof(*plan.operations));
			if (plan.operations == NULL)
				die("out of memory");
		}
		plan.operations[plan.count++] = parse_operation(w, n);
	}
	if (file != stdin)
		fclose(file);
	return plan;
}

void plan_free(struct plan *plan)
{
	free(plan->operations);
}

/* ------------------------------------------------------------------ invent */

#define STRETCHES   8
#define STRETCH_MAX 700u /* blocks: less than a leaf page maps, or not */
#define PAST_MAX    64u

struct invention {
	const struct plan_request *request;
	uint64_t random;
	uint64_t stretches[STRETCHES]; /* their first blocks */
	uint64_t stretch_blocks;
	struct operation past[PAST_MAX]; /* what duplicates can be made of */
	unsigned past_count;
	uint64_t next_seed;
};

static uint64_t dice(struct invention *v, uint64_t limit)
{
	return splitmix64(&v->random) % limit;
}

static void choose_stretches(struct invention *v)
{
	uint64_t blocks = v->request->blocks, places = 0x5eed;
	unsigned i;

	v->stretch_blocks = blocks / (STRETCHES * 2);
	if (v->stretch_blocks > STRETCH_MAX)
		v->stretch_blocks = STRETCH_MAX;
	for (i = 0; i < STRETCHES; i++)
		v->stretches[i] = splitmix64(&places) %
				  (blocks - v->stretch_blocks);
	v->stretches[0] = 0;
	v->stretches[1] = blocks - v->stretch_blocks;
	/* one that is no other time's */
	v->stretches[2] = dice(v, blocks - v->stretch_blocks);
}

/* A place for up to @most blocks. */
static void choose_place(struct invention *v, struct operation *o,
			 uint64_t most)
{
	uint64_t at = dice(v, v->stretch_blocks);

	o->count = 1 + dice(v, dice(v, 3) == 0 ? most : 8);
	if (o->count > v->stretch_blocks - at)
		o->count = v->stretch_blocks - at;
	o->lbn = v->stretches[dice(v, STRETCHES)] + at;
}

static void choose_data(struct invention *v, struct operation *o)
{
	static const int kinds[] = {KIND_RAND, KIND_RAND, KIND_SALT, KIND_SALT,
				    KIND_TEXT, 160,	  600,	     1200,
				    2400,      3600};
	const struct operation *old;

	o->step = 1;
	if (v->past_count > 0 && dice(v, 3) == 0) {
		old = &v->past[dice(v, v->past_count)];
		o->kind = old->kind;
		o->seed = old->seed;
		o->step = dice(v, 8) == 0 ? 0 : 1;
		return;
	}
	o->kind = dice(v, 20) == 0 ? KIND_ZERO : kinds[dice(v, 10)];
	o->seed = v->next_seed;
	v->next_seed += 512;
	v->past[v->past_count < PAST_MAX ? v->past_count++
					 : dice(v, PAST_MAX)] = *o;
}

static void invent_write(struct invention *v)
{
	static const unsigned per_ios[] = {1, 4, 32, 256};
	struct operation o = {0};
	char name[KIND_NAME_MAX];

	choose_place(v, &o, 100);
	choose_data(v, &o);
	if (dice(v, 40) == 0 && v->stretch_blocks > 400) {
		o.lbn = v->stretches[dice(v, STRETCHES)];
		o.count = 400; /* more than a block can be referenced */
		o.step = 0;
	}
	printf("%s %" PRIu64 " %" PRIu64 " %s 0x%" PRIx64 " %" PRIu64 " %u\n",
	       dice(v, 12) == 0 ? "fua" : "write", o.lbn, o.count,
	       kind_name(o.kind, name), o.seed, o.step, per_ios[dice(v, 4)]);
}

static void invent_part(struct invention *v)
{
	struct operation o = {0};
	char name[KIND_NAME_MAX];
	uint64_t sector = dice(v, 8), sectors = 1 + dice(v, 8 - sector);

	choose_place(v, &o, 1);
	choose_data(v, &o);
	printf("part %" PRIu64 " %" PRIu64 " %" PRIu64 " %s 0x%" PRIx64 "\n",
	       o.lbn, sector * 512, sectors * 512, kind_name(o.kind, name),
	       o.seed);
}

static void invent_hole(struct invention *v)
{
	struct operation o = {0};

	choose_place(v, &o, v->stretch_blocks / 2);
	printf("%s %" PRIu64 " %" PRIu64 "\n",
	       dice(v, 3) == 0 ? "zeroout" : "discard", o.lbn, o.count);
}

void plan_invent(const struct plan_request *request)
{
	struct invention v = {.request = request, .random = request->seed,
			      .next_seed = (request->seed + 1) << 32};
	uint64_t i;

	if (request->blocks < STRETCHES * 16)
		die("too small a volume to plan for");
	choose_stretches(&v);
	for (i = 0; i < request->operations; i++) {
		uint64_t n = dice(&v, 100);

		if (n < 6)
			puts("flush");
		else if (n < 18)
			invent_hole(&v);
		else if (n < 26 && request->parts)
			invent_part(&v);
		else
			invent_write(&v);
	}
}
