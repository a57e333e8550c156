#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# "make bench": measures the rows of rows.txt and prints what was reached beside
# the goal. It fails only if something cannot be run.
#
#	run.sh [--list] [--device=PATH] [--device-size=BYTES] VDO-BENCH [ROW]...
#
# ROW is a name or a pattern, as 'file-*'; all rows if there is none. The file
# of rows on a file is made and removed again, unless it is a block device, whose
# content is lost.
#
# From the environment: RUNS, how often a row is measured (3; the median counts);
# SIZE, the part of the volume that is worked on (1G); WARMUP, operations before
# (100000); RUNTIME, seconds of a row on a file (2); PATIENCE, seconds after which
# a discard and what it needs before is given up (60); OPS, operations that
# instructions are counted of; INDEX, the size of the index of index-bench (-32:
# 32 MB).
set -euf # no names of files for patterns of rows

here=$(dirname "$0")
list= device=bench-file.vdo device_size=2G
while [ $# -gt 0 ]; do
	case $1 in
	--list) list=1 ;;
	--device=*) device=${1#*=} ;;
	--device-size=*) device_size=${1#*=} ;;
	--*) sed -n 's/^#\t//p' "$0" >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || [ -n "$list" ] || { sed -n 's/^#\t//p' "$0" >&2; exit 2; }
bench=${1:-}
[ $# -eq 0 ] || shift
wanted=$*
folder=$(dirname "$bench")
size=${SIZE:-1G}
warmup=${WARMUP:-100000}
runs=${RUNS:-3}
runtime=${RUNTIME:-2}
index=${INDEX:--32}
patience=${PATIENCE:-60}

# ------------------------------------------------------------------ measuring

field() { # JSON NAME
	printf '%s\n' "$1" | sed -n "s/.*[{,]\"$2\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/p"
}

calc() { # EXPRESSION
	awk "BEGIN { printf(\"%.${2:-2}f\", ($1)) }"
}

# The machine has its moods: of RUNS runs, the line with the median of FIELD.
median() { # FIELD OPTION...
	by=$1
	shift
	i=0
	while [ $i -lt "$runs" ]; do
		"$bench" --json --size="$size" "$@"
		i=$((i + 1))
	done | sed "s/.*[{,]\"$by\":\\([-0-9.]*\\).*/\\1 &/" | sort -n |
		sed -n "$((runs / 2 + 1))s/^[-0-9.]* //p"
}

how="--warmup=$warmup"
rate() { # OPTION...: operations a second
	# shellcheck disable=SC2086
	field "$(median iops --no-limit $how "$@")" iops
}

# --------------------------------------------------------------------- telling

# said TEXT REACHED UNIT GOAL SENSE [DETAILS [ENOUGH]]: SENSE is "least" or
# "most", what the goal is for it; the goal "-" is none. ENOUGH is 1 if the part
# of it after a slash is reached.
said() {
	verdict=
	aim=${4%/*}
	if [ "${7:-0}" = 1 ]; then
		verdict=reached
	elif [ "$4" != - ] && [ -n "$2" ]; then
		case $5 in
		least) good="$2 >= $aim" ;;
		most) good="$2 <= $aim" ;;
		esac
		if [ "$(calc "$good" 0)" = 1 ]; then
			verdict=reached
		else
			verdict=missed
		fi
	fi
	printf '%-44s %10s %-3s %8s  %-7s  %s\n' "$1" "$2" "$3" "$4" \
		"$verdict" "${6:-}"
}

skipped() { # TEXT WHY
	printf '%-44s skipped: %s\n' "$1" "$2"
}

# ----------------------------------------------------------------------- kinds

kind_device() { # GOAL TEXT OPTION...
	goal=$1 text=$2
	shift 2
	r=$(median raw_share --raw --device="$device" \
		--device-size="$device_size" --runtime="$runtime" \
		-o direct=on "$@")
	share=$(calc "100 * $(field "$r" raw_share)" 1)
	limit=$(calc "100 * $(field "$r" share)" 1)
	enough=0
	case $goal in
	*/*) enough=$(calc "$limit >= ${goal#*/}" 0) ;;
	esac
	said "$text" "$share" % "$goal" least \
		"$(field "$r" mb_s) MB/s, raw $(field "$r" raw_mb_s) MB/s;\
 $limit % of the limit of the processor" "$enough"
}

kind_writes() {
	goal=$1 text=$2
	shift 2
	r=$("$bench" --json --no-limit --raw --size="$size" --runtime="$runtime" \
		--device="$device" --device-size="$device_size" -o direct=on \
		"$@")
	said "$text" "$(field "$r" device_writes_per_block)" "" "$goal" most \
		"$(field "$r" device_writes) writes,\
 $(field "$r" device_flushes) flushes, $(field "$r" device_fua) with FUA"
}

kind_slow() {
	goal=$1 text=$2
	shift 2
	set -- --no-limit --runtime="$runtime" "$@"
	fast=$(calc "$(field "$(median iops --flush-delay=0 "$@")" \
		mb_s) / 1.048576" 1)
	r=$(calc "$(field "$(median iops --flush-delay=5000 "$@")" \
		mb_s) / 1.048576" 1)
	share=$(calc "100 * $r / $fast" 1)
	said "$text" "$r" MiB "$goal" least \
		"at 0 ms $fast MiB/s: $share % of it" \
		"$(calc "$share >= ${goal#*/}" 0)"
}

kind_limit() {
	goal=$1 text=$2
	shift 2
	case " $* " in
	*" --warmup="* | *" --bs="*) ;;
	*) set -- --warmup="$warmup" "$@" ;;
	esac
	r=$(median iops "$@")
	details="$(field "$r" mb_s) MB/s, p50 $(field "$r" p50_us) us,\
 $(field "$r" cpu_s_per_mop) us of CPU"
	case $text in
	*"index full"*)
		details="$details, $(field "$r" names_forgotten) names forgotten"
		;;
	esac
	said "$text" "$(calc "100 * $(field "$r" share)" 1)" % "$goal" least \
		"$details"
}

