#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The commands of vdo-tutorial(7) do what the page says, one after the other.
page=$(cd "${top_srcdir:-.}" && pwd)/man/vdo-tutorial.7
include=${page%/man/*}/include
build=$(cd "${top_builddir:-.}" && pwd)
lib=$build/lib/.libs
plugin=$build/examples/nbdkit/.libs/libnbdkit-vdo-plugin.so
dir=tutorial-test.$$

test -f "$lib/libvdo.so" || {
	echo "there is no shared library" >&2
	exit 77
}
if grep -q 'fsanitize' "$build/Makefile"; then
	echo "a program without sanitizers cannot use this build" >&2
	exit 77
fi
mkdir "$dir" && cd "$dir" || exit 1
trap 'cd .. && rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# What installing would bring.
mkdir bin
echo "#!/bin/sh
echo '-I$include -L$lib -lvdo'" >bin/pkg-config
echo "#!/bin/sh
${CC:-gcc} -Wall -Wextra -Werror \"\$@\"" >bin/cc
real=$(command -v nbdkit) || real=
echo "#!/bin/sh
shift
test -n '$real' && test -e '$plugin' || exit 0
exec '$real' '$plugin' \"\$@\"" >bin/nbdkit
chmod +x bin/*
PATH=$PWD/bin:$build/examples/vdoctl:$PATH
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for program in nbdinfo qemu-img; do
	command -v $program >/dev/null || {
		echo "#!/bin/sh" >bin/$program
		chmod +x bin/$program
	}
done

awk '/^\.Bd -literal/ { shown = 1; next }
	/^\.Ed/ { shown = 0 }
	shown { sub(/^\$ /, ""); gsub(/\\e/, "\\"); print }' "$page" >commands
test "$(wc -l <commands)" -ge 60 || {
	echo "the page has hardly any commands" >&2
	exit 1
}
sh -e commands >out 2>&1 || {
	echo "a command failed:" >&2
	cat out >&2
	exit 1
}
failed=0
for line in '^hello, world$' '^kept' 'state .*dirty' '^1 is a number' monday; do
	grep -q "$line" out || {
		echo "no line of the output is '$line':" >&2
		failed=1
	}
done
test $failed = 0 || cat out >&2
exit $failed
