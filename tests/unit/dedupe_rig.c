/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rig of the hash lock tests.
 */
#include "build.h"

#include "tests/unit/dedupe_rig.h"

#include <stdio.h>
#include <string.h>

#include "pack/pack_priv.h"

struct hand_queue hand;
struct dedupe *dedupe;
struct packer *packer;
struct user users[OPS];
struct block blocks[BLOCKS];
static uint8_t data[CONTENTS][BLOCK_SIZE];
unsigned refs_max = 254;

char answers[16 * OPS];

static struct block *block_of(const struct pbn_lock *lock)
{
	return container_of((struct pbn_lock *)lock, struct block, lock);
}

struct block *block_at(pbn_t pbn)
{
	HOLDS(pbn >= FIRST_BLOCK);
	HOLDS(pbn < FIRST_BLOCK + BLOCKS);
	return &blocks[pbn - FIRST_BLOCK];
}

static unsigned number_of(const struct user *u)
{
	return (unsigned)(u - users);
}

/* ------------------------------------------------------------------ fakes */

struct fake_advice fake;

bool pbnlock_is_read(const struct pbn_lock *lock)
{
	return lock->type == PBN_LOCK_READ;
}

bool pbnlock_claim(struct pbn_lock *lock)
{
	HOLDS(lock->type == PBN_LOCK_READ);
	HOLDS(lock->holders > 0);
	if (block_of(lock)->granted >= lock->limit)
		return false;
	block_of(lock)->granted++;
	return true;
}

static void answer(struct advice_op *op)
{
	op->found = false;
	op->done.result = fake.result;
	if (fake.decide != NULL) {
		fake.decide(op);
	} else if (op->request != ADVICE_UPDATE && fake.found) {
		op->found = true;
		op->location = fake.answer;
	}
}

void advice_prefetch(const struct advice *a, unsigned zone,
		     const struct index_name *name)
{
}

unsigned advice_set_name(const struct advice *a, struct index_name *name,
			 const struct hash128 *hash)
{
	return 0;
}

bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
{
	struct user *u = container_of(op, struct user, op.advice);

	HOLDS(zone == 0);
	ck_assert_ptr_eq(op->name, &u->op.name);
	fake.log[fake.count++ % OPS] = "PQU"[op->request];
	if (op->request == ADVICE_UPDATE) {
		/* I34 */
		HOLDS(u->op.hash_lock->registered);
		for (unsigned i = 0; i < fake.pending_count; i++) {
			struct user *o = container_of(fake.pending[i],
						      struct user, op.advice);

			HOLDS(o->op.hash_lock != u->op.hash_lock);
		}
	} else if (op->request == ADVICE_POST) {
		HOLDS(op->location.pbn == u->op.allocation.pbn);
	}
	if (!fake.async) {
		answer(op);
		return true;
	}
	fake.pending[fake.pending_count++] = op;
	return false;
}

void advice_answer(unsigned i)
{
	struct advice_op *op = fake.pending[i];

	fake.pending[i] = fake.pending[--fake.pending_count];
	answer(op);
	completion_post(&op->done);
}

/* -------------------------------------------------------------------- rig */

static void note(const char *fmt, unsigned number, char what)
{
	size_t n = strlen(answers);

	snprintf(answers + n, sizeof(answers) - n, fmt, what, number);
}

static const char letters[] = {
	[DEDUPE_PARKED] = 'p', [DEDUPE_VERIFY] = 'v',
	[DEDUPE_WRITE] = 'w',  [DEDUPE_WRITE_ALONE] = 'a',
	[DEDUPE_SHARE] = 's',  [DEDUPE_UNLOCK] = 'u',
	[DEDUPE_LEAVE] = 'l',  [DEDUPE_FAIL] = 'f',
};

/* One holder less, as in the zone of the block. */
void unlock_block(struct pbn_lock *lock)
{
	struct block *b = block_of(lock);

	HOLDS(lock->holders > 0);
	if (--lock->holders > 0)
		return;
	/* I18: everybody who shared had claimed, and all who claimed shared. */
	HOLDS(b->granted == b->shares);
	b->granted = 0;
	b->shares = 0;
}

