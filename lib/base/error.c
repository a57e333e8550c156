/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of results: our own codes from VDO_ERRORS and, after them, the
 * errnos that the system calls of the library can return. strerror() is not
 * used: its text depends on the locale and, in old C libraries, on other
 * threads.
 */
#include "build.h"

#include "base/error.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/text.h"

struct result {
	int code; /* positive */
	const char *name;
	const char *text;
};

static const struct result results[] = {
	{0, "OK", "success"},
#define X(code, name, text) {code, "VDO_E" #name, text},
	VDO_ERRORS(X)
#undef X
	{E2BIG, "E2BIG", "too many arguments"},
	{EACCES, "EACCES", "permission denied"},
	{EAGAIN, "EAGAIN", "would have to wait: try again"},
	{EBADF, "EBADF", "bad file descriptor"},
	{EBADMSG, "EBADMSG", "data is damaged"},
	{EBUSY, "EBUSY", "device or file is busy"},
	{ECANCELED, "ECANCELED", "operation was cancelled"},
	{ECONNABORTED, "ECONNABORTED", "connection was aborted"},
	{EDEADLK, "EDEADLK", "would wait for itself: called from a callback"},
	{EDQUOT, "EDQUOT", "disk quota exceeded"},
	{EEXIST, "EEXIST", "file exists"},
	{EFAULT, "EFAULT", "bad address"},
	{EFBIG, "EFBIG", "file is too large"},
	{EILSEQ, "EILSEQ", "data is damaged on its way"},
	{EINTR, "EINTR", "interrupted"},
	{EINVAL, "EINVAL", "invalid argument"},
	{EIO, "EIO", "input/output error"},
	{EISDIR, "EISDIR", "is a directory"},
	{ELOOP, "ELOOP", "too many symbolic links"},
	{EMFILE, "EMFILE", "process has too many open files"},
	{ENAMETOOLONG, "ENAMETOOLONG", "file name is too long"},
	{ENFILE, "ENFILE", "system has too many open files"},
	{ENODATA, "ENODATA", "no data"},
	{ENODEV, "ENODEV", "no such device"},
	{ENOENT, "ENOENT", "no such file or directory"},
	{ENOKEY, "ENOKEY", "key is not available"},
	{ENOLCK, "ENOLCK", "no locks can be had"},
	{ENOLINK, "ENOLINK", "connection is broken"},
	{ENOMEDIUM, "ENOMEDIUM", "no medium"},
	{ENOMEM, "ENOMEM", "out of memory"},
	{ENOSPC, "ENOSPC", "no space left"},
	{ENOSYS, "ENOSYS", "not implemented by the system"},
	{ENOTBLK, "ENOTBLK", "not a file or block device"},
	{ENOTCONN, "ENOTCONN", "who serves the file is gone"},
	{ENOTDIR, "ENOTDIR", "not a directory"},
	{ENOTEMPTY, "ENOTEMPTY", "is not empty"},
	{ENOTSUP, "ENOTSUP", "not supported"},
	{ENOTTY, "ENOTTY", "not possible on this kind of file"},
	{ENXIO, "ENXIO", "no such device or address"},
	{EOVERFLOW, "EOVERFLOW", "value is too large"},
	{EPERM, "EPERM", "operation is not permitted"},
	{EPIPE, "EPIPE", "nobody reads the other end"},
	{ERANGE, "ERANGE", "out of range"},
	{EREMOTEIO, "EREMOTEIO", "remote input/output error"},
	{EROFS, "EROFS", "file system is read-only"},
	{ESPIPE, "ESPIPE", "cannot seek"},
	{ESTALE, "ESTALE", "file is gone from the server"},
	{ETIMEDOUT, "ETIMEDOUT", "timed out"},
	{ETXTBSY, "ETXTBSY", "file is being executed"},
	{EUCLEAN, "EUCLEAN", "file system needs to be repaired"},
	{EXDEV, "EXDEV", "not on the same file system"},
};

static const struct result unknown = {0, "UNKNOWN", "unknown error"};

static const struct result *find(int code)
{
	if (code == INT_MIN)
		return &unknown;
	if (code < 0)
		code = -code;
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		if (results[i].code == code)
			return &results[i];
	return &unknown;
}

const char *vdo_strerror(int result)
{
	return find(result)->text;
}

const char *vdo_error_name(int result)
{
	return find(result)->name;
}

void error_clear(struct vdo_error *e)
{
	if (e == NULL)
		return;
	e->code = 0;
	e->message[0] = '\0';
}

int error_set_list(struct vdo_error *e, int code, const char *fmt, va_list ap)
{
	char text[sizeof(e->message)];

	VDO_ASSERT(code < 0);
	if (e == NULL)
		return code;
	e->code = code;
	vsnprintf(text, sizeof(text), fmt, ap);
	text_escape(e->message, sizeof(e->message), text);
	return code;
}

int error_set(struct vdo_error *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_set_list(e, code, fmt, ap);
	va_end(ap);
	return code;
}

int error_missing(struct vdo_error *e, const char *argument)
{
	VDO_ASSERT(argument != NULL && *argument != '\0');
	return error_set(e, -EINVAL, "argument %s must not be NULL", argument);
}

int error_finish(struct vdo_error *e, int result)
{
	if (e == NULL)
		return result;
	if (result >= 0)
		error_clear(e);
	else if (e->code == 0)
		error_set(e, result, "%s", vdo_strerror(result));
	else
		e->code = result;
	return result;
}

const char *error_space_advice(int result)
{
	switch (result) {
	case -ENOSPC:
		return "the file system that holds the volume is full: free "
		       "space there";
	case -EDQUOT:
		return "the disk quota that the volume's file counts against is "
		       "used up: free space or raise it";
	case -EFBIG:
		return "the volume's file may not become so large: raise the "
		       "limit (ulimit -f), or move it to a file system that "
		       "allows it";
	default:
		return "";
	}
}
