/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With AVX2, where the processor has it, an instruction looks at 32 bytes;
 * elsewhere memcmp() does. Most blocks with data differ from zero in their
 * first word, so that is looked at before anything else.
 */
#include "build.h"

#include "base/zero.h"

#include "base/assert.h"
#include "base/bytes.h"

#if defined(__x86_64__) && defined(__GNUC__)

typedef uint64_t words __attribute__((vector_size(32), aligned(1), may_alias));

__attribute__((target("avx2"))) static bool rest_is_zero(const uint8_t *p,
							  size_t n)
{
	VDO_CHECK(n % 16 == 0);
	while (n >= 512) {
		const words *w = (const words *)p;
		words a = w[0] | w[1] | w[2] | w[3];
		words b = w[4] | w[5] | w[6] | w[7];
		words c = w[8] | w[9] | w[10] | w[11];
		words d = w[12] | w[13] | w[14] | w[15];
		words any = a | b | c | d;

		if ((any[0] | any[1] | any[2] | any[3]) != 0)
			return false;
		p += 512;
		n -= 512;
	}
	return n == 0 || is_zero(p, n);
}

bool zero_test(const void *p, size_t n)
{
	VDO_CHECK(n > 0 && n % 16 == 0);
	if (get_u64(p) != 0)
		return false;
	if (!__builtin_cpu_supports("avx2"))
		return is_zero(p, n);
	return rest_is_zero(p, n);
}

#else

bool zero_test(const void *p, size_t n)
{
	return is_zero(p, n);
}

#endif
