#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The static library has the names of the public headers, and no others: a
# program that has a function or variable of its own for each name that is
# internal to the library links it, and both work.
here=$(dirname "$0")
top_srcdir=${top_srcdir:-$here/../..}
top_builddir=${top_builddir:-.}
export top_srcdir
library=$top_builddir/lib/.libs/libvdo.a
internal=$top_builddir/lib/.libs/libcore.a
dir=static-test.$$

test -f "$library" && command -v nm >/dev/null 2>&1 || {
	echo "no static library, or no nm" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# Sanitizers and coverage add names of their own.
names()
{
	nm -g --defined-only "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' |
		grep -v '^__\|^\.\|^_' | sort -u
}

failed=0
names "$library" >"$dir/library"
"$here/exported.sh" >"$dir/headers"
diff "$dir/headers" "$dir/library" >"$dir/diff" || {
	sed -n 's/^> /global, but in no header: /p
		s/^< /declared, but not global: /p' "$dir/diff" >&2
	failed=1
}

names "$internal" | grep -v '^vdo_' >"$dir/internal"
count=$(wc -l <"$dir/internal")
test "$count" -gt 300 || {
	echo "only $count internal names were found" >&2
	failed=1
}
sed 's/.*/char &[64] = "the program'\''s";/' "$dir/internal" >"$dir/own.c"
cat >"$dir/main.c" <<'PROGRAM'
#include <stdio.h>
#include <string.h>
#include <vdo/vdo.h>

extern char clock_ns[];

int main(void)
{
	static char in[4096] = "data", out[4096];
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;

	if (vdo_device_open_memory(64 << 20, &device) != 0 ||
	    vdo_format_device(device, NULL, &error) != 0 ||
	    vdo_open_device(device, NULL, &volume, &error) != 0 ||
	    vdo_pwrite(volume, in, sizeof(in), 0, 0) != 0 ||
	    vdo_pread(volume, out, sizeof(out), 0, 0) != 0 ||
	    vdo_close(volume) != 0)
		return 1;
	vdo_device_close(device);
	if (memcmp(in, out, sizeof(in)) != 0 ||
	    strcmp(clock_ns, "the program's") != 0)
		return 1;
	puts("both work");
	return 0;
}
PROGRAM
needs=$(sed -n 's/^Requires.private: //p' "$top_builddir/libvdo.pc")
flags=$(sed -n "s/^WARN_FLAGS = //p" "$top_builddir/Makefile" |
	grep -o -- '-fsanitize=[^ ]*\|--coverage' | tr '\n' ' ')
# of what it needs there may be only shared libraries
${CC:-cc} $flags -w -I"$top_srcdir/include" -o "$dir/program" "$dir/main.c" \
	"$dir/own.c" "$library" $(pkg-config --libs $needs) -lpthread >&2 &&
	"$dir/program" | grep -q 'both work' || {
	echo "a program with such names of its own does not work" >&2
	failed=1
}
exit $failed
