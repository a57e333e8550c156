#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# vdo-bench: its options, and the form of what it prints. No figure matters.
top=${top_builddir:-.}
bench=$top/tests/bench/vdo-bench
source=${top_srcdir:-$(dirname "$0")/../..}/tests/bench
dir=bench-test.$$
failed=0

test -x "$bench" || {
	echo "vdo-bench was not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

wrong()
{
	echo "$*" >&2
	sed 's/^/    /' "$dir/out" | head -20 >&2
	failed=1
}

# run WANT OPTION...: the exit code is WANT; what it prints is in out
run()
{
	want=$1
	shift
	"$bench" --size=8M --device-size=128M "$@" >"$dir/out" 2>&1
	got=$?
	test $got -eq "$want" || wrong "$*: exit code $got instead of $want"
}

says()
{
	grep -Eq -- "$1" "$dir/out" || wrong "it does not say: $1"
}

# value NAME: of the line of JSON
value()
{
	sed -n "s/.*[{,]\"$1\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/p" "$dir/out"
}

# is NAME VALUE
is()
{
	test "$(value "$1")" = "$2" || wrong "$1 is '$(value "$1")', not '$2'"
}

# some NAME: there is such a number, and it is more than 0
some()
{
	value "$1" | awk 'END { exit !($1 > 0) }' || wrong "no $1"
}

none()
{
	test -z "$(value "$1")" || wrong "$1 was not asked for"
}

# Each option is in the text, and no other.
"$bench" --help >"$dir/out" || wrong "--help fails"
grep -o '{"[a-z-]*", [01]' "$source/arguments.c" | cut -d'"' -f2 | sort -u \
	>"$dir/known"
grep -o '^  --[a-z-]*' "$dir/out" | tr -d ' ' | sed 's/^--//' | sort -u \
	>"$dir/told"
echo help >>"$dir/told"
sort -u "$dir/told" | cmp -s - "$dir/known" ||
	wrong "--help and the options differ: $(sort -u "$dir/told" |
		comm -3 - "$dir/known" | tr -d '\t' | tr '\n' ' ')"

# What makes no sense is refused.
while read -r options; do
	# shellcheck disable=SC2086
	run 2 $options
	test -s "$dir/out" || wrong "$options: refused without a word"
done <<'EOF'
--rw=sideways
--bs=1000
--bs=0
--bs=16M
--iodepth=0
--iodepth=much
--runtime=0
--runtime=-1
--runtime=soon
--runtime=inf
--dedupe-percentage=101
--compress-percentage=101
--originals=0
--rw=discard --raw
--table --rw=discard
--table --sync
--table --json
--table --depths=0
--table --depths=1,,2
--table --sizes=6000
--table --sizes=16M
--flush-delay=forever
-o compression
-o compression=perhaps
-o nothing=on
--nothing
file
EOF

# Each kind of work ends, also in large pieces of duplicates, and says so.
for rw in write randwrite read randread discard; do
	run 0 --rw=$rw --json --no-limit
	is rw $rw
	is bs 4096
	is ops 2048
	is threads 2
	for name in iops mb_s seconds p50_us p99_us p999_us; do
		some $name
	done
	is limit_iops 0
	none raw_iops
	none device_writes
	none crossings_per_op
done
run 0 --rw=write --bs=1M --dedupe-percentage=100 --json --iodepth=4
is ops 8
some limit_iops
some share
run 0 --rw=randwrite --dedupe-percentage=100 --originals=1000 --json
run 0 --rw=write --zero --overwrite --json --ops=100 --warmup=10
is ops 100
run 0 --rw=discard --size=1T --mapped=4M --bs=1T --iodepth=1 --json --sync
is ops 1
run 0 --rw=read --mapped=4M --executor=inline --json
run 0 --rw=randread --cold --executor=pool --json

# Time ends it, unless operations do.
run 0 --rw=randread --runtime=0.1 --json --no-limit
some ops
run 0 --rw=randread --runtime=100 --ops=10 --json --no-limit
is ops 10
run 0 --rw=randwrite --sync --runtime=0.1 --json --no-limit
some ops
is iodepth 1
run 0 --rw=randwrite --sync --ops=50 --no-limit
says 'went to sleep [0-9.]+ times an operation'

# The device: its own rate, what it was asked for, and flushes that take time.
for device in mem "$dir/file"; do
	run 0 --device="$device" --raw --runtime=0.1 --bs=64K --iodepth=4 \
		--json --no-limit
	for name in raw_iops raw_mb_s raw_share raw_p50_us device_writes \
		device_write_bytes device_writes_per_block; do
		some $name
	done
done
run 0 --device="$dir/file" --raw --runtime=0.1 --rw=randread --cold \
	-o io-engine=threads
says 'raw device [0-9]+ IOPS, [0-9.]+ MB/s'
says 'device: [1-9][0-9]* reads'
run 0 --flush-delay=1000 --runtime=0.1 --json --no-limit
some device_fua
some device_flushes

# Messages are counted by a library that checks, and only by that.
run 0 --rw=randwrite --crossings --json --no-limit
if grep -q '^#define VDO_DEBUG' "$top/build.h"; then
	some crossings_per_op
