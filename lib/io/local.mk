# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/blockcache.c %D%/blockcache.h \
	%D%/cached.c \
	%D%/claim.c \
	%D%/device.c %D%/device.h \
	%D%/direct.c \
	%D%/file.c %D%/file.h %D%/file_priv.h \
	%D%/mem.c \
	%D%/mio.c %D%/mio.h \
	%D%/plug.c %D%/plug.h \
	%D%/readonly.c %D%/readonly.h \
	%D%/storage.c %D%/storage.h \
	%D%/sync.c %D%/sync.h \
	%D%/threads.c \
	%D%/uring.c %D%/uring_priv.h
if HAVE_URING
lib_libcore_la_SOURCES += %D%/uring_reap.c %D%/uring_submit.c
endif
