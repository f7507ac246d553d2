// Class maps -> runs: bilinear resizing, thresholds and minimum areas, a strip of 64 columns at a time. Of what lies
// between, a strip's bits are all that is ever held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rle/run.hpp"

namespace cloudrle {

// One map of any (byte) strides, float32 or bytes that stand for 255ths.
struct ProbabilityView {
    const std::uint8_t* data;
    Shape shape;
    std::int64_t classes;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t column_stride;
    std::ptrdiff_t class_stride;
    bool bytes;
};

// Where maps of one shape are read to make masks of another.
struct Resampling {
    Resampling(Shape from, Shape to);

    struct Row {
        std::int64_t upper;
        std::int64_t lower;
        float upper_weight;
        float lower_weight;
    };

    struct Strip {
        std::int64_t left;            // its first column
        int columns;                  // 64, or what is left of the mask
        std::int64_t source;          // the first source column that it needs
        std::int64_t source_columns;  // how many
    };

    Shape to;
    std::vector<Row> rows;
    std::vector<Strip> strips;
    std::int64_t source_columns = 0;  // the most that a strip needs

    // One entry for each column of each strip, 64 to a strip; none where the width stays as it is.
    std::vector<std::int32_t> indices;  // counted from the strip's first source column
    std::vector<float> first_weights;
    std::vector<float> second_weights;
};

// What makes a class's mask of its probabilities: one entry for each class.
struct ClassRules {
    const float* thresholds;
    const std::int64_t* min_areas;
};

// Appends the boundaries of each class's mask to its own list.
// Scratch space: 8 bytes per class and row, 24 per row, and a row of the map.
void encode_probabilities(const ProbabilityView& map, const Resampling& resampling, const ClassRules& rules,
                          std::vector<std::int64_t>* boundaries);

}  // namespace cloudrle
