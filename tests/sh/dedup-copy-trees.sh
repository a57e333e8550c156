#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy and unusual trees: very deep ones, holes of terabytes, roots with
# long names, directories that do not let their owner in, and extractions that
# are broken off.
. "$(dirname "$0")/dedup-copy-lib.sh"
trap 'umount "$dir/full" 2>/dev/null; chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT

mode()
{
	stat -c %a "$1"
}

# Paths of any length, with few descriptors
if command -v python3 >/dev/null 2>&1; then
	cat >"$dir/deep.py" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		for i in range(int(sys.argv[2])):
		    name = "%d-" % i + "d" * 16
		    os.mkdir(name, dir_fd=fd)
		    below = os.open(name, os.O_RDONLY, dir_fd=fd)
		    os.close(fd)
		    fd = below
		    f = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
		    os.write(f, b"%d" % i)
		    os.close(f)
		os.link("file", "link", src_dir_fd=fd, dst_dir_fd=fd)
		os.symlink("target", "symlink", dir_fd=fd)
	END
	mkdir "$dir/deep"
	python3 "$dir/deep.py" "$dir/deep" 400 || fail "no deep tree"
	(
		ulimit -n 40
		expect 0 --verify "$dir/deep" "$v"
		expect 0 --extract "$v" "$dir/deep.out"
		exit $failed
	) || failed=1
	for tree in "$dir/deep" "$dir/deep.out/deep"; do
		(cd "$tree" && find . -printf '%P %m %n %s %l %T@\n' | sort |
			sed 's/\(d [0-7]* [0-9]*\) .*/\1/' | cksum)
	done >"$dir/sums"
	test "$(uniq "$dir/sums" | wc -l)" -eq 1 || fail "deep trees differ"
	rm -rf "$dir/deep" "$dir/deep.out"
fi

# Two roots of one name, which is as long as names can be
long=$(printf '%0255d' 0)
mkdir "$dir/one" "$dir/two" "$dir/three"
echo one >"$dir/one/$long"
echo two >"$dir/two/$long"
rm -f "$v"
expect 0 "$dir/one/$long" "$dir/two/$long" "$v"
expect 0 "$dir/two/$long" "$v"
expect 0 --extract "$v" "$dir/long"
test "$(cat "$dir/long"/*)" = "one
two" || fail "roots with long names differ"
test "$(find "$dir/long" -type f | wc -l)" -eq 2 || fail "not two roots"
# One of three bytes a character is cut between two.
long=$(printf '\342\202\254%.0s' $(seq 85))
echo one >"$dir/one/$long"
echo two >"$dir/two/$long"
rm -rf "$v" "$dir/long"
expect 0 "$dir/one/$long" "$dir/two/$long" "$v"
expect 0 --list "$v"
LC_ALL=C grep -q '\\3' "$dir/out" && fail "a name was cut in a character"
expect 0 --extract "$v" "$dir/long"
test "$(find "$dir/long" -type f | wc -l)" -eq 2 || fail "not two roots"

# An archive in which such a name is longer than a file's, as older programs
# made it: a root of 257 bytes is made from one of 255.
if command -v python3 >/dev/null 2>&1; then
	cat >"$dir/older.py" <<-'END'
		import sys, zlib
		image = bytearray(open(sys.argv[1], 'rb').read())
		at = image.index(b'VDOcat1\n')
		length = int.from_bytes(image[at + 16:at + 24], 'little')
		body = bytes(image[at + 4096:at + 4096 + length])
		name = b'0' * 253 + b'~2'
		assert body.count(name) == 2, body.count(name)
		def longer(n):
		    return (n + 2).to_bytes(4, 'little')
		body = body.replace((255).to_bytes(4, 'little') + name,
		                    longer(255) + b'0' * 255 + b'~2')
		length = len(body)
		image[at + 16:at + 24] = length.to_bytes(8, 'little')
		image[at + 4096:at + 4096 + length] = body
		def put(where, data):
		    image[where:where + 4] = zlib.crc32(data).to_bytes(4, 'little')
		put(at + 12, body)
		image[at + 8:at + 12] = bytes(4)
		put(at + 8, bytes(image[at:at + 4096]))
		open(sys.argv[1], 'wb').write(image)
	END
	long=$(printf '%0255d' 0)
	rm -rf "$v" "$dir/long"
	expect 0 --logical-size 1M "$dir/one/$long" "$dir/two/$long" "$v"
	expect 0 --image --extract "$v" "$dir/image"
	python3 "$dir/older.py" "$dir/image" || fail "no older archive"
	rm -f "$v"
	expect 0 --image "$dir/image" "$v"
	expect 0 --list "$v"
	has "$dir/out" " 0*~2\$"
	expect 0 --extract "$v" "$dir/long"
	test "$(cat "$dir/long"/*)" = "one
two" || fail "an older archive cannot be extracted"
	expect 0 "$dir/three" "$dir/two/$long" "$v"
	expect 0 --extract "$v" "$dir/long.2"
	test "$(find "$dir/long.2" -type f | wc -l)" -eq 2 || fail "not two roots"
fi

