/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of vdo-bench. What an option leaves open is filled in at the
 * end [complete], when all others are known.
 */
#include "build.h"

#include "tests/bench/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static const char *const rw_names[] = {"write", "randwrite", "read",
				       "randread", "discard", "map"};

static const struct arguments defaults = {
	.rw = RW_WRITE,
	.bs = BENCH_BLOCK,
	.iodepth = 256,
	.size = UINT64_C(256) << 20,
	.mapped = UINT64_MAX,
	.data = {.originals = BENCH_ORIGINALS},
	.flush_delay_ns = -1,
	.executor = "native",
	.threads = "2",
	.device = "mem",
};

static void usage(FILE *to)
{
	fputs("usage: vdo-bench [OPTION]...\n"
	      "Work:\n"
	      "  --rw=write|randwrite|read|randread|discard|map\n"
	      "  --bs=BYTES               size of an operation (4096)\n"
	      "  --iodepth=N              operations at a time (256)\n"
	      "  --size=BYTES             part of the volume in use (256M)\n"
	      "  --logical-size=BYTES     size of the volume (a little more)\n"
	      "  --ops=N                  operations (one pass over --size, less\n"
	      "                           the warm-up)\n"
	      "  --runtime=SECONDS        end then, or after --ops if that is\n"
	      "                           given; there may be a fraction\n"
	      "  --warmup=N               operations before (0)\n"
	      "  --overwrite              the blocks were written before\n"
	      "  --mapped=BYTES           how much of --size is written before,\n"
	      "                           where anything is (all)\n"
	      "  --cold                   close and open the volume before\n"
	      "  --dedupe-percentage=P    duplicates among the blocks (0)\n"
	      "  --originals=N            blocks that they are copies of (4096)\n"
	      "  --compress-percentage=P  what LZ4 saves, about (0)\n"
	      "  --zero                   write zeroes\n"
	      "  --sync                   one synchronous operation at a time\n"
	      "  --batch=N                one thread reaps, and submits up to N\n"
	      "                           operations in a call (callbacks submit)\n",
	      to);
	fputs("Where:\n"
	      "  --executor=native|pool|inline  (native)\n"
	      "  --threads=N              threads of the volume (2)\n"
	      "  --device=mem|PATH        PATH is overwritten (mem)\n"
	      "  --device-size=BYTES      its size (three times what is written,\n"
	      "                           and 512M)\n"
	      "  --raw                    measure the device itself before, with\n"
	      "                           the same engine, sizes and depth: a\n"
	      "                           second, or --runtime; a file is filled\n"
	      "  --flush-delay=USEC       flushes and writes with FUA take that\n"
	      "                           long while it is measured, one after\n"
	      "                           the other\n"
	      "  -o NAME=VALUE            any option of the library\n"
	      "Report:\n"
	      "  --no-limit               do not measure the limit\n"
	      "  --crossings              hand-overs between queues, counted\n"
	      "                           by a library of --enable-debug\n"
	      "  --json                   one line of JSON\n"
	      "  --name=TEXT              for the report\n"
	      "  --table                  rates over depths and sizes, as data of\n"
	      "                           gnuplot; --runtime is each one's (1)\n"
	      "  --depths=N,...           of the table (1,2,4,...,256)\n"
	      "  --sizes=BYTES,...        of the table (4K,16K,64K,256K,1M)\n",
	      to);
}

static _Noreturn void refuse(const char *what, const char *text)
{
	fprintf(stderr, "vdo-bench: %s: %s\n", what, text);
	exit(2);
}

static _Noreturn void refuse_all(void)
{
	usage(stderr);
	exit(2);
}

const char *arguments_rw_name(enum bench_rw rw)
{
	return rw_names[rw];
}

bool arguments_in_memory(const struct arguments *o)
{
	return strcmp(o->device, "mem") == 0;
}

static uint64_t parse_size(const char *text)
{
	uint64_t n;

	if (vdo_size_parse(text, &n) != 0)
		refuse("not a size", text);
	return n;
}

