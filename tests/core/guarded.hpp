// Buffers of exact size, past whose ends nothing can be read or written unseen. A page that can't be touched follows
// the last byte; the bytes before the first hold a pattern, compared in the end; under AddressSanitizer both are
// poisoned.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "check.hpp"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CLOUDRLE_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define CLOUDRLE_POISON 1
#endif
#ifdef CLOUDRLE_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace cloudrle {

// Pages between two that can't be touched. They are kept for the next buffer: to map them costs more than most tests.
class Pages {
  public:
    static std::uint8_t* take(std::size_t bytes) {
        const std::lock_guard<std::mutex> lock(mutex());
        auto& free = kept()[bytes];
        if (!free.empty()) {
            std::uint8_t* const first = free.back();
            free.pop_back();
            return first;
        }
        const std::size_t page = page_size();
        void* const mapped = mmap(nullptr, bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(mapped != MAP_FAILED);
        auto* const first = static_cast<std::uint8_t*>(mapped) + page;
        CHECK(mprotect(first, bytes, PROT_READ | PROT_WRITE) == 0);
        return first;
    }

    static void give_back(std::uint8_t* first, std::size_t bytes) {
        const std::lock_guard<std::mutex> lock(mutex());
        kept()[bytes].push_back(first);
    }

    static std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

  private:
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }
    static std::map<std::size_t, std::vector<std::uint8_t*>>& kept() {
        static auto* const all = new std::map<std::size_t, std::vector<std::uint8_t*>>;  // never freed: reachable
        return *all;
    }
};

template <class Item>
class Guarded {
  public:
    explicit Guarded(std::int64_t count)
        : count_(static_cast<std::size_t>(count)),
          bytes_((count_ * sizeof(Item) + kMargin + Pages::page_size() - 1) / Pages::page_size() * Pages::page_size()),
          pages_(Pages::take(bytes_)) {
        std::memset(pages_, kPattern, bytes_);
        ASAN_POISON_MEMORY_REGION(pages_, margin());
    }

    // A copy of a vector or string.
    template <class Items, class = typename Items::value_type>
    explicit Guarded(const Items& items) : Guarded(static_cast<std::int64_t>(items.size())) {
        if (count_ > 0) std::memcpy(data(), items.data(), count_ * sizeof(Item));
    }

    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    ~Guarded() {
        ASAN_UNPOISON_MEMORY_REGION(pages_, margin());
        for (std::size_t i = 0; i < margin(); ++i) CHECK(pages_[i] == kPattern);
        Pages::give_back(pages_, bytes_);
    }

    Item* data() noexcept { return reinterpret_cast<Item*>(pages_ + margin()); }
    const Item* data() const noexcept { return reinterpret_cast<const Item*>(pages_ + margin()); }
    std::int64_t size() const noexcept { return static_cast<std::int64_t>(count_); }
    const Item& operator[](std::int64_t i) const noexcept { return data()[i]; }

  private:
    static constexpr std::uint8_t kPattern = 0xc5;
    static constexpr std::size_t kMargin = 256;  // at least so many bytes before the first

    std::size_t margin() const noexcept { return bytes_ - count_ * sizeof(Item); }

    std::size_t count_;
    std::size_t bytes_;
    std::uint8_t* pages_;
};

}  // namespace cloudrle
