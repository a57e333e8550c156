#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Linux serves what the library wrote, and the library what Linux wrote.
#
# Volumes go back and forth between the library and the kernel's driver, which
# runs in an emulated machine (VDO_KERNEL_TOOLS/kernel-vdo). Each
# side checks what the other one left, block by block, and writes to it; the
# manifests come from blockplay, another implementation of plans. After each
# stage all metadata is audited by two tools that are not the library's.
#
# Some volumes are left by the library in the middle of writing: abandoned,
# killed, or on a disk whose power failed. Linux recovers them, and all that was
# flushed must be there. Others crash under both in turn, $ROUNDS times (5), and
# each side recovers what the other one left.
#
# Much of what the library writes again it copies within the volume instead
# (--copy), also before it crashes; the plans, and so Linux, know nothing of that.
#
# The index of a volume is the other side's, too: what one of them stored the
# other one finds again, also after a crash.
#
# Either side serves what the other one has grown, and grows it again.
#
# Sub-volumes, their snapshots and clones are linear devices to Linux, which writes
# to them, grows the volume, and crashes meanwhile. The space that they leave goes
# back to the file before.
#
# $STAGES: some of sizes, pingpong, crashes, recovery, index, growth and pools. $VOLUMES:
# some of rec1, rec2 and rec3, which are those of the stage recovery.
# $SEED: another one makes other plans and crashes at other places.
# $KEEP: leave all files behind.
top_srcdir=$(cd "${top_srcdir:-$(dirname "$0")/../..}" && pwd) || exit 1
build=$(cd "${top_builddir:-.}" && pwd) || exit 1
vdoplay=$build/tests/kernel/vdoplay
vdoctl=${VDOCTL:-$build/examples/vdoctl/vdoctl}
tools=${VDO_KERNEL_TOOLS:-$top_srcdir/../shared/tools}
kernel=$tools/kernel-vdo
inspect=$top_srcdir/tests/inspect/vdo_inspect.py
seed=${SEED:-1}
dir=$build/interchange.$$
failed=0 checked=0

skip()
{
	echo "$1" >&2
	exit 77
}

test -x "$kernel" || skip "there is no $kernel, which runs Linux in an emulator;
it is no part of this source: put it there, or name its folder in
VDO_KERNEL_TOOLS (tests/README.md says what it must do)"
python3 --version >/dev/null 2>&1 || skip "python3 is missing"
test -x "$vdoplay" && test -x "$vdoctl" || skip "the programs were not built"
said=$("$kernel" setup 2>&1) ||
	skip "kernel-vdo cannot be set up: $(echo "$said" | tail -n 1)"
mkdir -p "$dir/share" || exit 1
trap 'test -n "$KEEP" || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
echo "seed $seed"

fail()
{
	echo "FAILED: $*" >&2
	cat out >&2
	failed=1
}

# succeed WHAT COMMAND...
succeed()
{
	what=$1
	shift
	"$@" >out 2>&1 || fail "$what"
}

#
# The library's side. A volume NAME is NAME.img; the plans that were played on
# it so far are NAME.plans, and share/NAME.manifest what it must hold.
#

# make NAME OPTION...: format
make()
{
	name=$1
	shift
	rm -f "$name.img"
	: >"$name.plans"
	: >"share/$name.manifest"
	succeed "$name: format" "$vdoctl" format "$name.img" "$@"
}

field()
{
	"$vdoctl" info "$1.img" --json |
		sed -n "s/.*\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p" |
		head -n 1 # the usage, further down, has rows of the same name
}

# invent NAME PLAN OPERATIONS: a plan that is share/NAME.PLAN
invent()
{
	number=$((number + 1))
	"$vdoplay" plan $((seed * 1000 + number)) "$3" \
		"$(field "$1" logical_blocks)" $parts >"share/$1.$2"
}

# note NAME PLAN [OPTION...]: it was played; for the next manifest
note()
{
	name=$1 plan=$2
	shift 2
	echo "share/$name.$plan" "$@" >>"$name.plans"
}

# played NAME PLAN [OPTION...]: it was, and is part of the manifest now
played()
{
	note "$@"
	"$kernel" tool blockplay model $(cat "$1.plans") \
		>"share/$1.manifest" || exit 1
}

# write NAME PLAN OPERATIONS [OPTION...]: by the library
write()
{
	name=$1 plan=$2
	invent "$1" "$2" "$3"
	shift 3
	succeed "$name: $plan" "$vdoplay" play "share/$name.$plan" \
		"$name.img" --quiet alignment=512 "$@"
	played "$name" "$plan"
}

