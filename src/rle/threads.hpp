// Work split over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>

namespace cloudrle {

// What several threads may call at once, and does not throw.
struct Task {
    void (*call)(const void* context);
    const void* context;
};

class Worker;

// Threads that call a task besides this one, until they are let go. Between two calls they sleep in a pool.
class Helpers {
  public:
    // As many as are wanted, or as the system has to give.
    Helpers(std::int64_t wanted, Task task) noexcept;
    Helpers(const Helpers&) = delete;
    Helpers& operator=(const Helpers&) = delete;

    // Waits for those that have begun; the others need not begin any more.
    ~Helpers();

  private:
    Worker* first_ = nullptr;
};

// Calls work(i) for every i below `count`, on at most `threads` threads, this one among them. The first exception stops
// the others and is thrown here.
template <class Work>
void for_each_index(std::int64_t count, std::int64_t threads, const Work& work) {
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
    {
        const auto call = [](const void* context) { (*static_cast<const decltype(take)*>(context))(); };
        const Helpers helpers(std::min(threads, count) - 1, {call, &take});
        take();
    }
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
