/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "tests/unit/map_fixture.h"

#include <errno.h>
#include <stdlib.h>

#include <vdo/error.h>

#include "depot/pbnlock_priv.h"
#include "tests/lib/unit.h"

/* -------------------------------------------------------------- the disk */

static uint8_t *block_at(uint8_t *image, pbn_t pbn)
{
	ck_assert_uint_lt(pbn, FX_BLOCKS);
	return image + pbn * BLOCK_SIZE;
}

static seq_t journal_head(const struct journal *j)
{
	seq_t seq = 1;

	while (seq < j->tail && j->map_holds[seq] == 0 &&
	       j->entry_holds[seq] == 0)
		seq++;
	return seq;
}

static struct fx_write *add_unflushed(struct fx *fx)
{
	if (fx->unflushed_count == fx->unflushed_max) {
		fx->unflushed_max = 2 * fx->unflushed_max + 64;
		fx->unflushed = realloc(fx->unflushed, fx->unflushed_max *
						sizeof(*fx->unflushed));
	}
	return &fx->unflushed[fx->unflushed_count++];
}

static void finish_write(struct fx *fx, struct fx_io *fi)
{
	pbn_t pbn = fi->io->offset / BLOCK_SIZE;
	struct fx_write *w = add_unflushed(fx);

	/* Nobody touched the buffer meanwhile. */
	ck_assert_mem_eq(fi->image, fi->io->iov[0].iov_base, BLOCK_SIZE);
	w->pbn = pbn;
	memcpy(w->bytes, fi->image, BLOCK_SIZE);
	memcpy(block_at(fx->now, pbn), fi->image, BLOCK_SIZE);
	fx->writes[pbn]++;
}

static void finish_flush(struct fx *fx, struct fx_io *fi)
{
	size_t n = MIN(fi->covered, fx->unflushed_count);

	for (size_t i = 0; i < n; i++)
		memcpy(block_at(fx->durable, fx->unflushed[i].pbn),
		       fx->unflushed[i].bytes, BLOCK_SIZE);
	if (n > 0)
		memmove(fx->unflushed, fx->unflushed + n,
			(fx->unflushed_count - n) * sizeof(*fx->unflushed));
	fx->unflushed_count -= n;
	fx->journal.durable_head = MAX(fx->journal.durable_head, fi->head);
}

static void free_io(struct fx_io *fi)
{
	list_remove(&fi->link);
	free(fi->image);
	free(fi);
}

static void io_event(struct sim_event *ev)
{
	struct fx_io *fi = container_of(ev, struct fx_io, event);
	struct vdo_device_io *io = fi->io;
	struct fx *fx = fi->fx;

	if (io->op == VDO_DEVICE_WRITE)
		finish_write(fx, fi);
	else if (io->op == VDO_DEVICE_FLUSH)
		finish_flush(fx, fi);
	else
		memcpy(io->iov[0].iov_base,
		       block_at(fx->now, io->offset / BLOCK_SIZE), BLOCK_SIZE);
	free_io(fi);
	io->complete(io, 0);
}

/*
 * D9, for every write of every test: the flag goes on only when the same image
 * without it is durable.
 */
static void check_order(struct fx *fx, const uint8_t *image, pbn_t pbn)
{
	uint8_t first[BLOCK_SIZE];

	ck_assert_uint_eq(get_u64(image + 16), pbn);
	ck_assert(!storage_is_read_only(&fx->storage));
	if (!mapping_page_initialised(image))
		return;
	if (mapping_page_check(block_at(fx->durable, pbn), FX_NONCE, pbn) ==
	    MAP_PAGE_VALID)
		return;
	memcpy(first, image, BLOCK_SIZE);
	mapping_page_set_initialised(first, false);
	ck_assert_mem_eq(first, block_at(fx->durable, pbn), BLOCK_SIZE);
}

