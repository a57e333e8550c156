# SPDX-License-Identifier: BSD-2-Clause
# What the tests of dedup-copy have in common. They source it and get: $tool;
# $dir, a directory that is gone in the end; $v, a name in it for a volume; and
# $failed, which is what they exit with.
tool=${DEDUP_COPY:-${top_builddir:-.}/examples/dedup-copy/dedup-copy}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
dir=$(basename "$0" .sh).$$
made=$PWD/$dir
v=$dir/volume
failed=0

test -x "$tool" || {
	echo "dedup-copy was not built" >&2
	exit 77
}
mkdir "$dir" || exit 1
trap 'cd / && chmod -R u+rwx "$made"; rm -rf "$made"' EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	failed=1
}

# expect CODE ARGUMENT...: the exit code of dedup-copy
expect()
{
	want=$1
	shift
	"$tool" "$@" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq "$want" && return
	fail "exit code $got instead of $want: $*"
	cat "$dir/err" >&2
}

has()
{
	grep -q -- "$2" "$1" && return
	fail "no \"$2\" in:"
	cat "$1" >&2
}

# The number called $1 in the last report.
number()
{
	sed -n "s/^  \"$1\": \(-\{0,1\}[0-9]*\).*/\1/p" "$dir/out"
}
