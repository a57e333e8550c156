/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "writer.h"

/* Block map: trees, and levels between their leaves and their roots. */
#define TREES  60u
#define LEVELS 3u

/* Of the index: a page has eight blocks. */
#define INDEX_PAGE_BLOCKS 8u

/* At most that many slabs are filled at a time. */
#define ZONES 16u

/* About how many records the volume index keeps in a block of a save, and what
 * else a save has. */
#define SAVE_RECORDS 1100u
#define SAVE_BLOCKS  24u

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t disk_used(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_blocks * 512;
}

/* Blocks of [start, start + count) that take no space. @fd: -1: all of them. */
static uint64_t holes(int fd, uint64_t start, uint64_t count)
{
	off_t at = (off_t)(start * BLOCK), end = at + (off_t)(count * BLOCK);
	uint64_t bytes = 0;

	if (fd < 0)
		return count;
	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA);

		if (data < 0 || data > end)
			data = errno == ENXIO || data > end ? end : at;
		bytes += (uint64_t)(data - at);
		at = data == end ? end : lseek(fd, data, SEEK_HOLE);
		if (at < 0)
			break; /* it cannot tell: all is data */
	}
	return bytes / BLOCK;
}

/*
 * How many slabs are filled at a time: one for each thread of the volume. In a
 * container with fewer cores than it may use this says too many.
 */
static unsigned zones(const struct vdo_config *config)
{
	static const char *const names[] = {"physical-zones", "threads"};
	cpu_set_t cores;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = vdo_config_get(config, names[i]);
		unsigned long n = value == NULL ? 0 : strtoul(value, NULL, 10);

		if (n > 0)
			return (unsigned)less(n, ZONES);
	}
	if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
		return 1;
	return (unsigned)less((uint64_t)CPU_COUNT(&cores), ZONES);
}

/* Which slabs were used? Those have journal, counts and data. */
static void look_at_slabs(struct disk *d, int fd, const struct vdo_info *info)
{
	d->slabs = info->slab_count;
	d->slab_data_blocks = info->slab_data_blocks;
	d->slab_metadata_blocks = info->reference_count_blocks +
				  info->slab_journal_blocks;
	for (uint64_t i = 0; fd >= 0 && i < d->slabs; i++) {
		uint64_t data = info->depot_start + i * info->slab_blocks;

		if (holes(fd, data + d->slab_data_blocks,
			  d->slab_metadata_blocks) == d->slab_metadata_blocks)
			continue;
		d->used_slabs++;
		d->used_blocks += d->slab_data_blocks -
				  holes(fd, data, d->slab_data_blocks);
	}
}

static void look_at_index(struct disk *d, int fd,
			  const struct vdo_index_info *index)
{
	if (!index->region)
		return;
	d->index_holes = holes(fd, index->first_block, index->total_blocks);
	d->chapter_blocks = INDEX_PAGE_BLOCKS *
			    (index->record_pages + index->index_pages);
	d->records_per_chapter = index->records_per_chapter;
	d->chapters = index->chapters;
	for (unsigned i = 0; i < VDO_INDEX_SAVES; i++)
		d->saves += index->saves[i].valid;
}

/* @fd: the file, or -1: a volume without anything in it. */
static void look(struct disk *d, int fd, const struct vdo_info *info,
		 const struct vdo_index_info *index)
{
	d->known = true;
	/* what is reserved takes space, though it looks like a hole */
	if (fd < 0 || strcmp(info->state_name, "new") == 0)
		d->fixed_holes = info->journal_partition_count +
				 info->summary_count;
	if (fd < 0)
		d->fixed_holes += 2; /* geometry and super block */
	d->root_holes = holes(fd, info->root_origin, info->root_count);
	look_at_slabs(d, fd, info);
	look_at_index(d, fd, index);
}

void disk_look(struct disk *d, const struct vdo_config *config,
	       const char *path)
{
	struct vdo_index_info index;
	struct vdo_info info;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(d, 0, sizeof(*d));
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    vdo_inspect(path, &info, sizeof(info), NULL) == 0 &&
	    vdo_index_inspect(path, &index, sizeof(index), NULL) == 0) {
		look(d, fd, &info, &index);
		d->zones = zones(config);
		d->taken = (uint64_t)st.st_blocks * 512 / BLOCK;
	}
	if (fd >= 0)
		close(fd);
}

int disk_plan(struct disk *d, const struct vdo_config *config, uint64_t size,
	      struct vdo_info *info, struct vdo_error *error)
{
	struct vdo_index_info index;
	struct vdo_device *device;
	int r;

	memset(d, 0, sizeof(*d));
	if (vdo_device_open_memory(size, &device) != 0)
		return 0; /* too large to try */
	r = vdo_format_device(device, config, error);
	if (r == 0)
		r = vdo_inspect_device(device, info, sizeof(*info), error);
	if (r == 0)
		r = vdo_index_inspect_device(device, &index, sizeof(index),
					     error);
	if (r == 0)
		look(d, -1, info, &index);
	d->zones = zones(config);
	vdo_device_close(device);
	return r;
}

uint64_t disk_interior(uint64_t leaves)
{
	uint64_t pages = 0, tree = div_up(leaves, TREES);

	for (unsigned level = 0; level < LEVELS && leaves > 0; level++) {
		tree = div_up(tree, LEAF_MAPPINGS);
		pages += tree * less(leaves, TREES);
	}
	return pages;
}

/* Chapters, as long as there are places that were never written; and one of two
 * saves, or what it grows by. */
static uint64_t index_growth(const struct disk *d, const struct disk_load *load)
{
	uint64_t blocks = load->chapters * d->chapter_blocks;

	if (d->chapter_blocks == 0)
		return 0;
	if (d->saves < 2)
		blocks += load->records / SAVE_RECORDS + SAVE_BLOCKS;
	else
		blocks += 2 * load->recent / SAVE_RECORDS;
	return less(blocks, d->index_holes);
}

/*
 * Slabs that take storage for their journal and counts: one for each zone and
 * as many as the data fills, and the next one of each zone, which is reserved
 * ahead, and was before if any was used.
 */
static uint64_t slab_growth(const struct disk *d, uint64_t blocks)
{
	uint64_t before = d->used_slabs, after = before, filled;

	if (d->slab_data_blocks == 0)
		return 0;
	filled = div_up(d->used_blocks + blocks, d->slab_data_blocks);
	if (filled > after)
		after = filled;
	if (before == 0)
		after = d->zones + (after > d->zones ? after : d->zones);
	return (less(after, d->slabs) - before) * d->slab_metadata_blocks;
}

uint64_t disk_metadata(const struct disk *d, const struct disk_load *load)
{
	uint64_t map = load->leaves + load->interior;

	return d->fixed_holes + d->root_holes + map + index_growth(d, load) +
	       slab_growth(d, load->data + map);
}
