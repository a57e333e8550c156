/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How: pages are read once and kept by PBN; replay changes the copies. Counts
 * start from the reference blocks; then come the slab journals, then what the
 * recovery journal has beyond them.
 */
#include "build.h"

#include "tests/lib/image.h"

#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/fragment.h"
#include "tests/lib/sim_device.h"

#define PROBLEMS_PRINTED 20

__attribute__((format(printf, 2, 3))) static void
problem(struct image *im, const char *fmt, ...)
{
	va_list ap;

	if (im->problems++ >= PROBLEMS_PRINTED)
		return;
	va_start(ap, fmt);
	fprintf(stderr, "image: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
}

static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

const uint8_t *image_block(struct image *im, pbn_t pbn, void *buf)
{
	uint64_t at = pbn - im->geometry.bio_offset;

	if (at >= im->block_count) {
		problem(im, "block %llu is behind the end",
			(unsigned long long)pbn);
		memset(buf, 0, BLOCK_SIZE);
		return buf;
	}
	if (im->sd != NULL)
		return sim_device_look(im->sd, at, NULL);
	im->peek(im->arg, at, buf);
	return buf;
}

/* ------------------------------------------------------------------- pages */

static uint8_t *own_page(struct image *im, pbn_t pbn)
{
	if (im->own[pbn] == NULL)
		im->own[pbn] = must(malloc(BLOCK_SIZE));
	return im->own[pbn];
}

static void read_page(struct image *im, pbn_t pbn)
{
	uint8_t *own = im->sd == NULL ? own_page(im, pbn) : NULL;
	uint8_t block[BLOCK_SIZE];
	const uint8_t *page = image_block(im, pbn, own != NULL ? own : block);

	switch (mapping_page_check(page, im->sb.nonce, pbn)) {
	case MAP_PAGE_VALID:
		im->pages[pbn] = page;
		return;
	case MAP_PAGE_BAD:
		problem(im, "map page %llu is misplaced",
			(unsigned long long)pbn);
		/* fall through */
	case MAP_PAGE_INVALID:
		break;
	}
	own = own_page(im, pbn);
	mapping_page_format(own, im->sb.nonce, pbn, false);
	im->pages[pbn] = own;
}

const uint8_t *image_page(struct image *im, pbn_t pbn)
{
	if (pbn >= im->block_count) {
		problem(im, "map page %llu is behind the end",
			(unsigned long long)pbn);
		pbn = 0;
	}
	if (im->pages[pbn] == NULL)
		read_page(im, pbn);
	return im->pages[pbn];
}

/* The same, to be changed. */
static uint8_t *page_of_own(struct image *im, pbn_t pbn)
{
	const uint8_t *page = image_page(im, pbn);

	pbn = pbn < im->block_count ? pbn : 0;
	if (page != im->own[pbn]) {
		memcpy(own_page(im, pbn), page, BLOCK_SIZE);
		im->pages[pbn] = im->own[pbn];
	}
	return im->own[pbn];
}

void image_keep(struct image *im)
{
	for (pbn_t pbn = 0; pbn < im->block_count; pbn++)
		if (im->pages[pbn] != NULL)
			(void)page_of_own(im, pbn);
	im->leaf_end = 0;
}

pbn_t image_page_of(struct image *im, lbn_t lbn, unsigned level)
{
	struct tree_place place;
	pbn_t pbn;

	mapping_tree_place(lbn, (unsigned)im->sb.root_count, &place);
	pbn = im->sb.root_origin + place.root;
	for (unsigned i = MAP_LEVELS - 1; i > level && pbn != ZERO_BLOCK; i--)
		pbn = mapping_page_get(image_page(im, pbn), place.slot[i]).pbn;
	return pbn;
}

uint8_t *image_used(const struct image *im)
{
	const struct slab_geometry *g = &im->slabs;
	uint8_t *used = must(calloc(im->sb.physical_blocks, 1));

	for (uint64_t i = 0; i < g->slab_count * g->data_blocks; i++)
		used[slab_start(g, i / g->data_blocks) + i % g->data_blocks] =
			im->counts[i] != 0;
	return used;
}

/* Most times it is that of the last one. */
const uint8_t *image_leaf(struct image *im, lbn_t lbn)
{
	pbn_t pbn;

	if (im->leaf_end == lbn / MAP_PAGE_ENTRIES + 1)
		return im->leaf;
	pbn = image_page_of(im, lbn, 0);
	im->leaf = pbn == ZERO_BLOCK ? NULL : image_page(im, pbn);
	im->leaf_end = lbn / MAP_PAGE_ENTRIES + 1;
	return im->leaf;
}

struct mapping image_lookup(struct image *im, lbn_t lbn)
{
	static const struct mapping none = {ZERO_BLOCK, STATE_UNMAPPED};
	const uint8_t *leaf = image_leaf(im, lbn);

	return leaf == NULL
		       ? none
		       : mapping_page_get(leaf,
					  (unsigned)(lbn % MAP_PAGE_ENTRIES));
}

struct image_seen *image_seen_of(struct image *im, struct mapping m)
{
	uint64_t at = m.pbn - im->geometry.bio_offset, stamp;
	struct image_seen *seen = &im->seen[at];

	(void)sim_device_look(im->sd, at, &stamp);
	if (seen->stamp != stamp + 1)
		*seen = (struct image_seen){.stamp = stamp + 1};
	return seen;
}

bool image_read(struct image *im, lbn_t lbn, void *buf)
{
	struct mapping m = image_lookup(im, lbn);
	uint8_t buffer[BLOCK_SIZE];
	const uint8_t *block, *fragment;
	size_t size;

	if (m.pbn == ZERO_BLOCK) {
		memset(buf, 0, BLOCK_SIZE);
		return true;
	}
	block = image_block(im, m.pbn, buffer);
	if (!mapping_is_compressed(m)) {
		memcpy(buf, block, BLOCK_SIZE);
		return true;
	}
	if (fragment_find(block, m.state, &fragment, &size) == 0 &&
	    LZ4_decompress_safe((const char *)fragment, buf, (int)size,
				BLOCK_SIZE) == (int)BLOCK_SIZE)
		return true;
	if (im->lost_data)
		return false;
	problem(im, "lbn %llu: fragment %u of block %llu is damaged",
		(unsigned long long)lbn, m.state - 2u,
		(unsigned long long)m.pbn);
	return false;
}

/* ------------------------------------------------------------------- slabs */

static uint8_t *count_of(struct image *im, uint64_t slab, uint64_t offset)
{
	return &im->counts[slab * im->slabs.data_blocks + offset];
}

static void apply(struct image *im, uint64_t slab,
		  const struct slab_journal_entry *e, const char *whence)
{
	uint8_t *count;

	if (e->offset >= im->slabs.data_blocks) {
		problem(im, "%s: slab %llu has no offset %u", whence,
			(unsigned long long)slab, e->offset);
		return;
	}
	count = count_of(im, slab, e->offset);
	if (*count == 255)
		*count = 0;
	if (e->map && (!e->increment || *count != 0))
		problem(im, "%s: map %s in slab %llu, offset %u, count %u",
			whence, e->increment ? "increment" : "decrement",
			(unsigned long long)slab, e->offset, *count);
	else if (e->map)
		*count = REFS_MAX;
	else if (e->increment && *count == REFS_MAX)
		problem(im, "%s: slab %llu, offset %u: more than 254", whence,
			(unsigned long long)slab, e->offset);
	else if (!e->increment && *count == 0)
		problem(im, "%s: slab %llu, offset %u: less than 0", whence,
			(unsigned long long)slab, e->offset);
	else
		*count = (uint8_t)(*count + (e->increment ? 1 : -1));
}

static pbn_t slab_journal_start(struct image *im, uint64_t slab)
{
	return slab_start(&im->slabs, slab) + im->slabs.data_blocks +
	       im->sb.slab.reference_count_blocks;
}

/* What is provisional is free. */
static void take_counts(uint8_t *to, const uint8_t *from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		to[i] = from[i] == 255 ? 0 : from[i];
}

static void load_sector(struct image *im, uint64_t slab, uint64_t at,
			const uint8_t *counts)
{
	uint64_t left = at < im->slabs.data_blocks ? im->slabs.data_blocks - at
						   : 0;
	uint64_t n = MIN(left, COUNTS_PER_SECTOR);

	if (n > 0)
		take_counts(count_of(im, slab, at), counts, n);
	for (; n < COUNTS_PER_SECTOR; n++)
		if (counts[n] != 0)
			problem(im, "slab %llu: count behind the end",
				(unsigned long long)slab);
}

/* Counts and commit points of a slab. */
static void load_counts(struct image *im, uint64_t slab, uint64_t *points)
{
	uint64_t blocks = im->sb.slab.reference_count_blocks;
	pbn_t first = slab_start(&im->slabs, slab) + im->slabs.data_blocks;
	uint8_t buffer[BLOCK_SIZE];

	for (uint64_t b = 0; b < blocks; b++) {
		const uint8_t *block = image_block(im, first + b, buffer);

		for (unsigned s = 0; s < 8; s++) {
			const uint8_t *sector = block + s * SECTOR_SIZE;

			points[b * 8 + s] = get_u64(sector);
			load_sector(im, slab,
				    b * COUNTS_PER_BLOCK +
					    s * COUNTS_PER_SECTOR,
				    sector + 8);
		}
	}
}

static void replay_slab(struct image *im, uint64_t slab, const uint64_t *points)
{
	struct image_slab *s = &im->slab[slab];
	uint64_t ring = im->sb.slab.slab_journal_blocks;
	uint8_t buffer[BLOCK_SIZE];
	uint64_t last = 0;

	for (seq_t q = s->head; q < s->tail; q++) {
		struct slab_journal_header h;
		const uint8_t *block = image_block(
			im, slab_journal_start(im, slab) + q % ring, buffer);

		slab_journal_header_decode(block, &h);
		if (h.nonce == im->sb.nonce && h.type == SLAB_JOURNAL_TYPE &&
		    h.seq >= s->tail && h.seq % ring == q % ring) {
			s->reaches = MAX(s->reaches, h.seq);
			continue;
		}
		if (h.nonce != im->sb.nonce || h.type != SLAB_JOURNAL_TYPE ||
		    h.seq != q ||
		    h.entries > (h.has_map_increments ? SLAB_FULL_ENTRIES_MAX
						      : SLAB_ENTRIES_MAX)) {
			problem(im, "slab %llu: journal block %llu is bad",
				(unsigned long long)slab,
				(unsigned long long)q);
			return;
		}
		if (point_pack(h.recovery_point) <= last)
			problem(im, "slab %llu: recovery points go back",
				(unsigned long long)slab);
		last = point_pack(h.recovery_point);
		for (unsigned i = 0; i < h.entries; i++) {
			struct slab_journal_entry e;

			slab_journal_get(block, h.has_map_increments, i, &e);
			if (e.offset / COUNTS_PER_SECTOR <
				    8 * im->sb.slab.reference_count_blocks &&
			    points[e.offset / COUNTS_PER_SECTOR] >=
				    (q << 16 | i))
				continue;
			apply(im, slab, &e, "slab journal");
		}
	}
}

static void load_summary(struct image *im, uint64_t slab)
{
	unsigned zones = im->sb.zone_count;
	unsigned copy = zones <= 1 ? 0 : (unsigned)(slab % zones);
	uint64_t byte = (uint64_t)copy * SUMMARY_ZONE_BLOCKS * BLOCK_SIZE +
			slab * SUMMARY_ENTRY_SIZE;
	uint8_t buffer[BLOCK_SIZE];
	const uint8_t *block =
		image_block(im,
		     im->sb.partitions[PARTITION_SUMMARY].start +
			     byte / BLOCK_SIZE,
		     buffer);

	im->slab[slab].summary = slab_summary_decode(block + byte % BLOCK_SIZE);
}

static void load_slab(struct image *im, uint64_t slab)
{
	struct image_slab *s = &im->slab[slab];
	uint64_t ring = im->sb.slab.slab_journal_blocks;
	uint64_t *points = must(calloc(im->sb.slab.reference_count_blocks * 8,
				       sizeof(*points)));
	struct slab_journal_header h;
	uint8_t buffer[BLOCK_SIZE];

	s->points = points;
	load_summary(im, slab);
	s->head = s->tail = 1;
	if (s->summary.load)
		load_counts(im, slab, points);
	if (s->summary.load || s->summary.dirty || s->summary.tail_offset != 0) {
		slab_journal_header_decode(
			image_block(im,
			     slab_journal_start(im, slab) +
				     (s->summary.tail_offset + ring - 1) % ring,
			     buffer),
			&h);
		if (h.nonce == im->sb.nonce && h.type == SLAB_JOURNAL_TYPE) {
			s->tail = h.seq + 1;
			s->head = s->summary.dirty ? h.head : s->tail;
			s->newest = point_pack(h.recovery_point);
		}
	}
	s->at = s->tail;
	if (s->summary.dirty)
		replay_slab(im, slab, points);
}

/* --------------------------------------------------------------- open, close */

/* All but how blocks are read. */
static void open_image(struct image *im, uint64_t block_count)
{
	uint8_t buffer[BLOCK_SIZE];
	const char *why = NULL;

	im->block_count = block_count;
	im->pages = must(calloc(block_count, sizeof(const uint8_t *)));
	im->own = must(calloc(block_count, sizeof(uint8_t *)));
	if (geometry_decode(image_block(im, 0, buffer), &im->geometry) != 0) {
		problem(im, "geometry block");
		return;
	}
	if (superblock_decode(image_block(im, im->geometry.data_start, buffer),
			      im->geometry.data_start, &im->sb) != 0 ||
	    superblock_validate(&im->sb, &im->geometry, &why) != 0) {
		problem(im, "super block: %s", why != NULL ? why : "unusable");
		return;
	}
	layout_slab_geometry_init(&im->slabs, &im->sb);
	im->logical_blocks_used = im->sb.logical_blocks_used;
	im->block_map_data_blocks = im->sb.block_map_data_blocks;
	im->slab = must(calloc(im->slabs.slab_count, sizeof(*im->slab)));
	im->counts = must(calloc(im->slabs.slab_count, im->slabs.data_blocks));
	if (im->sb.state == VOLUME_NEW)
		return; /* the summary is not there yet */
	for (uint64_t i = 0; i < im->slabs.slab_count; i++)
		load_slab(im, i);
}

void image_open(struct image *im, image_peek_fn peek_fn, void *arg,
		uint64_t block_count)
{
	*im = (struct image){.peek = peek_fn, .arg = arg};
	open_image(im, block_count);
}

void image_open_seen(struct image *im, struct sim_device *sd,
		     uint64_t block_count, struct image_seen *seen)
{
	*im = (struct image){.sd = sd, .seen = seen};
	open_image(im, block_count);
}

static void peek_sim(void *arg, uint64_t block, void *buf)
{
	sim_device_peek(arg, block, buf);
}

void image_open_sim(struct image *im, struct sim_device *sd,
		    uint64_t block_count)
{
	image_open(im, peek_sim, sd, block_count);
}

void image_close(struct image *im)
{
	for (uint64_t i = 0; i < im->block_count; i++)
		free(im->own[i]);
	for (uint64_t i = 0; im->slab != NULL && i < im->slabs.slab_count; i++)
		free(im->slab[i].points);
	free(im->pages);
	free(im->own);
	free(im->slab);
	free(im->counts);
}

uint64_t image_blocks_used(const struct image *im)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < im->slabs.slab_count * im->slabs.data_blocks;
	     i++)
		n += im->counts[i] != 0;
	return n;
}