kind_rate() {
	goal=$1 text=$2
	shift 2
	said "$text" "$(calc "$(rate "$@") / 1000" 0)" "" "$goal" least
}

kind_latency() {
	goal=$1 text=$2
	shift 2
	r=$("$bench" --json --no-limit --sync --ops=20000 "$@")
	sleeps=$(field "$r" sleeps_per_op)
	said "$text" "$(field "$r" p50_us)" us "$goal" most \
		"threads went to sleep, and were woken, $sleeps times an operation"
}

kind_seconds() {
	goal=$1 text=$2
	shift 2
	case $goal in
	*/*) times=${goal#*/} ;;
	*) times=1 ;;
	esac
	# A discard is not to be interrupted; the volume goes with the process.
	status=0
	r=$(timeout --foreground -s KILL "$patience" \
		"$bench" --json --no-limit --iodepth=1 --sync "$@") || status=$?
	case $status in
	0)
		said "$text" "$(calc "$times * $(field "$r" seconds)" 3)" s \
			"${goal%/*}" most
		;;
	137)
		said "$text" "$((times * patience))" s "${goal%/*}" most \
			"given up after $patience s"
		;;
	*) exit 1 ;;
	esac
}

kind_spread() {
	goal=$1 text=$2
	shift 2
	all=$(for i in 1 2 3 4 5; do
		field "$("$bench" --json --no-limit --size="$size" \
			--warmup="$warmup" "$@")" iops
	done | sort -n)
	slow=$(echo "$all" | sed -n 1p)
	fast=$(echo "$all" | sed -n 5p)
	said "$text" "$(calc "$slow / $fast")" "" "$goal" least \
		"$slow to $fast IOPS"
}

# two UNIT FACTOR GOAL TEXT A... -- B...
two() {
	unit=$1 factor=$2 goal=$3 text=$4
	shift 4
	first=
	while [ "$1" != -- ]; do
		first="$first $1"
		shift
	done
	shift
	# shellcheck disable=SC2086
	x=$(rate $first)
	y=$(rate "$@")
	said "$text" "$(calc "$factor * $x / $y")" "$unit" "$goal" least \
		"$x and $y IOPS"
}

kind_ratio() {
	two "" 1 "$@"
}

