#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Break the engine, one rule at a time, and see whether the simulation finds out.
#
# Each patch NN-name.patch is applied to copies of the files that it names, and a
# simulation is linked with what they compile to. Its first line says what is
# broken. A patch that does not apply, or that no compiler takes, is an error;
# so is a mutant that survives.
#
# Arguments: names or numbers of patches; none: all.
# MUTANT_RUNS, MUTANT_SEED: how many runs, from which seed on. MUTANT_SECONDS:
# when to give one up; a simulation that ends without naming a seed, as when it is
# stopped from outside, has not found anything either.
# What was killed is also in the file `found` of the folder `work`, a line each: the
# name, and the number of the run. That of all, from seed 1 on, is beside this file;
# what survives today has no line there.
# From make: MUTANT_COMPILE, MUTANT_LINK, MUTANT_SIM, MUTANT_LIBS.
set -u
runs=${MUTANT_RUNS:-2000}
seed=${MUTANT_SEED:-1}
seconds=${MUTANT_SECONDS:-600}
work=$top_builddir/tests/sim/mutants/work
bad=0

say() {
	printf '%-26s %-22s %5s s  %s\n' "$1" "$2" "$3" "$4"
}

# The patch $1, named $2: a simulation in $work/$2.
build() {
	rm -rf "$work/$2"
	mkdir -p "$work/$2"
	objects=
	for file in $(sed -n 's,^+++ b/,,p' "$1"); do
		mkdir -p "$work/$2/$(dirname "$file")"
		cp "$top_srcdir/$file" "$work/$2/$file"
	done
	patch -s -f -p1 -F3 -d "$work/$2" <"$1" >"$work/$2/log" 2>&1 || return
	for file in $(sed -n 's,^+++ b/,,p' "$1"); do
		object=$work/$2/$(basename "$file" .c).o
		$MUTANT_COMPILE -w -c -o "$object" "$work/$2/$file" \
			>>"$work/$2/log" 2>&1 || return
		objects="$objects $object"
	done
	$MUTANT_LINK -o "$work/$2/sim" $objects $MUTANT_SIM $MUTANT_LIBS \
		>>"$work/$2/log" 2>&1
}

# Is the patch, by number and name, one of those asked for?
wanted() {
	test "$asked" = "" && return 0
	for one in $asked; do
		case $1 in
		"$one" | "$one"-* | *-"$one") return 0 ;;
		esac
	done
	return 1
}

asked=$*
mkdir -p "$work"
: >"$work/found"
for patch in "$top_srcdir"/tests/sim/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	what=$(sed -n '1s/^# //p' "$patch")
	wanted "$name" || continue
	if ! build "$patch" "$name"; then
		cat "$work/$name/log" >&2
		say "$name" "CANNOT BE BUILT" - "$what"
		bad=1
		continue
	fi
	begin=$(date +%s)
	SEED=$seed timeout "$seconds" "$work/$name/sim" "$runs" \
		>"$work/$name/out" 2>&1
	code=$?
	last=$(sed -n 's/^sim: again: SEED=\([0-9]*\).*/\1/p' \
		"$work/$name/out" | tail -n 1)
	if test "$code" -eq 0; then
		result="SURVIVED $runs runs"
		bad=1
	elif test "$code" -eq 124; then
		result="SURVIVED $seconds s"
		bad=1
	elif test -z "$last"; then
		result="ENDED WITH CODE $code"
		bad=1
	else
		result="killed by run $((last - seed + 1))"
		echo "$name $((last - seed + 1))" >>"$work/found"
		rm -f "$work/$name/sim"
	fi
	say "$name" "$result" $(($(date +%s) - begin)) \
		"$what"
done
exit $bad
