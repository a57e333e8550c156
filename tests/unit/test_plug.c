/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plug: what becomes one operation, in which order, and who is told what.
 *
 * The queue is run by hand, and so is the device: an operation that came to it
 * stays until the test completes it.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <string.h>

#include "exec/turn.h"
#include "io/device.h"
#include "io/mio.h"
#include "io/plug.h"
#include "tests/unit/hand_queue.h"

#define BLOCKS 2048u
#define LIMIT  8u /* blocks */
#define MIOS   1024u

static struct hand_queue queue;
static struct turn turn;
static struct storage storage;
static struct vdo_device device;

/* What is at the device, in the order in which it came. */
static struct vdo_device_io *at_device[MIOS];
static unsigned come;

static struct op {
	struct mio mio;
	unsigned char data[BLOCK_SIZE] __attribute__((aligned(BLOCK_SIZE)));
	int told; /* 1: not yet */
} ops[MIOS];
static unsigned started, told;

static unsigned char bytes[BLOCKS]; /* the first byte of each block */
static uint64_t bad;		    /* a block that fails; 0: none */

static void submit(void *ctx, struct vdo_device_io *io)
{
	ck_assert_uint_lt(come, MIOS);
	at_device[come++] = io;
}

static void op_done(struct completion *c)
{
	struct op *op = container_of(c, struct op, mio.done);

	ck_assert_int_eq(op->told, 1);
	op->told = c->result;
	told++;
}

static void set_up(void)
{
	hand_init(&queue);
	turn_init(&turn);
	queue.queue.turn = &turn;
	memset(&device, 0, sizeof(device));
	device.submit = submit;
	device.size_bytes = BLOCKS * BLOCK_SIZE;
	device.flags = VDO_DEVICE_VOLATILE_CACHE;
	storage_init(&storage, &device, 0);
	ck_assert_int_eq(plug_init(&storage, LIMIT * BLOCK_SIZE), 0);
	memset(bytes, 0, sizeof(bytes));
	bad = 0;
	come = started = told = 0;
}

static void tear_down(void)
{
	ck_assert(!turn_is_open(&turn));
	ck_assert_uint_eq(told, started);
	plug_fini(&storage);
	queue_running = NULL;
}

static struct op *new_op(void)
{
	struct op *op = &ops[started++];

	ck_assert_uint_le(started, MIOS);
	op->told = 1;
	completion_init(&op->mio.done, &queue.queue, op_done);
	return op;
}

static struct op *put(enum mio_kind kind, pbn_t pbn, unsigned char byte,
		      bool fua)
{
	struct op *op = new_op();

	memset(op->data, byte, BLOCK_SIZE);
	mio_write(&op->mio, &storage, kind, pbn, 1, op->data, fua);
	return op;
}

static struct op *get(pbn_t pbn)
{
	struct op *op = new_op();

	memset(op->data, 0xee, BLOCK_SIZE);
	mio_read(&op->mio, &storage, MIO_DATA, pbn, 1, op->data);
	return op;
}

static struct op *flush(void)
{
	struct op *op = new_op();

	mio_flush(&op->mio, &storage);
	return op;
}

static void end_turn(void)
{
	queue_running = NULL;
	turn_close(&turn);
	queue_running = &queue.queue;
}

static uint64_t first_of(const struct vdo_device_io *io)
{
	return io->offset / BLOCK_SIZE;
}

static uint64_t count_of(const struct vdo_device_io *io)
{
	return io->length / BLOCK_SIZE;
}

static int transfer(const struct vdo_device_io *io)
{
	uint64_t at = first_of(io);

	if (io->op == VDO_DEVICE_FLUSH)
		return 0;
	if (bad >= at && bad < at + count_of(io) && bad != 0)
		return -EIO;
	for (unsigned i = 0; i < io->iov_count; i++) {
		unsigned char *p = io->iov[i].iov_base;

		for (size_t n = 0; n < io->iov[i].iov_len; n += BLOCK_SIZE) {
			if (io->op == VDO_DEVICE_WRITE)
				bytes[at] = p[n];
			else
				memset(p + n, bytes[at], BLOCK_SIZE);
			at++;
		}
	}
	ck_assert_uint_eq(at, first_of(io) + count_of(io));
	return 0;
}

