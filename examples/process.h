/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process around an open volume: its standard descriptors, and the signals
 * that would end it.
 *
 * A volume that is open for writing when its process ends has to be recovered.
 * So a program that writes calls process_begin() first of all, and
 * catch_interrupts() before it opens the volume; then it asks interrupted() now
 * and then, and closes the volume in its own time.
 *
 * Threads: the first one, before there are others; interrupted() any.
 */
#ifndef EXAMPLES_PROCESS_H
#define EXAMPLES_PROCESS_H

#include <stdbool.h>

/*
 * Put /dev/null where a standard descriptor is closed, opened so that what the
 * program wants to do with it fails: else the next file would get the number,
 * and what is printed would be written to that.
 */
void process_begin(void);

/*
 * From now on no signal that can be caught ends the process. Most only make
 * interrupted() true, however often they come; those that tell of a failed
 * write are ignored, so that the write fails. The table in process.c has all of
 * them. A signal that was ignored when the program was started, as by nohup(1),
 * stays ignored, but for SIGINT and SIGTERM.
 */
void catch_interrupts(void);
bool interrupted(void);

/*
 * For a module in a program that ends in its own good time when signal @number
 * comes, and does not know of others: all that catch_interrupts() catches, and
 * that nobody handles yet, becomes that one.
 */
void pass_interrupts_on(int number);

/*
 * Wait until @fd can be read, or be written to. False: interrupted(), and no
 * signal comes too late for that.
 */
bool wait_to_read(int fd);
bool wait_to_write(int fd);

#endif
