/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: two sparse mappings, what reads see (current) and what is safe (durable).
 * A block whose contents differ, or may, is dirty: a dirty_block lists the
 * versions written since it was last durable, oldest first.
 *
 *	write ---> current, versions          flush, FUA: versions ---> durable
 *	crash: versions, shuffled ---> durable ---> current
 *
 * Each submitted operation has a sim_io until it completes. The fate of an
 * operation (fault, hold) is decided at submit, its effect happens at the
 * moment it completes, and nothing is locked while complete() is called.
 */
#include "build.h"

#include "tests/lib/sim_device.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "format/types.h"
#include "io/device.h"
#include "tests/lib/sim_exec.h"

#define BUCKETS          4096u
#define VERSIONS_MAX     64u /* shuffled at a crash: the newest of a block */
#define DELAY_DEFAULT_NS 200000u
#define LATE_FACTOR	 20u

struct version {
	struct list_node link;
	uint64_t seq;
	uint64_t stamp;
	unsigned char data[BLOCK_SIZE];
};

struct dirty_block {
	struct list_node link; /* all, in the order in which they got dirty */
	struct dirty_block *next; /* of the bucket */
	uint64_t block;
	bool lost; /* what was written before can not become durable any more */
	bool stale; /* discarded, and reads show what was there, until a crash */
	struct list_node versions;
	/* In a wreck: its kind; what was durable at the crash, kept if that was
	 * real; and what is left, which one version is, or what is torn. */
	unsigned kind;
	unsigned char *before, *torn;
	const unsigned char *left;
	uint64_t before_stamp, left_stamp;
};

/* One opening of the device. */
struct plug {
	struct list_node link;
	struct sim_device *sd;
	struct executor *sim;
	struct vdo_device *device;
	uint64_t life;
};

struct sim_io {
	struct list_node link;
	struct sim_event event;
	struct plug *plug;
	struct sim_device *sd;
	uint64_t life;
	struct vdo_device_io *io;
	uint64_t seq; /* completed writes when this was submitted */
	int fault;
	bool held;
};

struct sim_device {
	struct sim_device_config config;
	pthread_mutex_t lock;
	uint64_t random;
	unsigned char *current;
	unsigned char *durable;
	/* Equal stamps of a block: equal bytes. */
	uint64_t stamp, *current_stamps, *durable_stamps;
	bool pretending; /* then blocks of the wreck are shown as they are left */
	struct dirty_block **shown;
	struct dirty_block *buckets[BUCKETS];
	struct list_node dirty;
	struct list_node wreck; /* what was dirty at the crash */
	struct list_node ios;
	struct list_node plugs;
	uint64_t life; /* counts crashes */
	bool crashed;
	uint64_t crash_in; /* operations; 0: never */
	uint64_t focus;	   /* a block, or SIM_NO_FOCUS */
	bool kill_only;
	sim_kind_fn kind;
	void *kind_arg;
	uint64_t delays[SIM_KINDS];
	uint64_t seq;      /* of completed writes */
	uint64_t settled;  /* of those that a flush has covered */
	struct sim_fault faults[SIM_FAULTS_MAX];
	unsigned fault_count;
	sim_match_fn match;
	void *match_arg;
	uint64_t counts[4], failed[4];
	uint64_t cut; /* blocks that openings find; 0: all */
	uint64_t fua_count;
};

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_below(struct sim_device *sd, uint64_t limit)
{
	uint64_t z = sd->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % limit;
}

static void lock(struct sim_device *sd)
{
	pthread_mutex_lock(&sd->lock);
}

static void unlock(struct sim_device *sd)
{
	pthread_mutex_unlock(&sd->lock);
}

/* Dirty blocks. */

static struct dirty_block **find_dirty(struct sim_device *sd, uint64_t block)
{
	struct dirty_block **p =
		&sd->buckets[block * 0x9e3779b97f4a7c15u >> 52];

	while (*p != NULL && (*p)->block != block)
		p = &(*p)->next;
	return p;
}

static struct dirty_block *make_dirty(struct sim_device *sd, uint64_t block)
{
	struct dirty_block **p = find_dirty(sd, block);

	if (*p == NULL) {
		*p = must(calloc(1, sizeof(**p)));
		(*p)->block = block;
		list_init(&(*p)->versions);
		list_push_back(&sd->dirty, &(*p)->link);
	}
	return *p;
}

static struct dirty_block *add_version(struct sim_device *sd, uint64_t block,
				       const unsigned char *data, uint64_t seq,
				       uint64_t stamp)
{
	struct dirty_block *b = make_dirty(sd, block);
	struct version *v = must(malloc(sizeof(*v)));

	v->seq = seq;
	v->stamp = stamp;
	memcpy(v->data, data, BLOCK_SIZE);
	list_push_back(&b->versions, &v->link);
	return b;
}

static void free_dirty(struct dirty_block *b)
{
	struct list_node *n;

	while ((n = list_pop(&b->versions)) != NULL)
		free(list_entry(n, struct version, link));
	list_remove(&b->link);
	free(b->before);
	free(b->torn);
	free(b);
}

static void forget_dirty(struct sim_device *sd, uint64_t block)
{
	struct dirty_block **p = find_dirty(sd, block);
	struct dirty_block *b = *p;

	if (b == NULL)
		return;
	*p = b->next;
	free_dirty(b);
}

static unsigned char *durable_at(struct sim_device *sd, uint64_t block)
{
	return sd->durable + block * BLOCK_SIZE;
}

