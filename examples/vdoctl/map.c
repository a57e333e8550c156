/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl map: what of a volume is where, as lines, JSON or a picture.
 *
 * Extents are printed as they come, and the picture has a fixed number of cells:
 * no volume is too large.
 */
#include "vdoctl.h"

#include <inttypes.h>
#include <string.h>

#define KINDS	4u
#define COLUMNS 64u
#define CELLS	4096u
#define PIXELS	10u /* of a cell */

struct map {
	const char *path;
	const struct arguments *arguments;
	struct target target;
	uint64_t begin, end;
	struct json json;
	uint64_t extents[KINDS], bytes[KINDS];
	uint64_t cell_bytes;
	uint64_t cells[CELLS][KINDS];
};

static const char map_help[] =
	"Usage: vdoctl map FILE [OPTION]...\n"
	"Show what of a volume is mapped: data, compressed, zeroes, holes.\n"
	"The volume is opened read-only.\n\n"
	"  --offset N     first byte (default 0); a multiple of 4096\n"
	"  --length N     number of bytes (default: up to the end)\n"
	"  --sub NAME     of the sub-volume of this name\n"
	"  --json         print JSON\n"
	"  --svg          print a picture\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show the log of the library\n"
	"  -h, --help     this text\n";

/* ------------------------------------------------------------------ extents */

/* The parts of @e in the cells of the picture. */
static void add_to_cells(struct map *m, const struct vdo_extent *e)
{
	uint64_t at = e->offset - m->begin, end = at + e->length;

	while (at < end) {
		uint64_t cell = at / m->cell_bytes;
		uint64_t next = (cell + 1) * m->cell_bytes;

		next = next < end ? next : end;
		m->cells[cell][e->kind] += next - at;
		at = next;
	}
}

static int add(void *arg, const struct vdo_extent *e)
{
	struct map *m = arg;

	m->extents[e->kind]++;
	m->bytes[e->kind] += e->length;
	if (m->arguments->svg) {
		add_to_cells(m, e);
	} else if (m->arguments->json) {
		json_begin(&m->json, NULL, '{');
		json_number(&m->json, "offset", e->offset);
		json_number(&m->json, "length", e->length);
		json_string(&m->json, "kind", vdo_map_kind_name(e->kind));
		json_end(&m->json, '}');
	} else {
		printf("%16" PRIu64 " %16" PRIu64 "  %s\n", e->offset,
		       e->length, vdo_map_kind_name(e->kind));
	}
	return 0;
}

static void totals_json(struct map *m)
{
	json_begin(&m->json, "totals", '{');
	for (unsigned k = 0; k < KINDS; k++) {
		json_begin(&m->json, vdo_map_kind_name(k), '{');
		json_number(&m->json, "extents", m->extents[k]);
		json_number(&m->json, "bytes", m->bytes[k]);
		json_end(&m->json, '}');
	}
	json_end(&m->json, '}');
}

static void totals_people(const struct map *m)
{
	char text[SIZE_TEXT];

	putchar('\n');
	for (unsigned k = 0; k < KINDS; k++)
		printf("%-10s %10" PRIu64 " extents, %s\n",
		       vdo_map_kind_name(k), m->extents[k],
		       size_text(text, m->bytes[k]));
}

/* ------------------------------------------------------------------ picture */

static const char *const colours[KINDS] = {
	[VDO_MAP_HOLE] = "#f2f2f2",
	[VDO_MAP_ZERO] = "#b8d8e8",
	[VDO_MAP_DATA] = "#c8502d",
	[VDO_MAP_COMPRESSED] = "#5a8f3c",
};

/* A cell is a column of all kinds that it has, each as high as its part of the
 * cell, holes at the top. */
