# SPDX-License-Identifier: BSD-2-Clause
# Seeded simulation. `make check` runs a few seeds, `make sim` many; main.c says
# which variables of the environment it takes.
if HAVE_CHECK
check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = %D%/main.c %D%/cycle.c %D%/shape.c %D%/work.c \
	%D%/fault.c %D%/kinds.c %D%/check.c %D%/maps.c %D%/mend.c %D%/shrink.c \
	%D%/pool.c %D%/clock.c %D%/copies.c %D%/rest.c %D%/sim.h
tests_sim_sim_LDADD = $(UNIT_LIBS)
# Time and chance are those of clock.c.
SIM_WRAP = -Wl,--wrap=clock_ns -Wl,--wrap=clock_wall_us \
	-Wl,--wrap=executor_random_seed -Wl,--wrap=system_random
tests_sim_sim_LDFLAGS = $(AM_LDFLAGS) $(SIM_WRAP)

check_PROGRAMS += tests/sim/pools
TESTS += tests/sim/pools
tests_sim_pools_SOURCES = %D%/pools.c %D%/clock.c %D%/sim.h
tests_sim_pools_LDADD = $(UNIT_LIBS)
tests_sim_pools_LDFLAGS = $(AM_LDFLAGS) $(SIM_WRAP)

SIM_RUNS = 100000
SIM_SECONDS = 180
sim: tests/sim/sim$(EXEEXT)
	SIM_SECONDS=$(SIM_SECONDS) tests/sim/sim$(EXEEXT) $(SIM_RUNS)
sim-pools: tests/sim/pools$(EXEEXT)
	SIM_SECONDS=$(SIM_SECONDS) tests/sim/pools$(EXEEXT) $(SIM_RUNS)
sim-shrink: tests/sim/sim$(EXEEXT)
	SEED=$(SEED) tests/sim/sim$(EXEEXT) shrink

# Broken engines, see mutants/run.sh; a few are tried by `make check`.
MUTANTS =
mutants: tests/sim/sim$(EXEEXT)
	$(MUTANT_ENV) sh $(srcdir)/%D%/mutants/run.sh $(MUTANTS)
MUTANT_ENV = \
	top_srcdir='$(abs_top_srcdir)'; top_builddir='$(abs_top_builddir)'; \
	MUTANT_COMPILE='$(COMPILE)'; \
	MUTANT_LINK='$(LIBTOOL) --tag=CC --mode=link $(CCLD) $(AM_CFLAGS) \
		$(CFLAGS) $(AM_LDFLAGS) $(LDFLAGS) $(SIM_WRAP)'; \
	MUTANT_SIM='$(tests_sim_sim_OBJECTS)'; \
	MUTANT_LIBS='$(tests_sim_sim_LDADD) $(LIBS)'; \
	export top_srcdir top_builddir MUTANT_COMPILE MUTANT_LINK MUTANT_SIM \
		MUTANT_LIBS;
AM_TESTS_ENVIRONMENT += $(MUTANT_ENV)
TESTS += %D%/mutants/sample.sh
EXTRA_DIST += %D%/mutants/run.sh %D%/mutants/sample.sh %D%/mutants/found \
	$(MUTANT_PATCHES)
MUTANT_PATCHES = $(srcdir)/%D%/mutants/*.patch
mutants-clean:
	rm -rf %D%/mutants/work
clean-local: mutants-clean
endif
.PHONY: sim sim-pools sim-shrink mutants mutants-clean