/* Complete all that is at the device, also what that brings about. */
static void complete_all(void)
{
	while (come > 0) {
		struct vdo_device_io *now[MIOS];
		unsigned n = come;

		memcpy(now, at_device, n * sizeof(*now));
		come = 0;
		queue_running = NULL;
		for (unsigned i = 0; i < n; i++)
			now[i]->complete(now[i], transfer(now[i]));
		queue_running = &queue.queue;
		hand_run(&queue);
	}
}

static void expect(unsigned i, enum vdo_device_op op, uint64_t first,
		   uint64_t count)
{
	ck_assert_uint_lt(i, come);
	ck_assert_int_eq(at_device[i]->op, op);
	ck_assert_uint_eq(first_of(at_device[i]), first);
	ck_assert_uint_eq(count_of(at_device[i]), count);
}

START_TEST(neighbours_are_one)
{
	struct storage_totals totals;

	set_up();
	put(MIO_DATA, 12, 2, false);
	put(MIO_SLAB, 11, 1, false);
	put(MIO_MAP, 13, 3, false);
	put(MIO_DATA, 15, 5, false);
	ck_assert_uint_eq(come, 0);
	end_turn();
	ck_assert_uint_eq(come, 2);
	expect(0, VDO_DEVICE_WRITE, 11, 3);
	expect(1, VDO_DEVICE_WRITE, 15, 1);
	ck_assert_uint_eq(told, 0);
	complete_all();
	ck_assert_uint_eq(told, 4);
	for (unsigned i = 0; i < started; i++)
		ck_assert_int_eq(ops[i].told, 0);
	ck_assert_mem_eq(bytes + 11, "\1\2\3\0\5", 5);
	storage_get_totals(&storage, &totals);
	ck_assert_uint_eq(totals.writes, 2);
	ck_assert_uint_eq(totals.blocks_written, 4);
	tear_down();
}
END_TEST

START_TEST(alone_is_untouched)
{
	struct op *op;

	set_up();
	op = put(MIO_DATA, 7, 1, false);
	end_turn();
	ck_assert_uint_eq(come, 1);
	ck_assert_ptr_eq(at_device[0], &op->mio.io);
	complete_all();
	tear_down();
}
END_TEST

START_TEST(up_to_the_limit)
{
	set_up();
	for (pbn_t pbn = 3 * LIMIT; pbn > 0; pbn--)
		put(MIO_DATA, pbn, (unsigned char)pbn, false);
	end_turn();
	ck_assert_uint_eq(come, 3);
	for (unsigned i = 0; i < 3; i++)
		expect(i, VDO_DEVICE_WRITE, 1 + i * LIMIT, LIMIT);
	complete_all();
	for (unsigned i = 1; i <= 3 * LIMIT; i++)
		ck_assert_uint_eq(bytes[i], i);
	tear_down();
}
END_TEST

/* More than is collected, and more bundles than there are, at random places. */
START_TEST(many_at_random)
{
	unsigned order[MIOS];
	uint32_t random = 1;

	set_up();
	for (unsigned i = 0; i < MIOS; i++)
		order[i] = i;
	for (unsigned i = MIOS - 1; i > 0; i--) {
		unsigned j = (random = random * 1664525u + 1013904223u) >> 8;
		unsigned other = order[j % (i + 1)];

		order[j % (i + 1)] = order[i];
		order[i] = other;
	}
	for (unsigned i = 0; i < MIOS; i++)
		put(MIO_DATA, order[i] + 1, (unsigned char)(order[i] * 7), false);
	ck_assert_uint_gt(come, 0);
	end_turn();
	ck_assert_uint_lt(come, MIOS);
	complete_all();
	for (unsigned i = 0; i < MIOS; i++)
		ck_assert_uint_eq(bytes[i + 1], (unsigned char)(i * 7));
	tear_down();
}
END_TEST

START_TEST(reads_and_writes_apart)
{
	set_up();
	bytes[2] = 9;
	put(MIO_DATA, 1, 1, false);
	get(2);
	put(MIO_DATA, 3, 3, false);
	end_turn();
	ck_assert_uint_eq(come, 3);
	complete_all();
	ck_assert_uint_eq(ops[1].data[0], 9);
	tear_down();
}
END_TEST

