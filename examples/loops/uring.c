/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host with an io_uring of its own: it asks its ring to say when the descriptor of
 * the completion queue is readable, beside whatever else it has the ring do. Here
 * that is a timer.
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>

#include "chain.h"

enum { QUEUE = 1, TIMER };

static void ask(struct io_uring *ring, unsigned what, struct vdo_cq *cq)
{
	static struct __kernel_timespec second = {.tv_sec = 1};
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (what == QUEUE)
		io_uring_prep_poll_add(sqe, vdo_cq_fd(cq), 1 /* POLLIN */);
	else
		io_uring_prep_timeout(sqe, &second, 0, 0);
	io_uring_sqe_set_data64(sqe, what);
}

static int loop(struct io_uring *ring, struct vdo_cq *cq)
{
	ask(ring, QUEUE, cq);
	ask(ring, TIMER, cq);
	while (chains_left > 0) {
		struct io_uring_cqe *cqe;
		unsigned what;
		int r = io_uring_submit_and_wait(ring, 1);

		if (r < 0 && r != -EINTR)
			return r;
		while (chains_left > 0 && io_uring_peek_cqe(ring, &cqe) == 0) {
			what = (unsigned)io_uring_cqe_get_data64(cqe);
			io_uring_cqe_seen(ring, cqe);
			if (what == QUEUE)
				chains_reap(cq);
			ask(ring, what, cq);
		}
	}
	return 0;
}

int main(void)
{
	static const char *const options[] = {"threads", "1", NULL};
	struct vdo_volume *volume;
	struct vdo_config *config;
	struct io_uring ring;
	struct vdo_cq *cq;
	int r = io_uring_queue_init(8, &ring, 0);

	if (r != 0) {
		fprintf(stderr, "there is no io_uring: %s\n", strerror(-r));
		return 77;
	}
	if (vdo_config_new(&config) != 0 || vdo_cq_new(&cq) != 0)
		return 1;
	volume = volume_make(config, options);
	vdo_config_free(config);
	chains_start(volume, cq);
	r = loop(&ring, cq);
	if (r != 0)
		fprintf(stderr, "the ring: %s\n", strerror(-r));
	io_uring_queue_exit(&ring);
	vdo_cq_free(cq);
	return volume_end(volume, "io_uring") || r != 0;
}
