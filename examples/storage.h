/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is it the same storage? A file or block device has many names: other paths,
 * hard links, symbolic links, device nodes, loop devices over a file, and
 * devices on top of devices. Programs ask here before they write, so that
 * nothing is copied over itself.
 *
 * It is told by device and inode number, or the number of a block device, and
 * by what the kernel says of loop devices, partitions, device mapper and RAID.
 * What it does not say, such as the storage of a network file system, is not
 * known here either.
 */
#ifndef EXAMPLES_STORAGE_H
#define EXAMPLES_STORAGE_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A file, directory or block device. */
struct storage {
	bool exists; /* and is one of these */
	bool is_block;
	dev_t device; /* of the file system the file is in; or of the block
			 device itself */
	ino_t inode;  /* of a file */
};

/* Symbolic links are followed. */
struct storage storage_at(const char *path);
struct storage storage_open(int fd);
struct storage storage_of(const struct stat *st);

bool storage_equal(const struct storage *a, const struct storage *b);

/*
 * Does writing to @to change @from? It does if they are the same, if one is
 * made of the other, or if the file system of @from is on @to.
 */
bool storage_would_change(const struct storage *to, const struct storage *from);

/*
 * The files that hold @s, itself among them, where it is one: @max at most;
 * how many there are.
 */
unsigned storage_files(const struct storage *s, struct storage *files,
		       unsigned max);

/*
 * Neither standard output nor standard error is the volume at @path. False: one
 * is, and that was said if it could be.
 */
bool outputs_are_apart(const char *path);

#endif
