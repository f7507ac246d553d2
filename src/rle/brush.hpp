// Label Studio's brush data <-> runs along the rows: a stream of bits that holds the bytes of an RGBA picture.
#pragma once

#include "rle/buffer.hpp"
#include "rle/run.hpp"

namespace cloudrle {

// Appends boundaries. Foreground is where the fourth channel is not 0.
Result parse_brush(const char* bytes, std::int64_t length, Shape shape, Boundaries& rows);

// Appends the bytes that Label Studio's own converter writes; all four channels of the foreground are 255.
Result write_brush(const Run* rows, std::int64_t count, Shape shape, Buffer<char>& bytes);

}  // namespace cloudrle
