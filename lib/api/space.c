/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space: the public calls around volume/space.c.
 */
#include "build.h"

#include "api/handle.h"

#include <errno.h>

#include <vdo/space.h>

#include "base/assert.h"

int vdo_space_watch(struct vdo_volume *v, const unsigned *percents, unsigned n,
		    vdo_space_callback callback, void *arg)
{
	int result;

	if (n > VDO_SPACE_THRESHOLDS_MAX ||
	    (n > 0 && (percents == NULL || callback == NULL)))
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		if (percents[i] < 1 || percents[i] > 100)
			return -EINVAL;
	result = handle_enter_whole(v);
	if (result != 0)
		return result;
	VDO_ASSERT(v->volume != NULL);
	volume_watch_space(engine_of(v), percents, n, callback, arg);
	handle_leave(v);
	return 0;
}

int vdo_space_retry(struct vdo_volume *v)
{
	int result = handle_check(v, true);

	if (result != 0)
		return result;
	VDO_ASSERT(v->front != NULL);
	front_wake(v->front, true);
	return 0;
}
