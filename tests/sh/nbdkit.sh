#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The nbdkit plugin with clients that others wrote: nbdinfo, nbdcopy, qemu-img,
# fio, and file systems by way of nbdfuse and a loop device. A part whose tools
# are missing, or that is not permitted here, is left out and says so.
. "$(dirname "$0")/nbdkit-lib.sh"
dir=nbdkit-test.$$
failed=0
ran=0

mkdir "$dir" || exit 1
dir=$PWD/$dir
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
v=$dir/volume
vdoctl=$(cd "${top_builddir:-.}/examples/vdoctl" && pwd)/vdoctl

fail()
{
	echo "$*" >&2
	failed=1
}

# have TOOL...: all are there; or the part is left out
have()
{
	for tool; do
		command -v "$tool" >/dev/null 2>&1 && continue
		echo "left out: $tool is not there" >&2
		return 1
	done
	ran=$((ran + 1))
}

# serve [PARAMETER...] COMMANDS: run them with $uri, while the volume is served
serve()
{
	parameters=
	while test $# -gt 1; do
		parameters="$parameters $1"
		shift
	done
	cat >"$dir/run" <<-END
		export uri
		cd "$dir" || exit 1
		sh -ec '$1'
	END
	# a directory has no spaces that we did not bring in
	nbdkit -U - "$plugin" "$v" $parameters --run ". '$dir/run'"
}

# serve_on VOLUME [PARAMETER...] COMMANDS
serve_on()
{
	other=$v
	v=$1
	shift
	serve "$@"
	status=$?
	v=$other
	return $status
}

random()
{
	dd if=/dev/urandom bs=65536 count="$1" 2>/dev/null
}

# The table of options shows in the help, and guards the parameters.
nbdkit "$plugin" --help >"$dir/out" 2>&1 || fail "--help failed"
grep -q 'logical-size=auto' "$dir/out" || fail "--help lists no options"
nbdkit "$plugin" --dump-plugin >"$dir/out" 2>&1 || fail "--dump-plugin failed"
grep -q '^vdo_options=.*compression' "$dir/out" ||
	fail "--dump-plugin lists no options"
grep -q '^vdo_library_version=[0-9]' "$dir/out" ||
	fail "--dump-plugin does not show the version"
nbdkit -U - "$plugin" --run true 2>"$dir/err" && fail "served without a file"
nbdkit -U - "$plugin" "$v" --run true 2>"$dir/err" && fail "served nothing"
nbdkit -U - "$plugin" "$v" depth=1 --run true 2>"$dir/err" &&
	fail "depth=1 was accepted"
grep -q '16..2048' "$dir/err" || fail "no message about depth=1"
nbdkit -U - "$plugin" "$v" nonsense=1 --run true 2>"$dir/err" &&
	fail "nonsense=1 was accepted"
serve format=on size=600M logical-size=512M true || fail "no volume was made"
test -s "$v" || fail "no volume was made"

if have nbdinfo; then
	serve 'nbdinfo "$uri"' >"$dir/out" || fail "nbdinfo failed"
	for line in 'export-size: 536870912' 'can_multi_conn: true' \
		'can_fua: true' 'can_trim: true' 'can_zero: true' \
		'can_fast_zero: true' 'block_size_minimum: 512' \
		'block_size_preferred: 4096'; do
		grep -q "$line" "$dir/out" || fail "nbdinfo: no $line"
	done
	serve alignment=4096 'nbdinfo "$uri"' >"$dir/out"
	grep -q 'block_size_minimum: 4096' "$dir/out" ||
		fail "alignment=4096 is not announced"
	serve read-only=on 'nbdinfo "$uri"' >"$dir/out"
	grep -q 'is_read_only: true' "$dir/out" || fail "not read-only"
fi

random 256 >"$dir/data"
head -c 5000192 "$dir/data" >"$dir/odd" # a multiple of 512 only
if have nbdcopy; then
	serve 'nbdcopy data "$uri"; nbdcopy odd "$uri"' || fail "nbdcopy failed"
	serve alignment=4096 'nbdcopy "$uri" back' || fail "nbdcopy failed"
	for file in odd data; do
		head -c "$(wc -c <"$dir/$file")" "$dir/back" |
			cmp - "$dir/$file" >&2 || fail "nbdcopy: $file differs"
	done
	rm -f "$dir/back"
fi

if have qemu-img; then
	# holes become trims or zeroes, on top of what was there
	dd if="$dir/data" of="$dir/sparse" bs=65536 count=20 skip=7 seek=90 \
		2>/dev/null
	dd if="$dir/data" of="$dir/sparse" bs=65536 count=9 seek=8191 \
		conv=notrunc 2>/dev/null
	dd if=/dev/null of="$dir/sparse" bs=65536 seek=8192 2>/dev/null
	serve 'qemu-img convert -n -f raw -O raw sparse "$uri"
	       qemu-img compare -q -f raw -F raw sparse "$uri"' ||
		fail "qemu-img: what was converted differs"
	serve 'qemu-img compare -q -f raw -F raw sparse "$uri"' ||
		fail "qemu-img: differs after closing the volume"
