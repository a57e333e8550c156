// SPDX-License-Identifier: BSD-2-Clause
// Write, and read back.
#include <cstdio>
#include <cstring>

#include "vdo.hpp"

int main()
{
	std::vector<std::byte> block(4096);

	std::memcpy(block.data(), "hello, world", 12);
	vdo::format("hello.vdo", {{"size", "64M"}, {"force", "on"}});
	vdo::volume v("hello.vdo");
	v.pwrite(block, 0);
	v.copy_range(1 << 20, 0, block.size());
	v.pread(block, 1 << 20);
	std::printf("%.12s\n", reinterpret_cast<const char *>(block.data()));
	v.close();
}