/* ----------------------------------------------------------------- recovery */

struct ring {
	struct image *im;
	uint64_t size;
	const uint8_t **blocks;
	uint8_t *copies; /* where they cannot be looked at */
	seq_t highest, map_head, slab_head, last;
	bool found;
};

static const uint8_t *ring_block(struct ring *r, seq_t q)
{
	return r->blocks[q % r->size];
}

static bool is_ours(struct ring *r, const struct journal_header *h)
{
	return h->nonce == r->im->sb.nonce && h->type == JOURNAL_TYPE &&
	       h->recovery_count == (uint8_t)r->im->sb.complete_recoveries &&
	       h->entries <= JOURNAL_ENTRIES_PER_BLOCK;
}

/* V 10.3 A */
static void find_bounds(struct ring *r)
{
	r->highest = r->im->sb.journal_start;
	for (uint64_t i = 0; i < r->size; i++) {
		struct journal_header h;

		journal_header_decode(r->blocks[i], &h);
		if (!is_ours(r, &h) || h.seq % r->size != i)
			continue;
		if (h.seq >= r->highest) {
			r->highest = h.seq;
			r->found = true;
		}
		if (!r->found)
			continue;
		r->map_head = MAX(r->map_head, h.map_head);
		r->slab_head = MAX(r->slab_head, h.slab_head);
	}
}

