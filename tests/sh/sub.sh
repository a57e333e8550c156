#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdoctl sub: a pool in a file from its first sub-volume on, names of all kinds, and
# what is refused. What is refused changes nothing.
. "$(dirname "$0")/vdoctl-lib.sh"
other=$dir/other

# number NAME: in the last output, JSON
number()
{
	sed -n "s/.*\"$1\": \([0-9]*\),\{0,1\}\$/\1/p" "$dir/out" | head -n 1
}

# names: of all sub-volumes, as JSON has them, in their order
names()
{
	"$vdoctl" sub list "$volume" --json | sed -n 's/^ *"name": "\(.*\)",$/\1/p'
}

# listed NAME...: these, and no others
listed()
{
	printf '%s\n' "$@" >"$dir/want"
	names >"$dir/names"
	diff "$dir/want" "$dir/names" >&2 || failed=1
}

# refused CODE ARGUMENT...: of vdoctl sub, by an error
refused()
{
	code=$1
	shift
	expect 1 "$vdoctl" sub "$@"
	has "$dir/err" "$code"
}

# holds SUB FILE: it begins as the file does
holds()
{
	"$vdoctl" read "$volume" --sub "$1" --length "$(wc -c <"$2")" |
		cmp - "$2" >&2 && return
	echo "$1 does not hold $2" >&2
	failed=1
}

#
# Usage
#

expect 2 "$vdoctl" sub
has "$dir/err" 'create, list, stat'
expect 2 "$vdoctl" sub nonsense "$volume"
expect 2 "$vdoctl" sub --nonsense
for command in create list stat snapshot clone resize rename remove changes; do
	expect 0 "$vdoctl" sub --help
	has "$dir/out" "vdoctl sub $command FILE"
	expect 0 "$vdoctl" sub $command --help
	has "$dir/out" "vdoctl sub $command FILE"
	expect 2 "$vdoctl" sub $command
	has "$dir/err" 'which FILE'
	expect 2 "$vdoctl" sub $command "$volume" --nonsense
done
expect 2 "$vdoctl" sub create "$volume" disk
has "$dir/err" 'create takes FILE NAME SIZE'
expect 2 "$vdoctl" sub create "$volume" disk 1M more
expect 2 "$vdoctl" sub create "$volume" disk 1.5
has "$dir/err" '"1.5" is not a size'
expect 2 "$vdoctl" sub create "$volume" disk 1M --json
expect 2 "$vdoctl" sub list "$volume" disk
expect 2 "$vdoctl" sub stat "$volume"
expect 2 "$vdoctl" sub stat "$volume" disk --json --table /dev/vdo
expect 2 "$vdoctl" sub snapshot "$volume" disk
expect 2 "$vdoctl" sub clone "$volume" disk
expect 2 "$vdoctl" sub resize "$volume" disk nonsense
expect 2 "$vdoctl" sub rename "$volume" disk
expect 2 "$vdoctl" sub remove "$volume"
expect 2 "$vdoctl" sub changes "$volume" disk
expect 2 "$vdoctl" stats "$volume" --sub disk
test ! -e "$volume" || failed=1
refused ENOENT list "$volume"
refused ENOENT create "$volume" disk 1M

#
# No pool: an empty volume, one that is too small, one that holds data
#

head -c 1048576 /dev/urandom >"$dir/data"
head -c 1048576 /dev/urandom >"$dir/more"
head -c 1048576 /dev/zero >"$dir/zero"
cat "$dir/data" "$dir/more" >"$dir/double"
expect 0 "$vdoctl" format "$volume" --size 256M --logical-size 1G
not_a_pool()
{
	refused ENOENT list "$volume"
	refused ENOENT stat "$volume" disk
	refused ENOENT snapshot "$volume" disk copy
	refused ENOENT clone "$volume" disk copy
	refused ENOENT resize "$volume" disk 2M
	refused ENOENT rename "$volume" disk other
	refused ENOENT remove "$volume" disk --yes
	refused ENOENT changes "$volume" disk disk
	expect 1 "$vdoctl" read "$volume" --sub disk
	has "$dir/err" ENOENT
}
not_a_pool
refused EINVAL create "$volume" disk 0
refused EINVAL create "$volume" disk 4097
refused EINVAL create "$volume" a/b 1M
refused EINVAL create "$volume" '' 1M
refused ENOSPC create "$volume" disk 1T
not_a_pool

