/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleeping on a word, through the system call: libc has no function for it.
 */
#include "build.h"

#include "exec/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exec/clock.h"

bool futex_wait(atomic_uint *word, unsigned expected, uint64_t timeout_ns)
{
	struct timespec ts, *limit = NULL;

	if (timeout_ns != NO_TIMEOUT) {
		ts.tv_sec = (time_t)(timeout_ns / NS_PER_SEC);
		ts.tv_nsec = (long)(timeout_ns % NS_PER_SEC);
		limit = &ts;
	}
	/* Without a limit no answer of the system is taken for its end. */
	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit,
		       NULL, 0) == 0 ||
	       limit == NULL || errno != ETIMEDOUT;
}

void futex_wake(atomic_uint *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}
