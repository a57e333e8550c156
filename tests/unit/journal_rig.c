/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See journal_rig.h. Op number n writes data block RIG_DATA + n, which counts
 * as written, though not durable, when the op is appended; so one number says
 * which data a flush covers. Ops are assigned in order: op n has its place at
 * entry n % 217 of block start + n / 217.
 */
#include "build.h"

#include "tests/unit/journal_rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PER_BLOCK 217u

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* ------------------------------------------------------------ the decoder */

uint8_t *rig_place(struct rig *r, uint8_t *disk, seq_t seq)
{
	return disk + (RIG_ORIGIN + seq % r->size) * BLOCK_SIZE;
}

void rig_decode(const uint8_t *p, struct rig_block *b)
{
	b->map_head = get(p, 8);
	b->slab_head = get(p + 8, 8);
	b->seq = get(p + 16, 8);
	b->nonce = get(p + 24, 8);
	b->type = p[32];
	b->entries = (unsigned)get(p + 33, 2);
	b->used = get(p + 35, 8);
	b->pages = get(p + 43, 8);
	b->check = p[51];
	b->recovery_count = p[52];
}

bool rig_ours(const struct rig_block *b)
{
	return b->nonce == RIG_NONCE && b->type == 3 &&
	       b->entries <= PER_BLOCK && b->recovery_count == RIG_COUNT;
}

unsigned rig_usable(const uint8_t *block)
{
	struct rig_block b;
	unsigned usable = 0;

	rig_decode(block, &b);
	for (unsigned s = 1; s <= 7 && usable < b.entries; s++) {
		const uint8_t *sector = block + 512 * s;
		unsigned n = sector[2];

		if (sector[0] != b.check || sector[1] != b.recovery_count ||
		    n > 31)
			break;
		usable += MIN(n, b.entries - usable);
		if (n < 31)
			break;
	}
	return usable;
}

enum rig_runs rig_runs;

struct journal_entry rig_entry(unsigned n)
{
	struct journal_entry e = {
		.operation = JOURNAL_DATA,
		.page = UINT64_C(0x700000000) + n % 977,
		.slot = n % 812,
		.new_mapping = {RIG_DATA + n, (uint8_t)(1 + n % 15)},
	};

	if (rig_runs != RIG_NO_RUNS) {
		e.page = UINT64_C(0x700000001);
		if (rig_runs == RIG_RUNS_OF_ONE)
			e.new_mapping = (struct mapping){0, n % 1000 < 500};
		else if (n % 7 == 0)
			e.new_mapping = (struct mapping){0, n % 2};
		e.old_mapping = (struct mapping){RIG_DATA + n / 2, 1};
	} else if (n % 50 == 49) {
		e.operation = JOURNAL_BLOCK_MAP;
		e.new_mapping.state = 1;
	} else if (n % 3 == 0) {
		e.old_mapping = (struct mapping){RIG_DATA + n / 2, 1};
	}
	return e;
}

static void check_mapping(const uint8_t *p, struct mapping m)
{
	RIG_CHECK((p[0] & 15) == m.state);
	RIG_CHECK(((uint64_t)(p[0] >> 4) << 32 | get(p + 1, 4)) == m.pbn);
}

void rig_check_entry(const uint8_t *block, unsigned i, unsigned n)
{
	const uint8_t *p = block + 512 * (1 + i / 31) + 3 + 16 * (i % 31);
	struct journal_entry e = rig_entry(n);

	RIG_CHECK((p[0] & 3) == e.operation);
	RIG_CHECK((p[0] >> 2 | (p[1] & 15) << 6) == e.slot);
	RIG_CHECK(((uint64_t)(p[1] >> 4) << 32 | get(p + 2, 4)) == e.page);
	check_mapping(p + 6, e.new_mapping);
	check_mapping(p + 11, e.old_mapping);
}

/* ------------------------------------------------------------- the device */

static bool is_clear(const struct rig *r, const struct rig_seq *s)
{
	return s->released == s->finished &&
	       (s->finished == PER_BLOCK || (r->saving && s->finished > 0));
}

static seq_t clear_up_to(const struct rig *r, bool map)
{
	seq_t seq = r->start;

	for (;; seq++) {
		const struct rig_seq *s = &r->seqs[seq - r->start];

		if (!is_clear(r, s) || (map ? s->map : s->slab) > 0)
			return seq;
	}
}