# sound NAME STATE: that state, and sound metadata, of which all tell the same
sound()
{
	: >out
	state=$(field "$1" state_name)
	test "$state" = "$2" || fail "$1 is $state, not $2"
	succeed "$1: audit" "$inspect" --audit "$1.img"
	succeed "$1: vdoaudit" "$kernel" audit "$1.img"
	succeed "$1: map" "$kernel" tool vdodumpblockmap "$1.img"
	entries=$(($(wc -l <out)))
	: >out
	used=$(field "$1" logical_blocks_used)
	test "$entries" -eq $((used + $(field "$1" block_map_data_blocks))) ||
		fail "$1: the block map has $entries entries"
	succeed "$1: extents" "$vdoctl" map "$1.img" --json
	mapped=$(awk '/"length"/ { n = $2 + 0 }
		/"kind": "(data|compressed|zero)"/ { all += n }
		END { print all / 4096 }' out)
	: >out
	test "$mapped" -eq "$used" || fail "$1: extents of $mapped blocks, where $used are used"
}

# holds NAME MANIFEST [OPTION...]: it reads as the manifest says
holds()
{
	name=$1 manifest=$2
	shift 2
	succeed "$manifest: contents" "$vdoplay" check \
		"share/$manifest.manifest" "$name.img" --near read-only=on "$@"
	n=$(sed -n 's/^ok: \([0-9]*\) .*, \([0-9]*\) as one.*/\1+\2/p' out)
	checked=$((checked + ${n:-0}))
}

# has NAME STATE: that state, all blocks, and sound metadata
has()
{
	holds "$1" "$1"
	sound "$1" "$2"
}

#
# The kernel's side: a script for the machine, and its disks.
#

cat >share/functions <<'END'
# serve NAME DEVICE ...: start it, check it
serve()
{
	vol=$1 device=$2
	shift 2
	vdo-start $device auto $vol wait 0 "$@" || exit 1
	vdo-wait $vol $index || exit 1
	compare
}
compare()
{
	blockplay check --near /mnt/share/$vol.manifest /dev/mapper/$vol
	test $? -eq 0 || bad="$bad $vol"
}
# overwrite PLAN
overwrite()
{
	blockplay play --quiet /mnt/share/$vol.$1 /dev/mapper/$vol || exit 1
}
stop()
{
	vdo-stop $vol || exit 1
}
# linear SUB: a device of this sub-volume of vol, checked
linear()
{
	pool=$vol vol=$vol.$1
	dmsetup create $vol /mnt/share/$vol.table || exit 1
	compare
	vol=$pool
}
# linear_overwrite SUB PLAN
linear_overwrite()
{
	blockplay play --quiet /mnt/share/$vol.$1.$2 /dev/mapper/$vol.$1 || exit 1
}
linear_stop()
{
	for sub in "$@"; do
		dmsetup remove $vol.$sub || exit 1
	done
	stop
}
END

boot_begin()
{
	disks=
	letters="a b c d e f g h i j k l m n o p q r s t"
	{
		echo ". /mnt/share/functions"
		echo "bad="
	} >share/script
}

# plug NAME[,OPTION]: the next disk, /dev/vd$letter
plug()
{
	letter=${letters%% *}
	letters=${letters#* }
	disks="$disks --disk ${1%%,*}.img${1#"${1%%,*}"}"
}

# insert NAME INDEX-STATE [KEY VALUE]...: a disk, served and checked
insert()
{
	name=$1 state=$2
	shift 2
	plug "$name"
	cat >>share/script <<END
echo "$name"
index=$state
serve $name /dev/vd$letter $*
END
}

# Lines for the one that was inserted last
guest()
{
	printf '%s\n' "$@" >>share/script
}

boot()
{
	echo 'test -z "$bad" || { echo "not as expected:$bad"; exit 1; }' \
		>>share/script
	"$kernel" run --smp 2 --timeout 1800 $expect_crash $disks --share share --script share/script \
		>out 2>&1 || fail "Linux"
	cp out out.boot
	boots=$((boots + 1))
	n=$(sed -n 's/^ok: \([0-9]*\) .*, \([0-9]*\) as one.*/\1 \2/p' out |
		awk '{ n += $1 + $2 } END { print n + 0 }')
	checked=$((checked + n))
	echo "$1: Linux checked $n blocks"
}

#
# Sizes: what vdoformat makes of a storage, the library makes of it, too.
#

# sizes SIZE LOGICAL-SIZE SLAB-BITS MEMORY SPARSE
sizes()
{
	sizes=$*
	rm -f theirs.img ours.img
	truncate -s "$1" theirs.img
	set -- "$1" "$2" "$3" "$4" "$5" --slab-bits="$3" --uds-memory-size="$4"
	test "$2" = auto || set -- "$@" --logical-size="$2"
	test "$5" = off || set -- "$@" --uds-sparse
	us="-o size=$1 -o logical-size=$2 -o slab-bits=$3 -o sparse=$5"
	us="$us -o index-memory=$4 -o profile=kernel"
	shift 5
	succeed "vdoformat $sizes" "$kernel" format theirs.img "$@"
	succeed "format $sizes" "$vdoctl" format ours.img $us
	for image in theirs ours; do
		"$vdoctl" info $image.img --json |
			grep -v '"nonce"\|"uuid"' >$image.info
		"$inspect" --json $image.img |
			grep -v '"nonce"\|"uuid"\|"checksum"' >$image.json
	done
	diff theirs.info ours.info >out 2>&1 && test -s ours.info ||
		fail "sizes $sizes"
	diff theirs.json ours.json >out 2>&1 && test -s ours.json ||
		fail "structures $sizes"
}

stage_sizes()
{
	while read -r size logical bits memory sparse; do
		sizes "$size" "$logical" "$bits" "$memory" "$sparse"
	done <<-END
	2949992448 auto 13 0.25 off
	2816M auto 13 0.25 off
	3G 40K 13 0.25 off
	3G auto 9 0.25 off
	3G auto 10 0.25 off
	20G auto 13 0.25 off
	20G auto 13 0.5 off
	20G auto 16 0.75 off
	20G auto 16 1 off
	40G auto 13 0.25 on
	40G auto 16 2 off
	100G 1T 19 0.25 off
	200G 4P 23 0.25 off
	END
	rm -f theirs.img ours.img
	echo "sizes: compared"
}

#
# Ping-pong
#

stage_pingpong()
{
	kernel_keys="minio 512 maxDiscard 1500 compression on"
	zones="logical 3 physical 2 hash 2"
	make big --size 4G --profile kernel --logical-size 1T --slab-bits 9
	make zones --size 3G --profile kernel --logical-size 40G --slab-bits 11
	make small --size 128M --profile small --logical-size 20G \
		-o journal-blocks=64 --slab-bits 10
	make new --size 3G --profile kernel --logical-size 8G
	make hollow --size 64M --profile small --logical-size 1T
	write big first 500 topology=classic
	write zones first 250 logical-zones=2 physical-zones=3 hash-zones=3 \
		topology=classic --copy
	write small first 300 threads=1 --copy --print path.copiedByReference
	grep -q 'copiedByReference [1-9]' out || fail "small: nothing was copied"
	write hollow first 150
	succeed "big: audit" "$inspect" --audit big.img
	grep -q 'compressed=[1-9]' out || fail "big: nothing was compressed"
	all=$(field hollow logical_blocks)
	echo "discard 0 $all" >share/hollow.all
	succeed "hollow: discard" "$vdoplay" play share/hollow.all hollow.img
	: >share/hollow.manifest
	for name in big zones small hollow; do
		has $name clean
	done
	test "$(field hollow logical_blocks_used)" = 0 ||
		fail "hollow: what was discarded is used"

	for round in second fourth sixth; do
		for name in big zones small; do
			invent $name $round 120
		done
		boot_begin
		insert big online $kernel_keys
		guest "overwrite $round" stop
		insert zones online $kernel_keys $zones cache 16384
		guest "overwrite $round" stop
		insert small error era 32 $kernel_keys
		guest "overwrite $round" stop
		if test $round = second; then
			invent new $round 60
			insert new online $kernel_keys
			guest "overwrite $round" stop
			insert hollow error era 32
			guest "vdo-stats hollow | grep dataBlocksUsed" stop
		fi
		boot "$round"
		for name in big zones small; do
			played $name $round
			has $name clean
		done
		if test $round = second; then
			grep -q 'dataBlocksUsed 0$' out.boot ||
				fail "hollow: data blocks are used"
			played new $round
			has new clean
		fi
		write big after-$round 150 logical-zones=4 hash-zones=2 --copy
		write zones after-$round 100
		write small after-$round 150 physical-zones=4 \
			topology=classic compression=off
		for name in big zones small; do
			has $name clean
		done
	done
}

#
# Crashes
#

# uncertain NAME PLAN WHAT: share/NAME.PLAN was played when that happened, with a log.
# What was before the last flush that was reported done is certain. What follows
# is not, up to the first flush that was not even reached: vdoplay does not wait
# for a flush before it goes on, unlike blockplay.
uncertain()
{
	flushed=$(sed -n 's/^flushed //p' log | sort -n | tail -n 1)
	reached=$(sed -n 's/^reached //p' log | sort -n | tail -n 1)
	head -n "${flushed:-0}" "share/$1.$2" >"share/$1.$2.before"
	awk -v from="${flushed:-0}" -v reached="${reached:-0}" '
		NR > reached && $1 == "flush" { exit }
		NR > from && $1 != "flush"' "share/$1.$2" >"share/$1.$2.after"
	played "$1" "$2.before"
	played "$1" "$2.after" --flushed 0
	echo "$1: $3 after flush ${flushed:-0}"
}

# crashed NAME WHAT: the volume, while it played share/NAME.$crash_plan
crashed()
{
	uncertain "$1" "$crash_plan" "$2"
	: >out
	state=$(field "$1" state_name)
	test "$state" = dirty || fail "$1 is $state, not dirty"
}

# power NAME WRITE [OPTION...]: it fails with this write to the disk. The more
# neighbours are written as one, the fewer writes a plan needs; it is long enough.
power()
{
	name=$1 write=$2
	shift 2
	invent "$name" $crash_plan $((write / 2 + 200))
	"$vdoplay" play "share/$name.$crash_plan" "$name.img" alignment=512 \
		--lossy $((seed * 100 + number)) --writes "$write" "$@" >log 2>out
	test $? -eq 99 || fail "$name: the power did not fail"
	crashed "$name" "power failed at write $write"
}

# murder NAME FLUSHES [OPTION...]: kill -9 when so many were done
murder()
{
	name=$1 flushes=$2
	shift 2
	invent "$name" $crash_plan $((flushes * 25 + 300))
	mkfifo pipe
	"$vdoplay" play "share/$name.$crash_plan" "$name.img" alignment=512 "$@" \
		>pipe 2>out &
	pid=$!
	{
		i=0
		while test $i -lt "$flushes" && read -r line; do
			echo "$line"
			case $line in
			flushed*) i=$((i + 1)) ;;
			esac
		done
		kill -9 $pid 2>/dev/null
		cat
	} <pipe >log
	wait $pid 2>/dev/null
	rm -f pipe
	crashed "$name" killed
}

abandon()
{
	name=$1
	shift
	invent "$name" $crash_plan 200
	"$vdoplay" play "share/$name.$crash_plan" "$name.img" alignment=512 \
		--abandon "$@" >log 2>out || fail "$name: abandon"
	crashed "$name" abandoned
}

small="--size 64M --profile small --logical-size 1T"

stage_crashes()
{
	crash_names=
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		name=crash$i
		crash_names="$crash_names $name"
		case $((i % 3)) in
		0) make $name $small -o journal-blocks=16 --slab-bits 9 \
			-o slab-journal-blocks=8 ;;
		1) make $name $small -o journal-blocks=64 --slab-bits 10 ;;
		2) make $name $small -o journal-blocks=64 --slab-bits 9 ;;
		esac
		# parts of blocks multiply what an uncertain one may hold
		parts=
		test $((i % 3)) -ne 2 || parts=--parts
		# most had something in them before
		test $((i % 4)) -eq 0 || write $name first 100
		copy=
		test $((i % 4)) -lt 2 || copy=--copy
		case $i in
		1) abandon $name ;;
		2 | 3 | 4 | 5) murder $name $((i * 7 - 13)) $copy ;;
		*) power $name $(((seed * 7919 + i * 104729) % 900 + 150)) $copy ;;
		esac
	done
	make crash13 --size 3G --profile kernel --logical-size 100G \
		--slab-bits 10
	write crash13 first 200
	power crash13 500 logical-zones=3 physical-zones=2 hash-zones=2
	boot_begin
	for name in $crash_names; do
		era=32
		test "$(field $name recovery_journal_blocks)" -gt 16 || era=8
		insert $name error era $era minio 512
		guest stop
	done
	insert crash13 online minio 512
	guest stop
	boot "crashes"
	for name in $crash_names crash13; do
		has $name clean
		# and the library goes on from there
		invent $name more 100
		succeed "$name: goes on" "$vdoplay" play share/$name.more \
			$name.img --quiet alignment=512
		succeed "$name: audit" "$inspect" --audit $name.img
		succeed "$name: vdoaudit" "$kernel" audit $name.img
	done
}

