#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl from format to discard, on a file; its index commands; its exit codes.
. "$(dirname "$0")/vdoctl-lib.sh"

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
expect 2 "$vdoctl" read "$volume" --offset 1.5
has "$dir/err" '64MiB or 1.5G'
expect 2 "$vdoctl" read "$volume" --offset 64MB
expect 2 "$vdoctl" format "$volume" --size 0
has "$dir/err" '"0" is not a value for option size; it takes auto, 1M..256T'
expect 2 "$vdoctl" discard "$volume"
expect 2 "$vdoctl" info "$volume" --offset 1
expect 2 "$vdoctl" info "$volume" "$volume"
test ! -e "$volume" || failed=1
for command in check estimate format grow info index read-only rebuild trim sub savings stats map write read discard options; do
	expect 0 "$vdoctl" "$command" --help
	has "$dir/out" "Usage: vdoctl $command"
done
expect 0 "$vdoctl" --help
expect 0 "$vdoctl" --version
expect 0 "$vdoctl" options --json
has "$dir/out" '"name": "slab-bits"'

# Names and arguments reach the terminal escaped.
esc=$(printf '\033[31m')
for arguments in "info $dir/$esc" "info --x$esc" "info -$esc" "info --json=$esc" \
	"format $volume -o $esc=1" "format $volume --size $esc" "$esc" \
	"read $volume --offset $esc"; do
	# shellcheck disable=SC2086
	"$vdoctl" $arguments >"$dir/out" 2>"$dir/err" && failed=1
	has "$dir/err" '\\033'
	grep -qF "$esc" "$dir/err" && failed=1
done
expect 0 "$vdoctl" format "$dir/$esc" --size 64M
has "$dir/out" '\\033\[31m: 64.00 MiB'

# It grows: a file with it, and as much as it can be addressed.
expect 0 "$vdoctl" format "$dir/grows" --size 64M -o slab-bits=10
seq 1000 2000 >"$dir/numbers"
expect 0 "$vdoctl" write "$dir/grows" <"$dir/numbers"
expect 1 "$vdoctl" grow "$dir/grows" --size 60M
has "$dir/err" 'smaller.*EINVAL'
expect 0 "$vdoctl" grow "$dir/grows"
has "$dir/out" '^67108864 bytes'
expect 0 "$vdoctl" grow "$dir/grows" --size 100M --logical-size 1T
has "$dir/out" '^104857600 bytes of storage in [0-9]* slabs; 1099511627776 bytes'
test "$(wc -c <"$dir/grows")" -eq 104857600 || failed=1
expect 0 "$vdoctl" check "$dir/grows"
expect 0 "$vdoctl" read "$dir/grows" --length "$(wc -c <"$dir/numbers")"
cmp "$dir/out" "$dir/numbers" || failed=1

# What will be made: nothing is changed, and nothing else is made.
expect 0 "$vdoctl" format -n "$dir/planned" --size 8G
has "$dir/out" 'would be 8.00 GiB of storage, 7\.[67]. GiB can be addressed'
has "$dir/out" '^holds 7\.[67]. GiB of 8.00 GiB (9[56]\..%); index 128'
test ! -e "$dir/planned" || failed=1
expect 0 "$vdoctl" format -n "$dir/planned" --size 8G --json
cp "$dir/out" "$dir/plan"
has "$dir/plan" '"dry_run": true'
expect 0 "$vdoctl" estimate "$dir/planned" --size 8G
has "$dir/out" "at most"
expect 0 "$vdoctl" estimate "$dir/planned" --size 8G --json
has "$dir/out" '"storage": 8589934592'
expect 1 "$vdoctl" estimate "$dir/planned" --size 8G -o memory=1M
has "$dir/err" "lower depth"
expect 1 "$vdoctl" estimate "$dir/planned"
expect 0 "$vdoctl" format "$dir/planned" --size 8G --json
sed 's/"dry_run": true/"dry_run": false/' "$dir/plan" | cmp - "$dir/out" ||
	failed=1
expect 1 "$vdoctl" format -n "$dir/planned"
has "$dir/err" ESIGNATURE
expect 0 "$vdoctl" info "$dir/planned" --json
for name in logical_blocks physical_blocks slab_count slab_blocks \
	slab_data_blocks recovery_journal_blocks; do
	value=$(sed -n "s/^ *\"$name\": \([0-9]*\),*/\1/p" "$dir/plan")
	has "$dir/out" "\"$name\": $value,\{0,1\}\$"
done
expect 1 "$vdoctl" format -n "$dir/tiny" --size 1M
has "$dir/err" 'needs at least'
expect 1 "$vdoctl" format -n "$dir/tiny"
has "$dir/err" ENOENT
rm "$dir/planned"

