/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a storage holds before a volume is made on it.
 *
 * Any byte that is not zero is data. Of a file everything is looked at that its
 * file system has stored, down to the last byte, so a sparse file costs
 * nothing. A block device and a host's storage may be too large for that: there
 * it is the first and the last MiB, where all file systems, partition tables
 * and containers begin or end, and the places between where some of them keep
 * copies of their beginning. Signatures give what was found a name.
 */
#include "build.h"

#include "volume/content.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/zero.h"
#include "format/types.h"
#include "io/device.h"

#define LOOK_BYTES (UINT64_C(1) << 20)

/* What begins a storage that holds something already, the surest first. */
static const struct signature {
	uint64_t offset;
	uint8_t size;
	const char *magic;
	const char *name;
} signatures[] = {
	{0, 8, "dmvdo001", "a VDO volume"},
	{1080, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{0, 4, "XFSB", "an XFS file system"},
	{65600, 8, "_BHRfS_M", "a btrfs file system"},
	{4120, 8, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca", "a bcache device"},
	{1024, 4, "\x10\x20\xf5\xf2", "an F2FS file system"},
	{1024, 4, "\xe2\xe1\xf5\xe0", "an EROFS file system"},
	{131072, 8, "\x0c\xb1\xba\0\0\0\0\0", "a ZFS pool"},
	{135168, 8, "\x0c\xb1\xba\0\0\0\0\0", "a ZFS pool"},
	{512, 8, "LABELONE", "an LVM physical volume"},
	{4096, 4, "\xfc\x4e\x2b\xa9", "a member of a RAID"},
	{0, 4, "\xfc\x4e\x2b\xa9", "a member of a RAID"},
	{512, 8, "EFI PART", "a GPT partition table"},
	{4096, 8, "EFI PART", "a GPT partition table"},
	{0, 6, "LUKS\xba\xbe", "a LUKS volume"},
	{4086, 10, "SWAPSPACE2", "swap space"},
	{4086, 10, "SWAP-SPACE", "swap space"},
	{65526, 10, "SWAPSPACE2", "swap space"},
	{3, 8, "NTFS    ", "an NTFS file system"},
	{3, 8, "EXFAT   ", "an exFAT file system"},
	{32, 4, "NXSB", "an APFS container"},
	{1024, 2, "H+", "an HFS+ file system"},
	{32769, 5, "CD001", "an ISO 9660 file system"},
	{0, 4, "QFI\xfb", "a qcow2 image"},
	{0, 8, "vhdxfile", "a VHDX image"},
	{0, 8, "conectix", "a VHD image"},
	{0, 4, "KDMV", "a VMDK image"},
	{64, 4, "\x7f\x10\xda\xbe", "a VDI image"},
	{0, 4, "hsqs", "a squashfs file system"},
	{0, 22, "bluestore block device", "a Ceph OSD"},
	{510, 2, "\x55\xaa", "a boot sector or partition table"},
};

/* Copies, far from both ends; whole blocks from these offsets are read. */
static const struct signature copies[] = {
	{67108928, 8, "_BHRfS_M", "a btrfs file system"},
	{UINT64_C(274877907008), 8, "_BHRfS_M", "a btrfs file system"},
	{8389688, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{33554488, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{134217784, 2, "\x53\xef", "an ext2, ext3 or ext4 file system"},
};

/* Which name has @n bytes from @start of the storage? */
static const char *name_of(const uint8_t *bytes, uint64_t start, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		const struct signature *s = &signatures[i];

		if (s->offset >= start && s->offset + s->size <= start + n &&
		    memcmp(bytes + (s->offset - start), s->magic, s->size) == 0)
			return s->name;
	}
	return NULL;
}

/*
 * Read what lies from *@at on, LOOK_BYTES at most, and look at it. *@at goes
 * beyond it, *@found is set where it is not zero.
 */
static int look_from(struct vdo_device *d, uint8_t *buf, uint64_t *at,
		     uint64_t end, const char **found)
{
	size_t n = (size_t)MIN(end - *at, LOOK_BYTES);
	size_t whole = (n + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
	int result;

	VDO_ASSERT(*at < end && end <= d->size_bytes);
	VDO_ASSERT(whole <= LOOK_BYTES);
	memset(buf + n, 0, whole - n);
	result = device_read_bytes(d, *at, buf, n);
	if (result == 0 && !zero_test(buf, whole)) {
		*found = name_of(buf, *at, n);
		if (*found == NULL)
			*found = "data";
	}
	*at += n;
	return result;
}

/* A file: all that is stored. */
static int look_at_all(struct vdo_device *d, uint8_t *buf, const char **found)
{
	uint64_t at = 0;
	int result = 0;

	while (result == 0 && *found == NULL) {
		result = device_find_data(d, &at);
		if (result != 0 || at >= d->size_bytes)
			break;
		at -= at % BLOCK_SIZE;
		result = look_from(d, buf, &at, d->size_bytes, found);
	}
	return result;
}

static int look_at_copies(struct vdo_device *d, uint8_t *buf, uint64_t end,
			  const char **found)
{
	for (size_t i = 0; i < ARRAY_SIZE(copies) && *found == NULL; i++) {
		const struct signature *s = &copies[i];
		uint64_t in_block = s->offset % BLOCK_SIZE;
		int result;

		VDO_ASSERT(in_block + s->size <= BLOCK_SIZE);
		if (s->offset - in_block + BLOCK_SIZE > end)
			continue;
		result = device_read(d, s->offset - in_block, buf, BLOCK_SIZE);
		if (result != 0)
			return result;
		if (memcmp(buf + in_block, s->magic, s->size) == 0)
			*found = s->name;
	}
	return 0;
}

/* Other storage: its ends and where copies are kept. */
static int look_at_ends(struct vdo_device *d, uint8_t *buf, const char **found)
{
	uint64_t end = d->size_bytes;
	uint64_t at = 0;
	int result;

	/* A host's storage is read in blocks. */
	if (d->blocking == NULL)
		end -= end % BLOCK_SIZE;
	if (end == 0)
		return 0;
	result = look_from(d, buf, &at, end, found);
	if (result == 0 && *found == NULL && at < end) {
		at = end > 2 * LOOK_BYTES ? end - LOOK_BYTES : at;
		at -= at % BLOCK_SIZE;
		while (result == 0 && *found == NULL && at < end)
			result = look_from(d, buf, &at, end, found);
	}
	if (result == 0 && *found == NULL)
		result = look_at_copies(d, buf, end, found);
	return result;
}

int content_check(struct vdo_device *device, struct vdo_error *error)
{
	uint8_t *buf = alloc_aligned(BLOCK_SIZE, 1, LOOK_BYTES);
	const char *found = NULL;
	int result;

	if (buf == NULL)
		return -ENOMEM;
	result = look_at_all(device, buf, &found);
	if (result == -ENOTSUP)
		result = look_at_ends(device, buf, &found);
	alloc_free(buf);
	if (result != 0)
		return error_set(error, result,
				 "the storage cannot be read to see whether it "
				 "holds something: %s; option force overwrites "
				 "it",
				 vdo_strerror(result));
	if (found == NULL)
		return 0;
	return error_set(error, -VDO_ESIGNATURE,
			 "the storage holds %s; option force overwrites it",
			 found);
}
