/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is durable before what, and what recovery makes of it: data, recovery
 * journal (RJ), slab journal (SJ), reference block, slab summary, map page and super
 * block, on storage with a volatile cache, with a crash between any two steps and
 * in recovery too. D1 to D11, I5 to I11; V 7.5, V 10.3.
 *
 * The volume: 2 LBNs with one page (each entry in a sector of its own, garbage at
 * first), 3 data blocks in one slab (counts in 2 sectors), an RJ of RJ blocks with
 * one entry each, an SJ of SJ blocks with two entries each. Writes bring new data,
 * share the block of the other LBN, or discard; two may be under way. What runs in
 * the background may run at any time, and does each of its steps on its own.
 *
 * A write goes to the cache (c_). A flush makes the cache durable (d_). A crash
 * keeps or drops each unflushed write, in any combination; a FUA write is kept or
 * dropped until it is over, and stays from then on. A flush is asked for and done
 * in one step: whatever happens during a real one is covered less.
 *
 * Shown, after each recovery: an LBN reads as the last write of it whose RJ block
 * was written, or a later one, and never goes back; no block is mapped that has other
 * content; each count is the number of mappings; the journals are sound. No
 * step waits for ever.
 *
 * @run 2 writes, 2 crashes -DCRASHES=2
 * @run 3 writes, one at a time, never closed -DWRITES=3 -DUNDER_WAY=1 -DCLOSES=0
 *
 * More writes need fewer steps in the background. With COUNTS_AT_ONCE counts
 * go to storage as they change, which shows RJ, page and super block over a trip
 * around the RJ; with PAGE_AT_ONCE the page does, which shows RJ, SJ, summary and
 * counts over a trip around the SJ.
 *
 * @run 5 writes, one at a time, counts at once -DWRITES=5 -DUNDER_WAY=1 -DCLOSES=0 -DCOUNTS_AT_ONCE
 * @run 4 writes, 2 crashes, counts at once -DWRITES=4 -DCRASHES=2 -DCOUNTS_AT_ONCE
 * @run 3 writes, page at once -DWRITES=3 -DPAGE_AT_ONCE
 * @run 3 writes, 2 crashes, page at once, SJ of 3 -DWRITES=3 -DCRASHES=2 -DCLOSES=0 -DPAGE_AT_ONCE -DSJ=3
 * @run 4 writes, page at once, SJ of 3 -DWRITES=4 -DUNDER_WAY=1 -DCLOSES=0 -DPAGE_AT_ONCE -DSJ=3
 * @run pages are not flushed for, as FUA keeps its word (D3) -DPAGE_UNFLUSHED
 *
 * An RJ block is durable by FUA, or, where another one is to follow, by the flush
 * of that one's round. For that two blocks must be under way at a time.
 *
 * @run 4 writes, 2 RJ blocks, counts at once -DWRITES=4 -DRJ=5 -DRJ_RESERVED=2 -DCLOSES=0 -DCOUNTS_AT_ONCE
 * @run 3 writes, 2 RJ blocks, page at once -DWRITES=3 -DRJ=5 -DRJ_RESERVED=2 -DCLOSES=0 -DPAGE_AT_ONCE
 *
 * @out D1 BREAK_RJ_NO_FLUSH	an RJ block is written without a flush
 * @out D2 BREAK_RJ_NO_FUA	an RJ block is written without FUA
 * @out D2 BREAK_RJ_SENT_IS_DURABLE -DWRITES=3 -DRJ=5 -DRJ_RESERVED=2 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	an RJ block without FUA is taken for durable when it is written
 * @out D2 BREAK_EFFECTS_BEFORE_WRITE
 *	entries take effect when their flush is over
 * @out D4 BREAK_COUNTS_UNFLUSHED
 *	a reference block is written without a flush
 * @out D5 BREAK_SUMMARY_UNFLUSHED	the summary is written without a flush
 * @out D6 BREAK_JOURNAL_HEAD_AHEAD
 *	SJ blocks are let go before their counts are written
 * @out D6 BREAK_COUNTS_HOLD_NONE	counts hold no SJ block
 * @out D6 BREAK_COUNTS_HOLD_NEWEST	counts hold the newest SJ block they lack
 * @out D5 BREAK_CLEAN_DURING_WRITE
 *	the summary says clean while counts are written
 * @out D5 BREAK_SUMMARY_NOT_DIRTY
 *	the summary does not say that counts lack entries
 * @out D7 BREAK_HOLD_UNTIL_WRITTEN -DWRITES=3 -DCLOSES=0 -DPAGE_AT_ONCE
 *	the RJ is let go when the SJ block is written
 * @out D7 BREAK_RJ_SLAB_HOLDS_NOT_ASKED -DWRITES=3 -DCLOSES=0 -DPAGE_AT_ONCE
 *	the slab head does not wait for summaries
 * @out D7 BREAK_RJ_SLAB_HEAD_AHEAD -DWRITES=3 -DCLOSES=0 -DPAGE_AT_ONCE
 *	the slab head is one block too far
 * @out D8 BREAK_RJ_MAP_HOLDS_NOT_ASKED -DWRITES=4 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	the map head does not wait for pages
 * @out D8 BREAK_RJ_MAP_HEAD_AHEAD -DWRITES=4 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	the map head is one block too far
 * @out D8 BREAK_RJ_HEADS_BEFORE_FLUSH	the heads move before the flush
 * @out D8 BREAK_PAGE_HOLD_DROPPED -DWRITES=4 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	a page lets go of the RJ when its write begins
 * @out I36 BREAK_PAGE_HOLDS_NEWEST -DWRITES=4 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	a page holds the newest RJ block
 * @out I5 BREAK_RJ_RESERVE_UNUSED -DWRITES=5 -DUNDER_WAY=1 -DCLOSES=0 -DCOUNTS_AT_ONCE
 *	an RJ block is used again although its place is needed
 * @out D9 BREAK_PAGE_NO_BARRIER	no flush between the two first images of a page
 * @out D9 BREAK_PAGE_FLAG_AT_ONCE	the first image of a page has its flag on
 * @out D10 BREAK_DIRTY_NOT_WRITTEN	the super block does not say DIRTY
 * @out D11 BREAK_CLEAN_WITHOUT_COUNTS	CLEAN although counts were not saved
 * @out D11 BREAK_CLEAN_WITHOUT_PAGES	CLEAN although pages were not saved
 * @out D11 BREAK_SUPER_UNFLUSHED	the super block is written without a flush
 * @out I9 BREAK_COMMIT_POINT_AHEAD	commit points are one entry too far
 * @out I9 BREAK_COMMIT_POINT_LATE	commit points are one entry short
 * @out I10 BREAK_PARTIAL_GOES_ON	entries follow a partial SJ block at once
 * @out I11 BREAK_INCREMENT_AFTER_DECREMENT
 *	the decrement of an entry goes first
 * @out I26 BREAK_PROVISIONAL_ON_DISK	provisional counts are written as real ones
 * @out I43 BREAK_REPLAY_APPLIED_ENTRY
 *	replay makes entries that the SJ has
 * @out I43 BREAK_DIRTY_JOURNAL_OVERLOOKED -DCRASHES=2
 *	offset 0 is taken for no journal though the summary says dirty
 * @out I43 BREAK_RECOVERED_TOO_EARLY -DCRASHES=2
 *	the RJ is declared empty before SJ and summary are durable
 */

