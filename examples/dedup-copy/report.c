/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "report.h"

#include <string.h>
#include <time.h>

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static struct counts ask(struct vdo_volume *volume)
{
	struct counts c = {0};
	struct vdo_stats *stats;

	if (volume == NULL || vdo_stats_get(volume, &stats) != 0)
		return c;
	/* a discarded block counts as a write of zeroes */
	c.zero = less(vdo_stats_value(stats, "path.zero"),
		      vdo_stats_value(stats, "biosIn.discard"));
	c.duplicate = vdo_stats_value(stats, "path.duplicate") +
		      vdo_stats_value(stats, "path.inFlightDuplicate");
	c.data_used = vdo_stats_value(stats, "dataBlocksUsed");
	vdo_stats_free(stats);
	return c;
}

void report_start(struct report *r, struct run *run)
{
	memset(r, 0, sizeof(*r));
	r->run = run;
	r->start_ms = now_ms();
	if (!run->arguments->dry_run)
		r->before = ask(run->volume);
}

/* In bytes. */
struct result {
	uint64_t stored, zero, duplicate, compression;
	double ratio, seconds, rate;
};

static struct result work_out(const struct report *r)
{
	struct result x;

	x.stored = less(r->after.data_used, r->before.data_used) * BLOCK;
	x.zero = less(r->after.zero, r->before.zero) * BLOCK;
	x.duplicate = less(r->after.duplicate, r->before.duplicate) * BLOCK;
	x.compression = less(r->bytes_written, x.zero + x.duplicate + x.stored);
	x.duplicate += r->bytes_kept;
	x.ratio = (double)r->bytes_read /
		  (double)(x.stored == 0 ? BLOCK : x.stored);
	x.seconds = (double)(now_ms() - r->start_ms) / 1000;
	x.rate =
		(double)r->bytes_read / (x.seconds < 0.001 ? 0.001 : x.seconds);
	return x;
}

static void print_text(const struct report *r, const struct result *x)
{
	const struct plan *p = r->plan;
	char size[SIZE_TEXT];

	if (r->run->arguments->dry_run)
		printf("dry run: nothing was written\n");
	else if (p != NULL) {
		printf("snapshot %u of ", (unsigned)r->snapshot);
		text_print(stdout, r->run->arguments->volume);
		putchar('\n');
	}
	if (p != NULL)
		printf("%llu files, %llu directories, %llu others\n",
		       (unsigned long long)p->files,
		       (unsigned long long)p->directories,
		       (unsigned long long)p->others);
	printf("read                   %s\n", size_text(size, r->bytes_read));
	printf("stored                 %s\n", size_text(size, x->stored));
	printf("saved by zero blocks   %s\n", size_text(size, x->zero));
	printf("saved by deduplication %s\n", size_text(size, x->duplicate));
	printf("saved by compression   %s\n", size_text(size, x->compression));
	printf("ratio                  %.2f : 1\n", x->ratio);
	printf("time                   %.2f s, %s/s\n", x->seconds,
	       size_text(size, (uint64_t)x->rate));
}

static void print_json(const struct report *r, const struct result *x)
{
	const struct arguments *a = r->run->arguments;
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "volume", a->volume);
	json_bool(&j, "dry_run", a->dry_run);
	json_bool(&j, "warnings", r->run->warned);
	if (r->plan != NULL) {
		json_number(&j, "snapshot", r->snapshot);
		json_number(&j, "files", r->plan->files);
		json_number(&j, "directories", r->plan->directories);
		json_number(&j, "others", r->plan->others);
	}
	json_number(&j, "bytes_read", r->bytes_read);
	json_number(&j, "bytes_stored", x->stored);
	json_number(&j, "saved_zero", x->zero);
	json_number(&j, "saved_duplicate", x->duplicate);
	json_number(&j, "saved_compression", x->compression);
	json_real(&j, "ratio", x->ratio);
	json_real(&j, "seconds", x->seconds);
	json_number(&j, "bytes_per_second", (uint64_t)x->rate);
	json_end(&j, '}');
}

void report_end(struct report *r, const struct counts *after)
{
	struct result x;

	r->after = after != NULL ? *after : ask(r->run->volume);
	x = work_out(r);
	if (r->run->arguments->json)
		print_json(r, &x);
	else
		print_text(r, &x);
}
