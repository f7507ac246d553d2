#include "rle/probabilities.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "rle/components.hpp"
#include "rle/lerp.hpp"

namespace cloudrle {
namespace {

// A place between the pixels `index` and `index + 1`, nearer to the second the larger the fraction.
struct Tap {
    std::int64_t index;
    float fraction;
};

// OpenCV's: pixels have their centres at halves, and beyond the outermost centres there is no more change.
Tap tap(std::int64_t i, std::int64_t from, std::int64_t to) noexcept {
    if (from == to) return {i, 0};
    const double scale = 1.0 / (static_cast<double>(to) / static_cast<double>(from));
    const auto centre = static_cast<float>((static_cast<double>(i) + 0.5) * scale - 0.5);
    const float whole = std::floor(centre);
    const auto index = static_cast<std::int64_t>(whole);
    if (index < 0) return {0, 0};
    if (index >= from - 1) return {from - 1, 0};
    return {index, centre - whole};
}

struct alignas(64) StripRow {
    float values[kStripColumns];
};

// A source row of a strip, stretched to the output's columns: one StripRow for each class.
struct StretchedRow {
    std::int64_t source = -1;
    std::vector<StripRow> classes;

    float* data() noexcept { return classes.front().values; }
};

// Makes the words of one strip after another: bit x of word c * height + y is pixel (y, left + x) of class c.
class StripReader {
  public:
    StripReader(const ProbabilityView& map, const Resampling& resampling, const float* thresholds)
        : map_(map),
          resampling_(resampling),
          thresholds_(thresholds),
          pitch_(resampling.source_columns + kPlanePadding),
          planes_(static_cast<std::size_t>(map.classes * pitch_)),
          words_(static_cast<std::size_t>(map.classes * resampling.to.height)) {
        for (StretchedRow* row : {&upper_, &lower_}) row->classes.resize(static_cast<std::size_t>(map.classes));
    }

    const std::uint64_t* read(const Resampling::Strip& strip) {
        upper_.source = lower_.source = -1;
        const std::int64_t height = resampling_.to.height;
        for (std::int64_t y = 0; y < height; ++y) {
            const Resampling::Row& row = resampling_.rows[static_cast<std::size_t>(y)];
            // Going down, the lower row often becomes the upper.
            if (upper_.source != row.upper) std::swap(upper_, lower_);
            fill(upper_, row.upper, strip);
            if (row.lower != row.upper) fill(lower_, row.lower, strip);
            StretchedRow& lower = row.lower == row.upper ? upper_ : lower_;
            kernels_.compare({upper_.data(), lower.data(), row.upper_weight, row.lower_weight}, strip.columns,
                             thresholds_, map_.classes, words_.data() + y, height);
        }
        return words_.data();
    }

  private:
    void fill(StretchedRow& row, std::int64_t source, const Resampling::Strip& strip) {
        if (row.source == source) return;
        row.source = source;
        const PixelSpan pixels{map_.data + source * map_.row_stride + strip.source * map_.column_stride,
                               strip.source_columns,
                               map_.classes,
                               map_.column_stride,
                               map_.class_stride,
                               map_.bytes};
        if (resampling_.indices.empty()) {
            kernels_.split(pixels, row.data(), kStripColumns);
            return;
        }
        kernels_.split(pixels, planes_.data(), pitch_);
        // A column at the map's right edge takes what lies behind it 0 times: it must not be NaN.
        for (std::int64_t i = 0; i < map_.classes; ++i) {
            planes_[static_cast<std::size_t>(i * pitch_ + pixels.columns)] = 0;
        }
        const ColumnTaps taps{resampling_.indices.data() + strip.left, resampling_.first_weights.data() + strip.left,
                              resampling_.second_weights.data() + strip.left, strip.columns};
        kernels_.stretch(planes_.data(), pitch_, map_.classes, taps, row.data());
    }

