// Memory that a machine does not have is refused before work starts: Linux promises more than there is, and ends the
// process that uses it.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdio>
#include <new>

namespace cloudrle {

// In bytes; where the system does not say, as much as 64-bit numbers can count safely.
inline double machine_memory() noexcept {
    static const double bytes = [] {
        const auto pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
        const auto page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
        return pages > 0 && page > 0 ? pages * page : 0x1p62;
    }();
    return bytes;
}

// Becomes a MemoryError of the same words.
class NoMemory : public std::bad_alloc {
  public:
    explicit NoMemory(double bytes) noexcept {
        constexpr double giga = 1e9;
        std::snprintf(
            words_.data(), words_.size(),
            "this takes %.1f GB of memory, which cannot be had: the machine has %.1f GB; take a smaller shape "
            "or size, or fewer masks at a time",
            bytes / giga, machine_memory() / giga);
    }
    const char* what() const noexcept override { return words_.data(); }

  private:
    std::array<char, 200> words_{};
};

inline void require_memory(double bytes) {
    if (bytes > machine_memory()) throw NoMemory(bytes);
}

}  // namespace cloudrle
