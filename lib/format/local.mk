# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/fragment.c %D%/fragment.h \
	%D%/geometry.c %D%/geometry.h \
	%D%/journal.c %D%/journal.h \
	%D%/layout.c %D%/layout.h \
	%D%/mapping.c %D%/mapping.h \
	%D%/slab.c %D%/slab.h \
	%D%/superblock.c %D%/superblock.h \
	%D%/types.h
