/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carry out the logs of the golden indexes, and compare with what they expect.
 */
#include "build.h"

#include "tests/unit/index_play.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/golden_files.h"
#include "tests/unit/golden.h"
#include "tests/unit/index_names.h"

const struct golden_image golden_images[] = {
	{"tiny-dense", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-dense-expired", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-dense-dirty", -1, false, UINT64_C(0x1122334455667788), 1879},
	{"tiny-3zones", -1, false, 0x2233, 1879},
	{"tiny-sparse", -1, true, 0x3344, 11959},
};

/* Ask for a name given in hexadecimal. */
static void ask_hex(struct rig *r, enum index_request request, const char *name,
		    const char *data, struct index_op *op)
{
	*op = (struct index_op){.request = request};
	ck_assert_uint_eq(golden(op->name.hash.bytes, name), 16);
	if (data != NULL)
		golden(op->data, data);
	ck_assert_int_eq(rig_ask(r, op), 0);
}

void play_expect(struct rig *r, const char *image, unsigned step)
{
	char name[64], path[1024], line[256];
	unsigned checks = 0;
	FILE *f;

	snprintf(name, sizeof(name), "index/%s.expect", image);
	golden_path(name, path);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		char hex[40], verdict[16], data[40] = "";
		unsigned long low, high;
		int generation = -1;

		if (sscanf(line, "range %lu %lu %15s %d", &low, &high, verdict,
			   &generation) >= 3) {
			for (unsigned long i = low; i < high; i += step)
				ck_assert_msg(rig_generation(r, i) ==
						      generation,
					      "%lu is not %s", i, verdict);
			checks++;
		} else if (sscanf(line, "name %39s %15s %39s", hex, verdict,
				  data) >= 2) {
			struct index_op op;
			uint8_t want[16] = {0};

			ask_hex(r, INDEX_QUERY_NO_UPDATE, hex, NULL, &op);
			ck_assert_int_eq(op.found,
					 strcmp(verdict, "found") == 0);
			golden(want, data);
			if (op.found)
				ck_assert_mem_eq(op.data, want, 16);
			checks++;
		}
	}
	ck_assert_uint_gt(checks, 0);
	fclose(f);
}

static const char *const requests[] = {
	[INDEX_POST] = "post",
	[INDEX_UPDATE] = "update",
	[INDEX_QUERY] = "query",
	[INDEX_QUERY_NO_UPDATE] = "query-no-update",
	[INDEX_DELETE] = "delete",
};

static const char *const regions[] = {"", "open", "dense", "sparse"};

static uint64_t stat(const char *line, const char *name)
{
	const char *p = strstr(line, name);

	ck_assert_ptr_nonnull(p);
	return strtoull(p + strlen(name), NULL, 10);
}

static void check_stats(struct rig *r, const char *line)
{
	struct index_stats s = rig_stats(r);

	ck_assert_uint_eq(s.entries_indexed, stat(line, "entries="));
	ck_assert_uint_eq(s.collisions, stat(line, "collisions="));
	ck_assert_uint_eq(s.entries_discarded, stat(line, "discarded="));
	ck_assert_uint_eq(s.posts_found, stat(line, "posts_found="));
	ck_assert_uint_eq(s.posts_not_found, stat(line, "posts_not_found="));
	ck_assert_uint_eq(s.in_memory_posts_found, stat(line, "in_memory="));
	ck_assert_uint_eq(s.dense_posts_found, stat(line, "dense="));
	ck_assert_uint_eq(s.sparse_posts_found, stat(line, "sparse="));
	ck_assert_uint_eq(s.requests, stat(line, " requests="));
}

/* "post num I [G]" or "post hex NAME [DATA]", and what must come of it. */
static void run_request(struct rig *r, const char *line)
{
	char verb[20], kind[8], what[40], more[40] = "", answer[16] = "",
	     region[10] = "", data[40] = "";
	struct index_op op = {.request = INDEX_POST};
	const char *result = strstr(line, "=> ");
	uint8_t want[16] = {0};
	int n = sscanf(line, "%19s %7s %39s %39s", verb, kind, what, more);

	ck_assert_int_ge(n, 3);
	ck_assert_ptr_nonnull(result);
	if (strcmp(more, "=>") == 0)
		more[0] = '\0';
	while (strcmp(requests[op.request], verb) != 0)
		op.request++;
	if (strcmp(kind, "num") == 0) {
		uint64_t i = strtoull(what, NULL, 10);

		op.name.hash = golden_name(i);
		golden_data(i, (unsigned)strtoul(more, NULL, 10), op.data);
	} else {
		golden(op.name.hash.bytes, what);
		golden(op.data, more);
	}
	ck_assert_int_eq(rig_ask(r, &op), 0);
	sscanf(result, "=> %15s %9s %39s", answer, region, data);
	ck_assert_msg(op.found == (strcmp(answer, "found") == 0), "%s", line);
	if (!op.found)
		return;
	ck_assert_msg(strcmp(regions[op.region], region) == 0, "%s", line);
	golden(want, data);
	if (data[0] != '\0' && op.request != INDEX_DELETE)
		ck_assert_mem_eq(op.data, want, 16);
}

void play_log(struct rig *r, const char *name, unsigned depth)
{
	char path[1024], line[256], file[64];
	unsigned long low, high;
	FILE *f;

	snprintf(file, sizeof(file), "index/%s.ops", name);
	golden_path(file, path);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		if (strncmp(line, "create", 6) == 0)
			ck_assert_int_eq(rig_open(r, INDEX_FORMAT), 0);
		else if (strncmp(line, "load", 4) == 0)
			ck_assert_int_eq(rig_open(r, INDEX_LOAD), 0);
		else if (sscanf(line, "post-range %lu %lu", &low, &high) == 2)
			ck_assert_int_eq(rig_post_range(r, low, high, depth),
					 0);
		else if (strncmp(line, "stats", 5) == 0)
			check_stats(r, line);
		else if (strncmp(line, "close", 5) == 0)
			ck_assert_int_eq(rig_close(r, true), 0);
		else if (strncmp(line, "crash", 5) == 0)
			ck_assert_int_eq(rig_close(r, false), 0);
		else if (strncmp(line, "flush", 5) == 0) {
			ck_assert_int_eq(rig_suspend(r, false), 0);
			ck_assert_int_eq(rig_resume(r), 0);
		} else {
			run_request(r, line);
		}
	}
	fclose(f);
}
