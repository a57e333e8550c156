#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What was installed serves programs that know nothing but pkg-config: with the
# shared library, with the static one, and in C++. Run by "make installcheck".
libdir=$DESTDIR${libdir:?is set by make}
export PKG_CONFIG_PATH="$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_SYSROOT_DIR="$DESTDIR"
export LD_LIBRARY_PATH="$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
hello=$top_srcdir/examples/hello.c
failed=0
dir=$(mktemp -d) && src=$(mktemp -d) && cd "$src" || exit 1
trap 'rm -rf "$dir" "$src"' EXIT
trap 'exit 1' HUP INT TERM

# try WHAT COMPILER...: the program compiles, and works
try()
{
	what=$1
	shift
	rm -f "$dir"/*
	"$@" $LDFLAGS -o "$dir/hello" >"$dir/out" 2>&1 &&
		"$dir/hello" "$dir/volume" >"$dir/out" 2>&1 &&
		grep -q '^hello, world$' "$dir/out" && return
	echo "$what: $*" >&2
	cat "$dir/out" >&2
	failed=1
}

for file in $(find "$libdir" -name '*.la'); do
	echo "$file: for libtool, not for users" >&2
	failed=1
done
# Folders of other libraries' own are no business of who uses ours.
for flag in $(pkg-config --cflags libvdo); do
	case $flag in
	-I*/include) continue ;;
	esac
	echo "what is $flag for?" >&2
	failed=1
done
flags=$(pkg-config --cflags --libs libvdo) || exit 1
static=$(pkg-config --static --cflags --libs libvdo) || exit 1
if test -f "$libdir/libvdo.so"; then
	try shared ${CC:-cc} "$hello" $flags
	sed -n '/^```c$/,/^```$/{/^```/d;p}' "$top_srcdir/README.md" >readme.c
	try README.md ${CC:-cc} readme.c $flags
	if command -v ${CXX:-c++} >/dev/null 2>&1; then
		try C++ ${CXX:-c++} -x c++ "$hello" $flags
	fi
fi
if test -f "$libdir/libvdo-sim.so"; then
	for file in kv.c kv.h crash-test.c; do
		cp "$top_srcdir/examples/kvstore/$file" . || exit 1
	done
	${CC:-cc} crash-test.c kv.c $(pkg-config --cflags --libs libvdo-sim) \
		$LDFLAGS -o crash-test && ./crash-test && ./crash-test --sloppy || {
		echo "libvdo-sim: the crash test of examples/kvstore" >&2
		failed=1
	}
fi
if test -f "$libdir/libvdo.a"; then
	# of what it needs there may be only shared libraries
	try static ${CC:-cc} "$hello" "$libdir/libvdo.a" $static
fi
exit $failed