else
	is crossings_per_op 0.000
fi

# A table: comments, then for each size its name and a row a depth.
table()
{
	awk -v sizes="$1" -v depths="$2" -v raw="$3" '
		/^#/ { next }
		/^$/ { empty++; next }
		/^"[0-9]+ [KM]iB"$/ {
			if (seen++ > 0 && (empty != 2 || rows != depths))
				bad = 1
			empty = rows = 0
			next
		}
		NF != 8 || $3 <= 0 || $4 <= 0 { bad = 1 }
		raw ? $7 <= 0 || $8 <= 0 : $7 != "NaN" || $8 != "NaN" {
			bad = 1
		}
		{ rows++ }
		END { exit bad || seen != sizes || rows != depths }
	' "$dir/out" || wrong "not a table of $1 sizes and $2 depths"
}
run 0 --table --rw=randwrite --depths=1,4,16 --sizes=4K,1M --runtime=0.02
table 2 3 0
run 0 --table --rw=read --depths=2 --sizes=4K,8K,16K --runtime=0.02 --raw \
	--device="$dir/file"
table 3 1 1
grep -q '^# bs depth iops mb_s p50_us p99_us raw_iops raw_mb_s$' "$dir/out" ||
	wrong "the columns have no names"
run 0 --table --rw=randread --runtime=0.002
table 5 9 0

# The rows of "make bench": each is of a kind that run.sh has, with options that
# there are; and what is printed has a figure, a goal and no complaint.
grep '^[a-z]' "$source/rows.txt" |
	while IFS='|' read -r name kind goal text options; do
		kind=$(echo $kind)
		test -n "$options$text$goal" ||
			echo "$name: there is something missing"
		grep -q "^kind_$kind() {" "$source/run.sh" ||
			echo "$name: run.sh has no kind $kind"
		case $kind in
		nbdkit) continue ;;
		queue) program=queue-bench ;;
		hash) program=hash-bench ;;
		index | steady) program=index-bench ;;
		*) program=vdo-bench ;;
		esac
		case $options in
		*" -- "*) options="${options%% -- *} ${options#* -- }" ;;
		esac
		test -x "$top/tests/bench/$program" || continue
		# shellcheck disable=SC2086
		"$top/tests/bench/$program" $options --help >/dev/null 2>&1 ||
			echo "$name: $program does not take: $options"
	done >"$dir/out"
test -s "$dir/out" && wrong "rows.txt:"
test "$(grep -c '^[a-z]' "$source/rows.txt")" = \
	"$(sed -n 's/^\([a-z][a-z0-9-]*\) *|.*/\1/p' "$source/rows.txt" |
		sort -u | wc -l)" || wrong "rows.txt has a name twice"

measured="file-write file-writes unique zero sync-read slow-mapped discard-unmapped"
measured="$measured classic spread-dup cross-unique queue-1-same"
# shellcheck disable=SC2086
SIZE=8M RUNS=1 RUNTIME=0.05 WARMUP=100 PATIENCE=60 sh "$source/run.sh" \
	--device="$dir/row" --device-size=128M "$bench" $measured \
	>"$dir/out" 2>&1 || wrong "run.sh fails"
for name in $measured; do
	text=$(grep "^$name  *|" "$source/rows.txt" | cut -d'|' -f4 |
		sed 's/^ *//; s/ *$//')
	line=$(grep -F -- "$text " "$dir/out")
	echo "$line" | grep -Eq ' [0-9.]+ ([%a-zA-Z]+)? +([0-9./]+ +(reached|missed)|-)' ||
		echo "$line" | grep -q 'skipped: .' ||
		wrong "run.sh says of $name: $line"
done
test ! -e "$dir/row" || wrong "run.sh leaves its file"
sh "$source/run.sh" "$bench" no-such-row >"$dir/out" 2>&1
test $? -eq 2 || wrong "a row that there is not"
sh "$source/run.sh" --list >"$dir/out" 2>&1 || wrong "--list fails"
says '^file-write +device +70/60 '
touch "$dir/row"
sh "$source/run.sh" --device="$dir/row" "$bench" unique >"$dir/out" 2>&1 &&
	wrong "run.sh takes a file that is there"

# Tables and pictures.
RUNTIME=0.01 SIZE=8M WORK=randread DEPTHS=1,4 SIZES=4K,64K PLOTS_DEVICE_SIZE=128M \
	sh "$source/plots.sh" "$bench" "$dir/plots" >"$dir/out" 2>&1 ||
	wrong "plots.sh fails"
grep -Eq '^64|^6553' "$dir/plots/randread-file.dat" || wrong "no table"
if command -v gnuplot >/dev/null; then
	for name in randread-file randread-memory; do
		head -c 4 "$dir/plots/$name.png" | grep -q PNG ||
			wrong "$name.png is no picture"
		grep -q '<svg' "$dir/plots/$name.svg" ||
			wrong "$name.svg is no picture"
	done
else
	says 'gnuplot is missing'
fi
exit $failed
