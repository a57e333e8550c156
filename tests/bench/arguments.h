/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What vdo-bench was told to do.
 *
 * Runs on: the main thread reads the command line; all threads read what it
 * said. Lifetime: the process's.
 */
#ifndef TESTS_BENCH_ARGUMENTS_H
#define TESTS_BENCH_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench.h"

enum bench_rw {
	RW_WRITE,
	RW_RANDWRITE,
	RW_READ,
	RW_RANDREAD,
	/* of ranges, of any size, without data */
	RW_DISCARD,
	RW_MAP, /* with --sync only */
};

/* The most depths and sizes of a table. */
#define ARGUMENTS_LIST_MAX 32u

struct arguments_list {
	uint64_t values[ARGUMENTS_LIST_MAX];
	unsigned count;
};

#define LOAD_BATCH_MAX 256

struct arguments {
	enum bench_rw rw;
	size_t bs;
	unsigned iodepth;
	uint64_t size;	      /* bytes of the volume that are worked on */
	uint64_t mapped;      /* bytes of them that are written before */
	uint64_t logical;     /* bytes of the volume */
	uint64_t device_size; /* 0: by what is written */
	uint64_t ops, warmup;
	uint64_t runtime_ns;  /* 0: all of ops */
	struct bench_data data;
	bool zeroes, overwrite, sync, cold;
	unsigned batch; /* 0: callbacks submit */
	bool raw;
	int64_t flush_delay_ns; /* -1: the device is as it is */
	bool crossings, json, no_limit;
	bool table;
	struct arguments_list depths, sizes; /* of the table */
	const char *executor, *threads, *device;
	const char *name;
	struct vdo_config *config;
};

/* Read the command line. Ends the process for --help and what makes no sense. */
void arguments_parse(struct arguments *o, int argc, char **argv);

/* An option of the library; ends the process if there is no such value. */
void arguments_set(const struct arguments *o, const char *name,
		 const char *value);

const char *arguments_rw_name(enum bench_rw rw);

static inline bool arguments_reads(const struct arguments *o)
{
	return o->rw == RW_READ || o->rw == RW_RANDREAD;
}

/* --device=mem */
bool arguments_in_memory(const struct arguments *o);

#endif
