/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file as a disk with a volatile cache.
 *
 * Writes go to the file at once. Each block that is not durable has an entry
 * with its versions, the durable one first; a power failure chooses among them
 * and writes the file once more. The clock counts finished writes.
 */
#include "build.h"

#include "tests/kernel/lossy.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/kernel/blocks.h"
#include "tests/kernel/plan.h"

#define BUCKETS	    16384u
#define REQUESTS    65536u
#define SECTOR	    512u

struct version {
	struct version *next; /* a later one */
	uint64_t when;
	uint8_t data[BLOCK];
};

struct entry {
	struct entry *next;
	uint64_t block;
	struct version *versions;
};

struct lossy {
	struct lossy_config config;
	int fd;
	uint64_t size, random, clock, writes;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool closing;
	unsigned count;
	struct vdo_device_io *requests[REQUESTS]; /* not yet done */
	uint64_t stamps[REQUESTS];		  /* clock at submission */
	struct entry *buckets[BUCKETS];
};

static uint64_t dice(struct lossy *l, uint64_t limit)
{
	return splitmix64(&l->random) % limit;
}

static void transfer(struct lossy *l, bool out, void *data, size_t size,
		     uint64_t offset)
{
	ssize_t n = out ? pwrite(l->fd, data, size, (off_t)offset)
			: pread(l->fd, data, size, (off_t)offset);

	if (n != (ssize_t)size)
		die("the file under the lossy device cannot be %s: %s",
		    out ? "written" : "read", strerror(n < 0 ? errno : EIO));
}

/* ---------------------------------------------------------------- versions */

static struct version *version_new(uint64_t when)
{
	struct version *v = calloc(1, sizeof(*v));

	if (v == NULL)
		die("out of memory");
	v->when = when;
	return v;
}

static void versions_free(struct version *v, const struct version *end)
{
	while (v != end) {
		struct version *next = v->next;

		free(v);
		v = next;
	}
}

static struct entry *find_entry(struct lossy *l, uint64_t block)
{
	struct entry **place = &l->buckets[block % BUCKETS];
	struct entry *e;

	for (e = *place; e != NULL; e = e->next)
		if (e->block == block)
			return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		die("out of memory");
	e->block = block;
	e->versions = version_new(0);
	transfer(l, false, e->versions->data, BLOCK, block * BLOCK);
	e->next = *place;
	*place = e;
	return e;
}

static void add_version(struct lossy *l, uint64_t block, const uint8_t *data,
			bool durable)
{
	struct entry *e = find_entry(l, block);
	struct version *v = version_new(++l->clock), *last = e->versions;

	memcpy(v->data, data, BLOCK);
	if (durable) {
		versions_free(e->versions, NULL);
		e->versions = v;
		return;
	}
	while (last->next != NULL)
		last = last->next;
	last->next = v;
}

/* What was done up to @when is durable. */
static void make_durable(struct lossy *l, uint64_t when)
{
	unsigned i;

	for (i = 0; i < BUCKETS; i++) {
		struct entry **place = &l->buckets[i];

		while (*place != NULL) {
			struct entry *e = *place;
			struct version *v = e->versions;

			while (v->next != NULL && v->next->when <= when)
				v = v->next;
			versions_free(e->versions, v);
			e->versions = v;
			if (v->next != NULL) {
				place = &e->next;
				continue;
			}
			*place = e->next;
			free(v);
			free(e);
		}
	}
}

/* ------------------------------------------------------------ power failure */

static const struct version *choose_version(struct lossy *l,
					    const struct entry *e)
{
	const struct version *v;
	uint64_t count = 0;

	for (v = e->versions; v != NULL; v = v->next)
		count++;
	v = e->versions;
	for (count = dice(l, count); count > 0; count--)
		v = v->next;
	return v;
}

static void settle(struct lossy *l, const struct entry *e)
{
	const struct version *first = choose_version(l, e);
	const struct version *rest = choose_version(l, e);
	uint8_t block[BLOCK];
	size_t cut = dice(l, 4) == 0 ? SECTOR * dice(l, BLOCK / SECTOR) : BLOCK;

	memcpy(block, first->data, cut);
	memcpy(block + cut, rest->data + cut, BLOCK - cut);
	transfer(l, true, block, BLOCK, e->block * BLOCK);
}

static void do_write(struct lossy *l, const struct vdo_device_io *io);

