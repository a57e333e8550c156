/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program with an event loop: completions arrive on a descriptor that
 * poll(2), epoll or any event library can wait for.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <vdo/vdo.h>

#define BLOCK 4096
#define COUNT 64

struct request {
	struct vdo_cq_entry entry;
	unsigned number;
	_Alignas(BLOCK) char buffer[BLOCK];
};

static struct request requests[COUNT];

/* Submit a write for each request; the number that were accepted. */
static unsigned submit_all(struct vdo_volume *volume, struct vdo_cq *cq)
{
	for (unsigned i = 0; i < COUNT; i++) {
		struct request *q = &requests[i];
		int r;

		q->number = i;
		q->entry.cq = cq;
		q->entry.user = q;
		snprintf(q->buffer, sizeof(q->buffer), "request %u", i);
		r = vdo_aio_pwrite(volume, q->buffer, BLOCK,
				   (uint64_t)i * BLOCK, vdo_cq_complete,
				   &q->entry, 0);
		if (r != 0) {
			fprintf(stderr, "poll: request %u: %s\n", i,
				vdo_strerror(r));
			return i;
		}
	}
	return COUNT;
}

/* The event loop, until @pending requests are done; the number that failed. */
static unsigned loop(struct vdo_cq *cq, unsigned pending)
{
	struct pollfd event = {.fd = vdo_cq_fd(cq), .events = POLLIN};
	unsigned failed = 0;

	while (pending > 0) {
		struct vdo_cq_entry *entries[16];
		size_t n;

		if (poll(&event, 1, -1) < 0)
			continue; /* a signal */
		n = vdo_cq_reap(cq, entries, 16);
		for (size_t i = 0; i < n; i++) {
			struct request *q = entries[i]->user;

			if (entries[i]->result == 0)
				continue;
			fprintf(stderr, "poll: request %u: %s\n", q->number,
				vdo_strerror(entries[i]->result));
			failed++;
		}
		pending -= (unsigned)n;
	}
	return failed;
}

static int fail(const char *text)
{
	fprintf(stderr, "poll: %s\n", text);
	return 1;
}

int main(void)
{
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;
	struct vdo_cq *cq;
	unsigned accepted, failed;
	int r;

	r = vdo_cq_new(&cq);
	if (r != 0)
		return fail(vdo_strerror(r));
	r = vdo_device_open_memory(UINT64_C(64) << 20, &device);
	if (r != 0)
		return fail(vdo_strerror(r));
	if (vdo_format_device(device, NULL, &error) != 0 ||
	    vdo_open_device(device, NULL, &volume, &error) != 0)
		return fail(error.message);

	accepted = submit_all(volume, cq);
	failed = loop(cq, accepted);
	printf("%u of %u requests done, %u failed\n", accepted, COUNT, failed);

	r = vdo_close(volume);
	vdo_device_close(device);
	vdo_cq_free(cq);
	return r != 0 || failed != 0 || accepted != COUNT;
}
