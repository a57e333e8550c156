#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Nothing is copied over itself: source and destination are one file or device,
# by another path, a hard link, a symbolic link, a device node, or a loop device.
# As root, with loop devices, all of it; else what files can show.
top_builddir=${top_builddir:-.}
copy=${DEDUP_COPY:-$top_builddir/examples/dedup-copy/dedup-copy}
ctl=${VDOCTL:-$top_builddir/examples/vdoctl/vdoctl}
dir=$(pwd)/same-storage-test.$$
loops=
failed=0

if ! test -x "$copy" || ! test -x "$ctl"; then
	echo "the programs were not built" >&2
	exit 77
fi
mkdir "$dir" || exit 1

cleanup()
{
	for loop in $loops; do
		losetup -d "$loop"
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	failed=1
}

# refused FILE COMMAND...: exit code 1, and FILE is as it was.
refused()
{
	file=$1
	shift
	before=$(cksum <"$file")
	"$@" >"$dir/out" 2>"$dir/err"
	got=$?
	test $got -eq 1 || fail "exit code $got: $*"
	test "$(cksum <"$file")" = "$before" || fail "$file was changed: $*"
	grep -q 'the volume\|same storage\|not overwritten' "$dir/err" || {
		fail "no reason given: $*"
		cat "$dir/err" >&2
	}
}

