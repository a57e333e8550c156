/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl: its commands, and what they share.
 *
 * A command is a row in main.c's table; it is called with the arguments behind
 * its name and returns the exit code.
 */
#ifndef EXAMPLES_VDOCTL_H
#define EXAMPLES_VDOCTL_H

#include <getopt.h>

#include "../common.h"

int command_format(int argc, char **argv);
int command_estimate(int argc, char **argv);
int command_info(int argc, char **argv);
int command_check(int argc, char **argv);
int command_index(int argc, char **argv);
int command_grow(int argc, char **argv);
int command_read_only(int argc, char **argv);
int command_rebuild(int argc, char **argv);
int command_trim(int argc, char **argv);
int command_sub(int argc, char **argv);
int command_savings(int argc, char **argv);
int command_stats(int argc, char **argv);
int command_map(int argc, char **argv);
int command_write(int argc, char **argv);
int command_read(int argc, char **argv);
int command_discard(int argc, char **argv);
int command_options(int argc, char **argv);

/* What --offset, --length, --size, --json, -v and -o of a command line say. */
struct arguments {
	const char *path;
	struct vdo_config *config;
	uint64_t offset, length;
	bool has_offset, has_length;
	uint64_t size, logical_size;
	bool has_size, has_logical_size;
	bool json, svg, verbose, unlocked, exact;
	bool repair, data, no_index, yes, force;
	bool why, everywhere;
	const char *undo, *undo_from, *html, *table, *sub; /* NULL: not said */
	char **operands; /* behind FILE */
	int operand_count;
	int code; /* of a command that ends here */
};

/*
 * Parse the options of the commands that look into a volume. @accept has the
 * letters of those that the command takes: o(ffset) l(ength) (si)z(e) L(ogical-size)
 * j(son) s(vg) U(nlocked) (e)x(act) R(epair) d(ata) n(o-index) y(es) F(orce) u(ndo) (undo-)f(rom)
 * w(hy) e(verywhere) H(tml) t(able) S(ub); with m there may be more operands
 * than FILE, with r the volume is opened read-only unless -o says otherwise. False:
 * the command ends with a->code, after help or a complaint. Free @a with
 * arguments_free() in any case.
 */
bool arguments_parse(struct arguments *a, int argc, char **argv,
		     const char *accept, const char *help);
void arguments_free(struct arguments *a);

/* Ask on standard error and wait for an answer; all but a yes is a no. */
bool confirm(const char *question);

/* After a no; returns EXIT_FAILED. */
int give_up(void);

/* Wait for a job, with a bar; it is cancelled when we are interrupted. */
int job_finish(struct vdo_job *job, struct vdo_error *error);

/* check.c: ranges of logical blocks, as members of an object or in words. */
void blocks_json(struct json *j, const struct vdo_blocks *b);
void blocks_print(const struct vdo_blocks *b);

/* usage.c: as an object "usage", or lines. */
void usage_json(struct json *j, const struct vdo_usage *u);
void usage_people(const struct vdo_usage *u);
/* The share of the used logical blocks that needs no block. */
unsigned usage_saving_percent(const struct vdo_usage *u);

/* catch_interrupts(), unless the volume is opened read-only: then there is no
 * harm in what signals do by default. */
void catch_if_writing(const struct vdo_config *config);

/*
 * sub.c: what a command works on: the volume or, with --sub, one in it. Both calls
 * complain, and return an exit code; target_close() the one it was given if all is
 * well. A pool as a whole is not written to unless with --force.
 */
struct target {
	struct vdo_volume *whole;
	struct vdo_volume *volume; /* to be read or written: whole, or in it */
};
int target_open(struct target *t, const struct arguments *a, bool writes);
int target_close(struct target *t, const struct arguments *a, int code);

/* A time in words; @buffer has TIME_TEXT bytes and is returned. */
#define TIME_TEXT 40
char *time_text(char *buffer, int64_t seconds);

/* An index's memory code in words; @buffer is returned. */
#define MEMORY_TEXT 64
char *memory_text(char *buffer, int32_t code);

#endif