# A volume
expect 1 "$vdoctl" info "$volume"
has "$dir/err" ENOENT
expect 0 "$vdoctl" format "$volume" --size 0.0625GiB --logical-size '100 MiB'
has "$dir/out" '64.00 MiB of storage, 100.00 MiB can be addressed'
expect 1 "$vdoctl" format "$volume" --size 64M
expect 0 "$vdoctl" info "$volume"
expect 0 "$vdoctl" info "$volume" --json
has "$dir/out" '"state_name": "'
expect 0 "$vdoctl" stats "$volume"
# Opened read-only, its slabs are not loaded: counted all the same.
has "$dir/out" '^data blocks used *: 0$'
has "$dir/out" '^bytes available *: [0-9]*$'
if grep -q N/A "$dir/out"; then
	echo "a closed volume has N/A" >&2
	failed=1
fi
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

# -v: what is done, and the log
expect 0 "$vdoctl" write -v "$volume" --offset 4096 <"$dir/short"
has "$dir/err" 'writing: 5000 bytes from byte 4096 on'
has "$dir/err" '^vdoctl write: .*volume'
expect 0 "$vdoctl" read --verbose "$volume" --length 10
has "$dir/err" 'reading: 10 bytes from byte 0 on'
expect 0 "$vdoctl" format -v "$dir/verbose" --size 64M

# Maps: text, JSON and a picture say the same.
map=$dir/map
expect 0 "$vdoctl" format "$map" --size 64M --logical-size 1G
head -c 102400 /dev/urandom >"$dir/random"
expect 0 "$vdoctl" write "$map" --offset 1M <"$dir/random"
head -c 40960 /dev/zero >"$dir/zeroes"
expect 0 "$vdoctl" write "$map" --offset 8M <"$dir/zeroes"
expect 0 "$vdoctl" write "$map" --offset 512M -o compression=on <"$dir/data"
expect 0 "$vdoctl" map "$map" --length 10M
awk '{ $1 = $1; print }' >"$dir/want" <<-END
	0 1048576 hole
	1048576 102400 data
	1150976 7237632 hole
	8388608 40960 zero
	8429568 2056192 hole

	hole 3 extents, 9.86 MiB
	zero 1 extents, 40.00 KiB
	data 1 extents, 100.00 KiB
	compressed 0 extents, 0 B
END
awk '{ $1 = $1; print }' "$dir/out" | diff "$dir/want" - >&2 || failed=1
expect 0 "$vdoctl" map "$map"
has "$dir/out" '^ *536870912 *[0-9]*  compressed$'
expect 0 "$vdoctl" map "$map" --json --offset 1M --length 100K
has "$dir/out" '"kind": "data"'
has "$dir/out" '"bytes": 102400'
has "$dir/out" '"complete": true'
expect 0 "$vdoctl" map "$map" --svg
test "$(grep -c '#c8502d' "$dir/out")" -ge 2 || failed=1
test "$(grep -c '#5a8f3c' "$dir/out")" -ge 2 || failed=1
has "$dir/out" '^</svg>$'
has "$dir/out" 'a square is 256.00 KiB'
expect 2 "$vdoctl" map "$map" --svg --json
expect 1 "$vdoctl" map "$map" --offset 1000
has "$dir/err" EINVAL
expect 1 "$vdoctl" map "$map" --length 2G
expect 0 "$vdoctl" map "$map" --offset 1G
expect 0 "$vdoctl" map "$map" --svg --length 0
rm "$map"

# How full it is: 100 blocks that differ, 50 of them twice, and zeroes
sum()
{
	total=0
	for n in "$@"; do
		total=$((total + $(number "$n")))
	done
	echo $total
}
number()
{
	sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" "$dir/out" | head -n 1
}
full=$dir/full
head -c 409600 /dev/urandom >"$dir/random"
expect 0 "$vdoctl" format "$full" --size 64M
expect 0 "$vdoctl" write "$full" -o compression=off <"$dir/random"
head -c 204800 "$dir/random" >"$dir/half"
expect 0 "$vdoctl" write "$full" --offset 1M -o compression=off <"$dir/half"
head -c 40960 /dev/zero >"$dir/zeroes"
expect 0 "$vdoctl" write "$full" --offset 2M <"$dir/zeroes"
expect 0 "$vdoctl" stats "$full" --exact --json
has "$dir/out" '"level": "mapped"'
for want in zero=10 uncompressed=150 compressed=0 distinct_uncompressed=100 \
	shared_blocks=50 saved_by_deduplication=50 saved_by_compression=0 \
	data_blocks=100 logical_blocks_used=160 dataBlocksUsed=100 \
	saving_percent=37 unreferenced_blocks=0; do
	test "$(number ${want%=*})" = "${want#*=}" || {
		echo "${want%=*} is $(number ${want%=*}), not ${want#*=}" >&2
		failed=1
	}
