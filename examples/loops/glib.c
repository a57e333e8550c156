/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * GLib's main loop, and a volume with threads of its own: what is over comes through
 * a completion queue, whose descriptor is a source of the loop.
 */
#include <glib-unix.h>
#include <glib.h>

#include "chain.h"

struct loop {
	GMainLoop *main;
	struct vdo_cq *cq;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct loop *loop = data;

	(void)fd;
	(void)condition;
	chains_reap(loop->cq);
	if (chains_left > 0)
		return G_SOURCE_CONTINUE;
	g_main_loop_quit(loop->main);
	return G_SOURCE_REMOVE;
}

int main(void)
{
	static const char *const options[] = {"threads", "2", NULL};
	struct vdo_volume *volume;
	struct vdo_config *config;
	struct loop loop;

	if (vdo_config_new(&config) != 0 || vdo_cq_new(&loop.cq) != 0)
		return 1;
	volume = volume_make(config, options);
	vdo_config_free(config);
	loop.main = g_main_loop_new(NULL, FALSE);
	g_unix_fd_add(vdo_cq_fd(loop.cq), G_IO_IN, on_readable, &loop);
	chains_start(volume, loop.cq);
	g_main_loop_run(loop.main);
	g_main_loop_unref(loop.main);
	vdo_cq_free(loop.cq);
	return volume_end(volume, "GLib");
}
