/* SPDX-License-Identifier: BSD-2-Clause */
#include "chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned chains_left, chains_failed;

static struct chain chains[CHAINS];
static struct vdo_device *device;

static _Noreturn void give_up(const char *text)
{
	fprintf(stderr, "%s\n", text);
	exit(1);
}

struct vdo_volume *volume_make(struct vdo_config *config,
			       const char *const *options)
{
	struct vdo_volume *volume;
	struct vdo_error error;

	for (; *options != NULL; options += 2)
		if (vdo_config_set(config, options[0], options[1], &error) != 0)
			give_up(error.message);
	if (vdo_device_open_memory(UINT64_C(64) << 20, &device) != 0)
		give_up("out of memory");
	if (vdo_format_device(device, config, &error) != 0 ||
	    vdo_open_device(device, config, &volume, &error) != 0)
		give_up(error.message);
	return volume;
}

int volume_end(struct vdo_volume *volume, const char *name)
{
	int result = vdo_close(volume);

	vdo_device_close(device);
	printf("%s: %d chains of %d steps, %u failed\n", name, CHAINS, STEPS,
	       chains_failed);
	return result != 0 || chains_failed != 0;
}

/* Each write has other contents. */
static void fill(struct chain *c)
{
	memset(c->block, 0, BLOCK);
	snprintf((char *)c->block, BLOCK, "chain %u, step %u", c->number,
		 c->step / 2);
}

static int is_right(const struct chain *c)
{
	char text[40];

	snprintf(text, sizeof(text), "chain %u, step %u", c->number,
		 c->step / 2);
	return strcmp((const char *)c->block, text) == 0;
}

static int begin(struct chain *c)
{
	uint64_t offset = ((uint64_t)c->number * STEPS + c->step / 2) * BLOCK;

	if (c->step % 2 == 0) {
		fill(c);
		return vdo_aio_pwrite(c->volume, c->block, BLOCK, offset,
				      c->callback, c->arg, 0);
	}
	memset(c->block, 0, BLOCK);
	return vdo_aio_pread(c->volume, c->block, BLOCK, offset, c->callback,
			     c->arg, 0);
}

static void end(struct chain *c, int failed)
{
	chains_failed += failed;
	c->volume = NULL;
	chains_left--;
}

void chain_go_on(struct chain *c, int result)
{
	if (result != 0 || (c->step % 2 == 1 && !is_right(c))) {
		end(c, 1);
		return;
	}
	if (++c->step == 2 * STEPS)
		end(c, 0);
	else if (begin(c) != 0)
		end(c, 1);
}

static void chain_callback(void *arg, int result)
{
	chain_go_on(arg, result);
}

void chains_start(struct vdo_volume *volume, struct vdo_cq *cq)
{
	chains_left = CHAINS;
	for (unsigned i = 0; i < CHAINS; i++) {
		struct chain *c = &chains[i];

		c->volume = volume;
		c->number = i;
		c->entry.cq = cq;
		c->entry.user = c;
		c->callback = cq != NULL ? vdo_cq_complete : chain_callback;
		c->arg = cq != NULL ? (void *)&c->entry : c;
	}
	for (unsigned i = 0; i < CHAINS; i++)
		if (begin(&chains[i]) != 0)
			end(&chains[i], 1);
}

void chains_reap(struct vdo_cq *cq)
{
	struct vdo_cq_entry *entries[CHAINS];
	size_t n = vdo_cq_reap(cq, entries, CHAINS);

	for (size_t i = 0; i < n; i++)
		chain_go_on(entries[i]->user, entries[i]->result);
}