expect 0 "$vdoctl" format "$other" --size 64M --logical-size 8M
refused ENOSPC create "$other" disk 1M
expect 0 "$vdoctl" write "$other" <"$dir/data"
refused ENOENT list "$other"
rm -f "$other"
for offset in 0 512M; do
	expect 0 "$vdoctl" format "$other" --size 256M --logical-size 1G
	expect 0 "$vdoctl" write "$other" --offset $offset <"$dir/data"
	refused ESIGNATURE create "$other" disk 1M
	"$vdoctl" read "$other" --offset $offset --length 1M |
		cmp - "$dir/data" >&2 || failed=1
	expect 0 "$vdoctl" write "$other" --offset $offset <"$dir/more"
	rm -f "$other"
done

#
# Names
#

long=$(printf '%0255d' 7)
blanks=' two  words '
umlauts='Größe Übung'
expect 0 "$vdoctl" sub create "$volume" disk 64M
listed disk
for name in "$long" "$blanks" "$umlauts" 'quo"te'; do
	expect 0 "$vdoctl" sub create "$volume" "$name" 1M
	refused EEXIST create "$volume" "$name" 1M
	refused EEXIST rename "$volume" disk "$name"
	refused EEXIST snapshot "$volume" disk "$name"
	expect 0 "$vdoctl" write "$volume" --sub "$name" <"$dir/data"
	holds "$name" "$dir/data"
	expect 0 "$vdoctl" sub stat "$volume" "$name"
	has "$dir/out" "^$name\$"
	expect 0 "$vdoctl" sub list "$volume"
	has "$dir/out" "^ *1.00 MiB  volume .* UTC *  $name\$"
done
listed "$blanks" "$long" "$umlauts" disk 'quo\"te'
expect 0 "$vdoctl" sub create "$volume" -- -dash 1M
expect 0 "$vdoctl" sub remove "$volume" --yes -- -dash "$long" "$umlauts" 'quo"te'
listed "$blanks" disk
expect 0 "$vdoctl" sub rename "$volume" "$blanks" "$umlauts"
holds "$umlauts" "$dir/data"
refused ENOENT stat "$volume" "$blanks"
expect 0 "$vdoctl" sub remove "$volume" --yes "$umlauts"
for name in a/b / '' "8$long"; do
	refused EINVAL create "$volume" "$name" 1M
	refused EINVAL snapshot "$volume" disk "$name"
	refused EINVAL clone "$volume" disk "$name"
	refused EINVAL rename "$volume" disk "$name"
done
listed disk

# What a terminal would obey is escaped.
esc=$(printf '\033[31m')
expect 0 "$vdoctl" sub create "$volume" "$esc" 1M
for arguments in 'sub list' "sub stat $esc" "sub create $esc 1M" \
	"sub remove $esc" "sub remove $esc$esc" "sub stat $esc$esc"; do
	# shellcheck disable=SC2086
	set -- $arguments
	command=$2
	shift 2
	"$vdoctl" sub "$command" "$volume" "$@" >"$dir/out" 2>"$dir/err"
	cat "$dir/err" >>"$dir/out"
	has "$dir/out" '\\033'
	grep -qF "$esc" "$dir/out" && failed=1
done
expect 0 "$vdoctl" sub remove "$volume" --yes "$esc"
listed disk

#
# Contents
#

expect 0 "$vdoctl" write "$volume" --sub disk --offset 1M <"$dir/data"
expect 1 "$vdoctl" write "$volume" --sub disk --offset 63M <"$dir/double"
has "$dir/err" 'the volume ends before the data does'
expect 0 "$vdoctl" write "$volume" --sub disk --offset 63M <"$dir/more"
expect 1 "$vdoctl" read "$volume" --sub disk --offset 64M --length 1
has "$dir/err" 'which has 67108864 bytes'
expect 1 "$vdoctl" read "$volume" --sub nothing
has "$dir/err" ENOENT
expect 0 "$vdoctl" sub create "$volume" next 8M
holds next "$dir/zero"

