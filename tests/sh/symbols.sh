#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The shared libraries export what the public headers declare, nothing else; and
# a test calls each without what it needs.
here=$(dirname "$0")
top_srcdir=${top_srcdir:-$here/../..}
export top_srcdir
library=${LIBVDO:-${top_builddir:-.}/lib/.libs/libvdo.so}

test -f "$library" && command -v nm >/dev/null 2>&1 || {
	echo "no shared library, or no nm" >&2
	exit 77
}
# compare LIBRARY: with what is in symbols-headers
compare()
{
	# type A: the name of the version
	nm -D --defined-only "$1" |
		awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		sort -u >symbols-library.$$
	diff symbols-headers.$$ symbols-library.$$ >symbols-diff.$$ && return
	sed -n "s|^> |$1: exported, but in no header: |p
		s|^< |$1: declared, but not exported: |p" symbols-diff.$$ >&2
	failed=1
}

{ "$here/exported.sh" && "$here/exported.sh" sim; } | sort \
	>symbols-headers.$$
compare "${top_builddir:-.}/tests/lib/.libs/libvdo-sim.so"
"$here/exported.sh" >symbols-headers.$$
compare "$library"
while read -r name; do
	grep -q "$name(" "$top_srcdir/tests/volume/test_null.c" && continue
	echo "$name: not called without arguments by test_null.c" >&2
	failed=1
done <symbols-headers.$$
rm -f symbols-library.$$ symbols-headers.$$ symbols-diff.$$
exit ${failed:-0}
