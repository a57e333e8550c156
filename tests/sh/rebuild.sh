#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl read-only and vdoctl rebuild: what they ask, do, and refuse.
. "$(dirname "$0")/vdoctl-lib.sh"

# asked CODE COMMAND...: as expect, with what is in $dir/in as the answer
: >"$dir/in"
asked()
{
	expect "$@" <"$dir/in"
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
	asked 0 "$vdoctl" check "$volume"
}

for command in read-only rebuild; do
	asked 2 "$vdoctl" $command
	asked 2 "$vdoctl" $command "$volume" --nonsense
	asked 2 "$vdoctl" $command "$volume" "$volume"
	asked 2 "$vdoctl" $command "$volume" --repair
	asked 1 "$vdoctl" $command "$volume"
	has "$dir/err" ENOENT
	echo something else >"$dir/other"
	asked 1 "$vdoctl" $command "$dir/other" --yes
	has "$dir/err" ENOTVDO
done
asked 2 "$vdoctl" read-only "$volume" --force

head -c 25165824 /dev/urandom >"$dir/data"
"$vdoctl" format "$volume" --size 64M >/dev/null || exit 1
"$vdoctl" write "$volume" <"$dir/data" || exit 1
state clean

# It asks, and without an answer nothing happens.
sum=$(cksum <"$volume")
asked 1 "$vdoctl" read-only "$volume"
has "$dir/err" 'is clean. It will be read-only'
has "$dir/err" 'Have it read-only? \[y/N\]'
has "$dir/err" 'nothing was changed'
echo n >"$dir/in"
asked 1 "$vdoctl" read-only "$volume"
test "$sum" = "$(cksum <"$volume")" || failed=1
asked 1 "$vdoctl" rebuild "$volume" --yes
has "$dir/err" 'is clean and needs no rebuild'
test "$sum" = "$(cksum <"$volume")" || failed=1
echo yes >"$dir/in"
asked 0 "$vdoctl" read-only "$volume"
has "$dir/out" 'read-only now'
state read-only
asked 0 "$vdoctl" read-only "$volume"
has "$dir/out" 'already'
asked 0 "$vdoctl" info "$volume"
has "$dir/out" '^  which means  *an error ended all writing.*vdoctl rebuild'
"$vdoctl" read "$volume" --length 24M | cmp - "$dir/data" >&2 || failed=1
asked 1 "$vdoctl" write "$volume"
has "$dir/err" EREADONLY

# Out of it again
sum=$(cksum <"$volume")
: >"$dir/in"
asked 1 "$vdoctl" rebuild "$volume"
has "$dir/err" 'is read-only. What of its block map'
has "$dir/err" 'Rebuild it? \[y/N\]'
test "$sum" = "$(cksum <"$volume")" || failed=1
echo Y >"$dir/in"
asked 0 "$vdoctl" rebuild "$volume"
has "$dir/out" 'Rebuilt; the volume is clean'
has "$dir/out" '^  logical blocks lost  *0$'
state clean
whole
asked 0 "$vdoctl" info "$volume" --json
has "$dir/out" '"read_only_recoveries": 1'

: >"$dir/in"
asked 1 "$vdoctl" rebuild "$volume" --force
has "$dir/err" 'If it can be opened'
asked 0 "$vdoctl" rebuild "$volume" --force --yes --json
has "$dir/out" '"found": "force-rebuild"\|"found": "clean"'
has "$dir/out" '"lost_blocks": 0'
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
asked 0 "$vdoctl" info "$volume" --json
has "$dir/out" '"state_means": "it is open or was not closed'
asked 1 "$vdoctl" rebuild "$volume" --yes
has "$dir/err" 'opening it recovers it.*EDIRTY'
asked 1 "$vdoctl" rebuild "$volume" --force
has "$dir/err" 'Opening it recovers it'
state dirty
asked 0 "$vdoctl" rebuild "$volume" --force --yes
state clean
whole

# Interrupted at any time it can be begun again.
asked 0 "$vdoctl" read-only "$volume" --yes
"$vdoctl" rebuild "$volume" --yes >/dev/null 2>&1 &
kill -INT $! 2>/dev/null
wait $!
"$vdoctl" info "$volume" --json | grep -q '"state_name": "clean"' ||
	asked 0 "$vdoctl" rebuild "$volume" --yes
whole

# A page of the block map is gone: what is lost is told.
asked 0 "$vdoctl" read-only "$volume" --yes
root=$("$vdoctl" info "$volume" --json |
	sed -n 's/.*"root_origin": \([0-9]*\).*/\1/p')
dd if=/dev/urandom of="$volume" bs=4096 seek="$root" count=1 conv=notrunc \
	2>/dev/null
asked 0 "$vdoctl" rebuild "$volume" --yes -v
has "$dir/out" '^  logical blocks lost  *[1-9]'
has "$dir/out" '^  0-811: their page of the block map is damaged'
has "$dir/err" 'rebuild: logical blocks dropped, first=0 count=812'
asked 0 "$vdoctl" check "$volume"
exit $failed
