// Work split over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
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
    } catch (const std::exception&) {
        // The system has no more threads to give, or no memory for one: those that there are will do the work.
    }
    take();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

// Groups of neighbours to share `count` indices out evenly.
inline std::int64_t groups_of(std::int64_t count, std::int64_t threads) noexcept {
    constexpr std::int64_t per_thread = 32;
    return std::min(count, threads == 1 ? 1 : per_thread * threads);
}

// Calls work(group, first, last) for each of those groups.
template <class Work>
void for_each_group(std::int64_t count, std::int64_t threads, const Work& work) {
    const std::int64_t groups = groups_of(count, threads);
    for_each_index(groups, threads,
                   [&](std::int64_t group) { work(group, group * count / groups, (group + 1) * count / groups); });
}

}  // namespace cloudrle
