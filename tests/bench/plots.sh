#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# "make bench-plots": rates of a volume over depths and sizes of operations, as
# tables and, where gnuplot is there, pictures. One set is a volume in a file
# beside the file itself, the other one a volume in memory.
#
#	plots.sh VDO-BENCH FOLDER
#
# FOLDER gets RW-file.dat and RW-memory.dat, and .png and .svg of each. RUNTIME is
# the seconds of each point, twice (0.5), SIZE the part of the volume in use, WORK
# the kinds of work, DEPTHS and SIZES those of operations. PLOTS_DEVICE is the
# file, of PLOTS_DEVICE_SIZE (2G): it is made, and removed.
set -eu

bench=$1
folder=$2
runtime=${RUNTIME:-0.5}
size=${SIZE:-512M}
work=${WORK:-write randwrite read randread}
depths=${DEPTHS:-1,2,4,8,16,32,64,128,256}
sizes=${SIZES:-4K,16K,64K,256K,1M}
mkdir -p "$folder"
device=${PLOTS_DEVICE:-$folder/bench-file.vdo}
device_size=${PLOTS_DEVICE_SIZE:-2G}
test ! -e "$device" || {
	echo "plots.sh: $device is there already: give another one in" \
		"PLOTS_DEVICE" >&2
	exit 1
}
trap 'rm -f "$device"' EXIT
trap 'exit 1' HUP INT TERM

title()
{
	case $1 in
	write) echo "Writes in sequence" ;;
	randwrite) echo "Random writes" ;;
	read) echo "Reads in sequence" ;;
	randread) echo "Random reads" ;;
	esac
}

# table RW PLACE OPTION...
table()
{
	rw=$1 place=$2
	shift 2
	echo "  $folder/$rw-$place.dat"
	"$bench" --table --rw="$rw" --size="$size" --runtime="$runtime" \
		--depths="$depths" --sizes="$sizes" -o compression=off "$@" \
		>"$folder/$rw-$place.tmp"
	mv "$folder/$rw-$place.tmp" "$folder/$rw-$place.dat"
}

# picture RW PLACE TERMINAL ENDING
picture()
{
	data=$folder/$1-$2.dat
	count=$(grep -c '^"' "$data")
	what="a libvdo volume in memory"
	raw=
	if grep -vq 'NaN\|^#\|^"\|^$' "$data"; then
		what="a libvdo volume in a file (lines) and the file itself (dashes)"
		raw=", for [i=0:$((count - 1))] '$data' index i using 2:8 \
			with linespoints lc i + 1 pt 6 ps 0.7 dt (6, 4) lw 1.5 \
			notitle"
	fi
	gnuplot <<-END
		set terminal $3
		set output '$folder/$1-$2.$4'
		set title "$(title "$1"): $what"
		set linetype 1 lc rgb '#0072b2'
		set linetype 2 lc rgb '#d55e00'
		set linetype 3 lc rgb '#009e73'
		set linetype 4 lc rgb '#cc79a7'
		set linetype 5 lc rgb '#56b4e9'
		set linetype 6 lc rgb '#e69f00'
		set logscale x 2
		set logscale y 10
		set xlabel 'operations at a time (depth)'
		set ylabel 'rate in MB/s'
		set grid xtics ytics lt 1 dt 1 lw 1 lc rgb '#d0d0d0'
		set format x '%g'
		set format y '%g'
		set border 3
		set tics nomirror
		set key outside right top title "size of an\noperation" left \
			reverse Left
		set offsets graph 0.02, graph 0.02, 0, 0
		plot for [i=0:$((count - 1))] '$data' index i using 2:4 \
			with linespoints lc i + 1 pt 7 ps 0.8 lw 2 \
			title columnheader(1) $raw
	END
	echo "  $folder/$1-$2.$4"
}

echo "tables:"
for rw in $work; do
	table "$rw" file --raw --device="$device" --device-size="$device_size" -o direct=on
	table "$rw" memory
done
command -v gnuplot >/dev/null || {
	echo "no pictures: gnuplot is missing; install gnuplot-nox, or give the" \
		"tables to another program"
	exit 0
}
echo "pictures:"
for rw in $work; do
	for place in file memory; do
		picture "$rw" $place \
			"pngcairo size 1000,640 font 'sans,11'" png
		picture "$rw" $place \
			"svg size 1000,640 font 'sans,13' background rgb 'white'" svg
	done
done
