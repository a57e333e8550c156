#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Processes that use a volume are killed at random moments; what was flushed is
# there when the volume is opened again, and the volume is sound.
#
#	CRASH_KILLS=N     about how many rounds, in shares for each load (16)
#	CRASH_SECONDS=N   stop after that time
#	CRASH_DIR=DIR     where the volumes are (.)
#	SEED=N            of the first load (1); a failure prints its command
#
# The page cache outlives a process: what storage may lose in a power failure
# is for tests/sim.
build=${top_builddir:-.}
writer=$build/tests/crash/crash-writer
bench=$build/tests/bench/vdo-bench
copy=${DEDUP_COPY:-$build/examples/dedup-copy/dedup-copy}
vdoctl=${VDOCTL:-$build/examples/vdoctl/vdoctl}
source=${top_srcdir:-$(dirname "$0")/../..}/lib
plugin=${NBDKIT_PLUGIN:-$build/examples/nbdkit/.libs/libnbdkit-vdo-plugin.so}
kills=${CRASH_KILLS:-16}
seed=${SEED:-1}
start=$(date +%s)
dir=${CRASH_DIR:-.}/crash-test.$$
loop= mounted= rounds=0

for program in "$writer" "$bench" "$copy" "$vdoctl"; do
	test -x "$program" || {
		echo "$program was not built" >&2
		exit 77
	}
done
mkdir "$dir" || exit 1
clean_up()
{
	test -z "$loop" || losetup -d "$loop"
	test -z "$mounted" || umount "$dir/mount"
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	test ! -s "$dir/out" || cat "$dir/out" >&2
	exit 1
}

# left out WHY
left_out()
{
	echo "left out: $*"
	return 1
}

time_left()
{
	test -z "$CRASH_SECONDS" ||
		test $(($(date +%s) - start)) -lt "$CRASH_SECONDS"
}

# share PERCENT: of the kills, 1 at least
share()
{
	n=$((kills * $1 / 100))
	test $n -gt 0 || n=1
	echo $n
}

# random BELOW: from the seed and the round
random()
{
	rounds=$((rounds + 1))
	awk -v seed="$seed" -v n=$rounds -v below="$1" 'BEGIN {
		srand(seed * 100003 + n)
		rand()
		print int(rand() * below)
	}'
}

# sound VOLUME, which nobody has open
sound()
{
	test -n "$check" || return 0
	$check "$1" >"$dir/out" 2>&1 || fail "$check $1: finds fault"
}

# write_and_kill KILLS VOLUME OPTION...: a new volume every 20 kills
write_and_kill()
{
	left=$1 volume=$2
	shift 2
	while test "$left" -gt 0 && time_left; do
		n=20
		test "$left" -ge $n || n=$left
		left=$((left - n))
		"$writer" --seed "$seed" --kills $n \
			${CRASH_SECONDS:+--seconds "$CRASH_SECONDS"} \
			${check:+--check "$vdoctl"} "$@" "$volume" || exit 1
		seed=$((seed + 1))
	done
}

# killed MILLISECONDS VOLUME COMMAND...: true if it was killed
killed()
{
	volume=$2
	seconds=$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))
	shift 2
	timeout -s KILL "$seconds" "$@" >"$dir/out" 2>&1
	status=$?
	test ! -s "$volume" || "$writer" --wait "$volume" || exit 1
	test $status -eq 137 || test $status -eq 0 || fail "$*: $status"
	test $status -eq 137
}

# Snapshots that were whole before a crash are whole after it.
copy_and_kill()
{
	volume=$dir/copied
	# a copy, which nobody works on
	cp -R "$source" "$dir/lib" || exit 1
	"$copy" "$dir/lib" "$volume" >"$dir/out" 2>&1 || fail "no first snapshot"
	left=$(($1 * 8)) limit=400 count=0
	while test "$left" -gt 0 && test $count -lt "$1" && time_left; do
		left=$((left - 1))
		dd if=/dev/urandom of="$dir/new" bs=65536 count=64 2>/dev/null
		if killed $((1 + $(random $limit))) "$volume" \
			"$copy" "$dir/lib" "$dir/new" "$volume"; then
			count=$((count + 1))
		else
			limit=$((limit * 3 / 4 + 3)) # it takes less
		fi
		sound "$volume"
		rm -rf "$dir/back"
		mkdir "$dir/back"
		"$copy" --extract --snapshot 1 "$volume" "$dir/back" \
			>"$dir/out" 2>&1 || fail "snapshot 1 is gone"
		diff -r "$dir/lib" "$dir/back/lib" >"$dir/out" 2>&1 ||
			fail "snapshot 1 is not what it was"
		sound "$volume"
	done
	echo "dedup-copy: $count killed"
	rm -rf "$volume" "$dir/back"
}

