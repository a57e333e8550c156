/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz entries without a fuzzer: the seeds, all files of the corpus, and a
 * fixed number of mutations of them. The same inputs each time.
 *
 *	fuzz_x				seeds, corpus/x and mutations
 *	fuzz_x FILE...			these inputs, in this process
 *	fuzz_x --seed-corpus FOLDER	write the seeds there
 *
 *	+--------+  fork  +-------+
 *	| parent | -----> | child |  runs inputs; each is put into shared memory
 *	+--------+        +-------+  first, with a name
 *
 * If the child dies the parent tells which input it was and writes it to
 * crash-x, a file that can be added to the corpus.
 */
#include "build.h"

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX    4096u
#define HANG_SECONDS 120u /* one input takes milliseconds */

struct input {
	char name[300];
	size_t size;
	uint8_t *data;
};

struct shared {
	char name[320];
	size_t size;
	unsigned long runs;
	uint8_t data[FUZZ_INPUT_MAX];
};

static struct input inputs[FILES_MAX];
static unsigned input_count;
static struct shared *now;

static void die(const char *what, const char *name)
{
	fprintf(stderr, "%s %s: %s\n", what, name, strerror(errno));
	exit(99);
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static void add(const char *name, const void *data, size_t size)
{
	struct input *in = &inputs[input_count];

	if (input_count == FILES_MAX)
		return;
	in->data = malloc(size + 1);
	if (in->data == NULL)
		die("cannot keep", name);
	memcpy(in->data, data, size);
	in->size = size;
	snprintf(in->name, sizeof(in->name), "%.299s", base_of(name));
	input_count++;
}

static void add_file(const char *path)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	FILE *file = fopen(path, "rb");
	size_t n;

	if (file == NULL)
		die("cannot open", path);
	n = fread(data, 1, sizeof(data), file);
	fclose(file);
	add(path, data, n);
}