static unsigned char *current_at(struct sim_device *sd, uint64_t block)
{
	return sd->current + block * BLOCK_SIZE;
}

/* A flush that was submitted at @seq is over. */
static void settle(struct sim_device *sd, uint64_t seq)
{
	list_for_each_safe(n, &sd->dirty) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		list_for_each_safe(m, &b->versions) {
			struct version *v = list_entry(m, struct version, link);

			if (v->seq > seq)
				break;
			memcpy(durable_at(sd, b->block), v->data, BLOCK_SIZE);
			sd->durable_stamps[b->block] = v->stamp;
			list_remove(m);
			free(v);
			b->lost = false;
		}
		if (list_empty(&b->versions) && !b->lost && !b->stale)
			forget_dirty(sd, b->block);
	}
}

/* A flush that was submitted at @seq has failed: as with page caches, some of
 * what it should have covered is not written by the next one, either. */
static void unsettle(struct sim_device *sd, uint64_t seq)
{
	list_for_each_safe(n, &sd->dirty) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		if (random_below(sd, 2) == 0)
			continue;
		list_for_each_safe(m, &b->versions) {
			struct version *v = list_entry(m, struct version, link);

			if (v->seq > seq)
				break;
			list_remove(m);
			free(v);
			b->lost = true;
		}
	}
}

/* One block of a write that completes. */
static void put_block(struct sim_device *sd, uint64_t block,
		      const unsigned char *data, bool durable)
{
	memcpy(current_at(sd, block), data, BLOCK_SIZE);
	sd->current_stamps[block] = ++sd->stamp;
	if (!durable) {
		add_version(sd, block, data, sd->seq, sd->stamp)->stale = false;
		return;
	}
	forget_dirty(sd, block);
	memcpy(durable_at(sd, block), data, BLOCK_SIZE);
	sd->durable_stamps[block] = sd->stamp;
}

/* One block of a discard that completes. Reads may go on finding what was there,
 * for good, or until a crash shows that it is gone. */
static void discard_block(struct sim_device *sd, uint64_t block, bool durable)
{
	static const unsigned char zeroes[BLOCK_SIZE];
	uint64_t roll = random_below(sd, 8);

	if (roll > 1) {
		put_block(sd, block, zeroes, durable);
		return;
	}
	if (roll == 1)
		return;
	if (!durable) {
		add_version(sd, block, zeroes, sd->seq, ++sd->stamp);
	} else {
		forget_dirty(sd, block);
		memset(durable_at(sd, block), 0, BLOCK_SIZE);
		sd->durable_stamps[block] = ++sd->stamp;
	}
	make_dirty(sd, block)->stale = true;
}

/* Vectors need not end at blocks. */
static void gather(const struct vdo_device_io *io, uint64_t skip,
		   unsigned char *block)
{
	size_t have = 0;

	for (unsigned i = 0; i < io->iov_count && have < BLOCK_SIZE; i++) {
		const struct iovec *v = &io->iov[i];
		size_t n;

		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		n = MIN(v->iov_len - skip, BLOCK_SIZE - have);
		memcpy(block + have, (const char *)v->iov_base + skip, n);
		have += n;
		skip = 0;
	}
	VDO_ASSERT(have == BLOCK_SIZE);
}

/* Content of block @i of a write or discard: where it is, or in @block. */
static const unsigned char *content(const struct vdo_device_io *io, uint64_t i,
				    unsigned char *block)
{
	static const unsigned char zeroes[BLOCK_SIZE];

	if (io->op == VDO_DEVICE_DISCARD)
		return zeroes;
	if (io->iov_count == 1)
		return (const unsigned char *)io->iov[0].iov_base +
		       i * BLOCK_SIZE;
	gather(io, i * BLOCK_SIZE, block);
	return block;
}

/* Crashes. */

/* Some sectors of @v are left. */
static void tear_block(struct sim_device *sd, struct dirty_block *b,
		       const struct version *v, unsigned sectors)
{
	if (b->torn == NULL)
		b->torn = must(malloc(BLOCK_SIZE));
	if (b->left != b->torn)
		memcpy(b->torn, b->left, BLOCK_SIZE);
	for (unsigned s = 0; s < BLOCK_SIZE / SECTOR_SIZE; s++)
		if (sectors & 1u << s)
			memcpy(b->torn + s * SECTOR_SIZE,
			       v->data + s * SECTOR_SIZE, SECTOR_SIZE);
	b->left = b->torn;
	b->left_stamp = ++sd->stamp;
}

static void keep_block(struct dirty_block *b, const struct version *v)
{
	b->left = v->data;
	b->left_stamp = v->stamp;
}

/* @keep and @tear are percentages. */
static void survive(struct sim_device *sd, struct dirty_block *b,
		    unsigned keep, unsigned tear)
{
	struct version *order[VERSIONS_MAX];
	unsigned n = 0;

	for (struct list_node *m = b->versions.prev;
	     m != &b->versions && n < VERSIONS_MAX; m = m->prev)
		order[n++] = list_entry(m, struct version, link);
	for (; n > 0; n--) {
		unsigned pick = (unsigned)random_below(sd, n);
		struct version *v = order[pick];
		unsigned roll = (unsigned)random_below(sd, 100);

		order[pick] = order[n - 1];
		if (roll < keep)
			keep_block(b, v);
		else if (roll < keep + tear)
			tear_block(sd, b, v, (unsigned)random_below(sd, 256));
	}
}

