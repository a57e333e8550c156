# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/entries.c %D%/entries.h \
	%D%/made.c %D%/made.h \
	%D%/scan.c %D%/scan.h \
	%D%/table.c %D%/table.h
