/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many operations in one call: vdo_aio_submit(), on all executors.
 */
#include "build.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/fixture.h"

#define B BLOCK_SIZE

/* Operations with their callbacks and memory. */
struct batch {
	struct vdo_op ops[100];
	struct pending ends[100];
	uint8_t *data;
	unsigned n;
};

static void batch_init(struct batch *b, struct fixture *f, unsigned n)
{
	memset(b, 0, sizeof(*b));
	b->n = n;
	b->data = calloc(n, B);
	for (unsigned i = 0; i < n; i++) {
		pending_init(&b->ends[i], f);
		b->ops[i].callback = pending_done;
		b->ops[i].arg = &b->ends[i];
	}
}

/* Operation @i writes value @v to block @lbn. */
static void batch_write(struct batch *b, struct fixture *f, unsigned i,
			uint64_t lbn, value_t v)
{
	b->ops[i].kind = VDO_OP_WRITE;
	b->ops[i].offset = lbn * B;
	b->ops[i].count = B;
	b->ops[i].buf = b->data + i * B;
	pattern_fill(v, b->ops[i].buf);
	f->expect[lbn] = v;
}

static void batch_read(struct batch *b, unsigned i, uint64_t lbn)
{
	b->ops[i].kind = VDO_OP_READ;
	b->ops[i].offset = lbn * B;
	b->ops[i].count = B;
	b->ops[i].buf = b->data + i * B;
}

/* The first @n end well, once each; the others were never called. */
static void batch_wait(struct batch *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(pending_wait(&b->ends[i]), 0);
	for (unsigned i = 0; i < b->n; i++)
		ck_assert_uint_eq(b->ends[i].calls, i < n);
}

static void batch_fini(struct batch *b)
{
	free(b->data);
}

/* All are taken, though there are more than requests; what they write is there,
 * and what they read is right. */
START_TEST(test_all_kinds)
{
	struct fixture f;
	struct batch b;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	batch_init(&b, &f, 100);
	for (unsigned i = 0; i < 100; i++)
		batch_write(&b, &f, i, 3 * i, V_UNIQUE(i % 40));
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 100), 100);
	batch_wait(&b, 100);
	batch_fini(&b);

	batch_init(&b, &f, 100);
	for (unsigned i = 0; i < 97; i++)
		batch_read(&b, i, 3 * i);
	b.ops[97] = (struct vdo_op){.kind = VDO_OP_FLUSH,
				    .callback = pending_done,
				    .arg = &b.ends[97]};
	b.ops[98] = (struct vdo_op){.kind = VDO_OP_DISCARD,
				    .flags = VDO_IO_FUA,
				    .offset = 400 * B,
				    .count = 20 * B,
				    .callback = pending_done,
				    .arg = &b.ends[98]};
	b.ops[99] = (struct vdo_op){.kind = VDO_OP_WRITE_ZEROES,
				    .offset = 298 * B,
				    .count = 5 * B,
				    .callback = pending_done,
				    .arg = &b.ends[99]};
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 100), 100);
	batch_wait(&b, 100);
	for (unsigned i = 0; i < 97; i++)
		ck_assert(pattern_is(f.expect[3 * i], b.data + i * B));
	batch_fini(&b);
	fixture_fini(&f);
}
END_TEST

/* The array and its vectors are the caller's again when the call returns. */
START_TEST(test_vectors)
{
	struct fixture f;
	struct batch b;
	struct iovec iov[20][3];
	uint8_t *data = pattern_blocks(V_UNIQUE(1), 40);

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	batch_init(&b, &f, 20);
	for (unsigned i = 0; i < 20; i++) {
		uint8_t *at = data + 2 * i * B;

		iov[i][0] = (struct iovec){at, 100};
		iov[i][1] = (struct iovec){at + 100, B};
		iov[i][2] = (struct iovec){at + 100 + B, B - 100};
		b.ops[i].kind = VDO_OP_WRITE;
		b.ops[i].offset = 2 * i * B;
		b.ops[i].iov = iov[i];
		b.ops[i].iovcnt = 3;
		f.expect[2 * i] = V_UNIQUE(1 + 2 * i);
		f.expect[2 * i + 1] = V_UNIQUE(2 + 2 * i);
	}
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 20), 20);
	memset(iov, 0xff, sizeof(iov));
	memset(b.ops, 0xff, sizeof(b.ops));
	batch_wait(&b, 20);
	batch_fini(&b);
	free(data);
	fixture_fini(&f);
}
END_TEST

struct refusal {
	struct vdo_op op;
	int error;
};

static char memory[2 * B];
static struct iovec some = {memory, B};

