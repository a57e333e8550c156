/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slabs: what they say of themselves, against what leads to their blocks.
 *
 *	counts		with the commit point of each sector [load_counts]
 *	journal		of a slab whose counts may lack entries [apply_ring]
 *	recovery	the entries that a recovery would append, at the places
 *	journal		that they would get (I10) [append]
 *	  |
 *	comparison	block by block [compare]
 *
 * A slab whose journal or counts are damaged is not compared: its counts cannot
 * be told. It is made anew from what leads to its blocks (mend.c).
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <vdo/error.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "check/check_priv.h"
#include "format/slab.h"

#define PROVISIONAL	  255u /* in memory; as good as free on disk */
#define SECTORS_PER_BLOCK 8u
#define PIECE		  256u /* blocks that are read at once */

struct slabs {
	struct check *c;
	uint8_t *piece;
};

static uint64_t ring_of(const struct check *c)
{
	return c->sb.slab.slab_journal_blocks;
}

static pbn_t counts_start(const struct check *c, uint64_t slab)
{
	return slab_start(&c->slabs, slab) + c->sb.slab.data_blocks;
}

static pbn_t ring_start(const struct check *c, uint64_t slab)
{
	return counts_start(c, slab) + c->sb.slab.reference_count_blocks;
}

static uint64_t *points_of(const struct check *c, uint32_t place)
{
	return c->points +
	       place * c->sb.slab.reference_count_blocks * SECTORS_PER_BLOCK;
}

static struct check_slab *slab_at(const struct check *c, uint32_t place)
{
	VDO_ASSERT(place < c->part_count);
	return &c->part[place];
}

/* -------------------------------------------------------------------- telling
 */

void check_spoil(struct check *c, uint64_t slab, bool unknown)
{
	c->slab_flags[slab] |= SLAB_BAD;
	if (unknown)
		c->slab_flags[slab] |= SLAB_UNKNOWN;
}

void check_tell_slab(struct check *c, enum vdo_check_code code, uint64_t slab,
		     pbn_t pbn, const char *found, bool unknown)
{
	struct vdo_check_finding f = finding_of_slab(c, code, slab, pbn);

	finding_found(&f, "%s", found);
	(void)finding_tell(c, &f);
	check_spoil(c, slab, unknown);
}

/* -------------------------------------------------------------------- counts
 */

static void take_sector(struct check *c, struct check_slab *s, uint32_t place,
			uint64_t sector, const uint8_t *bytes, bool *beyond)
{
	uint64_t first = sector * COUNTS_PER_SECTOR;

	points_of(c, place)[sector] = get_u64(bytes);
	for (unsigned i = 0; i < COUNTS_PER_SECTOR; i++) {
		uint8_t n = bytes[SECTOR_SIZE - COUNTS_PER_SECTOR + i];

		if (first + i >= c->slabs.data_blocks)
			*beyond |= n != 0;
		else
			c->counts[check_at(c, place, first + i)] =
				n == PROVISIONAL ? 0 : n;
	}
}

static void take_count_block(struct check *c, struct check_slab *s,
			     uint32_t place, uint64_t block,
			     const uint8_t *bytes)
{
	bool beyond = false;

	for (unsigned i = 0; i < SECTORS_PER_BLOCK; i++)
		take_sector(c, s, place, block * SECTORS_PER_BLOCK + i,
			    bytes + i * SECTOR_SIZE, &beyond);
	if (beyond)
		check_tell_slab(c, VDO_CHECK_COUNTS_BEYOND, s->number,
				counts_start(c, s->number) + block, "not zero",
				false);
}

/* Block after block, where not all of them can be read. */
static int load_count_block(struct slabs *w, struct check_slab *s,
			    uint32_t place, uint64_t block)
{
	pbn_t pbn = counts_start(w->c, s->number) + block;
	int result = check_read(w->c, pbn, 1, w->piece);

	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	if (result != 0)
		check_tell_slab(w->c, VDO_CHECK_COUNTS_UNREADABLE, s->number,
				pbn, vdo_strerror(result), true);
	else
		take_count_block(w->c, s, place, block, w->piece);
	return 0;
}

