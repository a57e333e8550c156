#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The exports of the nbdkit plugin: sub-volumes by their names, and the whole volume
# by none.
. "$(dirname "$0")/nbdkit-lib.sh"
vdoctl=$(cd "${top_builddir:-.}/examples/vdoctl" && pwd)/vdoctl
dir=nbdkit-exports.$$
failed=0

for tool in nbdinfo nbdcopy; do
	command -v $tool >/dev/null 2>&1 && continue
	echo "$tool is not there" >&2
	exit 77
done
mkdir "$dir" && cd "$dir" || exit 1
dir=$PWD
trap 'cd / && rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	failed=1
}

# serve VOLUME [ARGUMENT...] COMMANDS: run them while it is served. An export is
# $nbd/NAME$socket there.
serve()
{
	served=$1
	shift
	arguments=
	while test $# -gt 1; do
		arguments="$arguments $1"
		shift
	done
	cat >run <<-END
		cd "$dir" || exit 1
		nbd=nbd+unix://
		socket="?socket=\$unixsocket"
		$1
	END
	# shellcheck disable=SC2086
	nbdkit -U - "$plugin" "$served" $arguments --run ". '$dir/run'" \
		>out 2>err
}

# has FILE PATTERN
has()
{
	grep -q -- "$2" "$1" || fail "no \"$2\" in: $(cat "$1")"
}

head -c 3145728 /dev/urandom >data
head -c 3145728 /dev/urandom >more
umlauts='Größe'

#
# A volume without sub-volumes: nothing but itself
#

"$vdoctl" format plain --size 64M --logical-size 16M >/dev/null || exit 1
serve plain 'nbdcopy data "$nbd/$socket"' || fail "plain: $(cat err)"
serve plain 'nbdinfo --list "$nbd/$socket"' || fail "plain: $(cat err)"
test "$(grep -c '^export=' out)" -eq 1 || fail "plain: $(cat out)"
has out '^export="":'
has out 'is_read_only: false'
serve plain 'nbdinfo "$nbd/disk$socket"' && fail "plain: any name opens it"
has err 'ENOENT'
serve plain export=disk true && fail "plain: export=disk is served"
has err 'ENOENT'
"$vdoctl" read plain --length 3M | cmp - data >&2 || failed=1

#
# A pool
#

pool=$dir/pool
sub()
{
	command=$1
	shift
	"$vdoctl" sub "$command" "$pool" "$@" >&2 || fail "vdoctl sub $command $*"
}
"$vdoctl" format pool --size 256M --logical-size 1G >/dev/null || exit 1
sub create disk 64M
sub create other 32M
sub create 'two words' 4M
sub create "$umlauts" 5M
sub create "$(printf 'byte\377')" 6M

serve pool 'nbdinfo --list "$nbd/$socket"' || fail "list: $(cat err)"
sed -n 's/^export="\(.*\)":$/\1/p' out | sort >names
printf '%s\n' '' disk other 'two words' "$umlauts" | sort | diff - names >&2 ||
	fail "these are the exports"
# size NAME BYTES: as the last list has it
size()
{
	test "$(sed -n "/^export=\"$1\":/,/export-size/s/.*export-size: \([0-9]*\).*/\1/p" \
		out)" -eq "$2" || fail "$1: not $2 bytes: $(cat out)"
}
size disk 67108864
size other 33554432
size 'two words' 4194304
size "$umlauts" 5242880
size '' 1073741824

# To and from: both at once, and neither in the other.
serve pool '
	nbdcopy data "$nbd/disk$socket" & first=$!
	nbdcopy more "$nbd/other$socket" && wait $first &&
	nbdcopy more "$nbd/two%20words$socket" &&
	nbdcopy "$nbd/disk$socket" back && cmp -n 3145728 data back' ||
	fail "nbdcopy: $(cat out err)"
for pair in disk:data other:more 'two words:more'; do
	"$vdoctl" read pool --sub "${pair%:*}" --length 3M |
		cmp - "${pair#*:}" >&2 || fail "${pair%:*} has something else"
done

# Names that are not there open nothing, the whole volume least of all.
for name in nothing Disk disk%20 other/disk disk/ ..; do
	serve pool "nbdinfo \"\$nbd/$name\$socket\"" && fail "$name: $(cat out)"