# As a whole it is not written to, by mistake.
expect 1 "$vdoctl" write "$volume" <"$dir/data"
has "$dir/err" 'holds sub-volumes'
expect 1 "$vdoctl" discard "$volume" --offset 0 --length 1M
has "$dir/err" 'holds sub-volumes'
listed disk next
expect 0 "$vdoctl" write "$volume" --force --offset 1023M <"$dir/more"
listed disk next

# Counted, and found in the volume.
expect 0 "$vdoctl" sub stat "$volume" disk --json
test "$(number size)" -eq 67108864 || failed=1
test "$(number parent)" -eq 0 || failed=1
test "$(number data_blocks)" -eq 512 || failed=1
test "$(number mapped_blocks)" -eq 512 || failed=1
# One half is behind all sub-volumes as well.
test "$(number exclusive_blocks)" -eq 256 || failed=1
test "$(number shared_blocks)" -eq 256 || failed=1
test "$(number unmapped_blocks)" -eq $((16384 - 512)) || failed=1
test "$(number length)" -eq 67108864 || failed=1
place=$(number place)
"$vdoctl" read "$volume" --offset $((place + 1048576)) --length 1M |
	cmp - "$dir/data" >&2 || failed=1
expect 0 "$vdoctl" sub stat "$volume" disk --table /dev/mapper/vdo
echo "0 131072 linear /dev/mapper/vdo $((place / 512))" |
	diff - "$dir/out" >&2 || failed=1
expect 0 "$vdoctl" sub stat "$volume" disk
has "$dir/out" '^  mapped  *512 blocks, 2.00 MiB$'
expect 0 "$vdoctl" map "$volume" --sub disk
has "$dir/out" '^ *1048576 *1048576  data$'
has "$dir/out" '^ *66060288 *1048576  data$'

#
# Snapshots and clones
#

expect 0 "$vdoctl" sub snapshot "$volume" disk monday
expect 0 "$vdoctl" sub clone "$volume" disk twin
refused ENOENT snapshot "$volume" nothing tuesday
refused ENOENT clone "$volume" nothing tuesday
expect 0 "$vdoctl" sub changes "$volume" disk monday
has "$dir/out" '^0 bytes differ'
expect 0 "$vdoctl" write "$volume" --sub disk --offset 1M <"$dir/more"
expect 0 "$vdoctl" discard "$volume" --sub twin --offset 1M --length 64K
expect 1 "$vdoctl" write "$volume" --sub monday <"$dir/more"
has "$dir/err" EREADONLY
expect 1 "$vdoctl" discard "$volume" --sub monday --offset 0 --length 64M
has "$dir/err" EREADONLY
"$vdoctl" read "$volume" --sub disk --offset 1M --length 1M |
	cmp - "$dir/more" >&2 || failed=1
"$vdoctl" read "$volume" --sub monday --offset 1M --length 1M |
	cmp - "$dir/data" >&2 || failed=1
"$vdoctl" read "$volume" --sub twin --offset 1M --length 1M |
	cmp - "$dir/data" 65536 65536 >&2 || failed=1
expect 0 "$vdoctl" sub changes "$volume" monday disk
has "$dir/out" '^ *1048576 *1048576  data *data$'
has "$dir/out" '^1048576 bytes differ, 1.00 MiB$'
expect 0 "$vdoctl" sub changes "$volume" monday twin --json
has "$dir/out" '"offset": 1048576'
has "$dir/out" '"length": 65536'
has "$dir/out" '"b": "hole"'
has "$dir/out" '"complete": true'
test "$(number bytes)" -eq 65536 || failed=1
refused ENOENT changes "$volume" monday nothing
refused ENOENT changes "$volume" nothing monday

