# SPDX-License-Identifier: BSD-2-Clause
# All of the library is built once into libcore.la; libvdo.la and the tests
# link it. Only vdo_* is exported.
noinst_LTLIBRARIES += lib/libcore.la
lib_libcore_la_SOURCES =
lib_libcore_la_LIBADD = $(LZ4_LIBS) $(ZLIB_LIBS) $(URING_LIBS) -lpthread

lib_LTLIBRARIES = lib/libvdo.la
lib_libvdo_la_SOURCES =
lib_libvdo_la_LIBADD = lib/libcore.la
lib_libvdo_la_LDFLAGS = -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(top_srcdir)/lib/libvdo.map
EXTRA_lib_libvdo_la_DEPENDENCIES = lib/libvdo.map

include lib/base/local.mk
include lib/format/local.mk
include lib/index_format/local.mk
include lib/exec/local.mk
include lib/io/local.mk
include lib/index/local.mk
include lib/advice/local.mk
include lib/journal/local.mk
include lib/depot/local.mk
include lib/map/local.mk
include lib/pack/local.mk
include lib/dedupe/local.mk
include lib/front/local.mk
include lib/path/local.mk
include lib/volume/local.mk
include lib/api/local.mk