static void disk_submit(void *ctx, struct vdo_device_io *io)
{
	struct fx *fx = ctx;
	struct fx_io *fi = calloc(1, sizeof(*fi));
	pbn_t pbn = io->offset / BLOCK_SIZE;

	fx->io_count++;
	fx->reads += io->op == VDO_DEVICE_READ;
	list_init(&fi->link);
	if (fx->fail_all || fx->io_count == fx->fail_at) {
		free_io(fi);
		io->complete(io, -EIO);
		return;
	}
	fi->fx = fx;
	fi->io = io;
	fi->covered = fx->unflushed_count;
	fi->head = journal_head(&fx->journal);
	fi->event.fn = io_event;
	if (io->op == VDO_DEVICE_WRITE) {
		ck_assert_uint_eq(io->length, BLOCK_SIZE);
		fi->image = malloc(BLOCK_SIZE);
		memcpy(fi->image, io->iov[0].iov_base, BLOCK_SIZE);
		check_order(fx, fi->image, pbn);
	}
	if ((fx->stop_at != 0 && fx->io_count >= fx->stop_at) ||
	    (fx->hold != NULL && fx->hold(fx, io->op, pbn))) {
		list_push_back(&fx->held, &fi->link);
		return;
	}
	list_push_back(&fx->flying, &fi->link);
	sim_executor_schedule_within(fx->x, &fi->event, 100000);
}

unsigned fx_release(struct fx *fx,
		    bool (*match)(enum vdo_device_op op, pbn_t pbn))
{
	unsigned n = 0;

	list_for_each_safe(node, &fx->held) {
		struct fx_io *fi = list_entry(node, struct fx_io, link);

		if (match != NULL &&
		    !match(fi->io->op, fi->io->offset / BLOCK_SIZE))
			continue;
		list_remove(&fi->link);
		list_push_back(&fx->flying, &fi->link);
		sim_executor_schedule_within(fx->x, &fi->event, 100000);
		n++;
	}
	return n;
}

void fx_fill_garbage(struct fx *fx)
{
	size_t start = (size_t)FX_FIRST_BLOCK * BLOCK_SIZE;

	memset(fx->now + start, 0xa5, (size_t)FX_BLOCKS * BLOCK_SIZE - start);
	memset(fx->durable + start, 0xa5,
	       (size_t)FX_BLOCKS * BLOCK_SIZE - start);
}

uint8_t *fx_block(struct fx *fx, pbn_t pbn)
{
	return block_at(fx->now, pbn);
}

static void tear(struct fx *fx, const struct fx_write *w)
{
	uint8_t *to = block_at(fx->durable, w->pbn);
	uint64_t mode = sim_executor_random(fx->x, 4);

	for (unsigned s = 0; s < BLOCK_SIZE / SECTOR_SIZE; s++) {
		if (mode == 0 || (mode > 1 && sim_executor_random(fx->x, 2)))
			continue;
		memcpy(to + (size_t)s * SECTOR_SIZE,
		       w->bytes + (size_t)s * SECTOR_SIZE, SECTOR_SIZE);
	}
}

static void add_flying(struct fx *fx, struct list_node *list)
{
	list_for_each(node, list) {
		struct fx_io *fi = list_entry(node, struct fx_io, link);
		struct fx_write *w;

		if (fi->io->op != VDO_DEVICE_WRITE)
			continue;
		w = add_unflushed(fx);
		w->pbn = fi->io->offset / BLOCK_SIZE;
		memcpy(w->bytes, fi->image, BLOCK_SIZE);
	}
}

void fx_crash(struct fx *fx)
{
	sim_executor_drop(fx->x);
	add_flying(fx, &fx->flying);
	add_flying(fx, &fx->held);
	while (fx->unflushed_count > 0) {
		size_t i = sim_executor_random(fx->x, fx->unflushed_count);

		tear(fx, &fx->unflushed[i]);
		fx->unflushed[i] = fx->unflushed[--fx->unflushed_count];
	}
}

/* ------------------------------------------------------ the fake journal */

