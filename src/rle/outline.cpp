#include "rle/outline.hpp"

#include <cstddef>
#include <limits>

#include "rle/components.hpp"
#include "rle/pieces.hpp"

namespace cloudrle {
namespace {

// A piece as a rectangle.
struct Rectangle {
    std::int64_t left;
    std::int64_t right;
    std::int64_t top;
    std::int64_t bottom;
};

// The horizontal edges of pieces: number 2 i is the top of piece i, number 2 i + 1 its bottom. Tops are followed to the
// right and bottoms to the left, which keeps the foreground on the right hand.
using Edge = std::size_t;
constexpr Edge kNone = std::numeric_limits<Edge>::max();

bool is_top(Edge edge) noexcept { return edge % 2 == 0; }

class Tracer {
  public:
    Tracer(RunView mask, std::int64_t height)
        : found_(label_components(mask, height, Connectivity::edges)),
          rectangles_(found_.pieces.size()),
          next_(2 * found_.pieces.size(), kNone) {
        std::size_t left = 0;  // the first piece of the columns before
        for_each_column(
            found_.pieces, height, [&](std::size_t first, std::size_t last, std::int64_t top, std::int64_t bottom) {
                for (std::size_t i = first; i < last; ++i) {
                    const auto [start, end] = found_.pieces[i];
                    const bool whole = start == top && end == bottom;
                    rectangles_[i] = {top / height, bottom / height, start - top, whole ? height : end - top};
                }
                if (first > 0 && rectangles_[left].right != rectangles_[first].left) {
                    link_line(left, first, first);
                    left = first;
                }
                link_line(left, first, last);
                left = first;
            });
        link_line(left, rectangles_.size(), rectangles_.size());
    }

    Outlines trace() {
        Outlines outlines;
        std::vector<std::int64_t> numbers(rectangles_.size(), -1);  // of components, by label
        std::int64_t components = 0;
        for (Edge edge = 0; edge < next_.size(); edge += 2) {
            if (next_[edge] == kNone) continue;
            std::int64_t& number = numbers[static_cast<std::size_t>(found_.labels[edge / 2])];
            if (number < 0) number = components++;
            trace_ring(edge, outlines.coordinates);
            outlines.rings.push_back({number, outlines.coordinates.size()});
        }
        return outlines;
    }

  private:
    // Links the edges that end on the line between two neighbouring columns with those that begin there, over the
    // vertical sides on that line: pieces from `left` on lie to its left, and those from `middle` to `right` to its
    // right. Going down the line, the value on one of the two sides changes at each edge.
    void link_line(std::size_t left, std::size_t middle, std::size_t right) noexcept {
        Edge west = 2 * left;
        Edge east = 2 * middle;
        Edge above = kNone;  // the edge at the upper end of the vertical side that is being followed
        const auto link = [&](Edge one, Edge other) {
            const bool ends_here = is_top(one) == (one < 2 * middle);
            next_[ends_here ? one : other] = ends_here ? other : one;
        };
        const auto begin_or_end_side = [&](Edge edge) {
            if (above == kNone) {
                above = edge;
            } else {
                link(above, edge);
                above = kNone;
            }
        };
        while (west < 2 * middle || east < 2 * right) {
            if (east == 2 * right || (west < 2 * middle && row(west) < row(east))) {
                begin_or_end_side(west++);
            } else if (west == 2 * middle || row(east) < row(west)) {
                begin_or_end_side(east++);
            } else if (above == kNone) {  // straight on
                link(west++, east++);
            } else {
                // Two pieces meet at a corner. Within one component the rings pass between them, which separates a hole
                // from the outside; else each ring stays with its piece.
                const bool same = found_.labels[west / 2] == found_.labels[east / 2];
                const bool westward = is_top(west) == same;
                link(above, westward ? west : east);
                above = westward ? east : west;
                ++west;
                ++east;
            }
        }
    }

    // Takes the ring's links away, which marks it as traced.
    void trace_ring(Edge first, Boundaries& coordinates) {
        const auto put = [&](std::int64_t x, std::int64_t y) {
            std::int64_t* const vertex = coordinates.room(2);
            vertex[0] = x;
            vertex[1] = y;
            coordinates.add(2);
        };
        put(rectangles_[first / 2].left, row(first));
        for (Edge edge = first; next_[edge] != kNone;) {
            const Rectangle& piece = rectangles_[edge / 2];
            const std::int64_t x = is_top(edge) ? piece.right : piece.left;
            const std::int64_t y = row(edge);
            const Edge next = next_[edge];
            next_[edge] = kNone;
            edge = next;
            if (row(edge) == y) continue;
            put(x, y);
            if (edge != first) put(x, row(edge));
        }
    }

    std::int64_t row(Edge edge) const noexcept {
        const Rectangle& piece = rectangles_[edge / 2];
        return is_top(edge) ? piece.top : piece.bottom;
    }

    Components found_;
    std::vector<Rectangle> rectangles_;
    std::vector<Edge> next_;
};

}  // namespace

Outlines trace_outlines(RunView mask, std::int64_t height) { return Tracer(mask, height).trace(); }

}  // namespace cloudrle
