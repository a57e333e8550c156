/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index: its own verification (index/verify.h), whose faults become
 * findings, and its own rebuild.
 */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash128.h"
#include "check/check_priv.h"
#include "index/index.h"
#include "pack/pack.h"
#include "volume/reindex.h"

static void tell_fault(struct check *c, const struct vdo_index_fault *fault)
{
	struct vdo_check_finding f = finding_make(
		c, (enum vdo_check_code)(VDO_CHECK_INDEX_SUPER + fault->kind));

	if (fault->block != 0)
		f.block = fault->block;
	finding_found(&f, "%.63s", fault->text);
	(void)finding_tell(c, &f);
}

/* -------------------------------------------------------------------- names */

/*
 * Do data have the names that the index has for them? A record whose data were
 * overwritten stays until its chapter goes, so one that does not fit is no
 * damage: it is counted. Records come in the order of names, and are looked at
 * a batch at a time in that of blocks.
 */
#define BATCH 65536u

struct name {
	struct hash128 hash;
	struct mapping at;
};

struct names {
	struct check *c;
	struct name *batch;
	size_t count;
	uint8_t *block, *data;
	pbn_t in_block; /* what is there; 0: nothing */
	int result;
};

static int by_place(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->at.pbn < y->at.pbn ? -1 : x->at.pbn > y->at.pbn;
}

/* The data at @m, or NULL: there are none. */
static const uint8_t *data_at(struct names *n, struct mapping m)
{
	int result = 0;

	if (n->in_block != m.pbn)
		result = check_read(n->c, m.pbn, 1, n->block);
	n->in_block = result == 0 ? m.pbn : 0;
	if (result == -ECANCELED || result == -ENOMEM)
		n->result = result;
	if (result != 0)
		return NULL;
	if (!mapping_is_compressed(m))
		return n->block;
	return pack_decompress(n->block, m.state, n->data) == 0 ? n->data
								: NULL;
}

static void look_at_names(struct names *n)
{
	struct vdo_check_report *r = &n->c->report;

	qsort(n->batch, n->count, sizeof(*n->batch), by_place);
	for (size_t i = 0; i < n->count && n->result == 0; i++) {
		const uint8_t *data = data_at(n, n->batch[i].at);
		struct hash128 hash = {{0}};

		if (data != NULL)
			hash = hash128(data, BLOCK_SIZE, BLOCK_NAME_SEED);
		if (data != NULL &&
		    memcmp(&hash, &n->batch[i].hash, sizeof(hash)) == 0)
			r->records_good++;
		else
			r->records_stale++;
	}
	n->count = 0;
}

static void take_record(void *arg, const struct index_record *record)
{
	struct names *n = arg;
	struct name *name = &n->batch[n->count];

	memcpy(&name->hash, &record->name, sizeof(name->hash));
	name->at = (struct mapping){get_u64(record->data + 2), record->data[1]};
	/* Byte 0 is the version of the rest. */
	if (record->data[0] != 2 || name->at.pbn == ZERO_BLOCK ||
	    !mapping_plausible(&n->c->slabs, name->at) || n->result != 0)
		return;
	if (++n->count == BATCH)
		look_at_names(n);
}

static int create_names(struct names *n)
{
	n->batch = alloc_zeroed(BATCH, sizeof(*n->batch));
	n->block = alloc_aligned(BLOCK_SIZE, 1, BLOCK_SIZE);
	n->data = alloc_zeroed(1, BLOCK_SIZE);
	return n->batch == NULL || n->block == NULL || n->data == NULL ? -ENOMEM
								       : 0;
}

/* Verify the index, and with VDO_CHECK_DATA the names in it. */
static int verify(struct check *c)
{
	struct names n = {.c = c};
	int result = 0;

	if ((c->flags & VDO_CHECK_DATA) != 0) {
		result = create_names(&n);
		reindex_on_record(c->verify, take_record, &n);
	}
	if (result == 0)
		result = reindex_verify(c->verify, NULL);
	if (result == 0 && n.count > 0)
		look_at_names(&n);
	if (result == 0)
		result = n.result;
	alloc_free(n.batch);
	alloc_free(n.block);
	alloc_free(n.data);
	return result;
}

/* ------------------------------------------------------------------- faults */

static bool tell_faults(struct check *c, const struct vdo_index_report *r)
{
	uint64_t told[VDO_INDEX_FAULT_KINDS] = {0};

	for (size_t i = 0; i < r->first_count; i++) {
		tell_fault(c, &r->first[i]);
		told[r->first[i].kind]++;
	}
	for (int k = 0; k < VDO_INDEX_FAULT_KINDS; k++)
		finding_count(c,
			      (enum vdo_check_code)(VDO_CHECK_INDEX_SUPER + k),
			      r->faults_by_kind[k] - told[k]);
	return r->faults > 0;
}

static int create_index(struct check *c, bool writes, struct reindex **reindex,
			struct vdo_error *error)
{
	int result = volume_reindex_create(c->device, c->executor, &c->settings,
					   writes, reindex, error);

	if (result != 0)
		return result;
	atomic_store(&c->reindex, *reindex);
	return check_is_stopped(c) ? -ECANCELED : 0;
}

static int rebuild_index(struct check *c, struct vdo_error *error)
{
	int result = create_index(c, true, &c->rebuild, error);

	return result == 0 ? reindex_rebuild(c->rebuild, error) : result;
}

int check_index(struct check *c, struct vdo_error *error)
{
	int result;

	if ((c->flags & VDO_CHECK_NO_INDEX) != 0)
		return 0;
	check_phase(c, "reading the index", 0);
	result = create_index(c, false, &c->verify, NULL);
	if (result == -VDO_ENOINDEX)
		return 0;
	if (result == 0)
		result = verify(c);
	if (result == -VDO_EVERSION)
		return 0; /* Linux may know it; nothing depends on it */
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	if (result != 0) {
		struct vdo_check_finding f =
			finding_make(c, VDO_CHECK_INDEX_UNREADABLE);

		finding_found(&f, "%s", vdo_strerror(result));
		return finding_tell(c, &f) ? rebuild_index(c, error) : 0;
	}
	c->report.index_records = reindex_report(c->verify)->records;
	if (tell_faults(c, reindex_report(c->verify)) && check_repairs(c))
		return rebuild_index(c, error);
	return 0;
}