typedef void (*under_way_fn)(struct sim_device *sd, uint64_t block,
			     const unsigned char *data);

/* Each block of what is under way at a crash. */
static void for_under_way(struct sim_device *sd, under_way_fn fn)
{
	list_for_each(n, &sd->ios) {
		struct sim_io *sio = list_entry(n, struct sim_io, link);
		struct vdo_device_io *io = sio->io;
		unsigned char data[BLOCK_SIZE];

		if (sio->life != sd->life || sio->fault != 0 ||
		    (io->op != VDO_DEVICE_WRITE && io->op != VDO_DEVICE_DISCARD))
			continue;
		for (uint64_t i = 0; i < io->length / BLOCK_SIZE; i++) {
			fn(sd, io->offset / BLOCK_SIZE + i,
			   content(io, i, data));
		}
	}
}

/* It may have happened, or in part. */
static void add_under_way(struct sim_device *sd, uint64_t block,
			  const unsigned char *data)
{
	add_version(sd, block, data, sd->seq + 1, ++sd->stamp);
}

/* Nobody is told whether it happened. */
static void write_or_not(struct sim_device *sd, uint64_t block,
			 const unsigned char *data)
{
	if (random_below(sd, 2) == 0)
		put_block(sd, block, data, !sd->config.volatile_cache);
}

/* What a crash does to the blocks that are not durable. */
struct mood {
	unsigned keep, tear; /* percentages */
	/* These percentages are for some blocks, and for others the reverse. */
	enum {
		ALL_ALIKE,
		ONE_IS_OTHER,
		KIND_IS_OTHER,
		KINDS_ARE_OTHER,
		LATE_ARE_OTHER,
		ONE_IS_TORN,
	} who;
};

/* What becomes of the block in the focus: kept, lost, torn. */
static const struct mood fates[] = {
	{100, 0, ALL_ALIKE}, {100, 0, ALL_ALIKE}, {0, 0, ALL_ALIKE},
	{0, 100, ALL_ALIKE}, {0, 100, ALL_ALIKE},
};

/* And of all others: orders are between it and those of one kind or of all. */
static struct mood pick_mood_around(struct sim_device *sd)
{
	static const struct mood moods[] = {
		{0, 0, ALL_ALIKE},	   {0, 0, ALL_ALIKE},
		{100, 0, ALL_ALIKE},	   {100, 0, KIND_IS_OTHER},
		{100, 0, KINDS_ARE_OTHER}, {50, 25, ALL_ALIKE},
	};

	return moods[random_below(sd, ARRAY_SIZE(moods))];
}

static struct mood pick_mood(struct sim_device *sd)
{
	static const struct mood moods[] = {
		{0, 0, ALL_ALIKE},	  {0, 50, ALL_ALIKE},
		{10, 20, ALL_ALIKE},	  {50, 0, ALL_ALIKE},
		{50, 25, ALL_ALIKE},	  {90, 10, ALL_ALIKE},
		{100, 0, ALL_ALIKE},	  {0, 100, ALL_ALIKE},
		{100, 0, ONE_IS_OTHER},	  {0, 0, ONE_IS_OTHER},
		{100, 0, KIND_IS_OTHER},  {0, 0, KIND_IS_OTHER},
		{100, 0, KINDS_ARE_OTHER}, {100, 0, KINDS_ARE_OTHER},
		{0, 50, KINDS_ARE_OTHER}, {0, 100, KINDS_ARE_OTHER},
		{100, 0, LATE_ARE_OTHER}, {0, 0, LATE_ARE_OTHER},
		{100, 0, ONE_IS_TORN},	  {100, 0, ONE_IS_TORN},
	};

	return moods[random_below(sd, ARRAY_SIZE(moods))];
}

static struct version *newest(const struct dirty_block *b)
{
	return list_empty(&b->versions)
		       ? NULL
		       : list_entry(b->versions.prev, struct version, link);
}

static uint64_t newest_seq(const struct dirty_block *b)
{
	return newest(b) == NULL ? 0 : newest(b)->seq;
}

static unsigned kind_of(struct sim_device *sd, uint64_t block,
			const unsigned char *data)
{
	unsigned kind = sd->kind == NULL ? 0
					 : sd->kind(sd->kind_arg, block, data);

	VDO_ASSERT(kind < SIM_KINDS);
	return kind;
}

static void note_kinds(struct sim_device *sd)
{
	list_for_each(n, &sd->wreck) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		b->kind = newest(b) == NULL ? 0
					    : kind_of(sd, b->block,
						      newest(b)->data);
	}
}

/* One block of the wreck, or NULL. Each kind is as likely as any other. */
static const struct dirty_block *pick_block(struct sim_device *sd)
{
	uint64_t counts[SIM_KINDS] = {0}, n;
	unsigned kinds = 0, kind = 0;

	list_for_each(m, &sd->wreck)
		kinds += counts[list_entry(m, struct dirty_block, link)
					->kind]++ == 0;
	if (kinds == 0)
		return NULL;
	for (n = random_below(sd, kinds); counts[kind] == 0 || n-- > 0; kind++)
		continue;
	n = random_below(sd, counts[kind]);
	list_for_each(m, &sd->wreck) {
		const struct dirty_block *b =
			list_entry(m, struct dirty_block, link);

		if (b->kind == kind && n-- == 0)
			return b;
	}
	return NULL;
}

