/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash test of the store, on simulated storage (libvdo-sim): power fails in
 * the midst of it, again and again, and after each time all that was committed
 * has to be there.
 *
 *	crash-test [SEED [COUNT]]	runs of the seeds SEED, SEED + 1, ...
 *	crash-test --sloppy [...]	of the store that commits without a flush:
 *					a failure is what is to be found
 *
 * Exit status: 0 if all runs were as they should be.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/sim.h>
#include <vdo/vdo.h>

#include "kv.h"

#define CRASHES 5 /* of a run */

struct run {
	uint64_t seed;
	struct vdo_sim *sim;
	struct kv kv;
	bool sloppy;
	unsigned version; /* of what is put next */
	unsigned put[KV_KEYS], committed[KV_KEYS]; /* versions; 0: none */
};

static void check(struct run *r, int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s: %s, seed %" PRIu64 "\n", what,
		vdo_strerror(result), r->seed);
	exit(2);
}

static void fill(unsigned version, char *value)
{
	memset(value, 0, KV_VALUE);
	snprintf(value, KV_VALUE, "version %u", version);
}

static void format(struct run *r)
{
	static const char *const options[][2] = {
		{"slab-bits", "9"},
		{"slab-journal-blocks", "4"},
		{"journal-blocks", "8"},
		{"index-memory", "none"},
		{"logical-size", "8M"},
	};
	struct vdo_device *device;
	struct vdo_config *config;

	check(r, vdo_sim_new(r->seed, 16 << 20, 0, &r->sim), "new");
	check(r, vdo_sim_device(r->sim, &device), "device");
	check(r, vdo_config_new(&config), "config");
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		check(r, vdo_config_set(config, options[i][0], options[i][1],
					NULL), options[i][0]);
	check(r, vdo_format_device(device, config, NULL), "format");
	vdo_config_free(config);
	vdo_device_close(device);
}

/* Puts and commits until the power fails. */
static void work(struct run *r)
{
	char value[KV_VALUE];

	vdo_sim_fail_power_at(r->sim, 1 + vdo_sim_random(r->sim, 400));
	while (vdo_sim_power(r->sim)) {
		unsigned key = (unsigned)vdo_sim_random(r->sim, KV_KEYS);

		if (vdo_sim_random(r->sim, 8) == 0) {
			if (kv_commit(&r->kv) == 0)
				memcpy(r->committed, r->put, sizeof(r->put));
			continue;
		}
		fill(++r->version, value);
		if (kv_put(&r->kv, key, value) == 0)
			r->put[key] = r->version;
	}
}

/* What was committed, or something newer; false: a fault is found. */
static bool verify(struct run *r)
{
	char value[KV_VALUE], want[KV_VALUE];

	for (unsigned key = 0; key < KV_KEYS; key++) {
		int result = kv_get(&r->kv, key, value);
		unsigned version = 0;

		if (result == 0 &&
		    sscanf(value, "version %u", &version) != 1)
			return false;
		fill(version, want);
		if (version < r->committed[key] || version > r->version ||
		    (version != 0 && memcmp(value, want, KV_VALUE) != 0))
			return false;
		r->put[key] = r->committed[key] = version;
	}
	return true;
}

/* True: nothing was lost. */
static bool run(uint64_t seed, bool sloppy)
{
	struct run r = {.seed = seed, .sloppy = sloppy};
	struct vdo_volume *volume;
	struct vdo_error error;
	bool good = true;

	format(&r);
	for (unsigned i = 0; good && i <= CRASHES; i++) {
		int result = vdo_sim_open(r.sim, NULL, &volume, &error);

		if (result != 0)
			fprintf(stderr, "%s\n", error.message);
		check(&r, result, "open");
		good = kv_open(&r.kv, volume) == 0 && verify(&r);
		r.kv.sloppy = sloppy;
		if (good && i < CRASHES)
			work(&r);
		vdo_abandon(volume);
		vdo_sim_restore_power(r.sim);
	}
	vdo_sim_free(r.sim);
	return good;
}

int main(int argc, char **argv)
{
	bool sloppy = argc > 1 && strcmp(argv[1], "--sloppy") == 0;
	uint64_t seed, count, bad = 0;

	argc -= sloppy;
	argv += sloppy;
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	count = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : 20;
	for (uint64_t i = 0; i < count; i++) {
		if (run(seed + i, sloppy))
			continue;
		if (bad++ == 0)
			printf("committed data is lost; again: crash-test "
			       "%s%" PRIu64 "\n", sloppy ? "--sloppy " : "",
			       seed + i);
	}
	printf("%" PRIu64 " of %" PRIu64 " runs lost data\n", bad, count);
	return sloppy ? bad == 0 : bad != 0;
}
