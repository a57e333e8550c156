/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbdkit plugin: serves a volume over NBD. See nbdkit-vdo-plugin(1).
 *
 *	nbdkit ./libnbdkit-vdo-plugin.so file=PATH [OPTION=VALUE]...
 *
 * One volume is opened when the server has forked (the volume's threads would
 * not survive that) and shared by all connections, which therefore see each
 * other's completed writes. Requests come on many threads at once; each makes
 * one synchronous call. The export that a connection asks for is a sub-volume,
 *of which it has a handle of its own, or the whole volume: only under the empty
 *name, and where there are sub-volumes read-only, since whoever makes a file
 *system there would destroy them all.
 *
 * After the fork nobody may read the messages any more, and under --run the
 * command has begun and would wait for ever. So in get_ready the storage is
 * opened, which keeps everybody else from it until the end, and the volume is
 * opened and closed once as a trial: no other check knows all that opening
 * may meet. It costs what opening costs, and writes nothing that opening for
 * service would not.
 *
 *	get_ready     make the file (format=on); open the storage; try the
 *volume after_fork    open the volume; what fails here could not be foreseen
 *	cleanup       close what is open, the volume, the storage
 */
#include "build.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <vdo/vdo.h>

#include "examples/process.h"
#include "examples/text.h"
#include "given.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAXIMUM_REQUEST (32u << 20) /* what nbdkit accepts */

static struct vdo_config *config;
static struct vdo_device *device;
static struct vdo_volume *volume;
static struct given given;
static char *file;	 /* absolute */
static char *export;	 /* what the empty name leads to; NULL: the volume */
static bool make_volume; /* format=on */
static char help[8192];

/*
 * The table of options
 */

