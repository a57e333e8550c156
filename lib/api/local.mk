# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/change.c %D%/check.c %D%/cq.c \
	%D%/estimate.c \
	%D%/handle.c %D%/handle.h \
	%D%/host_config.c %D%/host_config.h \
	%D%/index.c \
	%D%/io.c \
	%D%/job.c %D%/job.h \
	%D%/map.c \
	%D%/offline.c %D%/offline.h \
	%D%/open.c \
	%D%/options.c %D%/options.h \
	%D%/pool.c %D%/pool.h %D%/pool_change.c %D%/pool_open.c \
	%D%/pool_priv.h %D%/pool_tell.c \
	%D%/rebuild.c \
	%D%/savings.c \
	%D%/size.c \
	%D%/space.c \
	%D%/stats.c %D%/stats_rows.h \
	%D%/sub.c %D%/sub.h \
	%D%/subcopy.c %D%/subcopy.h \
	%D%/trim.c \
	%D%/usage.c \
	%D%/version.c \
	%D%/volume.c
