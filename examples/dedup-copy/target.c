/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The volume: made if it is missing, opened, and closed.
 */
#include "build.h"

#include "dedup-copy.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define MIB (UINT64_C(1) << 20)

/*
 * What a volume can address, 4 PiB: that is what a new one gets. Addresses cost
 * nothing until they are used, and each snapshot takes as many as it has data.
 */
#define LOGICAL_MAX (UINT64_C(1) << 52)

bool target_is_missing(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode) && st.st_size == 0;
}

static bool is_regular(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool set_number(struct vdo_config *config, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return config_set(config, name, text);
}

/* Has the new volume room for what is to come? */
static bool has_room(const struct vdo_info *info, uint64_t bytes)
{
	/* block map pages: one in 812 blocks, and some for the tree */
	return info->slab_count * info->slab_data_blocks >
	       (bytes + bytes / 512 + 2 * MIB) / BLOCK;
}

/*
 * The physical size of a new file is twice what has to fit, since parts that
 * are never written cost nothing, and more snapshots may follow. If metadata
 * and whole slabs leave too little of it, it is larger.
 */
static int choose_size(struct run *run, const struct need *need,
		       struct disk *disk)
{
	const struct arguments *a = run->arguments;
	uint64_t size = 2 * (need->bytes + -need->bytes % BLOCK) + 256 * MIB;
	struct vdo_error error;
	struct vdo_info info;
	int r;

	if (a->size != NULL && vdo_size_parse(a->size, &size) != 0)
		return STOP_SAID; /* not reached: the option was checked */
	for (unsigned i = 0; i < 16; i++) {
		if (a->size == NULL && !set_number(a->config, "size", size))
			return STOP_SAID;
		r = disk_plan(disk, a->config, size, &info, &error);
		if (r == 0 && (a->size != NULL || !disk->known ||
			       has_room(&info, need->bytes)))
			return 0;
		if (a->size != NULL || (r != 0 && r != -ENOSPC))
			break;
		size += size / 2 + -(size / 2) % BLOCK;
	}
	if (r != 0)
		complain_vdo(a->volume, &error);
	return r == 0 ? 0 : STOP_SAID;
}

int target_plan(struct run *run, const struct need *need, struct disk *disk)
{
	const struct arguments *a = run->arguments;
	uint64_t logical = need->logical != 0 ? need->logical : LOGICAL_MAX;

	*disk = (struct disk){0};
	if (a->logical_size == NULL &&
	    !set_number(a->config, "logical-size", logical))
		return STOP_SAID;
	if (!target_is_missing(a->volume) && !is_regular(a->volume))
		return 0; /* a device has the size it has */
	return choose_size(run, need, disk);
}

static int format(struct run *run, const struct need *need, bool force)
{
	const struct arguments *a = run->arguments;
	struct vdo_error error;
	struct disk disk;
	int r = target_plan(run, need, &disk);

	if (r != 0)
		return r;
	if (force && !config_set(a->config, "force", "on"))
		return STOP_SAID;
	if (vdo_format(a->volume, a->config, &error) != 0) {
		complain_vdo(a->volume, &error);
		return STOP_SAID;
	}
	run->created = true;
	run->disk_before = 0;
	return 0;
}

int target_open(struct run *run, bool read_only)
{
	const struct arguments *a = run->arguments;
	struct vdo_error error;
	int r;

	if (read_only && !config_set(a->config, "read-only", "on"))
		return STOP_SAID;
	if (!run->created)
		run->disk_before = disk_used(a->volume);
	r = vdo_open(a->volume, a->config, &run->volume, &error);
	if (r == 0)
		return 0;
	run->volume = NULL;
	if (r == -VDO_ENOTVDO && a->force && a->mode == MODE_STORE)
		return r;
	complain_vdo(a->volume, &error);
	if (r == -VDO_ENOTVDO && a->mode == MODE_STORE)
		complain("with --force it is overwritten");
	return STOP_SAID;
}

int target_create_or_open(struct run *run, const struct need *need)
{
	bool missing = target_is_missing(run->arguments->volume);
	int r = 0;

	if (!missing)
		r = target_open(run, false);
	if (missing || r == -VDO_ENOTVDO) {
		r = format(run, need, !missing);
		if (r == 0)
			r = target_open(run, false);
	}
	return r;
}

bool target_is_full(int result)
{
	return result == -ENOSPC || result == -EDQUOT || result == -EFBIG;
}

/* Is it the file system below the volume that has no room, not the volume? */
static bool host_is_full(const char *path)
{
	struct statvfs vfs;

	return is_regular(path) && statvfs(path, &vfs) == 0 &&
	       vfs.f_bavail * vfs.f_frsize < 4 * MIB;
}

static void say_full(struct run *run, int result)
{
	const char *path = run->arguments->volume;
	const char *what = "the volume is full";

	if (result == -EDQUOT)
		what = "the disk quota below the volume is used up";
	else if (result == -EFBIG)
		what = "the volume's file may not become so large (ulimit -f, "
		       "or the limit of its file system)";
	else if (host_is_full(path))
		what = "the file system that holds the volume is full: free "
		       "space there";
	complain("%s: %s; what this run stored is given up, all else is kept",
		 path, what);
	run->said_full = true;
}

static bool is_saved(const char *path)
{
	struct vdo_info info;

	return vdo_inspect(path, &info, sizeof(info), NULL) == 0 &&
	       (strcmp(info.state_name, "clean") == 0 ||
		strcmp(info.state_name, "recovering") == 0);
}

/* A volume without room can be saved all the same, but for what was told. */
int target_close(struct run *run)
{
	const char *path = run->arguments->volume;
	int r = 0;

	if (run->volume != NULL)
		r = vdo_close(run->volume);
	run->volume = NULL;
	if (r == 0)
		return 0;
	if (!target_is_full(r) || !is_saved(path))
		complain_result(path, "close it", r);
	else if (!run->said_full)
		say_full(run, r);
	return STOP_SAID;
}

void progress_begin(struct run *run, const char *label, uint64_t total)
{
	progress_start(&run->progress, label, total);
	if (run->arguments->progress >= 0)
		run->progress.on = run->arguments->progress;
}

int run_end(struct run *run, const char *what, int result)
{
	const char *path = run->arguments->volume;

	if (result == STOP_INTERRUPTED) {
		complain("interrupted; %s is closed", path);
		return EXIT_INTERRUPTED;
	}
	if (result == NO_ADDRESSES)
		complain("%s: has no addresses left, though it may have space: "
			 "its logical size is used up; remove snapshots, or make "
			 "it larger (vdoctl grow --logical-size); what this run "
			 "stored is given up, all else is kept",
			 path);
	else if (target_is_full(result))
		say_full(run, result);
	else if (result < 0)
		complain_result(path, what, result);
	if (result != 0)
		return EXIT_FAILED;
	if (run->differs)
		return EXIT_FAILED;
	return run->warned ? EXIT_PARTIAL : EXIT_OK;
}
