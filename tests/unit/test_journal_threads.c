/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recovery journal and holders on threads of their own. All entries are
 * appended at the start and fill a small ring; from then on only notifications
 * of the holders make it go round, and a lost one stops it. For
 * ThreadSanitizer, too.
 */
#include "build.h"

#include "journal/journal.h"

#include <stdlib.h>

#include "exec/executor.h"
#include "io/device.h"
#include "tests/lib/unit.h"

#define OPS	30000u
#define HOLDERS 3u
#define BLOCKS	8u

/* Appended and finished on the journal's queue, then passed to a holder. */
struct item {
	struct journal_op op;
	struct completion step;
	unsigned n;
};

static struct executor *x;
static struct queue *queue, *holders[HOLDERS];
static struct vdo_device *device;
static struct storage storage;
static struct sync sync_service;
static struct readonly readonly;
static struct log no_log;
static struct journal *journal;
static struct item items[OPS];
static unsigned started, ended;
static struct completion drained;
static struct event over;

/* The block that each holder holds; belongs to its queue. */
static seq_t kept[HOLDERS];

static void on_drained(struct completion *c)
{
	executor_signal(x, &over);
}

static void item_end(struct completion *c)
{
	if (++ended < OPS)
		return;
	completion_init(&drained, queue, on_drained);
	journal_drain(journal, true, &drained);
}

/* As a page does: one hold, on the newest block of this holder. */
static void item_hold(struct completion *c)
{
	struct item *t = container_of(c, struct item, step);
	unsigned h = t->n % HOLDERS;
	seq_t seq = t->op.point.seq;

	if (kept[h] != seq) {
		journal_hold_map(journal, seq);
		journal_hold_slab(journal, seq);
		if (kept[h] != 0) {
			journal_release_slab(journal, kept[h]);
			journal_release_map(journal, kept[h]);
		}
		kept[h] = seq;
	}
	journal_release_entry(journal, seq);
	completion_init(&t->step, queue, item_end);
	completion_post(&t->step);
}

static void item_done(struct completion *c)
{
	struct item *t = container_of(c, struct item, op.done);

	if (c->result != 0)
		abort();
	completion_init(&t->step, holders[t->n % HOLDERS], item_hold);
	completion_post(&t->step);
}

static void item_start(struct completion *c)
{
	struct item *t = container_of(c, struct item, step);

	t->n = started++;
	t->op.entry = (struct journal_entry){
		.page = 1 + t->n,
		.new_mapping = {1000 + t->n, 1},
	};
	completion_init(&t->op.done, queue, item_done);
	journal_append(journal, &t->op);
}

static void flush_failed(void *arg, int result)
{
	(void)arg;
	ck_abort_msg("a flush failed, result=%d", result);
}

static void open_all(void)
{
	struct native_config native = {.threads = 4, .name_prefix = "test"};
	struct journal_config c = {
		.storage = &storage,
		.sync = &sync_service,
		.readonly = &readonly,
		.log = &no_log,
		.partition = {1, BLOCKS},
		.start = 1,
	};

	ck_assert_int_eq(executor_native_create(&native, &x), 0);
	ck_assert_int_eq(executor_queue(x, "journal", 0, &queue), 0);
	for (unsigned i = 0; i < HOLDERS; i++)
		ck_assert_int_eq(
			executor_queue(x, "holder", i + 1, &holders[i]), 0);
	ck_assert_int_eq(vdo_device_open_memory(16 * BLOCK_SIZE, &device), 0);
	storage_init(&storage, device, 0);
	readonly_init(&readonly, &storage, &no_log, NULL, NULL);
	sync_init(&sync_service, queue, &storage, flush_failed, NULL);
	c.queue = queue;
	ck_assert_int_eq(journal_create(&c, &journal), 0);
}

START_TEST(ring_goes_round)
{
	struct journal_stats stats;

	open_all();
	event_init(&over);
	for (unsigned i = 0; i < OPS; i++) {
		completion_init(&items[i].step, queue, item_start);
		completion_post(&items[i].step);
	}
	executor_wait(x, &over);
	journal_get_stats(journal, &stats);
	ck_assert_uint_eq(stats.entries_committed, OPS);
	/* What the holders keep is released after the drain, quietly. */
	for (unsigned i = 0; i < HOLDERS; i++) {
		journal_release_map(journal, kept[i]);
		journal_release_slab(journal, kept[i]);
	}
	executor_destroy(x);
	journal_destroy(journal);
	vdo_device_close(device);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("threads");

	tcase_add_test(tc, ring_goes_round);
	return unit_run();
}