# Holes count for nothing when a volume is made.
rm -f "$v"
mkdir "$dir/sparse"
printf data >"$dir/sparse/hole"
if truncate -s 9T "$dir/sparse/hole" 2>/dev/null; then
	expect 0 --verify "$dir/sparse" "$v"
	test "$(stat -c %s "$v")" -lt 1000000000 ||
		fail "a hole of 9 TiB counts: $(stat -c %s "$v")"
	expect 0 --extract "$v" "$dir/sparse.out"
	test "$(stat -c %s "$dir/sparse.out/sparse/hole")" -eq 9895604649984 ||
		fail "the hole has another size"
	test "$(head -c 4 "$dir/sparse.out/sparse/hole")" = data ||
		fail "the data before the hole differs"
fi

# Directories that do not let their owner in, for those whom modes hold up
user()
{
	if test "$(id -u)" -ne 0; then
		"$@"
	else
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	fi
}

real=$(dirname "$tool")/.libs/dedup-copy
test -x "$real" && tool=$real
LD_LIBRARY_PATH=${top_builddir:-.}/lib/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
home=$(mktemp -d) || exit 1
trap 'umount "$dir/full" 2>/dev/null; chmod -R u+rwx "$dir" "$home"
	rm -rf "$dir" "$home"' EXIT
cp "$tool" "$home/dedup-copy"
chmod 777 "$home"
if user test -x "$home/dedup-copy" 2>/dev/null &&
	user "$home/dedup-copy" --version >/dev/null 2>&1; then
	cat >"$home/script" <<-'END'
		cd "$1" || exit 1
		failed=0
		fail() { echo "$*" >&2; failed=1; }
		mkdir -p src/ro/below src/x
		echo a >src/ro/f; echo b >src/ro/below/g; echo c >src/x/h
		chmod 555 src/ro src/ro/below
		./dedup-copy src v >/dev/null || fail "not stored"
		./dedup-copy --extract v out >/dev/null || fail "not extracted"
		for mode in 555 111 0; do
			chmod 755 out/src/ro out/src/ro/below
			rm -f out/src/ro/f out/src/ro/below/g
			chmod $mode out/src/ro/below out/src/ro
			./dedup-copy --extract --force v out >/dev/null ||
				fail "mode $mode: exit code $?"
			cmp src/ro/below/g out/src/ro/below/g || fail "mode $mode"
			cmp src/ro/f out/src/ro/f || fail "mode $mode"
			test "$(stat -c %a out/src/ro out/src/ro/below | uniq)" = 555 ||
				fail "modes differ after $mode"
		done
		# not what was asked for: the mode comes back
		chmod 755 out/src/ro/below out/src/ro
		rm -f out/src/ro/below/g
		chmod 1540 out/src/ro/below
		chmod 1550 out/src/ro
		./dedup-copy --extract v src/ro/below/g out >/dev/null ||
			fail "one file: exit code $?"
		cmp src/ro/below/g out/src/ro/below/g || fail "not extracted"
		test "$(stat -c %a out/src/ro)" = 1550 || fail "another mode"
		chmod 755 out/src/ro
		test "$(stat -c %a out/src/ro/below)" = 1540 || fail "another mode"
		# the directory that was named is left as it is
		mkdir top
		chmod 555 top
		./dedup-copy --extract v top >/dev/null 2>&1
		test $? -eq 1 || fail "a directory was written that may not be"
		test "$(stat -c %a top)" = 555 || fail "another mode"
		# a umask that forbids everything
		umask 777
		./dedup-copy --extract v masked >/dev/null 2>&1
		test "$(stat -c %a masked)" = 0 || fail "umask is not kept"
		chmod 700 masked
		./dedup-copy --extract v masked >/dev/null || fail "umask 777"
		test "$(stat -c %a masked/src/ro)" = 555 || fail "umask 777: mode"
		exit $failed
	END
	user sh "$home/script" "$home" || failed=1
else
	echo "left out: nobody may run $home/dedup-copy" >&2
fi

# Broken off: directories have the modes that they are meant to have.
rm -rf "$v" "$dir/src"
mkdir -p "$dir/src/d/e"
head -c 3000000 /dev/urandom >"$dir/src/d/a"
head -c 9000000 /dev/urandom >"$dir/src/d/b"
chmod 755 "$dir/src"
chmod 751 "$dir/src/d"
expect 0 "$dir/src" "$v"
(
	trap '' XFSZ
	ulimit -f 8000
	exec "$tool" --extract "$v" "$dir/limited" >/dev/null 2>&1
)
test $? -eq 3 || fail "a file larger than allowed was extracted"
test "$(mode "$dir/limited/src")$(mode "$dir/limited/src/d")" = 755751 ||
	fail "modes after EFBIG: $(mode "$dir/limited/src/d")"
mkdir "$dir/full"
if mount -t tmpfs -o size=5M none "$dir/full" 2>/dev/null; then
	expect 1 --extract "$v" "$dir/full/out"
	test "$(mode "$dir/full/out/src")$(mode "$dir/full/out/src/d")" = \
		755751 || fail "modes after ENOSPC"
	umount "$dir/full"
fi
exit $failed