/* Entries of @block that can be used; see V 10.3 B. */
static unsigned usable_entries(const uint8_t *block,
			       const struct journal_header *h)
{
	unsigned left = h->entries, n = 0;

	for (unsigned s = 1; s <= JOURNAL_SECTORS && left > 0; s++) {
		const uint8_t *sector = block + s * SECTOR_SIZE;
		unsigned here = MIN(sector[2], left);

		if (sector[0] != h->check || sector[1] != h->recovery_count ||
		    sector[2] > JOURNAL_ENTRIES_PER_SECTOR)
			break;
		n += here;
		left -= here;
		if (here < JOURNAL_ENTRIES_PER_SECTOR)
			break;
	}
	return n;
}

/* Where the engine has put an entry, or would (I10); see V 10.3 D. */
static uint64_t next_place(struct image_slab *s, bool map)
{
	uint64_t place;

	if (map && s->entries >= SLAB_FULL_ENTRIES_MAX) {
		s->at++;
		s->entries = 0;
		s->has_map = false;
	}
	place = s->at << 16 | s->entries++;
	s->has_map = s->has_map || map;
	if (s->entries >= (s->has_map ? SLAB_FULL_ENTRIES_MAX
				      : SLAB_ENTRIES_MAX)) {
		s->at++;
		s->entries = 0;
		s->has_map = false;
	}
	return place;
}

