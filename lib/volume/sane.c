/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over the whole engine, for tests and the simulation.
 *
 * The index is not in it: it walks over its zones itself, when it begins and
 * ends its service.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include "dedupe/dedupe.h"
#include "depot/depot.h"
#include "journal/journal.h"
#include "map/map.h"
#include "pack/pack.h"

const char *volume_insane(const struct volume *v)
{
	if (!journal_sane(v->journal))
		return "journal";
	if (!depot_sane(v->depot))
		return "depot";
	if (!map_sane(v->map))
		return "map";
	if (!packer_sane(v->packer))
		return "packer";
	if (!dedupe_sane(v->dedupe))
		return "dedupe";
	return NULL;
}