fi

# Where there is data, by clients that ask for it. Holes and zeroes are told
# apart.
mapped=$dir/mapped
put()
{
	"$vdoctl" write "$mapped" --offset "$1" >&2 || fail "vdoctl write failed"
}
serve_on "$mapped" format=on size=600M logical-size=512M true
head -c 196608 "$dir/data" >"$dir/piece"
put 1M <"$dir/piece"
head -c 131072 /dev/zero | put 3M
head -c 512 "$dir/data" | put $((7340032 + 512))
head -c 65536 "$dir/data" | put $((536870912 - 65536))
"$vdoctl" discard "$mapped" --offset 1M --length 64K || fail "no discard"
if have nbdinfo; then
	cat >"$dir/want" <<-END
		0 1114112 3 hole,zero
		1114112 131072 0 data
		1245184 1900544 3 hole,zero
		3145728 131072 2 zero
		3276800 4063232 3 hole,zero
		7340032 4096 0 data
		7344128 529461248 3 hole,zero
		536805376 65536 0 data
	END
	for how in read-only=off read-only=on alignment=4096; do
		serve_on "$mapped" $how 'nbdinfo --map "$uri"' |
			awk '{ $1 = $1; print }' >"$dir/got"
		diff "$dir/want" "$dir/got" >&2 || fail "nbdinfo --map: $how"
	done
fi

if have qemu-img nbdcopy; then
	serve_on "$mapped" 'qemu-img map --output=json -f raw "$uri"' >"$dir/out"
	test "$(grep -c '"zero": false, "data": true' "$dir/out")" -eq 3 ||
		fail "qemu-img map: $(cat "$dir/out")"
	# what was only just acknowledged is copied, too
	serve_on "$mapped" 'nbdcopy piece "$uri"
		nbdcopy "$uri" copy1
		qemu-img convert -f raw -O raw "$uri" copy2
		nbdcopy --no-extents "$uri" copy3' || fail "no copies"
	cmp -n 196608 "$dir/copy1" "$dir/piece" >&2 || fail "copy1 lacks data"
	for copy in copy1 copy2; do
		cmp "$dir/$copy" "$dir/copy3" >&2 ||
			fail "a sparse copy differs: $copy"
		test "$(du -k "$dir/$copy" | cut -f1)" -lt 2000 ||
			fail "$copy is not sparse"
	done
	rm -f "$dir"/copy?
fi
rm -f "$mapped"

if have fio && fio --enghelp 2>/dev/null | grep -qw nbd; then
	for size in 4k 512; do
		serve "fio --name=verify --ioengine=nbd --uri=\$uri --rw=randrw \
			--bs=$size --size=16M --iodepth=32 --verify=crc32c \
			--verify_fatal=1 --output=fio.out" >/dev/null ||
			fail "fio with blocks of $size: $(cat "$dir/fio.out")"
	done
else
	echo "left out: fio has no engine for NBD" >&2
fi

# file_system KIND CHECK...: files on it, and it is clean afterwards
file_system()
{
	kind=$1
	shift
	serve "
		mkdir -p fuse mount
		nbdfuse -P ready fuse/disk \"\$uri\" &
		trap \"umount mount 2>/dev/null; kill \$!; rm ready\" EXIT
		while ! test -s ready; do kill -0 \$!; done
		mkfs.$kind -q $force fuse/disk
		mount -o loop fuse/disk mount
		mkdir mount/directory
		cp data mount/directory/data
		cp odd mount/odd
		rm mount/directory/data
		cp data mount/data
		umount mount
		mount -o loop,ro fuse/disk mount
		cmp data mount/data
		cmp odd mount/odd
		umount mount
		$* fuse/disk >check.out 2>&1
		trap - EXIT
		umount fuse
		wait
		rm ready
	" >"$dir/out" 2>&1 && return
	fail "$kind: $(cat "$dir/out" "$dir/check.out" 2>/dev/null)"
}

# May we use loop devices and FUSE at all?
may_mount()
{
	: >"$dir/small"
	dd if=/dev/null of="$dir/small" bs=1048576 seek=8 2>/dev/null
	mkdir -p "$dir/mount"
	test "$(id -u)" -eq 0 && test -w /dev/fuse &&
		mkfs.ext4 -q -F "$dir/small" &&
		mount -o loop "$dir/small" "$dir/mount" 2>/dev/null &&
		touch "$dir/mount/file" 2>/dev/null
	permitted=$?
	umount "$dir/mount" 2>/dev/null
	test $permitted -eq 0 && return
	echo "left out: mounting is not permitted here" >&2
	return 1
}

if have nbdfuse mkfs.ext4 e2fsck mount umount && may_mount; then
	force=-F
	file_system ext4 e2fsck -fn
	if have mkfs.xfs xfs_repair; then
		force=-f
		file_system xfs xfs_repair -f -n
	fi
fi

test $ran -gt 0 || exit 77
exit $failed