_Noreturn static void power_fails(struct lossy *l)
{
	const struct entry *e;
	unsigned i;

	l->config.writes = 0;
	for (i = 0; i < l->count; i++)
		if (l->requests[i]->op == VDO_DEVICE_WRITE && dice(l, 2) == 0)
			do_write(l, l->requests[i]);
	for (i = 0; i < BUCKETS; i++)
		for (e = l->buckets[i]; e != NULL; e = e->next)
			settle(l, e);
	_exit(LOSSY_EXIT);
}

/* ---------------------------------------------------------------- requests */

static void do_read(struct lossy *l, const struct vdo_device_io *io)
{
	uint64_t at = io->offset;
	unsigned i;

	for (i = 0; i < io->iov_count; i++) {
		transfer(l, false, io->iov[i].iov_base, io->iov[i].iov_len, at);
		at += io->iov[i].iov_len;
	}
}

static void do_write(struct lossy *l, const struct vdo_device_io *io)
{
	uint64_t at = io->offset;
	unsigned i;
	size_t n;

	if (++l->writes == l->config.writes)
		power_fails(l);
	for (i = 0; i < io->iov_count; i++) {
		uint8_t *data = io->iov[i].iov_base;

		if (io->iov[i].iov_len % BLOCK != 0)
			die("a part of a block was written");
		for (n = 0; n < io->iov[i].iov_len; n += BLOCK) {
			add_version(l, at / BLOCK, data + n,
				    io->flags & VDO_DEVICE_FUA);
			transfer(l, true, data + n, BLOCK, at);
			at += BLOCK;
		}
	}
}

/* One of the requests, if there is one; false: there is nothing more to do. */
static bool do_request(struct lossy *l)
{
	struct vdo_device_io *io;
	uint64_t stamp;
	uint64_t i;

	pthread_mutex_lock(&l->lock);
	while (l->count == 0 && !l->closing)
		pthread_cond_wait(&l->work, &l->lock);
	if (l->count == 0) {
		pthread_mutex_unlock(&l->lock);
		return false;
	}
	i = dice(l, l->count);
	io = l->requests[i];
	stamp = l->stamps[i];
	l->count--;
	l->requests[i] = l->requests[l->count];
	l->stamps[i] = l->stamps[l->count];
	if (io->op == VDO_DEVICE_READ)
		do_read(l, io);
	else if (io->op == VDO_DEVICE_WRITE)
		do_write(l, io);
	else
		make_durable(l, stamp);
	pthread_mutex_unlock(&l->lock);
	io->complete(io, 0);
	return true;
}

static void *run(void *arg)
{
	while (do_request(arg))
		;
	return NULL;
}

static void submit(void *ctx, struct vdo_device_io *io)
{
	struct lossy *l = ctx;

	pthread_mutex_lock(&l->lock);
	if (l->count == REQUESTS)
		die("too many requests at once");
	l->requests[l->count] = io;
	l->stamps[l->count++] = l->clock;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
}

/* -------------------------------------------------------------- the device */

static uint64_t get_size(void *ctx)
{
	return ((struct lossy *)ctx)->size;
}

static unsigned get_flags(void *ctx)
{
	return VDO_DEVICE_VOLATILE_CACHE;
}

static void lossy_close(void *ctx)
{
	struct lossy *l = ctx;

	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	make_durable(l, UINT64_MAX);
	close(l->fd);
	free(l);
}

static const struct vdo_device_ops lossy_ops = {
	.size = sizeof(lossy_ops),
	.get_size = get_size,
	.get_flags = get_flags,
	.submit = submit,
	.close = lossy_close,
};

int lossy_open(const char *path, const struct lossy_config *config,
	       struct vdo_device **device)
{
	struct lossy *l = calloc(1, sizeof(*l));
	struct stat st;

	if (l == NULL)
		return -ENOMEM;
	l->config = *config;
	l->random = config->seed;
	l->fd = open(path, O_RDWR | O_CLOEXEC);
	if (l->fd < 0 || fstat(l->fd, &st) != 0) {
		int error = errno;

		if (l->fd >= 0)
			close(l->fd);
		free(l);
		return -error;
	}
	l->size = (uint64_t)st.st_size;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	if (pthread_create(&l->thread, NULL, run, l) != 0)
		die("no thread for the lossy device");
	return vdo_device_open_custom(&lossy_ops, l, device);
}
