/*
 * Hash locks: scripts for states and events, roll-over, and a random stress
 * against a model of physical blocks.
 *
 * Advice and claims are this file's own (it defines advice_start() and
 * pbn_lock_claim()), packer and hash zone are real. Everything runs on one
 * queue, by hand.
 *
 * A script is a list of "event=answers". Events are a letter and an op:
 *
 *	e enter         V verified, equal     D verified, different
 *	N no lock       W written             C written compressed
 *	S shared        U unlocked            F failed
 *	k parks in the packer                 q the index answers (no op)
 *
 * Answers are what each op is told, the caller first (its number is left out),
 * then the others in order:
 *
 *	p parked  v verify  w write  a write alone  s share  u unlock  l leave
 *	f fail    o out of the packer
 */
#include "config.h"

#include "dedupe/dedupe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "dedupe/dedupe_priv.h"
#include "pack/pack_priv.h"
#include "tests/lib/unit.h"
#include "tests/unit/hand_queue.h"

#define OPS	    700
#define FIRST_BLOCK 1000
#define BLOCKS	    1024
#define CONTENTS    30

/* For what is checked very often: libcheck's own notes each success. */
#define HOLDS(e)                                \
	do {                                    \
		if (unlikely(!(e)))             \
			ck_abort_msg("%s", #e); \
	} while (0)

struct user {
	struct dedupe_op op;
	struct pack_op pack;
	unsigned content;
	enum dedupe_next next; /* LEAVE: idle */
	bool waiting_io;       /* in the packer */
	bool from_verify;
};

/* A physical block; its lock is in use while it has holders. */
struct block {
	struct pbn_lock lock;
	unsigned refs;
	unsigned granted; /* claims since it was locked */
	unsigned shares;  /* ops told to share, since then */
	int content;
};

static struct hand_queue hand;
static struct dedupe *dedupe;
static struct packer *packer;
static struct user users[OPS];
static struct block blocks[BLOCKS];
static uint8_t data[CONTENTS][BLOCK_SIZE];
static unsigned refs_max = 254;

/* What happened since the last look. */
static char answers[16 * OPS];

static struct block *block_of(const struct pbn_lock *lock)
{
	return container_of((struct pbn_lock *)lock, struct block, lock);
}

static struct block *block_at(pbn_t pbn)
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

static struct {
	struct mapping answer;
	bool found;
	bool async;
	int result;
	char log[OPS];
	unsigned count;
	struct advice_op *pending[OPS];
	unsigned pending_count;
	void (*decide)(struct advice_op *op); /* instead of answer */
} fake;

bool pbn_lock_claim(struct pbn_lock *lock)
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

bool advice_start(struct advice *a, unsigned zone, struct advice_op *op)
{
	struct user *u = container_of(op, struct user, op.advice);

	HOLDS(zone == 0);
	ck_assert_mem_eq(&op->name, &u->op.name, sizeof(op->name));
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

static void advice_answer(unsigned i)
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
static void unlock_block(struct pbn_lock *lock)
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

static void set_up(bool enabled)
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

/* Everybody is gone, and so is every lock. */
static void tear_down(void)
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
	ck_assert_uint_eq(unused, OPS);
	ck_assert_uint_eq(dedupe->zones[0].map.count, 0);
	dedupe_get_stats(dedupe, &s);
	ck_assert_uint_eq(s.queries_pending, 0);
	dedupe_destroy(dedupe);
	packer_destroy(packer);
}

static void give_block(struct user *u, struct block *b)
{
	HOLDS(b->lock.holders == 0);
	b->lock.holders = 1;
	b->lock.type = PBN_LOCK_WRITE;
	b->content = -1;
	u->op.alloc_lock = &b->lock;
	u->op.allocation = (struct mapping){b->lock.pbn, STATE_UNCOMPRESSED};
}

static void enter(struct user *u)
{
	u->op.data = data[u->content];
	u->op.pack = &u->pack;
	pack_op_reset(&u->pack);
	completion_init(&u->op.done, &hand.queue, op_done);
	HOLDS(u->next == DEDUPE_LEAVE);
	result(u, dedupe_enter(dedupe, 0, &u->op));
}

static struct pbn_lock *lock_read(pbn_t pbn)
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

static void verify(struct user *u, bool lock, bool equal)
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

static void park(struct user *u)
{
	HOLDS(u->next == DEDUPE_WRITE);
	u->pack.size = 500;
	completion_init(&u->pack.done, &hand.queue, pack_done);
	if ((atomic_load(&u->pack.status) & STAGE_MASK) != STAGE_BEFORE ||
	    !status_advance(&u->pack, STAGE_COMPRESSING))
		return;
	u->waiting_io = true;
	pack_submit(packer, &u->pack);
}

static void event(char what, struct user *u)
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

/* ---------------------------------------------------------------- scripts */

/*
 * Ops 0 to 6 have the same data, 7 the same name and other data, 8 the same key
 * and another name. KNOWN is block 900 with the data; it can take "room" more
 * references.
 */
enum answer_kind {
	NONE,	/* not found */
	KNOWN,	/* block 900 */
	BROKEN, /* the index failed */
	STATE0, /* nonsense of four kinds */
	PBN0,
	STATE99,
	FAR,
	OWN, /* the block op 0 is going to write to */
};

#define KNOWN_BLOCK 900u
#define NOBODY	    0
#define ALL	    0x1ff

static const struct {
	const char *script;
	const char *asked; /* of the index */
	enum answer_kind answer;
	bool async;
	uint16_t poor;	  /* ops without a block of their own */
	uint16_t private; /* ops that keep to themselves */
	uint8_t room;	  /* 0: enough */
	bool off;	  /* advice is not used */
	/* Counters: valid, stale, matches, collisions, invalid, rollovers. */
	unsigned counts[6];
} scripts[] = {
	/* New data. */
	{"e0=w W0=l", "P", .answer = NONE},
	{"e0=p q=w0 W0=l", "P", .answer = NONE, .async = true},
	{"e0=f", "Q", .answer = NONE, .poor = 1},
	{"e0=p q=f0", "Q", .answer = NONE, .async = true, .poor = 1},
	{"e0=w W0=l", "P", .answer = BROKEN},
	{"e0=w C0=u U0=l", "PU", .answer = NONE},
	{"e0=p q=w0 C0=p q=u0 U0=l", "PU", .answer = NONE, .async = true},
	/* Known data. */
	{"e0=v V0=s S0=u U0=l", "P", .answer = KNOWN, .counts = {1}},
	{"e0=p q=v0 V0=s S0=u U0=l", "P", .answer = KNOWN, .async = true,
	 .counts = {1}},
	{"e0=v V0=s S0=u U0=l", "Q", .answer = KNOWN, .poor = 1, .counts = {1}},
	/* Stale advice: locked, different. */
	{"e0=v N0=w W0=l", "PU", .answer = KNOWN, .counts = {0, 1}},
	{"e0=v D0=u U0=w W0=l", "PU", .answer = KNOWN, .counts = {0, 1}},
	{"e0=p q=v0 D0=u U0=w W0=p q=l0", "PU", .answer = KNOWN, .async = true,
	 .counts = {0, 1}},
	{"e0=v V0=w W0=l", "PU", .answer = OWN, .counts = {0, 1}},
	{"e0=v N0=f", "Q", .answer = KNOWN, .poor = 1, .counts = {0, 1}},
	{"e0=v D0=u U0=f", "Q", .answer = KNOWN, .poor = 1, .counts = {0, 1}},
	/* Advice that makes no sense. */
	{"e0=w W0=l", "P", .answer = STATE0, .counts = {[4] = 1}},
	{"e0=w W0=l", "P", .answer = PBN0, .counts = {[4] = 1}},
	{"e0=w W0=l", "P", .answer = STATE99, .counts = {[4] = 1}},
	{"e0=w W0=l", "P", .answer = FAR, .counts = {[4] = 1}},
	/* Arrivals in QUERYING, VERIFYING. */
	{"e0=p e1=p q=w0 W0=ls1 S1=u U1=l", "P", .answer = NONE, .async = true,
	 .counts = {[2] = 1}},
	{"e0=p e1=p q=v0 e2=p V0=ss1s2 S1=l S0=l S2=u U2=l", "P",
	 .answer = KNOWN, .async = true, .counts = {1, 0, 2}},
	{"e0=v e1=p N0=w W0=ls1 S1=u U1=l", "PU", .answer = KNOWN,
	 .counts = {0, 1, 1}},
	/* Arrivals in WRITING, parked or not. */
	{"e0=w e1=p e2=p W0=ls1s2 S2=l S1=u U1=l", "P", .answer = NONE,
	 .counts = {[2] = 2}},
	{"e0=w k0= e1=po0 e2=p W0=ls1s2 S2=l S1=u U1=l", "P", .answer = NONE,
	 .counts = {[2] = 2}},
	{"e0=w e1=p C0=ls1 S1=u U1=l", "PU", .answer = NONE,
	 .counts = {[2] = 1}},
	{"e0=w e1=p C0=ls1 e2=s S1=l S2=u U2=l", "PU", .answer = NONE,
	 .counts = {[2] = 2}},
	/* Arrivals in DEDUPING, UPDATING, UNLOCKING. */
	{"e0=v V0=s e1=s S0=l e2=s S2=l S1=u U1=l", "P", .answer = KNOWN,
	 .counts = {1, 0, 2}},
	{"e0=p q=w0 C0=p e1=p q=s1l0 S1=u U1=l", "PU", .answer = NONE,
	 .async = true, .counts = {[2] = 1}},
	{"e0=p q=v0 D0=u U0=w W0=p e1=p q=s1l0 S1=u U1=l", "PU",
	 .answer = KNOWN, .async = true, .counts = {0, 1, 1}},
	{"e0=v V0=s S0=u e1=p e2=p U0=lv1 V1=ss2 S1=l S2=u U2=l", "P",
	 .answer = KNOWN, .counts = {1, 0, 2}},
	{"e0=v V0=s S0=u e1=p U0=lv1 N1=w W1=l", "PU", .answer = KNOWN,
	 .counts = {1, 1, 1}},
	{"e0=v D0=u e1=p U0=w W0=ls1 S1=u U1=l", "PU", .answer = KNOWN,
	 .counts = {0, 1, 1}},
	/* Stale twice: the second look counts only if there was no lock. */
	{"e0=v V0=s S0=u e1=p U0=lv1 D1=u U1=w W1=l", "PU", .answer = KNOWN,
	 .counts = {1, 0, 1}},
	/* Who writes: the first with a block; the others keep their order. */
	{"e0=p e1=p e2=p q=w1 W1=ls0s2 S0=l S2=p q=u2 U2=l", "QU",
	 .answer = NONE, .async = true, .poor = 1, .counts = {[2] = 2}},
	{"e0=p e1=p e2=p e3=p q=w2 W2=ls0s1s3 S0=l S1=l S3=p q=u3 U3=l", "QU",
	 .answer = NONE, .async = true, .poor = 3, .counts = {[2] = 3}},
	{"e0=v e1=p e2=p D0=u U0=pw2 k2= W2=ls0s1 S0=l S1=u U1=l", "QU",
	 .answer = KNOWN, .poor = 3, .counts = {0, 1, 2}},
	{"e0=v e1=p e2=p N0=ff1f2", "Q", .answer = KNOWN, .poor = ALL,
	 .counts = {0, 1, 2}},
	{"e0=v e1=p D0=u U0=ff1 e2=v N2=w W2=l", "QPU", .answer = KNOWN,
	 .poor = 3, .counts = {0, 2, 1}},
	/* Other data under the key. */
	{"e0=w e7=a W0=l", "P", .answer = NONE, .counts = {[3] = 1}},
	{"e0=w e7=f W0=l", "P", .answer = NONE, .poor = 1 << 7,
	 .counts = {[3] = 1}},
	{"e0=w e8=a W0=l", "P", .answer = NONE, .counts = {[3] = 1}},
	{"e0=w e8=a e1=p W0=ls1 S1=u e7=a U1=l", "P", .answer = NONE,
	 .counts = {[2] = 1, [3] = 2}},
	/* No room for more references. */
	{"e0=v V0=s e1=w S0=u U0=l W1=l", "PU", .answer = KNOWN, .room = 1,
	 .counts = {1, 0, 1, 0, 0, 1}},
	{"e0=v e1=p e2=p V0=sw1 S0=u W1=ls2 U0=l S2=u U2=l", "PU",
	 .answer = KNOWN, .room = 1, .counts = {1, 0, 2, 0, 0, 1}},
	{"e0=v e1=p e2=p V0=ss1w2 e3=p S0=l S1=u W2=ls3 U1=l S3=u U3=l", "PU",
	 .answer = KNOWN, .room = 2, .counts = {1, 0, 3, 0, 0, 1}},
	{"e0=v V0=s e1=f S0=u U0=l", "P", .answer = KNOWN, .poor = 2, .room = 1,
	 .counts = {1, 0, 1, 0, 0, 1}},
	{"e0=v e1=p e2=p V0=sf2f1 S0=u U0=l", "P", .answer = KNOWN, .poor = 6,
	 .room = 1, .counts = {1, 0, 2, 0, 0, 1}},
	{"e0=v e1=p e2=p V0=sw2 k2= W2=ls1 S0=u S1=u U0=l U1=l", "PU",
	 .answer = KNOWN, .poor = 2, .room = 1, .counts = {1, 0, 2, 0, 0, 1}},
	/* After the roll-over new arrivals meet the new lock. */
	{"e0=v V0=s e1=w e2=p W1=ls2 e3=s S0=u S2=l S3=u U0=l U3=l", "PU",
	 .answer = KNOWN, .room = 1, .counts = {1, 0, 3, 0, 0, 1}},
	/* Failure in each state. */
	{"e0=v F0=l", "P", .answer = KNOWN},
	{"e0=v e1=p e2=p F0=la1f2", "P", .answer = KNOWN, .poor = 4,
	 .counts = {[2] = 2}},
	{"e0=w F0=l", "P", .answer = NONE},
	{"e0=w e1=p e2=p F0=la1a2 e3=w W3=l", "PP", .answer = NONE,
	 .counts = {[2] = 2}},
	{"e0=w k0= e1=po0 F0=la1", "P", .answer = NONE, .counts = {[2] = 1}},
	{"e0=v V0=s F0=u e1=v N1=w W1=l U0=l", "PPU", .answer = KNOWN,
	 .counts = {1, 1}},
	{"e0=v e1=p V0=ss1 F0=l S1=u U1=l", "P", .answer = KNOWN,
	 .counts = {1, 0, 1}},
	{"e0=v e1=p V0=ss1 F1=l F0=u U0=l", "P", .answer = KNOWN,
	 .counts = {1, 0, 1}},
	{"e0=w e1=p W0=ls1 F1=u U1=l", "P", .answer = NONE,
	 .counts = {[2] = 1}},
	/* Alone by wish. */
	{"e0=w W0=l", "", .answer = NONE, .private = 1},
	{"e0=w C0=u U0=l", "", .answer = NONE, .private = 1},
	{"e0=w e1=w e2=p W1=ls2 C0=u S2=u U0=l U2=l", "P", .answer = NONE,
	 .private = 1, .counts = {[2] = 1}},
	{"e0=f", "", .answer = NONE, .private = 1, .poor = 1},
	{"e0=w F0=l", "", .answer = NONE, .private = 1},
	/* Without advice, what is written at the same time is still merged. */
	{"e0=w W0=l", "", .answer = KNOWN, .off = true},
	{"e0=w e1=p C0=ls1 S1=u U1=l", "", .answer = KNOWN, .off = true,
	 .counts = {[2] = 1}},
	{"e0=f", "", .answer = KNOWN, .poor = 1, .off = true},
};

static void prepare_answer(enum answer_kind kind)
{
	static const struct mapping answers_of[] = {
		[KNOWN] = {FIRST_BLOCK + KNOWN_BLOCK, STATE_UNCOMPRESSED},
		[STATE0] = {FIRST_BLOCK + KNOWN_BLOCK, STATE_UNMAPPED},
		[PBN0] = {ZERO_BLOCK, STATE_UNCOMPRESSED},
		[STATE99] = {FIRST_BLOCK + KNOWN_BLOCK, 99},
		[FAR] = {FIRST_BLOCK + BLOCKS, STATE_UNCOMPRESSED},
		[OWN] = {FIRST_BLOCK, STATE_UNCOMPRESSED},
	};

	fake.found = kind != NONE;
	fake.result = kind == BROKEN ? -EIO : 0;
	if (kind != NONE && kind != BROKEN)
		fake.answer = answers_of[kind];
	else
		fake.answer = answers_of[KNOWN];
}

static void prepare_ops(unsigned poor, unsigned private)
{
	for (unsigned i = 0; i < 9; i++) {
		users[i].content = i == 7 ? 1 : i == 8 ? 2 : 0;
		users[i].op.private = private >> i & 1;
		users[i].op.name.bytes[15] = i == 8;
		if ((poor >> i & 1) == 0)
			give_block(&users[i], &blocks[i]);
	}
}

/* Ops that never entered keep their blocks until here. */
static void drop_ops(void)
{
	for (unsigned i = 0; i < 9; i++)
		if (users[i].op.alloc_lock != NULL)
			unlock_block(users[i].op.alloc_lock);
}

static void run_script(const char *script)
{
	const char *p = script;

	while (*p != '\0') {
		char what = *p++;
		struct user *u = &users[0];
		size_t n;

		if (what != 'q')
			u = &users[*p++ - '0'];
		ck_assert_int_eq(*p++, '=');
		answers[0] = '\0';
		event(what, u);
		hand_run(&hand);
		n = strcspn(p, " ");
		ck_assert_msg(
			strlen(answers) == n && strncmp(answers, p, n) == 0,
			"%s: at %d: %s", script, (int)(p - script), answers);
		p += n + (p[n] == ' ');
	}
}

START_TEST(script)
{
	const unsigned *counts = scripts[_i].counts;
	const char *name = scripts[_i].script;
	struct dedupe_stats s;

	set_up(!scripts[_i].off);
	prepare_answer(scripts[_i].answer);
	fake.async = scripts[_i].async;
	prepare_ops(scripts[_i].poor, scripts[_i].private);
	blocks[KNOWN_BLOCK].content = 0;
	blocks[KNOWN_BLOCK].refs =
		254 - (scripts[_i].room != 0 ? scripts[_i].room : 10);
	run_script(name);
	ck_assert_str_eq(fake.log, scripts[_i].asked);
	dedupe_get_stats(dedupe, &s);
	ck_assert_msg(s.advice_valid == counts[0], "%s: valid", name);
	ck_assert_msg(s.advice_stale == counts[1], "%s: stale", name);
	ck_assert_msg(s.concurrent_matches == counts[2], "%s: matches", name);
	ck_assert_msg(s.concurrent_collisions == counts[3], "%s: colls", name);
	ck_assert_msg(s.invalid_advice == counts[4], "%s: invalid", name);
	ck_assert_msg(s.rollovers == counts[5], "%s: rollovers", name);
	drop_ops();
	tear_down();
}
END_TEST

/* Advice switched off while a lock is about to tell the index. */
START_TEST(switched_off)
{
	set_up(true);
	prepare_ops(NOBODY, NOBODY);
	run_script("e0=w");
	dedupe_enable(dedupe, false);
	run_script("C0=u U0=l");
	ck_assert_str_eq(fake.log, "P");
	dedupe_enable(dedupe, true);
	run_script("e1=w W1=l");
	ck_assert_str_eq(fake.log, "PP");
	drop_ops();
	tear_down();
}
END_TEST

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
	u->op.name.bytes[0] = (uint8_t)(u->content / 3);
	u->op.name.bytes[15] = u->content % 3 != 0;
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

/* I33, I31 and what else must hold at any time. */
static void check_locks(void)
{
	struct hash_zone *z = &dedupe->zones[0];
	unsigned in_use = 0, registered = 0, members = 0, joined = 0;

	for (unsigned i = 0; i < OPS; i++) {
		struct hash_lock *l = &z->locks[i];

		if (l->state == LOCK_FREE)
			continue;
		in_use++;
		registered += l->registered;
		members += l->member_count;
		HOLDS(l->member_count > 0);
		if (l->state == LOCK_DEDUPING)
			HOLDS(l->agent == NULL);
		else if (l->state != LOCK_BYPASSING)
			HOLDS(l->agent != NULL);
		if (l->registered)
			HOLDS(intmap_get(&z->map, l->key) == l);
		if (l->agent != NULL && !waitq_empty(&l->waiters) &&
		    l->state == LOCK_WRITING)
			HOLDS(!pack_allowed(l->agent->pack));
	}
	for (unsigned i = 0; i < STRESS_OPS; i++)
		joined += users[i].op.hash_lock != NULL;
	HOLDS(joined == members);
	HOLDS(registered == z->map.count);
	HOLDS(in_use <= joined);
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

/* ------------------------------------------------------------------ zones */

/* Each zone gets its share of the names, and all are in range. */
START_TEST(zones)
{
	struct queue *queues[HASH_ZONES_MAX] = {NULL};
	static const struct slab_geometry slabs;
	struct dedupe_config c = {
		.zone_count = (unsigned)_i,
		.queues = queues,
		.slabs = &slabs,
		.locks_max = 2,
	};
	unsigned hits[HASH_ZONES_MAX] = {0}, last = 0;

	ck_assert_int_eq(dedupe_create(&c, &dedupe), 0);
	for (unsigned i = 0; i < 256; i++) {
		struct hash128 name = {{(uint8_t)i, 0xff, 0xff}};
		unsigned zone = dedupe_zone_of(dedupe, &name);

		ck_assert_uint_lt(zone, c.zone_count);
		ck_assert_uint_eq(zone, i * c.zone_count / 256);
		ck_assert_uint_ge(zone, last);
		last = zone;
		hits[zone]++;
	}
	for (unsigned i = 0; i < c.zone_count; i++) {
		ck_assert_uint_ge(hits[i], 256 / c.zone_count);
		ck_assert_uint_le(hits[i], 256 / c.zone_count + 1);
	}
	dedupe_destroy(dedupe);
}
END_TEST

START_TEST(allocation_fails)
{
	struct queue *queues[2] = {NULL};
	static const struct slab_geometry slabs;
	struct dedupe_config c = {
		.zone_count = 2,
		.queues = queues,
		.slabs = &slabs,
		.locks_max = 2,
	};
	int result_of = -ENOMEM;
	unsigned long n;

	for (n = 0; result_of == -ENOMEM; n++) {
		alloc_fail_at(n + 1);
		result_of = dedupe_create(&c, &dedupe);
		alloc_fail_at(0);
	}
	ck_assert_int_eq(result_of, 0);
	ck_assert_uint_eq(n, 7);
	dedupe_destroy(dedupe);
	dedupe_destroy(NULL);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("hash lock");

	tcase_add_loop_test(tc, script, 0, ARRAY_SIZE(scripts));
	tcase_add_test(tc, switched_off);
	tcase_add_loop_test(tc, roll_over, 0, ARRAY_SIZE(rolls));
	tcase_add_loop_test(tc, stress, 0, 4);
	tcase_add_loop_test(tc, zones, 1, HASH_ZONES_MAX + 1);
	tcase_add_test(tc, allocation_fails);
	return unit_run();
}