expect 0 "$vdoctl" sub stat "$volume" disk --json
id=$(number id)
expect 0 "$vdoctl" sub stat "$volume" monday --json
test "$(number parent)" -eq "$id" || failed=1
has "$dir/out" '"read_only": true'
# The disk overwrote 1 MiB of this, the clone discarded 64 KiB of that.
test "$(number shared_blocks)" -eq $((512 - 16)) || failed=1
test "$(number exclusive_blocks)" -eq 16 || failed=1
expect 0 "$vdoctl" sub stat "$volume" monday
has "$dir/out" '^      shared  *496 blocks'
expect 0 "$vdoctl" sub stat "$volume" monday -o read-only=on
has "$dir/out" '^      not known which  *512 blocks'
expect 0 "$vdoctl" sub stat "$volume" monday
has "$dir/out" '^  kind  *snapshot of disk$'
expect 0 "$vdoctl" sub list "$volume"
has "$dir/out" '^ *64.00 MiB  snapshot .*  monday$'
has "$dir/out" '^ *64.00 MiB  clone .*  twin$'

#
# Sizes
#

for size in 60M 1M; do
	refused 'discard it first' resize "$volume" disk $size
done
refused EINVAL resize "$volume" disk 0
refused EINVAL resize "$volume" disk 6500000
refused ENOENT resize "$volume" nothing 1M
refused ENOSPC resize "$volume" disk 1T
expect 0 "$vdoctl" sub stat "$volume" disk --json
test "$(number size)" -eq 67108864 || failed=1
expect 0 "$vdoctl" discard "$volume" --sub disk --offset 63M --length 1M
expect 0 "$vdoctl" sub resize "$volume" disk 2M
expect 0 "$vdoctl" sub resize "$volume" disk 3M
expect 0 "$vdoctl" read "$volume" --sub disk
cat "$dir/zero" "$dir/more" "$dir/zero" | cmp - "$dir/out" >&2 || failed=1
# Something else lies behind it by now: it gets another piece.
expect 0 "$vdoctl" sub create "$volume" wall 60M
expect 0 "$vdoctl" sub resize "$volume" disk 128M
expect 0 "$vdoctl" write "$volume" --sub disk --offset 127M <"$dir/data"
expect 0 "$vdoctl" sub stat "$volume" disk --table vdo
awk '$1 != end || NF != 5 { exit 1 } { end += $2 } END { exit end != 262144 }' \
	"$dir/out" || failed=1
"$vdoctl" read "$volume" --sub disk --offset 127M | cmp - "$dir/data" >&2 ||
	failed=1
expect 0 "$vdoctl" sub remove "$volume" --yes wall
# As far as both reach.
expect 0 "$vdoctl" sub changes "$volume" next disk
has "$dir/out" '^1048576 bytes differ'

#
# Removal
#

listed disk monday next twin
for answer in '' n no; do
	echo "$answer" >"$dir/answer"
	expect 1 "$vdoctl" sub remove "$volume" monday next <"$dir/answer"
	has "$dir/err" '"monday", a snapshot of 64.00 MiB, will be gone'
	has "$dir/err" 'nothing was changed'
done
expect 1 "$vdoctl" sub remove "$volume" monday
refused 'no sub-volume "nothing"; nothing was changed' \
	remove "$volume" --yes monday nothing
listed disk monday next twin
echo y >"$dir/answer"
expect 0 "$vdoctl" sub remove "$volume" disk next <"$dir/answer"
listed monday twin
expect 0 "$vdoctl" sub stat "$volume" twin
has "$dir/out" '^  kind  *clone of one that was removed$'
"$vdoctl" read "$volume" --sub monday --offset 63M | cmp - "$dir/more" >&2 ||
	failed=1
# A new one has nothing of what was there before.
expect 0 "$vdoctl" sub create "$volume" disk 700M
expect 0 "$vdoctl" sub stat "$volume" disk --json
test "$(number mapped_blocks)" -eq 0 || failed=1
refused ENOSPC snapshot "$volume" disk full
listed disk monday twin
expect 0 "$vdoctl" check "$volume" --data

# An empty pool is one.
expect 0 "$vdoctl" sub remove "$volume" --yes disk monday twin
expect 0 "$vdoctl" sub list "$volume"
test "$(wc -l <"$dir/out")" -eq 1 || failed=1
expect 0 "$vdoctl" sub list "$volume" --json
has "$dir/out" '"sub_volumes": \[\]'
expect 1 "$vdoctl" write "$volume" <"$dir/data"
expect 0 "$vdoctl" check "$volume" --data

