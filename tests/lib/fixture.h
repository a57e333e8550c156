/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A volume under test, on any executor, from one source.
 *
 * The storage is always a simulated device, so that it can fail, hold back and
 * be looked into; the volume is always used through the public calls. With the
 * simulated executor handle_open() opens it, since no option asks for that one.
 *
 *	struct fixture f;
 *
 *	fixture_init(&f, _i, "size=16M");
 *	fixture_open(&f, "depth=16");
 *	fixture_write(&f, 0, 10, V_UNIQUE(1), 0);
 *	fixture_fini(&f);
 *
 * The fixture remembers what blocks must hold; fixture_close() closes, checks
 * the whole image (image.h) and every block, and asserts that there are no
 * problems. All failures are libcheck's.
 *
 * Options are words "name=value" with blanks between.
 *
 * Runs on: one thread; callbacks of struct pending on any.
 * Lifetime: fixture_init() to fixture_fini(), which closes.
 */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <vdo/vdo.h>

#include "tests/lib/image.h"
#include "tests/lib/pattern.h"
#include "tests/lib/sim_device.h"
#include "tests/lib/test_pool.h"
#include "tests/lib/unit.h"

enum fixture_where {
	WHERE_NATIVE,
	WHERE_POOL,
	WHERE_INLINE,
	WHERE_SIM,
};

struct fixture_kind {
	const char *name;
	enum fixture_where where;
	const char *options;
	struct test_pool_config pool;
	uint64_t seed;
};

extern const struct fixture_kind fixture_kinds[];
#define FIXTURE_KINDS 9
/* The number of a kind for tests of one executor. */
#define KIND_NATIVE 0
#define KIND_INLINE 5
#define KIND_SIM    6

struct fixture {
	const struct fixture_kind *kind;
	struct sim_device *sd;
	uint64_t block_count; /* of the device */
	struct vdo_device *device;
	struct test_pool *pool;
	struct vdo_volume *volume; /* NULL: closed */
	uint64_t logical_blocks;
	value_t *expect; /* by LBN */
	bool *unknown;	 /* LBNs not to be verified */
	bool no_check;	 /* do not check the image at close */
	uint64_t recovery_batch; /* entries, of volumes opened from now on with
				  * the simulated executor; or 0 */
	uint64_t counts_memory;	 /* bytes, as recovery_batch */
	unsigned reclaim_blocks; /* as recovery_batch */
	vdo_log_fn log;	 /* hears the volumes opened from now on, or NULL; any
			  * thread; its argument is the fixture */
	struct vdo_error error;
};

/* A volatile device of option size (default 32M), formatted: 15 slabs with 256
 * data blocks each, 2048 logical blocks. */
void fixture_init(struct fixture *f, int kind, const char *options);
/* The same, with a device of one's choice and nothing on it. */
void fixture_init_raw(struct fixture *f, int kind,
		      const struct sim_device_config *config);
int fixture_format(struct fixture *f, const char *options);

int fixture_try_open(struct fixture *f, const char *options);
void fixture_open(struct fixture *f, const char *options);
int fixture_try_close(struct fixture *f);
void fixture_close(struct fixture *f);
void fixture_abandon(struct fixture *f);
void fixture_reopen(struct fixture *f, const char *options);
void fixture_fini(struct fixture *f);

struct vdo_config *fixture_config(const char *options);

/* A vdo_log_fn that adds the line to fixture_log, which is emptied by
 * fixture_log[0] = '\0'. One thread at a time. */
extern char fixture_log[16384];
void fixture_keep_line(void *arg, enum vdo_log_level level, const char *line);

/* @count blocks of values @v, @v + 1 ... (zero stays zero); must succeed. */
void fixture_write(struct fixture *f, uint64_t lbn, uint64_t count, value_t v,
		   unsigned flags);
int fixture_try_write(struct fixture *f, uint64_t lbn, value_t v,
		      unsigned flags);
/* @count blocks of the same value. */
void fixture_repeat(struct fixture *f, uint64_t lbn, uint64_t count, value_t v,
		    unsigned flags);
void fixture_discard(struct fixture *f, uint64_t lbn, uint64_t count);
void fixture_flush(struct fixture *f);
/* Read and compare blocks, or all. */
void fixture_verify(struct fixture *f, uint64_t lbn, uint64_t count);
void fixture_verify_all(struct fixture *f);

uint64_t fixture_stat(struct fixture *f, const char *name);

/* Check the image as it is on the device; the number of problems. */
unsigned fixture_check_image(struct fixture *f);

/* Block @lbn, as @im has it, is what was written. */
void fixture_check_lbn(const struct fixture *f, struct image *im, uint64_t lbn);

/* Carry a read or write out on @bytes, a host's storage. */
void fixture_transfer(const struct vdo_device_io *io, uint8_t *bytes);
uint32_t fixture_state(struct fixture *f);
/* Of a volume that is not open: as if it had been left so. */
void fixture_set_state(struct fixture *f, enum volume_state state);

/* The power fails, or has failed, and comes back: the volume is gone. */
void fixture_lose_power(struct fixture *f);
void fixture_restore_power(struct fixture *f);

/* Some of everything, in an order that leaves much to the journal; flushed. */
void fixture_write_much(struct fixture *f);

/* Of all that is stored. */
uint64_t fixture_checksum(struct fixture *f);

/* Drive what needs it: one round without waiting. */
void fixture_poll(struct fixture *f);

/* An operation under way. The callback counts; pending_wait() waits. */
struct pending {
	struct fixture *f;
	unsigned calls;
	int result;
	uint64_t order; /* of completion, from 1 */
	uint8_t *buf;
};

void pending_done(void *arg, int result);
/* Forgets earlier calls. */
void pending_init(struct pending *p, struct fixture *f);
int pending_wait(struct pending *p);
bool pending_is_done(struct pending *p);

/* Start a write of one block of @v; expected from now on. */
void pending_write(struct pending *p, struct fixture *f, uint64_t lbn,
		   value_t v, unsigned flags);
void pending_flush(struct pending *p, struct fixture *f);

/* Wait until @cond holds, driving the volume. */
#define fixture_until(f, cond)                                                 \
	do {                                                                   \
		unsigned long rounds_ = 0;                                     \
                                                                               \
		while (!(cond)) {                                              \
			fixture_poll(f);                                       \
			ck_assert_msg(++rounds_ < 20000000, "never: %s",       \
				      #cond);                                  \
		}                                                              \
	} while (0)

#endif
