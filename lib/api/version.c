/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <vdo/vdo.h>

const char *vdo_version(void)
{
	return PACKAGE_VERSION;
}
