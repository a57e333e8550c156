/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdoctl read-only and vdoctl rebuild: into read-only mode and out of it again.
 * Both ask first.
 */
#include "vdoctl.h"

#include <string.h>

static const char read_only_help[] =
	"Usage: vdoctl read-only FILE [--yes]\n"
	"Have a volume say that it is read-only: nobody writes to it any more, "
	"until\n'vdoctl rebuild'. Its contents stay as they are.\n\n"
	"  --yes       do not ask\n"
	"  -h, --help  this text\n";

static const char rebuild_help[] =
	"Usage: vdoctl rebuild FILE [--force] [--yes] [--json] [-o NAME=VALUE]..."
	"\n"
	"Make a volume writable that is read-only, or marked for a rebuild. What "
	"of its\nblock map makes no sense is dropped, and all else made anew from "
	"it. It can be\ninterrupted and begun again.\n\n"
	"  --force        in whatever state it is: if it can be neither opened "
	"nor\n                 recovered; some blocks may have older contents "
	"then\n"
	"  --yes          do not ask\n"
	"  --json         for programs\n"
	"  -o NAME=VALUE  any option that 'vdoctl options' lists\n"
	"  -v, --verbose  show what is done, and the log of the library\n"
	"  -h, --help     this text\n";

/* Of struct vdo_info; the numbers are those of the format. */
enum state {
	STATE_NEW = 1,
	STATE_CLEAN = 2,
	STATE_READ_ONLY = 3,
	STATE_FORCE_REBUILD = 4,
	STATE_UPGRADE = 7,
};

static int mark(const struct arguments *a)
{
	struct vdo_error error;
	struct vdo_info info;

	if (vdo_inspect(a->path, &info, sizeof(info), &error) != 0)
		return complain_vdo(a->path, &error);
	if (info.state == STATE_READ_ONLY) {
		printf("It is read-only already.\n");
		return EXIT_OK;
	}
	if (!a->yes) {
		complain("%s is %s. It will be read-only, for this library and "
			 "for Linux, until 'vdoctl rebuild'.",
			 a->path, info.state_name);
		if (!confirm("Have it read-only?"))
			return give_up();
	}
	if (vdo_mark_read_only(a->path, &error) != 0)
		return complain_vdo(a->path, &error);
	printf("It is read-only now.\n");
	return EXIT_OK;
}

int command_read_only(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "y", read_only_help))
		code = a.code;
	else
		code = mark(&a);
	arguments_free(&a);
	return code;
}

/*
 * rebuild
 */

static void lost_json(struct json *j, const struct vdo_lost *l)
{
	json_begin(j, NULL, '{');
	blocks_json(j, &l->blocks);
	json_string(j, "why", l->why);
	json_end(j, '}');
}

static void rebuilt_json(const struct vdo_rebuilt *r)
{
	struct json j = {.file = stdout};

	json_begin(&j, NULL, '{');
	json_string(&j, "found", r->found);
	json_number(&j, "replayed", r->replayed);
	json_number(&j, "invalid_entries", r->invalid_entries);
	json_number(&j, "unreadable_blocks", r->unreadable_blocks);
	json_number(&j, "logical_blocks_used", r->logical_blocks_used);
	json_number(&j, "block_map_blocks", r->block_map_blocks);
	json_number(&j, "data_blocks", r->data_blocks);
	json_number(&j, "lost_pages", r->lost_pages);
	json_number(&j, "lost_mappings", r->lost_mappings);
	json_number(&j, "lost_blocks", r->lost_blocks);
	json_number(&j, "stray_mappings", r->stray_mappings);
	json_begin(&j, "lost", '[');
	for (size_t i = 0; i < r->lost_count; i++)
		lost_json(&j, &r->lost[i]);
	json_end(&j, ']');
	json_end(&j, '}');
}

static void number_line(const char *label, uint64_t n)
{
	printf("  %-26s %llu\n", label, (unsigned long long)n);
}

static void lost_line(const struct vdo_lost *l)
{
	fputs("  ", stdout);
	blocks_print(&l->blocks);
	printf(": %s\n", l->why);
}

static void rebuilt_people(const struct vdo_rebuilt *r)
{
	puts("Rebuilt; the volume is clean.");
	number_line("mappings of the journal", r->replayed);
	if (r->invalid_entries > 0)
		number_line("its entries without sense", r->invalid_entries);
	if (r->unreadable_blocks > 0)
		number_line("its unreadable blocks", r->unreadable_blocks);
	number_line("logical blocks used", r->logical_blocks_used);
	number_line("data blocks used", r->data_blocks);
	number_line("block map pages", r->block_map_blocks);
	if (r->lost_pages > 0)
		number_line("block map pages lost", r->lost_pages);
	if (r->lost_mappings > 0)
		number_line("mappings dropped", r->lost_mappings);
	number_line("logical blocks lost", r->lost_blocks);
	if (r->lost_count == 0)
		return;
	puts("\nLogical blocks that are lost, and read as zeroes now");
	for (size_t i = 0; i < r->lost_count; i++)
		lost_line(&r->lost[i]);
}

/* What is about to happen; true: it shall. */
static bool ask_to_rebuild(const struct arguments *a,
			   const struct vdo_info *info)
{
	switch (info->state) {
	case STATE_READ_ONLY:
	case STATE_FORCE_REBUILD:
	case STATE_UPGRADE:
		complain("%s is %s. What of its block map makes no sense will "
			 "be dropped: save first what you need, with 'vdoctl "
			 "read' or 'dedup-copy --extract', and look after the "
			 "storage.",
			 a->path, info->state_name);
		break;
	case STATE_NEW:
	case STATE_CLEAN:
		complain("%s is %s. If it can be opened there is nothing to be "
			 "rebuilt.",
			 a->path, info->state_name);
		break;
	default:
		complain("%s is %s. Opening it recovers it, and loses nothing "
			 "that was flushed. Only if that is refused it should "
			 "be rebuilt: some blocks may have older contents "
			 "then, or those of other blocks.",
			 a->path, info->state_name);
	}
	return confirm("Rebuild it?");
}

static bool needs_force(const struct vdo_info *info)
{
	return info->state != STATE_READ_ONLY &&
	       info->state != STATE_FORCE_REBUILD &&
	       info->state != STATE_UPGRADE;
}

static int rebuild(const struct arguments *a)
{
	struct vdo_rebuilt rebuilt;
	struct vdo_error error;
	struct vdo_info info;
	struct vdo_job *job;
	int code = EXIT_OK;

	catch_interrupts();
	if (vdo_inspect(a->path, &info, sizeof(info), &error) != 0)
		return complain_vdo(a->path, &error);
	/* What will be refused is not asked for. */
	if (!a->yes && (a->force || !needs_force(&info)) &&
	    !ask_to_rebuild(a, &info))
		return give_up();
	if (vdo_rebuild(a->path, a->config, a->force ? VDO_REBUILD_FORCE : 0,
			&job, &error) != 0)
		return complain_vdo(a->path, &error);
	if (job_finish(job, &error) != 0)
		code = complain_vdo(a->path, &error);
	else if (vdo_rebuilt_get(job, &rebuilt, sizeof(rebuilt)) != 0)
		code = EXIT_FAILED;
	else if (a->json)
		rebuilt_json(&rebuilt);
	else
		rebuilt_people(&rebuilt);
	vdo_job_free(job);
	return code;
}

int command_rebuild(int argc, char **argv)
{
	struct arguments a;
	int code;

	if (!arguments_parse(&a, argc, argv, "yFj", rebuild_help))
		code = a.code;
	else
		code = rebuild(&a);
	arguments_free(&a);
	return code;
}
