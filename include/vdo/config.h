/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options, as named strings.
 *
 * A config is cheap and does no I/O. It is read by vdo_format() and vdo_open()
 * and may be freed after they return. Every option can be enumerated with
 * vdo_config_describe(); the table is in vdo-options(7).
 *
 * Threads: one config belongs to one thread at a time.
 */
#ifndef VDO_CONFIG_H
#define VDO_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include <vdo/error.h>
#include <vdo/executor.h>
#include <vdo/log.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct vdo_config;

enum vdo_option_type {
	VDO_OPTION_BOOL,   /* "on" or "off" (yes/no, true/false, 1/0) */
	VDO_OPTION_NUMBER,
	VDO_OPTION_SIZE,   /* as vdo_size_parse() reads them */
	VDO_OPTION_CHOICE, /* one of the words in choices */
	VDO_OPTION_STRING
};

enum vdo_option_when {
	VDO_OPTION_FORMAT, /* read by vdo_format(), fixed from then on */
	VDO_OPTION_OPEN,   /* read by vdo_open() */
	VDO_OPTION_ONLINE, /* as open, and vdo_volume_set() can change it */
	VDO_OPTION_PAUSE   /* the same, and calls wait meanwhile */
};

struct vdo_option {
	const char *name;
	enum vdo_option_type type;
	enum vdo_option_when when;
	const char *default_value;
	const char *range; /* for people: "1..2048"; choices: "a|b|c" */
	const char *help;  /* one line */
};

/* -ENOMEM */
int vdo_config_new(struct vdo_config **config);
void vdo_config_free(struct vdo_config *config);

/*
 * Set option @name. @error may be NULL.
 * Errors: -VDO_EOPTION no such option, -VDO_EVALUE not a value for it, -ENOMEM.
 */
int vdo_config_set(struct vdo_config *config, const char *name,
		   const char *value, struct vdo_error *error);

/* The value of option @name as text, or its default; NULL: no such option.
 * Valid until the next set or free. */
const char *vdo_config_get(const struct vdo_config *config, const char *name);

/* Option number @i, counted from 0; NULL after the last. Static memory. */
const struct vdo_option *vdo_config_describe(size_t i);

/*
 * The bytes that a size such as "4096", "64M", "64MiB" or "1.5 GiB" stands for;
 * K M G T P E are powers of 1024 in either case, and fractions are rounded down
 * to a byte. -EINVAL: the text is no size; -ERANGE: the size does not fit. Any
 * thread.
 */
int vdo_size_parse(const char *text, uint64_t *bytes);

/* Where log lines go; NULL: nowhere (the default). */
void vdo_config_set_log(struct vdo_config *config, vdo_log_fn fn, void *arg);

/* Run on the host's pool; sets option executor to "pool". @ops is copied. */
int vdo_config_set_pool(struct vdo_config *config,
			const struct vdo_pool_ops *ops, void *pool);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
