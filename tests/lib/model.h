/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each logical block may hold, whatever is under way.
 *
 * Each write of a block is a version with three times: when it was submitted,
 * acknowledged, and known to be durable. Version v is out of date once one that
 * was submitted after v's acknowledgement has itself been acknowledged (for
 * reads) or is durable (for what a crash leaves). All others are allowed; so
 * writes that overlap in time may take effect in either order.
 *
 * Runs on: one thread. Lifetime: model_create() to model_destroy().
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model;
struct model_version;

/* All blocks hold zeroes, durably. Aborts without memory, as the rest. */
struct model *model_create(uint64_t blocks);
void model_destroy(struct model *m);

/* @block (4096 bytes; NULL: zeroes) is on its way to @lbn. */
struct model_version *model_submit(struct model *m, uint64_t lbn,
				   const void *block);
/* The same as if it had been on its way since @since. */
struct model_version *model_submit_at(struct model *m, uint64_t lbn,
				      const void *block, uint64_t since);
/* It was acknowledged; with @fua it is durable. */
void model_ack(struct model *m, struct model_version *v, bool fua);
/* It failed, and cannot have had any effect (no space). */
void model_never(struct model *m, struct model_version *v);
/* It failed, and may have had an effect or not. */
void model_maybe(struct model *m, struct model_version *v);

/* The time of now; for reads and flushes. */
uint64_t model_now(struct model *m);
/* A flush submitted at @since is over, successfully. */
void model_flushed(struct model *m, uint64_t since);

/* The number of what a block holds. No two contents ever have the same one. One
 * that no version has any more may come back with another number: so what is not
 * allowed by a number that was remembered is looked at again. */
#define MODEL_UNKNOWN 0u
#define MODEL_ZEROES  1u

uint64_t model_number(struct model *m, const void *block);

/* May a read that was submitted at @since have found this? */
bool model_may_read(struct model *m, uint64_t lbn, uint64_t since,
		    uint64_t number);
/* All that it may have found, in *contents, and then NULL. False: that is @max or
 * more. */
bool model_contents(struct model *m, uint64_t lbn, uint64_t since,
		    const void **contents, unsigned max);
/* May it be there after a crash? It then is the only version. */
bool model_may_survive(struct model *m, uint64_t lbn, uint64_t number);

/* The same, without consequences: what read-only mode may still show. */
bool model_may_hold(struct model *m, uint64_t lbn, uint64_t number);

/* Was nothing ever written there? */
bool model_is_fresh(struct model *m, uint64_t lbn);
/* Is there one version that is durable, and was none submitted since? */
bool model_settled(struct model *m, uint64_t lbn);
/* @block is there and durable, whatever was known of @lbn. */
void model_adopt(struct model *m, uint64_t lbn, const void *block);

/* The only thing that a read can find now, or NULL if there are more. */
const void *model_only(struct model *m, uint64_t lbn);

/* Print all versions of @lbn; a star marks those equal to @block. */
void model_print(struct model *m, uint64_t lbn, const void *block);

/* Nothing is under way: forget what no read can find any more. */
void model_idle(struct model *m);

#endif
