/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread, one epoll: a pipe that somebody writes to, and a volume that has
 * no threads. Each line that comes through the pipe is stored in a block.
 *
 *	printf 'one\ntwo\n' | epoll
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <vdo/vdo.h>

#define BLOCK 4096
#define LINES 16 /* that are being stored at the same time */

struct line {
	int busy;
	_Alignas(BLOCK) char text[BLOCK];
};

static struct line lines[LINES];
static unsigned pending, stored, failed;

static int fail(const char *text)
{
	fprintf(stderr, "epoll: %s\n", text);
	return 1;
}

/* Inside of vdo_poll(). */
static void line_stored(void *arg, int result)
{
	struct line *line = arg;

	line->busy = 0;
	pending--;
	if (result == 0)
		stored++;
	else
		failed++;
}

static struct line *free_line(void)
{
	for (unsigned i = 0; i < LINES; i++)
		if (!lines[i].busy)
			return &lines[i];
	return NULL;
}

/* Read what there is, one line at a time; 0 at the end of the input. */
static int read_line(struct vdo_volume *volume)
{
	static unsigned number;
	struct line *line = free_line();
	size_t length = 0;
	int r;

	memset(line->text, 0, BLOCK);
	while (length < BLOCK - 1 &&
	       read(STDIN_FILENO, line->text + length, 1) == 1 &&
	       line->text[length] != '\n')
		length++;
	if (length == 0 && line->text[0] == '\0')
		return 0;
	r = vdo_aio_pwrite(volume, line->text, BLOCK,
			   (uint64_t)number++ % 1024 * BLOCK, line_stored,
			   line, 0);
	if (r != 0)
		failed++;
	else
		pending++;
	line->busy = r == 0;
	return 1;
}

static int watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Input is only looked at while there is room for a line. */
static int loop(struct vdo_volume *volume, int epoll)
{
	int input = STDIN_FILENO, listening = 1;

	while (listening || pending > 0) {
		struct epoll_event event;
		int wanted = input >= 0 && free_line() != NULL;

		if (wanted != listening &&
		    epoll_ctl(epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
			      STDIN_FILENO,
			      &(struct epoll_event){.events = EPOLLIN}) != 0)
			return -errno;
		listening = wanted;
		if (!listening && pending == 0)
			break;
		if (epoll_wait(epoll, &event, 1, -1) != 1) {
			if (errno != EINTR)
				return -errno;
			continue; /* a signal, or the kernel's own business */
		}
		if (event.data.fd != STDIN_FILENO)
			vdo_poll(volume, 0);
		else if (read_line(volume) == 0)
			input = -1;
	}
	return 0;
}

static int run(struct vdo_volume *volume)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int fd = vdo_volume_fd(volume);
	int r;

	if (fd < 0)
		return fd;
	if (epoll < 0 || watch(epoll, fd) != 0 ||
	    watch(epoll, STDIN_FILENO) != 0)
		return -errno;
	r = loop(volume, epoll);
	close(epoll);
	return r;
}

int main(void)
{
	struct vdo_config *config;
	struct vdo_device *device;
	struct vdo_volume *volume;
	struct vdo_error error;
	int r;

	if (vdo_config_new(&config) != 0 ||
	    vdo_device_open_memory(UINT64_C(64) << 20, &device) != 0)
		return fail("out of memory");
	if (vdo_config_set(config, "executor", "inline", &error) != 0 ||
	    vdo_format_device(device, config, &error) != 0 ||
	    vdo_open_device(device, config, &volume, &error) != 0)
		return fail(error.message);
	vdo_config_free(config);

	r = run(volume);
	if (r != 0)
		fail(vdo_strerror(r));
	printf("%u lines stored, %u failed\n", stored, failed);
	if (vdo_close(volume) != 0)
		r = -EIO;
	vdo_device_close(device);
	return r != 0 || failed != 0;
}
