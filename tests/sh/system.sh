#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Threads, time, errno and the operating system are used by those only whom
# lib/SYSTEM names, and all that it allows is used.
top_srcdir=${top_srcdir:-$(dirname "$0")/../..}
top_builddir=$(cd "${top_builddir:-.}" && pwd)
cd "$top_srcdir" || exit 1

objects=$(for source in lib/*/*.c; do
	name=$(basename "$source" .c).o
	for object in "${source%/*}/.libs/$name" "${source%/*}/$name"; do
		test -f "$top_builddir/$object" && echo "$object" && break
	done
done)
test -n "$objects" && command -v nm >/dev/null 2>&1 || {
	echo "no objects, or no nm" >&2
	exit 77
}

(cd "$top_builddir" && nm -A -P $objects) | LC_ALL=C awk '
	function kind(name) {
		if (name ~ /^(pthread_|sched_|__sched_|sig)/)
			return "threads"
		if (name ~ /^(clock_|nanosleep$|gettimeofday$|time$)/)
			return "time"
		if (name ~ /errno_location$|^strerror/)
			return "errno"
		if (name ~ /^(m|c|re|posix_mem|aligned_)al(loc|ign)$/ ||
		    name ~ /^(free|mmap|munmap|madvise|mremap|qsort)$/)
			return "memory"
		if (name ~ /^(getrandom$|getentropy$)/)
			return "random"
		if (name ~ /^LZ4_/)
			return "lz4"
		if (name ~ /^crc32/)
			return "zlib"
		return "system"
	}
	# Bytes and strings, and what compilers add.
	function harmless(name) {
		return name ~ /^(mem|str[^e]|v?sn?printf$)/ ||
			name ~ /^_(GLOBAL_OFFSET|Unwind)/ ||
			name ~ /^__(stack_chk|cpu_|asan|tsan|ubsan|sanitizer)/ ||
			name ~ /^__(gcov|llvm|sancov|start_|stop_|msan|lsan)/
	}
	FILENAME == "lib/SYSTEM" {
		if ($0 ~ /^#/ || NF < 2)
			next
		for (i = 2; i <= NF; i++)
			allowed[$1 " " $i] = 1
		next
	}
	{
		split($1, part, "/")
		folder = part[2]
		file = $1
		sub(/^.*\//, folder "/", file)
		sub(/\.o:$/, ".c", file)
		sub(/^__isoc[0-9]+_/, "", $2)
		if ($2 ~ /_chk$/)
			sub(/^__/, "", $2)
		if ($3 ~ /^[A-Z]$/ && $3 != "U" && $3 != "w")
			defined[$2] = 1
		else if ($3 == "U")
			uses[file " " $2] = folder
	}
	END {
		for (use in uses) {
			split(use, part, " ")
			if (part[2] in defined || harmless(part[2]))
				continue
			calls++
			what = kind(part[2])
			if ((part[1] " " what) in allowed)
				used[part[1] " " what] = 1
			else if ((uses[use] " " what) in allowed)
				used[uses[use] " " what] = 1
			else {
				print part[1] ": " part[2] ": " what \
					" is not allowed by lib/SYSTEM"
				failed = 1
			}
		}
		for (use in allowed) {
			if (use in used)
				continue
			print "lib/SYSTEM: not needed: " use
			failed = 1
		}
		if (calls < 20) {
			print "only " calls + 0 " calls from the library"
			failed = 1
		}
		exit failed
	}' lib/SYSTEM - >&2
