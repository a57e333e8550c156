/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A config keeps the texts that were set; what they mean is asked of the table
 * of options when they are set and once more when they are used. Its size
 * depends on the table alone, so that nothing but a text is ever allocated.
 */
#include "build.h"

#include "api/host_config.h"

#include <errno.h>
#include <string.h>

#include "api/options.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"

struct vdo_config {
	char *values[OPTIONS_MAX]; /* by number of the option; NULL: default */
	struct log log;
	struct vdo_pool_ops pool; /* submit is NULL: none was set */
	void *pool_arg;
};

int vdo_config_new(struct vdo_config **config)
{
	if (config == NULL)
		return -EINVAL;
	*config = alloc_zeroed(1, sizeof(**config));
	return *config == NULL ? -ENOMEM : 0;
}

void vdo_config_free(struct vdo_config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < OPTIONS_MAX; i++)
		alloc_free(config->values[i]);
	alloc_free(config);
}

int vdo_config_set(struct vdo_config *config, const char *name,
		   const char *value, struct vdo_error *error)
{
	struct settings scratch;
	char *copy;
	int i, r;

	error_clear(error);
	if (config == NULL)
		return error_missing(error, "config");
	i = options_find(name, error);
	if (i < 0)
		return i;
	VDO_ASSERT(i < OPTIONS_MAX);
	r = options_set((size_t)i, value, &scratch, error);
	if (r != 0)
		return r;
	copy = alloc_strdup(value);
	if (copy == NULL)
		return error_set(error, -ENOMEM, "out of memory");
	alloc_free(config->values[i]);
	config->values[i] = copy;
	return 0;
}

const char *vdo_config_get(const struct vdo_config *config, const char *name)
{
	int i = options_find(name, NULL);

	if (i < 0 || config == NULL)
		return NULL;
	if (config->values[i] != NULL)
		return config->values[i];
	return options_at((size_t)i)->default_value;
}

const struct vdo_option *vdo_config_describe(size_t i)
{
	return options_at(i);
}

void vdo_config_set_log(struct vdo_config *config, vdo_log_fn fn, void *arg)
{
	if (config == NULL)
		return;
	config->log.fn = fn;
	config->log.arg = arg;
}

int vdo_config_set_pool(struct vdo_config *config,
			const struct vdo_pool_ops *ops, void *pool)
{
	struct vdo_pool_ops copy = {0};
	int r;

	if (config == NULL || ops == NULL)
		return -EINVAL;
	/* A host built against an older header has a shorter struct. */
	if (ops->size < offsetof(struct vdo_pool_ops, concurrency))
		return -EINVAL;
	memcpy(&copy, ops, MIN(ops->size, sizeof(copy)));
	copy.size = sizeof(copy);
	if (copy.submit == NULL)
		return -EINVAL;
	VDO_ASSERT(config->pool.size == 0 || config->pool.submit != NULL);
	r = vdo_config_set(config, "executor", "pool", NULL);
	if (r != 0)
		return r;
	config->pool = copy;
	config->pool_arg = pool;
	return 0;
}

int host_config_apply(const struct vdo_config *config, struct settings *s,
		      struct vdo_error *error)
{
	const struct vdo_option *option;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; (option = options_at(i)) != NULL; i++) {
		const char *value = option->default_value;
		int r;

		if (config != NULL && config->values[i] != NULL)
			value = config->values[i];
		r = options_set(i, value, s, error);
		VDO_ASSERT(r == 0); /* vdo_config_set() has checked it */
		if (config != NULL && config->values[i] != NULL)
			options_note_given(option->name, s);
	}
	if (config != NULL) {
		s->log = config->log;
		s->pool = config->pool;
		s->pool_arg = config->pool_arg;
	}
	VDO_ASSERT(s->pool.size == 0 || s->pool.submit != NULL);
	return options_check(s, error);
}