static seq_t journal_assign(struct journal *j, const struct journal_entry *e)
{
	if (j->fill == FX_BLOCK_ENTRIES) {
		j->fill = 0;
		j->tail++;
		ck_assert_uint_lt(j->tail, FX_SEQS);
		if (!j->quiet)
			map_tail_moved(j->fx->map, j->tail);
	}
	j->fill++;
	j->entry_holds[j->tail]++;
	ck_assert_uint_lt(j->log_count, FX_LOG_MAX);
	j->log[j->log_count++] = (struct fx_log){j->tail, *e};
	return j->tail;
}

/* What follows is side by side in one block. */
static void journal_want(struct journal *j, unsigned n)
{
	ck_assert_uint_le(n, FX_BLOCK_ENTRIES);
	if (j->fill + n > FX_BLOCK_ENTRIES)
		j->fill = FX_BLOCK_ENTRIES;
}

void journal_append(struct journal *j, struct journal_op *op)
{
	ck_assert(queue_is_current(j->fx->journal_queue));
	if (readonly_entered(&j->fx->readonly)) {
		completion_finish(&op->done, -VDO_EREADONLY);
		return;
	}
	op->point.seq = journal_assign(j, &op->entry);
	op->point.entry = (uint16_t)(j->fill - 1);
	completion_finish(&op->done, 0);
}

void fx_tail(struct fx *fx, seq_t tail)
{
	fx->journal.tail = MAX(tail, fx->journal.tail);
	map_tail_moved(fx->map, tail);
}

void journal_hold_map(struct journal *j, seq_t seq)
{
	ck_assert_int_gt(j->map_holds[seq] + j->entry_holds[seq], 0);
	j->map_holds[seq]++;
}

void journal_release_map(struct journal *j, seq_t seq)
{
	ck_assert_int_gt(j->map_holds[seq], 0);
	j->map_holds[seq]--;
}

void journal_release_entry(struct journal *j, seq_t seq)
{
	ck_assert_int_gt(j->entry_holds[seq], 0);
	j->entry_holds[seq]--;
}

void journal_release_entries(struct journal *j, seq_t seq, unsigned n)
{
	ck_assert_int_ge(j->entry_holds[seq], (int)n);
	j->entry_holds[seq] -= (int)n;
}

static unsigned sum(const int *counts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FX_SEQS; i++)
		n += (unsigned)counts[i];
	return n;
}

unsigned fx_map_holds(const struct fx *fx)
{
	return sum(fx->journal.map_holds);
}

unsigned fx_entry_holds(const struct fx *fx)
{
	return sum(fx->journal.entry_holds);
}

/* -------------------------------------------------------- the fake depot */

const struct slab_geometry *depot_geometry(const struct depot *d)
{
	return &d->geometry;
}

unsigned depot_zone_count(const struct depot *d)
{
	return FX_PHYSICAL;
}

struct queue *depot_queue(const struct depot *d, unsigned zone)
{
	ck_assert_uint_lt(zone, FX_PHYSICAL);
	return d->queues[zone];
}

static int allocate(struct depot *d, struct alloc_op *op)
{
	uint64_t n = d->next[op->zone];
	uint64_t slab = n / FX_DATA_BLOCKS * FX_PHYSICAL + op->zone;
	pbn_t pbn = slab_start(&d->geometry, slab) + n % FX_DATA_BLOCKS;

	if (readonly_entered(&d->fx->readonly))
		return -VDO_EREADONLY;
	if (d->available == 0)
		return -ENOSPC;
	ck_assert(is_data_block(&d->geometry, pbn));
	ck_assert_uint_eq(d->refs[pbn], 0);
	d->available--;
	d->next[op->zone]++;
	d->refs[pbn] = 255;
	d->locks++;
	op->lock = calloc(1, sizeof(*op->lock));
	op->lock->pbn = pbn;
	op->lock->type = op->type;
	op->lock->provisional = true;
	return 0;
}

bool depot_allocate(struct depot *d, struct alloc_op *op)
{
	int r;

	ck_assert(queue_is_current(d->queues[op->zone]));
	ck_assert_int_eq(op->type, PBN_LOCK_MAP_WRITE);
	r = allocate(d, op);
	if (sim_executor_random(d->fx->x, 2)) {
		completion_fail(&op->done, r);
		return true;
	}
	completion_finish(&op->done, r);
	return false;
}

