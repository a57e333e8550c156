#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The program in README.md compiles as it stands, and works, twice; what the
# page says about installing is true of this build.
readme=$(cd "${top_srcdir:-.}" && pwd)/README.md
include=${readme%/*}/include
lib=$(cd "${top_builddir:-.}/lib/.libs" && pwd)
make=$(cd "${top_builddir:-.}" && pwd)/Makefile
dir=readme-test.$$
failed=0

test -f "$lib/libvdo.so" || {
	echo "there is no shared library" >&2
	exit 77
}
if grep -q 'fsanitize' "$make"; then
	echo "a program without sanitizers cannot use this build" >&2
	exit 77
fi
mkdir "$dir" && cd "$dir" || exit 1
trap 'cd .. && rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	failed=1
}

sed -n '/^```c$/,/^```$/{/^```/d;p}' "$readme" >hello.c
test -s hello.c || fail "README.md has no program"
command="cc -o hello hello.c \$(pkg-config --cflags --libs libvdo) && ./hello"
grep -qF "    $command" "$readme" || fail "README.md does not say how to compile"

# What pkg-config would say once it is installed.
mkdir bin
echo "#!/bin/sh
echo '-I$include -L$lib -lvdo'" >bin/pkg-config
echo "#!/bin/sh
${CC:-gcc} -Wall -Wextra -Werror \"\$@\"" >bin/cc
chmod +x bin/pkg-config bin/cc
PATH=$PWD/bin:$PATH
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for run in first second; do
	test "$(eval "$command")" = 'hello, world' || fail "$run run failed"
done
test -s hello.vdo || fail "no volume was made"

# Names of files that the text mentions.
name=$(basename "$(readlink -f "$lib/libvdo.so")")
soname=$(objdump -p "$lib/libvdo.so" 2>/dev/null | sed -n 's/ *SONAME *//p')
grep -q "${soname:-$name}" "$readme" || fail "ldconfig is for $soname"
if grep -q '^nbdkitplugindir = ' "$make"; then
	grep -qF '$(libdir)/nbdkit/plugins' "$make" ||
		fail "the plugin is installed elsewhere"
fi
for file in $(sed -n 's/.*](\([^):]*\)).*/\1/p' "$readme"); do
	test -e "${readme%/*}/$file" || fail "README.md: no $file"
done
exit $failed
