#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Python module: its tests, and stories held against a model where hypothesis is
# installed. $PYTHON: another Python.
top_srcdir=$(cd "${top_srcdir:-.}" && pwd)
build=$(cd "${top_builddir:-.}" && pwd)
lib=$build/lib/.libs/libvdo.so
module=$build/examples/python

test -e "$lib" && test -e "$module/vdo/_cdef.h" || {
	echo "there is no shared library, or no module"
	exit 77
}
if nm -D "$lib" | grep -q '__asan_init\|__tsan_init'; then
	echo "Python has no sanitizer, which this library needs"
	exit 77
fi
# find_python MODULES: one that has these
find_python()
{
	for python in ${PYTHON:-python3 /usr/bin/python3}; do
		"$python" -c "import $1, sys; sys.exit(sys.version_info < (3, 9))" \
			2>/dev/null && return
	done
	return 1
}
find_python cffi,hypothesis || find_python cffi || {
	echo "there is no Python with cffi"
	exit 77
}
LIBVDO=$lib PYTHONPATH=$module PYTHONDONTWRITEBYTECODE=1
export LIBVDO PYTHONPATH PYTHONDONTWRITEBYTECODE
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$top_srcdir/tests/python" || exit 1
"$python" -m unittest -q test_vdo || exit 1
for example in "$top_srcdir"/examples/python/demo/*.py; do
	(cd "$work" && "$python" "$example" >out 2>&1) || {
		echo "$example failed"
		exit 1
	}
done
"$python" -c 'import hypothesis' 2>/dev/null || {
	echo "no hypothesis: no stories"
	exit 0
}
HYPOTHESIS_STORAGE_DIRECTORY=$work
export HYPOTHESIS_STORAGE_DIRECTORY
"$python" -m unittest -q test_machine