static const struct refusal refusals[] = {
	{{.kind = 0, .count = B}, -EINVAL},
	{{.kind = VDO_OP_COPY + 1, .count = B}, -EINVAL},
	{{.kind = VDO_OP_READ, .count = B}, -EFAULT},
	{{.kind = VDO_OP_WRITE, .count = B}, -EFAULT},
	{{.kind = VDO_OP_WRITE, .count = B, .buf = memory, .flags = 1u << 31},
	 -EINVAL},
	{{.kind = VDO_OP_WRITE, .count = B, .buf = memory, .offset = 7},
	 -EINVAL},
	{{.kind = VDO_OP_READ, .count = B, .buf = memory,
	  .offset = UINT64_C(1) << 60},
	 -ERANGE},
	{{.kind = VDO_OP_DISCARD, .count = UINT64_C(1) << 60}, -ERANGE},
	{{.kind = VDO_OP_DISCARD, .count = B, .buf = memory}, -EINVAL},
	{{.kind = VDO_OP_COPY, .count = B, .source = 512}, -EINVAL},
	{{.kind = VDO_OP_COPY, .count = B, .source = UINT64_C(1) << 60},
	 -ERANGE},
	{{.kind = VDO_OP_COPY, .count = B, .buf = memory, .source = B}, -EINVAL},
	{{.kind = VDO_OP_FLUSH, .iov = &some}, -EINVAL},
	{{.kind = VDO_OP_FLUSH, .iovcnt = 1}, -EINVAL},
	{{.kind = VDO_OP_READ, .iov = &some, .iovcnt = 1, .count = B}, -EINVAL},
	{{.kind = VDO_OP_READ, .iov = &some, .iovcnt = 1, .buf = memory},
	 -EINVAL},
	{{.kind = VDO_OP_READ, .iov = &some, .iovcnt = -1}, -EINVAL},
	{{.kind = VDO_OP_READ, .buf = memory, .count = B, .iovcnt = 1},
	 -EINVAL},
};

/* What comes before a bad operation is submitted, what comes after is not; and
 * alone it says what is wrong. Wherever it is in the array. */
START_TEST(test_refused)
{
	static const unsigned places[] = {0, 1, 15, 16, 17, 39};
	struct fixture f;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		unsigned at = places[i % ARRAY_SIZE(places)];
		struct batch b;

		batch_init(&b, &f, 40);
		for (unsigned k = 0; k < 40; k++)
			batch_read(&b, k, k);
		b.ops[at] = r->op;
		b.ops[at].callback = pending_done;
		b.ops[at].arg = &b.ends[at];
		ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 40),
				 at == 0 ? r->error : (int)at);
		ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops + at, 40 - at),
				 r->error);
		batch_wait(&b, at);
		batch_fini(&b);
	}
	fixture_fini(&f);
}
END_TEST

START_TEST(test_nothing)
{
	struct fixture f;
	struct batch b;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	batch_init(&b, &f, 2);
	batch_read(&b, 0, 0);
	batch_read(&b, 1, 1);
	b.ops[1].callback = NULL;
	ck_assert_int_eq(vdo_aio_submit(f.volume, NULL, 0), 0);
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 0), 0);
	ck_assert_int_eq(vdo_aio_submit(f.volume, NULL, 1), -EINVAL);
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, INT_MAX + 1u),
			 -EINVAL);
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 2), 1);
	batch_wait(&b, 1);
	batch_fini(&b);
	fixture_fini(&f);
}
END_TEST

static bool is_write(void *arg, const struct vdo_device_io *io)
{
	(void)arg;
	return io->op == VDO_DEVICE_WRITE;
}

/* NOWAIT is looked at for each operation: of 40 with 16 requests, 16 begin. */
START_TEST(test_nowait)
{
	struct fixture f;
	struct batch b;

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16 compression=off");
	sim_device_hold(f.sd, is_write, NULL);
	batch_init(&b, &f, 40);
	for (unsigned i = 0; i < 40; i++) {
		batch_write(&b, &f, i, i, V_UNIQUE(i));
		b.ops[i].flags = VDO_IO_NOWAIT | VDO_IO_FUA;
	}
	for (unsigned i = 16; i < 40; i++)
		f.expect[i] = 0;
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops, 40), 16);
	ck_assert_int_eq(vdo_aio_submit(f.volume, b.ops + 16, 24), -EAGAIN);
	sim_device_hold(f.sd, NULL, NULL);
	sim_device_release(f.sd);
	batch_wait(&b, 16);
	batch_fini(&b);
	fixture_fini(&f);
}
END_TEST

struct relay {
	struct fixture *f;
	struct batch *next;
	struct pending end;
	int submitted;
};

static void relay(void *arg, int result)
{
	struct relay *r = arg;

	r->submitted = vdo_aio_submit(r->f->volume, r->next->ops, r->next->n);
	pending_done(&r->end, result);
}

/* A callback may submit many. */
START_TEST(test_in_a_callback)
{
	struct fixture f;
	struct batch b;
	struct relay r = {.f = &f, .next = &b};

	fixture_init(&f, _i, "");
	fixture_open(&f, "depth=16");
	batch_init(&b, &f, 50);
	for (unsigned i = 0; i < 50; i++)
		batch_write(&b, &f, i, i, V_UNIQUE(i));
	pending_init(&r.end, &f);
	ck_assert_int_eq(vdo_aio_flush(f.volume, relay, &r, 0), 0);
	ck_assert_int_eq(pending_wait(&r.end), 0);
	ck_assert_int_eq(r.submitted, 50);
	batch_wait(&b, 50);
	batch_fini(&b);
	fixture_fini(&f);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("submit");

	tcase_add_loop_test(tc, test_all_kinds, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_vectors, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_refused, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_nothing, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_nowait, 0, FIXTURE_KINDS);
	tcase_add_loop_test(tc, test_in_a_callback, 0, FIXTURE_KINDS);
	return unit_run();
}
