/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log messages of the library.
 *
 * The library never prints. A host that wants to know sets a callback with
 * vdo_config_set_log(); it is called on any thread of the volume, or inside
 * of a call on it, must not block for long, and must not call the library.
 */
#ifndef VDO_LOG_H
#define VDO_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum vdo_log_level {
	VDO_LOG_ERROR,   /* something failed; the volume may be read-only */
	VDO_LOG_WARNING, /* something is odd and was dealt with */
	VDO_LOG_INFO,    /* a life event: formatted, opened, closed */
	VDO_LOG_DEBUG
};

/* @message is one line without a newline, valid during the call. */
typedef void (*vdo_log_fn)(void *arg, enum vdo_log_level level,
			   const char *message);

#ifdef __cplusplus
}
#endif

#endif
