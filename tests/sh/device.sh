#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Volumes on real block devices and files: loop devices, O_DIRECT, storage that
# is in use, read-only, too short, or full. Parts that are not permitted here
# are left out and say so; without any loop device all of them are.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
inspect=$top_srcdir/tests/inspect/vdo_inspect.py
. "$top_srcdir/tests/sh/vdoctl-lib.sh"
dir=$(cd "$dir" && pwd)
loops=
mounted=

clean_up()
{
	test -z "$mounted" || umount "$dir/mount"
	for loop in $loops; do
		losetup -d "$loop"
	done
	rm -rf "$dir"
}
trap clean_up EXIT

# says PATTERN: the last command, on standard error
says()
{
	has "$dir/err" "$1"
}

# holds VOLUME [OPTION...]: the data
holds()
{
	expect 0 "$vdoctl" read "$@" --length "$size"
	cmp "$dir/data" "$dir/out" >&2 || failed=1
}

# attach FILE [OPTION...]: as $loop; false: not permitted
attach()
{
	loop=$(losetup --find --show "$@" 2>/dev/null) || return
	loops="$loops $loop"
}

detach()
{
	losetup -d "$loop"
	loops=${loops% "$loop"}
}

# is VOLUME STATE
is()
{
	expect 0 "$vdoctl" info "$1" --json
	grep -q "\"state_name\": \"$2\"" "$dir/out" && return
	echo "the state is not $2, but:" >&2
	grep state_name "$dir/out" >&2
	failed=1
}

# Somebody has the volume open until let_go: a writer that waits for its input.
# When it has taken more than a pipe can hold, it has opened the volume.
hold()
{
	mkfifo "$dir/pipe"
	"$vdoctl" write "$1" --offset 0 <"$dir/pipe" &
	holder=$!
	exec 9>"$dir/pipe"
	head -c 2M "$dir/data" >&9
}

let_go()
{
	exec 9>&-
	wait $holder || {
		echo "the holder failed" >&2
		failed=1
	}
	rm "$dir/pipe"
}

# in_use VOLUME
in_use()
{
	hold "$1"
	expect 1 "$vdoctl" write "$1" 9>&- <"$dir/data"
	says VDO_EINUSE
	expect 1 "$vdoctl" format "$1" --force
	says VDO_EINUSE
	let_go
	holds "$1"
}

# works VOLUME: in all ways of doing I/O
works()
{
	for way in "" "-o direct=on" "-o direct=writes" "-o io-engine=threads" \
		"-o io-engine=threads -o direct=on"; do
		expect 0 "$vdoctl" format "$1" --force --profile small
		expect 0 "$vdoctl" write "$1" $way <"$dir/data"
		is "$1" clean
		holds "$1" $way
		expect 0 "$vdoctl" discard "$1" $way --offset 4096 \
			--length $((size - 4096))
		expect 0 "$vdoctl" read "$1" --length "$size"
		{ head -c 4096 "$dir/data"; head -c $((size - 4096)) /dev/zero
		} | cmp - "$dir/out" >&2 || failed=1
	done
	expect 1 "$vdoctl" format "$1"
	says VDO_ESIGNATURE
	expect 0 "$vdoctl" write "$1" <"$dir/data"
}

awk 'BEGIN { for (i = 0; i < 300000; i++) print i * i, "of", i }' |
	head -c 5000000 >"$dir/data"
size=$(($(wc -c <"$dir/data") / 4096 * 4096))
head -c $size "$dir/data" >"$dir/short" && mv "$dir/short" "$dir/data"

# A file
truncate -s 64M "$dir/file"
works "$dir/file"
in_use "$dir/file"

# Too short, by a block and by a byte
truncate -s 64M "$dir/file"
for missing in 4096 1; do
	cp --sparse=always "$dir/file" "$dir/cut"
	truncate -s $(((64 << 20) - missing)) "$dir/cut"
	for command in read "write --offset 0"; do
		expect 1 "$vdoctl" ${command%% *} "$dir/cut" --offset 0 \
			</dev/null
		says VDO_ESIZE
	done
	truncate -s 64M "$dir/cut"
	expect 0 "$vdoctl" info "$dir/cut"
done
: >"$dir/empty"
expect 1 "$vdoctl" read "$dir/empty"
expect 1 "$vdoctl" read "$dir"

# A loop device
attach "$dir/file" || {
	echo "loop devices are not permitted" >&2
	test $failed -eq 0 && exit 77
	exit 1
}
holds "$loop"
works "$loop"
# Its last sector alone holds something.
detach
truncate -s 0 "$dir/file"
truncate -s $(((64 << 20) + 512)) "$dir/file"
printf 'EFI PART' | dd of="$dir/file" bs=1 seek=$((64 << 20)) conv=notrunc \
	status=none
attach "$dir/file"
expect 1 "$vdoctl" format "$loop"
says VDO_ESIGNATURE
works "$loop"
in_use "$loop"
detach
holds "$dir/file"
attach "$dir/file" --read-only
holds "$loop"
expect 1 "$vdoctl" write "$loop" <"$dir/data"
says 'EROFS\|EACCES\|EPERM'
expect 1 "$vdoctl" format "$loop" --force
detach
attach "$dir/file" --sizelimit $((60 << 20))
expect 1 "$vdoctl" read "$loop"
says VDO_ESIZE
detach

# Storage that runs full below a sparse volume: it stops writing, and is closed
# nevertheless, since all that closing needs was reserved. What was flushed is
# there, and it can be opened again, also before anybody frees space.
full()
{
	expect 0 "$vdoctl" format "$dir/mount/v" --size 64M \
		--logical-size 100M --profile small
	head -c 40M /dev/urandom >"$dir/random"
	expect 1 "$vdoctl" write "$dir/mount/v" <"$dir/random"
	says ENOSPC
	is "$dir/mount/v" clean
	expect 0 "$vdoctl" write "$dir/mount/v" </dev/null
	is "$dir/mount/v" clean
	expect 0 "$vdoctl" read "$dir/mount/v" --length 1M
	head -c 1M "$dir/random" | cmp - "$dir/out" >&2 || failed=1
	if python3 --version >/dev/null 2>&1; then
		expect 0 "$inspect" --audit "$dir/mount/v"
	fi
}

mkdir "$dir/mount"
if mount -t tmpfs -o size=24M none "$dir/mount" 2>/dev/null; then
	mounted=yes
	full
	umount "$dir/mount"
	mounted=
else
	echo "left out: tmpfs cannot be mounted" >&2
fi
truncate -s 32M "$dir/ext4"
if mkfs.ext4 -q -m 0 "$dir/ext4" 2>/dev/null && attach "$dir/ext4" &&
	mount "$loop" "$dir/mount" 2>/dev/null; then
	mounted=yes
	expect 1 "$vdoctl" format "$loop" --force
	says VDO_EINUSE
	full
	umount "$dir/mount"
	mounted=
	detach
else
	echo "left out: ext4 cannot be mounted" >&2
fi
exit $failed
