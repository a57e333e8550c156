/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs share: messages, sizes, options, a progress bar, JSON.
 * Only the public interface of the library is used.
 *
 * Threads: one at a time, but progress_add(), which may be called from any.
 */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vdo/vdo.h>

#include "process.h"

#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Exit codes of all programs. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/*
 * Messages. Each goes to standard error as "program: message", escaped as in
 * text.h; a progress bar that is on the screen is wiped first.
 */
extern const char *program_name; /* set by main() */

void complain(const char *fmt, ...) PRINTF(1, 2);

/* The same without the name of the program: what -v prints. */
void mention(const char *fmt, ...) PRINTF(1, 2);

/* Lines of the library's log become messages, too. */
void config_log(struct vdo_config *config);

/* Only its warnings and errors. */
void config_log_warnings(struct vdo_config *config);

/*
 * getopt_long() that complains in our words, and returns '?' then. @letters
 * begins with a colon. @index may be NULL.
 */
int next_option(int argc, char **argv, const char *letters,
		const struct option *table, int *index);

/* "program: try 'program --help'"; returns EXIT_USAGE. */
int try_help(void);

/* What a call of the library said about @path; returns EXIT_FAILED. */
int complain_vdo(const char *path, const struct vdo_error *error);
int complain_result(const char *path, const char *what, int result);

/* vdo_size_parse(), or a complaint that names the option. */
bool parse_size_option(const char *option, const char *text, uint64_t *size);

/* "512 B", "1.50 GiB"; @buffer has SIZE_TEXT bytes and is returned. */
#define SIZE_TEXT 24
char *size_text(char *buffer, uint64_t bytes);

/* Set an option of the library from "name=value", or complain. */
bool config_assign(struct vdo_config *config, const char *assignment);
bool config_set(struct vdo_config *config, const char *name,
		const char *value);

/*
 * A progress bar with rate and remaining time on standard error; nothing if
 * that is no terminal or @total is small.
 *
 *	struct progress p;
 *
 *	progress_start(&p, "writing", total);
 *	... progress_add(&p, n); progress_draw(&p); ...
 *	progress_end(&p);
 *
 * progress_draw() is cheap: it draws ten times a second at most.
 */
struct progress {
	const char *label;
	uint64_t total;        /* bytes; 0: not known */
	atomic_ullong done;    /* bytes */
	uint64_t start_ms, drawn_ms;
	bool on;               /* to be drawn at all */
};

void progress_start(struct progress *p, const char *label, uint64_t total);
void progress_add(struct progress *p, uint64_t bytes);
void progress_draw(struct progress *p);
void progress_end(struct progress *p); /* wipes the bar */

/*
 * JSON, indented by two. Names may be NULL inside of arrays. In strings, each
 * byte B that is no UTF-8 becomes the code unit DC00 + B, "\udce9" for E9, which
 * no text has: different bytes are different strings. (Python's
 * "surrogateescape"; os.fsencode() gives the bytes back.)
 */
struct json {
	FILE *file;
	unsigned depth;
	bool follows; /* something stands before, on this level */
};

void json_begin(struct json *j, const char *name, char bracket); /* { or [ */
void json_end(struct json *j, char bracket);                     /* } or ] */
void json_string(struct json *j, const char *name, const char *value);
void json_number(struct json *j, const char *name, uint64_t value);
void json_signed(struct json *j, const char *name, int64_t value);
/* Three digits behind the point. */
void json_real(struct json *j, const char *name, double value);
void json_bool(struct json *j, const char *name, bool value);

#endif
