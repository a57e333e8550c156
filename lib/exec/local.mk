# SPDX-License-Identifier: BSD-2-Clause
lib_libcore_la_SOURCES += \
	%D%/await.c %D%/await.h \
	%D%/clock.c %D%/clock.h \
	%D%/completion.h \
	%D%/event.c %D%/event.h \
	%D%/executor.c %D%/executor.h %D%/executor_priv.h \
	%D%/fanout.c %D%/fanout.h \
	%D%/flow.c %D%/flow.h \
	%D%/freelist.c %D%/freelist.h \
	%D%/futex.c %D%/futex.h \
	%D%/gate.h \
	%D%/help.c %D%/help.h \
	%D%/inline.c \
	%D%/inside.c %D%/inside.h \
	%D%/mpsc.c %D%/mpsc.h \
	%D%/native.c \
	%D%/owner.c %D%/owner.h \
	%D%/queue.c \
	%D%/runq.c %D%/runq.h \
	%D%/strand.c \
	%D%/system.c %D%/system.h \
	%D%/timers.c %D%/timers.h \
	%D%/trace.c %D%/trace.h \
	%D%/turn.h \
	%D%/waitq.h \
	%D%/watch.c %D%/watch.h