static int adjust(struct depot *d, struct refs_op *op)
{
	struct journal_point *last =
		&d->last[slab_of(&d->geometry, op->pbn)];

	if (readonly_entered(&d->fx->readonly))
		return -VDO_EREADONLY;
	/* I11: in the order of the journal. */
	ck_assert(point_before(*last, op->point));
	*last = op->point;
	ck_assert_uint_eq(d->refs[op->pbn], 255);
	d->refs[op->pbn] = REFS_MAX;
	d->adjusted++;
	return 0;
}

bool depot_adjust(struct depot *d, struct refs_op *op)
{
	unsigned zone = slab_of(&d->geometry, op->pbn) % FX_PHYSICAL;
	int r;

	ck_assert(queue_is_current(d->queues[zone]));
	ck_assert_int_eq(op->kind, REFS_MAP_INCREMENT);
	r = adjust(d, op);
	if (sim_executor_random(d->fx->x, 2)) {
		completion_fail(&op->done, r);
		return true;
	}
	completion_finish(&op->done, r);
	return false;
}

void depot_unlock(struct depot *d, unsigned zone, struct pbn_lock *lock)
{
	ck_assert(queue_is_current(d->queues[zone]));
	ck_assert_uint_gt(d->locks, 0);
	d->locks--;
	if (d->refs[lock->pbn] == 255)
		d->refs[lock->pbn] = 0;
	free(lock);
}

/* ------------------------------------------------------------------ life */

static void zone_upcall(struct completion *c)
{
	struct fx_upcall *u = container_of(c, struct fx_upcall, run);

	map_read_only(u->fx->map, u->zone);
}

static void enter_read_only(void *arg)
{
	struct fx *fx = arg;

	for (unsigned i = 0; i < fx->o.zones; i++) {
		fx->upcall[i].fx = fx;
		fx->upcall[i].zone = i;
		completion_init(&fx->upcall[i].run, fx->zones[i], zone_upcall);
		completion_post(&fx->upcall[i].run);
	}
}

static void flush_failed(void *arg, int result)
{
	struct fx *fx = arg;

	readonly_enter(&fx->readonly, result, "flush");
}

static void log_fn(void *arg, enum vdo_log_level level, const char *text)
{
	struct fx *fx = arg;

	if (level == VDO_LOG_ERROR)
		fx->errors++;
}

static void make_map(struct fx *fx)
{
	struct map_config c = {
		.zone_count = fx->o.zones,
		.queues = fx->zones,
		.journal_queue = fx->journal_queue,
		.storage = &fx->storage,
		.sync = &fx->sync,
		.readonly = &fx->readonly,
		.log = &fx->log,
		.journal = &fx->journal,
		.depot = &fx->depot,
		.sb = &fx->sb,
		.cache_pages = MAX(fx->o.cache_pages, 1),
		.maximum_age = fx->o.maximum_age,
		.journal_tail = fx->journal.tail,
	};

	ck_assert_int_eq(map_create(&c, &fx->map), 0);
}

static struct queue *make_queue(struct fx *fx, const char *name)
{
	struct queue *q;

	ck_assert_int_eq(executor_queue(fx->x, name, 0, &q), 0);
	return q;
}

static void make_disk(struct fx *fx)
{
	fx->now = calloc(FX_BLOCKS, BLOCK_SIZE);
	fx->durable = calloc(FX_BLOCKS, BLOCK_SIZE);
	list_init(&fx->flying);
	list_init(&fx->held);
	fx->device.submit = disk_submit;
	fx->device.ctx = fx;
	fx->device.size_bytes = (uint64_t)FX_BLOCKS * BLOCK_SIZE;
	fx->device.flags = VDO_DEVICE_VOLATILE_CACHE;
	storage_init(&fx->storage, &fx->device, 0);
}

