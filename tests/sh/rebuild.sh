#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl read-only and vdoctl rebuild: what they ask, do, and refuse.
vdoctl=${VDOCTL:-${top_builddir:-.}/examples/vdoctl/vdoctl}
dir=rebuild-test.$$
failed=0

test -x "$vdoctl" || {
	echo "vdoctl was not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
volume=$dir/volume

# expect CODE COMMAND...: its exit code is CODE; standard input is $dir/in
: >"$dir/in"
expect()
{
	want=$1
	shift
	"$@" <"$dir/in" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq "$want" && return
	echo "exit code $got instead of $want: $*" >&2
	cat "$dir/err" >&2
	failed=1
}

# has FILE PATTERN: the pattern is in it
has()
{
	grep -q "$2" "$dir/$1" && return
	echo "$1 has no \"$2\":" >&2
	cat "$dir/$1" >&2
	failed=1
}

# state NAME: of the volume
state()
{
	found=$("$vdoctl" info "$volume" --json |
		sed -n 's/.*"state_name": "\(.*\)".*/\1/p' | head -n 1)
	test "$found" = "$1" && return
	echo "the volume is $found, not $1" >&2
	failed=1
}

# All is there, and all parts agree with each other.
whole()
{
	"$vdoctl" read "$volume" --length 24M | cmp - "$dir/data" >&2 ||
		failed=1
	expect 0 "$vdoctl" check "$volume"
}

for command in read-only rebuild; do
	expect 2 "$vdoctl" $command
	expect 2 "$vdoctl" $command "$volume" --nonsense
	expect 2 "$vdoctl" $command "$volume" "$volume"
	expect 2 "$vdoctl" $command "$volume" --repair
	expect 1 "$vdoctl" $command "$volume"
	has err ENOENT
	echo something else >"$dir/other"
	expect 1 "$vdoctl" $command "$dir/other" --yes
	has err ENOTVDO
done
expect 2 "$vdoctl" read-only "$volume" --force

head -c 25165824 /dev/urandom >"$dir/data"
"$vdoctl" format "$volume" --size 64M >/dev/null || exit 1
"$vdoctl" write "$volume" <"$dir/data" || exit 1
state clean

# It asks, and without an answer nothing happens.
sum=$(cksum <"$volume")
expect 1 "$vdoctl" read-only "$volume"
has err 'is clean. It will be read-only'
has err 'Have it read-only? \[y/N\]'
has err 'nothing was changed'
echo n >"$dir/in"
expect 1 "$vdoctl" read-only "$volume"
test "$sum" = "$(cksum <"$volume")" || failed=1
expect 1 "$vdoctl" rebuild "$volume" --yes
has err 'is clean and needs no rebuild'
test "$sum" = "$(cksum <"$volume")" || failed=1
echo yes >"$dir/in"
expect 0 "$vdoctl" read-only "$volume"
has out 'read-only now'
state read-only
expect 0 "$vdoctl" read-only "$volume"
has out 'already'
expect 0 "$vdoctl" info "$volume"
has out '^  which means  *an error ended all writing.*vdoctl rebuild'
"$vdoctl" read "$volume" --length 24M | cmp - "$dir/data" >&2 || failed=1
expect 1 "$vdoctl" write "$volume"
has err EREADONLY

# Out of it again
sum=$(cksum <"$volume")
: >"$dir/in"
expect 1 "$vdoctl" rebuild "$volume"
has err 'is read-only. What of its block map'
has err 'Rebuild it? \[y/N\]'
test "$sum" = "$(cksum <"$volume")" || failed=1
echo Y >"$dir/in"
expect 0 "$vdoctl" rebuild "$volume"
has out 'Rebuilt; the volume is clean'
has out '^  logical blocks lost  *0$'
state clean
whole
expect 0 "$vdoctl" info "$volume" --json
has out '"read_only_recoveries": 1'

: >"$dir/in"
expect 1 "$vdoctl" rebuild "$volume" --force
has err 'If it can be opened'
expect 0 "$vdoctl" rebuild "$volume" --force --yes --json
has out '"found": "force-rebuild"\|"found": "clean"'
has out '"lost_blocks": 0'
whole

# A volume whose writer died: not without force, and then too.
mkfifo "$dir/fifo"
"$vdoctl" write "$volume" <"$dir/fifo" &
writer=$!
exec 9>"$dir/fifo"
head -c 1048576 "$dir/data" >&9
kill -KILL $writer
wait $writer 2>/dev/null
exec 9>&-
state dirty
expect 0 "$vdoctl" info "$volume" --json
has out '"state_means": "it is open or was not closed'
expect 1 "$vdoctl" rebuild "$volume" --yes
has err 'opening it recovers it.*EDIRTY'
expect 1 "$vdoctl" rebuild "$volume" --force
has err 'Opening it recovers it'
state dirty
expect 0 "$vdoctl" rebuild "$volume" --force --yes
state clean
whole

# Interrupted at any time it can be begun again.
expect 0 "$vdoctl" read-only "$volume" --yes
"$vdoctl" rebuild "$volume" --yes >/dev/null 2>&1 &
kill -INT $! 2>/dev/null
wait $!
"$vdoctl" info "$volume" --json | grep -q '"state_name": "clean"' ||
	expect 0 "$vdoctl" rebuild "$volume" --yes
whole

# A page of the block map is gone: what is lost is told.
expect 0 "$vdoctl" read-only "$volume" --yes
root=$("$vdoctl" info "$volume" --json |
	sed -n 's/.*"root_origin": \([0-9]*\).*/\1/p')
dd if=/dev/urandom of="$volume" bs=4096 seek="$root" count=1 conv=notrunc \
	2>/dev/null
expect 0 "$vdoctl" rebuild "$volume" --yes -v
has out '^  logical blocks lost  *[1-9]'
has out '^  0 to 811.*: their page of the block map is damaged'
has err 'rebuild: logical blocks dropped, first=0 count=812'
expect 0 "$vdoctl" check "$volume"
exit $failed
