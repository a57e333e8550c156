/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the forms have in common in which savings are told: text, JSON, and a
 * page of HTML.
 */
#ifndef EXAMPLES_VDOCTL_SAVINGS_H
#define EXAMPLES_VDOCTL_SAVINGS_H

#include "vdoctl.h"

struct savings_row {
	const char *name;  /* of a program, or NULL */
	const char *label; /* for people */
	uint64_t blocks;
};

/* References and fragments, put together in bins. */
#define SAVINGS_BINS 14

struct savings_chart {
	const char *title;
	size_t count;
	struct savings_row rows[SAVINGS_BINS];
};

void savings_volume(struct savings_chart *c, const struct vdo_savings *s);
void savings_logical(struct savings_chart *c, const struct vdo_savings *s);
void savings_saved(struct savings_chart *c, const struct vdo_savings *s);
void savings_references(struct savings_chart *c, const struct vdo_savings *s);
void savings_fragments(struct savings_chart *c, const struct vdo_savings *s);

uint64_t savings_sum(const struct savings_chart *c);

/* enum vdo_savings_copies and enum vdo_savings_form. */
extern const struct savings_row savings_copies[VDO_SAVINGS_COPIES];
extern const struct savings_row savings_forms[VDO_SAVINGS_FORMS];

/* Write a page to @page, which must not be there. The exit code. */
int savings_html(const char *page, const char *volume,
		 const struct vdo_savings *s);

#endif
