# SPDX-License-Identifier: BSD-2-Clause
# Event loops and thread pools of others, as far as their headers are there.
LOOP_WORK = %D%/chain.c %D%/chain.h
EXTRA_DIST += $(LOOP_WORK) %D%/glib.c %D%/gthreadpool.c %D%/uring.c %D%/uv.c
if HAVE_UV
noinst_PROGRAMS += examples/loops/uv
examples_loops_uv_SOURCES = %D%/uv.c $(LOOP_WORK)
examples_loops_uv_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS)
examples_loops_uv_LDADD = lib/libvdo.la $(UV_LIBS)
endif
if HAVE_GLIB
noinst_PROGRAMS += examples/loops/glib examples/loops/gthreadpool
examples_loops_glib_SOURCES = %D%/glib.c $(LOOP_WORK)
examples_loops_glib_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS)
examples_loops_glib_LDADD = lib/libvdo.la $(GLIB_LIBS)
examples_loops_gthreadpool_SOURCES = %D%/gthreadpool.c $(LOOP_WORK)
examples_loops_gthreadpool_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS)
examples_loops_gthreadpool_LDADD = lib/libvdo.la $(GLIB_LIBS)
endif
if HAVE_URING
noinst_PROGRAMS += examples/loops/uring
examples_loops_uring_SOURCES = %D%/uring.c $(LOOP_WORK)
examples_loops_uring_CFLAGS = $(AM_CFLAGS) $(URING_CFLAGS)
examples_loops_uring_LDADD = lib/libvdo.la $(URING_LIBS)
endif