#
# A volume that was not closed, one that is read-only, one that is damaged
#

expect 0 "$vdoctl" sub create "$volume" disk 64M
mkfifo "$dir/fifo"
"$vdoctl" write "$volume" --sub disk <"$dir/fifo" >"$dir/out" 2>&1 &
writer=$!
exec 3>"$dir/fifo"
cat "$dir/data" >&3
until "$vdoctl" info -U "$volume" 2>/dev/null | grep -q 'state *dirty'; do
	kill -0 $writer 2>/dev/null || break
done
expect 1 "$vdoctl" sub list "$volume"
has "$dir/err" EINUSE
kill -KILL $writer
wait $writer 2>/dev/null
exec 3>&-
listed disk
expect 0 "$vdoctl" sub snapshot "$volume" disk copy
expect 0 "$vdoctl" sub changes "$volume" disk copy
has "$dir/out" '^0 bytes differ'
expect 0 "$vdoctl" check "$volume" --data

cp "$volume" "$other"
"$vdoctl" read-only "$volume" --yes >/dev/null || failed=1
listed copy disk
expect 0 "$vdoctl" sub stat "$volume" copy
for command in 'create new 1M' 'snapshot disk new' 'resize disk 1G' \
	'rename disk new' 'remove disk --yes'; do
	# shellcheck disable=SC2086
	set -- $command
	command=$1
	shift
	refused EREADONLY "$command" "$volume" "$@"
done
listed copy disk

# A removal that was interrupted: what the directory has then is put there.
expect 0 "$vdoctl" format "$dir/removing" --size 64M --logical-size 64M
expect 0 "$vdoctl" sub create "$dir/removing" disk 8M
expect 0 "$vdoctl" write "$dir/removing" --sub disk <"$dir/data"
copy=0
"$vdoctl" read "$dir/removing" --length 8 | grep -q vdosubs1 || copy=8M
"$vdoctl" read "$dir/removing" --offset $copy --length 8K >"$dir/copy"
# crc AT FROM COUNT: put there the CRC of these bytes, which is that of gzip but for
# its start: four bytes bring gzip's there
crc()
{
	{
		printf '\377\377\377\377'
		tail -c +$(($2 + 1)) "$dir/copy" | head -c "$3"
	} | gzip -c | tail -c 8 | head -c 4 >"$dir/crc"
	dd if="$dir/crc" of="$dir/copy" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
printf '\004' | dd of="$dir/copy" bs=1 seek=$((4096 + 32)) conv=notrunc \
	2>/dev/null
crc 40 4096 60
crc 44 0 44
expect 0 "$vdoctl" write "$dir/removing" --force --offset $copy <"$dir/copy"
expect 0 "$vdoctl" sub list "$dir/removing"
has "$dir/out" '^ *8.00 MiB  removing .* disk$'
expect 1 "$vdoctl" read "$dir/removing" --sub disk
has "$dir/err" EBUSY
expect 0 "$vdoctl" sub remove "$dir/removing" disk --yes
expect 0 "$vdoctl" sub list "$dir/removing" --json
has "$dir/out" '"sub_volumes": \[\]'
expect 0 "$vdoctl" sub create "$dir/removing" disk 8M
expect 0 "$vdoctl" read "$dir/removing" --sub disk --length 1M
cmp "$dir/out" "$dir/zero" >&2 || failed=1

# Both copies of the directory: nothing is shown, and nothing more is lost.
mv "$other" "$volume"
for block in 0 8M; do
	printf vdosubs1 | cat - "$dir/data" | head -c 4096 |
		"$vdoctl" write "$volume" --force --offset $block || failed=1
done
refused ECHECKSUM list "$volume"
refused ECHECKSUM create "$volume" new 1M
expect 1 "$vdoctl" write "$volume" <"$dir/data"
has "$dir/err" 'holds sub-volumes'
expect 0 "$vdoctl" read "$volume" --length 8
has "$dir/out" vdosubs1
exit $failed
