// How runs go from the module that reads texts to the one that paints masks without a stop in memory.
#pragma once

#include <cstdint>

#include "rle/run.hpp"

namespace cloudrle {

// Takes the runs of one row of a column. Called from several threads at once, each time for another row.
struct RunSink {
    void (*take)(const void* target, std::int64_t row, const Run* runs, std::int64_t count);
    const void* target;
};

constexpr const char* kRunSinkName = "cloudrle.RunSink";  // of the capsule that holds one

}  // namespace cloudrle
