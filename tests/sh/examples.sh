#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The small programs run and say what they should.
examples=$(cd "${top_builddir:-.}/examples" && pwd)
dir=examples-test.$$
failed=0

test -x "$examples/hello" || {
	echo "the examples were not built" >&2
	exit 77
}
mkdir "$dir" && cd "$dir" || exit 1
trap 'cd .. && rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# expect PATTERN PROGRAM [ARGUMENT]...
expect()
{
	pattern=$1
	program=$2
	shift 2
	case $program in
	sh) ;;
	*) program=$examples/$program ;;
	esac
	"$program" "$@" >out 2>&1 && grep -q "$pattern" out && return
	echo "$program: failed or did not say \"$pattern\":" >&2
	cat out >&2
	failed=1
}

expect 'hello, world' hello volume
expect 'hello, world' hello volume
expect '10 clones of 4096 blocks: 40960 blocks shared, 0 written' clone volume-of-clones
expect '2000 blocks written, 200 stored' callbacks
expect '^12288 bytes to be saved: 12288 at 4194304$' changes
expect '8192 blocks written, grown meanwhile' hold volume-that-grows
expect '^4096 bytes copied, [1-9][0-9]* bytes of holes' map volume copy
expect '^hello, world' sh -c 'head -n 1 copy'
expect 'the pool ran [1-9]' pool
expect '^disk: the second version' pools
expect '^monday: the first version' pools
expect '^disk 1073741824$' pools
expect '^monday 1073741824 read-only$' pools
expect '^1 is left' pools
expect '64 of 64 requests done, 0 failed' poll
expect '^original: the second version' snapshot original copy
expect '^copy: the first version' snapshot original copy
printf '1\n2\n3' >lines
expect '^3 lines stored, 0 failed' sh -c "cat lines | $examples/epoll"
seq 1000 >lines 2>/dev/null || yes | head -1000 >lines
expect '^1000 lines stored, 0 failed' sh -c "cat lines | $examples/epoll"
for loop in uv glib gthreadpool uring; do
	test ! -x "$examples/loops/$loop" ||
		expect '16 chains of 64 steps, 0 failed' loops/$loop
done
exit $failed
