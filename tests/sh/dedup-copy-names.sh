#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy: which files are meant: patterns, lists of names, names in an
# archive; and what is printed of them.
. "$(dirname "$0")/dedup-copy-lib.sh"

# The paths in the last list, in one line.
paths()
{
	sed -n 's/^[-dlpcbh][-rwxsStT]\{9\}  *[0-9]* *[0-9]* *[0-9]* [-0-9]* [:0-9]* //p' \
		"$dir/out" | sort | tr '\n' ' '
}

# stored WANT ARGUMENT...: this is what such a run stores
stored()
{
	these=$1
	shift
	rm -f "$v"
	expect 0 "$@" "$v"
	expect 0 --list "$v"
	got=$(paths)
	test "$got" = "$these" ||
		fail "stored \"$got\" instead of \"$these\": $*"
}

# listed CODE WANT ARGUMENT...: this is what such a list has
listed()
{
	code=$1
	these=$2
	shift 2
	expect "$code" --list "$@"
	got=$(paths)
	test "$got" = "$these" ||
		fail "listed \"$got\" instead of \"$these\": $*"
}

cd "$dir" || exit 1
dir=$PWD
v=$dir/v
mkdir -p t/src/cache t/cache/src t/docs
for file in t/a.o t/a.c t/src/b.o t/src/b.c t/src/cache/c t/cache/d \
	t/cache/src/e t/docs/x; do
	echo $file >$file
done
ln -s ../docs t/src/link

# Patterns
stored 't t/a.c t/cache t/cache/d t/cache/src t/cache/src/e t/docs t/docs/x t/src t/src/b.c t/src/cache t/src/cache/c t/src/link -> ../docs ' \
	--exclude '*.o' t
stored 't t/a.c t/a.o t/docs t/docs/x t/src t/src/b.c t/src/b.o t/src/link -> ../docs ' \
	--exclude cache t
stored 't t/a.c t/cache t/cache/d t/cache/src t/cache/src/e t/docs t/docs/x t/src t/src/b.c t/src/link -> ../docs ' \
	--exclude src/cache --exclude '*.o' t
stored 't t/cache t/cache/d t/cache/src t/docs t/docs/x ' \
	--exclude 't/*.[oc]' --exclude 't/src/' --exclude 'src/[a-e]' t
stored 't t/a.c t/a.o t/cache t/cache/d t/cache/src t/cache/src/e t/docs t/src t/src/b.c t/src/b.o t/src/cache t/src/cache/c t/src/link -> ../docs ' \
	--exclude "$PWD/t/docs/*" --exclude 't/docs/x/' --exclude '/docs' t
expect 2 --exclude '' t "$v"
expect 1 --exclude t t "$v"
expect 2 --image --exclude x t/a.c "$v"

# Lists of names
all='t t/a.c t/a.o t/cache t/cache/d t/cache/src t/cache/src/e t/docs t/docs/x t/src t/src/b.c t/src/b.o t/src/cache t/src/cache/c t/src/link -> ../docs '
find t >names
stored "$all" --files-from names
stored "$all" --files-from names --no-recursion
find t -depth >names
stored "$all" --files-from names
find t -print0 >names
stored "$all" --files-from=names -0
stored "$all" --files-from=- --null <names
printf '%s\n' ./t//src/b.c t/docs/ '' t/docs/x t/cache/src/e >names
stored 't t/cache t/cache/src t/cache/src/e t/docs t/docs/x t/src t/src/b.c ' \
	--files-from names
stored 't t/cache t/cache/src t/cache/src/e t/src t/src/b.c ' \
	--files-from names --exclude docs
stored 't t/cache t/cache/src t/cache/src/e t/docs t/docs/x t/src t/src/b.c ' \
	--files-from names --no-recursion
