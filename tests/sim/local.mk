# SPDX-License-Identifier: BSD-2-Clause
# Seeded simulation. `make check` runs a few seeds, `make sim` many; main.c says
# which variables of the environment it takes.
if HAVE_CHECK
check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = %D%/main.c %D%/cycle.c %D%/shape.c %D%/work.c \
	%D%/fault.c %D%/check.c %D%/shrink.c %D%/sim.h
tests_sim_sim_LDADD = $(UNIT_LIBS)

SIM_RUNS = 100000
SIM_SECONDS = 180
sim: tests/sim/sim$(EXEEXT)
	SIM_SECONDS=$(SIM_SECONDS) tests/sim/sim$(EXEEXT) $(SIM_RUNS)
sim-shrink: tests/sim/sim$(EXEEXT)
	SEED=$(SEED) tests/sim/sim$(EXEEXT) shrink
endif
.PHONY: sim sim-shrink
