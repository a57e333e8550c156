# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/pages.c %D%/reader.c %D%/reader.h \
	%D%/recovery.c %D%/recovery.h %D%/recovery_priv.h %D%/ways.c
