/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library asks the system for besides I/O, each in one place: threads,
 * cores, descriptors, small files, random bytes.
 *
 * Invariants
 *  (1) No signal ever runs on a thread of ours.
 *  (2) Every descriptor of ours is at least SYSTEM_FD_FIRST. A host may have
 *      been started with a standard descriptor closed. The kernel hands out the
 *      lowest number that is free, so a volume would become its standard error,
 *      and the next message would be written over the first block.
 *
 * Runs on: any thread.
 */
#ifndef EXEC_SYSTEM_H
#define EXEC_SYSTEM_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"

/* Start a thread. @name is cut to 15 characters. -errno */
int system_thread_start(pthread_t *thread, const char *name,
			void *(*fn)(void *arg), void *arg) MUST_CHECK;

/*
 * Cores that this process may keep busy, at least 1: what its affinity allows,
 * and no more than the processor time that its control groups grant, rounded
 * up.
 */
unsigned system_cores(void);

/*
 * Cores that control groups grant, or 0 where they limit nothing: @groups is
 * what /proc/self/cgroup says, and @mount the folder of the control groups.
 */
unsigned system_cores_granted(const char *groups, const char *mount);

#define SYSTEM_FD_FIRST 3

/*
 * Make a descriptor, or return -1 with errno. O_CLOEXEC is added. The timer has
 * the clock of clock_ns() and does not block.
 */
int system_open(const char *path, int flags, mode_t mode) MUST_CHECK;
int system_eventfd(int flags) MUST_CHECK;
int system_timerfd(void) MUST_CHECK;
int system_epoll(void) MUST_CHECK;

/*
 * For calls that make descriptors by themselves. Between the two, descriptors
 * below SYSTEM_FD_FIRST that were closed are taken, by something that can be
 * neither read nor written: whoever tries finds out what they would have found
 * out before.
 */
unsigned system_fds_take(void);
void system_fds_release(unsigned taken); /* keeps errno */

/*
 * The last resort, when somebody closed a standard descriptor meanwhile: the
 * same as @fd, which is closed, but at least SYSTEM_FD_FIRST. -1: errno.
 */
int system_fd_move(int fd) MUST_CHECK;

/* @n bytes that nobody can foretell, at most 256. -errno */
int system_random(void *p, size_t n) MUST_CHECK;

/* The first bytes of a file, as a string. How many; -1: there is no such. */
int system_read_text(const char *path, char *text, size_t size);

#endif
