/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/depot_fixture.h"

#include <stdio.h>
#include <sys/mman.h>

static struct fx *journal_fx; /* the stub's; one fixture at a time */

void journal_hold_slab(struct journal *j, seq_t seq)
{
	journal_fx->holds[seq % 4096]++;
}

void journal_release_slab(struct journal *j, seq_t seq)
{
	ck_assert_int_gt(journal_fx->holds[seq % 4096]--, 0);
}

/* ------------------------------------------------------------- device */

static uint64_t get_size(void *ctx)
{
	return ((struct fx_device *)ctx)->blocks * BLOCK_SIZE;
}

static unsigned get_flags(void *ctx)
{
	return VDO_DEVICE_VOLATILE_CACHE;
}

static void flush(struct fx_device *v)
{
	for (uint64_t i = v->first; i < v->end; i++) {
		if (!v->unflushed[i])
			continue;
		memcpy(v->durable + i * BLOCK_SIZE, v->data + i * BLOCK_SIZE,
		       BLOCK_SIZE);
		v->unflushed[i] = 0;
	}
	v->first = v->blocks;
	v->end = 0;
}

static void set_unflushed(struct fx_device *v, uint64_t block, uint64_t n)
{
	memset(v->unflushed + block, 1, n);
	v->first = MIN(v->first, block);
	v->end = MAX(v->end, block + n);
}

static void carry_out(struct fx_device *v, struct vdo_device_io *io)
{
	uint8_t *at = v->data + io->offset;

	if (io->op == VDO_DEVICE_FLUSH)
		flush(v);
	for (unsigned i = 0; i < io->iov_count; i++) {
		const struct iovec *vec = &io->iov[i];

		if (io->op == VDO_DEVICE_READ) {
			memcpy(vec->iov_base, at, vec->iov_len);
		} else {
			memcpy(at, vec->iov_base, vec->iov_len);
			set_unflushed(v, (uint64_t)(at - v->data) / BLOCK_SIZE,
				      vec->iov_len / BLOCK_SIZE);
		}
		at += vec->iov_len;
	}
	io->complete(io, 0);
}

static bool is_held(const struct fx_device *v, enum vdo_device_op op, pbn_t pbn)
{
	switch (op) {
	case VDO_DEVICE_FLUSH:
		return v->hold_flushes;
	case VDO_DEVICE_DISCARD:
		return v->hold_discards;
	case VDO_DEVICE_WRITE:
		return pbn >= v->hold_from && pbn < v->hold_to;
	case VDO_DEVICE_READ:
		return pbn >= v->read_from && pbn < v->read_to;
	default:
		return false;
	}
}

static void submit(void *ctx, struct vdo_device_io *io)
{
	struct fx_device *v = ctx;
	pbn_t pbn = io->offset / BLOCK_SIZE + FX_OFFSET;

	if (v->dead) {
		io->complete(io, -EIO);
		return;
	}
	if (v->log_count < ARRAY_SIZE(v->log))
		v->log[v->log_count++] = (struct fx_log){
			io->op, pbn, io->length / BLOCK_SIZE};
	if (v->fail_in > 0 && --v->fail_in == 0) {
		io->complete(io, -EIO);
	} else if (is_held(v, io->op, pbn)) {
		ck_assert_uint_lt(v->held_count, FX_HELD);
		v->held[v->held_count++] = io;
	} else {
		carry_out(v, io);
	}
}

static const struct vdo_device_ops device_ops = {
	.size = sizeof(device_ops),
	.get_size = get_size,
	.get_flags = get_flags,
	.submit = submit,
};

void fx_release(struct fx *f)
{
	unsigned n = f->dev.held_count;

	f->dev.hold_from = f->dev.hold_to = 0;
	f->dev.read_from = f->dev.read_to = 0;
	f->dev.hold_flushes = f->dev.hold_discards = false;
	f->dev.held_count = 0;
	for (unsigned i = 0; i < n; i++)
		carry_out(&f->dev, f->dev.held[i]);
	fx_run(f);
}

uint8_t *fx_block(struct fx *f, pbn_t pbn)
{
	return f->dev.data + (pbn - FX_OFFSET) * BLOCK_SIZE;
}

uint8_t *fx_entry(struct fx *f, unsigned copy, unsigned slab)
{
	return fx_block(f, FX_SUMMARY(f) + copy * SUMMARY_ZONE_BLOCKS) +
	       slab * SUMMARY_ENTRY_SIZE;
}

