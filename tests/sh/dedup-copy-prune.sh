#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy: snapshots are removed, by number and by rules, and their space comes
# back; the others stay what they are. So it is after runs that were killed, when
# addresses run out, and with archives that are no pools.
. "$(dirname "$0")/dedup-copy-lib.sh"
vdoctl=${VDOCTL:-${top_builddir:-.}/examples/vdoctl/vdoctl}
s=$dir/s

random() # BYTES
{
	head -c "$1" /dev/urandom
}

# Blocks with data in a volume, as vdoctl counts them.
data_blocks()
{
	"$vdoctl" stats --json "$1" |
		sed -n 's/^ *"data_blocks": \([0-9]*\).*/\1/p'
}

sound()
{
	"$vdoctl" check --data "$1" >"$dir/check" 2>&1 && return
	fail "$1 is not sound:"
	cat "$dir/check" >&2
}

# snapshots WANT: those that --snapshots shows
snapshots()
{
	expect 0 --snapshots "$v"
	got=$(sed -n 's/^snapshot \([0-9]*\) .*/\1/p' "$dir/out" | tr '\n' ' ')
	test "$got" = "$1 " || fail "snapshots are $got, not $1"
}

# would_go SNAPSHOTS RULE...: what --prune says
would_go()
{
	going=$1
	shift
	expect 0 --prune --dry-run "$@" "$v"
	got=$(sed -n 's/^snapshot \([0-9]*\) .*/\1/p' "$dir/out" | tr '\n' ' ')
	test "$got" = "$going${going:+ }" || fail "$*: $got would go, not $going"
}

# same SNAPSHOT TREE...: it comes back
same()
{
	snapshot=$1
	shift
	rm -rf "$dir/back"
	expect 0 --extract --snapshot "$snapshot" "$v" "$dir/back"
	for tree; do
		diff -r "$tree" "$dir/back/s" >&2 ||
			fail "snapshot $snapshot is not $tree"
	done
}

# Ten runs with small changes
mkdir -p "$s/sub"
random 3000000 >"$s/large"
random 5001 >"$s/sub/small"
: >"$s/none"
truncate -s 2M "$s/holes"
for i in 1 2 3 4 5 6 7 8; do
	random 10000 >"$s/sub/many$i"
done
i=0
while read -r time; do
	i=$((i + 1))
	random 400000 >"$s/changing"
	echo "change $i" | dd of="$s/large" bs=1000 seek=$((i * 200)) \
		conv=notrunc 2>/dev/null
	random 9000 | dd of="$s/holes" bs=4096 seek=$((i * 10)) conv=notrunc \
		2>/dev/null
	echo "$i" >"$s/sub/new $i"
	test $i -ne 4 || rm "$s/sub/many3" "$s/sub/many6"
	expect 0 --verify --json --time "$time" "$s" "$v"
	test "$(number snapshot)" -eq $i || fail "run $i has another number"
	test $i -eq 1 || test "$(number bytes_stored)" -lt 900000 ||
		fail "run $i stored $(number bytes_stored) bytes"
	cp -a "$s" "$dir/copy$i"
done <<END
2024-05-01 10:00:00
2025-03-03 10:00:00
2025-12-30 10:00:00
2026-01-10 10:00:00
2026-02-20 10:00:00
2026-03-01 08:00:00
2026-03-01 20:00:00
2026-03-02 08:00:00
2026-03-03 08:00:00
2026-03-03 20:00:00
END
sound "$v"

# The rules
would_go '1 2 3 4 5 6 7' --keep-last 3
would_go '' --keep-last 10
would_go '1 2 3 4 5 6 7 9' --keep-daily 2
would_go '1 2 3 4 5 6 8 9' --keep-weekly 2 # March 1 was a Sunday
would_go '1 2 3 6 7 8 9' --keep-monthly 3
would_go '2 4 5 6 7 8 9' --keep-yearly 9
would_go '1 2 4 5 6 7 8' --keep-last 2 --keep-yearly 2
expect 0 --prune --dry-run --json --keep-daily 2 --keep-monthly 3 \
	--keep-yearly 2 "$v"
has "$dir/out" '"dry_run": true'
snapshots '1 2 3 4 5 6 7 8 9 10'
before=$(data_blocks "$v")
expect 0 --prune --json --keep-daily 2 --keep-monthly 3 --keep-yearly 2 "$v"
freed=$(number bytes_freed)
after=$(data_blocks "$v")
test "$freed" -ge 2000000 || fail "only $freed bytes were freed"
test $((before - after)) -ge 490 || fail "$before blocks became $after"
snapshots '3 4 5 8 10'
for i in 3 4 5 8 10; do
	same $i "$dir/copy$i"
