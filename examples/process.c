/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals. A handler makes a note and writes a byte into a pipe; who waits for
 * input or output waits for the pipe as well. So there is no moment in which a
 * signal is seen by nobody.
 *
 * The library blocks all signals in its own threads.
 */
#define _GNU_SOURCE /* pipe2(), O_PATH */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

void process_begin(void)
{
	for (int i = 0; i < 3; i++) {
		int fd;

		if (fcntl(i, F_GETFD) != -1 || errno != EBADF)
			continue;
		/* the lowest number that is free is i */
		fd = open("/dev/null", i == 0 ? O_WRONLY : O_RDONLY);
		if (fd < 0)
			fd = open("/", O_PATH);
		if (fd != i)
			_exit(EXIT_FAILURE); /* there is no way to say so */
	}
}

/*
 * All signals whose default action is to end the process, in the order of
 * signal(7), but for SIGKILL, which nobody can catch, and the real-time signals,
 * which are ENDS. (The C library keeps two of those for itself.)
 */
static const struct {
	int number;
	enum {
		ENDS,  /* a wish that the program ends */
		ASKED, /* the same, also if it was ignored: shells have jobs in
			* the background ignore SIGINT, but who sends it to one
			* means it */
		WRITE, /* tells of a write that fails: the write does, too */
		FAULT, /* ENDS if another process sends it; from our own it means
			* that the memory cannot be trusted, and ends us */
	} kind;
} signals[] = {
	{SIGABRT, FAULT}, {SIGALRM, ENDS},   {SIGBUS, FAULT},
	{SIGFPE, FAULT},  {SIGHUP, ENDS},    {SIGILL, FAULT},
	{SIGINT, ASKED},  {SIGIO, ENDS},     {SIGPIPE, WRITE},
	{SIGPROF, ENDS},  {SIGQUIT, ENDS},   {SIGSEGV, FAULT},
	{SIGSYS, FAULT},  {SIGTERM, ASKED},   {SIGTRAP, FAULT},
	{SIGUSR1, ENDS},  {SIGUSR2, ENDS},   {SIGVTALRM, ENDS},
	{SIGXCPU, ENDS},  {SIGXFSZ, WRITE},
#ifdef SIGPWR
	{SIGPWR, ENDS},
#endif
#ifdef SIGSTKFLT
	{SIGSTKFLT, ENDS},
#endif
#ifdef SIGEMT
	{SIGEMT, FAULT},
#endif
};

static atomic_int interrupts;

/* Readable from the first signal on. -1: none; poll() leaves those out. */
static int wake_read = -1, wake_write = -1;

/* What becomes of a signal instead, if not 0. */
static int passed_on;

/* On the second try somebody wonders why nothing happens. */
static void say_wait(void)
{
	static const char text[] = "\nclosing the volume, please wait; "
				   "after SIGKILL it needs recovery\n";
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (isatty(STDERR_FILENO) && poll(&p, 1, 0) == 1 &&
	    write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return; /* then not */
}

static void on_interrupt(int number)
{
	int saved = errno;
	int before = atomic_load(&interrupts);

	if (passed_on != 0) {
		kill(getpid(), passed_on);
		errno = saved;
		return;
	}
	if (before < 2)
		atomic_fetch_add(&interrupts, 1);
	if (wake_write >= 0 && write(wake_write, "", 1) < 0)
		errno = saved; /* it is full, and so readable */
	if (before == 1 && number == SIGINT)
		say_wait();
	errno = saved;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	if (info->si_code <= 0 && info->si_pid != getpid()) {
		on_interrupt(number);
		return;
	}
	signal(number, SIG_DFL);
	raise(number); /* when this handler has returned */
}

/* Whoever has a handler for @number already (a profiler, a sanitizer) keeps
 * it, and what is ignored stays so. */
static void catch(int number, int kind)
{
	struct sigaction now, action = {.sa_flags = 0};

	if (sigaction(number, NULL, &now) != 0 ||
	    (now.sa_handler != SIG_DFL &&
	     (now.sa_handler != SIG_IGN || kind != ASKED)))
		return;
	sigfillset(&action.sa_mask);
	if (kind == FAULT) {
		action.sa_flags = SA_SIGINFO;
		action.sa_sigaction = on_fault;
	} else {
		action.sa_handler = kind == WRITE ? SIG_IGN : on_interrupt;
	}
	sigaction(number, &action, NULL);
}

static void catch_all(void)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		catch(signals[i].number, signals[i].kind);
	for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
		catch(number, ENDS);
}

void catch_interrupts(void)
{
	int fds[2];

	if (wake_read < 0 && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
		wake_read = fds[0];
		wake_write = fds[1];
	}
	catch_all();
}

void pass_interrupts_on(int number)
{
	passed_on = number;
	catch_all();
}

bool interrupted(void)
{
	return atomic_load(&interrupts) != 0;
}

static bool wait_for(int fd, short what)
{
	struct pollfd p[2] = {
		{.fd = fd, .events = what},
		{.fd = wake_read, .events = POLLIN},
	};

	while (!interrupted()) {
		if (poll(p, 2, -1) < 0 && errno != EINTR && errno != EAGAIN)
			return true; /* reading or writing will say why */
		if (p[0].revents != 0)
			return !interrupted();
	}
	return false;
}

bool wait_to_read(int fd)
{
	return wait_for(fd, POLLIN);
}

bool wait_to_write(int fd)
{
	return wait_for(fd, POLLOUT);
}
