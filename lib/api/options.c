/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the table works: a row's range is text for people and numbers for
 * check_number(); a choice's range "a|b|c" is both at once. What a value turns
 * into is stored at offset in struct settings, in as many bytes as the field
 * has. "auto" stands for 0, "choose for me", in rows that are marked so.
 *
 * Conflicts between options are a second table: what must not be, and why.
 */
#include "build.h"

#include "api/options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define PIB (UINT64_C(1) << 50)

struct row {
	struct vdo_option option;
	size_t offset, size; /* of the field in struct settings */
	uint64_t min, max, multiple;
	bool can_be_auto;
	bool power_of_two;
	/* Rows that set more than one field have this alone. False: @value is
	 * none of the option's. */
	bool (*parse)(const char *value, struct settings *s);
};

static bool parse_index_memory(const char *value, struct settings *s);

#define FIELD(f)                                                               \
	.offset = offsetof(struct settings, f),                                \
	.size = sizeof(((struct settings *)NULL)->f)
#define OPTION(name, type, when, value, range, help)                           \
	.option = {name, VDO_OPTION_##type, VDO_OPTION_##when, value, range,   \
		   help}

static const struct row rows[] = {
	{OPTION("profile", CHOICE, FORMAT, "auto", "auto|kernel|small",
		"kind of volume; auto: small for files under 256 GiB"),
	 FIELD(format.profile)},
	{OPTION("size", SIZE, FORMAT, "auto", "auto, 1M..256T, 4K steps",
		"size of the volume; auto: that of the file or device"),
	 FIELD(format.size_bytes), .can_be_auto = true,
	 .min = MIB, .max = 256 * TIB, .multiple = 4 * KIB},
	{OPTION("logical-size", SIZE, FORMAT, "auto",
		"auto, 4K..4P, 4K steps",
		"bytes that can be addressed; auto: what fits without savings"),
	 FIELD(format.logical_size_bytes), .can_be_auto = true,
	 .min = 4 * KIB, .max = 4 * PIB, .multiple = 4 * KIB},
	{OPTION("slab-bits", NUMBER, FORMAT, "auto", "auto, 9..23",
		"a slab, the unit of growth, has 2^N blocks of 4 KiB"),
	 FIELD(format.slab_bits), .can_be_auto = true, .min = 9, .max = 23},
	{OPTION("slab-journal-blocks", NUMBER, FORMAT, "auto", "auto, 3..256",
		"blocks of the journal of each slab"),
	 FIELD(format.slab_journal_blocks), .can_be_auto = true,
	 .min = 3, .max = 256},
	{OPTION("journal-blocks", NUMBER, FORMAT, "auto",
		"auto, 4..1048576, a power of two",
		"blocks of the recovery journal"),
	 FIELD(format.recovery_journal_blocks), .can_be_auto = true,
	 .power_of_two = true, .min = 4, .max = 1048576},
	{OPTION("index-memory", STRING, FORMAT, "auto",
		"auto, none, 0.25, 0.5, 0.75, 1..1024 (GiB), 2M..255M",
		"memory of the deduplication index on disk"),
	 .parse = parse_index_memory},
	{OPTION("sparse", BOOL, FORMAT, "off", "on|off",
		"make the index sparse: ten times the history"),
	 FIELD(format.index_sparse)},
	{OPTION("force", BOOL, FORMAT, "off", "on|off",
		"format even if something is there"),
	 FIELD(format.force)},

	{OPTION("read-only", BOOL, OPEN, "off", "on|off",
		"never write to the storage"),
	 FIELD(open.read_only)},
	{OPTION("recover", BOOL, OPEN, "on", "on|off",
		"recover a volume that was not closed; off: refuse it"),
	 FIELD(open.recover)},
	{OPTION("executor", CHOICE, OPEN, "native", "native|pool|inline",
		"where work runs: own threads, the host's pool, the caller"),
	 FIELD(open.executor)},
	{OPTION("alignment", CHOICE, OPEN, "4096", "512|4096",
		"what offsets and lengths must be multiples of"),
	 FIELD(open.alignment)},
	{OPTION("io-engine", CHOICE, OPEN, "auto", "auto|uring|threads",
		"how files are read and written; auto: io_uring if possible"),
	 FIELD(device.engine)},
	{OPTION("io-threads", NUMBER, OPEN, "auto", "auto, 1..64",
		"threads for file I/O without io_uring"),
	 FIELD(device.threads), .can_be_auto = true, .min = 1, .max = 64},
	{OPTION("direct", CHOICE, OPEN, "off", "off|on|writes",
		"go around the page cache (O_DIRECT) if the file can"),
	 FIELD(device.direct)},

	{OPTION("deduplication", BOOL, ONLINE, "on", "on|off",
		"look for data that is stored already"),
	 FIELD(open.deduplication)},
	{OPTION("compression", BOOL, ONLINE, "on", "on|off",
		"compress what is new"),
	 FIELD(open.compression)},
	{OPTION("on-full", CHOICE, ONLINE, "fail", "fail|hold",
		"what writes do that find no space: fail, or wait for some"),
	 FIELD(open.on_full)},

	{OPTION("topology", CHOICE, PAUSE, "shard", "shard|classic",
		"one queue per core with a zone of each kind, or per zone"),
	 FIELD(open.topology)},
	{OPTION("threads", NUMBER, PAUSE, "auto", "auto, 1..128",
		"threads of the volume; auto: one per core"),
	 FIELD(open.threads), .can_be_auto = true, .min = 1, .max = 128},
	{OPTION("executor-width", NUMBER, PAUSE, "auto", "auto, 1..128",
		"threads of the host's pool that are kept busy; auto: threads"),
	 FIELD(open.executor_width), .can_be_auto = true, .min = 1, .max = 128},
	{OPTION("logical-zones", NUMBER, PAUSE, "auto", "auto, 1..60",
		"parts of the block map that work in parallel"),
	 FIELD(open.logical_zones), .can_be_auto = true, .min = 1, .max = 60},
	{OPTION("physical-zones", NUMBER, PAUSE, "auto", "auto, 1..16",
		"groups of slabs that work in parallel"),
	 FIELD(open.physical_zones), .can_be_auto = true, .min = 1, .max = 16},
	{OPTION("hash-zones", NUMBER, PAUSE, "auto", "auto, 1..100",
		"parts of the deduplication that work in parallel"),
	 FIELD(open.hash_zones), .can_be_auto = true, .min = 1, .max = 100},
	{OPTION("pin", BOOL, PAUSE, "off", "on|off",
		"bind each thread to a core"),
	 FIELD(open.pin)},
	{OPTION("spin", NUMBER, PAUSE, "20", "0..1000000",
		"microseconds that an idle thread spins before it sleeps"),
	 FIELD(open.spin_us), .min = 0, .max = 1000000},
	{OPTION("depth", NUMBER, PAUSE, "512", "16..2048",
		"blocks that are worked on at the same time"),
	 FIELD(open.depth), .min = 16, .max = 2048},
	{OPTION("memory", SIZE, PAUSE, "auto", "auto, 1M..1T",
		"all memory of the volume at most; auto: as its parts say"),
	 FIELD(open.memory), .can_be_auto = true,
	 .min = MIB, .max = TIB, .multiple = 1},
	{OPTION("cache", SIZE, PAUSE, "auto", "auto, 1M..1T",
		"block map cache; auto: by size of the volume, at most 128M"),
	 FIELD(open.cache_bytes), .can_be_auto = true,
	 .min = MIB, .max = TIB, .multiple = 1},
	{OPTION("counts-memory", SIZE, PAUSE, "auto", "auto, 64K..1T",
		"reference counts in memory; auto: 64M, for 256 GiB in use"),
	 FIELD(open.counts_memory), .can_be_auto = true,
	 .min = 64 * KIB, .max = TIB, .multiple = 1},
	{OPTION("era", NUMBER, PAUSE, "auto", "auto, 1..1048576",
		"journal blocks until a changed map page is written"),
	 FIELD(open.maximum_age), .can_be_auto = true,
	 .min = 1, .max = 1048576},
	{OPTION("io-merge", SIZE, PAUSE, "256K", "0..1M, 4K steps",
		"neighbours up to so many bytes are one operation; 0: none"),
	 FIELD(open.io_merge), .min = 0, .max = MIB, .multiple = 4 * KIB},
	{OPTION("block-cache", SIZE, PAUSE, "8M", "0..1T",
		"blocks kept to compare duplicates with, and compressed ones"),
	 FIELD(open.block_cache), .min = 0, .max = TIB, .multiple = 1},
	{OPTION("reclaim", CHOICE, PAUSE, "auto", "auto|off|on|close",
		"give free blocks back to the storage; auto: on for files"),
	 FIELD(open.reclaim)},
	{OPTION("index", CHOICE, PAUSE, "auto", "auto|memory",
		"keep block names in the volume's index, or in memory only"),
	 FIELD(open.index)},
	{OPTION("index-zones", NUMBER, PAUSE, "auto", "auto, 1..16",
		"parts of the index that work in parallel"),
	 FIELD(open.index_zones), .can_be_auto = true, .min = 1, .max = 16},
	{OPTION("index-wait", BOOL, PAUSE, "on", "on|off",
		"load the index before the volume is open, not after"),
	 FIELD(open.index_wait)},
	{OPTION("advice-entries", NUMBER, PAUSE, "auto",
		"auto, 1024..1073741824",
		"block names that are remembered without an index"),
	 FIELD(open.advice_entries), .can_be_auto = true,
	 .min = 1024, .max = GIB},
	{OPTION("space-warn", NUMBER, PAUSE, "90", "0..100",
		"percent of the blocks in use that the log tells of; 0: none"),
	 FIELD(open.space_warn), .min = 0, .max = 100},
};
static_assert(ARRAY_SIZE(rows) <= OPTIONS_MAX, "raise OPTIONS_MAX");