#ifndef WRITES
#define WRITES 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef CLOSES
#define CLOSES 1
#endif
#ifndef RJ
#define RJ 4
#endif
#ifndef RJ_RESERVED
#define RJ_RESERVED 1
#endif
#ifndef SJ
#define SJ 4
#endif
#ifndef UNDER_WAY
#define UNDER_WAY 2		/* writes at a time */
#endif
#define SJ_BLOCKING (SJ - 2)
#define BLOCKS 3
#define LBNS 2
#define PROVISIONAL 9
#define GARBAGE 3		/* what is in a page before it is written */

/* ------------------------------------------------------- cache and storage */

byte c_data[BLOCKS + 1], d_data[BLOCKS + 1];
byte c_rj[RJ], d_rj[RJ];	/* sequence numbers */
byte c_sj[SJ], d_sj[SJ];	/* sequence numbers */
byte c_sj_head[SJ], d_sj_head[SJ];
byte c_sj_0[SJ], d_sj_0[SJ];	/* entries: their recovery points */
byte c_sj_1[SJ], d_sj_1[SJ];
byte c_count[BLOCKS + 1], d_count[BLOCKS + 1];
byte c_point[2], d_point[2];	/* commit points: block 1; blocks 2 and 3 */
byte c_tail, d_tail;		/* the summary: an offset */
bit c_load, d_load;
bit c_dirty, d_dirty;
byte c_map[LBNS], d_map[LBNS];
bit c_flag, d_flag;		/* beside entry 0 */
bit c_clean, d_clean;		/* the super block */
byte c_start, d_start;

/* What an RJ block with this sequence number says. */
byte e_lbn[WRITES + 2], e_new[WRITES + 2], e_old[WRITES + 2];
byte h_map[WRITES + 2], h_slab[WRITES + 2];

/* ------------------------------------------------------------------ memory */

mtype = { OPENING, RUNNING, MAP_READ, MAP_WRITTEN, MAP_DONE, REPLAYING, REPLAYED,
	  RECOVERED, SCRUBBING, SCRUBBED, SCRUBBED_CLEAN };
mtype mode = OPENING;

/* Writes, by LBN. */
mtype:what = { IDLE, JOURNALLED, COMMITTED };
mtype:what what[LBNS];
byte seq[LBNS], value[LBNS];
bit sharing[LBNS];

/* The recovery journal. */
byte tail = 1, durable, batch, released;
byte map_head = 1, slab_head = 1;
byte next_map_head, next_slab_head;
byte todo = 2;			/* the next entry for SJ and counts */
bit writing;

/* The page. */
byte map[LBNS], image[LBNS];
bit initialised, page_dirty;
byte page_hold, image_hold;
byte page_step;

/* Counts. */
byte count[BLOCKS + 1], count_image[BLOCKS + 1];
byte applied, point_image;
bit count_dirty;
byte count_hold, count_image_hold;
byte count_step;

/* The slab journal. */
byte s_tail = 1, s_head = 1, s_summarized = 1, s_last;
byte s_0, s_1;			/* the entries of the tail */
byte s_held[SJ];		/* RJ blocks */
byte s_lock_head[SJ];
byte s_partial;			/* stops entries until it is in the summary */
byte done_tail = 1, flushed_tail = 1;
bit done_clean = 1, flushed_clean = 1;

