# SPDX-License-Identifier: BSD-2-Clause
# Programs that use the public interface only. vdoctl is installed.
bin_PROGRAMS += examples/vdoctl/vdoctl
examples_vdoctl_vdoctl_SOURCES = \
	%D%/common.c %D%/common.h \
	%D%/process.c %D%/process.h \
	%D%/storage.c %D%/storage.h \
	%D%/text.c %D%/text.h \
	%D%/vdoctl/check.c \
	%D%/vdoctl/data.c \
	%D%/vdoctl/estimate.c \
	%D%/vdoctl/format.c \
	%D%/vdoctl/grow.c \
	%D%/vdoctl/index.c \
	%D%/vdoctl/main.c \
	%D%/vdoctl/map.c \
	%D%/vdoctl/rebuild.c \
	%D%/vdoctl/savings.c %D%/vdoctl/savings.h \
	%D%/vdoctl/savings_html.c \
	%D%/vdoctl/show.c \
	%D%/vdoctl/sub.c \
	%D%/vdoctl/trim.c \
	%D%/vdoctl/usage.c \
	%D%/vdoctl/vdoctl.h
examples_vdoctl_vdoctl_LDADD = lib/libvdo.la

noinst_PROGRAMS += examples/callbacks examples/changes examples/clone \
	examples/epoll examples/hello examples/hold examples/map examples/poll \
	examples/pool examples/pools examples/snapshot
examples_callbacks_SOURCES = %D%/callbacks.c
examples_callbacks_LDADD = lib/libvdo.la -lpthread
examples_changes_SOURCES = %D%/changes.c
examples_changes_LDADD = lib/libvdo.la
examples_clone_SOURCES = %D%/clone.c
examples_clone_LDADD = lib/libvdo.la
examples_epoll_SOURCES = %D%/epoll.c
examples_epoll_LDADD = lib/libvdo.la
examples_hello_SOURCES = %D%/hello.c
examples_hello_LDADD = lib/libvdo.la
examples_hold_SOURCES = %D%/hold.c
examples_hold_LDADD = lib/libvdo.la -lpthread
examples_map_SOURCES = %D%/map.c
examples_map_LDADD = lib/libvdo.la
examples_poll_SOURCES = %D%/poll.c
examples_poll_LDADD = lib/libvdo.la
examples_pool_SOURCES = %D%/pool.c
examples_pool_LDADD = lib/libvdo.la -lpthread
examples_pools_SOURCES = %D%/pools.c
examples_pools_LDADD = lib/libvdo.la
examples_snapshot_SOURCES = %D%/snapshot.c
examples_snapshot_LDADD = lib/libvdo.la

# A crash test on simulated storage, as somebody else would write it.
check_PROGRAMS += examples/kvstore/crash-test
examples_kvstore_crash_test_SOURCES = %D%/kvstore/crash-test.c \
	%D%/kvstore/kv.c %D%/kvstore/kv.h
examples_kvstore_crash_test_LDADD = tests/lib/libvdo-sim.la

include %D%/completion/local.mk
include %D%/cpp/local.mk
include %D%/dedup-copy/local.mk
include %D%/loops/local.mk
include %D%/nbdkit/local.mk
include %D%/python/local.mk