done
test "$(sum unmapped zero uncompressed compressed)" -eq \
	"$(number logical_blocks)" || failed=1
test "$(sum overhead_blocks block_map_blocks data_blocks free_blocks)" -eq \
	"$(number physical_blocks)" || failed=1
test "$(($(number free_blocks) * 4096))" -eq \
	"$(number path.availableBytes)" || failed=1
expect 0 "$vdoctl" stats "$full"
has "$dir/out" '^ *data  *100 blocks, 400.00 KiB$'
has "$dir/out" '^  known  *exactly$'
expect 0 "$vdoctl" info "$full"
has "$dir/out" '^  known  *about$'
has "$dir/out" '^ *free  *[0-9]* blocks'
expect 2 "$vdoctl" info "$full" --exact
expect 2 "$vdoctl" read "$full" -U

# While somebody has it open it can be looked at, with a warning; what was not
# closed tells what was saved before.
mkfifo "$dir/fifo"
"$vdoctl" write "$full" --offset 4M <"$dir/fifo" 2>"$dir/err2" &
writer=$!
exec 9>"$dir/fifo"
until "$vdoctl" info -U "$full" 2>/dev/null | grep -q 'state *dirty'; do
	kill -0 $writer || break
done
expect 1 "$vdoctl" info "$full"
has "$dir/err" EINUSE
has "$dir/err" '-U looks at it'
expect 1 "$vdoctl" stats "$full"
has "$dir/err" EINUSE
cp "$full" "$dir/dirty"
sum=$(cksum <"$full")
expect 0 "$vdoctl" info -U "$full"
has "$dir/err" 'may have changed it'
has "$dir/out" '^  known  *as of the last time'
has "$dir/out" '^ *data  *N/A$'
expect 0 "$vdoctl" info --unlocked --json "$full"
has "$dir/out" '"level": "saved"'
test "$sum" = "$(cksum <"$full")" || failed=1
exec 9>&-
wait $writer || failed=1
expect 0 "$vdoctl" stats "$dir/dirty"
has "$dir/out" '^  no more, because  *it is open or was not closed$'
has "$dir/out" '^  logical, used  *160 blocks'
has "$dir/out" '^ *free  *N/A$'
expect 1 "$vdoctl" stats "$dir/dirty" -o read-only=off -o recover=off
has "$dir/err" EDIRTY
expect 0 "$vdoctl" stats "$dir/dirty" -o read-only=off
has "$dir/out" '^completed recovery count  *: 1$'

# The index of a volume that is not open
expect 2 "$vdoctl" index
has "$dir/err" 'info, verify or rebuild'
expect 2 "$vdoctl" index nonsense "$volume"
expect 2 "$vdoctl" index verify
expect 2 "$vdoctl" index info "$volume" --offset 1
for command in info verify rebuild; do
	expect 0 "$vdoctl" index $command --help
	has "$dir/out" "vdoctl index $command FILE"
	expect 1 "$vdoctl" index $command "$dir/nothing"
	has "$dir/err" ENOENT
	expect 1 "$vdoctl" index $command "$dir/data"
	has "$dir/err" 'no VDO volume'
done

# number NAME: in the last output, JSON
number()
{
	sed -n "s/.*\"$1\": \([0-9]*\),\{0,1\}\$/\1/p" "$dir/out" | head -n 1
}

# ruin FILE BLOCK
ruin()
{
	tr '\0' '\245' </dev/zero | dd of="$1" bs=4096 count=1 seek="$2" \
		iflag=fullblock conv=notrunc 2>/dev/null || failed=1
}

# whole FILE: its index is saved and without faults
whole()
{
	expect 0 "$vdoctl" index info "$1"
	has "$dir/out" '^  state  *saved$'
	expect 0 "$vdoctl" index verify "$1"
	has "$dir/out" '^  faults  *0$'
}

expect 0 "$vdoctl" format "$dir/none" --size 64M --index-memory none
expect 0 "$vdoctl" info "$dir/none"
has "$dir/out" '^  index memory  *none$'
expect 0 "$vdoctl" index info "$dir/none"
has "$dir/out" '^  memory  *none$'
expect 1 "$vdoctl" index verify "$dir/none"
has "$dir/err" 'without an index'
expect 1 "$vdoctl" index rebuild "$dir/none"

