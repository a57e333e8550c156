# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/await.c %D%/components.c %D%/content.c %D%/content.h \
	%D%/format.c \
	%D%/load.c %D%/plan.c %D%/plan.h %D%/readonly.c %D%/reindex.c %D%/reindex.h \
	%D%/sane.c %D%/save.c \
	%D%/settings.h %D%/stats.h %D%/still_there.c %D%/super.c %D%/topology.c %D%/volume.c \
	%D%/volume.h %D%/volume_priv.h