bench_and_kill()
{
	left=$1 count=0 volume=$dir/measured
	truncate -s 400M "$volume"
	while test "$left" -gt 0 && time_left; do
		left=$((left - 1))
		killed $((1 + $(random 1500))) "$volume" "$bench" --device="$volume" \
			--rw=randwrite --size=64M --ops=1000000 --no-limit \
			--dedupe-percentage=30 --compress-percentage=50 &&
			count=$((count + 1))
		"$vdoctl" info "$volume" >"$dir/out" 2>&1 || continue
		sound "$volume"
		"$vdoctl" read "$volume" --length 64M 2>"$dir/out" >/dev/null ||
			fail "not readable after vdo-bench was killed"
		echo now | "$vdoctl" write "$volume" >"$dir/out" 2>&1 ||
			fail "not writable after vdo-bench was killed"
		sound "$volume"
	done
	echo "vdo-bench: $count killed"
	rm -f "$volume"
}

# The file system below is full when the volume is to recover: that may fail,
# but costs nothing once there is space.
fill_and_kill()
{
	left=$1 count=0 refused=0 volume=$dir/mount/v
	head -c 12M /dev/urandom >"$dir/new"
	while test "$left" -gt 0 && time_left; do
		left=$((left - 1))
		rm -f "$volume" "$dir/mount/ballast"
		"$vdoctl" format "$volume" --size 64M --logical-size 100M \
			--profile small >"$dir/out" 2>&1 || fail "no volume"
		"$vdoctl" write "$volume" --length 1M <"$dir/new" \
			>"$dir/out" 2>&1 || fail "not writable"
		killed $((10 + $(random 200))) "$volume" "$vdoctl" write \
			"$volume" --offset 1M -o deduplication=off \
			<"$dir/new" && count=$((count + 1))
		cat /dev/zero >"$dir/mount/ballast" 2>/dev/null
		if ! "$vdoctl" write "$volume" </dev/null >"$dir/out" 2>&1; then
			grep -q ENOSPC "$dir/out" ||
				fail "not recovered, but for another reason"
			refused=$((refused + 1))
		fi
		rm "$dir/mount/ballast"
		"$vdoctl" write "$volume" </dev/null >"$dir/out" 2>&1 ||
			fail "not recovered though there is space"
		"$vdoctl" read "$volume" --length 1M 2>"$dir/out" |
			cmp -s -n 1048576 - "$dir/new" ||
			fail "lost what was closed"
		sound "$volume"
	done
	echo "full file system: $count killed, $refused had to wait for space"
}

check=
if "$vdoctl" check --help >/dev/null 2>&1; then
	check="$vdoctl check"
else
	left_out "vdoctl has no check"
fi
echo "about $kills kills, seed $seed"
# What was flushed and is not there must be noticed.
"$writer" --seed "$seed" --kills 3 --plant "$dir/volume" >"$dir/out" 2>&1 &&
	fail "lost blocks are not noticed"
grep -q "which is none of" "$dir/out" || fail "no lost block is named"
write_and_kill "$(share 50)" "$dir/volume"
if ldd "$plugin" 2>/dev/null | grep -q 'lib[at]san'; then
	left_out "nbdkit cannot load what was built with sanitizers"
elif ! test -f "$plugin" || ! nbdkit --version >/dev/null 2>&1; then
	left_out "nbdkit or its plugin is not there"
else
	case $plugin in
	/*) ;;
	*) plugin=$PWD/$plugin ;;
	esac
	write_and_kill "$(share 25)" "$dir/volume" --nbd "$plugin"
fi
rm -f "$dir/volume"
copy_and_kill "$(share 8)"
bench_and_kill "$(share 7)"
truncate -s 300M "$dir/disk"
if test "$(id -u)" = 0 && loop=$(losetup -f --show "$dir/disk" 2>/dev/null); then
	write_and_kill "$(share 10)" "$loop"
else
	loop=
	left_out "no loop device can be had"
fi
mkdir "$dir/mount"
if mount -t tmpfs -o size=24M none "$dir/mount" 2>/dev/null; then
	mounted=yes
	fill_and_kill "$(share 5)"
else
	left_out "tmpfs cannot be mounted"
fi
exit 0
