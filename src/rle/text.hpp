// Kaggle text <-> runs: "start length start length ...", starts counted from 1, empty text for an empty mask.
#pragma once

#include <cstdint>
#include <vector>

#include "rle/run.hpp"
#include "rle/sink.hpp"

namespace cloudrle {

// Room enough for parse_text's runs: a run takes four characters at least, but for the space after the last.
constexpr std::int64_t runs_room(std::int64_t length) noexcept { return (length + 1) / 4; }

// Strict: any breach of the format is an error. Touching runs are merged. Nothing outside the text is read.
Result parse_text(const char* text, std::int64_t length, Shape shape, Run* runs) noexcept;

// Room enough for write_text, which may write past the end of its text, but not past this.
std::int64_t text_room(const Run* runs, std::int64_t count) noexcept;

// The length of the text.
std::int64_t write_text(const Run* runs, std::int64_t count, char* text) noexcept;

// Characters that somebody else owns.
struct Chars {
    const char* data;
    std::int64_t size;  // negative: missing
};

// Parses many texts on several threads, each into the room that runs_room gives it, one room behind the other. `bounds`
// becomes where the runs of each begin and end. The result is that of the first text with a fault, whose index is put
// into `row`.
Result parse_texts(const std::vector<Chars>& texts, Shape shape, Run* runs, std::int64_t* bounds, std::int64_t threads,
                   std::int64_t& row);

// Parses many texts on several threads and hands over the runs of each; of texts behind a fault, only some.
Result parse_texts(const std::vector<Chars>& texts, Shape shape, std::int64_t first_row, const RunSink& sink,
                   std::int64_t threads, std::int64_t& row);

// Runs to be written, where their text goes, and afterwards its length.
struct Line {
    const Run* runs;
    std::int64_t count;
    char* text;
    std::int64_t length;
};
void write_texts(std::vector<Line>& lines, std::int64_t threads);

}  // namespace cloudrle
