# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/failure.h \
	%D%/formatter.c %D%/formatter.h \
	%D%/index.c %D%/index.h %D%/index_priv.h \
	%D%/inspect.c %D%/inspect.h \
	%D%/loader.c %D%/loader.h \
	%D%/make.c \
	%D%/media.c %D%/media.h \
	%D%/opener.c %D%/opener.h \
	%D%/page_cache.c %D%/page_cache.h \
	%D%/range.h \
	%D%/rebuilder.c %D%/rebuilder.h \
	%D%/reindex.c %D%/reindex.h \
	%D%/sane.c \
	%D%/saver.c %D%/saver.h %D%/saves.h \
	%D%/serve.c \
	%D%/sparse.c %D%/sparse.h \
	%D%/stats.c \
	%D%/stream.c %D%/stream.h \
	%D%/verify.c %D%/verify.h %D%/verify_chapter.c %D%/verify_priv.h \
	%D%/writer.c %D%/writer.h \
	%D%/zone.c %D%/zone.h
