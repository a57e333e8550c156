# SPDX-License-Identifier: BSD-2-Clause
# A module for nbdkit. Its name is that of "nbdkit vdo".
if HAVE_NBDKIT
nbdkitplugindir = $(libdir)/nbdkit/plugins
nbdkitplugin_LTLIBRARIES = examples/nbdkit/libnbdkit-vdo-plugin.la
examples_nbdkit_libnbdkit_vdo_plugin_la_SOURCES = \
	%D%/given.c %D%/given.h \
	%D%/plugin.c \
	examples/process.c examples/process.h \
	examples/text.c examples/text.h
examples_nbdkit_libnbdkit_vdo_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)
examples_nbdkit_libnbdkit_vdo_plugin_la_LDFLAGS = -module -avoid-version \
	-shared
examples_nbdkit_libnbdkit_vdo_plugin_la_LIBADD = lib/libvdo.la
# It is linked once more when it is installed. By way of a variable: automake
# would take the rule for a replacement of its own.
install_plugin = install-nbdkitpluginLTLIBRARIES
$(install_plugin): install-libLTLIBRARIES

install-data-hook:
	rm -f '$(DESTDIR)$(nbdkitplugindir)/libnbdkit-vdo-plugin.la'
NBDKIT_INSTALLED = '$(DESTDIR)$(nbdkitplugindir)/libnbdkit-vdo-plugin.so'
endif
