/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a storage holds before a volume is made on it: whether anything would be
 * lost.
 *
 * Runs on: the thread that formats.
 */
#ifndef VOLUME_CONTENT_H
#define VOLUME_CONTENT_H

#include <vdo/device.h>

#include "base/compiler.h"

/*
 * 0: nothing. -VDO_ESIGNATURE, with a message that names what was found; else
 * what reading the storage or memory failed with.
 */
int content_check(struct vdo_device *device,
		  struct vdo_error *error) MUST_CHECK;

#endif
