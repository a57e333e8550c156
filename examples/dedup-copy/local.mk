# SPDX-License-Identifier: BSD-2-Clause
bin_PROGRAMS += examples/dedup-copy/dedup-copy
examples_dedup_copy_dedup_copy_SOURCES = \
	%D%/../common.c examples/common.h \
	%D%/../process.c examples/process.h \
	%D%/../storage.c examples/storage.h \
	%D%/../text.c examples/text.h \
	%D%/bytes.h \
	%D%/catalogue.c %D%/catalogue.h \
	%D%/container.c %D%/container.h \
	%D%/contents.c \
	%D%/dedup-copy.h \
	%D%/disk.c %D%/disk.h \
	%D%/estimate.c %D%/estimate.h \
	%D%/extract.c %D%/extract.h \
	%D%/flight.h \
	%D%/gather.c \
	%D%/image.c \
	%D%/kept.c %D%/kept.h \
	%D%/list.c \
	%D%/main.c \
	%D%/prune.c \
	%D%/reader.c %D%/reader.h \
	%D%/report.c %D%/report.h \
	%D%/restore.c \
	%D%/select.c %D%/select.h \
	%D%/snapshots.c %D%/snapshots.h \
	%D%/sources.c \
	%D%/store.c %D%/store.h \
	%D%/survey.c %D%/survey.h \
	%D%/table.c %D%/table.h \
	%D%/target.c \
	%D%/trail.c %D%/trail.h \
	%D%/verify.c \
	%D%/walk.c %D%/walk.h \
	%D%/writer.c %D%/writer.h \
	%D%/xattr.c
examples_dedup_copy_dedup_copy_LDADD = lib/libvdo.la $(LZ4_LIBS) \
	$(ZLIB_LIBS) -lpthread
