/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl savings: what a volume saves, and why the rest was not saved.
 */
#include "savings.h"

#include <string.h>

#define BAR_WIDTH 32u

static const char savings_help[] =
	"Usage: vdoctl savings FILE [--offset N] [--length N] [--why] "
	"[--everywhere]\n"
	"                           [--json | --html PAGE] [-v] "
	"[-o NAME=VALUE]...\n"
	"Show what deduplication and compression save in a volume that is not "
	"open, or in\na range of it. One that was not closed is told as it would "
	"be after recovery.\nNothing is changed.\n\n"
	"  --offset N     the range begins at byte N (0)\n"
	"  --length N     and has N bytes (all to the end)\n"
	"  --why          read the data of the range, and say why the rest was "
	"not saved\n"
	"  --everywhere   look for copies in all of the volume\n"
	"  --json         for programs\n"
	"  --html PAGE    as a page with charts; PAGE must not be there\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

const struct savings_row savings_copies[VDO_SAVINGS_COPIES] = {
	[VDO_SAVINGS_SHARED] = {"shared", "shared", 0},
	[VDO_SAVINGS_UNIQUE] = {"unique", "unique", 0},
	[VDO_SAVINGS_MISSED] = {"missed", "stale advice", 0},
	[VDO_SAVINGS_LIMITED] = {"limited", "reference limit", 0},
};

const struct savings_row savings_forms[VDO_SAVINGS_FORMS] = {
	[VDO_SAVINGS_PACKED] = {"packed", "compressed", 0},
	[VDO_SAVINGS_INCOMPRESSIBLE] = {"incompressible", "incompressible", 0},
	[VDO_SAVINGS_ALONE] = {"alone", "alone in the packer", 0},
};

/*
 * Charts
 */

static void row(struct savings_chart *c, const char *name, const char *label,
		uint64_t blocks)
{
	c->rows[c->count++] = (struct savings_row){name, label, blocks};
}

uint64_t savings_sum(const struct savings_chart *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->count; i++)
		sum += c->rows[i].blocks;
	return sum;
}

void savings_volume(struct savings_chart *c, const struct vdo_savings *s)
{
	*c = (struct savings_chart){.title = "Physical blocks of the volume"};
	row(c, "data_blocks", "data", s->data_blocks);
	row(c, "block_map_blocks", "metadata: block map", s->block_map_blocks);
	row(c, "overhead_blocks", "metadata: other", s->overhead_blocks);
	row(c, "free_blocks", "free", s->free_blocks);
}

void savings_logical(struct savings_chart *c, const struct vdo_savings *s)
{
	*c = (struct savings_chart){.title = "Logical blocks"};
	row(c, "unmapped", "never written", s->unmapped);
	row(c, "zero", "zeroes", s->zero);
	row(c, "uncompressed", "not compressed", s->uncompressed);
	row(c, "compressed", "compressed", s->compressed);
}

void savings_saved(struct savings_chart *c, const struct vdo_savings *s)
{
	*c = (struct savings_chart){.title = "Where the data went"};
	row(c, "saved_by_deduplication", "saved by deduplication",
	    s->saved_by_deduplication);
	row(c, "saved_by_compression", "saved by compression",
	    s->saved_by_compression);
	row(c, "distinct_uncompressed", "stored whole",
	    s->distinct_uncompressed);
	row(c, "compressed_blocks", "stored compressed", s->compressed_blocks);
}

void savings_references(struct savings_chart *c, const struct vdo_savings *s)
{
	static const struct {
		const char *label;
		unsigned last;
	} bins[] = {{"1", 1},	      {"2", 2},		{"3-4", 4},
		    {"5-8", 8},	      {"9-16", 16},	{"17-32", 32},
		    {"33-64", 64},    {"65-128", 128},	{"129-253", 253},
		    {"254", 254},     {"more", 255}};

	*c = (struct savings_chart){.title = "Stored blocks by references"};
	for (size_t i = 0, n = 1; i < sizeof(bins) / sizeof(bins[0]); i++) {
		uint64_t blocks = 0;

		for (; n <= bins[i].last; n++)
			blocks += s->references[n];
		if (bins[i].last < 255 || blocks > 0)
			row(c, NULL, bins[i].label, blocks);
	}
}

