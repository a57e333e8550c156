/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vdo-bench prints: lines for people, a line of JSON, or a table for
 * gnuplot.
 */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include "tests/bench/medium.h"
#include "tests/bench/arguments.h"
#include "tests/bench/raw.h"

struct bench_result {
	uint64_t ops; /* that were done */
	double seconds, cpu_seconds, iops, mb_s;
	double p50_us, p99_us, p999_us;
	double sleeps;	   /* how often a thread went to sleep, an operation */
	double crossings;  /* hand-overs between queues, an operation */
	uint64_t forgotten; /* names that left the index for new ones */
	double limit_iops; /* 0: not measured, and so of raw */
	struct raw_result raw;
	struct medium_counts device; /* of the measured part and closing */
};

void report_text(const struct arguments *o, const struct bench_result *r);
void report_json(const struct arguments *o, const struct bench_result *r);

/* A row a depth; the rows of each size are an "index" of gnuplot. */
void report_table_head(const struct arguments *o);
void report_table_size(uint64_t bs, unsigned number);
void report_table_row(uint64_t bs, uint64_t depth,
		      const struct bench_result *r);

#endif
