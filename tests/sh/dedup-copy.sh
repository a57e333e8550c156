#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy: trees with every kind of file there and back, snapshots, savings,
# images, and what it leaves behind when it is broken off or the volume is full.
. "$(dirname "$0")/dedup-copy-lib.sh"
t=$dir/t

random()
{
	dd if=/dev/urandom bs=65536 count="$1" 2>/dev/null
}

# What a volume says about entries, without where and when they were stored.
entries()
{
	"$tool" --list --json "$1" | sed -n '/"entries"/,$p'
}

# Sums of all regular files.
contents()
{
	(cd "$1" && find . -type f -exec cksum {} + | sort)
}

# The same tree: contents, and everything that the archive knows.
same_tree()
{
	contents "$1" >"$dir/a"
	contents "$2" >"$dir/b"
	diff "$dir/a" "$dir/b" >&2 || fail "$1 and $2: contents differ"
	rm -f "$dir/a.vdo" "$dir/b.vdo"
	expect 0 "$1" "$dir/a.vdo"
	expect 0 "$2" "$dir/b.vdo"
	entries "$dir/a.vdo" >"$dir/a"
	entries "$dir/b.vdo" >"$dir/b"
	diff "$dir/a" "$dir/b" >&2 || fail "$1 and $2: attributes differ"
	rm -f "$dir/a.vdo" "$dir/b.vdo"
}

make_tree()
{
	mkdir -p "$t/sub/deep/er" "$t/empty"
	echo hello >"$t/file"
	: >"$t/none"
	random 5 >"$t/random"
	{ cat "$t/random"; echo tail; } >"$t/sub/longer"
	cp "$t/random" "$t/sub/deep/copy"
	dd if=/dev/zero of="$t/zeroes" bs=65536 count=3 2>/dev/null
	printf start >"$t/holes"
	printf end | dd of="$t/holes" bs=1024 seek=6000 2>/dev/null
	ln "$t/file" "$t/sub/link"
	ln -s ../file "$t/sub/symlink"
	ln -s /nowhere/at/all "$t/dangling"
	ln -s sub "$t/symlink-to-directory"
	mkfifo "$t/fifo"
	mknod "$t/device" c 1 3 2>/dev/null
	echo odd >"$t/ spaces and
lines "
	chmod 4711 "$t/file"
	chmod 600 "$t/random"
	touch -t 200102030405.06 "$t/file" "$t/sub" "$t/empty"
	chmod 500 "$t/sub/deep/er"
}

# Usage
expect 2
expect 2 "$v"
expect 2 --nonsense a b
expect 2 --snapshot 0 --list "$v"
expect 2 --snapshots "$v" more
expect 2 --list --verify "$v"
expect 2 --snapshot 1 a "$v"
expect 2 --image --list "$v"
expect 2 -o depth=1 a "$v"
has "$dir/err" '16..2048'
expect 2 --size 1X a "$v"
expect 2 --size 0 a "$v"
has "$dir/err" '"0" is not a value for option size; it takes auto, 1M..256T'
expect 2 --logical-size 0 a "$v"
expect 1 --list "$v"
expect 0 --help
has "$dir/out" 'Usage: dedup-copy'
expect 0 --version
expect 1 "$dir/nothing" "$v"
test ! -e "$v" || fail "a volume was made for nothing"

# There and back
make_tree
expect 0 --size auto --logical-size 1.5TiB "$t" "$v"
rm -f "$v"
expect 0 --verify "$t" "$v"
expect 0 --extract "$v" "$dir/back"
same_tree "$t" "$dir/back/t"
used=$(($(du -k "$dir/back/t/holes" | cut -f1)))
test $used -lt 1000 || fail "holes were filled: $used KiB"
expect 3 --extract "$v" "$dir/back"
has "$dir/err" 'there already'
expect 0 --force --extract "$v" "$dir/back"
same_tree "$t" "$dir/back/t"
expect 0 -o executor=inline --extract "$v" "$dir/inline"
same_tree "$t" "$dir/inline/t"

# Snapshots
echo new >"$t/new"
rm "$t/none"
expect 0 -o executor=inline --verify --json "$t" "$v"
test "$(number snapshot)" = 2 || fail "snapshot 2 has another number"
# What another process stored is known.
test "$(number bytes_stored)" -lt "$(($(number bytes_read) / 10))" ||
	fail "snapshot 2 stored too much"