static void replay_slab_entry(struct image *im, pbn_t pbn, bool increment,
			      bool map, uint64_t point)
{
	struct slab_journal_entry e = {.increment = increment, .map = map};
	struct image_slab *s;
	uint64_t slab;

	if (pbn == ZERO_BLOCK)
		return;
	slab = slab_of(&im->slabs, pbn);
	s = &im->slab[slab];
	e.offset = (uint32_t)slab_offset_of(&im->slabs, pbn);
	if (point <= s->newest)
		return;
	s->newest = point;
	if (s->points[e.offset / COUNTS_PER_SECTOR] < next_place(s, map))
		apply(im, slab, &e, "recovery journal");
}

static bool entry_valid(struct image *im, const struct journal_entry *e)
{
	bool ok = e->page < im->sb.physical_blocks &&
		  e->slot < MAP_PAGE_ENTRIES &&
		  mapping_plausible(&im->slabs, e->new_mapping) &&
		  mapping_plausible(&im->slabs, e->old_mapping);

	if (ok && e->operation == JOURNAL_BLOCK_MAP)
		ok = e->new_mapping.state == STATE_UNCOMPRESSED &&
		     e->new_mapping.pbn != ZERO_BLOCK &&
		     e->old_mapping.pbn == ZERO_BLOCK &&
		     e->old_mapping.state == STATE_UNMAPPED;
	return ok;
}

