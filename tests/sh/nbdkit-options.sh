#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What nbdkit offers every plugin, with ours: each option that the table of
# nbdkit-vdo-plugin(1) has is shown by a case here, and each volume that cannot
# be opened is refused before the server forks.
. "$(dirname "$0")/nbdkit-lib.sh"
page=${top_srcdir:-.}/man/nbdkit-vdo-plugin.1
vdoctl=$(cd "${top_builddir:-.}/examples/vdoctl" && pwd)/vdoctl
dir=nbdkit-options.$$
failed=0

for tool in nbdinfo nbdcopy; do
	command -v $tool >/dev/null 2>&1 && continue
	echo "$tool is not there" >&2
	exit 77
done
case $page in
/*) ;;
*) page=$PWD/$page ;;
esac
mkdir "$dir" && chmod 777 "$dir" && cd "$dir" || exit 1
dir=$PWD
# All processes of ours are children, or were waited for.
trap 'umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

fail()
{
	echo "$*" >&2
	failed=1
}

left_out()
{
	echo "left out: $*" >&2
}

# state WANTED: the volume is in that state, and nobody has it
state()
{
	"$vdoctl" info v >info 2>&1
	grep -q "^ *state  *$1\$" info && return
	fail "$2: the volume is not $1: $(head -3 info)"
}

# A process that nobody has waited for is over all the same.
running()
{
	grep -q '^State:[^ZX]*$' "/proc/$1/status" 2>/dev/null
}

# until_true COMMAND: the bound is for a fault, not an expectation
until_true()
{
	rounds=0
	until eval "$1" 2>/dev/null; do
		rounds=$((rounds + 1))
		test $rounds -lt 10000 || return 1
	done
}

# ended PID WHAT: it ends
ended()
{
	until_true "! running $1" && return
	fail "$2: the server did not end"
	kill -KILL "$1"
	return 1
}

# background WHAT ARGUMENT...: a server in the background; its number in $pid
background()
{
	what=$1
	shift
	rm -f socket pid
	nbdkit -P pid -U socket "$@" >out 2>&1 || {
		fail "$what: not started: $(cat out)"
		return 1
	}
	# the parent may end before the server has written it
	until_true 'grep -q . pid' || {
		fail "$what: there is no server"
		return 1
	}
	pid=$(cat pid)
}

fresh()
{
	rm -f v
	"$vdoctl" format v --size 64M --logical-size 8M >/dev/null || exit 1
}

#
# What cannot be opened
#

# refused WHAT PATTERN ARGUMENT...: in the background and under --run
refused()
{
	what=$1
	pattern=$2
	shift 2
	rm -f socket pid ran
	nbdkit -P pid -U socket "$plugin" "$@" >out 2>&1 && {
		fail "$what: nbdkit says that it is served"
		kill "$(cat pid)"
		ended "$(cat pid)" "$what"
	}
	grep -q "$pattern" out || fail "$what: the message is: $(cat out)"
	test -e pid && fail "$what: there is a server"
	nbdkit -U - "$plugin" "$@" --run ': >ran' >out 2>&1 &&
		fail "$what: --run says that it is served"
	test -e ran && fail "$what: the command was run"
	grep -q "$pattern" out || fail "$what: under --run: $(cat out)"
}

# poke FILE BLOCK COUNT: overwrite blocks
poke()
{
	dd if=/dev/urandom of="$1" bs=4096 seek="$2" count="$3" conv=notrunc \
		2>/dev/null
}

fresh
dd if=/dev/urandom of=data bs=4096 count=500 2>/dev/null
nbdkit -U - "$plugin" v --run 'nbdcopy data "$uri"' ||
	fail "nothing could be written"
cp v good
refused 'no file' 'no such file' file="$dir/missing"
refused 'no size' 'no such file' file="$dir/missing" format=on
test -e missing && fail "format=on left a file"
refused 'no volume' VDO_ENOTVDO read-only=on "$page"
rm -f v; mkdir v
refused 'directory' directory v
rmdir v
cp good v; poke v 0 1
refused 'geometry' VDO_ENOTVDO v
cp good v; poke v 321 1
refused 'super block' 'VDO_E[A-Z]*' v
head -c 40000000 good >v
refused 'shortened' VDO_ESIZE v
# each slab's counts and journal: blocks 1007 to 1023 of 1024, from 382 on
cp good v
for slab in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
	poke v $((382 + 1024 * slab + 1007)) 17
done
refused 'slabs' VDO_ECORRUPT v
nbdkit -r -U - "$plugin" v --run 'nbdinfo "$uri"' >out 2>&1 ||
	fail "slabs are damaged: -r does not serve it: $(cat out)"
cp good v
refused 'options' 'io-engine=uring has no threads' v io-engine=uring \
	io-threads=2
refused 'pool' 'vdo_config_set_pool' v executor=pool
background 'in use' "$plugin" v && {
	kept=$pid
	refused 'in use' VDO_EINUSE v
	refused 'in use, -r' VDO_EINUSE v read-only=on
	kill "$kept"
	ended "$kept" 'in use'
}
(
	ulimit -v 2000000
	refused 'memory' 'ENOMEM' v cache=1T
	exit $failed
) || failed=1
# a crash: the server is killed while the volume is open
background 'crash' "$plugin" v && {
	nbdinfo "nbd+unix:///?socket=$dir/socket" >/dev/null 2>&1
	kill -KILL "$pid"
	ended "$pid" 'crash'
	refused 'not closed' VDO_EDIRTY v recover=off
	nbdkit -U - "$plugin" v --run 'nbdinfo "$uri"' >out 2>&1 ||
		fail "not closed: it is not recovered: $(cat out)"
}
if test "$(id -u)" -eq 0; then
	cp good v
	mkdir small
	if mount -t tmpfs -o size=1M none small 2>/dev/null; then
		truncate -s 64M small/v
		dd if=v of=small/v bs=4096 count=330 conv=notrunc,sparse \
			2>/dev/null
		dd if=/dev/zero of=small/fill bs=4096 2>/dev/null
		refused 'full file system' 'free space there' small/v
		mount -o remount,ro small
		refused 'read-only file system' 'option -r' small/v
		umount small
	else
		left_out 'a full file system: mounting is not permitted here'
	fi
else
	cp good v
	chmod 444 v
	refused 'no permission to write' 'option -r' v
	chmod 644 v
	left_out 'a full file system: not run as root'
fi

#
# One case for each row of the table, named for its option
#

case_r()
{
	chmod 444 v
	before=$(cksum v)
	nbdkit -r -U - "$plugin" v \
		--run "nbdinfo \"\$uri\" && nbdkit -fr -U - $plugin v \
			--run true" >out 2>&1 || fail "-r: $(cat out)"
	grep -q 'is_read_only: true' out || fail "-r: can be written to"
	for spelling in --readonly --read-only --read; do
		nbdkit -U - "$plugin" v $spelling --run 'nbdinfo "$uri"' \
			>out 2>&1
		grep -q 'is_read_only: true' out || fail "$spelling: $(cat out)"
	done
	test "$before" = "$(cksum v)" || fail "-r: the volume was written to"
	chmod 644 v
}

case_filter()
{
	before=$(cksum v)
	nbdkit --filter=cow -U - "$plugin" v read-only=on \
		--run 'nbdcopy data "$uri"; nbdinfo "$uri"' >out 2>&1
	grep -q 'is_read_only: false' out || fail "cow filter: $(cat out)"
	test "$before" = "$(cksum v)" || fail "cow filter: it was written to"
	dd if=/dev/urandom of=data bs=4096 count=100 2>/dev/null
	nbdkit --filter=blocksize --filter=cache --filter=log -U - "$plugin" \
		v logfile=log cache=writeback --run 'nbdcopy --flush data "$uri"' ||
		fail "filters: nothing could be written"
	nbdkit -U - "$plugin" v --run 'nbdcopy "$uri" back'
	cmp -s -n 409600 data back || fail "filters: what was written differs"
	rm -f back
}

case_run()
{
	nbdkit -P pid -U - "$plugin" v --run 'exit 7' >out 2>&1
	test $? -eq 7 || fail "--run: not the status of the command"
	test "$(cat out)" = '' || fail "--run: $(cat out)"
}

case_exit_with_parent()
{
	rm -f socket pid
	sh -c "nbdkit --exit-with-parent -P pid -U socket $plugin v &
		while ! test -s pid; do kill -0 \$! || exit 1; done" >out 2>&1 ||
		fail "--exit-with-parent: $(cat out)"
	ended "$(cat pid)" --exit-with-parent
}

case_f()
{
	rm -f socket pid
	nbdkit -f -P pid -U socket "$plugin" v >out 2>&1 &
	while ! test -s pid; do running $! || break; done
	test "$(cat pid)" = "$!" || fail "-f: another process"
	kill $!
	wait $! || fail "-f: status $?"
}

# The server's greeting, our flags, NBD_OPT_EXPORT_NAME "", NBD_CMD_DISC.
case_s()
{
	printf '\0\0\0\1IHAVEOPT\0\0\0\1\0\0\0\0\045\140\225\023\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' |
		nbdkit -s "$plugin" v >out 2>err || fail "-s: $(cat err)"
	test "$(head -c 16 out)" = NBDMAGICIHAVEOPT || fail "-s: no greeting"
	test "$(wc -c <out)" -eq 152 || fail "-s: $(wc -c <out) bytes"
}

case_swap()
{
	nbdkit --swap -U - null --run true >out 2>&1 || {
		left_out 'swap: locking memory is not permitted here'
		return
	}
	background --swap --swap "$plugin" v || return
	# the file is there before the volume is open; a client waits for it
	nbdinfo "nbd+unix:///?socket=$dir/socket" >out 2>&1 ||
		fail "--swap: $(cat out)"
	grep -q '^VmLck:[[:space:]]*[1-9]' "/proc/$pid/status" ||
		fail "--swap: nothing is locked"
	kill "$pid"
	ended "$pid" --swap
}

case_t()
{
	nbdkit "$plugin" --dump-plugin v >out 2>&1
	grep -q '^max_thread_model=parallel' out || fail "not parallel"
	for t in 1 3; do
		nbdkit -t $t -U - "$plugin" v --run 'nbdcopy data "$uri"' ||
			fail "-t $t"
	done
}

case_u()
{
	test "$(id -u)" -eq 0 || {
		left_out 'users: not run as root'
		return
	}
	chmod 600 v
	background -u -u 65534 "$plugin" v || return
	nbdinfo "nbd+unix:///?socket=$dir/socket" >out 2>&1 ||
		fail "-u: $(cat out)"
	grep -q '^Uid:[[:space:]]*65534[[:space:]]' "/proc/$pid/status" ||
		fail "-u: not changed"
	kill "$pid"
	ended "$pid" -u
	command -v prlimit >/dev/null 2>&1 || {
		left_out 'threads that a user may not have: no prlimit'
		return
	}
	# found out after the fork; and the client does not wait
	prlimit --nproc=2 nbdkit -u 65534 -U - "$plugin" v threads=2 \
		--run 'timeout 60 nbdinfo "$uri"; test $? = 1' >out 2>&1 ||
		fail "-u, no threads: the client waits: $(cat out)"
	grep -q 'ulimit -u' out || fail "-u, no threads: $(cat out)"
	prlimit --nproc=2 timeout 60 nbdkit -f -u 65534 -U socket2 "$plugin" \
		v threads=2 >out 2>&1
	test $? -eq 1 || fail "-u -f, no threads: not status 1"
	grep -q 'ulimit -u' out || fail "-u -f, no threads: $(cat out)"
}

case_g()
{
	test "$(id -u)" -eq 0 || return
	background -g -g 65534 "$plugin" v || return
	grep -q '^Gid:[[:space:]]*65534[[:space:]]' "/proc/$pid/status" ||
		fail "-g: not changed"
	kill "$pid"
	ended "$pid" -g
}

case_P()
{
	background -P "$plugin" v || return
	running "$pid" || fail "-P: not the number of the server"
	kill "$pid"
	ended "$pid" -P
}

# How to connect, and as what: each as "nbdkit OPTIONS plugin", with nbdinfo.
info()
{
	nbdkit "$@" "$plugin" v --run 'nbdinfo "$uri"' >out 2>&1 &&
		grep -q 'export-size: ' out && return
	fail "$*: $(cat out)"
}

case_U() { info -U - && info -U ./other; }
case_p() { info -i 127.0.0.1 -p $((20000 + $$ % 40000)); }
case_i() { case_p; }
case_e()
{
	nbdkit -U - -e disk "$plugin" v --run 'nbdinfo "$uri"' >out 2>&1 &&
		fail "-e: there is no such export"
	grep -q ENOENT out || fail "-e: the message is: $(cat out)"
	"$vdoctl" format pool --size 64M --logical-size 64M >out 2>&1 &&
		"$vdoctl" sub create pool disk 4M || fail "-e: no pool"
	nbdkit -U - -e disk "$plugin" pool --run 'nbdinfo "$uri"' >out 2>&1
	grep -q 'export-size: 4194304 ' out || fail "-e: $(cat out)"
}
case_mask_handshake() { info -U - --mask-handshake=0; }
case_no_sr() { info -U - --no-sr; }
case_o() { info -U - -o; }
case_n() { info -U - -n; }
case_tls() { info -U - --tls=off; }
case_selinux_label() { :; } # needs SELinux

case_log()
{
	nbdkit --log=null -U - "$plugin" missing --run true >out 2>&1 &&
		fail "--log=null: served"
	nbdkit --log=stderr -v -U - "$plugin" v --run true >out 2>&1
	grep -q 'volume: opened' out || fail "--log=stderr -v: $(cat out)"
	grep -q 'volume: closed clean' out || fail "--log=stderr -v: not closed"
}

cp good v
rows=$(sed -n '/^\.Ss Options of nbdkit/,/^\.Ss What/s/^\.It Fl //p' "$page" |
	tr ',' '\n' | sed 's/\\-//; s/[[:space:]]//g; s/-/_/g')
test "$(echo "$rows" | wc -w)" -gt 15 || fail "$page has no table"
for row in $rows; do
	if ! command -v "case_$row" >/dev/null; then
		fail "the table has option $row, which no case shows"
		continue
	fi
	"case_$row"
	state clean "$row"
done

#
# What clients may use, and signals
#

nbdkit -U - "$plugin" v --run 'nbdinfo "$uri"' >out
for line in 'can_multi_conn: true' 'can_flush: true' 'can_fua: true' \
	'can_trim: true' 'can_zero: true' 'can_fast_zero: true' \
	'can_cache: false' 'is_read_only: false'; do
	grep -q "$line" out || fail "nbdinfo: no $line"
done
if command -v qemu-io >/dev/null 2>&1; then
	nbdkit -U - "$plugin" v --run 'qemu-io -f raw \
		-c "write -f -P 7 8k 16k" -c "read -P 7 8k 16k" \
		-c "discard 8k 8k" -c "read -P 0 8k 8k" \
		-c "write -z -u 16k 4k" -c "read -P 0 16k 4k" \
		-c "write -z 20k 4k" -c "read -P 0 20k 4k" -c flush \
		"$uri"' >out 2>&1 || fail "qemu-io: $(cat out)"
	grep -qi 'fail' out && fail "qemu-io: $(cat out)"
fi
dd if=/dev/urandom of=data bs=65536 count=64 2>/dev/null
nbdkit -U - "$plugin" v --run 'nbdcopy --connections=4 data "$uri"' ||
	fail "four connections"
nbdkit -U - "$plugin" v --run 'nbdcopy --connections=4 "$uri" back'
cmp -s -n 4194304 data back || fail "four connections: data differs"

# By number those that not all shells know: SIGSTKFLT, real-time ones.
for signal in HUP INT QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 ALRM TERM \
	XCPU VTALRM PROF IO SYS PWR 16 34 64; do
	background "SIG$signal" "$plugin" v || continue
	nbdinfo "nbd+unix:///?socket=$dir/socket" >out 2>&1 # it is open
	kill -$signal "$pid" || fail "SIG$signal: not sent"
	ended "$pid" "SIG$signal"
	state clean "SIG$signal"
done
# With a client: nbdkit does not close its connection then.
cp pool v
mkfifo fifo
if background "SIGTERM with a client" "$plugin" v; then
	nbdcopy - "nbd+unix:///disk?socket=$dir/socket" <fifo >out 2>&1 &
	client=$!
	exec 5>fifo
	cat data >&5 # more than a pipe holds: the client reads, and is connected
	kill "$pid"
	until_true 'grep -q "^ShdPnd:[[:space:]]*0*\$" /proc/$pid/status' ||
		fail "SIGTERM with a client: not taken"
	exec 5>&-
	wait $client # its next requests are refused
	ended "$pid" "SIGTERM with a client"
	state clean "SIGTERM with a client"
fi
for signal in PIPE XFSZ; do
	background "SIG$signal" "$plugin" v || continue
	kill -$signal "$pid"
	nbdinfo "nbd+unix:///?socket=$dir/socket" >out 2>&1 ||
		fail "SIG$signal ends the server"
	kill "$pid"
	ended "$pid" "SIG$signal"
	state clean "SIG$signal"
done
exit $failed
