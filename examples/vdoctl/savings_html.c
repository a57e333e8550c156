/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Savings as a page that needs nothing else: its style and charts are in it, and
 * it has no script. It is XML as well, so that programs can read it.
 */
#include "savings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../text.h"

#define CHART_WIDTH 560u
#define BAR_HEIGHT  22u
#define LABEL_WIDTH 170u
#define BAR_WIDTH   (CHART_WIDTH - LABEL_WIDTH - 130u)

static const char style[] =
	":root{color-scheme:light dark;--ink:#1d2530;--faint:#667080;"
	"--line:#d8dde5;--page:#fff;--card:#f6f8fa;--bar:#2f6fb3}\n"
	"@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--faint:#9aa5b4;"
	"--line:#353d49;--page:#14181e;--card:#1c222a;--bar:#63a4e8}}\n"
	"body{margin:2em auto;max-width:76em;padding:0 1em;color:var(--ink);"
	"background:var(--page);font:15px/1.5 system-ui,sans-serif}\n"
	"h1{font-size:1.5em;margin:0;overflow-wrap:anywhere}"
	"h2{font-size:1.05em;margin:0 0 .6em}p{color:var(--faint);margin:.3em 0}\n"
	"main{display:grid;gap:1em;margin-top:1.2em;"
	"grid-template-columns:repeat(auto-fit,minmax(min(100%,30em),1fr))}\n"
	"section{border:1px solid var(--line);border-radius:8px;padding:1em;"
	"background:var(--card);overflow-x:auto}\n"
	"svg{display:block;width:100%;height:auto}"
	"svg text{fill:var(--ink);font-size:13px}svg .n{fill:var(--faint)}"
	"svg rect{fill:var(--bar)}\n"
	"table{border-collapse:collapse;width:100%}"
	"th,td{padding:.25em .6em;text-align:right;"
	"border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}"
	"th:first-child{text-align:left}\n";

/* @s, which may be any bytes. */
static void put_text(FILE *f, const char *s)
{
	char *plain = text_escaped(s);

	for (const char *p = plain; p != NULL && *p != '\0'; p++)
		switch (*p) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*p, f);
		}
	free(plain);
}

static void put_row(FILE *f, const struct savings_row *r, uint64_t sum,
		    uint64_t most, unsigned y)
{
	double share = sum == 0 ? 0 : (double)r->blocks / (double)sum;
	double width = most == 0 ? 0
				 : (double)r->blocks / (double)most *
					   (double)BAR_WIDTH;
	unsigned tenths = (unsigned)(width * 10 + 0.5);
	unsigned promille = (unsigned)(share * 1000 + 0.5);
	char size[SIZE_TEXT];

	fprintf(f, "<text x=\"0\" y=\"%u\">%s</text>", y + 15, r->label);
	fprintf(f,
		"<rect x=\"%u\" y=\"%u\" width=\"%u.%u\" height=\"%u\" "
		"rx=\"2\"><title>%llu blocks</title></rect>",
		LABEL_WIDTH, y + 3, tenths / 10, tenths % 10, BAR_HEIGHT - 6,
		(unsigned long long)r->blocks);
	fprintf(f,
		"<text class=\"n\" x=\"%u\" y=\"%u\">%s, %u.%u%%</text>\n",
		LABEL_WIDTH + 6 + tenths / 10, y + 15,
		size_text(size, r->blocks * 4096), promille / 10,
		promille % 10);
}

static void put_chart(FILE *f, const struct savings_chart *c)
{
	uint64_t sum = savings_sum(c), most = 0;
	char size[SIZE_TEXT];

	for (size_t i = 0; i < c->count; i++)
		if (most < c->rows[i].blocks)
			most = c->rows[i].blocks;
	fprintf(f, "<section><h2>%s</h2>\n<svg viewBox=\"0 0 %u %u\" role=\"img\">\n",
		c->title, CHART_WIDTH, (unsigned)c->count * BAR_HEIGHT);
	for (size_t i = 0; i < c->count; i++)
		put_row(f, &c->rows[i], sum, most, (unsigned)i * BAR_HEIGHT);
	fprintf(f, "</svg>\n<p>Sum: %llu blocks, %s</p></section>\n",
		(unsigned long long)sum, size_text(size, sum * 4096));
}