#
# Recovery: both sides crash in turn, and each recovers what the other one left.
#

# recover NAME [OPTION...]: by the library; a while into it, it may be killed
recover()
{
	name=$1
	shift
	: >out
	for limit in $interrupt; do
		timeout -s KILL "$limit" "$vdoplay" check \
			"share/$name.manifest" "$name.img" "$@" >out 2>&1
		test $? -ne 137 || interrupted=$((interrupted + 1))
	done
	succeed "$name: recovery by the library" "$vdoplay" check \
		"share/$name.manifest" "$name.img" --near "$@"
	has "$name" clean
}

# crash_ours ROUND: the library, in three ways
crash_ours()
{
	crash_plan=ours$1
	for name in $volumes; do
		case $name$(($1 % 2)) in
		rec1?) murder rec1 $(($1 * 4)) logical-zones=$(($1 % 3 + 1)) ;;
		rec21) power rec2 $((300 + $1 * 37)) physical-zones=2 --copy ;;
		rec20) power rec2 $((300 + $1 * 37)) physical-zones=2 ;;
		rec30) abandon rec3 --copy ;;
		rec31) power rec3 $((150 + $1 * 41)) ;;
		esac
		crashes=$((crashes + 1))
	done
	crash_plan=crash
}

# serve_volume NAME: with an era that its journal can hold
serve_volume()
{
	case $1 in
	rec1) insert rec1 error era 32 $keys ;;
	rec2) insert rec2 online $keys logical 2 physical 2 hash 1 ;;
	rec3) insert rec3 error era 8 $keys ;;
	esac
}