/* The summary. */
bit load, dirty;
byte updating_to = 1;
byte summary_step;		/* 1: with a new tail, 2: clean */

/* Replay. */
byte r_at, r_last;

/* What a read may find, a bit for each value. 0: never written, or discarded. */
byte may_be[LBNS];
byte writes, crashes, closes;

hidden byte i, k, p, q;
hidden byte ok;

inline flush()
{
	i = 0;
	do
	:: i <= BLOCKS ->
		d_data[i] = c_data[i];
		d_count[i] = c_count[i];
		i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < SJ ->
		d_sj[i] = c_sj[i];
		d_sj_head[i] = c_sj_head[i];
		d_sj_0[i] = c_sj_0[i];
		d_sj_1[i] = c_sj_1[i];
		i++
	:: else -> break
	od;
	i = 0;
	do
	:: i < RJ -> d_rj[i] = c_rj[i]; i++
	:: else -> break
	od;
	d_point[0] = c_point[0];
	d_point[1] = c_point[1];
	d_tail = c_tail;
	d_load = c_load;
	d_dirty = c_dirty;
	d_map[0] = c_map[0];
	d_map[1] = c_map[1];
	d_flag = c_flag;
	d_clean = c_clean;
	d_start = c_start;
	i = 0
}

/* ------------------------------------------------------------------ writes */

#define BUSY(l) (what[l] != IDLE)
#define FREE_BLOCK (count[1] == 0 -> 1 : (count[2] == 0 -> 2 : \
		    (count[3] == 0 -> 3 : 0)))
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#ifdef BREAK_RJ_RESERVE_UNUSED
#define USABLE (RJ + 1)
#else
#define USABLE (RJ - RJ_RESERVED)
#endif
#define FIRST_OF_ALL (map_head > durable || slab_head > durable)
#define RJ_ROOM (tail - MIN(map_head, slab_head) < USABLE && \
		 tail - 1 - durable < (FIRST_OF_ALL -> 1 : RJ_RESERVED))

/* Somebody may begin: nobody waits for space here. */
#define HAS_CHOICE(l) (!BUSY(l) && (writes > 0 || (l) == 0) && \
		       (FREE_BLOCK != 0 || map[l] != 0) && \
		       (UNDER_WAY == 2 || !BUSY(1 - (l))))
#define MAY_WRITE (HAS_CHOICE(0) || HAS_CHOICE(1))

/* The data is written, if any; the entry gets its place. */
inline begin_write(l, new)
{
	e_lbn[tail] = l;
	e_new[tail] = new;
	e_old[tail] = map[l];
	what[l] = JOURNALLED;
	seq[l] = tail;
	value[l] = (new == 0 -> 0 : c_data[new]);
	may_be[l] = may_be[l] | (1 << value[l]);
	tail++
}

/* --------------------------------------------------------- recovery journal */

/* The oldest entry that has not taken all of its effect in memory. */
#define UNDONE(l) (BUSY(l) -> seq[l] : tail)
#define OLDEST_ENTRY MIN(UNDONE(0), UNDONE(1))

inline find_heads()
{
	next_map_head = MIN(OLDEST_ENTRY, durable);
	next_slab_head = next_map_head;
#ifndef BREAK_RJ_MAP_HOLDS_NOT_ASKED
	if
	:: page_hold != 0 -> next_map_head = MIN(next_map_head, page_hold)
	:: else
	fi;
	if
	:: image_hold != 0 -> next_map_head = MIN(next_map_head, image_hold)
	:: else
	fi;
#endif
#ifndef BREAK_RJ_SLAB_HOLDS_NOT_ASKED
	k = s_summarized;
	do
#ifdef BREAK_HOLD_UNTIL_WRITTEN
	:: k < s_tail -> k++
	:: k == s_tail && s_0 != 0 ->
#else
	:: k < s_tail || (k == s_tail && s_0 != 0) ->
#endif
		next_slab_head = MIN(next_slab_head, s_held[k % SJ]);
		k++
	:: else -> break
	od;
#endif
#ifdef BREAK_RJ_MAP_HEAD_AHEAD
	next_map_head = MIN(next_map_head + 1, durable);
#endif
#ifdef BREAK_RJ_SLAB_HEAD_AHEAD
	next_slab_head = MIN(next_slab_head + 1, durable);
#endif
	next_map_head = (next_map_head < map_head -> map_head : next_map_head);
	next_slab_head = (next_slab_head < slab_head -> slab_head
						     : next_slab_head);
	k = 0
}

inline release_entries(last)
{
	released = last;
	k = 0;
	do
	:: k < LBNS ->
		if
		:: what[k] == JOURNALLED && seq[k] <= released ->
			what[k] = COMMITTED;
			may_be[k] = 1 << value[k]
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0
}

/*
 * A round as far as the write: its flush covers what the entries name, and what
 * the round before wrote.
 */
