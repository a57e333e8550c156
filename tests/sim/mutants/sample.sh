#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A few of the broken engines, those that the simulation finds soonest.
test -n "${MUTANT_COMPILE:-}" || exit 77
MUTANT_RUNS=300 exec sh "$top_srcdir/tests/sim/mutants/run.sh" \
	commit-point-ahead rj-no-flush rj-heads-swapped flush-does-not-wait \
	clean-without-counts
