/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/bench/report.h"

#include <stdio.h>

static double a_million(const struct bench_result *r, double n)
{
	return r->ops == 0 ? 0 : n * 1e6 / (double)r->ops;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

/* Device writes for each block of the operations. */
static double writes_per_block(const struct arguments *o,
			       const struct bench_result *r)
{
	return ratio((double)r->device.writes,
		     (double)r->ops * (double)(o->bs / BENCH_BLOCK));
}

static void print_device(const struct arguments *o,
			 const struct bench_result *r)
{
	if (r->raw.iops > 0)
		printf("  raw device %.0f IOPS, %.1f MB/s, p50 %.1f us; "
		       "%.1f %% of it\n",
		       r->raw.iops, r->raw.iops * (double)o->bs / 1e6,
		       r->raw.p50_us, 100 * ratio(r->iops, r->raw.iops));
	if (medium_is_watched())
		printf("  device: %llu reads, %llu writes (%.3f a block), "
		       "%llu with FUA, %llu flushes\n",
		       (unsigned long long)r->device.reads,
		       (unsigned long long)r->device.writes,
		       writes_per_block(o, r),
		       (unsigned long long)r->device.fua,
		       (unsigned long long)r->device.flushes);
}

void report_text(const struct arguments *o, const struct bench_result *r)
{
	printf("%s: rw=%s bs=%zu iodepth=%u executor=%s threads=%s "
	       "device=%s\n",
	       o->name, arguments_rw_name(o->rw), o->bs,
	       o->sync ? 1 : o->iodepth, o->executor, o->threads, o->device);
	printf("  %.0f IOPS, %.1f MB/s, %.2f CPU s per million operations\n",
	       r->iops, r->mb_s, a_million(r, r->cpu_seconds));
	printf("  latency us: p50 %.1f, p99 %.1f, p99.9 %.1f\n", r->p50_us,
	       r->p99_us, r->p999_us);
	if (r->limit_iops > 0)
		printf("  same-run limit %.0f IOPS; share of it %.1f %%\n",
		       r->limit_iops, 100 * r->iops / r->limit_iops);
	print_device(o, r);
	if (o->sync)
		printf("  threads went to sleep %.2f times an operation\n",
		       r->sleeps);
	if (o->crossings)
		printf("  %.2f hand-overs between queues an operation\n",
		       r->crossings);
}

void report_json(const struct arguments *o, const struct bench_result *r)
{
	printf("{\"name\":\"%s\",\"rw\":\"%s\",\"bs\":%zu,\"iodepth\":%u,"
	       "\"executor\":\"%s\",\"threads\":%s,\"ops\":%llu,"
	       "\"iops\":%.0f,\"mb_s\":%.1f,\"cpu_s_per_mop\":%.3f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
	       "\"limit_iops\":%.0f,\"share\":%.4f",
	       o->name, arguments_rw_name(o->rw), o->bs,
	       o->sync ? 1 : o->iodepth, o->executor, o->threads,
	       (unsigned long long)r->ops, r->iops, r->mb_s,
	       a_million(r, r->cpu_seconds), r->p50_us, r->p99_us, r->p999_us,
	       r->limit_iops, ratio(r->iops, r->limit_iops));
	printf(",\"seconds\":%.6f,\"sleeps_per_op\":%.3f,"
	       "\"names_forgotten\":%llu",
	       r->seconds, r->sleeps, (unsigned long long)r->forgotten);
	if (r->raw.iops > 0)
		printf(",\"raw_iops\":%.0f,\"raw_mb_s\":%.1f,"
		       "\"raw_p50_us\":%.1f,\"raw_share\":%.4f",
		       r->raw.iops, r->raw.iops * (double)o->bs / 1e6,
		       r->raw.p50_us, ratio(r->iops, r->raw.iops));
	if (medium_is_watched())
		printf(",\"device_reads\":%llu,\"device_writes\":%llu,"
		       "\"device_fua\":%llu,\"device_flushes\":%llu,"
		       "\"device_read_bytes\":%llu,"
		       "\"device_write_bytes\":%llu,"
		       "\"device_writes_per_block\":%.4f",
		       (unsigned long long)r->device.reads,
		       (unsigned long long)r->device.writes,
		       (unsigned long long)r->device.fua,
		       (unsigned long long)r->device.flushes,
		       (unsigned long long)r->device.read_bytes,
		       (unsigned long long)r->device.write_bytes,
		       writes_per_block(o, r));
	if (o->crossings)
		printf(",\"crossings_per_op\":%.3f", r->crossings);
	puts("}");
}

/* ------------------------------------------------------------------- table */

void report_table_head(const struct arguments *o)
{
	printf("# vdo-bench: rw=%s device=%s executor=%s threads=%s\n"
	       "# raw columns are the device without a volume; NaN: not "
	       "measured\n"
	       "# bs depth iops mb_s p50_us p99_us raw_iops raw_mb_s\n",
	       arguments_rw_name(o->rw), o->device, o->executor, o->threads);
}

void report_table_size(uint64_t bs, unsigned number)
{
	if (number > 0)
		printf("\n\n");
	if (bs % (1 << 20) == 0)
		printf("\"%llu MiB\"\n", (unsigned long long)(bs >> 20));
	else
		printf("\"%llu KiB\"\n", (unsigned long long)(bs >> 10));
}

void report_table_row(uint64_t bs, uint64_t depth, const struct bench_result *r)
{
	printf("%llu %llu %.0f %.1f %.1f %.1f", (unsigned long long)bs,
	       (unsigned long long)depth, r->iops, r->mb_s, r->p50_us,
	       r->p99_us);
	if (r->raw.iops > 0)
		printf(" %.0f %.1f\n", r->raw.iops,
		       r->raw.iops * (double)bs / 1e6);
	else
		puts(" NaN NaN");
	fflush(stdout);
}
