/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash locks: scripts for states and events. And the choice of a zone.
 *
 * A script is a list of "event=answers"; see dedupe_rig.h for the letters.
 * Events are a letter and an op, except q.
 */
#include "build.h"

#include "tests/unit/dedupe_rig.h"

#include <errno.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"

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
	OWN,   /* the block op 0 is going to write to */
	NEWER, /* something that is not understood */
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
	/* Advice that makes no sense is replaced. */
	{"e0=w W0=l", "PU", .answer = STATE0, .counts = {[4] = 1}},
	{"e0=w W0=l", "PU", .answer = PBN0, .counts = {[4] = 1}},
	{"e0=w W0=l", "PU", .answer = STATE99, .counts = {[4] = 1}},
	{"e0=w W0=l", "PU", .answer = FAR, .counts = {[4] = 1}},
	{"e0=w W0=l", "PU", .answer = NEWER},
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

	fake.found = kind != NONE && kind != BROKEN;
	fake.result = kind == BROKEN ? -EIO : kind == NEWER ? -VDO_EVERSION : 0;
	if (fake.found && fake.result == 0)
		fake.answer = answers_of[kind];
	else
		fake.answer = answers_of[KNOWN];
}

static void prepare_ops(unsigned poor, unsigned private)
{
	for (unsigned i = 0; i < 9; i++) {
		users[i].content = i == 7 ? 1 : i == 8 ? 2 : 0;
		users[i].op.private = private >> i & 1;
		users[i].op.name.hash.bytes[15] = i == 8;
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
		HOLDS(hash_zone_sane(&dedupe->zones[0]));
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
	tcase_add_test(tc, allocation_fails);
	return unit_run();
}