static int load_counts(struct slabs *w, struct check_slab *s, uint32_t place)
{
	uint64_t blocks = w->c->sb.slab.reference_count_blocks;
	int result = 0;

	for (uint64_t i = 0, n; result == 0 && i < blocks; i += n) {
		n = MIN(PIECE, blocks - i);
		result = check_read(w->c, counts_start(w->c, s->number) + i, n,
				    w->piece);
		if (result == -ECANCELED || result == -ENOMEM)
			return result;
		for (uint64_t k = 0; result == 0 && k < n; k++)
			take_count_block(w->c, s, place, i + k,
					 w->piece + k * BLOCK_SIZE);
		if (result == 0)
			continue;
		result = 0;
		for (uint64_t k = 0; result == 0 && k < n; k++)
			result = load_count_block(w, s, place, i + k);
	}
	return result;
}

/* As scrubbing has it: no entry can be newer than the journal. After a crash counts
 * may be of entries that the summary does not name yet; also where there is no
 * journal yet. */
static void check_points(struct check *c, struct check_slab *s, uint32_t place)
{
	uint64_t sectors =
		c->sb.slab.reference_count_blocks * SECTORS_PER_BLOCK;
	seq_t end = check_saved(c) ? s->tail : s->tail + ring_of(c);
	char text[48];

	for (uint64_t i = 0; i < sectors; i++) {
		struct journal_point p = point_unpack(points_of(c, place)[i]);

		if (p.seq < end && p.entry < SLAB_ENTRIES_MAX &&
		    (p.seq != 0 || p.entry == 0))
			continue;
		snprintf(text, sizeof(text), "block %llu of it, entry %u",
			 (unsigned long long)p.seq, p.entry);
		check_tell_slab(c, VDO_CHECK_COMMIT_POINT, s->number,
				counts_start(c, s->number) +
					i / SECTORS_PER_BLOCK,
				text, true);
		return;
	}
}

/* ------------------------------------------------------------------- journal
 */

/* As loading has it: so a rebuild leaves a slab, with counts, and a journal of
 * zeroes; and so it is, at offset 1, until the first block of its journal is
 * written, if its counts are written before. */
static bool is_rebuilt(const struct check *c, struct summary_entry e,
		       const struct slab_journal_header *h)
{
	return e.load && !e.dirty && e.tail_offset <= 1 &&
	       (h->nonce != c->sb.nonce || h->type != SLAB_JOURNAL_TYPE);
}

/* Of this point, or a later one, no entry of a slab journal can be. */
static uint64_t points_end(const struct check *c)
{
	if (!check_saved(c))
		return c->journal.bounds.points_end;
	return points_of_block(c->sb.journal_start);
}

static void tell_behind(struct check *c, const struct check_slab *s, pbn_t pbn)
{
	struct journal_point found = point_unpack(s->newest);
	struct journal_point end = point_unpack(points_end(c));
	struct vdo_check_finding f =
		finding_of_slab(c, VDO_CHECK_JOURNAL_BEHIND, s->number, pbn);

	finding_found(&f, "block %llu, entry %u", (unsigned long long)found.seq,
		      found.entry);
	finding_expected(&f, "less than block %llu, entry %u",
			 (unsigned long long)end.seq, end.entry);
	(void)finding_tell(c, &f);
	check_spoil(c, s->number, false);
}

static void take_tail(struct check *c, struct check_slab *s,
		      struct summary_entry e, pbn_t pbn, const uint8_t *block)
{
	struct slab_journal_header h;
	const char *wrong;

	slab_journal_header_decode(block, &h);
	if (is_rebuilt(c, e, &h))
		return;
	wrong = slab_journal_header_check(&h, c->sb.nonce, ring_of(c));
	if (wrong == NULL && (h.seq + 1) % ring_of(c) != e.tail_offset)
		wrong = "sequence number";
	if (wrong != NULL) {
		check_tell_slab(c, VDO_CHECK_SLAB_TAIL, s->number, pbn, wrong,
				e.dirty || !check_saved(c));
		return;
	}
	s->tail = h.seq + 1;
	s->head = e.dirty ? h.head : s->tail;
	s->newest = point_pack(h.recovery_point);
	if (s->newest >= points_end(c))
		tell_behind(c, s, pbn);
}

static int load_tail(struct slabs *w, struct check_slab *s,
		     struct summary_entry e)
{
	struct check *c = w->c;
	uint64_t ring = ring_of(c);
	pbn_t pbn =
		ring_start(c, s->number) + (e.tail_offset + ring - 1) % ring;
	int result = check_read(c, pbn, 1, w->piece);

