# SPDX-License-Identifier: BSD-2-Clause
# Seeded simulation. `make check` runs a few seeds, `make sim` many; SEED=n
# replays one, VERBOSE=1 tells what it does.
if HAVE_CHECK
check_PROGRAMS += tests/sim/sim
TESTS += tests/sim/sim
tests_sim_sim_SOURCES = %D%/sim.c
tests_sim_sim_LDADD = $(UNIT_LIBS)

SIM_RUNS = 2000
sim: tests/sim/sim$(EXEEXT)
	tests/sim/sim$(EXEEXT) $(SIM_RUNS)
endif
.PHONY: sim
