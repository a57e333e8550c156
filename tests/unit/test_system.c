/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the system is asked for: threads without signals, cores, descriptors.
 */
#include "build.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/system.h"

/* Threads. */

static void *look(void *arg)
{
	sigset_t *blocked = arg;

	pthread_sigmask(SIG_SETMASK, NULL, blocked);
	return NULL;
}

START_TEST(threads_get_no_signals)
{
	sigset_t blocked, before, after;
	pthread_t t;

	sigemptyset(&blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ck_assert_int_eq(system_thread_start(&t, "a-name-that-is-too-long",
					     look, &blocked),
			 0);
	pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int n = 1; n <= SIGRTMAX; n++) {
		/* The C library keeps two for itself. */
		bool ours = n < 32 || n >= SIGRTMIN;

		if (n != SIGKILL && n != SIGSTOP && ours)
			ck_assert_int_eq(sigismember(&blocked, n), 1);
		ck_assert_int_eq(sigismember(&before, n),
				 sigismember(&after, n));
	}
}
END_TEST

/* Cores. */

START_TEST(cores_follow_affinity)
{
	cpu_set_t all, one;
	int first = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	ck_assert_uint_ge(system_cores(), 1);
	ck_assert_uint_le(system_cores(), (unsigned)CPU_COUNT(&all));
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(system_cores(), 1);
}
END_TEST

/* A folder of control groups, and what is granted to a process in one. */
struct file {
	const char *path, *text;
};

static const struct {
	const char *name, *groups;
	struct file files[4];
	unsigned want;
} grants[] = {
	{"nothing", "", {{NULL, NULL}}, 0},
	{"no file", "0::/\n", {{NULL, NULL}}, 0},
	{"no limit", "0::/\n", {{"cpu.max", "max 100000\n"}}, 0},
	{"two", "0::/\n", {{"cpu.max", "200000 100000\n"}}, 2},
	{"rounded up", "0::/\n", {{"cpu.max", "150000 100000\n"}}, 2},
	{"a part of one", "0::/\n", {{"cpu.max", "1000 100000\n"}}, 1},
	{"a group", "0::/a\n", {{"a/cpu.max", "300000 100000\n"}}, 3},
	{"its parent has less",
	 "0::/a/b\n",
	 {{"a/b/cpu.max", "400000 100000\n"}, {"a/cpu.max", "300000 100000\n"}},
	 3},
	{"its parent has no limit",
	 "0::/a/b\n",
	 {{"a/b/cpu.max", "400000 100000\n"}, {"a/cpu.max", "max 100000\n"}},
	 4},
	{"a group that is not here",
	 "0::/../../x\n",
	 {{"cpu.max", "500000 100000\n"}},
	 5},
	{"nonsense", "0::/\n", {{"cpu.max", "hello\n"}}, 0},
	{"a period of 0", "0::/\n", {{"cpu.max", "5 0\n"}}, 0},
	{"negative", "0::/\n", {{"cpu.max", "-5 100\n"}}, 0},
	{"huge", "0::/\n", {{"cpu.max", "9223372036854775807 1\n"}}, 0},
	{"lines that say nothing", "x\n1\n2:\n::\n\n0::/\n",
	 {{"cpu.max", "200000 100000"}}, 2},
	{"version 1",
	 "4:memory:/a\n3:cpu,cpuacct:/a\n",
	 {{"cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n"},
	  {"cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
	 3},
	{"version 1, cpu alone",
	 "3:cpu:/\n2:cpuset:/x\n",
	 {{"cpu/cpu.cfs_quota_us", "100000\n"},
	  {"cpu/cpu.cfs_period_us", "100000\n"}},
	 1},
	{"version 1, no limit",
	 "3:cpu:/\n",
	 {{"cpu/cpu.cfs_quota_us", "-1\n"},
	  {"cpu/cpu.cfs_period_us", "100000\n"}},
	 0},
	{"version 1, no period",
	 "3:cpu:/\n",
	 {{"cpu/cpu.cfs_quota_us", "100000\n"}},
	 0},
};

static void put_file(const char *dir, const struct file *f)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, f->path);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(f->text, out);
	fclose(out);
}

START_TEST(cores_granted)
{
	char dir[] = "/tmp/vdo-system-XXXXXX", command[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (unsigned i = 0; i < 4 && grants[_i].files[i].path != NULL; i++)
		put_file(dir, &grants[_i].files[i]);
	ck_assert_msg(system_cores_granted(grants[_i].groups, dir) ==
			      grants[_i].want,
		      "%s", grants[_i].name);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Descriptors. */

/* In a child whose standard descriptors in @mask are closed: exits with the
 * number of the line that is wrong, which is no more than 255. */
#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x))                                                      \
			_exit(__LINE__ - first_line);                          \
	} while (0)

/* Bit i is set: descriptor i is closed. */
static unsigned closed(void)
{
	unsigned mask = 0;

	for (int i = 0; i < 3; i++)
		if (fcntl(i, F_GETFD) == -1)
			mask |= 1u << i;
	return mask;
}

static void open_all(unsigned mask)
{
	const int first_line = __LINE__;
	unsigned taken;
	char text[8];
	int fd[3];

	for (int i = 0; i < 3; i++)
		if (mask & 1u << i)
			close(i);
	fd[0] = system_open("/dev/null", O_RDWR, 0);
	fd[1] = system_eventfd(0);
	CHECK(fd[0] >= 3 && fd[1] >= 3 && fd[0] != fd[1]);
	for (int i = 0; i < 2; i++)
		CHECK(fcntl(fd[i], F_GETFD) == FD_CLOEXEC);
	CHECK(system_read_text("/proc/self/stat", text, sizeof(text)) == 7);
	CHECK(system_open("/no/such/file", O_RDONLY, 0) < 0 && errno == ENOENT);
	taken = system_fds_take();
	CHECK(taken == mask);
	for (int i = 0; i < 3; i++)
		if (mask & 1u << i)
			CHECK(write(i, "x", 1) < 0 && errno == EBADF &&
			      read(i, text, 1) < 0 && errno == EBADF);
	system_fds_release(taken);
	CHECK(closed() == mask);
	/* And if it happened all the same. */
	fd[2] = dup(fd[0]);
	CHECK((fd[2] < 3) == (mask != 0));
	fd[2] = system_fd_move(fd[2]);
	CHECK(fd[2] >= 3);
	CHECK(closed() == mask);
	_exit(0);
}

START_TEST(random_bytes_differ)
{
	uint8_t a[16] = {0}, b[16] = {0};

	ck_assert_int_eq(system_random(a, sizeof(a)), 0);
	ck_assert_int_eq(system_random(b, sizeof(b)), 0);
	ck_assert_int_ne(memcmp(a, b, sizeof(a)), 0);
}
END_TEST

START_TEST(descriptors_are_high)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		open_all((unsigned)_i);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("system");

	tcase_add_test(tc, random_bytes_differ);
	tcase_add_test(tc, threads_get_no_signals);
	tcase_add_test(tc, cores_follow_affinity);
	tcase_add_loop_test(tc, cores_granted, 0, ARRAY_SIZE(grants));
	tcase_add_loop_test(tc, descriptors_are_high, 0, 8);
	return unit_run();
}
