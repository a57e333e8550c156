#!/bin/sh
# vdoctl from format to discard, on a file; and its exit codes.
vdoctl=${VDOCTL:-${top_builddir:-.}/examples/vdoctl/vdoctl}
dir=vdoctl-test.$$
failed=0

test -x "$vdoctl" || {
	echo "vdoctl was not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
volume=$dir/volume

# expect CODE COMMAND...: its exit code is CODE
expect()
{
	want=$1
	shift
	"$@" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq $want && return
	echo "exit code $got instead of $want: $*" >&2
	cat "$dir/err" >&2
	failed=1
}

# has FILE PATTERN: the pattern is in it
has()
{
	grep -q -- "$2" "$1" && return
	echo "no \"$2\" in:" >&2
	cat "$1" >&2
	failed=1
}

# Usage
expect 2 "$vdoctl"
has "$dir/err" 'which command'
expect 2 "$vdoctl" nonsense
expect 2 "$vdoctl" format
expect 2 "$vdoctl" format "$volume" --nonsense
expect 2 "$vdoctl" format "$volume" --slab-bits 99
has "$dir/err" '9..23'
expect 2 "$vdoctl" format "$volume" -o nonsense=1
expect 2 "$vdoctl" format "$volume" -o depth
expect 2 "$vdoctl" read "$volume" --offset 1.5K
expect 2 "$vdoctl" discard "$volume"
expect 2 "$vdoctl" info "$volume" --offset 1
expect 2 "$vdoctl" info "$volume" "$volume"
test ! -e "$volume" || failed=1
for command in format info stats write read discard options; do
	expect 0 "$vdoctl" "$command" --help
	has "$dir/out" "Usage: vdoctl $command"
done
expect 0 "$vdoctl" --help
expect 0 "$vdoctl" --version
expect 0 "$vdoctl" options --json
has "$dir/out" '"name": "slab-bits"'

# A volume
expect 1 "$vdoctl" info "$volume"
has "$dir/err" ENOENT
expect 0 "$vdoctl" format "$volume" --size 64M --logical-size 100M
expect 1 "$vdoctl" format "$volume" --size 64M
expect 0 "$vdoctl" info "$volume"
expect 0 "$vdoctl" info "$volume" --json
has "$dir/out" '"state_name": "'
expect 0 "$vdoctl" stats "$volume"
# Opened read-only, its slabs are not loaded: no number.
has "$dir/out" '^data blocks used *: N/A$'
expect 0 "$vdoctl" stats -o read-only=off "$volume"
has "$dir/out" '^data blocks used *: [0-9]\{1,6\}$'
expect 0 "$vdoctl" stats "$volume" --json
has "$dir/out" '^{'

# Data at odd places
awk 'BEGIN { for (i = 0; i < 200000; i++) print "line", i }' >"$dir/data"
size=$(($(wc -c <"$dir/data")))
for place in 0 5 4095 4096 1000003; do
	for alignment in 512 4096; do
		expect 0 "$vdoctl" write "$volume" --offset $place \
			-o alignment=$alignment <"$dir/data"
		expect 0 "$vdoctl" read "$volume" --offset $place \
			--length $size -o alignment=$alignment
		cmp "$dir/data" "$dir/out" >&2 || failed=1
	done
done
printf 'XYZnonsense' >"$dir/short"
expect 0 "$vdoctl" write "$volume" --offset 1000010 --length 3 <"$dir/short"
expect 0 "$vdoctl" read "$volume" --offset 1000003 --length 17
printf 'line 0\nXYZe 1\nlin' | cmp - "$dir/out" >&2 || failed=1

expect 0 "$vdoctl" discard "$volume" --offset 1000007 --length 20000
expect 0 "$vdoctl" read "$volume" --offset 1000003 --length 20007
{ printf line; head -c 20000 /dev/zero
  tail -c +20005 "$dir/data" | head -c 3; } | cmp - "$dir/out" >&2 || failed=1

# The end
expect 1 "$vdoctl" read "$volume" --offset 1P
expect 1 "$vdoctl" read "$volume" --length 1P
head -c 5000 "$dir/data" >"$dir/short"
expect 0 "$vdoctl" write "$volume" --offset $(((64 << 20) - 5000)) \
	<"$dir/short"
exit $failed
