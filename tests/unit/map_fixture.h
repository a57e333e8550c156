/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block map on the simulated executor, over fakes of what is below it.
 *
 * The disk keeps what was written, and apart from it what is durable; it
 * finishes operations in an order that the seed decides, holds some of them
 * back, fails one, or crashes. The fake journal makes each entry durable at
 * once and counts holds; the fake depot hands out blocks and checks the order
 * of calls.
 *
 * Runs on: the thread of the simulated executor.
 */
#ifndef TESTS_UNIT_MAP_FIXTURE_H
#define TESTS_UNIT_MAP_FIXTURE_H

#include "base/list.h"
#include "format/layout.h"
#include "io/device.h"
#include "map/map_priv.h"
#include "tests/lib/sim_exec.h"

#define FX_ZONES_MAX      4u
#define FX_PHYSICAL       2u
#define FX_BLOCKS         4400u
#define FX_FIRST_BLOCK    200u /* of the depot */
#define FX_SLAB_SHIFT     10u
#define FX_SLABS          4u
#define FX_DATA_BLOCKS    1000u
#define FX_ROOT_ORIGIN    10u
#define FX_NONCE          UINT64_C(0x123456789a)
#define FX_SEQS           20000u
#define FX_LOG_MAX        20000u
#define FX_BLOCK_ENTRIES  8u /* of the fake journal */

struct fx;

/* One operation at the disk. */
struct fx_io {
	struct sim_event event;
	struct fx *fx;
	struct vdo_device_io *io;
	uint8_t *image;  /* of a write */
	size_t covered;  /* by a flush: so many of the unflushed */
	seq_t head;      /* of the journal, when a flush began */
	struct list_node link;
};

struct fx_write {
	pbn_t pbn;
	uint8_t bytes[BLOCK_SIZE];
};

struct fx_log {
	seq_t seq;
	struct journal_entry entry;
};

struct journal {
	struct fx *fx;
	seq_t tail;
	unsigned fill;
	int map_holds[FX_SEQS];
	int entry_holds[FX_SEQS];
	struct fx_log *log;
	size_t log_count;
	bool quiet; /* the map is not told of new blocks */
	seq_t durable_head;
};

struct depot {
	struct fx *fx;
	struct queue *queues[FX_PHYSICAL];
	struct slab_geometry geometry;
	uint64_t next[FX_PHYSICAL];
	uint8_t refs[FX_BLOCKS]; /* 255 provisional */
	unsigned available;      /* allocations until there is no space */
	unsigned locks;
	struct journal_point last[FX_SLABS];
	unsigned adjusted;
};

struct fx_options {
	uint64_t seed;
	unsigned zones; /* 0: 1 */
	uint64_t cache_pages;
	uint64_t maximum_age; /* 0: 1000 */
	uint64_t logical_blocks; /* 0: 1 << 27 */
};

struct fx_upcall {
	struct completion run;
	struct fx *fx;
	unsigned zone;
};

struct fx {
	struct fx_options o;
	struct executor *x;
	struct queue *zones[FX_ZONES_MAX];
	struct queue *journal_queue, *sync_queue;
	struct storage storage;
	struct sync sync;
	struct readonly readonly;
	struct log log;
	struct superblock sb;
	struct journal journal;
	struct depot depot;
	struct map *map;
	int errors; /* lines of log that say error */

	/* the disk */
	struct vdo_device device;
	uint8_t *now;
	uint8_t *durable;
	struct fx_write *unflushed;
	size_t unflushed_count;
	size_t unflushed_max;
	struct list_node flying;
	struct list_node held;
	bool (*hold)(struct fx *fx, enum vdo_device_op op, pbn_t pbn);
	uint64_t writes[FX_BLOCKS]; /* completed */
	uint64_t io_count;          /* submitted */
	uint64_t fail_at;           /* the Nth operation fails; 0 */
	bool fail_all;
	uint64_t stop_at;           /* the disk is silent from the Nth on */
	uint64_t reads;             /* submitted */
	struct fx_upcall upcall[FX_ZONES_MAX];
};

struct fx *fx_create(const struct fx_options *o);
void fx_destroy(struct fx *fx);

/* Let everything run that can. */
void fx_run(struct fx *fx);

/* Destroy the map and make a new one on the same disk. */
void fx_reopen(struct fx *fx);

/* Crash: what is not durable is kept, dropped or torn, in any order. The image
 * that is left is in fx->durable. The fixture can only be destroyed then. */
void fx_crash(struct fx *fx);

/* Let the operations go that match; all if @match is NULL. */
unsigned fx_release(struct fx *fx, bool (*match)(enum vdo_device_op op,
						 pbn_t pbn));

/* Fill all blocks but the roots with what looks like nothing. */
void fx_fill_garbage(struct fx *fx);

/* The block as it was last written. */
uint8_t *fx_block(struct fx *fx, pbn_t pbn);

/* The journal's queue opens block @tail; nothing runs yet. */
void fx_tail(struct fx *fx, seq_t tail);

/* All holds, of entries and of the map. */
unsigned fx_map_holds(const struct fx *fx);
unsigned fx_entry_holds(const struct fx *fx);

/* One request; the caller keeps the memory until done. */
struct fx_req {
	struct map_op op;
	struct completion hop;
	struct fx *fx;
	bool write;
	bool create; /* only make the leaf page */
	struct mapping value; /* in for write, out for read */
	/* A run: read, from the slot of the lbn on, or written as put run has it,
	 * of at most FX_BLOCK_ENTRIES; the value is written if there are no news. */
	unsigned run;
	struct journal_change *changes;
	const struct mapping *news;
	int result;
	bool done;
	unsigned zone;
};

void fx_start(struct fx *fx, struct fx_req *req, lbn_t lbn);

/* Start, run, and return the result. */
int fx_write(struct fx *fx, lbn_t lbn, struct mapping value);
int fx_read(struct fx *fx, lbn_t lbn, struct mapping *value);
int fx_make(struct fx *fx, lbn_t lbn, pbn_t *page);

/* Drain; -EINPROGRESS if it has not ended when nothing runs any more. */
int fx_drain(struct fx *fx, bool save);

struct fx_drain {
	struct completion done;
	bool ended;
};
void fx_drain_start(struct fx *fx, bool save, struct fx_drain *drain);

/* A data mapping made of a number. */
struct mapping fx_mapping(uint64_t n);

#endif
