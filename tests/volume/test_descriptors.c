/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host whose standard descriptors are closed, and that writes to them all the
 * same: none of what it writes ever reaches a volume.
 *
 * Each combination runs in a child of its own, which exits with the number of
 * the line that is wrong.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vdo/vdo.h>

#include "tests/lib/fixture.h"

#define B 4096u

#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x))                                                      \
			_exit(__LINE__ - FIRST_LINE);                          \
	} while (0)
#define FIRST_LINE 25

static const char *const options[] = {
	"executor=inline io-engine=auto",
	"executor=inline io-engine=threads direct=on",
	"executor=native threads=2 io-engine=auto direct=on",
	"executor=native threads=2 io-engine=threads",
	"executor=native threads=2 direct=writes",
};

static atomic_bool stop;
static atomic_uint reached; /* something that can be written to */
static unsigned closed;         /* bit i: descriptor i */

/* The host writes to descriptors that it closed. To the thread sanitizer that
 * alone would be a race, so this is a system call that it does not know. */
static void *write_on(void *arg)
{
	static const char text[] = "a message of the host\n";

	while (!atomic_load(&stop)) {
		for (int i = 0; i < 3; i++)
			if ((closed & 1u << i) &&
			    syscall(SYS_write, i, text, sizeof(text)) > 0)
				atomic_fetch_or(&reached, 1u << i);
		sched_yield();
	}
	return NULL;
}

static bool is_closed(void)
{
	unsigned found = 0;

	for (int i = 0; i < 3; i++)
		if (fcntl(i, F_GETFD) == -1)
			found |= 1u << i;
	return found == closed;
}

static void use_volume(const char *path, const struct vdo_config *c)
{
	struct vdo_volume *v;
	uint8_t in[B], out[B];

	CHECK(vdo_open(path, c, &v, NULL) == 0);
	CHECK(is_closed());
	pattern_fill(V_UNIQUE(1), in);
	CHECK(vdo_pwrite(v, in, B, 0, 0) == 0);
	CHECK(vdo_flush(v, 0) == 0);
	CHECK(vdo_pread(v, out, B, 0, 0) == 0);
	CHECK(memcmp(in, out, B) == 0);
	CHECK(is_closed());
	CHECK(vdo_close(v) == 0);
	CHECK(is_closed());
}

static void use_device(const char *path)
{
	struct vdo_device *d;
	struct vdo_cq *cq;

	CHECK(vdo_device_open(path, VDO_OPEN_READ_ONLY, &d, NULL) == 0);
	CHECK(vdo_cq_new(&cq) == 0);
	CHECK(is_closed());
	CHECK(vdo_cq_fd(cq) > 2);
	vdo_cq_free(cq);
	vdo_device_close(d);
}

static void rebuild_index(const char *path, const struct vdo_config *c)
{
	struct vdo_job *job;

	CHECK(vdo_index_rebuild(path, c, &job, NULL) == 0);
	CHECK(is_closed());
	CHECK(vdo_job_wait(job, -1, NULL) == 0);
	vdo_job_free(job);
}

static void host(const char *path, const char *how)
{
	struct vdo_config *c = fixture_config("size=64M force=on");
	struct vdo_config *o = fixture_config(how);
	struct vdo_info info;
	pthread_t t;

	for (int i = 0; i < 3; i++)
		if (closed & 1u << i)
			close(i);
	CHECK(pthread_create(&t, NULL, write_on, NULL) == 0);
	CHECK(vdo_format(path, c, NULL) == 0);
	CHECK(is_closed());
	for (unsigned i = 0; i < 3; i++)
		use_volume(path, o);
	use_device(path);
	rebuild_index(path, o);
	CHECK(vdo_inspect(path, &info, sizeof(info), NULL) == 0);
	CHECK(strcmp(info.state_name, "clean") == 0);
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	CHECK(atomic_load(&reached) == 0);
	vdo_config_free(c);
	vdo_config_free(o);
	_exit(0);
}

START_TEST(test_closed)
{
	char path[] = "/tmp/libvdo-test-XXXXXX";
	int fd = mkstemp(path);
	int status;
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	closed = (unsigned)_i % 8;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		host(path, options[_i / 8]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	unlink(path);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("descriptors");

	tcase_add_loop_test(tc, test_closed, 0, 8 * ARRAY_SIZE(options));
	return unit_run();
}
