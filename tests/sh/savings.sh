#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl savings: numbers that are known and add up, as text, JSON and a page;
# ranges; what is refused; and a volume of Linux against its own dump.
. "$(dirname "$0")/vdoctl-lib.sh"
golden=${VDO_GOLDEN:-${top_srcdir:-$(dirname "$0")/../..}/tests/golden}

# number NAME: of $dir/out; 0 if it is not there
number()
{
	sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" "$dir/out" |
		awk 'NR == 1 { n = $1 } END { print n + 0 }'
}

# is NAME VALUE: in $dir/out
is()
{
	test "$(number "$1")" -eq "$2" && return
	echo "$1 is $(number "$1"), not $2" >&2
	failed=1
}

# sum NAME...
sum()
{
	total=0
	for name; do
		total=$((total + $(number "$name")))
	done
	echo $total
}

# All sums of the JSON in $dir/out hold.
adds_up()
{
	is physical_blocks "$(sum data_blocks block_map_blocks \
		overhead_blocks free_blocks)"
	is logical_blocks "$(sum unmapped zero uncompressed compressed)"
	test "$(sum uncompressed compressed)" -eq \
		"$(sum saved_by_deduplication saved_by_compression \
			stored_blocks)" || failed=1
	is stored_blocks "$(sum distinct_uncompressed compressed_blocks)"
	for name in references fragments; do
		sed -n "/\"$name\": \[/,/\]/s/^ *\"blocks\": //p" "$dir/out" |
			awk '{ n += $1 } END { print n + 0 }' >"$dir/sum"
		test $name = references && all=stored_blocks ||
			all=compressed_blocks
		is $all "$(cat "$dir/sum")"
	done
}

# Blocks 0..99 are random, 200..299 the same; 400..402 one block, of zeroes 500
expect 0 "$vdoctl" format "$volume" --size 64M
head -c 409600 /dev/urandom >"$dir/random"
head -c 4096 "$dir/random" >"$dir/one"
expect 0 "$vdoctl" write "$volume" <"$dir/random"
expect 0 "$vdoctl" write "$volume" --offset 800K <"$dir/random"
expect 0 "$vdoctl" write "$volume" --offset 1600K <"$dir/one"
expect 0 "$vdoctl" write "$volume" -o deduplication=off --offset 1604K \
	<"$dir/one"
head -c 4096 /dev/zero >"$dir/zero"
expect 0 "$vdoctl" write "$volume" --offset 2000K <"$dir/zero"

expect 0 "$vdoctl" savings "$volume" --why --json
adds_up
is zero 1
is uncompressed 202
is saved_by_deduplication 101
is saved_by_compression 0
is stored_blocks 101
is exclusive_blocks 101
is damaged_pages 0
# In the order of "shared", "unique", "missed", "limited"
sed -n 's/^ *"incompressible": \([0-9]*\),*$/\1/p' "$dir/out" |
	tr '\n' ' ' >"$dir/why"
case $(cat "$dir/why") in
"100 0 1 0 " | "99 1 1 0 ") ;; # as the copy is behind the first one, or before
*)
	cat "$dir/why" >&2
	failed=1
	;;
esac

# One block, by itself and with all others
expect 0 "$vdoctl" savings "$volume" --offset 1604K --length 4K --why --json
adds_up
is first_block 401
is logical_blocks 1
sed -n 's/^ *"incompressible": \([0-9]*\),*$/\1/p' "$dir/out" |
	tr '\n' ' ' | grep -qx '0 1 0 0 ' || failed=1
expect 0 "$vdoctl" savings "$volume" --offset 1604K --length 4K --why \
	--everywhere --json
sed -n 's/^ *"incompressible": \([0-9]*\),*$/\1/p' "$dir/out" |
	tr '\n' ' ' | grep -qx '0 0 1 0 ' || failed=1
expect 0 "$vdoctl" savings "$volume" --offset 800K --length 400K --json
adds_up
is stored_blocks 100
is exclusive_blocks 0
grep -q '"why"' "$dir/out" && failed=1

# In words
expect 0 "$vdoctl" savings "$volume" --why
has "$dir/out" '^  saved by deduplication  *101 .* 50\.0% ################$'
has "$dir/out" '^  stale advice  *0  *1  *0$'
has "$dir/out" '^  sum  *202 '
has "$dir/out" '^Most shared blocks'

# A page, which is XML, needs nothing else, and has names escaped
odd=$dir'/<b>&"'
cp "$volume" "$odd"
expect 0 "$vdoctl" savings "$odd" --why --html "$dir/page"
has "$dir/page" '&lt;b&gt;&amp;&quot;</h1>'
grep -qiE '<b>|<script|@import|url\(|src=|href=' "$dir/page" && failed=1
# The only address is the name of what it is.
test "$(grep -o 'https*://[^"]*' "$dir/page")" = \
	http://www.w3.org/1999/xhtml || failed=1
test "$(grep -c '<svg' "$dir/page")" -eq 5 || failed=1
if xmllint --version >/dev/null 2>&1; then
	xmllint --noout --nonet "$dir/page" >&2 || failed=1
fi
expect 1 "$vdoctl" savings "$volume" --html "$volume"
has "$dir/err" EEXIST
expect 0 "$vdoctl" check "$volume"

# Usage, and what is refused
expect 2 "$vdoctl" savings
expect 2 "$vdoctl" savings "$volume" --everywhere
expect 2 "$vdoctl" savings "$volume" --json --html "$dir/other"
expect 2 "$vdoctl" savings "$volume" --length 0
expect 1 "$vdoctl" savings "$volume" --offset 1
has "$dir/err" 'whole blocks'
expect 1 "$vdoctl" savings "$volume" --offset 1P
has "$dir/err" 'not of the volume'
expect 1 "$vdoctl" savings "$dir/nowhere"
has "$dir/err" ENOENT
expect 0 "$vdoctl" read-only "$volume" --yes
expect 1 "$vdoctl" savings "$volume"
has "$dir/err" 'rebuild it first'

# What Linux wrote, against what its tools print of the block map
zstd --version >/dev/null 2>&1 || {
	echo "volumes of Linux are left out: zstd is missing" >&2
	exit $failed
}
for image in clean-zones clean; do
	zstd -q -d --sparse "$golden/kernel/$image.img.zst" \
		-o "$dir/image" || exit 1
	zstd -q -d -c "$golden/kernel/$image.blockmap.zst" >"$dir/map"
	# Blocks, fragments, references: of leaves, not of the zero block
	awk '/height 0/ {
		pbn = $9; state = $NF; sub(/\)/, "", state)
		if (pbn == 0) { zero++; next }
		if (state > 1) compressed++; else whole++
		if (!refs[pbn]++) stored++
		if (!met[pbn, state]++) contents++
	}
	END {
		for (p in refs) if (refs[p] > most) most = refs[p]
		print whole + 0, compressed + 0, stored + 0, contents + 0,
			most + 0
	}' "$dir/map" >"$dir/want"
	read -r whole compressed stored contents most <"$dir/want"
	test "$whole" -gt 100 && test "$compressed" -gt 100 || failed=1
	expect 0 "$vdoctl" savings "$dir/image" --why --json
	adds_up
	is uncompressed "$whole"
	is compressed "$compressed"
	is stored_blocks "$stored"
	is saved_by_deduplication $((whole + compressed - contents))
	is unreferenced_blocks 0
	is untold 0
	sed -n '/"most_shared"/,/\]/s/^ *"references": //p' "$dir/out" |
		head -n 1 | grep -qx "$most," || failed=1
	rm -f "$dir/image"
done
exit $failed
