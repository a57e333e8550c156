/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libvdo: deduplicated, compressed, thinly provisioned block storage in a
 * library, in the on-disk format of Linux's dm-vdo.
 *
 * All objects are opaque. See libvdo(3) for an introduction.
 */
#ifndef VDO_VDO_H
#define VDO_VDO_H

#include <vdo/check.h>
#include <vdo/config.h>
#include <vdo/device.h>
#include <vdo/error.h>
#include <vdo/executor.h>
#include <vdo/index.h>
#include <vdo/io.h>
#include <vdo/job.h>
#include <vdo/log.h>
#include <vdo/map.h>
#include <vdo/memory.h>
#include <vdo/rebuild.h>
#include <vdo/savings.h>
#include <vdo/space.h>
#include <vdo/stats.h>
#include <vdo/sub.h>
#include <vdo/trim.h>
#include <vdo/usage.h>
#include <vdo/volume.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* The version of the library: "MAJOR.MINOR.PATCH". */
const char *vdo_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
