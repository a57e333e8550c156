# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/create.c %D%/eras.c %D%/forest.c %D%/leaves.c %D%/map.c \
	%D%/map.h %D%/map_priv.h %D%/pageio.c %D%/sane.c %D%/tree.c
