/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors.
 *
 * Functions return 0 or a negative number: -errno, or -VDO_E... from the table
 * below. Calls with many ways to fail also take a struct vdo_error (may be
 * NULL), whose text says what to do next.
 */
#ifndef VDO_ERROR_H
#define VDO_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* code, name, text */
#define VDO_ERRORS(X)                                                          \
	X(30001, NOTVDO, "not a VDO volume")                                   \
	X(30002, CORRUPT, "metadata of the volume is damaged")                 \
	X(30003, CHECKSUM, "checksum does not match")                          \
	X(30004, VERSION, "version of the format is not supported")            \
	X(30005, NONCE, "metadata belongs to another volume")                  \
	X(30006, DIRTY, "volume was not closed and needs recovery")            \
	X(30007, READONLY, "volume is in read-only mode")                      \
	X(30008, REBUILD, "volume needs a rebuild")                            \
	X(30009, INUSE, "storage is in use by somebody else")                  \
	X(30010, SIGNATURE, "storage already holds something")                 \
	X(30011, OPTION, "no such option")                                     \
	X(30012, VALUE, "value is not allowed for this option")                \
	X(30013, CONFLICT, "options contradict each other")                    \
	X(30014, SIZE, "sizes disagree")                                       \
	X(30015, FRAGMENT, "compressed fragment is damaged")                   \
	X(30016, MAPPING, "block map entry is damaged")                        \
	X(30017, FORKED, "volume was opened by another process")               \
	X(30018, BUSY, "another operation on the volume is under way")         \
	X(30019, NOINDEX, "volume has no usable deduplication index")           \
	X(30020, GONE, "storage was cut short, replaced or removed meanwhile")

enum vdo_error_code {
	VDO_OK = 0
#define X(code, name, text) , VDO_E##name = code
	VDO_ERRORS(X)
#undef X
};

struct vdo_error {
	int code;          /* the value that was returned */
	char message[256]; /* one sentence or two, no newline */
};

/* The text of a result (negative or positive); never NULL, never freed. */
const char *vdo_strerror(int result);

/* The name of a result, such as "VDO_EDIRTY" or "ENOSPC". */
const char *vdo_error_name(int result);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
