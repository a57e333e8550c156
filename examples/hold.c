/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume that grows when it is full: more is written than its file has room for, and
 * who writes only waits.
 *
 *	hold FILE
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/vdo.h>

#define BLOCK 4096
#define COUNT 8192 /* blocks: 32 MiB */
#define STEP  (16u << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int wanted, over;
static unsigned grown;

static void check(int r, const struct vdo_error *error)
{
	if (r == 0)
		return;
	fprintf(stderr, "hold: %s\n",
		error != NULL ? error->message : vdo_strerror(r));
	exit(EXIT_FAILURE);
}

/* On a thread of the volume, which must not wait: another one makes it larger. */
static void told(void *arg, const struct vdo_space *space)
{
	(void)arg;
	if (space->event != VDO_SPACE_ROSE && space->event != VDO_SPACE_HELD)
		return;
	pthread_mutex_lock(&lock);
	wanted = 1;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void *grow(void *arg)
{
	struct vdo_volume *volume = arg;
	struct vdo_error error;
	uint64_t size = STEP;

	pthread_mutex_lock(&lock);
	for (;;) {
		while (!wanted && !over)
			pthread_cond_wait(&changed, &lock);
		if (over)
			break;
		wanted = 0;
		pthread_mutex_unlock(&lock);
		size += STEP;
		check(vdo_grow(volume, size, 0, &error), &error);
		pthread_mutex_lock(&lock);
		grown++;
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static struct vdo_volume *make_volume(const char *path)
{
	struct vdo_config *config;
	struct vdo_volume *volume;
	struct vdo_error error;

	check(vdo_config_new(&config), NULL);
	check(vdo_config_set(config, "size", "16M", &error), &error);
	check(vdo_config_set(config, "logical-size", "1G", &error), &error);
	check(vdo_config_set(config, "slab-bits", "9", &error), &error);
	check(vdo_config_set(config, "force", "on", &error), &error);
	check(vdo_config_set(config, "on-full", "hold", &error), &error);
	check(vdo_format(path, config, &error), &error);
	check(vdo_open(path, config, &volume, &error), &error);
	vdo_config_free(config);
	return volume;
}

int main(int argc, char **argv)
{
	static const unsigned percents[] = {75};
	static char block[BLOCK];
	struct vdo_volume *volume;
	pthread_t thread;

	if (argc != 2) {
		fprintf(stderr, "usage: hold FILE\n");
		return EXIT_FAILURE;
	}
	volume = make_volume(argv[1]);
	if (pthread_create(&thread, NULL, grow, volume) != 0)
		return EXIT_FAILURE;
	check(vdo_space_watch(volume, percents, 1, told, NULL), NULL);
	srand(1);
	for (unsigned i = 0; i < COUNT; i++) {
		for (size_t k = 0; k < BLOCK; k++)
			block[k] = (char)rand();
		check(vdo_pwrite(volume, block, BLOCK, (uint64_t)i * BLOCK, 0),
		      NULL);
	}
	pthread_mutex_lock(&lock);
	over = 1;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	check(vdo_close(volume), NULL);
	printf("%u blocks written, grown %s\n", COUNT,
	       grown > 0 ? "meanwhile" : "never");
	return EXIT_SUCCESS;
}
