/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"

#include "table.h"

#include <stdlib.h>

static struct table_slot *find(const struct table *t, struct key key)
{
	size_t i = (size_t)((key.low ^ key.high) * 0x9e3779b97f4a7c15u >> 20);

	for (;; i++) {
		struct table_slot *s = &t->slots[i & (t->size - 1)];

		if ((s->key.low | s->key.high) == 0 ||
		    (s->key.low == key.low && s->key.high == key.high))
			return s;
	}
}

static bool grow(struct table *t)
{
	struct table bigger = {.size = t->size == 0 ? 1024 : 2 * t->size,
			       .used = t->used};

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if ((t->slots[i].key.low | t->slots[i].key.high) != 0)
			*find(&bigger, t->slots[i].key) = t->slots[i];
	free(t->slots);
	*t = bigger;
	return true;
}

uint64_t *table_get(struct table *t, struct key key, uint64_t value,
		    bool *added)
{
	struct table_slot *s;

	if (t->used >= t->size / 3 * 2 && !grow(t))
		return NULL;
	s = find(t, key);
	*added = (s->key.low | s->key.high) == 0;
	if (*added) {
		*s = (struct table_slot){.key = key, .value = value};
		t->used++;
	}
	return &s->value;
}

uint64_t *table_find(const struct table *t, struct key key)
{
	struct table_slot *s = t->used == 0 ? NULL : find(t, key);

	return s == NULL || (s->key.low | s->key.high) == 0 ? NULL : &s->value;
}

void table_fini(struct table *t)
{
	free(t->slots);
	*t = (struct table){0};
}
