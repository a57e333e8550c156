/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings: the options of a volume as plain values.
 *
 * api/options.c is the table that fills them from a struct vdo_config; nothing
 * below api/ knows of option names.
 */
#ifndef VOLUME_SETTINGS_H
#define VOLUME_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include <vdo/executor.h>

#include "base/log.h"
#include "io/file.h"

enum settings_profile {
	PROFILE_AUTO, /* small for files under 256 GiB, else kernel */
	PROFILE_KERNEL,
	PROFILE_SMALL,
};

enum settings_executor {
	EXECUTOR_NATIVE,
	EXECUTOR_POOL,
	EXECUTOR_INLINE,
};

enum settings_topology {
	TOPOLOGY_SHARD,   /* a queue per core with one zone of each kind */
	TOPOLOGY_CLASSIC, /* a queue per zone, as in the kernel */
};

enum settings_index {
	INDEX_AUTO,   /* the volume's, if it has one */
	INDEX_MEMORY, /* leave that alone, remember names in memory */
};

enum settings_full {
	FULL_FAIL, /* calls that find no space fail */
	FULL_HOLD, /* or wait for some */
};

enum settings_reclaim {
	RECLAIM_SETTING_AUTO, /* on for files */
	RECLAIM_SETTING_OFF,
	RECLAIM_SETTING_ON,
	RECLAIM_SETTING_CLOSE,
};

/* 0 means "choose" wherever it is not a sensible value. */
struct format_settings {
	enum settings_profile profile;
	uint64_t size_bytes;         /* 0: that of the device */
	uint64_t logical_size_bytes; /* 0: what fits */
	unsigned slab_bits;          /* 0: by profile */
	uint64_t slab_journal_blocks;
	uint64_t recovery_journal_blocks;
	int32_t index_memory;        /* code of V 2.2; 0: by profile */
	bool no_index;               /* no index region */
	bool index_sparse;
	bool force;
};

struct open_settings {
	bool read_only;
	bool recover;            /* a volume that was not closed */
	/* Without an option, for tests; 0: choose. */
	uint64_t recovery_batch; /* entries */
	unsigned slab_buffers;	 /* for their writes, of each zone */
	unsigned reclaim_blocks; /* so many that were freed go back, of each zone */
	enum settings_executor executor;
	enum settings_topology topology;
	unsigned threads;        /* 0: one per core */
	unsigned executor_width; /* of the host's pool; 0: as threads says */
	unsigned logical_zones;  /* 0: by topology */
	unsigned physical_zones;
	unsigned hash_zones;
	bool pin;
	unsigned spin_us;
	unsigned depth;          /* requests: 16..2048 */
	uint64_t cache_bytes;    /* block map cache */
	uint64_t counts_memory;  /* reference counts; 0: choose */
	uint64_t maximum_age;    /* era length, in journal blocks; 0: choose */
	unsigned alignment;      /* 512 or 4096 */
	uint64_t io_merge;       /* bytes of neighbours in one operation */
	uint64_t block_cache;    /* bytes of blocks kept in memory */
	uint64_t memory;	 /* of all, at most; 0: as the others say */
	/* Somebody has set them: they are not changed for want of memory. */
	bool depth_given, block_cache_given;
	enum settings_reclaim reclaim; /* free blocks go back to the storage */
	bool deduplication;
	bool compression;
	enum settings_index index;
	unsigned index_zones;    /* 0: by topology */
	bool index_wait;         /* have it loaded when the volume is open */
	uint64_t advice_entries; /* 0: choose */
	unsigned space_warn;     /* percent; 0: no line */
	enum settings_full on_full;
};

struct settings {
	struct format_settings format;
	struct open_settings open;
	struct device_options device;
	struct log log;
	struct vdo_pool_ops pool;
	void *pool_arg;
};

#endif