stored "$all" --files-from names t
(cd t && echo . >../names && expect 0 --files-from ../names ../dot) || failed=1
listed 0 "$all" dot
# The absolute path
echo "$PWD/t/docs/x" >names
rm -f "$v"
expect 0 --verify --files-from names "$v"
expect 0 --extract "$v" back
cmp t/docs/x "back$PWD/t/docs/x" || fail "no absolute name"
# What cannot be had is said; the rest is stored.
printf '%s\n' t/a.c t/none t/src/link/x ../t/a.c t/a.c/x t/docs/x >names
rm -f "$v"
expect 3 --files-from names "$v"
for message in 't/none: No such file' 't/src/link/x: .* is no directory' \
	'\.\./t/a.c: names with ".."' 't/a.c/x: .* is no directory'; do
	has err "$message"
done
test "$(wc -l <err)" -eq 4 || fail "not four messages"
listed 0 't t/a.c t/docs t/docs/x t/src t/src/link -> ../docs ' "$v"
rm -f "$v"
printf 't/a.c\0t/a.o\0' | expect 1 --files-from - "$v"
has err 'is -0 missing'
test ! -e "$v" || fail "a volume was made"
expect 1 --files-from nothing "$v"
expect 2 -0 t "$v"
expect 1 --files-from - "$v" </dev/null
has err 'nothing to store'
# Hard links, and links of the tree that come up again
ln t/a.c t/docs/hard
printf '%s\n' t/docs/hard t/a.c t/docs >names
rm -f "$v"
expect 0 --files-from names --verify --json "$v"
has out '"files": 2,'
rm -rf back
expect 0 --extract "$v" back
test "$(stat -c %h back/t/a.c)" -eq 2 || fail "a hard link was lost"
rm t/docs/hard

# Lists of an archive
rm -f "$v"
expect 0 t "$v"
echo new >t/new
expect 0 t/docs t "$v"
expect 0 --snapshots "$v"
test "$(grep -c '^snapshot' out)" -eq 2 || fail "not two snapshots"
test "$(wc -l <out)" -eq 5 || fail "more than snapshots"
has out "^from $PWD/t/docs as docs"
expect 0 --snapshots --json "$v"
has out '"entry_count": 15'
expect 2 --snapshots "$v" t
expect 2 --snapshots --snapshot 1 "$v"
listed 0 "$all" --snapshot 1 "$v"
listed 0 't/docs t/docs/x ' --snapshot 1 "$v" t/docs
listed 0 'docs docs/x t/docs t/docs t/docs/x t/docs/x ' "$v" docs/ ./t/docs
listed 0 't/a.c t/docs/x t/new ' --snapshot 2 --exclude '*.o' "$v" t/a.c t/a.o t/docs/x t/new
listed 3 't/new ' "$v" t/new t/ne
has err 't/ne: is not in the archive'
test "$(grep -c '^snapshot' out)" -eq 1 || fail "a snapshot without matches"
listed 1 '' "$v" nothing
listed 1 '' --snapshot 9 "$v"
has err 'there is no snapshot 9'
test ! -s out || fail "output without a snapshot"
expect 1 --list --json --snapshot 9 "$v"
test ! -s out || fail "output without a snapshot"
printf 't/new\0' | listed 0 't/new ' --files-from=- -0 "$v"
expect 1 --extract --snapshot 9 "$v" missing
test ! -e missing || fail "a directory was made for nothing"
echo t/a.c >names
rm -rf out.d
expect 0 --extract --files-from names "$v" t/docs out.d
test "$(cd out.d && find . -type f | sort | tr '\n' ' ')" = \
	'./t/a.c ./t/docs/x ' || fail "other files were extracted"
rm -rf out.d
expect 0 --extract --exclude src --exclude docs/x "$v" t out.d
test "$(cd out.d && find . -type f | sort | tr '\n' ' ')" = \
	'./t/a.c ./t/a.o ./t/cache/d ./t/new ' || fail "excluded files"

# -v
rm -rf "$v" out.d
expect 0 -v t/src "$v"
test "$(tr '\n' ' ' <err)" = \
	'src src/b.c src/b.o src/cache src/cache/c src/link ' ||
	fail "-v does not print what is stored"
expect 0 --json --verbose --extract "$v" src/cache out.d
test "$(tr '\n' ' ' <err)" = 'src/cache src/cache/c ' ||
	fail "-v does not print what is extracted"
expect 0 -vv --extract "$v" out.d/again
has err '^dedup-copy: .*volume'
exit $failed
