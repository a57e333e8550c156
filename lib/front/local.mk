# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/front.c %D%/front.h %D%/front_priv.h \
	%D%/io.c %D%/io.h %D%/park.c