# crash_in NAME PLAN FLUSHES: the machine stops a little after so many
crash_in()
{
	awk -v flushes="$3" '
		{ print }
		$1 == "flush" { n++ }
		n >= flushes && ++more == 6 { print "crash" }' \
		"share/$1.$2" >"share/$1.$2.crash" &&
		mv "share/$1.$2.crash" "share/$1.$2" || exit 1
}

# crash_theirs ROUND: Linux, in the middle of three streams of writes, later in
# each round, and at a place in the plan of another of them. They write their
# logs themselves: the model allows for one flush that is not logged.
crash_theirs()
{
	boot_begin
	crasher=$(echo $volumes | awk -v n="$1" '{ print $(n % NF + 1) }')
	for name in $volumes; do
		invent $name theirs$1 400
		test $name != "$crasher" ||
			crash_in $name theirs$1 $(($1 % 5 * 4 + 3))
		serve_volume $name
	done
	guest 'test -z "$bad" || { echo "not as expected:$bad"; exit 1; }'
	for name in $volumes; do
		guest "plan=/mnt/share/$name.theirs$1" \
			"blockplay play \$plan /dev/mapper/$name >\$plan.log &"
	done
	guest wait
	expect_crash=--expect-crash
	boot "recovery, round $1"
	expect_crash=
	for name in $volumes; do
		flushed=$(sed -n 's/^flushed //p' \
			share/$name.theirs$1.log | tail -n 1)
		echo "$name: Linux crashed after flush ${flushed:-0}"
		played $name theirs$1 --flushed "${flushed:-0}"
		crashes=$((crashes + 1))
	done
}

