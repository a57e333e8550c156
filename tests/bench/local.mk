# SPDX-License-Identifier: BSD-2-Clause
# Benchmarks: built by "make check" so that they cannot rot, run by "make bench".
check_PROGRAMS += tests/bench/vdo-bench
tests_bench_vdo_bench_SOURCES = %D%/bench.c %D%/bench.h \
	%D%/load.c %D%/load.h %D%/medium.c %D%/medium.h \
	%D%/arguments.c %D%/arguments.h %D%/raw.c %D%/raw.h \
	%D%/report.c %D%/report.h \
	%D%/vdo-bench.c examples/process.c examples/process.h \
	tests/lib/histogram.c \
	tests/lib/histogram.h
tests_bench_vdo_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/discard-bench
tests_bench_discard_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/discard-bench.c
tests_bench_discard_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/copy-bench
tests_bench_copy_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/copy-bench.c
tests_bench_copy_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/grow-bench
tests_bench_grow_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/grow-bench.c \
	%D%/writers.c %D%/writers.h
tests_bench_grow_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/zones-bench
tests_bench_zones_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/writers.c \
	%D%/writers.h %D%/zones-bench.c
tests_bench_zones_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/reclaim-bench
tests_bench_reclaim_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/reclaim-bench.c
tests_bench_reclaim_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/sub-bench
tests_bench_sub_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/sub-bench.c
tests_bench_sub_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
check_PROGRAMS += tests/bench/queue-bench
tests_bench_queue_bench_SOURCES = %D%/bench.h %D%/queue-bench.c
tests_bench_queue_bench_CFLAGS = $(AM_CFLAGS) $(URCU_CFLAGS)
tests_bench_queue_bench_LDADD = lib/libcore.la $(URCU_LIBS)
check_PROGRAMS += tests/bench/hash-bench
tests_bench_hash_bench_SOURCES = %D%/bench.c %D%/bench.h %D%/hash-bench.c
tests_bench_hash_bench_LDADD = lib/libcore.la $(LZ4_LIBS)
EXTRA_DIST += %D%/figures.sh %D%/instructions.sh %D%/nbd.sh %D%/plots.sh \
	%D%/rows.txt %D%/run.sh

bench_programs = tests/bench/vdo-bench tests/bench/index-bench \
	tests/bench/queue-bench tests/bench/hash-bench \
	tests/bench/discard-bench tests/bench/copy-bench \
	tests/bench/grow-bench tests/bench/sub-bench \
	tests/bench/zones-bench tests/bench/reclaim-bench

# BENCH_ROWS="file-* unique" are the rows, all by default; BENCH_DEVICE=PATH and
# BENCH_DEVICE_SIZE=BYTES the file of those on a file.
BENCH_ROWS =
BENCH_DEVICE = bench-file.vdo
BENCH_DEVICE_SIZE = 2G
bench: $(bench_programs) all
	$(AM_V_at)set -f && $(SHELL) $(srcdir)/tests/bench/run.sh \
		--device='$(BENCH_DEVICE)' \
		--device-size='$(BENCH_DEVICE_SIZE)' \
		tests/bench/vdo-bench $(BENCH_ROWS)
	$(AM_V_at)tests/bench/discard-bench
	$(AM_V_at)tests/bench/copy-bench
	$(AM_V_at)tests/bench/grow-bench
	$(AM_V_at)tests/bench/zones-bench
	$(AM_V_at)tests/bench/sub-bench
	$(AM_V_at)tests/bench/reclaim-bench

# Rates over depths and sizes as pictures, in plots/.
bench-plots: tests/bench/vdo-bench
	$(AM_V_at)$(SHELL) $(srcdir)/tests/bench/plots.sh \
		tests/bench/vdo-bench plots

figures:
	$(AM_V_at)$(srcdir)/tests/bench/figures.sh
.PHONY: bench bench-plots figures