inline begin_round()
{
	find_heads();
#ifndef BREAK_RJ_NO_FLUSH
#ifndef BREAK_RJ_HEADS_BEFORE_FLUSH
	flush();
#endif
#endif
	if
	:: batch > durable ->
		durable = batch;
		release_entries(batch)
	:: else
	fi;
	batch = tail - 1;
	map_head = next_map_head;
	slab_head = next_slab_head;
	next_map_head = 0;
	next_slab_head = 0;
	k = durable + 1;
	do
	:: k <= batch ->
		h_map[k] = map_head;
		h_slab[k] = slab_head;
		c_rj[k % RJ] = k;
		writing = 1;
		k++
	:: else -> break
	od;
	k = 0;
#ifdef BREAK_EFFECTS_BEFORE_WRITE
	release_entries(batch);
#endif
}

/* A write without FUA is over: its blocks, up to batch, are not durable. */
inline end_write()
{
	writing = 0;
#ifdef BREAK_RJ_SENT_IS_DURABLE
	durable = batch;
	release_entries(batch)
#endif
}

inline end_round()
{
	k = durable + 1;
	do
	:: k <= batch ->
#ifndef BREAK_RJ_NO_FUA
		d_rj[k % RJ] = k;
#endif
		k++
	:: else -> break
	od;
	durable = batch;
	writing = 0;
	release_entries(batch)
}

/* ----------------------------------------------- counts and slab journal */

/* The block of an entry; 0: none. */
#define BLOCK_OF(point) ((point) & 1 -> e_old[(point) / 2] : e_new[(point) / 2])
#define IS_UP(point) (((point) & 1) == 0)
#ifdef BREAK_INCREMENT_AFTER_DECREMENT
#define TODO (todo ^ 1)
#else
#define TODO todo
#endif

#define OLDEST_NAMED (flushed_clean -> flushed_tail : flushed_tail - 1)
#define SLOT_IS_FREE (s_tail - s_head < SJ && \
		      s_tail - (flushed_tail - 1) < SJ && \
		      (OLDEST_NAMED == s_tail || \
		       s_tail - s_lock_head[OLDEST_NAMED % SJ] < SJ))
#define SJ_ROOM (s_partial == 0 && \
		 (s_0 != 0 || (s_tail - s_head < SJ_BLOCKING && SLOT_IS_FREE)))

/* The block is locked by who is about to share it. */
#define SHARED_BY(l, b) (BUSY(l) && sharing[l] && e_new[seq[l]] == (b) && \
			 todo <= 2 * seq[l])

/* A partial block is asked for when the RJ is short of space, and to close. */
#ifdef ASK_ANY_TIME
#define MAY_ASK true
#else
#define MAY_ASK (writes == WRITES || tail - slab_head >= RJ - RJ_RESERVED)
#endif

/* Close the tail of the journal and write it. */
inline commit_tail()
{
	q = s_tail % SJ;
	c_sj[q] = s_tail;
	c_sj_head[q] = s_head;
	c_sj_0[q] = s_0;
	c_sj_1[q] = s_1;
	s_lock_head[q] = s_head;
#ifndef BREAK_PARTIAL_GOES_ON
	s_partial = (s_1 == 0 -> s_tail : 0);
#endif
	s_tail++;
	s_0 = 0;
	s_1 = 0;
	q = 0
}

/* The entry goes to the tail; ok: it is the second. */
inline put_entry(point)
{
	if
	:: s_0 == 0 -> s_0 = point; ok = 0
	:: else -> s_1 = point; ok = 1
	fi;
	assert(point > s_last);
	s_last = point
}

inline change_count(b, up)
{
	if
	:: up ->
		assert(count[b] < BLOCKS || count[b] == PROVISIONAL);
		count[b] = (count[b] == PROVISIONAL -> 1 : count[b] + 1)
	:: else ->
		assert(count[b] != 0 && count[b] != PROVISIONAL);
		count[b]--;
		if
		:: count[b] == 0 && (SHARED_BY(0, b) || SHARED_BY(1, b)) ->
			count[b] = PROVISIONAL
		:: else
		fi
	fi
}

#define IMAGE(b) (count[b] == PROVISIONAL -> ON_DISK : count[b])
#ifdef BREAK_PROVISIONAL_ON_DISK
#define ON_DISK 1
#else
#define ON_DISK 0
#endif

/* Counts that are on storage at once need no journal. */
inline count_at_once(point)
{
	p = BLOCK_OF(point);
	change_count(p, IS_UP(point));
	c_count[p] = IMAGE(p);
	d_count[p] = IMAGE(p);
	c_point[0] = point;
	d_point[0] = point;
	p = 0
}

inline make_entry()
{
	p = BLOCK_OF(TODO);
	if
	:: s_0 == 0 -> s_held[s_tail % SJ] = todo / 2
	:: else
	fi;
	put_entry(TODO);
	change_count(p, IS_UP(TODO));
	applied = 2 * s_tail + ok;
	count_dirty = 1;
#ifndef BREAK_COUNTS_HOLD_NONE
#ifdef BREAK_COUNTS_HOLD_NEWEST
	count_hold = s_tail;
#else
	count_hold = (count_hold == 0 -> s_tail : count_hold);
#endif
#endif
	if
	:: ok -> commit_tail()
	:: else
	fi;
	p = 0;
	ok = 0
}

