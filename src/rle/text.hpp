// Texts of pairs of numbers <-> runs. Kaggle's: "start length start length ...", starts counted from 1, empty text for
// an empty mask.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/buffer.hpp"
#include "rle/ports.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// What the two numbers of a run are.
enum class Pairs {
    kaggle,          // start and length, counted from 1
    zero_based,      // start and length, counted from 0
    ends_inclusive,  // first and last pixel, counted from 1
    ends_exclusive,  // start and end, counted from 0: [start, end)
    relative,        // pixels since the end of the run before (or the first pixel), and length; "-1" for an empty mask
};

// Room enough for the runs of a text: a run takes four characters at least, but for the space after the last.
constexpr std::int64_t runs_room(std::int64_t length) noexcept { return (length + 1) / 4; }

// Strict: any breach of the format is an error. Touching runs are merged. Nothing outside the text is read.
Result parse_text(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept;
Result parse_pairs(Pairs pairs, const char* text, std::int64_t length, Shape shape, Run* runs) noexcept;

// Room enough for a text, which may be written past its end, but not past this.
std::int64_t text_room(const Run* runs, std::int64_t count) noexcept;

// The length of the text; 0 for an empty mask.
std::int64_t write_text(const Run* runs, std::int64_t count, char* text) noexcept;
std::int64_t write_pairs(Pairs pairs, const Run* runs, std::int64_t count, char* text) noexcept;

// Characters that somebody else owns.
struct Chars {
    const char* data;
    std::int64_t size;  // negative: missing
};

// Parses many texts on several threads and hands over the runs of each: the first as those of row `first`, and so on.
// The result is that of the first text with a fault, whose index is put into `faulty`; of texts behind it, only some go
// on.
Result parse_texts(const std::vector<Chars>& texts, Shape shape, std::int64_t first, const RunSink& sink,
                   std::int64_t threads, std::int64_t& faulty);

// Texts of neighbouring rows, one behind the other, and where each ends.
struct Lines {
    Buffer<char> chars;
    std::vector<std::int64_t> ends;
};

// Writes the texts of rows first .. last - 1 on several threads, in groups of neighbours.
std::vector<Lines> write_texts(const RunSource& source, std::int64_t first, std::int64_t last, std::int64_t threads);

// Copies each line to a place of its own, on several threads.
void copy_lines(const std::vector<Lines>& groups, const std::vector<char*>& places, std::int64_t threads);

}  // namespace cloudrle
