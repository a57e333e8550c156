# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/journal.c %D%/journal.h \
	%D%/usage.c %D%/usage.h %D%/usage_map.c %D%/usage_priv.h \
	%D%/walk.c %D%/walk.h
