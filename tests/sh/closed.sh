#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that are started with standard descriptors closed: whatever they
# print or read, the volume is not what has the descriptor's number.
top=${top_builddir:-.}
vdoctl=$top/examples/vdoctl/vdoctl
copy=$top/examples/dedup-copy/dedup-copy
bench=$top/tests/bench/vdo-bench
dir=closed-test.$$
failed=0

test -x "$vdoctl" && test -x "$copy" || {
	echo "the programs were not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# without MASK COMMAND...: bit 0 of MASK closes standard input, bit 1 output,
# bit 2 error
without()
{
	mask=$1
	shift
	case $mask in
	1) "$@" <&- ;;
	2) "$@" >&- ;;
	3) "$@" <&- >&- ;;
	4) "$@" 2>&- ;;
	5) "$@" <&- 2>&- ;;
	6) "$@" >&- 2>&- ;;
	7) "$@" <&- >&- 2>&- ;;
	esac
}

# good WHAT FILE: it is a volume, and clean
good()
{
	"$vdoctl" info "$2" >"$dir/out" 2>&1 &&
		grep -Eq 'state +(clean|new)' "$dir/out" && return
	echo "closed $mask, $1: the volume is not clean any more:" >&2
	head -5 "$dir/out" >&2
	failed=1
}

# code WANT WHAT: the exit code was WANT
code()
{
	got=$?
	test $got -eq "$1" && return
	echo "closed $mask, $2: exit code $got instead of $1" >&2
	failed=1
}

head -c 20000 /dev/urandom >"$dir/data"
mkdir "$dir/source"
cp "$dir/data" "$dir/source/file"

for mask in 1 2 3 4 5 6 7; do
	v=$dir/v$mask
	a=$dir/a$mask
	input=$((mask & 1)) output=$((mask >> 1 & 1))

	# What only succeeds if it can print is allowed to fail.
	without $mask "$vdoctl" format "$v" --size 64M --logical-size 16K \
		>"$dir/out" 2>&1
	good format "$v"
	# There is more data than fits: a message, with the volume open.
	test $input -eq 1 || {
		without $mask "$vdoctl" write "$v" <"$dir/data"
		code 1 "too much data"
		good "too much data" "$v"
		"$vdoctl" read "$v" | cmp - "$dir/data" 2>&1 | grep -q EOF || {
			echo "closed $mask: other data was written" >&2
			failed=1
		}
	}
	test $input -eq 0 || {
		without $mask "$vdoctl" write "$v"
		code 1 "no input"
		good "no input" "$v"
		"$vdoctl" read "$v" --length 4 >"$dir/out"
		grep -q dmvd "$dir/out" && {
			echo "closed $mask: the volume is in itself" >&2
			failed=1
		}
	}
	for command in info stats read "index info" "index verify" \
		"index rebuild" trim "discard --offset 0 --length 4096"; do
		without $mask "$vdoctl" $command "$v"
		good "$command" "$v"
	done >/dev/null

	"$copy" --no-progress "$dir/source" "$a" >/dev/null 2>&1 || failed=1
	# A source that is missing: a message, with the volume open.
	without $mask "$copy" --json "$dir/missing" "$dir/source" "$a"
	good "dedup-copy" "$a"
	without $mask "$copy" --list "$a"
	code $output "--list"
	mkdir "$dir/x$mask"
	without $mask "$copy" --extract "$a" "$dir/x$mask"
	good "--extract" "$a"
	find "$dir/x$mask" -name file -exec cmp {} "$dir/data" \; >"$dir/out"
	test -s "$dir/out" && {
		echo "closed $mask: other data was extracted" >&2
		failed=1
	}
	test -x "$bench" && {
		without $mask "$bench" --device="$dir/bench" --size=4M \
			--ops=100 --no-limit
		good bench "$dir/bench"
	}
done >/dev/null 2>"$dir/errors"
grep '^closed' "$dir/errors" >&2 && failed=1
exit $failed
