#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What an operation of 4 KiB costs a server of NBD in processor time, at depth 32:
# nbdkit with the plugin of the library over a file, and with its own plugin for
# files over a file of the same size. fio is the client.
#
#	nbd.sh FILE SIZE randwrite|randread SECONDS
#
# Prints two numbers, in us: ours and theirs. Where something is missing it says
# what, and its exit code is 1. FILE is made, and removed.
set -eu

file=$1 size=$2 work=$3 seconds=$4
plugin=${NBDKIT_PLUGIN:-examples/nbdkit/.libs/libnbdkit-vdo-plugin.so}
span=512M # that the client works on
socket=$(mktemp -u "${TMPDIR:-/tmp}/nbd-bench.XXXXXX")
out=$socket.out

leave()
{
	echo "$1"
	exit 1
}

command -v nbdkit >/dev/null || leave "nbdkit is missing"
command -v fio >/dev/null || leave "fio, the client, is missing"
fio --enghelp 2>/dev/null | grep -q '^[[:space:]]*nbd$' ||
	leave "fio has no engine for NBD"
test -f "$plugin" || leave "the plugin was not built"
test ! -e "$file" || leave "$file is there already"

server=
end_server()
{
	test -n "$server" || return 0
	kill "$server" 2>/dev/null || true
	tail --pid="$server" -f /dev/null
	server=
}
clean_up()
{
	end_server
	rm -f "$file" "$socket" "$out" "$out.pid"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# client OPTION...
client()
{
	fio --name=bench --ioengine=nbd --uri="nbd+unix:///?socket=$socket" \
		--size=$span --iodepth=32 --output-format=json "$@" \
		>"$out" 2>&1 || leave "fio: $(tail -1 "$out")"
}

# Ticks that process $server has run.
ticks()
{
	sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 }'
}

# cost PARAMETER...: of nbdkit; $us is what an operation takes
cost()
{
	# It goes into the background when it can be spoken to, and then says
	# who it is, into a pipe that is read until that, or its end.
	test -p "$out.pid" || mkfifo "$out.pid"
	{ nbdkit -P "$out.pid" -U "$socket" "$@" >"$out" 2>&1 ||
		echo >"$out.pid"; } &
	read -r server <"$out.pid" || true
	test -n "$server" || leave "nbdkit: $(tail -1 "$out")"
	client --rw=write --bs=1M --refill_buffers
	before=$(ticks)
	client --rw="$work" --bs=4k --time_based --runtime="$seconds" \
		--refill_buffers --norandommap
	after=$(ticks)
	operations=$(awk -F'[:,]' '/"total_ios"/ { n += $2 } END { print n }' \
		"$out")
	end_server
	rm -f "$file" "$socket" "$out.pid"
	us=$(awk "BEGIN { printf \"%.2f\", ($after - $before) * 1e6 / \
		$(getconf CLK_TCK) / $operations }")
}

case $plugin in
/*) ;;
*) plugin=$PWD/$plugin ;;
esac
cost "$plugin" "$file" format=on size="$size"
ours=$us
truncate -s "$size" "$file"
cost file "$file"
echo "$ours $us"
