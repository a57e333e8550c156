// SPDX-License-Identifier: BSD-2-Clause
//
// libvdo for C++17 and later: one header, over the C interface.
//
//	vdo::format("disk.vdo", {{"size", "1G"}});
//	vdo::volume v("disk.vdo");
//	v.pwrite(block, 0);
//	v.async_pread(block, 0).get();          // a std::future
//	co_await v.co_pread(block, 0);          // C++20
//
// What each call does, and when it fails, is in the manual pages of the C functions.
// Results that are errors are thrown as vdo::error.
//
// Objects own what they are named after, can be moved, and close it when they end. What
// closing returns is lost then: call close() to have it thrown. Threads: as in C; one
// object belongs to one thread at a time while it is moved, closed or ends.
//
// Futures and coroutines go on when the library calls back, on a thread of the volume or
// (executor=inline) inside of poll(). There a call that waits throws EDEADLK; give
// co_... a scheduler to go on elsewhere.
#ifndef VDO_HPP
#define VDO_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <vdo/vdo.h>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif
#if defined(__cpp_impl_coroutine) && defined(__cpp_lib_coroutine)
#include <coroutine>
#define VDO_HPP_COROUTINES 1
#endif

namespace vdo {

// ---------------------------------------------------------------------- errors

// The library's numbers and those of errno(3), as std::error_code.
inline const std::error_category &category()
{
	struct vdo_category final : std::error_category {
		const char *name() const noexcept override { return "vdo"; }
		std::string message(int code) const override
		{
			return vdo_strerror(code);
		}
		std::error_condition
		default_error_condition(int code) const noexcept override
		{
			// ENOSPC is std::errc::no_space_on_device.
			return code < VDO_ENOTVDO
				       ? std::generic_category()
						 .default_error_condition(code)
				       : std::error_condition(code, *this);
		}
	};
	static const vdo_category c;

	return c;
}

// code().value() is a positive number: of errno(3), or VDO_E...
class error : public std::system_error {
public:
	error(int result, const char *text)
		: std::system_error(result < 0 ? -result : result, category(), text)
	{
	}
	// Such as "VDO_EDIRTY".
	const char *name() const noexcept
	{
		return vdo_error_name(code().value());
	}
};

namespace detail {

inline int check(int result)
{
	if (result < 0)
		throw error(result, "libvdo");
	return result;
}

inline int check(int result, const vdo_error &e)
{
	if (result < 0)
		throw error(result, e.message[0] != '\0' ? e.message : "libvdo");
	return result;
}

template <class T, void (*Free)(T *)> struct freer {
	void operator()(T *p) const noexcept { Free(p); }
};

} // namespace detail

// ----------------------------------------------------------------------- views

#if defined(__cpp_lib_span)
using bytes = std::span<std::byte>;
using const_bytes = std::span<const std::byte>;
#else
// As much of std::span as is needed.
template <class Byte> class basic_bytes {
public:
	basic_bytes(Byte *data, std::size_t size) : data_(data), size_(size) {}
	template <class Container,
		  class = std::enable_if_t<!std::is_same_v<
			  std::decay_t<Container>, basic_bytes>>>
	basic_bytes(Container &&c) : data_(c.data()), size_(c.size())
	{
	}
	Byte *data() const noexcept { return data_; }
	std::size_t size() const noexcept { return size_; }

private:
	Byte *data_;
	std::size_t size_;
};
using bytes = basic_bytes<std::byte>;
using const_bytes = basic_bytes<const std::byte>;
#endif

// --------------------------------------------------------------------- options

// Options by name, see vdo-options(7): {{"size", "1G"}, {"depth", "64"}}
class config {
public:
	using log_function = std::function<void(vdo_log_level, const char *)>;

