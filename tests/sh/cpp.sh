#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The C++ header: its tests and examples, for C++17 and C++20, by each compiler there is.
top_srcdir=$(cd "${top_srcdir:-.}" && pwd)
build=$(cd "${top_builddir:-.}" && pwd)
libs=$build/lib/.libs

test -e "$libs/libvdo.so" || {
	echo "there is no shared library"
	exit 77
}
case $(nm -D "$libs/libvdo.so") in
*__asan_init*) sanitize=-fsanitize=address,undefined ;;
*__tsan_init*) sanitize=-fsanitize=thread ;;
*) sanitize= ;;
esac
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
LD_LIBRARY_PATH=$libs
export LD_LIBRARY_PATH
failed=0 ran=0

# try COMPILER STANDARD SOURCE
try()
{
	"$1" -std="$2" -Wall -Wextra -Werror $sanitize \
		-I "$top_srcdir/include" -I "$top_srcdir/examples/cpp" "$3" \
		-L "$libs" -lvdo -lpthread -o program >out 2>&1 &&
		./program >out 2>&1
	case $? in
	0 | 77) ran=$((ran + 1)) ;;
	*)
		echo "$1 $2 $3:" >&2
		cat out >&2
		failed=1
		;;
	esac
}

compilers=${CXX:-g++}
# A sanitizer's library is that of one compiler.
test -n "$sanitize" || compilers="$compilers clang++"
for compiler in $compilers; do
	echo 'int main() { return __cplusplus < 202002L; }' >probe.cc
	"$compiler" -std=c++20 $sanitize probe.cc -o probe 2>/dev/null || continue
	for source in "$top_srcdir/tests/cpp/test_vdo.cc" \
		"$top_srcdir"/examples/cpp/*.cc; do
		try "$compiler" c++17 "$source"
		try "$compiler" c++20 "$source"
	done
done
test $ran -gt 0 || test $failed -ne 0 || {
	echo "there is no C++ compiler"
	exit 77
}
exit $failed