void savings_fragments(struct savings_chart *c, const struct vdo_savings *s)
{
	static const char *const labels[] = {
		"",  "1", "2", "3",  "4",  "5",	 "6", "7",
		"8", "9", "10", "11", "12", "13", "14"};

	*c = (struct savings_chart){.title = "Compressed blocks by fragments"};
	for (unsigned i = 1; i <= 14; i++)
		row(c, NULL, labels[i], s->fragments[i]);
}

/*
 * JSON
 */

static void rows_json(struct json *j, const struct savings_chart *c)
{
	for (size_t i = 0; i < c->count; i++)
		json_number(j, c->rows[i].name, c->rows[i].blocks);
}

static void histogram_json(struct json *j, const char *name,
			   const uint64_t *blocks, size_t count)
{
	json_begin(j, name, '[');
	for (size_t i = 1; i < count; i++) {
		if (blocks[i] == 0)
			continue;
		json_begin(j, NULL, '{');
		json_number(j, "count", i);
		json_number(j, "blocks", blocks[i]);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void top_json(struct json *j, const struct vdo_savings *s)
{
	json_begin(j, "most_shared", '[');
	for (size_t i = 0; i < s->top_count; i++) {
		json_begin(j, NULL, '{');
		json_number(j, "block", s->top[i].block);
		json_number(j, "references", s->top[i].references);
		json_number(j, "fragments", s->top[i].fragments);
		json_end(j, '}');
	}
	json_end(j, ']');
}

static void why_json(struct json *j, const struct vdo_savings *s)
{
	json_begin(j, "why", '{');
	for (size_t i = 0; i < VDO_SAVINGS_COPIES; i++) {
		json_begin(j, savings_copies[i].name, '{');
		for (size_t k = 0; k < VDO_SAVINGS_FORMS; k++)
			json_number(j, savings_forms[k].name, s->why[i][k]);
		json_end(j, '}');
	}
	json_number(j, "untold", s->untold);
	json_end(j, '}');
}

static void savings_json(const struct vdo_savings *s)
{
	struct json j = {.file = stdout};
	struct savings_chart c;

	json_begin(&j, NULL, '{');
	json_string(&j, "state", s->state_name);
	json_bool(&j, "replayed", s->replayed);
	json_bool(&j, "counted", s->counted);
	json_number(&j, "physical_blocks", s->physical_blocks);
	savings_volume(&c, s);
	rows_json(&j, &c);
	json_number(&j, "unreferenced_blocks", s->unreferenced_blocks);
	json_number(&j, "damaged_pages", s->damaged_pages);
	json_number(&j, "damaged_mappings", s->damaged_mappings);
	json_number(&j, "first_block", s->first_block);
	json_number(&j, "logical_blocks", s->logical_blocks);
	savings_logical(&c, s);
	rows_json(&j, &c);
	savings_saved(&c, s);
	rows_json(&j, &c);
	json_number(&j, "stored_blocks", s->stored_blocks);
	json_number(&j, "distinct_compressed", s->distinct_compressed);
	json_number(&j, "exclusive_blocks", s->exclusive_blocks);
	histogram_json(&j, "references", s->references, 256);
	histogram_json(&j, "fragments", s->fragments, 15);
	top_json(&j, s);
	if (s->has_why)
		why_json(&j, s);
	json_end(&j, '}');
}

/*
 * Text
 */

static void line(const char *label, uint64_t blocks)
{
	char text[SIZE_TEXT];

	printf("  %-26s %llu blocks, %s\n", label, (unsigned long long)blocks,
	       size_text(text, blocks * 4096));
}

static void chart_text(const struct savings_chart *c)
{
	uint64_t sum = savings_sum(c);

	printf("%s\n", c->title);
	for (size_t i = 0; i < c->count; i++) {
		const struct savings_row *r = &c->rows[i];
		double share = sum == 0 ? 0 : (double)r->blocks / (double)sum;
		unsigned bar = (unsigned)(share * BAR_WIDTH + 0.5);
		char text[SIZE_TEXT];

		printf("  %-23s %12llu %12s %5.1f%% ", r->label,
		       (unsigned long long)r->blocks,
		       size_text(text, r->blocks * 4096), 100 * share);
		for (unsigned k = 0; k < bar; k++)
			putchar('#');
		putchar('\n');
	}
	{
		char text[SIZE_TEXT];

		printf("  %-23s %12llu %12s\n\n", "sum",
		       (unsigned long long)sum, size_text(text, sum * 4096));
	}
}

static void why_text(const struct vdo_savings *s)
{
	printf("Why not more (different contents)\n  %-17s", "");
	for (size_t k = 0; k < VDO_SAVINGS_FORMS; k++)
		printf(" %19s", savings_forms[k].label);
	putchar('\n');
	for (size_t i = 0; i < VDO_SAVINGS_COPIES; i++) {
		printf("  %-17s", savings_copies[i].label);
		for (size_t k = 0; k < VDO_SAVINGS_FORMS; k++)
			printf(" %19llu", (unsigned long long)s->why[i][k]);
		putchar('\n');
	}
	if (s->untold > 0)
		printf("  %-17s %19llu\n", "cannot be told",
		       (unsigned long long)s->untold);
	putchar('\n');
}

static void top_text(const struct vdo_savings *s)
{
	printf("Most shared blocks\n  %20s %10s %10s\n", "block of storage",
	       "references", "fragments");
	for (size_t i = 0; i < s->top_count; i++)
		printf("  %20llu %10llu %10llu\n",
		       (unsigned long long)s->top[i].block,
		       (unsigned long long)s->top[i].references,
		       (unsigned long long)s->top[i].fragments);
}

static void notes_text(const struct vdo_savings *s)
{
	if (s->unreferenced_blocks > 0)
		line("data that nothing leads to", s->unreferenced_blocks);
	if (s->damaged_pages + s->damaged_mappings > 0)
		complain("the block map is damaged (%llu pages, %llu mappings), "
			 "and that is left out; 'vdoctl check' tells more",
			 (unsigned long long)s->damaged_pages,
			 (unsigned long long)s->damaged_mappings);
}

static void savings_text(const struct vdo_savings *s)
{
	static void (*const charts[])(struct savings_chart *,
				      const struct vdo_savings *) = {
		savings_volume, savings_logical, savings_saved,
		savings_references, savings_fragments};
	struct savings_chart c;

	printf("Volume: %s%s\n", s->state_name,
	       s->replayed ? ", as it would be after recovery" : "");
	printf("Range: %llu blocks from block %llu on\n\n",
	       (unsigned long long)s->logical_blocks,
	       (unsigned long long)s->first_block);
	for (size_t i = 0; i < sizeof(charts) / sizeof(charts[0]); i++) {
		charts[i](&c, s);
		if (i < 4 || s->compressed_blocks > 0)
			chart_text(&c);
	}
	if (s->has_why)
		why_text(s);
	if (s->exclusive_blocks < s->stored_blocks)
		line("stored for others as well",
		     s->stored_blocks - s->exclusive_blocks);
	notes_text(s);
	if (s->top_count > 0)
		top_text(s);
}

/*
 * The command
 */

static int show(const struct arguments *a)
{
	struct vdo_savings_range range = {a->offset, a->length};
	unsigned flags = (a->why ? VDO_SAVINGS_WHY : 0) |
			 (a->everywhere ? VDO_SAVINGS_EVERYWHERE : 0);
	struct vdo_savings s;
	struct vdo_error error;
	struct vdo_job *job;
	int code = EXIT_OK;

	catch_interrupts();
	if (vdo_savings(a->path, a->config, &range, flags, &job, &error) != 0 ||
	    job_finish(job, &error) != 0 ||
	    vdo_savings_get(job, &s, sizeof(s)) != 0)
		code = complain_vdo(a->path, &error);
	else if (a->html != NULL)
		code = savings_html(a->html, a->path, &s);
	else if (a->json)
		savings_json(&s);
	else
		savings_text(&s);
	vdo_job_free(job);
	return code;
}

static bool arguments_agree(const struct arguments *a)
{
	if (a->has_length && a->length == 0)
		complain("--length 0 is no range");
	else if (a->everywhere && !a->why)
		complain("--everywhere is for --why");
	else if (a->json && a->html != NULL)
		complain("--json or --html, not both");
	else
		return true;
	(void)try_help();
	return false;
}

int command_savings(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "oljweH", savings_help))
		code = a.code;
	else if (!arguments_agree(&a))
		code = EXIT_USAGE;
	else
		code = show(&a);
	arguments_free(&a);
	return code;
}
