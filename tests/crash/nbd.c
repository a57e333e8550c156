/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As much of an NBD client as writers need: the fixed newstyle handshake with
 * the default export, and simple replies. All numbers are big-endian.
 */
#include "build.h"

#include "tests/crash/crash.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define IHAVEOPT      UINT64_C(0x49484156454f5054)
#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC   0x67446698u

static bool put(int fd, const void *from, size_t size)
{
	const char *p = from;

	while (size > 0) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		p += n;
		size -= (size_t)n;
	}
	return true;
}

static bool get(int fd, void *to, size_t size)
{
	return recv(fd, to, size, MSG_WAITALL) == (ssize_t)size;
}

/* Flags of the server, ours, and the option EXPORT_NAME with no name. */
static bool shake_hands(int fd, uint64_t *size)
{
	struct {
		char magic[8];
		uint64_t have;
	} hello;
	uint8_t option[4 + 16] = {0, 0, 0, 3};
	uint64_t have = htobe64(IHAVEOPT);
	uint16_t flags;

	if (!get(fd, &hello, sizeof(hello)) || !get(fd, &flags, 2) ||
	    memcmp(hello.magic, "NBDMAGIC", 8) != 0 || hello.have != have)
		return false;
	memcpy(option + 4, &have, 8);
	option[4 + 8 + 3] = 1;
	if (!put(fd, option, sizeof(option)) || !get(fd, size, 8) ||
	    !get(fd, &flags, 2))
		return false;
	*size = be64toh(*size);
	return true;
}

int nbd_connect(const char *path, uint64_t *size)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0 &&
	    shake_hands(fd, size))
		return fd;
	close(fd);
	return -1;
}

int nbd_request(int fd, enum nbd_command command, bool fua, uint64_t offset,
		uint32_t length, const void *data)
{
	uint8_t request[28] = {0}, reply[16];
	uint32_t magic = htobe32(REQUEST_MAGIC), size = htobe32(length), error;

	offset = htobe64(offset);
	memcpy(request, &magic, 4);
	request[5] = fua;
	request[7] = (uint8_t)command;
	memcpy(request + 16, &offset, 8);
	memcpy(request + 24, &size, 4);
	if (!put(fd, request, sizeof(request)) ||
	    (command == NBD_WRITE && !put(fd, data, length)) ||
	    !get(fd, reply, sizeof(reply)))
		return -1;
	memcpy(&magic, reply, 4);
	memcpy(&error, reply + 4, 4);
	return magic == htobe32(REPLY_MAGIC) ? (int)be32toh(error) : -1;
}
