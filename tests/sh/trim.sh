#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl trim: a file gets smaller, and holds what it held.
. "$(dirname "$0")/vdoctl-lib.sh"

# taken: bytes that the volume's file takes
taken()
{
	du -B 1 "$volume" | cut -f 1
}

expect 2 "$vdoctl" trim
expect 2 "$vdoctl" trim "$volume" --nonsense
expect 2 "$vdoctl" trim "$volume" "$volume"
expect 2 "$vdoctl" trim "$volume" --force
expect 1 "$vdoctl" trim "$volume"
has "$dir/err" ENOENT
echo something else >"$dir/other"
expect 1 "$vdoctl" trim "$dir/other"
has "$dir/err" ENOTVDO

head -c 25165824 /dev/urandom >"$dir/data"
"$vdoctl" format "$volume" --size 64M >/dev/null || exit 1
"$vdoctl" write "$volume" <"$dir/data" || exit 1
"$vdoctl" discard "$volume" --offset 8M --length 8M -o reclaim=off || exit 1
size=$(wc -c <"$volume")
before=$(taken)
expect 0 "$vdoctl" trim "$volume"
has "$dir/out" 'are free and were given back, in [0-9]* ranges'
has "$dir/out" 'The file takes 8\.[0-9]* MiB less than before'
test "$(taken)" -le $((before - 8388608)) || failed=1
test "$(wc -c <"$volume")" -eq "$size" || failed=1
"$vdoctl" read "$volume" --length 8M >"$dir/read"
cmp -n 8388608 "$dir/read" "$dir/data" >&2 || failed=1
"$vdoctl" read "$volume" --offset 16M --length 8M |
	cmp - "$dir/data" 0 16777216 >&2 || failed=1
expect 0 "$vdoctl" check "$volume" --data
expect 0 "$vdoctl" trim "$volume" --json
has "$dir/out" '"slabs_left": 0'
has "$dir/out" '"freed_bytes": 0'

# One that was not closed is recovered, one that went read-only is refused.
"$vdoctl" read-only "$volume" --yes >/dev/null || failed=1
expect 1 "$vdoctl" trim "$volume"
has "$dir/err" 'rebuild it first.*EREBUILD'
"$vdoctl" rebuild "$volume" --yes >/dev/null || failed=1
expect 0 "$vdoctl" discard "$volume" --offset 0 --length 24M -o reclaim=off
expect 0 "$vdoctl" trim "$volume"
test "$(taken)" -le $((before - 23 * 1048576)) || failed=1

chmod 400 "$volume"
test "$(id -u)" -eq 0 || expect 1 "$vdoctl" trim "$volume"
exit $failed
