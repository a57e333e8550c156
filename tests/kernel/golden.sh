#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Images that the Linux kernel wrote: what is in them, and what must not be
# touched. $VDO_GOLDEN: another folder than tests/golden. $GOLDEN_ONLY: names of
# some of them.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
build=${top_builddir:-.}
vdoplay=$build/tests/kernel/vdoplay
vdoctl=${VDOCTL:-$build/examples/vdoctl/vdoctl}
golden=${VDO_GOLDEN:-$top_srcdir/tests/golden}/kernel
audit=$top_srcdir/tests/inspect/vdo_inspect.py
dir=golden-test.$$
failed=0

skip()
{
	echo "$1" >&2
	exit 77
}

test -f "$golden/clean.img.zst" || skip "there are no images in $golden"
zstd --version >/dev/null 2>&1 || skip "zstd is missing"
test -x "$vdoplay" || skip "vdoplay was not built"
test -x "$vdoctl" || skip "vdoctl was not built"
python3 --version >/dev/null 2>&1 || {
	echo "volumes are not audited: there is no python3" >&2
	audit=true
}
imagecheck=$build/tests/kernel/imagecheck
test -x "$imagecheck" || {
	echo "images are not held against themselves: no $imagecheck" >&2
	imagecheck=true
}
mkdir "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$image: $*" >&2
	cat "$dir/out" >&2
	failed=1
}

# succeed WHAT COMMAND...
succeed()
{
	what=$1
	shift
	"$@" >"$dir/out" 2>&1 || fail "$what"
}

# field NAME: of the super block
field()
{
	"$vdoctl" info "$dir/v" --json |
		sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p"
}

check()
{
	what=$1
	shift
	succeed "$what" "$vdoplay" check "$dir/manifest" "$dir/v" --near "$@"
}

# Made to look old, so that any write to it shows.
unpack()
{
	rm -f "$dir/v" "$dir/manifest"
	zstd -q -d --sparse "$golden/$image.img.zst" -o "$dir/v" || exit 1
	touch -d 2001-01-01 "$dir/v"
	if test -f "$golden/$image.manifest.zst"; then
		zstd -q -d "$golden/$image.manifest.zst" \
			-o "$dir/manifest" || exit 1
	else
		: >"$dir/manifest"
	fi
}

# Not opened for writing.
untouched()
{
	touch -d 2001-01-01 "$dir/old"
	test -z "$(find "$dir/v" -newer "$dir/old")" ||
		fail "was written to $1"
}

# Not a bit of it.
unchanged()
{
	zstd -q -dc "$golden/$image.img.zst" | cmp -s - "$dir/v" ||
		fail "was written to $1"
}

# is FIELD VALUE
is()
{
	: >"$dir/out"
	found=$(field "$1")
	test "$found" = "$2" || fail "$1 is $found, not $2"
}

# checked WHEN: nothing is wrong, but for the index, which is not looked at.
checked()
{
	succeed "check $1" "$vdoctl" check "$dir/v" --data --no-index
}

# A rebuild is needed, and else nothing is wrong.
checked_but_rebuild()
{
	"$vdoctl" check "$dir/v" --data --no-index >"$dir/out" 2>&1
	code=$?
	test $code -eq 4 || fail "check: exit code $code"
	grep -q '^needs-rebuild: ' "$dir/out" || fail "check: no needs-rebuild"
	grep -q '^Findings: 1;' "$dir/out" || fail "check: other findings"
}

# Stopped cleanly: read, save, read again; all counts remain.
good()
{
	unpack
	is state_name "$1"
	checked "as it is"
	untouched "by a check"
	used=$(field logical_blocks_used)
	pages=$(field block_map_data_blocks)
	check "read-only" read-only=on
	untouched "though opened read-only"
	check "opened"
	: >"$dir/out"
	test -n "$(find "$dir/v" -newer "$dir/old")" ||
		fail "was not written to by opening it"
	succeed "audit" "$audit" --audit "$dir/v"
	is state_name clean
	is logical_blocks_used "$used"
	is block_map_data_blocks "$pages"
	check "opened again" logical-zones=3 physical-zones=2 hash-zones=2
	succeed "second audit" "$audit" --audit "$dir/v"
	checked "after use"
}

# refused NAME OPTION...: opening fails, and says so
refused()
{
	what=$1
	shift
	if "$vdoplay" check "$dir/manifest" "$dir/v" "$@" >"$dir/out" 2>&1; then
		fail "opened"
	else
		grep -q "$what" "$dir/out" || fail "not refused as $what"
	fi
}

# Rebuilt: nothing is lost, and it is served as any other.
rebuilt()
{
	succeed "rebuild" "$vdoctl" rebuild "$dir/v" --yes "$@"
	grep -q '^  logical blocks lost  *0$' "$dir/out" || fail "blocks are lost"
	is state_name clean
	succeed "audit of what was rebuilt" "$audit" --audit "$dir/v"
	check "rebuilt"
	succeed "audit after that" "$audit" --audit "$dir/v"
}

# Not stopped: recovered by opening it, with all that was flushed. Interrupted,
# too: what was opened is abandoned, and so recovered again.
crashed()
{
	unpack
	is state_name dirty
	checked "as recovered"
	check "read-only" read-only=on
	check "read-only" read-only=on logical-zones=3 cache=1M
	untouched "though opened read-only"
	refused VDO_EDIRTY recover=off
	unchanged "though refused"
	check "abandoned" --abandon
	is state_name dirty
	is complete_recoveries 1
	succeed "image, abandoned" "$imagecheck" "$dir/v"
	check "recovered" logical-zones=3 physical-zones=2 hash-zones=2
	is complete_recoveries 2
	is state_name clean
	succeed "image" "$imagecheck" "$dir/v"
	succeed "audit" "$audit" --audit "$dir/v"
	check "opened again"
	is state_name clean
	unpack
	rebuilt --force
}

# Marked for a rebuild: until then it is only shown.
marked()
{
	unpack
	is state_name force-rebuild
	checked_but_rebuild
	check "read-only" read-only=on
	untouched "though opened read-only"
	refused VDO_EREBUILD
	unchanged "though refused"
	rebuilt
}

read_only()
{
	unpack
	is state_name read-only
	checked_but_rebuild
	check "read-only" read-only=on
	untouched "though opened read-only"
	check "in read-only mode"
	echo "write 0 1 rand 1" >"$dir/plan"
	if "$vdoplay" play "$dir/plan" "$dir/v" >"$dir/out" 2>&1; then
		fail "was written"
	else
		grep -q "read-only" "$dir/out" || fail "wrong error of a write"
	fi
	unchanged "though in read-only mode"
	rebuilt
}

for image in ${GOLDEN_ONLY:-clean clean-zones rebuilt grown fresh read-only \
	crash crash-lossy force-rebuild}; do
	case $image in
	fresh) good new ;;
	read-only) read_only ;;
	crash*) crashed ;;
	force-rebuild) marked ;;
	*) good clean ;;
	esac
	echo "$image: done"
done
exit $failed
