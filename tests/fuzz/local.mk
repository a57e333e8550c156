# SPDX-License-Identifier: BSD-2-Clause
# Fuzz entries. With --enable-fuzzing they are fuzzers (make fuzz), else make
# check runs them over their corpus.
fuzz_programs =
fuzz_entry = %D%/fuzz.h
if FUZZING
noinst_PROGRAMS += $(fuzz_programs)
else
check_PROGRAMS += $(fuzz_programs)
TESTS += $(fuzz_programs)
fuzz_entry += %D%/replay.c
endif
EXTRA_DIST += %D%/corpus

fuzz_programs += tests/fuzz/fuzz_geometry
tests_fuzz_fuzz_geometry_SOURCES = %D%/fuzz_geometry.c $(fuzz_entry)
tests_fuzz_fuzz_geometry_LDADD = lib/libcore.la
tests_fuzz_fuzz_geometry_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_directory
tests_fuzz_fuzz_directory_SOURCES = %D%/fuzz_directory.c $(fuzz_entry)
tests_fuzz_fuzz_directory_LDADD = lib/libcore.la
tests_fuzz_fuzz_directory_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_superblock
tests_fuzz_fuzz_superblock_SOURCES = %D%/fuzz_superblock.c $(fuzz_entry)
tests_fuzz_fuzz_superblock_LDADD = lib/libcore.la
tests_fuzz_fuzz_superblock_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_layout
tests_fuzz_fuzz_layout_SOURCES = %D%/fuzz_layout.c $(fuzz_entry)
tests_fuzz_fuzz_layout_LDADD = lib/libcore.la
tests_fuzz_fuzz_layout_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_mapping
tests_fuzz_fuzz_mapping_SOURCES = %D%/fuzz_mapping.c $(fuzz_entry)
tests_fuzz_fuzz_mapping_LDADD = lib/libcore.la
tests_fuzz_fuzz_mapping_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = %D%/fuzz_journal.c $(fuzz_entry)
tests_fuzz_fuzz_journal_LDADD = lib/libcore.la
tests_fuzz_fuzz_journal_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_replay
tests_fuzz_fuzz_replay_SOURCES = %D%/fuzz_replay.c $(fuzz_entry)
tests_fuzz_fuzz_replay_LDADD = lib/libcore.la
tests_fuzz_fuzz_replay_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_slab
tests_fuzz_fuzz_slab_SOURCES = %D%/fuzz_slab.c $(fuzz_entry)
tests_fuzz_fuzz_slab_LDADD = lib/libcore.la
tests_fuzz_fuzz_slab_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_fragment
tests_fuzz_fuzz_fragment_SOURCES = %D%/fuzz_fragment.c $(fuzz_entry)
tests_fuzz_fuzz_fragment_LDADD = lib/libcore.la
tests_fuzz_fuzz_fragment_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_index_layout
tests_fuzz_fuzz_index_layout_SOURCES = %D%/fuzz_index_layout.c $(fuzz_entry)
tests_fuzz_fuzz_index_layout_LDADD = lib/libcore.la
tests_fuzz_fuzz_index_layout_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_delta
tests_fuzz_fuzz_delta_SOURCES = %D%/fuzz_delta.c $(fuzz_entry)
tests_fuzz_fuzz_delta_LDADD = lib/libcore.la
tests_fuzz_fuzz_delta_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_chapter_index
tests_fuzz_fuzz_chapter_index_SOURCES = %D%/fuzz_chapter_index.c $(fuzz_entry)
tests_fuzz_fuzz_chapter_index_LDADD = lib/libcore.la
tests_fuzz_fuzz_chapter_index_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_record_page
tests_fuzz_fuzz_record_page_SOURCES = %D%/fuzz_record_page.c $(fuzz_entry)
tests_fuzz_fuzz_record_page_LDADD = lib/libcore.la
tests_fuzz_fuzz_record_page_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_page_map
tests_fuzz_fuzz_page_map_SOURCES = %D%/fuzz_page_map.c $(fuzz_entry)
tests_fuzz_fuzz_page_map_LDADD = lib/libcore.la
tests_fuzz_fuzz_page_map_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_stream
tests_fuzz_fuzz_stream_SOURCES = %D%/fuzz_stream.c $(fuzz_entry) \
	%D%/overlay.c %D%/overlay.h
