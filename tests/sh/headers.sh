#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each public header compiles alone, as C and as C++, of old and of today,
# without warnings.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
flags="-Wall -Wextra -Wpedantic -Werror -I$top_srcdir/include"
failed=0

try()
{
	printf '#include <vdo/%s>\nint headers_test;\n' "$(basename "$header")" |
		"$@" $flags -fsyntax-only - || {
		echo "$header: does not compile alone: $*" >&2
		failed=1
	}
}

command -v ${CC:-cc} >/dev/null 2>&1 || exit 77
for header in "$top_srcdir"/include/vdo/*.h; do
	try ${CC:-cc} -std=c90 -x c
	try ${CC:-cc} -std=c11 -x c
	if command -v ${CXX:-c++} >/dev/null 2>&1; then
		try ${CXX:-c++} -std=c++98 -x c++
		try ${CXX:-c++} -std=c++11 -x c++
	fi
done
exit $failed