	VDO_ASSERT(s->tail == 1);
	if (result == -ECANCELED || result == -ENOMEM)
		return result;
	if (result != 0)
		check_tell_slab(c, VDO_CHECK_SLAB_UNREADABLE, s->number, pbn,
				vdo_strerror(result),
				e.dirty || !check_saved(c));
	else
		take_tail(c, s, e, pbn, w->piece);
	return 0;
}

/* The count after @e, or -1 if the entry cannot be. */
static int count_after(uint8_t count, const struct slab_journal_entry *e)
{
	if (!e->increment)
		return count == 0 ? -1 : count - 1;
	if (e->map)
		return count == 0 ? (int)REFS_MAX : -1;
	return count == REFS_MAX ? -1 : count + 1;
}

/* Apply an entry that is at @at of the slab's journal; false: it cannot be. */
static bool apply(struct check *c, uint32_t place, struct journal_point at,
		  const struct slab_journal_entry *e)
{
	uint8_t *count = &c->counts[check_at(c, place, e->offset)];
	int after;

	if (points_of(c, place)[e->offset / COUNTS_PER_SECTOR] >=
	    point_pack(at))
		return true;
	after = count_after(*count, e);
	if (after >= 0)
		*count = (uint8_t)after;
	return after >= 0;
}

/* One block of the ring: NULL, or what is wrong, and as what to tell it. */
static const char *apply_block(struct check *c, struct check_slab *s,
			       uint32_t place, seq_t seq, const uint8_t *block,
			       uint64_t *last, enum vdo_check_code *code)
{
	struct slab_journal_header h;
	struct journal_point at = {seq, 0};
	const char *wrong;

	slab_journal_header_decode(block, &h);
	wrong = slab_journal_header_check(&h, c->sb.nonce, ring_of(c));
	*code = VDO_CHECK_SLAB_BLOCK;
	if (wrong == NULL && h.seq != seq)
		wrong = "sequence number";
	if (wrong != NULL)
		return wrong;
	*code = VDO_CHECK_SLAB_POINTS;
	if (point_pack(h.recovery_point) <= *last)
		return "recovery point";
	*last = point_pack(h.recovery_point);
	for (; at.entry < h.entries; at.entry++) {
		struct slab_journal_entry e;

		slab_journal_get(block, h.has_map_increments, at.entry, &e);
		*code = VDO_CHECK_SLAB_ENTRY;
		if (e.offset >= c->slabs.data_blocks)
			return "offset";
		if (e.map && !e.increment)
			return "kind";
		*code = VDO_CHECK_SLAB_DISAGREES;
		if (!apply(c, place, at, &e))
			return "an entry that its count cannot have";
	}
	return NULL;
}

/*
 * In replay a full ring lets go of its oldest blocks, whose entries the counts
 * have (depot/slabspace.c). A recovery that was interrupted then has left others in
 * their place, and the next one comes there again.
 */
static bool was_let_go(const struct check *c, struct check_slab *s, seq_t seq,
		       const uint8_t *block)
{
	struct slab_journal_header h;

	slab_journal_header_decode(block, &h);
	if (check_saved(c) || h.seq < s->tail ||
	    h.seq % ring_of(c) != seq % ring_of(c) ||
	    slab_journal_header_check(&h, c->sb.nonce, ring_of(c)) != NULL)
		return false;
	s->reached = MAX(s->reached, h.seq);
	return true;
}

static void check_reached(struct check *c, const struct check_slab *s)
{
	pbn_t pbn = ring_start(c, s->number) + s->reached % ring_of(c);

	if (s->reached >= s->next.seq + (s->next.entry > 0))
		check_tell_slab(c, VDO_CHECK_SLAB_BLOCK, s->number, pbn,
				"sequence number", true);
}

