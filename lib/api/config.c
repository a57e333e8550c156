/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include <errno.h>
#include <string.h>

#include <vdo/config.h>

#include "api/options.h"
#include "base/alloc.h"
#include "base/error.h"

int vdo_config_new(struct vdo_config **config)
{
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
	i = options_find(name, error);
	if (i < 0)
		return i;
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

	if (i < 0)
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
	config->log.fn = fn;
	config->log.arg = arg;
}

int vdo_config_set_pool(struct vdo_config *config,
			const struct vdo_pool_ops *ops, void *pool)
{
	struct vdo_pool_ops copy = {0};
	int r;

	/* A host built against an older header has a shorter struct. */
	if (ops->size < offsetof(struct vdo_pool_ops, concurrency))
		return -EINVAL;
	memcpy(&copy, ops, MIN(ops->size, sizeof(copy)));
	copy.size = sizeof(copy);
	if (copy.submit == NULL)
		return -EINVAL;
	r = vdo_config_set(config, "executor", "pool", NULL);
	if (r != 0)
		return r;
	config->pool = copy;
	config->pool_arg = pool;
	return 0;
}