done
expect 1 --extract --snapshot 9 "$v" "$dir/none"
has "$dir/err" 'there is no snapshot 9'
sound "$v"

# By number, in any order; numbers are not used again.
expect 1 --remove 4,99 "$v"
has "$dir/err" 'there is no snapshot 99'
expect 0 --dry-run --remove 4 "$v"
snapshots '3 4 5 8 10'
expect 0 --remove 10,4 "$v"
has "$dir/out" '^snapshot 10  removed'
has "$dir/out" '^2 removed, 3 kept'
same 8 "$dir/copy8"
expect 0 --extract "$v" "$dir/newest"
diff -r "$dir/copy8" "$dir/newest/s" >&2 || fail "8 is not the newest"
expect 0 --json "$s" "$v"
test "$(number snapshot)" -eq 11 || fail "a number was used again"
expect 0 --verify "$s" "$v"
expect 0 --remove 11,8,5,3 "$v"
same 12 "$s"
sound "$v"

# Roots that are stored by themselves are pruned by themselves, and keep their
# names; the newest state of each is found.
mkdir -p "$dir/o/s"
echo other >"$dir/o/s/file"
expect 0 "$dir/o/s" "$v"
echo newer >"$dir/o/s/file"
expect 0 "$dir/o/s" "$v"
expect 0 "$s" "$v"
would_go '12 13' --keep-last 1
for i in 14 15; do
	rm -rf "$dir/newest"
	expect 0 --remove $i "$v"
	expect 0 --extract "$v" "$dir/newest"
	diff -r "$s" "$dir/newest/s" >&2 || fail "the other root differs"
	echo other | cmp - "$dir/newest/s~2/file" >&2 ||
		fail "an old root is lost"
done
expect 0 --json "$dir/o/s" "$v"
test "$(number snapshot)" -eq 16 || fail "a number was used again"
expect 0 --list --snapshot 16 "$v"
has "$dir/out" 's~2/file$'
expect 0 --remove 12,13,16 "$v"
expect 1 --list "$v"
has "$dir/err" 'nothing is stored here'
left=$(data_blocks "$v")
test "$left" -le 4 || fail "$left blocks are left of nothing"

# Killed runs: what they leave behind is no snapshot, and goes.
expect 0 "$s" "$v"
clean=$(data_blocks "$v")
random 4000000 >"$dir/big"
mkfifo "$dir/pipe"
got=0
for i in 1 2; do
	while :; do
		"$tool" --progress -o threads=1 -o depth=16 "$dir/big" "$s" \
			"$v" >/dev/null 2>"$dir/pipe" &
		pid=$!
		exec 3<"$dir/pipe"
		dd bs=1 count=1 <&3 >/dev/null 2>&1
		kill -s KILL $pid 2>/dev/null
		wait $pid
		got=$?
		exec 3<&-
		test $got -eq 0 && test "$(wc -c <"$dir/big")" -lt 400000000 ||
			break
		# it was too fast
		expect 0 --prune --keep-last 1 "$v"
		cat "$dir/big" "$dir/big" | tr 'a-y' 'b-z' >"$dir/bigger"
		random 4000000 | cat - "$dir/bigger" >"$dir/big"
	done
	test $got -eq 137 || fail "it was not killed: $got"
	expect 0 --snapshots "$v"
	test "$(grep -c ' as s$' "$dir/out")" -ge 1 || fail "s is gone"
	sound "$v"
done
rm -f "$dir/big" "$dir/bigger" "$dir/pipe"
expect 0 --json "$s" "$v"
last=$(number snapshot)
same "$last" "$s"
expect 0 --prune --keep-last 1 "$v"
expect 0 --extract "$v" "$dir/after"
diff -r "$s" "$dir/after/s" >&2 || fail "a root is lost"
rm -f "$dir/after-big"
expect 0 --snapshots "$v"
for i in $(sed -n 's/^snapshot \([0-9]*\) .*/\1/p' "$dir/out"); do
	test "$i" -eq "$last" || expect 0 --remove "$i" "$v"
done
left=$(data_blocks "$v")
test "$left" -le $((clean + 20)) || fail "$clean blocks became $left"
sound "$v"

# Addresses: each run takes some, and removing gives them back.
v=$dir/small
rm -rf "$dir/copy"*
random 3000000 >"$s/large"
rm -f "$s/holes"
expect 0 --logical-size 72M "$s" "$v"
used=$(data_blocks "$v")
for i in 2 3 4 5 6 7 8 9 10; do
	expect 0 "$s" "$v"