kind_share() {
	how="--runtime=$runtime"
	two % 100 "$@"
	how="--warmup=$warmup"
}

kind_instr() {
	goal=$1 text=$2
	shift 2
	n=$(sh "$here/instructions.sh" "$bench" "$@")
	if [ "$n" = - ]; then
		skipped "$text" "valgrind is missing"
	else
		said "$text" "$n" "" "$goal" most
	fi
}

kind_crossings() {
	r=$("$bench" --json --no-limit --crossings --size=256M --warmup=10000 \
		$(shift 2; echo "$@"))
	n=$(field "$r" crossings_per_op)
	if [ "$(calc "$n > 0" 0)" = 0 ]; then
		skipped "$2" "it takes a build with --enable-debug"
	else
		said "$2" "$n" "" "$1" most
	fi
}

kind_nbdkit() {
	file=$device.nbd
	[ ! -b "$device" ] || file=bench-file.vdo.nbd
	if r=$(sh "$here/nbd.sh" "$file" "$device_size" "$3" "$runtime"); then
		said "$2" "$(calc "${r%% *} / ${r#* }")" "" "$1" most \
			"${r%% *} us an operation, the file plugin ${r#* } us"
	else
		skipped "$2" "$r"
	fi
}

kind_steady() {
	goal=$1 text=$2
	shift 2
	r=$("$folder/index-bench" --json --memory="$index" "$@" |
		grep '"row":"steady"')
	said "$text" "$(calc "$(field "$r" cpu_ns) / 1000")" us "$goal" most \
		"an index of $index, $(field "$r" units) times hashing 4 KiB"
}

kind_index() {
	shift 2
	"$folder/index-bench" --memory="$index" "$@"
}

kind_queue() {
	goal=$1 text=$2
	shift 2
	if r=$("$folder/queue-bench" --json "$@"); then
		said "$text" "$(field "$r" ratio)" "" "$goal" most \
			"$(field "$r" own_ns) ns an item, wfcqueue\
 $(field "$r" urcu_ns) ns"
	else
		skipped "$text" "$r"
	fi
}

kind_hash() {
	goal=$1 text=$2
	shift 2
	r=$("$folder/hash-bench" --json "$@")
	said "$text" "$(field "$r" ratio)" "" "$goal" most \
		"$(field "$r" us) us a block, $(field "$r" stream_us) streaming;\
 one at a time $(field "$r" one_us), $(field "$r" one_stream_us)"
}

# -------------------------------------------------------------------- the rows

is_wanted() { # NAME
	[ -n "$wanted" ] || return 0
	for pattern in $wanted; do
		# shellcheck disable=SC2254
		case $1 in $pattern) return 0 ;; esac
	done
	return 1
}

trimmed() {
	echo "$1" | sed 's/^ *//; s/ *$//'
}

remove_file() {
	if [ -f "$device" ]; then
		rm -f "$device"
	fi
}
if [ -z "$list" ]; then
	if [ -e "$device" ] && [ ! -b "$device" ]; then
		echo "run.sh: $device is there already: give another one with" \
			"--device" >&2
		exit 1
	fi
	trap remove_file EXIT
	trap 'exit 1' HUP INT TERM
fi

none=1
part=
while IFS='|' read -r name kind goal text options <&3; do
	case $name in
	'#'* | '') continue ;;
	'['*) part=$name; continue ;;
	esac
	name=$(trimmed "$name")
	is_wanted "$name" || continue
	none=
	if [ -n "$part" ]; then
		printf '\n%s\n' "$part"
		[ -n "$list" ] || printf '%-44s %10s %-3s %8s\n' "" reached \
			"" goal
		part=
	fi
	if [ -n "$list" ]; then
		printf '%-22s %-10s %8s  %s\n' "$name" "$(trimmed "$kind")" \
			"$(trimmed "$goal")" "$(trimmed "$text")"
		continue
	fi
	# shellcheck disable=SC2086
	"kind_$(trimmed "$kind")" "$(trimmed "$goal")" "$(trimmed "$text")" \
		$options
done 3<"$here/rows.txt"
if [ -n "$none" ]; then
	echo "run.sh: no row is called that: --list has all" >&2
	exit 2
fi