# Volumes that Linux wrote before, recovered and rebuilt by the library
golden_volumes()
{
	golden=$top_srcdir/tests/golden/kernel
	for name in crash crash-lossy read-only force-rebuild; do
		zstd -q -d -f --sparse "$golden/$name.img.zst" -o $name.img &&
			zstd -q -d -f "$golden/$name.manifest.zst" \
				-o share/$name.manifest || exit 1
		chmod u+w $name.img
		case $name in
		crash*) ;;
		*) succeed "$name: rebuild" "$vdoctl" rebuild --yes $name.img ;;
		esac
		recover $name
	done
}

stage_recovery()
{
	parts= crashes=0 interrupted=0 interrupt="0.02 0.05 0.1"
	keys="maxDiscard 1500 compression on"
	rounds=${ROUNDS:-5} volumes=${VOLUMES:-rec1 rec2 rec3}
	make rec1 $small --slab-bits 9 -o journal-blocks=64
	make rec2 --size 3G --profile kernel --logical-size 100G --slab-bits 10
	make rec3 $small --slab-bits 10 -o journal-blocks=16 \
		-o slab-journal-blocks=8
	for name in $volumes; do
		write $name first 200
	done
	round=1
	while test $round -le "$rounds"; do
		crash_ours $round
		crash_theirs $round
		# every other time it is the next writer who recovers
		if test $((round % 2)) -eq 1; then
			for name in $volumes; do
				recover $name threads=$round
			done
		fi
		round=$((round + 1))
	done
	interrupt=
	golden_volumes
	boot_begin
	for name in $volumes; do
		serve_volume $name
		guest stop
	done
	for name in crash crash-lossy read-only force-rebuild; do
		insert $name online
		guest stop
	done
	boot "recovered volumes"
	for name in $volumes crash crash-lossy read-only force-rebuild; do
		has $name clean
	done
	echo "recovery: $crashes crashes, $interrupted recoveries killed"
}