struct fx *fx_create(const struct fx_options *o)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->o = *o;
	fx->o.zones = MAX(o->zones, 1);
	if (o->maximum_age == 0)
		fx->o.maximum_age = 1000;
	if (o->logical_blocks == 0)
		fx->o.logical_blocks = 1 << 27;
	fx->x = sim_executor_create(o->seed);
	for (unsigned i = 0; i < fx->o.zones; i++)
		fx->zones[i] = make_queue(fx, "logical");
	fx->journal_queue = make_queue(fx, "journal");
	fx->sync_queue = make_queue(fx, "sync");
	fx->log = (struct log){log_fn, fx};
	make_disk(fx);
	readonly_init(&fx->readonly, &fx->storage, &fx->log, enter_read_only,
		      fx);
	sync_init(&fx->sync, fx->sync_queue, &fx->storage, flush_failed, fx);
	fx->journal.fx = fx;
	fx->journal.tail = 1;
	fx->journal.durable_head = 1;
	fx->journal.log = calloc(FX_LOG_MAX, sizeof(*fx->journal.log));
	fx->depot.fx = fx;
	fx->depot.available = UINT32_MAX;
	for (unsigned i = 0; i < FX_PHYSICAL; i++)
		fx->depot.queues[i] = make_queue(fx, "physical");
	fx->depot.geometry = (struct slab_geometry){
		.first_block = FX_FIRST_BLOCK,
		.slab_shift = FX_SLAB_SHIFT,
		.slab_count = FX_SLABS,
		.data_blocks = FX_DATA_BLOCKS,
	};
	fx->sb.logical_blocks = fx->o.logical_blocks;
	fx->sb.nonce = FX_NONCE;
	fx->sb.root_origin = FX_ROOT_ORIGIN;
	fx->sb.root_count = ROOT_COUNT;
	make_map(fx);
	return fx;
}

void fx_reopen(struct fx *fx)
{
	map_destroy(fx->map);
	fx->journal.tail++;
	fx->journal.fill = 0;
	make_map(fx);
}

void fx_destroy(struct fx *fx)
{
	struct list_node *n;

	executor_destroy(fx->x);
	map_destroy(fx->map);
	list_splice(&fx->flying, &fx->held);
	while ((n = list_pop(&fx->flying)) != NULL)
		free_io(list_entry(n, struct fx_io, link));
	free(fx->journal.log);
	free(fx->now);
	free(fx->durable);
	free(fx->unflushed);
	free(fx);
}

void fx_run(struct fx *fx)
{
	/* More than any test needs: what runs for ever is an error too. */
	ck_assert_uint_lt(sim_executor_run(fx->x, 20000000), 20000000);
	ck_assert(map_sane(fx->map));
}

/* -------------------------------------------------------------- requests */

static void req_end(struct fx_req *req)
{
	req->result = req->op.done.result;
	req->done = true;
}

static void req_got(struct completion *c)
{
	struct fx_req *req = container_of(c, struct fx_req, op.done);

	req->value = req->op.value;
	req_end(req);
}

static void req_ended(struct completion *c)
{
	req_end(container_of(c, struct fx_req, op.done));
}

static void req_put(struct completion *c)
{
	struct fx_req *req = container_of(c, struct fx_req, hop);

	completion_init(&req->op.done, req->fx->zones[req->zone], req_ended);
	req->op.value = req->value;
	if (req->run == 0) {
		if (map_put(req->fx->map, req->zone, &req->op))
			req_end(req);
		return;
	}
	req->op.run = (struct map_run){
		.changes = req->changes,
		.news = req->news,
		.count = req->run,
	};
	if (map_put_run(req->fx->map, req->zone, &req->op))
		req_end(req);
}

static void req_journal_run(struct fx_req *req, struct journal_entry e)
{
	journal_want(&req->fx->journal, req->run);
	for (unsigned i = 0; i < req->run; i++) {
		e.slot = req->changes[i].slot;
		if (req->news != NULL)
			e.new_mapping = req->news[i];
		req->op.seq = journal_assign(&req->fx->journal, &e);
	}
}