static void help_add(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static void help_add(const char *fmt, ...)
{
	size_t used = strlen(help);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(help + used, sizeof(help) - used, fmt, ap);
	va_end(ap);
}

static void fill_help(void)
{
	const struct vdo_option *o;

	help_add("file=<PATH>  (required) The volume: a file or block device.\n"
		 "format=on|off  Make the volume if the file is missing.\n"
		 "export=<NAME>  The sub-volume that is the default export.\n"
		 "Options of the library (default; values):");
	for (size_t i = 0; (o = vdo_config_describe(i)) != NULL; i++)
		help_add("\n%s=%s  %s (%s)", o->name,
			 vdo_config_get(config, o->name), o->help, o->range);
}

static void plugin_load(void)
{
	struct vdo_error error;

	if (vdo_config_new(&config) != 0) {
		nbdkit_error("out of memory");
		exit(EXIT_FAILURE);
	}
	/* Many clients send requests of 512 bytes. */
	if (vdo_config_set(config, "alignment", "512", &error) != 0)
		nbdkit_error("%s", error.message);
	fill_help();
}

static void plugin_unload(void)
{
	vdo_config_free(config);
	free(export);
	free(file);
}

static void plugin_dump_plugin(void)
{
	const struct vdo_option *o;

	printf("vdo_library_version=%s\n", vdo_version());
	printf("vdo_options=");
	for (size_t i = 0; (o = vdo_config_describe(i)) != NULL; i++)
		printf("%s%s", i == 0 ? "" : " ", o->name);
	printf("\n");
}

static int plugin_config(const char *key, const char *value)
{
	struct vdo_error error;

	if (strcmp(key, "file") == 0) {
		free(file);
		file = nbdkit_absolute_path(value);
		return file == NULL ? -1 : 0;
	}
	if (strcmp(key, "export") == 0) {
		free(export);
		export = strdup(value);
		if (export == NULL)
			nbdkit_error("out of memory");
		return export == NULL ? -1 : 0;
	}
	if (strcmp(key, "format") == 0) {
		int on = nbdkit_parse_bool(value);

		make_volume = on == 1;
		return on < 0 ? -1 : 0;
	}
	if (vdo_config_set(config, key, value, &error) == 0)
		return 0;
	nbdkit_error("%s", error.message);
	return -1;
}

static int plugin_config_complete(void)
{
	if (file != NULL)
		return 0;
	nbdkit_error("parameter file=PATH is missing");
	return -1;
}

/*
 * Life of the volume
 */

static int complain(const struct vdo_error *error)
{
	bool named = strstr(error->message, file) != NULL;

	nbdkit_error("%s%s%s (%s)", named ? "" : file, named ? "" : ": ",
		     error->message, vdo_error_name(error->code));
	return -1;
}

static void log_line(void *arg, enum vdo_log_level level, const char *message)
{
	if (level <= VDO_LOG_WARNING)
		nbdkit_error("%s", message);
	else
		nbdkit_debug("%s", message);
}

static bool is_missing(void)
{
	struct stat st;

	if (stat(file, &st) != 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode) && st.st_size == 0;
}

/* The storage cannot be written to: -r may be what is wanted. */
static int complain_unwritable(const struct vdo_error *error)
{
	nbdkit_error("%s; to serve it without writing, give nbdkit the option "
		     "-r",
		     error->message);
	return -1;
}

static int open_storage(void)
{
	struct vdo_error error;
	int r;

	if (make_volume && is_missing() &&
	    vdo_format(file, config, &error) != 0)
		return complain(&error);
	if (given.read_only &&
	    vdo_config_set(config, "read-only", "on", &error) != 0)
		return complain(&error);
	r = vdo_device_open_config(file, config, &device, &error);
	if (r == -EACCES || r == -EPERM || r == -EROFS)
		return complain_unwritable(&error);
	return r == 0 ? 0 : complain(&error);
}

static int open_volume(void)
{
	struct vdo_error error;

	if (vdo_open_device(device, config, &volume, &error) == 0)
		return 0;
	volume = NULL;
	return complain(&error);
}

static int close_volume(void)
{
	int r = volume == NULL ? 0 : vdo_close(volume);

	volume = NULL;
	if (r == 0)
		return 0;
	nbdkit_error("%s: close: %s (%s)", file, vdo_strerror(r),
		     vdo_error_name(r));
	return -1;
}

/* Is the sub-volume there that is the default export? */
static int try_export(void)
{
	struct vdo_volume *sub;
	struct vdo_error error;

	if (export == NULL)
		return 0;
	if (vdo_sub_open(volume, export, VDO_OPEN_READ_ONLY, &sub, &error) != 0)
		return complain(&error);
	return vdo_close(sub);
}

/* No signal ends us while the volume is open: it is delivered afterwards. */
static int plugin_get_ready(void)
{
	sigset_t all, old;
	int r;

	given_read(&given);
	vdo_config_set_log(config, log_line, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = open_storage();
	if (r == 0)
		r = open_volume();
	if (r == 0) {
		r = try_export();
		if (close_volume() != 0)
			r = -1;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* nbdkit did it as well, but a child does not inherit locks of memory. */
static int lock_memory(void)
{
	if (!given.swap || mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
		return 0;
	nbdkit_error("--swap: cannot lock memory: %s; raise the limit "
		     "(ulimit -l)",
		     strerror(errno));
	return -1;
}

/*
 * Under --run our end would be seen by nobody: the parent holds the socket, on
 * which the command would wait. So there we stay, and refuse connections.
 */
static int plugin_after_fork(void)
{
	pass_interrupts_on(SIGTERM);
	if (lock_memory() == 0 && open_volume() == 0)
		return 0;
	return given.run ? 0 : -1;
}

/*
 * Exports
 */

static int is_open(void)
{
	if (volume != NULL)
		return 0;
	nbdkit_error("%s: could not be opened, see above", file);
	return -1;
}

/* The protocol has no other names than UTF-8. */
static bool can_be_told(const char *name)
{
	uint32_t character;
	size_t n = 1;

	for (; *name != '\0' && n > 0; name += n)
		n = text_decode(name, &character);
	return n > 0;
}

static int add_export(void *arg, const struct vdo_sub *s)
{
	if (s->removing || !can_be_told(s->name))
		return 0;
	return nbdkit_add_export(arg, s->name,
				 s->read_only ? "snapshot" : NULL) == 0
		       ? 0
		       : -EIO; /* it has said why */
}

static bool is_no_pool(int result)
{
	return result == -ENOENT || result == -VDO_ESIGNATURE;
}

static int list_exports(int readonly, int is_tls,
			struct nbdkit_exports *exports)
{
	struct vdo_error error = {0};
	int r = is_open();

	if (r == 0 && export == NULL)
		r = nbdkit_add_export(exports, "", "the whole volume");
	if (r != 0)
		return -1;
	r = vdo_sub_list(volume, add_export, exports, &error);
	if (r == 0 || is_no_pool(r))
		return 0;
	return error.code != 0 ? complain(&error) : -1;
}

static const char *default_export(int readonly, int is_tls)
{
	return export == NULL ? "" : export;
}

/*
 * Connections
 */

struct connection {
	struct vdo_volume *volume; /* the whole one, or a handle of our own */
	bool can_write;
	struct connection *next, **place; /* where it is in the list */
};

/* All that are open: when the server ends nbdkit closes none of them. */
static struct connection *connections;
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;

static void list_add(struct connection *c)
{
	pthread_mutex_lock(&connections_lock);
	c->next = connections;
	c->place = &connections;
	if (c->next != NULL)
		c->next->place = &c->next;
	connections = c;
	pthread_mutex_unlock(&connections_lock);
}

static void list_remove(struct connection *c)
{
	pthread_mutex_lock(&connections_lock);
	*c->place = c->next;
	if (c->next != NULL)
		c->next->place = c->place;
	pthread_mutex_unlock(&connections_lock);
}

static int look_at_one(void *arg, const struct vdo_sub *s)
{
	return 1;
}

static void connect_to_whole(struct connection *c)
{
	c->volume = volume;
	c->can_write =
		!vdo_volume_is_read_only(volume) &&
		is_no_pool(vdo_sub_list(volume, look_at_one, NULL, NULL));
}

static int connect_to_sub(struct connection *c, const char *name, int readonly)
{
	unsigned flags = readonly ? VDO_OPEN_READ_ONLY : 0;
	struct vdo_error error;

	if (vdo_volume_is_read_only(volume))
		flags = VDO_OPEN_READ_ONLY;
	if (vdo_sub_open(volume, name, flags, &c->volume, &error) != 0)
		return complain(&error);
	c->can_write = !vdo_volume_is_read_only(c->volume);
	return 0;
}

static void *connection_open(int readonly)
{
	const char *name = is_open() == 0 ? nbdkit_export_name() : NULL;
	struct connection *c = name == NULL ? NULL : calloc(1, sizeof(*c));

	if (c == NULL) {
		if (name != NULL)
			nbdkit_error("out of memory");
		return NULL;
	}
	if (*name == '\0') {
		connect_to_whole(c);
	} else if (connect_to_sub(c, name, readonly) != 0) {
		free(c);
		return NULL;
	}
	list_add(c);
	return c;
}

static void connection_close(void *handle)
{
	struct connection *c = handle;

	list_remove(c);
	if (c->volume != volume)
		(void)vdo_close(c->volume);
	free(c);
}

/* No request is under way any more. */
static void plugin_cleanup(void)
{
	while (connections != NULL)
		connection_close(connections);
	(void)close_volume();
	vdo_device_close(device);
	device = NULL;
}

static struct vdo_volume *volume_of(void *handle)
{
	return ((struct connection *)handle)->volume;
}

static int64_t connection_size(void *handle)
{
	return (int64_t)vdo_volume_size(volume_of(handle));
}

static int can_write(void *handle)
{
	return ((struct connection *)handle)->can_write;
}

static int can(void *handle)
{
	return 1;
}

static int can_fua(void *handle)
{
	return NBDKIT_FUA_NATIVE;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
		      uint32_t *maximum)
{
	*minimum = vdo_volume_alignment(volume_of(handle));
	*preferred = 4096;
	*maximum = MAXIMUM_REQUEST;
	return 0;
}

/* The result of a request as nbdkit wants it. */
static int finish(const char *what, uint64_t offset, int result)
{
	if (result == 0)
		return 0;
	nbdkit_error("%s at %llu: %s (%s)", what, (unsigned long long)offset,
		     vdo_strerror(result), vdo_error_name(result));
	if (result == -VDO_EREADONLY)
		nbdkit_set_error(EROFS);
	else
		nbdkit_set_error(-result < VDO_ENOTVDO ? -result : EIO);
	return -1;
}

/* Who is told of extents. */
struct told {
	struct nbdkit_extents *extents;
	uint64_t offset; /* from here on */
	bool one;	 /* one is enough */
};

static unsigned fua(uint32_t flags)
{
	return flags & NBDKIT_FLAG_FUA ? VDO_IO_FUA : 0;
}

static int volume_pread(void *handle, void *buf, uint32_t count,
			uint64_t offset, uint32_t flags)
{
	return finish("read", offset,
		      vdo_pread(volume_of(handle), buf, count, offset, 0));
}

static int volume_pwrite(void *handle, const void *buf, uint32_t count,
			 uint64_t offset, uint32_t flags)
{
	return finish(
		"write", offset,
		vdo_pwrite(volume_of(handle), buf, count, offset, fua(flags)));
}

static int volume_flush(void *handle, uint32_t flags)
{
	return finish("flush", 0, vdo_flush(volume_of(handle), 0));
}

/* A hint: what is not a whole unit at the edges is left alone. */
static int volume_trim(void *handle, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	uint64_t unit = vdo_volume_alignment(volume_of(handle));
	uint64_t start = (offset + unit - 1) / unit * unit;
	uint64_t end = (offset + count) / unit * unit;

	if (start >= end)
		return flags & NBDKIT_FLAG_FUA ? volume_flush(handle, 0) : 0;
	return finish(
		"trim", offset,
		vdo_discard(volume_of(handle), end - start, start, fua(flags)));
}

static int volume_zero(void *handle, uint32_t count, uint64_t offset,
		       uint32_t flags)
{
	int r;

	if (flags & NBDKIT_FLAG_MAY_TRIM)
		r = vdo_discard(volume_of(handle), count, offset, fua(flags));
	else
		r = vdo_write_zeroes(volume_of(handle), count, offset,
				     fua(flags));
	return finish("zero", offset, r);
}

/* nbdkit merges extents of one type. */
static int add_extent(void *arg, const struct vdo_extent *e)
{
	static const uint32_t types[] = {
		[VDO_MAP_HOLE] = NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO,
		[VDO_MAP_ZERO] = NBDKIT_EXTENT_ZERO,
		[VDO_MAP_DATA] = 0,
		[VDO_MAP_COMPRESSED] = 0,
	};
	struct told *t = arg;

	if (nbdkit_add_extent(t->extents, e->offset, e->length,
			      types[e->kind]) != 0)
		return -EIO; /* it has said why */
	return t->one && e->offset + e->length > t->offset;
}

/* Whole units around the range: nbdkit cuts off what was not asked for. */
static int volume_extents(void *handle, uint32_t count, uint64_t offset,
			  uint32_t flags, struct nbdkit_extents *extents)
{
	uint64_t unit = vdo_volume_alignment(volume_of(handle));
	uint64_t start = offset / unit * unit;
	uint64_t end = (offset + count + unit - 1) / unit * unit;
	struct told t = {extents, offset, flags & NBDKIT_FLAG_REQ_ONE};
	int r = vdo_map_extents(volume_of(handle), start, end - start, 0,
				add_extent, &t);

	return finish("extents", offset, r > 0 ? 0 : r);
}

static struct nbdkit_plugin plugin = {
	.name = "vdo",
	.longname = "nbdkit VDO plugin",
	.version = PACKAGE_VERSION,
	.description = "deduplicated, compressed, thinly provisioned storage",
	.load = plugin_load,
	.unload = plugin_unload,
	.dump_plugin = plugin_dump_plugin,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.config_help = help,
	.magic_config_key = "file",
	.get_ready = plugin_get_ready,
	.after_fork = plugin_after_fork,
	.cleanup = plugin_cleanup,
	.list_exports = list_exports,
	.default_export = default_export,
	.open = connection_open,
	.close = connection_close,
	.get_size = connection_size,
	.block_size = block_size,
	.can_write = can_write,
	.can_flush = can,
	.can_trim = can,
	.can_zero = can,
	.can_fast_zero = can,
	.can_multi_conn = can,
	.can_fua = can_fua,
	.can_extents = can,
	.pread = volume_pread,
	.pwrite = volume_pwrite,
	.flush = volume_flush,
	.trim = volume_trim,
	.zero = volume_zero,
	.extents = volume_extents,
};

/* The header defines it without having declared it, which clang reports. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
