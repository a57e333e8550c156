/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which threads a volume has, for each executor and kind of storage: those that
 * the table of libvdo(3) names, and no others.
 */
#include "build.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/fixture.h"

#define ROWS_MAX  16
#define NAMES_MAX 64

struct row {
	char executor[16], storage[16], engine[16], threads[64];
};

static struct row rows[ROWS_MAX];
static unsigned row_count;

static void read_table(void)
{
	const char *top = getenv("top_srcdir");
	char path[512], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/man/libvdo.3",
		 top != NULL ? top : "..");
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s is not there", path);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct row *r = &rows[row_count];

		if (strncmp(line, ".It Em", 6) == 0 ||
		    sscanf(line, ".It %15s Ta %15s Ta %15s Ta %63[^\n]",
			   r->executor, r->storage, r->engine,
			   r->threads) != 4)
			continue;
		ck_assert_uint_lt(++row_count, ROWS_MAX);
	}
	fclose(f);
	ck_assert_uint_eq(row_count, 9);
}

/* Names of the library's threads; "vdo-N" for numbered ones. */
static unsigned list_threads(char names[NAMES_MAX][16])
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)) != NULL) {
		char path[300], name[16] = "";
		unsigned number;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm",
			 entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f == NULL)
			continue;
		if (fscanf(f, "%15s", name) == 1 &&
		    strncmp(name, "vdo", 3) == 0) {
			if (sscanf(name, "vdo-%u", &number) == 1)
				strcpy(name, "vdo-N");
			ck_assert_uint_lt(n, NAMES_MAX);
			strcpy(names[n++], name);
		}
		fclose(f);
	}
	closedir(d);
	return n;
}

static bool is_named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; (p = strstr(p, name)) != NULL; p += n)
		if ((p == list || p[-1] == ' ') &&
		    (p[n] == '\0' || p[n] == ','))
			return true;
	return false;
}

static void check(const struct row *r, bool open)
{
	static const char *const all[] = {"vdo-N", "vdo-reaper", "vdo-io"};
	char names[NAMES_MAX][16];
	unsigned n = list_threads(names);

	for (unsigned i = 0; i < n; i++)
		ck_assert_msg(open && is_named(r->threads, names[i]),
			      "%s, %s, %s: there is a thread %s%s", r->executor,
			      r->storage, r->engine, names[i],
			      open ? "" : " after closing");
	for (unsigned k = 0; open && k < ARRAY_SIZE(all); k++) {
		bool found = false;

		for (unsigned i = 0; i < n; i++)
			found |= strcmp(names[i], all[k]) == 0;
		ck_assert_msg(found || !is_named(r->threads, all[k]),
			      "%s, %s, %s: there is no thread %s", r->executor,
			      r->storage, r->engine, all[k]);
	}
}

static struct vdo_config *config_for(const struct row *r,
				     struct test_pool *pool)
{
	struct vdo_config *c = fixture_config("size=32M threads=1");

	ck_assert_int_eq(vdo_config_set(c, "executor", r->executor, NULL), 0);
	if (strcmp(r->executor, "pool") == 0)
		ck_assert_int_eq(vdo_config_set_pool(c, test_pool_ops(pool),
						     pool),
				 0);
	if (strcmp(r->engine, "any") != 0)
		ck_assert_int_eq(vdo_config_set(c, "io-engine", r->engine,
						NULL),
				 0);
	return c;
}

/* False: there is no io_uring here. */
static bool try_row(const struct row *r, struct test_pool *pool)
{
	static char block[4096] = "a block";
	struct vdo_config *c = config_for(r, pool);
	struct vdo_device *d = NULL;
	struct vdo_volume *v = NULL;
	char path[] = "/tmp/vdo-threads-XXXXXX";
	int result;

	if (strcmp(r->storage, "file") == 0) {
		close(mkstemp(path));
		ck_assert_int_eq(vdo_format(path, c, NULL), 0);
		result = vdo_open(path, c, &v, NULL);
	} else {
		ck_assert_int_eq(vdo_device_open_memory(32 << 20, &d), 0);
		ck_assert_int_eq(vdo_format_device(d, c, NULL), 0);
		result = vdo_open_device(d, c, &v, NULL);
	}
	if (v != NULL) {
		ck_assert_int_eq(vdo_pwrite(v, block, 4096, 0, 0), 0);
		ck_assert_int_eq(vdo_flush(v, 0), 0);
		check(r, true);
		ck_assert_int_eq(vdo_close(v), 0);
		check(r, false);
	}
	ck_assert_msg(v != NULL || strcmp(r->engine, "uring") == 0,
		      "%s, %s: %s", r->executor, r->storage,
		      vdo_strerror(result));
	vdo_device_close(d);
	unlink(path);
	vdo_config_free(c);
	return v != NULL;
}

START_TEST(test_table)
{
	struct test_pool_config config = {.threads = 2, .hint = true};
	struct test_pool *pool = test_pool_create(&config);

	row_count = 0;
	read_table();
	for (unsigned i = 0; i < row_count; i++)
		if (!try_row(&rows[i], pool))
			fprintf(stderr, "left out: no io_uring here\n");
	test_pool_destroy(pool);
}
END_TEST

int main(void)
{
	TCase *tc = unit_case("threads");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_table);
	return unit_run();
}