/* Which blocks are the others. */
struct others {
	uint64_t block, since;
	unsigned kinds; /* a set of bits */
};

static bool is_other(const struct mood *mood, const struct others *others,
		     const struct dirty_block *b)
{
	switch (mood->who) {
	case ALL_ALIKE:
		break;
	case ONE_IS_OTHER:
	case ONE_IS_TORN:
		return b->block == others->block;
	case KIND_IS_OTHER:
	case KINDS_ARE_OTHER:
		return others->kinds >> b->kind & 1;
	case LATE_ARE_OTHER:
		return newest_seq(b) >= others->since;
	}
	return false;
}

/* From what was durable on, what is left of @b is decided anew. */
static void begin_end(struct sim_device *sd, struct dirty_block *b)
{
	b->left = b->before != NULL ? b->before : durable_at(sd, b->block);
	b->left_stamp = b->before != NULL ? b->before_stamp
					  : sd->durable_stamps[b->block];
}

/* What is left of @b is what the storage has now. */
static void leave(struct sim_device *sd, struct dirty_block *b)
{
	if (sd->pretending)
		return;
	memcpy(durable_at(sd, b->block), b->left, BLOCK_SIZE);
	memcpy(current_at(sd, b->block), b->left, BLOCK_SIZE);
	sd->durable_stamps[b->block] = b->left_stamp;
	sd->current_stamps[b->block] = b->left_stamp;
}

/* What becomes of the wreck: one way of many. */
static void cast_lots(struct sim_device *sd)
{
	bool around = sd->focus != SIM_NO_FOCUS && random_below(sd, 4) != 0;
	struct mood mood = around ? pick_mood_around(sd) : pick_mood(sd);
	const struct mood *fate = &fates[random_below(sd, ARRAY_SIZE(fates))];
	const struct dirty_block *one = pick_block(sd);
	struct others others;

	if (one == NULL)
		return;
	others.block = one->block;
	others.since = newest_seq(one);
	others.kinds = mood.who == KIND_IS_OTHER
			       ? 1u << one->kind
			       : (unsigned)random_below(sd, 1u << SIM_KINDS);
	list_for_each(n, &sd->wreck) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		begin_end(sd, b);
		if (around && b->block == sd->focus)
			survive(sd, b, fate->keep, fate->tear);
		else if (is_other(&mood, &others, b))
			survive(sd, b, 100 - mood.keep,
				mood.who == ONE_IS_TORN ? 100 : 0);
		else
			survive(sd, b, mood.keep, mood.tear);
		leave(sd, b);
	}
}

static void clear_wreck(struct sim_device *sd)
{
	list_for_each_safe(n, &sd->wreck)
		free_dirty(list_entry(n, struct dirty_block, link));
}

static void lose_power(struct sim_device *sd)
{
	for_under_way(sd, add_under_way);
	list_for_each_safe(n, &sd->dirty) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		*find_dirty(sd, b->block) = b->next;
		list_remove(n);
		b->before = must(malloc(BLOCK_SIZE));
		memcpy(b->before, durable_at(sd, b->block), BLOCK_SIZE);
		b->before_stamp = sd->durable_stamps[b->block];
		list_push_back(&sd->wreck, &b->link);
	}
	note_kinds(sd);
	cast_lots(sd);
}

static void drop_under_way(struct sim_device *sd, struct dirty_block *b)
{
	list_for_each_safe(n, &b->versions) {
		struct version *v = list_entry(n, struct version, link);

		if (v->seq <= sd->seq)
			continue;
		list_remove(n);
		free(v);
	}
	if (list_empty(&b->versions) && !b->lost && !b->stale)
		forget_dirty(sd, b->block);
}

/* What is dirty is in the wreck until it did not happen. */
static void pretend(struct sim_device *sd)
{
	VDO_ASSERT(!sd->crashed && list_empty(&sd->wreck));
	for_under_way(sd, add_under_way);
	list_for_each_safe(n, &sd->dirty) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		list_remove(n);
		list_push_back(&sd->wreck, n);
		begin_end(sd, b);
		sd->shown[b->block] = b;
	}
	sd->pretending = true;
	note_kinds(sd);
	cast_lots(sd);
}

static void repair(struct sim_device *sd)
{
	sd->pretending = false;
	list_for_each_safe(n, &sd->wreck) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);

		sd->shown[b->block] = NULL;
		list_remove(n);
		list_push_back(&sd->dirty, n);
		drop_under_way(sd, b);
	}
}

static void crash(struct sim_device *sd)
{
	if (sd->crashed)
		return;
	if (sd->kill_only) {
		sd->seq++;
		for_under_way(sd, write_or_not);
	} else {
		lose_power(sd);
	}
	sd->crashed = true;
	sd->crash_in = 0;
	sd->life++;
}

/* Operations. */