static void req_journal(struct completion *c)
{
	struct fx_req *req = container_of(c, struct fx_req, hop);
	struct journal_entry e = {
		.operation = JOURNAL_DATA,
		.page = req->op.page,
		.slot = req->op.slot,
		.new_mapping = req->value,
	};

	if (req->run == 0)
		req->op.seq = journal_assign(&req->fx->journal, &e);
	else
		req_journal_run(req, e);
	completion_init(&req->hop, req->fx->zones[req->zone], req_put);
	completion_post(&req->hop);
}

static void req_get(struct fx_req *req)
{
	struct fx *fx = req->fx;
	bool over;

	completion_init(&req->op.done, fx->zones[req->zone], req_got);
	if (req->run == 0) {
		over = map_get(fx->map, req->zone, &req->op);
	} else {
		req->op.run = (struct map_run){
			.changes = req->changes,
			.end = (uint16_t)(req->op.slot + req->run),
		};
		over = map_get_run(fx->map, req->zone, &req->op);
	}
	if (over)
		req_got(&req->op.done);
}

static void req_found(struct completion *c)
{
	struct fx_req *req = container_of(c, struct fx_req, op.done);
	struct fx *fx = req->fx;

	if (c->result != 0 || req->create || req->op.page == 0) {
		req->value = (struct mapping){0, 0};
		req_end(req);
	} else if (req->write) {
		completion_init(&req->hop, fx->journal_queue, req_journal);
		completion_post(&req->hop);
	} else {
		req_get(req);
	}
}

static void req_begin(struct completion *c)
{
	struct fx_req *req = container_of(c, struct fx_req, hop);

	completion_init(&req->op.done, req->fx->zones[req->zone], req_found);
	req->op.allocate = req->write || req->create;
	req->op.alloc_zone = req->op.lbn % FX_PHYSICAL;
	if (map_find(req->fx->map, req->zone, &req->op))
		req_found(&req->op.done);
}

void fx_start(struct fx *fx, struct fx_req *req, lbn_t lbn)
{
	req->fx = fx;
	req->done = false;
	req->op.lbn = lbn;
	req->zone = map_zone_of(fx->map, lbn);
	completion_init(&req->hop, fx->zones[req->zone], req_begin);
	completion_post(&req->hop);
}

static int do_one(struct fx *fx, struct fx_req *req, lbn_t lbn)
{
	fx_start(fx, req, lbn);
	fx_run(fx);
	return req->done ? req->result : -EINPROGRESS;
}

int fx_write(struct fx *fx, lbn_t lbn, struct mapping value)
{
	struct fx_req req = {.write = true, .value = value};

	return do_one(fx, &req, lbn);
}

int fx_read(struct fx *fx, lbn_t lbn, struct mapping *value)
{
	struct fx_req req = {.write = false};
	int r = do_one(fx, &req, lbn);

	*value = req.value;
	return r;
}

int fx_make(struct fx *fx, lbn_t lbn, pbn_t *page)
{
	struct fx_req req = {.create = true};
	int r = do_one(fx, &req, lbn);

	*page = req.op.page;
	return r;
}

static void drain_ended(struct completion *c)
{
	container_of(c, struct fx_drain, done)->ended = true;
}

void fx_drain_start(struct fx *fx, bool save, struct fx_drain *drain)
{
	drain->ended = false;
	completion_init(&drain->done, fx->journal_queue, drain_ended);
	map_drain(fx->map, save, &drain->done);
}

int fx_drain(struct fx *fx, bool save)
{
	static struct fx_drain drain;

	fx_drain_start(fx, save, &drain);
	fx_run(fx);
	return drain.ended ? drain.done.result : -EINPROGRESS;
}

struct mapping fx_mapping(uint64_t n)
{
	return (struct mapping){
		.pbn = FX_FIRST_BLOCK +
		       (n % FX_SLABS << FX_SLAB_SHIFT) + n % FX_DATA_BLOCKS,
		.state = (uint8_t)(1 + n % 15),
	};
}
