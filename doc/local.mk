# SPDX-License-Identifier: BSD-2-Clause
# What the code cites: the rules and the format; and the bounds of what is read.
dist_doc_DATA = %D%/bounds.md %D%/format.md %D%/rules.md

# Models of what the engine rests on, for spin: some minutes.
EXTRA_DIST += %D%/models/README.md %D%/models/check.sh \
	%D%/models/crash.pml \
	%D%/models/event.pml %D%/models/hashlock.pml %D%/models/mpsc.pml \
	%D%/models/owner.pml
.PHONY: check-models
check-models:
	CC='$(CC)' $(SHELL) $(srcdir)/%D%/models/check.sh || test $$? -eq 77

# The manual pages as a site, in doc/html-site; with what "make bench-plots" drew, if
# it did.
EXTRA_DIST += %D%/html/site.sh %D%/html/style.css
.PHONY: html-site html-clean
html-clean:
	rm -rf doc/html-site
distclean-local: html-clean
html-local: html-site
html-site:
	$(MKDIR_P) doc
	$(SHELL) $(srcdir)/doc/html/site.sh '$(top_srcdir)' doc/html-site \
		plots
	@echo "doc/html-site/index.html"