done
now=$(data_blocks "$v")
test "$now" -le $((used + 20)) || fail "$used blocks became $now"
runs=10
while test $runs -lt 40 && "$tool" "$s" "$v" >/dev/null 2>"$dir/err"; do
	runs=$((runs + 1))
done
has "$dir/err" 'no addresses left.*remove snapshots'
expect 0 --remove 3 "$v"
expect 0 --verify "$s" "$v"
expect 1 "$s" "$v"
"$vdoctl" grow "$v" --logical-size 1G >"$dir/out" 2>&1 || fail "it did not grow"
expect 0 --verify "$s" "$v"
same 1 "$s"
sound "$v"

# A full volume gives everything back that a run took.
v=$dir/full
expect 0 --size 64M "$s" "$v"
used=$(data_blocks "$v")
random 90000000 >"$dir/big"
expect 1 "$dir/big" "$v"
has "$dir/err" 'is full'
rm -f "$dir/big"
now=$(data_blocks "$v")
test "$now" -le $((used + 2)) || fail "$used blocks became $now"
same 1 "$s"
expect 0 "$s" "$v"
expect 0 --remove 1 "$v"
sound "$v"

# A snapshot that is damaged can be removed, and is in nobody's way.
v=$dir/damaged
for i in 1 2 3; do
	expect 0 "$s" "$v"
done
head -c 8192 /dev/zero | "$vdoctl" write --force "$v" --offset 16M >"$dir/out" 2>&1 ||
	fail "snapshot 1 was not damaged"
expect 1 --list "$v"
has "$dir/err" 'snapshot 1: '
has "$dir/err" '--remove 1 removes it'
same 2 "$s"
expect 0 --extract "$v" "$dir/undamaged"
diff -r "$s" "$dir/undamaged/s" >&2 || fail "the newest differs"
expect 0 --verify "$s" "$v"
expect 1 --prune --keep-last 1 "$v"
has "$dir/err" '--remove 1 removes it'
expect 0 --remove 1 "$v"
expect 0 --prune --keep-last 1 "$v"
snapshots 4
same 4 "$s"
sound "$v"

# One container for all: as ever, but nothing can be removed. A large volume has
# one if an older program made it.
v=$dir/older
expect 0 --logical-size 20M "$s" "$dir/container"
expect 0 --image --extract "$dir/container" "$dir/image"
truncate -s 100M "$dir/image"
expect 0 --image "$dir/image" "$v"
cp -a "$s" "$dir/first"
echo more >"$s/more"
expect 0 --json --verify "$s" "$v"
test "$(number snapshot)" -eq 2 || fail "nothing was appended"
test "$(number bytes_stored)" -lt 100000 || fail "all was stored again"
snapshots '1 2'
same 1 "$dir/first"
same 2 "$s"
expect 1 --remove 1 "$v"
has "$dir/err" 'store into a new volume'
expect 1 --prune --keep-last 1 "$v"
has "$dir/err" 'store into a new volume'
snapshots '1 2'

# --force: nothing is left of what was there.
random 20000000 >"$dir/image"
truncate -s 100M "$dir/image"
rm -f "$v"
expect 0 --image "$dir/image" "$v"
expect 1 "$s" "$v"
has "$dir/err" 'something else'
expect 0 --force --verify "$s" "$v"
test "$(data_blocks "$v")" -lt 1000 || fail "the image is still there"
expect 1 --image "$dir/image" "$v"
has "$dir/err" 'holds an archive'
head -c 1000000 "$dir/image" >"$dir/little"
expect 0 --force --image "$dir/little" "$v"
expect 1 --list "$v"
expect 0 --image --verify "$dir/image" "$v"
rm -f "$dir/image" "$dir/little"

# Bad input
for n in 0 x 1, ,1 1,,2 -1 4294967296 ''; do
	expect 2 --remove "$n" "$v"
done
expect 2 --remove 1
expect 2 --remove 1 "$v" name
expect 2 --remove 1 --verify "$v"
expect 2 --remove 1 --keep-last 1 "$v"
expect 2 --prune "$v"
has "$dir/err" 'keep-last'
expect 2 --prune --keep-daily 0 "$v"
expect 2 --prune --keep-daily 1x "$v"
expect 2 --prune --keep-daily 1 --exclude x "$v"
expect 2 --keep-daily 1 "$s" "$v"
expect 2 --time yesterday "$s" "$v"
expect 2 --list --time '2026-01-01 00:00:00' "$v"
expect 1 --prune --keep-last 1 "$v"
expect 1 --remove 1 "$dir/nothing"
exit $failed