mkdir -p "$dir/other/t"
echo other >"$dir/other/t/file"
expect 0 "$dir/other/t" "$v"
expect 0 --list "$v"
test "$(grep -c '^snapshot' "$dir/out")" -eq 3 || fail "not 3 snapshots"
expect 0 --extract "$v" "$dir/newest"
same_tree "$t" "$dir/newest/t"
mkdir "$dir/renamed"
mv "$dir/newest/t~2" "$dir/renamed/t"
same_tree "$dir/other/t" "$dir/renamed/t"
expect 0 --snapshot 1 --extract "$v" "$dir/oldest"
same_tree "$dir/back/t" "$dir/oldest/t"
expect 1 --snapshot 9 --extract "$v" "$dir/oldest"
expect 0 --extract "$v" t/sub/link t/new "$dir/some"
test "$(cd "$dir/some" && find . -type f | wc -l)" -eq 2 ||
	fail "names were not selected"
cmp "$t/file" "$dir/some/t/sub/link" >&2 || fail "hard link alone differs"
expect 1 --extract "$v" nonsense "$dir/some"
has "$dir/err" 'nonsense: is not in the archive'

# Names of any bytes: nothing that a terminal obeys in messages and lists, and
# JSON in which all are told apart.
esc=$(printf '\033')
mkdir "$dir/names"
if command -v python3 >/dev/null 2>&1; then
	cat >"$dir/names.py" <<-'END'
		import json, os, socket, sys
		if sys.argv[1] == "make":
		    os.chdir(sys.argv[2])
		    socket.socket(socket.AF_UNIX).bind(b"s\x1b]0;t\x07\x1b[2J\nx")
		    for name in (b"caf\xe9", b"caf\\351", b"caf\xc3\xa9", b"\x9b1m",
		                 b"\xc2\x9b1m", b"new\nline \"q\" \\ \t",
		                 b"\x1b[31m", b"\xed\xb3\xa9", b"\xe2\x80\xae"):
		        open(name, "w").close()
		    os.symlink(b"to\xff", b"link")
		else:
		    snapshots = json.loads(open(sys.argv[3], "rb").read().decode())
		    entries = snapshots[0]["entries"]
		    got = [os.fsencode(e["path"]) for e in entries]
		    want = [b"names/" + n for n in os.listdir(os.fsencode(sys.argv[2]))
		            if not n.startswith(b"s\x1b")] + [b"names"]
		    assert sorted(got) == sorted(want), (got, want)
		    targets = [e["target"] for e in entries if "target" in e]
		    assert [os.fsencode(t) for t in targets] == [b"to\xff"], targets
	END
	python3 "$dir/names.py" make "$dir/names" || fail "names were not made"
	expect 0 "$dir/names" "$dir/names.vdo"
	has "$dir/err" 's\\033\]0;t\\007\\033\[2J\\nx: sockets are not stored'
	grep -q "$esc" "$dir/err" && fail "control characters in messages"
	expect 0 --list "$dir/names.vdo"
	has "$dir/out" 'names/caf\\351$'
	has "$dir/out" 'names/caf\\\\351$'
	LC_ALL=C grep -q "$esc\|$(printf '\233')" "$dir/out" &&
		fail "control characters in a list"
	expect 0 --list --json "$dir/names.vdo"
	python3 "$dir/names.py" check "$dir/names" "$dir/out" ||
		fail "JSON does not tell the names"
	expect 0 --extract "$dir/names.vdo" "$dir/names.out"
	expect 3 --extract "$dir/names.vdo" "$dir/names.out"
	has "$dir/err" '\\033\[31m: is there already'
	grep -q "$esc" "$dir/err" && fail "control characters in messages"
fi
for arguments in "--list $dir/$esc[1m" "--x$esc[1m" "--snapshot $esc[1m x" \
	"$dir/$esc[1m $dir/none" "--extract $v $esc[1m $dir/none"; do
	# shellcheck disable=SC2086
	"$tool" $arguments >"$dir/out" 2>"$dir/err"
	has "$dir/err" '\\033\[1m'
	grep -q "$esc" "$dir/err" && fail "control characters in: $arguments"
done
rm -rf "$dir/none"

# Links that lie in wait are not followed.
mkdir "$dir/trap" "$dir/outside"
ln -s ../outside "$dir/trap/t"
expect 1 --extract "$v" t "$dir/trap"
test -z "$(ls "$dir/outside")" || fail "a symbolic link was followed"

