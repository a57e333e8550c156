#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# How many user instructions an operation takes: callgrind counts the measured
# part of vdo-bench (bench_measured) on the inline executor, after a warm-up.
# The same binary gives the same number on any machine with the same libc.
#
#	instructions.sh VDO-BENCH [OPTION]...     prints one number
#
# callgrind counts a string instruction once for each byte, and the C library
# clears LZ4's table of 16 KiB with one, which takes about 300 cycles. It is told
# not to.
set -eu
GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1048576
export GLIBC_TUNABLES

bench=$1
shift
ops=${OPS:-8000}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
command -v valgrind >/dev/null || { echo "-"; exit 0; }
# A libtool wrapper is a script; valgrind must see the program.
case $(head -c 2 "$bench") in
'#!') set -- ./libtool --mode=execute valgrind "$bench" "$@" ;;
*) set -- valgrind "$bench" "$@" ;;
esac
program=$1; shift
if [ "$program" = ./libtool ]; then
	mode=$1; shift 2
	b=$1; shift
	run="./libtool $mode valgrind"
else
	b=$1; shift
	run=valgrind
fi
# shellcheck disable=SC2086
$run --tool=callgrind --callgrind-out-file="$out" \
	--toggle-collect=bench_measured "$b" --executor=inline --no-limit \
	--size=64M --ops="$ops" --warmup=4000 "$@" 2>&1 >/dev/null |
	awk -v ops="$ops" '/Collected/ { printf "%d\n", $4 / ops; found = 1 }
		END { if (!found) print "-" }'