/* ------------------------------------------------------------- depot */

void fx_run(struct fx *f)
{
	while (f->x->ops->poll(f->x, 0) > 0)
		;
	ck_assert(f->by_hand || depot_sane(f->d));
}

/* With DEPOT_LOG in the environment, for people. */
static void print_line(void *arg, enum vdo_log_level level, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static void sync_failed(void *arg, int result)
{
	struct fx *f = arg;

	readonly_enter(&f->ro, result, "flush");
}

static void visit_zone(struct completion *c)
{
	struct fx *f = journal_fx;

	depot_read_only(f->d, (unsigned)(c - f->ro_posts));
}

static void read_only(void *arg)
{
	struct fx *f = arg;

	for (unsigned i = 0; i < f->zones; i++) {
		completion_init(&f->ro_posts[i], f->queues[i], visit_zone);
		completion_post(&f->ro_posts[i]);
	}
}

static void open_depot(struct fx *f, unsigned zones, unsigned locks)
{
	struct depot_config c = {
		.zone_count = zones,
		.queues = f->queues,
		.storage = &f->storage,
		.sync = &f->sync,
		.readonly = &f->ro,
		.log = &f->logger,
		.sb = &f->sb,
		.locks_max = locks ? locks : 4096,
		.counts_memory = f->counts_memory,
	};

	f->zones = zones;
	storage_init(&f->storage, f->device, FX_OFFSET);
	sync_init(&f->sync, f->sync_queue, &f->storage, sync_failed, f);
	readonly_init(&f->ro, &f->storage, &f->logger, read_only, f);
	ck_assert_int_eq(depot_create(&c, &f->d), 0);
}

/* Untouched parts cost nothing, not even under a sanitizer. */
static void *area(struct fx *f)
{
	void *p = mmap(NULL, f->dev.blocks * BLOCK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert(p != MAP_FAILED);
	return p;
}

struct fx *fx_create(struct fx_config c)
{
	struct fx *f = calloc(1, sizeof(*f));
	uint64_t size = UINT64_C(1) << c.slab_bits;
	pbn_t end = FX_FIRST + c.slabs * size;
	struct superblock *sb = &f->sb;

	journal_fx = f;
	f->seq = 1;
	if (getenv("DEPOT_LOG") != NULL)
		f->logger.fn = print_line;
	sb->nonce = FX_NONCE;
	sb->depot_first_block = FX_FIRST;
	sb->depot_last_block = end;
	sb->partitions[PARTITION_SUMMARY].start = end;
	sb->partitions[PARTITION_SUMMARY].count = SUMMARY_BLOCKS;
	ck_assert_int_eq(slab_config_compute(size, c.journal_blocks, &sb->slab),
			 0);
	f->dev.blocks = end + SUMMARY_BLOCKS - FX_OFFSET;
	f->dev.data = area(f);
	f->dev.durable = area(f);
	f->dev.unflushed = calloc(f->dev.blocks, 1);
	ck_assert_int_eq(
		vdo_device_open_custom(&device_ops, &f->dev, &f->device), 0);
	ck_assert_int_eq(executor_inline_create(&f->x), 0);
	for (unsigned i = 0; i < PHYSICAL_ZONES_MAX; i++)
		ck_assert_int_eq(executor_queue(f->x, "zone", i, &f->queues[i]),
				 0);
	ck_assert_int_eq(executor_queue(f->x, "sync", 0, &f->sync_queue), 0);
	open_depot(f, c.zones, c.locks);
	return f;
}

static void start(struct fx *f, unsigned zones)
{
	f->sb.zone_count = (uint8_t)f->zones;
	memset(f->holds, 0, sizeof(f->holds));
	f->dev.fail_in = 0;
	f->dev.hold_from = f->dev.hold_to = 0;
	f->dev.read_from = f->dev.read_to = 0;
	open_depot(f, zones, 0);
}

/* Each sector of what was not flushed is kept or lost; often all of a block. */
static void crash(struct fx_device *v, unsigned *seed)
{
	for (uint64_t i = v->first; i < v->end; i++) {
		int fate = rand_r(seed) % 3;

		if (!v->unflushed[i])
			continue;
		for (unsigned k = 0; k < SECTORS_PER_BLOCK; k++) {
			size_t at = i * BLOCK_SIZE + k * SECTOR_SIZE;

			if (fate == 0 || (fate == 1 && rand_r(seed) % 2))
				memcpy(v->data + at, v->durable + at,
				       SECTOR_SIZE);
			else
				memcpy(v->durable + at, v->data + at,
				       SECTOR_SIZE);
		}
		v->unflushed[i] = 0;
	}
	v->first = v->blocks;
	v->end = 0;
}

void fx_crash(struct fx *f, unsigned zones, unsigned *seed)
{
	crash(&f->dev, seed);
	/* What is written from now on comes too late. */
	f->dev.dead = true;
	f->dev.held_count = 0;
	fx_run(f);
	depot_destroy(f->d);
	f->dev.dead = false;
	start(f, zones);
}

void fx_reopen(struct fx *f, unsigned zones)
{
	fx_run(f);
	depot_destroy(f->d);
	start(f, zones);
}

void fx_destroy(struct fx *f)
{
	fx_run(f);
	depot_destroy(f->d);
	executor_destroy(f->x);
	vdo_device_close(f->device);
	munmap(f->dev.data, f->dev.blocks * BLOCK_SIZE);
	munmap(f->dev.durable, f->dev.blocks * BLOCK_SIZE);
	free(f->dev.unflushed);
	free(f);
}

static void over(struct completion *c)
{
	container_of(c, struct fx_wait, done)->over = true;
}

static struct completion *new_wait(struct fx *f)
{
	struct fx_wait *w = &f->waits[f->wait_count++ % FX_WAITS];

	w->over = false;
	completion_init(&w->done, f->sync_queue, over);
	return &w->done;
}

int fx_result(struct fx *f)
{
	struct fx_wait *w = &f->waits[(f->wait_count - 1) % FX_WAITS];

	fx_run(f);
	return w->over ? w->done.result : -EINPROGRESS;
}

static enum depot_origin origin(const struct fx *f, bool is_new)
{
	if (is_new)
		return DEPOT_NEW;
	if (f->sb.state == VOLUME_CLEAN)
		return DEPOT_SAVED;
	return f->sb.state == VOLUME_RECOVERING ? DEPOT_UNSCRUBBED
						: DEPOT_CRASHED;
}

int fx_replay(struct fx *f, const struct replay_entry *entries, size_t count)
{
	for (size_t at = 0, n; at < count; at += n) {
		int r;

		n = MIN(count - at, JOURNAL_ENTRIES_PER_BLOCK);
		depot_replay(f->d, entries + at, n, new_wait(f));
		r = fx_result(f);
		if (r != 0)
			return r;
	}
	return 0;
}

int fx_replayed(struct fx *f)
{
	depot_replayed(f->d, new_wait(f));
	return fx_result(f);
}

static void begin_load(struct fx *f, bool is_new)
{
	struct journal_point end = {f->seq + 1, 0};

	if (origin(f, is_new) == DEPOT_CRASHED)
		depot_set_points_end(f->d, point_pack(end));
	depot_load(f->d, origin(f, is_new), new_wait(f));
}

int fx_load_journals(struct fx *f)
{
	begin_load(f, false);
	return fx_result(f);
}

int fx_start(struct fx *f)
{
	int r;

	depot_start(f->d, new_wait(f));
	r = fx_result(f);
	return r == 0 ? readonly_reason(&f->ro) : r;
}

int fx_resume(struct fx *f)
{
	depot_resume(f->d, new_wait(f));
	return fx_result(f);
}

int fx_load(struct fx *f, bool is_new)
{
	int r;

	begin_load(f, is_new);
	r = fx_result(f);
	if (r == 0 && f->d->origin == DEPOT_CRASHED)
		r = fx_replayed(f);
	return r != 0 ? r : fx_start(f);
}

int fx_drain(struct fx *f, bool save)
{
	depot_drain(f->d, save, new_wait(f));
	return fx_result(f);
}

struct call {
	struct completion c;
	struct fx *f;
	void (*fn)(struct fx *f, void *arg);
	void *arg;
};

static void run_call(struct completion *c)
{
	struct call *call = container_of(c, struct call, c);

	call->fn(call->f, call->arg);
}

void fx_on(struct fx *f, unsigned zone, void (*fn)(struct fx *f, void *arg),
	   void *arg)
{
	struct call call = {.f = f, .fn = fn, .arg = arg};

	completion_init(&call.c, f->queues[zone], run_call);
	completion_post(&call.c);
	fx_run(f);
}

static void allocated(struct completion *c)
{
	container_of(c, struct fx_allocation, op.done)->over = true;
}

static void allocate(struct fx *f, void *arg)
{
	struct fx_allocation *a = arg;

	if (depot_allocate(f->d, &a->op))
		a->over = true;
}

struct fx_allocation *fx_allocate_start(struct fx *f, unsigned zone)
{
	struct fx_allocation *a = calloc(1, sizeof(*a));

	a->op.type = PBN_LOCK_WRITE;
	a->op.zone = zone;
	completion_init(&a->op.done, f->queues[zone], allocated);
	fx_on(f, zone, allocate, a);
	return a;
}

struct pbn_lock *fx_allocate(struct fx *f, unsigned zone, int *result)
{
	struct fx_allocation *a = fx_allocate_start(f, zone);
	struct pbn_lock *lock = a->op.lock;

	ck_assert(a->over);
	ck_assert_int_eq(a->op.done.result == 0, lock != NULL);
	if (result != NULL)
		*result = a->op.done.result;
	else
		ck_assert_int_eq(a->op.done.result, 0);
	free(a);
	return lock;
}

static unsigned zone_of(struct fx *f, pbn_t pbn)
{
	return is_data_block(depot_geometry(f->d), pbn)
		       ? depot_zone_of(f->d, pbn)
		       : 0;
}

static void locked(struct completion *c)
{
	container_of(c, struct fx_locking, op.done)->over = true;
}

static void lock_read(struct fx *f, void *arg)
{
	struct fx_locking *l = arg;

	if (depot_lock_read(f->d, zone_of(f, l->op.pbn), &l->op))
		l->over = true;
}

struct fx_locking *fx_lock_start(struct fx *f, pbn_t pbn)
{
	struct fx_locking *l = calloc(1, sizeof(*l));

	l->op.pbn = pbn;
	completion_init(&l->op.done, f->queues[zone_of(f, pbn)], locked);
	fx_on(f, zone_of(f, pbn), lock_read, l);
	return l;
}

struct pbn_lock *fx_lock_read(struct fx *f, pbn_t pbn)
{
	struct fx_locking *l = fx_lock_start(f, pbn);
	struct pbn_lock *lock = l->op.lock;

	ck_assert(l->over);
	free(l);
	return lock;
}

static void unlock(struct fx *f, void *arg)
{
	struct pbn_lock *lock = arg;

	depot_unlock(f->d, depot_zone_of(f->d, lock->pbn), lock);
}

void fx_unlock(struct fx *f, struct pbn_lock *lock)
{
	fx_on(f, depot_zone_of(f->d, lock->pbn), unlock, lock);
}

static void adjusted(struct completion *c)
{
	container_of(c, struct fx_adjust, op.done)->over = true;
}

static void adjust(struct fx *f, void *arg)
{
	struct fx_adjust *a = arg;

	if (depot_adjust(f->d, &a->op))
		a->over = true;
}

struct fx_adjust *fx_adjust_start(struct fx *f, pbn_t pbn, enum refs_kind kind)
{
	struct fx_adjust *a = calloc(1, sizeof(*a));

	a->op.kind = kind;
	a->op.pbn = pbn;
	a->op.point = (struct journal_point){f->seq, f->entry};
	if (++f->entry == 217) {
		f->seq++;
		f->entry = 0;
	}
	completion_init(&a->op.done, f->sync_queue, adjusted);
	fx_on(f, depot_zone_of(f->d, pbn), adjust, a);
	return a;
}

int fx_adjust(struct fx *f, pbn_t pbn, enum refs_kind kind)
{
	struct fx_adjust *a = fx_adjust_start(f, pbn, kind);
	int r = a->op.done.result;

	ck_assert(a->over);
	free(a);
	return r;
}

pbn_t fx_write(struct fx *f, unsigned zone)
{
	struct pbn_lock *lock = fx_allocate(f, zone, NULL);
	pbn_t pbn = lock->pbn;

	ck_assert_int_eq(fx_adjust(f, pbn, REFS_INCREMENT), 0);
	ck_assert(!lock->provisional);
	fx_unlock(f, lock);
	return pbn;
}