/* Entry todo is done; with its second half the mapping is stored. */
inline end_entry()
{
	if
	:: todo & 1 ->
		q = todo / 2;
		k = e_lbn[q];
		assert(what[k] == COMMITTED && seq[k] == q);
		map[k] = e_new[q];
#ifdef PAGE_AT_ONCE
		c_map[0] = map[0];
		c_map[1] = map[1];
		d_map[0] = map[0];
		d_map[1] = map[1];
		c_flag = 1;
		d_flag = 1;
#else
		page_dirty = 1;
#ifdef BREAK_PAGE_HOLDS_NEWEST
		page_hold = q;
#else
		page_hold = (page_hold == 0 -> q : page_hold);
#endif
#endif
		what[k] = IDLE;
		seq[k] = 0;
		value[k] = 0;
		sharing[k] = 0;
		q = 0;
		k = 0
	:: else
	fi;
	todo++
}

#define HELD(s) (count_hold == (s) || count_image_hold == (s))
#ifdef BREAK_JOURNAL_HEAD_AHEAD
#define CAN_REAP (s_head < s_summarized)
#else
#define CAN_REAP (s_head < s_summarized && !HELD(s_head))
#endif
#define UNFLUSHED (done_tail != flushed_tail || done_clean != flushed_clean)

inline reap()
{
	flush();
	do
	:: CAN_REAP -> s_head++
	:: else -> break
	od;
	flushed_tail = done_tail;
	flushed_clean = done_clean
}

/* --------------------------------------------------------- reference block */

inline begin_counts()
{
	count_image[1] = IMAGE(1);
	count_image[2] = IMAGE(2);
	count_image[3] = IMAGE(3);
#ifdef BREAK_COMMIT_POINT_AHEAD
	point_image = applied + 1;
#else
#ifdef BREAK_COMMIT_POINT_LATE
	point_image = applied - 1;
#else
	point_image = applied;
#endif
#endif
	count_image_hold = count_hold;
	count_hold = 0;
	count_dirty = 0;
#ifndef BREAK_COUNTS_UNFLUSHED
	flush();
#endif
	count_step = 1
}

inline end_counts()
{
	c_count[1] = count_image[1];
	c_count[2] = count_image[2];
	c_count[3] = count_image[3];
	c_point[0] = point_image;
	c_point[1] = point_image;
	count_image[1] = 0;
	count_image[2] = 0;
	count_image[3] = 0;
	point_image = 0;
	count_image_hold = 0;
	count_step = 0
}

/* ----------------------------------------------------------------- summary */

inline note_written(t, clean)
{
	flushed_tail = done_tail;
	flushed_clean = done_clean;
	done_tail = t;
	done_clean = clean
}

/* @step 1: with the blocks that were written; 2: all counts are on disk. */
inline begin_summary(step)
{
	if
	:: step == 1 ->
		updating_to = s_tail;
#ifndef BREAK_SUMMARY_NOT_DIRTY
		dirty = 1;
#endif
		load = (load || s_head > 1)
	:: else ->
		load = 1;
		dirty = 0
	fi;
#ifndef BREAK_SUMMARY_UNFLUSHED
	flush();
#endif
	summary_step = step
}

inline end_summary()
{
	c_tail = updating_to % SJ;
	c_load = load;
	c_dirty = dirty;
	if
	:: summary_step == 1 ->
		note_written(updating_to, 0);
		s_summarized = updating_to;
		s_partial = (s_partial < s_summarized -> 0 : s_partial)
	:: else -> note_written(updating_to, 1)
	fi;
	summary_step = 0
}

#ifdef BREAK_CLEAN_DURING_WRITE
#define MAY_BE_CLEAN (!count_dirty && !(load && !dirty))
#else
#define MAY_BE_CLEAN (!count_dirty && count_step == 0 && !(load && !dirty))
#endif

/* -------------------------------------------------------------------- page */

inline begin_page()
{
	image[0] = map[0];
	image[1] = map[1];
#ifndef BREAK_PAGE_HOLD_DROPPED
	image_hold = page_hold;
#endif
	page_hold = 0;
	page_dirty = 0;
#ifndef PAGE_UNFLUSHED
	flush();
#endif
	page_step = 1
}

inline put_page(flag)
{
	c_map[0] = image[0];
	c_map[1] = image[1];
	c_flag = flag
}

inline end_page()
{
	initialised = 1;
	image[0] = 0;
	image[1] = 0;
	image_hold = 0;
	page_step = 0
}

/* The first image has its flag off, and is durable before the second. */
inline write_page()
{
	if
#ifdef BREAK_PAGE_FLAG_AT_ONCE
	:: true ->
#else
	:: initialised || page_step == 2 ->
#endif
		put_page(1);
		end_page()
#ifndef BREAK_PAGE_FLAG_AT_ONCE
	:: else ->
		put_page(0);
#ifndef BREAK_PAGE_NO_BARRIER
		flush();
#endif
		page_step = 2
#endif
	fi
}

/* ------------------------------------------------------------- super block */

inline write_super(clean)
{
#ifndef BREAK_SUPER_UNFLUSHED
	flush();
#endif
	c_clean = clean;
	c_start = tail;
	d_clean = clean;
	d_start = tail
}

#define QUIET (!BUSY(0) && !BUSY(1) && !writing)
#ifdef BREAK_CLEAN_WITHOUT_PAGES
#define PAGES_SAVED true
#else
#define PAGES_SAVED (!page_dirty && page_step == 0)
#endif
#ifdef BREAK_CLEAN_WITHOUT_COUNTS
#define COUNTS_SAVED true
#else
#define COUNTS_SAVED (s_0 == 0 && s_summarized == s_tail && !count_dirty && \
		      count_step == 0)
