# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/alloc.c \
	%D%/counts.c \
	%D%/depot.c %D%/depot.h %D%/depot_priv.h \
	%D%/drain.c \
	%D%/fill.c \
	%D%/load.c %D%/load.h %D%/loader.c \
	%D%/metaio.c \
	%D%/pbnlock.c %D%/pbnlock_priv.h \
	%D%/reclaim.c \
	%D%/refs.c \
	%D%/replay.c \
	%D%/sane.c \
	%D%/scrub.c %D%/scrubber.c \
	%D%/slabjournal.c \
	%D%/slabspace.c \
	%D%/start.c \
	%D%/summary.c
