/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of options.
 *
 * One row per option says its name, type, when it is read, default, range, help
 * and where in struct settings it goes. vdo_config_set() checks values against
 * it, host_config_apply() fills settings from it, vdo_config_describe() shows
 * it; vdo-options(7) is compared with it by a test. Nothing below api/ knows of
 * option names.
 *
 * Invariants
 *  (1) Each default is a value of its option and sets the field it stands for.
 *  (2) Settings filled without a config are without conflicts.
 *
 * Runs on: any thread; the table is constant.
 */
#ifndef API_OPTIONS_H
#define API_OPTIONS_H

#include <vdo/config.h>

#include "base/compiler.h"
#include "volume/settings.h"

/* Upper bound of the number of options, for arrays with one value each. */
#define OPTIONS_MAX 48

/* Option number @i, or NULL after the last. */
const struct vdo_option *options_at(size_t i);

/* The number of an option, or -VDO_EOPTION. */
int options_find(const char *name, struct vdo_error *error) MUST_CHECK;

/*
 * Store @value, a value of option @i, into @s. 0 or -VDO_EVALUE, and then @s
 * is as before.
 */
int options_set(size_t i, const char *value, struct settings *s,
		struct vdo_error *error) MUST_CHECK;

/* Do the settings in @s fit together? 0 or -VDO_ECONFLICT. */
int options_check(const struct settings *s,
		  struct vdo_error *error) MUST_CHECK;

/* Somebody has set option @name. */
void options_note_given(const char *name, struct settings *s);

/*
 * Store @value, if option @name can be changed while a volume is open, into the
 * settings that it has. *@pause: with a new engine. -VDO_EOPTION, -VDO_EVALUE,
 * -VDO_ECONFLICT.
 */
int options_change(const char *name, const char *value, struct settings *s,
		   bool *pause, struct vdo_error *error) MUST_CHECK;

#endif
