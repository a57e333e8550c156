/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl trim: what nothing refers to goes back to the storage.
 */
#include "vdoctl.h"

static const char trim_help[] =
	"Usage: vdoctl trim FILE [--json] [-v] [-o NAME=VALUE]...\n"
	"Give the free blocks of a volume that is not open back: a file takes no "
	"more than\nwhat is in use, and a device below knows what it need not "
	"keep. A volume that was\nnot closed is recovered first. It can be "
	"interrupted, and begun again.\n\n"
	"  --json         for programs\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

static void trimmed_json(const struct vdo_trimmed *t)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_number(&j, "free_blocks", t->free_blocks);
	json_number(&j, "ranges", t->ranges);
	json_number(&j, "slabs", t->slabs);
	json_number(&j, "slabs_left", t->slabs_left);
	json_number(&j, "freed_bytes", t->freed_bytes);
	json_end(&j, '}');
}

static void trimmed_people(const struct vdo_trimmed *t)
{
	char given[SIZE_TEXT], freed[SIZE_TEXT];

	printf("%s are free and were given back, in %llu ranges.\n",
	       size_text(given, t->free_blocks * 4096),
	       (unsigned long long)t->ranges);
	if (t->freed_bytes > 0)
		printf("The file takes %s less than before.\n",
		       size_text(freed, t->freed_bytes));
	if (t->slabs_left > 0)
		printf("Of %llu slabs, of %llu, it is not known what is free: "
		       "open and close the volume, then\ntrim it again.\n",
		       (unsigned long long)t->slabs_left,
		       (unsigned long long)t->slabs);
}

static int recover(const struct arguments *a, struct vdo_error *error)
{
	struct vdo_volume *v;
	int result;

	complain("%s was not closed: it is recovered first", a->path);
	result = vdo_open(a->path, a->config, &v, error);
	if (result != 0)
		return result;
	result = vdo_close(v);
	if (result != 0)
		snprintf(error->message, sizeof(error->message),
			 "it could not be closed: %s", vdo_strerror(result));
	return result;
}

static int start(const struct arguments *a, struct vdo_job **job,
		 struct vdo_error *error)
{
	int result = vdo_trim(a->path, a->config, job, error);

	if (result == -VDO_EDIRTY)
		result = recover(a, error);
	else
		return result;
	return result != 0 ? result
			   : vdo_trim(a->path, a->config, job, error);
}

static int trim(const struct arguments *a)
{
	struct vdo_trimmed t;
	struct vdo_error error;
	struct vdo_job *job;
	int code = EXIT_OK;

	catch_interrupts();
	if (start(a, &job, &error) != 0)
		return complain_vdo(a->path, &error);
	if (job_finish(job, &error) != 0)
		code = complain_vdo(a->path, &error);
	else if (vdo_trimmed_get(job, &t, sizeof(t)) != 0)
		code = EXIT_FAILED;
	else if (a->json)
		trimmed_json(&t);
	else
		trimmed_people(&t);
	vdo_job_free(job);
	return code;
}

int command_trim(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "j", trim_help))
		code = a.code;
	else
		code = trim(&a);
	arguments_free(&a);
	return code;
}