# New, used, rebuilt
rm -f "$volume"
expect 0 "$vdoctl" format "$volume" --size 64M
expect 0 "$vdoctl" info "$volume"
has "$dir/out" '^  index memory  *2.00 MiB, small: Linux does not use it$'
expect 0 "$vdoctl" index info "$volume"
has "$dir/out" '^  state  *none$'
expect 0 "$vdoctl" index verify "$volume"
expect 0 "$vdoctl" index rebuild "$volume"
has "$dir/out" 'made a new, empty one'
whole "$volume"
head -c 24M /dev/urandom >"$dir/random"
expect 0 "$vdoctl" write "$volume" <"$dir/random"
whole "$volume"
expect 0 "$vdoctl" index verify "$volume" --json
test "$(number chapters)" -gt 1 || failed=1
expect 0 "$vdoctl" index rebuild "$volume"
has "$dir/out" '^Rebuilt from [0-9]* chapters'
whole "$volume"
expect 0 "$vdoctl" index rebuild "$volume" --json
has "$dir/out" '"formatted": false'
whole "$volume"

# Damage is found, named, and gone after a rebuild
expect 0 "$vdoctl" index info "$volume" --json
first=$(number first_block)
records=$((first + 2 + 8 * (1 + $(number index_pages))))
saves=$((first + 2 + $(number volume_blocks)))
save=$(number save_blocks)
cp "$volume" "$dir/good"
ruin "$volume" $records
expect 1 "$vdoctl" index verify "$volume"
has "$dir/out" '^  record page: chapter 0: '
expect 1 "$vdoctl" index verify "$volume" --json
has "$dir/out" '"kind": "record page"'
expect 0 "$vdoctl" index rebuild "$volume"
has "$dir/out" '^Chapters that were damaged and left out: 1'
whole "$volume"

cp "$dir/good" "$volume"
ruin "$volume" $((first + 2 + 8))
expect 1 "$vdoctl" index verify "$volume"
has "$dir/out" '^  chapter: chapter 0: '
expect 0 "$vdoctl" index rebuild "$volume"
whole "$volume"

# Without its saves it waits for a rebuild; that is no fault.
cp "$dir/good" "$volume"
ruin "$volume" $saves
ruin "$volume" $((saves + save))
expect 0 "$vdoctl" index info "$volume"
has "$dir/out" '^  state  *needs rebuild$'
expect 0 "$vdoctl" index verify "$volume"
expect 0 "$vdoctl" index rebuild "$volume"
whole "$volume"

cp "$dir/good" "$volume"
for block in 1 2 3 4 5; do
	ruin "$volume" $((saves + block))
	ruin "$volume" $((saves + save + block))
done
expect 1 "$vdoctl" index verify "$volume"
has "$dir/out" '^  save: '
expect 0 "$vdoctl" index rebuild "$volume"
whole "$volume"

cp "$dir/good" "$volume"
ruin "$volume" "$first"
expect 0 "$vdoctl" index info "$volume"
has "$dir/out" '^  state  *damaged$'
expect 1 "$vdoctl" index verify "$volume"
has "$dir/out" '^  super block: '
expect 0 "$vdoctl" index rebuild "$volume"
has "$dir/out" 'could not be rebuilt'
whole "$volume"
expect 0 "$vdoctl" read "$volume" --length 24M
cmp "$dir/random" "$dir/out" >&2 || failed=1

# Interrupted at any time it leaves an index behind.
cp "$dir/good" "$volume"
"$vdoctl" index rebuild "$volume" >/dev/null 2>&1 &
kill -INT $! 2>/dev/null
wait $!
whole "$volume"

# Files that may not be written
chmod a-w "$volume"
whole "$volume"
test -w "$volume" || expect 1 "$vdoctl" index rebuild "$volume"
chmod u+w "$volume"

# Indexes that Linux wrote
golden=${VDO_GOLDEN:-${top_srcdir:-$(dirname "$0")/../..}/tests/golden}
for name in dense sparse; do
	image=kernel-${name}256
	tar -C "$dir" -xJf "$golden/index/$image.tar.xz" || exit 1
	whole "$dir/$image.img"
	expect 0 "$vdoctl" index verify "$dir/$image.img" --json
	test "$(number entries)" -eq 70000 || failed=1
	rm -f "$dir/$image.img"
done
for image in clean-zones grown; do
	zstd --version >/dev/null 2>&1 || {
		echo "volumes of Linux are left out: zstd is missing" >&2
		break
	}
	zstd -q -d --sparse "$golden/kernel/$image.img.zst" \
		-o "$dir/image" || exit 1
	chmod u+w "$dir/image"
	whole "$dir/image"
	expect 0 "$vdoctl" index rebuild "$dir/image"
	has "$dir/out" '^Rebuilt from'
	whole "$dir/image"
	rm -f "$dir/image"
done
exit $failed
