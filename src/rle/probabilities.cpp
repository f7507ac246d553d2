#include "rle/probabilities.hpp"

#include <algorithm>
#include <utility>

#include "rle/axis.hpp"
#include "rle/buffer.hpp"
#include "rle/components.hpp"
#include "rle/lerp.hpp"
#include "rle/mask_kernels.hpp"
#include "rle/memory.hpp"

namespace cloudrle {
namespace {

// As OpenCV: beyond the outermost centres there is no more change.
Tap clamped_tap(std::int64_t i, std::int64_t from, std::int64_t to) noexcept {
    if (from == to) return {i, 0};
    const auto [index, fraction] = LinearAxis(from, to, Edge::clamp_fraction).tap(i);
    return {std::clamp<std::int64_t>(index, 0, from - 1), fraction};
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

// Makes the boundaries of a class's strips, one after another.
class StripWriter {
  public:
    explicit StripWriter(std::int64_t height)
        : height_(height),
          changes_(static_cast<std::size_t>(height + 1)),
          plane_(static_cast<std::size_t>((height + 63) / 64 * 64)) {}

    // Appends those of a strip, whose rows are words. `carry` is the last pixel of the column before the strip, and
    // then of the strip's last column.
    void append(const std::uint64_t* words, const Resampling::Strip& strip, std::uint64_t& carry,
                std::vector<std::int64_t>& boundaries) {
        const std::uint64_t valid = ~std::uint64_t{0} >> (kStripColumns - strip.columns);
        const std::uint64_t bottom = words[height_ - 1];
        // The pixel before the top of a column is the bottom of the column to its left.
        std::uint64_t above = (bottom << 1) | carry;
        carry = (bottom >> (strip.columns - 1)) & 1;
        Change* next = changes_.data();
        for (std::int64_t y = 0; y < height_; ++y) {
            *next = {(words[y] ^ above) & valid, y};
            next += next->columns != 0;
            above = words[y];
        }
        const std::int64_t count = next - changes_.data();
        const std::int64_t total = kernels_.count_boundaries(changes_.data(), count);
        const std::size_t used = boundaries.size();
        boundaries.resize(used + static_cast<std::size_t>(total + kSlack));
        std::int64_t* const target = boundaries.data() + used;
        if (total <= 2 * height_) {  // measured
            kernels_.place_few(changes_.data(), count, strip.left, height_, target);
        } else {
            std::fill(plane_.begin(), plane_.end(), 0);
            kernels_.place_many(changes_.data(), count, strip.left, height_, plane_.data(), target);
        }
        boundaries.resize(used + static_cast<std::size_t>(total));
    }

  private:
    const MaskKernels& kernels_ = mask_kernels();
    std::int64_t height_;
    std::vector<Change> changes_;
    std::vector<std::uint64_t> plane_;
};

void drop_small(std::vector<std::int64_t>& boundaries, std::int64_t height, std::int64_t min_area) {
    Boundaries kept;
    const auto count = static_cast<std::int64_t>(boundaries.size() / 2);
    remove_small({reinterpret_cast<const Run*>(boundaries.data()), count}, height, min_area, kept);
    boundaries.assign(kept.data(), kept.data() + kept.size());
}

}  // namespace

Resampling::Resampling(Shape from, Shape to) : to(to) {
    if (to.size() == 0) return;  // `from` may have no pixels either
    require_memory(static_cast<double>(to.height) * sizeof(Row) +
                   static_cast<double>(to.width) * (sizeof(std::int32_t) + 2 * sizeof(float)));
    for (std::int64_t y = 0; y < to.height; ++y) {
        const auto [index, fraction] = clamped_tap(y, from.height, to.height);
        rows.push_back({index, fraction == 0 ? index : index + 1, 1.0F - fraction, fraction});
    }
    for (std::int64_t left = 0; left < to.width; left += kStripColumns) {
        const int columns = static_cast<int>(std::min<std::int64_t>(kStripColumns, to.width - left));
        const std::int64_t first = clamped_tap(left, from.width, to.width).index;
        const std::int64_t last = clamped_tap(left + columns - 1, from.width, to.width).index;
        // The pixel after the last is needed too, save where the map ends or nothing is resized.
        const std::int64_t past = from.width == to.width ? last + 1 : std::min(last + 2, from.width);
        strips.push_back({left, columns, first, past - first});
        source_columns = std::max(source_columns, past - first);
        if (from.width == to.width) continue;
        for (int x = 0; x < kStripColumns; ++x) {
            const auto [index, fraction] = clamped_tap(left + std::min(x, columns - 1), from.width, to.width);
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
    StripWriter writer(height);
    std::vector<std::uint64_t> carries(static_cast<std::size_t>(map.classes));
    for (const Resampling::Strip& strip : resampling.strips) {
        const std::uint64_t* words = reader.read(strip);
        for (std::uint64_t& carry : carries) {
            writer.append(words, strip, carry, boundaries[&carry - carries.data()]);
            words += height;
        }
    }
    for (std::int64_t i = 0; i < map.classes; ++i) {
        if (carries[static_cast<std::size_t>(i)] != 0) boundaries[i].push_back(resampling.to.size());
        if (rules.min_areas[i] > 1) drop_small(boundaries[i], height, rules.min_areas[i]);
    }
}

}  // namespace cloudrle