#endif
#define SAVED (QUIET && PAGES_SAVED && COUNTS_SAVED && summary_step == 0)

/* ------------------------------------------------------- crash and recovery */

inline forget()
{
	k = 0;
	do
	:: k < LBNS ->
		what[k] = IDLE;
		seq[k] = 0;
		value[k] = 0;
		sharing[k] = 0;
		map[k] = 0;
		image[k] = 0;
		k++
	:: else -> break
	od;
	k = 0;
	do
	:: k <= BLOCKS -> count[k] = 0; count_image[k] = 0; k++
	:: else -> break
	od;
	k = 0;
	do
	:: k < SJ -> s_held[k] = 0; s_lock_head[k] = 0; k++
	:: else -> break
	od;
	k = 0;
	tail = 0; durable = 0; batch = 0; released = 0; map_head = 0; slab_head = 0;
	todo = 0; writing = 0; initialised = 0; page_dirty = 0; page_hold = 0;
	image_hold = 0; page_step = 0; applied = 0; point_image = 0; count_dirty = 0;
	count_hold = 0; count_image_hold = 0; count_step = 0; s_tail = 0; s_head = 0;
	s_summarized = 0; s_last = 0; s_0 = 0; s_1 = 0; s_partial = 0;
	done_tail = 0; flushed_tail = 0; done_clean = 0; flushed_clean = 0;
	load = 0; dirty = 0; updating_to = 0; summary_step = 0; r_at = 0; r_last = 0;
	next_map_head = 0; next_slab_head = 0
}

/* What of the cache is on the storage. */
inline lose()
{
	n = 1;
	do
	:: n <= BLOCKS ->
		if
		:: c_data[n] != d_data[n] -> c_data[n] = d_data[n]
		:: d_data[n] = c_data[n]
		fi;
		n++
	:: else -> break
	od;
	n = 0;
	do
	:: n < RJ ->
		if
		:: c_rj[n] != d_rj[n] -> c_rj[n] = d_rj[n]
		:: d_rj[n] = c_rj[n]
		fi;
		n++
	:: else -> break
	od;
	n = 0;
	do
	:: n < SJ ->
		if
		:: c_sj[n] != d_sj[n] || c_sj_0[n] != d_sj_0[n] ||
		   c_sj_1[n] != d_sj_1[n] || c_sj_head[n] != d_sj_head[n] ->
			c_sj[n] = d_sj[n];
			c_sj_head[n] = d_sj_head[n];
			c_sj_0[n] = d_sj_0[n];
			c_sj_1[n] = d_sj_1[n]
		:: d_sj[n] = c_sj[n];
			d_sj_head[n] = c_sj_head[n];
			d_sj_0[n] = c_sj_0[n];
			d_sj_1[n] = c_sj_1[n]
		fi;
		n++
	:: else -> break
	od;
	if
	:: c_count[1] != d_count[1] || c_point[0] != d_point[0] ->
		c_count[1] = d_count[1];
		c_point[0] = d_point[0]
	:: d_count[1] = c_count[1];
		d_point[0] = c_point[0]
	fi;
	if
	:: c_count[2] != d_count[2] || c_count[3] != d_count[3] ||
	   c_point[1] != d_point[1] ->
		c_count[2] = d_count[2];
		c_count[3] = d_count[3];
		c_point[1] = d_point[1]
	:: d_count[2] = c_count[2];
		d_count[3] = c_count[3];
		d_point[1] = c_point[1]
	fi;
	if
	:: c_tail != d_tail || c_load != d_load || c_dirty != d_dirty ->
		c_tail = d_tail;
		c_load = d_load;
		c_dirty = d_dirty
	:: d_tail = c_tail;
		d_load = c_load;
		d_dirty = c_dirty
	fi;
	if
	:: c_map[0] != d_map[0] || c_flag != d_flag ->
		c_map[0] = d_map[0];
		c_flag = d_flag
	:: d_map[0] = c_map[0];
		d_flag = c_flag
	fi;
	if
	:: c_map[1] != d_map[1] -> c_map[1] = d_map[1]
	:: d_map[1] = c_map[1]
	fi;
	n = 0
}

/* V 10.3 A, B. Without anything to replay, r_last is below r_at. */
inline find_bounds()
{
	tail = c_start;
	map_head = 0;
	slab_head = 0;
	k = 0;
	do
	:: !c_clean && k < RJ ->
		if
		:: c_rj[k] >= c_start && c_rj[k] % RJ == k ->
			tail = (c_rj[k] >= tail -> c_rj[k] + 1 : tail);
			map_head = (h_map[c_rj[k]] > map_head
				    -> h_map[c_rj[k]] : map_head);
			slab_head = (h_slab[c_rj[k]] > slab_head
				     -> h_slab[c_rj[k]] : slab_head)
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = MIN(map_head, slab_head);
	do
	:: tail > c_start && k < tail && c_rj[k % RJ] == k -> k++
	:: else -> break
	od;
	r_last = (k == 0 -> 0 : k - 1);
	/* A head beyond the last block is damage. */
	assert(tail == c_start || (map_head <= r_last && slab_head <= r_last));
	k = 0
}

