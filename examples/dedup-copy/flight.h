/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for asynchronous I/O: a mutex, a condition, and the one case in which
 * nobody would ever signal it.
 *
 * With executor=inline the volume has no threads: its callbacks run inside of
 * vdo_poll(), so whoever waits has to call that.
 *
 * Threads: callbacks lock, change what they guard, and call flight_changed().
 */
#ifndef DEDUP_COPY_FLIGHT_H
#define DEDUP_COPY_FLIGHT_H

#include <pthread.h>
#include <stdbool.h>

#include <vdo/vdo.h>

struct flight {
	struct vdo_volume *volume; /* to poll, or NULL */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
};

static inline void flight_init(struct flight *f, struct vdo_volume *volume,
			       bool polled)
{
	f->volume = polled ? volume : NULL;
	pthread_mutex_init(&f->mutex, NULL);
	pthread_cond_init(&f->changed, NULL);
}

static inline void flight_fini(struct flight *f)
{
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->mutex);
}

static inline void flight_lock(struct flight *f)
{
	pthread_mutex_lock(&f->mutex);
}

static inline void flight_unlock(struct flight *f)
{
	pthread_mutex_unlock(&f->mutex);
}

/* Locked: something may be different now. */
static inline void flight_changed(struct flight *f)
{
	pthread_cond_signal(&f->changed);
}

/* Locked: wait until something may be different. */
static inline void flight_wait(struct flight *f)
{
	if (f->volume == NULL) {
		pthread_cond_wait(&f->changed, &f->mutex);
		return;
	}
	flight_unlock(f);
	vdo_poll(f->volume, -1);
	flight_lock(f);
}

#endif
