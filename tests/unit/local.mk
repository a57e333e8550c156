# SPDX-License-Identifier: BSD-2-Clause
# Unit tests, one file of rules for each folder of lib/.
include tests/unit/base.mk
include tests/unit/format.mk
include tests/unit/exec.mk
include tests/unit/io.mk
include tests/unit/index.mk
include tests/unit/journal.mk
include tests/unit/depot.mk
include tests/unit/map.mk
include tests/unit/dedupe.mk
include tests/unit/front.mk
include tests/unit/volume.mk
include tests/unit/api.mk