	config() : config({}) {}
	config(std::initializer_list<std::pair<std::string, std::string>> options)
	{
		vdo_config *c;

		detail::check(vdo_config_new(&c));
		p_.reset(c);
		for (const auto &[name, value] : options)
			set(name, value);
	}
	config &set(const std::string &name, const std::string &value)
	{
		vdo_error e;

		detail::check(vdo_config_set(p_.get(), name.c_str(),
					     value.c_str(), &e),
			      e);
		return *this;
	}
	// Called on any thread of the volume; must not throw. It lives as long as
	// what was opened with it.
	config &log(log_function fn)
	{
		log_ = std::make_shared<log_function>(std::move(fn));
		vdo_config_set_log(
			p_.get(),
			[](void *arg, vdo_log_level level, const char *line) {
				(*static_cast<log_function *>(arg))(level, line);
			},
			log_.get());
		return *this;
	}
	// Run on the host's pool.
	config &pool(const vdo_pool_ops &ops, void *arg)
	{
		detail::check(vdo_config_set_pool(p_.get(), &ops, arg));
		return *this;
	}
	const vdo_config *get() const noexcept { return p_.get(); }
	std::shared_ptr<log_function> log_kept() const { return log_; }

private:
	std::unique_ptr<vdo_config, detail::freer<vdo_config, vdo_config_free>> p_;
	std::shared_ptr<log_function> log_;
};

// --------------------------------------------------------------------- devices

// Storage of the host's own: derive, and give it to device. Called on any thread.
class storage {
public:
	virtual ~storage() = default;
	virtual std::uint64_t size() = 0;
	virtual unsigned flags() { return 0; } // VDO_DEVICE_*
	// As vdo_device_ops.submit: calls io->complete once, and does not throw.
	virtual void submit(vdo_device_io *io) = 0;
};

class device {
public:
	static device open(const std::string &path, unsigned flags = 0)
	{
		vdo_device *d;
		vdo_error e;

		detail::check(vdo_device_open(path.c_str(), flags, &d, &e), e);
		return device(d);
	}
	static device memory(std::uint64_t size)
	{
		vdo_device *d;

		detail::check(vdo_device_open_memory(size, &d));
		return device(d);
	}
	explicit device(std::unique_ptr<storage> s)
	{
		vdo_device *d;

		detail::check(vdo_device_open_custom(&ops(), s.get(), &d));
		s.release(); // ends in close(), also if the library has it longest
		p_.reset(d);
	}
	std::uint64_t size() const noexcept { return vdo_device_size(p_.get()); }
	vdo_device *get() const noexcept { return p_.get(); }

private:
	explicit device(vdo_device *d) : p_(d) {}
	static const vdo_device_ops &ops()
	{
		static const vdo_device_ops table = {
			sizeof(vdo_device_ops),
			[](void *ctx) { return static_cast<storage *>(ctx)->size(); },
			[](void *ctx) { return static_cast<storage *>(ctx)->flags(); },
			[](void *ctx, vdo_device_io *io) {
				static_cast<storage *>(ctx)->submit(io);
			},
			[](void *ctx) { delete static_cast<storage *>(ctx); },
		};

		return table;
	}
	std::unique_ptr<vdo_device, detail::freer<vdo_device, vdo_device_close>> p_;
};

// -------------------------------------------------------------------- callbacks

namespace detail {

// A callback that ends a promise, and itself.
struct promised {
	std::promise<void> promise;

	static void done(void *arg, int result)
	{
		std::unique_ptr<promised> self(static_cast<promised *>(arg));

		if (result == 0)
			self->promise.set_value();
		else
			self->promise.set_exception(std::make_exception_ptr(
				error(result, "libvdo")));
	}
};

// Calls @submit(callback, arg); the future ends with the operation.
template <class Submit> std::future<void> promise(Submit submit)
{
	auto p = std::make_unique<promised>();
	auto future = p->promise.get_future();

	check(submit(promised::done, static_cast<void *>(p.get())));
	p.release();
	return future;
}

} // namespace detail

#if defined(VDO_HPP_COROUTINES)
// Where a coroutine goes on; empty: where the library calls back.
using scheduler = std::function<void(std::coroutine_handle<>)>;

namespace detail {

template <class Submit> class awaitable {
public:
	awaitable(Submit submit, scheduler s)
		: submit_(std::move(submit)), scheduler_(std::move(s))
	{
	}
	bool await_ready() const noexcept { return false; }
	// False: it was not submitted, and goes on at once.
	bool await_suspend(std::coroutine_handle<> h)
	{
		handle_ = h;
		// From here on the callback may have ended us.
		int result = submit_(done, static_cast<void *>(this));

		if (result == 0)
			return true;
		result_ = result;
		return false;
	}
	void await_resume() const { check(result_); }

private:
	static void done(void *arg, int result)
	{
		auto *self = static_cast<awaitable *>(arg);
		auto handle = self->handle_;

		self->result_ = result;
		if (self->scheduler_) {
			auto s = std::move(self->scheduler_);

			s(handle);
		} else {
			handle.resume();
		}
	}
	Submit submit_;
	scheduler scheduler_;
	std::coroutine_handle<> handle_;
	int result_ = 0;
};

} // namespace detail
#endif

// ------------------------------------------------------------------------ jobs

// Work that takes its time: vdo_check() and its like start one.
class job {
public:
	explicit job(vdo_job *j) : p_(j) {}
	// True: it is over; what it failed with is thrown.
	bool wait(int timeout_ms = -1)
	{
		vdo_error e;
		int result = vdo_job_wait(p_.get(), timeout_ms, &e);

		if (result == -ETIMEDOUT)
			return false;
		detail::check(result, e);
		return true;
	}
	struct vdo_job_progress progress() const
	{
		struct vdo_job_progress p;