/* As the fragments of one compressed block. */
START_TEST(same_block_is_read_once)
{
	struct storage_totals totals;

	set_up();
	bytes[5] = 55;
	bytes[6] = 66;
	get(5);
	get(6);
	get(5);
	get(5);
	get(6);
	end_turn();
	ck_assert_uint_eq(come, 1);
	expect(0, VDO_DEVICE_READ, 5, 2);
	ck_assert_uint_eq(at_device[0]->iov_count, 2);
	complete_all();
	for (unsigned i = 0; i < started; i++) {
		ck_assert_int_eq(ops[i].told, 0);
		ck_assert_uint_eq(ops[i].data[BLOCK_SIZE - 1],
				  i == 1 || i == 4 ? 66 : 55);
	}
	storage_get_totals(&storage, &totals);
	ck_assert_uint_eq(totals.reads, 1);
	tear_down();
}
END_TEST

/* Of writes to one block the last one stays, and a read between sees the one
 * before it. */
START_TEST(overlap_keeps_its_order)
{
	set_up();
	put(MIO_DATA, 21, 1, false);
	put(MIO_DATA, 20, 1, false);
	put(MIO_DATA, 20, 2, false);
	get(20);
	put(MIO_DATA, 20, 3, false);
	end_turn();
	ck_assert_uint_eq(come, 5);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_ptr_eq(at_device[i], &ops[i].mio.io);
	complete_all();
	ck_assert_uint_eq(bytes[20], 3);
	ck_assert_uint_eq(ops[3].data[0], 2);
	tear_down();
}
END_TEST

START_TEST(journal_and_super_block_go_at_once)
{
	set_up();
	put(MIO_DATA, 1, 1, false);
	put(MIO_JOURNAL, 2, 2, false);
	put(MIO_SUPER, 3, 3, false);
	ck_assert_uint_eq(come, 2);
	expect(0, VDO_DEVICE_WRITE, 2, 1);
	expect(1, VDO_DEVICE_WRITE, 3, 1);
	end_turn();
	ck_assert_uint_eq(come, 3);
	complete_all();
	tear_down();
}
END_TEST

START_TEST(fua_is_not_merged)
{
	set_up();
	put(MIO_MAP, 1, 1, false);
	put(MIO_MAP, 2, 2, true);
	put(MIO_MAP, 3, 3, false);
	end_turn();
	ck_assert_uint_eq(come, 3);
	for (unsigned i = 0; i < 3; i++) {
		expect(i, VDO_DEVICE_WRITE, i + 1, 1);
		ck_assert_uint_eq(at_device[i]->flags,
				  i == 1 ? VDO_DEVICE_FUA : 0);
	}
	complete_all();
	tear_down();
}
END_TEST

START_TEST(flush_comes_after)
{
	set_up();
	put(MIO_DATA, 1, 1, false);
	put(MIO_DATA, 2, 2, false);
	flush();
	put(MIO_DATA, 3, 3, false);
	end_turn();
	ck_assert_uint_eq(come, 3);
	expect(0, VDO_DEVICE_WRITE, 1, 2);
	ck_assert_int_eq(at_device[1]->op, VDO_DEVICE_FLUSH);
	expect(2, VDO_DEVICE_WRITE, 3, 1);
	complete_all();
	tear_down();
}
END_TEST

/* One block of four is bad: the others do not learn of it. */
START_TEST(each_is_told_its_own)
{
	set_up();
	bad = 32;
	for (pbn_t pbn = 30; pbn < 34; pbn++)
		_i == 0 ? put(MIO_DATA, pbn, (unsigned char)pbn, false)
			: get(pbn);
	bytes[33] = 33;
	end_turn();
	ck_assert_uint_eq(come, 1);
	complete_all();
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(ops[i].told, i == 2 ? -EIO : 0);
	ck_assert_uint_eq(bytes[33], 33);
	if (_i == 0)
		ck_assert_uint_eq(bytes[30], 30);
	else
		ck_assert_uint_eq(ops[3].data[0], 33);
	tear_down();
}
END_TEST

/* A device that says how much it did, which it must not: that is an error, and
 * each is done again. */
