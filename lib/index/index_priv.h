/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What verify.c, and tests, see of the inside of an index.
 *
 * Runs on: whoever knows that the zones stand still, or that nobody asks them
 * anything.
 */
#ifndef INDEX_INDEX_PRIV_H
#define INDEX_INDEX_PRIV_H

#include "index/index.h"
#include "index/media.h"
#include "index/range.h"
#include "index_format/contents.h"

const struct index_media *index_media_of(const struct index *index);
struct index_contents *index_contents_of(struct index *index);
const struct chapter_range *index_range_of(const struct index *index);

#endif
