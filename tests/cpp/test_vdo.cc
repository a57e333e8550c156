// SPDX-License-Identifier: BSD-2-Clause
// The C++ header on real volumes; tests/sh/cpp.sh compiles it for C++17 and C++20.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include "vdo.hpp"

#define CHECK(condition)                                                       \
	((condition) ? (void)0                                                 \
		     : (std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,  \
				     __LINE__, #condition),                    \
			std::abort()))

constexpr std::size_t B = 4096;
using buffer = std::vector<std::byte>;

static buffer block(unsigned n, std::size_t count = 1)
{
	std::mt19937 random(n);
	buffer b(count * B);

	for (auto &byte : b)
		byte = static_cast<std::byte>(random());
	return b;
}

template <class F> static int code_of(F f)
{
	try {
		f();
	} catch (const vdo::error &e) {
		CHECK(std::strlen(e.what()) > 0);
		return e.code().value();
	}
	return 0;
}

static vdo::device new_device()
{
	auto d = vdo::device::memory(64 << 20);

	vdo::format(d, {{"logical-size", "256M"}, {"index-memory", "none"}});
	return d;
}

static void data_comes_back(const char *executor)
{
	auto d = new_device();
	buffer back(2 * B);

	{
		vdo::volume v(d, {{"executor", executor}});

		CHECK(v.size() == 256u << 20 && v.alignment() == B);
		v.pwrite(block(1, 2), B, VDO_IO_FUA);
		v.copy_range(1 << 20, B, 2 * B);
		v.discard(B, B);
		v.write_zeroes(B, 2 * B);
		v.flush();
		v.pread(back, B);
		CHECK(back == buffer(2 * B));
		v.set("compression", "off");
		v.suspend();
		v.resume();
		CHECK(v.stats().at("path.spaceUsed") >= 2);
		vdo::volume moved = std::move(v);
		moved.close();
	}
	vdo::volume v(d, {{"read-only", "on"}});
	CHECK(v.read_only());
	v.pread(back, 1 << 20);
	CHECK(back == block(1, 2));
}

static void futures()
{
	auto d = new_device();
	vdo::volume v(d);
	std::vector<std::future<void>> all;
	std::vector<buffer> blocks;

	for (unsigned i = 0; i < 300; i++)
		blocks.push_back(block(i));
	for (unsigned i = 0; i < 300; i++)
		all.push_back(v.async_pwrite(blocks[i], i * B));
	for (auto &f : all)
		f.get();
	v.async_flush().get();
	for (unsigned i = 0; i < 300; i++) {
		buffer back(B);

		v.async_pread(back, i * B).get();
		CHECK(back == blocks[i]);
	}
	v.async_discard(B, 0).get();
	CHECK(code_of([&] { v.async_pread(blocks[0], UINT64_C(1) << 50).get(); }) ==
	      ERANGE);
	CHECK(code_of([&] { v.async_pread(blocks[0], 1); }) == EINVAL);
}

static void errors()
{
	auto d = vdo::device::memory(1 << 20);

	CHECK(code_of([&] { vdo::volume v(d); }) == VDO_ENOTVDO);
	CHECK(code_of([] { vdo::config c({{"nothing", "1"}}); }) == VDO_EOPTION);
	CHECK(code_of([] { vdo::config c({{"depth", "1"}}); }) == VDO_EVALUE);
	try {
		vdo::volume v("/there/is/none");
		CHECK(false);
	} catch (const std::system_error &e) {
		CHECK(e.code() == std::errc::no_such_file_or_directory);
		CHECK(std::strstr(e.what(), "/there/is/none") != nullptr);
	}
}

