// SPDX-License-Identifier: BSD-2-Clause
// Coroutines in one thread, which runs the volume's work as well (executor=inline): a
// thousand of them write a block each, read it back, and compare.
#include <cstdio>
#include <cstring>

#include "vdo.hpp"

#if defined(VDO_HPP_COROUTINES)

// One that begins at once, and that nobody waits for.
struct task {
	struct promise_type {
		task get_return_object() { return {}; }
		std::suspend_never initial_suspend() noexcept { return {}; }
		std::suspend_never final_suspend() noexcept { return {}; }
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};
};

static task write_and_read(const vdo::volume &v, unsigned i, unsigned &left,
			   unsigned &good)
{
	std::vector<std::byte> block(4096, std::byte(i)), back(4096);

	std::memcpy(block.data(), &i, sizeof(i));
	co_await v.co_pwrite(block, i * UINT64_C(4096));
	co_await v.co_pread(back, i * UINT64_C(4096));
	good += block == back;
	left--;
}

int main()
{
	vdo::device d = vdo::device::memory(64 << 20);
	unsigned left = 1000, good = 0;

	vdo::format(d, {{"index-memory", "none"}});
	vdo::volume v(d, {{"executor", "inline"}});
	for (unsigned i = 0; i < 1000; i++)
		write_and_read(v, i, left, good);
	while (left > 0)
		v.poll(-1);
	std::printf("%u blocks came back\n", good);
	v.close();
	return good == 1000 ? 0 : 1;
}

#else

int main()
{
	std::puts("this compiler has no coroutines");
	return 77;
}

#endif
