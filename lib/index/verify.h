/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking over all of an index that nobody uses: each page of each chapter and
 * each list of the volume index, one held against the other.
 *
 *	save		the range of chapters, volume index, page map
 *	  |		(they were loaded by index_open())
 *	slots		which chapter is where; without a save, the range
 *	  |
 *	volume index	each entry: decodes, names a chapter of the range, and
 *	  |		a collision is in the list that its name belongs to
 *	chapters	index pages, then each record: it is found on its
 *			page, and its chapter's index leads to that page
 *
 * What cannot be found because of a fault is not counted as another fault.
 *
 * Runs on: the calling thread, which reads from the device and waits for it;
 * outside of any queue, while nothing else is done with the index. The volume
 * index is no longer what was saved afterwards: do not save it.
 * Lifetime: struct index_verify is the caller's, zeroed but for what is "in".
 */
#ifndef INDEX_VERIFY_H
#define INDEX_VERIFY_H

#include <stdatomic.h>

#include <vdo/index.h>

#include "index/index.h"

#define FAULTS_DESCRIBED 16u

struct index_verify {
	struct index *index; /* in; its super block and config were read */
	bool loaded;	     /* in: index_open() has loaded the newest save */
	atomic_bool *stop;   /* in */
	/* In, or NULL: called for each record of a chapter that is whole. */
	void (*record)(void *arg, const struct index_record *r);
	void *arg;
	atomic_ullong done, total; /* bytes of chapters; for anybody to read */
	struct vdo_index_report report; /* out, besides state and first */
	struct vdo_index_fault first[FAULTS_DESCRIBED]; /* out */
};

/* The result is 0, whatever faults there are. -ECANCELED, -ENOMEM */
int index_verify(struct index_verify *v) MUST_CHECK;

/* Add a fault to the report, also before index_verify(). @chapter may be
 * CHAPTER_NONE; @block is one of the device. */
void index_verify_fault(struct index_verify *v, enum vdo_index_fault_kind kind,
			uint64_t chapter, uint64_t block, const char *fmt, ...)
	PRINTF(5, 6);

#endif
