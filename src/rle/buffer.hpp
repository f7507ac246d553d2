// The one growing array of the core, for what nobody knows the number of beforehand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "rle/memory.hpp"

namespace cloudrle {

// Unlike std::vector it writes no zeros first, and grows by realloc, which moves large blocks without copying them. In
// memory one number more has its place before the first, and one behind the last, for who takes the memory over.
template <class Number>
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Buffer() { dispose(data_); }

    const Number* data() const noexcept { return data_; }
    std::int64_t size() const noexcept { return size_; }

    // Makes room for `count` more and returns where they go; add() then says how many came.
    Number* room(std::int64_t count) {
        if (count > capacity_ - size_) grow(count);
        return data_ + size_;
    }
    void add(std::int64_t count) noexcept { size_ += count; }
    void clear() noexcept { size_ = 0; }

    // Hands the memory over, to be given to dispose().
    Number* release() {
        constexpr std::int64_t crumbs = 64;                                     // not worth the call
        if (capacity_ - size_ > crumbs || data_ == nullptr) reallocate(size_);  // never null, even for no boundaries
        return std::exchange(data_, nullptr);
    }

    static void dispose(Number* data) noexcept {
        if (data != nullptr) std::free(data - 1);
    }

  private:
    void grow(std::int64_t count) {
        // A sum of doubles cannot wrap round.
        require_memory((static_cast<double>(size_) + static_cast<double>(count)) * sizeof(Number));
        reallocate(std::max(size_ + count, capacity_ + capacity_ / 2));
    }

    void reallocate(std::int64_t capacity) {
        void* const block = data_ == nullptr ? nullptr : data_ - 1;
        void* const moved = std::realloc(block, (static_cast<std::size_t>(capacity) + 2) * sizeof(Number));
        if (moved == nullptr) throw NoMemory(static_cast<double>(capacity) * sizeof(Number));
        data_ = static_cast<Number*>(moved) + 1;
        capacity_ = capacity;
    }

    Number* data_ = nullptr;
    std::int64_t size_ = 0;
    std::int64_t capacity_ = 0;
};

using Boundaries = Buffer<std::int64_t>;

// Makes room for the runs that one run over many lines becomes: for all of them, or none.
inline void make_room_for_runs(std::int64_t count, Boundaries& boundaries) {
    require_memory(static_cast<double>(count) * 2 * sizeof(std::int64_t));  // else twice as many may not be a number
    boundaries.room(2 * count);
}

// Appends a run, joined to the last where the two touch.
inline void append_run(std::int64_t start, std::int64_t end, Boundaries& boundaries) {
    std::int64_t* const run = boundaries.room(2);
    if (boundaries.size() > 0 && run[-1] == start) {
        run[-1] = end;
        return;
    }
    run[0] = start;
    run[1] = end;
    boundaries.add(2);
}

}  // namespace cloudrle
