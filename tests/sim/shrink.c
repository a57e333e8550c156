/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking for a shorter run that fails, too: fewer cycles, then fewer
 * operations in each. Other limits make another run of the same seed, so what
 * fails may be something else; the command that is printed fails for certain.
 */
#include "build.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

#define TRIES 60

static bool fails(uint64_t seed, const struct limits *l)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		dup2(null, STDOUT_FILENO);
		run_all(seed, l, false);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void print(uint64_t seed, const struct limits *l)
{
	printf("SEED=%" PRIu64, seed);
	if (l->cycles != 0)
		printf(" CYCLES=%" PRIu64, l->cycles);
	if (l->ops != 0)
		printf(" OPS=%" PRIu64, l->ops);
	printf(" tests/sim/sim\n");
}

/* Make *@limit smaller while it fails: by halves, then by less and less. */
static void reduce(uint64_t seed, struct limits *l, uint64_t *limit,
		   uint64_t most)
{
	uint64_t was = *limit, high = was == 0 ? most : was;
	uint64_t step = high / 2;

	for (unsigned n = 0; step > 0 && n < TRIES; n++) {
		*limit = high - step;
		if (*limit > 0 && fails(seed, l)) {
			high = was = *limit;
			print(seed, l);
		} else {
			step /= 2;
		}
		step = MIN(step, high - 1);
	}
	*limit = was;
}

int shrink(uint64_t seed, const struct limits *limits)
{
	struct limits l = *limits;

	if (!fails(seed, &l)) {
		fprintf(stderr, "sim: SEED=%" PRIu64 " does not fail\n", seed);
		return 1;
	}
	reduce(seed, &l, &l.cycles, 16);
	reduce(seed, &l, &l.ops, 2048);
	printf("the shortest that was found:\n");
	print(seed, &l);
	return 0;
}