/* A page that an entry makes is empty; what its block had counts for others. */
static void make_page(struct image *im, pbn_t pbn)
{
	mapping_page_format(own_page(im, pbn), im->sb.nonce, pbn, false);
	im->pages[pbn] = im->own[pbn];
}

/* C and D for one entry. */
static void replay_entry(struct ring *r, seq_t q, unsigned i,
			 const struct journal_entry *e)
{
	struct image *im = r->im;
	bool map = e->operation == JOURNAL_BLOCK_MAP;

	if (!entry_valid(im, e)) {
		problem(im, "journal entry %llu/%u makes no sense",
			(unsigned long long)q, i);
		return;
	}
	im->entries++;
	if (q >= r->map_head && map && im->made_pages)
		make_page(im, e->new_mapping.pbn);
	im->leaf_end = 0;
	if (q >= r->map_head)
		mapping_page_put(page_of_own(im, e->page), e->slot,
				 e->new_mapping);
	if (q >= r->slab_head) {
		replay_slab_entry(im, e->new_mapping.pbn, true, map,
				  q << 16 | 2 * i);
		replay_slab_entry(im, e->old_mapping.pbn, false, false,
				  q << 16 | (2 * i + 1));
	}
}

static void replay_block(struct ring *r, seq_t q, unsigned entries,
			 const struct journal_header *h)
{
	struct image *im = r->im;

	im->logical_blocks_used = h->logical_blocks_used;
	im->block_map_data_blocks = h->block_map_data_blocks;
	for (unsigned i = 0; i < entries; i++) {
		const uint8_t *sector =
			ring_block(r, q) +
			(1 + i / JOURNAL_ENTRIES_PER_SECTOR) * SECTOR_SIZE;
		struct journal_entry e;

		journal_entry_decode(sector + 3 +
					     i % JOURNAL_ENTRIES_PER_SECTOR *
						     JOURNAL_ENTRY_SIZE,
				     &e);
		if (e.operation == JOURNAL_BLOCK_MAP)
			im->block_map_data_blocks++;
		else
			im->logical_blocks_used +=
				(uint64_t)(e.new_mapping.state != 0) -
				(uint64_t)(e.old_mapping.state != 0);
		replay_entry(r, q, i, &e);
	}
}

