/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crash-writer: write to a volume, be killed, recover, compare; many times.
 *
 * A round: a writer runs until the parent has read some number of its records,
 * and is killed. Some rounds then kill whoever opens the volume, too, while it
 * recovers or soon after. Last, the parent opens the volume, compares all
 * places, and closes it, or abandons it, so that the next one finds it dirty.
 * Number of records, options and writes come from the seed; when the kill
 * arrives is up to the machine.
 */
#include "build.h"

#include "tests/crash/crash.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/kernel/blocks.h"

#define BUSY_SECONDS 120

static const char usage[] =
	"Usage: crash-writer [OPTION]... VOLUME\n"
	"  --seed N      of everything that is chosen (1)\n"
	"  --kills N     rounds (10)\n"
	"  --seconds N   no more rounds after that time\n"
	"  --nbd PLUGIN  through nbdkit, which is killed\n"
	"  --check PROG  run \"PROG check VOLUME\" where nothing has it open\n"
	"  --wait        only wait until nobody has VOLUME open\n"
	"  --plant       lose a block that was flushed: it must be noticed\n"
	"  --verbose     the log of the volumes\n"
	"VOLUME, a file or a block device, is formatted.\n";

static struct {
	const char *path, *plugin, *check;
	uint64_t seed, kills, seconds;
	bool verbose, plant, wait;
	uint64_t killed; /* processes */
} the = {.seed = 1, .kills = 10};

static void fail(const char *what)
{
	fprintf(stderr, "%s, after %" PRIu64 " kills\n", what, the.killed);
	fprintf(stderr, "again: crash-writer --seed %" PRIu64 " --kills %" PRIu64
		"%s%s%s%s %s\n", the.seed, the.kills,
		the.plugin != NULL ? " --nbd " : "",
		the.plugin != NULL ? the.plugin : "",
		the.check != NULL ? " --check " : "",
		the.check != NULL ? the.check : "", the.path);
	exit(1);
}

static void log_line(void *arg, enum vdo_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", line);
}

/*
 * Options
 */

struct choice {
	const char *name, *values[6];
};

static const struct choice of_format[] = {
	{"slab-bits", {"9", "10", "13"}},
	{"journal-blocks", {"16", "64", "512"}},
	{"slab-journal-blocks", {"8", "32", "224"}},
	{"index-memory", {"none", "none", "2M"}},
};

static const struct choice of_open[] = {
	{"executor", {"native", "native", "inline"}},
	{"topology", {"shard", "classic"}},
	{"threads", {"1", "2", "4"}},
	{"logical-zones", {"1", "2", "5"}},
	{"physical-zones", {"1", "2", "3"}},
	{"hash-zones", {"1", "2", "3"}},
	{"cache", {"1M", "4M", "auto"}},
	{"era", {"auto", "1", "16"}},
	{"io-engine", {"auto", "threads"}},
	{"direct", {"off", "on", "writes"}},
	{"deduplication", {"on", "on", "on", "off"}},
	{"compression", {"on", "on", "off"}},
};

static const char *pick(const struct choice *c, uint64_t *random)
{
	unsigned n = 0;

	while (n < 6 && c->values[n] != NULL)
		n++;
	return c->values[splitmix64(random) % n];
}

static void set(struct vdo_config *config, const char *name, const char *value)
{
	struct vdo_error error;

	if (vdo_config_set(config, name, value, &error) != 0)
		fail(error.message);
}

static struct vdo_config *new_config(void)
{
	struct vdo_config *config;

	if (vdo_config_new(&config) != 0)
		abort();
	if (the.verbose)
		vdo_config_set_log(config, log_line, NULL);
	return config;
}

static struct vdo_config *open_config(uint64_t *random)
{
	struct vdo_config *config = new_config();
	const char *value;

	for (unsigned i = 0; i < sizeof(of_open) / sizeof(of_open[0]); i++) {
		value = pick(&of_open[i], random);
		set(config, of_open[i].name, value);
		if (strcmp(value, "inline") == 0)
			break;
	}
	return config;
}

