/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How full the volume is, and whether calls are held for want of space, for the log and
 * for whoever watches it.
 *
 * A level is passed when so much is in use, and not passed any more when it is one
 * percent of all blocks less, so that it does not flap. The depot is given the
 * nearest levels as bounds (depot/fill.c), and says when they are crossed.
 *
 * Runs on: the journal's queue.
 */
#include "build.h"

#include "volume/volume_priv.h"

#include <string.h>

#include "exec/help.h"
#include "front/io.h"

/* From so many blocks on it is passed. */
static uint64_t level_top(const struct space_level *l, uint64_t total)
{
	VDO_ASSERT(l->percent > 0 && l->percent <= 100);
	return div_up(total * l->percent, 100);
}

/* With fewer than that it is not any more. */
static uint64_t level_bottom(const struct space_level *l, uint64_t total)
{
	uint64_t top = level_top(l, total);

	return top - MIN(MAX(total / 100, 1), top / 2);
}

static void tell(struct volume *v, const struct space_level *l, uint64_t used,
		 uint64_t total)
{
	struct space *s = &v->space;
	struct vdo_space what = {
		.event = l->passed ? VDO_SPACE_ROSE : VDO_SPACE_FELL,
		.percent = l->percent,
		.used = used,
		.total = total,
	};

	counter_inc(l->passed ? &s->rises : &s->falls);
	if (l != &s->levels[0]) {
		s->callback(s->arg, &what);
		return;
	}
	if (l->passed)
		log_warning(&v->log,
			    "volume: %u %% of the blocks are in use, used=%llu "
			    "total=%llu",
			    l->percent, (unsigned long long)used,
			    (unsigned long long)total);
	else
		log_info(&v->log,
			 "volume: less than %u %% of the blocks are in use, "
			 "used=%llu total=%llu",
			 l->percent, (unsigned long long)used,
			 (unsigned long long)total);
}

static void look(struct volume *v)
{
	struct space *s = &v->space;
	uint64_t used = depot_used(v->depot), total = depot_size(v->depot);
	uint64_t low = 0, high = UINT64_MAX;

	VDO_ASSERT(s->count <= ARRAY_SIZE(s->levels));
	for (unsigned i = 0; i < s->count; i++) {
		struct space_level *l = &s->levels[i];

		if (l->percent == 0)
			continue;
		if (l->passed ? used < level_bottom(l, total)
			      : used >= level_top(l, total)) {
			l->passed = !l->passed;
			tell(v, l, used, total);
		}
		if (l->passed)
			low = MAX(low, level_bottom(l, total));
		else
			high = MIN(high, level_top(l, total));
	}
	depot_set_bounds(v->depot, low, high);
}

/* Calls are held, or not any more, since the last time. */
static void look_held(struct volume *v)
{
	struct space *s = &v->space;
	bool holds = front_is_holding(v->front);
	struct vdo_space what = {
		.event = holds ? VDO_SPACE_HELD : VDO_SPACE_GOES_ON,
		.percent = 100,
		.used = depot_used(v->depot),
		.total = depot_size(v->depot),
	};

	if (holds == s->holds)
		return;
	s->holds = holds;
	if (holds)
		log_warning(&v->log,
			    "volume: calls are held, as no space is left, "
			    "used=%llu total=%llu",
			    (unsigned long long)what.used,
			    (unsigned long long)what.total);
	else
		log_info(&v->log, "volume: no calls are held any more");
	if (s->callback != NULL)
		s->callback(s->arg, &what);
}

/* A helper runs no callback: not now. */
static bool is_helper(void)
{
	if (help_given() == NULL)
		return false;
	help_stop(help_given());
	return true;
}

bool space_told(void *arg, bool freed)
{
	struct volume *v = arg;

	VDO_ASSERT(queue_is_current(v->topology.journal));
	if (is_helper())
		return false;
	if (freed)
		front_wake(v->front, false);
	while (depot_out_of_bounds(v->depot))
		look(v);
	look_held(v);
	return true;
}

static void holding_told(struct completion *c)
{
	struct volume *v = container_of(c, struct volume, space.holding);

	if (is_helper()) {
		completion_post(c);
		return;
	}
	atomic_exchange(&v->space.holding_posted, false);
	look_held(v);
	front_release(v->front);
}

void space_holding(void *arg)
{
	struct volume *v = arg;
	struct space *s = &v->space;

	if (atomic_exchange(&s->holding_posted, true))
		return;
	(void)front_hold_more(v->front);
	completion_init(&s->holding, v->topology.journal, holding_told);
	completion_post(&s->holding);
}

void space_look(struct volume *v)
{
	VDO_ASSERT(queue_is_current(v->topology.journal));
	if (v->opened_read_only)
		return;
	/* Out of any bounds, so it will be told. */
	depot_set_bounds(v->depot, UINT64_MAX, 0);
	depot_look(v->depot);
}

void space_init(struct volume *v)
{
	VDO_ASSERT(v->settings.open.space_warn <= 100);
	v->space.levels[0].percent = v->settings.open.space_warn;
	v->space.count = 1;
	atomic_init(&v->space.holding_posted, false);
}

struct watch {
	struct volume *volume;
	const unsigned *percents;
	unsigned count;
	vdo_space_callback callback;
	void *arg;
};

static void change(void *arg, struct completion *done)
{
	const struct watch *w = arg;
	struct volume *v = w->volume;
	struct space *s = &v->space;

	memset(&s->levels[1], 0, sizeof(s->levels) - sizeof(s->levels[0]));
	for (unsigned i = 0; i < w->count; i++)
		s->levels[1 + i].percent = w->percents[i];
	s->count = 1 + w->count;
	s->callback = w->callback;
	s->arg = w->arg;
	s->holds = false; /* so it is told */
	/* Else resuming looks. */
	if (v->service == SERVICE_ON)
		space_look(v);
	completion_post(done);
}

void volume_watch_space(struct volume *v, const unsigned *percents, unsigned n,
			vdo_space_callback callback, void *arg)
{
	struct watch w = {v, percents, n, callback, arg};

	VDO_ASSERT(n <= VDO_SPACE_THRESHOLDS_MAX);
	(void)await_call(v->topology.journal, change, &w);
}