static void read_blocks(struct sim_device *sd, struct vdo_device_io *io)
{
	const unsigned char *at = sd->current + io->offset;

	for (unsigned i = 0; i < io->iov_count; i++) {
		memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
}

static void write_blocks(struct sim_device *sd, const struct vdo_device_io *io)
{
	bool durable = !sd->config.volatile_cache ||
		       ((io->flags & VDO_DEVICE_FUA) && !sd->config.fua_lies);
	unsigned char data[BLOCK_SIZE];

	sd->seq++;
	for (uint64_t i = 0; i < io->length / BLOCK_SIZE; i++) {
		uint64_t block = io->offset / BLOCK_SIZE + i;

		if (io->op == VDO_DEVICE_DISCARD)
			discard_block(sd, block, durable);
		else
			put_block(sd, block, content(io, i, data), durable);
	}
}

/* The operation happens. Holds the lock. */
static int perform(struct sim_io *sio)
{
	struct sim_device *sd = sio->sd;
	struct vdo_device_io *io = sio->io;

	if (sio->life != sd->life)
		return -EIO;
	if (sio->fault != 0 && io->op == VDO_DEVICE_FLUSH)
		unsettle(sd, sio->seq);
	if (sio->fault != 0)
		return sio->fault;
	switch (io->op) {
	case VDO_DEVICE_READ:
		read_blocks(sd, io);
		break;
	case VDO_DEVICE_WRITE:
	case VDO_DEVICE_DISCARD:
		write_blocks(sd, io);
		break;
	case VDO_DEVICE_FLUSH:
		settle(sd, sio->seq);
		sd->settled = MAX(sd->settled, sio->seq);
		break;
	}
	return 0;
}

/* Perform and forget; the result is the caller's to deliver. */
static int conclude(struct sim_io *sio)
{
	struct sim_device *sd = sio->sd;
	int r;

	lock(sd);
	r = perform(sio);
	list_remove(&sio->link);
	unlock(sd);
	free(sio);
	return r;
}

static void event_came(struct sim_event *event)
{
	struct sim_io *sio = container_of(event, struct sim_io, event);
	struct vdo_device_io *io = sio->io;

	io->complete(io, conclude(sio));
}

static uint64_t delay_of(struct sim_device *sd, const struct vdo_device_io *io)
{
	unsigned char data[BLOCK_SIZE];
	uint64_t ns = 0;

	if (io->op == VDO_DEVICE_WRITE && sd->kind != NULL) {
		ns = sd->delays[kind_of(sd, io->offset / BLOCK_SIZE,
					content(io, 0, data))];
	}
	return ns != 0 ? ns : sd->config.delay_max_ns;
}

/* Let it take its time, or none. Not under the lock. */
static void go(struct sim_io *sio)
{
	const struct sim_device_config *c = &sio->sd->config;
	struct vdo_device_io *io = sio->io;
	uint64_t delay = delay_of(sio->sd, io);

	if (sio->plug->sim == NULL) {
		io->complete(io, conclude(sio));
		return;
	}
	if (io->op == VDO_DEVICE_FLUSH && c->flush_factor != 0)
		delay *= c->flush_factor;
	else if (c->late_percent != 0 &&
		 sim_executor_random(sio->plug->sim, 100) < c->late_percent)
		delay *= LATE_FACTOR;
	sio->event.fn = event_came;
	sim_executor_schedule_within(sio->plug->sim, &sio->event, delay);
}

static bool fault_matches(const struct sim_fault *f,
			  const struct vdo_device_io *io)
{
	uint64_t first = io->offset / BLOCK_SIZE;
	uint64_t count = io->length / BLOCK_SIZE;

	if (!(f->ops & SIM_OP(io->op)))
		return false;
	if (f->block_count == 0 || io->op == VDO_DEVICE_FLUSH)
		return true;
	return first < f->first_block + f->block_count &&
	       f->first_block < first + count;
}

static int pick_fault(struct sim_device *sd, const struct vdo_device_io *io)
{
	for (unsigned i = 0; i < sd->fault_count; i++) {
		struct sim_fault *f = &sd->faults[i];
		int result = f->result;

		if (!fault_matches(f, io))
			continue;
		if (f->skip > 0) {
			f->skip--;
			continue;
		}
		if (f->times > 0 && --f->times == 0)
			sd->faults[i] = sd->faults[--sd->fault_count];
		return result;
	}
	return 0;
}

static void heal(struct sim_device *sd, const struct vdo_device_io *io)
{
	uint64_t first = io->offset / BLOCK_SIZE;

	for (unsigned i = sd->fault_count; io->op == VDO_DEVICE_WRITE && i > 0;
	     i--) {
		struct sim_fault *f = &sd->faults[i - 1];

		if (f->heals && first < f->first_block + f->block_count &&
		    f->first_block < first + io->length / BLOCK_SIZE)
			*f = sd->faults[--sd->fault_count];
	}
}

static uint64_t size_of(const struct sim_device *sd)
{
	return (sd->cut != 0 ? sd->cut : sd->config.block_count) * BLOCK_SIZE;
}

/* What is wrong with the operation itself. */
static int refuse(struct sim_device *sd, const struct vdo_device_io *io)
{
	uint64_t size = size_of(sd);
	uint64_t bytes = 0;

	if (io->op == VDO_DEVICE_FLUSH)
		return sd->config.volatile_cache ? 0 : -EINVAL;
	VDO_ASSERT(io->offset % BLOCK_SIZE == 0 && io->length > 0 &&
		   io->length % BLOCK_SIZE == 0);
	VDO_ASSERT(io->op == VDO_DEVICE_WRITE || io->flags == 0);
	for (unsigned i = 0; i < io->iov_count; i++)
		bytes += io->iov[i].iov_len;
	VDO_ASSERT(bytes == (io->op == VDO_DEVICE_DISCARD ? 0 : io->length));
	if (io->offset > size || io->length > size - io->offset)
		return -ERANGE;
	if (io->op == VDO_DEVICE_READ)
		return 0;
	if (sd->config.read_only)
		return -EROFS;
	if (io->op == VDO_DEVICE_DISCARD && sd->config.no_discard)
		return -ENOTSUP;
	return 0;
}

/* Register an operation and decide its fate. Holds the lock. */
static struct sim_io *take_in(struct plug *plug, struct vdo_device_io *io,
			      bool may_hold)
{
	struct sim_device *sd = plug->sd;
	struct sim_io *sio = must(calloc(1, sizeof(*sio)));

	sio->plug = plug;
	sio->sd = sd;
	sio->life = plug->life;
	sio->io = io;
	sio->seq = sd->seq;
	sd->counts[io->op]++;
	if (io->flags & VDO_DEVICE_FUA)
		sd->fua_count++;
	sio->fault = refuse(sd, io);
	if (sio->fault == 0 && (sio->fault = pick_fault(sd, io)) != 0)
		sd->failed[io->op]++;
	if (sio->fault == 0)
		heal(sd, io);
	list_push_back(&sd->ios, &sio->link);
	if (sd->crash_in > 0 && --sd->crash_in == 0) {
		if (io->op == VDO_DEVICE_WRITE && random_below(sd, 2) == 0)
			sd->focus = io->offset / BLOCK_SIZE;
		crash(sd);
	}
	sio->held = may_hold && sd->match != NULL &&
		    sd->match(sd->match_arg, io);
	return sio;
}

static void sim_submit(void *ctx, struct vdo_device_io *io)
{
	struct plug *plug = ctx;
	struct sim_device *sd = plug->sd;
	struct sim_io *sio;
	bool held;

	lock(sd);
	sio = take_in(plug, io, true);
	held = sio->held;
	unlock(sd);
	if (!held)
		go(sio);
}

static int sim_blocking(void *ctx, struct vdo_device_io *io)
{
	struct plug *plug = ctx;
	struct sim_io *sio;

	lock(plug->sd);
	sio = take_in(plug, io, false);
	unlock(plug->sd);
	return conclude(sio);
}

/* Whatever failed flushes have lost is not shown any more. */
static int sim_forget(void *ctx)
{
	struct plug *plug = ctx;
	struct sim_device *sd = plug->sd;

	lock(sd);
	list_for_each_safe(n, &sd->dirty) {
		struct dirty_block *b = list_entry(n, struct dirty_block, link);
		uint64_t block = b->block;

		if (plug->life != sd->life || !b->lost || !list_empty(&b->versions))
			continue;
		memcpy(current_at(sd, block), durable_at(sd, block),
		       BLOCK_SIZE);
		sd->current_stamps[block] = sd->durable_stamps[block];
		forget_dirty(sd, block);
	}
	unlock(sd);
	return 0;
}

static void sim_close(void *ctx)
{
	struct plug *plug = ctx;
	struct sim_device *sd = plug->sd;

	lock(sd);
	list_remove(&plug->link);
	unlock(sd);
	free(plug);
}

/* Opening. */

struct vdo_device *sim_device_open(struct sim_device *sd, struct executor *sim)
{
	struct vdo_device *d = must(alloc_zeroed(1, sizeof(*d)));
	struct plug *plug = must(calloc(1, sizeof(*plug)));

	plug->sd = sd;
	plug->sim = sim;
	plug->device = d;
	d->ctx = plug;
	d->submit = sim_submit;
	d->blocking = sim_blocking;
	d->close = sim_close;
	d->forget = sim_forget;
	d->size_bytes = size_of(sd);
	if (sd->config.volatile_cache)
		d->flags |= VDO_DEVICE_VOLATILE_CACHE;
	if (!sd->config.no_discard && !sd->config.read_only)
		d->flags |= VDO_DEVICE_CAN_DISCARD;
	if (sd->config.read_only)
		d->flags |= VDO_DEVICE_READ_ONLY;
	lock(sd);
	/* Until the power is back nothing works. */
	plug->life = sd->crashed ? sd->life - 1 : sd->life;
	list_push_back(&sd->plugs, &plug->link);
	unlock(sd);
	return d;
}

struct vdo_device *sim_device_reopen(struct sim_device *sd,
				     struct executor *sim)
{
	lock(sd);
	VDO_ASSERT(sd->crashed);
	sd->crashed = false;
	sd->crash_in = 0;
	sd->focus = SIM_NO_FOCUS;
	clear_wreck(sd);
	/* Nobody is going to release what the dead had held. */
	list_for_each(n, &sd->ios)
		list_entry(n, struct sim_io, link)->held = false;
	unlock(sd);
	return sim_device_open(sd, sim);
}

static unsigned char *map_blocks(uint64_t count)
{
	void *p = mmap(NULL, count * BLOCK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return must(p == MAP_FAILED ? NULL : p);
}

/* Whoever is asked about an operation may look at the device. */
static void init_lock(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
}

struct sim_device *sim_device_create(const struct sim_device_config *config)
{
	struct sim_device *sd = must(calloc(1, sizeof(*sd)));

	sd->config = *config;
	if (sd->config.delay_max_ns == 0)
		sd->config.delay_max_ns = DELAY_DEFAULT_NS;
	sd->random = config->seed;
	sd->focus = SIM_NO_FOCUS;
	sd->current = map_blocks(config->block_count);
	sd->durable = map_blocks(config->block_count);
	sd->current_stamps = must(calloc(config->block_count,
					 sizeof(*sd->current_stamps)));
	sd->durable_stamps = must(calloc(config->block_count,
					 sizeof(*sd->durable_stamps)));
	sd->shown = must(calloc(config->block_count,
				sizeof(struct dirty_block *)));
	init_lock(&sd->lock);
	list_init(&sd->dirty);
	list_init(&sd->wreck);
	list_init(&sd->ios);
	list_init(&sd->plugs);
	return sd;
}

void sim_device_destroy(struct sim_device *sd)
{
	struct list_node *n;

	if (sd == NULL)
		return;
	list_for_each_safe(m, &sd->dirty)
		forget_dirty(sd, list_entry(m, struct dirty_block, link)->block);
	clear_wreck(sd);
	while ((n = list_pop(&sd->ios)) != NULL)
		free(list_entry(n, struct sim_io, link));
	while ((n = list_pop(&sd->plugs)) != NULL) {
		struct plug *plug = list_entry(n, struct plug, link);

		alloc_free(plug->device);
		free(plug);
	}
	munmap(sd->current, sd->config.block_count * BLOCK_SIZE);
	munmap(sd->durable, sd->config.block_count * BLOCK_SIZE);
	free(sd->current_stamps);
	free(sd->durable_stamps);
	free(sd->shown);
	pthread_mutex_destroy(&sd->lock);
	free(sd);
}

/* What the test does to it. */

void sim_device_crash(struct sim_device *sd)
{
	lock(sd);
	crash(sd);
	unlock(sd);
}

void sim_device_focus(struct sim_device *sd, uint64_t block)
{
	lock(sd);
	sd->focus = block;
	unlock(sd);
}

void sim_device_pretend_crash(struct sim_device *sd)
{
	lock(sd);
	pretend(sd);
	unlock(sd);
}

void sim_device_did_not_crash(struct sim_device *sd)
{
	lock(sd);
	repair(sd);
	unlock(sd);
}

void sim_device_crash_otherwise(struct sim_device *sd)
{
	lock(sd);
	cast_lots(sd);
	unlock(sd);
}

void sim_device_crash_at(struct sim_device *sd, uint64_t nth)
{
	lock(sd);
	sd->crash_in = nth;
	unlock(sd);
}

bool sim_device_crashed(const struct sim_device *sd)
{
	struct sim_device *s = (struct sim_device *)sd;
	bool crashed;

	lock(s);
	crashed = s->crashed;
	unlock(s);
	return crashed;
}

void sim_device_kill_only(struct sim_device *sd, bool kill)
{
	lock(sd);
	sd->kill_only = kill;
	unlock(sd);
}

void sim_device_kinds(struct sim_device *sd, sim_kind_fn kind, void *arg)
{
	lock(sd);
	sd->kind = kind;
	sd->kind_arg = arg;
	unlock(sd);
}

void sim_device_delays(struct sim_device *sd, const uint64_t max_ns[SIM_KINDS])
{
	lock(sd);
	memcpy(sd->delays, max_ns, sizeof(sd->delays));
	unlock(sd);
}

void sim_device_fault(struct sim_device *sd, const struct sim_fault *fault)
{
	lock(sd);
	VDO_ASSERT(sd->fault_count < SIM_FAULTS_MAX);
	sd->faults[sd->fault_count] = *fault;
	if (fault->result == 0)
		sd->faults[sd->fault_count].result = -EIO;
	sd->fault_count++;
	unlock(sd);
}

void sim_device_clear_faults(struct sim_device *sd)
{
	lock(sd);
	sd->fault_count = 0;
	unlock(sd);
}

void sim_device_rot(struct sim_device *sd, uint64_t offset, size_t n,
		    uint8_t mask)
{
	lock(sd);
	VDO_ASSERT(offset + n <= sd->config.block_count * BLOCK_SIZE);
	for (uint64_t b = offset / BLOCK_SIZE; b * BLOCK_SIZE < offset + n;
	     b++) {
		forget_dirty(sd, b);
		sd->current_stamps[b] = sd->durable_stamps[b] = ++sd->stamp;
	}
	for (size_t i = 0; i < n; i++) {
		sd->current[offset + i] ^= mask;
		sd->durable[offset + i] = sd->current[offset + i];
	}
	unlock(sd);
}

void sim_device_hold(struct sim_device *sd, sim_match_fn match, void *arg)
{
	lock(sd);
	sd->match = match;
	sd->match_arg = arg;
	unlock(sd);
}

static struct sim_io *take_held(struct sim_device *sd)
{
	struct sim_io *found = NULL;

	lock(sd);
	list_for_each(n, &sd->ios) {
		struct sim_io *sio = list_entry(n, struct sim_io, link);

		if (sio->held) {
			found = sio;
			found->held = false;
			break;
		}
	}
	unlock(sd);
	return found;
}

void sim_device_release(struct sim_device *sd)
{
	/* Those that are held now, not what they bring about. */
	for (uint64_t n = sim_device_held(sd); n > 0; n--) {
		struct sim_io *sio = take_held(sd);

		if (sio == NULL)
			break;
		go(sio);
	}
}

uint64_t sim_device_held(struct sim_device *sd)
{
	uint64_t held = 0;

	lock(sd);
	list_for_each(n, &sd->ios)
		held += list_entry(n, struct sim_io, link)->held;
	unlock(sd);
	return held;
}

const void *sim_device_look(struct sim_device *sd, uint64_t block,
			    uint64_t *stamp)
{
	const struct dirty_block *b;

	VDO_ASSERT(block < sd->config.block_count);
	b = sd->shown[block];
	if (stamp != NULL)
		*stamp = b != NULL ? b->left_stamp : sd->current_stamps[block];
	return b != NULL ? b->left : current_at(sd, block);
}

void sim_device_peek(struct sim_device *sd, uint64_t block, void *buf)
{
	lock(sd);
	memcpy(buf, sim_device_look(sd, block, NULL), BLOCK_SIZE);
	unlock(sd);
}

void sim_device_peek_durable(struct sim_device *sd, uint64_t block, void *buf)
{
	lock(sd);
	VDO_ASSERT(block < sd->config.block_count);
	memcpy(buf, sd->shown[block] != NULL ? sd->shown[block]->left
					     : durable_at(sd, block),
	       BLOCK_SIZE);
	unlock(sd);
}

void sim_device_poke(struct sim_device *sd, uint64_t block, const void *buf)
{
	lock(sd);
	VDO_ASSERT(block < sd->config.block_count);
	put_block(sd, block, buf, true);
	unlock(sd);
}

uint64_t sim_device_count(struct sim_device *sd, enum vdo_device_op op)
{
	uint64_t n;

	lock(sd);
	n = sd->counts[op];
	unlock(sd);
	return n;
}

uint64_t sim_device_count_failed(struct sim_device *sd, enum vdo_device_op op)
{
	uint64_t n;

	lock(sd);
	n = sd->failed[op];
	unlock(sd);
	return n;
}

uint64_t sim_device_count_fua(struct sim_device *sd)
{
	uint64_t n;

	lock(sd);
	n = sd->fua_count;
	unlock(sd);
	return n;
}

void sim_device_cut(struct sim_device *sd, uint64_t block_count)
{
	lock(sd);
	VDO_ASSERT(block_count <= sd->config.block_count);
	sd->cut = block_count;
	unlock(sd);
}

struct sim_saved {
	uint64_t block_count, room;
	uint64_t settled;
	uint64_t *stamps;
	unsigned char *blocks;
};

/* Blocks that were never written are not copied. */
struct sim_saved *sim_device_save(struct sim_device *sd,
				  struct sim_saved *old)
{
	uint64_t count = sd->config.block_count;
	struct sim_saved *saved = old;

	if (old == NULL || old->room < count) {
		free(old);
		saved = must(malloc(sizeof(*saved) +
				    count * (sizeof(uint64_t) + BLOCK_SIZE)));
		saved->room = count;
	}
	lock(sd);
	VDO_ASSERT(sd->crashed || list_empty(&sd->dirty));
	saved->block_count = count;
	saved->settled = sd->settled;
	saved->stamps = (uint64_t *)(saved + 1);
	saved->blocks = (unsigned char *)(saved->stamps + count);
	for (uint64_t b = 0; b < count; b++) {
		saved->stamps[b] = sd->current_stamps[b];
		if (saved->stamps[b] != 0)
			memcpy(saved->blocks + b * BLOCK_SIZE,
			       current_at(sd, b), BLOCK_SIZE);
	}
	unlock(sd);
	return saved;
}

void sim_device_restore(struct sim_device *sd, const struct sim_saved *saved)
{
	lock(sd);
	VDO_ASSERT(saved->block_count == sd->config.block_count);
	sd->settled = saved->settled; /* what was written before, or less */
	list_for_each_safe(n, &sd->dirty)
		forget_dirty(sd, list_entry(n, struct dirty_block, link)->block);
	for (uint64_t b = 0; b < saved->block_count; b++) {
		if (sd->current_stamps[b] == saved->stamps[b] &&
		    sd->durable_stamps[b] == saved->stamps[b])
			continue;
		if (saved->stamps[b] == 0)
			memset(current_at(sd, b), 0, BLOCK_SIZE);
		else
			memcpy(current_at(sd, b),
			       saved->blocks + b * BLOCK_SIZE, BLOCK_SIZE);
		memcpy(durable_at(sd, b), current_at(sd, b), BLOCK_SIZE);
		sd->current_stamps[b] = saved->stamps[b];
		sd->durable_stamps[b] = saved->stamps[b];
	}
	unlock(sd);
}

void sim_device_settle(struct sim_device *sd)
{
	lock(sd);
	settle(sd, UINT64_MAX);
	/* What failed flushes lost is in the cache, and goes from there. */
	list_for_each_safe(n, &sd->dirty) {
		uint64_t block = list_entry(n, struct dirty_block, link)->block;

		memcpy(durable_at(sd, block), current_at(sd, block),
		       BLOCK_SIZE);
		sd->durable_stamps[block] = sd->current_stamps[block];
		forget_dirty(sd, block);
	}
	sd->settled = sd->seq;
	unlock(sd);
}

uint64_t sim_device_written(struct sim_device *sd)
{
	uint64_t seq;

	lock(sd);
	seq = sd->seq;
	unlock(sd);
	return seq;
}

uint64_t sim_device_settled(struct sim_device *sd)
{
	uint64_t seq;

	lock(sd);
	seq = sd->config.volatile_cache ? sd->settled : sd->seq;
	unlock(sd);
	return seq;
}

uint64_t sim_device_pending(struct sim_device *sd)
{
	uint64_t pending = 0;

	lock(sd);
	list_for_each(n, &sd->ios)
		pending += list_entry(n, struct sim_io, link)->life == sd->life;
	unlock(sd);
	return pending;
}
