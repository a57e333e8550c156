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
	c.copied = vdo_stats_value(stats, "path.copiedByWriting");
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

static void stop_clock(struct report *r)
{
	r->seconds = (double)(now_ms() - r->start_ms) / 1000;
}

void report_measure(struct report *r)
{
	r->after = ask(r->run->volume);
	stop_clock(r);
}

void report_estimate(struct report *r, const struct counts *counts,
		     bool disk_known, uint64_t metadata)
{
	r->after = *counts;
	r->disk_known = disk_known;
	r->disk_after = r->run->disk_before +
			(counts->data_used + metadata) * BLOCK;
	stop_clock(r);
}

/*
 * In bytes. read + added - zero - duplicate - compression is stored; stored +
 * metadata is grown. What is subtracted or added last is what is left, and may
 * be negative where blocks were overwritten.
 */
struct result {
	uint64_t stored, zero, duplicate;
	int64_t added, compression, metadata, grown;
	double ratio, rate;
};

static struct result work_out(const struct report *r)
{
	uint64_t copied = less(r->after.copied, r->before.copied) * BLOCK;
	uint64_t kept = less(r->bytes_kept, copied);
	uint64_t written = r->bytes_written + copied;
	struct result x;

	x.stored = less(r->after.data_used, r->before.data_used) * BLOCK;
	x.zero = less(r->after.zero, r->before.zero) * BLOCK;
	x.duplicate = less(r->after.duplicate, r->before.duplicate) * BLOCK;
	/* what was read, and what the archive made of it, written or not */
	x.added = (int64_t)(written + kept) - (int64_t)r->bytes_read;
	x.compression =
		(int64_t)written - (int64_t)(x.zero + x.duplicate + x.stored);
	x.duplicate += kept;
	x.grown = (int64_t)r->disk_after - (int64_t)r->run->disk_before;
	x.metadata = x.grown - (int64_t)x.stored;
	x.ratio = (double)r->bytes_read /
		  (double)(x.stored == 0 ? BLOCK : x.stored);
	x.rate = (double)r->bytes_read /
		 (r->seconds < 0.001 ? 0.001 : r->seconds);
	return x;
}

static void print_signed(const char *label, int64_t bytes)
{
	char size[SIZE_TEXT];

	printf("%-23s%s%s\n", label, bytes < 0 ? "-" : "",
	       size_text(size, (uint64_t)(bytes < 0 ? -bytes : bytes)));
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
	print_signed("read", (int64_t)r->bytes_read);
	if (p != NULL)
		print_signed("padding, catalogue", x->added);
	print_signed("saved by zero blocks", (int64_t)x->zero);
	print_signed("saved by deduplication", (int64_t)x->duplicate);
	print_signed("saved by compression", x->compression);
	print_signed("stored", (int64_t)x->stored);
	if (r->disk_known) {
		print_signed("metadata", x->metadata);
		print_signed("disk usage grows by", x->grown);
		print_signed("disk usage of volume", (int64_t)r->disk_after);
	}
	printf("ratio                  %.2f : 1\n", x->ratio);
	printf("time                   %.2f s, %s/s\n", r->seconds,
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
	json_signed(&j, "bytes_added", x->added);
	json_number(&j, "saved_zero", x->zero);
	json_number(&j, "saved_duplicate", x->duplicate);
	json_signed(&j, "saved_compression", x->compression);
	json_number(&j, "bytes_stored", x->stored);
	if (r->disk_known) {
		json_signed(&j, "bytes_metadata", x->metadata);
		json_signed(&j, "disk_growth", x->grown);
		json_number(&j, "disk_usage", r->disk_after);
	}
	json_real(&j, "ratio", x->ratio);
	json_real(&j, "seconds", r->seconds);
	json_number(&j, "bytes_per_second", (uint64_t)x->rate);
	json_end(&j, '}');
}

void report_end(struct report *r)
{
	const struct arguments *a = r->run->arguments;
	struct result x;

	if (!a->dry_run) {
		r->disk_after = disk_used(a->volume);
		r->disk_known = r->disk_after != 0;
	}
	x = work_out(r);
	if (a->json)
		print_json(r, &x);
	else
		print_text(r, &x);
}
