# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/advice.c %D%/advice.h \
	%D%/ask.c %D%/ask.h \
	%D%/bits.c %D%/bits.h \
	%D%/chapter_builder.c %D%/chapter_builder.h \
	%D%/chapter_index.c %D%/chapter_index.h \
	%D%/delta_code.c %D%/delta_code.h \
	%D%/delta_list.c %D%/delta_list.h \
	%D%/geometry.c %D%/geometry.h \
	%D%/index.c %D%/index.h %D%/index_priv.h \
	%D%/layout.c %D%/layout.h \
	%D%/load.c \
	%D%/names.h \
	%D%/open_chapter.c %D%/open_chapter.h \
	%D%/page_cache.c %D%/page_cache.h \
	%D%/page_map.c %D%/page_map.h \
	%D%/rebuild.c \
	%D%/recent.c %D%/recent.h \
	%D%/record_page.c %D%/record_page.h \
	%D%/save.c %D%/saved.h \
	%D%/sparse.c \
	%D%/stream.c %D%/stream.h \
	%D%/verify.c %D%/verify.h \
	%D%/volume_index.c %D%/volume_index.h \
	%D%/writer.c \
	%D%/zone.c
