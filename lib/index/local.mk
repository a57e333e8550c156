# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/index.c %D%/index.h %D%/index_priv.h \
	%D%/inspect.c %D%/inspect.h \
	%D%/load.c \
	%D%/page_cache.c %D%/page_cache.h \
	%D%/rebuild.c \
	%D%/reindex.c %D%/reindex.h \
	%D%/save.c \
	%D%/sparse.c \
	%D%/stream.c %D%/stream.h \
	%D%/verify.c %D%/verify.h \
	%D%/writer.c \
	%D%/zone.c
