/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulation: whole volumes, a seed decides everything. See sim.h.
 *
 *	./sim                some runs of known seeds, then some of new ones
 *	./sim N              N runs from a new seed on
 *	SIM_SECONDS=n ./sim N  no more once so much time has passed
 *	SEED=n ./sim [N]     from that seed on; one if N is not given
 *	SEED=n ./sim shrink  look for a shorter run that fails, too
 *	CYCLES=n OPS=n       no more cycles in a run, operations in a cycle
 *	VERBOSE=1            what happens
 *
 * The seed is printed first, and a failure prints the command that does it
 * again.
 */
#include "build.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/unit.h"
#include "tests/sim/sim.h"

#define RUNS_KNOWN 30
#define RUNS_NEW   60

static char again[160]; /* the command for the run that goes on */

static uint64_t number(const char *name)
{
	const char *text = getenv(name);

	return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static void died(int sig)
{
	ssize_t n = write(STDERR_FILENO, again, strlen(again));

	(void)n;
	signal(sig, SIG_DFL);
	raise(sig);
}

static void note_command(uint64_t seed, const struct limits *l)
{
	int n = snprintf(again, sizeof(again), "sim: again: SEED=%" PRIu64,
			 seed);

	if (l->cycles != 0)
		n += snprintf(again + n, sizeof(again) - (size_t)n,
			      " CYCLES=%" PRIu64, l->cycles);
	if (l->ops != 0)
		n += snprintf(again + n, sizeof(again) - (size_t)n,
			      " OPS=%" PRIu64, l->ops);
	snprintf(again + n, sizeof(again) - (size_t)n, " tests/sim/sim\n");
}

void note_threads(void)
{
	static const char note[] = " # threads: may need several tries\n";
	size_t n = strcspn(again, "\n");

	if (strchr(again, '#') == NULL && n + sizeof(note) <= sizeof(again))
		memcpy(again + n, note, sizeof(note));
}

static void run_many(uint64_t seed, uint64_t runs, const struct limits *l)
{
	bool verbose = getenv("VERBOSE") != NULL;
	uint64_t seconds = number("SIM_SECONDS");
	time_t begin = time(NULL);

	printf("sim: %" PRIu64 " runs from SEED=%" PRIu64 " on\n", runs, seed);
	for (uint64_t i = 0; i < runs; i++) {
		if (seconds != 0 &&
		    (uint64_t)(time(NULL) - begin) >= seconds)
			break;
		note_command(seed + i, l);
		run_all(seed + i, l, verbose);
	}
	printf("sim: %" PRIu64 " runs, %" PRIu64 " cycles, %" PRIu64
	       " crashes and %" PRIu64 " that might have been, %" PRIu64
	       " recoveries, %" PRIu64 " rebuilds in %lld s\n",
	       totals.runs, totals.cycles, totals.crashes, totals.probes,
	       totals.recoveries, totals.rebuilds,
	       (long long)(time(NULL) - begin));
	printf("sim: of these, %" PRIu64 " crashes in a recovery, %" PRIu64
	       " while slabs were scrubbed"
	       ", %" PRIu64 " of volumes that had been closed so (%" PRIu64
	       "); %" PRIu64 " in read-only mode; %" PRIu64 " in a rebuild\n",
	       totals.reopenings, totals.unscrubbed, totals.crashed_so,
	       totals.closed_so, totals.read_only, totals.rebuilds_cut);
	printf("sim: and %" PRIu64 " rebuilds of what was only not closed; "
	       "%" PRIu64 " openings on a pool; rot: %" PRIu64
	       " volumes that were closed, %" PRIu64 " that were not, %" PRIu64
	       " of them refused or read-only; short storage: %" PRIu64
	       "; trimmed: %" PRIu64 ", discards of these and of volumes in use: "
	       "%" PRIu64 "; %" PRIu64 " maps; %" PRIu64 " calls held\n",
	       totals.rebuilds_open, totals.pools, totals.rots,
	       totals.rots_open, totals.rots_found, totals.short_devices,
	       totals.trims, totals.discards, totals.maps, totals.held);
	printf("sim: %" PRIu64 " were suspended, %" PRIu64
	       " copies of them opened; %" PRIu64 " grew, %" PRIu64
	       " crashes meanwhile; %" PRIu64 " got another engine, %" PRIu64
	       " crashes meanwhile\n",
	       totals.suspended, totals.copies, totals.grown,
	       totals.crashed_growing, totals.changed,
	       totals.crashed_changing);
	printf("sim: the storage failed %" PRIu64 " reads, %" PRIu64
	       " writes, %" PRIu64 " flushes, %" PRIu64 " discards; %" PRIu64
	       " openings with them\n",
	       totals.failed[VDO_DEVICE_READ], totals.failed[VDO_DEVICE_WRITE],
	       totals.failed[VDO_DEVICE_FLUSH],
	       totals.failed[VDO_DEVICE_DISCARD], totals.failed_opening);
}

static uint64_t new_seed(void)
{
	return (uint64_t)time(NULL) * 1000003u % 1000000007u;
}

int main(int argc, char **argv)
{
	struct limits l = {number("CYCLES"), number("OPS")};
	uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && strcmp(argv[1], "shrink") == 0)
		return shrink(number("SEED"), &l);
	signal(SIGABRT, died);
	signal(SIGSEGV, died);
	signal(SIGBUS, died);
	if (getenv("SEED") != NULL) {
		run_many(number("SEED"), runs == 0 ? 1 : runs, &l);
		return 0;
	}
	if (runs == 0) {
		run_many(1, unit_share(RUNS_KNOWN), &l);
		runs = unit_share(RUNS_NEW);
	}
	run_many(new_seed(), runs, &l);
	return 0;
}
