/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE /* vasprintf() */
#include "common.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

const char *program_name = "?";

/* The progress bar on the screen, if there is one. */
static atomic_bool bar_visible;

static void wipe_bar(void)
{
	if (atomic_exchange(&bar_visible, false))
		fputs("\r\033[K", stderr);
}

/* A line on standard error, in one piece; @text is escaped already. */
static void put_line(const char *before, const char *text)
{
	wipe_bar();
	fprintf(stderr, "%s%s%s\n", before, *before == '\0' ? "" : ": ", text);
}

static void put_escaped(const char *before, const char *fmt, va_list ap)
{
	char *text = NULL, *escaped = NULL;

	if (vasprintf(&text, fmt, ap) >= 0) {
		escaped = text_escaped(text);
		free(text);
	}
	put_line(before,
		 escaped == NULL ? "out of memory for a message" : escaped);
	free(escaped);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_escaped(program_name, fmt, ap);
	va_end(ap);
}

void mention(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_escaped("", fmt, ap);
	va_end(ap);
}

/* On any thread of the library, which has escaped it. */
static void put_log(void *arg, enum vdo_log_level level, const char *message)
{
	(void)arg;
	(void)level;
	put_line(program_name, message);
}

void config_log(struct vdo_config *config)
{
	vdo_config_set_log(config, put_log, NULL);
}

static void put_warning(void *arg, enum vdo_log_level level,
			const char *message)
{
	if (level <= VDO_LOG_WARNING)
		put_log(arg, level, message);
}

void config_log_warnings(struct vdo_config *config)
{
	vdo_config_set_log(config, put_warning, NULL);
}

/* What getopt_long() does not like of the last argument it looked at. */
static void complain_option(int what, const char *given)
{
	bool is_long = strncmp(given, "--", 2) == 0;

	if (what == ':')
		complain("%s needs a value", given);
	else if (optopt != 0 && is_long)
		complain("%s takes no value", given);
	else if (optopt != 0)
		complain("there is no option -%c", optopt);
	else
		complain("%s: there is no such option, or more than one that "
			 "begins so",
			 given);
}

int next_option(int argc, char **argv, const char *letters,
		const struct option *table, int *index)
{
	int option;

	opterr = 0; /* its messages would have the arguments as they are */
	option = getopt_long(argc, argv, letters, table, index);
	if (option == '?' || option == ':') {
		complain_option(option, argv[optind - 1]);
		return '?';
	}
	return option;
}

int try_help(void)
{
	complain("try '%s --help'", program_name);
	return EXIT_USAGE;
}

int complain_vdo(const char *path, const struct vdo_error *error)
{
	char text[sizeof(error->message) + 64];
	char *name = text_escaped(path);

	/* the library has escaped its message, and may have named the file */
	snprintf(text, sizeof(text), "%s (%s)", error->message,
		 vdo_error_name(error->code));
	if (name == NULL || strstr(text, name) != NULL) {
		put_line(program_name, text);
	} else {
		wipe_bar();
		fprintf(stderr, "%s: %s: %s\n", program_name, name, text);
	}
	free(name);
	return EXIT_FAILED;
}

int complain_result(const char *path, const char *what, int result)
{
	complain("%s: cannot %s: %s (%s)", path, what, vdo_strerror(result),
		 vdo_error_name(result));
	return EXIT_FAILED;
}

bool parse_size_option(const char *option, const char *text, uint64_t *size)
{
	if (vdo_size_parse(text, size) == 0)
		return true;
	complain("%s: \"%s\" is not a size: bytes, or a number with K, M, G, "
		 "T, P (powers of 1024), such as 64M, 64MiB or 1.5G",
		 option, text);
	return false;
}

char *size_text(char *buffer, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1023.995) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(buffer, SIZE_TEXT, "%u B", (unsigned)bytes);
	else
		snprintf(buffer, SIZE_TEXT, "%.2f %ciB", value, units[unit]);
	return buffer;
}

bool config_set(struct vdo_config *config, const char *name, const char *value)
{
	struct vdo_error error;

	if (vdo_config_set(config, name, value, &error) == 0)
		return true;
	put_line(program_name, error.message);
	return false;
}

bool config_assign(struct vdo_config *config, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	char name[64];
	size_t length;

	if (equals == NULL) {
		complain("-o %s: name=value is expected", assignment);
		return false;
	}
	length = (size_t)(equals - assignment);
	if (length >= sizeof(name))
		length = sizeof(name) - 1;
	memcpy(name, assignment, length);
	name[length] = '\0';
	return config_set(config, name, equals + 1);
}

/*
 * Progress
 */