# An archive that lies: paths of it are changed, and the sums made right again.
# hostile OLD NEW MESSAGE
hostile()
{
	cat >"$dir/hostile.py" <<-'END'
		import sys, zlib
		image = bytearray(open(sys.argv[1], 'rb').read())
		at = image.index(b'VDOcat1\n')
		length = int.from_bytes(image[at + 16:at + 24], 'little')
		body = bytes(image[at + 4096:at + 4096 + length])
		old, new = sys.argv[2].encode(), sys.argv[3].encode()
		assert body.count(old) == 1 and len(old) == len(new)
		body = body.replace(old, new)
		image[at + 4096:at + 4096 + length] = body
		def put(where, data):
		    image[where:where + 4] = zlib.crc32(data).to_bytes(4, 'little')
		put(at + 12, body)
		put(at + 8, bytes(4))
		image[at + 8:at + 12] = bytes(4)
		put(at + 8, bytes(image[at:at + 4096]))
		open(sys.argv[1], 'wb').write(image)
	END
	cp "$dir/honest-image" "$dir/hostile-image"
	python3 "$dir/hostile.py" "$dir/hostile-image" "$1" "$2" ||
		fail "$1 was not replaced"
	rm -rf "$dir/hostile" "$dir/hostile-out"
	expect 0 --image "$dir/hostile-image" "$dir/hostile"
	expect 3 --extract "$dir/hostile" "$dir/hostile-out/"
	has "$dir/err" "$3"
	test -z "$(ls "$dir/outside")" || fail "left the directory: $2"
	test ! -e "$dir/outs" || fail "left the directory: $2"
}

mkdir -p "$dir/h/dir"
echo bad >"$dir/h/dir/file"
ln -s ../../outside "$dir/h/aaa"
if command -v python3 >/dev/null 2>&1; then
	expect 0 --logical-size 1M "$dir/h" "$dir/honest"
	expect 0 --image --extract "$dir/honest" "$dir/honest-image"
	hostile h/dir/file h/aaa/file h/aaa/file
	hostile h/dir/file h/../../ou 'leads out'
	hostile h/dir/file ..//outs// 'leads out'
	hostile h/dir/file .././/outs 'leads out'
	hostile h/dir/file ./h/dir/fi 'leads out'
	hostile h/dir/file /tmp/vdo_x 'leads out'
else
	echo "left out: python3 is not there" >&2
fi

# What cannot be stored
expect 3 "$dir/nothing" "$t/file" "$v"
has "$dir/err" 'nothing: '
expect 0 --list "$v"
has "$dir/out" '^snapshot 4'
random 1 >"$dir/foreign"
expect 1 "$t" "$dir/foreign"
has "$dir/err" 'VDO_ENOTVDO'
expect 0 --force "$t" "$dir/foreign"

# Savings: a dry run, the real one, and the same once more
mkdir "$dir/s"
random 64 >"$dir/s/a"
cp "$dir/s/a" "$dir/s/b"
dd if=/dev/zero of="$dir/s/z" bs=65536 count=16 2>/dev/null
yes compressible | head -c 1000000 >"$dir/s/y"
# adds_up: so do the figures of the last report.
adds_up()
{
	test $(($(number bytes_read) + $(number bytes_added) -
		$(number saved_zero) - $(number saved_duplicate) -
		$(number saved_compression))) -eq "$(number bytes_stored)" &&
		test $(($(number bytes_stored) + $(number bytes_metadata))) \
			-eq "$(number disk_growth)" && return
	fail "the figures do not add up:"
	cat "$dir/out" >&2
}

# as_du PLANNED FILE: du says about the same
as_du()
{
	du=$(($(stat -c %b "$2") * 512))
	test $du -le $(($1 + $1 / 25 + 300000)) &&
		test $du -ge $(($1 - $1 / 25 - 300000)) ||
		fail "du says $du, not about $1 as predicted"
}

expect 0 --dry-run --json "$dir/s" "$dir/saved"
test ! -e "$dir/saved" || fail "a dry run made a volume"
planned=$(number bytes_stored)
disk=$(number disk_usage)
adds_up
expect 0 --json "$dir/s" "$dir/saved"
stored=$(number bytes_stored)
adds_up
as_du "$disk" "$dir/saved"
test "$(number disk_usage)" -eq $(($(stat -c %b "$dir/saved") * 512)) ||
	fail "the report says $(number disk_usage), not what du says"
test "$(number saved_zero)" -eq 1048576 || fail "zero blocks were stored"
test "$(number saved_duplicate)" -ge 4000000 || fail "nothing was shared"
test "$stored" -le $((planned + planned / 8)) &&
	test "$stored" -ge $((planned - planned / 8)) ||
	fail "stored $stored bytes, not about $planned as predicted"
