#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The table of "make bench": each workload's share of the same-run limit, and
# instructions an operation. One line a workload; the numbers of dm-vdo's own
# code (user instructions, counted the same way) stand beside ours.
#
#	run.sh VDO-BENCH         SIZE, WARMUP, RUNS and OPS make it longer or
#	                         shorter, CHAPTERS the part about the index
#
# Indexes are filled with one zone, with two, and sparse; each zone is asked on
# its own thread, as a volume does. With fewer chapters than they have, "steady"
# is not yet so.
set -eu

bench=$1
here=$(dirname "$0")
size=${SIZE:-1G}
warmup=${WARMUP:-100000}
runs=${RUNS:-3}
chapters=${CHAPTERS:-1024}
index=$(dirname "$bench")/index-bench

field() { # JSON NAME
	printf '%s\n' "$1" | sed "s/.*\"$2\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/"
}

# The machine has its moods: of RUNS runs, the one with the median rate.
median() { # OPTION...
	i=0
	while [ $i -lt "$runs" ]; do
		"$bench" --json --size="$size" --warmup="$warmup" "$@"
		i=$((i + 1))
	done | sed 's/.*"iops":\([0-9]*\).*/\1 &/' | sort -n |
		sed -n "$((runs / 2 + 1))s/^[0-9]* //p"
}

row() { # NAME DM-VDO OPTION...
	name=$1
	kernel=$2
	shift 2
	json=$(median "$@")
	instructions=$(sh "$here/instructions.sh" "$bench" "$@")
	printf '%-34s %9s %8s %7.1f%% %8s %7s %8s\n' "$name" \
		"$(field "$json" iops)" "$(field "$json" p50_us)" \
		"$(field "$json" share | awk '{ print 100 * $1 }')" \
		"$(field "$json" cpu_s_per_mop)" "$instructions" "$kernel"
}

ratio() { # NAME OPTIONS-A -- OPTIONS-B: operations a second, A to B
	name=$1
	shift
	a=
	while [ "$1" != -- ]; do
		a="$a $1"
		shift
	done
	shift
	# shellcheck disable=SC2086
	x=$(field "$(median --no-limit $a)" iops)
	y=$(field "$(median --no-limit "$@")" iops)
	printf '%-58s %6.2f\n' "$name" \
		"$(awk "BEGIN { print $x / $y }")"
}

latency() { # NAME OPTION...
	name=$1
	shift
	json=$("$bench" --json --no-limit --sync --ops=20000 "$@")
	printf '%-58s %6.1f us\n' "$name" "$(field "$json" p50_us)"
}

# The path alone: names in memory instead of the index.
memory="-o index=memory"
off="-o compression=off"
printf '%-34s %9s %8s %8s %8s %7s %8s\n' "4 KiB, depth 256, 2 threads, memory" \
	IOPS "p50 us" "of limit" "CPU s/M" instr. dm-vdo
# shellcheck disable=SC2086
{
row "unique write, compression off" 16200 $off $memory
row "overwrite, unique, compression off" 16900 --overwrite $off $memory
row "text-like write, compression on" 47200 --compress-percentage=60 $memory
row "100 % duplicates" 18700 --dedupe-percentage=100 $off $memory
row "zero write" 8100 --zero
row "random read" 4350 --rw=randread
echo "with the index of the volume:"
row "unique write, compression off" - $off
row "overwrite, unique, compression off" - --overwrite $off
row "text-like write, compression on" - --compress-percentage=60
row "100 % duplicates" - --dedupe-percentage=100 $off
echo
ratio "two threads to one, unique" $off --threads=2 -- $off --threads=1
ratio "two threads to one, text" --compress-percentage=60 --threads=2 -- \
	--compress-percentage=60 --threads=1
ratio "the caller's pool to native, unique" --executor=pool $off -- $off
ratio "the caller's pool to native, random read" \
	--executor=pool --rw=randread -- --rw=randread
ratio "1 TB logical volume to 1 GB, unique" $off --logical-size=1T -- \
	$off --logical-size=1G
ratio "1 TB logical volume to 1 GB, random read" \
	--rw=randread --logical-size=1T -- --rw=randread --logical-size=1G
ratio "classic zones to shards, unique" -o topology=classic $off -- $off
echo
latency "synchronous write at depth 1, median" $off
latency "synchronous read at depth 1, median" --rw=randread
}

rate() { # ROW TABLE: thousands a second
	printf '%s\n' "$2" | awk -v row="$1" '$1 == row { print $6; exit }'
}

echo
one=$("$index" --local --chapters="$chapters")
two=$("$index" --local --chapters="$chapters" --zones=2)
printf '%s\n\n%s\n\n' "$one" "$two"
# Its dense part has 512 chapters.
"$index" --local --sparse --chapters=$((chapters * 5 / 8))
echo
for row in fill steady cached absent; do
	printf '%-58s %6.2f\n' "two zones on two threads to one, $row" \
		"$(awk "BEGIN { print $(rate $row "$two") / \
				      $(rate $row "$one") }")"
done
