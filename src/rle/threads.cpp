#include "rle/threads.hpp"

#include <pthread.h>
#include <sched.h>

#include <chrono>
#include <condition_variable>
#include <new>
#include <system_error>
#include <thread>

namespace cloudrle {
namespace {

// More threads than this are of no use to a call, whatever it asks for.
constexpr std::int64_t kMostHelpers = 255;

// Waits awake for a while: to wake a thread takes about as long, and the next call of a loop mostly comes sooner.
template <class Condition>
bool comes_soon(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

// The cores that a helper may use. Where it is woken, Linux likes to put it on the core of who woke it, and to move it
// on only milliseconds later; so that core is left out, unless the caller has no other.
class Cores {
  public:
#ifdef __linux__
    static Cores beside_this_one() noexcept {
        Cores cores;  // empty, which changes nothing, where a machine has more than there is room for
        const bool known = sched_getaffinity(0, sizeof cores.set_, &cores.set_) == 0;
        if (known && CPU_COUNT(&cores.set_) > 1) CPU_CLR(static_cast<std::size_t>(sched_getcpu()), &cores.set_);
        return cores;
    }

    void assign(pthread_t thread) const noexcept { pthread_setaffinity_np(thread, sizeof set_, &set_); }

    bool operator!=(const Cores& other) const noexcept { return !CPU_EQUAL(&set_, &other.set_); }

  private:
    cpu_set_t set_{};
#else
    static Cores beside_this_one() noexcept { return {}; }
    void assign(pthread_t) const noexcept {}
    bool operator!=(const Cores&) const noexcept { return false; }
#endif
};

}  // namespace

// A thread of the pool. One caller at a time has it, offers it a task, and takes that back or waits until it is done.
class Worker {
  public:
    Worker() {
        std::thread thread([this] { serve(); });
        thread_ = thread.native_handle();
        thread.detach();
    }

    void offer(const Task& task, const Cores& cores) noexcept {
        if (cores != cores_) cores.assign(thread_);
        cores_ = cores;
        task_ = task;
        change(State::offered);
    }

    void settle() noexcept {
        State offered = State::offered;
        if (state_.compare_exchange_strong(offered, State::idle)) return;
        wait_for(State::idle);
    }

    Worker* next = nullptr;  // in the caller's list or the pool's

  private:
    enum class State { idle, offered, working };

    [[noreturn]] void serve() noexcept {
        for (;;) {
            wait_for(State::offered);
            State offered = State::offered;
            if (!state_.compare_exchange_strong(offered, State::working)) continue;  // it has been taken back
            task_.call(task_.context);
            change(State::idle);
        }
    }

    void change(State state) noexcept {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            state_ = state;
        }
        changed_.notify_one();  // the caller and the thread never wait at the same time
    }

    void wait_for(State state) noexcept {
        const auto is_there = [&] { return state_ == state; };
        if (comes_soon(is_there)) return;
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, is_there);
    }

    std::atomic<State> state_{State::idle};
    Task task_{};
    Cores cores_;
    pthread_t thread_{};
    std::mutex mutex_;
    std::condition_variable changed_;
};

namespace {

// Its threads are never ended: they end with the process, whatever it does then.
class Pool {
  public:
    // A worker that nobody has; null where there is neither one nor a thread for a new one.
    Worker* take() noexcept {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (Worker* const worker = first_) {
                first_ = worker->next;
                return worker;
            }
        }
        try {
            return new Worker;
        } catch (const std::bad_alloc&) {
            return nullptr;
        } catch (const std::system_error&) {
            return nullptr;
        }
    }

    void give_back(Worker* worker) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        worker->next = first_;
        first_ = worker;
    }

  private:
    std::mutex mutex_;
    Worker* first_ = nullptr;
};

Pool pool;

// A child has none of its parent's threads.
[[maybe_unused]] const int forks_are_told = pthread_atfork(nullptr, nullptr, [] { new (&pool) Pool; });

}  // namespace

Helpers::Helpers(std::int64_t wanted, Task task) noexcept {
    if (wanted < 1) return;
    const Cores cores = Cores::beside_this_one();
    for (std::int64_t i = 0; i < std::min(wanted, kMostHelpers); ++i) {
        Worker* const worker = pool.take();
        if (worker == nullptr) break;
        worker->next = first_;
        first_ = worker;
        worker->offer(task, cores);
    }
}

Helpers::~Helpers() {
    while (first_ != nullptr) {
        Worker* const worker = first_;
        first_ = worker->next;
        worker->settle();
        pool.give_back(worker);
    }
}

}  // namespace cloudrle
