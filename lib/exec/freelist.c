/*
 * Set-up of a free list; the hot half is inline.
 */
#include "config.h"

#include "exec/freelist.h"

#include <errno.h>

#include "base/alloc.h"

int freelist_init(struct freelist *f, uint32_t count)
{
	uint32_t i;

	f->next = alloc_zeroed(count, sizeof(*f->next));
	if (f->next == NULL)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		atomic_init(&f->next[i], i + 1 < count ? i + 2 : 0);
	atomic_init(&f->head, count > 0 ? 1 : 0);
	return 0;
}

void freelist_fini(struct freelist *f)
{
	alloc_free((void *)f->next);
	f->next = NULL;
}
