/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash locks: blocks that can take no more references, and a random stress
 * against the rig's model of physical blocks.
 */
#include "build.h"

#include "tests/unit/dedupe_rig.h"

#include <errno.h>
#include <string.h>

/* -------------------------------------------------------------- roll-over */

/* One writer, so many who wait; how many of all blocks are there. */
static const struct {
	const char *name;
	unsigned ops;
	unsigned rich; /* that many have a block of their own */
	bool compressed;
	unsigned writes, shares, failed, rollovers;
} rolls[] = {
	{"all fit", 254, 254, false, 1, 253, 0, 0},
	{"one too many", 255, 255, false, 2, 253, 0, 1},
	{"two copies", 508, 508, false, 2, 506, 0, 1},
	{"three copies", 600, 600, false, 3, 597, 0, 2},
	{"compressed, all fit", 254, 254, true, 1, 253, 0, 0},
	{"compressed, one too many", 255, 255, true, 2, 253, 0, 1},
	{"compressed, three copies", 600, 600, true, 3, 597, 0, 2},
	{"full volume", 300, 1, false, 1, 253, 46, 1},
	{"room for two", 600, 2, false, 2, 506, 92, 2},
};

/* Do for all ops what they were told, until nobody has anything to do. */
static void carry_on(unsigned n, bool compressed, unsigned *writes,
		     unsigned *shares)
{
	bool busy = true;

	while (busy) {
		busy = false;
		for (unsigned i = 0; i < n; i++) {
			struct user *u = &users[i];
			enum dedupe_next next = u->next;

			*writes += next == DEDUPE_WRITE;
			*shares += next == DEDUPE_SHARE;
			if (next == DEDUPE_WRITE)
				event(compressed ? 'C' : 'W', u);
			else if (next == DEDUPE_SHARE)
				event('S', u);
			else if (next == DEDUPE_UNLOCK)
				event('U', u);
			else
				continue;
			busy = true;
			hand_run(&hand);
		}
		answers[0] = '\0';
	}
}

START_TEST(roll_over)
{
	unsigned writes = 0, shares = 0, failed;
	struct dedupe_stats s;

	set_up(true);
	for (unsigned i = 0; i < rolls[_i].ops; i++) {
		/* Only the last of those who wait has the second block. */
		unsigned from = rolls[_i].ops + 1 - rolls[_i].rich;

		if (i == 0 || i >= from)
			give_block(&users[i], &blocks[i]);
		enter(&users[i]);
	}
	answers[0] = '\0';
	carry_on(rolls[_i].ops, rolls[_i].compressed, &writes, &shares);
	failed = rolls[_i].ops - writes - shares;
	dedupe_get_stats(dedupe, &s);
	ck_assert_msg(writes == rolls[_i].writes, "%s: %u writes",
		      rolls[_i].name, writes);
	ck_assert_msg(shares == rolls[_i].shares, "%s: %u shares",
		      rolls[_i].name, shares);
	ck_assert_msg(failed == rolls[_i].failed, "%s: %u failed",
		      rolls[_i].name, failed);
	ck_assert_uint_eq(s.rollovers, rolls[_i].rollovers);
	for (unsigned i = 0; i < BLOCKS; i++)
		ck_assert_uint_le(blocks[i].refs, 254);
	tear_down();
}
END_TEST

/* ----------------------------------------------------------------- stress */

#define STRESS_OPS 60
#define STEPS	   30000

static uint64_t rng_state;

static unsigned rnd(unsigned n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (unsigned)(rng_state >> 20) % n;
}

/* Truth, staleness, rubbish and failure. */
static void stress_advice(struct advice_op *op)
{
	struct user *u = container_of(op, struct user, op.advice);
	struct mapping m = {FIRST_BLOCK + rnd(64), STATE_UNCOMPRESSED};

	for (unsigned i = 0; i < 64 && rnd(100) != 0; i++)
		if (blocks[i].content == (int)u->content)
			m.pbn = FIRST_BLOCK + i;
	op->found = op->request != ADVICE_UPDATE && rnd(4) != 0;
	if (rnd(20) == 0)
		op->done.result = -EIO;
	if (rnd(20) == 0)
		m.pbn = rnd(3000);
	if (rnd(20) == 0)
		m.state = (uint8_t)rnd(20);
	if (op->found)
		op->location = m;
}

static struct block *find_free(void)
{
	unsigned at = rnd(64);

	for (unsigned i = 0; i < 64; i++) {
		struct block *b = &blocks[(at + i) % 64];

		if (b->lock.holders == 0 && b->refs == 0)
			return b;
	}
	return NULL;
}

