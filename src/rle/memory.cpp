#include "rle/memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace cloudrle {
namespace {

double find_all_memory() noexcept {
    double bytes = 0x1p62;
    const auto pages = static_cast<double>(sysconf(_SC_PHYS_PAGES));
    const auto page = static_cast<double>(sysconf(_SC_PAGE_SIZE));
    if (pages > 0 && page > 0) bytes = pages * page;
    // Control groups of version 2, and of version 1.
    for (const char* const path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        std::FILE* const file = std::fopen(path, "r");
        if (file == nullptr) continue;
        double limit = 0;
        if (std::fscanf(file, "%lf", &limit) == 1) bytes = std::min(bytes, limit);  // or it says "max"
        std::fclose(file);
    }
    return bytes;
}

}  // namespace

double all_memory() noexcept {
    static const double bytes = find_all_memory();
    return bytes;
}

NoMemory::NoMemory(double bytes) noexcept {
    constexpr double giga = 1e9;
    std::snprintf(
        words_.data(), words_.size(),
        "this takes %.1f GB of memory, which cannot be had: there are %.1f GB in all; take a smaller shape or "
        "size, or fewer masks at a time",
        bytes / giga, all_memory() / giga);
}

}  // namespace cloudrle
