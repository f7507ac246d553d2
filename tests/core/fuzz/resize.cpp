// Resizing of runs and of masks, against formulae looked at for every pixel.
#include "rle/resize.hpp"

#include <cmath>
#include <cstring>

#include "../guarded.hpp"
#include "../input.hpp"
#include "../plain.hpp"
#include "rle/resize_runs.hpp"

using namespace cloudrle;

namespace {

constexpr std::int64_t kMostSide = (std::int64_t{1} << 31) - 1;

// A mask of any size, looked at one pixel at a time.
class Mask {
  public:
    Mask(const std::vector<Run>& runs, Shape shape) : runs_(runs), shape_(shape) {}

    bool pixel(std::int64_t y, std::int64_t x) const {
        const std::int64_t position = std::clamp<std::int64_t>(x, 0, shape_.width - 1) * shape_.height +
                                      std::clamp<std::int64_t>(y, 0, shape_.height - 1);
        const auto run =
            std::partition_point(runs_.begin(), runs_.end(), [&](const Run& before) { return before.end <= position; });
        return run != runs_.end() && run->start <= position;
    }
    Shape shape() const { return shape_; }

  private:
    const std::vector<Run>& runs_;
    Shape shape_;
};

double scale_of(std::int64_t from, std::int64_t to) {
    return 1.0 / (static_cast<double>(to) / static_cast<double>(from));
}

bool plain_nearest(const Mask& from, Shape to, std::int64_t y, std::int64_t x) {
    const auto place = [](std::int64_t i, std::int64_t old, std::int64_t now) {
        return std::min(static_cast<std::int64_t>(static_cast<double>(i) * scale_of(old, now)), old - 1);
    };
    return from.pixel(place(y, from.shape().height, to.height), place(x, from.shape().width, to.width));
}

// OpenCV's, of 0 and 255, in 2048ths and with its shifts; then above 127.
bool plain_linear(const Mask& from, Shape to, std::int64_t y, std::int64_t x) {
    if (from.shape().height == 2 * to.height && from.shape().width == 2 * to.width) {
        return from.pixel(2 * y, 2 * x) + from.pixel(2 * y, 2 * x + 1) + from.pixel(2 * y + 1, 2 * x) +
                   from.pixel(2 * y + 1, 2 * x + 1) >=
               2;
    }
    const auto place = [](std::int64_t i, std::int64_t old, std::int64_t now, std::int64_t& first, long* weights,
                          bool clamped) {
        auto fraction = static_cast<float>((static_cast<double>(i) + 0.5) * scale_of(old, now) - 0.5);
        first = static_cast<std::int64_t>(std::floor(fraction));
        fraction -= std::floor(fraction);
        if (clamped && (first < 0 || first >= old - 1)) fraction = 0;
        weights[0] = std::lrint((1.0F - fraction) * 2048.0F);
        weights[1] = std::lrint(fraction * 2048.0F);
    };
    std::int64_t top = 0, left = 0;
    long rows[2], columns[2];
    place(y, from.shape().height, to.height, top, rows, false);
    place(x, from.shape().width, to.width, left, columns, true);
    const auto row = [&](std::int64_t source) {
        return (from.pixel(source, left) ? 255 : 0) * columns[0] +
               (from.pixel(source, left + 1) ? 255 : 0) * columns[1];
    };
    return ((((rows[0] * (row(top) >> 4)) >> 16) + ((rows[1] * (row(top + 1) >> 4)) >> 16) + 2) >> 2) > 127;
}

// Whole numbers: a source pixel is as long as the target has pixels, and the other way round.
bool plain_area(const Mask& from, Shape to, std::int64_t y, std::int64_t x) {
    const Shape old = from.shape();
    std::int64_t covered = 0;
    for (std::int64_t v = y * old.height / to.height; v * to.height < (y + 1) * old.height; ++v) {
        for (std::int64_t u = x * old.width / to.width; u * to.width < (x + 1) * old.width; ++u) {
            const std::int64_t high =
                std::min((y + 1) * old.height, (v + 1) * to.height) - std::max(y * old.height, v * to.height);
            const std::int64_t wide =
                std::min((x + 1) * old.width, (u + 1) * to.width) - std::max(x * old.width, u * to.width);
            if (from.pixel(v, u)) covered += high * wide;
        }
    }
    return 2 * covered >= old.size();
}

bool plain_pixel(const Mask& from, Shape to, Interpolation how, std::int64_t y, std::int64_t x) {
    if (from.shape().height == to.height && from.shape().width == to.width) return from.pixel(y, x);
    switch (how) {
        case Interpolation::nearest:
            return plain_nearest(from, to, y, x);
        case Interpolation::linear:
            return plain_linear(from, to, y, x);
        case Interpolation::area:
            return plain_area(from, to, y, x);
    }
    return false;
}

Dense plain_resize(const Mask& from, Shape to, Interpolation how) {
    Dense pixels(as_size(to.size()));
    for (std::int64_t x = 0; x < to.width; ++x)
        for (std::int64_t y = 0; y < to.height; ++y)
            pixels[as_size(x * to.height + y)] = plain_pixel(from, to, how, y, x);
    return pixels;
}

std::vector<Run> resize(const std::vector<Run>& runs, Shape from, Shape to, Interpolation how) {
    const auto guarded = Guarded<Run>(runs);
    return at_every_level([&] {
        Boundaries boundaries;
        resize_runs(guarded.data(), guarded.size(), from, to, how, boundaries);
        return runs_of(boundaries);
    });
}

// As one of many masks.
std::vector<Run> resize(const std::vector<Run>& runs, const Resizer& resizer) {
    Boundaries boundaries;
    resizer.resize(runs.data(), view_of(runs).count, boundaries);
    return runs_of(boundaries);
}

// The same of a mask that lies by rows.
Dense resize_dense(const Dense& pixels, Shape from, Shape to, Interpolation how) {
    const auto rows = Guarded<std::uint8_t>(plain_transpose(pixels, from));
    Guarded<std::uint8_t> out(to.size());
    resize_mask({rows.data(), from, from.width, 1, 1, ~std::uint64_t{0}}, {out.data(), to, to.width, 1}, how);
    return plain_transpose(Dense(out.data(), out.data() + out.size()), {to.width, to.height});
}

// Sides of at least one pixel, up to the longest that is resized.
Shape huge_shape(Input& input) {
    const Shape shape = input.any_shape();
    return {std::clamp<std::int64_t>(shape.height, 1, kMostSide), std::clamp<std::int64_t>(shape.width, 1, kMostSide)};
}

Shape solid_shape(Input& input, std::int64_t side, std::int64_t pixels) {
    const Shape shape = input.small_shape(side, pixels);
    return {std::max<std::int64_t>(shape.height, 1), std::max<std::int64_t>(shape.width, 1)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto how = static_cast<Interpolation>(input.below(3));
    const std::int64_t kind = input.below(8);
    if (kind == 0) {  // nobody can look at every pixel of such a mask
        const Shape from = huge_shape(input);
        const Shape to = solid_shape(input, 60, 400);
        const std::vector<Run> runs = input.runs(from.size());
        const std::vector<Run> resized = resize(runs, from, to, how);
        CHECK(is_valid(resized, to));
        if (how != Interpolation::area) CHECK(resized == plain_runs(plain_resize(Mask(runs, from), to, how)));
        return 0;
    }
    const Shape from = solid_shape(input, 300, 1 << 11);
    const Shape to = kind == 1 && from.height % 2 == 0 && from.width % 2 == 0 ? Shape{from.height / 2, from.width / 2}
                                                                              : solid_shape(input, 300, 1 << 11);
    std::vector<Run> runs = input.runs(from.size());
    if (input.below(4) == 0 && !runs.empty()) {  // columns of so many runs that they are written out as pixels
        Dense pixels = plain_pixels(runs, from.size());
        for (std::size_t i = 0; i < pixels.size(); i += 2) pixels[i] ^= 1;
        runs = plain_runs(pixels);
    }
    const Dense wanted = plain_resize(Mask(runs, from), to, how);
    CHECK(resize(runs, from, to, how) == plain_runs(wanted));
    for (const bool in_tables : {false, true})
        CHECK(resize(runs, Resizer(from, to, how, in_tables)) == plain_runs(wanted));
    CHECK(resize_dense(plain_pixels(runs, from.size()), from, to, how) == wanted);
    return 0;
}