static unsigned parse_number(const char *text, uint64_t max)
{
	uint64_t n = parse_size(text);

	if (n > max)
		refuse("too much", text);
	return (unsigned)n;
}

static uint64_t parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(seconds) ||
	    seconds <= 0 || seconds > 1e6)
		refuse("not a time in seconds", text);
	return (uint64_t)(seconds * 1e9);
}

static void parse_list(struct arguments_list *list, char *text)
{
	char *rest = text;

	list->count = 0;
	for (char *one; (one = strsep(&rest, ",")) != NULL;) {
		if (list->count == ARGUMENTS_LIST_MAX)
			refuse("too many", one);
		list->values[list->count++] = parse_size(one);
	}
}

void arguments_set(const struct arguments *o, const char *name,
		 const char *value)
{
	struct vdo_error e;

	if (vdo_config_set(o->config, name, value, &e) != 0) {
		fprintf(stderr, "vdo-bench: %s\n", e.message);
		exit(2);
	}
}

static enum bench_rw parse_rw(const char *text)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rw_names); i++)
		if (strcmp(text, rw_names[i]) == 0)
			return (enum bench_rw)i;
	refuse("no such work", text);
}

static void set_pair(const struct arguments *o, char *pair)
{
	char *equals = strchr(pair, '=');

	if (equals == NULL)
		refuse("not NAME=VALUE", pair);
	*equals = '\0';
	arguments_set(o, pair, equals + 1);
}

