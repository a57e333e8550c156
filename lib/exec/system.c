/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, cores, descriptors, random bytes and small files.
 *
 * Cores. A control group of version 2 says "QUOTA PERIOD" or "max PERIOD" in
 * cpu.max; version 1 has a file for each. A group can use no more than the ones
 * above it, so the least on the way up to the mount counts. Inside of a
 * container the path in /proc/self/cgroup may lead out of what is mounted; then
 * the mount itself is the group.
 */
#include "build.h"

#include "exec/system.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CORES_MAX 65536

/* Room for the path of a control group; a longer one counts as no limit. */
#define PATH_ROOM 1024

/* Threads. */

struct beginning {
	void *(*fn)(void *arg);
	void *arg;
	char name[16];
};

/*
 * A thread names itself: pthread_setname_np() for another opens a file, whose
 * descriptor would not keep (2).
 */
static void *begin(void *arg)
{
	struct beginning b = *(struct beginning *)arg;

	alloc_free(arg);
	pthread_setname_np(pthread_self(), b.name);
	return b.fn(b.arg);
}

int system_thread_start(pthread_t *thread, const char *name,
			void *(*fn)(void *arg), void *arg)
{
	struct beginning *b = alloc_zeroed(1, sizeof(*b));
	sigset_t all, old;
	int r;

	VDO_ASSERT(name != NULL && fn != NULL);
	if (b == NULL)
		return -ENOMEM;
	b->fn = fn;
	b->arg = arg;
	snprintf(b->name, sizeof(b->name), "%s", name);
	/* The new thread inherits the mask. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, NULL, begin, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		alloc_free(b);
	return -r;
}

/* Cores. */

/* How many cores affinity allows. The kernel refuses a set that is too small
 * for the machine, so larger ones are tried. */
static unsigned cores_allowed(void)
{
	for (int size = CPU_SETSIZE; size <= CORES_MAX; size *= 2) {
		size_t bytes = CPU_ALLOC_SIZE(size);
		cpu_set_t *set = CPU_ALLOC(size);
		int count = 0;
		int r;

		if (set == NULL)
			break;
		r = sched_getaffinity(0, bytes, set);
		if (r == 0)
			count = CPU_COUNT_S(bytes, set);
		else if (errno != EINVAL)
			size = CORES_MAX;
		CPU_FREE(set);
		if (count > 0)
			return (unsigned)count;
	}
	return 1;
}

/* Whole cores in @quota of each @period; 0: no limit. */
static unsigned cores_in(long long quota, long long period)
{
	long long n;

	if (quota <= 0 || period <= 0)
		return 0;
	n = quota / period + (quota % period != 0);
	VDO_ASSERT(n > 0);
	return n > CORES_MAX ? 0 : (unsigned)n;
}

/* What the group in @folder itself is granted; 0: no limit. */
static unsigned granted_to(const char *folder, bool version2)
{
	long long quota, period;
	char path[PATH_ROOM + 32], text[64];

	if (version2) {
		snprintf(path, sizeof(path), "%s/cpu.max", folder);
		if (system_read_text(path, text, sizeof(text)) < 0 ||
		    sscanf(text, "%lld %lld", &quota, &period) != 2)
			return 0;
		return cores_in(quota, period);
	}
	snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
	if (system_read_text(path, text, sizeof(text)) < 0)
		return 0;
	quota = atoll(text);
	snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
	if (system_read_text(path, text, sizeof(text)) < 0)
		return 0;
	return cores_in(quota, atoll(text));
}

/* The least of what @group below @mount and the groups above it have. */
static unsigned granted_up_from(const char *mount, const char *group,
				bool version2)
{
	char folder[PATH_ROOM];
	size_t top = strlen(mount);
	unsigned least = 0;

	if ((size_t)snprintf(folder, sizeof(folder), "%s%s", mount, group) >=
	    sizeof(folder))
		return 0;
	for (;;) {
		unsigned n = granted_to(folder, version2);
		char *slash = strrchr(folder, '/');

		if (n != 0 && (least == 0 || n < least))
			least = n;
		if (slash == NULL || (size_t)(slash - folder) < top)
			return least;
		*slash = '\0';
	}
}

/* Is "cpu" in a list such as "cpu,cpuacct"? */
static bool lists_cpu(const char *controllers)
{
	const char *p = controllers;

	while (p != NULL) {
		size_t n = strcspn(p, ",");

		if (n == 3 && strncmp(p, "cpu", 3) == 0)
			return true;
		p = p[n] == ',' ? p + n + 1 : NULL;
	}
	return false;
}

/* One line of /proc/self/cgroup: "NUMBER:CONTROLLERS:GROUP". */
static unsigned granted_by_line(char *line, const char *mount)
{
	static const char *const version1[] = {"cpu", "cpu,cpuacct"};
	char *controllers = strchr(line, ':');
	char *end = controllers ? strchr(controllers + 1, ':') : NULL;
	char folder[PATH_ROOM];
	const char *group;
	unsigned n = 0;

	if (end == NULL)
		return 0;
	*end = '\0';
	group = end + 1;
	controllers++;
	if (strcmp(group, "/") == 0 || strstr(group, "/..") != NULL)
		group = "";
	if (*controllers == '\0')
		return granted_up_from(mount, group, true);
	if (!lists_cpu(controllers))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(version1) && n == 0; i++) {
		snprintf(folder, sizeof(folder), "%s/%s", mount, version1[i]);
		n = granted_up_from(folder, group, false);
	}
	return n;
}