static void add_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char file[1300];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			add_file(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void add_seeds(void)
{
	static uint8_t data[FUZZ_INPUT_MAX];
	size_t n;

	for (unsigned i = 0; (n = fuzz_seed(i, data)) > 0; i++) {
		char name[32];

		snprintf(name, sizeof(name), "seed-%u", i);
		add(name, data, n);
	}
}

static void run(const uint8_t *data, size_t size)
{
	/* Exactly as long as it is, so that reads beyond it are seen. */
	uint8_t *copy = malloc(size);

	if (copy == NULL && size > 0)
		die("cannot copy", now->name);
	if (size > 0)
		memcpy(copy, data, size);
	alarm(HANG_SECONDS);
	LLVMFuzzerTestOneInput(copy, size);
	alarm(0);
	free(copy);
}

/* Insert @n bytes at @at, as many as there is room for. */
static void insert(size_t at, const uint8_t *bytes, size_t n)
{
	n = MIN(n, sizeof(now->data) - now->size);
	memmove(now->data + at + n, now->data + at, now->size - at);
	memcpy(now->data + at, bytes, n);
	now->size += n;
}

static void mutate_once(uint64_t *seed)
{
	static const uint64_t numbers[] = {
		0, 1, 2, 7, 8, 127, 128, 255, 256, 4095, 4096, 32767, 65535,
		UINT64_C(1) << 31, UINT32_MAX, UINT64_C(1) << 36, INT64_MAX,
		UINT64_MAX};
	uint64_t r = fuzz_random(seed);
	uint64_t number = numbers[(r >> 40) % ARRAY_SIZE(numbers)];
	size_t at = now->size == 0 ? 0 : (r >> 8) % now->size;
	size_t left = now->size - at, n = 1 + (r >> 48) % 16;
	const struct input *other = &inputs[(r >> 52) % input_count];

	switch (left == 0 ? 5 : r % 7) {
	case 0:
		now->data[at] ^= (uint8_t)(1u << (r >> 32) % 8);
		break;
	case 1:
		now->data[at] = (uint8_t)(r >> 32);
		break;
	case 2:
		memcpy(now->data + at, &number,
		       MIN(left, (size_t)1 << (r >> 32) % 4));
		break;
	case 3:
		n = MIN(n, left);
		memmove(now->data + at, now->data + at + n, left - n);
		now->size -= n;
		break;
	case 4:
		now->size = at;
		break;
	case 5:
		insert(at, (const uint8_t *)&number, MIN(n, sizeof(number)));
		break;
	default:
		insert(at, other->data, MIN(4 * n, other->size));
		break;
	}
}

/* Input @i as it is (@k 0), or its k-th mutation. */
static void run_input(unsigned i, unsigned k)
{
	const struct input *in = &inputs[i];
	uint64_t seed = (uint64_t)k << 32 | in->size;

	snprintf(now->name, sizeof(now->name), "%.299s, mutation %u", in->name,
		 k);
	now->size = MIN(in->size, sizeof(now->data));
	memcpy(now->data, in->data, now->size);
	for (unsigned n = k == 0 ? 0 : 1 + k % 4; n > 0; n--)
		mutate_once(&seed);
	now->runs++;
	run(now->data, now->size);
}

static void run_all(void)
{
	unsigned each = fuzz_replays / input_count + 1;

	for (unsigned k = 0; k <= each; k++) {
		for (unsigned i = 0; i < input_count; i++) {
			if (k == each && i >= fuzz_replays % input_count)
				return;
			run_input(i, k);
		}
	}
}

static const char *what_of(const char *path)
{
	const char *name = base_of(path);

	return strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
}

static int report(const char *what, int status)
{
	char path[300];
	FILE *file;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("%s: %u inputs, %lu runs\n", what, input_count,
		       now->runs);
		return 0;
	}
	snprintf(path, sizeof(path), "crash-%.200s", what);
	fprintf(stderr, "%s: status %#x; the last input (%s) is in %s\n", what,
		(unsigned)status, now->name, path);
	file = fopen(path, "wb");
	if (file != NULL) {
		fwrite(now->data, 1, now->size, file);
		fclose(file);
	}
	return 1;
}

static int replay(const char *what)
{
	const char *top = getenv("top_srcdir");
	char folder[1000];
	int status = 0;
	pid_t child;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s",
		 top == NULL ? "." : top, what);
	add_seeds();
	add_folder(folder);
	if (input_count == 0)
		die("nothing to run in", folder);
	now = mmap(NULL, sizeof(*now), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (now == MAP_FAILED)
		die("cannot share memory for", what);
	child = fork();
	if (child < 0)
		die("cannot fork for", what);
	if (child == 0) {
		run_all();
		exit(0); /* leaks are looked for now */
	}
	waitpid(child, &status, 0);
	return report(what, status);
}

static int write_seeds(const char *folder)
{
	add_seeds();
	mkdir(folder, 0777);
	for (unsigned i = 0; i < input_count; i++) {
		char path[600];
		FILE *file;

		snprintf(path, sizeof(path), "%.250s/%.300s", folder,
			 inputs[i].name);
		file = fopen(path, "wb");
		if (file == NULL ||
		    fwrite(inputs[i].data, 1, inputs[i].size, file) !=
			    inputs[i].size ||
		    fclose(file) != 0)
			die("cannot write", path);
	}
	return 0;
}

static void free_inputs(void)
{
	for (unsigned i = 0; i < input_count; i++)
		free(inputs[i].data);
}

int main(int argc, char **argv)
{
	int result = 0;

	atexit(free_inputs);
	if (argc == 3 && strcmp(argv[1], "--seed-corpus") == 0)
		return write_seeds(argv[2]);
	if (argc == 1)
		return replay(what_of(argv[0]));
	for (int i = 1; i < argc; i++)
		add_file(argv[i]);
	for (unsigned i = 0; i < input_count; i++)
		result |= LLVMFuzzerTestOneInput(inputs[i].data,
						 inputs[i].size);
	return result;
}
