# SPDX-License-Identifier: BSD-2-Clause
# Volumes that Linux wrote, or is to read.
check_PROGRAMS += tests/kernel/vdoplay
tests_kernel_vdoplay_SOURCES = \
	%D%/blocks.c %D%/blocks.h \
	%D%/check.c \
	%D%/lossy.c %D%/lossy.h \
	%D%/plan.c %D%/plan.h \
	%D%/play.c \
	%D%/sha256.c %D%/sha256.h \
	%D%/vdoplay.c %D%/vdoplay.h
tests_kernel_vdoplay_LDADD = lib/libvdo.la -lpthread

if HAVE_CHECK
check_PROGRAMS += tests/kernel/imagecheck
tests_kernel_imagecheck_SOURCES = %D%/imagecheck.c
tests_kernel_imagecheck_LDADD = $(UNIT_LIBS)
endif

TESTS += %D%/golden.sh
EXTRA_DIST += %D%/golden.sh %D%/interchange.sh

# With the kernel, in an emulated machine: some six minutes.
.PHONY: check-kernel
check-kernel: tests/kernel/vdoplay examples/vdoctl/vdoctl
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		$(SHELL) $(top_srcdir)/%D%/interchange.sh || test $$? -eq 77