static const struct option longs[] = {
	{"rw", 1, NULL, 'r'},	     {"bs", 1, NULL, 'b'},
	{"iodepth", 1, NULL, 'd'},   {"size", 1, NULL, 's'},
	{"ops", 1, NULL, 'n'},	     {"warmup", 1, NULL, 'w'},
	{"overwrite", 0, NULL, 'O'}, {"dedupe-percentage", 1, NULL, 'D'},
	{"zero", 0, NULL, 'z'},	     {"compress-percentage", 1, NULL, 'C'},
	{"executor", 1, NULL, 'e'},  {"threads", 1, NULL, 't'},
	{"device", 1, NULL, 'f'},    {"sync", 0, NULL, 'S'},
	{"no-limit", 0, NULL, 'L'},  {"json", 0, NULL, 'j'},
	{"name", 1, NULL, 'N'},	     {"logical-size", 1, NULL, 'l'},
	{"runtime", 1, NULL, 'R'},   {"device-size", 1, NULL, 'F'},
	{"mapped", 1, NULL, 'm'},    {"originals", 1, NULL, 'i'},
	{"raw", 0, NULL, 'w' + 256}, {"flush-delay", 1, NULL, 'y'},
	{"cold", 0, NULL, 'c'},	     {"crossings", 0, NULL, 'x'},
	{"table", 0, NULL, 'T'},     {"depths", 1, NULL, 'd' + 256},
	{"sizes", 1, NULL, 's' + 256}, {"batch", 1, NULL, 'b' + 256},
	{"help", 0, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* How much is done, and how often. */
static bool parse_work(struct arguments *o, int c)
{
	switch (c) {
	case 'r': o->rw = parse_rw(optarg); break;
	case 'b': o->bs = parse_size(optarg); break;
	case 'd': o->iodepth = parse_number(optarg, 65536); break;
	case 's': o->size = parse_size(optarg); break;
	case 'm': o->mapped = parse_size(optarg); break;
	case 'l': o->logical = parse_size(optarg); break;
	case 'n': o->ops = parse_size(optarg); break;
	case 'w': o->warmup = parse_size(optarg); break;
	case 'R': o->runtime_ns = parse_seconds(optarg); break;
	case 'O': o->overwrite = true; break;
	case 'c': o->cold = true; break;
	case 'D': o->data.duplicates = parse_number(optarg, 100); break;
	case 'i': o->data.originals = parse_number(optarg, 1 << 30); break;
	case 'C': o->data.compress = parse_number(optarg, 100); break;
	case 'z': o->zeroes = true; break;
	case 'S': o->sync = true; break;
	case 'b' + 256: o->batch = parse_number(optarg, LOAD_BATCH_MAX); break;
	default: return false;
	}
	return true;
}

/* On what, and what is said about it. */
static void parse_option(struct arguments *o, int c)
{
	switch (c) {
	case 'e': o->executor = optarg; break;
	case 't': o->threads = optarg; break;
	case 'f': o->device = optarg; break;
	case 'F': o->device_size = parse_size(optarg); break;
	case 'w' + 256: o->raw = true; break;
	case 'y':
		o->flush_delay_ns = parse_number(optarg, 10000000) *
				    INT64_C(1000);
		break;
	case 'x': o->crossings = true; break;
	case 'L': o->no_limit = true; break;
	case 'j': o->json = true; break;
	case 'N': o->name = optarg; break;
	case 'T': o->table = true; break;
	case 'd' + 256: parse_list(&o->depths, optarg); break;
	case 's' + 256: parse_list(&o->sizes, optarg); break;
	case 'o': set_pair(o, optarg); break;
	case 'h': usage(stdout); exit(0);
	default: refuse_all();
	}
}

/* No list given: from @first to @last, each @factor times the one before. */
static void default_list(struct arguments_list *list, uint64_t first,
			 uint64_t last, unsigned factor)
{
	if (list->count > 0)
		return;
	for (uint64_t n = first; n <= last; n *= factor)
		list->values[list->count++] = n;
}

static bool depth_is_fine(uint64_t depth)
{
	return depth > 0 && depth <= 65536;
}

static bool bs_is_fine(const struct arguments *o, uint64_t bs)
{
	return bs > 0 && bs % BENCH_BLOCK == 0 && bs <= o->size &&
	       (o->rw >= RW_DISCARD || bs <= UINT64_C(1) << 30);
}

static void complete_table(struct arguments *o)
{
	default_list(&o->depths, 1, 256, 2);
	default_list(&o->sizes, BENCH_BLOCK, UINT64_C(1) << 20, 4);
	if (o->runtime_ns == 0)
		o->runtime_ns = UINT64_C(1000000000);
	if (o->rw >= RW_DISCARD || o->sync || o->json)
		refuse("--table",
		       "not with --rw=discard or map, --sync or --json");
	for (unsigned i = 0; i < o->depths.count; i++)
		if (!depth_is_fine(o->depths.values[i]))
			refuse("--depths", "each from 1 to 65536");
	for (unsigned i = 0; i < o->sizes.count; i++)
		if (!bs_is_fine(o, o->sizes.values[i]))
			refuse("--sizes",
			       "each a multiple of 4096, and no more than "
			       "--size");
}

static void complete(struct arguments *o)
{
	uint64_t pass;

	if (o->table)
		complete_table(o);
	else if (!depth_is_fine(o->iodepth) || !bs_is_fine(o, o->bs))
		refuse_all();
	if (o->data.originals == 0)
		refuse("--originals", "there must be one");
	if (o->batch > 0 && o->sync)
		refuse("--batch", "not with --sync");
	if (o->raw && o->rw >= RW_DISCARD)
		refuse("--raw", "not with --rw=discard or map");
	if (o->rw == RW_MAP && !o->sync)
		refuse("--rw=map", "with --sync only");
	o->mapped = MIN(o->mapped, o->size);
	pass = o->size / o->bs;
	if (o->ops == 0 && o->runtime_ns > 0)
		o->ops = UINT64_MAX / 2;
	else if (o->ops == 0)
		o->ops = pass > o->warmup ? pass - o->warmup : pass;
	if (o->logical == 0)
		o->logical = o->size +
			     MAX(o->data.originals, BENCH_ORIGINALS) *
				     (uint64_t)BENCH_BLOCK;
	if (o->name == NULL)
		o->name = rw_names[o->rw];
}

void arguments_parse(struct arguments *o, int argc, char **argv)
{
	int c;

	*o = defaults;
	if (vdo_config_new(&o->config) != 0)
		refuse("options", "no memory");
	while ((c = getopt_long(argc, argv, "o:h", longs, NULL)) != -1)
		if (!parse_work(o, c))
			parse_option(o, c);
	if (optind != argc)
		refuse_all();
	complete(o);
}
