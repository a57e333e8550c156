/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs that write, and the signals that end a process: whatever comes,
 * and however often, the volume is closed.
 *
 * A program runs in a child with all signals at their defaults. The signal is
 * sent when the volume was written to, which is seen by its time; so it comes
 * while it is open, and marked as being in use.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vdo/vdo.h>

#include "tests/lib/fixture.h"

static char dir[64], volume[96], source[96], device[112];

/* Each goes on until it is told to end, or for much longer than that takes. */
static const struct program {
	const char *name, *path;
	const char *input;
	const char *arguments[8];
} programs[] = {
	{"write", "examples/vdoctl/vdoctl", "/dev/urandom",
	 {"write", volume}},
	{"dedup-copy", "examples/dedup-copy/dedup-copy", "/dev/null",
	 {"--json", source, volume}},
	{"bench", "tests/bench/vdo-bench", "/dev/null",
	 {device, "--rw=randwrite", "--size=16M", "--ops=100000000",
	  "--no-limit"}},
};

#define PROGRAMS ((int)ARRAY_SIZE(programs))

/* All that end a process by default; SIGKILL is left out. */
static const int ending[] = {
	SIGHUP,	 SIGINT,    SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
	SIGFPE,	 SIGUSR1,   SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM,
	SIGXCPU, SIGVTALRM, SIGPROF, SIGIO,   SIGSYS,  SIGXFSZ,
#ifdef SIGSTKFLT
	SIGSTKFLT,
#endif
#ifdef SIGPWR
	SIGPWR,
#endif
};

