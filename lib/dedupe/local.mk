# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/dedupe.h %D%/dedupe_priv.h \
	%D%/hash_lock.c \
	%D%/hash_zone.c \
	%D%/sane.c
