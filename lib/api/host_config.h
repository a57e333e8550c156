/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host has chosen: struct vdo_config, values by number of the option.
 *
 * Runs on: the thread that the config belongs to.
 */
#ifndef API_HOST_CONFIG_H
#define API_HOST_CONFIG_H

#include <vdo/config.h>

#include "base/compiler.h"

struct settings;

/*
 * Fill @s with the options of @config (NULL: defaults) and check that they fit
 * together. 0 or -VDO_ECONFLICT.
 */
int host_config_apply(const struct vdo_config *config, struct settings *s,
		      struct vdo_error *error) MUST_CHECK;

#endif