/* V 10.3 C, in memory. */
inline replay_map()
{
	map[0] = (c_flag -> c_map[0] : 0);
	map[1] = (c_flag -> c_map[1] : 0);
	initialised = c_flag;
	k = map_head;
	do
	:: tail > c_start && k <= r_last ->
		map[e_lbn[k]] = e_new[k];
		page_dirty = 1;
		k++
	:: else -> break
	od;
	k = 0
}

/* V 7.5: where the slab journal stands. */
inline load_journal()
{
	load = c_load;
	dirty = c_dirty;
	s_tail = 1;
	s_head = 1;
	s_last = 0;
	if
#ifdef BREAK_DIRTY_JOURNAL_OVERLOOKED
	:: c_tail != 0 || load ->
#else
	:: c_tail != 0 || load || dirty ->
#endif
		q = (c_tail + SJ - 1) % SJ;
		if
		:: c_sj[q] != 0 ->
			s_tail = c_sj[q] + 1;
			s_head = (dirty -> c_sj_head[q] : s_tail);
			s_last = (c_sj_1[q] != 0 -> c_sj_1[q] : c_sj_0[q]);
			s_lock_head[q] = c_sj_head[q]
		:: else
		fi;
		q = 0
	:: else
	fi;
	s_summarized = s_tail;
	updating_to = s_tail;
	done_tail = s_tail;
	flushed_tail = s_tail;
#ifdef COUNTS_AT_ONCE
	s_last = c_point[0];
	count[1] = c_count[1];
	count[2] = c_count[2];
	count[3] = c_count[3];
#endif
	r_at = 2 * slab_head
}

/* V 10.3 D: one entry more. */
#define REPLAY_LEFT (tail > c_start && r_at <= 2 * r_last + 1)
#ifdef BREAK_REPLAY_APPLIED_ENTRY
#define REPLAY_SKIPS (BLOCK_OF(r_at) == 0)
#else
#define REPLAY_SKIPS (BLOCK_OF(r_at) == 0 || r_at <= s_last)
#endif
#define REPLAY_ROOM (s_partial == 0 && \
		     (s_0 != 0 || s_tail - (flushed_tail - 1) < SJ))

inline replay_entry()
{
	if
	:: REPLAY_SKIPS
#ifdef COUNTS_AT_ONCE
	:: else -> count_at_once(r_at)
#else
	:: else ->
		if
		:: s_0 == 0 && s_tail - s_head >= SJ -> s_head = s_tail - SJ + 1
		:: else
		fi;
#ifdef BREAK_REPLAY_APPLIED_ENTRY
		s_last = 0;
#endif
		put_entry(r_at);
		if
		:: ok -> commit_tail()
		:: else
		fi;
		ok = 0
#endif
	fi;
	r_at++
}

/* V 7.5: counts, and what the journal has that they lack. */
inline scrub_entry(point)
{
	p = BLOCK_OF(point);
	if
	:: !load || c_point[p > 1] < 2 * k + ok ->
		if
		:: IS_UP(point) -> count[p]++
		:: else ->
			assert(count[p] != 0);
			count[p]--
		fi
	:: else
	fi;
	applied = 2 * k + ok;
	p = 0
}

inline scrub()
{
#ifdef COUNTS_AT_ONCE
	load = 1;
#endif
	count[1] = (load -> c_count[1] : 0);
	count[2] = (load -> c_count[2] : 0);
	count[3] = (load -> c_count[3] : 0);
	k = s_head;
	do
	:: k < s_tail ->
		q = k % SJ;
		assert(c_sj[q] == k);
		ok = 0;
		scrub_entry(c_sj_0[q]);
		if
		:: c_sj_1[q] != 0 -> ok = 1; scrub_entry(c_sj_1[q])
		:: else
		fi;
		k++
	:: else -> break
	od;
	s_head = s_tail;
	k = 0;
	q = 0;
	ok = 0
}

/* The volume may serve: what must hold now? */
inline audit()
{
	k = 0;
	do
	:: k < LBNS ->
		q = (map[k] == 0 -> 0 : c_data[map[k]]);
		assert((may_be[k] >> q) & 1);
		may_be[k] = 1 << q;
		k++
	:: else -> break
	od;
	k = 1;
	do
	:: k <= BLOCKS ->
		assert(count[k] == (map[0] == k) + (map[1] == k));
		k++
	:: else -> break
	od;
	k = 0;
	q = 0
}

inline serve()
{
	durable = tail - 1;
	batch = durable;
	released = durable;
	map_head = tail;
	slab_head = tail;
	todo = 2 * tail;
	r_at = 0;
	r_last = 0
}

/* ------------------------------------------------------------------- steps */

