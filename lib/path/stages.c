/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which stages of a request are valid, with --enable-debug. See request.h.
 */
#include "build.h"

#include "path/request.h"

#ifdef VDO_DEBUG

#include <string.h>

#define OUT_OF_STAGE 0xdb

#define STAGE(field) {offsetof(struct request, field),                         \
		      sizeof(((struct request *)NULL)->field)}

static const struct {
	size_t offset, size;
} stages[] = {
	[STAGE_LBN] = STAGE(lbn),
	[STAGE_MAP] = STAGE(map),
	[STAGE_ALLOC] = STAGE(alloc),
	[STAGE_COUNTS] = STAGE(counts),
	[STAGE_MIO] = STAGE(mio),
};

static void stage_end(struct request *r, unsigned s)
{
	memset((uint8_t *)r + stages[s].offset, OUT_OF_STAGE, stages[s].size);
}

/* Nobody wrote to the stage since it ended. */
static void stage_begin(const struct request *r, unsigned s)
{
	const uint8_t *bytes = (const uint8_t *)r + stages[s].offset;

	VDO_ASSERT(bytes[0] == OUT_OF_STAGE &&
		   memcmp(bytes, bytes + 1, stages[s].size - 1) == 0);
}

void request_init_stages(struct request *r)
{
	for (unsigned s = 0; s < STAGES; s++)
		stage_end(r, s);
	r->valid = 0;
}

void request_check_stages(struct request *r, const struct stage_rows *rows,
			  int row)
{
	VDO_CHECK(r->valid < 1u << STAGES);
	for (unsigned s = 0; s < STAGES; s++) {
		bool is = flow_number(rows[s].first) <= flow_number(row) &&
			  flow_number(row) <= flow_number(rows[s].last);
		bool was = (r->valid & 1u << s) != 0;

		if (is && !was)
			stage_begin(r, s);
		if (was && !is)
			stage_end(r, s);
		if (is != was)
			r->valid ^= 1u << s;
	}
}

#endif