static void format(uint64_t *random)
{
	struct vdo_config *config = new_config();
	struct vdo_error error;
	struct stat st;
	const char *value;

	for (unsigned i = 0; i < sizeof(of_format) / sizeof(of_format[0]);
	     i++) {
		value = pick(&of_format[i], random);
		set(config, of_format[i].name, value);
		printf(" %s=%s", of_format[i].name, value);
	}
	printf("\n");
	if (stat(the.path, &st) != 0 || S_ISREG(st.st_mode))
		set(config, "size", "300M");
	set(config, "profile", "small");
	set(config, "logical-size", "20G");
	set(config, "force", "on");
	if (vdo_format(the.path, config, &error) != 0)
		fail(error.message);
	vdo_config_free(config);
}

/*
 * Processes
 */

/*
 * Storage of a process that was killed is in use until the system has taken
 * back all that belongs to it, which io_uring puts off.
 */
static void wait_for_nobody(void)
{
	time_t end = time(NULL) + BUSY_SECONDS;
	struct vdo_device *device;
	struct vdo_error error;
	int r;

	while ((r = vdo_device_open(the.path, 0, &device, &error)) ==
		       -VDO_EINUSE && time(NULL) < end)
		sched_yield();
	if (r != 0)
		fail(error.message);
	vdo_device_close(device);
}

static int open_volume(const struct vdo_config *config,
		       struct vdo_volume **volume)
{
	struct vdo_error error;
	int r = vdo_open(the.path, config, volume, &error);

	if (r != 0)
		fprintf(stderr, "%s: %s: %s\n", the.path, vdo_error_name(r),
			error.message);
	return r;
}

static void linger(uint64_t yields)
{
	while (yields-- > 0)
		sched_yield();
}

static void kill_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	the.killed++;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("who was to be killed had ended before");
	wait_for_nobody();
}

static pid_t fork_child(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fail("fork");
	return pid;
}

/* A server that takes connections at once: systemd's protocol. */
static pid_t start_server(const char *socket_path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char self[16];
	pid_t pid;
	int fd;

	unlink(socket_path);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0 ||
	    listen(fd, WORKERS) != 0)
		fail(socket_path);
	pid = fork_child();
	if (pid == 0) {
		if (fd != 3)
			dup2(fd, 3);
		snprintf(self, sizeof(self), "%ld", (long)getpid());
		setenv("LISTEN_PID", self, 1);
		setenv("LISTEN_FDS", "1", 1);
		execlp("nbdkit", "nbdkit", "-f", the.plugin, the.path, NULL);
		_exit(127);
	}
	close(fd);
	return pid;
}

/* Records until there are @limit, or no more; false: no more. */
static bool read_records(int fd, uint64_t limit)
{
	struct record r;
	ssize_t n;

	for (uint64_t i = 0; i < limit; i++) {
		n = read(fd, &r, sizeof(r));
		if (n == 0)
			return false;
		if (n != sizeof(r))
			fail("a broken record");
		model_add(&r);
	}
	return true;
}

static void kill_writer(uint64_t *random, const char *socket_path)
{
	uint64_t seed = splitmix64(random), n = splitmix64(random);
	/* Short ones are as likely as long ones. */
	uint64_t records = (n >> 8) % (UINT64_C(2) << n % 13);
	struct vdo_config *config = open_config(random);
	pid_t server = 0, writer;
	int pipes[2];

	if (pipe(pipes) != 0)
		fail("pipe");
	if (the.plugin != NULL)
		server = start_server(socket_path);
	writer = fork_child();
	if (writer == 0) {
		close(pipes[0]);
		_exit(the.plugin != NULL ?
			work_nbd(socket_path, seed, pipes[1]) :
			work_volume(the.path, config, seed, pipes[1]));
	}
	close(pipes[1]);
	if (!read_records(pipes[0], records))
		fail("the writer stopped by itself");
	if (records == 0)
		linger((n >> 32) % 3000);
	if (server == 0) {
		kill_child(writer);
	} else {
		kill_child(server);
		waitpid(writer, NULL, 0);
	}
	read_records(pipes[0], UINT64_MAX);
	close(pipes[0]);
	vdo_config_free(config);
	model_crashed();
}