/* The newest durable block; false if there is none. */
static bool newest(struct rig *r, uint8_t *disk, struct rig_block *found)
{
	bool any = false;

	for (uint64_t i = 0; i < r->size; i++) {
		struct rig_block b;

		rig_decode(disk + (RIG_ORIGIN + i) * BLOCK_SIZE, &b);
		if (!rig_ours(&b) || b.seq % r->size != i || b.seq < r->start)
			continue;
		if (!any || b.seq > found->seq)
			*found = b;
		any = true;
	}
	return any;
}

static void check_block(struct rig *r, const uint8_t *block, uint64_t place)
{
	struct rig_block durable = {0};
	struct rig_block b;
	bool any = newest(r, r->disk, &durable);

	rig_decode(block, &b);
	RIG_CHECK(rig_ours(&b));
	RIG_CHECK(b.seq % r->size == place);
	RIG_CHECK(b.entries > 0);
	RIG_CHECK(rig_usable(block) == b.entries);
	for (unsigned i = 0; i < b.entries; i++) {
		unsigned n = (unsigned)(b.seq - r->start) * PER_BLOCK + i;

		if (r->flags != 0)
			RIG_CHECK(n < r->data_durable);
		rig_check_entry(block, i, n);
	}
	if (r->flags != 0) {
		RIG_CHECK(b.map_head <= r->map_clear);
		RIG_CHECK(b.slab_head <= r->slab_clear);
	}
	if (!any) {
		RIG_CHECK(b.seq == r->start);
		RIG_CHECK(b.map_head == r->start);
		RIG_CHECK(b.slab_head == r->start);
		return;
	}
	RIG_CHECK(b.map_head <= durable.seq);
	RIG_CHECK(b.slab_head <= durable.seq);
	RIG_CHECK(b.map_head >= durable.map_head);
	RIG_CHECK(b.slab_head >= durable.slab_head);
	RIG_CHECK(b.seq < r->size ||
		  b.seq - r->size < MIN(durable.map_head, durable.slab_head));
}

static void start_write(struct rig *r, struct rig_io *h)
{
	const struct vdo_device_io *io = h->io;
	uint64_t at = io->offset;
	uint64_t end = (RIG_ORIGIN + r->size) * BLOCK_SIZE;

	RIG_CHECK(at >= RIG_ORIGIN * BLOCK_SIZE);
	RIG_CHECK(at + io->length <= end);
	RIG_CHECK(io->flags == 0 ||
		  (r->flags != 0 && io->flags == VDO_DEVICE_FUA));
	for (unsigned i = 0; i < r->held_count; i++) {
		const struct vdo_device_io *o = r->held[i].io;

		RIG_CHECK(o->op != VDO_DEVICE_WRITE ||
			  at + io->length <= o->offset ||
			  o->offset + o->length <= at);
	}
	for (unsigned i = 0; i < r->cached_count; i++) {
		const struct rig_cached *c = &r->cached[i];

		RIG_CHECK(at + io->length <= c->offset ||
			  c->offset + c->length <= at);
	}
	h->copy = malloc(io->length);
	at = 0;
	for (unsigned i = 0; i < io->iov_count; i++) {
		RIG_CHECK(io->iov[i].iov_len == BLOCK_SIZE);
		memcpy(h->copy + at, io->iov[i].iov_base, BLOCK_SIZE);
		check_block(r, h->copy + at,
			    (io->offset + at) / BLOCK_SIZE - RIG_ORIGIN);
		at += BLOCK_SIZE;
	}
	RIG_CHECK(at == io->length);
	r->writes++;
	r->fua += io->flags != 0;
}

static void end_write(struct rig *r, struct rig_io *h, int result)
{
	const struct vdo_device_io *io = h->io;

	for (unsigned i = 0; i < io->iov_count; i++)
		RIG_CHECK(memcmp(io->iov[i].iov_base, h->copy + i * BLOCK_SIZE,
				 BLOCK_SIZE) == 0);
	if (result == 0 && io->flags == 0 && r->flags != 0) {
		RIG_CHECK(r->cached_count < RIG_HELD);
		r->cached[r->cached_count++] = (struct rig_cached){
			io->offset, io->length, h->copy};
		return;
	}
	if (result == 0)
		memcpy(r->disk + io->offset, h->copy, io->length);
	free(h->copy);
}