static int apply_ring(struct slabs *w, struct check_slab *s, uint32_t place)
{
	struct check *c = w->c;
	uint64_t last = 0;

	for (seq_t seq = s->head; seq < s->tail; seq++) {
		pbn_t pbn = ring_start(c, s->number) + seq % ring_of(c);
		int result = check_read(c, pbn, 1, w->piece);
		enum vdo_check_code code = VDO_CHECK_SLAB_UNREADABLE;
		const char *wrong;

		if (result == -ECANCELED || result == -ENOMEM)
			return result;
		if (result == 0 && was_let_go(c, s, seq, w->piece))
			continue;
		wrong = result != 0 ? vdo_strerror(result)
				    : apply_block(c, s, place, seq, w->piece,
						  &last, &code);
		if (wrong == NULL)
			continue;
		check_tell_slab(c, code, s->number, pbn, wrong, true);
		return 0;
	}
	return 0;
}

static int load_slab(struct slabs *w, uint32_t place)
{
	struct check *c = w->c;
	struct check_slab *s = slab_at(c, place);
	struct summary_entry e = c->entries[s->number];
	bool has_tail; /* else nothing can be said of points */
	int result = 0;

	s->head = s->tail = 1;
	s->reached = 0;
	check_entry(c, s->number);
	if (!(c->slab_flags[s->number] & SLAB_UNKNOWN) &&
	    !check_is_pristine(e)) {
		result = load_tail(w, s, e);
		has_tail = !(c->slab_flags[s->number] & SLAB_BAD);
		if (result == 0 && e.load)
			result = load_counts(w, s, place);
		if (result == 0 && !(c->slab_flags[s->number] & SLAB_UNKNOWN)) {
			if (has_tail)
				check_points(c, s, place);
			if (e.dirty &&
			    !(c->slab_flags[s->number] & SLAB_UNKNOWN))
				result = apply_ring(w, s, place);
		}
	}
	s->next.seq = s->tail;
	return result;
}

/* ---------------------------------------------------------- recovery journal
 */

/* An entry that the slab does not have goes to where recovery will put it. */
static void append(struct check *c, pbn_t pbn, uint64_t point,
		   struct slab_journal_entry e)
{
	uint64_t slab = slab_of(&c->slabs, pbn);
	uint32_t place = c->places[slab];
	struct check_slab *s;

	c->slab_flags[slab] |= SLAB_TOUCHED;
	if (place == NOT_HERE || c->slab_flags[slab] & SLAB_UNKNOWN)
		return;
	s = slab_at(c, place);
	if (point <= s->newest)
		return;
	s->newest = point;
	e.offset = (uint32_t)slab_offset_of(&c->slabs, pbn);
	if (s->next.entry >=
	    (s->has_map || e.map ? SLAB_FULL_ENTRIES_MAX : SLAB_ENTRIES_MAX)) {
		s->next = (struct journal_point){s->next.seq + 1, 0};
		s->has_map = false;
	}
	s->has_map |= e.map;
	if (!apply(c, place, s->next, &e))
		check_tell_slab(
			c, VDO_CHECK_SLAB_DISAGREES, slab, pbn,
			"an entry of the recovery journal that its count "
			"cannot have",
			true);
	s->next.entry++;
}

static int take_entry_of_journal(void *arg, const struct replay_entry *e)
{
	struct check *c = arg;
	const struct journal_entry *je = &e->entry;
	uint64_t point = point_pack(
		(struct journal_point){e->at.seq, (uint16_t)(2 * e->at.entry)});

	if (je->new_mapping.pbn != ZERO_BLOCK)
		append(c, je->new_mapping.pbn, point,
		       (struct slab_journal_entry){.increment = true,
						   .map = je->operation ==
							  JOURNAL_BLOCK_MAP});
	if (je->old_mapping.pbn != ZERO_BLOCK)
		append(c, je->old_mapping.pbn, point + 1,
		       (struct slab_journal_entry){.increment = false});
	return 0;
}

/* --------------------------------------------------------------- comparison */

/* What is wrong with a block, which has @have references; false: nothing. */
static bool block_wrong(uint16_t refs, unsigned have, enum vdo_check_code *code)
{
	unsigned want = check_wanted(refs);

	if (refs & REFS_PAGE && refs & (REFS_WHOLE | REFS_FRAGMENT))
		*code = VDO_CHECK_PAGE_AND_DATA;
	else if (refs & REFS_WHOLE && refs & REFS_FRAGMENT)
		*code = VDO_CHECK_TWO_FORMS;
	else if ((refs & REFS_COUNT) > REFS_MAX)
		*code = VDO_CHECK_TOO_MANY;
	else if (have == want)
		return false;
	else if (refs & REFS_PAGE)
		*code = VDO_CHECK_PAGE_COUNT;
	else if (have == 0)
		*code = VDO_CHECK_COUNT_MISSING;
	else if (want == 0)
		*code = VDO_CHECK_UNREFERENCED;
	else
		*code = have < want ? VDO_CHECK_COUNT_LOW
				    : VDO_CHECK_COUNT_HIGH;
	return true;
}

