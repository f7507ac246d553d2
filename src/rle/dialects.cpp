#include "rle/dialects.hpp"

#include <algorithm>
#include <cstddef>

#include "rle/algebra.hpp"
#include "rle/brush.hpp"
#include "rle/coco.hpp"
#include "rle/cvat.hpp"
#include "rle/threads.hpp"
#include "rle/transpose.hpp"

namespace cloudrle {
namespace {

constexpr std::int64_t kNumber = sizeof(std::int64_t);

constexpr bool goes_along_rows(Dialect dialect) noexcept {
    return dialect == Dialect::kaggle_rows || dialect == Dialect::label_studio || dialect == Dialect::cvat;
}

constexpr Pairs pairs_of(Dialect dialect) noexcept {
    switch (dialect) {
        case Dialect::zero_based:
            return Pairs::zero_based;
        case Dialect::ends_inclusive:
            return Pairs::ends_inclusive;
        case Dialect::ends_exclusive:
            return Pairs::ends_exclusive;
        case Dialect::relative:
            return Pairs::relative;
        default:
            return Pairs::kaggle;
    }
}

const std::int64_t* numbers_of(Chars chars) noexcept { return reinterpret_cast<const std::int64_t*>(chars.data); }
const Run* runs_of(const Boundaries& boundaries) noexcept { return reinterpret_cast<const Run*>(boundaries.data()); }

// Calls a parser that writes runs, of which it needs room for `room`.
template <class Parse>
Result parse_into(Boundaries& runs, std::int64_t room, const Parse& parse) {
    const Result result = parse(reinterpret_cast<Run*>(runs.room(2 * room)));
    if (result.error == Error::none) runs.add(2 * result.count);
    return result;
}

// In the order that the dialect has.
Result parse(Dialect dialect, Chars chars, Shape shape, Boundaries& runs) {
    const auto [data, size] = chars;
    switch (dialect) {
        case Dialect::coco:
            return parse_into(runs, count_coco_numbers(data, size) / 2,
                              [&, text = data, length = size](Run* to) { return parse_coco(text, length, shape, to); });
        case Dialect::coco_counts:
            return parse_into(runs, size / kNumber / 2, [&, length = size / kNumber](Run* to) {
                return parse_counts(numbers_of(chars), length, shape, to);
            });
        case Dialect::label_studio:
            return parse_brush(data, size, shape, runs);
        case Dialect::cvat:
            return parse_cvat(numbers_of(chars), size / kNumber, shape, runs);
        default:
            return parse_into(runs, runs_room(size), [&, text = data, length = size](Run* to) {
                return parse_pairs(pairs_of(dialect), text, length, shape, to);
            });
    }
}

// Reads masks one after another.
class Reader {
  public:
    explicit Reader(Dialect dialect) noexcept : dialect_(dialect) {}

    // Runs in the order of the dialect that is wanted: along the rows or down the columns.
    Result read(const Row& row, bool along_rows) {
        runs_.clear();
        if (row.chars.size < 0) return Result{};
        const Result result = parse(dialect_, row.chars, row.shape, runs_);
        if (result.error != Error::none || goes_along_rows(dialect_) == along_rows) return result;
        const Shape turned = along_rows ? row.shape : Shape{row.shape.width, row.shape.height};
        transposed_.clear();
        transpose(runs_of(runs_), runs_.size() / 2, turned, transposed_);
        std::swap(runs_, transposed_);
        return result;
    }

    const Run* runs() const noexcept { return runs_of(runs_); }
    std::int64_t count() const noexcept { return runs_.size() / 2; }

  private:
    Dialect dialect_;
    Boundaries runs_;
    Boundaries transposed_;
};

// Writes masks one behind the other.
class Writer {
  public:
    explicit Writer(Dialect dialect) noexcept : dialect_(dialect) {}

