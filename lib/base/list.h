/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intrusive doubly linked list.
 *
 * A list is a head node linked to itself when empty. A node that is in no
 * list is linked to itself too, so list_remove() may be called on it again.
 *
 * Runs on: whoever owns the list; no locks.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/compiler.h"

struct list_node {
	struct list_node *next;
	struct list_node *prev;
};

static inline void list_init(struct list_node *n)
{
	n->next = n;
	n->prev = n;
}

static inline bool list_empty(const struct list_node *head)
{
	VDO_CHECK((head->next == head) == (head->prev == head));
	return head->next == head;
}

/* Insert @n just before @pos; with the head as @pos that is the tail. */
static inline void list_insert(struct list_node *pos, struct list_node *n)
{
	VDO_CHECK(pos->prev->next == pos && pos != n);
	n->next = pos;
	n->prev = pos->prev;
	pos->prev->next = n;
	pos->prev = n;
}

static inline void list_push_back(struct list_node *head, struct list_node *n)
{
	list_insert(head, n);
}

static inline void list_push_front(struct list_node *head, struct list_node *n)
{
	list_insert(head->next, n);
}

static inline void list_remove(struct list_node *n)
{
	VDO_CHECK(n->prev->next == n && n->next->prev == n);
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* The first node, removed; NULL from an empty list. */
static inline struct list_node *list_pop(struct list_node *head)
{
	struct list_node *n = head->next;

	if (n == head)
		return NULL;
	list_remove(n);
	return n;
}

/* Move all of @from to the end of @to. */
static inline void list_splice(struct list_node *to, struct list_node *from)
{
	VDO_CHECK(from->prev->next == from && to->prev->next == to);
	VDO_ASSERT(to != from);
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(n, type, member) container_of(n, type, member)

#define list_for_each(n, head)                                                 \
	for (struct list_node *n = (head)->next; n != (head); n = n->next)

/* The body may remove the current node. */
#define list_for_each_safe(n, head)                                            \
	for (struct list_node *n = (head)->next, *n##_next = n->next;          \
	     n != (head); n = n##_next, n##_next = n->next)

#endif
