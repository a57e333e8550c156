/* SPDX-License-Identifier: BSD-2-Clause */
#include "kv.h"

#include <errno.h>
#include <string.h>

#define BLOCK 4096u
#define MAGIC UINT64_C(0x3165726f7473766b)

struct head {
	uint64_t magic, records, check;
};

struct record {
	uint64_t sequence, key;
	uint8_t value[KV_VALUE];
	uint64_t check;
};

/* FNV-1a. */
static uint64_t sum(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	while (n-- > 0)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

static int read_record(struct kv *kv, uint64_t at, struct record *r)
{
	uint8_t block[BLOCK];
	int result = vdo_pread(kv->volume, block, BLOCK, at * BLOCK, 0);

	if (result != 0)
		return result;
	memcpy(r, block, sizeof(*r));
	if (r->sequence != at || r->key >= KV_KEYS ||
	    r->check != sum(r, offsetof(struct record, check)))
		return -EBADMSG;
	return 0;
}

static int read_head(struct kv *kv, struct head *h)
{
	uint8_t block[BLOCK], zeroes[sizeof(*h)] = {0};
	int result = vdo_pread(kv->volume, block, BLOCK, 0, 0);

	if (result != 0)
		return result;
	memcpy(h, block, sizeof(*h));
	if (memcmp(h, zeroes, sizeof(*h)) == 0)
		return 0;
	if (h->magic != MAGIC || h->check != sum(h, offsetof(struct head, check)))
		return -EBADMSG;
	return 0;
}

int kv_open(struct kv *kv, struct vdo_volume *v)
{
	struct record r;
	struct head h;
	int result;

	memset(kv, 0, sizeof(*kv));
	kv->volume = v;
	result = read_head(kv, &h);
	for (uint64_t i = 1; result == 0 && i <= h.records; i++) {
		result = read_record(kv, i, &r);
		if (result == 0)
			kv->last[r.key] = i;
	}
	kv->records = h.records;
	return result;
}

int kv_put(struct kv *kv, unsigned key, const void *value)
{
	uint8_t block[BLOCK] = {0};
	struct record r = {.sequence = kv->records + 1, .key = key};
	int result;

	if (key >= KV_KEYS)
		return -EINVAL;
	memcpy(r.value, value, KV_VALUE);
	r.check = sum(&r, offsetof(struct record, check));
	memcpy(block, &r, sizeof(r));
	result = vdo_pwrite(kv->volume, block, BLOCK, r.sequence * BLOCK, 0);
	if (result == 0)
		kv->last[key] = ++kv->records;
	return result;
}

int kv_get(struct kv *kv, unsigned key, void *value)
{
	struct record r;
	int result;

	if (key >= KV_KEYS || kv->last[key] == 0)
		return -ENOENT;
	result = read_record(kv, kv->last[key], &r);
	if (result == 0)
		memcpy(value, r.value, KV_VALUE);
	return result;
}

int kv_commit(struct kv *kv)
{
	uint8_t block[BLOCK] = {0};
	struct head h = {.magic = MAGIC, .records = kv->records};
	int result = kv->sloppy ? 0 : vdo_flush(kv->volume, 0);

	if (result != 0)
		return result;
	h.check = sum(&h, offsetof(struct head, check));
	memcpy(block, &h, sizeof(h));
	return vdo_pwrite(kv->volume, block, BLOCK, 0, VDO_IO_FUA);
}
