# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/bits.c %D%/bits.h \
	%D%/chapter_builder.c %D%/chapter_builder.h \
	%D%/chapter_index.c %D%/chapter_index.h \
	%D%/contents.c %D%/contents.h \
	%D%/delta_code.c %D%/delta_code.h \
	%D%/delta_list.c %D%/delta_list.h \
	%D%/geometry.c %D%/geometry.h \
	%D%/layout.c %D%/layout.h \
	%D%/names.h \
	%D%/open_chapter.c %D%/open_chapter.h \
	%D%/page_map.c %D%/page_map.h \
	%D%/record_page.c %D%/record_page.h \
	%D%/sane.c \
	%D%/saved.h %D%/saved_read.c %D%/saved_write.c \
	%D%/volume_index.c %D%/volume_index.h
