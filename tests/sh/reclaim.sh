#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What is freed goes back to the file system while the volume is used: a file
# from which all was deleted takes what it took when it was empty.
. "$(dirname "$0")/vdoctl-lib.sh"

# taken: bytes that the volume's file takes
taken()
{
	du -B 1 "$volume" | cut -f 1
}

head -c 25165824 /dev/urandom >"$dir/data"
mib=1048576

# Of each kind: how many MiB less after half of the data was discarded?
less()
{
	"$vdoctl" format "$volume" --size 64M --force >/dev/null || exit 1
	"$vdoctl" write "$volume" -o reclaim="$1" <"$dir/data" || exit 1
	before=$(taken)
	"$vdoctl" discard "$volume" --offset 8M --length 8M \
		-o reclaim="$1" || exit 1
	echo $(((before - $(taken)) / mib))
}
test "$(less auto)" -ge 7 || failed=1
test "$(less on)" -ge 7 || failed=1
test "$(less close)" -ge 7 || failed=1
test "$(less off)" -le 1 || failed=1
expect 0 "$vdoctl" trim "$volume"
has "$dir/out" 'The file takes 8\.[0-9]* MiB less than before'

# All of it, twice; then the file has its metadata again, of a few more slabs.
"$vdoctl" format "$volume" --size 64M --force >/dev/null || exit 1
for round in 1 2; do
	"$vdoctl" write "$volume" <"$dir/data" || failed=1
	"$vdoctl" read "$volume" --length 24M | cmp - "$dir/data" >&2 ||
		failed=1
	expect 0 "$vdoctl" discard "$volume" --offset 0 --length 24M
	eval "empty$round=$(taken)"
done
test "$empty1" -le $((4 * mib)) || failed=1
test "$empty2" -le $((empty1 + mib)) || failed=1
expect 0 "$vdoctl" trim "$volume" --json
has "$dir/out" '"freed_bytes": [0-9]\{1,5\}$'
expect 0 "$vdoctl" check "$volume" --data

# An overwrite frees what was there, too.
"$vdoctl" write "$volume" <"$dir/data" || failed=1
full=$(taken)
head -c 25165824 /dev/urandom >"$dir/other"
"$vdoctl" write "$volume" <"$dir/other" || failed=1
test "$(taken)" -le $((full + 2 * mib)) || failed=1
"$vdoctl" read "$volume" --length 24M | cmp - "$dir/other" >&2 || failed=1
exit $failed