unsigned system_cores_granted(const char *groups, const char *mount)
{
	unsigned least = 0;
	char line[PATH_ROOM];

	while (*groups != '\0') {
		size_t length = strcspn(groups, "\n");
		unsigned n = 0;

		if (length < sizeof(line)) {
			memcpy(line, groups, length);
			line[length] = '\0';
			n = granted_by_line(line, mount);
		}
		if (n != 0 && (least == 0 || n < least))
			least = n;
		groups += length + (groups[length] == '\n');
	}
	return least;
}

unsigned system_cores(void)
{
	unsigned allowed = cores_allowed();
	unsigned granted = 0;
	char groups[8192];

	if (allowed > 1 &&
	    system_read_text("/proc/self/cgroup", groups, sizeof(groups)) > 0)
		granted = system_cores_granted(groups, "/sys/fs/cgroup");
	VDO_ASSERT(allowed > 0);
	return granted != 0 ? MIN(granted, allowed) : allowed;
}

/* Descriptors. */

unsigned system_fds_take(void)
{
	unsigned taken = 0;

	for (int i = 0; i < SYSTEM_FD_FIRST; i++) {
		int fd;

		if (fcntl(i, F_GETFD) >= 0)
			continue;
		fd = open("/", O_PATH | O_CLOEXEC);
		if (fd >= SYSTEM_FD_FIRST)
			close(fd); /* somebody else was faster */
		else if (fd >= 0)
			taken |= 1u << fd;
	}
	VDO_ASSERT(taken < 1u << SYSTEM_FD_FIRST);
	return taken;
}

void system_fds_release(unsigned taken)
{
	int saved = errno;

	VDO_ASSERT(taken < 1u << SYSTEM_FD_FIRST);
	for (int i = 0; i < SYSTEM_FD_FIRST; i++) {
		if (taken & 1u << i)
			close(i);
	}
	errno = saved;
}

int system_fd_move(int fd)
{
	int moved, saved;

	if (fd < 0 || fd >= SYSTEM_FD_FIRST)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, SYSTEM_FD_FIRST);
	saved = errno;
	close(fd);
	errno = saved;
	VDO_ASSERT(moved < 0 || moved >= SYSTEM_FD_FIRST);
	return moved;
}

int system_open(const char *path, int flags, mode_t mode)
{
	unsigned taken = system_fds_take();
	int fd = system_fd_move(open(path, flags | O_CLOEXEC, mode));

	VDO_ASSERT(fd < 0 || fd >= SYSTEM_FD_FIRST);
	system_fds_release(taken);
	return fd;
}

int system_eventfd(int flags)
{
	unsigned taken = system_fds_take();
	int fd = system_fd_move(eventfd(0, flags | EFD_CLOEXEC));

	VDO_ASSERT(fd < 0 || fd >= SYSTEM_FD_FIRST);
	system_fds_release(taken);
	return fd;
}

int system_timerfd(void)
{
	unsigned taken = system_fds_take();
	int fd = system_fd_move(timerfd_create(CLOCK_MONOTONIC,
					       TFD_CLOEXEC | TFD_NONBLOCK));

	system_fds_release(taken);
	return fd;
}

int system_epoll(void)
{
	unsigned taken = system_fds_take();
	int fd = system_fd_move(epoll_create1(EPOLL_CLOEXEC));

	system_fds_release(taken);
	return fd;
}

int system_random(void *p, size_t n)
{
	VDO_ASSERT(p != NULL && n <= 256); /* comes whole */
	/* So few bytes come whole; a signal can end the wait at boot. */
	for (;;) {
		ssize_t got = getrandom(p, n, 0);

		if (got == (ssize_t)n)
			return 0;
		if (got >= 0 || errno != EINTR)
			return got >= 0 ? -EIO : -errno;
	}
}

int system_read_text(const char *path, char *text, size_t size)
{
	int fd = system_open(path, O_RDONLY | O_NOCTTY, 0);
	size_t done = 0;

	VDO_ASSERT(size > 1);
	if (fd < 0)
		return -1;
	while (done < size - 1) {
		ssize_t n = read(fd, text + done, size - 1 - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	text[done] = '\0';
	return (int)done;
}