expect 0 --dry-run --json "$dir/s" "$dir/saved"
test "$(number bytes_stored)" -lt 100000 || fail "archive was not considered"
adds_up
# The next generation, with something new
random 40 >"$dir/s/new"
expect 0 --dry-run --json "$dir/s" "$dir/saved"
disk=$(number disk_usage)
adds_up
expect 0 --json "$dir/s" "$dir/saved"
adds_up
as_du "$disk" "$dir/saved"
expect 0 --dry-run --json --profile kernel "$dir/s" "$dir/saved.kernel"
disk=$(number disk_usage)
expect 0 --json --profile kernel "$dir/s" "$dir/saved.kernel"
as_du "$disk" "$dir/saved.kernel"
rm -f "$dir/s/new" "$dir/saved.kernel"
expect 0 --dry-run "$dir/s" "$dir/none"
has "$dir/out" '^disk usage of volume'
cp -r "$dir/s" "$dir/copy"
expect 0 --json "$dir/s" "$dir/copy" "$dir/twice"
test "$(number bytes_stored)" -lt $((stored + stored / 8)) ||
	fail "two copies cost $(number bytes_stored) bytes, one $stored"

# A volume that is too small says so, and goes on with what it has.
random 512 >"$dir/big"
expect 0 --size 32M "$t" "$dir/small"
expect 1 "$dir/big" "$dir/small"
has "$dir/err" 'is full'
expect 0 --extract "$dir/small" "$dir/small-back"
same_tree "$t" "$dir/small-back/t"
expect 0 "$dir/s/a" "$dir/small"
expect 0 --list "$dir/small"
test "$(grep -c '^snapshot' "$dir/out")" -eq 2 || fail "not 2 snapshots"

# No addresses and no space are different things.
random 64 >"$dir/big2"
expect 0 --logical-size 6M "$dir/big2" "$dir/addresses"
random 64 >"$dir/big3"
expect 1 "$dir/big3" "$dir/addresses"
has "$dir/err" 'has no addresses left'
expect 0 "$t/file" "$dir/addresses"
rm -f "$dir/big2" "$dir/big3" "$dir/addresses"
expect 0 "$t/file" "$dir/addresses"
expect 0 --image --dry-run "$t/file" "$dir/addresses"
rm -f "$dir/addresses"

# A dry run over a file that is no volume: --force makes it one.
random 1 >"$dir/foreign"
expect 1 --dry-run "$t" "$dir/foreign"
expect 0 --dry-run --force "$t" "$dir/foreign"
test "$(wc -c <"$dir/foreign")" -eq 65536 || fail "a dry run wrote"

# Interrupted: a signal comes when the first progress is shown. What is copied
# grows until that is in time.
mkfifo "$dir/pipe"
cp "$v" "$dir/broken"
for signal in INT TERM; do
	want=130
	while :; do
		"$tool" --progress -o threads=1 -o depth=16 "$dir/big" \
			"$dir/broken" >/dev/null 2>"$dir/pipe" &
		pid=$!
		exec 3<"$dir/pipe"
		dd bs=1 count=1 <&3 >/dev/null 2>&1
		kill -s $signal $pid 2>/dev/null
		wait $pid
		got=$?
		exec 3<&-
		test $got -eq 0 && test "$(wc -c <"$dir/big")" -lt 400000000 ||
			break
		cat "$dir/big" "$dir/s/a" >"$dir/bigger"
		cat "$dir/bigger" "$dir/big" >"$dir/big2"
		mv "$dir/big2" "$dir/big"
	done
	test $got -eq $want || fail "SIG$signal: exit code $got"
	# the kernel may take a while to let go of a killed program's files
	tries=0
	while test $tries -lt 200 && ! "$tool" --list "$dir/broken" 2>&1 \
		>/dev/null | { ! grep -q EINUSE; }; do
		tries=$((tries + 1))
	done
	expect 0 --extract "$dir/broken" t "$dir/$signal"
	test -d "$dir/$signal/t" && same_tree "$t" "$dir/$signal/t"
done
expect 0 --verify "$dir/s" "$dir/broken"

# Images
expect 0 --image --verify "$t/holes" "$dir/image"
expect 0 --image --extract "$dir/image" "$dir/image-back"
size=$(($(wc -c <"$t/holes")))
head -c $size "$dir/image-back" | cmp - "$t/holes" >&2 || fail "image differs"
used=$(($(du -k "$dir/image-back" | cut -f1)))
test $used -lt 1000 || fail "holes of the image were filled: $used KiB"
expect 1 --image --extract "$dir/image" "$dir/image-back"
head -c 5000000 "$dir/s/a" >"$dir/image2"
expect 0 --image --verify "$dir/image2" "$dir/image"
expect 1 --image "$dir/big" "$dir/image"
has "$dir/err" 'do not fit'
expect 1 --image "$dir/image2" "$v"
has "$dir/err" 'holds an archive'
expect 0 --image --dry-run --json "$dir/image2" "$dir/none"
disk=$(number disk_usage)
test ! -e "$dir/none" || fail "a dry run made a volume"
expect 0 --image --json "$dir/image2" "$dir/none"
as_du "$disk" "$dir/none"
exit $failed
