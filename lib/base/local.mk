# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/alloc.c %D%/alloc.h \
	%D%/assert.c %D%/assert.h \
	%D%/bytes.h \
	%D%/compiler.h \
	%D%/counter.h \
	%D%/error.c %D%/error.h \
	%D%/hash128.c %D%/hash128.h %D%/hash128_mix.h \
	%D%/hash128_lanes.c %D%/hash128_lanes.h \
	%D%/intmap.c %D%/intmap.h \
	%D%/list.h \
	%D%/log.c %D%/log.h \
	%D%/prioq.c %D%/prioq.h \
	%D%/text.c %D%/text.h \
	%D%/zero.c %D%/zero.h
