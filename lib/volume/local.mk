# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/close.c %D%/components.c \
	%D%/content.c %D%/content.h %D%/create.c %D%/format.c %D%/grow.c %D%/life.c \
	%D%/load.c %D%/memory.c %D%/memory.h %D%/overlay.c %D%/past.c \
	%D%/plan.c %D%/plan.h %D%/readonly.c \
	%D%/reindex.c %D%/reindex.h %D%/renew.c %D%/sane.c %D%/save.c \
	%D%/settings.h %D%/space.c %D%/stats.h %D%/still_there.c %D%/super.c %D%/super.h \
	%D%/super_writer.c %D%/super_writer.h %D%/topology.c %D%/volume.c \
	%D%/volume.h %D%/volume_priv.h
