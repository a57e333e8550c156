/* SPDX-License-Identifier: BSD-2-Clause */
/* The version of the library, as configure was told it. */
#include "build.h"

#include <vdo/vdo.h>

const char *vdo_version(void)
{
	return PACKAGE_VERSION;
}
