// The one growing array of the core: boundaries, of which nobody knows the number beforehand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace cloudrle {

// Unlike std::vector it writes no zeros first, and grows by realloc, which moves large blocks without copying them.
class Boundaries {
  public:
    Boundaries() = default;
    Boundaries(const Boundaries&) = delete;
    Boundaries& operator=(const Boundaries&) = delete;
    Boundaries(Boundaries&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Boundaries& operator=(Boundaries&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Boundaries() { std::free(data_); }

    const std::int64_t* data() const noexcept { return data_; }
    std::int64_t size() const noexcept { return size_; }

    // Makes room for `count` more and returns where they go; add() then says how many came.
    std::int64_t* room(std::int64_t count) {
        if (size_ + count > capacity_) grow(size_ + count);
        return data_ + size_;
    }
    void add(std::int64_t count) noexcept { size_ += count; }

    // Hands the memory over, to be freed with std::free.
    std::int64_t* release() {
        constexpr std::int64_t crumbs = 64;                                     // not worth the call
        if (capacity_ - size_ > crumbs || data_ == nullptr) reallocate(size_);  // never null, even for no boundaries
        return std::exchange(data_, nullptr);
    }

  private:
    void grow(std::int64_t wanted) {
        const std::int64_t half_more = capacity_ + capacity_ / 2;
        reallocate(wanted > half_more ? wanted : half_more);
    }

    void reallocate(std::int64_t capacity) {
        const std::int64_t kept = capacity > 0 ? capacity : 1;  // realloc to 0 bytes may free
        void* const moved = std::realloc(data_, static_cast<std::size_t>(kept) * sizeof(std::int64_t));
        if (moved == nullptr) throw std::bad_alloc();
        data_ = static_cast<std::int64_t*>(moved);
        capacity_ = capacity;
    }

    std::int64_t* data_ = nullptr;
    std::int64_t size_ = 0;
    std::int64_t capacity_ = 0;
};

}  // namespace cloudrle
