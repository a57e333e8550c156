/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "replay/made.h"

#include <errno.h>

#include "base/alloc.h"

void replay_made_fini(struct replay_made *m)
{
	intmap_fini(&m->pages);
	alloc_free(m->places);
	*m = (struct replay_made){0};
}

static bool is_made(const struct replay_made *m, pbn_t pbn)
{
	return m->pages.count > 0 && intmap_get(&m->pages, pbn) != NULL;
}

int replay_made_take(struct replay_made *m, const struct journal_entry *e,
		     const char **wrong)
{
	pbn_t to = e->new_mapping.pbn;
	int result = 0;

	*wrong = NULL;
	if (is_made(m, to)) {
		*wrong = e->operation == JOURNAL_BLOCK_MAP
				 ? "entries make a block a page of the block "
				   "map twice"
				 : replay_page_and_data;
		return 0;
	}
	if (e->operation != JOURNAL_BLOCK_MAP ||
	    m->pages.count == REPLAY_MADE_PAGES_MAX)
		return 0;
	if (m->pages.count == m->pages.entries_max)
		result = intmap_grow(&m->pages);
	if (result == 0)
		(void)intmap_put_new(&m->pages, to, m);
	return result;
}

/* --------------------------------------------------------------- the batches */

static int remember(struct replay_made *m, struct replay_place p)
{
	if (m->place_count == REPLAY_MADE_PLACES_MAX)
		return 0;
	if (m->place_count == m->place_room) {
		struct replay_place *more =
			alloc_more(m->places, &m->place_room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		m->places = more;
	}
	m->places[m->place_count++] = p;
	return 0;
}

/* Forget places that have another mapping now. One that is left and leads to what
 * the batch makes; NULL: there is none. */
static const struct replay_place *update(struct replay_made *m,
					 const struct replay_table *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->place_count; i++) {
		struct replay_place *p = &m->places[i];

		if (replay_table_has(t, p->page, p->slot))
			continue;
		if (replay_table_makes(t, p->to))
			return p;
		m->places[kept++] = *p;
	}
	m->place_count = kept;
	return NULL;
}

int replay_made_batch(struct replay_made *m, const struct replay_table *t,
		      bool is_last, pbn_t *page, const char **wrong)
{
	const struct replay_place *p = update(m, t);
	struct replay_place next;
	size_t at = 0;
	int result = 0;

	*page = p != NULL ? p->to : ZERO_BLOCK;
	*wrong = p != NULL ? replay_page_and_data : NULL;
	if (p != NULL || is_last || m->pages.count == 0)
		return 0;
	while (result == 0 && replay_table_data(t, &at, &next))
		if (is_made(m, next.to))
			result = remember(m, next);
	return result;
}