		::vdo_job_progress(p_.get(), &p, sizeof(p));
		return p;
	}
	void cancel() { vdo_job_cancel(p_.get()); }
	vdo_job *get() const noexcept { return p_.get(); }

private:
	std::unique_ptr<vdo_job, detail::freer<vdo_job, vdo_job_free>> p_;
};

// --------------------------------------------------------------------- volumes

// A volume or sub-volume that is open. Buffers of operations that are awaited, or in
// a future, stay where they are until these are over.
class volume {
	// What submits an operation with a callback and its argument.
	auto read_of(bytes b, std::uint64_t offset, unsigned flags) const
	{
		return [v = get(), b, offset, flags](vdo_callback fn, void *arg) {
			return vdo_aio_pread(v, b.data(), b.size(), offset, fn,
					     arg, flags);
		};
	}
	auto write_of(const_bytes b, std::uint64_t offset, unsigned flags) const
	{
		return [v = get(), b, offset, flags](vdo_callback fn, void *arg) {
			return vdo_aio_pwrite(v, b.data(), b.size(), offset, fn,
					      arg, flags);
		};
	}
	auto flush_of() const
	{
		return [v = get()](vdo_callback fn, void *arg) {
			return vdo_aio_flush(v, fn, arg, 0);
		};
	}
	auto discard_of(std::uint64_t count, std::uint64_t offset,
			unsigned flags) const
	{
		return [v = get(), count, offset, flags](vdo_callback fn,
							 void *arg) {
			return vdo_aio_discard(v, count, offset, fn, arg, flags);
		};
	}

public:
	explicit volume(const std::string &path, const config &c = {})
		: log_(c.log_kept())
	{
		vdo_error e;
		vdo_volume *v;

		detail::check(vdo_open(path.c_str(), c.get(), &v, &e), e);
		p_.reset(v);
	}
	// The device outlives the volume.
	explicit volume(const device &d, const config &c = {}) : log_(c.log_kept())
	{
		vdo_error e;
		vdo_volume *v;

		detail::check(vdo_open_device(d.get(), c.get(), &v, &e), e);
		p_.reset(v);
	}
	void close()
	{
		vdo_volume *v = p_.release();
		int result = vdo_close(v);

		if (result == -EBUSY || result == -EDEADLK)
			p_.reset(v); // it is still open
		detail::check(result);
	}
	// As a crash would leave it; for tests.
	void abandon() { vdo_abandon(p_.release()); }
	vdo_volume *get() const noexcept { return p_.get(); }

	std::uint64_t size() const noexcept { return vdo_volume_size(get()); }
	unsigned alignment() const noexcept { return vdo_volume_alignment(get()); }
	bool read_only() const noexcept { return vdo_volume_is_read_only(get()); }

	// ---- operations that wait
	void pread(bytes b, std::uint64_t offset, unsigned flags = 0) const
	{
		detail::check(vdo_pread(get(), b.data(), b.size(), offset, flags));
	}
	void pwrite(const_bytes b, std::uint64_t offset, unsigned flags = 0) const
	{
		detail::check(vdo_pwrite(get(), b.data(), b.size(), offset, flags));
	}
	void flush() const { detail::check(vdo_flush(get(), 0)); }
	void discard(std::uint64_t count, std::uint64_t offset,
		     unsigned flags = 0) const
	{
		detail::check(vdo_discard(get(), count, offset, flags));
	}
	void write_zeroes(std::uint64_t count, std::uint64_t offset,
			  unsigned flags = 0) const
	{
		detail::check(vdo_write_zeroes(get(), count, offset, flags));
	}
	void copy_range(std::uint64_t dst, std::uint64_t src, std::uint64_t count,
			unsigned flags = 0) const
	{
		detail::check(vdo_copy_range(get(), dst, src, count, flags));
	}

	// ---- futures
	std::future<void> async_pread(bytes b, std::uint64_t offset,
				      unsigned flags = 0) const
	{
		return detail::promise(read_of(b, offset, flags));
	}
	std::future<void> async_pwrite(const_bytes b, std::uint64_t offset,
				       unsigned flags = 0) const
	{
		return detail::promise(write_of(b, offset, flags));
	}
	std::future<void> async_flush() const
	{
		return detail::promise(flush_of());
	}
	std::future<void> async_discard(std::uint64_t count, std::uint64_t offset,
					unsigned flags = 0) const
	{
		return detail::promise(discard_of(count, offset, flags));
	}

#if defined(VDO_HPP_COROUTINES)
	// ---- coroutines
	auto co_pread(bytes b, std::uint64_t offset, unsigned flags = 0,
		      scheduler s = {}) const
	{
		return detail::awaitable(read_of(b, offset, flags), std::move(s));
	}
	auto co_pwrite(const_bytes b, std::uint64_t offset, unsigned flags = 0,
		       scheduler s = {}) const
	{
		return detail::awaitable(write_of(b, offset, flags), std::move(s));
	}
	auto co_flush(scheduler s = {}) const
	{
		return detail::awaitable(flush_of(), std::move(s));
	}
	auto co_discard(std::uint64_t count, std::uint64_t offset,
			unsigned flags = 0, scheduler s = {}) const
	{
		return detail::awaitable(discard_of(count, offset, flags),
					 std::move(s));
	}
#endif