#define DRAW_EVERY_MS 100
#define SMALL         (UINT64_C(16) << 20)

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_start(struct progress *p, const char *label, uint64_t total)
{
	p->label = label;
	p->total = total;
	atomic_init(&p->done, 0);
	p->start_ms = now_ms();
	p->drawn_ms = p->start_ms;
	p->on = isatty(STDERR_FILENO) && (total == 0 || total > SMALL);
}

void progress_add(struct progress *p, uint64_t bytes)
{
	atomic_fetch_add_explicit(&p->done, bytes, memory_order_relaxed);
}

static unsigned columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
		return 80;
	return w.ws_col;
}

static void draw_bar(const struct progress *p, uint64_t done, uint64_t rate)
{
	char amount[SIZE_TEXT], speed[SIZE_TEXT], bar[64], left[32] = "";
	unsigned room = columns(), width = 0;

	if (p->total == 0 && done == 0) {
		fprintf(stderr, "\r%s ...\033[K", p->label);
		return;
	}
	size_text(amount, done);
	size_text(speed, rate);
	if (p->total == 0) {
		fprintf(stderr, "\r%s %s  %s/s\033[K", p->label, amount, speed);
		return;
	}
	if (done > p->total)
		done = p->total;
	if (rate != 0) {
		uint64_t s = (p->total - done) / rate;

		snprintf(left, sizeof(left), "%u:%02u:%02u",
			 (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
			 (unsigned)(s % 60));
	}
	/* "label [###...] 100% 1023.99 GiB 1023.99 MiB/s 0:00:00" */
	if (room > strlen(p->label) + 48)
		width = room - (unsigned)strlen(p->label) - 48;
	if (width > sizeof(bar) - 1)
		width = sizeof(bar) - 1;
	for (unsigned i = 0; i < width; i++)
		bar[i] = (double)i < (double)width * (double)done /
						(double)p->total
				 ? '#'
				 : '.';
	bar[width] = '\0';
	fprintf(stderr, "\r%s [%s] %3u%% %s %s/s %s\033[K", p->label, bar,
		(unsigned)(100.0 * (double)done / (double)p->total), amount,
		speed, left);
}

void progress_draw(struct progress *p)
{
	uint64_t now, done;

	if (!p->on)
		return;
	now = now_ms();
	if (now - p->drawn_ms < DRAW_EVERY_MS)
		return;
	p->drawn_ms = now;
	done = atomic_load_explicit(&p->done, memory_order_relaxed);
	draw_bar(p, done,
		 (uint64_t)((double)done * 1000 / (double)(now - p->start_ms)));
	fflush(stderr);
	bar_visible = true;
}

void progress_end(struct progress *p)
{
	p->on = false;
	wipe_bar();
}

/*
 * JSON
 */

static void quote(FILE *f, const char *s)
{
	fputc('"', f);
	while (*s != '\0') {
		uint32_t c = 0;
		size_t length = text_decode(s, &c);

		if (length == 0) {
			c = 0xdc00u | (unsigned char)*s;
			length = 1;
		}
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", (int)c);
		else if (!text_is_plain(c) || (c >= 0xdc80 && c <= 0xdcff))
			fprintf(f, "\\u%04x", (unsigned)c);
		else
			fwrite(s, 1, length, f);
		s += length;
	}
	fputc('"', f);
}

static void new_line(struct json *j)
{
	fprintf(j->file, "\n%*s", (int)(2 * j->depth), "");
}

/* What stands before a value: comma, line break, name. */
static void json_name(struct json *j, const char *name)
{
	if (j->follows)
		fputc(',', j->file);
	if (j->depth != 0)
		new_line(j);
	if (name != NULL) {
		quote(j->file, name);
		fputs(": ", j->file);
	}
	j->follows = true;
}

void json_begin(struct json *j, const char *name, char bracket)
{
	json_name(j, name);
	fputc(bracket, j->file);
	j->depth++;
	j->follows = false;
}

void json_end(struct json *j, char bracket)
{
	j->depth--;
	if (j->follows)
		new_line(j);
	fputc(bracket, j->file);
	j->follows = true;
	if (j->depth == 0)
		fputc('\n', j->file);
}

void json_string(struct json *j, const char *name, const char *value)
{
	json_name(j, name);
	quote(j->file, value);
}

void json_number(struct json *j, const char *name, uint64_t value)
{
	json_name(j, name);
	fprintf(j->file, "%llu", (unsigned long long)value);
}

void json_signed(struct json *j, const char *name, int64_t value)
{
	json_name(j, name);
	fprintf(j->file, "%lld", (long long)value);
}

void json_real(struct json *j, const char *name, double value)
{
	json_name(j, name);
	fprintf(j->file, "%.3f", value);
}

void json_bool(struct json *j, const char *name, bool value)
{
	json_name(j, name);
	fputs(value ? "true" : "false", j->file);
}
