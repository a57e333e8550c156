/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libuv, and a volume without threads: the loop watches its descriptor, and runs its
 * work. Callbacks run in the loop, like all others there.
 */
#include <uv.h>

#include "chain.h"

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct vdo_volume *volume = poll->data;

	(void)events;
	if (status == 0)
		vdo_poll(volume, 0);
	if (chains_left == 0)
		uv_close((uv_handle_t *)poll, NULL); /* the loop ends */
}

int main(void)
{
	static const char *const options[] = {"executor", "inline", NULL};
	struct vdo_volume *volume;
	struct vdo_config *config;
	uv_loop_t loop;
	uv_poll_t poll;

	if (vdo_config_new(&config) != 0)
		return 1;
	volume = volume_make(config, options);
	vdo_config_free(config);
	uv_loop_init(&loop);
	uv_poll_init(&loop, &poll, vdo_volume_fd(volume));
	poll.data = volume;
	uv_poll_start(&poll, UV_READABLE, on_readable);
	chains_start(volume, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return volume_end(volume, "libuv");
}
