# SPDX-License-Identifier: BSD-2-Clause
# Completion for shells, from what the programs say of themselves. They are run for
# it, so there is none where they are built for another machine.
EXTRA_DIST += %D%/generate.sh
if !CROSS
COMPLETIONS = examples/completion/vdoctl examples/completion/_vdoctl \
	examples/completion/dedup-copy \
	examples/completion/vdoctl.fish
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
bashcompletion_DATA = examples/completion/vdoctl examples/completion/dedup-copy
zshcompletion_DATA = examples/completion/_vdoctl
fishcompletion_DATA = examples/completion/vdoctl.fish
CLEANFILES += $(COMPLETIONS)
GENERATE_COMPLETION = $(AM_V_GEN)$(MKDIR_P) examples/completion && \
	generate() { \
		$(SHELL) $(top_srcdir)/examples/completion/generate.sh $$1 \
			examples/vdoctl/vdoctl$(EXEEXT) \
			examples/dedup-copy/dedup-copy$(EXEEXT) >$@.new && \
		mv $@.new $@; \
	} && generate
COMPLETION_NEEDS = examples/vdoctl/vdoctl$(EXEEXT) \
	examples/dedup-copy/dedup-copy$(EXEEXT) \
	$(top_srcdir)/examples/completion/generate.sh
examples/completion/vdoctl: $(COMPLETION_NEEDS)
	$(GENERATE_COMPLETION) bash
examples/completion/_vdoctl: $(COMPLETION_NEEDS)
	$(GENERATE_COMPLETION) zsh
examples/completion/vdoctl.fish: $(COMPLETION_NEEDS)
	$(GENERATE_COMPLETION) fish
# bash looks for a file of the name of each program.
examples/completion/dedup-copy: examples/completion/vdoctl
	$(AM_V_GEN)cp examples/completion/vdoctl $@
endif
