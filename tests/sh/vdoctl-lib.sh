# SPDX-License-Identifier: BSD-2-Clause
# What the tests of vdoctl have in common. They source it and get: $vdoctl; $dir,
# a directory that is gone in the end; $volume, a name in it; and expect, has.
# Nobody answers questions unless a test does. In the end they exit $failed.
vdoctl=${VDOCTL:-${top_builddir:-.}/examples/vdoctl/vdoctl}
dir=$(basename "$0" .sh)-test.$$
volume=$dir/volume
failed=0

test -x "$vdoctl" || {
	echo "vdoctl was not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
exec </dev/null

# expect CODE COMMAND...: its exit code is CODE; its output is in $dir/out and
# $dir/err
expect()
{
	want=$1
	shift
	"$@" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq "$want" && return
	echo "exit code $got instead of $want: $*" >&2
	cat "$dir/out" "$dir/err" >&2
	failed=1
}

# has FILE PATTERN: the pattern is in it
has()
{
	grep -q -- "$2" "$1" && return
	echo "no \"$2\" in:" >&2
	cat "$1" >&2
	failed=1
}