	// ---- the whole volume
	int poll(int timeout_ms) const
	{
		return detail::check(vdo_poll(get(), timeout_ms));
	}
	int fd() const { return detail::check(vdo_volume_fd(get())); }
	void set(const std::string &name, const std::string &value) const
	{
		vdo_error e;

		detail::check(vdo_volume_set(get(), name.c_str(), value.c_str(),
					     &e),
			      e);
	}
	void suspend(bool save = true) const
	{
		detail::check(vdo_suspend(get(), save));
	}
	void resume() const { detail::check(vdo_resume(get())); }
	void grow(std::uint64_t physical, std::uint64_t logical) const
	{
		vdo_error e;

		detail::check(vdo_grow(get(), physical, logical, &e), e);
	}
	std::map<std::string, std::uint64_t> stats() const
	{
		vdo_stats *s;

		detail::check(vdo_stats_get(get(), &s));
		std::unique_ptr<vdo_stats, detail::freer<vdo_stats, vdo_stats_free>>
			owner(s);
		std::map<std::string, std::uint64_t> found;

		for (std::size_t i = 0; i < vdo_stats_count(s); i++) {
			const vdo_stat *at = vdo_stats_at(s, i);

			if (at->text == nullptr)
				found.emplace(at->name, at->value);
		}
		return found;
	}

	// ---- sub-volumes
	void sub_create(const std::string &name, std::uint64_t size) const
	{
		vdo_error e;

		detail::check(vdo_sub_create(get(), name.c_str(), size, &e), e);
	}
	// It must be closed before this volume is.
	volume sub(const std::string &name, unsigned flags = 0) const
	{
		vdo_error e;
		vdo_volume *v;

		detail::check(vdo_sub_open(get(), name.c_str(), flags, &v, &e), e);
		return volume(v);
	}
	void sub_snapshot(const std::string &source, const std::string &name) const
	{
		vdo_error e;

		detail::check(vdo_sub_snapshot(get(), source.c_str(), name.c_str(),
					       &e),
			      e);
	}
	void sub_clone(const std::string &source, const std::string &name) const
	{
		vdo_error e;

		detail::check(vdo_sub_clone(get(), source.c_str(), name.c_str(),
					    &e),
			      e);
	}
	void sub_remove(const std::string &name) const
	{
		vdo_error e;

		detail::check(vdo_sub_remove(get(), name.c_str(), &e), e);
	}

private:
	explicit volume(vdo_volume *v) : p_(v) {}

	struct closer {
		void operator()(vdo_volume *v) const noexcept
		{
			(void)vdo_close(v);
		}
	};
	std::shared_ptr<config::log_function> log_; // called until it is closed
	std::unique_ptr<vdo_volume, closer> p_;
};

// ------------------------------------------------------- volumes that are closed

inline void format(const std::string &path, const config &c = {})
{
	vdo_error e;

	detail::check(vdo_format(path.c_str(), c.get(), &e), e);
}

inline void format(const device &d, const config &c = {})
{
	vdo_error e;

	detail::check(vdo_format_device(d.get(), c.get(), &e), e);
}

inline vdo_info inspect(const device &d)
{
	vdo_error e;
	vdo_info i;

	detail::check(vdo_inspect_device(d.get(), &i, sizeof(i), &e), e);
	return i;
}

// A check that changes nothing; report() of it once it is over.
inline job check(const device &d, unsigned flags = 0, const config &c = {})
{
	vdo_error e;
	vdo_job *j;

	detail::check(vdo_check_device(d.get(), c.get(),
				       flags & ~(VDO_CHECK_REPAIR | VDO_CHECK_LOSE),
				       nullptr, nullptr, nullptr, &j, &e),
		      e);
	return job(j);
}

inline vdo_check_report report(const job &j)
{
	vdo_check_report r;

	detail::check(vdo_check_report_get(j.get(), &r, sizeof(r)));
	return r;
}

inline job trim(const device &d, const config &c = {})
{
	vdo_error e;
	vdo_job *j;

	detail::check(vdo_trim_device(d.get(), c.get(), &j, &e), e);
	return job(j);
}

} // namespace vdo

#endif
