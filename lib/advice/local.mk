# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/advice.c %D%/advice.h \
	%D%/ask.c %D%/ask.h \
	%D%/recent.c %D%/recent.h