tests_fuzz_fuzz_stream_LDADD = lib/libcore.la
tests_fuzz_fuzz_stream_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_index
tests_fuzz_fuzz_index_SOURCES = %D%/fuzz_index.c $(fuzz_entry) \
	%D%/index_host.c %D%/index_host.h \
	%D%/overlay.c %D%/overlay.h
tests_fuzz_fuzz_index_LDADD = lib/libcore.la
tests_fuzz_fuzz_index_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_index_save
tests_fuzz_fuzz_index_save_SOURCES = %D%/fuzz_index_save.c $(fuzz_entry) \
	%D%/index_host.c %D%/index_host.h \
	%D%/overlay.c %D%/overlay.h
tests_fuzz_fuzz_index_save_LDADD = lib/libcore.la
tests_fuzz_fuzz_index_save_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_saved_read
tests_fuzz_fuzz_saved_read_SOURCES = %D%/fuzz_saved_read.c $(fuzz_entry)
tests_fuzz_fuzz_saved_read_LDADD = lib/libcore.la
tests_fuzz_fuzz_saved_read_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_volume
tests_fuzz_fuzz_volume_SOURCES = %D%/fuzz_volume.c $(fuzz_entry) \
	%D%/volume_host.c %D%/volume_host.h \
	%D%/overlay.c %D%/overlay.h
tests_fuzz_fuzz_volume_LDADD = lib/libcore.la
tests_fuzz_fuzz_volume_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_check
tests_fuzz_fuzz_check_SOURCES = %D%/fuzz_check.c $(fuzz_entry) \
	%D%/volume_host.c %D%/volume_host.h \
	%D%/overlay.c %D%/overlay.h
tests_fuzz_fuzz_check_LDADD = lib/libcore.la
tests_fuzz_fuzz_check_LDFLAGS = $(FUZZ_LDFLAGS)

# Of dedup-copy; these stand in for the volume that it reads.
fuzz_programs += tests/fuzz/fuzz_catalogue
tests_fuzz_fuzz_catalogue_SOURCES = %D%/fuzz_catalogue.c $(fuzz_entry) \
	examples/dedup-copy/catalogue.c examples/dedup-copy/xattr.c
tests_fuzz_fuzz_catalogue_LDADD = $(ZLIB_LIBS)
tests_fuzz_fuzz_catalogue_LDFLAGS = $(FUZZ_LDFLAGS)

fuzz_programs += tests/fuzz/fuzz_container
tests_fuzz_fuzz_container_SOURCES = %D%/fuzz_container.c $(fuzz_entry) \
	examples/dedup-copy/container.c
tests_fuzz_fuzz_container_LDADD = $(ZLIB_LIBS)
tests_fuzz_fuzz_container_LDFLAGS = $(FUZZ_LDFLAGS)

# Each for a while; what is new goes to fuzz/<what>, crashes to here.
FUZZ_SECONDS = 60
if FUZZING
fuzz: $(fuzz_programs)
	for p in $(fuzz_programs); do \
		what=$${p##*fuzz_} && $(MKDIR_P) fuzz/$$what && \
		$$p -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=30 \
			-artifact_prefix=crash-$$what- fuzz/$$what \
			$$(ls -d $(top_srcdir)/%D%/corpus/$$what) || exit 1; \
	done
else
fuzz:
	@echo 'configure with CC=clang --enable-fuzzing first' >&2; exit 1
endif
.PHONY: fuzz
