#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A few of the broken engines that the simulation finds soon: others each day, or
# those of the day that MUTANT_DAY names.
test -n "${MUTANT_COMPILE:-}" || exit 77
folder=$top_srcdir/tests/sim/mutants
day=${MUTANT_DAY:-$(($(date +%s) / 86400))}
# Those that die by run 20; every STEPth of them, from another one on each day.
sample=$(awk -v day="$day" -v step=13 '
	!/^#/ && $2 <= 20 && n++ % step == day % step { print $1 }
	' "$folder/found")
echo "MUTANT_DAY=$day"
MUTANT_RUNS=300 exec sh "$folder/run.sh" $sample