#
# The index: what one side stored, the other one stores nowhere else. A chapter
# has 65536 names, so each amount fills more than two.
#

amount=150000

# amount PLACE SEED: a plan that is share/PLAN; places are far from each other
amount_plan()
{
	echo "write $(($1 * 200000)) $amount rand $(($2 * 1000000 + seed))"
	echo flush
}

# ours NAME PLACE SEED LEAST: the library writes an amount, and shares LEAST
ours()
{
	amount_plan "$2" "$3" >"share/$1.ours$2"
	"$vdoplay" play "share/$1.ours$2" "$1.img" --quiet \
		--print path.duplicate $5 >out 2>&1 || fail "$1: amount $2"
	note "$1" "ours$2"
	n=$(sed -n 's/^path.duplicate //p' out)
	echo "$1: the library shared ${n:-0} of $amount blocks"
	test "${n:-0}" -ge "$4" || fail "$1: shared less than $4"
}

# theirs NAME PLACE SEED LEAST: Linux does, as the volume inserted last
theirs()
{
	amount_plan "$2" "$3" >"share/$1.theirs$2"
	guest "u=\$(vdo-stats $1 | sed -n 's/^dataBlocksUsed //p')" \
		"overwrite theirs$2" \
		"n=\$(vdo-stats $1 | sed -n 's/^dataBlocksUsed //p')" \
		"n=\$((u + $amount - n))" \
		"echo \"$1: Linux shared \$n of $amount blocks\"" \
		"test \$n -ge $4 || bad=\"\$bad $1:$2\""
	theirs_played="$theirs_played theirs$2"
}

# insert_index NAME INDEX-STATE: a disk, served without a check
insert_index()
{
	plug "$1"
	theirs_played=
	guest "vol=$1" "vdo-start /dev/vd$letter auto $1 wait 0 || exit 1" \
		"vdo-wait $1 $2 300 || exit 1"
}

# linux NAME WHAT: the boot that was described, then all is looked at
linux()
{
	boot "$2"
	grep 'Linux shared' out.boot
	for plan in $theirs_played; do
		note "$1" "$plan"
	done
	played "$1" last # a plan of nothing
	has "$1" clean
	index_sound "$1"
}

# index_sound NAME: for our tool and for another one
index_sound()
{
	succeed "$1: verify" "$vdoctl" index verify "$1.img"
	succeed "$1: uds_inspect" "$uds_inspect" "$1.img"
}

stage_index()
{
	uds_inspect=$top_srcdir/tests/inspect/uds_inspect.py
	all=$((amount * 99 / 100)) # nearly: an index may forget a few
	make ix --size 12G --profile kernel --logical-size 40G --slab-bits 15
	echo flush >share/ix.last
	ours ix 0 0 0
	index_sound ix
	for round in 1 2; do
		boot_begin
		insert_index ix online
		theirs ix $((round * 4)) $((round * 2 - 2)) $all
		theirs ix $((round * 4 + 1)) $((round * 2 - 1)) 0
		guest stop
		linux ix "index, round $round"
		ours ix $((round * 4 + 2)) $((round * 2 - 1)) $all
		ours ix $((round * 4 + 3)) $((round * 2)) 0
		index_sound ix
	done

	# Dropped as in a crash: Linux makes the index from our chapters. What
	# was in the open one, or on its way, is gone.
	ours ix 12 10 0 --abandon
	boot_begin
	insert_index ix online
	theirs ix 13 10 $((amount - 2 * 65536))
	guest stop
	linux ix "index, dropped by the library"
	ours ix 14 10 $all

	# Linux crashes: its index is made anew by us.
	boot_begin
	insert_index ix online
	theirs ix 15 20 0
	guest crash-now
	expect_crash=--expect-crash
	boot "index, dropped by Linux"
	expect_crash=
	note ix theirs15
	succeed "ix: rebuild" "$vdoctl" index rebuild ix.img
	index_sound ix
	boot_begin
	insert_index ix online
	theirs ix 16 20 $((amount - 2 * 65536))
	guest stop
	linux ix "index, made anew by the library"
}

#
# Growth: each side serves what the other one has grown, and grows it again.
#

# more NAME PLAN OPERATIONS BYTES: a plan for so large a volume, flushed at its end
more()
{
	number=$((number + 1))
	"$vdoplay" plan $((seed * 1000 + number)) "$3" $(($4 / 4096)) $parts \
		>"share/$1.$2"
	echo flush >>"share/$1.$2"
}