static void draw_cell(const struct map *m, unsigned i)
{
	double x = i % COLUMNS * PIXELS, y = i / COLUMNS * PIXELS;
	double bytes = 0;

	for (unsigned k = 0; k < KINDS; k++)
		bytes += (double)m->cells[i][k];
	for (unsigned k = 0; k < KINDS; k++) {
		double high = PIXELS * (double)m->cells[i][k] / bytes;

		/* What is too little to be seen is there all the same. */
		if (k != VDO_MAP_HOLE && high > 0 && high < 1)
			high = 1;
		if (high > 0)
			printf("<rect x=\"%.0f\" y=\"%.1f\" width=\"%u\" "
			       "height=\"%.1f\" fill=\"%s\"/>\n",
			       x, y < i / COLUMNS * PIXELS + PIXELS - high
					  ? y
					  : i / COLUMNS * PIXELS + PIXELS - high,
			       PIXELS - 1, high, colours[k]);
		y += high;
	}
}

static void draw(const struct map *m)
{
	uint64_t length = m->end - m->begin;
	unsigned cells = (unsigned)((length + m->cell_bytes - 1) /
				    m->cell_bytes);
	unsigned rows = (cells + COLUMNS - 1) / COLUMNS;
	unsigned below = rows * PIXELS + 20;
	char text[SIZE_TEXT];

	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" "
	       "height=\"%u\" font-family=\"sans-serif\" font-size=\"12\">\n",
	       COLUMNS * PIXELS, below + 20 * (KINDS + 1));
	for (unsigned i = 0; i < cells; i++)
		draw_cell(m, i);
	for (unsigned k = 0; k < KINDS; k++)
		printf("<rect x=\"0\" y=\"%u\" width=\"12\" height=\"12\" "
		       "fill=\"%s\"/><text x=\"18\" y=\"%u\">%s: %s</text>\n",
		       below + 20 * k, colours[k], below + 20 * k + 11,
		       vdo_map_kind_name(k), size_text(text, m->bytes[k]));
	printf("<text x=\"0\" y=\"%u\">a square is %s</text>\n</svg>\n",
	       below + 20 * KINDS + 11, size_text(text, m->cell_bytes));
}

/* ---------------------------------------------------------------- the whole */

static int open_map(struct map *m)
{
	const struct arguments *a = m->arguments;
	uint64_t size, length;
	int code = target_open(&m->target, a, false);

	if (code != EXIT_OK)
		return code;
	size = vdo_volume_size(m->target.volume);
	if (a->offset > size ||
	    (a->has_length && a->length > size - a->offset)) {
		complain("%s: the range ends behind the volume, which has %llu "
			 "bytes",
			 a->path, (unsigned long long)size);
		return EXIT_FAILED;
	}
	m->begin = a->offset;
	length = a->has_length ? a->length : size - a->offset;
	m->end = m->begin + length;
	/* Whole blocks in a cell. */
	m->cell_bytes = (length + CELLS - 1) / CELLS;
	m->cell_bytes += 4096 - 1;
	m->cell_bytes -= m->cell_bytes % 4096;
	if (m->cell_bytes == 0)
		m->cell_bytes = 4096;
	return EXIT_OK;
}

static int show(struct map *m)
{
	int r;

	m->json = (struct json){.file = stdout};
	if (m->arguments->json) {
		json_begin(&m->json, NULL, '{');
		json_number(&m->json, "offset", m->begin);
		json_number(&m->json, "length", m->end - m->begin);
		json_begin(&m->json, "extents", '[');
	}
	r = vdo_map_extents(m->target.volume, m->begin, m->end - m->begin, 0, add, m);
	if (m->arguments->json) {
		json_end(&m->json, ']');
		totals_json(m);
		json_bool(&m->json, "complete", r == 0);
		json_end(&m->json, '}');
	} else if (m->arguments->svg) {
		draw(m);
	} else {
		totals_people(m);
	}
	return r == 0 ? EXIT_OK
		      : complain_result(m->path, "the map ends early", r);
}

int command_map(int argc, char **argv)
{
	static struct map m;
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "oljSsr", map_help)) {
		code = a.code;
	} else if (a.json && a.svg) {
		complain("either --json or --svg");
		code = try_help();
	} else {
		m.path = a.path;
		m.arguments = &a;
		catch_if_writing(a.config);
		code = open_map(&m);
		if (code == EXIT_OK)
			code = show(&m);
		code = target_close(&m.target, &a, code);
	}
	arguments_free(&a);
	return code;
}