static void put_why(FILE *f, const struct vdo_savings *s)
{
	fputs("<section><h2>Why not more: different contents</h2>\n"
	      "<table><tr><th></th>",
	      f);
	for (size_t k = 0; k < VDO_SAVINGS_FORMS; k++)
		fprintf(f, "<th>%s</th>", savings_forms[k].label);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < VDO_SAVINGS_COPIES; i++) {
		fprintf(f, "<tr><th>%s</th>", savings_copies[i].label);
		for (size_t k = 0; k < VDO_SAVINGS_FORMS; k++)
			fprintf(f, "<td>%llu</td>",
				(unsigned long long)s->why[i][k]);
		fputs("</tr>\n", f);
	}
	fprintf(f, "</table>\n<p>Cannot be told: %llu</p></section>\n",
		(unsigned long long)s->untold);
}

static void put_top(FILE *f, const struct vdo_savings *s)
{
	fputs("<section><h2>Most shared blocks</h2>\n<table>"
	      "<tr><th>block of storage</th><th>references</th>"
	      "<th>fragments</th></tr>\n",
	      f);
	for (size_t i = 0; i < s->top_count; i++)
		fprintf(f,
			"<tr><th>%llu</th><td>%llu</td><td>%llu</td></tr>\n",
			(unsigned long long)s->top[i].block,
			(unsigned long long)s->top[i].references,
			(unsigned long long)s->top[i].fragments);
	fputs("</table></section>\n", f);
}

static void put_head(FILE *f, const char *volume, const struct vdo_savings *s)
{
	fputs("<!DOCTYPE html>\n"
	      "<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n"
	      "<head><meta charset=\"utf-8\"/>"
	      "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
	      "<title>Savings of ",
	      f);
	put_text(f, volume);
	/* No selector of the style has a character that XML would miss. */
	fprintf(f, "</title>\n<style>\n%s</style></head>\n<body>\n<h1>", style);
	put_text(f, volume);
	fprintf(f,
		"</h1>\n<p>%s%s; %llu logical blocks of 4 KiB from block %llu "
		"on</p>\n",
		s->state_name,
		s->replayed ? ", as it would be after recovery" : "",
		(unsigned long long)s->logical_blocks,
		(unsigned long long)s->first_block);
	if (s->unreferenced_blocks > 0)
		fprintf(f, "<p>Data blocks that nothing leads to: %llu</p>\n",
			(unsigned long long)s->unreferenced_blocks);
	if (s->damaged_pages + s->damaged_mappings > 0)
		fprintf(f,
			"<p>The block map is damaged: %llu pages and %llu "
			"mappings are left out.</p>\n",
			(unsigned long long)s->damaged_pages,
			(unsigned long long)s->damaged_mappings);
	fputs("<main>\n", f);
}

static void put_page(FILE *f, const char *volume, const struct vdo_savings *s)
{
	struct savings_chart c;

	put_head(f, volume, s);
	savings_saved(&c, s);
	put_chart(f, &c);
	savings_logical(&c, s);
	put_chart(f, &c);
	savings_volume(&c, s);
	put_chart(f, &c);
	savings_references(&c, s);
	put_chart(f, &c);
	savings_fragments(&c, s);
	put_chart(f, &c);
	if (s->has_why)
		put_why(f, s);
	put_top(f, s);
	fputs("</main></body></html>\n", f);
}

int savings_html(const char *page, const char *volume,
		 const struct vdo_savings *s)
{
	FILE *f = fopen(page, "wx");
	bool good;

	if (f == NULL)
		return complain_result(page, "make the page", -errno);
	put_page(f, volume, s);
	good = !ferror(f);
	errno = 0;
	good = fclose(f) == 0 && good;
	if (!good)
		return complain_result(page, "write the page",
				       errno != 0 ? -errno : -EIO);
	return EXIT_OK;
}
