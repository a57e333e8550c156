/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory goes back to the system when volumes are closed: 200 that were open
 * at once, with data and an index each, leave next to nothing. The sanitizers'
 * own memory would be measured with it, so they leave this out.
 */
#include "build.h"

#include <stdlib.h>

#include <vdo/vdo.h>

#include "tests/lib/fixture.h"

#define VOLUMES	     200
#define VOLUME_BYTES (32u << 20)
#define DATA_BLOCKS  64

#ifndef UNIT_SANITIZED

struct opened {
	struct vdo_device *device;
	struct vdo_volume *volume;
};

static void open_one(struct opened *o, const struct vdo_config *c,
		     const uint8_t *data)
{
	struct vdo_error e;

	ck_assert_int_eq(vdo_device_open_memory(VOLUME_BYTES, &o->device), 0);
	ck_assert_int_eq(vdo_format_device(o->device, c, &e), 0);
	ck_assert_int_eq(vdo_open_device(o->device, c, &o->volume, &e), 0);
	ck_assert_int_eq(vdo_pwrite(o->volume, data, DATA_BLOCKS * BLOCK_SIZE,
				    0, 0),
			 0);
}

static void close_one(struct opened *o)
{
	ck_assert_int_eq(vdo_close(o->volume), 0);
	vdo_device_close(o->device);
}

/* At once, or one after the other. */
START_TEST(test_closed_volumes)
{
	static struct opened all[VOLUMES];
	struct vdo_config *c = fixture_config(
		"profile=small logical-size=16M executor=inline "
		"depth=64 cache=1M");
	uint8_t *data = pattern_blocks(V_UNIQUE(1), DATA_BLOCKS);
	bool at_once = _i == 0;
	size_t before, used;

	/* What the first one leaves, such as libraries' tables, is not ours. */
	open_one(&all[0], c, data);
	close_one(&all[0]);
	before = unit_resident_bytes();
	for (unsigned i = 0; i < VOLUMES; i++) {
		open_one(&all[i], c, data);
		if (!at_once)
			close_one(&all[i]);
	}
	used = unit_resident_bytes() - before;
	for (unsigned i = 0; at_once && i < VOLUMES; i++)
		close_one(&all[i]);
	if (at_once)
		ck_assert_uint_gt(used, VOLUMES * DATA_BLOCKS * BLOCK_SIZE);
	ck_assert_msg(unit_resident_bytes() < before + ((size_t)48 << 20),
		      "%zu KiB of %zu KiB stayed",
		      (unit_resident_bytes() - before) / 1024, used / 1024);
	free(data);
	vdo_config_free(c);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("memory");

	tcase_add_loop_test(tc, test_closed_volumes, 0, 2);
	return unit_run();
}

#else

int main(void)
{
	return 77;
}

#endif
