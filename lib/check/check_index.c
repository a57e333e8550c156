/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index: its own verification (index/verify.h), whose faults become
 * findings, and its own rebuild.
 */
#include "build.h"

#include <errno.h>

#include <vdo/error.h>

#include "base/assert.h"
#include "check/check_priv.h"
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
		result = reindex_verify(c->verify, NULL);
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
