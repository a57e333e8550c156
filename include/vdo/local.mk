# SPDX-License-Identifier: BSD-2-Clause
vdoincludedir = $(includedir)/vdo
vdoinclude_HEADERS = %D%/blocks.h %D%/check.h %D%/config.h %D%/device.h %D%/error.h %D%/executor.h \
	%D%/index.h %D%/io.h %D%/job.h %D%/log.h %D%/map.h %D%/memory.h %D%/rebuild.h %D%/savings.h %D%/sim.h %D%/space.h %D%/stats.h %D%/sub.h \
	%D%/trim.h %D%/usage.h %D%/vdo.h \
	%D%/volume.h
