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

# The static library has no symbol versions that hide names: all objects become
# one, in which what has hidden visibility is local.
hide = $(CC) $(AM_CFLAGS) $(CFLAGS) -r -nostdlib -o $(1).o \
		-Wl,--whole-archive $(2) -Wl,--no-whole-archive && \
	$(OBJCOPY) --localize-hidden $(1).o && \
	rm -f $(1).a && $(AR) cr $(1).a $(1).o && $(RANLIB) $(1).a && \
	mv -f $(1).a $(2) && rm -f $(1).o

lib/hidden.stamp: lib/libvdo.la
	$(AM_V_GEN)if test -f lib/.libs/libvdo.a; then \
		$(call hide,lib/.libs/vdo,lib/.libs/libvdo.a); \
	fi && touch $@
all-local: lib/hidden.stamp
CLEANFILES += lib/hidden.stamp

# Programs find the library by pkg-config; what is for libtool is not installed.
install-exec-hook:
	rm -f '$(DESTDIR)$(libdir)/libvdo.la' \
		'$(DESTDIR)$(libdir)/libvdo-sim.la'
uninstall-hook:
	cd '$(DESTDIR)$(libdir)' && rm -f libvdo.a libvdo.so libvdo.so.* \
		libvdo-sim.so libvdo-sim.so.* \
		$(NBDKIT_INSTALLED)

include lib/base/local.mk
include lib/format/local.mk
include lib/sub/local.mk
include lib/replay/local.mk
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
include lib/recovery/local.mk
include lib/volume/local.mk
include lib/check/local.mk
include lib/api/local.mk
