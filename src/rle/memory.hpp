// Memory that there is not is refused before work starts: Linux promises more than it has, and ends the process that
// uses it.
#pragma once

#include <array>
#include <new>

namespace cloudrle {

// In bytes: of the machine, or what a container may have of it. Where the system does not say, as much as 64-bit
// numbers can count safely.
double all_memory() noexcept;

// Becomes a MemoryError of the same words.
class NoMemory : public std::bad_alloc {
  public:
    explicit NoMemory(double bytes) noexcept;
    const char* what() const noexcept override { return words_.data(); }

  private:
    std::array<char, 200> words_;
};

inline void require_memory(double bytes) {
    if (bytes > all_memory()) throw NoMemory(bytes);
}

}  // namespace cloudrle