cd "$dir" || exit 1
case $copy in /*) ;; *) copy=$OLDPWD/$copy ;; esac
case $ctl in /*) ;; *) ctl=$OLDPWD/$ctl ;; esac
v=$dir/v.vdo
image=$dir/image
head -c 300000 /dev/urandom >"$image"
"$copy" --image --size 40M "$image" "$v" >/dev/null || fail "no volume"
ln -s v.vdo "$dir/symlink"
ln "$v" "$dir/hardlink"
mkdir "$dir/d"

for name in "$v" "$dir/symlink" "$dir/hardlink" "$dir/d/../v.vdo"; do
	refused "$v" "$copy" --image --extract --force "$v" "$name"
	refused "$v" "$copy" --image --extract --force "$name" "$v"
	refused "$v" "$copy" --image "$v" "$name"
	refused "$v" "$copy" --image --force "$name" "$v"
	refused "$v" sh -c '"$1" write "$2" <"$3"' - "$ctl" "$v" "$name"
	refused "$v" sh -c '"$1" read "$2" >>"$3"' - "$ctl" "$v" "$name"
	refused "$v" sh -c '"$1" read "$2" 1<>"$3"' - "$ctl" "$v" "$name"
	for command in info stats 'index info' 'index verify' 'format --force'; do
		# shellcheck disable=SC2016
		refused "$v" sh -c '"$1" '"$command"' "$2" >>"$3"' - \
			"$ctl" "$v" "$name"
	done
	refused "$v" sh -c '"$1" --image "$2" "$3" >>"$4"' - \
		"$copy" "$image" "$v" "$name"
	refused "$v" sh -c '"$1" --list "$2" >>"$3"' - "$copy" "$v" "$name"
done
# Messages, too: they would be written over the volume. Nobody can say so.
before=$(cksum <"$v")
"$ctl" write "$v" --length 1P 2>>"$dir/hardlink" </dev/null &&
	fail "standard error was the volume"
"$ctl" nonsense "$v" 2>/dev/null
test "$(cksum <"$v")" = "$before" || fail "a message went into the volume"
refused "$image" "$copy" --image --force "$image" "$image"
ln -s image "$dir/symimage"
refused "$image" "$copy" --image --force "$image" "$dir/symimage"
refused "$image" "$copy" --image --force "$dir/symimage" "$image"
: >"$dir/empty"
"$copy" --image "$image" "$dir/empty" >>"$dir/empty" 2>/dev/null
test ! -s "$dir/empty" || fail "a report was written into the new volume"

# Trees: the volume among the sources is left out, and not overwritten; an archive
# that has something of its name does not replace it.
mkdir "$dir/tree" "$dir/tree/sub"
echo file >"$dir/tree/file"
cp "$image" "$dir/tree/sub/v.vdo"
ln "$dir/tree/sub/v.vdo" "$dir/other.vdo"
refused "$dir/other.vdo" "$copy" --force "$dir/tree" "$dir/other.vdo"
refused "$dir/other.vdo" "$copy" --force "$dir/other.vdo" "$dir/other.vdo"
rm "$dir/other.vdo"
"$copy" --size 40M "$dir/tree" "$dir/archive" >/dev/null || fail "no archive"
mkdir -p "$dir/taken/tree/sub"
ln "$dir/archive" "$dir/taken/tree/sub/v.vdo"
before=$(cksum <"$dir/archive")
for name in "$dir/archive" "$dir/taken/tree/sub/v.vdo"; do
	"$copy" --extract --force "$name" "$dir/taken" >/dev/null 2>"$dir/err"
	got=$?
	test $got -eq 3 || fail "exit code $got when the volume is in the way"
	grep -q 'is the volume itself' "$dir/err" || fail "no reason given"
	cmp "$dir/taken/tree/file" "$dir/tree/file" || fail "no file extracted"
done
test "$(stat -c %h "$dir/archive")" -eq 2 || fail "the volume was unlinked"
test "$(cksum <"$dir/archive")" = "$before" || fail "the archive was changed"
"$copy" "$dir/taken" "$dir/archive" >/dev/null 2>"$dir/err" ||
	fail "the volume among the sources is an error"
grep -q 'this is the volume, it is left out' "$dir/err" ||
	fail "the volume was stored in itself"
rm -rf "$dir/taken" "$dir/archive"

# Other names of other things are none of this.
"$copy" --image --extract "$v" "$dir/back" >/dev/null || fail "not extracted"
"$copy" --image --extract --force "$v" "$dir/back" >/dev/null ||
	fail "not extracted again"
head -c 300000 "$dir/back" | cmp - "$image" || fail "what came back differs"
"$ctl" read "$v" --length 300000 >"$dir/read" && cmp "$image" "$dir/read" ||
	fail "read differs"

attach()
{
	loop=$(losetup --find --show "$@" 2>/dev/null) || return 1
	loops="$loop $loops"
}

if test "$(id -u)" -ne 0 || ! attach "$v"; then
	exit $failed
fi
first=$loop
attach "$v" || exit 1
second=$loop
mknod "$dir/node" b $((0x$(stat -c %t "$first"))) $((0x$(stat -c %T "$first")))
for name in "$first" "$dir/node"; do
	for other in "$v" "$first" "$second" "$dir/node"; do
		refused "$v" "$copy" --image --extract --force "$name" "$other"
		refused "$v" "$copy" --image --extract --force "$other" "$name"
		refused "$v" "$copy" --image "$name" "$other"
		refused "$v" "$copy" --image --force "$other" "$name"
		refused "$v" sh -c '"$1" write "$2" <"$3"' - \
			"$ctl" "$name" "$other"
		refused "$v" sh -c '"$1" read "$2" 1<>"$3"' - \
			"$ctl" "$name" "$other"
	done
done

# Parts of one file: those that meet are the same, others are not.
truncate -s 200M "$dir/parts"
attach --sizelimit 64M "$dir/parts" || exit 1
one=$loop
attach --offset 64M --sizelimit 64M "$dir/parts" || exit 1
two=$loop
attach --offset 32M --sizelimit 64M "$dir/parts" || exit 1
both=$loop
"$ctl" format "$one" --logical-size 4M >/dev/null || fail "no volume on $one"
"$ctl" write "$one" <"$image" || fail "$one cannot be written"
refused "$dir/parts" "$copy" --image --extract --force "$one" "$both"
refused "$dir/parts" "$copy" --image --extract --force "$one" "$dir/parts"
"$copy" --image --extract --force "$one" "$two" >/dev/null ||
	fail "another part of the file was refused"
head -c 300000 "$two" | cmp - "$image" || fail "what $two has differs"

# A file system on a device, with the volume in it
if command -v mkfs.ext4 >/dev/null 2>&1; then
	mkdir "$dir/mnt"
	mkfs.ext4 -q "$two" 2>/dev/null && mount "$two" "$dir/mnt" &&
		cp "$image" "$dir/mnt/image" && sync -f "$dir/mnt" && {
		"$ctl" write "$one" <"$dir/mnt/image" || fail "not written"
		refused "$dir/mnt/image" "$copy" --image --force \
			"$dir/mnt/image" "$dir/parts"
		refused "$dir/mnt/image" "$copy" --force "$dir/mnt" \
			"$dir/parts"
		umount "$dir/mnt"
	}
fi
exit $failed
