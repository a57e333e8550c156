/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of its own options nbdkit was given. It tells a plugin of -r when a
 * client connects, and of others never, but we have to know before it forks:
 * a volume that will be read only is opened, and checked, in another way.
 *
 * This reads the command line of the process. Where that cannot be had, all
 * is as if the option had not been given.
 *
 * Threads: one.
 */
#ifndef NBDKIT_GIVEN_H
#define NBDKIT_GIVEN_H

#include <stdbool.h>

struct given {
	bool read_only; /* -r */
	bool run;       /* --run */
	bool swap;      /* --swap */
};

void given_read(struct given *g);

#endif
