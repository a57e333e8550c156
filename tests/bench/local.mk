# SPDX-License-Identifier: BSD-2-Clause
# Benchmarks: built by "make check" so that they cannot rot, run by "make bench".
check_PROGRAMS += tests/bench/vdo-bench
tests_bench_vdo_bench_SOURCES = %D%/bench.c %D%/bench.h \
	%D%/vdo-bench.c examples/process.c examples/process.h \
	tests/lib/histogram.c \
	tests/lib/histogram.h
tests_bench_vdo_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
EXTRA_DIST += %D%/figures.sh %D%/instructions.sh %D%/run.sh

bench: tests/bench/vdo-bench tests/bench/index-bench
	$(AM_V_at)$(srcdir)/tests/bench/run.sh tests/bench/vdo-bench

figures:
	$(AM_V_at)$(srcdir)/tests/bench/figures.sh
.PHONY: bench figures