/* Kill whoever recovers. */
static void kill_opener(uint64_t *random)
{
	struct vdo_config *config = open_config(random);
	uint64_t n = splitmix64(random);
	struct vdo_volume *volume;
	pid_t pid = fork_child();

	if (pid == 0) {
		if (open_volume(config, &volume) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	linger(n % (UINT64_C(1) << (n >> 32) % 14));
	kill_child(pid);
	vdo_config_free(config);
}

static void check(void)
{
	pid_t pid;
	int status;

	if (the.check == NULL)
		return;
	pid = fork_child();
	if (pid == 0) {
		execlp(the.check, the.check, "check", the.path, NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		fail("the check finds fault");
}

/* A block that nobody wrote. */
static void plant(struct vdo_volume *volume, uint64_t *random)
{
	static const char lost[BLOCK] = "lost";
	uint64_t at = place_offset(vdo_volume_size(volume),
				   splitmix64(random) % PLACES);

	if (vdo_pwrite(volume, lost, BLOCK, at, 0) != 0)
		fail("a block cannot be written");
}

static void verify(uint64_t *random)
{
	struct vdo_config *config = open_config(random);
	struct vdo_volume *volume;

	if (open_volume(config, &volume) != 0)
		fail("the volume does not open");
	if (the.plant)
		plant(volume, random);
	if (model_verify(volume) != 0)
		fail("blocks are wrong");
	if (splitmix64(random) % 2 == 0)
		vdo_abandon(volume);
	else if (vdo_close(volume) != 0)
		fail("the volume does not close");
	vdo_config_free(config);
}

static void run_round(uint64_t *random, const char *socket_path)
{
	kill_writer(random, socket_path);
	while (splitmix64(random) % 3 == 0)
		kill_opener(random);
	if (splitmix64(random) % 4 == 0)
		check();
	verify(random);
	check();
}

/*
 * Command line
 */

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		uint64_t n = next != NULL ? strtoull(next, NULL, 0) : 0;

		if (strcmp(argv[i], "--verbose") == 0)
			the.verbose = true;
		else if (strcmp(argv[i], "--wait") == 0)
			the.wait = true;
		else if (strcmp(argv[i], "--plant") == 0)
			the.plant = true;
		else if (argv[i][0] != '-' && the.path == NULL)
			the.path = argv[i];
		else if (next == NULL)
			the.path = NULL, i = argc;
		else if (strcmp(argv[i], "--seed") == 0)
			the.seed = n, i++;
		else if (strcmp(argv[i], "--kills") == 0)
			the.kills = n, i++;
		else if (strcmp(argv[i], "--seconds") == 0)
			the.seconds = n, i++;
		else if (strcmp(argv[i], "--nbd") == 0)
			the.plugin = next, i++;
		else if (strcmp(argv[i], "--check") == 0)
			the.check = next, i++;
		else
			the.path = NULL, i = argc;
	}
	if (the.path == NULL) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	time_t begin = time(NULL);
	uint64_t random, round = 0;
	char socket_path[64];

	parse(argc, argv);
	if (the.wait) {
		wait_for_nobody();
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	random = the.seed;
	printf("crash-writer: seed %" PRIu64 ",", the.seed);
	format(&random);
	model_init();
	snprintf(socket_path, sizeof(socket_path), "/tmp/vdo-crash-%ld",
		 (long)getpid());
	while (round < the.kills &&
	       (the.seconds == 0 ||
		time(NULL) - begin < (time_t)the.seconds)) {
		run_round(&random, socket_path);
		round++;
	}
	unlink(socket_path);
	printf("crash-writer: %" PRIu64 " rounds, %" PRIu64
	       " processes killed, %u places sound after each\n", round,
	       the.killed, PLACES);
	return 0;
}
