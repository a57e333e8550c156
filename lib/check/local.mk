# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/check.c %D%/check.h %D%/check_data.c %D%/check_first.c \
	%D%/check_index.c %D%/check_map.c %D%/check_priv.h \
	%D%/check_slabs.c %D%/check_summary.c %D%/findings.c %D%/mend.c %D%/undo.c \
	%D%/journal.c %D%/journal.h \
	%D%/rebuild.c %D%/rebuild.h %D%/rebuild_map.c %D%/rebuild_priv.h \
	%D%/rebuild_slabs.c %D%/strays.c \
	%D%/trim.c %D%/trim.h \
	%D%/savings.c %D%/savings.h %D%/savings_map.c %D%/savings_names.c \
	%D%/savings_priv.h %D%/savings_why.c \
	%D%/usage.c %D%/usage.h %D%/usage_map.c %D%/usage_priv.h \
	%D%/walk.c %D%/walk.h