static void write_back(struct rig *r, unsigned n)
{
	RIG_CHECK(n <= r->cached_count);
	for (unsigned i = 0; i < n; i++) {
		const struct rig_cached *c = &r->cached[i];

		memcpy(r->disk + c->offset, c->bytes, c->length);
		free(c->bytes);
	}
	r->cached_count -= n;
	memmove(r->cached, r->cached + n, r->cached_count * sizeof(*r->cached));
}

static void end_flush(struct rig *r, const struct rig_io *h, int result)
{
	if (result != 0)
		return;
	write_back(r, h->cached_covered);
	r->data_durable = MAX(r->data_durable, h->data_covered);
	r->map_clear = MAX(r->map_clear, h->map_clear);
	r->slab_clear = MAX(r->slab_clear, h->slab_clear);
}

void rig_complete(struct rig *r, unsigned i, int result)
{
	struct rig_io h = r->held[i];

	RIG_CHECK(i < r->held_count);
	r->held_count--;
	memmove(&r->held[i], &r->held[i + 1], (r->held_count - i) * sizeof(h));
	if (h.io->op == VDO_DEVICE_WRITE)
		end_write(r, &h, result);
	else
		end_flush(r, &h, result);
	h.io->complete(h.io, result);
}

static void rig_submit(void *ctx, struct vdo_device_io *io)
{
	struct rig *r = ctx;
	struct rig_io *h = &r->held[r->held_count];

	RIG_CHECK(r->held_count < RIG_HELD);
	RIG_CHECK(queue_running ==
		  (io->op == VDO_DEVICE_FLUSH ? r->sync_queue : r->queue));
	h->io = io;
	if (io->op == VDO_DEVICE_WRITE) {
		start_write(r, h);
	} else {
		RIG_CHECK(io->op == VDO_DEVICE_FLUSH);
		h->data_covered = r->appended;
		h->cached_covered = r->cached_count;
		h->map_clear = clear_up_to(r, true);
		h->slab_clear = clear_up_to(r, false);
		r->flushes++;
	}
	r->held_count++;
	r->ios++;
	if (r->ios == r->fail_at)
		rig_complete(r, r->held_count - 1, -EIO);
	else if (!r->hold)
		rig_complete(r, r->held_count - 1, 0);
}

static uint64_t rig_size(void *ctx)
{
	const struct rig *r = ctx;

	return (RIG_ORIGIN + r->size + 3) * BLOCK_SIZE;
}

static unsigned rig_flags(void *ctx)
{
	const struct rig *r = ctx;

	return r->flags;
}

static const struct vdo_device_ops rig_device_ops = {
	.size = sizeof(rig_device_ops),
	.get_size = rig_size,
	.get_flags = rig_flags,
	.submit = rig_submit,
};

/* -------------------------------------------------------------- the crash */

static void tear(uint8_t *disk, uint64_t offset, const uint8_t *bytes,
		 uint64_t length)
{
	for (uint64_t at = 0; at < length; at += SECTOR_SIZE) {
		if (rand() % 2)
			memcpy(disk + offset + at, bytes + at, SECTOR_SIZE);
	}
}

static void tear_all(struct rig *r, uint8_t *disk)
{
	for (unsigned i = 0; i < r->cached_count; i++)
		tear(disk, r->cached[i].offset, r->cached[i].bytes,
		     r->cached[i].length);
	for (unsigned i = 0; i < r->held_count; i++) {
		const struct rig_io *h = &r->held[i];

		if (h->io->op == VDO_DEVICE_WRITE)
			tear(disk, h->io->offset, h->copy, h->io->length);
	}
}

/* Steps A and B of recovery (V 10.3), then compare. */
static void recover(struct rig *r, uint8_t *disk)
{
	struct rig_block top = {0};
	unsigned n = 0;
	seq_t last = 0;

	if (!newest(r, disk, &top)) {
		RIG_CHECK(r->finished == 0);
		return;
	}
	for (seq_t q = MIN(top.map_head, top.slab_head); q <= top.seq; q++) {
		const uint8_t *block = rig_place(r, disk, q);
		unsigned usable = rig_usable(block);
		struct rig_block b;

		rig_decode(block, &b);
		if (!rig_ours(&b) || b.seq != q)
			break;
		last = q;
		n = (unsigned)(q - r->start) * PER_BLOCK;
		for (unsigned i = 0; i < usable; i++)
			rig_check_entry(block, i, n++);
		if (usable < PER_BLOCK)
			break;
	}
	RIG_CHECK(n >= r->finished);
	RIG_CHECK(top.map_head <= last);
	RIG_CHECK(top.slab_head <= last);
}

