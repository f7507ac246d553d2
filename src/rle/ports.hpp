// How runs go between the module that reads and writes texts and the one that reads and writes masks, without a stop in
// memory. Called from several threads at once, each time for another row.
#pragma once

#include <cstdint>

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Takes the runs of a row.
struct RunSink {
    void (*take)(const void* target, std::int64_t row, const Run* runs, std::int64_t count);
    const void* target;
};

// Appends the boundaries of a row.
struct RunSource {
    void (*give)(const void* origin, std::int64_t row, Boundaries& boundaries);
    const void* origin;
};

// Names of the capsules that hold them.
constexpr const char* kRunSinkName = "cloudrle.RunSink";
constexpr const char* kRunSourceName = "cloudrle.RunSource";

}  // namespace cloudrle