static void tell_block(struct check *c, struct check_slab *s, uint64_t offset,
		       uint16_t refs, unsigned have, enum vdo_check_code code)
{
	uint64_t b = offset / COUNTS_PER_BLOCK;
	struct vdo_check_finding f = finding_of_slab(
		c, code, s->number, counts_start(c, s->number) + b);

	f.slot = offset % COUNTS_PER_BLOCK;
	f.about = check_block(c, slab_start(&c->slabs, s->number) + offset);
	if (refs & REFS_PAGE && refs & (REFS_WHOLE | REFS_FRAGMENT))
		finding_found(&f, "a page, and %u mappings", refs & REFS_COUNT);
	else if (code == VDO_CHECK_TOO_MANY)
		finding_found(&f, "%u mappings", refs & REFS_COUNT);
	else
		finding_found(&f, "%u", have);
	if (code == VDO_CHECK_TWO_FORMS || code == VDO_CHECK_PAGE_AND_DATA)
		finding_expected(&f, "one use");
	else
		finding_expected(&f, "%u", check_wanted(refs));
	if (code == VDO_CHECK_UNREFERENCED
		    ? finding_tell(c, &f)
		    : finding_tell_later(c, &f, STATE_UNMAPPED))
		c->slab_flags[s->number] |= SLAB_BAD;
}

static void compare(struct check *c, uint32_t place)
{
	struct check_slab *s = slab_at(c, place);
	bool known = !(c->slab_flags[s->number] & SLAB_UNKNOWN) &&
		     !check_counts_are_void(c);

	s->free_blocks = 0;
	for (uint64_t i = 0; i < c->slabs.data_blocks; i++) {
		uint64_t at = check_at(c, place, i);
		uint16_t refs = c->refs[at];
		unsigned have = known ? c->counts[at] : check_wanted(refs);
		enum vdo_check_code code;

		s->free_blocks += refs == 0;
		c->report.blocks_used += refs != 0;
		if (refs == 0 && have == 0)
			continue;
		if (block_wrong(refs, have, &code))
			tell_block(c, s, i, refs, have, code);
	}
}

static int finish_slab(struct check *c, uint32_t place)
{
	struct check_slab *s = slab_at(c, place);
	uint8_t *flags = &c->slab_flags[s->number];

	if (s->reached > 0)
		check_reached(c, s);
	if (*flags & (SLAB_USED | SLAB_TOUCHED)) {
		c->report.slabs++;
		compare(c, place);
		check_hint(c, s->number, s->free_blocks);
	} else {
		check_hint(c, s->number, c->slabs.data_blocks);
	}
	*flags |= SLAB_DONE;
	/* What is not known may be what the lost part of the map leads to. */
	if (*flags & SLAB_UNKNOWN && !check_frees(c)) {
		c->slabs_left++;
		return 0;
	}
	return *flags & SLAB_BAD && check_repairs(c) ? mend_slab(c, place) : 0;
}

int check_slabs(struct check *c)
{
	struct slabs w = {.c = c};
	uint64_t used = 0;
	int result = 0;

	for (uint32_t i = 0; i < c->part_count; i++)
		used += (c->slab_flags[c->part[i].number] & SLAB_USED) != 0;
	check_phase(c, "reading reference counts",
		    used * (c->sb.slab.reference_count_blocks + 1));
	w.piece = alloc_aligned(BLOCK_SIZE, PIECE, BLOCK_SIZE);
	if (w.piece == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; result == 0 && i < c->part_count; i++)
		if (!check_counts_are_void(c))
			result = load_slab(&w, i);
	alloc_free(w.piece);
	if (result == 0 && !check_saved(c) && !check_counts_are_void(c) &&
	    c->journal.wrong == NULL)
		result = check_journal_each(&c->journal,
					    c->journal.bounds.slab_head,
					    take_entry_of_journal, c);
	for (uint32_t i = 0; result == 0 && i < c->part_count; i++)
		result = finish_slab(c, i);
	return result;
}
