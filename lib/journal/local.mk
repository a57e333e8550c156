# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/commit.c \
	%D%/holds.c \
	%D%/journal.c %D%/journal.h %D%/journal_priv.h \
	%D%/ring.c \
	%D%/sane.c
