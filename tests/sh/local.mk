# SPDX-License-Identifier: BSD-2-Clause
# Shell tests. They use top_srcdir, top_builddir, CC and CXX.
sh_tests = \
	%D%/bench.sh \
	%D%/check.sh \
	%D%/citations.sh \
	%D%/closed.sh \
	%D%/completion.sh \
	%D%/cpp.sh \
	%D%/dedup-copy-names.sh \
	%D%/dedup-copy-prune.sh \
	%D%/dedup-copy-races.sh \
	%D%/dedup-copy-trees.sh \
	%D%/dedup-copy.sh \
	%D%/dedup-copy-again.sh \
	%D%/device.sh \
	%D%/examples.sh \
	%D%/flows.sh \
	%D%/golden.sh \
	%D%/headers.sh \
	%D%/kvstore.sh \
	%D%/layers.sh \
	%D%/man.sh \
	%D%/models.sh \
	%D%/nbdkit.sh \
	%D%/nbdkit-exports.sh \
	%D%/nbdkit-options.sh \
	%D%/options.sh \
	%D%/python.sh \
	%D%/readme.sh \
	%D%/rebuild.sh \
	%D%/reclaim.sh \
	%D%/same-storage.sh \
	%D%/savings.sh \
	%D%/spdx.sh \
	%D%/static.sh \
	%D%/sub.sh \
	%D%/symbols.sh \
	%D%/system.sh \
	%D%/trim.sh \
	%D%/tutorial.sh \
	%D%/vdoctl.sh
TESTS += $(sh_tests)
EXTRA_DIST += $(sh_tests) %D%/dedup-copy-lib.sh %D%/nbdkit-lib.sh \
	%D%/vdoctl-lib.sh %D%/exported.sh \
	%D%/installed.sh \
	%D%/../cpp/test_vdo.cc \
	%D%/../python/test_machine.py %D%/../python/test_vdo.py

installcheck-local:
	top_srcdir='$(abs_top_srcdir)' DESTDIR='$(DESTDIR)' libdir='$(libdir)' \
		CC='$(CC)' LDFLAGS='$(LDFLAGS)' \
		$(SHELL) $(srcdir)/tests/sh/installed.sh
