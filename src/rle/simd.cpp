#include "rle/simd.hpp"

#include <atomic>
#include <cstring>

namespace cloudrle {
namespace {

constexpr const char* kNames[kLevels] = {"scalar", "avx2", "avx512"};

std::atomic<Level> current{best_level()};

}  // namespace

Level best_level() noexcept {
#if CLOUDRLE_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("lzcnt") &&
                      __builtin_cpu_supports("popcnt");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2) return avx512 ? Level::avx512 : Level::avx2;
#endif
    return Level::scalar;
}

Level level() noexcept { return current.load(std::memory_order_relaxed); }

void set_level(Level level) noexcept { current.store(level, std::memory_order_relaxed); }

const char* name_of(Level level) noexcept { return kNames[static_cast<int>(level)]; }

bool level_named(const char* name, Level& level) noexcept {
    for (int i = 0; i < kLevels; ++i) {
        if (std::strcmp(name, kNames[i]) == 0) {
            level = static_cast<Level>(i);
            return true;
        }
    }
    return false;
}

}  // namespace cloudrle
