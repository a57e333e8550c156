#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy: what is stored again takes addresses for what changed alone, each
# snapshot comes back as it was, and running out of addresses is said.
. "$(dirname "$0")/dedup-copy-lib.sh"

store() # ARGUMENT...
{
	"$tool" --no-progress --json "$@" >"$dir/out" 2>"$dir/err" || {
		fail "exit $?: $*"
		cat "$dir/err" >&2
	}
}

random() # BYTES
{
	head -c "$1" /dev/urandom
}

# What is read is stored or saved, in whole blocks.
adds_up()
{
	read=$(number bytes_read)
	sum=$(($(number bytes_stored) + $(number saved_zero) + \
		$(number saved_duplicate) + $(number saved_compression)))
	test $sum -ge $read || fail "$1: $sum of $read bytes accounted for"
}

# A volume with addresses for four times the data takes any number of
# snapshots that change little.
mkdir "$dir/s"
random 2000000 >"$dir/s/a"
random 300001 >"$dir/s/b"
head -c 500000 /dev/zero >"$dir/s/zero"
echo small >"$dir/s/c"
truncate -s 3M "$dir/s/holes"
random 100000 | dd of="$dir/s/holes" bs=4096 seek=200 conv=notrunc 2>/dev/null
store --size 100M --logical-size 12M --verify "$dir/s" "$v"
for i in 1 2 3 4 5 6 7 8; do
	cp -a "$dir/s" "$dir/copy$i"
	# one block in the middle, some at the end, less of another
	echo "change $i" | dd of="$dir/s/a" bs=1000 seek=$((i * 150)) \
		conv=notrunc 2>/dev/null
	random 5000 >>"$dir/s/b"
	truncate -s $((3000000 - i * 1000)) "$dir/s/holes"
	echo "$i" >>"$dir/s/c"
	store --verify "$dir/s" "$v"
	test "$(number bytes_stored)" -lt 1000000 ||
		fail "run $i stored $(number bytes_stored) bytes"
	adds_up "run $i"
done
for i in 1 4 8; do
	"$tool" --no-progress --extract --snapshot $i "$v" "$dir/back$i" ||
		fail "snapshot $i cannot be extracted"
	diff -r "$dir/copy$i" "$dir/back$i/s" >&2 || fail "snapshot $i differs"
done

# The same size and time, but other contents, are not taken for the same.
random 400000 >"$dir/s/d"
touch -d 2001-01-01 "$dir/s/d"
store "$dir/s" "$v"
random 400000 >"$dir/s/d"
touch -d 2001-01-01 "$dir/s/d"
store --verify "$dir/s" "$v"
"$tool" --no-progress --extract "$v" "$dir/last"
cmp "$dir/s/d" "$dir/last/s/d" >&2 || fail "old contents under a new file"

# A dry run says the same as the run does.
store --dry-run "$dir/s" "$v"
test "$(number bytes_stored)" -lt 100000 ||
	fail "the dry run would store $(number bytes_stored) bytes"

# No addresses left is no lack of space.
random 20000000 >"$dir/s/e"
"$tool" --no-progress "$dir/s" "$v" >/dev/null 2>"$dir/err" &&
	fail "more was stored than can be addressed"
grep -q 'no addresses left' "$dir/err" || {
	fail "it was not said that addresses ran out:"
	cat "$dir/err" >&2
}
rm "$dir/s/e"
store --verify "$dir/s" "$v"
exit $failed