START_TEST(short_operation_is_done_again)
{
	set_up();
	put(MIO_DATA, 1, 1, false);
	put(MIO_DATA, 2, 2, false);
	end_turn();
	ck_assert_uint_eq(come, 1);
	come = 0;
	bytes[1] = 1;
	queue_running = NULL;
	at_device[0]->complete(at_device[0], BLOCK_SIZE);
	queue_running = &queue.queue;
	hand_run(&queue);
	ck_assert_uint_eq(told, 0);
	ck_assert_uint_eq(come, 2);
	complete_all();
	ck_assert_uint_eq(bytes[2], 2);
	ck_assert_int_eq(ops[0].told, 0);
	ck_assert_int_eq(ops[1].told, 0);
	tear_down();
}
END_TEST

/* I42: also what waits for the end of the turn, or is to be done again. */
START_TEST(read_only_comes_meanwhile)
{
	set_up();
	bad = 2;
	put(MIO_DATA, 1, 1, false);
	put(MIO_DATA, 2, 2, false);
	end_turn();
	put(MIO_DATA, 3, 3, false);
	put(MIO_DATA, 4, 4, false);
	put(MIO_DATA, 6, 6, false);
	get(9);
	get(10);
	storage_set_read_only(&storage);
	end_turn();
	ck_assert_uint_eq(come, 2);
	expect(1, VDO_DEVICE_READ, 9, 2);
	complete_all();
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(ops[i].told, -VDO_EREADONLY);
	ck_assert_int_eq(ops[5].told, 0);
	ck_assert_int_eq(ops[6].told, 0);
	tear_down();
}
END_TEST

/* What O_DIRECT can take must not go the slower way for a neighbour's sake. */
START_TEST(unaligned_memory_stays_apart)
{
	static unsigned char odd[BLOCK_SIZE + 16];
	struct op *op;

	set_up();
	get(1);
	op = new_op();
	mio_read(&op->mio, &storage, MIO_DATA, 2, 1, odd + 16);
	get(3);
	end_turn();
	ck_assert_uint_eq(come, 3);
	complete_all();
	tear_down();
}
END_TEST

static struct hand_queue other;

/* Each is told on its own queue. */
START_TEST(homes_are_kept)
{
	set_up();
	hand_init(&other);
	queue_running = &queue.queue;
	for (unsigned i = 0; i < 6; i++) {
		struct op *op = new_op();

		completion_init(&op->mio.done,
				i % 2 ? &other.queue : &queue.queue, op_done);
		mio_write(&op->mio, &storage, MIO_DATA, 10 + i, 1, op->data,
			  false);
	}
	end_turn();
	ck_assert_uint_eq(come, 1);
	complete_all();
	ck_assert_uint_eq(told, 3);
	ck_assert_uint_eq(other.count, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_ptr_eq(other.posted[i], &ops[2 * i + 1].mio.done);
	hand_run(&other);
	tear_down();
}
END_TEST

START_TEST(nothing_is_merged)
{
	set_up();
	plug_fini(&storage);
	if (_i == 0)
		ck_assert_int_eq(plug_init(&storage, 0), 0);
	else
		device.immediate = true;
	if (_i == 1)
		ck_assert_int_eq(plug_init(&storage, 1 << 20), 0);
	put(MIO_DATA, 1, 1, false);
	put(MIO_DATA, 2, 2, false);
	ck_assert_uint_eq(come, 2);
	complete_all();
	tear_down();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("plug");

	tcase_add_test(tc, neighbours_are_one);
	tcase_add_test(tc, alone_is_untouched);
	tcase_add_test(tc, up_to_the_limit);
	tcase_add_test(tc, many_at_random);
	tcase_add_test(tc, reads_and_writes_apart);
	tcase_add_test(tc, same_block_is_read_once);
	tcase_add_test(tc, overlap_keeps_its_order);
	tcase_add_test(tc, journal_and_super_block_go_at_once);
	tcase_add_test(tc, fua_is_not_merged);
	tcase_add_test(tc, flush_comes_after);
	tcase_add_loop_test(tc, each_is_told_its_own, 0, 2);
	tcase_add_test(tc, short_operation_is_done_again);
	tcase_add_test(tc, read_only_comes_meanwhile);
	tcase_add_test(tc, unaligned_memory_stays_apart);
	tcase_add_test(tc, homes_are_kept);
	tcase_add_loop_test(tc, nothing_is_merged, 0, 2);
	return unit_run();
}
