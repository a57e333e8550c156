/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a save, read as they are, without queues and devices around.
 *
 * Byte 0:
 *
 *	1	sparse
 *	2, 4	zones that saved, less one
 *	8, 16	zones that load, less one
 *	32, 64	what is damaged: 0 page map, 1 open chapter, 2, 3 the first or
 *		last stream
 *	128	what is there begins with the input instead
 *
 * Byte 1 is the seed of how the bytes come in pieces. Patches follow (fuzz.h).
 *
 * Each piece is taken in whole items, each call gets on, and what is read
 * without damage is what was saved. What was accepted in spite of damage keeps
 * the invariants, and can be searched.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include "base/bytes.h"
#include "index_format/saved.h"

#define NONCE	 UINT64_C(0x1234567890abcdef)
#define OLDEST	 18u
#define NEWEST	 20u
#define NAMES	 200u /* a chapter */
#define PART_MAX (1u << 20)
#define STREAMS	 4u

const unsigned fuzz_replays = 600;

/* All that an index knows. */
struct known {
	struct index_geometry geometry;
	struct page_map page_map;
	struct volume_index volumes[STREAMS];
	struct open_chapter open[STREAMS];
	struct index_contents contents;
};

/* A save: page map, open chapter, streams. */
struct save {
	uint8_t *parts[2 + STREAMS];
	size_t sizes[2 + STREAMS];
};

static void known_init(struct known *k, bool sparse, unsigned zones)
{
	FUZZ_CHECK(index_geometry_init(&k->geometry, -1, sparse, 0) == 0);
	FUZZ_CHECK(page_map_init(&k->page_map, &k->geometry) == 0);
	k->contents = (struct index_contents){
		.geometry = &k->geometry,
		.page_map = &k->page_map,
		.zone_count = zones,
	};
	for (unsigned i = 0; i < zones; i++) {
		uint32_t records = k->geometry.records / zones;

		FUZZ_CHECK(volume_index_init(&k->volumes[i], &k->geometry, i,
					     zones) == 0);
		FUZZ_CHECK(open_chapter_init(&k->open[i], records) == 0);
		k->contents.volumes[i] = &k->volumes[i];
		k->contents.open[i] = &k->open[i];
	}
}

static void known_fini(struct known *k)
{
	for (unsigned i = 0; i < k->contents.zone_count; i++) {
		volume_index_fini(&k->volumes[i]);
		open_chapter_fini(&k->open[i]);
	}
	page_map_fini(&k->page_map);
}

/* The @i-th name, cut for the zones of @k. */
static struct index_name name_at(const struct known *k, unsigned i)
{
	struct index_name name;
	struct hash128 hash;
	uint64_t seed = i;

	put_u64(hash.bytes, fuzz_random(&seed));
	put_u64(hash.bytes + 8, fuzz_random(&seed));
	index_name_init(&name, &k->geometry, k->contents.zone_count, &hash);
	return name;
}

/* All chapters have names; those of the newest are in the open chapter, too. */
static void fill(struct known *k)
{
	contents_clear(&k->contents);
	for (unsigned vcn = OLDEST; vcn <= NEWEST; vcn++) {
		contents_open_chapter(&k->contents, vcn);
		for (unsigned i = 0; i < NAMES; i++) {
			struct index_name name = name_at(k, vcn * NAMES + i);
			struct volume_hint h;

			FUZZ_CHECK(volume_index_get(&k->volumes[name.zone],
						    &name, &h) == 0);
			FUZZ_CHECK(volume_index_put(&h, &name, vcn) == 0);
			if (vcn == NEWEST)
				open_chapter_put(&k->open[name.zone], &name,
						 name.hash.bytes);
		}
	}
	for (uint32_t c = OLDEST; c <= NEWEST; c++)
		for (uint32_t p = 0; p + 1 < k->geometry.index_pages; p++)
			page_map_set(&k->page_map, c, p, (p + 1) * 20);
}

static void write_part(struct save *s, unsigned part, struct save_writer *w,
		       int (*produce)(void *w, uint8_t *p, size_t room,
				      size_t *made))
{
	size_t made;
	int r;

	s->parts[part] = calloc(1, PART_MAX);
	FUZZ_CHECK(s->parts[part] != NULL);
	do {
		r = produce(w, s->parts[part] + s->sizes[part],
			    PART_MAX - s->sizes[part], &made);
		s->sizes[part] += made;
	} while (r == 1 && made > 0);
	FUZZ_CHECK(r == 0);
}

static void save_all(struct save *s, const struct known *k)
{
	struct save_writer w;

	memset(s, 0, sizeof(*s));
	saved_write_begin(&w, &k->contents, NONCE, 0);
	write_part(s, 0, &w, saved_write_page_map);
	saved_write_begin(&w, &k->contents, NONCE, 0);
	write_part(s, 1, &w, saved_write_open_chapter);
	for (unsigned i = 0; i < k->contents.zone_count; i++) {
		saved_write_begin(&w, &k->contents, NONCE, i);
		write_part(s, 2 + i, &w, saved_write_stream);
	}
}

