#include "rle/many.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "rle/mask_kernels.hpp"
#include "rle/resize_runs.hpp"
#include "rle/threads.hpp"

namespace cloudrle {
namespace {

constexpr std::int64_t kPiecePixels = std::int64_t{1} << 18;   // some 10 microseconds: less is not worth sharing
constexpr std::int64_t kBlockNumbers = std::int64_t{1} << 19;  // boundaries of encoded masks in one block: 4 MiB

std::size_t as_size(std::int64_t count) noexcept { return static_cast<std::size_t>(count); }

// Masks first .. last - 1, or some columns of one.
struct Piece {
    std::int64_t first;
    std::int64_t last;
    Columns columns;
};

std::vector<Piece> pieces_of(std::int64_t count, Shape shape, std::int64_t threads) {
    std::vector<Piece> pieces;
    const std::int64_t pixels = std::max<std::int64_t>(shape.size(), 1);
    if (threads == 1 || pixels <= kPiecePixels) {
        const std::int64_t masks = std::max<std::int64_t>(kPiecePixels / pixels, 1);
        for (std::int64_t i = 0; i < count; i += masks) {
            pieces.push_back({i, std::min(i + masks, count), all_columns(shape)});
        }
        return pieces;
    }
    const std::int64_t step = std::max<std::int64_t>(kPiecePixels / (shape.height * kColumns), 1) * kColumns;
    for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t x = 0; x < shape.width; x += step) {
            pieces.push_back({i, i + 1, {x, std::min(x + step, shape.width)}});
        }
    }
    return pieces;
}

// What a piece left: its boundaries, and how many there are after each of its masks.
struct Part {
    Boundaries boundaries;
    std::vector<std::int64_t> sizes;
};

Part encode_piece(const Stack<MaskView>& masks, const Piece& piece) {
    Part part;
    for (std::int64_t i = piece.first; i < piece.last; ++i) {
        encode_mask(masks[i], piece.columns, part.boundaries);
        part.sizes.push_back(part.boundaries.size());
    }
    return part;
}

// Puts the parts one behind the other.
Encoded join(const std::vector<Piece>& pieces, std::vector<Part>& parts, std::int64_t width, std::int64_t threads) {
    Encoded whole;
    std::int64_t total = 0;
    std::vector<std::int64_t> starts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (pieces[i].columns.last == width) {
            for (const std::int64_t size : parts[i].sizes) whole.offsets.push_back((total + size) / 2);
        }
        starts.push_back(total);
        total += parts[i].boundaries.size();
    }
    if (parts.size() == 1) {
        whole.boundaries = std::move(parts[0].boundaries);
        return whole;
    }
    std::int64_t* const target = whole.boundaries.room(total);
    whole.boundaries.add(total);
    for_each_index(static_cast<std::int64_t>(parts.size()), threads, [&](std::int64_t i) {
        const Boundaries& part = parts[as_size(i)].boundaries;
        std::copy_n(part.data(), part.size(), target + starts[as_size(i)]);
    });
    return whole;
}

}  // namespace

Encoded encode_masks(const Stack<MaskView>& masks, std::int64_t threads) {
    const std::int64_t width = masks.first.shape.width;
    const std::vector<Piece> pieces = pieces_of(masks.count, masks.first.shape, threads);
    const auto count = static_cast<std::int64_t>(pieces.size());
    std::vector<Part> parts(pieces.size());
    std::atomic<std::int64_t> numbers{0};
    std::atomic<std::int64_t> done{count};  // pieces in the block
    for_each_index(count, threads, [&](std::int64_t i) {
        if (i > 0 && pieces[as_size(i)].columns.first == 0 && numbers >= kBlockNumbers) {
            std::int64_t before = done;
            while (i < before && !done.compare_exchange_weak(before, i)) {
            }
        }
        if (i >= done) return;
        parts[as_size(i)] = encode_piece(masks, pieces[as_size(i)]);
        numbers += parts[as_size(i)].boundaries.size();
    });
    parts.resize(as_size(done));  // those behind were begun by a thread that did not know, and will come again
    return join(pieces, parts, width, threads);
}

void decode_masks(const std::vector<RunSpan>& runs, const Stack<PixelView>& masks, std::int64_t threads) {
    const std::vector<Piece> pieces = pieces_of(masks.count, masks.first.shape, threads);
    for_each_index(static_cast<std::int64_t>(pieces.size()), threads, [&](std::int64_t i) {
        const Piece& piece = pieces[as_size(i)];
        for (std::int64_t k = piece.first; k < piece.last; ++k) {
            const RunSpan span = runs[as_size(k)];
            decode_mask(span.data, span.count, masks[k], piece.columns);
        }
    });
}

void Canvas::paint(std::int64_t i, const Run* runs, std::int64_t count) const {
    const PixelView mask = masks[i];
    const Columns columns = all_columns(mask.shape);
    if (from.height == mask.shape.height && from.width == mask.shape.width) {
        return decode_mask(runs, count, mask, columns);
    }
    Boundaries boundaries;
    resize_runs(runs, count, from, mask.shape, how, boundaries);
    decode_mask(reinterpret_cast<const Run*>(boundaries.data()), boundaries.size() / 2, mask, columns);
}

}  // namespace cloudrle