// Memory that counts, and knows when it ends.
class counted final : public vdo::storage {
public:
	counted(unsigned &writes, bool &gone) : writes_(writes), gone_(gone) {}
	~counted() override { gone_ = true; }
	std::uint64_t size() override { return bytes_.size(); }
	void submit(vdo_device_io *io) override
	{
		{
			std::lock_guard<std::mutex> lock(mutex_);
			std::byte *at = bytes_.data() + io->offset;

			for (unsigned i = 0; i < io->iov_count; i++) {
				const iovec &v = io->iov[i];

				if (io->op == VDO_DEVICE_WRITE)
					std::memcpy(at, v.iov_base, v.iov_len);
				else
					std::memcpy(v.iov_base, at, v.iov_len);
				at += v.iov_len;
			}
			writes_ += io->op == VDO_DEVICE_WRITE;
		}
		io->complete(io, 0);
	}

private:
	std::mutex mutex_;
	buffer bytes_ = buffer(32 << 20);
	unsigned &writes_;
	bool &gone_;
};

static void devices()
{
	unsigned writes = 0;
	bool gone = false;

	{
		vdo::device d(std::make_unique<counted>(writes, gone));
		std::string lines;
		std::mutex lock;
		buffer back(B);

		vdo::format(d, {{"index-memory", "none"}});
		vdo::volume v(d, vdo::config().log([&](vdo_log_level, const char *l) {
			std::lock_guard<std::mutex> held(lock);

			lines += l;
		}));
		v.pwrite(block(3), 0);
		v.close();
		CHECK(lines.find("closed") != std::string::npos);
		vdo::volume w(d);
		w.pread(back, 0);
		CHECK(back == block(3));
		w.close();
		auto j = vdo::check(d, VDO_CHECK_DATA);
		while (!j.wait(100))
			CHECK(!j.progress().over);
		CHECK(vdo::report(j).findings == 0);
		CHECK(std::string(vdo::inspect(d).state_name) == "clean");
	}
	CHECK(writes > 3 && gone);
}

static void pools()
{
	auto d = new_device();
	vdo::volume v(d);
	buffer back(B);

	v.sub_create("root", 1 << 20);
	auto root = v.sub("root");
	root.pwrite(block(1), 0);
	v.sub_snapshot("root", "before");
	root.pwrite(block(2), 0);
	{
		auto before = v.sub("before");

		before.pread(back, 0);
		CHECK(before.read_only() && back == block(1));
		CHECK(code_of([&] { v.close(); }) == EBUSY);
	}
	v.sub_clone("root", "clone");
	v.sub_remove("before");
	CHECK(code_of([&] { v.sub("before"); }) == ENOENT);
	root.close();
	v.close();
}

#if defined(VDO_HPP_COROUTINES)
struct task {
	struct promise_type {
		task get_return_object() { return {}; }
		std::suspend_never initial_suspend() noexcept { return {}; }
		std::suspend_never final_suspend() noexcept { return {}; }
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};
};

// Goes on in a thread of its own, where calls that wait are fine.
static task story(const vdo::volume &v, std::promise<int> &done)
{
	vdo::scheduler elsewhere = [](std::coroutine_handle<> h) {
		std::thread([h] { h.resume(); }).detach();
	};
	buffer back(B), one = block(1);
	int code = 0;

	co_await v.co_pwrite(one, 0, 0, elsewhere);
	v.flush(); // waits
	co_await v.co_pread(back, 0);
	CHECK(back == one);
	co_await v.co_flush();
	co_await v.co_discard(B, 0, 0, elsewhere);
	v.pread(back, 0);
	CHECK(back == buffer(B));
	try {
		co_await v.co_pread(back, UINT64_C(1) << 50);
	} catch (const vdo::error &e) {
		code = e.code().value();
	}
	done.set_value(code);
}

static void coroutines()
{
	auto d = new_device();
	vdo::volume v(d);
	std::promise<int> done;

	story(v, done);
	CHECK(done.get_future().get() == ERANGE);
}
#else
static void coroutines() {}
#endif

int main()
{
	data_comes_back("native");
	data_comes_back("inline");
	futures();
	errors();
	devices();
	pools();
	coroutines();
	std::puts("ok");
}
