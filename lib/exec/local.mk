# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/await.c %D%/await.h \
	%D%/completion.h \
	%D%/executor.c %D%/executor.h %D%/executor_priv.h \
	%D%/fanout.c %D%/fanout.h \
	%D%/freelist.c %D%/freelist.h \
	%D%/gate.h \
	%D%/inside.c %D%/inside.h \
	%D%/inline.c \
	%D%/mpsc.c %D%/mpsc.h \
	%D%/native.c \
	%D%/steps.c %D%/steps.h \
	%D%/strand.c \
	%D%/trace.c %D%/trace.h \
	%D%/system.c %D%/system.h \
	%D%/waitq.h \
	%D%/wallclock.c %D%/wallclock.h