active proctype volume()
{
	byte n;			/* 0 but within a step */
	byte l;
	byte new;

	d_step {
		c_map[0] = GARBAGE;
		c_map[1] = GARBAGE;
		c_clean = 1;
		c_start = 1;
		may_be[0] = 1;
		may_be[1] = 1;
		what[0] = IDLE;
		what[1] = IDLE;
		done_clean = 1;
		flush()
	}
	do
	/* The super block says DIRTY before anything else is written. */
	:: d_step { mode == OPENING ->
#ifndef BREAK_DIRTY_NOT_WRITTEN
		write_super(0);
#endif
		mode = RUNNING }

	/* Writes: new data, shared data, nothing. */
	:: mode == RUNNING && writes < WRITES && RJ_ROOM && MAY_WRITE ->
		atomic {
			if
			:: HAS_CHOICE(0) -> l = 0
			:: HAS_CHOICE(1) -> l = 1
			fi;
			if
			:: FREE_BLOCK != 0 ->
				new = FREE_BLOCK;
				count[new] = PROVISIONAL;
				c_data[new] = writes + 1
			:: map[1 - l] != 0 && map[1 - l] != map[l] &&
			   count[map[1 - l]] != 0 ->
				new = map[1 - l];
				sharing[l] = 1
			:: map[l] != 0 -> new = 0
			fi;
			d_step {
				writes++;
				begin_write(l, new);
				l = 0;
				new = 0
			}
		}

	/* The recovery journal. */
	:: d_step { mode == RUNNING && !writing && tail - 1 > durable ->
		begin_round() }
	:: d_step { mode == RUNNING && !writing && tail - 1 == durable &&
		    writes < WRITES && !RJ_ROOM -> begin_round() }
	:: d_step { mode == RUNNING && writing ->
#ifdef BREAK_RJ_HEADS_BEFORE_FLUSH
		flush();
#endif
		end_round() }
	:: d_step { mode == RUNNING && writing && tail - 1 > batch -> end_write() }

	/* Entries and counts. */
	:: d_step { mode == RUNNING && todo <= 2 * released + 1 &&
		    (BLOCK_OF(TODO) == 0 || SJ_ROOM) ->
		if
#ifdef COUNTS_AT_ONCE
		:: BLOCK_OF(TODO) != 0 -> count_at_once(TODO)
#else
		:: BLOCK_OF(TODO) != 0 -> make_entry()
#endif
		:: else
		fi;
		end_entry() }
	:: d_step { mode == RUNNING && s_0 != 0 && s_partial == 0 && MAY_ASK ->
		commit_tail() }
	:: d_step { (mode == RUNNING || mode == REPLAYING || mode == REPLAYED ||
		     mode == SCRUBBING) &&
		    summary_step == 0 && s_tail > s_summarized ->
		begin_summary(1) }
	:: d_step { summary_step != 0 -> end_summary() }
	:: d_step { mode == RUNNING && summary_step == 0 && MAY_BE_CLEAN &&
		    s_tail > 1 -> begin_summary(2) }
	:: d_step { mode == RUNNING && (CAN_REAP ||
		    (UNFLUSHED && todo <= 2 * released + 1 && !SJ_ROOM)) -> reap() }
	:: d_step { mode == RUNNING && count_dirty && count_step == 0 ->
		begin_counts() }
	:: d_step { mode == RUNNING && count_step == 1 -> end_counts() }

	/* The page. */
	:: d_step { mode == RUNNING && page_dirty && page_step == 0 -> begin_page() }
	:: d_step { mode == RUNNING && page_step != 0 -> write_page() }

	/* Close, and open again. */
	:: d_step { mode == RUNNING && closes < CLOSES && writes > 0 && SAVED ->
		write_super(1);
		closes++;
		forget();
		mode = MAP_READ }

	/* A crash. */
	:: crashes < CRASHES ->
		atomic {
			crashes++;
			lose();
			d_step { forget(); mode = MAP_READ }
		}

	/* Recovery, and the beginning of a volume that was closed. */
	:: d_step { mode == MAP_READ ->
		find_bounds();
		replay_map();
		if
		:: page_dirty ->
			image[0] = map[0];
			image[1] = map[1];
			write_page();
			mode = (page_step == 2 -> MAP_WRITTEN : MAP_DONE)
		:: else -> mode = MAP_DONE
		fi;
		page_dirty = 0 }
	:: d_step { mode == MAP_WRITTEN -> write_page(); mode = MAP_DONE }
	:: d_step { mode == MAP_DONE -> flush(); load_journal(); mode = REPLAYING }
	:: d_step { mode == REPLAYING && REPLAY_LEFT &&
		    (REPLAY_SKIPS || REPLAY_ROOM) -> replay_entry() }
	:: d_step { mode == REPLAYING && !REPLAY_LEFT ->
		if
		:: s_0 != 0 -> commit_tail()
		:: else
		fi;
		mode = REPLAYED }
#ifdef BREAK_RECOVERED_TOO_EARLY
	:: d_step { mode == REPLAYED ->
#else
	:: d_step { mode == REPLAYED && s_summarized == s_tail &&
		    summary_step == 0 ->
#endif
		if
		:: !c_clean -> write_super(0)
		:: else
		fi;
		s_partial = 0;
		mode = SCRUBBING }
	:: d_step { mode == SCRUBBING && s_summarized == s_tail &&
		    summary_step == 0 ->
		scrub();
		if
		:: dirty -> begin_counts(); mode = SCRUBBED
		:: else -> mode = SCRUBBED_CLEAN
		fi }
	:: d_step { mode == SCRUBBED -> end_counts(); begin_summary(2);
		mode = SCRUBBED_CLEAN }
	:: d_step { mode == SCRUBBED_CLEAN && summary_step == 0 ->
		flush();
		done_tail = s_tail;
		done_clean = 1;
		flushed_tail = s_tail;
		flushed_clean = 1;
		audit();
		serve();
		mode = (c_clean -> OPENING : RUNNING) }

	:: mode == RUNNING && writes == WRITES && SAVED -> break
	od
}