void rig_check_crash(struct rig *r)
{
	size_t bytes = (size_t)rig_size(r);
	uint8_t *disk = malloc(bytes);

	for (unsigned i = 0; i < 4; i++) {
		memcpy(disk, r->disk, bytes);
		tear_all(r, disk);
		recover(r, disk);
	}
	free(disk);
}

/* ---------------------------------------------------------------- the ops */

static void op_done(struct completion *c)
{
	struct rig_op *t = container_of(c, struct rig_op, op.done);
	struct rig *r = t->rig;
	const struct journal_point *p = &t->op.point;
	unsigned n = t->op.run == NULL ? 1 : t->op.run_count;

	RIG_CHECK(!t->finished && !t->failed);
	if (c->result != 0) {
		RIG_CHECK(c->result == -VDO_EREADONLY);
		t->failed = true;
		r->failed += n;
		return;
	}
	/* In order, in its place, and durable. */
	RIG_CHECK(t->n == r->finished);
	RIG_CHECK(p->seq == r->start + t->n / PER_BLOCK);
	RIG_CHECK(p->entry == t->n % PER_BLOCK);
	RIG_CHECK(p->entry + n <= PER_BLOCK);
	RIG_CHECK(rig_usable(rig_place(r, r->disk, p->seq)) >= p->entry + n);
	t->finished = true;
	r->finished += n;
	r->seqs[p->seq - r->start].finished += n;
}

/* A run from entry t->n on, of those that are wanted, and that have the same new
 * mapping if they must; or none. */
static void choose_run(struct rig_op *t)
{
	static struct journal_change changes[RIG_OPS];
	static struct mapping news[RIG_OPS];
	struct rig *r = t->rig;
	unsigned most = r->wanted - t->n;
	unsigned chance;

	t->op.run = NULL;
	r->covered = t->n + 1;
	if (rig_runs == RIG_NO_RUNS)
		return;
	if (rig_runs == RIG_RUNS_OF_ONE)
		most = MIN(most, 500 - t->n % 500);
	chance = 1 + (unsigned)rand() % 400;
	most = MIN(most, journal_room(r->journal));
	most = MIN(most, chance);
	if (most == 1)
		return;
	r->covered = t->n + most;
	for (unsigned n = t->n; n < r->covered; n++) {
		changes[n] = (struct journal_change){
			.old = rig_entry(n).old_mapping,
			.slot = rig_entry(n).slot};
		news[n] = rig_entry(n).new_mapping;
	}
	t->op.run = &changes[t->n];
	t->op.news = rig_runs == RIG_RUNS_OF_NEWS ? &news[t->n] : NULL;
	t->op.run_count = most;
}

static void op_go(struct completion *c)
{
	struct rig_op *t = container_of(c, struct rig_op, go);

	if (t->n < t->rig->covered)
		return; /* in a run */
	completion_init(&t->op.done, t->rig->queue, op_done);
	t->op.entry = rig_entry(t->n);
	choose_run(t);
	journal_append(t->rig->journal, &t->op);
}

/* Posted on the queue itself, so that nothing comes between them. */
static void append(struct rig *r)
{
	for (; r->appended < r->wanted; r->appended++) {
		struct rig_op *t = &r->ops[r->appended];

		t->rig = r;
		t->n = r->appended;
		completion_init(&t->go, r->queue, op_go);
		completion_post(&t->go);
	}
}

void rig_append(struct rig *r, unsigned n)
{
	r->wanted = r->appended + n;
	RIG_CHECK(r->wanted <= RIG_OPS);
	rig_call(r, append);
}

void rig_release_entries(struct rig *r, seq_t seq, unsigned n)
{
	struct rig_seq *s = &r->seqs[seq - r->start];

	for (; n > 0 && s->released < s->finished; n--) {
		s->released++;
		journal_release_entry(r->journal, seq);
	}
	rig_run(r);
}

void rig_hold(struct rig *r, seq_t seq, bool map, bool slab)
{
	struct rig_seq *s = &r->seqs[seq - r->start];

	if (map) {
		s->map++;
		journal_hold_map(r->journal, seq);
	}
	if (slab) {
		s->slab++;
		journal_hold_slab(r->journal, seq);
	}
}