    const ProbabilityView& map_;
    const Resampling& resampling_;
    const float* thresholds_;
    const LerpKernels& kernels_ = lerp_kernels();
    std::ptrdiff_t pitch_;
    std::vector<float> planes_;  // a row of the map
    StretchedRow upper_;
    StretchedRow lower_;
    std::vector<std::uint64_t> words_;
};

// Appends the boundaries of a strip, whose rows are words. `carry` is the last pixel of the column before the strip,
// and then of the strip's last column.
void append_strip(const std::uint64_t* words, std::int64_t height, const Resampling::Strip& strip, std::uint64_t& carry,
                  std::vector<std::int64_t>& boundaries) {
    const std::uint64_t valid = ~std::uint64_t{0} >> (kStripColumns - strip.columns);
    const std::uint64_t bottom = words[height - 1];
    // The pixel before the top of a column is the bottom of the column to its left.
    const std::uint64_t before = (bottom << 1) | carry;
    carry = (bottom >> (strip.columns - 1)) & 1;

    const auto for_each_boundary = [&](const auto& take) {
        std::uint64_t above = before;
        for (std::int64_t y = 0; y < height; ++y) {
            for (std::uint64_t bits = (words[y] ^ above) & valid; bits != 0; bits &= bits - 1) {
                take(static_cast<std::size_t>(__builtin_ctzll(bits)), y);
            }
            above = words[y];
        }
    };
    std::array<std::size_t, kStripColumns> next{};  // of each column: how many boundaries, and then where they go
    for_each_boundary([&](std::size_t x, std::int64_t) { ++next[x]; });
    std::size_t total = boundaries.size();
    for (std::size_t& column : next) column = std::exchange(total, total + column);
    boundaries.resize(total);
    for_each_boundary([&](std::size_t x, std::int64_t y) {
        boundaries[next[x]++] = (strip.left + static_cast<std::int64_t>(x)) * height + y;
    });
}

}  // namespace

Resampling::Resampling(Shape from, Shape to) : to(to) {
    for (std::int64_t y = 0; y < to.height; ++y) {
        const auto [index, fraction] = tap(y, from.height, to.height);
        rows.push_back({index, fraction == 0 ? index : index + 1, 1.0F - fraction, fraction});
    }
    for (std::int64_t left = 0; left < to.width; left += kStripColumns) {
        const int columns = static_cast<int>(std::min<std::int64_t>(kStripColumns, to.width - left));
        const std::int64_t first = tap(left, from.width, to.width).index;
        const std::int64_t last = tap(left + columns - 1, from.width, to.width).index;
        // The pixel after the last is needed too, save where the map ends or nothing is resized.
        const std::int64_t past = from.width == to.width ? last + 1 : std::min(last + 2, from.width);
        strips.push_back({left, columns, first, past - first});
        source_columns = std::max(source_columns, past - first);
        if (from.width == to.width) continue;
        for (int x = 0; x < kStripColumns; ++x) {
            const auto [index, fraction] = tap(left + std::min(x, columns - 1), from.width, to.width);
            indices.push_back(static_cast<std::int32_t>(index - first));
            first_weights.push_back(1.0F - fraction);
            second_weights.push_back(fraction);
        }
    }
}

void encode_probabilities(const ProbabilityView& map, const Resampling& resampling, const ClassRules& rules,
                          std::vector<std::int64_t>* boundaries) {
    const auto [height, width] = resampling.to;
    if (height == 0 || width == 0 || map.classes == 0) return;
    StripReader reader(map, resampling, rules.thresholds);
    std::vector<std::uint64_t> carries(static_cast<std::size_t>(map.classes));
    for (const Resampling::Strip& strip : resampling.strips) {
        const std::uint64_t* words = reader.read(strip);
        for (std::uint64_t& carry : carries) {
            append_strip(words, height, strip, carry, boundaries[&carry - carries.data()]);
            words += height;
        }
    }
    for (std::int64_t i = 0; i < map.classes; ++i) {
        if (carries[static_cast<std::size_t>(i)] != 0) boundaries[i].push_back(resampling.to.size());
        if (rules.min_areas[i] > 1) drop_small(boundaries[i], height, rules.min_areas[i]);
    }
}

}  // namespace cloudrle
