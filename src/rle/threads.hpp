// Work split over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace cloudrle {

// Calls work(i) for every i below `count`, on at most `threads` threads, this one among them. No thread outlives the
// call; the first exception stops the others and is thrown here.
template <class Work>
void for_each_index(std::int64_t count, std::int64_t threads, const Work& work) {
    const std::int64_t wanted = std::min(threads, count) - 1;  // besides this one
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto take = [&]() noexcept {
        try {
            for (std::int64_t i = next++; i < count; i = next++) work(i);
        } catch (...) {
            next = count;
            const std::lock_guard<std::mutex> lock(mutex);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(std::max<std::int64_t>(wanted, 0)));
    try {
        for (std::int64_t i = 0; i < wanted; ++i) helpers.emplace_back(take);
    } catch (const std::system_error&) {
        // The system has no more threads to give: those that there are will do the work.
    }
    take();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

// The same for items that are `runs` runs long together: taken in groups where they are short, and on this thread alone
// where they are not worth another.
template <class Work>
void for_each_index(std::int64_t count, std::int64_t runs, std::int64_t threads, const Work& work) {
    constexpr std::int64_t group_runs = 1 << 10;  // some 5 microseconds
    const std::int64_t groups = std::clamp<std::int64_t>(runs / group_runs, 1, std::max<std::int64_t>(count, 1));
    for_each_index(groups, threads, [&](std::int64_t group) {
        const std::int64_t last = (group + 1) * count / groups;
        for (std::int64_t i = group * count / groups; i < last; ++i) work(i);
    });
}

}  // namespace cloudrle
