#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The shared library exports what the public headers declare, nothing else; and
# a test calls each without what it needs.
here=$(dirname "$0")
top_srcdir=${top_srcdir:-$here/../..}
export top_srcdir
library=${LIBVDO:-${top_builddir:-.}/lib/.libs/libvdo.so}

test -f "$library" && command -v nm >/dev/null 2>&1 || {
	echo "no shared library, or no nm" >&2
	exit 77
}
# type A: the name of the version
nm -D --defined-only "$library" |
	awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
	sort -u >symbols-library.$$
"$here/exported.sh" >symbols-headers.$$
if ! diff symbols-headers.$$ symbols-library.$$ >symbols-diff.$$; then
	sed -n 's/^> /exported, but in no header: /p
		s/^< /declared, but not exported: /p' symbols-diff.$$ >&2
	failed=1
fi
while read -r name; do
	grep -q "$name(" "$top_srcdir/tests/volume/test_null.c" && continue
	echo "$name: not called without arguments by test_null.c" >&2
	failed=1
done <symbols-headers.$$
rm -f symbols-library.$$ symbols-headers.$$ symbols-diff.$$
exit ${failed:-0}
