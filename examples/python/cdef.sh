#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Print the public headers as cffi reads them: no directives, numbers as constants.
#
#	cdef.sh INCLUDE-DIRECTORY >vdo/_cdef.h
set -eu
include=$1
stubs=$(mktemp -d)
trap 'rm -rf "$stubs"' EXIT
mkdir "$stubs/sys"
# What cffi knows by itself.
for header in stddef.h stdint.h stdbool.h sys/types.h; do
	: >"$stubs/$header"
done
cat >"$stubs/sys/uio.h" <<'END'
#ifndef IOVEC
#define IOVEC
struct iovec { void *iov_base; size_t iov_len; };
#endif
END
preprocess() {
	echo '#include <vdo/vdo.h>' | ${CC:-cc} -E -P -nostdinc \
		-I "$stubs" -I "$include" '-D__attribute__(x)=' "$@" -
}
preprocess -dM | sed -n \
	's/^#define \(VDO_[A-Z_]*\) \([0-9][0-9]*\)[uU]*$/#define \1 \2/p' | sort
preprocess | sed '/^#/d'