/* The op was told something. */
static void told(struct user *u, enum dedupe_next next)
{
	struct dedupe_op *op = &u->op;
	struct block *b;

	u->next = next;
	u->waiting_io = false;
	switch (next) {
	case DEDUPE_SHARE:
		b = block_at(op->location.pbn);
		b->shares++;
		/* I20 */
		HOLDS(b->lock.holders > 0);
		HOLDS(b->content == (int)u->content);
		HOLDS(op->lock == NULL);
		break;
	case DEDUPE_VERIFY:
		HOLDS(op->lock == NULL);
		break;
	case DEDUPE_UNLOCK:
		HOLDS(op->lock != NULL);
		break;
	case DEDUPE_WRITE:
	case DEDUPE_WRITE_ALONE:
		HOLDS(op->alloc_lock != NULL);
		HOLDS(op->alloc_lock->type == PBN_LOCK_WRITE);
		break;
	default:
		break;
	}
	if (next != DEDUPE_WRITE_ALONE && next != DEDUPE_LEAVE &&
	    next != DEDUPE_FAIL) {
		HOLDS(op->hash_lock != NULL);
		return;
	}
	HOLDS(op->hash_lock == NULL);
	if (next == DEDUPE_FAIL)
		HOLDS(op->alloc_lock == NULL);
	/* Clean up. */
	if (op->alloc_lock != NULL)
		unlock_block(op->alloc_lock);
	op->alloc_lock = NULL;
	u->next = DEDUPE_LEAVE;
}

static void op_done(struct completion *c)
{
	struct user *u = container_of(c, struct user, op.done);

	note("%c%u", number_of(u), letters[u->op.next]);
	told(u, u->op.next);
}

static void pack_done(struct completion *c)
{
	struct user *u = container_of(c, struct user, pack.done);

	u->waiting_io = false;
	note("%c%u", number_of(u), u->pack.verdict == PACK_ALONE ? 'o' : 'O');
	/* What they would do with their block does not matter here. */
	for (struct pack_op *m; (m = pack_next_member(&u->pack)) != NULL;)
		completion_post(&m->done);
}

static void result(struct user *u, enum dedupe_next next)
{
	note("%c", 0, letters[next]);
	told(u, next);
}

void set_up(bool enabled)
{
	static struct queue *queues[1];
	static const struct slab_geometry slabs = {
		.first_block = FIRST_BLOCK,
		.slab_shift = 10,
		.slab_count = 1,
		.data_blocks = BLOCKS,
	};
	struct packer_config pc = {
		.queue = &hand.queue, .bin_count = 4, .enabled = true};
	struct dedupe_config c = {
		.zone_count = 1,
		.queues = queues,
		.slabs = &slabs,
		.locks_max = OPS,
		.enabled = enabled,
	};

	hand_init(&hand);
	queues[0] = &hand.queue;
	memset(users, 0, sizeof(users));
	memset(&fake, 0, sizeof(fake));
	memset(blocks, 0, sizeof(blocks));
	answers[0] = '\0';
	refs_max = 254;
	for (unsigned i = 0; i < CONTENTS; i++)
		memset(data[i], (int)i + 1, BLOCK_SIZE);
	for (unsigned i = 0; i < BLOCKS; i++) {
		blocks[i].lock.pbn = FIRST_BLOCK + i;
		blocks[i].content = -1;
	}
	for (unsigned i = 0; i < OPS; i++)
		users[i].next = DEDUPE_LEAVE;
	ck_assert_int_eq(packer_create(&pc, &packer), 0);
	c.packer = packer;
	ck_assert_int_eq(dedupe_create(&c, &dedupe), 0);
}