static void stress_enter(struct user *u)
{
	struct block *b = rnd(5) != 0 ? find_free() : NULL;

	u->content = rnd(CONTENTS);
	/* Of three contents each, all share a key and two a name. */
	memset(&u->op.name, 0, sizeof(u->op.name));
	u->op.name.hash.bytes[0] = (uint8_t)(u->content / 3);
	u->op.name.hash.bytes[15] = u->content % 3 != 0;
	u->op.private = rnd(20) == 0;
	u->op.alloc_lock = NULL;
	if (b != NULL)
		give_block(u, b);
	enter(u);
}

static void stress_write(struct user *u)
{
	if (rnd(4) == 0)
		park(u);
	else if (rnd(10) == 0)
		event('F', u);
	else
		event(rnd(3) == 0 ? 'C' : 'W', u);
}

static void stress_verify(struct user *u)
{
	struct block *b = block_at(u->op.candidate.pbn);

	if (rnd(15) == 0) {
		u->op.lock = lock_read(u->op.candidate.pbn);
		event('F', u);
		return;
	}
	verify(u, rnd(5) != 0, b->content == (int)u->content && rnd(10) != 0);
}

static void stress_step(struct user *u)
{
	if (u->waiting_io)
		return;
	switch (u->next) {
	case DEDUPE_LEAVE:
		stress_enter(u);
		break;
	case DEDUPE_VERIFY:
		stress_verify(u);
		break;
	case DEDUPE_WRITE:
		stress_write(u);
		break;
	case DEDUPE_SHARE:
		event(rnd(12) == 0 ? 'F' : 'S', u);
		break;
	case DEDUPE_UNLOCK:
		event('U', u);
		break;
	default:
		break; /* parked */
	}
}

/* I33, and I31: an agent that others wait for does not go to the packer. */
static void check_locks(void)
{
	const struct hash_zone *z = &dedupe->zones[0];
	unsigned members = 0, joined = 0;

	HOLDS(hash_zone_sane(z));
	for (unsigned i = 0; i < OPS; i++) {
		const struct hash_lock *l = &z->locks[i];

		if (l->state == LOCK_FREE)
			continue;
		members += l->member_count;
		if (l->state == LOCK_WRITING && !waitq_empty(&l->waiters))
			HOLDS(!pack_allowed(l->agent->pack));
	}
	for (unsigned i = 0; i < STRESS_OPS; i++)
		joined += users[i].op.hash_lock != NULL;
	HOLDS(joined == members);
}

static void stress_end(void)
{
	for (unsigned turn = 0; turn < 50; turn++) {
		pack_flush(packer, 0);
		hand_run(&hand);
		while (fake.pending_count > 0)
			advice_answer(0);
		hand_run(&hand);
		for (unsigned i = 0; i < STRESS_OPS; i++)
			if (users[i].next != DEDUPE_LEAVE)
				stress_step(&users[i]);
	}
	hand_run(&hand);
}

START_TEST(stress)
{
	struct dedupe_stats s;

	set_up(true);
	rng_state = 0x1234567u + 77 * (unsigned)_i;
	refs_max = 6;
	fake.decide = stress_advice;
	for (unsigned step = 0; step < STEPS; step++) {
		fake.async = rnd(2) == 0;
		stress_step(&users[rnd(STRESS_OPS)]);
		if (fake.pending_count > 0 && rnd(4) == 0)
			advice_answer(rnd(fake.pending_count));
		if (rnd(8) == 0)
			pack_flush(packer, 0);
		/* Overwrites elsewhere. */
		if (rnd(2) == 0) {
			struct block *b = &blocks[rnd(64)];

			if (b->refs > 0)
				b->refs--;
		}
		for (unsigned n = rnd(4); n > 0; n--)
			hand_run_one(&hand);
		answers[0] = '\0';
		check_locks();
	}
	stress_end();
	dedupe_get_stats(dedupe, &s);
	ck_assert_uint_gt(s.rollovers, 10);
	ck_assert_uint_gt(s.advice_valid, 10);
	ck_assert_uint_gt(s.advice_stale, 10);
	ck_assert_uint_gt(s.invalid_advice, 10);
	ck_assert_uint_gt(s.concurrent_matches, 10);
	ck_assert_uint_gt(s.concurrent_collisions, 10);
	tear_down();
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("hash lock, roll-over and stress");

	tcase_add_loop_test(tc, roll_over, 0, ARRAY_SIZE(rolls));
	tcase_add_loop_test(tc, stress, 0, 4);
	return unit_run();
}