static void make_source(void)
{
	char *data = malloc(1 << 20);
	FILE *f = fopen(source, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(data);
	for (unsigned i = 0; i < 96; i++) {
		for (unsigned k = 0; k < 1 << 20; k += 4096)
			pattern_fill(V_UNIQUE(i * 256 + k / 4096),
				     (uint8_t *)data + k);
		ck_assert_uint_eq(fwrite(data, 1, 1 << 20, f), 1 << 20);
	}
	ck_assert_int_eq(fclose(f), 0);
	free(data);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/vdo-signals-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(volume, sizeof(volume), "%s/v", dir);
	snprintf(source, sizeof(source), "%s/s", dir);
	snprintf(device, sizeof(device), "--device=%s", volume);
	make_source();
}

static void tear_down(void)
{
	unlink(volume);
	unlink(source);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* @ignored is a signal that the program is started without, or 0. */
static void run_program(const struct program *p, int ignored, int out)
{
	const char *top = getenv("top_builddir");
	char path[512], *argv[10] = {path};
	int null = open("/dev/null", O_RDWR);

	snprintf(path, sizeof(path), "%s/%s", top != NULL ? top : ".", p->path);
	for (int i = 0; i < 8; i++)
		argv[i + 1] = (char *)p->arguments[i];
	for (int n = 1; n <= SIGRTMAX; n++)
		signal(n, n == ignored ? SIG_IGN : SIG_DFL);
	dup2(open(p->input, O_RDONLY), 0);
	dup2(out < 0 ? null : out, 1);
	dup2(out < 0 ? null : out, 2);
	execv(path, argv);
	_exit(99);
}

static time_t written_at(void)
{
	struct stat st;

	return stat(volume, &st) == 0 ? st.st_mtime : 0;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid == pid;
}

/* Begin; the volume is open for writing when this returns. */
static pid_t begin(const struct program *p, int ignored, int out)
{
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};
	struct vdo_config *c = fixture_config("size=1G force=on");
	struct vdo_error error = {0};
	pid_t pid;

	ck_assert_msg(vdo_format(volume, c, &error) == 0, "%s", error.message);
	vdo_config_free(c);
	ck_assert_int_eq(utimensat(AT_FDCWD, volume, old, 0), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		run_program(p, ignored, out);
	/* vdo-bench makes a volume, closes it and opens it: all the same */
	while (written_at() == 1000 && !has_ended(pid))
		sched_yield();
	return pid;
}

/* It ended by itself, and closed the volume. Returns its exit code. */
static int end(const struct program *p, pid_t pid, const char *what)
{
	struct vdo_error error = {0};
	struct vdo_info info;
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "%s, %s: ended by signal %d", p->name,
		      what, WTERMSIG(status));
	ck_assert_msg(vdo_inspect(volume, &info, sizeof(info), &error) == 0,
		      "%s, %s: %s", p->name, what, error.message);
	ck_assert_msg(strcmp(info.state_name, "clean") == 0 ||
			      strcmp(info.state_name, "new") == 0,
		      "%s, %s: the volume is %s", p->name, what,
		      info.state_name);
	return WEXITSTATUS(status);
}

static void send_and_check(const struct program *p, int first, int second)
{
	pid_t pid = begin(p, 0, -1);
	char what[64];

	snprintf(what, sizeof(what), "signals %d, %d", first, second);
	ck_assert_int_eq(kill(pid, first), 0);
	if (second != 0)
		ck_assert_int_eq(kill(pid, second), 0);
	/* Those tell of a failed write; none has failed. */
	if (second == 0 && (first == SIGPIPE || first == SIGXFSZ))
		ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_ne(end(p, pid, what), 0);
}

/* The thread sanitizer acts on these at once, wherever a program blocks them, so
 * there the volume stays open. */
static bool is_synchronous(int signal)
{
	return signal == SIGBUS || signal == SIGFPE || signal == SIGSEGV;
}

START_TEST(test_each)
{
	if (UNIT_THREAD_SANITIZED && is_synchronous(ending[_i]))
		return;
	for (int i = 0; i < PROGRAMS; i++)
		send_and_check(&programs[i], ending[_i], 0);
}
END_TEST

START_TEST(test_real_time)
{
	send_and_check(&programs[_i], SIGRTMIN, 0);
	send_and_check(&programs[_i], SIGRTMIN + 7, SIGRTMAX);
}
END_TEST

START_TEST(test_twice)
{
	static const int pairs[][2] = {
		{SIGINT, SIGINT},   {SIGTERM, SIGTERM}, {SIGHUP, SIGTERM},
		{SIGQUIT, SIGQUIT}, {SIGINT, SIGABRT},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++)
		send_and_check(&programs[_i], pairs[i][0], pairs[i][1]);
}
END_TEST

/* As under nohup(1). */
START_TEST(test_ignored_stays_ignored)
{
	const struct program *p = &programs[_i];
	pid_t pid = begin(p, SIGHUP, -1);
	char path[64], line[256];
	unsigned long long ignored = 0, caught = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		sscanf(line, "SigIgn: %llx", &ignored);
		sscanf(line, "SigCgt: %llx", &caught);
	}
	fclose(f);
	ck_assert(ignored & 1ull << (SIGHUP - 1));
	ck_assert(!(caught & 1ull << (SIGHUP - 1)));
	ck_assert(caught & 1ull << (SIGTERM - 1));
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	end(p, pid, "nohup");
}
END_TEST

/* What cannot be printed is lost, not the volume. */
START_TEST(test_nobody_listens)
{
	const struct program *p = &programs[_i];
	int pipes[2];
	pid_t pid;

	ck_assert_int_eq(pipe(pipes), 0);
	close(pipes[0]);
	pid = begin(p, 0, pipes[1]);
	close(pipes[1]);
	ck_assert_int_eq(kill(pid, SIGINT), 0);
	ck_assert_int_ne(end(p, pid, "nobody listens"), 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("signals");

	/* These signals are the programs' here, not the sanitizer's. */
	setenv("ASAN_OPTIONS", "handle_segv=0:handle_sigbus=0:handle_sigfpe=0",
	       0);
	tcase_set_timeout(tc, 300);
	tcase_add_unchecked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, test_each, 0, ARRAY_SIZE(ending));
	tcase_add_loop_test(tc, test_real_time, 0, PROGRAMS);
	tcase_add_loop_test(tc, test_twice, 0, PROGRAMS);
	tcase_add_loop_test(tc, test_ignored_stays_ignored, 0, PROGRAMS);
	tcase_add_loop_test(tc, test_nobody_listens, 0, PROGRAMS);
	return unit_run();
}
