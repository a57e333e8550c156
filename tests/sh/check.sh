#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl check on a file: its exit codes, questions, JSON, repair and undo.
. "$(dirname "$0")/vdoctl-lib.sh"

# The last output is one JSON object.
is_json()
{
	command -v python3 >/dev/null 2>&1 || return
	python3 -m json.tool <"$dir/out" >"$dir/json" && return
	cat "$dir/out" >&2
	failed=1
}

# field NAME: of the volume
field()
{
	"$vdoctl" info "$volume" --json |
		sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p"
}

# put BLOCK BYTE OCTAL: change one byte
put()
{
	# shellcheck disable=SC2059
	printf "\\$3" | dd of="$volume" bs=1 seek=$(($1 * 4096 + $2)) \
		conv=notrunc 2>/dev/null
}

# Usage
expect 0 "$vdoctl" check --help
has "$dir/out" '--undo-from'
expect 16 "$vdoctl" check
expect 16 "$vdoctl" check "$volume" --nonsense
expect 16 "$vdoctl" check "$volume" --yes
expect 16 "$vdoctl" check "$volume" --undo "$dir/u"
expect 16 "$vdoctl" check "$volume" --undo-from "$dir/u" --repair
expect 8 "$vdoctl" check "$volume"
head -c 100000 /dev/zero >"$dir/zero"
expect 8 "$vdoctl" check "$dir/zero"
has "$dir/err" 'no VDO volume'

# Undamaged
"$vdoctl" format "$volume" --size 64M >/dev/null || exit 1
expect 0 "$vdoctl" check "$volume"
head -c 3000000 /dev/urandom | "$vdoctl" write "$volume" || exit 1
"$vdoctl" read "$volume" >"$dir/before" || exit 1
expect 0 "$vdoctl" check "$volume" --data
has "$dir/out" 'Nothing is wrong'
expect 0 "$vdoctl" check "$volume" --json --data
has "$dir/out" '"findings": 0'
is_json
expect 0 "$vdoctl" check "$volume" --repair
test ! -e "$volume.undo" || failed=1

# A count that is wrong: found, mended, undone, mended elsewhere
depot=$(field depot_start)
counts=$((depot + $(field slab_data_blocks)))
put $counts 8 001
cp "$volume" "$dir/damaged"
expect 4 "$vdoctl" check "$volume"
has "$dir/out" '^page-count: loses data'
has "$dir/out" 'logical blocks 0-811'
expect 4 "$vdoctl" check "$volume" --json
has "$dir/out" '"name": "page-count"'
is_json
cmp -s "$volume" "$dir/damaged" || failed=1
expect 1 "$vdoctl" check "$volume" --repair
has "$dir/err" 'volume.undo has what was there before'
expect 0 "$vdoctl" check "$volume"
expect 8 "$vdoctl" check "$volume" --undo-from "$dir/zero"
expect 0 "$vdoctl" check "$volume" --undo-from "$volume.undo"
cmp "$volume" "$dir/damaged" || failed=1
expect 8 "$vdoctl" check "$volume" --repair
has "$dir/err" 'there already'
expect 1 "$vdoctl" check "$volume" --repair --undo "$dir/undo" --json
is_json
has "$dir/out" '"left": 0'
"$vdoctl" read "$volume" | cmp - "$dir/before" || failed=1
expect 8 "$vdoctl" check "$dir/damaged" --undo-from /dev/null

# A page that is damaged is given up only after a yes
cp "$volume" "$dir/good"
rm -f "$volume.undo"
put "$depot" 18 252
cp "$volume" "$dir/damaged"
expect 4 "$vdoctl" check "$volume" --repair
has "$dir/err" 'Do it?'
has "$dir/out" '^page-damaged: loses data'
cmp -s "$volume" "$dir/damaged" || failed=1
echo n | "$vdoctl" check "$volume" --repair >"$dir/out" 2>&1
test $? -eq 4 || failed=1
cmp -s "$volume" "$dir/damaged" || failed=1
echo y | "$vdoctl" check "$volume" --repair >"$dir/out" 2>&1
test $? -eq 1 || failed=1
expect 0 "$vdoctl" check "$volume"
rm -f "$volume.undo"
cp "$dir/damaged" "$volume"
expect 1 "$vdoctl" check "$volume" --repair --yes
expect 0 "$vdoctl" check "$volume" --undo-from "$volume.undo"
cmp "$volume" "$dir/damaged" || failed=1

# An interrupt while it asks is a no, and no harm at any other time.
rm -f "$volume.undo"
mkfifo "$dir/answers"
"$vdoctl" check "$volume" --repair >"$dir/out" 2>"$dir/err" \
	<"$dir/answers" &
pid=$!
exec 3>"$dir/answers"
until grep -q 'Do it?' "$dir/err"; do
	kill -0 $pid 2>/dev/null || break
done
kill -TERM $pid
wait $pid
code=$?
exec 3>&-
test $code -eq 4 || test $code -eq 32 || {
	echo "interrupted: exit code $code" >&2
	failed=1
}
cmp -s "$volume" "$dir/damaged" || failed=1

exit $failed
