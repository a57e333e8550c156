/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "replay/entries.h"

/* What stands before the entries of a sector. */
#define SECTOR_HEADER_SIZE 3u

/* The old format: 46 entries of 11 bytes in a sector, 35 in the last (V 6.6). */
#define OLD_ENTRY_SIZE	       11u
#define OLD_ENTRIES_PER_SECTOR 46u
#define OLD_ENTRIES_LAST       35u

/* Operations of the old format, in the low two bits of an entry. */
enum {
	OLD_DATA_INCREMENT = 1,
	OLD_MAP_INCREMENT = 3,
};

void replay_facts_init(struct replay_facts *f, const struct superblock *sb)
{
	*f = (struct replay_facts){
		.blocks = sb->recovery_journal_size,
		.nonce = sb->nonce,
		.recovery_count = (uint8_t)sb->complete_recoveries,
		.start = sb->journal_start,
		.physical_blocks = sb->physical_blocks,
		.root_origin = sb->root_origin,
		.root_count = sb->root_count,
		.logical_blocks_used = sb->logical_blocks_used,
		.block_map_data_blocks = sb->block_map_data_blocks,
	};
	layout_slab_geometry_init(&f->slabs, sb);
	VDO_ASSERT(f->blocks > 0 && (f->blocks & (f->blocks - 1)) == 0);
}

bool replay_is_ours(const struct replay_facts *f,
		    const struct journal_header *h)
{
	unsigned most;

	switch (h->type) {
	case JOURNAL_TYPE:
		most = JOURNAL_ENTRIES_PER_BLOCK;
		break;
	case JOURNAL_OLD_TYPE:
		most = REPLAY_OLD_ENTRIES_PER_BLOCK;
		break;
	default:
		return false;
	}
	return h->nonce == f->nonce && h->recovery_count == f->recovery_count &&
	       h->entries <= most && h->seq < SEQ_MAX;
}

/* An entry of the old format; false: it is no increment. */
static bool decode_old(const uint8_t *p, struct journal_entry *e)
{
	unsigned operation = p[0] & 3;

	*e = (struct journal_entry){
		.operation = operation == OLD_MAP_INCREMENT ? JOURNAL_BLOCK_MAP
							    : JOURNAL_DATA,
		.slot = (uint16_t)(get_u16(p) >> 2 & 0x3ff),
		.page = (pbn_t)(get_u16(p) >> 12) << 32 | get_u32(p + 2),
		.new_mapping = mapping_decode(p + 6),
	};
	return operation == OLD_DATA_INCREMENT ||
	       operation == OLD_MAP_INCREMENT;
}

/* Entries that fit into sector @s (1 to 7), and the size of one. */
static unsigned sector_room(const struct journal_header *h, unsigned s,
			    unsigned *size)
{
	VDO_ASSERT(s >= 1 && s <= JOURNAL_SECTORS);
	if (h->type == JOURNAL_TYPE) {
		*size = JOURNAL_ENTRY_SIZE;
		return JOURNAL_ENTRIES_PER_SECTOR;
	}
	*size = OLD_ENTRY_SIZE;
	return s < JOURNAL_SECTORS ? OLD_ENTRIES_PER_SECTOR : OLD_ENTRIES_LAST;
}

/* @n entries of one sector, the first of which is number @index of the block;
 * returns how many were put into @out. */
static unsigned take_sector(const struct journal_header *h, const uint8_t *p,
			    unsigned n, unsigned index, struct replay_entry *out)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < n; i++) {
		struct replay_entry e = {
			.at = {h->seq, (uint16_t)(index + i)},
		};
		bool wanted = true;

		if (h->type == JOURNAL_TYPE)
			journal_entry_decode(p + i * JOURNAL_ENTRY_SIZE,
					     &e.entry);
		else
			wanted = decode_old(p + i * OLD_ENTRY_SIZE, &e.entry);
		if (!wanted)
			continue;
		if (out != NULL)
			out[taken] = e;
		taken++;
	}
	return taken;
}

unsigned replay_take(const struct replay_facts *f,
		     const struct journal_header *h, const uint8_t *block,
		     bool tolerant, struct replay_entry *out)
{
	unsigned left = h->entries, index = 0, taken = 0;

	VDO_ASSERT(replay_is_ours(f, h));
	for (unsigned s = 1; s <= JOURNAL_SECTORS && left > 0; s++) {
		const uint8_t *sector = block + (size_t)s * SECTOR_SIZE;
		unsigned size, room = sector_room(h, s, &size);
		unsigned n = MIN(sector[2], left);

		if (sector[0] != h->check || sector[1] != h->recovery_count ||
		    (sector[2] > room && !tolerant)) {
			if (!tolerant)
				break;
			index += room;
			continue;
		}
		n = MIN(n, room);
		taken += take_sector(h, sector + SECTOR_HEADER_SIZE, n, index,
				     out != NULL ? out + taken : NULL);
		left -= n;
		index += room;
		if (n < room && !tolerant)
			break;
	}
	return taken;
}

const char *replay_entry_check(const struct replay_facts *f,
			       const struct journal_entry *e)
{
	if (e->operation > JOURNAL_BLOCK_MAP)
		return "unknown operation";
	if (!is_data_block(&f->slabs, e->page) && !replay_is_root(f, e->page))
		return "its page is no block of the block map";
	if (e->slot >= MAP_PAGE_ENTRIES)
		return "its slot is beyond the end of a page";
	if (!mapping_plausible(&f->slabs, e->new_mapping))
		return "its new mapping is no data block";
	if (!mapping_plausible(&f->slabs, e->old_mapping))
		return "its old mapping is no data block";
	if (e->new_mapping.pbn == e->page || e->old_mapping.pbn == e->page)
		return "its page leads to itself";
	if (e->operation == JOURNAL_DATA)
		return replay_is_root(f, e->page) ? "its page is a root" : NULL;
	if (e->new_mapping.state != STATE_UNCOMPRESSED ||
	    e->new_mapping.pbn == ZERO_BLOCK)
		return "its new page is none";
	if (e->old_mapping.state != STATE_UNMAPPED ||
	    e->old_mapping.pbn != ZERO_BLOCK)
		return "its page replaces another one";
	return NULL;
}