    Result write(const Run* runs, std::int64_t count, Shape shape, Buffer<char>& chars) {
        const std::int64_t size = shape.size();
        switch (dialect_) {
            case Dialect::coco:
                chars.add(write_coco(runs, count, size, chars.room(coco_room(count, size))));
                return {};
            case Dialect::coco_counts: {
                const std::int64_t length = counts_length(runs, count, size);
                numbers_.clear();
                write_counts(runs, count, size, numbers_.room(length));
                numbers_.add(length);
                return copy_numbers(chars);
            }
            case Dialect::label_studio:
                return write_brush(runs, count, shape, chars);
            case Dialect::cvat: {
                numbers_.clear();
                const Result result = write_cvat(runs, count, shape, numbers_);
                return result.error == Error::none ? copy_numbers(chars) : result;
            }
            default:
                return write_text(runs, count, chars);
        }
    }

  private:
    Result copy_numbers(Buffer<char>& chars) {
        const std::int64_t bytes = numbers_.size() * kNumber;
        std::copy_n(reinterpret_cast<const char*>(numbers_.data()), bytes, chars.room(bytes));
        chars.add(bytes);
        return {};
    }

    Result write_text(const Run* runs, std::int64_t count, Buffer<char>& chars) {
        if (count == 0 && dialect_ == Dialect::relative) {
            std::copy_n("-1", 2, chars.room(2));
            chars.add(2);
            return {};
        }
        chars.add(write_pairs(pairs_of(dialect_), runs, count, chars.room(text_room(runs, count))));
        return {};
    }

    Dialect dialect_;
    Buffer<std::int64_t> numbers_;
};

// Calls work(group, row index) for every row, in groups of neighbours, each up to its first fault.
template <class Work>
Result first_fault(std::int64_t count, std::int64_t threads, std::int64_t& faulty, const Work& work) {
    std::vector<Result> results(static_cast<std::size_t>(groups_of(count, threads)));
    std::vector<std::int64_t> places(results.size());
    for_each_group(count, threads, [&](std::int64_t group, std::int64_t first, std::int64_t last) {
        const auto at = static_cast<std::size_t>(group);
        results[at] = work(group, first, last, places[at]);
    });
    const auto fault =
        std::find_if(results.begin(), results.end(), [](const Result& result) { return result.error != Error::none; });
    if (fault == results.end()) return Result{};
    faulty = places[static_cast<std::size_t>(fault - results.begin())];
    return *fault;
}

}  // namespace

Result convert_rows(const std::vector<Row>& rows, Dialect source, Dialect target, std::int64_t threads,
                    std::vector<Lines>& groups, std::int64_t& faulty) {
    const auto count = static_cast<std::int64_t>(rows.size());
    groups.resize(static_cast<std::size_t>(groups_of(count, threads)));
    const auto work = [&](std::int64_t group, std::int64_t first, std::int64_t last, std::int64_t& at) {
        Lines& lines = groups[static_cast<std::size_t>(group)];
        Reader reader(source);
        Writer writer(target);
        for (at = first; at < last; ++at) {
            const Row& row = rows[static_cast<std::size_t>(at)];
            if (const Result result = reader.read(row, goes_along_rows(target)); result.error != Error::none)
                return result;
            const Result result = writer.write(reader.runs(), reader.count(), row.shape, lines.chars);
            if (result.error != Error::none) return result;
            lines.ends.push_back(lines.chars.size());
        }
        return Result{};
    };
    return first_fault(count, threads, faulty, work);
}

Result measure_rows(const std::vector<Row>& rows, Dialect source, std::int64_t threads, Measure* measures,
                    std::int64_t& faulty) {
    const auto work = [&](std::int64_t, std::int64_t first, std::int64_t last, std::int64_t& at) {
        Reader reader(source);
        for (at = first; at < last; ++at) {
            const Row& row = rows[static_cast<std::size_t>(at)];
            if (const Result result = reader.read(row, false); result.error != Error::none) return result;
            const std::int64_t count = reader.count();
            Box box{0, 0, 0, 0};
            if (count > 0) box = bounding_box(reader.runs(), count, row.shape.height);
            measures[at] = {area(reader.runs(), count), box.top, box.left, box.bottom, box.right, count};
        }
        return Result{};
    };
    return first_fault(static_cast<std::int64_t>(rows.size()), threads, faulty, work);
}

}  // namespace cloudrle
