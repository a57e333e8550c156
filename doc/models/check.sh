#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Check the models of this folder exhaustively with spin: as they are, which must
# hold, and with each of their rules taken out, which must fail.
#
#	check.sh [MODEL [BREAK_SWITCH]]
#
# A model says in its first comment what is to be run:
#
#	@run TEXT -DOPTION...
#		as it is
#	@out RULE BREAK_SWITCH -DOPTION...
#		without a rule; a tab, or a line, and a text follow. The switch is
#		named like the mutant of tests/sim/mutants that is broken alike.
#
# KEEP=DIR keeps what was made, and what spin says, in DIR.
set -u
models=$(cd "$(dirname "$0")" && pwd)
: "${CC:=cc}"

command -v spin >/dev/null 2>&1 || {
	echo "check-models: skipped: spin is missing; install the package spin" >&2
	exit 77
}
if [ -n "${KEEP:-}" ]; then
	mkdir -p "$KEEP" && work=$(cd "$KEEP" && pwd) || exit 1
else
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
fi
failed=0
runs=0
began=$(date +%s)

# The lines of a model with what is to be run: kind, rule, switch, text, options.
listed() {
	awk -F '\t' '
	function name(text) {
		gsub(/_/, "-", text)
		return tolower(text)
	}
	/^ \* @(run|out) / {
		count = split(substr($1, 4), word, " ")
		options = ""
		text = ""
		for (i = 2; i <= count; i++)
			if (word[i] ~ /^-D/)
				options = options " " word[i]
			else
				text = text (text == "" ? "" : " ") word[i]
		if (word[1] == "@run")
			print "run|-|-|" text "|" options
		else
			print "out|" word[2] "|" word[3] "|" \
				word[2] " " name(substr(word[3], 7)) \
				"|-D" word[3] options
	}
	/^ \*\/$/ { exit }' "$1"
}

# Run model $1 with options $2, compiled with $3; sets errors, states and seconds.
search() {
	liveness=$(grep -c '^ltl ' "$models/$1.pml")
	if [ "$liveness" -gt 0 ]; then
		compile=-DNFAIR=3
		run='-a -f'
	else
		compile='-DSAFETY -DNOCLAIM'
		run=
	fi
	errors=-
	states=-
	seconds=-
	cd "$work" || exit 1
	rm -f pan pan.*
	# shellcheck disable=SC2086
	spin $2 -a "$models/$1.pml" >out 2>&1 &&
		$CC $3 -w -DCOLLAPSE -DMEMLIM=3000 $compile -o pan pan.c \
			>>out 2>&1 &&
		nice ./pan -m1000000 -c1 $run >>out 2>&1
	if grep -Eq 'max search depth too small|out of memory' out; then
		return
	fi
	errors=$(sed -n 's/.*errors: *\([0-9]*\).*/\1/p' out)
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
	seconds=$(sed -n 's/.*elapsed time \([0-9.]*\) .*/\1/p' out)
	: "${errors:=-}" "${states:=-}" "${seconds:=-}"
}

check() {
	# A failure is found in less time than optimizing takes.
	case $2 in
	run) search "$1" "$5" -O2 ;;
	out) search "$1" "$5" -O0 ;;
	esac
	runs=$((runs + 1))
	case $2.$errors in
	run.0) verdict=holds ;;
	out.[1-9]*) verdict='fails, as it must' ;;
	run.[1-9]*) verdict='FAILS' ;;
	out.0) verdict='HOLDS WITHOUT THE RULE' ;;
	*) verdict='NOT SEARCHED' ;;
	esac
	printf '%-8s %-44.44s %12s %8s  %s\n' "$1" "$4" "$states" "$seconds" \
		"$verdict"
	case $verdict in
	holds | fails*) ;;
	*)
		failed=1
		tail -n 20 "$work/out" | sed 's/^/	/'
		;;
	esac
}

printf '%-8s %-44s %12s %8s  %s\n' model 'run, or rule taken out' states \
	seconds result
only=${1:-}
switch=${2:-}
for file in "$models"/*.pml; do
	model=$(basename "$file" .pml)
	[ -z "$only" ] || [ "$only" = "$model" ] || continue
	listed "$file" >"$work/listed.$model"
	while IFS='|' read -r kind rule name text options <&3; do
		[ -z "$switch" ] || [ "$switch" = "$name" ] || continue
		check "$model" "$kind" "$rule" "$text" "$options"
	done 3<"$work/listed.$model"
done
[ "$runs" -gt 0 ] || {
	echo "check-models: nothing was run" >&2
	exit 1
}
echo "$runs runs, $(($(date +%s) - began)) seconds in all"
exit $failed
