/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of a file goes around the page cache (O_DIRECT): option direct.
 *
 * With direct=writes a volume's writes do, and its reads do not: what is
 * written is flushed a moment later, so that the page cache would only hold a
 * copy that the processor had to make; what is read again is there at once
 * (cached.c).
 *
 * Two descriptors. What was claimed gets O_DIRECT, and so is the one that
 * writes: the lock of a process that was killed has to outlive its writes
 * (claim.c). The other one is opened anew, by way of /proc, so that it is the
 * same file for sure.
 *
 * Coherence. Who reads by way of the page cache must see each direct write that
 * was over before. The kernel drops the pages of the range before a direct
 * write and once more when the data is on the storage and mapped there, before
 * it tells anybody. So it is for an old page that came in meanwhile, by a read
 * of the same block, of a neighbour, or ahead of either: if it came before the
 * second time it is dropped then, and if it is still being read that waits for
 * the read; what came later was read after the write. The second time can fail
 * for a page that is dirty, alone. Therefore no volume that writes directly
 * writes by way of the page cache, too: all memory that is written from is
 * aligned, and the rest of a torn write goes on directly. Pages that were dirty
 * before, as from formatting, are written back the first time. Should it fail
 * after all, since another program writes to the file, the kernel lets the next
 * flush fail, so nothing is confirmed.
 *
 * Not every file system keeps that, and it is not promised to programs. So it
 * is done where it is known to hold: ext4 with extents (without them it may
 * write by way of the page cache even so) and XFS, both from Linux 6.1 on,
 * which is the first that tells how direct I/O has to be aligned. Elsewhere
 * nothing is direct: not on block devices, which leave out the second time for
 * asynchronous writes, so that reading ahead leaves old data behind
 * (test_direct shows it for direct=on and others who read a block device), and
 * not on file systems that have rules of their own.
 *
 * Without a volume, as when one is formatted, and with threads instead of
 * io_uring, each write would be waited for: there nothing is direct either.
 */
#include "build.h"

#include "io/file_priv.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A header of the kernel has a macro of the same name. */
#undef BLOCK_SIZE

#include "exec/system.h"
#include "format/types.h"

/* Do reads by way of the page cache see what was written directly? */
static bool is_coherent(const struct file *f)
{
	struct statfs s;
	int flags = 0;

	if (f->block_device || fstatfs(f->fd, &s) != 0)
		return false;
	switch (s.f_type) {
	case EXT4_SUPER_MAGIC:
		return ioctl(f->fd, FS_IOC_GETFLAGS, &flags) == 0 &&
		       (flags & FS_EXTENT_FL) != 0;
	case XFS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/* What direct operations of the file must be multiples of; 0: nobody knows. */
static unsigned alignment(const struct file *f)
{
#ifdef STATX_DIOALIGN
	struct statx x;

	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) == 0 &&
	    (x.stx_mask & STATX_DIOALIGN) != 0 && x.stx_dio_mem_align != 0)
		return MAX(x.stx_dio_mem_align, x.stx_dio_offset_align);
#endif
	return 0;
}

static bool choose(struct file *f, bool read_only)
{
	unsigned align;

	VDO_ASSERT(f->direct <= DIRECT_WRITES);
	if (f->direct != DIRECT_WRITES) {
		f->direct_align = BLOCK_SIZE;
		return f->direct == DIRECT_ON;
	}
	align = alignment(f);
	f->direct_align = align;
	return !read_only && align != 0 && align <= BLOCK_SIZE &&
	       BLOCK_SIZE % align == 0 && is_coherent(f);
}

/* Whatever does not go well, without O_DIRECT it does. */
void direct_set_up(struct file *f, bool read_only)
{
	char path[32];
	int fd;

	VDO_ASSERT(f->fd >= SYSTEM_FD_FIRST && f->cached_fd < 0);
	if (!choose(f, read_only))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = system_open(path, read_only ? O_RDONLY : O_RDWR, 0);
	if (fd < 0)
		return;
	if (fcntl(f->fd, F_SETFL, O_DIRECT) != 0) {
		close(fd);
		return;
	}
	f->cached_fd = fd;
	f->direct_reads = f->direct == DIRECT_ON;
	f->direct_writes = f->direct == DIRECT_ON;
}

void direct_attach(struct file *f)
{
	VDO_ASSERT(f->engine != NULL);
	if (f->cached_fd >= 0 && f->engine == &uring_engine)
		f->direct_writes = true;
}

void direct_detach(struct file *f)
{
	VDO_ASSERT(f->engine == NULL);
	f->direct_writes = f->direct_reads;
}