done
serve pool 'nbdcopy data "$nbd/nothing$socket"' && fail "written to nothing"
has err 'ENOENT'
long=$(printf '%0256d' 7)
serve pool "nbdinfo \"\$nbd/$long\$socket\"" && fail "256 bytes: $(cat out)"
# What a terminal would obey is escaped.
serve pool 'nbdinfo "$nbd/%1b%5b31m$socket"' && fail "an escape: $(cat out)"
grep -q '^nbdkit.*\\033\[31m.*ENOENT' err || fail "an escape: not shown"
grep "$(printf '\033')" err | grep -q '^nbdkit' &&
	fail "a name on the terminal: $(cat -v err)"

# The whole can be read, but not written to.
place=$("$vdoctl" sub stat pool disk --table vdo | awk '{ print $5 * 512; exit }')
serve pool 'nbdcopy "$nbd/$socket" back' || fail "the whole: $(cat err)"
tail -c +$((place + 1)) back | head -c 3145728 | cmp - data >&2 ||
	fail "the whole has something else"
rm -f back
serve pool 'nbdcopy data "$nbd/$socket"' && fail "the whole was written to"
serve pool 'nbdinfo "$nbd/$socket"'
has out 'is_read_only: true'

# Snapshots and clones
sub snapshot disk monday
sub clone disk twin
serve pool 'nbdinfo "$nbd/monday$socket"'
has out 'is_read_only: true'
serve pool 'nbdinfo "$nbd/twin$socket"'
has out 'is_read_only: false'
serve pool 'nbdcopy more "$nbd/monday$socket"' && fail "monday was written to"
serve pool '
	nbdcopy more "$nbd/disk$socket" &&
	nbdcopy "$nbd/monday$socket" back && cmp -n 3145728 data back &&
	nbdcopy "$nbd/twin$socket" back && cmp -n 3145728 data back &&
	nbdcopy "$nbd/disk$socket" back && cmp -n 3145728 more back' ||
	fail "copies: $(cat out err)"

# Where there is data in each
serve pool 'nbdinfo --map "$nbd/disk$socket"' || fail "map: $(cat err)"
awk '{ $1 = $1; print }' out >got
printf '%s\n' '0 3145728 0 data' '3145728 63963136 3 hole,zero' |
	diff - got >&2 || fail "a map of a sub-volume"

# What the empty name leads to
serve pool export=other 'nbdinfo --list "$nbd/$socket"
	nbdcopy "$nbd/$socket" back && cmp -n 3145728 more back' ||
	fail "export=other: $(cat err)"
grep -q 'export="":' out && fail "export=other: the whole volume is listed"
size other 33554432
serve pool export=other 'nbdinfo "$nbd/$socket"'
has out 'export-size: 33554432'
serve pool export=nothing ': >ran' && fail "export=nothing is served"
test -e ran && fail "export=nothing: the command was run"
has err ENOENT

# Read-only, for several servers
nbdkit -r -U - "$plugin" pool --run "nbdinfo --list \"\$uri\" &&
	nbdkit -r -U - '$plugin' pool --run 'nbdinfo --list \"\$uri\"'" >out 2>err ||
	fail "-r: $(cat err)"
grep -q 'is_read_only: false' out && fail "-r: $(cat out)"
test "$(grep -c '^export="monday"' out)" -eq 2 || fail "-r: $(cat out)"

# Smaller than a block
serve pool 'nbdinfo "$nbd/disk$socket"'
has out 'block_size_minimum: 512'
has out 'can_multi_conn: true'

# A damaged directory: the whole can be read, and nothing else.
cp pool damaged
for block in 0 8M; do
	printf vdosubs1 | cat - data | head -c 4096 |
		"$vdoctl" write damaged --force --offset $block >&2 || failed=1
done
serve damaged 'nbdinfo "$nbd/disk$socket"' && fail "damaged: $(cat out)"
has err ECHECKSUM
serve damaged 'nbdinfo --list "$nbd/$socket"' && fail "damaged: $(cat out)"
serve damaged 'nbdinfo "$nbd/$socket"' || fail "damaged: $(cat err)"
has out 'is_read_only: true'

"$vdoctl" check pool --data >out || fail "check: $(cat out)"
exit $failed
