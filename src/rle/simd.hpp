// Which kernels run. Each file of kernels compiles its loops once for each level, in target regions, and keeps one
// table of them, indexed by level; what the CPU has is asked once, when the module loads.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CLOUDRLE_X86 1
#else
#define CLOUDRLE_X86 0
#endif

namespace cloudrle {

enum class Level { scalar, avx2, avx512 };
constexpr int kLevels = 3;

// avx2 stands for AVX2, BMI1, BMI2, LZCNT and POPCNT; avx512 adds AVX-512 F, BW, DQ and VL.
Level best_level() noexcept;

// The level in use: the best one until set_level() lowers it.
Level level() noexcept;
void set_level(Level level) noexcept;

const char* name_of(Level level) noexcept;

// False where the name is none of "scalar", "avx2" and "avx512".
bool level_named(const char* name, Level& level) noexcept;

}  // namespace cloudrle