static void replay(struct ring *r)
{
	struct image *im = r->im;
	seq_t q = MIN(r->map_head, r->slab_head);

	im->first = q;
	for (; q <= r->highest; q++) {
		struct journal_header h;
		unsigned entries;

		journal_header_decode(ring_block(r, q), &h);
		if (!is_ours(r, &h) || h.seq != q)
			break;
		entries = usable_entries(ring_block(r, q), &h);
		replay_block(r, q, entries, &h);
		im->last = q;
		if (h.entries != JOURNAL_ENTRIES_PER_BLOCK ||
		    entries < h.entries)
			break;
	}
	if (im->last < MAX(r->map_head, r->slab_head))
		problem(im, "journal: heads %llu, %llu, but the last block is "
			    "%llu",
			(unsigned long long)r->map_head,
			(unsigned long long)r->slab_head,
			(unsigned long long)im->last);
}

void image_recover(struct image *im)
{
	struct ring r = {.im = im, .size = im->sb.recovery_journal_size};
	uint8_t none[BLOCK_SIZE]; /* of what is beyond the end */

	if (im->problems != 0 || (im->sb.state != VOLUME_DIRTY &&
				  im->sb.state != VOLUME_READ_ONLY))
		return;
	r.blocks = must(malloc(r.size * sizeof(const uint8_t *)));
	if (im->sd == NULL)
		r.copies = must(malloc(r.size * BLOCK_SIZE));
	for (uint64_t i = 0; i < r.size; i++)
		r.blocks[i] = image_block(
			im, im->sb.partitions[PARTITION_JOURNAL].start + i,
			r.copies == NULL ? none : r.copies + i * BLOCK_SIZE);
	find_bounds(&r);
	if (r.found)
		replay(&r);
	free(r.blocks);
	free(r.copies);
}
