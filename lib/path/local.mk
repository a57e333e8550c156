# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += %D%/ahead.c %D%/arrivals.c %D%/data.c %D%/flush.c %D%/lbn.c \
	%D%/copy.c %D%/copy_counts.c %D%/copy_priv.h %D%/path.c %D%/path.h %D%/path_priv.h %D%/range.c %D%/read.c %D%/request.h \
	%D%/requests.c %D%/stages.c %D%/survey.c %D%/survey.h %D%/write.c %D%/write.h %D%/write_data.c \
	%D%/write_meta.c