# sized NAME BYTES LOGICAL-BYTES: so large it is by now
sized()
{
	: >out
	size=$(field "$1" physical_blocks) logical=$(field "$1" logical_blocks)
	test "$size" -eq $(($2 / 4096)) && test "$logical" -eq $(($3 / 4096)) ||
		fail "$1 has $size and $logical blocks, not those of $2 and $3"
}

# ours_grows NAME BYTES LOGICAL-BYTES
ours_grows()
{
	succeed "$1: grow" "$vdoctl" grow "$1.img" --size "$2" \
		--logical-size "$3"
	sized "$1" "$2" "$3"
	has "$1" clean
}

# grown_insert NAME INDEX-STATE: with its size, on a disk that may be larger
grown_insert()
{
	insert "$1" "$2" era 32 minio 512 blocks "$(field "$1" physical_blocks)"
}

stage_growth()
{
	m=1048576
	make grow1 --size 128M --profile small --logical-size 20G \
		-o journal-blocks=64 --slab-bits 10
	make grow2 --size 3G --profile kernel --logical-size 8G --slab-bits 11
	make grow3 --size 64M --profile small --logical-size 1G \
		-o journal-blocks=64 --slab-bits 9
	for name in grow1 grow2 grow3; do
		write $name first 200
	done
	ours_grows grow1 $((150 * m)) $((40960 * m))
	ours_grows grow2 $((3300 * m)) $((102400 * m))
	ours_grows grow3 $((80 * m)) $((40960 * m))
	write grow1 second 200
	write grow2 second 200
	parts= crash_plan=crash
	abandon grow3 # the journal is replayed at its new place
	parts=--parts

	# The plans reach what Linux adds.
	more grow1 third 200 $((61440 * m))
	more grow2 third 200 $((409600 * m))
	truncate -s 180M grow1.img
	truncate -s 3700M grow2.img
	boot_begin
	grown_insert grow1 error
	guest "vdo-grow grow1 $((61440 * m)) $((180 * 256)) || exit 1" compare \
		"overwrite third" stop
	grown_insert grow2 online
	guest "vdo-grow grow2 $((409600 * m)) $((3700 * 256)) || exit 1" \
		compare "overwrite third" stop
	grown_insert grow3 error
	guest stop
	boot "what the library has grown"
	for name in grow1 grow2; do
		played $name third
	done
	sized grow1 $((180 * m)) $((61440 * m))
	sized grow2 $((3700 * m)) $((409600 * m))
	for name in grow1 grow2 grow3; do
		has $name clean
		write $name fourth 150
	done
	ours_grows grow1 $((200 * m)) $((81920 * m))

	# Linux grows it and crashes.
	more grow1 fifth 200 $((122880 * m))
	truncate -s 230M grow1.img
	boot_begin
	grown_insert grow1 error
	guest "vdo-grow grow1 $((122880 * m)) $((230 * 256)) || exit 1" \
		"overwrite fifth" crash-now
	expect_crash=--expect-crash
	boot "what both have grown"
	expect_crash=
	sized grow1 $((230 * m)) $((122880 * m))
	played grow1 fifth
	write grow1 sixth 150
	for name in grow1 grow2 grow3; do
		has $name clean
	done
}

#
# Pools: sub-volumes, their snapshots and clones, whose plans and manifests are those
# of POOL.SUB. To Linux each is a linear device on the volume.
#

# sub_write POOL SUB PLAN OPERATIONS [OPTION...]: by the library
sub_write()
{
	name=$1 sub=$2 plan=$3
	more "$1.$2" "$3" "$4" "$(sub_size "$1" "$2")"
	shift 4
	succeed "$name.$sub: $plan" "$vdoplay" play "share/$name.$sub.$plan" \
		"$name.img" --sub "$sub" --quiet alignment=512 "$@"
	played "$name.$sub" "$plan"
}

# sub_size POOL SUB: bytes
sub_size()
{
	"$vdoctl" sub stat "$1.img" "$2" --json |
		sed -n 's/^ *"size": \([0-9]*\),*/\1/p'
}

# sub_new POOL SUB SIZE: an empty one
sub_new()
{
	succeed "$1.$2: create" "$vdoctl" sub create "$1.img" "$2" "$3"
	: >"$1.$2.plans"
	: >"share/$1.$2.manifest"
}

# sub_copy POOL snapshot|clone SUB NEW
sub_copy()
{
	succeed "$1.$4: $2" "$vdoctl" sub "$2" "$1.img" "$3" "$4"
	cp "$1.$3.plans" "$1.$4.plans" &&
		cp "share/$1.$3.manifest" "share/$1.$4.manifest" || exit 1
}