/* Give a part to @consume, in pieces that @seed chooses; 0 or an error. */
static int read_part(const struct save *s, unsigned part, uint64_t *seed,
		     struct save_reader *reader,
		     int (*consume)(void *r, const uint8_t *p, size_t n,
				    size_t *taken))
{
	size_t at = 0, end = 0;

	for (;;) {
		size_t taken = 0;
		int r;

		/* What was not taken comes again, with more after it. */
		end = MIN(end + fuzz_random(seed) % 3000, PART_MAX);
		r = consume(reader, s->parts[part] + at, end - at, &taken);
		FUZZ_CHECK(r <= 1);
		if (r < 0)
			return r;
		FUZZ_CHECK(taken <= end - at);
		FUZZ_CHECK(r == 0 || taken > 0 || end - at < SAVED_ITEM_MAX);
		at += taken;
		if (r == 0)
			return 0;
		/* The rest of a part is zeroes; the region ends there. */
		if (end == PART_MAX && taken == 0)
			return -1;
	}
}

static int read_streams(const struct save *s, unsigned streams, uint64_t *seed,
			struct save_reader *reader, bool lists)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < streams; i++) {
		saved_read_begin_stream(reader, i, lists);
		r = read_part(s, 2 + i, seed, reader, saved_read_stream);
	}
	return r;
}

static int read_all(const struct save *s, unsigned streams, uint64_t seed,
		    const struct known *k)
{
	static struct save_reader reader;
	int r;

	contents_clear(&k->contents);
	saved_read_init(&reader, &k->contents, NONCE, NEWEST, streams);
	saved_read_begin(&reader);
	r = read_part(s, 0, &seed, &reader, saved_read_page_map);
	if (r != 0)
		return r;
	saved_read_begin(&reader);
	r = read_part(s, 1, &seed, &reader, saved_read_open_chapter);
	if (r == 0)
		r = read_streams(s, streams, &seed, &reader, false);
	if (r == 0)
		r = saved_read_arrange(&reader);
	if (r == 0)
		r = read_streams(s, streams, &seed, &reader, true);
	return r;
}

static void check(struct known *k, bool intact)
{
	for (unsigned i = 0; i < k->contents.zone_count; i++) {
		FUZZ_CHECK(volume_index_sane(&k->volumes[i]));
		FUZZ_CHECK(open_chapter_sane(&k->open[i]));
	}
	for (unsigned i = OLDEST * NAMES; i < (NEWEST + 1) * NAMES; i++) {
		struct index_name name = name_at(k, i);
		struct volume_hint h;
		int r = volume_index_get(&k->volumes[name.zone], &name, &h);

		FUZZ_CHECK(r <= 0);
		if (intact)
			FUZZ_CHECK(r == 0);
		/* Older ones may have left a sparse index. */
		if (intact && i >= NEWEST * NAMES)
			FUZZ_CHECK(h.found);
	}
}

static void damage(struct save *s, unsigned streams, unsigned what,
		   bool replace, struct fuzz *f)
{
	unsigned part = what < 2 ? what : what == 2 ? 2 : 1 + streams;

	if (replace)
		fuzz_fill(f, s->parts[part], MIN(f->n, PART_MAX));
	else
		fuzz_patch(f, s->parts[part], s->sizes[part]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct known from, to;
	struct fuzz f = {data, size};
	unsigned flags = (unsigned)fuzz_take(&f, 1);
	uint64_t seed = fuzz_take(&f, 1);
	unsigned streams = 1 + (flags >> 1 & 3), zones = 1 + (flags >> 3 & 3);
	bool intact = f.n == 0;
	struct save s;
	int r;

	known_init(&from, flags & 1, streams);
	known_init(&to, flags & 1, zones);
	fill(&from);
	save_all(&s, &from);
	if (!intact)
		damage(&s, streams, flags >> 5 & 3, flags & 128, &f);
	r = read_all(&s, streams, seed, &to);
	FUZZ_CHECK(r == 0 || !intact);
	if (r == 0)
		check(&to, intact);
	for (unsigned i = 0; i < 2 + streams; i++)
		free(s.parts[i]);
	known_fini(&from);
	known_fini(&to);
	return 0;
}

/* Whole saves of each shape; then each part with a patch near its beginning. */
size_t fuzz_seed(unsigned i, uint8_t *input)
{
	static const uint16_t places[] = {0, 10, 16, 40, 60, 92, 500, 1364};

	if (i < 32) {
		input[0] = (uint8_t)i;
		input[1] = (uint8_t)(7 * i);
		return 2;
	}
	i -= 32;
	if (i >= 4 * ARRAY_SIZE(places))
		return 0;
	input[0] = (uint8_t)(i % 4 << 5 | i % 32);
	input[1] = (uint8_t)i;
	return 2 + fuzz_put_patch(input + 2, places[i / 4], "\1\2\3\4", 4);
}