void tear_down(void)
{
	struct dedupe_stats s;
	unsigned unused = 0;

	ck_assert_uint_eq(hand.count, 0);
	for (unsigned i = 0; i < OPS; i++) {
		ck_assert_int_eq(users[i].next, DEDUPE_LEAVE);
		ck_assert_ptr_null(users[i].op.hash_lock);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		ck_assert_uint_eq(blocks[i].lock.holders, 0);
	for (struct hash_lock *l = dedupe->zones[0].free; l; l = l->next_free)
		unused++;
	ck_assert_uint_eq(unused, dedupe->zones[0].used);
	ck_assert_uint_eq(dedupe->zones[0].map.count, 0);
	dedupe_get_stats(dedupe, &s);
	ck_assert_uint_eq(s.queries_pending, 0);
	dedupe_destroy(dedupe);
	packer_destroy(packer);
}

void give_block(struct user *u, struct block *b)
{
	HOLDS(b->lock.holders == 0);
	b->lock.holders = 1;
	b->lock.type = PBN_LOCK_WRITE;
	b->content = -1;
	u->op.alloc_lock = &b->lock;
	u->op.allocation = (struct mapping){b->lock.pbn, STATE_UNCOMPRESSED};
}

void enter(struct user *u)
{
	u->op.data = data[u->content];
	u->op.pack = &u->pack;
	pack_op_reset(&u->pack);
	completion_init(&u->op.done, &hand.queue, op_done);
	HOLDS(u->next == DEDUPE_LEAVE);
	result(u, dedupe_enter(dedupe, 0, &u->op));
}

struct pbn_lock *lock_read(pbn_t pbn)
{
	struct block *b = block_at(pbn);

	if (b->lock.holders == 0) {
		b->lock.type = PBN_LOCK_READ;
		b->lock.limit = (uint8_t)(refs_max - b->refs);
		b->granted = b->shares = 0;
	}
	if (b->lock.type != PBN_LOCK_READ || b->granted >= b->lock.limit)
		return NULL;
	b->lock.holders++;
	return &b->lock;
}

void verify(struct user *u, bool lock, bool equal)
{
	HOLDS(u->next == DEDUPE_VERIFY);
	if (lock)
		u->op.lock = lock_read(u->op.candidate.pbn);
	result(u, dedupe_verified(dedupe, 0, &u->op, equal && u->op.lock));
}

static void downgrade(struct block *b, unsigned limit)
{
	b->lock.type = PBN_LOCK_READ;
	b->lock.limit = (uint8_t)limit;
	b->granted = b->shares = 0;
}

static void store_plain(struct user *u)
{
	struct block *b = block_of(u->op.alloc_lock);

	b->content = (int)u->content;
	b->refs = 1;
	downgrade(b, refs_max - 1);
	u->op.location = u->op.allocation;
}

/* As the lead of a compressed block whose other fragments do not matter. */
static void store_compressed(struct user *u)
{
	struct block *b = block_of(u->op.alloc_lock);

	b->content = (int)u->content;
	b->refs = 1;
	downgrade(b, refs_max);
	b->granted = b->shares = 1;
	b->lock.holders++;
	u->op.lock = &b->lock;
	u->op.location = (struct mapping){b->lock.pbn, STATE_FRAGMENT_0};
}

static void written(struct user *u)
{
	HOLDS(u->next == DEDUPE_WRITE);
	result(u, dedupe_written(dedupe, 0, &u->op));
}

static void shared(struct user *u)
{
	struct block *b = block_at(u->op.location.pbn);

	HOLDS(u->next == DEDUPE_SHARE);
	/* I20: the lock was held all the time. */
	HOLDS(b->lock.holders > 0);
	HOLDS(b->content == (int)u->content);
	b->refs++;
	HOLDS(b->refs <= refs_max);
	result(u, dedupe_shared(dedupe, 0, &u->op));
}

static void unlocked(struct user *u)
{
	HOLDS(u->next == DEDUPE_UNLOCK);
	unlock_block(u->op.lock);
	u->op.lock = NULL;
	result(u, dedupe_unlocked(dedupe, 0, &u->op));
}

void park(struct user *u)
{
	HOLDS(u->next == DEDUPE_WRITE);
	u->pack.size = 500;
	completion_init(&u->pack.done, &hand.queue, pack_done);
	if ((atomic_load(&u->pack.status) & STAGE_MASK) != STAGE_BEFORE ||
	    !pack_status_advance(&u->pack, STAGE_COMPRESSING))
		return;
	u->waiting_io = true;
	pack_submit(packer, &u->pack);
}

void event(char what, struct user *u)
{
	switch (what) {
	case 'e':
		enter(u);
		break;
	case 'V':
	case 'D':
	case 'N':
		verify(u, what != 'N', what == 'V');
		break;
	case 'W':
		store_plain(u);
		written(u);
		break;
	case 'C':
		store_compressed(u);
		written(u);
		break;
	case 'S':
		shared(u);
		break;
	case 'U':
		unlocked(u);
		break;
	case 'F':
		result(u, dedupe_failed(dedupe, 0, &u->op));
		break;
	case 'k':
		park(u);
		break;
	case 'q':
		advice_answer(0);
		break;
	default:
		ck_abort_msg("event %c", what);
	}
}
