# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/claim.c \
	%D%/device.c %D%/device.h \
	%D%/file.c %D%/file_priv.h \
	%D%/mem.c \
	%D%/mio.c %D%/mio.h \
	%D%/readonly.c %D%/readonly.h \
	%D%/sync.c %D%/sync.h \
	%D%/threads.c \
	%D%/uring.c