void rig_release_map(struct rig *r, seq_t seq)
{
	r->seqs[seq - r->start].map--;
	journal_release_map(r->journal, seq);
	rig_run(r);
}

void rig_release_slab(struct rig *r, seq_t seq)
{
	r->seqs[seq - r->start].slab--;
	journal_release_slab(r->journal, seq);
	rig_run(r);
}

/* ------------------------------------------------------------------- life */

void rig_run(struct rig *r)
{
	while (r->x->ops->poll(r->x, 0) != 0)
		;
	RIG_CHECK(journal_sane(r->journal));
}

void rig_complete_all(struct rig *r)
{
	while (r->held_count > 0) {
		rig_complete(r, 0, 0);
		rig_run(r);
	}
}

struct call {
	struct completion c;
	struct rig *rig;
	void (*fn)(struct rig *r);
};

static void call_run(struct completion *c)
{
	struct call *call = container_of(c, struct call, c);

	call->fn(call->rig);
}

void rig_call(struct rig *r, void (*fn)(struct rig *r))
{
	struct call call = {.rig = r, .fn = fn};

	completion_init(&call.c, r->queue, call_run);
	completion_post(&call.c);
	rig_run(r);
}

static struct completion drain_done;
static struct rig *draining;

static void drained(struct completion *c)
{
	draining->drained = true;
	draining->drain_result = c->result;
}

static void drain(struct rig *r)
{
	draining = r;
	r->drained = false;
	completion_init(&drain_done, r->queue, drained);
	journal_drain(r->journal, r->saving, &drain_done);
}

void rig_drain(struct rig *r, bool save)
{
	r->saving = save;
	rig_call(r, drain);
}

static void on_tail_moved(void *arg, seq_t tail)
{
	struct rig *r = arg;

	RIG_CHECK(queue_running == r->queue);
	RIG_CHECK(tail == r->start + r->tail_moved++);
	r->moved_to = tail;
}

static void on_commit(void *arg, seq_t head)
{
	struct rig *r = arg;

	RIG_CHECK(queue_running == r->queue);
	RIG_CHECK(head >= r->commit_head);
	r->commits++;
	r->commit_head = head;
}

static void on_sync_failure(void *arg, int result)
{
	struct rig *r = arg;

	readonly_enter(&r->readonly, result, "sync: flush failed");
}

void rig_open(struct rig *r, uint64_t size, seq_t start, unsigned flags)
{
	struct journal_config c = {
		.storage = &r->storage,
		.sync = &r->sync,
		.readonly = &r->readonly,
		.log = &r->log,
		.partition = {RIG_ORIGIN, size},
		.nonce = RIG_NONCE,
		.recovery_count = RIG_COUNT,
		.start = start,
		.logical_blocks_used = RIG_USED,
		.block_map_data_blocks = RIG_PAGES,
		.holders = {r, on_tail_moved, on_commit},
	};

	memset(r, 0, sizeof(*r));
	r->size = size;
	r->start = start;
	r->map_clear = start;
	r->slab_clear = start;
	r->flags = flags;
	r->disk = calloc(1, rig_size(r));
	r->ops = calloc(RIG_OPS, sizeof(*r->ops));
	RIG_CHECK(executor_inline_create(&r->x) == 0);
	RIG_CHECK(executor_queue(r->x, "journal", 0, &r->queue) == 0);
	RIG_CHECK(executor_queue(r->x, "sync", 0, &r->sync_queue) == 0);
	RIG_CHECK(vdo_device_open_custom(&rig_device_ops, r, &r->device) == 0);
	storage_init(&r->storage, r->device, 0);
	readonly_init(&r->readonly, &r->storage, &r->log, NULL, NULL);
	sync_init(&r->sync, r->sync_queue, &r->storage, on_sync_failure, r);
	c.queue = r->queue;
	RIG_CHECK(journal_create(&c, &r->journal) == 0);
}

void rig_close(struct rig *r)
{
	RIG_CHECK(r->held_count == 0);
	rig_run(r);
	write_back(r, r->cached_count);
	journal_destroy(r->journal);
	vdo_device_close(r->device);
	executor_destroy(r->x);
	free(r->disk);
	free(r->ops);
}
