// Which kernels run. Each file of kernels compiles its loops once for each level, in target regions, and keeps one
// table of them, indexed by level; what the CPU has is asked once, when the module loads. All of it is in this header
// because each compiled module has its own level.
#pragma once

#include <atomic>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CLOUDRLE_X86 1
#else
#define CLOUDRLE_X86 0
#endif

// Between BEGIN and END, functions are compiled for a level: in GCC's words, or in Clang's, which doesn't know those.
#define CLOUDRLE_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define CLOUDRLE_AVX512 "avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl"
#define CLOUDRLE_VBMI2 "avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2"
#define CLOUDRLE_PRAGMA(words) _Pragma(#words)
#ifdef __clang__
#define CLOUDRLE_BEGIN_TARGET(features) \
    CLOUDRLE_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define CLOUDRLE_END_TARGET CLOUDRLE_PRAGMA(clang attribute pop)
#else
#define CLOUDRLE_BEGIN_TARGET(features) CLOUDRLE_PRAGMA(GCC push_options) CLOUDRLE_PRAGMA(GCC target(features))
#define CLOUDRLE_END_TARGET CLOUDRLE_PRAGMA(GCC pop_options)
#endif

namespace cloudrle {

enum class Level { scalar, avx2, avx512 };
constexpr int kLevels = 3;
constexpr const char* kLevelNames[kLevels] = {"scalar", "avx2", "avx512"};

// avx2 stands for AVX2, BMI1, BMI2, LZCNT and POPCNT; avx512 adds AVX-512 F, BW, DQ and VL. Nobody asks for LZCNT,
// which Clang 14 can't: every CPU with BMI2 has it.
inline Level best_level() noexcept {
#if CLOUDRLE_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2) return avx512 ? Level::avx512 : Level::avx2;
#endif
    return Level::scalar;
}

inline std::atomic<Level>& current_level() noexcept {
    static std::atomic<Level> current{best_level()};
    return current;
}

// The level in use.
inline Level level() noexcept { return current_level().load(std::memory_order_relaxed); }

inline const char* level_name() noexcept { return kLevelNames[static_cast<int>(level())]; }

// Lowers the level, or leaves it where the CPU has none so high. False where the name is none of kLevelNames.
inline bool lower_level(const char* name) noexcept {
    for (int i = 0; i < kLevels; ++i) {
        if (std::strcmp(name, kLevelNames[i]) != 0) continue;
        const auto wanted = static_cast<Level>(i);
        current_level() = wanted < best_level() ? wanted : best_level();
        return true;
    }
    return false;
}

}  // namespace cloudrle