const struct vdo_option *options_at(size_t i)
{
	return i < ARRAY_SIZE(rows) ? &rows[i].option : NULL;
}

int options_find(const char *name, struct vdo_error *error)
{
	for (size_t i = 0; name != NULL && i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].option.name, name) == 0)
			return (int)i;
	return error_set(error, -VDO_EOPTION,
			 "there is no option \"%.60s\"; vdo-options(7) lists "
			 "all",
			 name == NULL ? "" : name);
}

/* Decimal digits, and nothing else, up to @end. */
static bool parse_digits(const char *text, const char *end, uint64_t *value)
{
	uint64_t n = 0;

	VDO_ASSERT(text <= end);
	if (text == end)
		return false;
	for (; text < end; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*value = n;
	return true;
}

/* A fraction is rounded down to what the option can have. */
static bool parse_size(const struct row *row, const char *text, uint64_t *value)
{
	VDO_ASSERT(row->option.type == VDO_OPTION_SIZE);
	if (vdo_size_parse(text, value) != 0)
		return false;
	if (row->multiple != 0 && strchr(text, '.') != NULL)
		*value -= *value % row->multiple;
	return true;
}

static bool parse_bool(const char *text, uint64_t *value)
{
	static const char *const words[][2] = {
		{"off", "on"}, {"no", "yes"}, {"false", "true"}, {"0", "1"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (unsigned is = 0; is < 2; is++) {
			if (strcmp(text, words[i][is]) == 0) {
				*value = is;
				return true;
			}
		}
	}
	return false;
}

/* The value of a word of "a|b|c": itself if it is a number, else its place. */
static bool parse_choice(const char *text, const char *words, uint64_t *value)
{
	size_t length = strlen(text);

	VDO_ASSERT(*words != '\0');
	for (uint64_t place = 0;; place++) {
		size_t n = strcspn(words, "|");

		if (n == length && memcmp(words, text, n) == 0) {
			if (!parse_digits(text, text + length, value))
				*value = place;
			return true;
		}
		if (words[n] == '\0')
			return false;
		words += n + 1;
	}
}

/* The codes of V 2.2: whole GiB, or negative MiB. A bare number is GiB. */
static bool index_memory_code(const char *value, int32_t *code)
{
	char gib[32];
	uint64_t n;

	*code = 0;
	if (strcmp(value, "auto") == 0 || strcmp(value, "none") == 0)
		return true;
	if (strspn(value, "0123456789.") == strlen(value)) {
		snprintf(gib, sizeof(gib), "%.30sG", value);
		value = gib;
	}
	if (vdo_size_parse(value, &n) != 0 || n % MIB != 0)
		return false;
	n /= MIB;
	if (n >= 1024) {
		*code = (int32_t)MIN(n / 1024, 2000);
		return n % 1024 == 0 && n / 1024 <= 1024;
	}
	*code = -(int32_t)n;
	return (n >= 2 && n <= 256) || n == 512 || n == 768;
}

static bool parse_index_memory(const char *value, struct settings *s)
{
	int32_t code;

	if (!index_memory_code(value, &code))
		return false;
	VDO_ASSERT(code <= 1024 && code >= -768); /* as in the format */
	s->format.index_memory = code;
	s->format.no_index = strcmp(value, "none") == 0;
	return true;
}

static bool check_number(const struct row *row, uint64_t n)
{
	VDO_ASSERT(row->min <= row->max);
	if (n < row->min || n > row->max)
		return false;
	if (row->power_of_two && (n & (n - 1)) != 0)
		return false;
	return row->multiple == 0 || n % row->multiple == 0;
}

static bool parse_value(const struct row *row, const char *text,
			uint64_t *value)
{
	VDO_ASSERT(!row->can_be_auto || row->min > 0); /* 0 is auto */
	if (row->can_be_auto && strcmp(text, "auto") == 0) {
		*value = 0;
		return true;
	}
	switch (row->option.type) {
	case VDO_OPTION_BOOL:
		return parse_bool(text, value);
	case VDO_OPTION_CHOICE:
		return parse_choice(text, row->option.range, value);
	case VDO_OPTION_SIZE:
		return parse_size(row, text, value) &&
		       check_number(row, *value);
	case VDO_OPTION_NUMBER:
		return parse_digits(text, text + strlen(text), value) &&
		       check_number(row, *value);
	case VDO_OPTION_STRING:
		break;
	}
	return false;
}

static void store(const struct row *row, uint64_t value, struct settings *s)
{
	char *field = (char *)s + row->offset;

	VDO_ASSERT(row->offset + row->size <= sizeof(*s));
	if (row->size == sizeof(uint64_t)) {
		memcpy(field, &value, sizeof(value));
	} else if (row->size == sizeof(uint32_t)) {
		uint32_t v = (uint32_t)value;

		memcpy(field, &v, sizeof(v));
	} else {
		bool v = value != 0;

		VDO_ASSERT(row->size == sizeof(v));
		memcpy(field, &v, sizeof(v));
	}
}

int options_set(size_t i, const char *value, struct settings *s,
		struct vdo_error *error)
{
	const struct row *row = &rows[i];
	uint64_t n = 0;

	VDO_ASSERT(i < ARRAY_SIZE(rows));
	if (value == NULL)
		value = "";
	if (row->parse != NULL) {
		if (row->parse(value, s))
			return 0;
	} else if (parse_value(row, value, &n)) {
		store(row, n, s);
		return 0;
	}
	return error_set(error, -VDO_EVALUE,
			 "\"%.60s\" is not a value for option %s; it takes %s",
			 value, row->option.name, row->option.range);
}

/*
 * Conflicts.
 */

static bool sparse_without_index(const struct settings *s)
{
	return s->format.index_sparse && s->format.no_index;
}

static bool small_index_for_kernel(const struct settings *s)
{
	return s->format.profile == PROFILE_KERNEL &&
	       s->format.index_memory < 0 && s->format.index_memory > -256;
}

static bool inline_threads(const struct settings *s)
{
	return s->open.executor == EXECUTOR_INLINE && s->open.threads > 1;
}

static bool foreign_pin(const struct settings *s)
{
	return s->open.executor != EXECUTOR_NATIVE && s->open.pin;
}

static bool width_without_pool(const struct settings *s)
{
	return s->open.executor != EXECUTOR_POOL && s->open.executor_width != 0;
}

static bool uring_threads(const struct settings *s)
{
	return s->device.engine == DEVICE_URING && s->device.threads != 0;
}

static const struct conflict {
	bool (*exists)(const struct settings *s);
	const char *a, *b; /* the options */
	const char *why;
} conflicts[] = {
	{sparse_without_index, "sparse", "index-memory",
	 "there is no index that could be sparse"},
	{small_index_for_kernel, "profile", "index-memory",
	 "the kernel's smallest index is 0.25"},
	{inline_threads, "executor", "threads",
	 "executor=inline has no threads"},
	{foreign_pin, "executor", "pin",
	 "only the threads of executor=native can be pinned"},
	{width_without_pool, "executor", "executor-width",
	 "only executor=pool has one"},
	{uring_threads, "io-engine", "io-threads",
	 "io-engine=uring has no threads"},
};

int options_check(const struct settings *s, struct vdo_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
		const struct conflict *c = &conflicts[i];

		VDO_CHECK(options_find(c->a, NULL) >= 0 &&
			  options_find(c->b, NULL) >= 0);
		if (c->exists(s))
			return error_set(error, -VDO_ECONFLICT,
					 "options %s and %s contradict each "
					 "other: %s",
					 c->a, c->b, c->why);
	}
	if (s->open.executor == EXECUTOR_POOL && s->pool.submit == NULL)
		return error_set(error, -VDO_ECONFLICT,
				 "option executor is pool, but there is none: "
				 "call vdo_config_set_pool()");
	return 0;
}

void options_note_given(const char *name, struct settings *s)
{
	if (strcmp(name, "depth") == 0)
		s->open.depth_given = true;
	if (strcmp(name, "block-cache") == 0)
		s->open.block_cache_given = true;
}

int options_change(const char *name, const char *value, struct settings *s,
		   bool *pause, struct vdo_error *error)
{
	int i = options_find(name, error);
	int result;

	if (i < 0)
		return i;
	switch (rows[i].option.when) {
	case VDO_OPTION_FORMAT:
		return error_set(error, -VDO_EOPTION,
				 "option %s is given when a volume is formatted, "
				 "and stays as it is",
				 name);
	case VDO_OPTION_OPEN:
		return error_set(error, -VDO_EOPTION,
				 "option %s is given when a volume is opened; "
				 "close it, and open it with another value",
				 name);
	case VDO_OPTION_ONLINE:
	case VDO_OPTION_PAUSE:
		break;
	}
	*pause = rows[i].option.when == VDO_OPTION_PAUSE;
	result = options_set((size_t)i, value, s, error);
	if (result == 0)
		options_note_given(name, s);
	return result == 0 && *pause ? options_check(s, error) : result;
}