# pool_has POOL SUB...: clean and sound, and all that is in these
pool_has()
{
	sound "$1" clean
	pool=$1
	shift
	for sub in "$@"; do
		holds "$pool" "$pool.$sub" --sub "$sub"
	done
	succeed "$pool: check" "$vdoctl" check "$pool.img" --data
}

# pool_trim POOL: free blocks go back to the file, so that Linux finds none of them
pool_trim()
{
	succeed "$1: trim" "$vdoctl" trim "$1.img"
}

# pool_serve POOL: as the disk that was plugged in last
pool_serve()
{
	guest "vol=$1" \
		"vdo-start /dev/vd$letter auto $1 wait 0 era 32 minio 512 blocks $(field "$1" physical_blocks) || exit 1" \
		"vdo-wait $1 error || exit 1"
}

# pool_insert POOL SUB...: a disk that gives space back, with a device for each. The
# library leaves it as it is, which may be after a crash.
pool_insert()
{
	pool=$1
	shift
	plug "$pool,trim"
	pool_serve "$pool"
	for sub in "$@"; do
		"$vdoctl" sub stat "$pool.img" "$sub" -o read-only=on \
			--table "/dev/mapper/$pool" >"share/$pool.$sub.table"
		guest "linear $sub"
	done
}

stage_pools()
{
	m=1048576 parts=--parts
	make pool --size 200M --profile small --logical-size 60G \
		-o journal-blocks=64 --slab-bits 10
	sub_new pool a 8G
	sub_new pool b 6G
	sub_new pool gone 1G
	sub_write pool a first 150
	sub_write pool b first 150 threads=1 --copy
	sub_write pool gone first 150
	sub_copy pool snapshot a a1
	sub_copy pool clone a c
	sub_write pool a second 100 --copy
	sub_write pool c second 100 logical-zones=3
	sub_copy pool snapshot a a2
	succeed "pool: remove" "$vdoctl" sub remove pool.img gone --yes
	succeed "pool.b: resize" "$vdoctl" sub resize pool.img b 9G
	sub_write pool b second 100
	pool_has pool a b c a1 a2
	pool_trim pool

	# Linux writes to what is copied, and grows the volume below.
	for sub in a b c; do
		more pool.$sub third 120 "$(sub_size pool $sub)"
	done
	truncate -s 230M pool.img
	boot_begin
	pool_insert pool a b c a1 a2
	guest "linear_overwrite a third" "linear_overwrite b third" \
		"linear_overwrite c third" \
		"linear_stop a b c a1 a2"
	pool_serve pool
	guest "vdo-grow pool $((81920 * m)) $((230 * 256)) || exit 1" stop
	boot "sub-volumes"
	for sub in a b c; do
		played pool.$sub third
	done
	sized pool $((230 * m)) $((81920 * m))
	pool_has pool a b c a1 a2
	sub_copy pool snapshot b b1
	sub_new pool d 20G # where Linux has added space
	sub_write pool d first 100
	succeed "pool: remove" "$vdoctl" sub remove pool.img a1 --yes
	sub_write pool a fourth 80 --copy
	pool_has pool a b c d a2 b1
	pool_trim pool

	# The power fails while ours writes; Linux recovers it, and crashes.
	parts=
	more pool.c fifth 800 "$(sub_size pool c)"
	"$vdoplay" play share/pool.c.fifth pool.img --sub c alignment=512 \
		--copy --lossy $((seed * 100 + number)) --writes 400 \
		>log 2>out
	test $? -eq 99 || fail "pool: the power did not fail"
	uncertain pool.c fifth "power failed"
	more pool.d sixth 200 "$(sub_size pool a)"
	boot_begin
	pool_insert pool a b c d a2 b1
	guest 'test -z "$bad" || { echo "not as expected:$bad"; exit 1; }' \
		"linear_overwrite d sixth" crash-now
	expect_crash=--expect-crash
	boot "sub-volumes after a crash"
	expect_crash=
	played pool.d sixth
	succeed "pool: recovery by the library" "$vdoplay" check \
		share/pool.d.manifest pool.img --sub d --near
	pool_has pool a b c d a2 b1
	for sub in a b c d a2 b1; do
		succeed "pool: remove" "$vdoctl" sub remove pool.img $sub --yes
	done
	sound pool clean
	test "$(field pool logical_blocks_used)" -le 4096 ||
		fail "pool: more is used than its directory"
}

number=0 boots=0 parts=--parts expect_crash= crash_plan=crash
for stage in ${STAGES:-sizes pingpong crashes recovery index growth pools}; do
	stage_$stage
done
echo "$boots boots of Linux, $checked blocks compared, $number plans"
exit $failed
